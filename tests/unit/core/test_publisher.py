"""The publisher's core: its pace, its decisions, a world that fails, and each way a process can die."""

import random

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from reasond.core import outcome
from reasond.core.effects import (
    Amend,
    ApiCall,
    Ask,
    BudgetState,
    Declare,
    Look,
    Publish,
    Relink,
    Rows,
    Save,
    Settle,
    ViewFailed,
    Wake,
)
from reasond.core.publisher import DEADLINE_GRACE_S, EMPTY_POLL_S, PublisherCore
from reasond.core.views import Peer, RateView
from reasond.decisions import HealthDecision
from reasond.messages import decode
from reasond.points import to_line
from reasond.settings import PublisherSettings
from tests.support.driver_publisher import (
    MAIN,
    START_NS,
    Died,
    LineFeed,
    World,
    answer,
    item,
    line_id,
    no_answer,
    sample,
    settings,
)

pytestmark = pytest.mark.unit

PHASE_S = 18.54
"""Of publisher-1: 0.618 of 30 s; the start is at a whole period."""


def times_of(world, genre):
    return [at for at, e in world.effects if isinstance(e, Publish) and decode(e.body).metadata.genre_type == genre]


def gaps(times):
    return [round(b - a, 6) for a, b in zip(times, times[1:])]


def last(rows):
    return rows[-1]


# Pace


def test_default_schedules_publish_every_5_and_10_seconds():
    world = World().start().run(100)
    assert set(gaps(times_of(world, "fictional"))) == {5.0}
    assert set(gaps(times_of(world, "non-fictional"))) == {10.0}


def test_published_message_is_the_specifications_and_says_why_it_is_sent():
    world = World().start().run(10)
    effect = world.of(Publish)[0]
    message = decode(effect.body)
    assert message.header.source == "publisher-1" and message.header.message_id == effect.message_id
    assert message.metadata.publisher_reasoning.startswith("Default rate: fictional every 5 s")
    assert (effect.exchange, effect.routing_key, effect.expiration_ms) == ("books", "fictional", 30000)


def test_high_priority_goes_to_the_priority_queue_and_an_items_own_routing_key_counts_more():
    class Source:
        items = [
            item("fictional", "book_1", priority="high"),
            item("fictional", "book_2", routing_key="priority"),
        ]

        def take(self, genre, now):
            return self.items.pop(0) if self.items and genre == "fictional" else None

    world = World(source=Source()).start().run(10)
    assert [(e.routing_key, e.priority) for e in world.of(Publish)] == [("priority", 9), ("priority", 5)]


def test_new_interval_counts_from_the_last_message():
    world = World(brain=lambda ask: answer("slow_down", 20, 25)).start().run(80)
    decided = PHASE_S + 1.02
    times = times_of(world, "fictional")
    before = [at for at in times if at < decided][-1]
    after = [at for at in times if at > decided]
    assert after[0] == pytest.approx(before + 20)
    assert set(gaps(after)) == {20.0}


def test_stall_is_followed_by_one_message_a_genre_and_no_burst():
    world = World().start().run(12)
    world.mono = 70.0
    world.run(74)
    assert len([at for at in times_of(world, "fictional") if at >= 70]) == 1
    assert len([at for at in times_of(world, "non-fictional") if at >= 70]) == 1


def test_source_that_has_nothing_is_asked_again_soon():
    feed = LineFeed([], None)
    world = World(source=feed).start().run(30)
    assert world.of(Publish) == []
    feed.queues["fictional"].append(item("fictional", "book_9"))
    world.run(30 + 2 * EMPTY_POLL_S)
    assert len(world.of(Publish)) == 1


# Decisions


def test_decisions_come_at_this_instances_phase_of_each_period():
    world = World(brain=lambda ask: answer("continue", 5, 10)).start().run(100)
    looks = [at for at, e in world.effects if isinstance(e, Look) and e.view == "rate"]
    assert looks == pytest.approx([PHASE_S, PHASE_S + 30, PHASE_S + 60])


