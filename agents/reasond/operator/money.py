"""What the agents spent, what they may spend, and what stops when; from InfluxDB and this host's budget files."""

from typing import Dict, List, Mapping, Optional, Tuple

from msgspec import Struct

from reasond.core.budget import limits_from
from reasond.flux import DAY_NS, HOUR_NS, spend_bounds
from reasond.operator.host import Here
from reasond.operator.records import Records
from reasond.points import Row
from reasond.report.span import Span, told
from reasond.settings import BudgetSettings

SECOND_NS = 1_000_000_000
PACE_S = 900
"""Seconds over which the present pace is taken: some hundred calls at the default rates."""
LEAST_PACE_S = 120
"""Seconds: less after midnight and the pace is that of a few calls."""
SPENT, WARNING, OK, STOPPED = "spent", "warning", "ok", "stopped"

Both = Tuple[float, float]
"""USD in the UTC hour and in the UTC day."""


class Window(Struct, frozen=True):
    """The system's hour or day: dollars spent, the limit, the part of it, and where the present pace leads.

    `projected_usd` is what would be spent at its end, `reached_at` when the limit would be; None where the pace isn't
    known, or doesn't reach it.
    """

    spent_usd: float
    limit_usd: float
    part: Optional[float]
    ends: str
    projected_usd: Optional[float] = None
    reached_at: Optional[str] = None


class AgentSpend(Struct, frozen=True):
    """One agent's spend and its own limits, USD; `source` is `this host` (its budget file) or `influxdb`.

    The part is of the system's limit of the hour or day.
    """

    agent: str
    hour_usd: float
    day_usd: float
    limit_hour_usd: float
    limit_day_usd: float
    hour_part: Optional[float]
    day_part: Optional[float]
    level: str
    source: str


class Money(Struct, frozen=True):
    """The whole: `level` is ok, warning, spent or stopped; `whole` tells whether every host's agents are in it."""

    time: str
    level: str
    hour: Window
    day: Window
    pace_usd_per_hour: Optional[float]
    agents: List[AgentSpend]
    whole: bool
    words: List[str]


class Told(Struct, frozen=True):
    """What the store tells of money: by agent what was spent, each agent's newest `budget` point, and the pace."""

    spent: Dict[str, Both]
    points: Dict[str, Row]
    pace_usd_per_hour: Optional[float]


def ask(records: Records, at_ns: int) -> Told:
    """Ask the store. Raises StoreUnavailable or StoreRefused."""
    _, day_ns, after_ns = spend_bounds(at_ns)
    spent = records.spent(at_ns)
    points = {row.tags.get("agent_id", ""): row for row in records.latest("budget", Span(day_ns, after_ns))}
    return Told(spent, points, _pace(records, spent, at_ns, day_ns))


def _pace(records: Records, spent: Mapping[str, Both], at_ns: int, day_ns: int) -> Optional[float]:
    since_ns = max(day_ns, at_ns - PACE_S * SECOND_NS)
    elapsed_s = (at_ns - since_ns) / SECOND_NS
    if elapsed_s < LEAST_PACE_S:
        return None
    before = records.spent(since_ns) if since_ns > day_ns else {}
    more = sum(day for _, day in spent.values()) - sum(day for _, day in before.values())
    return max(0.0, more) * 3600 / elapsed_s


def account(told_by_store: Optional[Told], here: Here, budget: BudgetSettings, at_ns: int) -> Money:
    """Put both sources together as of a time (UTC ns); `told_by_store` is None where the store is away."""
    agents = _agents(told_by_store, here, budget)
    pace = told_by_store.pace_usd_per_hour if told_by_store else None
    hour = _window(sum(one.hour_usd for one in agents), budget.usd_per_hour, pace, at_ns, HOUR_NS)
    day = _window(sum(one.day_usd for one in agents), budget.usd_per_day, pace, at_ns, DAY_NS)
    level = STOPPED if here.spending_stopped else _level((hour, day), agents, budget.warn_at)
    whole = told_by_store is not None
    return Money(told(at_ns) + " UTC", level, hour, day, pace, agents, whole, _words(level, hour, day, agents, whole))


