"""The host's checks: versions, directories, spools, budgets, the switch."""

import os
import re
from pathlib import Path

import pytest

from reasond.adapters.state import STOP_SPENDING, StateDir
from reasond.core.budget import DAY_NS, HOUR_NS
from reasond.doctor import host
from reasond.doctor.examined import examine
from reasond.settings import BudgetSettings

ROOT = Path(__file__).resolve().parents[3]
NOW_NS = 500_000 * HOUR_NS + 7


def at(tmp_path, **more):
    return examine({"REASOND_STATE_DIR": str(tmp_path), "REASOND_LOG_DIR": str(tmp_path / "log"), **more}, [])


def test_floors_are_those_of_the_package():
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.search(r"^dependencies = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE).group(1)
    declared = {name: floor or "0" for name, floor in re.findall(r'^ *"([\w-]+)(?:>=([\d.]+))?"', listed, re.MULTILINE)}

    assert {**host.FLOORS, **host.CLAUDE_FLOORS} == declared
    assert 'requires-python = ">={}.{}"'.format(*host.PYTHON_FLOOR) in text


@pytest.mark.parametrize(
    "version, state", [((3, 7, 17), "fail"), ((3, 8, 0), "ok"), ((3, 14, 1), "ok"), ((4, 0, 0), "ok")]
)
def test_python_older_than_the_floor_fails(version, state):
    assert host.python_version(version).state == state


@pytest.mark.parametrize(
    "installed, state, text",
    [
        ("1.26.5", "ok", "urllib3 1.26.5"),
        ("2.0", "ok", "urllib3 2.0"),
        ("1.9", "fail", "urllib3 1.9 is older than 1.26"),
        ("", "fail", "urllib3 is missing"),
    ],
)
def test_packages_are_compared_by_number_and_the_missing_named(installed, state, text):
    verdict = host.packages({"urllib3": "1.26"}, lambda name: installed)

    assert verdict.state == state and text in verdict.found
    assert bool(verdict.mend) == (state == "fail")


@pytest.mark.parametrize("brain, wanted", [("claude", True), ("rules", False)])
def test_anthropic_is_needed_by_claude_alone(brain, wanted):
    assert ("anthropic" in host._floors(examine({"REASOND_BRAIN": brain}, []))) is wanted


def test_settings_that_are_wrong_are_all_told():
    verdict = host.settings_read(examine({"RABBITMQ_PORT": "x", "PUBLISHER_SPED": "1"}, []))

    assert verdict.state == "fail"
    assert "RABBITMQ_PORT" in verdict.found and "PUBLISHER_SPED" in verdict.found


def test_state_directory_is_tried_and_left_as_it_was(tmp_path):
    (tmp_path / "publisher-1").mkdir()

    assert host.state_writable(at(tmp_path)).state == "ok"
    assert list((tmp_path / "publisher-1").iterdir()) == []


def test_state_directory_that_is_not_there_yet_is_not_made(tmp_path):
    verdict = host.state_writable(at(tmp_path / "new", PUBLISHER_ID="publisher-1"))

    assert verdict.state == "ok" and "made at an agent's first start" in verdict.found
    assert not (tmp_path / "new").exists()


def test_state_directory_that_refuses_fails_and_names_the_setting(tmp_path, monkeypatch):
    monkeypatch.setattr(host.tempfile, "TemporaryFile", lambda dir: open(os.path.join(dir, "no", "such")))

    verdict = host.state_writable(at(tmp_path, PUBLISHER_ID="publisher-1"))

    assert verdict.state == "fail" and str(tmp_path) in verdict.found
    assert "REASOND_STATE_DIR" in verdict.mend


def test_state_directory_without_room_for_the_spool_is_a_warning(tmp_path):
    verdict = host.state_writable(at(tmp_path, INFLUXDB_SPOOL_MAX_BYTES=str(10**18)))

    assert verdict.state == "warning" and "free" in verdict.found


def test_logs_are_not_looked_at_without_transcripts(tmp_path):
    (tmp_path / "publisher-1").mkdir()

    assert host.logs_writable(at(tmp_path, TRANSCRIPT="no")).state == "skipped"
    assert host.logs_writable(at(tmp_path)).state == "ok"


def test_identities_name_the_process_that_holds_each(tmp_path):
    held = StateDir(tmp_path / "publisher-1")
    held.lock()
    (tmp_path / "consumer-1").mkdir()

    verdict = host.identities(at(tmp_path, AGENT_ID="monitor-1").agents())

    assert verdict.found == f"consumer-1 is free, monitor-1 is free, publisher-1 runs as pid {os.getpid()}"
    assert not (tmp_path / "monitor-1").exists()
    os.close(held._lock)


@pytest.mark.parametrize("size, state", [(0, "ok"), (500, "ok"), (501, "warning")])
def test_spools_beyond_half_of_the_bound_are_a_warning(tmp_path, size, state):
    spool = tmp_path / "publisher-1" / "spool"
    spool.mkdir(parents=True)
    (spool / "raw-00000001.lp").write_bytes(b"x" * size)
    (spool / "position.json").write_bytes(b"x" * 5000)

    assert host.spools({"publisher-1": tmp_path / "publisher-1"}, 1000).state == state


@pytest.mark.parametrize(
    "hour, day, state, text",
    [
        (NOW_NS // HOUR_NS, NOW_NS // DAY_NS, "warning", "$4.0000 this hour"),
        (NOW_NS // HOUR_NS - 1, NOW_NS // DAY_NS, "ok", "$0.0000 this hour, $4.0000 today"),
        (NOW_NS // HOUR_NS - 48, NOW_NS // DAY_NS - 2, "ok", "nothing spent"),
    ],
    ids=["this hour", "an earlier hour", "an earlier day"],
)
def test_budgets_count_only_the_present_hour_and_day(tmp_path, hour, day, state, text):
    state_of = {"hour": hour, "day": day, "hour_nano_usd": 4 * 10**9, "day_nano_usd": 4 * 10**9}
    host.LedgerFile(tmp_path / host.BUDGET_FILE).keep(state_of)

    verdict = host.budgets({"publisher-1": tmp_path}, BudgetSettings(), NOW_NS)

    assert verdict.state == state and text in verdict.found
    assert "the system $5 and $25" in verdict.found


def test_spending_switch_is_a_warning_while_it_is_set(tmp_path):
    assert host.spending_switch(at(tmp_path)).state == "ok"

    (tmp_path / STOP_SPENDING).touch()

    verdict = host.spending_switch(at(tmp_path))
    assert (verdict.state, verdict.mend) == ("warning", "reasond control all spend")
