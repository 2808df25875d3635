"""Policies: what the stand-in decides, computed from a prompt's text alone.

Used by server, which gives a policy nothing but that text. `Sensible` is the model one hopes for; `Inverted`
does harm under load, so that an acceptance run which passes with it proves itself worthless.
"""

import math
import re
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple, Type

from tests.standin import prompt as reading

Answer = Dict[str, Any]

#: The specification's intervals, in seconds.
DEFAULT_FICTIONAL_S = 5
DEFAULT_NON_FICTIONAL_S = 10

#: Sets of patterns; a message that matches every pattern of one set contradicts itself.
CONTRADICTIONS: Tuple[Tuple[str, ...], ...] = (
    (r"\b(?:destroyed|burn(?:ed|t)|pulped)\b", r"\b(?:borrowed|on (?:the|its) shelf|checked out|lent)\b"),
    (r"\breturned\b", r"\bbefore (?:it was|being) (?:ever )?(?:borrowed|lent|checked out)\b"),
    (r"\b(?:never left|has not left|hasn't left)\b", r"\b(?:arrived (?:at|in)|in transit|abroad)\b"),
    (r"\bcontradict",),
)


class Band(NamedTuple):
    """From which value a metric counts as a warning and as critical, for names that match a pattern."""

    pattern: str
    warning: float
    critical: float


BANDS: Tuple[Band, ...] = (
    Band(r"(?:^|[._-])depths?(?:$|[._-](?:fictional|non[-_]?fictional|priority)$)", 20, 60),
    Band(r"error_?rate|failure_?rate", 0.05, 0.25),
    Band(r"(?:api_)?(?:failures|errors)(?:$|_count$|_total$)", 3, 20),
    Band(r"expired|rejected|dead_?letter", 5, 50),
    Band(r"(?:agents?_)?(?:down|missing|silent)$|missing_agents", 1, 3),
)


class Policy:
    """Decides from a prompt's text; one method per kind of agent.

    Returns, from `answer`, the answer's keys and values; a prompt with no known task gets an answer that no
    kind of agent accepts.
    """

    name = "policy"

    def answer(self, prompt: str) -> Answer:
        """Return the answer to a prompt."""
        kind = reading.kind_of(prompt)
        publisher = reading.publisher_figures(prompt) if kind == "publisher" else None
        if publisher is not None:
            return self.publisher(publisher)
        consumer = reading.consumer_figures(prompt) if kind == "consumer" else None
        if consumer is not None:
            return self.consumer(consumer)
        monitor = reading.monitor_figures(prompt) if kind == "monitor" else None
        if monitor is not None:
            return self.monitor(monitor)
        return {"reasoning": "The prompt names no task known here.", "action": "unknown", "confidence": 0.0}

    def publisher(self, figures: reading.PublisherFigures) -> Answer:
        """Return a publisher's decision."""
        raise NotImplementedError

    def consumer(self, figures: reading.ConsumerFigures) -> Answer:
        """Return a consumer's decision."""
        raise NotImplementedError

    def monitor(self, figures: reading.MonitorFigures) -> Answer:
        """Return a monitor's verdict."""
        raise NotImplementedError


