"""A scenario: a small TOML file that says who takes part and what happens to the system, and when.

Shipped ones lie in `scenarios/`; a user's own is named by its path. docs/simulation.md explains every key.
"""

import difflib
import pkgutil
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional, Set, Tuple, Union

import msgspec
from msgspec import Struct

from reasond.decisions import AgentType
from reasond.errors import InputError, SettingsError
from reasond.settings import Settings, load

SHIPPED: Tuple[str, ...] = (
    "calm",
    "rush-hour",
    "burst",
    "slow-consumer",
    "consumer-loss",
    "api-outage",
    "oscillation-trap",
    "priority-flood",
    "anomaly-storm",
    "ttl-pressure",
    "feed-replay",
    "steady-growth",
)
"""In the order of the docs."""
SUFFIX = ".toml"
MAX_AGENTS = 1000
KINDS: Tuple[AgentType, ...] = ("publisher", "consumer", "monitor")
IDENTITIES: Dict[str, str] = {"publisher": "PUBLISHER_ID", "consumer": "CONSUMER_ID", "monitor": "AGENT_ID"}

Course = Union[float, Tuple[float, float]]
"""A figure for the whole of a phase; two go evenly from the first at its begin to the second at its end."""


class Agents(Struct, frozen=True, forbid_unknown_fields=True):
    """How many of each kind take part."""

    publishers: int = 3
    consumers: int = 3
    monitors: int = 1


class Api(Struct, frozen=True, forbid_unknown_fields=True):
    """What the Claude API allows, all agents together; it concerns brains that ask it, or act as if they did."""

    requests_per_minute: int = 1000


class Feed(Struct, frozen=True, forbid_unknown_fields=True):
    """A file that one publisher replays in place of generated messages: so many lines, made by the generator."""

    lines: int
    publisher: str = "publisher-1"


class Phase(Struct, frozen=True, forbid_unknown_fields=True):
    """What is out of the ordinary between two times, minutes after the start.

    Of phases that overlap, loads add up, slowdowns multiply, and of the others the greatest counts.
    """

    begin_min: float
    end_min: float
    what: str = ""
    load_hz: Course = 0.0
    """Messages a second by clients other than the publishers."""
    load_even: bool = False
    """Evenly spaced; else at random times (a Poisson process)."""
    load_high_part: float = 0.1
    """The part of them with high priority."""
    handler_slowdown: Course = 1.0
    """Times the ordinary duration of the handler's work."""
    consumers_down: int = 0
    publishers_down: int = 0
    """So many, from the highest number down, are killed at the begin and started again at the end."""
    api_failing: float = 0.0
    """The part of the attempts to ask the API that fail."""
    api_slowdown: float = 1.0
    """Times the ordinary latency of the API."""

    def moves(self) -> bool:
        """Tell whether a figure changes within the phase."""
        return any(len(set(ends(course))) > 1 for course in (self.load_hz, self.handler_slowdown))


class Scenario(Struct, frozen=True, forbid_unknown_fields=True):
    """Who takes part, and what happens. Beyond its length the phases begin anew."""

    title: str
    about: str
    minutes: float = 60.0
    agents: Agents = Agents()
    api: Api = Api()
    feed: Optional[Feed] = None
    settings: Dict[str, Union[str, int, float]] = {}
    """Environment variables of all agents, as in docs/settings.md."""
    agent_settings: Dict[str, Dict[str, Union[str, int, float]]] = {}
    """The same for one agent, by its identity."""
    phase: Tuple[Phase, ...] = ()
    name: str = ""

    def environment(self, agent_id: str, kind: str) -> Dict[str, str]:
        """Give the environment of one agent."""
        chosen = {**self.settings, **self.agent_settings.get(agent_id, {}), IDENTITIES[kind]: agent_id}
        return {name: str(value) for name, value in chosen.items()}

    def identities(self) -> List[Tuple[str, AgentType]]:
        """Give every agent's identity and kind."""
        counts = (self.agents.publishers, self.agents.consumers, self.agents.monitors)
        return [(f"{kind}-{n}", kind) for kind, count in zip(KINDS, counts) for n in range(1, count + 1)]

    def agent(self, agent_id: str, kind: AgentType, environ: Optional[Dict[str, str]] = None) -> Settings:
        """Give one agent's settings; `environ` stands above the scenario's own. Raises SettingsError."""
        expected = ",".join(identity for identity, _ in self.identities())
        base = {"MONITOR_EXPECTED_AGENTS": expected, "BUDGET_AGENTS": str(len(self.identities()))}
        return load({**base, **self.environment(agent_id, kind), **(environ or {})}, kind)


