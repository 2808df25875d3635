"""The whole system as of now: agents, queues, decisions, money, health, and what needs care.

Used by `reasond status` and `reasond watchdog-ping`. Without the store it is what this host knows, and says so.
"""

import json
import math
from typing import Any, Dict, List, Mapping, Optional, Sequence

from msgspec import Struct

from reasond.adapters.units import UnitState, unit_of
from reasond.core.health import SILENT_HEARTBEATS
from reasond.core.trials import effect_of, plan_told, told
from reasond.doctor.examined import Examined
from reasond.errors import StoreError
from reasond.operator import money
from reasond.operator.decided import Decided, decided
from reasond.operator.host import Here, orders_in_words, standing
from reasond.operator.records import Records, Wanted
from reasond.points import Row
from reasond.report.span import Span
from reasond.settings import Settings
from reasond.switchback import MOST_BLOCK_S, Block, block_at
from reasond.topology import DEAD_QUEUES, MAIN_QUEUES

SECOND_NS = 1_000_000_000
DAY_S = 24 * 3600
"""As far back as an agent that went away is still missed."""
RATE_S = 300
"""Seconds over which messages a minute are counted."""
LAST_S = 3600
"""Seconds in which an agent's last decision is looked for."""
LAST_DECISIONS = 8
JUDGED_S = 2 * MOST_BLOCK_S
"""The monitor judges an experiment when a block has ended."""
ANALYSES = 5
"""Periods without an analysis after which the monitor counts as silent."""
UP, DEGRADED, AWAY, UNKNOWN = "up", "degraded", "away", "unknown"


class AgentState(Struct, frozen=True):
    """One agent. `state` is up, degraded, away or unknown (the store is away, and it isn't of this host).

    `line` is its own word on itself, `why` what is wrong; `orders` are the operator's.
    """

    agent: str
    kind: str
    state: str
    expected: bool = True
    why: str = ""
    line: str = ""
    brain: str = ""
    heartbeat_age_s: Optional[float] = None
    per_minute: Optional[float] = None
    orders: List[str] = []
    last: Optional[Decided] = None
    pid: Optional[int] = None
    unit: Optional[UnitState] = None


class QueueState(Struct, frozen=True):
    """One queue's newest sample: depth in messages, rates in messages/s (the broker's, some 10 s old)."""

    queue: str
    dead_letters: bool
    depth: Optional[int] = None
    publish_per_s: Optional[float] = None
    ack_per_s: Optional[float] = None
    consumers: Optional[int] = None
    age_s: Optional[float] = None


class Health(Struct, frozen=True):
    """The monitor's newest analysis."""

    status: str
    score: Optional[int]
    age_s: float
    decision_id: str
    text: str
    issues: List[str]
    suggestions: List[str]
    alerts: List[str]


class Trial(Struct, frozen=True):
    """A running experiment: by the orders of this host, or by the newest decisions, whose plan may be unreadable.

    `effects` are the monitor's last words on the plan, one for each measure.
    """

    plan: str
    arm: str
    block: Optional[int]
    until_ns: Optional[int]
    effects: List[str] = []


class System(Struct, frozen=True):
    """The whole. `care` is what somebody should see to, `missing` what couldn't be seen and why."""

    time_ns: int
    healthy: bool
    agents: List[AgentState]
    queues: List[QueueState]
    decisions: List[Decided]
    money: money.Money
    health: Optional[Health]
    experiment: Optional[Trial]
    care: List[str]
    missing: List[str]
    store_error: str = ""
    store_exit_status: int = 0


class Seen(Struct):
    """What the store tells; all empty where it is away."""

    beats: Dict[str, Row] = {}
    queues: List[Row] = []
    health: Optional[Row] = None
    last: Dict[str, Decided] = {}
    decisions: List[Decided] = []
    counts: Dict[str, int] = {}
    told: Optional[money.Told] = None
    effects: List[Row] = []


def read(records: Records, at_ns: int) -> Seen:
    """Ask the store for all that the screen shows. Raises StoreUnavailable or StoreRefused."""
    stop_ns = at_ns + 1
    day, last_hour = Span(at_ns - DAY_S * SECOND_NS, stop_ns), Span(at_ns - LAST_S * SECOND_NS, stop_ns)
    minutes, judged = Span(at_ns - RATE_S * SECOND_NS, stop_ns), Span(at_ns - JUDGED_S * SECOND_NS, stop_ns)
    decisions = [decided(row) for row in records.decided(last_hour, Wanted())]
    last: Dict[str, Decided] = {}
    for one in decisions:
        last.setdefault(one.agent, one)
    return Seen(
        beats=newest_by(records.latest("agent_health", day), "agent_id"),
        queues=list(newest_by(records.latest("queue_metrics", minutes), "queue").values()),
        health=next(iter(newest_by(records.latest("system_health", day), "").values()), None),
        last=last,
        decisions=decisions[:LAST_DECISIONS],
        counts=records.throughput(minutes),
        told=money.ask(records, at_ns),
        effects=records.latest("experiment", judged),
    )


