"""What the decisions cost: tokens, dollars, and how much of the budget is left."""

from ..flux import AGENT, LONG_HOURS, PICK, bars, either, read, totals, windows
from . import Signal

TOKENS = ("input_tokens", "output_tokens")
# Hours, and on long ranges several of them to a bar, whose height stays "an hour".
_HOURS = f"""import "date"
wanted = int(v: v.windowPeriod)
every = duration(v: if wanted < int(v: 1h) then int(v: 1h) else wanted)
begin = date.truncate(t: v.timeRangeStart, unit: every)
hours = float(v: int(v: every)) / 3600000000000.0
long = int(v: v.timeRangeStop) - int(v: v.timeRangeStart) > int(v: {LONG_HOURS}h)
"""
_PRICED = (
    '(if r._field == "input_tokens" then float(v: r._value) * float(v: ${price_in})'
    " else float(v: r._value) * float(v: ${price_out})) / 1000000.0"
)
_RUNNING = f"{totals([])}\n  |> cumulativeSum()"


def _either(fields: tuple[str, ...], steps: str, start: str = "v.timeRangeStart") -> str:
    raw, rolled = (read(name, fields, AGENT, start=start) for name in ("agent_reasoning", "agent_reasoning_5m"))
    return either(f"{raw}\n{steps}", f"{rolled}\n{steps}")


TOKENS_BY_AGENT = Signal(
    "${__field.labels.agent_id}",
    "short",
    "tokens of the decisions, input and output together, by agent",
    bars(_either(("tokens_used",), windows("sum")) + "data\n" + totals(["agent_id"])),
)
TOKENS_PER_HOUR = Signal(
    "${__field.labels.agent_id}",
    "short",
    "tokens of each hour of the clock, input and output together, by agent, the whole hour also where the range begins "
    "within it; the last bar is the hour that runs, so far; over long ranges a bar is the mean hour of several",
    _either(("tokens_used",), windows("sum"), start="begin").replace(PICK, _HOURS, 1)
    + "data\n"
    + totals(["agent_id"])
    # A bar that began before the range would be drawn outside of it, or not at all.
    + """
  |> map(fn: (r) => ({r with
    _time: if int(v: r._time) < int(v: v.timeRangeStart) then v.timeRangeStart else r._time,
    _value: float(v: r._value) / hours}))""",
)

SPENT = Signal(
    "spent, at each model's own price",
    "currencyUSD",
    "dollars of the decisions so far in the range: cost_usd of each, the model's price that answered",
    _either(("cost_usd",), windows("sum")) + f"data\n{_RUNNING}",
)
ESTIMATED = Signal(
    "estimated at $${price_in} and $${price_out} a million",
    "currencyUSD",
    "dollars for the same tokens at the prices of the board's variables, input and output",
    _either(TOKENS, windows("sum")) + f"data\n  |> map(fn: (r) => ({{r with _value: {_PRICED}}}))\n{_RUNNING}",
)
WOULD_HAVE = Signal(
    "what the dry run would have cost",
    "currencyUSD",
    "dollars that dry-run decisions would have cost so far in the range: would_cost_usd",
    _either(("would_cost_usd",), windows("sum")) + f"data\n{_RUNNING}",
)

BY_AGENT = Signal(
    "cost by agent",
    "none",
    "decisions of the range, their tokens, what they cost and what the estimate says, by agent",
    either(
        f"""union(tables: [
  {read("agent_reasoning", ["decision_id"], AGENT)}
    |> count()
    |> map(fn: (r) => ({{agent_id: r.agent_id, name: "decisions", _value: float(v: r._value)}})),
  {read("agent_reasoning", [*TOKENS, "cost_usd"], AGENT)}
    |> sum()
    |> map(fn: (r) => ({{agent_id: r.agent_id, name: r._field, _value: float(v: r._value)}})),
])""",
        f"""{read("agent_reasoning_5m", ["decisions", *TOKENS, "cost_usd"], AGENT)}
  |> sum()
  |> map(fn: (r) => ({{agent_id: r.agent_id, name: r._field, _value: float(v: r._value)}}))""",
    )
    + """data
  |> group(columns: ["agent_id", "name"])
  |> sum()
  |> group()
  |> pivot(rowKey: ["agent_id"], columnKey: ["name"], valueColumn: "_value")
  |> map(fn: (r) => ({agent_id: r.agent_id, decisions: int(v: r.decisions), input_tokens: int(v: r.input_tokens),
    output_tokens: int(v: r.output_tokens), cost_usd: r.cost_usd, usd_per_decision: r.cost_usd / r.decisions,
    estimated_usd: (r.input_tokens * float(v: ${price_in}) + r.output_tokens * float(v: ${price_out})) / 1000000.0}))
  |> sort(columns: ["agent_id"])""",
)

# As reasond.flux.SYSTEM_SPEND: each agent's newest figure within the hour or day (UTC) that the range ends in.
_BUDGET = """import "date"
hour = date.truncate(t: v.timeRangeStop, unit: 1h)
day = date.truncate(t: v.timeRangeStop, unit: 1d)
"""


def _spent(field: str, start: str) -> str:
    return read("budget", [field], start=start) + "\n  |> last()\n  |> group()\n  |> sum()"


def _limit(field: str) -> str:
    return read("budget", [field], start="day") + "\n  |> last()\n  |> group()\n  |> max()"


def _spent_and_limit(window: str) -> str:
    """Give the query of one row with `time`, `limit` and, where something was spent, `spent`."""
    spent, limit = f"spent_{window}_usd", f"limit_{window}_usd"
    return f"""{_BUDGET}limit = {_limit(limit)}
  |> map(fn: (r) => ({{name: "limit", _value: r._value}}))
spent = {_spent(spent, window)}
  |> map(fn: (r) => ({{name: "spent", _value: r._value}}))
union(tables: [limit, spent])
  |> group()
  |> map(fn: (r) => ({{time: v.timeRangeStop, name: r.name, _value: r._value}}))
  |> pivot(rowKey: ["time"], columnKey: ["name"], valueColumn: "_value")"""


def _left(window: str) -> str:
    return f"""{_spent_and_limit(window)}
  |> map(fn: (r) => ({{_time: r.time, _value: r.limit - (if exists r.spent then r.spent else 0.0)}}))"""


LEFT_HOUR = Signal(
    "left this hour", "currencyUSD", "dollars of the hour's limit (UTC) that nobody has spent yet", _left("hour")
)
LEFT_DAY = Signal(
    "left today", "currencyUSD", "dollars of the day's limit (UTC) that nobody has spent yet", _left("day")
)
PROJECTED = Signal(
    "projected for today",
    "currencyUSD",
    "dollars that the day (UTC) will have cost if it goes on as it did so far, and their part of the day's limit that "
    "the agents report (BUDGET_USD_PER_DAY)",
    _spent_and_limit("day")
    + """
  |> filter(fn: (r) => exists r.spent)
  |> map(fn: (r) => {
    gone = float(v: int(v: v.timeRangeStop) - int(v: day)) / float(v: int(v: 1d))
    projected = if gone > 0.0 then r.spent / gone else 0.0
    return {_time: r.time, projected: projected, of_limit: if r.limit > 0.0 then projected / r.limit else 0.0}
  })""",
)
