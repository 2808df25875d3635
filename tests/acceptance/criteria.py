"""The specification's success criteria, asked of InfluxDB by Flux after a run; each gives its figures or fails."""

import math
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Protocol, Set, Tuple

from reasond.points import MEASUREMENTS
from tests.acceptance.system import AGENTS
from tests.standin import StandIn

CLAUDE_SHARE = 0.95
"""At least so many decisions must come from the model and not from the fallback."""
DEFAULTS = {"fictional_interval": 5, "nonfictional_interval": 10}
FLUX_TYPES = {"int": "int", "float": "float", "bool": "bool", "str": "string"}


class System(Protocol):
    """A run that is over, as the criteria look at it; times are UTC nanoseconds."""

    folder: Path  # holds monitor-1.log
    api: StandIn  # asked by this run alone
    influxd: Any  # has the bucket's name and `query`
    started_ns: int
    recovery_ns: int
    loaded: int  # messages confirmed beside the publishers' own
    stop_seconds: Dict[str, float]

    def flux(self, pipeline: str) -> List[Dict[str, str]]:
        """Run a pipeline over everything written since the start, and give its rows as text."""

    def depths(self) -> Dict[str, int]:
        """Give each queue's messages, ready and unacknowledged."""


class Result(NamedTuple):
    """One criterion: whether it holds, and the figures it was judged by."""

    name: str
    holds: bool
    figures: str


def judge(system: System) -> List[Result]:
    """Ask every criterion of a finished run."""
    results = []
    for name, criterion in CRITERIA:
        try:
            results.append(Result(name, True, criterion(system)))
        except AssertionError as err:
            results.append(Result(name, False, str(err)))
    return results


def told(results: List[Result]) -> Dict[str, str]:
    """Print every criterion's figures; give those that don't hold, by name."""
    for result in results:
        print(f"{result.name}: {'' if result.holds else 'NOT MET: '}{result.figures}")
    return {result.name: result.figures for result in results if not result.holds}


def all_seven_alive(system: System) -> str:
    """Each agent's heartbeats reach from the first seconds to the last."""
    wanted = {name for _, _, names in AGENTS for name in names}
    rows = system.flux('filter(fn: (r) => r._measurement == "agent_health" and r._field == "up") |> count()')
    counts = {row["agent_id"]: int(row["_value"]) for row in rows}
    assert set(counts) == wanted, "heartbeats of {}".format(sorted(counts))
    late = system.flux(
        'filter(fn: (r) => r._measurement == "agent_health" and r._field == "up")'
        " |> filter(fn: (r) => r._time > time(v: {})) |> count()".format(system.recovery_ns)
    )
    assert {row["agent_id"] for row in late} == wanted, "alive in the last phase: {}".format(late)
    return "{} to {} heartbeats each".format(min(counts.values()), max(counts.values()))


def decisions_of_all_types(system: System) -> str:
    """Decisions of the three kinds, each with every specified tag and field, in the declared types."""
    needed = {
        "rate_adjustment": "reasoning confidence fictional_interval nonfictional_interval queue_depth_fictional "
        "queue_depth_nonfictional tokens_used decision_latency_ms decision_id input_tokens output_tokens cost_usd",
        "message_handling": "reasoning confidence message_id tokens_used decision_latency_ms decision_id",
        "system_health": "reasoning confidence tokens_used decision_latency_ms decision_id",
    }
    told = []
    for decision_type, fields in needed.items():
        rows = _decisions(system, decision_type)
        assert rows, "no {} decision".format(decision_type)
        for field in fields.split():
            having = [row for row in rows if row.get(field, "") != ""]
            # The first decisions may come before anything is measured: depths are then unknown, not 0.
            assert len(having) >= 0.6 * len(rows), "{} has {} on {} of {}".format(
                decision_type, field, len(having), len(rows)
            )
        for tag in ("agent_id", "agent_type", "action", "decision_type", "brain", "model", "prompt_version"):
            assert all(row.get(tag) for row in rows), "{} without tag {}".format(decision_type, tag)
        if decision_type == "message_handling":
            assert {row["queue"] for row in rows} <= {"fictional", "non-fictional", "priority"}
        told.append("{} {}".format(len(rows), decision_type))
    return ", ".join(told)


