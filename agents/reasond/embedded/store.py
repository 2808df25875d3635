"""InfluxDB's double: points in memory, the same answers to the same questions; one contract suite holds both.

Used by the demo, the simulation and tests. Points lie by series (measurement and tags) in the order of their
time, as InfluxDB lays them out, so that a question costs a look-up per series and not a walk over all points.
Of raw measurements only the last hours are kept, so that a day of virtual time stays light.
"""

import heapq
from bisect import bisect_left
from sys import float_info
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

from reasond import flux
from reasond.core.views import Activity, AgentSeen, Peer, QueueSample
from reasond.errors import StoreRefused
from reasond.points import FIELD_TYPES, MEASUREMENTS, Row, clean_string, clean_tag

LASTING = frozenset("agent_reasoning budget system_health flags rejections injected_anomalies api_calls".split())
"""Kept whole: few points, and summaries look back on all of them; others are kept for `raw_retention_s`."""

RAW_RETENTION_S = 7200.0
"""The longest window asked for is minutes; two hours leave room for a summary of a phase."""

# Trimming costs a move of the list: looked at after so many points, done once so many of a series are too old.
_TRIM_POINTS = 1024
_MIN_INT, _MAX_INT = -(2**63), 2**63 - 1
_MAX_FLOAT = float_info.max


class _Series:
    """One tag set's points: times (UTC ns) rising, and the fields of each."""

    __slots__ = ("fields", "tags", "times")

    def __init__(self, tags: Dict[str, str]) -> None:
        self.tags = tags
        self.times: List[int] = []
        self.fields: List[Dict[str, Any]] = []

    def put(self, time_ns: int, fields: Dict[str, Any]) -> Dict[str, Any]:
        """Take the fields, which are only read; give all that the point has now."""
        times = self.times
        if not times or time_ns > times[-1]:
            times.append(time_ns)
            self.fields.append(fields)
            return fields
        at = bisect_left(times, time_ns)
        if times[at] == time_ns:
            # Fields given once belong to whoever gave them too.
            self.fields[at] = {**self.fields[at], **fields}
            return self.fields[at]
        times.insert(at, time_ns)
        self.fields.insert(at, fields)
        return fields

    def between(self, start_ns: int, stop_ns: int) -> List[Dict[str, Any]]:
        if not self.times or self.times[-1] < start_ns:
            return []
        return self.fields[bisect_left(self.times, start_ns) : bisect_left(self.times, stop_ns)]

    def last(self, field: str, start_ns: int, stop_ns: int) -> Optional[Tuple[int, Dict[str, Any]]]:
        """Give the latest point in [start, stop) that has the field."""
        at = bisect_left(self.times, stop_ns) - 1
        while at >= 0 and self.times[at] >= start_ns:
            if field in self.fields[at]:
                return self.times[at], self.fields[at]
            at -= 1
        return None

    def forget(self, before_ns: int) -> None:
        if len(self.times) >= _TRIM_POINTS and self.times[_TRIM_POINTS - 1] < before_ns:
            cut = bisect_left(self.times, before_ns)
            del self.times[:cut]
            del self.fields[:cut]


class _Samples:
    """The points of `queue_metrics` as they are asked for: built once, in the order of time, queue and agent.

    Every publisher asks for the same minutes again and again.
    """

    def __init__(self) -> None:
        self._keys: List[Tuple[int, str, str]] = []
        self._samples: List[QueueSample] = []

    def put(self, time_ns: int, tags: Dict[str, str], fields: Dict[str, Any]) -> None:
        """Take a point with all its fields; replaces the one of that time, queue and agent."""
        key = (time_ns, tags.get("queue", ""), tags.get("agent_id", ""))
        if not self._keys or key > self._keys[-1]:
            self._keys.append(key)
            self._samples.append(flux.queue_sample(time_ns, key[1], fields))
            return
        at = bisect_left(self._keys, key)
        again = at < len(self._keys) and self._keys[at] == key
        self._keys[at : at + again] = [key]
        self._samples[at : at + again] = [flux.queue_sample(time_ns, key[1], fields)]

    def between(self, start_ns: int, stop_ns: int) -> Tuple[QueueSample, ...]:
        return tuple(self._samples[self._first(start_ns) : self._first(stop_ns)])

    def forget(self, before_ns: int) -> None:
        if len(self._keys) >= _TRIM_POINTS and self._keys[_TRIM_POINTS - 1][0] < before_ns:
            cut = self._first(before_ns)
            del self._keys[:cut]
            del self._samples[:cut]

    def _first(self, time_ns: int) -> int:
        return bisect_left(self._keys, (time_ns, "", ""))


