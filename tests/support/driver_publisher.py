"""A publisher's core in a world of its own: a heap of calls, a broker that confirms, a feed of lines.

Used by the tests of the publisher. A run can be cut off after any number of carried-out effects, as a process
that dies, and gone on with from the saved state.
"""

import heapq
import itertools
import random
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from reasond.content.ledger import Ledger, Line
from reasond.content.source import Item, hashed_id
from reasond.core.agent import Control
from reasond.core.effects import (
    Amend,
    Answer,
    Ask,
    Declare,
    Effect,
    Failure,
    Look,
    Now,
    Publish,
    Relink,
    Rows,
    Save,
    Say,
    Wake,
)
from reasond.core.publisher import PublisherCore
from reasond.core.views import QueueSample, RateView, WindowView
from reasond.decisions import RateDecision
from reasond.messages import Coordinates, Payload, decode
from reasond.points import Row, Stamper
from reasond.settings import PublisherSettings

START_NS = 1_767_225_600_000_000_000
MAIN = ("priority", "fictional", "non-fictional")


class Died(Exception):
    """The process was cut off here."""


class LineFeed:
    """A feed of lines in memory, on the real ledger: what the real feed is without its file and thread."""

    def __init__(self, genres: Sequence[str], state: Any) -> None:
        """Offer line n (from 0) under genre `genres[n]`; go on from a state."""
        self.ledger = Ledger(state)
        self.queues: Dict[str, List[Item]] = {"fictional": [], "non-fictional": []}
        for n, genre in enumerate(genres):
            if n < self.ledger.position.offset:
                continue
            seq = self.ledger.add(Line(1, 7, n, n + 1, n + 1, b""))
            if seq is not None:
                self.queues[genre].append(item(genre, f"book_{n}", position=seq, message_id=line_id(n)))

    def take(self, genre: str, now: Now) -> Optional[Item]:
        return self.queues[genre].pop(0) if self.queues[genre] else None

    def confirmed(self, position: int) -> Any:
        self.ledger.done(position)
        return self.ledger.state()

    def configure(self, settings: Any) -> None:
        pass


class Endless:
    """A source that always has something, numbered."""

    def __init__(self) -> None:
        self.made = 0
        self.settings: Any = None

    def take(self, genre: str, now: Now) -> Item:
        self.made += 1
        return item(genre, f"book_{self.made}")

    def confirmed(self, position: int) -> None:
        raise AssertionError("no position was given")

    def configure(self, settings: Any) -> None:
        self.settings = settings


def line_id(n: int) -> str:
    return hashed_id(f"line {n}")


def item(genre: str, entity_id: str, **more: Any) -> Item:
    payload = Payload(entity_id, "location_update", Coordinates(49.262, -122.781), "somewhere")
    return Item(genre=genre, payload=payload, **dict({"ttl_seconds": 30}, **more))  # type: ignore[arg-type]


def settings(**changes: Any) -> PublisherSettings:
    return PublisherSettings(**dict({"agent_id": "publisher-1"}, **changes))


def answer(action: str, fictional: Any = None, nonfictional: Any = None, **more: Any) -> Answer:
    why = f"because of {action}"
    decision = RateDecision(action, why, fictional, nonfictional, 0.9)  # type: ignore[arg-type]
    return Answer(decision=decision, **dict({"brain": "claude", "model": "m-1", "prompt_version": "1"}, **more))


def sample(at_ns: int, queue: str, depth: Optional[int], **more: Any) -> QueueSample:
    return QueueSample(at_ns, queue, depth, **more)


Brain = Callable[[Ask], Any]


