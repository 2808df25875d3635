"""A consumer's core driven by hand: deliveries, timers, answers in; each effect carried out and checked.

Used by the tests of the consumer. What every list of effects must hold is checked here, whatever the test is
about: nothing is settled that isn't safe, nothing twice, nothing together with the publish or save it needs.
"""

import itertools
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, Hashable, List, Optional, Set, Union

import msgspec

from reasond import messages
from reasond.core.consumer import ConsumerCore
from reasond.core.effects import (
    Amend,
    Answer,
    Ask,
    Declare,
    Delivery,
    Effect,
    Failure,
    Handle,
    Look,
    Now,
    Publish,
    Receipt,
    Relink,
    Rows,
    Save,
    Say,
    Settle,
    Wake,
)
from reasond.core.intake import said
from reasond.decisions import HandlingDecision
from reasond.messages import Invalid, Message
from reasond.points import Row, to_line
from reasond.settings import ConsumerSettings, PrivacySettings
from reasond.topology import DEAD_EXCHANGE, PRIORITY

START_WALL_NS = 1_767_225_600_000_000_000
START_MONO = 1000.0
VANCOUVER = (49.262, -122.781)


class Died(Exception):
    """The process ended at the chosen effect."""


def message(number: int = 1, *, queue: str = "fictional", at_ns: int = START_WALL_NS, **changes: Any) -> Message:
    """Give a plausible message for `queue`; changes: ttl, priority, genre, book, place, context, ..."""
    priority = changes.get("priority", "high" if queue == PRIORITY else "normal")
    lat, lng = changes.get("place", VANCOUVER)
    stamp = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=at_ns // 1000)
    return messages.Message(
        header=messages.Header(
            message_id=changes.get("message_id", "00000000-0000-4000-8000-{:012d}".format(number)),
            timestamp=stamp,
            version="1.0",
            source=changes.get("source", "publisher-1"),
        ),
        metadata=messages.Metadata(
            genre_type=changes.get("genre", "fictional" if queue == PRIORITY else queue),
            priority=priority,
            ttl_seconds=changes.get("ttl", 30),
            publisher_reasoning=changes.get("reasoning", "steady"),
        ),
        payload=messages.Payload(
            entity_id=changes.get("book", "book_{}".format(number)),
            action="location_update",
            coordinates=messages.Coordinates(lat=lat, lng=lng),
            context=changes.get("context", "seen in a library"),
        ),
    )


def consumer_settings(**changes: Any) -> ConsumerSettings:
    """Give settings under which nothing is sampled, unless changed."""
    return ConsumerSettings(**dict({"agent_id": "consumer-1", "sample_every": 10**9, "min_call_gap_s": 0.0}, **changes))


def answer(action: str, brain: str = "claude", **changes: Any) -> Answer:
    """Give a brain's answer."""
    decision = HandlingDecision(action, "because of {}".format(action), 0.9)  # type: ignore[arg-type]
    return Answer(decision=decision, brain=brain, **changes)


