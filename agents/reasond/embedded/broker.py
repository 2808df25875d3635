"""RabbitMQ's queues as a pure model: time is an argument, nothing waits, nothing is left to chance.

Used through `embedded.links` by the simulation, the demo and the contract suite, which holds it to the
behaviour of the real broker. All three main queues are plain queues: RabbitMQ gives the queue `priority` no
preference either, consumers make it.
"""

import re
from collections import deque
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Deque, Dict, Iterable, List, Optional, Set, Tuple

from msgspec import Struct, structs

from reasond import topology
from reasond.core.effects import Now
from reasond.core.views import QueueSample
from reasond.errors import BrokerUnavailable, TopologyConflict

RATE_WINDOW_S = 10.0
"""Rates are means over it; the real broker's statistics look back about as far."""

_SAMPLED = tuple(queue.name for queue in topology.queues())


class Stored(Struct, frozen=True):
    """A message as it lies in a queue or is handed to a consumer.

    `order` is its place of arrival in the queue (a requeued message returns to it), `due` the monotonic time
    at which its TTL ends, `expiration_ms` the property as it was published.
    """

    body: bytes
    exchange: str
    routing_key: str
    headers: Dict[str, Any] = {}
    content_type: Optional[str] = None
    message_id: Optional[str] = None
    expiration_ms: Optional[str] = None
    priority: Optional[int] = None
    order: int = 0
    due: Optional[float] = None
    redelivered: bool = False


class Counters(Struct):
    """What happened to a queue's messages so far; one delivered again counts once more as delivered."""

    published: int = 0
    delivered: int = 0
    acked: int = 0
    expired: int = 0
    dropped: int = 0
    rejected: int = 0


class _Rate:
    """How many a second, over the last RATE_WINDOW_S."""

    def __init__(self) -> None:
        self._counts: Deque[List[int]] = deque()
        self._total = 0

    def add(self, mono: float) -> None:
        second = int(mono)
        if self._counts and self._counts[-1][0] == second:
            self._counts[-1][1] += 1
        else:
            self._counts.append([second, 1])
            self.at(mono)
        self._total += 1

    def at(self, mono: float) -> float:
        """Give the rate; what is too old for it is forgotten."""
        while self._counts and self._counts[0][0] <= mono - RATE_WINDOW_S:
            self._total -= self._counts.popleft()[1]
        return self._total / RATE_WINDOW_S


class _Consumer:
    """One consumer on one queue, with its own bound of unacknowledged messages."""

    def __init__(self, channel: "Channel", queue: "_Queue", prefetch: int) -> None:
        self.channel = channel
        self.queue = queue
        self.prefetch = prefetch
        self.unacked = 0


class _Queue:
    def __init__(self, name: str, arguments: Dict[str, Any]) -> None:
        self.name = name
        self.arguments = dict(arguments)
        self.ready: Deque[Stored] = deque()
        self.unacked = 0
        self.consumers: Deque[_Consumer] = deque()
        self.counters = Counters()
        self.published = _Rate()
        self.acked = _Rate()
        self.next_order = 0
        # When each message that is neither acknowledged nor gone came, by its order: the first is the oldest.
        self.outstanding: Dict[int, float] = {}
        # When the present head became the head: nothing behind it can have expired before that.
        self.head_since = 0.0


class Channel:
    """A consuming channel: its consumers, and the tags of what they hold."""

    def __init__(
        self,
        broker: "EmbeddedBroker",
        deliver: Callable[[int, str, Stored], None],
        ended: Callable[[str], None],
    ) -> None:
        """`deliver` gets tag, queue and message; `ended` the queue of a consumer whose queue was deleted."""
        self._broker = broker
        self.deliver = deliver
        self.ended = ended
        self.consumers: List[_Consumer] = []
        self.held: Dict[int, Tuple[_Consumer, Stored]] = {}
        self.last_tag = 0

    def consume(self, now: Now, queue: str, prefetch: int) -> bool:
        """Begin to consume; False when there is no such queue."""
        return self._broker.consume(now, self, queue, prefetch)

    def ack(self, now: Now, tags: Iterable[int]) -> None:
        """Acknowledge; tags that aren't held are ignored."""
        self._broker.ack(now, self, tags)

    def cancel(self, now: Now) -> None:
        """End the consumers; what they hold may still be acknowledged."""
        self._broker.cancel(self)

    def close(self, now: Now) -> None:
        """End the consumers and give back what they hold."""
        self._broker.close_channel(now, self)