def test_question_carries_depths_bounds_rate_and_the_peers_but_not_itself():
    asked = []
    world = World(brain=lambda ask: asked.append(ask) or answer("continue"))
    peers = (Peer("publisher-1", 3.0, "continue"), Peer("publisher-2", 4.0, "slow_down", 8, 16))
    samples = tuple(sample(START_NS + 18_000_000_000, queue, 7) for queue in MAIN)
    world.view = RateView(samples, "influxdb", peers)
    world.start().run(20)
    context = asked[0].context
    assert {queue: facts.depth for queue, facts in context.queues.items()} == dict.fromkeys(MAIN, 7)
    assert (context.fictional_interval, context.nonfictional_interval) == (5, 10)
    assert (context.min_interval, context.max_interval, context.message_ttl_s) == (1, 120, 30)
    assert context.depth_source == "influxdb" and context.depth_age_s == pytest.approx(0.56, abs=0.01)
    assert [peer.agent_id for peer in context.peers] == ["publisher-2"]
    assert asked[0].deadline_s == pytest.approx(24 - 0.02)


def test_decision_is_written_with_every_tag_and_field_of_the_specification():
    given = answer(
        "slow_down",
        8,
        12.0,
        input_tokens=400,
        output_tokens=60,
        cost_usd=0.0021,
        latency_ms=900.0,
        calls=(ApiCall(START_NS, "m-1", 1, 200, "", 900.0, 400, 60, 0.0021),),
        budget=BudgetState(0.1, 0.2, 1.0, 5.0),
    )
    world = World(brain=lambda ask: given)
    world.depths = lambda at_ns: 20
    world.start().run(20)
    row = last(world.rows("agent_reasoning"))
    assert row.tags == {
        "agent_id": "publisher-1",
        "agent_type": "publisher",
        "action": "slow_down",
        "decision_type": "rate_adjustment",
        "brain": "claude",
        "model": "m-1",
        "prompt_version": "1",
    }
    expected = {
        "reasoning": "because of slow_down",
        "confidence": 0.9,
        "fictional_interval": 8,
        "nonfictional_interval": 12,
        "previous_fictional_interval": 5,
        "previous_nonfictional_interval": 10,
        "queue_depth_fictional": 20,
        "queue_depth_nonfictional": 20,
        "queue_depth_priority": 20,
        "tokens_used": 460,
        "input_tokens": 400,
        "output_tokens": 60,
        "cost_usd": 0.0021,
        "decision_latency_ms": 900.0,
        "adjusted": False,
        "acted": True,
        "depth_source": "influxdb",
    }
    assert {name: row.fields[name] for name in expected} == expected
    assert row.fields["decision_id"] == world.of(Ask)[0].ask_id
    assert world.rows("api_calls")[0].fields["decision_id"] == row.fields["decision_id"]
    assert world.rows("budget")[0].fields["spent_hour_usd"] == 0.1


def test_every_row_can_be_written_as_line_protocol():
    world = World(brain=lambda ask: answer("pause"), changes={"anomaly_rate": 1.0}).start().run(100)
    world.control(serial=1, hold=True, fictional_interval=3)
    rows = [row for rows in world.of(Rows) for row in rows.rows] + [amend.row for amend in world.of(Amend)]
    assert len(rows) > 10
    assert all(to_line(row) for row in rows)


def test_messages_carry_the_reasoning_behind_the_rate_and_whether_a_brain_set_it():
    world = World(brain=lambda ask: answer("slow_down", 8, 10)).start().run(60)
    late = [decode(e.body) for at, e in world.effects if isinstance(e, Publish) and at > PHASE_S + 2]
    assert {message.metadata.publisher_reasoning for message in late} == {"because of slow_down"}
    rows = [row for row in world.rows("publisher_metrics") if row.time_ns > START_NS + (PHASE_S + 2) * 1e9]
    found = {(row.tags["queue"], row.fields["current_interval"], row.fields["ai_adjusted"]) for row in rows}
    assert found == {
        ("fictional", 8, True),
        ("non-fictional", 10, False),
    }


@pytest.mark.parametrize(
    ("given", "reason"),
    [(no_answer(), "unreachable"), (answer("continue"), "invalid_answer")],
    ids=["failure", "another agent's decision"],
)
def test_no_usable_answer_is_decided_by_rules_and_marked(given, reason):
    if reason == "invalid_answer":
        given = type(given)(decision=HealthDecision("healthy"), brain="claude", input_tokens=7, cost_usd=0.5)
    world = World(brain=lambda ask: given)
    world.depths = lambda at_ns: 200 + int(at_ns - START_NS) // 10**9
    world.start().run(20)
    row = last(world.rows("agent_reasoning"))
    assert (row.tags["brain"], row.fields["fallback_reason"]) == ("rules", reason)
    assert row.fields["cost_usd"] == given.cost_usd
    assert row.fields["reasoning"]


