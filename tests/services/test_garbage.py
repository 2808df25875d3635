"""Garbage on the wire, by a real consumer process on a real broker: it is set aside whole, and the consumer goes on."""

import os
import random

import pika
import pytest

from reasond import messages, topology
from tests.services.agent_process import SOON_S, count, management_of, message, ready_services, started
from tests.testbed.waiting import wait_until

LARGE_BYTES = 10 * 1024 * 1024
GARBAGE = {
    "empty": (b"", "application/json"),
    "random-bytes": (random.Random(7).getrandbits(8 * 4096).to_bytes(4096, "big"), "application/json"),
    "not-utf8": (b'{"header": "\xff\xfe"}', "application/json"),
    "wrong-schema": (b'{"hello": "world"}', "application/json"),
    "deep-json": (b"[" * 100000 + b"]" * 100000, "application/json"),
    "deep-inside": (b'{"header":' * 20000 + b"1" + b"}" * 20000, "application/json"),
    "large": (b'{"x":"' + b"a" * LARGE_BYTES + b'"}', "application/json"),
    "wrong-content-type": (message("fictional").encode(), "text/html"),
    "out-of-range": (message("fictional").replace("49.262", "149.262").encode(), "application/json"),
}


@pytest.fixture
def start(tmp_path):
    """A function that makes agents, which end with the test."""
    yield from started(tmp_path)


def publish(vhost, bodies):
    """Publish raw bodies to the queue `fictional`, confirmed."""
    connection = pika.BlockingConnection(pika.URLParameters(vhost.amqp_url))
    channel = connection.channel()
    channel.confirm_delivery()
    for body, content_type in bodies:
        properties = pika.BasicProperties(content_type=content_type, delivery_mode=2)
        channel.basic_publish(topology.EXCHANGE, "fictional", body, properties, mandatory=True)
    connection.close()


def rejected(vhost):
    """Take everything out of books.rejected: (body, headers) each."""
    connection = pika.BlockingConnection(pika.URLParameters(vhost.amqp_url))
    channel = connection.channel()
    found = []
    while True:
        method, properties, body = channel.basic_get(topology.REJECTED, auto_ack=True)
        if method is None:
            break
        found.append((body, properties.headers))
    connection.close()
    return found


def test_garbage_of_every_kind_lands_in_rejected_and_the_consumer_goes_on(start, vhost, influxd, bucket):
    # Given a consumer at work
    environ = ready_services(vhost, influxd, bucket)
    agent = start("consumer", environ)

    # When garbage comes between sound messages
    for body, content_type in GARBAGE.values():
        publish(vhost, [(message("fictional").encode(), messages.CONTENT_TYPE), (body, content_type)])
    publish(vhost, [(message("fictional").encode(), messages.CONTENT_TYPE)])

    # Then all of it stands in books.rejected, byte for byte, with why and where
    def depth(queue):
        return {sample.queue: sample.depth for sample in management_of(environ).queue_samples(0)}[queue]

    wait_until(lambda: depth(topology.REJECTED) == len(GARBAGE), what="the garbage", timeout_seconds=SOON_S)
    wait_until(lambda: depth("fictional") == 0, what="an empty queue", timeout_seconds=SOON_S)
    found = rejected(vhost)
    assert sorted(body for body, _ in found) == sorted(body for body, _ in GARBAGE.values())
    assert all(headers["x-reasond-reason"] and headers["x-reasond-path"].startswith("$") for _, headers in found)
    assert any(headers["x-reasond-path"] == "$.payload.coordinates.lat" for _, headers in found)

    # And the same process handled every sound message, and is not bloated by the large one
    wait_until(
        lambda: count(influxd, bucket, "consumer_metrics", "messages_consumed") == 2 * len(GARBAGE) + 1,
        what="every message's point",
        timeout_seconds=SOON_S,
    )
    pages = int(open("/proc/{}/statm".format(agent.process.pid)).read().split()[1])
    assert pages * os.sysconf("SC_PAGE_SIZE") < 250 * 1024 * 1024
    assert agent.stop()[0] == 0
    assert "Traceback" not in agent.log
