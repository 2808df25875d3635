"""Rows that every agent writes alike: attempts at the API, the budget, heartbeats, and a decision's cost.

Used by the three cores and the runtime; the measurements themselves are declared in `reasond.points`.
"""

from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from reasond.core.effects import Answer, ApiCall, BudgetState, Failure
from reasond.decisions import DECISION_TYPES, AgentType
from reasond.points import Row, Stamper

FALLBACK_BRAIN = "rules"
"""The `brain` tag of a decision that the rule-based controller took because the brain gave none."""
NONE = "none"
"""Tag value where there is no model, prompt version or error: InfluxDB drops empty tags, and a series without
the tag would fall out of every grouping by it."""


def api_call_rows(
    stamper: Stamper, agent_id: str, agent_type: AgentType, decision_id: str, calls: Sequence[ApiCall]
) -> List[Row]:
    """Give one `api_calls` row an attempt, each at the attempt's own time."""
    return [
        stamper.row(
            "api_calls",
            {
                "agent_id": agent_id,
                "agent_type": agent_type,
                "model": call.model or NONE,
                "error": call.error or NONE,
            },
            {
                "attempt": call.attempt,
                "status": call.status,
                "latency_ms": call.latency_ms,
                "input_tokens": call.input_tokens,
                "output_tokens": call.output_tokens,
                "cost_usd": call.cost_usd,
                "decision_id": decision_id,
            },
            call.wall_ns,
        )
        for call in calls
    ]


def budget_row(stamper: Stamper, agent_id: str, budget: BudgetState, wall_ns: int) -> Row:
    """Give the `budget` row of an agent's spend; system figures that are not known are left out."""
    return stamper.row(
        "budget",
        {"agent_id": agent_id},
        {
            "spent_hour_usd": budget.spent_hour_usd,
            "spent_day_usd": budget.spent_day_usd,
            "limit_hour_usd": budget.limit_hour_usd,
            "limit_day_usd": budget.limit_day_usd,
            "system_hour_usd": budget.system_hour_usd,
            "system_day_usd": budget.system_day_usd,
            "level": budget.level,
        },
        wall_ns,
    )


def heartbeat_row(
    stamper: Stamper, agent_id: str, agent_type: AgentType, fields: Mapping[str, Any], wall_ns: int
) -> Row:
    """Give an `agent_health` row: `up` is 1, the rest is given."""
    return stamper.row("agent_health", {"agent_id": agent_id, "agent_type": agent_type}, dict(fields, up=1), wall_ns)


def reasoning_tags(
    agent_id: str,
    agent_type: AgentType,
    action: str,
    answer: Union[Answer, Failure],
    queue: Optional[str] = None,
) -> Dict[str, str]:
    """Give a decision's whole tag set for `agent_reasoning`; `action` is the clamped one.

    After a Failure the decision is the rule-based controller's: its brain is `rules`, it has no model.
    """
    if isinstance(answer, Answer):
        brain, model, prompt_version = answer.brain, answer.model or NONE, answer.prompt_version or NONE
    else:
        brain, model, prompt_version = FALLBACK_BRAIN, NONE, NONE
    tags = {
        "agent_id": agent_id,
        "agent_type": agent_type,
        "action": action,
        "decision_type": DECISION_TYPES[agent_type],
        "brain": brain,
        "model": model,
        "prompt_version": prompt_version,
    }
    if queue:
        tags["queue"] = queue
    return tags


def reasoning_fields(answer: Union[Answer, Failure]) -> Dict[str, Any]:
    """Give what the question cost and, after a Failure, why a fallback decided, as `agent_reasoning` fields.

    `reasoning`, `confidence` and what else the decision says are the caller's to add.
    """
    fields: Dict[str, Any] = {
        "tokens_used": answer.input_tokens + answer.output_tokens,
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "cost_usd": answer.cost_usd,
        "decision_latency_ms": answer.latency_ms,
    }
    if isinstance(answer, Failure):
        fields["fallback_reason"] = answer.reason
    elif answer.would_cost_usd is not None:
        fields["would_cost_usd"] = answer.would_cost_usd
    return fields


def mistaken(answer: Answer) -> Failure:
    """Give the failure that an answer of another agent's kind comes to; what it cost is kept."""
    return Failure(
        "invalid_answer",
        "a decision of another kind of agent",
        latency_ms=answer.latency_ms,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        cost_usd=answer.cost_usd,
        calls=answer.calls,
        budget=answer.budget,
    )