def test_silent_brain_is_decided_by_rules_just_after_the_deadline():
    world = World().start().run(PHASE_S + 24 + DEADLINE_GRACE_S + 0.1)
    row = last(world.rows("agent_reasoning"))
    assert row.fields["fallback_reason"] == "deadline"
    assert row.time_ns == pytest.approx(START_NS + (PHASE_S + 24 + DEADLINE_GRACE_S) * 1e9, abs=1e6)


def test_late_answer_changes_nothing_but_is_paid_for():
    world = World().start().run(50)
    ask = world.of(Ask)[0]
    row = last(world.rows("agent_reasoning"))
    calls = (ApiCall(START_NS, "m-1", 1, 200, "", 30000.0, 5, 6, 0.1),)
    late = answer("pause", input_tokens=5, output_tokens=6, cost_usd=0.1, calls=calls)
    effects = world.event("on_decision", ask.ask_id, late)
    amend = [e for e in effects if isinstance(e, Amend)][0].row
    assert (amend.tags, amend.time_ns) == (row.tags, row.time_ns)
    assert amend.fields == {"tokens_used": 11, "input_tokens": 5, "output_tokens": 6, "cost_usd": 0.1}
    assert len(world.rows("api_calls")) == 1
    before = len(world.of(Publish))
    world.run(60)
    assert len(world.of(Publish)) > before


def test_answer_to_a_question_never_asked_is_only_recorded():
    world = World().start().run(1)
    effects = world.event("on_decision", "publisher-1-0", answer("pause"))
    assert [type(e).__name__ for e in effects] == ["Say"]


def test_look_that_never_ends_leads_to_a_decision_by_rules_on_unknown_depths():
    world = World(brain=lambda ask: answer("continue"))
    world.view_after = None
    world.start().run(50)
    row = last(world.rows("agent_reasoning"))
    assert row.fields["fallback_reason"] == "deadline" and row.fields["depth_source"] == "unknown"
    assert "queue_depth_fictional" not in row.fields
    assert world.of(Ask) == []


def test_unknown_depths_are_said_once_and_asked_about_as_unknown():
    world = World(brain=lambda ask: answer("continue"))
    world.view = ViewFailed("store and broker are away")
    world.start().run(80)
    assert len(world.said("depths_unknown")) == 1
    assert world.of(Ask)[0].context.queues["fictional"].depth is None
    world.view = None
    world.run(110)
    assert len(world.said("depths_known")) == 1


@pytest.mark.parametrize(
    ("source", "sample_source", "written"),
    [
        ("broker", "management", "broker"),
        ("broker", "declare", "declare"),
        ("unknown", "management", "unknown"),
    ],
)
def test_fallback_depths_are_marked_and_get_no_outcome(source, sample_source, written):
    world = World(brain=lambda ask: answer("slow_down", 9, 12))
    known = source != "unknown"
    world.view = RateView(
        tuple(sample(START_NS + 18 * 10**9, q, 9, source=sample_source) for q in MAIN) if known else (),
        source,
    )
    world.start().run(20)
    row = last(world.rows("agent_reasoning"))
    assert row.fields["depth_source"] == written
    assert row.fields["outcome_missing"] == outcome.FALLBACK_DEPTHS


# Outcome


def test_slow_down_that_helped_gets_its_outcome_on_its_own_point():
    world = World(brain=lambda ask: answer("slow_down" if ask.context.fictional_interval == 5 else "continue", 9, 12))
    changed = START_NS + int((PHASE_S + 2) * 1e9)
    world.depths = lambda at_ns: 30 if at_ns < changed else 6
    world.start().run(PHASE_S + 60)
    decision = world.rows("agent_reasoning")[0]
    amend = [a.row for a in world.of(Amend) if a.row.time_ns == decision.time_ns]
    assert len(amend) == 1 and amend[0].tags == decision.tags
    assert (amend[0].fields["outcome_success"], amend[0].fields["outcome_score"]) == (True, 1.0)


