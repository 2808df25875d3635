"""The monitor's view of a running experiment: blocks are read once, in order, and compared as they stand."""

import json

import msgspec
import pytest

from reasond.core.effects import Look, Now, Rows, Say, ViewFailed
from reasond.core.experiment import LEAST_PAIRS
from reasond.core.trials import PATIENCE_S, REACH_NS, SETTLED_NS, Kept, Trials, effect_of, told
from reasond.core.views import Decided, Minutes
from reasond.points import MEASUREMENTS, Stamper
from reasond.switchback import block_at, parse

pytestmark = pytest.mark.unit

PLAN = "claude,static:60m"
OTHER = "claude,rules:60m"
MINUTE_NS = 60 * 10**9
HOUR_NS = 60 * MINUTE_NS
BEGIN = 490_000 * HOUR_NS
"""The first minute of the experiment; its block is the first of a pair."""


def now(hours, minutes=0):
    at = hours * HOUR_NS + minutes * MINUTE_NS
    return Now(mono=at / 1e9, wall_ns=BEGIN + at)


class Store:
    """Answers looks as InfluxDB would: the treatment's blocks have 5 messages waiting, the control's 9."""

    def __init__(self, plan=PLAN, begin=BEGIN, wrong=()):
        self.plan, self.begin, self.wrong = parse(plan), begin, wrong
        self.looks = []

    def answer(self, look):
        self.looks.append(look)
        assert look.view == "minutes"
        depth, decided = {}, set()
        for at in range(max(look.start_ns, self.begin), look.stop_ns, MINUTE_NS):
            block = block_at(self.plan, at)
            depth[at] = (5.0 if block.treated else 9.0) + at // MINUTE_NS % 3
            decided.add((block.number, "rules" if block.number in self.wrong else block.arm))
        found = tuple(Decided(number, arm, "claude", 100) for number, arm in sorted(decided))
        return Minutes({"depth": depth, "expired": {}, "usd": {at: 0.01 for at in depth}}, found)


class Life:
    """A monitor's life with its trials: carries looks out until none is left."""

    def __init__(self, store=None, kept=None):
        self.store = store or Store()
        self.kept = kept if kept is not None else Kept()
        self.trials = Trials(self.kept, "monitor-1", Stamper())
        self.said, self.rows = [], []

    def analyse(self, at, plans=(PLAN,)):
        effects = list(self.trials.follow(at, plans, "ref"))
        while effects:
            effect = effects.pop(0)
            if isinstance(effect, Look):
                assert self.trials.awaits(effect.ref)
                effects += self.trials.take(at, self.store.answer(effect), "ref")
            elif isinstance(effect, Say):
                self.said.append(effect)
            else:
                assert isinstance(effect, Rows)
                self.rows.append(effect.rows)
        return self

    @property
    def depth(self):
        return self.rows[-1][0].fields


