"""What only a real RabbitMQ shows of the links: refusals, mute peers, several hosts, broken messages."""

import dataclasses
import random
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Iterator, List

import pika
import pytest
from pika import data as pika_data

from reasond import topology
from reasond.adapters.rabbitmq import RabbitLinks
from reasond.core.effects import Settle
from reasond.messages import Invalid, Message
from tests.contract.broker_beds import RealBed, Seen, publish
from tests.contract.test_broker_links import a_message, opened
from tests.testbed import provide
from tests.testbed.process import free_ports
from tests.testbed.rabbitmq import RabbitMQ

BODY_BYTES = 10 * 1024 * 1024


@pytest.fixture
def bed(rabbitmq: RabbitMQ, vhost: Any) -> Iterator[RealBed]:
    made = RealBed(rabbitmq, vhost)
    yield made
    made.close()


def other(bed: RealBed, **changes: Any) -> Any:
    """Links with other settings on the bed's loop, and what they tell; problems are recorded too."""
    seen = Seen()
    problems: List[str] = []
    how = changes.pop("how", {"consume": False})
    links = RabbitLinks(
        dataclasses.replace(bed.settings, **changes),
        seen,
        bed.ioloop,
        prefetch=10,
        rng=random.Random(1),
        client_name="other",
        on_problem=problems.append,
        **how,
    )
    bed._links.append(links)
    return links, seen, problems


def test_wrong_password_is_told_and_tried_again_only_slowly(bed: RealBed) -> None:
    links, seen, problems = other(bed, password="wrong")
    links.open()
    bed.pump(lambda: problems, "a problem")
    assert "RABBITMQ_PASS" in links.problem
    bed.let_pass(1.5)
    assert len(problems) == 1 and seen.links == []


def test_missing_virtual_host_is_told(bed: RealBed) -> None:
    links, _, problems = other(bed, vhost="nowhere")
    links.open()
    bed.pump(lambda: problems, "a problem")
    assert "RABBITMQ_VHOST" in problems[0]


def test_lacking_right_to_read_a_queue_is_told(bed: RealBed) -> None:
    bed.broker.add_user("blind", "secret")
    bed.broker.grant("blind", bed.settings.vhost, configure="^$", read="^$")
    links, seen, problems = other(bed, user="blind", password="secret", how={"consume": True})
    links.open()
    bed.pump(lambda: problems and "ACCESS_REFUSED" in links.problem, "a problem")
    assert ("consume", True, False) not in seen.links


def test_lacking_right_to_declare_what_stands_is_no_problem(bed: RealBed) -> None:
    bed.broker.add_user("user", "secret")
    bed.broker.grant("user", bed.settings.vhost, configure="^$")
    links, seen, problems = other(bed, user="user", password="secret")
    links.open()
    bed.pump(lambda: seen.links, "up")
    stand: List[Any] = []
    links.redeclare(stand.append)
    bed.pump(lambda: stand, "declared")
    assert stand[0] == {queue.name for queue in topology.queues()}
    assert links.problem == ""


def test_queue_that_stands_with_other_arguments_is_told_and_still_consumed(bed: RealBed) -> None:
    # Given
    channel = bed.channel()
    channel.queue_delete(topology.FICTIONAL)
    channel.queue_declare(topology.FICTIONAL, durable=True, arguments={"x-max-priority": 3})
    channel.queue_delete(topology.PRIORITY)
    # When: the missing one makes the link declare everything
    links, seen, problems = other(bed, how={"consume": True})
    links.open()
    bed.pump(lambda: ("consume", True, False) in seen.links, "up")
    # Then
    assert any("fictional stands otherwise" in problem for problem in problems)
    bed.put(topology.FICTIONAL, a_message())
    bed.put(topology.PRIORITY, a_message())
    bed.pump(lambda: {d.queue for d in seen.deliveries} == {topology.FICTIONAL, topology.PRIORITY}, "deliveries")


def test_first_host_away_the_next_is_taken(bed: RealBed) -> None:
    links, seen, _ = other(bed, hosts=("no-such-host.invalid", "127.0.0.3", bed.settings.hosts[0]))
    links.open()
    bed.pump(lambda: ("publish", True, False) in seen.links, "up")


