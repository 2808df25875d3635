"""Whether it helped: what became of the decisions, of the anomalies and of the response time."""

from collections.abc import Sequence

from ..flux import ACTION, AGENT, PICK, RATES, counted, either, gapped, indented, lines, newest, read, totals, windows
from ..look import TABLE_ROWS
from . import Signal

BEFORE = ("queue_depth_fictional", "queue_depth_nonfictional", "queue_depth_priority")
AFTER = tuple(f"{field}_after" for field in BEFORE)
_INTENDED = """intended = (action) =>
    if action == "slow_down" or action == "pause" then "fewer waiting"
    else if action == "speed_up" then "more published, no harm"
    else "no more waiting"
"""
# A missing depth of one queue (`priority` isn't always sampled) counts as none; all missing is unknown: null, which
# only a column can give. An empty text in its place came out as null or as another row's text (Flux 0.194).
_DEPTH = """depth = (a, b, c) => (if exists a then a else 0) + (if exists b then b else 0) + (if exists c then c else 0)
known = (a, b, c) => exists a or exists b or exists c
"""


def _sum_of(function: str, fields: tuple[str, ...]) -> str:
    return f"{function}({', '.join(f'{name}: r.{field}' for name, field in zip('abc', fields, strict=True))})"


# All actions are most of all `continue`, which moves nothing; who names an action gets that one. Two queries, as
# storage itself filters by what stands in them only.
_MOVES = " or ".join(f'r.action == "{action}"' for action in ("slow_down", "speed_up", "pause"))
_CHOSEN = 'named = "${action:regex}" != ".*"\n'


def _decided(name: str, fields: Sequence[str], start: str = "v.timeRangeStart") -> str:
    """Give the assignment of `name` to rate decisions: of the actions chosen, or else those that move something."""
    chosen, moves = (
        indented(read("agent_reasoning", fields, RATES, AGENT, actions, start=start)) for actions in (ACTION, _MOVES)
    )
    return f"{name} = if named then\n{chosen}\nelse\n{moves}\n"


# Of a month's decisions the table shows the newest: one field tells from when on the others need to be read.
_NEWEST = f"""{_decided("newer", ["decision_id"])}oldest = newer
{newest(TABLE_ROWS, ["_time"])}
  |> tail(n: 1)
  |> findRecord(fn: (key) => true, idx: 0)
begin = if exists oldest._time then oldest._time else v.timeRangeStart
"""


COMPARED = Signal(
    "decisions compared",
    "none",
    f"the newest {TABLE_ROWS} rate decisions that were to move something (slow_down, speed_up, pause; others by the "
    "board's variable Action): messages waiting before and one period after, what was intended, and whether it came "
    "about",
    _CHOSEN
    + _INTENDED
    + _DEPTH
    + _NEWEST
    + _decided(
        "recent",
        [
            "decision_id",
            *BEFORE,
            *AFTER,
            "drain_time_s",
            "drain_time_s_after",
            "outcome_success",
            "outcome_missing",
            "acted",
        ],
        start="begin",
    )
    + f"""recent
  |> drop(columns: ["_start", "_stop", "_measurement"])
  |> pivot(rowKey: ["_time", "agent_id", "action"], columnKey: ["_field"], valueColumn: "_value")
  |> group()
  |> filter(fn: (r) => exists r.decision_id)
  |> sort(columns: ["_time"], desc: true)
  |> limit(n: {TABLE_ROWS})
  |> map(fn: (r) => ({{
    time: r._time,
    agent_id: r.agent_id,
    action: r.action,
    intended: intended(action: r.action),
    before: {_sum_of("depth", BEFORE)},
    after: if {_sum_of("known", AFTER)} then {_sum_of("depth", AFTER)} else r.{AFTER[0]},
    change: if {_sum_of("known", AFTER)} then {_sum_of("depth", AFTER)} - {_sum_of("depth", BEFORE)} else r.{AFTER[0]},
    drain_before_s: r.drain_time_s,
    drain_after_s: r.drain_time_s_after,
    acted: if exists r.acted and not r.acted then "in shadow" else "yes",
    helped: if exists r.outcome_success then (if r.outcome_success then "yes" else "no")
      else if not exists r.outcome_missing then "not judged yet"
      else if r.outcome_missing == "nothing_to_move" then "nothing to move" else r.outcome_missing,
  }}))""",
)

