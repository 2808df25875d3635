"""Panels' figures, asked through Grafana, are those counted in plain Python from the lines that were written.

The count shares nothing with the boards: it reads line protocol, merges points as InfluxDB does, and adds up. Ranges
of up to 3 hours read raw points, longer ones the 5-minute series.
"""

import math
import re
from collections import Counter, defaultdict
from statistics import median
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Set, Tuple

import pytest

from tests.testbed.boards import Asked, Column, Frame, all_asked
from tests.testbed.grafana import Grafana
from tests.testbed.history import HOUR_NS, HistoryStore, history

# The first test also waits for the day to be written and for both services.
pytestmark = pytest.mark.timeout(300)
COUNTED = (
    "agent_reasoning", "api_calls", "budget", "consumer_metrics", "flags", "injected_anomalies", "publisher_metrics",
    "queue_metrics", "system_health",
)  # fmt: skip
# InfluxDB manual, "Line protocol": a comma, an equals sign or a space in a key or a tag has a backslash before it.
NAME = r"((?:[^,= \\]|\\.)+)"
TAG = re.compile(f",{NAME}={NAME}")
FIELD = re.compile(f'[ ,]{NAME}=("(?:[^"\\\\]|\\\\.)*"|[^, ]+)')
HEAD = re.compile(r"(?:[^ \\]|\\.)+")
DAY_MS, HOUR_MS, MINUTE_MS = 86_400_000, 3_600_000, 60_000
# Ranges beyond this read the 5-minute series.
RAW_HOURS, SERIES_MS = 3, 5 * MINUTE_MS
# Series of 5 minutes are made of what is this old at least.
SETTLED_NS = 10 * 60 * 10**9
# So long before the last whole hour there is nothing else.
MADE_UP_MS = 48 * HOUR_MS
# And as long before that there are flags alone.
UNKNOWN_MS = 72 * HOUR_MS
# Fewer messages in each main queue need no time to speak of.
FEW = 5
MOVES = ("pause", "slow_down", "speed_up")
TABLE_ROWS, MARKS, MARKED_HOURS = 500, 100, 12
# A digest of compression 1000, Flux's default, joins two of n values only where n * sin(pi / 2000) is 2 or more: from
# n = 1274 on. Below that its median is the values' own: the one in the middle, or the mean of the two that are.
EXACT_VALUES = 1274
# The panel leaves out what the rules decide at once: as zeros it would hide how long the model takes.
AT_ONCE_MS = 1
# Sums of floats in another order.
SUMMED = 1e-9
Chosen = Mapping[str, Sequence[str]]
UNCHOSEN: Chosen = {}


class Point(NamedTuple):
    """One point as InfluxDB has it."""

    tags: Dict[str, str]
    fields: Dict[str, Any]
    time_ns: int


class Span(NamedTuple):
    """A range of so many hours that ends so long before the last whole hour."""

    hours: int
    before_ms: int = 0


class Day(NamedTuple):
    """What was written, and the last whole hour whose series are made."""

    points: Dict[str, List[Point]]
    hour_ms: int

    def range_ms(self, span: Span) -> Tuple[int, int]:
        stop_ms = self.hour_ms - span.before_ms
        return stop_ms - span.hours * HOUR_MS, stop_ms

    def of(self, measurement: str, field: str, span: Span, chosen: Chosen = UNCHOSEN) -> List[Point]:
        """Give the points of a range that have the field, and one of the chosen values of each tag."""
        return self.between(measurement, field, self.range_ms(span), chosen)

    def between(
        self, measurement: str, field: str, range_ms: Tuple[int, int], chosen: Chosen = UNCHOSEN
    ) -> List[Point]:
        """Give those of a range in ms."""
        start_ms, stop_ms = range_ms
        return [
            point
            for point in self.points[measurement]
            if start_ms * 10**6 <= point.time_ns < stop_ms * 10**6
            and field in point.fields
            and all(point.tags.get(tag) in values for tag, values in chosen.items())
        ]


def window_ms(asked: Asked, span: Span) -> int:
    """Give how long a panel's windows are over a range."""
    every_ms = asked.interval_ms(span.hours * HOUR_MS)
    return every_ms if span.hours <= RAW_HOURS else max(every_ms, SERIES_MS)


