"""The verdict: right where the truth is known, and silent where there is none."""

import random

import pytest
from msgspec.structs import replace

from reasond.simulation import scenario as scenarios
from reasond.simulation.compare import MEASURES, compare, interval
from reasond.simulation.run import Job, Result, simulate

pytestmark = pytest.mark.unit

SEEDS = range(1, 9)


@pytest.fixture(scope="module")
def base():
    return simulate(Job(scenarios.find("calm"), "static", 1, 120)).figures


def results(base, policy, overloads, **more):
    return [
        Result("calm", policy, seed, replace(base, overload_min=overload, **more))
        for seed, overload in overloads.items()
    ]


def word(found, measure="overload"):
    return next(difference for difference in found.pairs[0].differences if difference.measure == measure)


def test_less_overload_is_better_and_the_interval_holds_the_difference(base):
    mine = results(base, "a", {seed: 0.2 + 0.01 * seed for seed in SEEDS})
    theirs = results(base, "b", {seed: 1.2 + 0.03 * seed for seed in SEEDS})

    found = compare(mine + theirs, ["a", "b"])

    difference = word(found)
    assert difference.word == "better"
    assert difference.low <= difference.mean <= difference.high < 0
    assert difference.mean == pytest.approx(60 / base.minutes * -(1 + 0.02 * 4.5))
    assert "a is better than b" in found.pairs[0].verdict


def test_a_difference_of_no_size_is_no_measurable_difference(base):
    rng = random.Random(4)
    mine = results(base, "a", {seed: 1 + rng.gauss(0, 0.1) for seed in range(30)})
    theirs = results(base, "b", {seed: 1 + rng.gauss(0, 0.1) for seed in range(30)})

    found = compare(mine + theirs, ["a", "b"])

    assert word(found).word == "no measurable difference"
    assert "no measurable difference" in found.pairs[0].verdict


def test_with_few_seeds_nothing_is_claimed(base):
    mine, theirs = results(base, "a", {1: 0.0, 2: 0.0}), results(base, "b", {1: 9.0, 2: 9.0})

    found = compare(mine + theirs, ["a", "b"])

    assert word(found).word == "too few seeds" and word(found).low is None
    assert "too few seeds" in found.pairs[0].verdict


def test_what_an_improvement_costs_is_said(base):
    mine = results(base, "a", {seed: 0.5 for seed in SEEDS}, usd=0.1)
    theirs = results(base, "b", {seed: 1.0 for seed in SEEDS}, usd=0.0)

    found = compare(mine + theirs, ["a", "b"])

    assert "A minute of overload avoided costs $0.200." in found.pairs[0].verdict
    assert word(found, "usd").word == "worse"


def test_runs_that_do_not_pair_up_are_refused(base):
    with pytest.raises(ValueError, match="same seeds"):
        compare(results(base, "a", {1: 0.0}) + results(base, "b", {2: 0.0}), ["a", "b"])


def test_every_policy_is_compared_with_each_after_it(base):
    found = compare([r for name in "abc" for r in results(base, name, {1: 0.0})], ["a", "b", "c"])

    assert [(pair.policy, pair.baseline) for pair in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [difference.measure for difference in found.pairs[0].differences] == [m.name for m in MEASURES]


def test_the_interval_misses_the_truth_about_as_often_as_it_says():
    """95 % intervals of 30 normal differences: the percentile bootstrap is known to cover a little less."""
    rng = random.Random(7)
    missed = 0
    for _ in range(200):
        low, high = interval([rng.gauss(1.0, 2.0) for _ in range(30)], rng)
        missed += not low <= 1.0 <= high

    assert 2 <= missed <= 24
