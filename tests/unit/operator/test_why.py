"""An agent's behaviour in sentences: who set what, when, on what ground, and how it turned out."""

import pytest

from reasond.core.agent import Control
from reasond.doctor.examined import examine
from reasond.errors import InputError
from reasond.operator.host import AgentHere, Here
from reasond.operator.records import Wanted
from reasond.operator.why import explain
from reasond.points import Row
from reasond.report.span import Span
from tests.support.past import EmbeddedRecords
from tests.unit.operator.test_system import NOBODY, analysis, beat
from tests.unit.report.decided import SECOND, row

NOW_S = 100_000
SETTINGS = examine({}, ()).settings


def rate(at, before, after, **more):
    fields = dict(zip(("fictional_interval", "nonfictional_interval"), after))
    fields.update(zip(("previous_fictional_interval", "previous_nonfictional_interval"), before))
    action = more.pop("action", "continue" if before == after else "slow_down")
    return row(at, action=action, **dict({"decision_id": f"publisher-1-{at}"}, **fields, **more))


def why(rows, agent="publisher-1", here=NOBODY):
    """Explain an agent that has these points and, unless it is told otherwise, a fresh heartbeat."""
    if rows and all(one.measurement != "agent_health" for one in rows):
        rows = [*rows, beat(agent, NOW_S * SECOND)]
    return explain(EmbeddedRecords(rows), agent, SETTINGS, here, NOW_S * SECOND)


def test_each_interval_is_told_by_the_last_decision_that_moved_it():
    found = why(
        [
            rate(
                99_000,
                (5, 10),
                (8, 12),
                brain="claude",
                queue_depth_fictional=40,
                drain_time_s=60.0,
                depth_source="influxdb",
                reasoning="the queue grows",
                confidence=0.75,
                outcome_success=True,
                adjusted=True,
                adjustment="fictional clamped to 8 s",
            ),
            rate(
                99_400, (8, 12), (8, 20), brain="rules", fallback_reason="budget_spent", outcome_missing="second_change"
            ),
            rate(99_900, (8, 20), (8, 20), brain="claude"),
        ]
    )

    text = "\n".join(found.sentences)
    assert "fictional message every 8 s (before: 5 s): claude decided slow_down 17 min ago" in text
    assert "depths of fictional 40, 60 s to drain (from influxdb)" in text
    assert "confidence 0.75: “the queue grows”" in text
    assert "The core changed the answer: fictional clamped to 8 s." in text and "It helped." in text
    assert "non-fictional message every 20 s (before: 12 s): rules decided slow_down 10 min ago" in text
    assert "as the brain gave no answer (budget_spent)" in text and "another change came too soon" in text
    assert "The latest decision: claude decided continue 100 s ago" in text
    assert [one.id for one in found.decisions] == ["publisher-1-99000", "publisher-1-99400", "publisher-1-99900"]


def test_one_decision_for_both_intervals_is_explained_once():
    found = why([rate(99_000, (5, 10), (8, 12), outcome_success=False)])

    text = "\n".join(found.sentences)
    assert text.count("did not help") == 1 and "by the same decision" in text
    assert len(found.decisions) == 1


def test_shadow_sets_nothing():
    found = why([rate(99_000, (5, 10), (8, 12), acted=False)])

    text = "\n".join(found.sentences)
    assert "every 5 s: no decision of the last 24 hours changed that" in text
    assert "It was not acted on (shadow)" in text


def test_pause_comes_first():
    assert (
        why([rate(99_990, (5, 10), (5, 10), action="pause")])
        .sentences[0]
        .startswith("It is paused: rules decided pause")
    )


def test_operator_is_named_and_stands_in_front():
    here = Here({"publisher-1": AgentHere("publisher-1", "d", orders=Control(hold=True, shadow=True))}, {}, False, "b")

    found = why(
        [rate(99_000, (5, 10), (3, 10), action="speed_up", brain="operator", outcome_missing="operator")], here=here
    )

    assert "held by the operator" in found.sentences[0] and "in shadow" in found.sentences[1]
    assert any("the operator decided speed_up" in line for line in found.sentences)


