"""The consumer's points: every one declared, typed, and amended only under its own tags and time."""

import pytest

from reasond.core.consumer_rows import ConsumerRows, is_late, late_cost
from reasond.core.effects import Answer, ApiCall, BudgetState, Failure, Now
from reasond.core.intake import Item, OpenDecision
from reasond.core.set_aside import SetAsides, Verdict
from reasond.core.views import QueueSample
from reasond.decisions import HandlingDecision
from reasond.points import MEASUREMENTS, Row, Stamper, to_line
from reasond.topology import FLAGGED, REJECTED
from tests.support.driver_consumer import START_WALL_NS, Bench, answer, message

pytestmark = pytest.mark.unit

BENCH = Bench()
MAKE = ConsumerRows("consumer-1", Stamper())


def now(seconds: float = 0.0) -> Now:
    return Now(mono=seconds, wall_ns=START_WALL_NS + int(seconds * 1e9))


def item(ttl_s: int = 30) -> Item:
    delivery = BENCH.delivery(message())
    return Item(delivery, now(), message_id="id-1", entity_id="book_1", stamp_s=now().wall, ttl_s=ttl_s)


@pytest.mark.parametrize(("seconds", "late"), [(30.0, False), (30.5, True)], ids=["just in time", "past its TTL"])
def test_message_row_tells_age_and_lateness(seconds: float, late: bool) -> None:
    row = MAKE.message(now(seconds), item(), action="immediate", duration_ms=7, depth=3)
    assert row.tags == {"agent_id": "consumer-1", "queue": "fictional", "processing_action": "immediate"}
    assert row.fields["age_ms"] == pytest.approx(seconds * 1000)
    assert row.fields["late"] is late and is_late(item(), now(seconds)) is late
    assert (row.fields["queue_depth"], row.fields["messages_consumed"]) == (3, 1)
    assert isinstance(row.fields["processing_duration_ms"], float)


def test_message_row_leaves_out_what_is_unknown() -> None:
    nameless = Item(BENCH.delivery(b"garbage", queue="fictional"), now())
    row = MAKE.message(now(), nameless, action="rejected", duration_ms=1.0, depth=None)
    assert not {"queue_depth", "age_ms", "late", "attempts", "duplicate"} & set(row.fields)


def aside(verdict: Verdict) -> Row:
    asides = SetAsides()
    asides.link(True, False)
    asides.add(now(), item(), verdict)
    (publish,) = asides.send(now())
    done, _ = asides.confirmed(now(), publish.ref, "ok")  # type: ignore[union-attr]
    assert done is not None
    return MAKE.set_aside(now(), done)


def test_flag_row_tells_who_and_why() -> None:
    row = aside(Verdict(FLAGGED, "jump", "too far", by="check"))
    assert row.measurement == "flags"
    assert row.tags == {"agent_id": "consumer-1", "queue": "fictional", "by": "check", "cause": "jump"}
    assert row.fields == {"message_id": "id-1", "entity_id": "book_1", "reason": "too far"}


def test_rejection_row_tells_where_and_why() -> None:
    row = aside(Verdict(REJECTED, "malformed", "no object", path="$.header"))
    assert row.measurement == "rejections"
    assert row.tags == {"agent_id": "consumer-1", "queue": "fictional", "cause": "malformed"}
    assert row.fields == {"message_id": "id-1", "reason": "no object", "path": "$.header"}


def test_decision_row_has_the_depths_and_their_source() -> None:
    depths = {
        "fictional": QueueSample(1, "fictional", 4, source="declare"),
        "priority": QueueSample(1, "priority", None, source="unknown"),
    }
    row = MAKE.decision(
        now(), answer("batch"), queue="fictional", action="batch", fields={"acted": True}, depths=depths
    )
    assert row.fields["queue_depth_fictional"] == 4
    assert not {"queue_depth_priority", "queue_depth_nonfictional"} & set(row.fields)
    assert row.fields["depth_source"] == "declare"
    assert row.tags["queue"] == "fictional"


def test_cost_rows_hold_each_attempt_and_the_budget() -> None:
    calls = (ApiCall(5, "m", 1, 529, "overloaded", 10.0), ApiCall(6, "m", 2, 200, "", 10.0, 5, 6, 0.1))
    rows = MAKE.costs(now(), "ask", Failure("overloaded", calls=calls, budget=BudgetState(1.0, 2.0, 3.0, 4.0)))
    assert [row.measurement for row in rows] == ["api_calls", "api_calls", "budget"]
    assert all(set(row.fields) <= set(MEASUREMENTS[row.measurement].fields) for row in rows)


def test_late_cost_is_amended_under_the_decisions_own_tags_and_time() -> None:
    # Given
    decision = OpenDecision("consumer-1-1", {"agent_id": "consumer-1", "action": "process"}, 17)
    late = Answer(decision=HandlingDecision("batch", ""), brain="claude", input_tokens=3, output_tokens=4)
    # When
    row = late_cost(decision, late).row
    # Then
    assert (row.measurement, row.tags, row.time_ns) == ("agent_reasoning", decision.tags, 17)
    assert (row.fields["tokens_used"], row.fields["input_tokens"], row.fields["output_tokens"]) == (7, 3, 4)
    to_line(row)
