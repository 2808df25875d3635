"""The report of a running system: a time range of InfluxDB, asked for piece by piece.

What it says of help is what records can tell: experiments, and success when acted on beside success in shadow.
"""

from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence, Tuple

from msgspec.structs import replace

from reasond.adapters.influxdb import InfluxReader, nanoseconds, readable, rows
from reasond.flux import in_shadow, intervals_in_force
from reasond.points import Row
from reasond.report import experiments, queries, summary
from reasond.report.curves import ALL_QUEUES, DEAD, DEPTH, RATE, SET_RATE, last, thinned, with_gaps
from reasond.report.data import Chapter, Graph, Line, Page, Section, Table
from reasond.report.decisions import (
    DID_NOT_HELP,
    HELPED,
    MAX_MARKS,
    MAX_SHOWN,
    Spend,
    Tally,
    decision,
    most_telling,
)
from reasond.report.span import Span, told
from reasond.simulation.measures import rates
from reasond.topology import DEAD_QUEUES, MAIN_QUEUES

PIECE_S = 6 * 3600
"""Asked for at once: some 4500 decisions of seven agents."""
POINTS = 720
"""The most windows over the whole range."""
WINDOWS_S = (5, 10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800, 3600, 7200)
"""Lengths that a piece is a multiple of; the least is as often as the monitor samples."""
FLOW_S = 60
"""The least window of a rate: some messages a minute are told apart."""
GAP_WINDOWS, GAP_S = 3, 30
"""A curve is broken where nothing came for so many windows, and for so long."""
PUBLISHED, CONSUMED = "published by agents", "consumed"
SECOND_NS = 1_000_000_000

Progress = Callable[[float], None]
"""Is told which part of the range has been read."""
Points = Dict[str, Dict[int, float]]
"""Values by name and time (UTC ns)."""


class _Seen:
    """What the pieces add up to."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.health: List[Row] = []
        self.experiments: List[Row] = []
        self.rate_rows: List[Row] = []
        self.depths: Points = {}
        self.flow: Points = {}
        self.calls: Dict[str, Dict[str, float]] = {}
        self._rates: Dict[str, Tuple[Any, ...]] = {}

    def decided(self, rows: Sequence[Row]) -> None:
        self.tally.add(decision(row) for row in rows)
        self.rate_rows += [row for row in rows if row.tags.get("agent_type") == "publisher" and self._moves(row)]

    def _moves(self, row: Row) -> bool:
        """Tell whether an agent's rate is another than it was; the others would only take memory."""
        rate = (row.tags.get("action") == "pause" and not in_shadow(row.fields), *intervals_in_force(row.fields))
        agent_id = row.tags["agent_id"]
        moved = self._rates.get(agent_id) != rate
        self._rates[agent_id] = rate
        return moved

    def spends(self) -> Dict[str, Spend]:
        """Give what each agent took; the API's own record counts, where there is one."""
        found = dict(self.tally.spends)
        for agent_id, sums in self.calls.items():
            own = found.get(agent_id, Spend())
            found[agent_id] = Spend(
                own.decisions,
                int(sums.get("input_tokens", 0)),
                int(sums.get("output_tokens", 0)),
                sums.get("usd", 0.0),
                own.would_usd,
            )
        return found


def page(reader: InfluxReader, span: Span, version: str, progress: Progress = lambda part: None) -> Page:
    """Read a range and give its page. Raises StoreUnavailable or StoreRefused."""
    seen = _Seen()
    pieces = list(span.pieces(PIECE_S))
    every_ns = window_ns(span), window_ns(span, FLOW_S)
    with readable():
        for number, piece in enumerate(pieces, 1):
            _read(reader, piece, every_ns, seen)
            progress(number / len(pieces))
    return _page(seen, span, version, every_ns)