def test_outcome_of_a_decision_while_nothing_can_be_published_is_missing():
    world = World(brain=lambda ask: answer("slow_down", 9, 12)).start().run(PHASE_S + 3)
    world.link(False)
    world.run(PHASE_S + 60)
    first = world.rows("agent_reasoning")[0]
    amend = [a.row.fields for a in world.of(Amend) if a.row.time_ns == first.time_ns]
    assert amend == [{"outcome_missing": outcome.NOT_PUBLISHING}]


def test_decision_left_open_by_an_earlier_process_is_closed_as_a_restart():
    first = World(brain=lambda ask: answer("slow_down", 9, 12)).start().run(25)
    row = first.rows("agent_reasoning")[0]
    again = World(saved=first.saved, at=40.0).start()
    amend = again.of(Amend)[0].row
    assert (amend.tags, amend.time_ns, amend.fields) == (
        row.tags,
        row.time_ns,
        {"outcome_missing": "restart"},
    )
    assert again.saved["decisions"] == {"open": []}


# Pause


def test_pause_publishes_nothing_until_the_next_decision():
    answers = iter([answer("pause"), answer("continue"), answer("continue")])
    world = World(brain=lambda ask: next(answers)).start().run(70)
    begin, end = PHASE_S + 1.02, PHASE_S + 31.02
    times = world.times(Publish)
    assert [at for at in times if begin < at < end - 0.001] == []
    assert [at for at in times if at > begin][0] == pytest.approx(end)
    assert world.rows("agent_reasoning")[0].tags["action"] == "pause"


def test_pause_that_is_renewed_goes_on_and_one_that_is_not_ends_by_itself():
    answers = iter([answer("pause")] * 4)
    world = World(brain=lambda ask: next(answers, None), changes={"max_pause_s": 40.0, "decision_deadline_s": 29.0})
    world.depths = lambda at_ns: 0
    world.start().run(PHASE_S + 100)
    assert [at for at in world.times(Publish) if PHASE_S + 1.1 < at] == []
    world.core._question = None  # the brain's lane is stuck: no decision comes any more, not by rules either
    world.core._decide = lambda now: []
    world.run(PHASE_S + 200)
    resumed = [at for at in world.times(Publish) if at > PHASE_S + 1.1][0]
    assert resumed == pytest.approx(PHASE_S + 91.02 + 40.0)
    assert len(world.said("pause_ended")) == 1


# The operator


def test_hold_publishes_nothing_and_asks_nothing_and_is_recorded():
    world = World(brain=lambda ask: answer("continue")).start().run(7)
    world.control(serial=1, hold=True)
    world.run(100)
    assert [at for at in world.times(Publish) if at > 7] == [] and world.of(Ask) == []
    row = last(world.rows("agent_reasoning"))
    assert (row.tags["brain"], row.tags["action"], row.fields["outcome_missing"]) == (
        "operator",
        "hold",
        "operator",
    )
    world.control(serial=2, hold=False)
    world.run(101)
    assert len([at for at in world.times(Publish) if at >= 100]) == 2
    assert last(world.rows("agent_reasoning")).tags["action"] == "resume"


def test_hold_outlives_a_restart_without_being_recorded_twice():
    first = World().start().run(1)
    first.control(serial=1, hold=True)
    again = World(saved=first.saved).start()
    again.control(serial=1, hold=True)
    again.run(60)
    assert again.of(Publish) == [] and again.rows("agent_reasoning") == []


def test_shadow_records_the_proposal_and_changes_nothing():
    world = World(brain=lambda ask: answer("pause" if ask.context.paused else "slow_down", 20, 20))
    world.depths = lambda at_ns: 30
    world.start()
    world.control(serial=1, shadow=True)
    world.run(PHASE_S + 70)
    rows = [row for row in world.rows("agent_reasoning") if row.tags["brain"] == "claude"]
    assert {(row.fields["acted"], row.fields["fictional_interval"]) for row in rows} == {(False, 20)}
    assert set(gaps(times_of(world, "fictional"))) == {5.0}
    outcomes = [a.row.fields for a in world.of(Amend)]
    assert outcomes and all("outcome_success" in fields for fields in outcomes)


