"""The two beds of the broker links' contract suite: a real RabbitMQ on pika's loop, the embedded one.

A bed pumps its loop until something holds; on the embedded one time is virtual and costs nothing.
"""

import random
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import pika
from pika.adapters.select_connection import IOLoop

from reasond import topology
from reasond.adapters import broker_setup
from reasond.adapters.management import Management
from reasond.adapters.rabbitmq import RabbitLinks
from reasond.core.effects import Delivery, Publish
from reasond.embedded.broker import EmbeddedBroker, Stored
from reasond.embedded.links import EmbeddedLinks
from reasond.settings import RabbitSettings
from reasond.simulation.clock import VirtualClock
from tests.testbed.rabbitmq import RabbitMQ, Vhost
from tests.testbed.waiting import NeverHappened

PUMP_SECONDS = 20.0
TURN_SECONDS = 0.01


class Seen:
    """Records what links tell."""

    def __init__(self) -> None:
        self.batches: List[List[Delivery]] = []
        self.confirmed: List[Tuple[str, str]] = []
        self.links: List[Tuple[str, bool, bool]] = []

    def on_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        self.batches.append(list(deliveries))

    def on_confirmed(self, ref: str, outcome: str) -> None:
        self.confirmed.append((ref, outcome))

    def on_link(self, which: str, up: bool, blocked: bool) -> None:
        self.links.append((which, up, blocked))

    @property
    def deliveries(self) -> List[Delivery]:
        return [delivery for batch in self.batches for delivery in batch]

    def forget(self) -> None:
        self.__init__()  # type: ignore[misc]


def settings_of(vhost: Vhost, **more: Any) -> RabbitSettings:
    """Give the settings that lead to a virtual host as its administrator."""
    known = dict(
        hosts=(vhost.host,),
        port=vhost.port,
        user=vhost.username,
        password=vhost.password,
        vhost=vhost.name,
        management_url=vhost.management_url,
    )
    return RabbitSettings(**{**known, **more})  # type: ignore[arg-type]


class RealBed:
    """A virtual host of a private RabbitMQ, set up as `reasond setup-rabbitmq` does."""

    def __init__(self, broker: RabbitMQ, vhost: Vhost) -> None:
        self.broker = broker
        self.settings = settings_of(vhost, heartbeat_s=10)
        self.management = Management(self.settings)
        self.url = vhost.amqp_url
        broker_setup.set_up(self.management, "classic")
        self.ioloop = IOLoop()
        self.ioloop.activate_poller()
        self._links: List[RabbitLinks] = []

    def links(self, consume: bool = False, prefetch: int = 50) -> Tuple[RabbitLinks, Seen]:
        seen = Seen()
        links = RabbitLinks(
            self.settings,
            seen,
            self.ioloop,
            consume=consume,
            prefetch=prefetch,
            rng=random.Random(1),
            client_name="contract",
        )
        self._links.append(links)
        return links, seen

    def pump(self, holds: Callable[[], Any], what: str, seconds: float = PUMP_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise NeverHappened(f"not within {seconds} s: {what}")
            self.ioloop.call_later(TURN_SECONDS, lambda: None)
            self.ioloop.poll()
            self.ioloop.process_timeouts()

    def let_pass(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self.pump(lambda: time.monotonic() >= until, "the time passing", seconds + 5)

    def channel(self) -> Any:
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        return connection.channel()

    def put(self, queue: str, body: bytes, **properties: Any) -> None:
        channel = self.channel()
        channel.confirm_delivery()
        channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2, **properties))
        channel.connection.close()

    def take(self, queue: str) -> Optional[Dict[str, Any]]:
        """Take the head of a queue: its headers, properties and body."""
        channel = self.channel()
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        channel.connection.close()
        if method is None:
            return None
        return {
            "body": body,
            "headers": properties.headers,
            "expiration": properties.expiration,
            "message_id": properties.message_id,
            "content_type": properties.content_type,
        }

    def ready(self, queue: str) -> int:
        channel = self.channel()
        count = channel.queue_declare(queue, passive=True).method.message_count
        channel.connection.close()
        return int(count)

    def bound_flagged(self, length: int) -> None:
        channel = self.channel()
        channel.queue_delete(topology.FLAGGED)
        channel.queue_declare(
            topology.FLAGGED, durable=True, arguments={"x-max-length": length, "x-overflow": "reject-publish"}
        )
        channel.queue_bind(topology.FLAGGED, topology.DEAD_EXCHANGE, topology.FLAGGED)
        channel.connection.close()

    def delete(self, queue: str) -> None:
        channel = self.channel()
        channel.queue_delete(queue)
        channel.connection.close()

    def block(self) -> None:
        self.broker.ctl("set_vm_memory_high_watermark", "0")

    def unblock(self) -> None:
        self.broker.ctl("set_vm_memory_high_watermark", "0.6")

    def kill(self) -> None:
        self.broker.kill()

    def start(self) -> None:
        self.broker.start()

    def close(self) -> None:
        for links in self._links:
            links.close()
        self.pump(lambda: all(links.closed for links in self._links), "closed")
        self.ioloop.deactivate_poller()
        self.ioloop.close()