def window_ns(span: Span, least_s: int = 0) -> int:
    """Give how long a window is, so that few enough cover the range."""
    seconds = (span.stop_ns - span.start_ns) / SECOND_NS
    fitting = [length for length in WINDOWS_S if length >= least_s and length * POINTS >= seconds]
    return SECOND_NS * (fitting[0] if fitting else WINDOWS_S[-1])


def _read(reader: InfluxReader, piece: Span, every_ns: Tuple[int, int], seen: _Seen) -> None:
    bounds = {"start": piece.start_ns, "stop": piece.stop_ns}
    seen.decided(rows("agent_reasoning", reader.query(queries.DECISIONS, **bounds)))
    seen.health += rows("system_health", reader.query(queries.HEALTH, **bounds))
    seen.experiments += rows("experiment", reader.query(queries.EXPERIMENT, **bounds))
    for record in reader.query(queries.DEPTHS, every=every_ns[0], **bounds):
        _put(seen.depths, record["queue"], record)
    for record in reader.query(queries.FLOW, every=every_ns[1], **bounds):
        _put(seen.flow, record["result"], record)
    for record in reader.query(queries.CALLS, **bounds):
        sums = seen.calls.setdefault(record.get("agent_id", ""), {})
        sums[record["result"]] = sums.get(record["result"], 0.0) + float(record["_value"])


def _put(points: Points, name: str, record: Mapping[str, str]) -> None:
    points.setdefault(name, {})[nanoseconds(record["_time"])] = float(record["_value"])


def _page(seen: _Seen, span: Span, version: str, every_ns: Tuple[int, int]) -> Page:
    tally, when = seen.tally, f"{told(span.start_ns)} to {told(span.stop_ns)} UTC"
    words, table = verdict(tally)
    facts = (
        ("what", "a running system, by its own records in InfluxDB"),
        ("when", when),
        *summary.who([tally]),
        ("agents", ", ".join(sorted(agent_id for _, agent_id in tally.actions)) or "none"),
        ("reasond", version),
    )
    section = _section(seen, span, every_ns)
    tables = [experiments.table(seen.experiments), table if table.rows else None]
    chapter = Chapter(
        title="Did it help?",
        about="",
        words=(*experiments.words(seen.experiments), *words),
        tables=tuple(shown for shown in tables if shown is not None),
        sections=(section,),
    )
    return Page(f"reasond, {when}", facts, (chapter,))


def _section(seen: _Seen, span: Span, every_ns: Tuple[int, int]) -> Section:
    tally = seen.tally
    hours = (span.stop_ns - span.start_ns) / (3600 * SECOND_NS)
    return Section(
        title="The course of events",
        start_ns=span.start_ns,
        stop_ns=span.stop_ns,
        graphs=tuple(_graphs(seen, span, every_ns)),
        marks=tuple(most_telling(tally.marks, MAX_MARKS)),
        decisions=tuple(most_telling(tally.telling, MAX_SHOWN)),
        decided=tally.decided,
        changed=tally.changed,
        tables=summary.tables(tally, seen.spends(), seen.health, hours),
    )


def _graphs(seen: _Seen, span: Span, every_ns: Tuple[int, int]) -> Iterator[Graph]:
    depth_ns, flow_ns = every_ns
    whole: Dict[int, float] = {}
    for queue in MAIN_QUEUES:
        for at_ns, depth in seen.depths.get(queue, {}).items():
            whole[at_ns] = whole.get(at_ns, 0.0) + depth
    main = [_line(queue, seen.depths.get(queue, {}), depth_ns) for queue in MAIN_QUEUES]
    yield Graph(DEPTH, (replace(_line(ALL_QUEUES, whole, depth_ns), faint=True), *main), ALL_QUEUES)
    yield Graph(
        DEAD, tuple(_line(queue, seen.depths[queue], depth_ns) for queue in DEAD_QUEUES if queue in seen.depths)
    )
    course = rates(seen.rate_rows)
    set_rate = Line(SET_RATE, tuple(at for at, _ in course), tuple(60 * hz for _, hz in course), step=True)
    flow = [
        _line(name, a_minute(seen.flow.get(key, {}), span.stop_ns, flow_ns), flow_ns)
        for name, key in ((PUBLISHED, "published"), (CONSUMED, "consumed"))
    ]
    yield Graph(RATE, (thinned(set_rate, 2 * POINTS, last), *flow), SET_RATE)


