"""Questions as the three kinds of agents ask them, for the tests of the brains."""

import time
from datetime import datetime, timezone
from typing import Any, Dict, Optional

from msgspec.structs import replace

from reasond.brains.base import Question
from reasond.core.contexts import HandlingContext, HealthContext, QueueFacts, RateContext
from reasond.core.views import Peer

SONNET_45 = "claude-sonnet-4-5-20250929"
SONNET_55 = "claude-sonnet-5-5"


def at(year: int, month: int, day: int, hour: int = 12) -> int:
    """Nanoseconds of a UTC time."""
    return int(datetime(year, month, day, hour, tzinfo=timezone.utc).timestamp()) * 1_000_000_000


BEFORE_THE_END = at(2026, 11, 23)
AFTER_THE_END = at(2026, 12, 1)


def rate(
    fictional: Optional[int] = 3,
    nonfictional: Optional[int] = 2,
    *,
    ack_rate: Optional[float] = 1.0,
    intervals=(5, 10),
    expired: Optional[float] = 0.0,
    peers=(),
    **more: Any,
) -> RateContext:
    queues = {
        "fictional": QueueFacts(depth=fictional, ack_rate=ack_rate, trend_per_minute=0.0, consumers=3),
        "non-fictional": QueueFacts(depth=nonfictional, ack_rate=ack_rate, trend_per_minute=0.0, consumers=3),
        "priority": QueueFacts(depth=0, ack_rate=ack_rate, trend_per_minute=0.0, consumers=3),
    }
    known = fictional is not None or nonfictional is not None
    context = RateContext(
        agent_id="publisher-1",
        fictional_interval=intervals[0],
        nonfictional_interval=intervals[1],
        default_fictional_interval=5,
        default_nonfictional_interval=10,
        min_interval=1,
        max_interval=120,
        paused=False,
        queues=queues,
        depth_source="influxdb" if known else "unknown",
        depth_age_s=2.0 if known else None,
        expired_per_minute=expired,
        message_ttl_s=30,
        peers=tuple(peers),
    )
    return replace(context, **more)


def handling(text: str = "The book was scanned at the front desk.", **more: Any) -> HandlingContext:
    context = HandlingContext(
        agent_id="consumer-1",
        queue="fictional",
        genre_type="fictional",
        priority="normal",
        queue_depth=4,
        message=message(text),
        age_s=1.5,
        seconds_left=20.0,
    )
    return replace(context, **more)


def message(text: str, reasoning: str = "Regular update.") -> Dict[str, Any]:
    return {
        "header": {
            "message_id": "7d1c2a54-7f5b-4b0e-9a35-0a4a3f6c1d2e",
            "timestamp": "2026-11-23T12:00:00Z",
            "version": "1.0",
            "source": "publisher-1",
        },
        "metadata": {
            "genre_type": "fictional",
            "priority": "normal",
            "ttl_seconds": 30,
            "publisher_reasoning": reasoning,
        },
        "payload": {
            "entity_id": "book_00042",
            "action": "location_update",
            "coordinates": {"lat": 49.262, "lng": -122.781},
            "context": text,
        },
    }


def health(score: int = 95, findings=(), **more: Any) -> HealthContext:
    metrics = {
        "messages": {"published": 270, "consumed": 268},
        "queues": {"fictional": {"depth": 3, "trend_per_minute": 0.2}},
        "error_rate": 0.0,
    }
    context = HealthContext(agent_id="monitor-1", window_s=300.0, metrics=metrics, score=score, findings=findings)
    return replace(context, **more)


def peer(action: str, age_s: float = 5.0) -> Peer:
    return Peer(agent_id="publisher-2", age_s=age_s, action=action, fictional_interval=5, nonfictional_interval=10)


_KINDS = {RateContext: "publisher", HandlingContext: "consumer", HealthContext: "monitor"}


def ask(context: Any, deadline_s: float = 8.0, ask_id: str = "ask-1", wall_ns: int = BEFORE_THE_END) -> Question:
    return Question(
        ask_id=ask_id,
        agent_id=context.agent_id,
        agent_type=_KINDS[type(context)],
        context=context,
        deadline_s=deadline_s,
        wall_ns=wall_ns,
    )


def wait_until(condition, timeout_s: float = 5.0) -> bool:
    """Wait for a condition, looking often; tells whether it came true in time."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())