class EmbeddedBed:
    """The embedded broker on a virtual clock."""

    def __init__(self) -> None:
        self.clock = VirtualClock(1_800_000_000_000_000_000)
        self.broker = EmbeddedBroker(self.clock.now())
        self._links: List[EmbeddedLinks] = []

    def links(self, consume: bool = False, prefetch: int = 50) -> Tuple[EmbeddedLinks, Seen]:
        seen = Seen()
        links = EmbeddedLinks(self.broker, seen, self.clock, consume=consume, prefetch=prefetch)
        self._links.append(links)
        return links, seen

    def pump(self, holds: Callable[[], Any], what: str, seconds: float = PUMP_SECONDS) -> None:
        deadline = self.clock.now().mono + seconds
        self.clock.run_until(self.clock.now().mono)
        while not holds():
            if self.clock.now().mono > deadline:
                raise NeverHappened(f"not within {seconds} s: {what}")
            self.clock.run_until(self.clock.now().mono + TURN_SECONDS)

    def let_pass(self, seconds: float) -> None:
        self.clock.run_until(self.clock.now().mono + seconds)

    def put(self, queue: str, body: bytes, **properties: Any) -> None:
        properties["expiration_ms"] = properties.pop("expiration", None)
        assert self.broker.publish(self.clock.now(), Stored(body, "", queue, **properties)) == "ok"

    def take(self, queue: str) -> Optional[Dict[str, Any]]:
        taken: List[Stored] = []
        now = self.clock.now()
        channel = self.broker.channel(lambda tag, name, message: taken.append(message), lambda name: None)
        channel.consume(now, queue, 1)
        channel.cancel(now)
        channel.ack(now, [1])
        if not taken:
            return None
        return {
            "body": taken[0].body,
            "headers": taken[0].headers,
            "expiration": taken[0].expiration_ms,
            "message_id": taken[0].message_id,
            "content_type": taken[0].content_type,
        }

    def ready(self, queue: str) -> int:
        count = self.broker.ready_count(self.clock.now(), queue)
        assert count is not None, queue
        return count

    def bound_flagged(self, length: int) -> None:
        now = self.clock.now()
        self.broker.delete_queue(now, topology.FLAGGED)
        arguments = {"x-max-length": length, "x-overflow": "reject-publish"}
        self.broker.declare_queue(now, topology.FLAGGED, arguments)
        self.broker.bind(topology.DEAD_EXCHANGE, topology.FLAGGED, topology.FLAGGED)

    def delete(self, queue: str) -> None:
        self.broker.delete_queue(self.clock.now(), queue)

    def block(self) -> None:
        self.broker.block()

    def unblock(self) -> None:
        self.broker.unblock()

    def kill(self) -> None:
        self.broker.go_down()

    def start(self) -> None:
        self.broker.come_up()

    def close(self) -> None:
        for links in self._links:
            links.close()
        assert all(links.closed for links in self._links)
        assert self.broker.conserved()


def publish(ref: str, queue: str = topology.FICTIONAL, body: bytes = b"{}", **more: Any) -> Publish:
    """Give a publish to one of the main queues, or wherever `exchange` leads."""
    more.setdefault("exchange", topology.EXCHANGE)
    more.setdefault("message_id", "id-" + ref)
    return Publish(ref=ref, routing_key=queue, body=body, **more)
