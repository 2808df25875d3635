"""The broker killed, frozen, or out of memory under load; what it confirmed may not be lost."""

import time

import pytest

from tests.testbed.flow import CONSUMERS, IN_HAND_MOST, ages, percentile, resumed_after_s, unexplained, wait_handled
from tests.testbed.waiting import wait_until

RATE = 60
FROZEN_SECONDS = 15
ALARM_SECONDS = 4
# 0 alarms at once; 0.4 is what a broker has that nobody configured.
NO_MEMORY, USUAL_MEMORY = "0", "0.4"


@pytest.fixture(scope="module")
def flow(make_flow, breakable_rabbitmq, influxd):
    made = make_flow(
        breakable_rabbitmq,
        influxd,
        PUBLISHER_FICTIONAL_INTERVAL_S="1",
        PUBLISHER_NONFICTIONAL_INTERVAL_S="1",
        PUBLISHER_DECISION_PERIOD_S="3600",
        PUBLISHER_ANOMALY_RATE="0",
    )
    made.start(*CONSUMERS)
    return made


@pytest.fixture
def publisher(flow):
    """A publisher beside the load: it publishes again what the fault left unconfirmed."""
    flow.start("publisher-1")
    return "publisher-1"


@pytest.fixture
def recovered(flow, publisher, report):
    """A function that settles after a fault, checks what every fault of the broker has in common, and reports."""

    def settle(ledger, load, began, ended, **figures):
        load.wait_end()
        assert all(flow.processes[name].running for name in (*CONSUMERS, publisher))
        flow.stop(publisher)
        found = flow.settle(ledger, load)
        published = flow.points("messages_published", f'r.agent_id == "{publisher}"', ledger.since_s)
        report(
            found,
            fault_s=ended - began,
            recognised_as_duplicates=flow.duplicate_points(began),
            confirmed_to_the_publisher=published,
            **figures,
        )
        assert found.lost == ()
        assert unexplained(ledger, found, began, ended) == {}
        assert len(found.doubles) <= IN_HAND_MOST * len(CONSUMERS)
        loads = {note.message_id for note in ledger.notes() if note.source == "load-1"}
        ended_there = set(found.strangers) - loads
        assert 0 < published <= len(ended_there), "a message confirmed to the publisher has no end"
        return found

    return settle


def test_killed_broker_loses_no_confirmed_message(flow, recovered):
    ledger = flow.ledger()
    load = flow.load(RATE, 12)
    wait_handled(ledger, 2 * RATE)

    began = time.time()
    flow.rabbitmq.kill()
    flow.rabbitmq.start()
    ended = time.time()
    flow.wait_consuming(3)
    back = time.time()

    recovered(ledger, load, began, ended, consuming_again_after_s=back - ended)


def test_frozen_broker_loses_no_confirmed_message(flow, recovered):
    ledger = flow.ledger()
    load = flow.load(RATE, FROZEN_SECONDS + 4)
    wait_handled(ledger, 2 * RATE)

    began = time.time()
    flow.rabbitmq.signal_stop()
    wait_until(lambda: time.time() >= began + FROZEN_SECONDS, what="the time", timeout_seconds=FROZEN_SECONDS + 5)
    flow.rabbitmq.signal_cont()
    ended = time.time()
    load.wait_end()

    recovered(ledger, load, began, ended, flowing_again_after_s=resumed_after_s(ledger, ended))


def test_memory_alarm_stops_publishers_only(flow, recovered):
    # Given a load, and a broker that blocks whoever publishes
    ledger = flow.ledger()
    load = flow.load(RATE, 12)
    wait_handled(ledger, 2 * RATE)
    began = time.time()
    flow.rabbitmq.ctl("set_vm_memory_high_watermark", NO_MEMORY)
    alarmed = time.time()
    try:
        # When the alarm lasts, then consumers still handle and acknowledge all there is
        wait_until(flow.drained, what="queues drained in the alarm", timeout_seconds=30, every_seconds=0.2)
        drained = time.time()
        wait_until(lambda: time.time() >= drained + ALARM_SECONDS, what="the time", timeout_seconds=2 * ALARM_SECONDS)
    finally:
        ended = time.time()
        flow.rabbitmq.ctl("set_vm_memory_high_watermark", USUAL_MEMORY)

    # And afterwards everything that was due is published and confirmed
    told = load.wait_end()
    found = recovered(
        ledger,
        load,
        began,
        ended,
        drained_after_s=drained - alarmed,
        p99_age_s=percentile(ages(ledger, began, time.time()), 0.99),
    )
    assert ages(ledger, drained + 0.5, ended) == [], "the alarm stopped no publisher"
    assert (told["confirmed"], told["returned"], told["unconfirmed"]) == (told["due"], 0, 0)
    assert found.confirmed == RATE * 12
    assert found.doubles == {}
