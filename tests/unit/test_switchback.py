"""Switchback plans: random, balanced, and the same for everybody who reads the clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.errors import SettingsError
from reasond.settings import load
from reasond.switchback import Switchback, block_at, parse

pytestmark = pytest.mark.unit

PLAN = Switchback("claude", "static", 3600, 1)
HOUR_NS = 3600 * 10**9
BEGIN = 490_000 * HOUR_NS


def test_a_plan_is_read_from_its_text():
    assert parse("claude,static:60m") == PLAN
    assert parse("dry-run,rules:10m:7") == Switchback("dry-run", "rules", 600, 7)
    assert parse("Tortoise_2,static:60m").treatment == "Tortoise_2"
    assert parse("") is None


@pytest.mark.parametrize(
    "text",
    [
        "claude",
        "claude,static",
        "claude,claude:60m",
        "rules,rules:60m",
        "static,rules:60m",
        "claude,gpt:60m",
        "claude,static:5m",
        "x",
    ],
)
def test_what_is_no_plan_is_refused(text):
    with pytest.raises(ValueError, match=r"must look like|needs a brain|a block lasts"):
        parse(text)


@given(st.integers(0, 4 * 10**18), st.integers(0, 99), st.integers(600, 86400))
def test_a_block_holds_its_time_and_its_neighbour_in_the_pair_is_the_other_arm(wall_ns, seed, block_s):
    plan = Switchback("claude", "static", block_s, seed)
    block = block_at(plan, wall_ns)

    assert block.begin_ns <= wall_ns < block.end_ns
    assert block.begin_ns < block.counts_ns < block.end_ns
    other = block_at(plan, block.begin_ns + (1 if block.number % 2 == 0 else -1) * block_s * 10**9)
    assert {block.arm, other.arm} == {"claude", "static"}


def test_the_order_within_pairs_is_random_and_depends_on_the_seed():
    orders = {
        seed: [
            block_at(Switchback("claude", "static", 3600, seed), BEGIN + 2 * pair * HOUR_NS).treated
            for pair in range(200)
        ]
        for seed in (1, 2)
    }

    assert 70 < sum(orders[1]) < 130
    assert orders[1] != orders[2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("claude,static", "must look like"),
        ("dry-run,static:60m", "its treatment is dry-run, but REASOND_BRAIN is claude"),
    ],
)
def test_a_setting_that_is_no_plan_keeps_a_publisher_from_starting(text, told):
    with pytest.raises(SettingsError, match=told):
        load({"PUBLISHER_ID": "publisher-1", "REASOND_SWITCHBACK": text}, "publisher")