_JUDGED = (
    read("agent_reasoning", ["outcome_score", "acted"], RATES, AGENT, ACTION)
    + """
  |> toFloat()
  |> drop(columns: ["_start", "_stop", "_measurement"])
  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
  |> filter(fn: (r) => exists r.outcome_score)
  |> map(fn: (r) => ({r with _value: r.outcome_score,
    acted: if exists r.acted and r.acted == 0.0 then "false" else "true"}))
  |> group(columns: ["action", "acted"])"""
)
_JUDGED_LONG = read("outcomes_5m", ["outcomes", "succeeded"], 'r.agent_type == "publisher"', AGENT, ACTION)
SUCCESS = Signal(
    "success by action",
    "percent",
    "the share of judged rate decisions that did what they intended, when acted on, in shadow, and the difference",
    'import "math"\n'
    + either(
        f"""{_JUDGED}
  |> reduce(identity: {{outcomes: 0.0, succeeded: 0.0}}, fn: (r, accumulator) => ({{
    outcomes: accumulator.outcomes + 1.0, succeeded: accumulator.succeeded + r._value}}))
  |> group()""",
        f"""{_JUDGED_LONG}
  |> sum()
  |> toFloat()
  |> group(columns: ["action", "acted", "_field"])
  |> sum()
  |> group(columns: ["action", "acted"])
  |> pivot(rowKey: ["action", "acted"], columnKey: ["_field"], valueColumn: "_value")
  |> group()""",
    )
    + """share = (r, acted) => if r.acted == acted and r.outcomes > 0.0 then 100.0 * r.succeeded / r.outcomes else 0.0
count = (r, acted) => if r.acted == acted then int(v: r.outcomes) else 0
data
  |> group(columns: ["action"])
  |> reduce(identity: {judged: 0, judged_shadow: 0, acted: 0.0, shadow: 0.0}, fn: (r, accumulator) => ({
    judged: accumulator.judged + count(r: r, acted: "true"),
    judged_shadow: accumulator.judged_shadow + count(r: r, acted: "false"),
    acted: accumulator.acted + share(r: r, acted: "true"),
    shadow: accumulator.shadow + share(r: r, acted: "false"),
  }))
  |> group()
  |> map(fn: (r) => ({action: r.action, judged: r.judged, judged_shadow: r.judged_shadow,
    acted: if r.judged > 0 then string(v: int(v: r.acted + 0.5)) + " %" else "none judged",
    shadow: if r.judged_shadow > 0 then string(v: int(v: r.shadow + 0.5)) + " %" else "none judged",
    difference: if r.judged > 0 and r.judged_shadow > 0
      then string(v: int(v: math.round(x: r.acted - r.shadow))) + " points"
      else "unknown"}))""",
)
SUCCESS_OVER_TIME = Signal(
    "${__field.labels.action}",
    "percentunit",
    "the share of judged rate decisions, acted on, that did what they intended, by action",
    either(
        f"""{_JUDGED}
  |> filter(fn: (r) => r.acted == "true")
{windows("mean")}
  |> keep(columns: ["_time", "_value", "action"])
  |> group(columns: ["action"])""",
        f"""{_JUDGED_LONG}
  |> filter(fn: (r) => r.acted == "true")
  |> toFloat()
{windows("sum")}
  |> group(columns: ["action", "_field"])
{windows("sum")}
  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
  |> filter(fn: (r) => r.outcomes > 0.0)
  |> map(fn: (r) => ({{_time: r._time, action: r.action, _value: r.succeeded / r.outcomes}}))""",
    )
    + f"data\n{gapped('action')}",
)