def test_mute_peer_neither_blocks_the_loop_nor_the_close(bed: RealBed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reasond.adapters.amqp.HANDSHAKE_TIMEOUT_S", 0.7)
    # Given: a port that accepts and says nothing
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(5)
        links, seen, problems = other(bed, hosts=("127.0.0.1",), port=mute.getsockname()[1])
        # When
        links.open()
        gaps, last, until = [0.0], time.monotonic(), time.monotonic() + 2
        while time.monotonic() < until:
            bed.pump(lambda: True, "nothing")
            bed.ioloop.call_later(0.01, lambda: None)
            bed.ioloop.poll()
            bed.ioloop.process_timeouts()
            gaps.append(time.monotonic() - last)
            last = time.monotonic()
        # Then
        assert max(gaps) < 0.5
        assert problems and "can't be reached" in problems[0]
        links.relink("publish")
        bed.let_pass(0.2)
        links.close()
        bed.pump(lambda: links.closed, "closed", seconds=3)


def test_port_that_nobody_listens_on_is_told_and_tried_again(bed: RealBed) -> None:
    links, seen, problems = other(bed, port=free_ports(1)[0])
    links.open()
    bed.pump(lambda: problems, "a problem")
    assert "can't be reached" in problems[0]
    bed.let_pass(1.0)
    assert seen.links == []


def test_body_of_ten_megabytes_arrives_as_invalid(bed: RealBed) -> None:
    links, seen = opened(bed, consume=True)
    try:
        bed.put(topology.FICTIONAL, b"x" * BODY_BYTES)
    except pika.exceptions.ChannelClosedByBroker as err:
        assert err.reply_code == 406
    bed.put(topology.FICTIONAL, a_message())
    bed.pump(lambda: seen.deliveries and isinstance(seen.deliveries[-1].content, Message), "the sound one")
    assert all(isinstance(delivery.content, Invalid) for delivery in seen.deliveries[:-1])
    assert [link for link in seen.links if not link[1]] == []


def _broken(pieces: List[bytes], text: str) -> int:
    raw = b"\xff\xfe" if text == "BROKEN" else text.encode()
    pieces.extend((struct.pack("B", len(raw)), raw))
    return 1 + len(raw)


@pytest.mark.parametrize(
    "properties",
    [
        pytest.param({"message_id": "BROKEN"}, id="message id"),
        pytest.param({"content_type": "BROKEN"}, id="content type"),
        pytest.param({"headers": {"BROKEN": 1}}, id="header name"),
        pytest.param({"headers": {"deep": {"er": {"and": [{"deeper": 1}] * 50}}}}, id="nested headers"),
        pytest.param({"timestamp": 2**63 - 1}, id="timestamp"),
    ],
)
def test_broken_properties_arrive_and_the_link_goes_on(
    bed: RealBed, monkeypatch: pytest.MonkeyPatch, properties: Any
) -> None:
    links, seen = opened(bed, consume=True)
    with monkeypatch.context() as patched:
        patched.setattr(pika_data, "encode_short_string", _broken)
        bed.put(topology.FICTIONAL, a_message(), **properties)
    bed.put(topology.FICTIONAL, a_message())
    bed.pump(lambda: len(seen.deliveries) == 2, "both")
    assert isinstance(seen.deliveries[1].content, Message)
    assert all(isinstance(name, str) for name in seen.deliveries[0].headers)
    links.settle(Settle(tuple(delivery.receipt for delivery in seen.deliveries)))
    bed.let_pass(0.2)
    assert [link for link in seen.links if not link[1]] == []


def test_headers_that_amqp_cannot_carry_are_answered_nacked(bed: RealBed) -> None:
    links, seen = opened(bed)
    links.publish(publish("odd", headers={"number": 2**80}))
    links.publish(publish("even"))
    bed.pump(lambda: len(seen.confirmed) == 2, "answers")
    assert dict(seen.confirmed) == {"odd": "nacked", "even": "ok"}


@pytest.fixture
def small_bed() -> Iterator[RealBed]:
    """A broker with the role's bound on message size, made smaller."""
    with tempfile.TemporaryDirectory(prefix="reasond-test-") as folder:
        broker = RabbitMQ(provide.path_or_skip("rabbitmq"), Path(folder), extra_config=["max_message_size = 2000"])
        try:
            broker.start()
            made = RealBed(broker, broker.fresh_vhost())
            yield made
            made.close()
        finally:
            broker.close()


@pytest.mark.services
def test_body_over_the_brokers_bound_is_nacked_once_and_for_all(small_bed: RealBed) -> None:
    # Given
    bed = small_bed
    links, seen = opened(bed)
    # When: the broker closes the channel over the large one
    links.publish(publish("large", body=b"x" * 2001))
    bed.pump(lambda: len(seen.links) == 3 and seen.confirmed, "down and up again")
    # Then
    assert seen.confirmed == [("large", "nacked")]
    links.publish(publish("again", body=b"x" * 2001))
    links.publish(publish("small", body=b"x" * 2000))
    bed.pump(lambda: len(seen.confirmed) == 3, "answers")
    assert dict(seen.confirmed) == {"large": "nacked", "again": "nacked", "small": "ok"}
    assert len(seen.links) == 3


def certificate(folder: Path, name: str) -> Path:
    """Make a self-signed certificate for this host, good as its own authority, and its key beside it."""
    path = folder / f"{name}.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", str(path)]
    subprocess.run([*command, "-keyout", str(path.with_suffix(".key"))], check=True, capture_output=True)
    return path


@pytest.mark.services
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl isn't installed")
def test_amqps_with_the_right_ca_works_and_with_another_is_told() -> None:
    # Given
    with tempfile.TemporaryDirectory(prefix="reasond-test-") as scratch:
        folder = Path(scratch)
        ours, theirs = certificate(folder, "ours"), certificate(folder, "theirs")
        (port,) = free_ports(1)
        config = [f"listeners.ssl.1 = 127.0.0.1:{port}", f"ssl_options.cacertfile = {ours}"]
        config += [f"ssl_options.certfile = {ours}", f"ssl_options.keyfile = {ours.with_suffix('.key')}"]
        broker = RabbitMQ(provide.path_or_skip("rabbitmq"), folder / "node", extra_config=config)
        try:
            broker.start()
            bed = RealBed(broker, broker.fresh_vhost())
            # When
            tls = {"port": port, "tls": True, "hosts": ("127.0.0.1",)}
            right, seen, _ = other(bed, ca_file=str(ours), **tls)
            wrong, unseen, problems = other(bed, ca_file=str(theirs), **tls)
            right.open()
            wrong.open()
            bed.pump(lambda: seen.links and problems, "up, and a problem")
            right.publish(publish("1", body=b"x" * 100_000))
            bed.pump(lambda: seen.confirmed, "confirm")
            # Then
            assert seen.confirmed == [("1", "ok")]
            assert "certificate verify failed" in problems[0].lower() and unseen.links == []
            bed.close()
        finally:
            broker.close()