def find(name: str) -> Scenario:
    """Give the shipped scenario of that name, or the one in the file of that path.

    Raises InputError that says what is wrong with it, and where.
    """
    if name in SHIPPED:
        return packaged(f"scenarios/{name}{SUFFIX}")
    if not name.endswith(SUFFIX):
        near = difflib.get_close_matches(name, SHIPPED, n=1)
        hint = f"; did you mean {near[0]}?" if near else f": {', '.join(SHIPPED)}"
        raise InputError(f"there is no scenario {name!r}{hint} (your own: the path of a {SUFFIX} file)")
    try:
        return read(Path(name).read_bytes(), Path(name).stem, where=name)
    except OSError as err:
        raise InputError(f"can't read the scenario {name}: {err.strerror}") from err


def packaged(file: str) -> Scenario:
    """Give the scenario of a file that ships with the package, by its path within it."""
    data = pkgutil.get_data("reasond.simulation", file)
    if data is None:
        raise FileNotFoundError(f"reasond.simulation has no {file}")
    return read(data, Path(file).stem)


def read(data: bytes, name: str, where: str = "") -> Scenario:
    """Read a scenario's text and check it; `where` is named in what is raised.

    Raises InputError.
    """
    where = where or name
    try:
        scenario = msgspec.toml.decode(data, type=Scenario)
    except ImportError as err:
        raise InputError("this Python can't read TOML by itself: pip install 'reasond[simulate]'") from err
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as err:
        raise InputError(f"{where}: {err}") from err
    scenario = msgspec.structs.replace(scenario, name=name)
    problems = list(_problems(scenario))
    if problems:
        raise InputError("\n".join(f"{where}: {problem}" for problem in problems))
    return scenario


def _problems(scenario: Scenario) -> Iterable[str]:
    if not 0 < scenario.minutes <= 7 * 24 * 60:
        yield "minutes must be more than 0 and at most a week"
    counts = scenario.agents
    if min(counts.publishers, counts.consumers, counts.monitors) < 0 or len(scenario.identities()) > MAX_AGENTS:
        yield f"agents: each count must be 0 or more, all together at most {MAX_AGENTS}"
        return
    for number, phase in enumerate(scenario.phase, 1):
        for problem in _phase_problems(phase, scenario):
            yield f"phase {number}{f' ({phase.what})' if phase.what else ''}: {problem}"
    yield from _settings_problems(scenario)


def _phase_problems(phase: Phase, scenario: Scenario) -> Iterable[str]:
    if not 0 <= phase.begin_min < phase.end_min <= scenario.minutes:
        yield f"needs 0 <= begin_min < end_min <= minutes ({scenario.minutes:g})"
    checks: Tuple[Tuple[str, Callable[[float], bool], str], ...] = (
        ("load_hz", lambda value: 0 <= value <= 1000, "0 to 1000"),
        ("load_high_part", lambda value: 0 <= value <= 1, "0 to 1"),
        ("handler_slowdown", lambda value: 0 < value <= 1000, "above 0, up to 1000"),
        ("consumers_down", lambda value: 0 <= value <= scenario.agents.consumers, "at most the consumers there are"),
        ("publishers_down", lambda value: 0 <= value <= scenario.agents.publishers, "at most the publishers there are"),
        ("api_failing", lambda value: 0 <= value <= 1, "0 to 1"),
        ("api_slowdown", lambda value: 0 < value <= 1000, "above 0, up to 1000"),
    )
    for name, fits, bounds in checks:
        if not all(fits(value) for value in ends(getattr(phase, name))):
            yield f"{name} must be {bounds}"


def _settings_problems(scenario: Scenario) -> Iterable[str]:
    known = dict(scenario.identities())
    feeder = () if scenario.feed is None else (scenario.feed.publisher,)
    for agent_id in (*scenario.agent_settings, *feeder):
        if agent_id not in known:
            yield f"there is no agent {agent_id}"
    told: Set[str] = set()
    for agent_id, kind in known.items():
        try:
            scenario.agent(agent_id, kind)
        except SettingsError as err:
            told.update(err.problems)
    yield from sorted(told)


def ends(course: Any) -> Tuple[float, float]:
    """Give a course's value at the begin and at the end of its phase."""
    return tuple(course) if isinstance(course, (tuple, list)) else (course, course)