def newest_by(rows: Sequence[Row], tag: str) -> Dict[str, Row]:
    """Give the newest row for each value of a tag; of all, where the tag is empty."""
    newest: Dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row.time_ns):
        newest[row.tags.get(tag, "")] = row
    return dict(sorted(newest.items()))


def system(records: Records, examined: Examined, here: Here, at_ns: int) -> System:
    """Look at everything as of a time (UTC ns); a store that is away is told, not raised."""
    try:
        return assemble(read(records, at_ns), examined, here, at_ns)
    except StoreError as err:
        return assemble(Seen(), examined, here, at_ns, err)


def assemble(seen: Seen, examined: Examined, here: Here, at_ns: int, problem: Optional[StoreError] = None) -> System:
    """Put together what the store and this host tell; `problem` is why the store tells nothing."""
    store_error = "" if problem is None else str(problem)
    settings = examined.settings
    account = money.account(seen.told, here, settings.budget, at_ns)
    agents = _agents(seen, settings, here, at_ns, bool(store_error))
    health = None if seen.health is None else _health(seen.health, at_ns)
    care = [*examined.problems, *_care(agents, account)]
    if not store_error:
        care += _care_of_health(health, _youngest_monitor_s(seen), settings)
    missing = _missing(here, store_error)
    if store_error:
        care.insert(0, store_error)
    return System(
        time_ns=at_ns,
        healthy=not care,
        agents=agents,
        queues=[] if store_error else _queues(seen.queues, at_ns),
        decisions=seen.decisions,
        money=account,
        health=health,
        experiment=_experiment(seen, settings, here, at_ns),
        care=care,
        missing=missing,
        store_error=store_error,
        store_exit_status=0 if problem is None else problem.exit_code,
    )


def _agents(seen: Seen, settings: Settings, here: Here, at_ns: int, blind: bool) -> List[AgentState]:
    expected = set(settings.monitor.expected_agents)
    names = expected | set(seen.beats) | set(here.agents) | set(here.units)
    return sorted(
        (_agent(name, seen, settings, here, at_ns, blind) for name in names),
        key=lambda one: (_ORDER.get(one.kind, len(_ORDER)), one.agent),
    )


_ORDER = {"publisher": 0, "consumer": 1, "monitor": 2}


def _agent(name: str, seen: Seen, settings: Settings, here: Here, at_ns: int, blind: bool) -> AgentState:
    beat, own, last = seen.beats.get(name), here.agents.get(name), seen.last.get(name)
    fields: Mapping[str, Any] = beat.fields if beat else {}
    age_s = (at_ns - beat.time_ns) / SECOND_NS if beat else None
    unit = here.units.get(name)
    state = _state(fields, age_s, settings.process.heartbeat_s)
    if state == AWAY and (blind or own is not None):
        state = _by_host(name, here, blind)
    return AgentState(
        agent=name,
        kind=name.rpartition("-")[0],
        state=state,
        expected=name in settings.monitor.expected_agents,
        why=_why(name, state, fields, age_s, unit, blind),
        line=fields.get("state", "") or (unit.status if unit else ""),
        brain=last.brain if last else fields.get("brain", ""),
        heartbeat_age_s=age_s,
        per_minute=None if blind else seen.counts.get(name, 0) * 60 / RATE_S,
        orders=orders_in_words(own.orders) if own else [],
        last=last,
        pid=own.pid if own else None,
        unit=unit,
    )


def _state(fields: Mapping[str, Any], age_s: Optional[float], heartbeat_s: float) -> str:
    if age_s is None or age_s > SILENT_HEARTBEATS * heartbeat_s:
        return AWAY
    return DEGRADED if fields.get("degraded") else UP


def _by_host(name: str, here: Here, blind: bool) -> str:
    """Tell of an agent without a fresh heartbeat: one that lives but can't tell the store is degraded."""
    own = here.agents.get(name)
    if own is None or own.closed:
        return UNKNOWN if blind else AWAY
    if own.pid is None:
        return AWAY
    return UP if blind else DEGRADED


def _why(
    name: str, state: str, fields: Mapping[str, Any], age_s: Optional[float], unit: Optional[UnitState], blind: bool
) -> str:
    if state == DEGRADED and fields.get("degraded_reason") and fields.get("degraded"):
        return str(fields["degraded_reason"])
    if state == DEGRADED:
        return "its process runs, and no heartbeat arrives in InfluxDB"
    if state != AWAY:
        return ""
    words = "its process doesn't run" if blind else _silence(age_s)
    if unit is None:
        return words
    look = f"; see: journalctl -u {unit_of(name)}" if unit.active == "failed" else ""
    return f"{words}; unit {unit.active} ({unit.sub}, {unit.result}){look}"