class EmbeddedBroker:
    """Exchanges, queues, bindings and policies; is `BrokerStatistics` of itself.

    Conservation, checkable at any time and per queue: published = acked + expired + dropped + ready +
    unacked.
    """

    def __init__(self, now: Now, *, bare: bool = False, queue_type: str = "classic") -> None:
        """Begin with the declared topology and its policy, or with nothing when `bare`."""
        self._start = now
        self._mono = now.mono
        self._queue_type = queue_type
        self._exchanges: Set[str] = set()
        # By exchange and routing key; the queues' names in order.
        self._bindings: Dict[Tuple[str, str], List[str]] = {}
        self._policies: Dict[str, Tuple[str, int, Dict[str, Any]]] = {}
        self._queues: Dict[str, _Queue] = {}
        self._connections: List[Any] = []
        # The latest samples and their time; agents that look at one moment share them.
        self._looked: Optional[Tuple[int, Tuple[QueueSample, ...]]] = None
        self.up = True
        self.blocked = False
        self.on_acked: Callable[[str, float], None] = lambda queue, age_s: None
        """Is told of each acknowledged message: its queue, and how long ago it came there."""
        if not bare:
            self.set_policy(
                topology.POLICY_NAME,
                topology.POLICY_PATTERN,
                topology.policy_definition(queue_type),
                topology.POLICY_PRIORITY,
            )
            self.declare_topology(now)

    # Topology

    def declare_topology(self, now: Now) -> None:
        """Declare exchanges, queues and bindings as an agent may; the policy is the administrator's."""
        self._exchanges.update((topology.DEAD_EXCHANGE, topology.EXCHANGE))
        for queue in topology.queues(self._queue_type):
            self.declare_queue(now, queue.name, queue.arguments)
            self.bind(queue.exchange, queue.name, queue.name)

    def declare_exchange(self, name: str) -> None:
        """Declare a direct exchange."""
        self._exchanges.add(name)

    def declare_queue(self, now: Now, name: str, arguments: Optional[Dict[str, Any]] = None) -> None:
        """Declare a durable queue; harmless when it stands with the same arguments.

        Raises TopologyConflict when it stands with others (the real one closes the channel: 406).
        """
        self._advance(now.mono)
        standing = self._queues.get(name)
        if standing is None:
            self._queues[name] = _Queue(name, arguments or {})
        elif standing.arguments != (arguments or {}):
            raise TopologyConflict([f"queue {name} stands with {standing.arguments}"])

    def bind(self, exchange: str, queue: str, routing_key: str) -> None:
        """Bind a queue to a direct exchange."""
        bound = self._bindings.get((exchange, routing_key), [])
        self._bindings[exchange, routing_key] = sorted({*bound, queue})

    def set_policy(self, name: str, pattern: str, definition: Dict[str, Any], priority: int = 0) -> None:
        """Set a policy; of those that match a queue only the one of highest priority counts."""
        self._policies[name] = (pattern, priority, definition)

    def delete_queue(self, now: Now, name: str) -> None:
        """Delete a queue with all that lies in it; its consumers are told."""
        self._advance(now.mono)
        queue = self._queues.pop(name, None)
        if queue is None:
            return
        for key, targets in self._bindings.items():
            self._bindings[key] = [target for target in targets if target != name]
        queue.counters.dropped += len(queue.ready) + queue.unacked
        queue.ready.clear()
        queue.outstanding.clear()
        for consumer in list(queue.consumers):
            consumer.channel.consumers.remove(consumer)
            consumer.channel.ended(name)

    def purge(self, now: Now, name: str) -> int:
        """Drop what is ready in a queue; give how many that were."""
        self._advance(now.mono)
        queue = self._queues[name]
        purged = len(queue.ready)
        queue.counters.dropped += purged
        for message in queue.ready:
            del queue.outstanding[message.order]
        queue.ready.clear()
        return purged

    # Messages

    def publish(self, now: Now, message: Stored) -> str:
        """Publish as mandatory; give `ok`, `returned`, `nacked`, or `no_exchange` (404 on the real one)."""
        self._advance(now.mono)
        if message.exchange and message.exchange not in self._exchanges:
            return "no_exchange"
        targets = self._route(message)
        if not targets:
            return "returned"
        accepted = [self._arrive(queue, message, now.mono) for queue in targets]
        for queue in targets:
            self._dispatch(queue)
        return "ok" if all(accepted) else "nacked"

    def messages(self, now: Now, queue: str) -> Tuple[Stored, ...]:
        """Give what is ready in a queue, head first, without taking it."""
        self._advance(now.mono)
        return tuple(self._queues[queue].ready)

    def channel(self, deliver: Callable[[int, str, Stored], None], ended: Callable[[str], None]) -> Channel:
        """Open a consuming channel; the functions are called from within broker calls, must not call back."""
        return Channel(self, deliver, ended)

    def consume(self, now: Now, channel: Channel, name: str, prefetch: int) -> bool:
        """Begin to consume on a channel; False when there is no such queue."""
        self._advance(now.mono)
        queue = self._queues.get(name)
        if queue is None:
            return False
        consumer = _Consumer(channel, queue, prefetch)
        channel.consumers.append(consumer)
        queue.consumers.append(consumer)
        self._dispatch(queue)
        return True

    def ack(self, now: Now, channel: Channel, tags: Iterable[int]) -> None:
        """Acknowledge deliveries of a channel; tags that it doesn't hold are ignored."""
        self._advance(now.mono)
        touched: Dict[str, _Queue] = {}
        for tag in tags:
            if tag not in channel.held:
                continue
            consumer, message = channel.held.pop(tag)
            consumer.unacked -= 1
            queue = consumer.queue
            if self._queues.get(queue.name) is queue:
                queue.unacked -= 1
                queue.counters.acked += 1
                queue.acked.add(now.mono)
                touched[queue.name] = queue
                self.on_acked(queue.name, now.mono - queue.outstanding.pop(message.order))
        for queue in touched.values():
            self._dispatch(queue)

    def cancel(self, channel: Channel) -> None:
        """End a channel's consumers; what they hold stays held."""
        self._looked = None
        for consumer in channel.consumers:
            if consumer in consumer.queue.consumers:
                consumer.queue.consumers.remove(consumer)
        channel.consumers = []

    def close_channel(self, now: Optional[Now], channel: Channel) -> None:
        """End a channel's consumers and return what they hold to its old places, marked as redelivered."""
        if now is not None:
            self._advance(now.mono)
        self.cancel(channel)
        returned: Dict[str, List[Stored]] = {}
        for consumer, message in channel.held.values():
            if self._queues.get(consumer.queue.name) is consumer.queue:
                returned.setdefault(consumer.queue.name, []).append(message)
        channel.held = {}
        for name, messages in returned.items():
            queue = self._queues[name]
            queue.unacked -= len(messages)
            again = [structs.replace(message, redelivered=True) for message in messages]
            queue.ready = deque(sorted([*again, *queue.ready], key=lambda message: message.order))
            queue.head_since = self._mono
        self._advance(self._mono)
        for name in returned:
            self._dispatch(self._queues[name])

    # Figures

    def counters(self, queue: str) -> Counters:
        """Give a queue's counters."""
        return self._queues[queue].counters

    def left(self, queue: str) -> Tuple[int, int]:
        """Give how many messages of a queue are ready, and how many unacknowledged, as of the last event."""
        return len(self._queues[queue].ready), self._queues[queue].unacked

    def oldest_age_s(self, now: Now, name: str) -> float:
        """Give for how long the oldest message of a queue, ready or unacknowledged, has been there; 0 without one."""
        self._advance(now.mono)
        arrivals = self._queues[name].outstanding.values()
        return now.mono - next(iter(arrivals)) if arrivals else 0.0

    def conserved(self) -> bool:
        """Tell whether every message that came into a queue is accounted for."""
        return all(
            queue.counters.published
            == queue.counters.acked + queue.counters.expired + queue.counters.dropped + len(queue.ready) + queue.unacked
            for queue in self._queues.values()
        )

    def queue_samples(self, at_ns: int) -> Tuple[QueueSample, ...]:
        """Give one sample of each of the topology's queues that exists, stamped `at_ns`.

        Raises BrokerUnavailable while the broker is down.
        """
        if not self.up:
            raise BrokerUnavailable("the embedded broker is down")
        if self._looked is None or self._looked[0] != at_ns:
            self._advance(self._start.mono + (at_ns - self._start.wall_ns) / 1e9)
            samples = tuple([self._sample(self._queues[name], at_ns) for name in _SAMPLED if name in self._queues])
            self._looked = (at_ns, samples)
        return self._looked[1]

    def ready_count(self, now: Now, queue: str) -> Optional[int]:
        """Give how many messages are ready in a queue, None when there is no such queue."""
        self._advance(now.mono)
        return len(self._queues[queue].ready) if queue in self._queues else None

    # Faults

    def connect(self, connection: Any) -> None:
        """Note a connection: its `lost()` and `unblocked()` are called by the faults below."""
        self._connections.append(connection)

    def disconnect(self, connection: Any) -> None:
        """Forget a connection."""
        if connection in self._connections:
            self._connections.remove(connection)

    def go_down(self) -> None:
        """Stop as a killed broker does: every connection is lost; queues and persistent messages stay."""
        self.up = False
        connections, self._connections = self._connections, []
        for connection in connections:
            connection.lost()

    def come_up(self) -> None:
        """Be there again."""
        self.up = True

    def block(self) -> None:
        """Raise an alarm: a connection that publishes is told and held, consuming ones go on."""
        self.blocked = True

    def unblock(self) -> None:
        """End the alarm: what was held goes through."""
        self.blocked = False
        for connection in list(self._connections):
            connection.unblocked()

    # Inside

    def _route(self, message: Stored) -> List[_Queue]:
        if message.exchange:
            names = self._bindings.get((message.exchange, message.routing_key), [])
        else:
            names = [message.routing_key]
        return [self._queues[name] for name in names if name in self._queues]

    def _policy(self, queue: str) -> Dict[str, Any]:
        matching = [policy for policy in self._policies.values() if re.search(policy[0], queue)]
        return max(matching, key=lambda policy: policy[1])[2] if matching else {}

    def _arrive(self, queue: _Queue, message: Stored, mono: float) -> bool:
        """Put a message at a queue's end; False when the queue is full and refuses."""
        limit = queue.arguments.get("x-max-length")
        if limit is not None and len(queue.ready) >= limit:
            if queue.arguments.get("x-overflow") == "reject-publish":
                queue.counters.rejected += 1
                return False
            if queue.ready:
                del queue.outstanding[queue.ready.popleft().order]
                queue.head_since = mono
                queue.counters.dropped += 1
        if not queue.ready:
            queue.head_since = mono
        due = None
        for ttl_ms in (message.expiration_ms, queue.arguments.get("x-message-ttl")):
            if ttl_ms is not None and (due is None or mono + int(ttl_ms) / 1000 < due):
                due = mono + int(ttl_ms) / 1000
        queue.ready.append(structs.replace(message, order=queue.next_order, due=due, redelivered=False))
        queue.outstanding[queue.next_order] = mono
        queue.next_order += 1
        queue.counters.published += 1
        queue.published.add(mono)
        return True

    def _dispatch(self, queue: _Queue) -> None:
        """Hand ready messages to consumers with room, in turn."""
        while queue.ready and self.up:
            free = [consumer for consumer in queue.consumers if consumer.unacked < consumer.prefetch]
            if not free:
                return
            consumer = free[0]
            queue.consumers.remove(consumer)
            queue.consumers.append(consumer)
            message = queue.ready.popleft()
            queue.head_since = self._mono
            queue.unacked += 1
            consumer.unacked += 1
            queue.counters.delivered += 1
            channel = consumer.channel
            channel.last_tag += 1
            channel.held[channel.last_tag] = (consumer, message)
            channel.deliver(channel.last_tag, queue.name, message)

    def _advance(self, mono: float) -> None:
        """Begin an event: let every TTL that ended up to `mono` take effect, in the order of time across the queues."""
        self._looked = None
        if not self.up:
            return
        while True:
            ends = [
                (max(queue.ready[0].due, queue.head_since), queue.name)
                for queue in self._queues.values()
                if queue.ready and queue.ready[0].due is not None
            ]
            if not ends or min(ends)[0] > mono:
                break
            at, name = min(ends)
            self._expire(self._queues[name], max(at, self._start.mono))
        if mono > self._mono:
            self._mono = mono

    def _expire(self, queue: _Queue, at: float) -> None:
        """Let the head of a queue expire: dead-letter it where a policy says so, else drop it."""
        message = queue.ready.popleft()
        del queue.outstanding[message.order]
        queue.head_since = at
        queue.counters.expired += 1
        policy = self._policy(queue.name)
        exchange = policy.get("dead-letter-exchange")
        if exchange is None:
            return
        dead = structs.replace(
            message,
            exchange=exchange,
            routing_key=policy.get("dead-letter-routing-key", message.routing_key),
            headers=self._death_headers(message, queue.name, at),
            expiration_ms=None,
        )
        for target in self._route(dead):
            self._arrive(target, dead, at)
            self._dispatch(target)

    def _death_headers(self, message: Stored, queue: str, at: float) -> Dict[str, Any]:
        """Give the headers that RabbitMQ adds (manual, "Dead Letter Exchanges": x-death)."""
        headers = dict(message.headers)
        deaths: List[Dict[str, Any]] = list(headers.get("x-death", ()))
        same = [death for death in deaths if death["queue"] == queue and death["reason"] == "expired"]
        wall = datetime.fromtimestamp(self._start.wall_ns // 10**9, timezone.utc)
        when = wall + timedelta(seconds=int(at - self._start.mono))
        death: Dict[str, Any] = {
            "count": same[0]["count"] + 1 if same else 1,
            "exchange": message.exchange,
            "queue": queue,
            "reason": "expired",
            "routing-keys": [message.routing_key],
            "time": when,
        }
        if message.expiration_ms is not None:
            death["original-expiration"] = message.expiration_ms
        headers["x-death"] = [death, *(other for other in deaths if other not in same)]
        headers.setdefault("x-first-death-exchange", message.exchange)
        headers.setdefault("x-first-death-queue", queue)
        headers.setdefault("x-first-death-reason", "expired")
        return headers

    def _sample(self, queue: _Queue, at_ns: int) -> QueueSample:
        ready = len(queue.ready)
        return QueueSample(
            time_ns=at_ns,
            queue=queue.name,
            depth=ready + queue.unacked,
            ready=ready,
            unacknowledged=queue.unacked,
            publish_rate=queue.published.at(self._mono),
            ack_rate=queue.acked.at(self._mono),
            consumers=len(queue.consumers),
        )