@pytest.mark.parametrize(
    ("orders", "intervals", "action", "adjusted"),
    [
        ({"fictional_interval": 3}, (3, 10), "speed_up", False),
        ({"nonfictional_interval": 500}, (5, 120), "slow_down", True),
        ({"fictional_interval": 6, "nonfictional_interval": 9}, (6, 9), "interval", False),
    ],
    ids=["one", "clamped", "both ways"],
)
def test_operators_intervals_are_set_once_and_recorded(orders, intervals, action, adjusted):
    world = World().start().run(1)
    world.control(serial=4, **orders)
    row = last(world.rows("agent_reasoning"))
    assert (row.fields["fictional_interval"], row.fields["nonfictional_interval"]) == intervals
    assert (row.tags["action"], row.tags["brain"], row.fields["adjusted"]) == (action, "operator", adjusted)
    assert world.control(serial=4, **orders) == []
    world.run(12)
    again = World(saved=world.saved).start()
    again.control(serial=4, **orders)
    assert again.rows("agent_reasoning") == [] and again.core._intervals == (again.core._intervals.__class__(5, 10))


def test_order_given_while_a_question_is_open_is_not_undone_by_its_answer():
    # Given a question that nobody has answered yet
    world = World().start().run(PHASE_S + 2)
    ask = last(world.of(Ask))
    # When the operator sets a rate, and then the answer comes
    world.control(serial=1, fictional_interval=60)
    world.event("on_decision", ask.ask_id, answer("speed_up", 4, 8))
    # Then the operator's rate stands, and the decision is recorded as not acted on
    row = last(world.rows("agent_reasoning"))
    assert (row.fields["decision_id"], row.fields["acted"]) == (ask.ask_id, False)
    assert row.fields["outcome_missing"] == "operator"
    assert world.core._intervals.fictional == 60


def test_settings_anew_bring_intervals_within_their_bounds_and_reach_the_source():
    world = World().start().run(1)
    fresh = settings(min_interval_s=8, max_interval_s=9)
    world.event("on_settings", fresh)
    assert (world.core._intervals.fictional, world.core._intervals.nonfictional) == (8, 9)
    assert world.source.settings is fresh
    assert len(world.said("interval_clamped")) == 2


# The broker


def test_nothing_is_published_before_the_link_is_up_and_while_it_is_blocked():
    world = World().start(linked=False).run(20)
    assert world.of(Publish) == []
    world.link(True)
    world.run(21)
    assert len(world.of(Publish)) == 2
    world.link(True, blocked=True)
    world.run(50)
    assert len(world.of(Publish)) == 2
    world.link(True)
    world.run(50.5)
    assert len(world.of(Publish)) == 4
    assert [say.fields["reason"] for say in world.said("publishing_stopped")] == ["blocked"]


def test_lost_link_publishes_the_same_bodies_and_ids_again():
    world = World()
    world.confirm_after = None
    world.start().run(12)
    sent = world.of(Publish)
    world.link(False)
    world.run(14)
    again = [e for e in world.link(True) if isinstance(e, Publish)]
    assert again == sent and len(sent) >= 3


def test_full_window_stops_publishing_until_half_is_confirmed():
    world = World(changes={"window": 4})
    world.confirm_after = None
    world.start().run(60)
    sent = world.of(Publish)
    assert len(sent) == 4 and len(world.said("publishing_stopped")) == 1
    world.confirm(sent[0])
    world.run(61)
    assert len(world.of(Publish)) == 4
    world.confirm(sent[1])
    world.run(62)
    assert len(world.of(Publish)) == 6


def test_overdue_confirm_makes_the_core_connect_anew():
    world = World()
    world.confirm_after = None
    world.start().run(40)
    first = world.times(Publish)[0]
    assert world.times(Relink) == [pytest.approx(first + 30)]


def test_returned_message_is_declared_for_and_comes_through_later_under_its_id():
    world = World()
    world.outcome = "returned"
    world.start().run(4)
    world.outcome = "ok"
    world.run(6.5)
    assert Declare() in world.of(Declare)
    assert world.published_ids()[0] in {e.message_id for e in world.confirmed}
    assert len(world.said("message_returned")) == 1


