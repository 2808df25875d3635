"""The whole system as of now, and what needs care in it."""

import json

import pytest
from msgspec.structs import replace

from reasond.adapters.units import UnitState
from reasond.core.agent import Control
from reasond.doctor.examined import examine
from reasond.errors import StoreUnavailable
from reasond.operator.host import AgentHere, Here
from reasond.operator.system import Trial, age_in_words, newest_by, system
from reasond.points import Row
from reasond.switchback import block_at, parse
from tests.support.past import SECOND_NS, EmbeddedRecords

NOBODY = Here({}, {}, False, "/var/lib/reasond")
PLAN = "claude,static:60m"
HOUR_NS = 3600 * SECOND_NS


def beat(agent, at_ns, **fields):
    tags = {"agent_id": agent, "agent_type": agent.rpartition("-")[0]}
    return Row("agent_health", tags, dict({"up": 1, "degraded": False}, **fields), at_ns)


def analysis(at_ns, status="healthy", score=99, **lists):
    fields = {name: json.dumps(texts) for name, texts in lists.items()}
    return Row(
        "system_health", {"agent_id": "monitor-1"}, dict(fields, status=status, system_health_score=score), at_ns
    )


def under(plan, rows):
    """Give rows whose publishers' decisions were taken under a plan."""
    return [
        replace(row, tags=dict(row.tags, arm="static"), fields=dict(row.fields, block=4, plan=plan))
        if row.tags.get("agent_type") == "publisher" and row.measurement == "agent_reasoning"
        else row
        for row in rows
    ]


def verdict(at_ns, plan, measure, **fields):
    """Give the monitor's row on one measure of a plan."""
    return Row("experiment", {"agent_id": "monitor-1", "plan": plan, "measure": measure}, fields, at_ns)


def seen(rows, now_ns, here=NOBODY, expected="publisher-1"):
    examined = examine({"MONITOR_EXPECTED_AGENTS": expected}, ())
    return system(EmbeddedRecords(rows), examined, here, now_ns)


def test_healthy_past_needs_no_care_and_every_part_is_filled(records, examined, end_ns):
    found = system(records, examined, NOBODY, end_ns)

    assert found.healthy, found.care
    assert [one.agent for one in found.agents][:2] == ["publisher-1", "publisher-2"]
    assert found.agents[-1].agent == "monitor-1"
    assert {one.state for one in found.agents} == {"up"}
    assert all(one.last is not None and one.brain == "dry-run" for one in found.agents)
    assert all(one.per_minute > 5 for one in found.agents if one.kind != "monitor")
    assert [one.queue for one in found.queues][-1] == "books.flagged" and all(
        one.depth is not None for one in found.queues
    )
    assert found.health.status == "healthy" and len(found.decisions) == 8
    assert found.money.hour.spent_usd >= 0 and found.money.day.spent_usd > 0


def test_agent_that_fell_silent_needs_care(records, examined, end_ns):
    found = system(records, examined, NOBODY, end_ns + 60 * SECOND_NS)

    assert {one.state for one in found.agents} == {"away"}
    assert "publisher-1 is away: no heartbeat for 60 s" in found.care


@pytest.mark.parametrize(
    "here, state, why",
    [
        (NOBODY, "away", "no heartbeat in the last day"),
        (Here({"publisher-1": AgentHere("publisher-1", "d", pid=7)}, {}, False, "b"), "degraded", "its process runs"),
        (
            Here({}, {"publisher-1": UnitState("failed", "failed", True, "", "exit-code")}, False, "b"),
            "away",
            "unit failed (failed, exit-code); see: journalctl -u publisher@1.service",
        ),
    ],
    ids=["unknown", "a process that can't tell", "a unit that never wrote"],
)
def test_agent_that_never_wrote_is_told_by_its_host(here, state, why):
    (one,) = seen([analysis(10**18)], 10**18, here).agents

    assert (one.state, why in one.why) == (state, True), one.why


def test_agent_gone_for_good_is_shown_and_needs_no_care():
    rows = [beat("publisher-1", 10**18), beat("publisher-9", 10**18 - 3600 * SECOND_NS), analysis(10**18)]

    found = seen(rows, 10**18)

    assert [(one.agent, one.state, one.expected) for one in found.agents] == [
        ("publisher-1", "up", True),
        ("publisher-9", "away", False),
    ]
    assert found.care == []


def test_degraded_agent_is_told_with_its_reason():
    rows = [beat("publisher-1", 10**18, degraded=True, degraded_reason="waiting for rabbitmq"), analysis(10**18)]

    assert seen(rows, 10**18).care == ["publisher-1 is degraded: waiting for rabbitmq"]


