"""The ledger of reservations: to the billionth, over restarts, roll-overs and clocks that jump."""

import json
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.core.budget import (
    DAY_NS,
    HOUR_NS,
    SYSTEM_FRESH_NS,
    Ledger,
    Limits,
    Refusal,
    Reservation,
    SystemSpend,
    limits_from,
)
from reasond.settings import BudgetSettings

pytestmark = pytest.mark.unit

NOON = 20_000 * DAY_NS + 12 * HOUR_NS
HALF_PAST = NOON + HOUR_NS // 2
LIMITS = Limits(agent_hour_usd=1.0, agent_day_usd=3.0, system_hour_usd=5.0, system_day_usd=25.0, agents=2)


def ledger(limits=LIMITS, state=None):
    return Ledger(limits, 0.8, state)


def spend(of, wall_ns, usd):
    reservation = of.reserve(wall_ns, usd)
    assert isinstance(reservation, Reservation)
    of.settle(reservation, usd)


def test_reserve_within_the_limits_counts_the_worst_case():
    own = ledger()

    reservation = own.reserve(NOON, 0.6)

    assert isinstance(reservation, Reservation)
    assert own.figures(NOON).spent_hour_usd == 0.6


def test_settle_puts_the_real_cost_in_place_of_the_worst_case():
    own = ledger()
    reservation = own.reserve(NOON, 0.9)

    own.settle(reservation, 0.0123)

    assert own.figures(NOON).spent_hour_usd == own.figures(NOON).spent_day_usd == 0.0123


def test_settle_twice_counts_once():
    own = ledger()
    reservation = own.reserve(NOON, 0.9)
    own.settle(reservation, 0.1)

    own.settle(reservation, 0.0)

    assert own.figures(NOON).spent_hour_usd == 0.1


def test_settle_above_the_worst_case_is_recorded_as_it_is():
    own = ledger()
    reservation = own.reserve(NOON, 0.5)

    own.settle(reservation, 1.5)

    assert own.figures(NOON).spent_hour_usd == 1.5
    assert own.level(NOON) == "spent"


def test_reserve_beyond_the_hour_is_refused_until_the_hour_is_over():
    own = ledger()
    spend(own, NOON, 0.7)

    refused = own.reserve(NOON, 0.4)
    after = own.reserve(NOON + HOUR_NS, 0.4)

    assert isinstance(refused, Refusal)
    assert (refused.window, refused.whose, refused.spent_usd, refused.limit_usd) == (
        "hour",
        "agent",
        0.7,
        1.0,
    )
    assert "0.7000" in refused.reason
    assert isinstance(after, Reservation)


def test_reserve_beyond_the_day_is_refused_until_midnight_utc():
    own = ledger()
    for hour in range(3):
        spend(own, NOON + hour * HOUR_NS, 1.0)

    refused = own.reserve(NOON + 3 * HOUR_NS, 0.01)
    after = own.reserve(NOON + 12 * HOUR_NS, 0.01)

    assert isinstance(refused, Refusal)
    assert refused.window == "day"
    assert isinstance(after, Reservation)


def test_reserve_of_exactly_what_is_left_is_granted():
    own = ledger()
    for _ in range(10):
        spend(own, NOON, 0.1)

    assert own.figures(NOON).spent_hour_usd == 1.0
    assert own.level(NOON) == "spent"
    assert isinstance(own.reserve(NOON, 0.000001), Refusal)


def test_restart_with_an_open_reservation_keeps_it_spent():
    own = ledger()
    lost = own.reserve(NOON, 0.9)
    state = json.loads(json.dumps(own.state()))

    again = ledger(state=state)
    again.settle(lost, 0.0)

    assert again.figures(NOON).spent_hour_usd == 0.9
    assert isinstance(again.reserve(NOON, 0.2), Refusal)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(-1, id="negative"),
        pytest.param("1", id="text"),
        pytest.param(0.5, id="float"),
        pytest.param(True, id="boolean"),
        pytest.param(None, id="null"),
    ],
)
def test_restart_with_a_broken_state_is_refused(value):
    state = dict(ledger().state(), hour_nano_usd=value)

    with pytest.raises(ValueError, match="hour_nano_usd"):
        ledger(state=state)


@pytest.mark.parametrize("usd", [float("nan"), float("inf"), -0.01], ids=["nan", "inf", "negative"])
def test_reserve_of_what_is_no_amount_is_refused_with_an_error(usd):
    with pytest.raises(ValueError, match="USD"):
        ledger().reserve(NOON, usd)


