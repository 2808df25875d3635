"""Where agents keep state and transcripts; used by the runtime and by the commands that look there."""

from pathlib import Path
from typing import Mapping

from reasond.settings import ProcessSettings

SYSTEM_STATE_DIR = Path("/var/lib/reasond")
"""Where systemd keeps the instances' state (StateDirectory=reasond/%p-%i)."""
SYSTEM_LOG_DIR = Path("/var/log/reasond")
"""Where it keeps their transcripts (LogsDirectory=reasond/%p-%i)."""


def state_directory(settings: ProcessSettings, environ: Mapping[str, str], agent_id: str) -> Path:
    """Give an agent's state directory.

    REASOND_STATE_DIR/<agent>, else systemd's $STATE_DIRECTORY (already the instance's own), else the user's.
    """
    return _directory(settings.state_dir, environ.get("STATE_DIRECTORY", ""), environ, "state", agent_id)


def log_directory(settings: ProcessSettings, environ: Mapping[str, str], agent_id: str) -> Path:
    """Give the directory of an agent's transcripts, in the same way by REASOND_LOG_DIR and $LOGS_DIRECTORY."""
    return _directory(settings.log_dir, environ.get("LOGS_DIRECTORY", ""), environ, "log", agent_id)


def state_base(settings: ProcessSettings, environ: Mapping[str, str], system: Path = SYSTEM_STATE_DIR) -> Path:
    """Give the directory that holds the state directories of this host's agents.

    For people's commands, which run outside the units: REASOND_STATE_DIR, else `system` where that is, else
    the user's.
    """
    if settings.state_dir:
        return Path(settings.state_dir)
    return system if system.is_dir() else _users(environ, "state")


def log_base(settings: ProcessSettings, environ: Mapping[str, str], system: Path = SYSTEM_STATE_DIR) -> Path:
    """Give the directory that holds the directories of transcripts, likewise.

    REASOND_LOG_DIR, else the system's where the agents' state is in `system`, else the user's.
    """
    if settings.log_dir:
        return Path(settings.log_dir)
    return SYSTEM_LOG_DIR if state_base(settings, environ, system) == system else _users(environ, "log")


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Give the user's cache of what can be had again, if at a price: $XDG_CACHE_HOME/reasond or ~/.cache/reasond."""
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "/")) / ".cache")
    return Path(base) / "reasond"


def _directory(chosen: str, systemd: str, environ: Mapping[str, str], kind: str, agent_id: str) -> Path:
    if chosen:
        return Path(chosen) / agent_id
    if systemd:
        return Path(systemd.split(":")[0])
    return _users(environ, kind) / agent_id


def _users(environ: Mapping[str, str], kind: str) -> Path:
    base = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", "/")) / ".local" / "state")
    return Path(base) / "reasond" / kind
