"""An agent's life as a process on real services: start, notifications, reload, stop, services that go away."""

import json
import signal
import time

import pytest

from reasond import topology
from tests.services.agent_process import (
    BACK_S,
    READY_S,
    SOON_S,
    STOP_S,
    count,
    fill,
    management_of,
    ready_services,
    services,
    set_up,
    started,
    waiting,
)
from tests.testbed.waiting import wait_until


@pytest.fixture
def start(tmp_path):
    """A function that makes agents, which end with the test."""
    yield from started(tmp_path)


@pytest.fixture
def environ(vhost, influxd, bucket):
    """Settings of the run's services, with the topology set up."""
    return ready_services(vhost, influxd, bucket)


# Start and stop


@pytest.mark.parametrize(
    "kind, figures",
    [
        ("publisher", ["every 1 s/1 s", "depth priority", "last continue by rules"]),
        ("consumer", ["/min", "in hand"]),
        ("monitor", ["score"]),
    ],
    ids=["publisher", "consumer", "monitor"],
)
def test_agent_from_start_to_stop_tells_systemd_in_order(start, environ, kind, figures):
    # Given a started agent
    agent = start(kind, environ)
    before_ready = agent.since()[: agent.since().index("READY=1")]
    assert not any(text.startswith(("STOPPING", "RELOADING")) for text in before_ready)

    # When it has worked for a while
    for figure in figures:
        agent.expect("STATUS=", containing=figure)
    mark = len(agent.told)
    wait_until(lambda: agent.since(mark).count("WATCHDOG=1") >= 5, what="five watchdog calls", timeout_seconds=SOON_S)
    mark = len(agent.told)
    status, seconds = agent.stop()

    # Then it says so first, and ends well and in time
    ends = [text for text in agent.since(mark) if not text.startswith(("WATCHDOG", "STATUS"))]
    assert (status, ends) == (0, ["STOPPING=1"])
    assert seconds < STOP_S
    assert "Traceback" not in agent.log


@pytest.mark.parametrize(
    "handler_ms, in_time",
    # What is in hand (16 messages on one thread) takes about 5 s, or far more than the stop has.
    [("300", True), ("900", False)],
    ids=["all in hand handled", "cut off in hand"],
)
def test_agent_stopped_in_mid_work_loses_no_message(
    start, environ, vhost, rabbitmq, influxd, bucket, handler_ms, in_time
):
    fill(rabbitmq, vhost, "fictional", 40)
    agent = start("consumer", {**environ, "CONSUMER_HANDLER_DURATION_MS": handler_ms, "CONSUMER_HANDLER_THREADS": "1"})
    wait_until(
        lambda: count(influxd, bucket, "consumer_metrics", "messages_consumed") >= 3,
        what="the first messages",
        timeout_seconds=SOON_S,
    )

    status, seconds = agent.stop()

    assert (status, seconds < STOP_S) == (0, True)
    assert in_time or "stopped_with_work_in_hand" in agent.log
    consumed = count(influxd, bucket, "consumer_metrics", "messages_consumed")
    assert 3 <= consumed < 40
    wait_until(lambda: waiting(environ) == 40 - consumed, what="the rest in the queue", timeout_seconds=SOON_S)
    # And the next process finds nothing that one before it died with
    journal = json.loads(next((agent.folder.parent / "state").rglob("in_hand.state.json")).read_text())
    assert journal["sights"] == {}


def test_agent_that_is_stopped_while_the_broker_is_away_ends_in_time(start, environ):
    agent = start("publisher", {**environ, "RABBITMQ_PORT": "1"}, launch=False)
    agent.process.launch()
    agent.expect("STATUS=", containing="waiting for RabbitMQ")

    status, seconds = agent.stop()

    assert (status, seconds < STOP_S) == (0, True)


# Settings