def _silence(age_s: Optional[float]) -> str:
    return "no heartbeat in the last day" if age_s is None else f"no heartbeat for {age_in_words(age_s)}"


def age_in_words(seconds: float) -> str:
    """Give a length of time in the unit that people would use."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _queues(rows: Sequence[Row], at_ns: int) -> List[QueueState]:
    by_name = {row.tags.get("queue", ""): row for row in rows}
    found = []
    for queue in (*MAIN_QUEUES, *DEAD_QUEUES):
        row = by_name.get(queue)
        fields: Mapping[str, Any] = row.fields if row else {}
        found.append(
            QueueState(
                queue=queue,
                dead_letters=queue in DEAD_QUEUES,
                depth=fields.get("depth"),
                publish_per_s=fields.get("publish_rate"),
                ack_per_s=fields.get("ack_rate"),
                consumers=fields.get("consumers"),
                age_s=(at_ns - row.time_ns) / SECOND_NS if row else None,
            )
        )
    return found


def _health(row: Row, at_ns: int) -> Health:
    fields = row.fields
    return Health(
        status=fields.get("status", ""),
        score=fields.get("system_health_score"),
        age_s=(at_ns - row.time_ns) / SECOND_NS,
        decision_id=fields.get("decision_id", ""),
        text=fields.get("ai_analysis_text", ""),
        issues=texts(fields.get("issues", "")),
        suggestions=texts(fields.get("suggestions", "")),
        alerts=texts(fields.get("alerts", "")),
    )


def texts(text: str) -> List[str]:
    """Read a list that is kept as JSON text; what is none is empty."""
    try:
        found = json.loads(text) if text else []
    except ValueError:
        return []
    return [str(one) for one in found] if isinstance(found, list) else []


def _experiment(seen: Seen, settings: Settings, here: Here, at_ns: int) -> Optional[Trial]:
    for name, own in here.agents.items():
        if not name.startswith("publisher-") or own.closed:
            continue
        try:
            found = standing(name, own.orders, settings.publisher.switchback, at_ns)
        except ValueError:
            continue
        if found.block is not None:
            return _trial(found.plan, found.block, seen)
    under = next((one for one in seen.last.values() if one.arm and one.kind == "publisher"), None)
    if under is None:
        return None
    plan = plan_told(under.plan)
    return Trial("", under.arm, under.block, None) if plan is None else _trial(under.plan, block_at(plan, at_ns), seen)


def _trial(plan: str, block: Block, seen: Seen) -> Trial:
    judged = newest_by([row for row in seen.effects if row.tags.get("plan") == plan], "measure")
    return Trial(plan, block.arm, block.number, block.end_ns, [told(effect_of(row)) for row in judged.values()])


def _care(agents: Sequence[AgentState], account: money.Money) -> List[str]:
    """Name what somebody should see to."""
    care = []
    for one in agents:
        if one.state == DEGRADED or (one.state == AWAY and one.expected):
            care.append(f"{one.agent} is {one.state}: {one.why}")
    if account.level != money.OK:
        care.append("budget {}: {}".format(account.level, " ".join(account.words)))
    return care


def _youngest_monitor_s(seen: Seen) -> float:
    """Give how long the monitor that started last has run; without end where there is none."""
    monitors = (row.fields for row in seen.beats.values() if row.tags.get("agent_type") == "monitor")
    return min((float(fields.get("uptime_s", math.inf)) for fields in monitors), default=math.inf)


def _care_of_health(health: Optional[Health], monitor_age_s: float, settings: Settings) -> List[str]:
    limit_s = ANALYSES * settings.monitor.period_s
    if health is None or health.age_s > limit_s:
        # One that has just started is given the time; one that is gone is told as an agent.
        if monitor_age_s < limit_s:
            return []
        ago = "in the last day" if health is None else f"for {age_in_words(health.age_s)}"
        return [f"the monitor gave no analysis {ago}"]
    if health.status == "healthy":
        return []
    score = "" if health.score is None else f", score {health.score} of 100"
    what = "; ".join(health.alerts or health.issues) or health.text
    return [f"the monitor says {health.status}{score}: {what}"]


def _missing(here: Here, store_error: str) -> List[str]:
    missing = []
    if store_error:
        missing.append(
            "InfluxDB tells nothing: no heartbeats, rates, depths, decisions, health and other hosts' spend; "
            "what stands here is what this host knows"
        )
    closed = [name for name, own in here.agents.items() if own.closed]
    if closed:
        missing.append(
            "{} of this host: their state is closed to this user; run this as root or as the agents' user".format(
                ", ".join(closed)
            )
        )
    if not here.agents and store_error:
        missing.append(f"no agent has its state under {here.looked_in}")
    return missing