@pytest.mark.parametrize(
    "rows, words",
    [
        ([], "the monitor gave no analysis in the last day"),
        ([analysis(10**18 - 400 * SECOND_NS)], "the monitor gave no analysis for 7 min"),
        (
            [analysis(10**18, "critical", 20, alerts=["queue full"], issues=["x"])],
            "says critical, score 20 of 100: queue full",
        ),
        ([analysis(10**18, "warning", 70, issues=["slow"])], "says warning, score 70 of 100: slow"),
    ],
    ids=["never", "silent", "critical", "warning"],
)
def test_monitors_word_is_care(rows, words):
    (care,) = seen([beat("publisher-1", 10**18), *rows], 10**18).care

    assert words in care


def test_monitor_that_has_just_started_is_given_time_for_its_first_analysis():
    def care(uptime_s):
        return seen([beat("publisher-1", 10**18), beat("monitor-1", 10**18, uptime_s=uptime_s)], 10**18).care

    assert care(299.0) == []
    assert care(300.0) == ["the monitor gave no analysis in the last day"]


def test_operators_orders_are_shown_and_are_no_trouble():
    here = Here({"publisher-1": AgentHere("publisher-1", "d", pid=7, orders=Control(hold=True))}, {}, False, "b")

    found = seen([beat("publisher-1", 10**18), analysis(10**18)], 10**18, here)

    assert "held by the operator" in found.agents[0].orders[0] and found.healthy


class Away:
    def __getattr__(self, name):
        def refuse(*args):
            raise StoreUnavailable("InfluxDB at x can't be reached")

        return refuse


def test_store_away_shows_what_the_host_knows_and_says_what_is_missing(examined, end_ns):
    agents = {
        "publisher-1": AgentHere("publisher-1", "d", pid=7, spent=(1.0, 2.0)),
        "consumer-1": AgentHere("consumer-1", "d"),
        "monitor-1": AgentHere("monitor-1", "d", closed=True),
    }

    found = system(Away(), examined, Here(agents, {}, False, "b"), end_ns)

    states = {one.agent: one.state for one in found.agents}
    assert (states["publisher-1"], states["consumer-1"], states["consumer-2"]) == ("up", "away", "unknown")
    assert states["monitor-1"] == "unknown"
    assert found.store_error in found.care and found.care[1] == "consumer-1 is away: its process doesn't run"
    assert "InfluxDB tells nothing" in found.missing[0] and "monitor-1" in found.missing[1]
    assert found.money.hour.spent_usd == 1.0 and found.queues == []


def test_running_experiment_is_told_by_orders_or_by_decisions(rows, examined, end_ns):
    here = Here({"publisher-1": AgentHere("publisher-1", "d", orders=Control(switchback=PLAN))}, {}, False, "b")
    block = block_at(parse(PLAN), end_ns)

    by_order = system(EmbeddedRecords(rows), examined, here, end_ns).experiment
    by_decision = system(EmbeddedRecords(under(PLAN, rows)), examined, NOBODY, end_ns).experiment
    unreadable = system(EmbeddedRecords(under("a plan of later versions", rows)), examined, NOBODY, end_ns).experiment

    assert by_order == by_decision == Trial(PLAN, block.arm, block.number, block.end_ns)
    assert unreadable == Trial("", "static", 4, None)


def test_monitors_words_on_the_running_plan_are_told_the_newest_for_each_measure(rows, examined, end_ns):
    judged = [
        verdict(end_ns - 3 * HOUR_NS, PLAN, "depth", pairs=5),
        verdict(
            end_ns - HOUR_NS, PLAN, "depth", pairs=6, difference=-3.1, interval_low=-5.0, interval_high=-1.2, p=0.03
        ),
        verdict(end_ns - HOUR_NS, PLAN, "usd", pairs=5),
        verdict(end_ns, "claude,rules:10m", "depth", pairs=70),
    ]

    found = system(EmbeddedRecords(under(PLAN, [*rows, *judged])), examined, NOBODY, end_ns).experiment

    assert found.effects == ["depth -3.1 (-5 to -1.2, 6 pairs): less", "usd: too little data (5 of 6 pairs)"]


def test_wrong_settings_need_care(end_ns, records):
    found = system(records, examine({"PUBLISHER_TTL_S": "soon"}, ()), NOBODY, end_ns)

    assert "PUBLISHER_TTL_S" in found.care[0]


@pytest.mark.parametrize("seconds, words", [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172800, "2 d")])
def test_ages_read_well(seconds, words):
    assert age_in_words(seconds) == words


def test_newest_by_takes_the_newest_of_each():
    rows = [beat("a-1", 2), beat("a-1", 5), beat("b-1", 3)]

    assert {name: row.time_ns for name, row in newest_by(rows, "agent_id").items()} == {"a-1": 5, "b-1": 3}
