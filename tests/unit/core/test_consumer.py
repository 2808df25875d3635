"""The consumer's rules one by one; what holds over whole histories is in test_consumer_sequences."""

from typing import Any, List

import msgspec
import pytest

from reasond.core.agent import Control
from reasond.core.consumer import DRAIN_MESSAGES, LEAST_ASK_S, ConsumerCore
from reasond.core.effects import Answer, ApiCall, BudgetState, Failure, Publish, Settle, ViewFailed
from reasond.core.in_hand import SAVE_PATIENCE_S, WINDOW_MESSAGES
from reasond.core.outcome import NO_GROUND_TRUTH, NOT_HANDLED, RESTART
from reasond.core.views import DepthsView, QueueSample
from reasond.decisions import HealthDecision
from reasond.messages import encode
from reasond.points import MEASUREMENTS
from reasond.settings import PrivacySettings
from reasond.topology import FLAGGED, MAIN_QUEUES, REJECTED
from tests.support.driver_consumer import Bench, answer, consumer_settings, message

pytestmark = pytest.mark.unit

CALL = ApiCall(1, "m", 1, 200, "", 5.0, 100, 20, 0.001)


def actions(bench: Bench) -> List[str]:
    return [row.tags["processing_action"] for row in bench.metric_rows()]


def causes(bench: Bench) -> List[str]:
    return [publish.headers["x-reasond-cause"] for publish in bench.aside]


def said(bench: Bench) -> List[str]:
    return [say.event for say in bench.said]


def sampling(**changes: Any) -> Bench:
    """A consumer that asks about every message it may."""
    return Bench(**dict({"sample_every": 1}, **changes))


# Handling


def test_message_is_journalled_then_handled_then_settled() -> None:
    # Given
    bench = Bench()
    # When
    (delivery,) = bench.deliver(message())
    # Then each step waits for the one before
    assert bench.saves and not bench.handles
    bench.save()
    assert bench.handles and bench.settled == []
    bench.handle(duration_ms=12.0)
    assert bench.settled == [delivery]
    (row,) = bench.metric_rows()
    assert row.tags == {"agent_id": "consumer-1", "queue": "fictional", "processing_action": "immediate"}
    assert row.fields["processing_duration_ms"] == 12.0
    assert row.fields["ai_decision_used"] is False
    assert row.fields["attempts"] == 1


def test_priority_that_comes_later_overtakes_what_waits() -> None:
    # Given more than is handed out at a time
    bench = Bench()
    bench.deliver(*[message(n, queue="fictional") for n in range(1, WINDOW_MESSAGES + 3)])
    bench.save()
    # When
    bench.deliver(message(100, queue="priority"))
    bench.handle()
    bench.save()
    # Then
    assert bench.ids_handled()[-1].endswith("100")


def test_many_deliveries_are_taken_on_in_turns_of_the_loop() -> None:
    # Given deliveries that need no handler
    bench = Bench()
    # When
    bench.deliver(*[b"garbage %d" % n for n in range(DRAIN_MESSAGES + 10)], queue="fictional")
    # Then the rest waits for the next turn
    assert len(bench.publishes) == DRAIN_MESSAGES
    assert bench.wakes["drain"] == bench.mono
    bench.pass_time(0.0)
    assert len(bench.publishes) == DRAIN_MESSAGES + 10
    assert "drain" not in bench.wakes


def test_handler_that_fails_is_tried_again_in_place_with_growing_waits() -> None:
    # Given
    bench = Bench(handler_attempts=3, handler_backoff_s=0.5)
    bench.deliver(message())
    bench.save()
    # When
    bench.handle("ValueError: no")
    assert not bench.handles and not bench.publishes
    bench.pass_time(0.49)
    assert not bench.saves
    bench.pass_time(0.02)
    bench.save()
    bench.handle("ValueError: no")
    bench.pass_time(0.99)
    assert not bench.saves
    bench.pass_time(0.02)
    bench.save()
    bench.handle()
    # Then
    assert len(bench.settled) == 1
    assert bench.metric_rows()[0].fields["attempts"] == 3


def test_handler_that_fails_for_good_has_its_message_rejected_with_the_error() -> None:
    # Given
    bench = Bench(handler_attempts=1)
    bench.deliver(message())
    bench.save()
    # When
    bench.handle("ValueError: no such shelf")
    assert bench.settled == []
    publish = bench.confirm()
    # Then
    assert publish.routing_key == REJECTED
    assert publish.headers["x-reasond-reason"] == "ValueError: no such shelf"
    assert publish.headers["x-reasond-cause"] == "handler_failed"
    assert publish.headers["x-reasond-attempts"] == 1
    assert len(bench.settled) == 1
    assert actions(bench) == ["rejected"]
    (row,) = bench.metric_rows("rejections")
    assert row.tags["cause"] == "handler_failed"


