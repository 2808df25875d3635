"""The doctor's checks of this host: settings, versions, directories, identities, spools, spending."""

import getpass
import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Sequence, Tuple

from reasond import __version__
from reasond.adapters.state import STOP_SPENDING, StateDir
from reasond.brains.factory import BUDGET_FILE
from reasond.brains.spending import LedgerFile
from reasond.core.budget import DAY_NS, HOUR_NS, NANO_PER_USD, limits_from
from reasond.doctor.examined import SETTINGS, Examined
from reasond.doctor.findings import Check, Verdict, fail, ok, skipped, warning
from reasond.paths import state_base
from reasond.settings import BudgetSettings

PYTHON_FLOOR = (3, 8)
FLOORS: Dict[str, str] = {
    "click": "8.1",
    "influxdb-client": "1.40",
    "msgspec": "0.18",
    "pika": "1.3",
    "rich": "13",
    "sdnotify": "0.3",
    "tzdata": "0",
    "urllib3": "1.26",
}
"""Least versions, as pyproject.toml states them (a test compares the two)."""
CLAUDE_FLOORS: Dict[str, str] = {"anthropic": "0.72"}
"""Needed by the Claude brain alone."""
SPOOL_WARN_PART = 0.5
"""Of the spool's bound: from there the oldest points are near to giving way."""


def checks(examined: Examined) -> List[Check]:
    """Give the checks of the host."""
    process, budget = examined.needs("process"), examined.needs("budget")
    return [
        Check(SETTINGS, lambda: settings_read(examined)),
        Check("python", lambda: python_version(sys.version_info[:3])),
        Check("packages", lambda: packages(_floors(examined), _installed)),
        Check("state directory", lambda: state_writable(examined), needs=process),
        Check("log directory", lambda: logs_writable(examined), needs=process),
        Check("identities here", lambda: identities(examined.agents()), needs=process),
        Check(
            "spools",
            lambda: spools(examined.agents(), examined.settings.influx.spool_max_bytes),
            needs=process + examined.needs("influx"),
        ),
        Check(
            "budget here",
            lambda: budgets(examined.agents(), examined.settings.budget, time.time_ns()),
            needs=process + budget,
        ),
        Check("spending switch", lambda: spending_switch(examined), needs=process),
    ]


def settings_read(examined: Examined) -> Verdict:
    """Tell every wrong setting."""
    sources = ", ".join(examined.sources)
    if examined.problems:
        return fail("; ".join(examined.problems), f"correct them in {sources}; defaults were used here")
    return ok(f"reasond {__version__}, settings from {sources}")


def python_version(version: Sequence[int]) -> Verdict:
    """Tell whether this Python is new enough."""
    text = ".".join(str(part) for part in version)
    if tuple(version[:2]) < PYTHON_FLOOR:
        return fail(f"Python {text}", "install Python 3.8 or later and make the virtual environment anew")
    return ok(f"Python {text}")


def packages(floors: Mapping[str, str], installed: Callable[[str], str]) -> Verdict:
    """Compare installed packages with their least versions; `installed` gives one's version, "" for none."""
    wrong, right = [], []
    for name, floor in floors.items():
        version = installed(name)
        if not version:
            wrong.append(f"{name} is missing")
        elif _numbers(version) < _numbers(floor):
            wrong.append(f"{name} {version} is older than {floor}")
        else:
            right.append(f"{name} {version}")
    if wrong:
        return fail("; ".join(wrong), f"{sys.executable} -m pip install --upgrade reasond")
    return ok(", ".join(right))


def state_writable(examined: Examined) -> Verdict:
    """Tell whether this user may write every agent's state, with room for the spool."""
    base = state_base(examined.settings.process, examined.environ)
    directories = examined.agents() or {"the agents": base}
    return _writable(directories, examined.settings.influx.spool_max_bytes, "REASOND_STATE_DIR")


def logs_writable(examined: Examined) -> Verdict:
    """Tell whether this user may write every agent's transcripts, with room for one."""
    if not examined.settings.privacy.transcript:
        return skipped("TRANSCRIPT is off")
    directories = examined.log_directories()
    if not directories:
        return skipped("no agent has its state on this host yet")
    return _writable(directories, examined.settings.privacy.transcript_max_bytes, "REASOND_LOG_DIR")


def identities(agents: Mapping[str, Path]) -> Verdict:
    """Tell which process holds each agent's identity."""
    if not agents:
        return skipped("no agent has its state on this host yet")
    told = []
    for agent_id, path in agents.items():
        pid = StateDir(path).holder_pid() if path.is_dir() else None
        told.append("{} {}".format(agent_id, f"runs as pid {pid}" if pid else "is free"))
    return ok(", ".join(told))