INJECTED = Signal(
    "injected",
    "short",
    "anomalies that the generator put into messages on purpose: the ground truth",
    lines(
        counted(read("injected_anomalies", ["message_id"]), read("injected_anomalies_5m", ["injected"]), [], empty=True)
    ),
)
FLAGGED = Signal(
    "flagged by ${__field.labels.by}",
    "short",
    "messages flagged as anomalies, by a brain (ai) or by a plausibility check (check)",
    lines(counted(read("flags", ["message_id"]), read("flags_5m", ["flagged"]), ["by"], empty=True)),
)
REJECTED = Signal(
    "rejected",
    "short",
    "messages set aside as malformed, or because their handler failed for good",
    lines(f"{PICK}{read('rejections', ['message_id'])}\n{windows('count', empty=True)}\n{totals([], empty=True)}"),
)


def _matched(measurement: str, tag: str, others: str, start: str, stop: str, *, whole: str, part: str) -> str:
    """Give the assignment of `data`: by `tag`, how many points the range has (`whole`), and `others` have too (`part`).

    The others are looked for beyond the range as well: a flag follows its message within the hour.
    """
    both = f"""import "date"
ours = {read(measurement, ["message_id"])}
  |> keep(columns: ["_value", "{tag}"])
  |> group()
others = {read(others, ["message_id"], start=start, stop=stop)}
  |> keep(columns: ["_value"])
  |> group()
  |> unique()
hits = join(tables: {{ours: ours, others: others}}, on: ["_value"])
named = (tables=<-, name) => tables
  |> group(columns: ["{tag}"])
  |> count()
  |> map(fn: (r) => ({{{tag}: r.{tag}, name: name, _value: float(v: r._value)}}))
"""
    raw = f"""union(tables: [
    ours |> named(name: "{whole}"),
    hits |> named(name: "{part}"),
  ])"""
    rolled = f"""{read(f"{measurement}_5m", [whole, part])}
  |> sum()
  |> map(fn: (r) => ({{{tag}: r.{tag}, name: r._field, _value: float(v: r._value)}}))"""
    return both + either(raw, rolled)


_EARLIER = ("date.sub(from: v.timeRangeStart, d: 1h)", "date.add(to: v.timeRangeStop, d: 5m)")
_LATER = ("date.sub(from: v.timeRangeStart, d: 5m)", "date.add(to: v.timeRangeStop, d: 1h)")

PRECISION = Signal(
    "precision, ${__field.labels.by}",
    "percentunit",
    "the part of the flagged messages that really were injected anomalies, by who flagged; nothing where none was "
    "injected",
    _matched("flags", "by", "injected_anomalies", *_EARLIER, whole="flagged", part="right")
    + f"""truth = (if long then
{indented(read("injected_anomalies_5m", ["injected"]))}
    |> group()
    |> sum()
else
  others
    |> count()
) |> findRecord(fn: (key) => true, idx: 0)
known = exists truth._value and truth._value > 0
data
  |> filter(fn: (r) => known)
  |> group(columns: ["by"])
  |> pivot(rowKey: ["by"], columnKey: ["name"], valueColumn: "_value")
  |> map(fn: (r) => ({{
    _time: v.timeRangeStop, by: r.by, _value: (if exists r.right then r.right else 0.0) / r.flagged}}))
  |> group(columns: ["by"])""",
)
KINDS = Signal(
    "anomalies by kind",
    "none",
    "injected anomalies by kind, how many of them somebody flagged, and that part (recall)",
    _matched("injected_anomalies", "kind", "flags", *_LATER, whole="injected", part="found")
    + """data
  |> group(columns: ["kind"])
  |> pivot(rowKey: ["kind"], columnKey: ["name"], valueColumn: "_value")
  |> group()
  |> map(fn: (r) => {
    found = if exists r.found then r.found else 0.0
    return {kind: r.kind, injected: int(v: r.injected), found: int(v: found), recall: found / r.injected}
  })
  |> sort(columns: ["recall"])""",
)
RECALL = Signal(
    "recall",
    "percentunit",
    "the part of the injected anomalies that somebody flagged",
    KINDS.flux
    + """
  |> reduce(identity: {injected: 0, found: 0}, fn: (r, accumulator) => ({
    injected: accumulator.injected + r.injected, found: accumulator.found + r.found}))
  |> filter(fn: (r) => r.injected > 0)
  |> map(fn: (r) => ({_time: v.timeRangeStop, _value: float(v: r.found) / float(v: r.injected)}))""",
)

