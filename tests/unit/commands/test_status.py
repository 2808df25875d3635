"""`reasond status` with InfluxDB away: what this host knows, and the exit status. On a real one: tests/services."""

import json

import pytest
from click.testing import CliRunner

from reasond.adapters.state import StateDir
from reasond.cli import reasond
from reasond.commands.status import exit_status
from reasond.doctor.examined import examine
from reasond.operator.system import system
from tests.unit.operator.test_system import NOBODY, Away, analysis, beat, seen


def run(tmp_path, *words, **environ):
    here = {"REASOND_STATE_DIR": str(tmp_path), "INFLUXDB_URL": "http://127.0.0.1:9"}
    return CliRunner().invoke(reasond, ["status", *words], env=dict(here, **environ))


def test_store_away_is_75_and_the_host_is_shown(tmp_path):
    state = StateDir(tmp_path / "publisher-1")
    state.lock()

    done = run(tmp_path)

    assert done.exit_code == 75
    assert "can't be reached" in done.output and "missing: InfluxDB tells nothing" in done.output
    (line,) = [line for line in done.output.splitlines() if line.startswith("publisher-1 ")]
    assert " up " in line


def test_json_holds_the_same(tmp_path):
    done = run(tmp_path, "--json")

    found = json.loads(done.output)
    assert (done.exit_code, found["healthy"], found["store_exit_status"]) == (75, False, 75)
    assert {one["state"] for one in found["agents"]} == {"unknown"} and found["missing"]


@pytest.mark.parametrize(
    "rows, status",
    [([beat("publisher-1", 10**18), analysis(10**18)], 0), ([beat("publisher-1", 10**18)], 1)],
    ids=["well", "care"],
)
def test_exit_status_tells_whether_something_needs_care(rows, status):
    assert exit_status(seen(rows, 10**18)) == status


def test_store_that_is_away_counts_more_than_care(end_ns=10**18):
    assert exit_status(system(Away(), examine({}, ()), NOBODY, end_ns)) == 75


@pytest.mark.parametrize("seconds", ["0", "soon"])
def test_watch_takes_seconds(tmp_path, seconds):
    assert run(tmp_path, "--watch", seconds).exit_code == 2
