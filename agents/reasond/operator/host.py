"""What this host knows of its agents without any service: processes, orders, budget files, spools, units."""

import os
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from msgspec import Struct

from reasond.adapters.state import STOP_SPENDING, StateDir
from reasond.adapters.units import RUNNING, UnitState, unit_states
from reasond.brains.factory import BUDGET_FILE
from reasond.core.agent import Control
from reasond.doctor.examined import Examined
from reasond.doctor.host import spent_by_file, spool_bytes
from reasond.paths import state_base
from reasond.switchback import Block, block_at, parse


class AgentHere(Struct, frozen=True):
    """One agent of this host. `closed`: this user may not read its state, so that the rest is unknown.

    `spent` is what its budget file counts for the UTC hour and day, USD; a call under way counts with its worst case.
    """

    agent: str
    directory: str
    closed: bool = False
    pid: Optional[int] = None
    orders: Control = Control()
    spent: Tuple[float, float] = (0.0, 0.0)
    spool_bytes: int = 0


class Here(Struct, frozen=True):
    """A host: its agents, their units, and whether an operator stopped all spending here."""

    agents: Dict[str, AgentHere]
    units: Dict[str, UnitState]
    spending_stopped: bool
    looked_in: str


class Standing(Struct, frozen=True):
    """A publisher's experiment as it stands, and the block it is in; an empty plan is none."""

    agent_id: str
    plan: str
    block: Optional[Block]


def look(examined: Examined, wall_ns: int, running: Path = RUNNING) -> Here:
    """Look at this host as of a time (UTC ns)."""
    base = state_base(examined.settings.process, examined.environ)
    agents = {agent: _agent(agent, path, wall_ns) for agent, path in examined.agents().items() if path.is_dir()}
    asked = sorted({*agents, *examined.settings.monitor.expected_agents})
    return Here(agents, unit_states(asked, running), (base / STOP_SPENDING).exists(), str(base))


def _agent(agent: str, path: Path, wall_ns: int) -> AgentHere:
    if not os.access(str(path), os.R_OK | os.X_OK):
        return AgentHere(agent, str(path), closed=True)
    state = StateDir(path)
    return AgentHere(
        agent=agent,
        directory=str(path),
        pid=state.holder_pid(),
        orders=state.control(),
        spent=spent_by_file(path / BUDGET_FILE, wall_ns),
        spool_bytes=spool_bytes(path / "spool"),
    )


def standing(agent_id: str, orders: Control, setting: str, wall_ns: Optional[int] = None) -> Standing:
    """Give a publisher's experiment: its order's, else that of the setting. Raises ValueError for a wrong plan."""
    text = setting if orders.switchback is None else orders.switchback
    plan = parse(text)
    at_ns = time.time_ns() if wall_ns is None else wall_ns
    return Standing(agent_id, text, None if plan is None else block_at(plan, at_ns))


def orders_in_words(orders: Control) -> List[str]:
    """Give the operator's standing orders, one sentence each, with what ends them."""
    words = []
    if orders.hold:
        words.append("held by the operator (ends with: resume)")
    if orders.shadow:
        words.append("in shadow by the operator: it asks and records, and doesn't act (ends with: act)")
    return words


def known_agents(examined: Examined) -> Sequence[str]:
    """Give the names of the agents of this host and of those that are expected, for completion and errors."""
    return sorted({*examined.agents(), *examined.settings.monitor.expected_agents})
