"""What a consumer writes down: messages, flags, rejections, decisions and their cost. Used by its core."""

from typing import Any, Dict, List, Mapping, Optional, Union

from reasond.core.effects import Amend, Answer, Failure, Now
from reasond.core.intake import Item, OpenDecision
from reasond.core.records import NONE, api_call_rows, budget_row, reasoning_fields, reasoning_tags
from reasond.core.set_aside import SetAside
from reasond.core.views import QueueSample
from reasond.decisions import DECISION_TYPES
from reasond.points import Row, Stamper
from reasond.topology import FICTIONAL, FLAGGED, NON_FICTIONAL, PRIORITY

NOT_AI = frozenset(("rules", "static", "operator"))
"""Brains whose decisions don't count as an AI's in `ai_decision_used` and the `by` of a flag."""


def is_late(item: Item, now: Now) -> bool:
    """Tell whether a message is past its TTL."""
    return item.left_s(now) < 0


class ConsumerRows:
    """Makes a consumer's rows."""

    def __init__(self, agent_id: str, stamper: Stamper) -> None:
        """Take who writes, and the process's stamper."""
        self._agent_id = agent_id
        self._stamper = stamper

    def message(self, now: Now, item: Item, *, action: str, duration_ms: float, depth: Optional[int]) -> Row:
        """Give the `consumer_metrics` row of a message at its end.

        `duration_ms` is the work on this message: its handler's last run, its share of a batch's, or the time
        that setting it aside took. A body that is no message has no age.
        """
        fields: Dict[str, Any] = {
            "messages_consumed": 1,
            "processing_duration_ms": duration_ms,
            "queue_depth": depth,
            "ai_decision_used": item.ai,
        }
        if item.message_id:
            age_s = item.age_s(now)
            fields["age_ms"] = age_s * 1000
            fields["late"] = age_s > item.ttl_s
        if item.attempts or item.deaths:
            fields["attempts"] = item.attempts + item.deaths
        if action == "duplicate":
            fields["duplicate"] = True
        tags = {"agent_id": self._agent_id, "queue": item.delivery.queue, "processing_action": action}
        return self._stamper.row("consumer_metrics", tags, fields, now.wall_ns)

    def set_aside(self, now: Now, aside: SetAside) -> Row:
        """Give the `flags` or `rejections` row of a message that is now safe in its dead-letter queue."""
        item, verdict = aside.item, aside.verdict
        tags = {"agent_id": self._agent_id, "queue": item.delivery.queue, "cause": verdict.cause}
        fields: Dict[str, Any] = {"message_id": aside.publish.message_id, "reason": verdict.reason}
        if verdict.queue == FLAGGED:
            fields.update(entity_id=item.entity_id, decision_id=verdict.decision_id or None)
            return self._stamper.row("flags", dict(tags, by=verdict.by), fields, now.wall_ns)
        fields["path"] = verdict.path or None
        return self._stamper.row("rejections", tags, fields, now.wall_ns)

    def decision(
        self,
        now: Now,
        answer: Union[Answer, Failure],
        *,
        queue: str,
        action: str,
        fields: Mapping[str, Any],
        depths: Mapping[str, QueueSample],
    ) -> Row:
        """Give the `agent_reasoning` row of a decision, with the depths it was taken at."""
        known = {name: sample.depth for name, sample in depths.items()}
        row_fields = reasoning_fields(answer)
        row_fields.update(
            queue_depth_fictional=known.get(FICTIONAL),
            queue_depth_nonfictional=known.get(NON_FICTIONAL),
            queue_depth_priority=known.get(PRIORITY),
            depth_source=depths[queue].source if queue in depths else "unknown",
        )
        row_fields.update(fields)
        tags = reasoning_tags(self._agent_id, "consumer", action, answer, queue)
        return self._stamper.row("agent_reasoning", tags, row_fields, now.wall_ns)

    def costs(self, now: Now, ask_id: str, answer: Union[Answer, Failure]) -> List[Row]:
        """Give the rows of what a question cost: each attempt, and where the budget stands."""
        rows = api_call_rows(self._stamper, self._agent_id, "consumer", ask_id, answer.calls)
        if answer.budget is not None:
            rows.append(budget_row(self._stamper, self._agent_id, answer.budget, now.wall_ns))
        return rows

    def operator(self, now: Now, action: str, serial: int) -> Row:
        """Give the `agent_reasoning` row of an operator's order."""
        tags = {
            "agent_id": self._agent_id,
            "agent_type": "consumer",
            "action": action,
            "decision_type": DECISION_TYPES["consumer"],
            "brain": "operator",
            "model": NONE,
            "prompt_version": NONE,
        }
        fields = {
            "reasoning": "Set by the operator: order {}.".format(serial),
            "decision_id": "{}-operator-{}".format(self._agent_id, serial),
            "acted": True,
        }
        return self._stamper.row("agent_reasoning", tags, fields, now.wall_ns)


def late_cost(decision: OpenDecision, answer: Union[Answer, Failure]) -> Amend:
    """Give what a late answer cost, for the point of the decision that was taken without it."""
    return Amend(
        decision.row(
            {
                "tokens_used": int(answer.input_tokens + answer.output_tokens),
                "input_tokens": int(answer.input_tokens),
                "output_tokens": int(answer.output_tokens),
                "cost_usd": float(answer.cost_usd),
                "decision_latency_ms": float(answer.latency_ms),
            }
        )
    )