def spools(agents: Mapping[str, Path], max_bytes: int) -> Verdict:
    """Tell how many bytes of points wait on disk."""
    sizes = {agent_id: spool_bytes(path / "spool") for agent_id, path in agents.items()}
    if not sizes:
        return skipped("no agent has its state on this host yet")
    told = ", ".join(f"{agent_id} {size / 1e6:.1f} MB" for agent_id, size in sizes.items())
    if max(sizes.values()) > SPOOL_WARN_PART * max_bytes:
        return warning(
            f"{told} of at most {max_bytes / 1e6:.0f} MB each",
            "bring InfluxDB back, or raise INFLUXDB_SPOOL_MAX_BYTES: beyond it the oldest points are dropped",
        )
    return ok(told)


def budgets(agents: Mapping[str, Path], settings: BudgetSettings, wall_ns: int) -> Verdict:
    """Tell what the agents of this host spent in this hour and day (UTC), by their own files."""
    spent = {agent_id: spent_by_file(path / BUDGET_FILE, wall_ns) for agent_id, path in agents.items()}
    limits = limits_from(settings)
    told = "; ".join(
        "{} ${:.4f} this hour, ${:.4f} today".format(agent_id, *both) for agent_id, both in spent.items() if any(both)
    )
    bounds = (
        f"limits: an agent ${limits.agent_hour_usd:g} an hour and ${limits.agent_day_usd:g} a day, "
        f"the system ${limits.system_hour_usd:g} and ${limits.system_day_usd:g}"
    )
    hour = max([both[0] / limits.agent_hour_usd for both in spent.values() if limits.agent_hour_usd] or [0.0])
    day = max([both[1] / limits.agent_day_usd for both in spent.values() if limits.agent_day_usd] or [0.0])
    text = "{}; {}".format(told or "nothing spent on this host", bounds)
    if max(hour, day) >= settings.warn_at:
        return warning(text, "wait for the next hour or day (UTC), or raise BUDGET_USD_PER_HOUR and BUDGET_USD_PER_DAY")
    return ok(text)


def spending_switch(examined: Examined) -> Verdict:
    """Tell whether the operator stopped all spending on this host."""
    switch = state_base(examined.settings.process, examined.environ) / STOP_SPENDING
    if switch.exists():
        return warning("spending is stopped: no agent of this host calls the API", "reasond control all spend")
    return ok("not set: agents may call the API within the budget")


def _floors(examined: Examined) -> Dict[str, str]:
    return dict(FLOORS, **(CLAUDE_FLOORS if examined.settings.brain.brain == "claude" else {}))


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _numbers(version: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _writable(directories: Mapping[str, Path], room_bytes: int, setting: str) -> Verdict:
    refused, scarce, missing = [], [], []
    for path in sorted(set(directories.values())):
        there = _nearest(path)
        problem = _write_problem(there)
        if problem:
            refused.append(f"{there}: {problem}")
        elif shutil.disk_usage(str(there)).free < room_bytes:
            scarce.append(f"{there} has {shutil.disk_usage(str(there)).free / 1e6:.0f} MB free")
        if there != path:
            missing.append(str(path))
    user = getpass.getuser()
    if refused:
        mend = f"give them to the agents' user, run the doctor as that user, or set {setting}"
        return fail("{} can't write to {}".format(user, "; ".join(refused)), mend)
    if scarce:
        return warning("; ".join(scarce), f"make room: {room_bytes / 1e6:.0f} MB may be needed for each agent")
    made = " (made at an agent's first start: {})".format(", ".join(missing)) if missing else ""
    return ok("{} may write to {}{}".format(user, ", ".join(str(p) for p in sorted(set(directories.values()))), made))


def _nearest(path: Path) -> Path:
    """Give the path, or the nearest of its parents that exists."""
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def _write_problem(path: Path) -> str:
    """Try to write; the file has no name (O_TMPFILE) or loses it at once, so nothing stays behind."""
    try:
        with tempfile.TemporaryFile(dir=str(path)):
            return ""
    except OSError as err:
        return err.strerror or str(err)


def spool_bytes(directory: Path) -> int:
    """Give how many bytes of points wait in a spool's directory; 0 where it can't be read."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(str(directory)) if entry.name.endswith(".lp"))
    except OSError:
        return 0


def spent_by_file(file: Path, wall_ns: int) -> Tuple[float, float]:
    """Give what the budget file says for the hour and the day of this time, USD; 0 where there is no word."""
    try:
        state = LedgerFile(file).load() or {}
    except (OSError, ValueError):
        return 0.0, 0.0
    hour = state.get("hour_nano_usd", 0) if state.get("hour") == wall_ns // HOUR_NS else 0
    day = state.get("day_nano_usd", 0) if state.get("day") == wall_ns // DAY_NS else 0
    return hour / NANO_PER_USD, day / NANO_PER_USD
