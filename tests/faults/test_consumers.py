"""Consumers that are killed, frozen, poisoned, without disk or without their queue; nothing may be lost."""

import json
import os
import subprocess
import time
import uuid

import pytest

from tests.testbed.flow import (
    CONSUMERS,
    IN_HAND_MOST,
    ages,
    percentile,
    unexplained,
    wait_handled,
)
from tests.testbed.ledger_handler import POISON, POISON_EXIT
from tests.testbed.waiting import wait_until

RATE = 60
# Beyond two heartbeats of 5 s the broker takes a silent consumer for dead.
FROZEN_SECONDS = 16
DEATHS_EACH = 2
"""Processes that a consumer loses to one message before it rejects it at the third sight."""


@pytest.fixture(scope="module")
def flow(make_flow, rabbitmq, influxd):
    made = make_flow(rabbitmq, influxd)
    made.start(*CONSUMERS)
    return made


def test_consumer_killed_while_handling_loses_nothing(flow, report):
    # Given a consumer with messages in hand
    ledger = flow.ledger()
    load = flow.load(RATE, 8)
    wait_handled(ledger, 2 * RATE)
    wait_until(lambda: ledger.open_in("consumer-1"), what="a message in hand", timeout_seconds=10)

    # When it is killed and started again
    began = time.time()
    flow.processes["consumer-1"].kill()
    in_hand = ledger.open_in("consumer-1")
    flow.start("consumer-1")
    ended = time.time()

    # Then every message comes to its end, and only what it had in hand may have come twice
    found = flow.settle(ledger, load)
    report(found, in_hand_at_the_kill=len(in_hand), seconds_until_back=ended - began)
    assert in_hand
    assert found.lost == ()
    assert len(found.doubles) <= IN_HAND_MOST
    assert unexplained(ledger, found, began, ended) == {}
    assert all("consumer-1" in ends for ends in found.doubles.values())


def test_frozen_consumer_holds_up_nobody_and_goes_on(flow, report):
    # Given a consumer that is frozen with messages in hand
    ledger = flow.ledger()
    load = flow.load(RATE, FROZEN_SECONDS)
    wait_handled(ledger, 2 * RATE)
    wait_until(lambda: ledger.open_in("consumer-2"), what="a message in hand", timeout_seconds=10)
    began = time.time()
    flow.processes["consumer-2"].signal_stop()
    in_hand = ledger.open_in("consumer-2")

    # When the broker has given its messages to the others and it goes on
    wait_until(
        lambda: flow.consumers("fictional") == 2 and time.time() >= began + FROZEN_SECONDS,
        what="the broker to give it up",
        timeout_seconds=3 * FROZEN_SECONDS,
    )
    flow.processes["consumer-2"].signal_cont()
    ended = time.time()
    flow.wait_consuming(3)
    back = time.time()

    # Then nothing is lost, and only what it had in hand came twice
    found = flow.settle(ledger, load)
    report(
        found,
        in_hand=len(in_hand),
        frozen_s=ended - began,
        back_after_s=back - ended,
        p50_age_meanwhile_s=percentile(ages(ledger, began, ended), 0.5),
        oldest_s=max(ages(ledger, began, back)),
    )
    assert found.lost == ()
    assert len(found.doubles) <= IN_HAND_MOST
    assert unexplained(ledger, found, began, ended) == {}


def test_poisoned_message_is_rejected_and_its_neighbours_are_handled(flow, rabbitmq, report):
    # Given a message that kills whoever handles it, amid others
    ledger = flow.ledger()
    load = flow.load(RATE / 2, 10)
    wait_handled(ledger, RATE)
    poison = publish_poison(rabbitmq)
    began = time.time()
    deaths = []

    # When consumers are started again as often as they die of it
    def rejected():
        for name in CONSUMERS:
            if flow.processes[name].exit_status is not None:
                deaths.append((name, flow.processes[name].exit_status))
        flow.revive()
        return poison in ledger.queued()["books.rejected"]

    wait_until(rejected, what="the poison rejected", timeout_seconds=90, every_seconds=0.2)
    ended = time.time()
    flow.wait_consuming(3)

    # Then it ends in books.rejected, once, and costs no other message anything
    found = flow.settle(ledger, load)
    sights = [note for note in ledger.notes() if note.message_id == poison]
    report(found, deaths=len(deaths), sights=len(sights), seconds_until_rejected=ended - began)
    assert len(sights) == len(deaths) >= DEATHS_EACH
    assert {status for _, status in deaths} == {POISON_EXIT}
    assert len(deaths) <= DEATHS_EACH * len(CONSUMERS)
    assert found.lost == ()
    assert poison not in found.doubles
    assert found.ends["books.rejected"] == 1, "a neighbour was rejected with it"
    assert unexplained(ledger, found, began, ended) == {}
    assert len(found.doubles) <= IN_HAND_MOST * len(deaths)


