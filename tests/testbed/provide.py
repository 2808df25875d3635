"""Gets the services' programs through the scripts that also serve `make test`."""

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A cold build of influxd takes 5 minutes on two cores.
GET_SECONDS = 1800


class Provided(NamedTuple):
    """The program's path, or the reason why there is none on this machine."""

    path: str
    reason: str


def in_ci() -> bool:
    """Tell whether what is missing must fail instead of being skipped."""
    return os.environ.get("CI", "").lower() in ("true", "1")


@functools.lru_cache(maxsize=None)
def provided(service: str) -> Provided:
    """Run the service's script once and return its answer."""
    script = ROOT / "scripts" / f"get-{service}"
    done = subprocess.run([str(script)], capture_output=True, timeout=GET_SECONDS, check=False)
    told = done.stderr.decode(errors="replace")
    if done.returncode == 0:
        sys.stderr.write(told)
        return Provided(done.stdout.decode().strip(), "")
    reason = (told.strip().splitlines() or [f"{script.name} ended with status {done.returncode}"])[-1]
    return Provided("", reason)


def path_or_skip(service: str) -> str:
    """Return the program's path; skip the test with the reason, or fail it in CI."""
    answer = provided(service)
    if not answer.path:
        (pytest.fail if in_ci() else pytest.skip)(answer.reason)
    return answer.path
