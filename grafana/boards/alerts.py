"""The alert rules: what is asked of InfluxDB, from where on it is an alert, and what the alert says.

`python -m grafana.boards` writes `rules()` to grafana/alerting/rules.json, which the role provisions; the role's
variables take the place of thresholds, pending times and the runbook's address. The runbook is docs/alerts.md.

No `$` stands in titles, labels and annotations: Grafana's provisioning takes it for a variable, and its versions
disagree on how to write one. They say `.Labels` and `.Values` therefore, not `$labels` and `$values`.
"""

from dataclasses import dataclass
from typing import Any

from reasond.topology import DEAD_QUEUES, MAIN_QUEUES

from .flux import read
from .look import DATA_SOURCE

FOLDER = "reasond alerts"
"""Not the dashboards' folder: rules are provisioned first and would make that under a uid of Grafana's choosing, beside
the one that the dashboards ask for; Grafana 11.0 then doesn't start (grafana/grafana issues 87889 and 125079)."""
GROUP = "reasond"
RUNBOOK = "docs/alerts.md"
"""In the checkout; the role's variable says where people read it."""
UID_PREFIX = "reasond-alert-"
INTERVAL_S = 60
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400

SILENT_S = 120
"""Twelve heartbeats at the default rate: a restart of the agent or of InfluxDB takes less."""
FRESH_S = 120
"""A depth older than that says nothing about now; the slowest sampling period allowed is half of it."""
WAIT_S = 60
"""Twice the default time to live: most of what waits that long expires unread."""
WAIT_MIN_MESSAGES = 5
"""Below it a quotient of depth and rate is noise; the same as in the monitor's findings."""
NEVER_PER_S = 0.0001
"""Added to the rate of acknowledgements: a queue that nobody serves gets a long wait, not an infinite one, which
Grafana can't store."""
DEAD_LETTERS = 10
API_MIN_ATTEMPTS = 5
ANALYSIS_S = 300
"""Five of the monitor's periods at the default rate."""


@dataclass(frozen=True)
class Alert:
    """One rule: `queries` by the name that the value has in `formula`, `summary` and `description`.

    Each query is a Flux text and the seconds before now that it may look at; the alert is up while `formula`, in
    Grafana's arithmetic over the last values, is more than `limit`. Series with other labels are other alerts.
    A formula reckons: one that is a name alone makes Grafana 10.0 lose its value, or the named one, from texts.
    """

    key: str
    title: str
    severity: str
    pending_s: int
    queries: dict[str, tuple[str, int]]
    formula: str
    limit: float
    summary: str
    description: str
    error_state: str = "OK"


def _value(name: str) -> str:
    """Give a value in Grafana's templates: a query's by its name, the formula's as `value`.

    By `index`, as a missing one is 0 then and not an error in Grafana's log.
    """
    return f'(index .Values "{name}").Value'


def _number(name: str, digits: int = 0) -> str:
    return f'{{{{ printf "%.{digits}f" {_value(name)} }}}}'


def _among(queues: tuple[str, ...]) -> str:
    return " or ".join(f'r.queue == "{queue}"' for queue in queues)


# A second before now, so that on the stroke of the hour the range is the old hour and not empty, which is an error.
_BUDGET = """import "date"

before = date.sub(d: 1s, from: v.timeRangeStop)
hour = date.truncate(t: before, unit: 1h)
day = date.truncate(t: before, unit: 1d)
"""


