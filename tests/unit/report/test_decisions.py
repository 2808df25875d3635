"""Decisions read from points, counted, and the telling ones kept."""

from collections import Counter

from reasond.report.decisions import MAX_TAG_CHARS, MAX_TEXT_CHARS, Tally, decision, most_telling
from tests.unit.report.decided import row


def tally(*rows):
    found = Tally()
    found.add(decision(one) for one in rows)
    return found


def test_a_point_becomes_a_decision():
    one = decision(
        row(
            3,
            action="slow_down",
            brain="claude",
            reasoning="too deep",
            previous_fictional_interval=5,
            previous_nonfictional_interval=10,
            fictional_interval=8,
            nonfictional_interval=12,
            outcome_success=True,
            cost_usd=0.25,
            input_tokens=600,
            acted=True,
        )
    )

    assert (one.before, one.after, one.outcome) == ((5, 10), (8, 12), "helped")
    assert (one.usd, one.input_tokens, one.acted, one.model, one.reasoning) == (0.25, 600, True, "", "too deep")


def test_in_shadow_the_intervals_found_stay_in_force():
    fields = dict.fromkeys(("previous_fictional_interval", "previous_nonfictional_interval"), 5)
    one = decision(row(action="slow_down", acted=False, fictional_interval=9, nonfictional_interval=9, **fields))

    assert not one.acted and one.after == (5, 5)


def test_no_outcome_is_its_reason_or_empty():
    assert decision(row(outcome_missing="second_change")).outcome == "second_change"
    assert decision(row(outcome_success=False)).outcome == "did not help"
    assert decision(row()).outcome == ""


def test_long_texts_are_cut():
    one = decision(row(agent_id="publisher-" + "1" * 100, reasoning="x" * 5000))

    assert len(one.reasoning) == MAX_TEXT_CHARS and one.reasoning.endswith("…")
    assert len(one.agent_id) == MAX_TAG_CHARS


def test_marked_is_what_changes_an_action_or_a_rate():
    found = tally(
        row(1),
        row(2, action="slow_down"),
        row(3, "consumer-1", "process", queue="fictional"),
        row(4, "consumer-1", "process", queue="fictional"),
        row(5, "consumer-1", "batch", queue="fictional"),
        # Another queue's first decision changes nothing.
        row(6, "consumer-1", "batch", queue="priority"),
        # A flag concerns one message: what follows it is no change back.
        row(7, "consumer-1", "flag_anomaly", queue="fictional"),
        row(8, "consumer-1", "batch", queue="fictional"),
        row(9, "monitor-1", "healthy"),
        row(10, "monitor-1", "warning"),
        row(11, brain="operator", action="hold"),
    )

    assert [one.time_ns // 10**9 for one in found.marks] == [2, 5, 7, 10, 11]
    assert (found.decided, found.changed) == (11, 5)


def test_counts_keep_shadow_apart():
    found = tally(
        row(1, action="slow_down", outcome_success=True),
        row(2, action="slow_down", outcome_success=False, acted=False),
        row(3, "consumer-1", "process", fallback_reason="no_key", cost_usd=0.5, would_cost_usd=1.0),
    )

    assert found.outcomes[("publisher", "slow_down")] == Counter(helped=1)
    assert found.shadowed[("publisher", "slow_down")] == {"did not help": 1}
    assert found.fallbacks == {"no_key": 1}
    assert (found.spends["consumer-1"].usd, found.spends["consumer-1"].would_usd) == (0.5, 1.0)


def test_of_many_the_most_telling_are_given_in_order():
    rows = [row(at, action="pause" if at == 2 else "continue") for at in range(10)]

    found = most_telling([decision(one) for one in rows], 3)

    assert [one.time_ns // 10**9 for one in found] == [2, 8, 9]


def test_pieces_count_as_one():
    rows = [row(at, "consumer-1", "process" if at % 4 else "batch", queue="fictional") for at in range(40)]
    whole, pieces = tally(*rows), Tally()
    for at in range(0, 40, 7):
        pieces.add(decision(one) for one in rows[at : at + 7])

    assert (pieces.marks, pieces.actions, pieces.changed) == (whole.marks, whole.actions, whole.changed)
