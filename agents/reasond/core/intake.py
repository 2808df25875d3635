"""What came in and waits its turn, in the order it is to be served, and which ids are already done.

Used by the consumer's core. AMQP gives neither priority between queues nor fairness; both are made here.
"""

from collections import deque
from typing import Deque, Dict, Hashable, Iterator, List, Optional, OrderedDict, Tuple, Union

from msgspec import Struct

from reasond.core.effects import Delivery, Now
from reasond.messages import Message
from reasond.points import Row
from reasond.topology import FICTIONAL, NON_FICTIONAL, PRIORITY


class OpenDecision(Struct, frozen=True):
    """A decision whose outcome isn't known yet: its point's tag set and timestamp, to amend it later."""

    decision_id: str
    tags: Dict[str, str]
    time_ns: int

    def row(self, fields: Dict[str, object]) -> Row:
        """Give the new fields under the decision's own tags and timestamp."""
        return Row(measurement="agent_reasoning", tags=self.tags, fields=fields, time_ns=self.time_ns)


class Item(Struct, gc=False):
    """One delivery on its way through the consumer.

    What stands below `arrived` is filled in when it is taken on: facts of its header (UTC seconds), `deaths`
    (processes that died with it in hand), `attempts` (ends of its handler that counted), `action` (the
    `processing_action` it heads for), `ai` (an AI's decision is used), `void` (its receipt was lost with
    the link while its handler ran), `twins` (deliveries of the same message that wait for this one's end).
    """

    delivery: Delivery
    arrived: Now
    message_id: str = ""
    entity_id: str = ""
    priority: str = ""
    stamp_s: float = 0.0
    ttl_s: int = 0
    deaths: int = 0
    attempts: int = 0
    action: str = "immediate"
    ai: bool = False
    void: bool = False
    decision: Optional[OpenDecision] = None
    twins: Optional[List["Item"]] = None

    def age_s(self, now: Now) -> float:
        """Give the time since the header's timestamp, seconds; negative when that lies ahead."""
        return now.wall_ns / 1e9 - self.stamp_s

    def left_s(self, now: Now) -> float:
        """Give what is left of the TTL, seconds; negative once it has passed."""
        return self.ttl_s - self.age_s(now)


Unit = Tuple[Item, ...]
"""Items that are handled together: one, or a batch of one queue."""


class Intake:
    """Items not yet taken on (`fresh`) and units that have only to be handled (`ready`).

    `take` serves `priority` first, what is ready before what is fresh, and alternates between the two genres.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._priority: Deque[Item] = deque()
        self._genres: Dict[str, Deque[Item]] = {FICTIONAL: deque(), NON_FICTIONAL: deque()}
        self._ready_priority: Deque[Unit] = deque()
        self._ready: Deque[Unit] = deque()
        self._next, self._other = self._genres[FICTIONAL], self._genres[NON_FICTIONAL]
        self.units = 0
        """How many items and units wait; read by the core: most events find none."""

    def __len__(self) -> int:
        """Give how many messages wait here."""
        ready = sum(len(unit) for unit in self._ready) + sum(len(unit) for unit in self._ready_priority)
        return len(self._priority) + sum(len(waiting) for waiting in self._genres.values()) + ready

    def add(self, item: Item) -> None:
        """Put a new delivery at the end of its queue's line."""
        queue = item.delivery.queue
        self.units += 1
        (self._priority if queue == PRIORITY else self._genres[queue]).append(item)

    def add_ready(self, unit: Unit) -> None:
        """Put a unit that was decided on, or is to be tried again, before all that is fresh."""
        self.units += 1
        (self._ready_priority if unit[0].delivery.queue == PRIORITY else self._ready).append(unit)

    def take(self, fresh: bool = True) -> Optional[Union[Item, Unit]]:
        """Give what is next: an Item that is fresh, or a Unit that is ready; None when there is nothing."""
        taken: Optional[Union[Item, Unit]] = None
        if self._ready_priority:
            taken = self._ready_priority.popleft()
        elif fresh and self._priority:
            taken = self._priority.popleft()
        elif self._ready:
            taken = self._ready.popleft()
        elif fresh and (self._next or self._other):
            self._next, self._other = self._other, self._next
            taken = (self._other or self._next).popleft()
        self.units -= taken is not None
        return taken

    def clear(self) -> Iterator[Item]:
        """Forget everything and give what it was."""
        self.units = 0
        for line in (self._priority, *self._genres.values()):
            while line:
                yield line.popleft()
        for units in (self._ready_priority, self._ready):
            while units:
                yield from units.popleft()


def said(delivery: Delivery) -> Hashable:
    """Give what a delivery says, by which it is told apart from another of its id.

    Timestamp, source and reasoning are left out: a publisher that sends a message again after a crash stamps it
    anew.
    """
    message = delivery.content
    if not isinstance(message, Message):
        return delivery.body
    metadata = message.metadata
    return message.payload, metadata.genre_type, metadata.priority, metadata.ttl_seconds


class Completed:
    """Ids of the messages handled last, with a hash of what they said: the window for duplicates.

    Only ids that were handled stand here: a message set aside may be put back by a person and is then new.
    """

    def __init__(self, window: int) -> None:
        """Remember at most `window` ids; 0 remembers none."""
        self._window = window
        self._hashes: OrderedDict[str, int] = OrderedDict()

    def add(self, message_id: str, said: Hashable) -> None:
        """Remember a message as handled; beyond the window the oldest is forgotten."""
        if self._window == 0:
            return
        # Python's own hash of text is keyed per process, so a sender can't make two messages meet on purpose.
        self._hashes[message_id] = hash(said)
        if len(self._hashes) > self._window:
            self._hashes.popitem(last=False)

    def same(self, message_id: str, said: Hashable) -> Optional[bool]:
        """Tell whether the handled message of that id had this content; None for an id not remembered."""
        seen = self._hashes.get(message_id)
        return None if seen is None else seen == hash(said)
