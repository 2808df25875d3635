"""The operator's commands over a real InfluxDB, as processes: what they print, in which form, with which status."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reasond.adapters.influxdb import InfluxWriter
from reasond.adapters.spool import Spool
from reasond.adapters.state import StateDir
from reasond.core.agent import Control
from reasond.settings import InfluxSettings
from tests.support.past import past
from tests.testbed.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 60


@pytest.fixture(scope="module")
def environ(influxd, tmp_path_factory):
    """A host with one agent's state, whose InfluxDB holds a past that goes on for ten minutes."""
    bucket = influxd.fresh_bucket()
    found = InfluxSettings(url=influxd.url, token=influxd.token, org=influxd.org, bucket=bucket)
    said = []
    writer = InfluxWriter(found, Spool(tmp_path_factory.mktemp("spool"), 10**8), said.append)
    writer.write(past(time.time_ns() + 600 * 10**9))
    assert writer.close(SECONDS), said
    folder = tmp_path_factory.mktemp("host")
    StateDir(folder / "state" / "publisher-1").give_control(Control(serial=1, shadow=True))
    yield {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "agents"),
        "INFLUXDB_URL": found.url,
        "INFLUXDB_TOKEN": found.token,
        "INFLUXDB_ORG": found.org,
        "INFLUXDB_BUCKET": bucket,
        "REASOND_STATE_DIR": str(folder / "state"),
        "REASOND_LOG_DIR": str(folder / "log"),
        "REASOND_SETTINGS_FILES": "",
    }
    influxd.delete_bucket(bucket)


def run(environ, *words, status=0):
    done = subprocess.run(
        [sys.executable, "-m", "reasond", *words], env=environ, capture_output=True, timeout=SECONDS, check=False
    )
    assert done.returncode == status, done.stderr.decode()
    return done.stdout.decode()


def test_status_is_well_then_tells_a_silent_monitor(environ):
    text = run(environ, "status")
    few = dict(environ, MONITOR_EXPECTED_AGENTS="publisher-1,monitor-2")
    care = json.loads(run(few, "status", "--json", status=1))["care"]

    assert "healthy" in text.splitlines()[0]
    assert re.search(r"^publisher-1 +up +in shadow by the operator", text, re.MULTILINE)
    assert "\x1b" not in text
    assert care == ["monitor-2 is away: no heartbeat in the last day"]


def test_status_is_refused_by_a_wrong_token(environ):
    out = run(dict(environ, INFLUXDB_TOKEN="wrong"), "status", status=77)

    assert "INFLUXDB_TOKEN" in out


def test_watch_draws_again_and_ends_with_130(environ):
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "reasond", "status", "--watch", "1"],
        env=dict(environ, TERM="xterm", COLUMNS="160", LINES="50"),
        stdout=follower,
        stderr=subprocess.DEVNULL,
    )
    os.close(follower)
    os.set_blocking(leader, False)
    seen = b""

    def drawn_twice():
        nonlocal seen
        try:
            seen += os.read(leader, 1 << 20)
        except OSError:
            pass  # nothing yet, or the other end is closed
        return len(set(re.findall(rb"\d\d:\d\d:\d\d UTC", seen))) >= 2

    try:
        wait_until(drawn_twice, what="a second look", timeout_seconds=SECONDS)
        process.send_signal(2)
        # Read on: with its terminal full it could not write its last words.
        wait_until(lambda: drawn_twice() and process.poll() is not None, what="its end", timeout_seconds=SECONDS)
        assert process.returncode == 130
    finally:
        process.kill()
        process.wait()
        os.close(leader)


def test_watch_in_a_pipe_gives_one_json_object_a_line(environ):
    process = subprocess.Popen(
        [sys.executable, "-m", "reasond", "status", "--watch", "1", "--json"], env=environ, stdout=subprocess.PIPE
    )
    try:
        first, second = json.loads(process.stdout.readline()), json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()

    assert second["time_ns"] - first["time_ns"] >= 10**9


def test_decisions_are_listed_and_one_is_shown_with_its_transcript(environ):
    found = json.loads(run(environ, "decisions", "--agent", "publisher-1", "--limit", "4", "--json"))
    one = found[1]
    table = run(environ, "decisions", "--agent", "publisher-1", "--limit", "4")
    missing = run(environ, "decisions", "show", one["id"])
    log = Path(environ["REASOND_LOG_DIR"]) / "publisher-1"
    log.mkdir(parents=True)
    line = {"decision_id": one["id"], "prompt": "the question", "response": "the answer"}
    (log / "publisher-1.jsonl").write_text(json.dumps(line) + "\n")
    shown = run(environ, "decisions", "show", one["id"][:-2])

    assert len(found) == 4 and [row["time_ns"] for row in found] == sorted(
        (row["time_ns"] for row in found), reverse=True
    )
    assert all(row["id"] in table for row in found) and "\x1b" not in table
    assert f"looked in: {log}/publisher-1.jsonl" in missing and one["reasoning"] in missing
    assert "the question" in shown and "the answer" in shown and "$0.004" in shown


def test_decisions_by_action_and_of_an_unknown_agent(environ):
    slower = json.loads(run(environ, "decisions", "--action", "slow_down", "--limit", "0", "--json"))

    assert slower and {one["action"] for one in slower} == {"slow_down"}
    assert run(environ, "decisions", "--agent", "nobody") == ""
    assert json.loads(run(environ, "decisions", "--agent", "nobody", "--json")) == []


def test_budget_adds_up(environ):
    found = json.loads(run(environ, "budget", "--json"))

    assert sum(one["day_usd"] for one in found["agents"]) == pytest.approx(found["day"]["spent_usd"])
    # The one agent of this host has no budget file: nothing spent here doesn't hide what InfluxDB knows.
    assert {one["source"] for one in found["agents"]} == {"influxdb"}
    assert found["whole"] and "budget ok" in run(environ, "budget")


@pytest.mark.parametrize("agent", ["publisher-1", "publisher-2", "consumer-1", "monitor-1"])
def test_why_explains_each_kind(environ, agent):
    found = json.loads(run(environ, "why", agent, "--json"))
    text = run(environ, "why", agent)

    assert found["sentences"] and found["decisions"]
    assert all(one["id"] in "\n".join(found["sentences"]) for one in found["decisions"])
    assert re.search(rf"\[{agent}-[0-9a-f]{{15,}}(-\d+)?\]", text), "no id is whole"
    assert ("in shadow by the operator" in text) == (agent == "publisher-1")


def test_why_of_nobody_is_a_mistake(environ):
    run(environ, "why", "publisher-8", status=2)