_Key = Tuple[Tuple[str, str], ...]


class EmbeddedStore:
    """A `core.views.StoreReader` over what was written to it; not for use from several threads."""

    def __init__(self, raw_retention_s: float = RAW_RETENTION_S) -> None:
        """Start empty; raw points older than the newest by more than `raw_retention_s` may be forgotten."""
        self._retention_ns = int(raw_retention_s * 1e9)
        self._tables: Dict[str, Dict[_Key, _Series]] = {name: {} for name in MEASUREMENTS}
        self._samples = _Samples()
        # Of all series of decisions, those that an agent's peers are told of, by the type of agent.
        self._rates: Dict[str, List[_Series]] = {}
        # To clean and sort the tags of every point would be half the cost of taking it.
        self._by_given_tags: Dict[Tuple[Any, ...], _Series] = {}
        self._taken = 0

    def write(self, rows: Iterable[Row]) -> None:
        """Take points; one of known measurement, tags and time gets the new fields added or replaced.

        The fields are kept as they are given: whoever made a row must not change them afterwards.

        Raises StoreRefused for a value that isn't of its field's declared type, as InfluxDB refuses a field
        that changes its type; KeyError for a measurement or field that isn't declared.
        """
        for row in rows:
            as_given = (row.measurement, *row.tags.items())
            fields = _stored(row)
            series = self._by_given_tags.get(as_given)
            if series is None:
                series = self._by_given_tags[as_given] = self._series(row)
            fields = series.put(row.time_ns, fields)
            if row.measurement == "queue_metrics":
                self._samples.put(row.time_ns, series.tags, fields)
            self._taken += 1
            if self._taken % _TRIM_POINTS == 0:
                self._forget(row.time_ns - self._retention_ns)

    def amend(self, row: Row) -> None:
        """Add fields to a point: the same as writing it, since a point is its measurement, tags and time."""
        self.write((row,))

    def rows(self, measurement: str, start_ns: int, stop_ns: int) -> Tuple[Row, ...]:
        """Give the points of a measurement in [start, stop), oldest first; those that were not forgotten."""
        return tuple(
            heapq.merge(
                *(
                    [
                        Row(measurement=measurement, tags=series.tags, fields=dict(fields), time_ns=time_ns)
                        for time_ns, fields in zip(
                            series.times[bisect_left(series.times, start_ns) :],
                            series.between(start_ns, stop_ns),
                        )
                    ]
                    for _, series in sorted(self._tables[measurement].items())
                ),
                key=lambda row: row.time_ns,
            )
        )

    def queue_samples(self, start_ns: int, stop_ns: int) -> Tuple[QueueSample, ...]:
        """Give `queue_metrics` of all queues in [start, stop), oldest first."""
        return self._samples.between(start_ns, stop_ns)

    def peers(self, agent_type: str, start_ns: int, stop_ns: int) -> Tuple[Peer, ...]:
        """Give each agent's latest rate decision in [start, stop), by agent id; age counts from stop."""
        latest: Dict[str, Tuple[int, str, Dict[str, Any]]] = {}
        for series in self._rates.get(agent_type, ()):
            last = series.last(flux.MARKERS["agent_reasoning"], start_ns, stop_ns)
            if last is None:
                continue
            tags = series.tags
            agent_id, found = tags.get("agent_id", ""), (last[0], tags.get("action", ""), last[1])
            if agent_id not in latest or found[:2] > latest[agent_id][:2]:
                latest[agent_id] = found
        return tuple(
            Peer(
                agent_id,
                (stop_ns - time_ns) / 1e9,
                "continue" if flux.in_shadow(fields) else action,
                *flux.intervals_in_force(fields),
            )
            for agent_id, (time_ns, action, fields) in sorted(latest.items())
        )

    def activity(self, start_ns: int, stop_ns: int) -> Activity:
        """Aggregate every measurement over [start, stop), and the spend in the hour and day that end with it.

        `published` and `consumed` are by the queue that the messages really went through.
        """
        if stop_ns <= start_ns:
            return Activity(start_ns=start_ns, stop_ns=stop_ns)
        window = _Window(self._tables, start_ns, stop_ns)
        confidences = window.values("agent_reasoning", "confidence")
        errors = window.counts("api_calls", "error")
        hour_usd, day_usd = self.system_spend(stop_ns - 1)
        return Activity(
            start_ns=start_ns,
            stop_ns=stop_ns,
            published=window.sums("publisher_metrics", "messages_published", "routing_key", "queue"),
            consumed=window.sums("consumer_metrics", "messages_consumed", "queue"),
            consumed_by_action=window.sums("consumer_metrics", "messages_consumed", "processing_action"),
            late=sum(window.values("consumer_metrics", "late")),
            decisions=window.counts("agent_reasoning", "action"),
            decisions_by_brain=window.counts("agent_reasoning", "brain"),
            mean_confidence=flux.mean(sum(confidences), len(confidences)),
            tokens=sum(window.values("agent_reasoning", "tokens_used")),
            cost_usd=float(sum(window.values("api_calls", "cost_usd"))),
            api_calls=sum(errors.values()),
            api_errors={error: count for error, count in errors.items() if error not in ("", flux.NO_ERROR)},
            flagged=sum(window.counts("flags", "").values()),
            rejected=sum(window.counts("rejections", "").values()),
            agents=self._agents(start_ns, stop_ns),
            samples=self.queue_samples(start_ns, stop_ns),
            system_hour_usd=hour_usd,
            system_day_usd=day_usd,
        )

    def system_spend(self, at_ns: int) -> Tuple[float, float]:
        """Give the whole system's spend in USD in the UTC hour and the UTC day of `at_ns`, up to it.

        Each agent's latest `budget` point within the hour counts to the hour, that within the day to the day.
        """
        hour, day, after = flux.spend_bounds(at_ns)
        table = sorted(self._tables["budget"].items())
        spent = []
        for field, start_ns in (("spent_hour_usd", hour), ("spent_day_usd", day)):
            lasts = [(series.last(field, start_ns, after)) for _, series in table]
            spent.append(float(sum(last[1][field] for last in lasts if last is not None)))
        return spent[0], spent[1]

    def _forget(self, before_ns: int) -> None:
        self._samples.forget(before_ns)
        for measurement, table in self._tables.items():
            if measurement not in LASTING:
                for series in table.values():
                    series.forget(before_ns)

    def _series(self, row: Row) -> _Series:
        """Give the series of a point's tags, cleaned; a new one where there is none yet."""
        cleaned = {name: clean_tag(value) for name, value in row.tags.items()}
        tags = {name: value for name, value in cleaned.items() if value}
        measurement = row.measurement
        table, key = self._tables[measurement], tuple(sorted(tags.items()))
        if key not in table:
            table[key] = _Series(tags)
            if measurement == "agent_reasoning" and tags.get("decision_type") == flux.RATE_DECISION:
                self._rates.setdefault(tags.get("agent_type", ""), []).append(table[key])
        return table[key]

    def _agents(self, start_ns: int, stop_ns: int) -> Tuple[AgentSeen, ...]:
        seen = []
        for series in self._tables["agent_health"].values():
            up = series.last(flux.MARKERS["agent_health"], start_ns, stop_ns)
            if up is None:
                continue
            degraded = series.last("degraded", start_ns, stop_ns)
            state = series.last("state", start_ns, stop_ns)
            boots = {fields["boot_id"] for fields in series.between(start_ns, stop_ns) if "boot_id" in fields}
            seen.append(
                AgentSeen(
                    agent_id=series.tags.get("agent_id", ""),
                    agent_type=series.tags.get("agent_type", ""),
                    age_s=(stop_ns - up[0]) / 1e9,
                    degraded=degraded is not None and degraded[1]["degraded"],
                    boots=len(boots) or 1,
                    state="" if state is None else state[1]["state"],
                )
            )
        return tuple(sorted(seen, key=lambda agent: (agent.agent_id, agent.agent_type)))


