"""The pages generated from the code are what the code says now."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_generated_pages_are_up_to_date():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "make-reference"), "--check"], stdout=subprocess.PIPE, text=True
    )

    assert done.returncode == 0, done.stdout
