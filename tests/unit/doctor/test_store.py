"""InfluxDB's checks where they judge: identities by overlapping lives, the agents' own word, spend."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.doctor import store
from reasond.settings import BudgetSettings


def records(agent_id, boot_id, pid, *seconds):
    return [
        {"_time": f"2026-11-23T20:00:{second:09.6f}Z", "agent_id": agent_id, "_field": field, "_value": value}
        for second in seconds
        for field, value in (("boot_id", boot_id), ("pid", str(pid)))
    ]


@given(st.permutations(range(1, 9)), st.integers(1, 7))
def test_identity_handed_on_in_time_is_well_in_any_order_of_records(order, split):
    before = records("publisher-1", "a", 1, *[s for s in order if s <= split])
    after = records("publisher-1", "b", 2, *[s for s in order if s > split])

    assert store.identity_verdict(after + before).state == "ok"


@given(st.sets(st.integers(1, 58), min_size=4, max_size=12), st.booleans())
def test_identity_held_by_two_whose_beats_interleave_fails(seconds, same_host):
    ordered = sorted(seconds)
    found = store.identity_verdict(
        records("consumer-2", "a", 1, *ordered[0::2])
        + records("consumer-2", "a" if same_host else "b", 2, *ordered[1::2])
    )

    assert found.state == "fail"
    assert ("one host" in found.found) == same_host and "consumer-2" in found.found


def test_whole_seconds_and_fractions_compare_as_times():
    beats = [
        {"_time": "2026-11-23T20:00:05Z", "agent_id": "p", "_field": "boot_id", "_value": "a"},
        {"_time": "2026-11-23T20:00:05.2Z", "agent_id": "p", "_field": "boot_id", "_value": "b"},
        {"_time": "2026-11-23T20:00:05.10Z", "agent_id": "p", "_field": "boot_id", "_value": "a"},
    ]

    assert store.identity_verdict(beats).state == "ok"


def test_no_heartbeat_is_skipped():
    assert store.identity_verdict([]).state == store.health_verdict([]).state == "skipped"


@pytest.mark.parametrize(
    "spent, state",
    [((0.0, 0.0), "ok"), ((3.99, 3.99), "ok"), ((4.0, 4.0), "warning"), ((0.0, 21.0), "warning")],
)
def test_spend_warns_from_the_set_part_of_either_limit(spent, state):
    assert store.spend_verdict(spent, BudgetSettings()).state == state