def test_disk_that_does_not_answer_does_not_stop_the_flow() -> None:
    # Given a save that never completes
    bench = Bench(depth_period_s=1.0)
    bench.deliver(message())
    # When
    bench.pass_time(SAVE_PATIENCE_S + 1.5)
    # Then
    assert len(bench.handles) == 1
    assert said(bench).count("journal_overdue") == 1


# Setting aside


@pytest.mark.parametrize(
    ("body", "content_type", "cause", "path"),
    [
        (b"\xff\x00", "application/json", "malformed", "$"),
        (b'{"header": 5}', "application/json", "malformed", "$.header"),
        (b"[" * 5000, "application/json", "malformed", "$"),
        (b"x" * 300000, "application/json", "malformed", "$"),
        (encode(message()), "text/xml", "malformed", "$"),
    ],
    ids=["bytes", "schema", "deep", "large", "content type"],
)  # fmt: skip
def test_garbage_is_rejected_unchanged_and_the_consumer_goes_on(
    body: bytes, content_type: str, cause: str, path: str
) -> None:
    # Given
    bench = Bench()
    # When
    bench.deliver(body, queue="fictional", content_type=content_type)
    bench.deliver(message(2))
    # Then
    publish = bench.confirm()
    assert (publish.routing_key, publish.body) == (REJECTED, body)
    assert (publish.headers["x-reasond-cause"], publish.headers["x-reasond-path"]) == (cause, path)
    bench.settle_down()
    assert bench.out == {} and sorted(actions(bench)) == ["immediate", "rejected"]


def test_implausible_message_is_flagged_by_a_check_without_being_handled() -> None:
    # Given
    bench = Bench(sample_every=1)
    # When
    bench.deliver(message(at_ns=bench.wall_ns + 10**12))
    publish = bench.confirm()
    # Then
    assert publish.routing_key == FLAGGED
    assert publish.headers["x-reasond-by"] == "check"
    assert bench.asks == {} and bench.handles == {}
    assert actions(bench) == ["flagged"]
    (row,) = bench.metric_rows("flags")
    assert (row.tags["by"], row.tags["cause"]) == ("check", "timestamp_future")


def test_late_message_is_handled_and_counted_late() -> None:
    bench = Bench()
    bench.deliver(message(at_ns=bench.wall_ns - 40 * 10**9, ttl=30))
    bench.settle_down()
    (row,) = bench.metric_rows()
    assert row.tags["processing_action"] == "immediate" and row.fields["late"] is True


def test_set_asides_wait_while_the_broker_blocks_publishing_and_the_rest_flows_on() -> None:
    # Given
    bench = Bench()
    bench.event("on_link", "publish", True, True)
    # When
    bench.deliver(b"garbage", message(2), queue="fictional")
    bench.save()
    bench.handle()
    # Then
    assert bench.publishes == {} and len(bench.settled) == 1
    bench.event("on_link", "publish", True, False)
    bench.confirm()
    assert len(bench.settled) == 2


def test_publish_link_that_is_lost_gets_the_same_publish_again() -> None:
    bench = Bench()
    bench.deliver(b"garbage", queue="fictional")
    first = dict(bench.publishes)
    bench.lose("publish")
    assert bench.publishes == first
    bench.confirm()
    assert len(bench.settled) == 1


@pytest.mark.parametrize(("outcome", "declared"), [("nacked", 0), ("returned", 1)], ids=["full", "gone"])
def test_refused_set_aside_is_held_said_and_tried_again(outcome: str, declared: int) -> None:
    # Given
    bench = Bench()
    bench.deliver(b"garbage", queue="fictional")
    # When
    bench.confirm(outcome)
    # Then
    assert bench.settled == [] and bench.publishes == {}
    assert bench.declared == declared and "set_aside_refused" in said(bench)
    bench.pass_time(1.0)
    bench.confirm()
    assert len(bench.settled) == 1


# Duplicates


def test_duplicate_of_a_handled_message_is_settled_and_counted_but_not_handled() -> None:
    # Given
    bench = Bench()
    (delivery,) = bench.deliver(message())
    bench.settle_down()
    # When
    bench.deliver(delivery)
    # Then
    assert bench.out == {} and bench.saves == {} and len(bench.done) == 1
    assert actions(bench) == ["immediate", "duplicate"]
    assert bench.metric_rows()[1].fields["duplicate"] is True
    assert bench.core.status(bench.now).fields["duplicates"] == 1


