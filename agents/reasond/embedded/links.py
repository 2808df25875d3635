"""The double of `adapters.rabbitmq`: the same links, on the embedded broker and anybody's time.

Used by the simulation and the demo; tests/contract holds both to the same behaviour.
"""

from functools import partial
from typing import Any, Callable, Dict, List, Optional, Protocol, Sequence, Set, Tuple

from reasond import topology
from reasond.core.effects import Delivery, Link, Now, Publish, Receipt, Settle
from reasond.embedded.broker import Channel, EmbeddedBroker, Stored
from reasond.messages import read_as

RECONNECT_S = 1.0
"""Between tries while the broker is down; the real link's backoff begins about there."""

_QUEUE_ORDER = {queue: order for order, queue in enumerate(topology.MAIN_QUEUES)}


class Scheduler(Protocol):
    """Time and the one way to wait."""

    def now(self) -> Now:
        """Give the present time."""
        ...

    def call_at(self, mono: float, function: Callable[[], None]) -> Any:
        """Call `function` at monotonic time `mono`, or at the next turn when that is past."""
        ...


class Events(Protocol):
    """Who is told; the same as the adapters' `LinkEvents` (the layers keep the two packages apart)."""

    def on_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Messages came: all of one turn at once."""
        ...

    def on_confirmed(self, ref: str, outcome: str) -> None:
        """A publish was confirmed (`ok`), came back (`returned`) or was refused (`nacked`)."""
        ...

    def on_link(self, which: Link, up: bool, blocked: bool) -> None:
        """A link went up or down, or the broker blocked or unblocked it."""
        ...


class EmbeddedLinks:
    """`BrokerLinks` on an embedded broker. Events are told in the next turn, never from inside a call."""

    def __init__(
        self, broker: EmbeddedBroker, events: Events, scheduler: Scheduler, *, consume: bool, prefetch: int
    ) -> None:
        """Take the broker, who is told, and the time; `prefetch` is unacknowledged messages a queue."""
        self._broker = broker
        self._scheduler = scheduler
        self.now: Callable[[], Now] = scheduler.now
        """Gives the scheduler's time."""
        self._calls: List[Callable[[], None]] = []
        self.closed = False
        self._publisher = _PublishLink(self, broker, events)
        self._consumer = _ConsumeLink(self, broker, events, prefetch) if consume else None
        self._links: List[_Link] = [link for link in (self._publisher, self._consumer) if link is not None]

    def open(self) -> None:
        """Begin to connect; comes back by itself until closed."""
        for link in self._links:
            self.soon(link.connect)

    def publish(self, effect: Publish) -> None:
        """Publish persistent and mandatory; dropped when the link is down (the core sends it again)."""
        self._publisher.publish(effect)

    def settle(self, effect: Settle) -> None:
        """Acknowledge; receipts of an older epoch are dropped."""
        if self._consumer is not None:
            self._consumer.settle(effect.receipts)

    def declare(self) -> None:
        """Declare the topology's exchanges, queues and bindings again; consume what came back."""
        if self._broker.up and any(link.up for link in self._links):
            self._broker.declare_topology(self.now())
            if self._consumer is not None:
                self._consumer.restore()

    def relink(self, which: Link) -> None:
        """Close this link and open it anew."""
        for link in self._links:
            if link.which == which and not self.closed:
                link.down()
                self.soon(link.connect)

    def cancel(self) -> None:
        """Take no further deliveries; what was delivered may still be settled."""
        if self._consumer is not None:
            self._consumer.cancel()

    def close(self, on_closed: Optional[Callable[[], None]] = None) -> None:
        """Flush acknowledgements and close both links for good; `closed` is then True."""
        for link in self._links:
            link.close()
        self.closed = True
        if on_closed is not None:
            self._scheduler.call_at(self.now().mono, on_closed)

    def abort(self) -> None:
        """End both links as a killed process does: acknowledgements that were not flushed are lost."""
        for link in self._links:
            link.abort()
        self.closed = True

    @property
    def problem(self) -> str:
        """What stands in the way, in one line; empty when nothing does."""
        return "" if self._broker.up else "the embedded broker is down"

    def ready_counts(self, callback: Callable[[Dict[str, Optional[int]]], None]) -> None:
        """Have `callback` called with each queue's ready count, None where there is none; empty when down."""
        counts: Dict[str, Optional[int]] = {}
        if any(link.up for link in self._links):
            counts = {queue.name: self._broker.ready_count(self.now(), queue.name) for queue in topology.queues()}
        self.soon(lambda: callback(counts))

    def soon(self, function: Callable[[], None]) -> None:
        """Call `function` in the next turn."""
        if not self._calls:
            # Any time that is past means the next turn.
            self._scheduler.call_at(0.0, self._run)
        self._calls.append(function)

    def later(self, delay_s: float, function: Callable[[], None]) -> None:
        """Call `function` after so many seconds."""
        self._scheduler.call_at(self.now().mono + delay_s, function)

    def _run(self) -> None:
        calls, self._calls = self._calls, []
        for call in calls:
            call()