# The raw form follows what the 5-minute series keep (reasond.downsampling): whole windows of 30 s around a decision.
_PERIODS = """import "date"
import "join"
quantile95 = (column, tables=<-) => tables |> quantile(q: 0.95, column: column)
p95 = (tables=<-) => tables
  |> group()
  |> aggregateWindow(every: 30s, fn: quantile95, timeSrc: "_start", createEmpty: false)
  |> keep(columns: ["_time", "_value"])
"""
RESPONSES = Signal(
    "response time",
    "ms",
    "95th percentile of handling and of end-to-end time, in the last whole 30 s before a rate decision and the first "
    "after it; the mean over the decisions, by action",
    _PERIODS
    + f"""handling = {read("consumer_metrics", ["processing_duration_ms"])} |> p95()
ages = {read("consumer_metrics", ["age_ms"])} |> p95()
"""
    + either(
        read("agent_reasoning", ["decision_id", "acted"], RATES, "r.brain !~ /^(operator|experiment)$/", AGENT, ACTION)
        + """
  |> drop(columns: ["_start", "_stop", "_measurement"])
  |> pivot(rowKey: ["_time", "agent_id", "action"], columnKey: ["_field"], valueColumn: "_value")
  |> group()
  |> filter(fn: (r) => exists r.decision_id and (not exists r.acted or r.acted))
  |> map(fn: (r) => {
    at = date.truncate(t: r._time, unit: 30s)
    return {action: r.action, before: date.sub(from: at, d: 30s), after: date.add(to: at, d: 30s)}
  })
  |> join.inner(right: handling, on: (l, r) => l.before == r._time, as: (l, r) => ({l with h0: r._value}))
  |> join.inner(right: handling, on: (l, r) => l.after == r._time, as: (l, r) => ({l with h1: r._value}))
  |> join.inner(right: ages, on: (l, r) => l.before == r._time, as: (l, r) => ({l with a0: r._value}))
  |> join.inner(right: ages, on: (l, r) => l.after == r._time, as: (l, r) => ({l with a1: r._value}))
  |> map(fn: (r) => ({action: r.action, decisions: 1.0, processing_ms_before: r.h0, processing_ms_after: r.h1,
    age_ms_before: r.a0, age_ms_after: r.a1}))""",
        read(
            "decision_responses_5m",
            ["decisions", "processing_ms_before", "processing_ms_after", "age_ms_before", "age_ms_after"],
            AGENT,
            ACTION,
        )
        + """
  |> sum()
  |> toFloat()
  |> group(columns: ["action", "_field"])
  |> sum()
  |> pivot(rowKey: ["action"], columnKey: ["_field"], valueColumn: "_value")""",
    )
    + """data
  |> group(columns: ["action"])
  |> reduce(identity: {n: 0.0, h0: 0.0, h1: 0.0, a0: 0.0, a1: 0.0}, fn: (r, accumulator) => ({
    n: accumulator.n + r.decisions,
    h0: accumulator.h0 + r.processing_ms_before, h1: accumulator.h1 + r.processing_ms_after,
    a0: accumulator.a0 + r.age_ms_before, a1: accumulator.a1 + r.age_ms_after}))
  |> group()
  |> map(fn: (r) => ({action: r.action, decisions: int(v: r.n),
    handling_before: r.h0 / r.n, handling_after: r.h1 / r.n, age_before: r.a0 / r.n, age_after: r.a1 / r.n}))""",
)

