"""Pieces of Flux that the signals are put together from; every name in them is checked against the package.

A query reads raw points over short ranges and the 5-minute series that an InfluxDB task keeps
(`reasond.downsampling`) over long ones: `LONG_HOURS` is where it changes over. Windows are named by their start.
"""

import re
from collections.abc import Sequence

from reasond.downsampling import DOWNSAMPLED
from reasond.points import MEASUREMENTS, Measurement

LONG_HOURS = 3
"""Beyond it the 5-minute series are read: raw points of a day take seconds to gather."""

DECLARED: dict[str, Measurement] = {**MEASUREMENTS, **DOWNSAMPLED}

# Grafana puts times and durations in for v.*; a window shorter than the series' own would leave gaps.
PICK = f"""long = int(v: v.timeRangeStop) - int(v: v.timeRangeStart) > int(v: {LONG_HOURS}h)
wanted = int(v: v.windowPeriod)
every = duration(v: if long and wanted < int(v: 5m) then int(v: 5m) else wanted)
"""
MINUTES = "minutes = float(v: int(v: every)) / 60000000000.0\n"
TOTALS = (
    '  |> group(columns: [{by}])\n  |> aggregateWindow(every: every, fn: sum, timeSrc: "_start", createEmpty: {empty})'
)
# The first and the last window are cut off by the range: both would look like a fall.
WHOLE = (
    "  |> filter(fn: (r) => int(v: r._time) % int(v: every) == 0"
    " and int(v: r._time) + int(v: every) <= int(v: v.timeRangeStop))"
)

AGENT = "r.agent_id =~ /^${agent:regex}$/"
QUEUE = "r.queue =~ /^${queue:regex}$/"
ROUTED = "r.routing_key =~ /^${queue:regex}$/"
ACTION = "r.action =~ /^${action:regex}$/"
MAIN, DEAD_LETTERS = "r.queue !~ /^books[.]/", "r.queue =~ /^books[.]/"
"""`books.` begins the names of the dead-letter queues only (reasond.topology)."""
RATES = 'r.decision_type == "rate_adjustment"'
"""Conditions that the boards' variables, and nothing else, make."""


def read(
    measurement: str,
    fields: Sequence[str],
    *conditions: str,
    start: str = "v.timeRangeStart",
    stop: str = "v.timeRangeStop",
) -> str:
    """Give a query of the board's range, or another, for fields of a measurement, under conditions on tags.

    Raises KeyError for a measurement, field or tag that the package doesn't declare.
    """
    declared = DECLARED[measurement]
    named = set(re.findall(r"\br\.([a-z]\w*)", " ".join(conditions)))
    unknown = (named - set(declared.tags)) | (set(fields) - set(declared.fields))
    if unknown:
        raise KeyError(f"{measurement} has no {', '.join(sorted(unknown))}")
    wanted = " or ".join(f'r._field == "{field}"' for field in fields)
    if len(fields) > 1:
        wanted = f"({wanted})"
    lines = [
        "from(bucket: v.defaultBucket)",
        f"  |> range(start: {start}, stop: {stop})",
        f'  |> filter(fn: (r) => r._measurement == "{measurement}" and {wanted})',
        *(f"  |> filter(fn: (r) => {condition})" for condition in conditions),
    ]
    return "\n".join(lines)


def windows(function: str, *, empty: bool = False) -> str:
    """Give the step that makes one value of each window; `empty` windows too, as null."""
    return f'  |> aggregateWindow(every: every, fn: {function}, timeSrc: "_start", createEmpty: {_truth(empty)})'


def either(raw: str, rolled: str, name: str = "data") -> str:
    """Give the assignment of `name` to the raw query, or over long ranges to that of the 5-minute series."""
    return f"{PICK}{name} = if long then\n{indented(rolled)}\nelse\n{indented(raw)}\n"


def totals(by: Sequence[str], *, empty: bool = False) -> str:
    """Give the steps that add up the windows of all series that agree in the tags `by`."""
    return TOTALS.format(by=", ".join(f'"{tag}"' for tag in by), empty=_truth(empty))


def newest(count: int, columns: Sequence[str]) -> str:
    """Give the steps that leave the newest `count` rows of all series, with these columns, youngest first.

    Each series is cut before anything is put together: the whole range never has to fit into memory.
    """
    kept = ", ".join(f'"{column}"' for column in columns)
    return f"""  |> tail(n: {count})
  |> keep(columns: [{kept}])
  |> group()
  |> sort(columns: ["_time"], desc: true)
  |> limit(n: {count})"""


def counted(raw: str, rolled: str, by: Sequence[str], *, empty: bool = False) -> str:
    """Give the query of how many points each window has, by tags; `rolled` is a query of counts."""
    both = either(f"{raw}\n{windows('count', empty=empty)}", f"{rolled}\n{windows('sum', empty=empty)}")
    return f"{both}data\n{totals(by, empty=empty)}"


def summed(raw: str, rolled: str, by: Sequence[str], *, empty: bool = False) -> str:
    """Give the query of each window's sum, by tags."""
    both = either(f"{raw}\n{windows('sum', empty=empty)}", f"{rolled}\n{windows('sum', empty=empty)}")
    return f"{both}data\n{totals(by, empty=empty)}"


def quantiles(raw: str, rolled: str, by: str, part: float) -> str:
    """Give the query of each window's quantile `part` by a tag; `rolled` is a query of cumulative counts by `le`.

    It is exact over raw durations, and interpolated between two bounds over counts.
    """
    exact = f"fn: (column, tables=<-) => tables |> quantile(q: {part}, column: column)"
    both = either(
        f"""{raw}
  |> group(columns: ["{by}"])
  |> aggregateWindow(every: every, {exact}, timeSrc: "_start", createEmpty: false)""",
        f"""{rolled}
{windows("sum")}
  |> group(columns: ["{by}", "le"])
{windows("sum")}
  |> map(fn: (r) => ({{_time: r._time, {by}: r.{by}, le: float(v: r.le), _value: float(v: r._value)}}))
  |> group(columns: ["{by}", "_time"])
  |> histogramQuantile(quantile: {part}, countColumn: "_value", upperBoundColumn: "le", minValue: 0.0)
  |> group(columns: ["{by}"])
  |> sort(columns: ["_time"])""",
    )
    return f"{both}data"


def bars(query: str) -> str:
    """Give a query of windows without those that the range cuts: each bar stands for a whole window."""
    return f"{query}\n{WHOLE}"


def lines(query: str) -> str:
    """Give a query of windows, empty ones included, as lines: 0 where nothing was, cut-off windows left out."""
    return f"{query}\n  |> fill(value: 0)\n{WHOLE}"


def per_minute(query: str) -> str:
    """Give a query of sums as one of rates; windows without points are 0, cut-off ones are left out."""
    rate = "  |> map(fn: (r) => ({r with _value: float(v: r._value) / minutes}))"
    return f"{lines(query.replace(PICK, PICK + MINUTES, 1))}\n{rate}"


def gapped(by: str) -> str:
    """Give the steps that make windows without a value null, by a tag: only there can a line end."""
    return (
        "  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)\n"
        f'  |> group(columns: ["{by}"])\n'
        f"{windows('mean', empty=True)}"
    )


def indented(query: str) -> str:
    """Give a query that stands within another."""
    return "\n".join(f"  {line}" for line in query.splitlines())


def _truth(value: bool) -> str:
    return "true" if value else "false"
