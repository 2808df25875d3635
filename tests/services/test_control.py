"""`reasond control` on running agents: what is ordered happens, is recorded as the operator's, and stands."""

import json
import subprocess
import sys

import pytest

from tests.services.agent_process import ROOT, SOON_S, fill, ready_services, started, waiting
from tests.testbed.waiting import wait_until

COMMAND_S = 30


@pytest.fixture
def start(tmp_path):
    """A function that makes agents, which end with the test."""
    yield from started(tmp_path)


@pytest.fixture
def environ(vhost, influxd, bucket):
    """Settings of the run's services, with the topology set up."""
    return ready_services(vhost, influxd, bucket)


@pytest.fixture
def control(tmp_path):
    """A function that runs the command as the operator does; gives the standing orders."""

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "reasond", "control", *arguments],
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": str(ROOT / "agents"),
                "REASOND_STATE_DIR": str(tmp_path / "state"),
                "REASOND_SETTINGS_FILES": "",
            },
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout) if done.stdout.startswith("{") else done.stdout

    return run


def recorded(influxd, bucket):
    """Give the operator's decisions on record: (agent, action)."""
    flux = (
        f'from(bucket: "{bucket}") |> range(start: -1h) |> filter(fn: (r) => r._measurement == "agent_reasoning" '
        'and r.brain == "operator" and r._field == "decision_id")'
    )
    return {(row["agent_id"], row["action"]) for row in influxd.query(flux)}


def test_publisher_held_publishes_nothing_until_it_is_resumed(start, environ, control, influxd, bucket):
    # Given a publisher at work
    agent = start("publisher", environ)
    wait_until(lambda: waiting(environ) >= 2, what="messages", timeout_seconds=SOON_S)

    # When it is held, nothing more comes
    mark = len(agent.told)
    assert control("publisher-1", "hold")["hold"] is True
    agent.expect("STATUS=", mark=mark, containing="held")
    held_at = waiting(environ)
    mark = len(agent.told)
    wait_until(lambda: agent.since(mark).count("WATCHDOG=1") >= 15, what="three seconds", timeout_seconds=SOON_S)
    assert waiting(environ) == held_at

    # When it is resumed, more do, and both orders are on record
    control("publisher-1", "resume")
    wait_until(lambda: waiting(environ) > held_at, what="messages again", timeout_seconds=SOON_S)
    wait_until(
        lambda: {("publisher-1", "hold"), ("publisher-1", "resume")} <= recorded(influxd, bucket),
        what="the operator's record",
        timeout_seconds=SOON_S,
    )


def test_publishers_interval_is_set_by_hand_and_shown_in_its_status(start, environ, control):
    # With a brain that changes nothing by itself.
    agent = start("publisher", {**environ, "PUBLISHER_MAX_INTERVAL_S": "60", "REASOND_BRAIN": "static"})

    control("publisher-1", "interval", "fictional=7", "nonfictional=9")

    agent.expect("STATUS=", containing="every 7 s/9 s")


def test_order_given_while_the_agent_is_away_is_taken_at_its_start(start, environ, control):
    first = start("publisher", environ)
    assert first.stop()[0] == 0
    wait_until(lambda: not first.process.running, what="its end", timeout_seconds=SOON_S)
    before = waiting(environ)

    state = first.folder.parent / "state"
    done = subprocess.run(
        [sys.executable, "-m", "reasond", "control", "publisher-1", "hold", "--state-dir", str(state)],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "agents")},
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
    )
    assert done.returncode == 0 and "isn't running" in done.stderr

    second = start("publisher", environ)
    second.expect("STATUS=", containing="held")
    assert waiting(environ) == before


def test_consumer_held_takes_nothing_new_until_it_is_resumed(start, environ, control, rabbitmq, vhost):
    agent = start("consumer", environ)
    mark = len(agent.told)
    control("consumer-1", "hold")
    agent.expect("STATUS=", mark=mark, containing="held")

    fill(rabbitmq, vhost, "fictional", 3)
    mark = len(agent.told)
    wait_until(lambda: agent.since(mark).count("WATCHDOG=1") >= 10, what="two seconds", timeout_seconds=SOON_S)
    assert waiting(environ) == 3

    control("consumer-1", "resume")
    wait_until(lambda: waiting(environ) == 0, what="an empty queue", timeout_seconds=SOON_S)