def test_confirm_writes_one_point_with_the_time_from_the_first_publish():
    world = World()
    world.confirm_after = 0.25
    world.start().run(4)
    row = world.rows("publisher_metrics")[0]
    assert row.tags == {"agent_id": "publisher-1", "queue": "fictional", "routing_key": "fictional"}
    assert row.fields["messages_published"] == 1 and row.fields["duration_ms"] == pytest.approx(250.0)
    world.event("on_confirmed", world.of(Publish)[0].ref, "ok")
    assert len(world.rows("publisher_metrics")) == 1


def test_injected_anomaly_is_recorded_as_ground_truth_when_it_is_confirmed():
    feed = LineFeed([], None)
    feed.queues["fictional"].append(item("fictional", "book_9", anomaly="jump"))
    world = World(source=feed).start().run(4)
    row = world.rows("injected_anomalies")[0]
    assert row.tags == {"agent_id": "publisher-1", "queue": "fictional", "kind": "jump"}
    assert row.fields == {"message_id": world.published_ids()[0], "entity_id": "book_9"}


# The end


def test_stop_publishes_nothing_new_and_ends_when_all_is_confirmed():
    world = World()
    world.confirm_after = None
    world.start().run(12)
    world.event("on_stop")
    count = len(world.of(Publish))
    assert not world.core.stopped()
    for effect in world.of(Publish):
        world.confirm(effect)
    assert world.core.stopped()
    world.run(100)
    assert len(world.of(Publish)) == count


def test_stop_with_an_open_question_leaves_a_point_and_does_not_act():
    world = World().start().run(PHASE_S + 2)
    world.event("on_stop")
    row = last(world.rows("agent_reasoning"))
    assert (row.fields["fallback_reason"], row.fields["acted"]) == ("internal", False)
    late = answer("pause", calls=(ApiCall(START_NS, "m-1", 1, 200, "", 1.0),))
    world.event("on_decision", row.fields["decision_id"], late)
    assert len(world.rows("api_calls")) == 1


def test_status_tells_rate_state_depth_and_last_action():
    world = World(brain=lambda ask: answer("slow_down", 9, 12))
    world.depths = lambda at_ns: 3
    world.start().run(20)
    status = world.core.status(world.now())
    assert status.line == ("every 9 s/12 s, depth priority 3 fictional 3 non-fictional 3, last slow_down by claude")
    assert status.fields == {"unconfirmed": 0, "paused": False, "held": False}


def test_events_of_other_agents_give_nothing():
    core = PublisherCore(PublisherSettings(agent_id="publisher-1"), LineFeed([], None), random.Random(1), {})
    now = World().now()
    assert core.on_deliveries(now, []) == core.on_handled(now, "x", None, 1.0) == []
    assert core.on_link(now, "consume", True, False) == core.on_saved(now, "decisions:1") == []


# Any order of events, and death at any point

GENRES = ["fictional", "fictional", "non-fictional", "fictional", "non-fictional", "fictional", "fictional"]
QUICK = {"fictional_interval_s": 1, "nonfictional_interval_s": 2, "window": 3}


def lived(die_after, saved, at, confirm_after=0.3):
    """Run a feed to its end, or to the death after so many effects; give the world."""
    feed = LineFeed(GENRES, saved.get("feed"))
    world = World(source=feed, saved=saved, changes=QUICK, die_after=die_after, at=at, seed=int(at) + 1)
    world.brain = lambda ask: answer("slow_down", 2, 3)
    world.confirm_after = confirm_after
    confirmed = []

    def never_passes(effect, carry=world.carry):
        carry(effect)
        if isinstance(effect, Save) and effect.key == "feed":
            done = {e.message_id for e in world.confirmed} | set(saved_before)
            passed = set(range(effect.state["offset"])) | {start for _, start in effect.state["done"]}
            assert {line_id(n) for n in passed} <= done

    saved_before = list(saved.pop("confirmed", []))
    world.carry = never_passes
    try:
        world.start().run(at + 4)
        world.link(False)
        world.run(at + 5)
        world.link(True)
        world.run(at + 25)
    except Died:
        pass
    confirmed = saved_before + [e.message_id for e in world.confirmed]
    saved["confirmed"] = confirmed
    return world


def total_effects():
    return len(lived(None, {}, 0.0).effects)


