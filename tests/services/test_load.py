"""`reasond load` on a real broker: every message arrives, Ctrl-C ends with the report, a broker away is an error."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reasond import topology
from reasond.adapters import broker_setup
from reasond.adapters.management import Management
from reasond.doctor.examined import examine
from reasond.messages import Message, read
from tests.testbed.process import free_ports
from tests.testbed.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60


@pytest.fixture
def environ(vhost):
    found = {
        "RABBITMQ_HOST": vhost.host,
        "RABBITMQ_PORT": str(vhost.port),
        "RABBITMQ_USER": vhost.username,
        "RABBITMQ_PASS": vhost.password,
        "RABBITMQ_VHOST": vhost.name,
        "RABBITMQ_MANAGEMENT_URL": vhost.management_url,
    }
    broker_setup.set_up(management(found), "classic")
    return found


def management(environ):
    return Management(examine(environ, ()).settings.rabbit)


def start(environ, *options):
    return subprocess.Popen(
        [sys.executable, "-m", "reasond", "load", "--json", *options],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "agents"), "REASOND_SETTINGS_FILES": "", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=DEADLINE_S)
    assert "Traceback" not in err, err
    return process.returncode, json.loads(out) if out else None, err


def depths(environ):
    return {sample.queue: sample.depth for sample in management(environ).queue_samples(0)}


def test_load_publishes_what_was_due_and_every_confirmed_message_is_there(environ, vhost, rabbitmq, tmp_path):
    ledger = tmp_path / "confirmed.jsonl"

    status, report, _ = finish(
        start(environ, "--rate", "100", "--duration", "3", "--pattern", "burst", "--ledger", str(ledger))
    )

    assert (status, report["published"], report["confirmed"], report["due"]) == (0, 540, 540, 540)
    assert sum(depth for queue, depth in depths(environ).items() if queue in topology.MAIN_QUEUES) == 540
    noted = {json.loads(line)["message_id"] for line in ledger.read_text().splitlines()}
    assert noted == {message.header.message_id for message in taken(rabbitmq, vhost)} and len(noted) == 540


def taken(rabbitmq, vhost):
    """Take every message out of the main queues; all must be of the schema, where they belong, from load-1."""
    found = []
    for queue in topology.MAIN_QUEUES:
        body = {"count": 2000, "ackmode": "ack_requeue_false", "encoding": "auto"}
        for entry in rabbitmq.api("POST", f"/api/queues/{vhost.quoted}/{queue}/get", body):
            message = read(entry["payload"].encode())
            assert isinstance(message, Message), message
            assert (topology.routing_key(message), message.header.source) == (queue, "load-1")
            assert entry["properties"]["expiration"] == str(message.metadata.ttl_seconds * 1000)
            assert entry["properties"]["delivery_mode"] == 2
            found.append(message)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_load_that_is_interrupted_ends_soon_with_its_report(environ, number):
    process = start(environ, "--rate", "50", "--duration", "600")
    wait_until(lambda: sum(depths(environ).values()) >= 20, what="some messages", timeout_seconds=DEADLINE_S)

    began = time.monotonic()
    process.send_signal(number)
    status, report, _ = finish(process)

    assert (status, report["interrupted"], time.monotonic() - began < 5) == (130, True, True)
    assert 20 <= report["published"] == report["confirmed"] == sum(depths(environ).values())
    assert report["due"] < 50 * 600


def test_load_without_a_broker_says_what_and_what_next_with_status_75(environ):
    (port,) = free_ports(1)

    status, report, err = finish(start({**environ, "RABBITMQ_PORT": str(port)}, "--duration", "1"))

    assert (status, report) == (75, None)
    what, what_next = err.splitlines()
    assert "no connection to RabbitMQ" in what and "reasond doctor" in what_next


def test_load_interrupted_before_there_is_a_connection_ends_at_once(environ):
    (port,) = free_ports(1)
    process = start({**environ, "RABBITMQ_PORT": str(port)}, "--duration", "1")
    wait_until(
        lambda: "SigCgt" in caught(process) and int(caught(process).split()[-1], 16) & (1 << (signal.SIGTERM - 1)),
        what="the signal's handler",
        timeout_seconds=DEADLINE_S,
    )

    process.send_signal(signal.SIGINT)

    status, report, _ = finish(process)
    assert (status, report["published"], report["interrupted"]) == (130, 0, True)


def caught(process):
    """Give the kernel's line about the signals that a process catches (proc(5))."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(line for line in lines if line.startswith("SigCgt"))


def test_load_whose_messages_are_refused_says_so_with_status_1(environ, vhost, rabbitmq):
    admin = management(environ)
    for queue in topology.MAIN_QUEUES:
        rabbitmq.api("DELETE", f"/api/queues/{vhost.quoted}/{queue}")
        admin.declare_queue(queue, {"x-max-length": 1, "x-overflow": "reject-publish"})
        admin.bind(topology.EXCHANGE, queue, queue)

    status, report, _ = finish(start(environ, "--rate", "50", "--duration", "2"))

    assert status == 1
    assert report["nacked"] + report["confirmed"] == report["published"] and report["nacked"] > 0