def _budget(last: str) -> str:
    """Give a query of each window's spend and limit, then `last` over rows with `window`, `spent` and `cap` (USD).

    The spend is the system's, in this UTC hour and day. The limit is the largest that any agent named in the last
    hour: just after a window began, agents that don't know the others' spend yet keep to a share and name that.
    """
    tables = []
    for window in ("hour", "day"):
        spent = read("budget", [f"spent_{window}_usd"], start=window)
        cap = read("budget", [f"limit_{window}_usd"], start="date.sub(d: 1h, from: v.timeRangeStop)")
        for name, steps in (
            ("spent", f"{_joined(spent)} |> last() |> group() |> sum()"),
            ("cap", f"{_joined(cap)} |> max() |> group() |> max()"),
        ):
            row = f'{{window: "{window}", of: "{name}", _value: r._value}}'
            tables.append(f"  {steps} |> map(fn: (r) => ({row})),")
    return "\n".join(
        (
            _BUDGET,
            "union(tables: [",
            *tables,
            "])",
            "  |> group()",
            '  |> pivot(rowKey: ["window"], columnKey: ["of"], valueColumn: "_value")',
            "  |> filter(fn: (r) => exists r.spent and exists r.cap and r.cap > 0.0)",
            last,
        )
    )


def _joined(query: str) -> str:
    return " ".join(line.strip() for line in query.splitlines())


def _window_value(value: str) -> str:
    return _budget(
        f"  |> map(fn: (r) => ({{_time: v.timeRangeStop, window: r.window, _value: {value}}}))\n"
        '  |> group(columns: ["window"])'
    )


_WORST = _budget("  |> map(fn: (r) => ({_time: v.timeRangeStop, _value: r.spent / r.cap}))\n  |> max()")


def _at_now(value: str) -> str:
    return f"  |> map(fn: (r) => ({{_time: v.timeRangeStop, _value: {value}}}))"


def _how_many(value: str) -> str:
    """Give the step that counts the rows of that text, as a float; none is 0.

    Not by a `map` of two constants: Flux 0.194 then gives null where all of a record's other values are constant too.
    """
    return (
        "  |> reduce(identity: {_value: 0.0}, fn: (r, accumulator) => "
        f'({{_value: accumulator._value + (if r._value == "{value}" then 1.0 else 0.0)}}))'
    )


_OUT_OF_BUDGET = "\n".join(
    (
        _BUDGET,
        read("budget", ["level"], start="hour"),
        "  |> last()",
        "  |> group()",
        _how_many("spent"),
        _at_now("r._value"),
    )
)

_AGE = f"""{read("agent_health", ["up"])}
  |> last()
  |> group(columns: ["agent_id"])
  |> max(column: "_time")
  |> map(fn: (r) => ({{
    _time: v.timeRangeStop,
    agent_id: r.agent_id,
    _value: float(v: int(v: v.timeRangeStop) - int(v: r._time)) / 1000000000.0,
  }}))"""

# Critical 1, any other status 0; 2 where agents are up but no analysis is there. The smallest one counts.
_HEALTH = f"""import "date"

status = {_joined(read("system_health", ["status"]))}
  |> last()
  |> group()
  |> sort(columns: ["_time"])
  |> tail(n: 1)
{_how_many("critical")}

up = {_joined(read("agent_health", ["up"], start="date.sub(d: 2m, from: v.timeRangeStop)"))}
  |> last()
  |> group()
  |> reduce(identity: {{_value: 2.0}}, fn: (r, accumulator) => accumulator)

union(tables: [status, up])
  |> group()
  |> min()
{_at_now("r._value")}"""
_SCORE = f"""{read("system_health", ["system_health_score"])}
  |> last()
  |> group()
  |> sort(columns: ["_time"])
  |> tail(n: 1)
{_at_now("float(v: r._value)")}"""


def _by_queue(query: str, function: str) -> str:
    return f"""{query}
  |> {function}()
  |> group(columns: ["queue"])
  |> mean()
  |> map(fn: (r) => ({{_time: v.timeRangeStop, queue: r.queue, _value: float(v: r._value)}}))"""


_DEPTH = _by_queue(read("queue_metrics", ["depth"], _among(MAIN_QUEUES)), "last")
_RATE = _by_queue(read("queue_metrics", ["ack_rate"], _among(MAIN_QUEUES)), "mean")
_DEAD_DEPTH = _by_queue(read("queue_metrics", ["depth"], _among(DEAD_QUEUES)), "last")
# Rises are summed, as in the monitor's findings: what somebody takes out meanwhile doesn't hide them.
_GREW = _by_queue(read("queue_metrics", ["depth"], _among(DEAD_QUEUES)), "difference(nonNegative: true)\n  |> sum")

