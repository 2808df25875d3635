"""Every measurement with its tags and typed fields, declared once, and how a point becomes line protocol.

Used by the core (which makes rows), the InfluxDB adapter, the embedded store, the dashboards and the docs.
Sources: specification, "InfluxDB Schema for AI Metrics"; what is added stands beside it.
"""

from functools import lru_cache
from typing import Any, Dict, FrozenSet, Iterable, Literal, Mapping, Optional, Tuple, Union

from msgspec import Struct

FieldType = Literal["int", "float", "bool", "str"]
Scalar = Union[int, float, bool, str]

MAX_STRING_BYTES = 32768
"""InfluxDB takes strings of up to 64 KB; half of that leaves room for escapes."""


class Measurement(Struct, frozen=True):
    """One measurement: what it records, its tags and its fields with their one type each."""

    name: str
    description: str
    tags: Tuple[str, ...]
    fields: Dict[str, FieldType]


class Row(Struct, frozen=True, gc=False):
    """One point: fields of a measurement at a time (UTC nanoseconds) under a tag set, which rows may share."""

    measurement: str
    tags: Dict[str, str]
    fields: Dict[str, Any]
    time_ns: int


def declare(name: str, description: str, tags: str, **fields: str) -> Measurement:
    """Give a measurement; `tags`, and the fields of each type (`int=`, `float=`, …), are names with spaces between."""
    typed: Dict[str, Any] = {}
    for field_type in ("int", "float", "bool", "str"):
        for field in fields.get(field_type, "").split():
            typed[field] = field_type
    return Measurement(name=name, description=description, tags=tuple(tags.split()), fields=typed)


MEASUREMENTS: Dict[str, Measurement] = {
    measurement.name: measurement
    for measurement in (
        declare(
            "agent_reasoning",
            "One decision of an agent: what, why, at what cost, and later whether it helped.",
            "agent_id agent_type action decision_type brain model prompt_version queue arm",
            int="block fictional_interval nonfictional_interval previous_fictional_interval "
            "previous_nonfictional_interval queue_depth_fictional queue_depth_nonfictional queue_depth_priority "
            "queue_depth_fictional_after queue_depth_nonfictional_after queue_depth_priority_after "
            "tokens_used input_tokens output_tokens",
            float="confidence decision_latency_ms cost_usd would_cost_usd outcome_score "
            "drain_time_s drain_time_s_after",
            bool="outcome_success adjusted acted",
            str="reasoning decision_id message_id adjustment depth_source fallback_reason outcome_missing plan",
        ),
        declare(
            "publisher_metrics",
            "One message published and confirmed; `queue` is its genre's schedule, `routing_key` where it went.",
            "agent_id queue routing_key",
            int="messages_published current_interval",
            float="duration_ms",
            bool="ai_adjusted",
        ),
        declare(
            "consumer_metrics",
            "One message consumed, to its end; `age_ms` is from the header's timestamp to that end.",
            "agent_id queue processing_action",
            int="messages_consumed queue_depth attempts",
            float="processing_duration_ms age_ms",
            bool="ai_decision_used late duplicate",
        ),
        declare(
            "queue_metrics",
            "A sample of one queue; depth is ready + unacknowledged; the broker's rates are about 10 s old.",
            "queue agent_id",
            int="depth ready unacknowledged consumers",
            float="publish_rate ack_rate",
            str="source",
        ),
        declare(
            "agent_health",
            "An agent's heartbeat.",
            "agent_id agent_type",
            int="up pid memory_bytes spool_bytes spool_dropped clock_steps unconfirmed in_hand samples_skipped "
            "duplicates",
            float="uptime_s",
            bool="degraded paused held",
            str="boot_id version brain model state degraded_reason",
        ),
        declare(
            "api_calls",
            "One attempt at the Claude API, answered or not; `error` is none or the failure's kind.",
            "agent_id agent_type model error",
            int="attempt status input_tokens output_tokens",
            float="latency_ms cost_usd",
            str="decision_id",
        ),
        declare(
            "budget",
            "An agent's spend in the current hour and day (UTC), with its limits.",
            "agent_id",
            float="spent_hour_usd spent_day_usd limit_hour_usd limit_day_usd system_hour_usd system_day_usd",
            str="level",
        ),
        declare(
            "system_health",
            "The monitor's analysis of the last window; lists are JSON text.",
            "agent_id",
            int="system_health_score issues_detected suggestions_made alerts_raised messages_published "
            "messages_consumed agents_alive agents_expected api_errors decisions rejected flagged expired",
            float="drain_time_s cost_usd window_s",
            str="status ai_analysis_text issues suggestions alerts decision_id",
        ),
        declare(
            "flags",
            "One message set aside as an anomaly, by a brain (`ai`) or a plausibility check (`check`).",
            "agent_id queue by cause",
            str="message_id entity_id reason decision_id",
        ),
        declare(
            "rejections",
            "One message set aside because it is malformed or its handler failed for good.",
            "agent_id queue cause",
            str="message_id reason path",
        ),
        declare(
            "injected_anomalies",
            "Ground truth: one anomaly the generator put into a message on purpose.",
            "agent_id queue kind",
            str="message_id entity_id",
        ),
        declare(
            "experiment",
            "How an experiment stands when a block has ended: one measure under treatment and control, by blocks.",
            "agent_id plan measure",
            int="pairs pairs_missing",
            float="treated_mean control_mean difference interval_low interval_high p",
            str="treatment control verdict",
        ),
    )
}
"""By name."""


