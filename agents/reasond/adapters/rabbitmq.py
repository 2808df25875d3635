"""The links to RabbitMQ: one connection publishes with confirms, the other consumes, both on one loop.

Made by the runtime; `embedded.links` is its double, and tests/contract holds both to the same behaviour.
"""

import logging
import random
import re
from collections import deque
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Set, Tuple

import pika
from pika.adapters.select_connection import IOLoop, SelectConnection

from reasond import topology
from reasond.adapters.amqp import (
    ACCESS_REFUSED,
    NOT_FOUND,
    PERSISTENT,
    PRECONDITION_FAILED,
    STABLE_S,
    Call,
    Line,
    Steps,
    plain_headers,
    plain_text,
    reply_code,
    translate,
)
from reasond.adapters.ports import LinkEvents
from reasond.core import backoff
from reasond.core.effects import Delivery, Link, Publish, Receipt, Settle
from reasond.errors import BrokerError
from reasond.messages import Invalid, read_as
from reasond.settings import RabbitSettings

CHANNEL_BASE_S, CHANNEL_CAP_S = 0.2, 30.0
"""Before a channel that the broker closed is opened again."""
RESTORE_PERIOD_S = 10.0
"""Between tries to bring back a queue that was deleted and could not be declared."""

_QUEUE_ORDER = {queue: order for order, queue in enumerate(topology.MAIN_QUEUES)}
# rabbit_channel.erl: 3.8 says "than max size", later versions "than configured max size".
_TOO_LARGE = re.compile(r"message size \d+ .*\bmax size (\d+)")

# pika logs every reconnect at error level by itself; what matters of it comes as an event or a problem.
logging.getLogger("pika").setLevel(logging.CRITICAL + 1)


