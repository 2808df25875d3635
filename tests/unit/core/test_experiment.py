"""The analysis of an experiment by blocks finds what is there, and only that."""

import random

import pytest

from reasond.core.experiment import LEAST_PAIRS, effect, flips, interval, means, p_value
from reasond.switchback import Switchback, block_at

pytestmark = pytest.mark.unit

PLAN = Switchback("claude", "static", 3600, 1)
HOUR_NS = 3600 * 10**9
BEGIN = 490_000 * HOUR_NS


def samples(value, hours, every_s=60):
    """Give a sample a minute: `value` of its block and of the minutes within it."""
    count = hours * 3600 // every_s
    found = []
    for number in range(count):
        at = BEGIN + number * every_s * 10**9
        block = block_at(PLAN, at)
        found.append((at, value(block, (at - block.begin_ns) / HOUR_NS)))
    return found


def compared(found):
    """Give the effect of samples of one a minute."""
    return effect("depth", means(PLAN, found, 60))


def test_an_effect_is_found_and_what_comes_before_the_cut_does_not_count():
    rng = random.Random(3)
    noisy = samples(lambda block, part: 999.0 if part < 0.33 else (5.0 if block.treated else 9.0) + rng.gauss(0, 1), 24)

    found = compared(noisy)

    assert found.pairs == 12
    assert found.verdict == "less" and found.p < 0.01
    assert found.low < -4.0 < found.high < -3.0
    assert found.treated == pytest.approx(5.0, abs=0.2)


def test_with_few_pairs_nothing_is_claimed():
    found = compared(samples(lambda block, part: float(block.treated), 2 * LEAST_PAIRS - 2))

    assert found.verdict == "too little data"
    assert found.pairs == LEAST_PAIRS - 1 and found.difference == 1.0 and found.p is None


def test_without_data_nothing_is_claimed():
    assert compared([]).verdict == "too little data"


def test_a_block_with_a_gap_and_its_partner_are_left_out():
    whole = samples(lambda block, part: float(block.treated), 16)
    gap = [(at, value) for at, value in whole if not BEGIN + 4.5 * HOUR_NS <= at < BEGIN + 5 * HOUR_NS]

    assert compared(whole).pairs == 8
    assert compared(gap).pairs == 7


def test_where_nothing_differs_at_most_one_in_twenty_is_a_false_alarm():
    """Blocks that are alike, with noise within and between them as queues have: 300 experiments of 12 pairs."""
    rng = random.Random(5)
    swaps = flips(12)
    alarms = 0
    for _ in range(300):
        differences = [rng.gauss(0, 1) + rng.expovariate(1) - rng.expovariate(1) for _ in range(12)]
        alarms += p_value(differences, swaps) <= 0.05

    assert alarms / 300 <= 0.08


def test_the_p_value_of_the_plainest_case_is_known():
    swaps = flips(6)

    assert p_value([1.0] * 6, swaps) == 2 / 2**6
    assert p_value([1.0, -1.0, 1.0, -1.0, 1.0, -1.0], swaps) == 1.0


@pytest.mark.parametrize("count", [8, 30])
def test_the_interval_holds_what_the_test_does_not_reject(count):
    rng = random.Random(count)
    differences = [rng.gauss(2.0, 1.0) for _ in range(count)]

    swaps = flips(count)
    mean = sum(differences) / count

    low, high = interval(differences, swaps)

    assert low < mean < high
    assert p_value(differences, swaps, low) <= 0.05 and p_value(differences, swaps, high) <= 0.05
    assert p_value(differences, swaps, (low + mean) / 2) > 0.05