# A block is an hour of the clock; it belongs to whoever took most of its rate decisions.
BLOCKS = Signal(
    "hours by who decided",
    "none",
    "hours of the range by who took most of their rate decisions: time to drain, expiry, spend, success",
    f"""import "math"
hourly = (tables=<-, fn) => tables
  |> aggregateWindow(every: 1h, fn: fn, timeSrc: "_start", createEmpty: false)
named = (tables=<-, name) => tables
  |> map(fn: (r) => ({{_time: r._time, name: name, _value: float(v: r._value)}}))
deciders = {read("agent_reasoning_5m", ["decisions"], RATES)}
  |> hourly(fn: sum)
  |> group(columns: ["brain"])
  |> hourly(fn: sum)
  |> group()
  // The first of an hour's rows is who took most; a table an hour would take ten times as long.
  |> sort(columns: ["_value"], desc: true)
  |> unique(column: "_time")
  |> keep(columns: ["_time", "brain"])
drain = {read("system_health", ["drain_time_s"])}
  |> hourly(fn: mean)
  |> named(name: "drain_s")
expired = {read("system_health", ["expired"])}
  |> hourly(fn: mean)
  |> named(name: "expired")
spend = {read("agent_reasoning_5m", ["cost_usd"])}
  |> hourly(fn: sum)
  |> group()
  |> hourly(fn: sum)
  |> named(name: "usd")
succeeded = {read("outcomes_5m", ["succeeded"], 'r.agent_type == "publisher"', 'r.acted == "true"')}
  |> hourly(fn: sum)
  |> group()
  |> hourly(fn: sum)
  |> named(name: "helped")
figures = union(tables: [drain, expired, spend, succeeded])
  |> group()
  |> pivot(rowKey: ["_time"], columnKey: ["name"], valueColumn: "_value")
number = (x) => if exists x then x else 0.0
join(tables: {{d: deciders, f: figures}}, on: ["_time"])
  |> group(columns: ["brain"])
  |> reduce(identity: {{hours: 0, drain: 0.0, expired: 0.0, usd: 0.0, helped: 0.0}}, fn: (r, accumulator) => ({{
    hours: accumulator.hours + 1, drain: accumulator.drain + number(x: r.drain_s),
    expired: accumulator.expired + number(x: r.expired), usd: accumulator.usd + number(x: r.usd),
    helped: accumulator.helped + number(x: r.helped)}}))
  |> group()
  |> map(fn: (r) => ({{decided_by: r.brain, hours: r.hours, drain_s: r.drain / float(v: r.hours),
    expired_per_window: r.expired / float(v: r.hours), usd_per_hour: r.usd / float(v: r.hours),
    helped_per_hour: r.helped / float(v: r.hours),
    usd_per_improvement: if r.helped > 0.0
      then string(v: math.round(x: 100000.0 * r.usd / r.helped) / 100000.0) else "none helped"}}))""",
)

EXPERIMENT = Signal(
    "experiment by blocks",
    "none",
    "how each experiment of the range stood at its last look: per measure both means, the difference, its 95 % "
    "interval, p, and what can be said",
    f"""named = (measure) =>
    if measure == "depth" then "messages waiting"
    else if measure == "expired" then "expired a minute"
    else "$ a minute"
{
        read(
            "experiment",
            [
                "treatment",
                "control",
                "pairs",
                "pairs_missing",
                "treated_mean",
                "control_mean",
                "difference",
                "interval_low",
                "interval_high",
                "p",
                "verdict",
            ],
        )
    }
  |> drop(columns: ["_start", "_stop", "_measurement"])
  |> pivot(rowKey: ["_time", "agent_id", "plan", "measure"], columnKey: ["_field"], valueColumn: "_value")
  |> group(columns: ["plan", "measure"])
  |> sort(columns: ["_time"])
  // Whole rows: with too little data a row has no interval, and must not borrow an older one's.
  |> tail(n: 1)
  |> group()
  |> sort(columns: ["_time"], desc: true)
  |> limit(n: {TABLE_ROWS})
  |> map(fn: (r) => ({{r with figure: named(measure: r.measure), said: if r.pairs_missing > 0
    then r.verdict + ": " + string(v: r.pairs_missing) + " more pairs" else r.verdict}}))
  |> keep(columns: ["plan", "figure", "treated_mean", "control_mean", "difference", "interval_low", "interval_high",
    "p", "pairs", "said"])""",
)