class RabbitLinks:
    """`BrokerLinks` on RabbitMQ. Everything is called, and calls back, on the loop's own thread.

    Events are told at the end of a loop's turn, never from inside a call, in the order in which they
    happened.
    """

    def __init__(
        self,
        settings: RabbitSettings,
        events: LinkEvents,
        ioloop: IOLoop,
        *,
        consume: bool,
        prefetch: int,
        rng: random.Random,
        client_name: str,
        on_problem: Optional[Callable[[str], None]] = None,
    ) -> None:
        """Take the settings and who is told; `open` connects.

        `prefetch` is unacknowledged messages a queue; `client_name` is what the broker lists the connections
        under; `on_problem` gets what stands in the way in one line, and an empty one when nothing does any
        more. Raises SettingsError when the CA file can't be used.
        """
        self._settings = settings
        self._ioloop = ioloop
        self._turn = Turn(ioloop)
        self._on_problem = on_problem
        self._problems: Dict[str, str] = {}
        self._declaring = False
        self._declare_waiting: List[Callable[[Set[str]], None]] = []
        self._declare_again = False
        self.closed = False
        common = _Common(self, settings, events, rng, client_name)
        self._publisher = _PublishLink(common)
        self._consumer = _ConsumeLink(common, prefetch) if consume else None
        self._links: List[_Link] = [link for link in (self._publisher, self._consumer) if link is not None]

    # The surface of BrokerLinks

    def open(self) -> None:
        """Begin to connect; comes back by itself with backoff until closed."""
        for link in self._links:
            link.line.open()

    def publish(self, effect: Publish) -> None:
        """Publish persistent and mandatory; dropped when the link is down (the core sends it again)."""
        self._publisher.publish(effect)

    def settle(self, effect: Settle) -> None:
        """Acknowledge, coalesced once per loop turn; receipts of an older epoch are dropped."""
        if self._consumer is not None:
            self._consumer.settle(effect.receipts)

    def declare(self) -> None:
        """Declare the topology's exchanges, queues and bindings again; consume what came back."""
        self.redeclare(self._consumer.restored if self._consumer is not None else lambda declared: None)

    def relink(self, which: Link) -> None:
        """Close this link and open it anew."""
        for link in self._links:
            if link.which == which and not self.closed:
                link.relink()

    def cancel(self) -> None:
        """Take no further deliveries; what was delivered may still be settled."""
        if self._consumer is not None:
            self._consumer.cancel()

    def close(self, on_closed: Optional[Callable[[], None]] = None) -> None:
        """Flush acknowledgements and close both links for good, in bounded time; `closed` is then True."""
        open_links = list(self._links)

        def one_closed() -> None:
            open_links.pop()
            if not open_links:
                self.closed = True
                if on_closed is not None:
                    on_closed()

        for link in self._links:
            link.close(one_closed)

    # Beside it

    @property
    def problem(self) -> str:
        """What stands in the way, in one line; empty when nothing does."""
        return "; ".join(dict.fromkeys(self._problems.values()))

    def ready_counts(self, callback: Callable[[Dict[str, Optional[int]]], None]) -> None:
        """Have `callback` called with each queue's ready count (passive declare), None where it isn't known.

        With no connection the mapping is empty.
        """
        connection = self._connection()
        if connection is None:
            self.soon(lambda: callback({}))
            return
        names = [queue.name for queue in topology.queues()]
        Steps(
            connection,
            [(name, _passive(name)) for name in names],
            lambda results: callback({name: _ready(reply) for name, reply in results}),
        )

    # For the two links

    @property
    def ioloop(self) -> IOLoop:
        """The loop that everything runs on."""
        return self._ioloop

    def soon(self, function: Callable[[], None]) -> None:
        """Call `function` at the end of this turn of the loop."""
        self._turn.soon(function)

    def report(self, source: str, text: str) -> None:
        """Note what stands in the way of `source`; an empty text clears it."""
        before = self.problem
        if text:
            self._problems[source] = text
        else:
            self._problems.pop(source, None)
        if self.problem != before and self._on_problem is not None:
            self._on_problem(self.problem)

    def redeclare(self, done: Callable[[Set[str]], None]) -> None:
        """Declare the topology; `done` gets the names of the queues that stand afterwards."""
        self._declare_waiting.append(done)
        if self._declaring:
            self._declare_again = True
            return
        connection = self._connection()
        if connection is None:
            self._declared([], set())
            return
        self._declaring = True
        Steps(connection, _declarations(self._settings.queue_type), self._check_refused)

    def _connection(self) -> Optional[SelectConnection]:
        for link in self._links:
            connection = link.line.connection
            if connection is not None and connection.is_open:
                return connection
        return None

    def _check_refused(self, results: List[Tuple[str, Any]]) -> None:
        """See which refused queues stand all the same: the right may be lacking, or arguments differ."""
        queues = {queue.name for queue in topology.queues()}
        problems = [_refusal(name, reply) for name, reply in results if isinstance(reply, BaseException)]
        stand = {name for name, reply in results if name in queues and not isinstance(reply, BaseException)}
        doubtful = sorted(queues - stand)
        connection = self._connection()
        if not doubtful or connection is None:
            self._declared(problems, stand)
            return
        Steps(
            connection,
            [(name, _passive(name)) for name in doubtful],
            lambda found: self._declared(
                problems, stand | {name for name, reply in found if not isinstance(reply, BaseException)}
            ),
        )

    def _declared(self, problems: List[str], stand: Set[str]) -> None:
        self._declaring = False
        waiting, self._declare_waiting = self._declare_waiting, []
        # A missing right to configure is no problem as long as everything stands.
        every = {queue.name for queue in topology.queues()}
        self.report("topology", "" if not problems or (stand == every and _only_rights(problems)) else problems[0])
        for done in waiting:
            done(stand)
        if self._declare_again:
            self._declare_again = False
            self.declare()


