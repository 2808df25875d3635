"""What the scripts of this folder share; standard library only, Python 3.8 or newer.

Used before any virtual environment exists, so nothing here may import a third-party module.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Iterator, NoReturn, Optional

ROOT = Path(__file__).resolve().parent.parent

# Exit status for "this machine can't provide it": callers skip with the printed reason, not fail.
UNAVAILABLE = 3


def cache_folder() -> Path:
    """Return the folder for everything built or downloaded here, made if it was missing."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(base) / "reasond"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def say(line: str) -> None:
    """Tell the person at the terminal; standard output stays free for a script's answer."""
    print(line, file=sys.stderr, flush=True)


def unavailable(reason: str) -> NoReturn:
    """End the script with status 3 and the one-line reason on standard error."""
    say(" ".join(reason.split()))
    sys.exit(UNAVAILABLE)


def apt_install(*packages: str) -> bool:
    """Install packages of the distribution, as root or by a sudo that asks nothing; tell whether that went well.

    apt's and dpkg's progress is left out; errors go to standard error.
    """
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]

    def apt_get(*words: str) -> bool:
        command = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet=2", *words]
        return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0

    install = ("install", "--yes", "--no-install-recommends", *packages)
    # On a fresh machine the lists are missing or old.
    return apt_get(*install) or (apt_get("update") and apt_get(*install))


@contextlib.contextmanager
def locked(name: str, folder: Optional[Path] = None) -> Iterator[None]:
    """Hold the named lock of the cache folder, or of another; what two runs do at once, they do one after the other."""
    path = (folder or cache_folder()) / f"{name}.lock"
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that holds {path.name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
