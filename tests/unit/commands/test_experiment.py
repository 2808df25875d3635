"""`reasond experiment`: orders to all publishers of a host, and what stands."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from reasond.adapters.state import StateDir
from reasond.cli import reasond
from reasond.errors import InputError

pytestmark = pytest.mark.unit


@pytest.fixture
def base(tmp_path):
    for name in ("publisher-1", "publisher-2", "consumer-1"):
        (tmp_path / name).mkdir()
    return tmp_path


def run(base, *words, **environ):
    result = CliRunner().invoke(reasond, ["experiment", *words, "--state-dir", str(base)], env=environ)
    assert result.exit_code == 0, result.output
    return result


def orders(base):
    return [StateDir(Path(base, name)).control() for name in ("publisher-1", "publisher-2")]


def test_start_orders_every_publisher_and_stop_ends_it(base):
    run(base, "start", "claude,static:60m")
    started = orders(base)
    run(base, "stop")
    stopped = orders(base)

    assert [order.switchback for order in started] == ["claude,static:60m"] * 2
    assert [order.switchback for order in stopped] == ["", ""]
    assert all(after.serial > before.serial for before, after in zip(started, stopped))
    assert StateDir(base / "consumer-1").control().switchback is None


def test_start_says_when_the_treatment_is_not_who_decides_here(base):
    minded = run(base, "start", "claude,static:60m", REASOND_BRAIN="dry-run")
    silent = run(base, "start", "dry-run,static:60m", REASOND_BRAIN="dry-run")

    assert "mind: REASOND_BRAIN is dry-run here, so that claude decides in no block" in minded.output
    assert "mind" not in silent.output


def test_start_refuses_a_brain_that_nobody_knows(base):
    result = CliRunner().invoke(reasond, ["experiment", "start", "cluade,static:60m", "--state-dir", str(base)])

    assert isinstance(result.exception, InputError) and "there are claude, dry-run, rules" in str(result.exception)


def test_status_tells_the_block_of_each_publisher(base):
    run(base, "start", "claude,static:60m")

    found = json.loads(run(base, "status", "--json").stdout)
    table = run(base, "status").stdout

    assert [one["agent_id"] for one in found] == ["publisher-1", "publisher-2"]
    assert all(one["block"]["arm"] in ("claude", "static") for one in found)
    assert "claude,static:60m" in table and found[0]["block"]["arm"] in table


def test_without_an_order_the_setting_counts(base):
    found = json.loads(run(base, "status", "--json", REASOND_SWITCHBACK="claude,rules:30m").stdout)

    assert {one["plan"] for one in found} == {"claude,rules:30m"}


@pytest.mark.parametrize("words", [["start", "claude,claude:60m"], ["result", "static"]])
def test_what_is_no_plan_is_refused(words):
    result = CliRunner().invoke(reasond, ["experiment", *words])

    assert isinstance(result.exception, InputError) and "plan" in str(result.exception)


def test_a_host_without_publishers_is_told(tmp_path):
    result = CliRunner().invoke(reasond, ["experiment", "stop", "--state-dir", str(tmp_path)])

    assert isinstance(result.exception, InputError) and "no publisher" in str(result.exception)