class Turn:
    """Calls kept for the end of the loop's turn, run in order; `call_later(0)` costs no system call."""

    def __init__(self, ioloop: IOLoop) -> None:
        """Take the loop."""
        self._ioloop = ioloop
        self._calls: List[Callable[[], None]] = []

    def soon(self, function: Callable[[], None]) -> None:
        """Call `function` at the end of this turn; what it asks for in its course comes in the next one."""
        if not self._calls:
            self._ioloop.call_later(0, self._run)
        self._calls.append(function)

    def _run(self) -> None:
        calls, self._calls = self._calls, []
        for call in calls:
            call()


class _Common(NamedTuple):
    """What both links are made of."""

    links: RabbitLinks
    settings: RabbitSettings
    events: LinkEvents
    rng: random.Random
    client_name: str


class _Link:
    """One connection with its one channel: what both links have in common."""

    which: Link

    def __init__(self, common: _Common) -> None:
        self._links = common.links
        self._settings = common.settings
        self._events = common.events
        self._rng = common.rng
        self._client_name = common.client_name
        self._channel: Any = None
        self._up = False
        self._closing = False
        self._failures = 0
        self._stable_timer: Optional[object] = None
        self.line = Line(
            common.settings,
            common.links.ioloop,
            client_name=f"{common.client_name} {self.which}",
            rng=common.rng,
            on_open=self._connected,
            on_lost=self._disconnected,
            on_blocked=lambda blocked: self._tell(True, blocked),
        )

    def relink(self) -> None:
        """Close the connection and open it anew."""
        self._down()
        self.line.relink()

    def close(self, done: Callable[[], None]) -> None:
        """Close for good; events end here."""
        self._closing = True
        self._channel = None
        self.line.drop(done)

    def _connected(self, connection: SelectConnection) -> None:
        channel = connection.channel(on_open_callback=self._opened)
        channel.add_on_close_callback(self._channel_closed)
        self._channel = channel

    def _opened(self, channel: Any) -> None:
        raise NotImplementedError

    def _disconnected(self, problem: Optional[BrokerError]) -> None:
        self._down()
        self._links.report(self.which, str(problem) if problem is not None else "RabbitMQ can't be reached")

    def _channel_closed(self, channel: Any, err: BaseException) -> None:
        """The broker closed the channel; when the connection was lost, the line says so itself."""
        connection = self.line.connection
        if channel is not self._channel or connection is None or not connection.is_open:
            return
        self._refused(err)
        self._down()
        self._links.report(self.which, str(translate(err, self._settings)))
        if reply_code(err) == NOT_FOUND:
            self._links.redeclare(lambda stand: self._reopen(connection, stand))
        else:
            self._reopen(connection, None)

    def _reopen(self, connection: SelectConnection, stand: Optional[Set[str]]) -> None:
        wait_s = backoff.delay_s(self._failures, base_s=CHANNEL_BASE_S, cap_s=CHANNEL_CAP_S, rng=self._rng)
        self._failures += 1
        self._links.ioloop.call_later(wait_s, lambda: self._open_again(connection))

    def _open_again(self, connection: SelectConnection) -> None:
        current = self.line.connection is connection and not self._closing
        if current and connection.is_open and self._channel is None:
            self._connected(connection)

    def _refused(self, err: BaseException) -> None:
        """Look at why the broker closed the channel, while what was under way on it is still known."""

    def _ready(self) -> None:
        """The link works."""
        self._up = True
        self._links.report(self.which, "")
        self._stable_timer = self._links.ioloop.call_later(STABLE_S, self._stable)
        self._tell(True, False)

    def _stable(self) -> None:
        self._stable_timer = None
        self._failures = 0

    def _down(self) -> None:
        self._channel = None
        if self._stable_timer is not None:
            self._links.ioloop.remove_timeout(self._stable_timer)
            self._stable_timer = None
        if self._up:
            self._up = False
            self._tell(False, False)

    def _tell(self, up: bool, blocked: bool) -> None:
        # A block may be told before the channel is ready; then the link isn't up, and that is what counts.
        if not self._closing and (self._up or not up):
            self._links.soon(lambda: self._events.on_link(self.which, up, blocked))