class _Window:
    """Sums and counts over [start, stop)."""

    def __init__(self, tables: Dict[str, Dict[_Key, _Series]], start_ns: int, stop_ns: int) -> None:
        self._tables = tables
        self._start_ns = start_ns
        self._stop_ns = stop_ns
        self._inside: Dict[str, List[Tuple[Dict[str, str], List[Dict[str, Any]]]]] = {}

    def _points(self, measurement: str) -> List[Tuple[Dict[str, str], List[Dict[str, Any]]]]:
        """Give the tags and points of each series that has any; looked for once, as many fields are asked for."""
        if measurement not in self._inside:
            all_of = [(s.tags, s.between(self._start_ns, self._stop_ns)) for s in self._tables[measurement].values()]
            self._inside[measurement] = [(tags, points) for tags, points in all_of if points]
        return self._inside[measurement]

    def _found(self, measurement: str, field: str) -> Iterator[Tuple[Dict[str, str], List[Any]]]:
        for tags, points in self._points(measurement):
            values = [fields[field] for fields in points if field in fields]
            if values:
                yield tags, values

    def values(self, measurement: str, field: str) -> List[Any]:
        return [value for _, values in self._found(measurement, field) for value in values]

    def sums(self, measurement: str, field: str, tag: str, otherwise: str = "") -> Dict[str, int]:
        """Give the sums by the tag's value; where a series lacks it, by that of `otherwise`."""
        sums: Dict[str, int] = {}
        for tags, values in self._found(measurement, field):
            key = tags.get(tag, "") or tags.get(otherwise, "")
            sums[key] = sums.get(key, 0) + sum(values)
        return sums

    def counts(self, measurement: str, tag: str) -> Dict[str, int]:
        """Give the numbers of points by the tag's value."""
        counts: Dict[str, int] = {}
        for tags, values in self._found(measurement, flux.MARKERS[measurement]):
            key = tags.get(tag, "")
            counts[key] = counts.get(key, 0) + len(values)
        return counts


def _stored(row: Row) -> Dict[str, Any]:
    """Give the fields as they are kept; raises StoreRefused for one that InfluxDB would refuse."""
    types = FIELD_TYPES[row.measurement]
    fields = row.fields
    for name, value in row.fields.items():
        kind: type = type(value)
        if kind is not types[name]:
            wrong = f"{name} of {row.measurement} is {kind.__name__}, not {types[name].__name__}"
            raise StoreRefused(f"field type conflict: {wrong}")
        # Line protocol has neither (InfluxDB 2 manual, "Line protocol, data types").
        if kind is float:
            if not -_MAX_FLOAT <= value <= _MAX_FLOAT:
                raise StoreRefused(f"{name} of {row.measurement} is no finite number")
        elif kind is int:
            if not _MIN_INT <= value <= _MAX_INT:
                raise StoreRefused(f"{name} of {row.measurement} does not fit 64 bits")
        elif kind is str:
            cleaned = clean_string(value)
            fields = fields if cleaned is value else {**fields, name: cleaned}
    return fields
