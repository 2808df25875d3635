"""Curves thinned to what a page can show, with their gaps kept.

A 24 h page must stay light, and no screen has more columns than a few thousand.
"""

import bisect
from typing import Callable, List, Optional, Sequence, Tuple

from reasond.report.data import Line

MAX_POINTS = 1400
"""Of one curve on a page with one chart: more than the chart has columns of pixels."""
LEAST_POINTS = 240

DEPTH, DEAD, RATE = "Depth of the queues, messages", "Dead-letter queues, messages", "Messages a minute"
"""The graphs of both kinds of report."""
ALL_QUEUES, SET_RATE = "all three", "set by the publishers"
"""The lines that publishers' decisions are marked on."""

Value = Optional[float]
Pick = Callable[[Sequence[float]], float]


def points_for(charts: int) -> int:
    """Give how many points a curve may have on a page with so many charts."""
    return max(LEAST_POINTS, MAX_POINTS // max(1, charts // 2))


def thinned(line: Line, count: int, pick: Pick = max) -> Line:
    """Give the line with at most `count` points: of neighbours the one that `pick` chooses among their values.

    A peak is what one looks for in a depth, hence `max`; of a step the last one counts.
    """
    size = -(-len(line.times_ns) // count)
    if size <= 1:
        return line
    times: List[int] = []
    values: List[Value] = []
    for at in range(0, len(line.times_ns), size):
        known = [value for value in line.values[at : at + size] if value is not None]
        times.append(line.times_ns[at])
        values.append(pick(known) if known else None)
    return Line(line.name, tuple(times), tuple(values), line.step, line.faint)


def last(values: Sequence[float]) -> float:
    """Give the last of the values."""
    return values[-1]


def with_gaps(times_ns: Sequence[int], values: Sequence[float], longest_ns: int) -> Tuple[List[int], List[Value]]:
    """Give points with a None wherever the next one is further away than `longest_ns`."""
    times: List[int] = []
    found: List[Value] = []
    for at, value in zip(times_ns, values):
        if times and at - times[-1] > longest_ns:
            times.append(times[-1] + 1)
            found.append(None)
        times.append(at)
        found.append(value)
    return times, found


def value_at(line: Line, time_ns: int) -> Value:
    """Give a line's height at a time: that of its last point by then, of the first one before it begins."""
    if not line.times_ns:
        return None
    at = max(0, bisect.bisect_right(line.times_ns, time_ns) - 1)
    if line.step or at + 1 == len(line.times_ns) or time_ns <= line.times_ns[at]:
        return line.values[at]
    return _between(line, at, time_ns)


def _between(line: Line, at: int, time_ns: int) -> Value:
    """Give the height on the straight way from one point to the next."""
    first, second = line.values[at], line.values[at + 1]
    if first is None or second is None:
        return first
    part = (time_ns - line.times_ns[at]) / (line.times_ns[at + 1] - line.times_ns[at])
    return first + part * (second - first)
