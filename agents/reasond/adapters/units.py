"""What systemd says of the agents' units on this host; used by the commands that people run."""

import subprocess
from pathlib import Path
from typing import Dict, Iterable, Mapping, Optional

from msgspec import Struct

ANSWER_S = 5.0
"""Seconds for systemctl, which answers within milliseconds unless the bus hangs."""
RUNNING = Path("/run/systemd/system")
"""Where sd_booted(3) looks: without it there is no systemd to ask."""
_PROPERTIES = "Id,ActiveState,SubState,UnitFileState,StatusText,Result"


class UnitState(Struct, frozen=True):
    """A unit's state as systemd names it (`active`, `running`, ...), whether it starts with the host, its status line.

    `result` says how it ended (`success`, `exit-code`, `watchdog`, ...).
    """

    active: str
    sub: str
    enabled: bool
    status: str = ""
    result: str = ""


def unit_of(agent_id: str) -> str:
    """Give the name of an agent's unit: publisher@1.service of publisher-1."""
    kind, _, number = agent_id.rpartition("-")
    return f"{kind}@{number}.service"


def unit_states(agent_ids: Iterable[str], running: Path = RUNNING) -> Dict[str, UnitState]:
    """Ask systemd for the units of these agents; those that it neither runs nor starts with the host are left out.

    Empty where there is no systemd, or it doesn't answer.
    """
    units = {unit_of(agent_id): agent_id for agent_id in agent_ids}
    if not units or not running.is_dir():
        return {}
    try:
        done = subprocess.run(
            ["systemctl", "show", "--property=" + _PROPERTIES, *units],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    blocks = done.stdout.decode("utf-8", "replace").split("\n\n")
    found = {}
    for properties in (dict(line.partition("=")[::2] for line in block.splitlines()) for block in blocks):
        state = _state(properties)
        agent_id = units.get(properties.get("Id", ""))
        if agent_id and state is not None:
            found[agent_id] = state
    return dict(sorted(found.items()))


def _state(properties: Mapping[str, str]) -> Optional[UnitState]:
    """Give a unit's state; None for an instance that exists only because it was asked for."""
    enabled = properties.get("UnitFileState", "") in ("enabled", "enabled-runtime")
    active = properties.get("ActiveState", "")
    if active in ("", "inactive") and not enabled:
        return None
    return UnitState(
        active=active,
        sub=properties.get("SubState", ""),
        enabled=enabled,
        status=properties.get("StatusText", ""),
        result=properties.get("Result", ""),
    )
