"""Decisions that wait for their outcome."""

import pytest

from reasond.core import outcome
from reasond.core.effects import Amend, Look, Now, Save, ViewFailed, Wake
from reasond.core.hindsight import STORE_LAG_S, WAKE, Hindsight
from reasond.core.views import WindowView
from reasond.points import Row
from tests.support.driver_publisher import MAIN, START_NS, sample, settings

pytestmark = pytest.mark.unit

S = 1_000_000_000
TAGS = {"agent_id": "publisher-1", "action": "slow_down", "brain": "claude"}


def at(mono):
    return Now(mono, START_NS + int(mono * S))


def row(mono, decision_id="d1", action="slow_down"):
    return Row("agent_reasoning", dict(TAGS, action=action), {"decision_id": decision_id}, START_NS + int(mono * S))


def view(before, after, change_at=100):
    """Depth `before` until `change_at` (seconds), `after` from then on, every 5 s."""
    return WindowView(
        tuple(
            sample(START_NS + second * S, queue, before if second < change_at else after)
            for second in range(0, 200, 5)
            for queue in MAIN
        )
    )


def decided(mono=100.0, acted=True, old_interval_s=10.0, **changes):
    hind = Hindsight(settings(**changes), None)
    return hind, hind.add(at(mono), row(mono), acted=acted, old_interval_s=old_interval_s)


def amended(effects):
    return [effect.row.fields for effect in effects if isinstance(effect, Amend)]


def test_decision_is_kept_and_looked_at_once_its_window_and_the_stores_lag_are_over():
    hind, effects = decided()
    assert effects[0].state == {"open": [{"tags": TAGS, "time_ns": START_NS + 100 * S}]}
    assert effects[1] == Wake(WAKE, 100 + 15 + 20 + STORE_LAG_S)
    assert not [e for e in hind.on_wake(at(effects[1].at - 1)) if isinstance(e, Look)]
    look = hind.on_wake(at(effects[1].at))[0]
    assert (look.view, look.start_ns, look.stop_ns) == ("depth_window", START_NS + 80 * S, START_NS + 135 * S)


def test_view_gives_the_outcome_on_the_decisions_own_point_and_forgets_it():
    hind, effects = decided()
    look = hind.on_wake(at(effects[1].at))[0]
    closed = hind.on_view(at(140), look.ref, view(20, 3))
    assert closed[0].row.tags == TAGS and closed[0].row.time_ns == START_NS + 100 * S
    assert closed[0].row.fields["outcome_success"] is True
    assert closed[0].row.fields["queue_depth_fictional_after"] == 3
    assert [e.state for e in closed if isinstance(e, Save)] == [{"open": []}]
    assert hind.on_view(at(141), look.ref, view(20, 3)) == []


def test_view_that_failed_or_came_for_others_is_no_outcome():
    hind, effects = decided()
    look = hind.on_wake(at(effects[1].at))[0]
    assert hind.on_view(at(140), "outcome:other", view(20, 3)) == []
    assert amended(hind.on_view(at(140), look.ref, ViewFailed("away"))) == [{"outcome_missing": outcome.NO_VIEW}]


def test_second_change_before_three_samples_leaves_no_outcome():
    hind, effects = decided()
    hind.changed(at(117))
    look = hind.on_wake(at(effects[1].at))[0]
    assert amended(hind.on_view(at(140), look.ref, view(20, 3)))[0]["outcome_missing"] == outcome.SECOND_CHANGE


def test_second_change_after_three_samples_only_shortens_the_window():
    hind, effects = decided()
    hind.changed(at(130))
    look = hind.on_wake(at(effects[1].at))[0]
    changed_again = WindowView(
        tuple(s if s.time_ns < START_NS + 130 * S else sample(s.time_ns, s.queue, 999) for s in view(20, 3).samples)
    )
    assert amended(hind.on_view(at(140), look.ref, changed_again))[0]["outcome_success"] is True


def test_change_or_spoiling_after_the_window_does_no_harm():
    hind, effects = decided()
    hind.changed(at(136))
    hind.spoil(at(136), outcome.HELD)
    look = hind.on_wake(at(effects[1].at))[0]
    assert amended(hind.on_view(at(140), look.ref, view(20, 3)))[0]["outcome_success"] is True


def test_spoiled_decision_is_closed_with_the_first_reason_and_without_a_look():
    hind, effects = decided()
    hind.spoil(at(110), outcome.NOT_PUBLISHING)
    hind.spoil(at(111), outcome.HELD)
    closed = hind.on_wake(at(effects[1].at))
    assert amended(closed) == [{"outcome_missing": outcome.NOT_PUBLISHING}]
    assert not [e for e in closed if isinstance(e, Look)]


def test_long_old_interval_moves_the_window_back():
    _, effects = decided(old_interval_s=120.0)
    assert effects[1].at == 100 + 120 + 20 + STORE_LAG_S


def test_two_open_decisions_are_looked_at_each_in_its_time():
    hind, first = decided()
    second = hind.add(at(130), row(130, "d2"), acted=False, old_interval_s=10)
    assert second[1].at == first[1].at
    looked = hind.on_wake(at(first[1].at))
    assert [e.ref for e in looked if isinstance(e, Look)] == ["outcome:d1"]
    assert looked[-1] == Wake(WAKE, first[1].at + 30)


def test_restart_closes_what_was_left_open_on_its_own_point_and_once():
    kept = {"open": [{"tags": TAGS, "time_ns": 5}, {"tags": TAGS, "time_ns": 9}]}
    hind = Hindsight(settings(), kept)
    effects = hind.on_start(at(0))
    assert [(e.row.tags, e.row.time_ns, e.row.fields) for e in effects[:2]] == [
        (TAGS, 5, {"outcome_missing": outcome.RESTART}),
        (TAGS, 9, {"outcome_missing": outcome.RESTART}),
    ]
    assert effects[2].state == {"open": []}
    assert hind.on_start(at(1)) == []


@pytest.mark.parametrize(
    "state", [None, {}, [], {"open": 3}, {"open": [3, {"tags": 1}, {"tags": {}, "time_ns": "x"}]}],
    ids=["none", "empty", "list", "no list", "no decisions"],
)  # fmt: skip
def test_unreadable_state_counts_as_none(state):
    assert Hindsight(settings(), state).on_start(at(0)) == []