def field_types_are_declared(system: System) -> str:
    """Every field of every measurement has the one type that points.py declares."""
    checked = 0
    for measurement in MEASUREMENTS.values():
        by_type = {}
        for field_type in ("int", "float", "bool", "str"):
            names = _fields_of_type(system, measurement.name, field_type)
            for name in names:
                assert measurement.fields.get(name) == field_type, "{}.{} holds {}".format(
                    measurement.name, name, field_type
                )
            by_type[field_type] = names
            checked += len(names)
    assert checked >= 60, "only {} fields found".format(checked)
    return "{} fields".format(checked)


def most_decisions_are_claudes(system: System) -> str:
    """At least 95 % of the decisions come from the model."""
    rows = [
        row for kind in ("rate_adjustment", "message_handling", "system_health") for row in _decisions(system, kind)
    ]
    claude = sum(row["brain"] == "claude" for row in rows)
    assert claude >= CLAUDE_SHARE * len(rows), "{} of {}".format(claude, len(rows))
    return "{} of {}".format(claude, len(rows))


def tokens_equal_the_stand_ins_log(system: System) -> str:
    """Input and output tokens in `api_calls` are those that the stand-in itself counted; cost follows from them."""
    totals = {"requests": 0, "input_tokens": 0, "output_tokens": 0}
    for model in system.api.totals().values():
        for name in totals:
            totals[name] += model[name]
    found = {
        name: sum(int(row["_value"]) for row in system.flux(_sum("api_calls", name + "_tokens")))
        for name in ("input", "output")
    }
    assert totals["requests"] > 0
    assert (found["input"], found["output"]) == (totals["input_tokens"], totals["output_tokens"]), (
        "InfluxDB {}, stand-in {}".format(found, totals)
    )
    split = {
        name: sum(int(row["_value"]) for row in system.flux(_sum("agent_reasoning", name)))
        for name in ("tokens_used", "input_tokens", "output_tokens")
    }
    assert split["tokens_used"] == split["input_tokens"] + split["output_tokens"], str(split)
    cost = sum(float(row["_value"]) for row in system.flux(_sum("agent_reasoning", "cost_usd")))
    expected = (found["input"] * 3 + found["output"] * 15) / 1e6
    assert math.isclose(cost, expected, rel_tol=0.02), "cost {} against {}".format(cost, expected)
    return "{} calls, {} in, {} out, ${:.4f}".format(totals["requests"], found["input"], found["output"], cost)


def publishers_slowed_under_load_and_came_back(system: System) -> str:
    """Intervals rise in the overload phase and move back towards their defaults after it."""
    told = []
    widest, last = _intervals(system)
    assert widest, "no rate decision"
    for agent, highest in sorted(widest.items()):
        assert highest > DEFAULTS["fictional_interval"], "{} never slowed: {}".format(agent, highest)
        assert last[agent] < highest, "{} stayed at {}".format(agent, last[agent])
        told.append("{} 5>{}>{}".format(agent, highest, last[agent]))
    wrong = [
        row
        for row in _decisions(system, "rate_adjustment")
        if row["action"] == "speed_up" and int(row.get("queue_depth_fictional") or 0) >= 30
    ]
    assert not wrong, "{} speed_up at 30 or more messages".format(len(wrong))
    return ", ".join(told)


def outcomes_on_decided_points(system: System) -> str:
    """Rate decisions of the overload phase carry an outcome, or why there is none."""
    rows = [row for row in _decisions(system, "rate_adjustment") if row["action"] in ("slow_down", "speed_up", "pause")]
    judged = [row for row in rows if row.get("outcome_success")]
    missing = [row for row in rows if row.get("outcome_missing")]
    assert judged, "no outcome on {} decisions; missing: {}".format(
        len(rows), sorted(row["outcome_missing"] for row in missing)
    )
    for row in judged:
        assert row.get("outcome_score") and row.get("queue_depth_fictional_after"), str(row)
    helped = sum(row["outcome_success"] == "true" for row in judged)
    return "{} judged ({} helped), {} with a reason, of {}".format(len(judged), helped, len(missing), len(rows))