def _agents(told_by_store: Optional[Told], here: Here, budget: BudgetSettings) -> List[AgentSpend]:
    spent = dict(told_by_store.spent) if told_by_store else {}
    points = told_by_store.points if told_by_store else {}
    own = {name: one.spent for name, one in here.agents.items() if any(one.spent)}
    for name, (hour_usd, day_usd) in own.items():
        # The file is written before each call, the point after it: the greater is the newer, or a file was lost.
        known = spent.get(name, (0.0, 0.0))
        spent[name] = (max(hour_usd, known[0]), max(day_usd, known[1]))
    for name in here.agents:
        spent.setdefault(name, (0.0, 0.0))
    limits = limits_from(budget)
    found = []
    for agent in sorted(spent):
        hour_usd, day_usd = spent[agent]
        fields = points[agent].fields if agent in points else {}
        found.append(
            AgentSpend(
                agent=agent,
                hour_usd=hour_usd,
                day_usd=day_usd,
                limit_hour_usd=fields.get("limit_hour_usd", limits.agent_hour_usd),
                limit_day_usd=fields.get("limit_day_usd", limits.agent_day_usd),
                hour_part=_part(hour_usd, budget.usd_per_hour),
                day_part=_part(day_usd, budget.usd_per_day),
                level=fields.get("level", OK),
                source="this host" if agent in own else "influxdb",
            )
        )
    return found


def _window(spent: float, limit: float, pace: Optional[float], at_ns: int, length_ns: int) -> Window:
    end_ns = at_ns - at_ns % length_ns + length_ns
    left_h = (end_ns - at_ns) / HOUR_NS
    projected = None if pace is None else spent + pace * left_h
    reached_at = None
    if pace and projected is not None and spent < limit <= projected:
        reached_at = told(at_ns + int((limit - spent) / pace * HOUR_NS)) + " UTC"
    return Window(spent, limit, _part(spent, limit), told(end_ns) + " UTC", projected, reached_at)


def _part(spent: float, limit: float) -> Optional[float]:
    return spent / limit if limit > 0 else None


def _level(windows: Tuple[Window, Window], agents: List[AgentSpend], warn_at: float) -> str:
    levels = {one.level for one in agents if one.hour_usd or one.day_usd}
    if SPENT in levels or any(window.spent_usd >= window.limit_usd for window in windows):
        return SPENT
    if STOPPED in levels:
        return STOPPED
    warned = any(window.part is not None and window.part >= warn_at for window in windows)
    return WARNING if warned or WARNING in levels else OK


def _words(level: str, hour: Window, day: Window, agents: List[AgentSpend], whole: bool) -> List[str]:
    """Say what stops when, and what is missing from the figures."""
    words = []
    for name, window in (("hour", hour), ("day", day)):
        if window.spent_usd >= window.limit_usd:
            words.append(f"The {name}'s limit is reached: the rules decide until {window.ends}.")
        elif window.reached_at:
            words.append(
                f"At the present pace the {name}'s limit is reached at {window.reached_at}; "
                f"from then on the rules decide until {window.ends}."
            )
    words += _words_on_agents(level, agents, hour.ends)
    if not words and whole:
        words.append("At the present pace no limit is reached: nothing stops.")
    if not whole:
        words.append("InfluxDB is away: only this host's agents are counted, and each keeps to its share.")
    return words


def _words_on_agents(level: str, agents: List[AgentSpend], hour_ends: str) -> List[str]:
    words = []
    if level == STOPPED:
        words.append("An operator stopped spending: the rules decide until reasond control all spend.")
    short = [one.agent for one in agents if one.level == SPENT]
    if short:
        words.append(
            "{}: the next call's worst case doesn't fit any more; the rules decide there, "
            "until {} at the earliest.".format(", ".join(short), hour_ends)
        )
    return words
