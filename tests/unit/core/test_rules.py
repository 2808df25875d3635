"""The rule-based controller: sound in every state, and gentle where several agents steer one system."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.core import rules
from reasond.core.contexts import HandlingContext, HealthContext, QueueFacts, RateContext
from reasond.core.views import Peer

pytestmark = pytest.mark.unit

EMPTY = QueueFacts(0, 0.0, 0.3, 0.3, 3)


def rate_context(fictional=EMPTY, nonfictional=EMPTY, priority=EMPTY, **changes):
    values = dict(
        agent_id="publisher-1",
        fictional_interval=5,
        nonfictional_interval=10,
        default_fictional_interval=5,
        default_nonfictional_interval=10,
        min_interval=1,
        max_interval=120,
        paused=False,
        queues={"fictional": fictional, "non-fictional": nonfictional, "priority": priority},
        depth_source="influxdb",
        depth_age_s=3.0,
        expired_per_minute=0.0,
        message_ttl_s=30,
    )
    values.update(changes)
    return RateContext(**values)


def intervals(decision):
    return decision.fictional_interval, decision.nonfictional_interval


def test_rate_when_calm_at_the_defaults_continues():
    decision = rules.decide_rate(rate_context())

    assert decision.action == "continue"
    assert intervals(decision) == (5, 10)
    assert decision.confidence is None


def test_rate_when_one_queue_keeps_messages_waiting_slows_that_schedule_alone():
    decision = rules.decide_rate(rate_context(fictional=QueueFacts(20, 5.0, 1.0, 1.0, 3)))

    assert decision.action == "slow_down"
    assert intervals(decision) == (7, 10)
    assert "depth 20" in decision.reasoning
    assert "20 s to serve" in decision.reasoning


def test_rate_when_the_priority_queue_is_pressed_slows_both_schedules():
    decision = rules.decide_rate(rate_context(priority=QueueFacts(40, 5.0, 1.0, 1.0, 3)))

    assert decision.action == "slow_down"
    assert intervals(decision) == (10, 20)


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(QueueFacts(10, 0.0, 1.0, 1.0, 3), id="wait-between-the-thresholds"),
        pytest.param(QueueFacts(40, -5.0, None, None, None, 12.0), id="drains-in-time"),
    ],
)
@pytest.mark.parametrize("interval", [5, 20], ids=["at-default", "slowed"])
def test_rate_inside_the_hysteresis_moves_nothing(facts, interval):
    decision = rules.decide_rate(rate_context(fictional=facts, fictional_interval=interval))

    assert decision.action == "continue"
    assert intervals(decision) == (interval, 10)


def test_rate_when_calm_again_returns_to_the_defaults_in_a_few_steps():
    reached = [(120, 120)]
    while reached[-1] != (5, 10) and len(reached) < 10:
        fictional, nonfictional = reached[-1]
        decision = rules.decide_rate(rate_context(fictional_interval=fictional, nonfictional_interval=nonfictional))
        assert decision.action == "speed_up"
        reached.append(intervals(decision))

    assert 3 <= len(reached) - 1 <= 6


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(dict(queues={}), id="no-queue"),
        pytest.param(dict(depth_source="unknown"), id="no-source"),
        pytest.param(dict(depth_age_s=rules.STALE_DEPTHS_S + 1), id="stale"),
    ],
)
def test_rate_when_blind_holds_even_above_the_default(changes):
    decision = rules.decide_rate(rate_context(fictional_interval=60, **changes))

    assert decision.action == "continue"
    assert intervals(decision) == (60, 10)


def test_rate_with_one_depth_unknown_never_speeds_up():
    decision = rules.decide_rate(rate_context(nonfictional=QueueFacts(None), fictional_interval=60))

    assert decision.action == "continue"


def test_rate_while_messages_expire_never_speeds_up():
    decision = rules.decide_rate(rate_context(fictional_interval=60, expired_per_minute=0.5))

    assert decision.action == "continue"
    assert "0.5 expired a minute" in decision.reasoning


HOPELESS = QueueFacts(90, 10.0, 3.0, 1.0, 3)


def test_rate_when_all_that_is_published_expires_pauses():
    decision = rules.decide_rate(rate_context(HOPELESS, HOPELESS, expired_per_minute=12.0))

    assert decision.action == "pause"
    assert "12.0 expired" in decision.reasoning


def test_rate_when_hopeless_but_a_peer_just_paused_takes_a_share_instead():
    peers = (Peer("publisher-2", 5.0, "pause", 5, 10),)

    decision = rules.decide_rate(rate_context(HOPELESS, HOPELESS, expired_per_minute=12.0, peers=peers))

    assert decision.action == "slow_down"
    assert intervals(decision) == (8, 15)


def test_rate_when_paused_and_still_nobody_reads_renews_the_pause():
    unread = QueueFacts(0, 0.0, 0.0, 0.0, 0)

    assert rules.decide_rate(rate_context(unread, unread, paused=True)).action == "pause"
    assert rules.decide_rate(rate_context(unread, unread, paused=False)).action == "continue"


def test_rate_when_a_peer_just_braked_takes_a_share_of_what_is_left():
    pressed = QueueFacts(20, 5.0, 1.0, 1.0, 3)

    alone, shared, later = (
        rules.decide_rate(rate_context(pressed, peers=(Peer("publisher-2", age_s, "slow_down", 10, 10),)))
        for age_s in (rules.PEER_SETTLE_S + 60, 10.0, rules.PEER_SETTLE_S + 1)
    )

    assert alone == later
    assert shared.action == "slow_down"
    assert 5 < shared.fictional_interval < alone.fictional_interval
    assert "1 peers braked too" in shared.reasoning


def test_rate_when_peers_just_sped_up_takes_back_a_share():
    intervals = [
        rules.decide_rate(rate_context(fictional_interval=60, peers=peers)).fictional_interval
        for peers in ((), tuple(Peer(f"publisher-{n}", 10.0, "speed_up", 10, 10) for n in (2, 3)))
    ]

    # 1/60 and a quarter, or a twelfth, of 1/5 messages a second.
    assert intervals == [15, 30]


def test_rate_of_three_agents_in_turn_brakes_less_than_three_times_the_step():
    pressed = QueueFacts(60, 5.0, 2.0, 1.0, 3)
    alone = rules.decide_rate(rate_context(pressed, expired_per_minute=2.0)).fictional_interval
    peers = ()
    reached = []
    for number in (1, 2, 3):
        decision = rules.decide_rate(rate_context(pressed, expired_per_minute=2.0, peers=peers))
        reached.append(decision.fictional_interval)
        peers += (Peer("publisher-{}".format(number), 5.0, decision.action, decision.fictional_interval, 10),)

    assert reached[0] == alone
    assert reached[0] > reached[1] > reached[2] > 5


def test_rate_at_the_highest_interval_holds():
    pressed = QueueFacts(60, 5.0, 2.0, 1.0, 3)

    decision = rules.decide_rate(rate_context(pressed, fictional_interval=120, nonfictional_interval=120))

    assert decision.action == "continue"
    assert "bound of 120 s" in decision.reasoning


FACTS = st.builds(
    QueueFacts,
    depth=st.none() | st.integers(0, 10**6),
    trend_per_minute=st.none() | st.floats(-1e6, 1e6),
    publish_rate=st.none() | st.floats(0, 1e4),
    ack_rate=st.none() | st.floats(0, 1e4),
    consumers=st.none() | st.integers(0, 10),
    drain_time_s=st.none() | st.floats(0, 1e9),
)
PEERS = st.lists(
    st.builds(
        Peer,
        agent_id=st.sampled_from(["publisher-2", "publisher-3"]),
        age_s=st.floats(0, 300),
        action=st.sampled_from(["continue", "slow_down", "speed_up", "pause"]),
    ),
    max_size=3,
).map(tuple)


@given(
    fictional=FACTS,
    nonfictional=FACTS,
    priority=FACTS,
    peers=PEERS,
    fictional_interval=st.integers(1, 120),
    nonfictional_interval=st.integers(1, 120),
    paused=st.booleans(),
    expired_per_minute=st.none() | st.floats(0, 1e4),
)
def test_rate_in_any_state_moves_in_its_direction_within_the_bounds(fictional, nonfictional, priority, **changes):
    context = rate_context(fictional, nonfictional, priority, **changes)
    before = (context.fictional_interval, context.nonfictional_interval)

    decision = rules.decide_rate(context)
    moved = [after - was for after, was in zip(intervals(decision), before)]

    assert all(1 <= interval <= 120 and isinstance(interval, int) for interval in intervals(decision))
    if decision.action == "slow_down":
        assert min(moved) >= 0
        assert max(moved) > 0
    elif decision.action == "speed_up":
        assert max(moved) <= 0
        assert min(moved) < 0
        assert all(after >= default for after, default, step in zip(intervals(decision), (5, 10), moved) if step)
        assert not expired(context)
        assert all(facts.depth is not None for facts in context.queues.values())
    else:
        assert moved == [0, 0]
    assert decision.confidence is None
    assert decision.reasoning


def expired(context):
    return bool(context.expired_per_minute)


def handling(**changes):
    values = dict(
        agent_id="consumer-1", queue="fictional", genre_type="fictional", priority="normal", queue_depth=100,
        message={}, age_s=2.0, seconds_left=28.0,
    )  # fmt: skip
    values.update(changes)
    return HandlingContext(**values)


def test_handling_when_a_batch_waits_batches():
    decision = rules.decide_handling(handling())

    assert decision.action == "batch"
    assert "100" in decision.reasoning


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(dict(priority="high"), id="high-priority"),
        pytest.param(dict(queue="priority"), id="priority-queue"),
        pytest.param(dict(queue_depth=None), id="unknown-depth"),
        pytest.param(dict(queue_depth=rules.BATCH_DEPTH_MESSAGES - 1), id="shallow"),
        pytest.param(dict(seconds_left=rules.BATCH_MIN_LEFT_S - 1), id="short-of-time"),
        pytest.param(dict(redelivered=True), id="redelivered"),
    ],
)
def test_handling_when_a_batch_would_not_do_processes(changes):
    assert rules.decide_handling(handling(**changes)).action == "process"


def health(score, *findings):
    return rules.decide_health(HealthContext("monitor-1", 300.0, {}, score, findings))


def test_health_without_findings_is_healthy():
    decision = health(100)

    assert (decision.status, decision.issues, decision.suggestions, decision.alerts) == (
        "healthy",
        (),
        (),
        (),
    )


def test_health_with_a_warning_names_the_issue_and_what_helps():
    decision = health(90, "warning agent_silent:publisher-2: publisher-2 sent no heartbeat for 60 s.")

    assert decision.status == "warning"
    assert decision.issues == ("publisher-2 sent no heartbeat for 60 s.",)
    assert decision.suggestions == (rules.SUGGESTIONS["agent_silent"],)
    assert decision.alerts == ()


def test_health_with_a_critical_finding_alerts():
    decision = health(90, "critical expiring: 9 messages expired unread.", "warning late: 3 late.")

    assert decision.status == "critical"
    assert decision.alerts == ("9 messages expired unread.",)


@pytest.mark.parametrize(
    ("score", "status"),
    [(100, "healthy"), (80, "healthy"), (79, "warning"), (50, "warning"), (49, "critical")],
)
def test_health_follows_the_score_where_there_are_no_findings(score, status):
    decision = health(score)

    assert decision.status == status
    assert bool(decision.alerts) == (status == "critical")