def test_experiment_is_told():
    one = rate(99_900, (5, 10), (5, 10), block=7)

    assert (
        "in this block (number 7) static decides"
        in why([Row(one.measurement, dict(one.tags, arm="static"), one.fields, one.time_ns)]).sentences[-1]
    )


def test_publisher_without_a_decision_goes_by_its_settings():
    found = why([beat("publisher-1", (NOW_S - 5) * SECOND)])

    assert "fictional every 5 s, non-fictional every 10 s" in found.sentences[-1] and found.decisions == []


def test_silent_and_degraded_agents_say_so_first():
    silent = why([beat("publisher-1", (NOW_S - 300) * SECOND)]).sentences[0]
    degraded = why(
        [beat("publisher-1", NOW_S * SECOND, degraded=True, degraded_reason="waiting for rabbitmq")]
    ).sentences[0]

    assert "no heartbeat for 5 min" in silent and "It is degraded: waiting for rabbitmq." == degraded


def test_unknown_agent_is_refused_with_what_to_do():
    with pytest.raises(InputError, match="reasond status"):
        why([], "publisher-7")


def test_consumer_is_told_by_queue_and_priority():
    def handled(at, action, queue, **more):
        return row(at, "consumer-1", action, queue, "claude", decision_id=f"consumer-1-{at}", **more)

    line = "52/min, 2 in hand, standing fictional/normal=process non-fictional/high=batch, last process"
    found = why(
        [
            handled(99_000, "batch", "non-fictional"),
            handled(99_100, "process", "fictional"),
            handled(99_200, "flag_anomaly", "fictional", reasoning="odd"),
            handled(99_300, "process", "priority", acted=False),
            beat("consumer-1", NOW_S * SECOND, state=line),
        ],
        "consumer-1",
    )

    text = "\n".join(found.sentences)
    assert "fictional at priority normal: process, non-fictional at priority high: batch." in text
    assert "Queue fictional: claude decided process" in text and "Queue non-fictional: claude decided batch" in text
    assert "Queue priority" not in text
    assert "One message was flagged" in text and "“odd”" in text
    assert "One message in 10" in found.sentences[-1]


def test_monitor_is_told_by_its_newest_analysis():
    health = analysis(
        99_990 * SECOND, "critical", 40, issues=["critical x: full"], suggestions=["start consumers"], alerts=[]
    )
    health = Row(
        health.measurement,
        health.tags,
        dict(health.fields, decision_id="monitor-1-9", ai_analysis_text="bad"),
        health.time_ns,
    )
    one = row(
        99_990,
        "monitor-1",
        "critical",
        "",
        "claude",
        decision_id="monitor-1-9",
        adjusted=True,
        adjustment="status warning raised to critical: x",
    )

    found = why([health, one], "monitor-1")

    assert found.sentences[0].startswith("It says critical, score 40 of 100: claude decided critical 10 s ago")
    assert "The core changed the answer: status warning raised to critical: x." in found.sentences
    assert (
        "What it found: critical x: full." in found.sentences
        and "What it suggests: start consumers." in found.sentences
    )
    assert found.sentences[-1] == "In its words: “bad”"


@pytest.mark.parametrize("agent", ["publisher-1", "consumer-2", "monitor-1"])
def test_past_of_the_simulation_is_explained_by_decisions_that_are_in_it(records, end_ns, agent):
    found = explain(records, agent, SETTINGS, NOBODY, end_ns)

    known = {one.fields["decision_id"] for one in records.decided(Span(0, end_ns), Wanted(agent=agent))}
    assert found.decisions and {one.id for one in found.decisions} <= known
    assert all(one.id in "\n".join(found.sentences) for one in found.decisions)
