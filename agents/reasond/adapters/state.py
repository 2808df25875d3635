"""An agent's state directory: its saved states, the operator's control file, and the lock on its identity.

Used by the runtime and by `reasond control`. One directory an instance, as systemd's StateDirectory= gives it.
"""

import fcntl
import os
from pathlib import Path
from typing import Any, Dict, Optional

import msgspec

from reasond.core.agent import Control
from reasond.errors import IdentityTaken, InputError

_SUFFIX = ".state.json"
_CONTROL = "control.json"
_LOCK = "lock"
STOP_SPENDING = "stop-spending"
"""Name of the switch file beside the instances' directories."""


class StateDir:
    """One agent's state directory."""

    def __init__(self, path: Path) -> None:
        """Take the directory, which is made when missing.

        Raises InputError when it can't be made.
        """
        self.path = path
        self._lock: Optional[int] = None
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as err:
            raise InputError(
                "can't make the state directory {}: {}; set REASOND_STATE_DIR to one that {} may write".format(
                    path, err.strerror, os.environ.get("USER", "this user")
                )
            ) from err

    def lock(self) -> None:
        """Hold this identity for the life of the process.

        Raises IdentityTaken naming the process that holds it.
        """
        handle = os.open(str(self.path / _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            os.close(handle)
            raise IdentityTaken(
                "another process (pid {}) already runs as {} (lock {}); stop it, or give this one another id".format(
                    self.holder_pid() or "unknown", self.path.name, self.path / _LOCK
                )
            ) from err
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        self._lock = handle

    def holder_pid(self) -> Optional[int]:
        """Give the pid of the live process that holds the identity, None when nobody does."""
        try:
            with open(str(self.path / _LOCK), "rb") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    return None
                except BlockingIOError:
                    text = lock.read().decode("ascii", "replace").strip()
        except OSError:
            return None
        return int(text) if text.isdigit() else None

    def load(self) -> Dict[str, Any]:
        """Give every saved state by key; one that can't be read is set aside as `<key>.state.json.bad`."""
        states: Dict[str, Any] = {}
        for file in sorted(self.path.glob("*" + _SUFFIX)):
            try:
                states[file.name[: -len(_SUFFIX)]] = msgspec.json.decode(file.read_bytes())
            except (OSError, msgspec.DecodeError):
                file.replace(file.with_name(file.name + ".bad"))
        return states

    def save(self, key: str, state: Any, durable: bool = True) -> None:
        """Replace the state of `key` in one step; `durable` also survives a power cut.

        Raises OSError when the disk refuses.
        """
        write_atomically(self.path / (key + _SUFFIX), msgspec.json.encode(state), durable)

    def control(self) -> Control:
        """Give the operator's standing orders; none, or unreadable ones, are the default."""
        try:
            return msgspec.json.decode((self.path / _CONTROL).read_bytes(), type=Control)
        except (OSError, msgspec.DecodeError):
            return Control()

    def give_control(self, control: Control) -> None:
        """Leave the operator's orders for the agent to read at its next reload."""
        write_atomically(self.path / _CONTROL, msgspec.json.encode(control), True, mode=0o644)

    @property
    def stop_spending_file(self) -> Path:
        """The one switch, shared by all instances of this host: while the file is there nobody calls the API."""
        return self.path.parent / STOP_SPENDING


def write_atomically(path: Path, content: bytes, durable: bool, mode: int = 0o640) -> None:
    """Replace a file's content in one step, by a new file and rename(2).

    Raises OSError when the disk refuses; the old content then still stands.
    """
    fresh = path.with_name(".{}.{}.new".format(path.name, os.getpid()))
    handle = os.open(str(fresh), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    os.replace(str(fresh), str(path))
    if durable:
        _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    handle = os.open(str(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