def test_duplicate_of_a_message_in_hand_waits_for_it_and_is_settled_with_it() -> None:
    # Given
    bench = Bench()
    (delivery,) = bench.deliver(message())
    bench.save()
    # When
    bench.deliver(delivery)
    assert bench.settled == []
    bench.handle()
    # Then
    assert len(bench.settled) == 2 and len(bench.done) == 1
    assert actions(bench) == ["immediate", "duplicate"]


@pytest.mark.parametrize("first_done", [True, False], ids=["of a handled one", "of one in hand"])
def test_same_id_with_other_content_is_flagged(first_done: bool) -> None:
    # Given
    bench = Bench()
    bench.deliver(message(1, context="one"))
    if first_done:
        bench.settle_down()
    # When
    bench.deliver(message(1, context="two"))
    bench.confirm()
    # Then
    assert causes(bench) == ["duplicate_id"]
    assert bench.aside[0].routing_key == FLAGGED
    bench.settle_down()
    assert bench.out == {} and len(bench.done) == 1


def test_id_beyond_the_window_is_handled_again() -> None:
    bench = Bench(dedupe_window=1)
    (first, _) = bench.deliver(message(1), message(2))
    bench.settle_down()
    bench.deliver(first)
    bench.settle_down()
    assert actions(bench) == ["immediate"] * 3


def test_message_put_back_by_hand_after_it_was_rejected_is_handled() -> None:
    # Given a rejected message
    bench = Bench(handler_attempts=1)
    (delivery,) = bench.deliver(message())
    bench.save()
    bench.handle("ValueError: no")
    bench.confirm()
    # When somebody puts it back a day later
    bench._move(bench.mono + 86400)
    again = msgspec.structs.replace(delivery, headers=dict(bench.aside[0].headers))
    bench.deliver(again)
    bench.settle_down()
    # Then
    assert actions(bench) == ["rejected", "immediate"]


# Asking


def test_sampled_message_waits_for_the_brain_and_nothing_else_does() -> None:
    # Given
    bench = Bench(sample_every=2)
    # When
    bench.deliver(*[message(n) for n in range(1, 5)])
    bench.save()
    # Then the second is asked about, the fourth (due while that is open) is not
    (ask,) = bench.asks.values()
    assert ask.context.message["header"]["message_id"].endswith("2")
    assert [i[-1] for i in bench.ids_handled()] == ["1", "3", "4"]
    assert bench.core.status(bench.now).fields["samples_skipped"] == 1


def test_question_shows_what_is_allowed_and_nothing_else() -> None:
    # Given
    privacy = PrivacySettings(prompt_fields=("payload.context", "payload.coordinates"), redact=("library",))
    bench = Bench(sample_every=2, privacy=privacy)
    bench.event("on_view", next(iter(bench.looks)), DepthsView((QueueSample(1, "fictional", 12),)))
    # When
    bench.deliver(message(1, book="book_a"), message(2, book="book_a", at_ns=bench.wall_ns - 10**9))
    # Then
    (ask,) = bench.asks.values()
    context = ask.context
    assert context.message == {
        "payload": {"context": "seen in a [redacted]", "coordinates": {"lat": 49.262, "lng": -122.781}}
    }
    assert context.last_seen is not None and set(context.last_seen) == {
        "context",
        "coordinates",
        "seconds_before",
    }
    assert (context.queue, context.queue_depth, context.priority) == ("fictional", 12, "normal")
    assert (context.age_s, context.seconds_left) == (pytest.approx(1.0), pytest.approx(29.0))


@pytest.mark.parametrize(
    ("age_s", "ttl", "settings", "expected"),
    [(0, 300, {}, 20.0), (0, 300, {"decision_deadline_s": 5.0}, 5.0), (20, 30, {}, 10.0)],
    ids=["the cap", "the setting", "the rest of the TTL"],
)
def test_deadline_is_the_least_of_cap_setting_and_rest_of_the_ttl(
    age_s: int, ttl: int, settings: Any, expected: float
) -> None:
    bench = sampling(**settings)
    bench.deliver(message(ttl=ttl, at_ns=bench.wall_ns - age_s * 10**9))
    (ask,) = bench.asks.values()
    assert ask.deadline_s == pytest.approx(expected)
    assert bench.wakes["decision"] == pytest.approx(bench.mono + expected)