@pytest.mark.parametrize(
    "environ, lines",
    [
        ({"PUBLISHER_ID": ""}, ["PUBLISHER_ID is not set"]),
        (
            {"RABBITMQ_PORT": "http", "PUBLISHER_TTL_S": "0", "PUBLISHER_SPED": "1"},
            ["RABBITMQ_PORT", "PUBLISHER_TTL_S", "PUBLISHER_SPED"],
        ),
    ],
    ids=["missing", "three wrong"],
)
def test_wrong_settings_end_the_start_with_78_and_a_line_each(start, environ, lines):
    agent = start("publisher", environ, launch=False)
    agent.process.launch()

    assert agent.wait_end(READY_S) == 78

    told = agent.log.splitlines()
    assert len(told) == len(lines), agent.log
    for name in lines:
        assert sum(name in line for line in told) == 1
    assert agent.since() == []


def test_second_process_of_one_identity_ends_with_78_naming_the_first(start, environ):
    first = start("publisher", environ)
    second = start("publisher", environ, launch=False)
    second.process.log_path = second.folder / "second.log"
    second.process.launch()

    assert second.wait_end(READY_S) == 78

    assert str(first.process.pid) in second.log and "Traceback" not in second.log
    assert first.process.running


def test_reload_takes_what_may_be_reread_and_refuses_what_is_wrong(
    start, environ, vhost, rabbitmq, influxd, bucket, tmp_path
):
    # Given a consumer whose settings stand in a file
    file = tmp_path / "agents.env"
    file.write_text("CONSUMER_HANDLER_DURATION_MS=0\n")
    agent = start("consumer", {**environ, "REASOND_SETTINGS_FILES": str(file)})

    # When one of them is changed
    file.write_text('CONSUMER_HANDLER_DURATION_MS="250"\nRABBITMQ_PORT=1\n')
    mark = len(agent.told)
    agent.signal(signal.SIGHUP)
    agent.expect("READY=1", mark=mark)

    # Then it takes effect, and what needs a restart is let be
    told = [text for text in agent.since(mark) if text in ("RELOADING=1", "READY=1")]
    assert told == ["RELOADING=1", "READY=1"]
    fill(rabbitmq, vhost, "fictional", 1)
    flux = (
        f'from(bucket: "{bucket}") |> range(start: -1h) |> filter(fn: (r) => '
        'r._measurement == "consumer_metrics" and r._field == "processing_duration_ms")'
    )
    rows = wait_until(lambda: influxd.query(flux), what="the message's point", timeout_seconds=SOON_S)
    assert float(rows[0]["_value"]) >= 250

    # When one is wrong, then nothing of the file is taken, and the log names it
    file.write_text("CONSUMER_HANDLER_DURATION_MS=soon\nREASOND_LOG_LEVEL=error\n")
    mark = len(agent.told)
    agent.signal(signal.SIGHUP)
    agent.expect("READY=1", mark=mark)
    wait_until(lambda: "reload_refused" in agent.log, what="the refusal", timeout_seconds=SOON_S)
    assert "CONSUMER_HANDLER_DURATION_MS" in agent.log.split("reload_refused")[1].splitlines()[0]


# Services that go away


def test_agent_started_before_its_broker_waits_and_becomes_ready(start, breakable_rabbitmq, influxd, bucket):
    vhost = breakable_rabbitmq.fresh_vhost()
    environ = services(vhost, influxd, bucket)
    breakable_rabbitmq.stop()
    agent = start("consumer", environ, launch=False)
    agent.process.launch()
    agent.expect("STATUS=", containing="degraded: waiting for RabbitMQ")
    agent.expect("EXTEND_TIMEOUT_USEC=")
    assert "READY=1" not in agent.since()

    breakable_rabbitmq.start()

    agent.expect("READY=1", BACK_S)