def alerts_under_overload(system: System) -> str:
    """The monitor calls the overload critical and raises alerts; before it, it does not."""
    rows = _pivot(system, "system_health")
    critical = [row for row in rows if row["status"] == "critical" and row["_time"]]
    assert critical, "statuses {}".format(sorted({row["status"] for row in rows}))
    assert sum(int(row["alerts_raised"]) for row in rows) >= 1
    log = (system.folder / "monitor-1.log").read_text(errors="replace")
    assert " crit " in log or "<2>" in log, "no alert in the monitor's log"
    scores = [int(row["system_health_score"]) for row in rows]
    assert min(scores) < max(scores)
    return "{} critical of {}, score {} to {}".format(len(critical), len(rows), min(scores), max(scores))


def nothing_lost(system: System) -> str:
    """Every message confirmed is consumed, set aside, expired or still queued, by the counts of both ends."""
    published = sum(int(row["_value"]) for row in system.flux(_sum("publisher_metrics", "messages_published")))
    loaded = system.loaded
    consumed = {}
    for row in system.flux(_sum("consumer_metrics", "messages_consumed")):
        action = row["processing_action"]
        consumed[action] = consumed.get(action, 0) + int(row["_value"])
    duplicates = consumed.pop("duplicate", 0)
    depths = system.depths()
    # Flagged and rejected messages are counted by their consumer and stand in their queue: count them once.
    ends = (
        sum(consumed.values())
        + depths["books.expired"]
        + sum(depths[q] for q in ("fictional", "non-fictional", "priority"))
    )
    assert published + loaded == ends, "{} + {} in, {} out: {} {}".format(published, loaded, ends, consumed, depths)
    return "{} in = {} ({} duplicates)".format(published + loaded, consumed, duplicates)


def stops_in_time(system: System) -> str:
    """Each agent ends within 10 s of SIGTERM."""
    slowest = max(system.stop_seconds.items(), key=lambda item: item[1])
    assert slowest[1] < 10, "{} took {:.1f} s".format(*slowest)
    return "slowest {} {:.1f} s".format(*slowest)


CRITERIA: Tuple[Tuple[str, Callable[[System], str]], ...] = (
    ("all seven agents alive to the end", all_seven_alive),
    ("decisions of all three types, complete", decisions_of_all_types),
    ("field types as declared", field_types_are_declared),
    ("at least 95 % decided by the model", most_decisions_are_claudes),
    ("tokens equal the API's own log", tokens_equal_the_stand_ins_log),
    ("publishers slowed under load and came back", publishers_slowed_under_load_and_came_back),
    ("outcomes on decided points", outcomes_on_decided_points),
    ("alerts under overload", alerts_under_overload),
    ("nothing lost", nothing_lost),
    ("stopped within 10 s", stops_in_time),
)


def _pivot(system: System, measurement: str, more: str = "") -> List[Dict[str, str]]:
    return system.flux(
        'filter(fn: (r) => r._measurement == "{}"){} |> toString()'
        ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value") |> group()'
        ' |> sort(columns: ["_time"])'.format(measurement, more)
    )


def _decisions(system: System, decision_type: str) -> List[Dict[str, str]]:
    return _pivot(system, "agent_reasoning", ' |> filter(fn: (r) => r.decision_type == "{}")'.format(decision_type))


def _sum(measurement: str, field: str) -> str:
    return 'filter(fn: (r) => r._measurement == "{}" and r._field == "{}") |> sum()'.format(measurement, field)


def _intervals(system: System) -> Tuple[Dict[str, int], Dict[str, int]]:
    """Give each publisher's widest and last fictional interval."""
    widest: Dict[str, int] = {}
    last: Dict[str, int] = {}
    for row in _decisions(system, "rate_adjustment"):
        interval = int(row["fictional_interval"])
        widest[row["agent_id"]] = max(widest.get(row["agent_id"], 0), interval)
        last[row["agent_id"]] = interval
    return widest, last


def _fields_of_type(system: System, measurement: str, field_type: str) -> Set[str]:
    """Give the fields of a measurement whose values InfluxDB holds in this type."""
    query = (
        'import "types"\nfrom(bucket: "{}") |> range(start: time(v: {}))'
        ' |> filter(fn: (r) => r._measurement == "{}")'
        ' |> filter(fn: (r) => types.isType(v: r._value, type: "{}"))'
        ' |> group(columns: ["_field"]) |> first() |> keep(columns: ["_field"])'
    ).format(system.influxd.bucket, system.started_ns, measurement, FLUX_TYPES[field_type])
    return {row["_field"] for row in system.influxd.query(query)}