def test_clock_set_back_within_the_hour_before_keeps_the_spend():
    own = ledger()
    spend(own, NOON, 0.9)

    assert isinstance(own.reserve(NOON - HOUR_NS // 2, 0.2), Refusal)
    assert isinstance(own.reserve(NOON, 0.2), Refusal)


def test_clock_set_back_for_years_does_not_make_the_budget_new_nor_block_it_for_years():
    own = ledger()
    spend(own, NOON + 1000 * DAY_NS, 0.9)

    assert isinstance(own.reserve(NOON, 0.2), Refusal)
    assert isinstance(own.reserve(NOON + HOUR_NS, 0.2), Reservation)


@pytest.mark.parametrize(
    ("spent", "level"),
    [
        pytest.param(0.79, "ok", id="under"),
        pytest.param(0.8, "warning", id="at-warn"),
        pytest.param(1.0, "spent", id="at"),
    ],
)
def test_level_follows_the_spend(spent, level):
    own = ledger()
    spend(own, NOON, spent)

    assert own.level(NOON) == level


def test_level_after_a_refusal_is_spent_until_a_call_fits_again():
    own = ledger()
    spend(own, NOON, 0.7)

    own.reserve(NOON, 0.5)
    refused = own.level(NOON)
    own.reserve(NOON, 0.05)

    assert refused == "spent"
    assert own.level(NOON) == "ok"


def test_reserve_with_a_fresh_system_figure_is_held_to_the_systems_limit():
    limits = Limits(agent_hour_usd=5, agent_day_usd=25, system_hour_usd=5, system_day_usd=25, agents=5)
    system = SystemSpend(4.9, 4.9, HALF_PAST - SYSTEM_FRESH_NS)

    refused = ledger(limits).reserve(HALF_PAST, 0.2, system)
    granted = ledger(limits).reserve(HALF_PAST, 2.0, SystemSpend(1.0, 1.0, HALF_PAST))

    assert isinstance(refused, Refusal)
    assert refused.whose == "system"
    assert isinstance(granted, Reservation)


def test_reserve_since_the_last_look_counts_on_top_of_the_systems_figure():
    limits = Limits(agent_hour_usd=5, agent_day_usd=25, system_hour_usd=5, system_day_usd=25, agents=5)
    own, system = ledger(limits), SystemSpend(4.0, 4.0, HALF_PAST)

    granted = [isinstance(own.reserve(HALF_PAST, 0.4, system), Reservation) for _ in range(4)]

    assert granted == [True, True, False, False]


@pytest.mark.parametrize(
    "system",
    [
        pytest.param(None, id="unknown"),
        pytest.param(SystemSpend(0.0, 0.0, NOON - SYSTEM_FRESH_NS - 1), id="stale"),
        pytest.param(SystemSpend(0.0, 0.0, NOON + 1), id="of-the-future"),
        pytest.param(SystemSpend(0.0, 0.0, NOON - 1), id="of-the-hour-before"),
    ],
)
def test_reserve_without_a_usable_system_figure_keeps_to_the_share(system):
    limits = Limits(agent_hour_usd=5, agent_day_usd=25, system_hour_usd=5, system_day_usd=25, agents=5)
    own = ledger(limits)

    refused = own.reserve(NOON, 1.1, system)
    granted = own.reserve(NOON, 0.9, system)

    assert isinstance(refused, Refusal)
    assert (refused.whose, refused.limit_usd) == ("share", 1.0)
    assert isinstance(granted, Reservation)
    assert own.figures(NOON, system).limit_hour_usd == 1.0


def test_figures_name_the_systems_spend_only_while_it_is_fresh():
    own = ledger()

    fresh = own.figures(NOON + HOUR_NS // 2, SystemSpend(1.5, 2.5, NOON + HOUR_NS // 2))
    stale = own.figures(NOON + HOUR_NS // 2, SystemSpend(1.5, 2.5, NOON))

    assert (fresh.system_hour_usd, fresh.system_day_usd) == (1.5, 2.5)
    assert (stale.system_hour_usd, stale.system_day_usd) == (None, None)


def test_limits_from_settings_without_an_agents_own_are_the_systems():
    limits = limits_from(BudgetSettings(usd_per_hour=2.0, usd_per_day=8.0, agents=4, agent_usd_per_day=1.0))

    assert limits == Limits(2.0, 1.0, 2.0, 8.0, 4)


STEPS = st.lists(
    st.tuples(
        st.integers(-2 * HOUR_NS, 2 * HOUR_NS),
        st.integers(0, 1_200_000_000),
        st.floats(0, 1),
        st.booleans(),
    ),
    max_size=40,
)


@given(steps=STEPS)
def test_spend_of_a_window_never_passes_the_limit_whatever_the_clock_does(steps):
    own, now = ledger(), NOON

    for jump, nano_usd, part, restart in steps:
        now += jump
        reservation = own.reserve(now, nano_usd / 1e9)
        if restart:
            own = ledger(state=json.loads(json.dumps(own.state())))
        elif isinstance(reservation, Reservation):
            own.settle(reservation, int(nano_usd * part) / 1e9)

        state = own.state()
        assert 0 <= state["hour_nano_usd"] <= 1_000_000_000
        assert 0 <= state["day_nano_usd"] <= 3_000_000_000


@given(steps=st.lists(st.tuples(st.integers(0, HOUR_NS), st.integers(1, 400_000_000)), max_size=60))
def test_spend_by_a_rising_clock_equals_an_independent_sum_to_the_billionth(steps):
    own, now = ledger(), NOON
    hours, days = defaultdict(int), defaultdict(int)

    for jump, nano_usd in steps:
        now += jump
        fits = hours[now // HOUR_NS] + nano_usd <= 10**9 and days[now // DAY_NS] + nano_usd <= 3 * 10**9
        reservation = own.reserve(now, nano_usd / 1e9)
        assert isinstance(reservation, Reservation) == fits
        if fits:
            hours[now // HOUR_NS] += nano_usd
            days[now // DAY_NS] += nano_usd

        assert own.state()["hour_nano_usd"] == hours[now // HOUR_NS]
        assert own.state()["day_nano_usd"] == days[now // DAY_NS]