def test_message_with_no_time_left_is_not_asked_about() -> None:
    bench = sampling()
    bench.deliver(message(ttl=30, at_ns=bench.wall_ns - int((30 - LEAST_ASK_S / 2) * 1e9)))
    bench.save()
    assert bench.asks == {} and len(bench.handles) == 1


@pytest.mark.parametrize("queue", MAIN_QUEUES)
def test_decision_is_recorded_with_all_that_belongs_to_it(queue: str) -> None:
    # Given
    bench = sampling()
    bench.deliver(message(queue=queue))
    budget = BudgetState(1.0, 2.0, 3.0, 4.0)
    # When
    ask = bench.decide(
        answer("process", model="m", prompt_version="1", input_tokens=100, output_tokens=20, cost_usd=0.001,
               latency_ms=800.0, calls=(CALL,), budget=budget)
    )  # fmt: skip
    # Then
    row = bench.point()
    assert row.tags == {
        "agent_id": "consumer-1", "agent_type": "consumer", "action": "process", "brain": "claude",
        "model": "m",
        "decision_type": "message_handling", "prompt_version": "1", "queue": queue,
    }  # fmt: skip
    assert row.fields == {
        "reasoning": "because of process", "confidence": 0.9, "decision_id": ask.ask_id, "acted": True,
        "message_id": "00000000-0000-4000-8000-000000000001", "tokens_used": 120, "input_tokens": 100,
        "output_tokens": 20, "cost_usd": 0.001, "decision_latency_ms": 800.0, "adjusted": False,
        "depth_source": "unknown",
    }  # fmt: skip
    assert [r.fields["decision_id"] for r in bench.metric_rows("api_calls")] == [ask.ask_id]
    assert len(bench.metric_rows("budget")) == 1
    # And the outcome follows on the same point
    bench.settle_down()
    assert bench.point().fields["outcome_success"] is True
    assert bench.point().fields["outcome_score"] == 1.0
    assert bench.metric_rows()[0].fields["ai_decision_used"] is True


def test_standing_decision_holds_for_its_queue_and_priority_until_the_next_sample() -> None:
    # Given a sample decided as a batch
    bench = Bench(sample_every=4, batch_size=3)
    bench.deliver(message(1), message(2), message(3), message(4))
    bench.decide(answer("batch"))
    bench.settle_down()
    # When the like of it comes, and others
    bench.deliver(message(5), message(6), message(7, priority="low"))
    bench.save()
    # Then only the like of it is batched
    assert [i[-1] for i in bench.ids_handled()] == ["7"]
    # When the next sample is decided otherwise
    bench.deliver(message(8))
    bench.decide(answer("process"))
    bench.deliver(message(9))
    bench.save()
    # Then that holds
    assert [i[-1] for i in bench.ids_handled()] == ["7", "8", "9"]
    bench.settle_down()
    assert bench.out == {}
    used = {r.fields["age_ms"]: r.fields["ai_decision_used"] for r in bench.metric_rows()}
    assert True in used.values()


def test_batch_is_handled_and_settled_together() -> None:
    # Given
    bench = Bench(sample_every=1, min_call_gap_s=1000.0, batch_size=3)
    bench.deliver(message(1), message(2), message(3))
    bench.save()
    bench.handle()
    bench.handle()
    # When the first is decided as a batch, and two more come
    bench.decide(answer("batch"))
    bench.deliver(message(4), message(5))
    bench.save()
    (handle,) = bench.handles.values()
    assert len(handle.deliveries) == 3
    effects = bench.effects[:]
    bench.handle(duration_ms=60.0)
    # Then
    (settle,) = [e for e in bench.effects[len(effects) :] if isinstance(e, Settle)]
    assert len(settle.receipts) == 3
    assert actions(bench)[2:] == ["batched"] * 3
    assert [r.fields["processing_duration_ms"] for r in bench.metric_rows()][2:] == [20.0] * 3


def test_batch_is_handled_when_its_age_is_reached() -> None:
    bench = sampling(batch_age_s=5.0)
    bench.deliver(message())
    bench.decide(answer("batch"))
    bench.pass_time(4.9)
    assert bench.saves == {} or not bench.handles
    bench.save()
    assert bench.handles == {}
    bench.pass_time(0.2)
    bench.save()
    assert len(bench.handles) == 1


