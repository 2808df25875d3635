"""InfluxDB and the Claude API away, frozen or refusing: the flow goes on, and both come back by themselves."""

import time

import pytest

from tests.testbed.flow import ages, percentile, wait_handled
from tests.testbed.waiting import wait_until

RATE = 30
CONSUMERS = ("consumer-1", "consumer-2")
AWAY_SECONDS = 6
# A handler takes 0.1 s; a flow that waited for the fault would be seconds late.
UNAFFECTED_SECONDS = 1.5
BACK_SECONDS = 30


@pytest.fixture(scope="module")
def flow(make_flow, rabbitmq, breakable_influxd):
    made = make_flow(
        rabbitmq,
        breakable_influxd,
        REASOND_BRAIN="claude",
        CONSUMER_SAMPLE_EVERY="5",
        CONSUMER_MIN_CALL_GAP_S="0.5",
        CONSUMER_DECISION_DEADLINE_S="2",
        BUDGET_USD_PER_HOUR="1000",
        BUDGET_USD_PER_DAY="1000",
        INFLUXDB_TIMEOUT_S="2",
    )
    made.start(*CONSUMERS)
    return made


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_influxdb_away_costs_no_message_and_no_point(flow, report, fault):
    ledger = flow.ledger()
    load = flow.load(RATE, AWAY_SECONDS + 6)
    wait_handled(ledger, 2 * RATE)

    began = time.time()
    (flow.influxd.kill if fault == "killed" else flow.influxd.signal_stop)()
    wait_until(lambda: time.time() >= began + AWAY_SECONDS, what="the time", timeout_seconds=AWAY_SECONDS + 5)
    (flow.influxd.start if fault == "killed" else flow.influxd.signal_cont)()
    ended = time.time()
    found = flow.settle(ledger, load)

    during = ages(ledger, began, ended)
    wait_until(
        lambda: flow.handled_points(ledger.since_s) == found.ends["handled"],
        what="a point of every message",
        timeout_seconds=BACK_SECONDS,
        every_seconds=0.5,
    )
    complete = time.time()
    report(
        found,
        away_s=ended - began,
        p99_age_meanwhile_s=percentile(during, 0.99),
        handled_meanwhile=len(during),
        all_points_after_s=complete - ended,
    )
    assert found.lost == () and found.doubles == {}
    assert len(during) > RATE * AWAY_SECONDS / 2
    assert percentile(during, 0.5) < UNAFFECTED_SECONDS


def refuse(api):
    api.stop()


def hang(api):
    api.set(form="hang")


def throttle(api):
    api.set(form={"form": "429", "retry_after": 1})


@pytest.mark.parametrize("fault", [refuse, hang, throttle], ids=["down", "hanging", "429"])
def test_api_away_means_deciding_by_rules_until_it_is_back(flow, report, fault):
    # Given decisions by Claude
    ledger = flow.ledger()
    load = flow.load(RATE, 3 * BACK_SECONDS)
    wait_until(lambda: decisions(flow, ledger.since_s, "claude"), what="a decision", timeout_seconds=BACK_SECONDS)

    # When the API is away for a while
    began = time.time()
    fault(flow.api)
    wait_until(
        lambda: len(decisions(flow, began, "rules")) >= 2 and degraded(flow, began),
        what="decisions by rules, and word of it",
        timeout_seconds=BACK_SECONDS,
        every_seconds=0.2,
    )
    told = time.time()
    if fault is refuse:
        flow.api.start()
    flow.api.set(form="auto")
    ended = time.time()

    # Then Claude decides again by itself, and says so, and no message waited
    wait_until(
        lambda: decisions(flow, ended, "claude") and not degraded(flow, time.time() - 3),
        what="decisions by Claude again",
        timeout_seconds=BACK_SECONDS,
        every_seconds=0.2,
    )
    back = time.time()
    load.interrupt()
    found = flow.settle(ledger, load)
    during = ages(ledger, began, ended)
    reasons = sorted(set(decisions(flow, began, "rules")))
    report(
        found,
        told_after_s=told - began,
        back_after_s=back - ended,
        fallback_reasons="/".join(reasons),
        p99_age_meanwhile_s=percentile(during, 0.99),
    )
    assert found.lost == () and found.doubles == {}
    assert percentile(during, 0.5) < UNAFFECTED_SECONDS
    for name in CONSUMERS:
        assert "claude_problem" in flow.processes[name].log_path.read_text()


def decisions(flow, since_s, brain):
    """Give the fallback reason ("" for none) of each decision that a brain took since then."""
    rows = flow.flux(
        f'range(start: time(v: {int(since_s * 1e9)})) |> filter(fn: (r) => r._measurement == "agent_reasoning"'
        f' and r.brain == "{brain}" and (r._field == "fallback_reason" or r._field == "decision_id"))'
    )
    reasons = [row["_value"] for row in rows if row["_field"] == "fallback_reason"]
    return reasons or [row["_value"] for row in rows if row["_field"] == "decision_id"]


def degraded(flow, since_s):
    """Tell whether the newest heartbeat of every consumer since then says that the brain is away."""
    rows = flow.flux(
        f'range(start: time(v: {int(since_s * 1e9)})) |> filter(fn: (r) => r._measurement == "agent_health"'
        ' and r._field == "degraded") |> last()'
    )
    return len(rows) == len(CONSUMERS) and all(row["_value"] == "true" for row in rows)
