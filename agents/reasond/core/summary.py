"""The monitor's window in figures: the metrics summary that goes into the prompt, and `system_health` counts.

Used by the monitor. Source: specification, Agent 4 ("total messages, queue depths, error rates, decisions").
"""

import math
import re
from typing import Any, Dict, Mapping, Optional

from reasond.core import health
from reasond.core.contexts import QueueFacts
from reasond.core.rules import GUARD_DEPTH_MESSAGES, expected_wait_s
from reasond.settings import BudgetSettings
from reasond.topology import DEAD_QUEUES, MAIN_QUEUES

MAX_NAMES = 40
"""Names in one group of the summary: a store full of strange tags must not fill a prompt."""
_NAME = re.compile(r"^[A-Za-z0-9_.:-]{1,60}\Z")


def metrics_summary(scene: health.Scene, budget: BudgetSettings) -> Dict[str, Any]:
    """Give what was measured over the window, JSON-able; None is unknown, never 0.

    Only numbers and short names are in it: no other agent's free text reaches the monitor's prompt.
    """
    activity = scene.activity
    depths = {queue: _queue(scene.facts.get(queue)) for queue in (*MAIN_QUEUES, *DEAD_QUEUES)}
    summary: Dict[str, Any] = {
        "queues": depths,
        "expired_messages": scene.expired,
        "newest_depth_age_s": _rounded(health.newest_age_s(activity)),
        "message_ttl_s": scene.ttl_s,
    }
    if not scene.activity_known:
        return dict(summary, note="InfluxDB gives no figures; these are the monitor's own samples of the queues.")
    return dict(
        summary,
        messages_in=named(activity.published),
        messages_in_total=sum(activity.published.values()),
        messages_out=named(activity.consumed),
        messages_out_total=sum(activity.consumed.values()),
        handled_as=named(activity.consumed_by_action),
        error_rates=_error_rates(scene),
        decisions_by_action=named(activity.decisions),
        decisions_by_brain=named(activity.decisions_by_brain),
        mean_confidence=_rounded(activity.mean_confidence, 3),
        api_calls=activity.api_calls,
        api_errors=named(activity.api_errors),
        cost={
            "window_usd": _rounded(activity.cost_usd, 4),
            "tokens": activity.tokens,
            "hour_usd": _rounded(activity.system_hour_usd, 4),
            "hour_limit_usd": budget.usd_per_hour,
            "day_usd": _rounded(activity.system_day_usd, 4),
            "day_limit_usd": budget.usd_per_day,
        },
        agents=_agents(scene),
    )


def health_counts(scene: health.Scene) -> Dict[str, Any]:
    """Give the counts of a `system_health` point; what the store did not tell is None."""
    activity = scene.activity
    counts: Dict[str, Any] = {
        "window_s": (activity.stop_ns - activity.start_ns) / 1e9,
        "drain_time_s": worst_drain_s(scene.facts),
        "agents_expected": len(scene.expected_agents),
        "expired": scene.expired,
    }
    if not scene.activity_known:
        return counts
    return dict(
        counts,
        messages_published=sum(activity.published.values()),
        messages_consumed=sum(activity.consumed.values()),
        agents_alive=_alive(scene),
        api_errors=sum(activity.api_errors.values()),
        decisions=sum(activity.decisions.values()),
        rejected=activity.rejected,
        flagged=activity.flagged,
        cost_usd=activity.cost_usd,
    )


def worst_drain_s(facts: Mapping[str, QueueFacts]) -> Optional[float]:
    """Give the longest drain time of the main queues, seconds; None when one is unknown or doesn't drain."""
    worst = 0.0
    for queue in MAIN_QUEUES:
        measured = facts.get(queue)
        if measured is None or measured.depth is None:
            return None
        if measured.drain_time_s is not None:
            worst = max(worst, measured.drain_time_s)
        elif measured.depth >= GUARD_DEPTH_MESSAGES:
            return None
    return worst


def _alive(scene: health.Scene) -> int:
    return len(scene.expected_agents) - len(health.silent(scene))


def _queue(facts: Optional[QueueFacts]) -> Dict[str, Any]:
    if facts is None or facts.depth is None:
        return {"depth": None}
    return {
        "depth": facts.depth,
        "trend_per_minute": _rounded(facts.trend_per_minute),
        "in_per_s": _rounded(facts.publish_rate, 2),
        "out_per_s": _rounded(facts.ack_rate, 2),
        "time_to_drain_s": _rounded(facts.drain_time_s),
        "expected_wait_s": _rounded(expected_wait_s(facts)),
        "consumers": facts.consumers,
    }


def _error_rates(scene: health.Scene) -> Dict[str, Any]:
    measured = health.vitals(scene)
    return {
        "expired": _rounded(measured.expired_part, 4),
        "late": _rounded(measured.late_part, 4),
        "rejected": _rounded(measured.rejected_part, 4),
        "flagged": _rounded(measured.flagged_part, 4),
        "api": _rounded(measured.api_error_part, 4),
    }


def _agents(scene: health.Scene) -> Dict[str, Any]:
    return {
        "expected": len(scene.expected_agents),
        "alive": _alive(scene),
        "silent": list(health.silent(scene)),
        "degraded": sorted(a.agent_id for a in scene.activity.agents if a.degraded and is_name(a.agent_id)),
    }


def is_name(text: str) -> bool:
    """Tell whether a text from the store is a plain short name, fit for prompts and alerts."""
    return _NAME.match(text) is not None


def named(counts: Mapping[str, int]) -> Dict[str, int]:
    """Give counts by name; a name that is none of ours is counted under `other`."""
    counted: Dict[str, int] = {}
    for name in sorted(counts):
        kept = name if is_name(name) and len(counted) < MAX_NAMES else "other"
        counted[kept] = counted.get(kept, 0) + counts[name]
    return counted


def _rounded(value: Optional[float], digits: int = 1) -> Optional[float]:
    return round(value, digits) if value is not None and math.isfinite(value) else None