def test_deleted_queue_comes_back_and_is_consumed(flow, rabbitmq, report):
    # Given an empty queue that is deleted under its consumers
    assert flow.drained()
    began = time.time()
    rabbitmq.api("DELETE", "/api/queues/%2F/fictional")

    # When the agents have brought it back
    flow.wait_consuming(3)
    back = time.time()
    ledger = flow.ledger()
    load = flow.load(RATE, 4)

    # Then messages flow through it as before, expiry included
    found = flow.settle(ledger, load)
    policy = rabbitmq.api("GET", "/api/queues/%2F/fictional").get("effective_policy_definition", {})
    report(found, back_after_s=back - began)
    assert found.confirmed == RATE * 4
    assert found.lost == () and found.doubles == {}
    assert policy.get("dead-letter-exchange") == "books.dead"


def test_consumer_goes_on_while_its_disk_is_full(flow, tmp_path, report):
    # Given a consumer whose state stands on a disk of its own
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("a full disk needs a file system of its own, and mounting one needs root")
    try:
        flow.start("consumer-4", REASOND_STATE_DIR=str(disk))
        ledger = flow.ledger()
        load = flow.load(RATE, 13)
        wait_handled(ledger, RATE)

        # When that disk is full for a while
        began = time.time()
        filler = disk / "filler"
        fill(filler)
        wait_until(
            lambda: "state_not_saved" in flow.processes["consumer-4"].log_tail(),
            what="word of the full disk",
            timeout_seconds=10,
        )
        told = time.time()
        wait_until(
            lambda: sum(handled_by(ledger, "consumer-4", told)) >= 20,
            what="20 messages handled without a disk",
            timeout_seconds=20,
        )
        filler.unlink()
        ended = time.time()

        # Then it has worked on, nothing is lost, and every message's point arrives
        found = flow.settle(ledger, load)
        report(found, full_for_s=ended - began, oldest_s=max(ages(ledger, began, ended)))
        assert found.lost == () and found.doubles == {}
        wait_until(
            lambda: flow.handled_points(began) >= len(ages(ledger, began, time.time())),
            what="the points",
            timeout_seconds=30,
            every_seconds=0.5,
        )
    finally:
        flow.stop("consumer-4")
        subprocess.run(["umount", str(disk)], check=True)


def handled_by(ledger, consumer, since_s):
    """Yield a 1 for each message that the consumer handled since then."""
    return [1 for n in ledger.notes() if n.consumer == consumer and n.what == "handled" and n.at_s > since_s]


def fill(path):
    """Write until the disk refuses."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 1024):
                pass
        except OSError:
            return


def publish_poison(rabbitmq):
    message_id = str(uuid.uuid4())
    message = {
        "header": {
            "message_id": message_id,
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "version": "1.0",
            "source": "load-1",
        },
        "metadata": {
            "genre_type": "fictional",
            "priority": "normal",
            "ttl_seconds": 600,
            "publisher_reasoning": "a test",
        },
        "payload": {
            "entity_id": "book_poison",
            "action": "location_update",
            "coordinates": {"lat": 49.262, "lng": -122.781},
            "context": f"The Name of the Rose is {POISON}.",
        },
    }
    published = rabbitmq.api(
        "POST",
        "/api/exchanges/%2F/books/publish",
        {
            "properties": {
                "delivery_mode": 2,
                "content_type": "application/json",
                "message_id": message_id,
                "expiration": "600000",
            },
            "routing_key": "fictional",
            "payload": json.dumps(message),
            "payload_encoding": "string",
        },
    )
    assert published["routed"]
    return message_id