class Bench:
    """One consumer core after another (`restart`) on one state directory and one broker, both in memory."""

    def __init__(self, link: bool = True, privacy: Optional[PrivacySettings] = None, **changes: Any) -> None:
        """Start a core; `link` False leaves the links down."""
        self.settings = consumer_settings(**changes)
        self.privacy = privacy or PrivacySettings()
        self.mono, self.wall_ns = START_MONO, START_WALL_NS
        self.state: Dict[str, Any] = {}
        self.epoch = 0
        self.out: Dict[Receipt, Delivery] = {}
        self.settled: List[Delivery] = []
        self.done: List[bytes] = []
        self.told: Set[Hashable] = set()
        self.aside: List[Publish] = []
        self.dead = False
        self.cut: Optional[int] = None
        self._tags = itertools.count(1)
        self._begin(link)

    def _begin(self, link: bool) -> None:
        self.epoch += 1
        self.out.clear()
        self.effects: List[Effect] = []
        self.handles: Dict[str, Handle] = {}
        self.publishes: Dict[str, Publish] = {}
        self.saves: Dict[str, Save] = {}
        self.asks: Dict[str, Ask] = {}
        self.looks: Dict[str, Look] = {}
        self.wakes: Dict[str, float] = {}
        self.points: Dict[Any, Row] = {}
        self.rows: List[Row] = []
        self.amends: List[Row] = []
        self.said: List[Say] = []
        self.declared = 0
        self.relinked: List[str] = []
        self.dead = False
        # As a state directory would: what isn't JSON would not come back.
        state = msgspec.json.decode(msgspec.json.encode(self.state))
        self.core = ConsumerCore(self.settings, self.privacy, state)
        self.event("on_start")
        if link:
            self.event("on_link", "consume", True, False)
            self.event("on_link", "publish", True, False)

    def restart(self, link: bool = True) -> List[Delivery]:
        """End the process without a word and start another; give what the broker will redeliver."""
        back = list(self.out.values())
        self._begin(link)
        return back

    # Time

    @property
    def now(self) -> Now:
        """Give the time of the next event."""
        return Now(mono=self.mono, wall_ns=self.wall_ns)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with every timer that falls due on the way."""
        until = self.mono + seconds
        for _ in range(10000):
            due = [(at, name) for name, at in self.wakes.items() if at <= until]
            if not due:
                break
            at, name = min(due)
            self._move(max(self.mono, at))
            del self.wakes[name]
            self.event("on_wake", name)
        else:
            raise AssertionError("timers without end: {}".format(self.wakes))
        self._move(until)

    def _move(self, mono: float) -> None:
        self.wall_ns += int((mono - self.mono) * 1e9)
        self.mono = mono

    # Events

    def event(self, name: str, *args: Any) -> List[Effect]:
        """Pass an event, check its effects and carry them out; raises Died at the effect numbered `cut`."""
        effects: List[Effect] = getattr(self.core, name)(self.now, *args)
        self._check_order(effects)
        for effect in effects:
            if self.cut is not None:
                if self.cut == 0:
                    self.dead = True
                    raise Died
                self.cut -= 1
            self._carry(effect)
        self.effects.extend(effects)
        return effects

    def delivery(self, content: Union[Message, bytes, Delivery], queue: str = "", **changes: Any) -> Delivery:
        """Give a delivery with a receipt of its own, of a message, a body, or a delivery again."""
        receipt = Receipt(self.epoch, next(self._tags))
        if isinstance(content, Delivery):
            changes = dict({"redelivered": True}, **changes)
            return msgspec.structs.replace(content, receipt=receipt, **changes)
        body = content if isinstance(content, bytes) else messages.encode(content)
        content_type = changes.get("content_type", "application/json")
        read = messages.read_as(body, content_type)
        if not queue:
            assert isinstance(read, Message), "name a queue for what is no message"
            queue = PRIORITY if read.metadata.priority == "high" else read.metadata.genre_type
        return Delivery(
            **dict({"receipt": receipt, "queue": queue, "body": body, "content": read,
                    "content_type": content_type}, **changes)
        )  # fmt: skip

    def deliver(self, *contents: Any, **changes: Any) -> List[Delivery]:
        """Deliver in one turn of the loop."""
        deliveries = [self.delivery(content, **changes) for content in contents]
        self.out.update({d.receipt: d for d in deliveries})
        self.event("on_deliveries", deliveries)
        return deliveries

    def save(self) -> None:
        """Complete every save that is on its way, and those that follow."""
        for _ in range(1000):
            if not self.saves:
                return
            ref = next(iter(self.saves))
            effect = self.saves.pop(ref)
            self.state[effect.key] = effect.state
            self.event("on_saved", ref)
        raise AssertionError("saves without end")

    def handle(self, error: Optional[str] = None, ref: Optional[str] = None, duration_ms: float = 20.0) -> Handle:
        """End one run of the handler (the oldest), with or without an error."""
        ref = ref or next(iter(self.handles))
        effect = self.handles.pop(ref)
        if error is None:
            self.done.extend(d.body for d in effect.deliveries)
            self.told.update(said(d) for d in effect.deliveries)
        self.event("on_handled", ref, error, duration_ms)
        return effect

    def confirm(self, outcome: str = "ok", ref: Optional[str] = None) -> Publish:
        """Have the broker answer one publish (the oldest)."""
        ref = ref or next(iter(self.publishes))
        effect = self.publishes.pop(ref)
        if outcome == "ok":
            self.aside.append(effect)
        self.event("on_confirmed", ref, outcome)
        return effect

    def decide(self, result: Union[Answer, Failure], ask_id: Optional[str] = None) -> Ask:
        """Have the brain answer one question (the oldest)."""
        ask_id = ask_id or next(iter(self.asks))
        effect = self.asks.pop(ask_id)
        self.event("on_decision", ask_id, result)
        return effect

    def lose(self, which: str = "consume") -> List[Delivery]:
        """Have a link go down and come back; give what the broker will deliver again."""
        back = list(self.out.values()) if which == "consume" else []
        if which == "consume":
            self.epoch += 1
            self.out.clear()
        else:
            self.publishes.clear()
        self.event("on_link", which, False, False)
        self.event("on_link", which, True, False)
        return back

    def settle_down(self) -> None:
        """Answer everything favourably until nothing is asked any more."""
        for _ in range(10000):
            if self.saves:
                self.save()
            elif self.handles:
                self.handle()
            elif self.publishes:
                self.confirm()
            elif self.asks:
                self.decide(answer("process"))
            elif any(self.wakes.get(name) is not None for name in ("drain", "batch", "retry", "set_aside")):
                self.pass_time(max(0.0, min(at for n, at in self.wakes.items() if n != "depths") - self.mono))
            else:
                return
        raise AssertionError("the core does not come to rest")

    # Findings

    def metric_rows(self, measurement: str = "consumer_metrics") -> List[Row]:
        """Give the rows of one measurement, in order."""
        return [row for row in self.rows if row.measurement == measurement]

    def point(self, measurement: str = "agent_reasoning") -> Row:
        """Give the last point of a measurement as it stands after everything that was added to it."""
        return [row for key, row in self.points.items() if row.measurement == measurement][-1]

    def ids_handled(self) -> List[str]:
        """Give the ids of what the handler has now, in order."""
        return [d.content.header.message_id for h in self.handles.values() for d in h.deliveries]  # type: ignore[union-attr]

    # Carrying out

    def _carry(self, effect: Effect) -> None:
        if isinstance(effect, Settle):
            self._settle(effect)
        elif isinstance(effect, Handle):
            assert all(not isinstance(d.content, Invalid) for d in effect.deliveries)
            self.handles[effect.ref] = effect
        elif isinstance(effect, Publish):
            assert effect.exchange == DEAD_EXCHANGE and effect.expiration_ms is None
            self.publishes[effect.ref] = effect
        elif isinstance(effect, Save):
            assert not self.saves, "one save at a time"
            self.saves[effect.ref] = effect
        elif isinstance(effect, Ask):
            self.asks[effect.ask_id] = effect
        elif isinstance(effect, Look):
            self.looks[effect.ref] = effect
        elif isinstance(effect, Wake):
            self._wake(effect)
        else:
            self._note(effect)

    def _note(self, effect: Effect) -> None:
        if isinstance(effect, Rows):
            for row in effect.rows:
                key = to_line(row).split(" ")[0], row.time_ns
                assert key not in self.points, "a point silently replaces another"
                self.points[key] = row
                self.rows.append(row)
        elif isinstance(effect, Amend):
            self.amends.append(effect.row)
            key = to_line(effect.row).split(" ")[0], effect.row.time_ns
            if key in self.points:
                known = self.points[key]
                self.points[key] = msgspec.structs.replace(known, fields=dict(known.fields, **effect.row.fields))
        elif isinstance(effect, Say):
            self.said.append(effect)
        elif isinstance(effect, Declare):
            self.declared += 1
        else:
            assert isinstance(effect, Relink)
            self.relinked.append(effect.which)

    def _wake(self, effect: Wake) -> None:
        self.wakes.pop(effect.name, None)
        if effect.at is not None:
            self.wakes[effect.name] = effect.at

    def _settle(self, effect: Settle) -> None:
        for receipt in effect.receipts:
            assert receipt.epoch == self.epoch, "settled on a link that is gone"
            delivery = self.out.pop(receipt, None)
            assert delivery is not None, "settled twice, or never delivered"
            safe = said(delivery) in self.told or any(_said_of(p) == said(delivery) for p in self.aside)
            assert safe, "settled before it was handled or safe in a dead-letter queue"
            self.settled.append(delivery)

    def _check_order(self, effects: List[Effect]) -> None:
        """The order rule: what is settled stands in no publish, save or handle of the same list."""
        receipts = [r for e in effects if isinstance(e, Settle) for r in e.receipts]
        assert len(receipts) == len(set(receipts)), "settled twice in one list"
        bodies = {d.body: d for r, d in self.out.items() if r in receipts}
        ids = {d.content.header.message_id for d in bodies.values() if isinstance(d.content, Message)}
        for effect in effects:
            if isinstance(effect, Publish):
                assert effect.body not in bodies, "settled together with its publish"
            elif isinstance(effect, Save):
                assert not ids & set(effect.state["sights"]), "settled together with its save"
            elif isinstance(effect, Handle):
                assert not {d.receipt for d in effect.deliveries} & set(receipts), "settled as it is handed out"
        assert sum(isinstance(e, Rows) for e in effects) <= 1, "the rows of one event belong into one effect"


def _said_of(publish: Publish) -> Hashable:
    """Give what a message set aside says."""
    content = messages.read_as(publish.body, publish.content_type)
    return said(Delivery(Receipt(0, 0), "", publish.body, content))