def a_minute(counts: Mapping[int, float], stop_ns: int, every_ns: int) -> Dict[int, float]:
    """Give counts by the begin of their windows as rates; a window cut short by more than half is left out.

    The range cuts the first and the last one; the first one's begin is the range's own.
    """
    found = {}
    for at_ns, count in counts.items():
        end_ns = min(stop_ns, at_ns - at_ns % every_ns + every_ns)
        if 2 * (end_ns - at_ns) >= every_ns:
            found[at_ns] = 60 * SECOND_NS * count / (end_ns - at_ns)
    return found


def _line(name: str, points: Mapping[int, float], every_ns: int) -> Line:
    """Give a curve with a point in the middle of each window, and a gap where nothing came."""
    times = sorted(points)
    longest_ns = max(GAP_WINDOWS * every_ns, GAP_S * SECOND_NS)
    found, values = with_gaps(times, [points[at] for at in times], longest_ns)
    return Line(name, tuple(at + every_ns // 2 for at in found), tuple(values))


def verdict(tally: Tally) -> Tuple[Tuple[str, ...], Table]:
    """Say what can be told about help, and give success when acted on beside success in shadow.

    No interval is given: publishers share queues, so that their decisions are not independent of each other, and one
    that counted them as such would be far too narrow.
    """
    kinds = sorted(set(tally.outcomes) | set(tally.shadowed))
    table_rows = []
    for kind, action in kinds:
        acted: Mapping[str, int] = tally.outcomes.get((kind, action), {})
        shadow: Mapping[str, int] = tally.shadowed.get((kind, action), {})
        if _judged(acted) or _judged(shadow):
            table_rows.append((kind, action, *_both(acted), *_both(shadow), _difference(acted, shadow)))
    heads = ("kind", "action", "acted on", "helped", "in shadow", "helped", "difference")
    note = "Judged decisions only. docs/outcome.md says what counts as success; for speed_up in shadow it is harm."
    table = Table("Success, acted on and in shadow", heads, tuple(table_rows), note, wide=True, words=(0, 1))
    return (_words(tally),), table


def _words(tally: Tally) -> str:
    acted = sum(_judged(found) for found in tally.outcomes.values())
    shadow = sum(_judged(found) for (kind, _), found in tally.shadowed.items() if kind == "publisher")
    counts = f"{tally.decided} decisions, {acted} of them acted on and judged, {shadow} judged in shadow."
    if not tally.decided:
        return "No decision was recorded in this time: there is nothing to tell."
    if not shadow:
        return (
            f"{counts} Whether acting helps can't be told: no publisher's decision was judged in shadow, and success "
            "alone proves nothing, since queues drift by themselves. Let the publishers decide in shadow for some "
            "hours (reasond control publisher-1 shadow), then look again."
        )
    return (
        f"{counts} Compare success when acted on with success in shadow, action by action: what shadow reaches comes "
        "by itself. A difference is a hint, no proof: the hours in shadow were others than the hours acted on."
    )


def _judged(found: Mapping[str, int]) -> int:
    return found.get(HELPED, 0) + found.get(DID_NOT_HELP, 0)


def _both(found: Mapping[str, int]) -> Tuple[str, str]:
    judged, _, share = summary.shares(found)
    return judged, share


def _difference(acted: Mapping[str, int], shadow: Mapping[str, int]) -> str:
    """Give the difference of the shares in percentage points, where both are known."""
    if not _judged(acted) or not _judged(shadow):
        return "unknown"
    return f"{100 * (acted.get(HELPED, 0) / _judged(acted) - shadow.get(HELPED, 0) / _judged(shadow)):+.0f} points"