def whole_ms(day: Day, asked: Asked, span: Span) -> Tuple[int, int]:
    """Give the part of a range that begins with its first whole window and ends with its last."""
    start_ms, stop_ms = day.range_ms(span)
    every_ms = window_ms(asked, span)
    return -(-start_ms // every_ms) * every_ms, stop_ms // every_ms * every_ms


def plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def value(text: str) -> Any:
    if text.startswith('"'):
        return plain(text[1:-1])
    if text in ("true", "false"):
        return text == "true"
    return int(text[:-1]) if text.endswith("i") else float(text)


def parsed(lines: Iterable[str]) -> Dict[str, List[Point]]:
    """Give the points of the measurements counted here; fields of the same series and time make one point."""
    points: Dict[str, Dict[Tuple[str, str], Point]] = {name: {} for name in COUNTED}
    for line in lines:
        name = line[: line.index(",")]
        if name not in points:
            continue
        head = HEAD.match(line).group()
        fields, _, at = line[len(head) :].rpartition(" ")
        point = points[name].get((head, at))
        if point is None:
            tags = {plain(tag): plain(text) for tag, text in TAG.findall(head)}
            point = points[name][head, at] = Point(tags, {}, int(at))
        point.fields.update((plain(field), value(text)) for field, text in FIELD.findall(fields))
    return {name: list(found.values()) for name, found in points.items()}


def anomalies(hour_ms: int) -> List[str]:
    """Give anomalies and flags around an hour that history doesn't have: in history every flag is right.

    30 and 20 minutes before it lie between an anomaly and its flag: the borders of a range.
    """
    injected = (
        ("genre", 0, -40), ("genre", 1, -39), ("price", 2, -38), ("price", 3, -30.1), ("genre", 4, -20.1),
        ("genre", 5, -12), ("price", 6, -10),
    )  # fmt: skip
    flags = (
        ("ai", 0, -39.5), ("check", 0, -39), ("ai", 7, -35), ("ai", 8, -34), ("ai", 3, -29.9), ("check", 4, -19.9),
        ("check", 5, -11), ("check", 9, -9),
    )  # fmt: skip
    return [
        *(
            f'injected_anomalies,agent_id=p,kind={kind},queue=q message_id="made-up-{number}" {at(hour_ms, minutes)}'
            for kind, number, minutes in injected
        ),
        *(
            f'flags,agent_id=c,by={by},cause=c,queue=q message_id="made-up-{number}" {at(hour_ms, minutes)}'
            for by, number, minutes in flags
        ),
        *(
            f'flags,agent_id=c,by=ai,cause=c,queue=q message_id="unknown-{minutes}" '
            f"{at(hour_ms + MADE_UP_MS - UNKNOWN_MS, -minutes)}"
            for minutes in (40, 20)
        ),
    ]


def at(hour_ms: int, minutes: float) -> int:
    """Give a time so many minutes from an hour, ns."""
    return (hour_ms + int(minutes * MINUTE_MS)) * 10**6


@pytest.fixture(scope="module")
def day(history_store: HistoryStore) -> Day:
    hour_ms = (history_store.end_ns - HOUR_NS - SETTLED_NS) // HOUR_NS * HOUR_MS
    made_up = anomalies(hour_ms - MADE_UP_MS)
    history_store.write("\n".join(made_up))
    history_store.make_series()
    return Day(parsed([*history().lines(history_store.end_ns), *made_up]), hour_ms)


WHOLE = [pytest.param(Span(hours), id=f"{hours}h") for hours in (1, 3, 24)]
RAW = WHOLE[:2]
ANY = [*WHOLE, pytest.param(Span(1, before_ms=12_345), id="1h-off-the-minute")]
WITH_MADE_UP = [
    *WHOLE,
    *(
        pytest.param(Span(hours, MADE_UP_MS + before_ms), id=f"{name}-{hours}h")
        for hours in (1, 24)
        for name, before_ms in (
            ("false-flags", 0),
            ("injected-before-the-start", 20 * MINUTE_MS - hours * HOUR_MS),
            ("flagged-after-the-stop", 30 * MINUTE_MS),
        )
    ),
]
ASKED = {(asked.board, asked.title): asked for asked in all_asked() if asked.kind == "panel"}
DECISIONS, EFFECTS, OVERVIEW, COSTS = "ai-decisions", "agent-effectiveness", "agent-overview", "cost-performance"
PRICES = [
    pytest.param({}, 3.0, 15.0, id="specified"),
    pytest.param({"price_in": ["0.8"], "price_out": ["4.25"]}, 0.8, 4.25, id="chosen"),
]
# Values of the boards' variables, each with the tags that they choose by.
CHOSEN = [
    pytest.param({}, {}, id="all"),
    pytest.param({"agent": ["consumer-2"]}, {"agent_id": ["consumer-2"]}, id="one-agent"),
    pytest.param(
        {"agent": ["publisher-1", "publisher-3"]}, {"agent_id": ["publisher-1", "publisher-3"]}, id="two-agents"
    ),
    pytest.param({"action": ["continue"]}, {"action": ["continue"]}, id="one-action"),
    pytest.param(
        {"agent": ["publisher-2"], "action": ["continue", "speed_up"]},
        {"agent_id": ["publisher-2"], "action": ["continue", "speed_up"]},
        id="agent-and-actions",
    ),
]


def columns(
    grafana: Grafana, day: Day, asked: Asked, span: Span, chosen: Chosen = UNCHOSEN, ref_id: str = "A"
) -> List[Column]:
    """Give the columns that the panel is drawn from, of all frames of one of its queries."""
    frames = asked.single(ref_id).ask(grafana, *day.range_ms(span), chosen)
    return [column for frame in frames for column in frame.columns]


def series(answer: Sequence[Column], tag: str) -> Dict[str, List[Any]]:
    """Give the values of each series by its tag; a series that comes twice is an error."""
    found = [(column.labels[tag], column.filled) for column in answer if column.type == "number"]
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


def by_time(frames: Iterable[Frame], tag: str) -> Dict[Tuple[str, int], Any]:
    """Give each value that is there by its series' tag and its time (ms)."""
    return {
        (column.labels[tag], at_ms): found
        for frame in frames
        for column in frame.of_type("number")
        for at_ms, found in zip(frame.of_type("time")[0].values, column.values)
        if found is not None
    }


def sums(answer: Sequence[Column], tag: str) -> Dict[str, float]:
    return {name: sum(values) for name, values in series(answer, tag).items()}


def rows(answer: Sequence[Column]) -> List[Dict[str, Any]]:
    """Give a table's rows."""
    names = [column.name for column in answer]
    return [dict(zip(names, cells)) for cells in zip(*(column.values for column in answer))]


def added(points: Iterable[Point], tag: str, field: str) -> Dict[str, float]:
    """Give the sum of a field by a tag."""
    totals: Dict[str, float] = defaultdict(int)
    for point in points:
        totals[point.tags[tag]] += point.fields[field]
    return dict(totals)


def numbered(points: Iterable[Point], tag: str) -> Dict[str, int]:
    """Give the number of points by a tag."""
    return dict(Counter(point.tags[tag] for point in points))


def usd(points: Iterable[Point], price_in: float, price_out: float) -> float:
    """Give what the tokens cost at prices per million."""
    tokens = [(point.fields["input_tokens"], point.fields["output_tokens"]) for point in points]
    return sum(price_in * tokens_in + price_out * tokens_out for tokens_in, tokens_out in tokens) / 10**6


def message_ids(points: Iterable[Point]) -> Set[str]:
    return {point.fields["message_id"] for point in points}


def test_amendment_of_a_point_adds_to_it_and_wins() -> None:
    line = "agent_reasoning,action=a\\ b,agent_id=p {} 7"

    found = parsed(
        [line.format('n=1i,reasoning="so, \\"a=1\\"",done=false'), line.format("done=true,score=0.5"), "x,y=z v=1i 7"]
    )

    assert found["agent_reasoning"] == [
        Point({"action": "a b", "agent_id": "p"}, {"n": 1, "reasoning": 'so, "a=1"', "done": True, "score": 0.5}, 7)
    ]


@pytest.mark.parametrize("span", ANY)
@pytest.mark.parametrize("chosen, tags", CHOSEN)
def test_decisions_over_time_add_up(grafana: Grafana, day: Day, span: Span, chosen: Chosen, tags: Chosen) -> None:
    asked = ASKED[DECISIONS, "AI decisions over time"]
    counted = numbered(day.between("agent_reasoning", "decision_id", whole_ms(day, asked, span), tags), "action")

    assert counted
    assert sums(columns(grafana, day, asked, span, chosen), "action") == counted


@pytest.mark.parametrize("span", ANY)
@pytest.mark.parametrize("chosen, tags", CHOSEN[:3])
def test_tokens_by_agent_add_up(grafana: Grafana, day: Day, span: Span, chosen: Chosen, tags: Chosen) -> None:
    asked = ASKED[DECISIONS, "Token usage by agent"]
    points = day.between("agent_reasoning", "tokens_used", whole_ms(day, asked, span), tags)
    counted = added(points, "agent_id", "tokens_used")

    assert sum(counted.values())
    assert sums(columns(grafana, day, asked, span, chosen), "agent_id") == counted


@pytest.mark.parametrize("span", ANY)
@pytest.mark.parametrize("chosen, tags", CHOSEN[:3])
def test_tokens_of_an_hour_are_those_of_the_whole_hour(
    grafana: Grafana, day: Day, span: Span, chosen: Chosen, tags: Chosen
) -> None:
    start_ms, stop_ms = day.range_ms(span)
    begin_ms = start_ms // HOUR_MS * HOUR_MS
    counted: Dict[Tuple[str, int], int] = defaultdict(int)
    for point in day.between("agent_reasoning", "tokens_used", (begin_ms, stop_ms), tags):
        hour_ms = point.time_ns // 10**6 // HOUR_MS * HOUR_MS
        # What began before the range stands at its start.
        counted[point.tags["agent_id"], max(hour_ms, start_ms)] += point.fields["tokens_used"]

    frames = ASKED[COSTS, "Total API tokens used (per agent, per hour)"].ask(grafana, start_ms, stop_ms, chosen)

    assert sum(counted.values())
    assert by_time(frames, "agent_id") == pytest.approx(counted, rel=SUMMED)


def test_projected_spend_and_its_part_of_the_limit(grafana: Grafana, day: Day) -> None:
    # Just before the hour, which may be midnight.
    span = Span(1, before_ms=12_345)
    _, stop_ms = day.range_ms(span)
    day_ms = stop_ms // DAY_MS * DAY_MS
    newest: Dict[str, Point] = {}
    for point in day.between("budget", "spent_day_usd", (day_ms, stop_ms)):
        newest[point.tags["agent_id"]] = max(newest.get(point.tags["agent_id"], point), point, key=lambda p: p.time_ns)
    spent = sum(point.fields["spent_day_usd"] for point in newest.values())
    projected = spent * DAY_MS / (stop_ms - day_ms)

    (row,) = rows(columns(grafana, day, ASKED[COSTS, "Projected daily spend"], span))

    (limit,) = {point.fields["limit_day_usd"] for point in newest.values()}
    assert spent > 0
    assert row["projected"] == pytest.approx(projected)
    assert row["of_limit"] == pytest.approx(projected / limit)


@pytest.mark.parametrize("span", ANY)
@pytest.mark.parametrize("chosen, tags", CHOSEN[:3])
@pytest.mark.parametrize("title", ["Cost estimation", "Spent in the range"])
def test_spend_is_what_the_decisions_cost(
    grafana: Grafana, day: Day, title: str, span: Span, chosen: Chosen, tags: Chosen
) -> None:
    counted = sum(point.fields["cost_usd"] for point in day.of("agent_reasoning", "cost_usd", span, tags))

    (spent,) = (c for c in columns(grafana, day, ASKED[COSTS, title], span, chosen) if c.type == "number")
    assert counted > 0
    assert spent.filled[-1] == pytest.approx(counted, rel=SUMMED)


@pytest.mark.parametrize("span", ANY)
@pytest.mark.parametrize("prices, price_in, price_out", PRICES)
@pytest.mark.parametrize("chosen, tags", CHOSEN[:2])
def test_estimate_is_the_tokens_at_the_boards_prices(
    grafana: Grafana,
    day: Day,
    span: Span,
    prices: Chosen,
    price_in: float,
    price_out: float,
    chosen: Chosen,
    tags: Chosen,
) -> None:
    counted = usd(day.of("agent_reasoning", "input_tokens", span, tags), price_in, price_out)

    answer = columns(grafana, day, ASKED[COSTS, "Cost estimation"], span, {**chosen, **prices}, "B")
    (estimated,) = (column for column in answer if column.type == "number")
    assert counted > 0
    assert estimated.filled[-1] == pytest.approx(counted, rel=SUMMED)


@pytest.mark.parametrize("span", ANY)
@pytest.mark.parametrize("prices, price_in, price_out", PRICES)
def test_table_of_costs_adds_up(
    grafana: Grafana, day: Day, span: Span, prices: Chosen, price_in: float, price_out: float
) -> None:
    decisions = numbered(day.of("agent_reasoning", "decision_id", span), "agent_id")
    spent = added(day.of("agent_reasoning", "cost_usd", span), "agent_id", "cost_usd")

    found = {row["agent_id"]: row for row in rows(columns(grafana, day, ASKED[COSTS, "Cost by agent"], span, prices))}

    assert {agent: row["decisions"] for agent, row in found.items()} == decisions
    for agent, row in found.items():
        points = day.of("agent_reasoning", "input_tokens", span, {"agent_id": [agent]})
        assert row["input_tokens"] == sum(point.fields["input_tokens"] for point in points)
        assert row["output_tokens"] == sum(point.fields["output_tokens"] for point in points)
        assert row["cost_usd"] == pytest.approx(spent[agent], rel=SUMMED)
        assert row["usd_per_decision"] == pytest.approx(spent[agent] / decisions[agent], rel=SUMMED)
        assert row["estimated_usd"] == pytest.approx(usd(points, price_in, price_out), rel=SUMMED)


@pytest.mark.parametrize("span", WHOLE)
@pytest.mark.parametrize("queue", ["", "priority"])
@pytest.mark.parametrize(
    "board, title",
    [(OVERVIEW, "Messages published/consumed over time"), (COSTS, "Messages published/consumed")],
    ids=[OVERVIEW, COSTS],
)
@pytest.mark.parametrize(
    "ref_id, measurement, field, tag",
    [
        ("A", "publisher_metrics", "messages_published", "routing_key"),
        ("B", "consumer_metrics", "messages_consumed", "queue"),
    ],
    ids=["published", "consumed"],
)
def test_rates_times_minutes_are_the_messages(
    grafana: Grafana,
    day: Day,
    board: str,
    title: str,
    span: Span,
    queue: str,
    ref_id: str,
    measurement: str,
    field: str,
    tag: str,
) -> None:
    tags = {tag: [queue]} if queue else {}
    counted = added(day.of(measurement, field, span, tags), "agent_id", field)

    answer = columns(grafana, day, ASKED[board, title], span, {"queue": [queue]} if queue else {}, ref_id)
    (times_ms,) = {tuple(column.values) for column in answer if column.type == "time"}
    start_ms, stop_ms = day.range_ms(span)
    (every_ms,) = {after - before for before, after in zip(times_ms, [*times_ms[1:], stop_ms])}
    assert times_ms[0] == start_ms
    assert len(counted) == 3
    found = {agent: rate * every_ms / MINUTE_MS for agent, rate in sums(answer, "agent_id").items()}
    assert found == pytest.approx(counted, rel=SUMMED)


def waiting(point: Point, end: str) -> Any:
    """Give how many messages waited in all main queues; nothing where no queue's depth is known."""
    fields = [f"queue_depth_{queue}{end}" for queue in ("fictional", "nonfictional", "priority")]
    known = [point.fields[field] for field in fields if field in point.fields]
    return sum(known) if known else None


def compared(point: Point) -> Dict[str, Any]:
    """Give a decision's row as the table has it."""
    before, after = waiting(point, ""), waiting(point, "_after")
    helped = point.fields.get("outcome_success")
    missing = point.fields.get("outcome_missing", "not judged yet")
    return {
        "time": point.time_ns // 10**6,
        "agent_id": point.tags["agent_id"],
        "action": point.tags["action"],
        "before": before or 0,
        "after": after,
        "change": None if after is None else after - (before or 0),
        "helped": missing.replace("_to_", " to ") if helped is None else "yes" if helped else "no",
    }


def _newest_first(row: Dict[str, Any]) -> Tuple[float, str]:
    """Give what sorts a table's rows when publishers wrote at one time, as they do when a block begins."""
    return -row["time"], row["agent_id"]


@pytest.mark.parametrize("span", WHOLE)
@pytest.mark.parametrize(
    "chosen, actions",
    [
        ({}, MOVES),
        ({"action": ["continue"]}, ("continue",)),
        ({"action": ["pause", "continue"]}, ("pause", "continue")),
    ],
    ids=["moves", "continue", "two"],
)
def test_table_of_decisions_has_the_newest_that_were_to_move_something(
    grafana: Grafana, day: Day, span: Span, chosen: Chosen, actions: Tuple[str, ...]
) -> None:
    tags = {"decision_type": ["rate_adjustment"], "action": actions}
    points = sorted(day.of("agent_reasoning", "decision_id", span, tags), key=lambda point: -point.time_ns)

    found = rows(columns(grafana, day, ASKED[EFFECTS, "AI decisions vs queue depth changes"], span, chosen))

    expected = sorted((compared(point) for point in points[:TABLE_ROWS]), key=_newest_first)
    assert expected
    assert sorted(({name: row[name] for name in expected[0]} for row in found), key=_newest_first) == expected
    assert [row["time"] for row in found] == [row["time"] for row in expected]


@pytest.mark.parametrize("hours", [1, 6, 24])
def test_marks_are_the_newest_changes_of_an_agents_action(grafana: Grafana, day: Day, hours: int) -> None:
    _, stop_ms = day.range_ms(Span(hours))
    changes = []
    before: Dict[str, str] = {}
    range_ms = (stop_ms - min(hours, MARKED_HOURS) * HOUR_MS, stop_ms)
    points = day.between("agent_reasoning", "reasoning", range_ms, {"decision_type": ["rate_adjustment"]})
    # An operator's order to all comes at one time, and one that begins an experiment moves the intervals at once.
    for point in sorted(points, key=lambda point: (point.time_ns, point.tags["agent_id"], point.tags["action"])):
        agent, action = point.tags["agent_id"], point.tags["action"]
        if before.setdefault(agent, action) != action:
            changes.append((point.time_ns // 10**6, f"{agent} {action}: {point.fields['reasoning']}", action))
        before[agent] = action

    for asked in (asked for asked in all_asked() if asked.kind == "annotation"):
        (frame,) = asked.ask(grafana, *day.range_ms(Span(hours)))

        found = {column.name: column.values for column in frame.columns}
        assert changes
        assert list(zip(found["time"], found["text"], found["tags"])) == changes[::-1][:MARKS]


def test_time_to_drain_is_the_newest_analysis_and_0_with_few_messages(grafana: Grafana, day: Day) -> None:
    seen = set()
    for minutes in range(0, 120, 4):
        span = Span(1, before_ms=minutes * MINUTE_MS)
        _, stop_ms = day.range_ms(span)
        depths = day.between("queue_metrics", "depth", (stop_ms - MINUTE_MS, stop_ms))
        deepest = max(point.fields["depth"] for point in depths if not point.tags["queue"].startswith("books."))
        analyses = day.between("system_health", "issues_detected", (stop_ms - 5 * MINUTE_MS, stop_ms))
        newest = max(analyses, key=lambda point: point.time_ns)
        drain_s = 0.0 if deepest < FEW else newest.fields.get("drain_time_s")

        answer = columns(grafana, day, ASKED[OVERVIEW, "Time to drain now"], span)

        shown = [column.filled[-1] for column in answer if column.type == "number" and column.filled]
        assert shown == ([] if drain_s is None else [drain_s]), f"{minutes} minutes before"
        seen.add("few" if deepest < FEW else "not draining" if drain_s is None else "draining")
    assert seen == {"few", "not draining", "draining"}


def judged(points: Iterable[Point]) -> Dict[str, Dict[bool, List[float]]]:
    """Give the scores of rate decisions by action, those acted on and those in shadow."""
    scores: Dict[str, Dict[bool, List[float]]] = defaultdict(lambda: {True: [], False: []})
    for point in points:
        scores[point.tags["action"]][point.fields.get("acted", True)].append(point.fields["outcome_score"])
    return dict(scores)


def percent(scores: Sequence[float]) -> float:
    return 100 * sum(scores) / len(scores)


def told(scores: Sequence[float]) -> str:
    """Give a share as the table words it: rounded, a half upwards."""
    return f"{math.floor(percent(scores) + 0.5)} %" if scores else "none judged"


@pytest.mark.parametrize("span", WHOLE)
@pytest.mark.parametrize("chosen, tags", CHOSEN[2:])
def test_success_is_counted_apart_for_shadow(
    grafana: Grafana, day: Day, span: Span, chosen: Chosen, tags: Chosen
) -> None:
    points = day.of("agent_reasoning", "outcome_score", span, {**tags, "decision_type": ["rate_adjustment"]})
    scores = judged(points)

    asked = ASKED[EFFECTS, "Success, acted on and in shadow"]
    found = {row["action"]: row for row in rows(columns(grafana, day, asked, span, chosen))}

    assert scores
    assert {
        action: (row["judged"], row["judged_shadow"], row["acted"], row["shadow"]) for action, row in found.items()
    } == {action: (len(by[True]), len(by[False]), told(by[True]), told(by[False])) for action, by in scores.items()}


@pytest.mark.parametrize("span", WHOLE)
def test_difference_to_shadow_is_told_to_the_nearest_point(grafana: Grafana, day: Day, span: Span) -> None:
    scores = judged(day.of("agent_reasoning", "outcome_score", span, {"decision_type": ["rate_adjustment"]}))
    both = {action: by for action, by in scores.items() if by[True] and by[False]}

    answer = columns(grafana, day, ASKED[EFFECTS, "Success, acted on and in shadow"], span)
    found = {row["action"]: row["difference"] for row in rows(answer)}

    assert both or span.hours == 1
    exact = {action: percent(by[True]) - percent(by[False]) for action, by in both.items()}
    assert {action: words for action, words in found.items() if action not in both} == {
        action: "unknown" for action in set(scores) - set(both)
    }
    points = {action: int(found[action][: -len(" points")]) for action in both}
    # Half a point, and what a float may miss it by.
    assert points == pytest.approx(exact, abs=0.5 + SUMMED)


@pytest.mark.parametrize("span", WITH_MADE_UP)
def test_precision_is_the_part_of_flags_that_were_injected(grafana: Grafana, day: Day, span: Span) -> None:
    # Whenever that was: what was flagged just after the range's start was injected before it.
    injected = message_ids(day.points["injected_anomalies"])
    flags = day.of("flags", "message_id", span)
    right = numbered((point for point in flags if point.fields["message_id"] in injected), "by")

    answer = columns(grafana, day, ASKED[EFFECTS, "Precision of the flags"], span)

    assert flags
    assert series(answer, "by") == {
        by: [pytest.approx(right.get(by, 0) / number)] for by, number in numbered(flags, "by").items()
    }


@pytest.mark.parametrize("hours", [1, 24])
def test_precision_says_nothing_where_nothing_was_injected(grafana: Grafana, day: Day, hours: int) -> None:
    span = Span(hours, UNKNOWN_MS)
    assert day.of("flags", "message_id", span)
    assert not day.of("injected_anomalies", "message_id", span)

    answer = columns(grafana, day, ASKED[EFFECTS, "Precision of the flags"], span)

    assert [column.filled for column in answer if column.filled] == []


def found_of(day: Day, span: Span) -> Tuple[List[Point], List[Point]]:
    """Give the injected anomalies of a range, and those of them that were flagged, whenever that was."""
    flagged = message_ids(day.points["flags"])
    injected = day.of("injected_anomalies", "message_id", span)
    return injected, [point for point in injected if point.fields["message_id"] in flagged]


@pytest.mark.parametrize("span", WITH_MADE_UP)
def test_recall_is_the_part_of_the_injected_that_was_flagged(grafana: Grafana, day: Day, span: Span) -> None:
    injected, found = found_of(day, span)

    answer = columns(grafana, day, ASKED[EFFECTS, "Recall of the anomalies"], span)

    assert injected
    recall = [column.filled for column in answer if column.type == "number"]
    assert recall == [[pytest.approx(len(found) / len(injected))]]


@pytest.mark.parametrize("span", WITH_MADE_UP)
def test_kinds_of_anomalies_add_up(grafana: Grafana, day: Day, span: Span) -> None:
    injected, found = (numbered(points, "kind") for points in found_of(day, span))

    answer = rows(columns(grafana, day, ASKED[EFFECTS, "Injected anomalies by kind"], span))

    assert {row["kind"]: (row["injected"], row["found"]) for row in answer} == {
        kind: (number, found.get(kind, 0)) for kind, number in injected.items()
    }


@pytest.mark.parametrize("span", WITH_MADE_UP)
def test_anomalies_and_flags_over_time_add_up(grafana: Grafana, day: Day, span: Span) -> None:
    asked = ASKED[EFFECTS, "Anomalies detected vs actual issues"]

    (injected,) = (column for column in columns(grafana, day, asked, span) if column.type == "number")
    flagged = columns(grafana, day, asked, span, ref_id="B")

    range_ms = whole_ms(day, asked, span)
    assert sum(injected.filled) == len(day.between("injected_anomalies", "message_id", range_ms))
    # A line of zeros alone is of somebody who flagged in a window that is cut off.
    found = {by: number for by, number in sums(flagged, "by").items() if number}
    assert found == numbered(day.between("flags", "message_id", range_ms), "by")
    windows = (range_ms[1] - range_ms[0]) // window_ms(asked, span)
    assert [len(values) for values in (injected.values, *series(flagged, "by").values())] == [windows] * (
        1 + len(series(flagged, "by"))
    )


@pytest.mark.parametrize("span", ANY)
@pytest.mark.parametrize("chosen, tags", CHOSEN[:3])
@pytest.mark.parametrize(
    "board, title", [(DECISIONS, "API failures by kind"), (COSTS, "Failed API calls")], ids=[DECISIONS, COSTS]
)
def test_api_failures_add_up(
    grafana: Grafana, day: Day, board: str, title: str, span: Span, chosen: Chosen, tags: Chosen
) -> None:
    asked = ASKED[board, title]
    attempts = day.between("api_calls", "attempt", whole_ms(day, asked, span), tags)

    answer = columns(grafana, day, asked, span, chosen)

    assert attempts
    failed = [point for point in attempts if point.tags["error"] != "none"]
    assert sums(answer, "error") == numbered(failed, "error")


@pytest.mark.parametrize("span", RAW)
def test_median_latency_of_each_minute_is_the_values_own(grafana: Grafana, day: Day, span: Span) -> None:
    taken: Dict[Tuple[str, int], List[float]] = defaultdict(list)
    for point in day.of("agent_reasoning", "decision_latency_ms", span):
        minute_ms = point.time_ns // 10**6 // MINUTE_MS * MINUTE_MS
        if point.fields["decision_latency_ms"] >= AT_ONCE_MS:
            taken[point.tags["agent_type"], minute_ms].append(point.fields["decision_latency_ms"])

    frames = ASKED[DECISIONS, "Decision latency"].single("A").ask(grafana, *day.range_ms(span))

    found = by_time(frames, "agent_type")
    assert len(taken) > 100
    assert max(map(len, taken.values())) < EXACT_VALUES
    assert found == pytest.approx({key: median(values) for key, values in taken.items()}, rel=SUMMED)