class _Link:
    """What both links have in common: being up, being lost, coming back."""

    which: Link

    def __init__(self, links: EmbeddedLinks, broker: EmbeddedBroker, events: Events) -> None:
        self._links = links
        self._broker = broker
        self._events = events
        self.up = False
        self._closed = False
        self._retrying = False

    def connect(self) -> None:
        self._retrying = False
        if self.up or self._closed:
            return
        if not self._broker.up:
            self._retry()
            return
        self.up = True
        self._broker.connect(self)
        self._opened()
        self.tell(True, False)

    def lost(self) -> None:
        """The broker went away."""
        self.down()
        self._retry()

    def unblocked(self) -> None:
        """An alarm ended."""

    def down(self) -> None:
        if self.up:
            self.up = False
            self._broker.disconnect(self)
            self._shut()
            self.tell(False, False)

    def close(self) -> None:
        self._closed = True
        if self.up:
            self.up = False
            self._broker.disconnect(self)
            self._shut()

    def abort(self) -> None:
        self.close()

    def tell(self, up: bool, blocked: bool) -> None:
        self._links.soon(lambda: None if self._closed else self._events.on_link(self.which, up, blocked))

    def _retry(self) -> None:
        if not self._retrying:
            self._retrying = True
            self._links.later(RECONNECT_S, self.connect)

    def _opened(self) -> None:
        """The connection stands."""

    def _shut(self) -> None:
        """The connection ended."""


class _PublishLink(_Link):
    which: Link = "publish"

    def __init__(self, links: EmbeddedLinks, broker: EmbeddedBroker, events: Events) -> None:
        super().__init__(links, broker, events)
        self._held: List[Publish] = []

    def publish(self, effect: Publish) -> None:
        if not self.up:
            return
        if self._broker.blocked:
            # RabbitMQ tells a connection of an alarm when it next publishes, not before.
            if not self._held:
                self.tell(True, True)
            self._held.append(effect)
        else:
            self._send(effect)

    def unblocked(self) -> None:
        if self._held:
            self.tell(True, False)
        held, self._held = self._held, []
        for effect in held:
            self._send(effect)

    def _send(self, effect: Publish) -> None:
        outcome = self._broker.publish(self._links.now(), _stored(effect))
        if outcome == "no_exchange":
            # The real broker closes the channel over it; the link then declares the topology and comes back.
            self.down()
            self._broker.declare_topology(self._links.now())
            self._links.soon(self.connect)
            return
        self._links.soon(partial(self._confirmed, effect.ref, outcome))

    def _confirmed(self, ref: str, outcome: str) -> None:
        if not self._closed:
            self._events.on_confirmed(ref, outcome)

    def _shut(self) -> None:
        self._held = []


class _ConsumeLink(_Link):
    which: Link = "consume"

    def __init__(self, links: EmbeddedLinks, broker: EmbeddedBroker, events: Events, prefetch: int) -> None:
        super().__init__(links, broker, events)
        self._prefetch = prefetch
        self._epoch = 0
        self._channel: Optional[Channel] = None
        self._cancelled = False
        self._absent: Set[str] = set()
        self._arrived: List[Tuple[int, str, Stored]] = []
        self._done: List[int] = []

    def settle(self, receipts: Tuple[Receipt, ...]) -> None:
        if not self._done:
            self._links.soon(self._flush)
        self._done.extend(receipt.tag for receipt in receipts if receipt.epoch == self._epoch)

    def cancel(self) -> None:
        self._cancelled = True
        self._arrived = []
        if self._channel is not None:
            self._channel.cancel(self._links.now())

    def abort(self) -> None:
        self._done = []
        self.close()

    def restore(self) -> None:
        """Consume the queues that were absent and stand again."""
        if self._channel is None or self._cancelled:
            return
        for queue in sorted(self._absent, key=_QUEUE_ORDER.__getitem__):
            if self._channel.consume(self._links.now(), queue, self._prefetch):
                self._absent.discard(queue)

    def _opened(self) -> None:
        self._epoch += 1
        self._channel = self._broker.channel(self._take, self._ended)
        self._absent = set(topology.MAIN_QUEUES)
        self.restore()
        if self._absent and not self._cancelled:
            self._broker.declare_topology(self._links.now())
            self.restore()

    def _shut(self) -> None:
        self._flush()
        # Receipts from before name tags that the next channel gives to other messages.
        self._epoch += 1
        self._arrived = []
        channel, self._channel = self._channel, None
        if channel is not None:
            self._broker.close_channel(self._links.now() if self._broker.up else None, channel)

    def _ended(self, queue: str) -> None:
        self._absent.add(queue)
        self._links.soon(self._links.declare)

    def _take(self, tag: int, queue: str, message: Stored) -> None:
        if self._cancelled:
            return
        if not self._arrived:
            self._links.soon(self._hand_over)
        self._arrived.append((tag, queue, message))

    def _hand_over(self) -> None:
        arrived, self._arrived = self._arrived, []
        if not arrived or self._closed:
            return
        arrived.sort(key=lambda entry: _QUEUE_ORDER[entry[1]])
        self._events.on_deliveries([_delivery(self._epoch, *entry) for entry in arrived])

    def _flush(self) -> None:
        done, self._done = self._done, []
        if self._channel is not None and self._broker.up:
            self._channel.ack(self._links.now(), done)


def _stored(effect: Publish) -> Stored:
    return Stored(
        body=effect.body,
        exchange=effect.exchange,
        routing_key=effect.routing_key,
        headers=effect.headers,
        content_type=effect.content_type,
        message_id=effect.message_id,
        expiration_ms=None if effect.expiration_ms is None else str(effect.expiration_ms),
        priority=effect.priority,
    )


def _delivery(epoch: int, tag: int, queue: str, message: Stored) -> Delivery:
    return Delivery(
        receipt=Receipt(epoch, tag),
        queue=queue,
        body=message.body,
        content=read_as(message.body, message.content_type),
        headers=message.headers,
        content_type=message.content_type,
        message_id=message.message_id,
        expiration_ms=message.expiration_ms,
        redelivered=message.redelivered,
    )