def test_batch_that_fails_is_handled_one_by_one() -> None:
    # Given a batch of two
    bench = sampling(batch_size=2, min_call_gap_s=1000.0, handler_attempts=1)
    bench.deliver(message(1))
    bench.decide(answer("batch"))
    bench.deliver(message(2))
    bench.save()
    # When it fails
    bench.handle("ValueError: one of you")
    bench.save()
    # Then each gets its own tries
    assert len(bench.handles) == 2
    bench.handle()
    bench.handle("ValueError: me")
    bench.confirm()
    assert actions(bench) == ["immediate", "rejected"]
    assert bench.out == {}


def test_batch_for_a_message_without_time_left_is_adjusted_to_process() -> None:
    # Given an answer that comes as the TTL ends
    bench = sampling()
    bench.deliver(message(ttl=10))
    bench.wakes.clear()
    bench._move(bench.mono + 10.5)
    # When
    bench.decide(answer("batch"))
    # Then
    row = bench.point()
    assert row.tags["action"] == "process"
    assert row.fields["adjusted"] is True and row.fields["adjustment"]
    bench.save()
    assert len(bench.handles) == 1


def test_flag_by_an_ai_is_for_its_own_message_only() -> None:
    # Given
    bench = Bench(sample_every=1, min_call_gap_s=1000.0)
    bench.deliver(message(1))
    # When
    ask = bench.decide(answer("flag_anomaly"))
    bench.deliver(message(2))
    bench.save()
    # Then
    assert [i[-1] for i in bench.ids_handled()] == ["2"]
    publish = bench.confirm()
    assert publish.routing_key == FLAGGED and publish.headers["x-reasond-by"] == "ai"
    (row,) = bench.metric_rows("flags")
    assert row.fields["decision_id"] == ask.ask_id
    assert bench.point().fields["outcome_missing"] == NO_GROUND_TRUTH


@pytest.mark.parametrize(
    ("brain", "used", "by"),
    [("claude", True, "ai"), ("dry-run", True, "ai"), ("rules", False, "check")],
    ids=["claude", "dry run", "rules"],
)
def test_only_an_ai_counts_as_an_ai(brain: str, used: bool, by: str) -> None:
    bench = sampling()
    bench.deliver(message(1))
    bench.decide(answer("process", brain=brain))
    bench.deliver(message(2))
    bench.decide(answer("flag_anomaly", brain=brain))
    bench.settle_down()
    assert bench.metric_rows()[0].fields["ai_decision_used"] is used
    assert bench.metric_rows("flags")[0].tags["by"] == by


@pytest.mark.parametrize(
    "result",
    [
        Failure("overloaded", calls=(CALL,)),
        Answer(decision=HealthDecision("healthy"), brain="claude", calls=(CALL,)),
    ],
    ids=["failure", "another kind of decision"],
)
def test_question_without_a_usable_answer_is_decided_by_rules_and_says_so(result: Any) -> None:
    # Given
    bench = sampling()
    bench.deliver(message())
    # When
    bench.decide(result)
    # Then
    row = bench.point()
    assert (row.tags["brain"], row.tags["action"]) == ("rules", "process")
    assert row.fields["fallback_reason"] in ("overloaded", "invalid_answer")
    assert len(bench.metric_rows("api_calls")) == 1
    bench.settle_down()
    assert bench.metric_rows()[0].fields["ai_decision_used"] is False


def test_answer_that_does_not_come_is_replaced_at_the_deadline_and_its_cost_added_when_it_does() -> None:
    # Given
    bench = sampling(decision_deadline_s=5.0)
    bench.deliver(message())
    # When the deadline passes
    bench.pass_time(5.0)
    # Then the rules decide
    assert bench.point().fields["fallback_reason"] == "deadline"
    bench.save()
    assert len(bench.handles) == 1
    # When the answer comes after all
    bench.decide(answer("flag_anomaly", input_tokens=100, output_tokens=20, cost_usd=0.001, calls=(CALL,)))
    # Then it is paid for, recorded, and not acted on
    assert bench.publishes == {}
    assert bench.point().fields["tokens_used"] == 120
    assert bench.point().fields["cost_usd"] == 0.001
    assert len(bench.metric_rows("api_calls")) == 1
    assert len(bench.metric_rows("agent_reasoning")) == 1


def test_answer_to_an_unknown_question_is_only_recorded() -> None:
    bench = Bench()
    bench.event("on_decision", "never-asked", answer("flag_anomaly", calls=(CALL,)))
    assert len(bench.metric_rows("api_calls")) == 1
    assert bench.metric_rows("agent_reasoning") == []


