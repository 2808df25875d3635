"""Rows that every agent writes alike."""

import pytest

from reasond.core import records
from reasond.core.effects import Answer, ApiCall, BudgetState, Failure
from reasond.decisions import RateDecision
from reasond.points import MEASUREMENTS, Stamper, to_line

pytestmark = pytest.mark.unit

T = 1_800_000_000_000_000_000
ANSWER = Answer(
    decision=RateDecision("continue", "calm"),
    brain="claude",
    model="claude-sonnet-4-5-20250929",
    prompt_version="1",
    input_tokens=300,
    output_tokens=80,
    cost_usd=0.0021,
    latency_ms=812.5,
)


def test_api_call_rows_carry_each_attempt_at_its_own_time():
    calls = (
        ApiCall(T, "m", 1, 529, "overloaded", 90.0),
        ApiCall(T + 5, "m", 2, 200, "", 400.0, 300, 80, 0.0021),
    )

    failed, answered = records.api_call_rows(Stamper(), "publisher-1", "publisher", "d-1", calls)

    assert failed.tags == {
        "agent_id": "publisher-1",
        "agent_type": "publisher",
        "model": "m",
        "error": "overloaded",
    }
    assert answered.tags["error"] == "none"
    assert (failed.time_ns, answered.time_ns) == (T, T + 5)
    assert answered.fields == {
        "attempt": 2, "status": 200, "latency_ms": 400.0, "input_tokens": 300, "output_tokens": 80,
        "cost_usd": 0.0021, "decision_id": "d-1",
    }  # fmt: skip


def test_budget_row_without_the_systems_figures_leaves_them_out():
    row = records.budget_row(Stamper(), "consumer-2", BudgetState(0.1, 0.2, 5.0, 25.0), T)

    assert row.fields == {
        "spent_hour_usd": 0.1, "spent_day_usd": 0.2, "limit_hour_usd": 5.0, "limit_day_usd": 25.0,
        "level": "ok",
    }  # fmt: skip


def test_heartbeat_row_says_up():
    row = records.heartbeat_row(Stamper(), "monitor-1", "monitor", {"degraded": False}, T)

    assert row.fields == {"up": 1, "degraded": False}


def test_reasoning_of_an_answer_has_every_tag_and_the_whole_cost():
    tags = records.reasoning_tags("publisher-1", "publisher", "continue", ANSWER)
    fields = records.reasoning_fields(ANSWER)

    assert tags == {
        "agent_id": "publisher-1", "agent_type": "publisher", "action": "continue",
        "decision_type": "rate_adjustment", "brain": "claude", "model": "claude-sonnet-4-5-20250929",
        "prompt_version": "1",
    }  # fmt: skip
    assert fields == {
        "tokens_used": 380, "input_tokens": 300, "output_tokens": 80, "cost_usd": 0.0021,
        "decision_latency_ms": 812.5,
    }  # fmt: skip


def test_reasoning_of_a_failure_names_rules_and_the_reason_and_what_was_paid():
    failure = Failure("deadline", latency_ms=24000.0, input_tokens=300, output_tokens=500, cost_usd=0.0084)

    tags = records.reasoning_tags("consumer-1", "consumer", "process", failure, queue="priority")
    fields = records.reasoning_fields(failure)

    assert (tags["brain"], tags["model"], tags["prompt_version"]) == ("rules", "none", "none")
    assert (tags["queue"], tags["decision_type"]) == ("priority", "message_handling")
    assert (fields["fallback_reason"], fields["cost_usd"], fields["tokens_used"]) == ("deadline", 0.0084, 800)


def test_reasoning_of_a_dry_run_says_what_it_would_have_cost():
    answer = Answer(RateDecision("continue", "calm"), "dry-run", would_cost_usd=0.0021)

    fields = records.reasoning_fields(answer)

    assert (fields["cost_usd"], fields["would_cost_usd"]) == (0.0, 0.0021)


@pytest.mark.parametrize("answer", [ANSWER, Failure("no_key")], ids=["answer", "failure"])
def test_reasoning_row_of_tags_and_fields_is_declared(answer):
    tags = records.reasoning_tags("publisher-1", "publisher", "continue", answer)

    row = Stamper().row("agent_reasoning", tags, records.reasoning_fields(answer), T)

    assert set(row.tags) <= set(MEASUREMENTS["agent_reasoning"].tags)
    assert to_line(row).startswith("agent_reasoning,action=continue,agent_id=publisher-1")
