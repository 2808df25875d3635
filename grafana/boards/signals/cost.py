"""What the decisions cost: tokens, dollars, and how much of the budget is left."""

from ..flux import AGENT, LONG_HOURS, PICK, either, read, totals, windows
from . import Signal

TOKENS = ("input_tokens", "output_tokens")
# Hours, and on long ranges several of them to a bar, whose height stays "an hour".
_HOURS = f"""wanted = int(v: v.windowPeriod)
every = duration(v: if wanted < int(v: 1h) then int(v: 1h) else wanted)
hours = float(v: int(v: every)) / 3600000000000.0
long = int(v: v.timeRangeStop) - int(v: v.timeRangeStart) > int(v: {LONG_HOURS}h)
"""
_PRICED = (
    '(if r._field == "input_tokens" then float(v: r._value) * float(v: ${price_in})'
    " else float(v: r._value) * float(v: ${price_out})) / 1000000.0"
)
_RUNNING = f"{totals([])}\n  |> cumulativeSum()"


def _either(fields: tuple[str, ...], steps: str) -> str:
    return either(
        f"{read('agent_reasoning', fields, AGENT)}\n{steps}", f"{read('agent_reasoning_5m', fields, AGENT)}\n{steps}"
    )


TOKENS_BY_AGENT = Signal(
    "${__field.labels.agent_id}",
    "short",
    "tokens of the decisions, input and output together, by agent",
    _either(("tokens_used",), windows("sum")) + "data\n" + totals(["agent_id"]),
)
TOKENS_PER_HOUR = Signal(
    "${__field.labels.agent_id}",
    "short",
    "tokens an hour, input and output together, by agent; the hour that runs is counted so far",
    _either(("tokens_used",), windows("sum")).replace(PICK, _HOURS, 1)
    + "data\n"
    + totals(["agent_id"])
    + "\n  |> map(fn: (r) => ({r with _value: float(v: r._value) / hours}))",
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


def _left(window: str) -> str:
    spent, limit = f"spent_{window}_usd", f"limit_{window}_usd"
    both = f"""limit = {_limit(limit)}
  |> map(fn: (r) => ({{name: "limit", _value: r._value}}))
spent = {_spent(spent, window)}
  |> map(fn: (r) => ({{name: "spent", _value: r._value}}))
union(tables: [limit, spent])
  |> group()
  |> map(fn: (r) => ({{time: v.timeRangeStop, name: r.name, _value: r._value}}))
  |> pivot(rowKey: ["time"], columnKey: ["name"], valueColumn: "_value")
  |> map(fn: (r) => ({{_time: r.time, _value: r.limit - (if exists r.spent then r.spent else 0.0)}}))"""
    return _BUDGET + both


LEFT_HOUR = Signal(
    "left this hour", "currencyUSD", "dollars of the hour's limit (UTC) that nobody has spent yet", _left("hour")
)
LEFT_DAY = Signal(
    "left today", "currencyUSD", "dollars of the day's limit (UTC) that nobody has spent yet", _left("day")
)
PROJECTED = Signal(
    "projected for today",
    "currencyUSD",
    "dollars that the day (UTC) will have cost if it goes on as it did so far",
    _BUDGET
    + _spent("spent_day_usd", "day")
    + """
  |> map(fn: (r) => {
    gone = float(v: int(v: v.timeRangeStop) - int(v: day)) / float(v: int(v: 1d))
    return {_time: v.timeRangeStop, _value: if gone > 0.0 then r._value / gone else 0.0}
  })""",
)