_ATTEMPTS = read("api_calls", ["attempt"]) + "\n  |> count()"
_CALLS = f"""{_ATTEMPTS}
  |> group()
  |> sum()
{_at_now("float(v: r._value)")}"""
_FAILED = f"""{_ATTEMPTS}
  |> map(fn: (r) => ({{r with _value: if r.error == "none" then 0 else r._value}}))
  |> group()
  |> sum()
{_at_now("float(v: r._value)")}"""

ALERTS: tuple[Alert, ...] = (
    Alert(
        key="budget-warning",
        title="Budget warning",
        severity="warning",
        pending_s=MINUTE_S,
        queries={"spent": (_window_value("r.spent"), DAY_S), "cap": (_window_value("r.cap"), DAY_S)},
        formula="$spent / $cap",
        limit=0.7999,
        summary=f"{_number('spent', 2)} of {_number('cap', 2)} USD of this {{{{ .Labels.window }}}} (UTC) are spent",
        description=(
            "All agents together have spent 80 % or more of what they may in this {{ .Labels.window }} (UTC). At the "
            "limit the rules decide instead of Claude until the {{ .Labels.window }} is over."
        ),
    ),
    Alert(
        key="budget-spent",
        title="Budget spent",
        severity="critical",
        pending_s=MINUTE_S,
        queries={"part": (_WORST, DAY_S), "out": (_OUT_OF_BUDGET, DAY_S)},
        # A call that doesn't fit is not made: spend stops just short of its limit, and agents say that they are out.
        formula="($part >= 1) || ($out > 0)",
        limit=0.5,
        summary=f"The budget is spent: the rules decide for {_number('out')} agents",
        description=(
            f"The system's spend is {_number('part', 3)} of its limit, the worse of this hour and this day (UTC). "
            f"{_number('out')} agents can't pay for their next call: the rules decide for them until the hour or day "
            "is over."
        ),
    ),
    Alert(
        key="agent-silent",
        title="Agent silent",
        severity="critical",
        pending_s=MINUTE_S,
        queries={"age": (_AGE, DAY_S)},
        formula="$age + 0",
        limit=SILENT_S,
        summary=f"{{{{ .Labels.agent_id }}}} has sent no heartbeat for {_number('value')} s",
        description=(
            "{{ .Labels.agent_id }} was seen in the last 24 hours. It doesn't run any more, can't reach InfluxDB, or "
            "its clock is wrong."
        ),
    ),
    Alert(
        key="health-critical",
        title="Health critical",
        severity="critical",
        pending_s=2 * MINUTE_S,
        # The score is there for the text.
        queries={"status": (_HEALTH, ANALYSIS_S), "score": (_SCORE, DAY_S)},
        formula="$status + 0",
        limit=0.5,
        summary=(
            f"{{{{ if gt {_value('value')} 1.5 }}}}Agents are up, but the monitor gives no analysis"
            f"{{{{ else if gt {_value('value')} 0.5 }}}}The system is critical: score {_number('score')} of 100"
            "{{ else }}Grafana can't read InfluxDB: nobody sees how the system is{{ end }}"
        ),
        description="The findings stand in the monitor's journal, in its alerts and in system_health.issues.",
        error_state="Alerting",
    ),
    Alert(
        key="queue-not-draining",
        title="Queue not draining",
        severity="critical",
        pending_s=2 * MINUTE_S,
        queries={"depth": (_DEPTH, FRESH_S), "rate": (_RATE, 5 * MINUTE_S)},
        formula=f"($depth >= {WAIT_MIN_MESSAGES}) * $depth / ($rate + {NEVER_PER_S})",
        limit=WAIT_S,
        summary=(
            f"Queue {{{{ .Labels.queue }}}} holds {_number('depth')} messages and {_number('rate', 2)} a second are "
            "acknowledged"
        ),
        description=(
            "At that rate a message published now waits "
            f"{{{{ if lt {_value('rate')} 0.001 }}}}for ever{{{{ else }}}}{_number('value')} s{{{{ end }}}}: "
            "longer than its time to live, so it is likely to expire unread."
        ),
    ),
    Alert(
        key="dead-letters-growing",
        title="Dead letters growing",
        severity="warning",
        pending_s=MINUTE_S,
        queries={"grew": (_GREW, 10 * MINUTE_S), "depth": (_DEAD_DEPTH, FRESH_S)},
        formula="$grew + 0",
        limit=DEAD_LETTERS - 1,
        summary=f"{_number('value')} messages came into {{{{ .Labels.queue }}}} in 10 minutes",
        description=f"{{{{ .Labels.queue }}}} holds {_number('depth')} messages now. They wait for somebody to look.",
    ),
    Alert(
        key="api-failing",
        title="API failing",
        severity="warning",
        pending_s=2 * MINUTE_S,
        queries={"attempts": (_CALLS, 5 * MINUTE_S), "failed": (_FAILED, 5 * MINUTE_S)},
        formula=f"($attempts >= {API_MIN_ATTEMPTS}) * $failed / $attempts",
        limit=0.4999,
        summary=f"{_number('failed')} of {_number('attempts')} attempts at the Claude API failed in 5 minutes",
        description=(
            "Decisions that get no answer in time are taken by the rules. The kinds of failure are the tag `error` of "
            "api_calls."
        ),
    ),
)