_TYPES: Dict[FieldType, type] = {"int": int, "float": float, "bool": bool, "str": str}
FIELD_TYPES: Dict[str, Dict[str, type]] = {
    name: {field: _TYPES[kind] for field, kind in measurement.fields.items()}
    for name, measurement in MEASUREMENTS.items()
}
"""Each measurement's fields with the Python type of their values."""


class _Series:
    """What all rows of one tag set have in common, and the latest of their stamps."""

    __slots__ = ("last_ns", "tags")

    def __init__(self, tags: Dict[str, str]) -> None:
        self.tags = tags
        self.last_ns: Optional[int] = None


class Stamper:
    """Makes rows whose timestamps are unique per series, so that no point silently replaces another.

    Invariant: within one series the stamps rise, except after the clock was set back by more than a second;
    then they start again at the clock's time and `clock_steps` rises by one.
    """

    _STEP_NS = 1_000_000_000

    def __init__(self) -> None:
        """Start with no series seen."""
        self.clock_steps = 0
        self._series: Dict[Tuple[str, FrozenSet[Tuple[str, str]]], _Series] = {}
        # The same tag sets come again and again, in the same order.
        self._by_given_tags: Dict[Tuple[Any, ...], _Series] = {}

    def row(self, measurement: str, tags: Mapping[str, str], fields: Mapping[str, Any], wall_ns: int) -> Row:
        """Give a row of `measurement` at `wall_ns` or just after; fields that are None are left out.

        Raises KeyError for a measurement, tag or field that is not declared: a programming error.
        """
        as_given = (measurement, *tags.items())
        series = self._by_given_tags.get(as_given)
        if series is None:
            series = self._by_given_tags[as_given] = self._declared(measurement, tags)
        types = FIELD_TYPES[measurement]
        typed = {}
        for name, value in fields.items():
            if name not in types:
                raise _unknown(measurement, fields.keys() - types.keys())
            if value is not None:
                # In the declared type, never in the one Python happens to hold.
                kind = types[name]
                typed[name] = value if type(value) is kind else kind(value)
        if series.last_ns is not None and wall_ns <= series.last_ns:
            wall_ns = self._after(series.last_ns, wall_ns)
        series.last_ns = wall_ns
        return Row(measurement, series.tags, typed, wall_ns)

    def _declared(self, measurement: str, tags: Mapping[str, str]) -> _Series:
        """Give the series of these tags, a new one where there is none yet; empty tags are left out."""
        unknown = tags.keys() - set(MEASUREMENTS[measurement].tags)
        if unknown:
            raise _unknown(measurement, unknown)
        kept = {tag: value for tag, value in tags.items() if value}
        return self._series.setdefault((measurement, frozenset(kept.items())), _Series(kept))

    def _after(self, last_ns: int, wall_ns: int) -> int:
        """Give the stamp of a row whose time is not after the series' last one."""
        if last_ns - wall_ns <= self._STEP_NS:
            return last_ns + 1
        self.clock_steps += 1
        return wall_ns


def _unknown(measurement: str, names: Iterable[str]) -> KeyError:
    return KeyError("{} has no {}".format(measurement, ", ".join(sorted(names))))


def clean_tag(text: str) -> str:
    """Give a tag's value as it is stored: line protocol has no line end in it and no backslash at its end."""
    return _printable(text).rstrip("\\")


def clean_string(text: str) -> str:
    """Give a string field's value as it is stored: one line, cut to `MAX_STRING_BYTES`."""
    # No character takes more than 4 bytes: nearly all texts are far too short to be cut.
    if len(text) * 4 <= MAX_STRING_BYTES:
        return text if text.isprintable() else _printable(text)
    return _printable(text.encode("utf-8", "replace")[:MAX_STRING_BYTES].decode("utf-8", "ignore"))


def _printable(text: str) -> str:
    if not text.isprintable():
        text = text.encode("utf-8", "replace").decode("utf-8")
        text = text.replace("\n", " ").replace("\r", " ").replace("\0", " ")
    return text


def to_line(row: Row) -> str:
    """Give the row as one line of InfluxDB's line protocol (InfluxDB 2 manual, "Line protocol")."""
    tags = "".join(",{}={}".format(_key(name), _key(value)) for name, value in sorted(row.tags.items()) if _key(value))
    types = MEASUREMENTS[row.measurement].fields
    fields = ",".join("{}={}".format(_key(k), _value(types[k], v)) for k, v in sorted(row.fields.items()))
    return "{}{} {} {}".format(row.measurement, tags, fields, row.time_ns)


# Names and tag values recur; this halves the time of a line.
@lru_cache(maxsize=4096)
def _key(text: str) -> str:
    text = clean_tag(text)
    for special in (",", "=", " "):
        text = text.replace(special, "\\" + special)
    return text


def _value(field_type: FieldType, value: Any) -> str:
    if field_type == "int":
        return "{}i".format(int(value))
    if field_type == "float":
        return repr(float(value))
    if field_type == "bool":
        return "true" if value else "false"
    return '"{}"'.format(clean_string(str(value)).replace("\\", "\\\\").replace('"', '\\"'))
