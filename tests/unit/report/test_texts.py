"""One decision in words."""

from reasond.report.data import Decision, Section
from reasond.report.texts import HOVER_CHARS, after_text, brain_text, cost_text, hover_lines, outcome_text, time_text

SECOND = 10**9


def section(from_zero):
    return Section("", 5 * SECOND, 90 * SECOND, (), (), (), 0, 0, from_zero=from_zero)


def one(**more):
    return Decision(
        **{"time_ns": 3735 * SECOND, "agent_id": "publisher-1", "kind": "publisher", "action": "slow_down", **more}
    )


def test_a_time_is_since_the_start_or_in_utc():
    assert time_text(section(True), 3735 * SECOND) == "1:02:10"
    assert time_text(section(False), 3735 * SECOND) == "1970-01-01 01:02:15"


def test_an_action_tells_what_it_changed():
    assert after_text(one(before=(5, 10), after=(8, 12), brain="rules")) == "slow_down 5/10 → 8/12 s"
    assert after_text(one(action="continue", before=(5, 10), after=(5, 10), brain="")) == "continue at 5/10 s"
    assert after_text(one(kind="consumer", action="batch", queue="priority", brain="")) == "batch in priority"
    assert after_text(one(acted=False, adjusted=True, brain="")) == "slow_down (in shadow) (kept within bounds)"


def test_cost_is_what_was_paid_or_would_have_been():
    assert cost_text(one(brain="", input_tokens=600, output_tokens=150, usd=0.004)) == "750 tokens, $0.0040"
    assert cost_text(one(brain="", input_tokens=600, would_usd=0.5)) == "600 tokens, would be $0.5000"
    assert cost_text(one(brain="")) == "-"


def test_who_decided_is_told_with_the_model_and_why_another_did():
    assert brain_text(one(brain="claude", model="m", prompt="1")) == "claude, m, prompt 1"
    assert brain_text(one(brain="rules", fallback="no_key")) == "rules (no answer: no key)"


def test_under_the_pointer_lines_are_short_and_complete():
    lines = hover_lines(section(False), one(brain="rules", reasoning="word " * 500, outcome="did not help"))

    assert lines[0].startswith("publisher-1, 1970") and lines[-1] == "outcome: did not help; cost: -"
    assert max(map(len, lines)) <= 80 and sum(map(len, lines[3:-1])) <= HOVER_CHARS


def test_a_missing_outcome_is_words():
    assert outcome_text(one(brain="", outcome="second_change")) == "second change"
    assert outcome_text(one(brain="")) == "-"
