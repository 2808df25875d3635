"""The score falls with every vital figure, and each finding appears exactly when its figures say so."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.core import health
from reasond.core.contexts import QueueFacts
from reasond.core.views import Activity, AgentSeen, QueueSample

pytestmark = pytest.mark.unit

S = 1_000_000_000
STOP = 1_800_000_000 * S
START = STOP - 300 * S
AGENTS = ("publisher-1", "publisher-2", "consumer-1", "consumer-2", "monitor-1")
NAMES = st.sampled_from(sorted(health.RAMPS))


def sample(queue, age_s, depth, **more):
    return QueueSample(STOP - int(age_s * S), queue, depth, **more)


def seen(*names, age_s=5.0, **more):
    return tuple(AgentSeen(name, name.split("-")[0], age_s, **more) for name in names)


def activity(**changes):
    values = dict(
        start_ns=START,
        stop_ns=STOP,
        published={"fictional": 180, "non-fictional": 90},
        consumed={"fictional": 178, "non-fictional": 90},
        api_calls=40,
        agents=seen(*AGENTS),
        samples=tuple(sample(queue, 2, 1) for queue in ("fictional", "non-fictional", "priority")),
    )
    values.update(changes)
    return Activity(**values)


def scene(now=None, **changes):
    values = dict(
        activity=now if now is not None else activity(),
        facts={},
        expired=0,
        activity_known=True,
        agent_id="monitor-1",
        expected_agents=AGENTS,
        ttl_s=30.0,
        sampling_period_s=5.0,
        heartbeat_s=10.0,
        hour_limit_usd=5.0,
        day_limit_usd=25.0,
        warn_at=0.8,
    )
    values.update(changes)
    return health.Scene(**values)


def codes(of):
    return {finding.code: finding.severity for finding in health.findings(of)}


def test_score_of_perfect_vitals_is_100():
    assert health.system_health_score(health.Vitals()) == 100


def test_score_of_the_worst_vitals_is_0():
    worst = health.Vitals(**{name: math.inf for name in health.RAMPS})

    assert health.system_health_score(worst) == 0


def test_score_is_made_of_every_vital_figure_alone():
    for name, ramp in health.RAMPS.items():
        assert health.system_health_score(health.Vitals(**{name: ramp.bad})) == 100 - ramp.points
    assert set(health.RAMPS) == set(health.Vitals.__struct_fields__)


@given(
    figures=st.fixed_dictionaries({name: st.floats(0, 20) for name in health.RAMPS}),
    name=NAMES,
    more=st.floats(0, 20) | st.just(math.inf),
)
def test_score_never_rises_when_one_vital_figure_gets_worse(figures, name, more):
    before = health.system_health_score(health.Vitals(**figures))

    after = health.system_health_score(health.Vitals(**dict(figures, **{name: figures[name] + more})))

    assert 0 <= after <= before <= 100


COUNTS = dict(
    rejected=st.integers(0, 500), flagged=st.integers(0, 500), late=st.integers(0, 500),
    errors=st.integers(0, 40), expired=st.integers(0, 500), depth=st.integers(5, 500),
    hour_usd=st.floats(0, 10), day_usd=st.floats(0, 50), silent=st.integers(0, 4), age_s=st.floats(0, 400),
)  # fmt: skip


def measured(rejected, flagged, late, errors, expired, depth, hour_usd, day_usd, silent, age_s):
    now = activity(
        rejected=rejected, flagged=flagged, late=late, api_errors={"overloaded": errors},
        system_hour_usd=hour_usd, system_day_usd=day_usd, agents=seen(*AGENTS[silent:]),
        samples=(sample("fictional", age_s, depth),),
    )  # fmt: skip
    facts = {"fictional": QueueFacts(depth, 0.0, 1.0, 1.0, 2)}
    return health.system_health_score(health.vitals(scene(now, facts=facts, expired=expired)))


@given(figures=st.fixed_dictionaries(COUNTS), name=st.sampled_from(sorted(COUNTS)), data=st.data())
def test_score_never_rises_when_one_measured_input_gets_worse(figures, name, data):
    worse = data.draw(
        COUNTS[name].filter(lambda value: value >= figures[name]) if figures[name] == 0 else st.just(figures[name] * 2)
    )
    worse = min(worse, {"silent": 4, "errors": 40}.get(name, math.inf))

    assert measured(**dict(figures, **{name: worse})) <= measured(**figures)


def test_findings_of_a_system_at_work_are_none():
    assert codes(scene()) == {}
    assert health.system_health_score(health.vitals(scene())) == 100


@pytest.mark.parametrize(
    ("facts", "severity"),
    [
        pytest.param(QueueFacts(4, 9.0, 1.0, 0.1, 2), None, id="a-handful"),
        pytest.param(QueueFacts(14, 0.0, 1.0, 1.0, 2), None, id="within-half-the-ttl"),
        pytest.param(QueueFacts(16, 0.0, 1.0, 1.0, 2), "warning", id="beyond-half-the-ttl"),
        pytest.param(QueueFacts(60, 0.0, 1.0, 1.0, 2), "critical", id="twice-the-ttl"),
        pytest.param(QueueFacts(6, 0.0, 1.0, 0.0, 0), "critical", id="nobody-reads"),
        pytest.param(QueueFacts(None), None, id="unknown"),
    ],
)
def test_findings_on_a_queue_follow_its_expected_wait(facts, severity):
    assert codes(scene(facts={"fictional": facts})).get("queue_not_draining:fictional") == severity


@pytest.mark.parametrize(
    ("age_s", "severity"),
    [(14, None), (16, "warning"), (59, "warning"), (61, "critical")],
)
def test_findings_on_samples_follow_the_newest_known_depth(age_s, severity):
    samples = (sample("fictional", age_s, 3), sample("fictional", 1, None))

    assert codes(scene(activity(samples=samples))).get("samples_missing") == severity


def test_findings_without_any_sample_say_so():
    assert codes(scene(activity(samples=())))["samples_missing"] == "critical"


@pytest.mark.parametrize(
    ("changes", "code", "severity"),
    [
        pytest.param(dict(rejected=2), "rejecting", None, id="rejected-few"),
        pytest.param(dict(rejected=5), "rejecting", "warning", id="rejected-some"),
        pytest.param(dict(rejected=40), "rejecting", "critical", id="rejected-many"),
        pytest.param(dict(flagged=50), "flagging", None, id="flagged-few"),
        pytest.param(dict(flagged=60), "flagging", "warning", id="flagged-many"),
        pytest.param(dict(late=20), "late", "warning", id="late"),
        pytest.param(dict(api_errors={"overloaded": 7}), "api_failing", None, id="api-few"),
        pytest.param(dict(api_errors={"overloaded": 8}), "api_failing", "warning", id="api-some"),
        pytest.param(dict(api_errors={"overloaded": 32}), "api_failing", "critical", id="api-most"),
        pytest.param(dict(api_calls=4, api_errors={"timeout": 4}), "api_failing", None, id="api-noise"),
        pytest.param(dict(system_hour_usd=3.99), "budget_warning", None, id="budget-under"),
        pytest.param(dict(system_hour_usd=4.0), "budget_warning", "warning", id="budget-hour-warn"),
        pytest.param(dict(system_day_usd=24.0), "budget_warning", "warning", id="budget-day-warn"),
        pytest.param(dict(system_hour_usd=5.0), "budget_spent", "critical", id="budget-spent"),
        pytest.param(dict(published={}), "nothing_published", "warning", id="nothing-published"),
        pytest.param(dict(consumed={}), "nothing_consumed", "critical", id="nothing-consumed"),
        pytest.param(dict(agents=seen(*AGENTS, degraded=True)), "agent_degraded:consumer-1", "warning", id="degraded"),
    ],
)
def test_findings_on_activity_follow_its_counts(changes, code, severity):
    assert codes(scene(activity(**changes))).get(code) == severity


@pytest.mark.parametrize(("expired", "severity"), [(0, None), (1, "warning"), (26, "warning"), (27, "critical")])
def test_findings_on_expiry_follow_its_part_of_what_was_published(expired, severity):
    assert codes(scene(expired=expired)).get("expiring") == severity


def test_findings_on_one_silent_agent_warn_and_on_a_whole_kind_are_critical():
    one = codes(scene(activity(agents=seen("publisher-1", "consumer-1", "consumer-2"))))
    kind = codes(scene(activity(agents=seen("consumer-1", "consumer-2") + seen("publisher-2", age_s=41.0))))

    assert one == {"agent_silent:publisher-2": "warning"}
    assert kind == {"agent_silent:publisher-1": "critical", "agent_silent:publisher-2": "critical"}


def test_findings_on_two_boots_are_a_restart_first_and_a_conflict_when_it_lasts():
    now = activity(agents=seen(*AGENTS[1:]) + seen("publisher-1", boots=2))

    assert codes(scene(now, doubled_s={"publisher-1": 120.0})) == {"agent_restarted:publisher-1": "warning"}
    assert codes(scene(now, doubled_s={"publisher-1": 301.0})) == {"identity_conflict:publisher-1": "critical"}


def test_findings_on_a_set_aside_queue_near_its_bound_warn():
    facts = {"books.flagged": QueueFacts(80000), "books.rejected": QueueFacts(100000)}

    assert codes(scene(facts=facts)) == {
        "set_aside_full:books.flagged": "warning",
        "set_aside_full:books.rejected": "critical",
    }


def test_findings_without_the_store_blame_the_store_and_no_agent():
    blind = scene(
        Activity(START, STOP, samples=(sample("fictional", 1, 0),)),
        activity_known=False,
        store_error="timed out",
    )

    assert codes(blind) == {"store_unreachable": "critical"}
    assert "timed out" in health.findings(blind)[0].text


def test_findings_come_critical_first_each_code_once():
    found = health.findings(scene(activity(consumed={}, agents=()), expired=3))
    severities = [finding.severity for finding in found]

    assert severities == sorted(severities)
    assert len({finding.code for finding in found}) == len(found)
    assert found[0].line().startswith("critical agent_silent:consumer-1: consumer-1 sent no heartbeat")


def test_facts_of_a_queue_come_from_its_recent_known_samples():
    old = sample("fictional", 121, 900)
    unknown = sample("fictional", 0, None, source="unknown")
    samples = (
        old,
        *(sample("fictional", age, depth) for age, depth in ((20, 50), (10, 40), (1, 31))),
        unknown,
    )

    facts = health.queue_facts(samples, STOP)

    assert facts["fictional"].depth == 31
    assert facts["fictional"].trend_per_minute == pytest.approx(-60.0, abs=1.0)
    assert facts["fictional"].drain_time_s == pytest.approx(31.0, abs=1.0)


def test_facts_of_a_queue_without_a_recent_sample_are_unknown():
    facts = health.queue_facts((sample("books.expired", 121, 5),), STOP)

    assert set(facts) == {
        "fictional",
        "non-fictional",
        "priority",
        "books.expired",
        "books.rejected",
        "books.flagged",
    }
    assert set(facts.values()) == {QueueFacts(None)}


def test_expired_count_sums_the_rises_and_ignores_what_was_dropped():
    samples = tuple(sample("books.expired", 10 - i, depth) for i, depth in enumerate((3, 5, None, 6, 0, 2))) + (
        sample("fictional", 1, 99),
    )

    assert health.expired_count(samples) == 2 + 1 + 2
