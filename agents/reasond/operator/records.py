"""The store as the operator's commands read it: one small port, and InfluxDB behind it.

The tests answer it from the embedded store too, and hold both to the same answers.
"""

from typing import Any, Dict, List, Mapping, Protocol, Sequence, Tuple

from msgspec import Struct

from reasond import flux
from reasond.adapters.influxdb import InfluxReader, nanoseconds, readable, rows
from reasond.operator import queries
from reasond.points import Row
from reasond.report.span import Span

FIRST_PIECE_S = 3600
LONGEST_PIECE_S = 24 * 3600
"""A day's decisions at the default rates, some 18000, are asked for at once at most."""


class Wanted(Struct, frozen=True):
    """Which decisions: by agent and action, empty for all, and how many of the newest; 0 for all."""

    agent: str = ""
    action: str = ""
    limit: int = 0


class Records(Protocol):
    """What the commands ask of the store. Everything raises StoreUnavailable or StoreRefused."""

    def latest(self, measurement: str, span: Span) -> List[Row]:
        """Give the newest whole point of each tag set, of one of `queries.LATEST`."""
        ...

    def decided(self, span: Span, wanted: Wanted) -> List[Row]:
        """Give decisions, newest first."""
        ...

    def named(self, span: Span, prefix: str) -> List[Tuple[int, str, str]]:
        """Give time (UTC ns), agent and id of the newest 50 decisions whose id begins so, newest first."""
        ...

    def throughput(self, span: Span) -> Dict[str, int]:
        """Give how many messages each agent published or consumed."""
        ...

    def attempts(self, span: Span, agent: str, decision_id: str) -> List[Row]:
        """Give the attempts at the API for one decision, oldest first."""
        ...

    def spent(self, at_ns: int) -> Dict[str, Tuple[float, float]]:
        """Give what each agent spent in the UTC hour and the UTC day of a time, USD."""
        ...


class InfluxRecords:
    """The records in InfluxDB."""

    def __init__(self, reader: InfluxReader) -> None:
        """Take the reader; nothing is connected before the first question."""
        self._reader = reader

    def latest(self, measurement: str, span: Span) -> List[Row]:
        """As `Records` says."""
        with readable():
            return rows(measurement, _newest(self._ask(queries.LATEST[measurement], span)))

    def decided(self, span: Span, wanted: Wanted) -> List[Row]:
        """As `Records` says; the newest hour is asked for first, then longer and longer pieces."""
        found: List[Row] = []
        stop_ns, length_s = span.stop_ns, FIRST_PIECE_S
        while stop_ns > span.start_ns and not (wanted.limit and len(found) >= wanted.limit):
            start_ns = max(span.start_ns, stop_ns - length_s * 10**9)
            with readable():
                piece = self._ask(queries.DECIDED, Span(start_ns, stop_ns), agent=wanted.agent, action=wanted.action)
                found += reversed(rows("agent_reasoning", piece))
            stop_ns, length_s = start_ns, min(2 * length_s, LONGEST_PIECE_S)
        return found[: wanted.limit] if wanted.limit else found

    def named(self, span: Span, prefix: str) -> List[Tuple[int, str, str]]:
        """As `Records` says."""
        with readable():
            records = self._ask(queries.NAMED, span, prefix=prefix)
            return [(nanoseconds(one["_time"]), one.get("agent_id", ""), one["_value"]) for one in records]

    def throughput(self, span: Span) -> Dict[str, int]:
        """As `Records` says."""
        sums: Dict[str, int] = {}
        with readable():
            for record in self._ask(queries.THROUGHPUT, span):
                agent = record.get("agent_id", "")
                sums[agent] = sums.get(agent, 0) + int(record["_value"])
        return sums

    def attempts(self, span: Span, agent: str, decision_id: str) -> List[Row]:
        """As `Records` says."""
        with readable():
            return rows("api_calls", self._ask(queries.ATTEMPTS, span, agent=agent, id=decision_id))

    def spent(self, at_ns: int) -> Dict[str, Tuple[float, float]]:
        """As `Records` says."""
        hour, day, after = flux.spend_bounds(at_ns)
        found: Dict[str, Dict[str, float]] = {}
        with readable():
            for record in self._reader.query(flux.SYSTEM_SPEND, hour=hour, day=day, after=after):
                found.setdefault(record.get("agent_id", ""), {})[record["result"]] = float(record["_value"])
        return {agent: (both.get("hour", 0.0), both.get("day", 0.0)) for agent, both in sorted(found.items())}

    def _ask(self, text: str, span: Span, **more: Any) -> List[Dict[str, str]]:
        records = self._reader.query(text, start=span.start_ns, stop=span.stop_ns, **more)
        return [{name: printable(value) for name, value in record.items()} for record in records]


def printable(text: str, keep: str = "") -> str:
    """Give a stranger's text without what controls a terminal; characters of `keep` stay."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else " " for char in text)


_NO_TAGS = ("result", "table", "_time", "_field", "_value")


def _newest(records: Sequence[Mapping[str, str]]) -> List[Dict[str, str]]:
    """Give each tag set's fields of its newest time as one record."""
    newest: Dict[Tuple[Tuple[str, str], ...], Dict[str, str]] = {}
    for record in records:
        tags = {name: text for name, text in record.items() if name not in _NO_TAGS and text}
        key = tuple(sorted(tags.items()))
        at_ns = nanoseconds(record["_time"])
        if key not in newest or at_ns > nanoseconds(newest[key]["_time"]):
            newest[key] = dict(tags, _time=record["_time"])
        if at_ns == nanoseconds(newest[key]["_time"]):
            newest[key][record["_field"]] = record["_value"]
    return list(newest.values())