@pytest.mark.parametrize(
    ("late", "success"), [(False, True), (True, False)], ids=["in time", "late"]
)  # fmt: skip
def test_outcome_of_process_is_success_when_handled_in_time(late: bool, success: bool) -> None:
    bench = sampling()
    bench.deliver(message(ttl=10))
    bench.decide(answer("process"))
    bench.save()
    bench.pass_time(11.0 if late else 1.0)
    bench.handle()
    assert bench.point().fields["outcome_success"] is success


def test_outcome_of_process_is_failure_when_the_handler_gave_up() -> None:
    bench = sampling(handler_attempts=1)
    bench.deliver(message())
    bench.decide(answer("process"))
    bench.save()
    bench.handle("ValueError: no")
    bench.confirm()
    assert bench.point().fields["outcome_success"] is False


# Links, restarts, operators


def test_lost_link_forgets_what_was_held_but_knows_a_handled_message_again() -> None:
    # Given one in hand, one in a batch, one that waits for the brain, one being set aside
    bench = sampling(min_call_gap_s=1000.0)
    bench.deliver(message(1))
    bench.save()
    bench.decide(answer("process"))
    bench.save()
    bench.deliver(b"garbage", queue="fictional")
    (in_hand,) = bench.handles
    # When the link is lost, and the handler ends after that
    back = bench.lose("consume")
    bench.handle(ref=in_hand)
    # Then nothing is settled on the new link
    assert bench.settled == []
    assert bench.point().fields["outcome_missing"] == NOT_HANDLED
    # And the redelivered message is a duplicate
    for delivery in back:
        bench.deliver(delivery)
    bench.settle_down()
    assert len(bench.done) == 1 and bench.out == {}
    assert "duplicate" in actions(bench)


def test_redelivered_message_waits_for_its_handler_that_still_runs() -> None:
    # Given a handler that outlives its link
    bench = Bench(handler_attempts=1)
    bench.deliver(message())
    bench.save()
    (back,) = bench.lose("consume")
    bench.deliver(back)
    assert bench.saves == {} and len(bench.handles) == 1
    # When it fails
    bench.handle("ValueError: no")
    # Then the redelivered one has its turn
    bench.save()
    assert len(bench.handles) == 1 and bench.publishes == {}
    bench.handle()
    assert len(bench.settled) == 1


def test_answer_for_a_message_lost_with_its_link_still_stands_for_the_next() -> None:
    # Given
    bench = Bench(sample_every=1, min_call_gap_s=1000.0, batch_size=5)
    bench.deliver(message(1))
    (delivery,) = bench.lose("consume")
    # When
    bench.decide(answer("batch"))
    assert bench.point().fields["outcome_missing"] == NOT_HANDLED
    bench.deliver(delivery)
    bench.save()
    # Then
    assert bench.handles == {} and "batch" in bench.wakes


def test_third_sight_of_a_message_that_ends_the_process_is_rejected() -> None:
    # Given
    bench = Bench()
    back = [bench.delivery(message())]
    for _ in range(2):
        bench.deliver(back[0])
        bench.save()
        assert len(bench.handles) == 1
        back = bench.restart()
    # When
    bench.deliver(back[0])
    bench.confirm()
    # Then
    assert causes(bench) == ["poison"]
    assert bench.aside[0].headers["x-reasond-attempts"] == 2
    assert bench.metric_rows("rejections")[0].tags["cause"] == "poison"
    assert bench.handles == {} and bench.out == {}


def test_suspect_is_handled_alone() -> None:
    # Given a process that ended with two messages in hand
    bench = Bench()
    bench.deliver(message(1), message(2))
    bench.save()
    back = bench.restart()
    # When they come again with a new one
    bench.deliver(*back)
    bench.deliver(message(3))
    bench.save()
    # Then one at a time is in hand, and the new one after them
    for number in ("1", "2", "3"):
        assert [i[-1] for i in bench.ids_handled()] == [number]
        bench.handle()
        bench.save()
    assert bench.out == {}


def test_decision_open_at_a_crash_gets_its_missing_outcome_at_the_next_start() -> None:
    # Given
    bench = sampling()
    bench.deliver(message())
    bench.decide(answer("process"))
    bench.save()
    point = bench.point()
    # When
    bench.restart()
    # Then
    (row,) = bench.amends
    assert (row.tags, row.time_ns, row.fields) == (point.tags, point.time_ns, {"outcome_missing": RESTART})