def test_process_that_dies_after_any_effect_loses_nothing_and_keeps_every_id():
    total = total_effects()
    assert total > 60
    for cut in range(total + 1):
        # Given a run that dies after `cut` effects
        saved = {}
        first = lived(cut, saved, 0.0)
        # When another goes on from what was saved
        second = lived(None, saved, 100.0)
        # Then each line was confirmed under the id that belongs to it
        books = {decode(e.body).payload.entity_id: e.message_id for w in (first, second) for e in w.of(Publish)}
        assert books == {f"book_{n}": line_id(n) for n in range(len(GENRES))}
        assert set(saved["confirmed"]) == set(books.values())
        state = saved["feed"]
        assert (state["offset"], state["done"]) == (len(GENRES), [])


def test_position_that_was_saved_is_not_published_again():
    saved = {}
    lived(None, saved, 0.0)
    assert lived(None, saved, 100.0).of(Publish) == []


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("run"), st.floats(0, 40)),
            st.tuples(st.just("link"), st.sampled_from([(True, False), (True, True), (False, False)])),
            st.tuples(st.just("outcome"), st.sampled_from(["ok", "returned", "nacked"])),
            st.tuples(st.just("answer"), st.sampled_from(["continue", "slow_down", "speed_up", "pause", None])),
            st.tuples(st.just("control"), st.tuples(st.booleans(), st.booleans(), st.integers(1, 200))),
        ),
        max_size=14,
    )
)
def test_whatever_happens_rates_stay_in_bounds_and_messages_keep_their_ids(steps):
    proposal = [None]
    world = World(brain=lambda ask: answer(proposal[0], 50, 3) if proposal[0] else None)
    world.start()
    for serial, (kind, value) in enumerate(steps, 1):
        if kind == "run":
            world.run(world.mono + value)
        elif kind == "link":
            world.link(*value)
        elif kind == "outcome":
            world.outcome = value
        elif kind == "answer":
            proposal[0] = value
        else:
            world.control(serial=serial, hold=value[0], shadow=value[1], fictional_interval=value[2])
    world.run(world.mono + 1)
    assert not world.of(Settle)
    bodies = {}
    for effect in world.of(Publish):
        assert bodies.setdefault(effect.message_id, effect.body) == effect.body
    for schedule in world.core._schedules.values():
        assert 1 <= schedule.interval <= 120
    assert len(world.core._outbox) <= world.settings.window
    unconfirmed = set(bodies) - {e.message_id for e in world.confirmed}
    assert len(unconfirmed) <= len(world.core._outbox)


@pytest.mark.parametrize("instances", [3])
def test_instances_first_messages_and_decisions_are_spread(instances):
    first = []
    for number in range(1, instances + 1):
        world = World(changes={"agent_id": f"publisher-{number}"}).start().run(40)
        look = [at for at, e in world.effects if isinstance(e, Look)][0]
        first.append((world.times(Publish)[0], look))
    assert min(abs(a[0] - b[0]) for a in first for b in first if a is not b) > 0.9
    assert min(abs(a[1] - b[1]) for a in first for b in first if a is not b) > 6


def test_first_wakes_are_armed_at_start_and_dropped_at_stop():
    world = World().start()
    armed = {effect.name for effect in world.of(Wake) if effect.at is not None}
    assert armed == {"decide", "publish:fictional", "publish:non-fictional"}
    dropped = {effect.name for effect in world.event("on_stop") if isinstance(effect, Wake) and effect.at is None}
    assert {"decide", "publish:fictional", "publish:non-fictional"} <= dropped


def test_confirm_during_a_save_is_saved_next_and_the_stop_waits_for_it():
    world = World(source=LineFeed(["fictional", "fictional"], None), changes=QUICK)
    world.confirm_after = None
    world.start().run(3)
    first, second = world.of(Publish)
    effects = world.event("on_confirmed", first.ref, "ok") + world.event("on_confirmed", second.ref, "ok")
    assert [e.state["offset"] for e in effects if isinstance(e, Save)] == [1]
    world.event("on_stop")
    assert not world.core.stopped()
    world.run(4)
    assert world.saved["feed"]["offset"] == 2 and world.core.stopped()


def test_rate_that_the_operator_set_is_not_called_a_brains():
    world = World().start().run(1)
    world.control(serial=1, fictional_interval=2)
    world.run(10)
    rows = [row.fields for row in world.rows("publisher_metrics") if row.fields["current_interval"] == 2]
    assert rows and not any(fields["ai_adjusted"] for fields in rows)
