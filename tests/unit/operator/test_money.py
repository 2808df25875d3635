"""Spend, limits and projection, from the store and from this host's files."""

import pytest

from reasond.flux import HOUR_NS
from reasond.operator import money
from reasond.operator.host import AgentHere, Here
from reasond.points import Row
from reasond.report.span import Span
from reasond.settings import BudgetSettings
from tests.support.past import EmbeddedRecords

NOON_NS = 1_790_000_000 * 10**9 // (24 * HOUR_NS) * 24 * HOUR_NS + 12 * HOUR_NS
HALF_PAST_NS = NOON_NS + HOUR_NS // 2
NOBODY = Here({}, {}, False, "somewhere")


def point(agent, at_ns, hour_usd, day_usd, level="ok"):
    fields = {"spent_hour_usd": hour_usd, "spent_day_usd": day_usd, "limit_hour_usd": 5.0, "limit_day_usd": 25.0}
    return Row("budget", {"agent_id": agent}, dict(fields, level=level), at_ns)


def account(rows, here=NOBODY, **limits):
    told = money.ask(EmbeddedRecords(rows), HALF_PAST_NS)
    return money.account(told, here, BudgetSettings(**limits), HALF_PAST_NS)


def test_system_is_the_sum_of_its_agents_and_the_hour_before_counts_to_the_day_alone():
    found = account(
        [point("publisher-1", NOON_NS + 60 * 10**9, 1.0, 2.0), point("monitor-1", NOON_NS - 10**9, 1.0, 4.0)]
    )

    assert (found.hour.spent_usd, found.day.spent_usd) == (1.0, 6.0)
    assert (found.hour.part, found.level, found.whole) == (0.2, "ok", True)
    assert [(one.agent, one.hour_usd, one.source) for one in found.agents] == [
        ("monitor-1", 0.0, "influxdb"),
        ("publisher-1", 1.0, "influxdb"),
    ]


def test_pace_of_the_last_quarter_leads_to_projection_and_to_when_the_limit_is_reached():
    quarter_ns = HALF_PAST_NS - HOUR_NS // 4
    rows = [point("publisher-1", quarter_ns - 10**9, 2.0, 2.0), point("publisher-1", HALF_PAST_NS, 3.0, 3.0)]

    found = account(rows)

    assert found.pace_usd_per_hour == pytest.approx(4.0)
    assert found.hour.projected_usd == pytest.approx(5.0)
    assert found.day.projected_usd == pytest.approx(3.0 + 4.0 * 11.5)
    # 22 dollars are left of the day's, at 4 an hour.
    assert found.day.reached_at.endswith("18:00:00 UTC")
    assert any("rules decide" in line for line in found.words)


@pytest.mark.parametrize(
    "usd, level, limit, expected",
    [(3.9, "ok", 5.0, "ok"), (4.0, "ok", 5.0, "warning"), (5.0, "ok", 5.0, "spent"), (1.0, "spent", 5.0, "spent")],
    ids=["below", "at 80 %", "all", "the next call doesn't fit"],
)
def test_level_is_that_of_the_worst(usd, level, limit, expected):
    found = account([point("publisher-1", HALF_PAST_NS, usd, usd, level)], usd_per_hour=limit)

    assert found.level == expected


def test_file_that_was_lost_hides_nothing():
    here = Here({"publisher-1": AgentHere("publisher-1", "d")}, {}, False, "base")

    found = account([point("publisher-1", HALF_PAST_NS, 1.0, 2.0)], here)

    assert (found.hour.spent_usd, found.agents[0].source) == (1.0, "influxdb")


def test_own_file_wins_over_the_store_and_counts_without_it():
    here = Here({"publisher-1": AgentHere("publisher-1", "d", spent=(1.5, 2.5))}, {}, False, "base")

    with_store = account(
        [point("publisher-1", HALF_PAST_NS, 1.0, 2.0), point("consumer-1", HALF_PAST_NS, 0.25, 0.25)], here
    )
    alone = money.account(None, here, BudgetSettings(), HALF_PAST_NS)

    assert (with_store.hour.spent_usd, with_store.agents[1].source) == (1.75, "this host")
    assert (alone.hour.spent_usd, alone.whole, alone.pace_usd_per_hour) == (1.5, False, None)
    assert "only this host" in alone.words[-1]


def test_closed_state_is_not_read_as_nothing_spent():
    here = Here({"publisher-1": AgentHere("publisher-1", "d", closed=True)}, {}, False, "base")

    assert account([point("publisher-1", HALF_PAST_NS, 1.0, 2.0)], here).hour.spent_usd == 1.0


def test_stopped_spending_is_said_with_what_ends_it():
    found = account([], Here({}, {}, True, "base"))

    assert found.level == "stopped" and "control all spend" in found.words[0]


def test_no_limit_gives_no_part():
    found = account([], usd_per_hour=0.0)

    assert found.hour.part is None and found.level == "spent"


def test_past_of_the_simulation_adds_up(records, rows, end_ns):
    told = money.ask(records, end_ns)

    paid = [
        row
        for row in rows
        if row.measurement == "api_calls" and row.time_ns >= Span(end_ns - end_ns % HOUR_NS, end_ns).start_ns
    ]
    assert sum(hour for hour, _ in told.spent.values()) == pytest.approx(0.004 * len(paid))