def rules() -> dict[str, Any]:
    """Give the rules as Grafana provisions them from a file: one group, evaluated every `INTERVAL_S`.

    No rule alarms for want of data: no budget, queue or call is no trouble, and agents that fell silent are counted
    for 24 hours. InfluxDB out of reach would make them all alarm at once; the one on health does it for all.
    """
    group = {
        "orgId": 1,
        "name": GROUP,
        "folder": FOLDER,
        "interval": f"{INTERVAL_S}s",
        "rules": [_rule(alert) for alert in ALERTS],
    }
    return {"apiVersion": 1, "groups": [group]}


def _rule(alert: Alert) -> dict[str, Any]:
    data: list[dict[str, Any]] = []
    for name, (flux, seconds) in alert.queries.items():
        data.append(_query(name, flux, seconds))
        data.append(
            _expression(name, type="reduce", expression=f"{name}_series", reducer="last", settings={"mode": "dropNN"})
        )
    data.append(_expression("value", type="math", expression=alert.formula))
    conditions = [{"type": "query", "evaluator": {"type": "gt", "params": [alert.limit]}}]
    data.append(_expression("firing", type="threshold", expression="value", conditions=conditions))
    return {
        "uid": UID_PREFIX + alert.key,
        "title": alert.title,
        "condition": "firing",
        "data": data,
        "for": f"{alert.pending_s}s",
        "noDataState": "OK",
        "execErrState": alert.error_state,
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{RUNBOOK}#{alert.key}",
        },
        "labels": {"severity": alert.severity, "reasond": "true"},
    }


def _query(name: str, flux: str, seconds: int) -> dict[str, Any]:
    ref = f"{name}_series"
    return {
        "refId": ref,
        "datasourceUid": DATA_SOURCE.uid,
        "relativeTimeRange": {"from": seconds, "to": 0},
        "model": {"refId": ref, "datasource": DATA_SOURCE, "query": flux, "intervalMs": 1000, "maxDataPoints": 100},
    }


def _expression(name: str, **model: Any) -> dict[str, Any]:
    source = {"type": "__expr__", "uid": "__expr__"}
    return {
        "refId": name,
        "datasourceUid": "__expr__",
        "relativeTimeRange": {"from": 0, "to": 0},
        "model": {"refId": name, "datasource": source, **model},
    }