def test_hold_takes_nothing_new_and_resume_goes_on() -> None:
    # Given
    bench = Bench()
    bench.deliver(message(1))
    bench.save()
    # When
    bench.event("on_control", Control(serial=1, hold=True))
    bench.deliver(message(2))
    bench.handle()
    # Then
    assert bench.saves == {} and len(bench.settled) == 1 and len(bench.out) == 1
    assert bench.core.status(bench.now).fields["held"] is True
    # When
    bench.event("on_control", Control(serial=2))
    bench.settle_down()
    # Then
    assert bench.out == {}
    rows = bench.metric_rows("agent_reasoning")
    assert [(r.tags["brain"], r.tags["action"]) for r in rows] == [
        ("operator", "hold"),
        ("operator", "resume"),
    ]


def test_shadow_asks_and_records_but_does_not_act() -> None:
    # Given
    bench = Bench(sample_every=1, min_call_gap_s=1000.0)
    bench.event("on_control", Control(serial=1, shadow=True))
    bench.deliver(message(1))
    # When
    bench.decide(answer("flag_anomaly"))
    bench.deliver(message(2))
    bench.save()
    # Then
    assert len(bench.handles) == 2 and bench.publishes == {}
    assert bench.point().fields["acted"] is False
    bench.settle_down()
    assert [r.fields["ai_decision_used"] for r in bench.metric_rows()] == [False, False]
    assert bench.point().fields["outcome_missing"] == NO_GROUND_TRUTH


def test_settings_read_anew_change_what_may_change_only() -> None:
    bench = Bench()
    bench.event("on_settings", consumer_settings(sample_every=1, handler_attempts=20, agent_id="consumer-9"))
    bench.deliver(message())
    assert len(bench.asks) == 1
    assert bench.core._settings.handler_attempts == 3
    assert bench.core._settings.agent_id == "consumer-1"


# Depths


def test_depths_are_looked_at_every_period_and_written_with_each_message() -> None:
    # Given
    bench = Bench(depth_period_s=5.0)
    (ref,) = bench.looks
    assert bench.looks.pop(ref).view == "broker_depths"
    # When
    bench.event("on_view", ref, DepthsView((QueueSample(1, "fictional", 7),)))
    bench.deliver(message(1), message(2, queue="non-fictional"))
    bench.settle_down()
    # Then
    by_queue = {row.tags["queue"]: row.fields.get("queue_depth") for row in bench.metric_rows()}
    assert by_queue == {"fictional": 7, "non-fictional": None}
    bench.pass_time(5.0)
    assert len(bench.looks) == 1


@pytest.mark.parametrize("failure", ["answered", "unanswered"])
def test_depths_that_cannot_be_had_are_unknown_again(failure: str) -> None:
    # Given a known depth
    bench = Bench(depth_period_s=5.0)
    bench.event("on_view", next(iter(bench.looks)), DepthsView((QueueSample(1, "fictional", 7),)))
    bench.looks.clear()
    # When the next look finds nothing, or never comes back
    bench.pass_time(5.0)
    if failure == "answered":
        bench.event("on_view", next(iter(bench.looks)), ViewFailed("away"))
    else:
        bench.pass_time(5.0)
    bench.deliver(message())
    bench.settle_down()
    # Then
    assert "queue_depth" not in bench.metric_rows()[0].fields


# Stopping


def test_stop_finishes_what_is_in_hand_flushes_batches_and_gives_back_the_rest() -> None:
    # Given one in hand, one in a batch, one asked about, one in backoff
    bench = Bench(sample_every=3, batch_size=9)
    bench.deliver(message(1), message(2), message(3))
    bench.save()
    bench.decide(answer("batch"))
    bench.save()
    bench.handle("ValueError: no")
    bench.deliver(*[message(n, priority="low") for n in (4, 5, 6)])
    assert len(bench.asks) == 1
    # When
    bench.event("on_stop")
    assert not bench.core.stopped()
    while bench.saves or bench.handles:
        bench.save() if bench.saves else bench.handle()
    # Then
    assert bench.core.stopped()
    handled = sorted(d.content.header.message_id[-1] for d in bench.settled)  # type: ignore[union-attr]
    assert handled == ["2", "3"]
    assert sorted(d.content.header.message_id[-1] for d in bench.out.values()) == ["1", "4", "5", "6"]  # type: ignore[union-attr]
    assert bench.state["in_hand"]["sights"] == {}


