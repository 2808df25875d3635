"""Tests of one group run in one process, in order: hosts that follow on each other count on it.

Of pytest and pytest-xdist as they are locked here: a pair that doesn't know each other forgets groups without a word.
"""

import subprocess
import sys

GROUPED = """
import os

import pytest

pytestmark = pytest.mark.xdist_group("one")


@pytest.mark.parametrize("number", range(8))
def test_here(number):
    with open("ran", "a") as ran:
        ran.write("%s %d\\n" % (os.environ["PYTEST_XDIST_WORKER"], number))
"""


def test_tests_of_one_group_run_in_one_process_in_order(tmp_path):
    (tmp_path / "test_grouped.py").write_text(GROUPED)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "--rootdir", str(tmp_path)]

    done = subprocess.run(command, cwd=str(tmp_path), capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    ran = [line.split() for line in (tmp_path / "ran").read_text().splitlines()]
    assert len({worker for worker, _ in ran}) == 1
    assert [int(number) for _, number in ran] == list(range(8))