def test_each_block_is_read_once_and_after_it_has_settled():
    life = Life().analyse(now(3, 5))
    first = len(life.store.looks)
    life.analyse(now(3, 6))
    assert len(life.store.looks) == first
    life.analyse(now(4, SETTLED_NS // MINUTE_NS - 1))
    assert len(life.store.looks) == first
    life.analyse(now(4, SETTLED_NS // MINUTE_NS))

    looks = life.store.looks
    assert looks[0].start_ns == block_at(parse(PLAN), now(3, 5).wall_ns - REACH_NS).begin_ns
    assert [one.stop_ns for one in looks[:-1]] == [one.start_ns for one in looks[1:]]
    assert (looks[-1].start_ns, looks[-1].stop_ns) == (BEGIN + 3 * HOUR_NS, BEGIN + 4 * HOUR_NS)


def test_with_few_pairs_the_rows_say_how_many_are_missing():
    life = Life().analyse(now(5))

    assert [row.tags["measure"] for row in life.rows[-1]] == ["depth", "expired", "usd"]
    assert life.depth["pairs"] == 2 and life.depth["pairs_missing"] == LEAST_PAIRS - 2
    assert life.depth["verdict"] == "too little data" and "p" not in life.depth
    assert life.trials.line() == f"experiment {PLAN}: depth: too little data (2 of {LEAST_PAIRS} pairs)"


def test_the_effect_comes_with_its_interval_as_blocks_end():
    life = Life()
    for hour in range(1, 18):
        life.analyse(now(hour, 5))

    assert life.depth["pairs"] == 8
    assert life.depth["treatment"] == "claude" and life.depth["control"] == "static"
    assert life.depth["difference"] == pytest.approx(-4.0)
    assert life.depth["interval_low"] <= -4.0 <= life.depth["interval_high"] < 0
    assert life.depth["verdict"] == "less"
    assert "depth -4 (" in life.trials.line() and "8 pairs): less" in life.trials.line()
    assert life.said[-1].fields["plan"] == PLAN


def test_rows_fit_their_measurement():
    fields = MEASUREMENTS["experiment"].fields
    for row in Life().analyse(now(20)).rows[-1]:
        assert set(row.fields) <= set(fields)


def test_a_row_gives_back_the_effect_that_it_was_made_of():
    life = Life().analyse(now(20))

    assert [told(effect_of(row)) for row in life.rows[-1]] == life.said[-1].fields["effect"]


def test_one_reading_and_many_come_to_the_same():
    stepwise = Life()
    for hour in range(1, 30):
        stepwise.analyse(now(hour, 5))
    at_once = Life().analyse(now(29, 5))

    assert stepwise.depth == at_once.depth


def test_a_restart_goes_on_where_it_was():
    life = Life().analyse(now(13))
    kept = msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(life.kept))), Kept)
    again = Life(kept=kept)
    again.trials.follow(now(13), (PLAN,), "ref")
    assert again.trials.line() == life.trials.line()

    again.analyse(now(16))

    assert [one.start_ns for one in again.store.looks] == [BEGIN + 12 * HOUR_NS]
    assert again.depth == Life().analyse(now(16)).depth


def test_blocks_under_another_arm_do_not_count():
    wrong = BEGIN // HOUR_NS + 3

    assert Life(Store(wrong=(wrong,))).analyse(now(17)).depth["pairs"] == 7


def test_blocks_before_the_reach_are_forgotten():
    life = Life().analyse(now(24 * 7))
    life.analyse(now(24 * 9, 5))

    assert life.depth["pairs"] == 7 * 12
    assert all(len(one.blocks) <= 7 * 24 for one in life.kept.measures)


def test_another_plan_begins_anew():
    life = Life().analyse(now(17))
    life.store = Store(OTHER, begin=BEGIN + 17 * HOUR_NS)
    life.analyse(now(21), (OTHER,))

    assert life.rows[-1][0].tags["plan"] == OTHER
    assert life.depth["pairs"] == 1


def test_several_plans_at_once_are_said_and_not_judged():
    life = Life()
    life.analyse(now(5), (OTHER, PLAN))

    assert life.store.looks == []
    assert life.trials.line() == f"publishers follow different experiments: {OTHER}, {PLAN}"


@pytest.mark.parametrize("plans", [(), ("nonsense; drop",), ("",)])
def test_without_a_plan_that_can_be_read_nothing_is_done(plans):
    life = Life().analyse(now(5), plans)

    assert life.store.looks == [] and life.trials.line() == ""


def test_a_look_that_fails_is_tried_again():
    life = Life()
    (look,) = life.trials.follow(now(3), (PLAN,), "one")
    assert life.trials.take(now(3), ViewFailed("gone away"), "two") == []
    (again,) = life.trials.follow(now(3, 1), (PLAN,), "three")

    assert (again.start_ns, again.stop_ns) == (look.start_ns, look.stop_ns)


def test_a_look_without_an_answer_is_given_up():
    life = Life()
    life.trials.follow(now(3), (PLAN,), "one")

    assert life.trials.follow(now(3, 1), (PLAN,), "two") == []
    assert len(life.trials.follow(now(3, PATIENCE_S // 60), (PLAN,), "three")) == 1
    assert not life.trials.awaits("one")