class _Unconfirmed:
    """A publish that waits for its confirm."""

    __slots__ = ("body_bytes", "key", "ref", "returned")

    def __init__(self, effect: Publish) -> None:
        self.ref = effect.ref
        self.key = (effect.exchange, effect.routing_key, effect.message_id)
        self.body_bytes = len(effect.body)
        self.returned = False


class _PublishLink(_Link):
    """The link that publishes: mandatory, persistent, each message confirmed."""

    which: Link = "publish"

    def __init__(self, common: _Common) -> None:
        super().__init__(common)
        self._last_tag = 0
        self._unconfirmed: Dict[int, _Unconfirmed] = {}
        self._max_body_bytes: Optional[int] = None

    def publish(self, effect: Publish) -> None:
        if not self._up:
            return
        if self._max_body_bytes is not None and len(effect.body) > self._max_body_bytes:
            self._answer(effect.ref, "nacked")
            return
        properties = pika.BasicProperties(
            app_id=self._client_name,
            content_type=effect.content_type,
            delivery_mode=PERSISTENT,
            expiration=None if effect.expiration_ms is None else str(effect.expiration_ms),
            headers=effect.headers or None,
            message_id=effect.message_id,
            priority=effect.priority,
        )
        try:
            self._channel.basic_publish(effect.exchange, effect.routing_key, effect.body, properties, mandatory=True)
        except Exception:
            # pika encodes before it sends: headers that AMQP can't carry leave the channel as it was.
            self._answer(effect.ref, "nacked")
            return
        self._last_tag += 1
        self._unconfirmed[self._last_tag] = _Unconfirmed(effect)

    def _opened(self, channel: Any) -> None:
        self._last_tag = 0
        self._unconfirmed = {}
        channel.add_on_return_callback(self._returned)
        channel.confirm_delivery(self._confirmed, callback=lambda _: self._selected(channel))

    def _selected(self, channel: Any) -> None:
        if channel is self._channel:
            self._ready()

    def _returned(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        """A return comes before its confirm and names no tag: the oldest such publish is meant."""
        if channel is not self._channel:
            return
        key = (method.exchange, method.routing_key, properties.message_id)
        for waiting in self._unconfirmed.values():
            if waiting.key == key and not waiting.returned:
                waiting.returned = True
                return

    def _confirmed(self, frame: Any) -> None:
        method = frame.method
        acked = isinstance(method, pika.spec.Basic.Ack)
        if method.multiple:
            tags = [tag for tag in self._unconfirmed if tag <= method.delivery_tag]
        else:
            tags = [method.delivery_tag] if method.delivery_tag in self._unconfirmed else []
        for tag in tags:
            waiting = self._unconfirmed.pop(tag)
            self._answer(waiting.ref, ("returned" if waiting.returned else "ok") if acked else "nacked")

    def _refused(self, err: BaseException) -> None:
        """A message over max_message_size closes the channel: answer it, or it comes again for ever."""
        match = _TOO_LARGE.search(str(err)) if reply_code(err) == PRECONDITION_FAILED else None
        if match is None:
            return
        self._max_body_bytes = int(match.group(1))
        for waiting in self._unconfirmed.values():
            if waiting.body_bytes > self._max_body_bytes:
                self._answer(waiting.ref, "nacked")

    def _answer(self, ref: str, outcome: str) -> None:
        if not self._closing:
            self._links.soon(lambda: self._events.on_confirmed(ref, outcome))


class _ConsumeLink(_Link):
    """The link that consumes the three queues and acknowledges; it never publishes, so no alarm blocks it."""

    which: Link = "consume"

    def __init__(self, common: _Common, prefetch: int) -> None:
        super().__init__(common)
        self._prefetch = prefetch
        self._epoch = 0
        self._cancelled = False
        self._absent: Set[str] = set()
        self._restore_timer: Optional[object] = None
        self._arrived: List[_Arrived] = []
        self._ledger = AckLedger()
        self._flush_due = False

    def settle(self, receipts: Tuple[Receipt, ...]) -> None:
        for receipt in receipts:
            if receipt.epoch == self._epoch:
                self._ledger.done(receipt.tag)
        if not self._flush_due:
            self._flush_due = True
            self._links.soon(self._flush)

    def cancel(self) -> None:
        if self._cancelled:
            return
        self._cancelled = True
        self._arrived.clear()
        if self._channel is not None and self._channel.is_open:
            for tag in list(self._channel.consumer_tags):
                self._channel.basic_cancel(tag)

    def relink(self) -> None:
        self._flush()
        super().relink()

    def close(self, done: Callable[[], None]) -> None:
        self._flush()
        super().close(done)

    def restored(self, stand: Set[str]) -> None:
        """Consume what was absent and stands again; look again later for the rest."""
        self._restore_timer = None
        if self._channel is None or not self._channel.is_open or self._cancelled:
            return
        for queue in sorted(self._absent & stand, key=_QUEUE_ORDER.__getitem__):
            self._absent.discard(queue)
            self._consume(self._channel, queue, lambda _: None)
        if self._absent and self._restore_timer is None:
            self._restore_timer = self._links.ioloop.call_later(
                RESTORE_PERIOD_S, lambda: self._links.redeclare(self.restored)
            )

    def _opened(self, channel: Any) -> None:
        self._epoch += 1
        channel.add_on_cancel_callback(lambda frame: self._consumer_lost(channel, frame))
        channel.basic_qos(prefetch_count=self._prefetch, callback=lambda _: self._consume_next(channel, 0))

    def _consume_next(self, channel: Any, position: int) -> None:
        """Begin to consume one queue after the other, so that a refusal names its queue."""
        if channel is not self._channel:
            return
        queues = [] if self._cancelled else [queue for queue in topology.MAIN_QUEUES if queue not in self._absent]
        if position < len(queues):
            self._consume(channel, queues[position], lambda _: self._consume_next(channel, position + 1))
        else:
            self._ready()
            if self._absent:
                self._links.redeclare(self.restored)

    def _consume(self, channel: Any, queue: str, then: Callable[[Any], None]) -> None:
        channel.basic_consume(
            queue,
            lambda ch, method, properties, body: self._take(ch, _Arrived(queue, method, properties, body)),
            consumer_tag=f"{self._client_name}.{queue}.{self._epoch}",
            callback=then,
        )

    def _consumer_lost(self, channel: Any, frame: Any) -> None:
        """The broker ended a consumer: its queue was deleted."""
        if channel is not self._channel or self._cancelled:
            return
        for queue in topology.MAIN_QUEUES:
            if frame.method.consumer_tag == f"{self._client_name}.{queue}.{self._epoch}":
                self._absent.add(queue)
        # After pika has let go of the consumer, which it does when this callback is over.
        self._links.soon(lambda: self._links.redeclare(self.restored))

    def _reopen(self, connection: SelectConnection, stand: Optional[Set[str]]) -> None:
        if stand is not None:
            self._absent = set(topology.MAIN_QUEUES) - stand
        super()._reopen(connection, stand)

    def _down(self) -> None:
        # Receipts from before name tags that the next channel gives to other messages.
        self._epoch += 1
        self._arrived.clear()
        self._ledger = AckLedger()
        super()._down()

    def _take(self, channel: Any, arrived: "_Arrived") -> None:
        if channel is not self._channel or self._cancelled:
            return
        self._ledger.delivered(arrived.method.delivery_tag)
        if not self._arrived:
            self._links.soon(self._hand_over)
        self._arrived.append(arrived)

    def _hand_over(self) -> None:
        arrived, self._arrived = self._arrived, []
        if not arrived or self._closing:
            return
        arrived.sort(key=lambda entry: _QUEUE_ORDER[entry.queue])
        epoch = self._epoch
        self._events.on_deliveries([_delivery(epoch, entry) for entry in arrived])

    def _flush(self) -> None:
        self._flush_due = False
        if self._channel is None or not self._channel.is_open:
            return
        for tag, multiple in self._ledger.flush():
            self._channel.basic_ack(tag, multiple)


class AckLedger:
    """Which deliveries of one channel are open and which are done; gives the fewest acknowledgements.

    One `multiple` for the contiguous prefix that is done, single ones past a hole. RabbitMQ closes the
    channel on a tag that it has already (also as the upper end of a `multiple`), so a `multiple` ends at a
    tag that has not been acknowledged singly before.
    """

    def __init__(self) -> None:
        """Begin empty, as a channel does."""
        self._order: Deque[int] = deque()
        self._open: Set[int] = set()
        self._fresh: Set[int] = set()

    def delivered(self, tag: int) -> None:
        """Note a delivery; tags rise."""
        self._order.append(tag)
        self._open.add(tag)

    def done(self, tag: int) -> None:
        """Note that a delivery may be acknowledged; one that isn't open is ignored."""
        if tag in self._open:
            self._open.discard(tag)
            self._fresh.add(tag)

    def flush(self) -> List[Tuple[int, bool]]:
        """Give the acknowledgements that are due as (tag, multiple), and forget them."""
        upto, covered = 0, 0
        while self._order and self._order[0] not in self._open:
            tag = self._order.popleft()
            if tag in self._fresh:
                self._fresh.discard(tag)
                upto, covered = tag, covered + 1
        acks = [(upto, covered > 1)] if covered else []
        acks.extend((tag, False) for tag in sorted(self._fresh))
        self._fresh.clear()
        return acks


class _Arrived(NamedTuple):
    """A message as pika hands it over."""

    queue: str
    method: Any
    properties: Any
    body: bytes


def _delivery(epoch: int, arrived: _Arrived) -> Delivery:
    queue, method, properties, body = arrived
    content_type = plain_text(properties.content_type)
    content = read_as(body, content_type)
    undecodable = getattr(properties, "undecodable", "")
    if undecodable:
        content = Invalid("$", f"AMQP properties can't be read: {undecodable}")
    return Delivery(
        receipt=Receipt(epoch, method.delivery_tag),
        queue=queue,
        body=body,
        content=content,
        headers=plain_headers(properties.headers),
        content_type=content_type,
        message_id=plain_text(properties.message_id),
        expiration_ms=plain_text(properties.expiration),
        redelivered=bool(method.redelivered),
    )


def _passive(queue: str) -> Call:
    return lambda channel, done: channel.queue_declare(queue, passive=True, callback=done)


def _ready(reply: Any) -> Optional[int]:
    return None if isinstance(reply, BaseException) else int(reply.method.message_count)


def _declarations(queue_type: str) -> List[Tuple[str, Call]]:
    calls: List[Tuple[str, Call]] = [
        ("exchange " + name, _exchange(name)) for name in (topology.DEAD_EXCHANGE, topology.EXCHANGE)
    ]
    for queue in topology.queues(queue_type):
        calls.append((queue.name, _queue(queue)))
        calls.append(("binding " + queue.name, _binding(queue)))
    return calls


def _exchange(name: str) -> Call:
    return lambda channel, done: channel.exchange_declare(name, "direct", durable=True, callback=done)


def _queue(queue: topology.Queue) -> Call:
    return lambda channel, done: channel.queue_declare(
        queue.name, durable=True, arguments=queue.arguments, callback=done
    )


def _binding(queue: topology.Queue) -> Call:
    return lambda channel, done: channel.queue_bind(queue.name, queue.exchange, queue.name, callback=done)


_NO_RIGHT = "no right to declare "


def _refusal(name: str, err: BaseException) -> str:
    if reply_code(err) == ACCESS_REFUSED:
        return _NO_RIGHT + name
    if reply_code(err) == PRECONDITION_FAILED:
        return "{} stands otherwise than declared: {}".format(name, getattr(err, "reply_text", err))
    return f"{name} can't be declared: {err}"


def _only_rights(problems: List[str]) -> bool:
    return all(problem.startswith(_NO_RIGHT) for problem in problems)
