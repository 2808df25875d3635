"""Experiments on the report: the newest row of each counts, and what isn't known isn't made up."""

import pytest

from reasond.points import Row
from reasond.report import experiments

pytestmark = pytest.mark.unit

PLAN = "claude,static:60m"


def row(at, measure="depth", plan=PLAN, **fields):
    told = {"treatment": "claude", "control": "static", "pairs": 8, "pairs_missing": 0, "verdict": "less"}
    figures = {"treated_mean": 5.0, "control_mean": 9.0, "difference": -4.0, "p": 0.01}
    told.update(figures, interval_low=-5.5, interval_high=-2.5)
    told.update(fields)
    return Row("experiment", {"agent_id": "monitor-1", "plan": plan, "measure": measure}, told, at)


def few(at, **tags):
    fields = {"treatment": "claude", "control": "static", "pairs": 2, "pairs_missing": 4, "verdict": "too little data"}
    return Row("experiment", dict({"agent_id": "monitor-1", "plan": PLAN, "measure": "depth"}, **tags), fields, at)


def test_without_an_experiment_there_is_nothing():
    assert experiments.table([]) is None
    assert experiments.words([]) == ()


def test_the_newest_row_of_each_measure_counts():
    table = experiments.table([row(1, difference=-1.0), row(2), row(1, "usd"), row(2, "usd", difference=0.021)])

    assert [line[1] for line in table.rows] == ["messages waiting", "$ a minute"]
    assert table.rows[0] == (PLAN, "messages waiting", "5", "9", "-4", "-5.5 to -2.5", "0.01", "8", "less")
    assert table.rows[1][4] == "0.021"


def test_an_effect_is_said_with_its_interval():
    assert experiments.words([row(1)]) == (
        f"Experiment {PLAN}: with claude fewer messages wait than with static: -4 (-5.5 to -2.5), 8 pairs of blocks.",
    )


def test_no_difference_is_said_as_such():
    (said,) = experiments.words([row(1, verdict="no measurable difference", interval_high=1.0)])

    assert "no measurable difference" in said and "(-5.5 to 1)" in said


def test_too_little_data_has_no_interval_of_an_older_row():
    found = [row(1), few(2)]

    assert experiments.words(found) == (f"Experiment {PLAN}: too little data yet, 4 more pairs of blocks.",)
    assert experiments.table(found).rows[0][4:7] == ("-", "-", "-")


def test_a_strangers_measure_is_left_out():
    assert experiments.table([few(1, measure="<script>")]) is None


def test_the_newest_plan_comes_first():
    other = "claude,rules:60m"

    assert [line[0] for line in experiments.table([row(1), row(2, plan=other)]).rows] == [other, PLAN]