def test_broker_killed_in_mid_run_agents_come_back_and_nothing_is_lost(start, breakable_rabbitmq, influxd, bucket):
    # Given a publisher and a consumer at work
    vhost = breakable_rabbitmq.fresh_vhost()
    environ = services(vhost, influxd, bucket)
    set_up(environ)
    publisher, consumer = start("publisher", environ), start("consumer", environ)
    wait_until(
        lambda: count(influxd, bucket, "consumer_metrics", "messages_consumed") >= 3,
        what="a flow",
        timeout_seconds=SOON_S,
    )

    # When the broker crashes and comes back
    marks = {agent: len(agent.told) for agent in (publisher, consumer)}
    breakable_rabbitmq.kill()
    for agent, mark in marks.items():
        agent.expect("STATUS=degraded", mark=mark)
    breakable_rabbitmq.start()
    before = count(influxd, bucket, "consumer_metrics", "messages_consumed")
    wait_until(
        lambda: count(influxd, bucket, "consumer_metrics", "messages_consumed") >= before + 5,
        what="the flow again",
        timeout_seconds=BACK_S,
    )

    # Then all that was confirmed is consumed or still there
    assert publisher.stop()[0] == 0
    assert consumer.stop()[0] == 0
    confirmed = count(influxd, bucket, "publisher_metrics", "messages_published")
    consumed = count(influxd, bucket, "consumer_metrics", "messages_consumed")
    wait_until(
        lambda: consumed + waiting(environ) >= confirmed,
        what="every confirmed message",
        timeout_seconds=SOON_S,
    )
    assert "Traceback" not in publisher.log + consumer.log


def test_influxdb_away_agents_go_on_and_their_points_arrive_later(start, vhost, breakable_influxd):
    # Given a publisher at work
    bucket = breakable_influxd.fresh_bucket()
    environ = services(vhost, breakable_influxd, bucket)
    set_up(environ)
    agent = start("publisher", environ)
    wait_until(
        lambda: count(breakable_influxd, bucket, "publisher_metrics", "messages_published") >= 2,
        what="points",
        timeout_seconds=SOON_S,
    )

    # When InfluxDB goes away
    breakable_influxd.stop()
    went_ns = time.time_ns()
    mark, depth = len(agent.told), waiting(environ)
    agent.expect("STATUS=degraded", mark=mark, containing="influxdb")

    # Then messages go on, and the points of that time come in afterwards
    wait_until(lambda: waiting(environ) >= depth + 4, what="more messages", timeout_seconds=SOON_S)
    back_ns = time.time_ns()
    breakable_influxd.start()
    flux = (
        f'from(bucket: "{bucket}") |> range(start: time(v: {went_ns}), stop: time(v: {back_ns})) '
        '|> filter(fn: (r) => r._measurement == "publisher_metrics" and r._field == "messages_published")'
    )
    wait_until(lambda: len(breakable_influxd.query(flux)) >= 4, what="late points", timeout_seconds=BACK_S)
    mark = len(agent.told)
    agent.expect("STATUS=every", mark=mark)
    assert agent.stop()[0] == 0


def test_queue_deleted_under_a_consumer_comes_back(start, environ, vhost, rabbitmq):
    start("consumer", environ)
    management = management_of(environ)

    rabbitmq.api("DELETE", f"/api/queues/{vhost.quoted}/{topology.FICTIONAL}")

    wait_until(lambda: management.queue(topology.FICTIONAL) is not None, what="the queue again", timeout_seconds=BACK_S)


@pytest.mark.parametrize("kind", ["publisher", "consumer"])
def test_agent_stopped_while_its_broker_is_frozen_ends_in_time(start, breakable_rabbitmq, influxd, bucket, kind):
    vhost = breakable_rabbitmq.fresh_vhost()
    environ = services(vhost, influxd, bucket)
    set_up(environ)
    agent = start(kind, environ)

    breakable_rabbitmq.signal_stop()
    try:
        status, seconds = agent.stop()
    finally:
        breakable_rabbitmq.signal_cont()

    assert (status, seconds < STOP_S) == (0, True)