class World:
    """Time, the broker and the store around one core; carries effects out in order."""

    def __init__(
        self,
        *,
        changes: Optional[Dict[str, Any]] = None,
        source: Optional[Any] = None,
        saved: Optional[Dict[str, Any]] = None,
        brain: Optional[Brain] = None,
        die_after: Optional[int] = None,
        at: float = 0.0,
        seed: int = 1,
    ) -> None:
        """Begin; `die_after` so many effects raises Died, with everything before carried out."""
        self.saved = saved if saved is not None else {}
        self.settings = settings(**(changes or {}))
        self.source = source if source is not None else Endless()
        self.core = PublisherCore(self.settings, self.source, random.Random(seed), dict(self.saved), Stamper())
        self.brain = brain or (lambda ask: None)
        self.depths: Callable[[int], int] = lambda at_ns: 0
        self.view: Optional[Any] = None
        self.confirm_after: Optional[float] = 0.01
        self.view_after: Optional[float] = 0.02
        self.outcome = "ok"
        self.up = False
        self.mono = at
        self.effects: List[Tuple[float, Effect]] = []
        self.confirmed: List[Publish] = []
        self._die_after = die_after
        self._heap: List[Tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._wakes: Dict[str, int] = {}

    # Time

    def now(self) -> Now:
        return Now(self.mono, START_NS + int(self.mono * 1e9))

    def at(self, mono: float, call: Callable[[], None]) -> int:
        number = next(self._order)
        heapq.heappush(self._heap, (mono, number, call))
        return number

    def run(self, until: float) -> "World":
        while self._heap and self._heap[0][0] <= until:
            due, _, call = heapq.heappop(self._heap)
            self.mono = max(self.mono, due)
            call()
        self.mono = max(self.mono, until)
        return self

    # Events

    def event(self, name: str, *args: Any) -> List[Effect]:
        effects = getattr(self.core, name)(self.now(), *args)
        for effect in effects:
            if self._die_after is not None:
                if self._die_after == 0:
                    raise Died()
                self._die_after -= 1
            self.effects.append((self.mono, effect))
            self.carry(effect)
        return effects

    def start(self, linked: bool = True) -> "World":
        self.event("on_start")
        if linked:
            self.link(True)
        return self

    def link(self, up: bool, blocked: bool = False) -> List[Effect]:
        self.up = up
        return self.event("on_link", "publish", up, blocked)

    def control(self, **orders: Any) -> List[Effect]:
        return self.event("on_control", Control(**orders))

    # Effects

    def carry(self, effect: Effect) -> None:
        if isinstance(effect, Wake):
            self._wake(effect)
        elif isinstance(effect, Publish):
            self._publish(effect)
        elif isinstance(effect, Save):
            self.saved[effect.key] = effect.state
            self.at(self.mono + 0.001, lambda: self.event("on_saved", effect.ref) and None)
        elif isinstance(effect, Look):
            view = self._look(effect)
            if self.view_after is not None:
                self.at(self.mono + self.view_after, lambda: self.event("on_view", effect.ref, view) and None)
        elif isinstance(effect, Ask):
            given = self.brain(effect)
            if given is not None:
                self.at(self.mono + 1.0, lambda: self.event("on_decision", effect.ask_id, given) and None)
        else:
            assert isinstance(effect, (Rows, Amend, Say, Relink, Declare)), effect

    def _wake(self, effect: Wake) -> None:
        self._wakes.pop(effect.name, None)
        if effect.at is None:
            return

        def ring() -> None:
            if self._wakes.get(effect.name) == number:
                del self._wakes[effect.name]
                self.event("on_wake", effect.name)

        number = self.at(max(effect.at, self.mono), ring)
        self._wakes[effect.name] = number

    def _publish(self, effect: Publish) -> None:
        assert self.up, "published on a link that is down"
        if self.confirm_after is not None:
            outcome = self.outcome
            self.at(self.mono + self.confirm_after, lambda: self.confirm(effect, outcome))

    def confirm(self, effect: Publish, outcome: str = "ok") -> None:
        if not self.up:
            return
        if outcome == "ok":
            self.confirmed.append(effect)
        self.event("on_confirmed", effect.ref, outcome)

    def _look(self, effect: Look) -> Any:
        if self.view is not None:
            return self.view
        start, stop = effect.start_ns, effect.stop_ns
        if effect.view == "rate":
            stop = self.now().wall_ns
            start = stop - 60_000_000_000
        first = -(-start // 5_000_000_000) * 5_000_000_000
        samples = tuple(
            sample(at_ns, queue, self.depths(at_ns)) for at_ns in range(first, stop, 5_000_000_000) for queue in MAIN
        )
        return RateView(samples, "influxdb") if effect.view == "rate" else WindowView(samples)

    # What came of it

    def of(self, kind: Any) -> List[Any]:
        return [effect for _, effect in self.effects if isinstance(effect, kind)]

    def times(self, kind: Any) -> List[float]:
        return [at for at, effect in self.effects if isinstance(effect, kind)]

    def rows(self, measurement: str) -> List[Row]:
        return [row for rows in self.of(Rows) for row in rows.rows if row.measurement == measurement]

    def said(self, event: str) -> List[Say]:
        return [effect for effect in self.of(Say) if effect.event == event]

    def published_ids(self) -> List[str]:
        return [effect.message_id for effect in self.of(Publish)]

    def confirmed_books(self) -> Set[str]:
        return {decode(effect.body).payload.entity_id for effect in self.confirmed}


def no_answer(reason: str = "unreachable") -> Failure:
    return Failure(reason, "nobody there", latency_ms=12.0)  # type: ignore[arg-type]
