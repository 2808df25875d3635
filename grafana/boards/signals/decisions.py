"""What the agents decided, why, how sure they were, and how long it took them."""

from reasond.downsampling import LATENCY_FROM_MS

from ..flux import (
    ACTION,
    AGENT,
    RATES,
    bars,
    counted,
    either,
    gapped,
    newest,
    per_minute,
    quantiles,
    read,
    totals,
    windows,
)
from ..look import ACTION_COLOURS, TABLE_ROWS
from . import Signal

MARKED = 100
"""More marks than that would hide what they stand on."""
MARKED_HOURS = 12
"""Of the range's end: every decision has to be looked at for a change, and those of a day take 180 ms."""
ADJUSTED = "  |> filter(fn: (r) => r._value)"


def _decisions(by: str, *, empty: bool = False) -> str:
    return counted(
        read("agent_reasoning", ["decision_id"], AGENT, ACTION),
        read("agent_reasoning_5m", ["decisions"], AGENT, ACTION),
        [by],
        empty=empty,
    )


def _texts(field: str) -> str:
    """Give the query of the newest texts of a field, with when, who and what."""
    return f"""{read("agent_reasoning", [field], AGENT, ACTION)}
{newest(TABLE_ROWS, ["_time", "agent_id", "action", "_value"])}
  |> rename(columns: {{_time: "timestamp", _value: "{field}"}})"""


BY_ACTION = Signal(
    "${__field.labels.action}", "short", "decisions, by the action that was taken", bars(_decisions("action"))
)
BY_BRAIN = Signal("${__field.labels.brain}", "short", "decisions, by who took them", bars(_decisions("brain")))
FREQUENCY = Signal(
    "${__field.labels.agent_id}",
    "decisions/min",
    "decisions a minute, by agent",
    per_minute(_decisions("agent_id", empty=True)),
)

REASONING = Signal(
    "recent reasoning",
    "none",
    f"the newest {TABLE_ROWS} decisions: when, who, what, and the reason given",
    _texts("reasoning"),
)

CONFIDENCE = Signal(
    "${__field.labels.agent_id}",
    "percentunit",
    "how sure the agents said they were: the mean confidence of each window, by agent; rules don't say",
    either(
        read("agent_reasoning", ["confidence"], AGENT, ACTION)
        + '\n  |> group(columns: ["agent_id"])\n'
        + windows("mean"),
        read("agent_reasoning_5m", ["confidence_sum", "confidence_count"], AGENT, ACTION)
        + "\n  |> toFloat()\n"
        + windows("sum")
        + '\n  |> group(columns: ["agent_id", "_field"])\n'
        + windows("sum")
        + """
  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
  |> filter(fn: (r) => r.confidence_count > 0.0)
  |> map(fn: (r) => ({_time: r._time, agent_id: r.agent_id, _value: r.confidence_sum / r.confidence_count}))""",
    )
    + f"data\n{gapped('agent_id')}",
)


def _latency(part: float, name: str) -> Signal:
    return Signal(
        f"{name}, ${{__field.labels.agent_type}}",
        "ms",
        f"time from question to decision, {name}, by kind of agent; without what the rules decided at once",
        quantiles(
            read("agent_reasoning", ["decision_latency_ms"], AGENT)
            + f"\n  |> filter(fn: (r) => r._value >= {LATENCY_FROM_MS})",
            read("decision_latency_5m", ["decision_latency_ms"], AGENT),
            "agent_type",
            part,
        )
        + f"\n{gapped('agent_type')}",
    )


LATENCY_P50 = _latency(0.5, "median")
LATENCY_P95 = _latency(0.95, "95th percentile")

GUARDED = Signal(
    "${__field.labels.agent_id}",
    "short",
    "decisions that a guard rail changed, by agent",
    either(
        read("agent_reasoning", ["adjusted"], AGENT, ACTION) + f"\n{ADJUSTED}\n" + windows("count"),
        read("agent_reasoning_5m", ["adjusted"], AGENT, ACTION) + "\n" + windows("sum"),
    )
    + bars(f"data\n{totals(['agent_id'])}"),
)
GUARDED_TABLE = Signal(
    "adjustments",
    "none",
    f"the newest {TABLE_ROWS} adjustments: what was asked for and what the guard rail made of it",
    _texts("adjustment"),
)

FAILURES = Signal(
    "${__field.labels.error}",
    "short",
    "attempts at the Claude API that failed, by kind of failure",
    bars(
        counted(
            read("api_calls", ["attempt"], AGENT, 'r.error != "none"'),
            read("api_calls_5m", ["attempts"], AGENT, 'r.error != "none"'),
            ["error"],
        )
    ),
)

_CODES = ", ".join(f'{{key: "{action}", value: {code}}}' for code, action in enumerate(ACTION_COLOURS, 1))
MARKERS = f"""import "date"
import "dict"
codes = dict.fromList(pairs: [{_CODES}])
earliest = date.sub(d: {MARKED_HOURS}h, from: v.timeRangeStop)
begin = if int(v: v.timeRangeStart) < int(v: earliest) then earliest else v.timeRangeStart
{read("agent_reasoning", ["reasoning"], AGENT, RATES, start="begin")}
  |> keep(columns: ["_time", "_value", "agent_id", "action"])
  |> group(columns: ["agent_id"])
  |> sort(columns: ["_time", "action"])
  |> map(fn: (r) => ({{r with change: dict.get(dict: codes, key: r.action, default: 0)}}))
  |> difference(columns: ["change"])
  |> filter(fn: (r) => r.change != 0)
  |> group()
  |> sort(columns: ["_time", "agent_id", "action"], desc: true)
  |> limit(n: {MARKED})
  |> map(fn: (r) => ({{time: r._time, text: r.agent_id + " " + r.action + ": " + r._value, tags: r.action}}))"""
"""Annotation: the newest rate decisions whose action isn't that of the same agent's decision before."""
