"""Gets the services' programs through the scripts that also serve `make test`."""

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
# A cold build of influxd or Grafana takes 5 minutes on two cores.
GET_SECONDS = 1800


class Provided(NamedTuple):
    """The path that the script prints, or the reason why there is none on this machine."""

    path: str
    reason: str


def in_ci() -> bool:
    """Tell whether what is missing must fail instead of being skipped."""
    return os.environ.get("CI", "").lower() in ("true", "1")


class Missing(Exception):
    """This machine can't provide it; the message says why."""


@functools.lru_cache(maxsize=None)
def provided(service: str, *arguments: str) -> Provided:
    """Run the service's script once and return its answer."""
    script = ROOT / "scripts" / f"get-{service}"
    done = subprocess.run([str(script), *arguments], capture_output=True, timeout=GET_SECONDS, check=False)
    told = done.stderr.decode(errors="replace")
    if done.returncode == 0:
        sys.stderr.write(told)
        return Provided(done.stdout.decode().strip(), "")
    reason = (told.strip().splitlines() or [f"{script.name} ended with status {done.returncode}"])[-1]
    return Provided("", reason)


def needed(service: str, *arguments: str) -> str:
    """Return the script's answer; raises Missing with its reason."""
    answer = provided(service, *arguments)
    if not answer.path:
        raise Missing(answer.reason)
    return answer.path


def host_tree(suite: str) -> Path:
    """Return the tree that a host of this Debian is made of; raises Missing."""
    return Path(needed("nspawn", suite))


def path_or_skip(service: str, *arguments: str) -> str:
    """Return the script's answer; skip the test with the reason, or fail it in CI."""
    # Molecule's hosts are made without pytest.
    import pytest

    try:
        return needed(service, *arguments)
    except Missing as err:
        (pytest.fail if in_ci() else pytest.skip)(str(err))
        raise


def tree_or_skip(suite: str) -> Path:
    """Return what `host_tree` does; skip the test with the reason, or fail it in CI."""
    return Path(path_or_skip("nspawn", suite))