def test_cut_off_gives_back_what_is_in_hand_and_hears_no_more_of_it() -> None:
    # Given a stop with one message, decided on, in the handler and a flagged one on its way to its queue
    bench = Bench(sample_every=1)
    bench.deliver(message(1))
    bench.decide(answer("process"))
    bench.deliver(message(2, at_ns=bench.wall_ns + 10**12))
    bench.save()
    bench.event("on_stop")
    bench.save()
    assert not bench.core.stopped()
    # When its time is over
    bench.event("on_cut_off")
    bench.save()
    # Then it has stopped, no process is said to have died with the message, and the decision tells what came of it
    assert bench.core.stopped()
    assert bench.state["in_hand"] == {"sights": {}, "open": []}
    assert bench.point().fields["outcome_missing"] == NOT_HANDLED
    # And what still ends counts as nothing: both messages come again
    before = list(bench.effects)
    bench.handle()
    bench.confirm()
    assert bench.effects == before
    assert len(bench.out) == 2 and bench.metric_rows() == []


def test_stop_with_nothing_in_hand_has_stopped_at_once() -> None:
    bench = Bench()
    bench.event("on_stop")
    assert bench.core.stopped()
    assert not {"batch", "retry", "drain"} & set(bench.wakes)


def test_stop_waits_for_a_confirm_but_not_for_a_link_that_is_blocked() -> None:
    # Given
    waiting, blocked = Bench(), Bench()
    blocked.event("on_link", "publish", True, True)
    for bench in (waiting, blocked):
        bench.deliver(b"garbage", queue="fictional")
        bench.event("on_stop")
    # When, then
    assert blocked.core.stopped() and len(blocked.out) == 1
    assert not waiting.core.stopped()
    waiting.confirm()
    assert waiting.core.stopped() and waiting.out == {}


def test_delivery_that_still_comes_after_the_stop_is_left_to_the_broker() -> None:
    bench = Bench()
    bench.event("on_stop")
    bench.deliver(message())
    assert bench.core.stopped() and len(bench.out) == 1 and bench.saves == {}


# Reporting


def test_status_names_rate_hands_and_standing_decisions() -> None:
    # Given
    bench = sampling(min_call_gap_s=1000.0)
    bench.deliver(message(1))
    bench.decide(answer("process"))
    bench.settle_down()
    bench.deliver(message(2))
    # When
    status = bench.core.status(bench.now)
    # Then
    assert status.line == "1/min, 1 in hand, standing fictional/normal=process, last process"
    assert set(status.fields) <= set(MEASUREMENTS["agent_health"].fields)


def test_same_history_gives_the_same_effects() -> None:
    # Given two cores and one history
    def run() -> List[Any]:
        bench = Bench(sample_every=2, batch_size=2)
        bench.deliver(*[message(n) for n in range(1, 6)], b"garbage", queue="fictional")
        bench.decide(answer("batch"))
        bench.settle_down()
        return bench.effects

    # Then a recorded run replayed gives identical effects
    assert run() == run()


def test_core_is_what_the_driver_drives() -> None:
    bench = Bench()
    assert isinstance(bench.core, ConsumerCore)
    assert (bench.core.agent_id, bench.core.agent_type) == ("consumer-1", "consumer")
    assert not any(isinstance(effect, Publish) for effect in bench.effects)


# What the standing decision and the journal leave behind


def test_standing_decision_of_the_rules_does_not_count_as_an_ai() -> None:
    bench = Bench(sample_every=1, min_call_gap_s=1000.0)
    bench.deliver(message(1))
    bench.decide(answer("process", brain="rules"))
    bench.deliver(message(2))
    bench.settle_down()
    assert [r.fields["ai_decision_used"] for r in bench.metric_rows()] == [False, False]


def test_standing_decision_is_not_followed_in_shadow() -> None:
    # Given a standing batch
    bench = Bench(sample_every=1, min_call_gap_s=1000.0, batch_size=9)
    bench.deliver(message(1))
    bench.decide(answer("batch"))
    # When
    bench.event("on_control", Control(serial=1, shadow=True))
    bench.deliver(message(2))
    bench.save()
    # Then
    assert [i[-1] for i in bench.ids_handled()] == ["2"]


def test_batch_is_never_larger_than_the_prefetch() -> None:
    bench = Bench(sample_every=1, min_call_gap_s=1000.0, batch_size=100, prefetch=2)
    bench.deliver(message(1))
    bench.decide(answer("batch"))
    bench.deliver(message(2))
    bench.save()
    (handle,) = bench.handles.values()
    assert len(handle.deliveries) == 2


def test_decision_whose_outcome_is_written_leaves_the_journal() -> None:
    bench = sampling()
    bench.deliver(message())
    bench.decide(answer("process"))
    bench.settle_down()
    assert bench.state["in_hand"]["open"] == []