class Sensible(Policy):
    """Slows down under load, speeds up when queues are nearly empty, flags visible contradictions.

    Given: `low`, `high` and `extreme` queue depths in messages, `batch_at` the depth from which consumers
    batch, `contradictions` as sets of patterns, `bands` for the monitor.
    """

    name = "sensible"

    def __init__(
        self,
        *,
        low: float = 5,
        high: float = 15,
        extreme: float = 100,
        batch_at: float = 20,
        contradictions: Sequence[Sequence[str]] = CONTRADICTIONS,
        bands: Sequence[Sequence[Any]] = BANDS,
    ) -> None:
        self.low = low
        self.high = high
        self.extreme = extreme
        self.batch_at = batch_at
        self.contradictions = tuple(tuple(cues) for cues in contradictions)
        self.bands = tuple(Band(*band) for band in bands)

    def publisher(self, figures: reading.PublisherFigures) -> Answer:
        """Return a rate decision by the deeper of the two queues."""
        depths = [depth for depth in (figures.fictional_depth, figures.nonfictional_depth) if depth is not None]
        if not depths:
            return self._rate("continue", figures, self._current(figures), "No depth is known, so hold.", 0.3)
        deepest = max(depths)
        if deepest >= self.extreme:
            return self._rate("pause", figures, self._current(figures), "A queue is flooded.", 0.95)
        if deepest >= self.high:
            return self.under_load(figures)
        if deepest <= self.low:
            return self.when_empty(figures)
        return self._rate("continue", figures, self._current(figures), "Depths are in their normal range.", 0.8)

    def under_load(self, figures: reading.PublisherFigures) -> Answer:
        """Return the decision at high depth: the pressed queues' intervals grow by a half, or double."""
        current = self._current(figures)
        depths = (figures.fictional_depth, figures.nonfictional_depth)
        slower = [
            self._slower(depth, interval) if depth is not None and depth >= self.high else interval
            for depth, interval in zip(depths, current)
        ]
        return self._rate("slow_down", figures, (slower[0], slower[1]), "A queue grows faster than it drains.", 0.85)

    def when_empty(self, figures: reading.PublisherFigures) -> Answer:
        """Return the decision at low depth: intervals above their default come back towards it."""
        current = self._current(figures)
        defaults = (DEFAULT_FICTIONAL_S, DEFAULT_NON_FICTIONAL_S)
        faster = [
            max(default, math.floor(interval / 1.5)) if interval > default else interval
            for default, interval in zip(defaults, current)
        ]
        stopped = figures.fictional_interval is None and figures.nonfictional_interval is None
        if tuple(faster) == current and not stopped:
            return self._rate("continue", figures, current, "Queues are nearly empty at the usual rate.", 0.8)
        return self._rate("speed_up", figures, (faster[0], faster[1]), "Queues are nearly empty.", 0.85)

    def consumer(self, figures: reading.ConsumerFigures) -> Answer:
        """Return how to handle a message: flag what contradicts itself, batch when the queue is deep."""
        if self.contradicts(figures.message):
            return _handling("flag_anomaly", "The message contradicts itself.", 0.9)
        depth = figures.depth
        if depth is not None and depth >= self.batch_at and figures.priority != "high":
            return _handling("batch", f"The queue holds {depth:g} messages, batching drains it.", 0.8)
        return _handling("process", "Nothing speaks against handling it now.", 0.8)

    def contradicts(self, message: str) -> bool:
        """Tell whether every pattern of one set of cues stands in the message."""
        return any(all(re.search(cue, message, re.I) for cue in cues) for cues in self.contradictions)

    def monitor(self, figures: reading.MonitorFigures) -> Answer:
        """Return a verdict by the worst number found."""
        numbers = dict(figures.numbers)
        if "agents.expected" in numbers and "agents.alive" in numbers:
            numbers["agents.missing"] = numbers["agents.expected"] - numbers["agents.alive"]
        found = [(self._level(name, value), name, value) for name, value in sorted(numbers.items())]
        worst = max([level for level, _, _ in found], default=0)
        issues = [f"{name} is {value:g}" for level, name, value in found if level]
        alerts = [f"{name} is critical at {value:g}" for level, name, value in found if level > 1]
        return {
            "reasoning": f"{len(issues)} of {len(found)} figures are out of range.",
            "status": ("healthy", "warning", "critical")[worst],
            "issues": issues,
            "suggestions": [f"Look into {name}" for level, name, _ in found if level],
            "alerts": alerts,
            "confidence": 0.8 if found else 0.2,
        }

    def _level(self, name: str, value: float) -> int:
        for band in self.bands:
            if re.search(band.pattern, name, re.I):
                return 2 if value >= band.critical else 1 if value >= band.warning else 0
        return 0

    def _slower(self, depth: float, interval: int) -> int:
        return math.ceil(interval * (2 if depth >= 2 * self.high else 1.5))

    @staticmethod
    def _current(figures: reading.PublisherFigures) -> Tuple[int, int]:
        fictional = figures.fictional_interval or DEFAULT_FICTIONAL_S
        non_fictional = figures.nonfictional_interval or DEFAULT_NON_FICTIONAL_S
        return max(1, round(fictional)), max(1, round(non_fictional))

    @staticmethod
    def _rate(
        action: str,
        figures: reading.PublisherFigures,
        intervals: Tuple[int, int],
        why: str,
        confidence: float,
    ) -> Answer:
        depths = f"fictional={_shown(figures.fictional_depth)}, non-fictional={_shown(figures.nonfictional_depth)}"
        return {
            "reasoning": f"{why} Depths: {depths}.",
            "action": action,
            "fictional_interval": intervals[0],
            "nonfictional_interval": intervals[1],
            "confidence": confidence,
        }


class Inverted(Sensible):
    """Speeds up under load and slows down when queues are empty: the harm that acceptance must notice."""

    name = "inverted"

    def publisher(self, figures: reading.PublisherFigures) -> Answer:
        """Return the opposite of a sensible rate decision; it never pauses."""
        depths = [depth for depth in (figures.fictional_depth, figures.nonfictional_depth) if depth is not None]
        current = self._current(figures)
        if depths and max(depths) >= self.high:
            faster = (max(1, current[0] // 2), max(1, current[1] // 2))
            return self._rate("speed_up", figures, faster, "Queues are deep, so publish more.", 0.85)
        if depths and max(depths) <= self.low:
            slower = (min(60, current[0] * 2), min(60, current[1] * 2))
            return self._rate("slow_down", figures, slower, "Queues are empty, so publish less.", 0.85)
        return self._rate("continue", figures, current, "Hold.", 0.8)


POLICIES: Mapping[str, Type[Sensible]] = {"sensible": Sensible, "inverted": Inverted}


def policy_from(wanted: Any) -> Policy:
    """Return a policy from what the control endpoint takes.

    Given: a policy, its name, or {"name": ..., and constructor arguments}; None is `Sensible`.
    Raises ValueError for an unknown name or argument.
    """
    if wanted is None or isinstance(wanted, Policy):
        return wanted or Sensible()
    options = {"name": wanted} if isinstance(wanted, str) else dict(wanted)
    name = options.pop("name", "sensible")
    if name not in POLICIES:
        raise ValueError("policy: {!r} is none of {}".format(name, ", ".join(sorted(POLICIES))))
    try:
        return POLICIES[name](**options)
    except TypeError as err:
        raise ValueError(f"policy {name}: {err}") from err


def _handling(action: str, why: str, confidence: float) -> Answer:
    return {"reasoning": why, "action": action, "confidence": confidence}


def _shown(depth: Optional[float]) -> str:
    return "unknown" if depth is None else f"{depth:g}"
