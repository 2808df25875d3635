"""What InfluxDB and its double must both do: the same points in, the same answers out."""

import secrets
from typing import Any, Dict, List, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from reasond.adapters.influxdb import InfluxReader
from reasond.core.views import Activity, AgentSeen, Decided, Minutes, Peer, QueueSample
from reasond.embedded.store import EmbeddedStore
from reasond.errors import StoreRefused
from reasond.points import MEASUREMENTS, Row, to_line
from reasond.settings import InfluxSettings
from tests.testbed.http import HttpError
from tests.testbed.influxd import Influxd

SECOND = 10**9
NOON = 1790000000 * SECOND - (1790000000 * SECOND) % (24 * 3600 * SECOND) + 12 * 3600 * SECOND
START, STOP = NOON - 300 * SECOND, NOON
AWKWARD = [
    'say "yes"',
    "a\\b",
    "back\\",
    "line\nend\r\n",
    "tab\there",
    "naïve café",
    "本 📚 🤖",
    "a,b=c d",
    "${x}",
    "'",
    "#1",
    '{"json": [1, 2]}',
    " lead and trail ",
    "\u2028",
    "nul\0",
    "\ud800",
    "e\u0301",
    "true",
    "1i",
    ",,",
    "==",
    "\\,",
]


class Embedded:
    """The double, behind the little that the suite needs beside the questions."""

    def __init__(self) -> None:
        self.ask = EmbeddedStore()

    def write(self, *rows: Row) -> None:
        self.ask.write(rows)

    def refuses(self, row: Row) -> bool:
        try:
            self.ask.write((row,))
        except StoreRefused:
            return True
        return False

    def types(self, measurement: str) -> Dict[str, str]:
        return {
            name: type(value).__name__
            for row in self.ask.rows(measurement, 0, 2**62)
            for name, value in row.fields.items()
        }


class InfluxDB:
    """A bucket of a real one."""

    KINDS = {"long": "int", "double": "float", "boolean": "bool", "string": "str"}

    def __init__(self, influxd: Influxd, bucket: str) -> None:
        self.influxd = influxd
        self.bucket = bucket
        self.ask = InfluxReader(
            InfluxSettings(url=influxd.url, token=influxd.token, org=influxd.org, bucket=bucket, timeout_s=30)
        )

    def write(self, *rows: Row) -> None:
        self.influxd.write(self.bucket, "\n".join(to_line(row) for row in rows))

    def refuses(self, row: Row) -> bool:
        """Write the row as Python happens to hold its values, as a stranger might."""
        ((name, value),) = row.fields.items()
        text = {int: "{}i", str: '"{}"', float: "{!r}"}[type(value)].format(value)
        tags = "".join(f",{tag}={text}" for tag, text in row.tags.items())
        try:
            self.influxd.write(self.bucket, f"{row.measurement}{tags} {name}={text} {row.time_ns}")
        except HttpError as err:
            return err.status in (400, 422)
        return False

    def types(self, measurement: str) -> Dict[str, str]:
        api = self.ask._api or self._connected()
        text = f'from(bucket: "{self.bucket}") |> range(start: 0, stop: 2200-01-01T00:00:00Z)'
        text += f'|> filter(fn: (r) => r._measurement == "{measurement}")'
        return {
            record.get_field(): type(record.get_value()).__name__
            for table in api.query(text)
            for record in table.records
        }

    def _connected(self) -> Any:
        self.ask.queue_samples(0, 1)
        return self.ask._api


def sample(at: int, queue: str = "fictional", agent_id: str = "monitor-1", **fields: Any) -> Row:
    return Row("queue_metrics", {"queue": queue, "agent_id": agent_id}, fields or {"depth": 1}, at)


def decision(at: int, agent_id: str = "publisher-1", action: str = "continue", **more: Any) -> Row:
    tags = {
        "agent_id": agent_id,
        "agent_type": agent_id.split("-")[0],
        "action": action,
        "decision_type": more.pop("decision_type", "rate_adjustment"),
        "brain": more.pop("brain", "claude"),
        "model": "m",
        "prompt_version": "1",
    }
    fields = {"decision_id": f"d{at}", "reasoning": "because"}
    fields.update(more)
    return Row("agent_reasoning", tags, {k: v for k, v in fields.items() if v is not None}, at)


def heartbeat(at: int, agent_id: str, **fields: Any) -> Row:
    return Row(
        "agent_health",
        {"agent_id": agent_id, "agent_type": agent_id.split("-")[0]},
        dict({"up": 1}, **fields),
        at,
    )


def budget(at: int, agent_id: str, hour: float, day: float) -> Row:
    return Row("budget", {"agent_id": agent_id}, {"spent_hour_usd": hour, "spent_day_usd": day}, at)


def api_call(at: int, usd: float, agent_id: str = "publisher-1") -> Row:
    tags = {"agent_id": agent_id, "agent_type": "publisher", "model": "m", "error": "none"}
    return Row("api_calls", tags, {"attempt": 1, "cost_usd": usd}, at)


def exposed(at: int, arm: str, block: int, **more: Any) -> Row:
    row = decision(at, block=block, **more)
    return replace(row, tags=dict(row.tags, arm=arm))


class StoreContract:
    """The suite; a subclass gives `store`."""

    def test_every_question_to_an_empty_store_has_an_empty_answer(self, store: Any) -> None:
        assert store.ask.queue_samples(START, STOP) == ()
        assert store.ask.peers("publisher", START, STOP) == ()
        assert store.ask.activity(START, STOP) == Activity(start_ns=START, stop_ns=STOP)
        assert store.ask.system_spend(NOON) == (0.0, 0.0)
        assert store.ask.minutes(START, STOP) == Minutes({"depth": {}, "expired": {}, "usd": {}})

    @pytest.mark.parametrize("stop", [START, START - 1], ids=["empty", "backwards"])
    def test_a_range_without_length_holds_nothing(self, store: Any, stop: int) -> None:
        store.write(sample(START), decision(START))

        assert store.ask.queue_samples(START, stop) == ()
        assert store.ask.peers("publisher", START, stop) == ()
        assert store.ask.activity(START, stop) == Activity(start_ns=START, stop_ns=stop)

    def test_a_range_includes_its_start_and_excludes_its_stop_to_the_nanosecond(self, store: Any) -> None:
        times = (START - 1, START, STOP - 1, STOP)
        store.write(*(sample(at, depth=index) for index, at in enumerate(times)))
        store.write(*(decision(at) for at in times))

        assert [(found.time_ns, found.depth) for found in store.ask.queue_samples(START, STOP)] == [
            (START, 1),
            (STOP - 1, 2),
        ]
        assert store.ask.peers("publisher", START, STOP)[0].age_s == pytest.approx(1e-9)
        assert store.ask.activity(START, STOP).decisions == {"continue": 2}

    def test_minutes_have_the_main_queues_mean_depth_what_expired_and_what_was_spent(self, store: Any) -> None:
        two = START + 60 * SECOND
        store.write(
            sample(START, depth=2),
            sample(START + 30 * SECOND, depth=4),
            sample(START + 30 * SECOND, agent_id="monitor-2", depth=9),
            sample(START + 10 * SECOND, "priority", depth=1),
            sample(START + 20 * SECOND, "priority", source="unknown"),
            sample(two, "non-fictional", depth=5),
            sample(START, "books.flagged", depth=70),
            *(
                sample(START + at * SECOND, "books.expired", depth=depth)
                for at, depth in ((0, 10), (30, 13), (59, 12), (60, 12), (90, 17))
            ),
            api_call(START + 1, 0.25),
            api_call(START + 2, 0.5, agent_id="publisher-2"),
            api_call(two + 1, 1.0),
            api_call(STOP, 99.0),
        )

        found = store.ask.minutes(START, STOP)

        assert found.figures == {
            "depth": {START: 7.0, two: 5.0},
            "expired": {START: 3.0, two: 5.0},
            "usd": {START: 0.75, two: 1.0},
        }

    def test_minutes_count_who_decided_in_an_experiments_blocks(self, store: Any) -> None:
        store.write(
            exposed(START + 1, "claude", 7),
            exposed(START + 2, "claude", 7, action="slow_down"),
            exposed(START + 3, "claude", 7, brain="rules"),
            exposed(START + 4, "static", 8, brain="rules"),
            exposed(START + 5, "static", 8, brain="experiment"),
            exposed(START + 6, "static", 8, brain="operator"),
            decision(START + 7),
        )

        assert store.ask.minutes(START, STOP).decided == (
            Decided(7, "claude", "claude", 2),
            Decided(7, "claude", "rules", 1),
            Decided(8, "static", "rules", 1),
        )

    def test_activity_names_the_plans_that_decisions_were_taken_under(self, store: Any) -> None:
        store.write(
            exposed(START + 1, "claude", 7, plan="claude,static:60m"),
            exposed(START + 2, "static", 8, plan="claude,static:60m"),
            exposed(START + 3, "rules", 8, plan="claude,rules:60m"),
            exposed(STOP, "rules", 8, plan="dry-run,rules:60m"),
            decision(START + 4),
        )

        assert store.ask.activity(START, STOP).plans == ("claude,rules:60m", "claude,static:60m")

    def test_queue_samples_come_oldest_first_with_unknown_left_unknown(self, store: Any) -> None:
        store.write(
            sample(START + 5, "priority", depth=3, ready=2, unacknowledged=1, source="management"),
            sample(START + 2, "non-fictional", depth=7, source="declare"),
            sample(START + 2, "fictional", publish_rate=0.5, ack_rate=1.0, consumers=3, source="unknown"),
            sample(START + 3, "fictional", source="a stranger's"),
        )

        assert store.ask.queue_samples(START, STOP) == (
            QueueSample(START + 2, "fictional", None, None, None, 0.5, 1.0, 3, "unknown"),
            QueueSample(START + 2, "non-fictional", 7, source="declare"),
            QueueSample(START + 3, "fictional", None, source="unknown"),
            QueueSample(START + 5, "priority", 3, 2, 1, source="management"),
        )

    def test_samples_of_two_writers_at_one_time_both_count(self, store: Any) -> None:
        store.write(sample(START, agent_id="monitor-2", depth=2), sample(START, agent_id="monitor-1", depth=1))

        assert [found.depth for found in store.ask.queue_samples(START, STOP)] == [1, 2]

    def test_a_point_written_again_with_other_fields_has_them_all(self, store: Any) -> None:
        store.write(sample(START, depth=4, ready=4))
        store.write(sample(START, unacknowledged=0, ready=3))

        (found,) = store.ask.queue_samples(START, STOP)

        assert (found.depth, found.ready, found.unacknowledged) == (4, 3, 0)

    def test_an_amended_decision_is_still_one_decision(self, store: Any) -> None:
        written = decision(START, fictional_interval=5, nonfictional_interval=10, tokens_used=100)
        store.write(written)
        store.write(Row(written.measurement, written.tags, {"outcome_success": True, "outcome_score": 1.0}, START))

        assert store.ask.activity(START, STOP).decisions == {"continue": 1}
        assert store.ask.activity(START, STOP).tokens == 100
        assert store.ask.peers("publisher", START, STOP)[0].fictional_interval == 5

    def test_an_amendment_that_lost_its_decision_counts_as_none(self, store: Any) -> None:
        orphan = Row("agent_reasoning", decision(START).tags, {"outcome_success": True, "fictional_interval": 9}, START)
        store.write(orphan)

        assert store.ask.activity(START, STOP).decisions == {}
        assert store.ask.peers("publisher", START, STOP) == ()

    def test_a_younger_amendment_without_an_original_does_not_hide_the_decision(self, store: Any) -> None:
        made = decision(START, fictional_interval=5, nonfictional_interval=10)
        store.write(made, Row("agent_reasoning", made.tags, {"fictional_interval": 9}, START + SECOND))

        assert store.ask.peers("publisher", START, STOP) == (Peer("publisher-1", 300.0, "continue", 5, 10),)

    def test_an_amendment_with_other_tags_is_another_point(self, store: Any) -> None:
        store.write(decision(START, brain="claude"), decision(START, brain="rules"))

        assert store.ask.activity(START, STOP).decisions_by_brain == {"claude": 1, "rules": 1}

    def test_peers_are_the_latest_rate_decision_of_each_agent_of_the_kind(self, store: Any) -> None:
        store.write(
            decision(START + 1 * SECOND, "publisher-2", "slow_down", fictional_interval=9, nonfictional_interval=18),
            decision(START + 3 * SECOND, "publisher-2", "pause"),
            decision(START + 2 * SECOND, "publisher-2", "speed_up", fictional_interval=1, nonfictional_interval=1),
            decision(START + 1 * SECOND, "publisher-10", "continue", fictional_interval=5, nonfictional_interval=10),
            decision(START + 4 * SECOND, "publisher-3", "process", decision_type="message_handling"),
            decision(START + 4 * SECOND, "consumer-1", "process"),
            decision(START - 1, "publisher-1", "slow_down", fictional_interval=9),
        )

        assert store.ask.peers("publisher", START, STOP) == (
            Peer("publisher-10", 299.0, "continue", 5, 10),
            Peer("publisher-2", 297.0, "pause", None, None),
        )

    def test_a_kind_of_agent_that_is_flux_text_finds_nothing_and_changes_nothing(self, store: Any) -> None:
        store.write(decision(START))

        assert store.ask.peers('x" or true or r.agent_type == "publisher', START, STOP) == ()
        assert store.ask.peers("${bucket}", START, STOP) == ()
        assert len(store.ask.peers("publisher", START, STOP)) == 1

    def test_activity_adds_up_everything_in_the_window(self, store: Any) -> None:
        at = START + SECOND
        store.write(*_busy_window(at))

        found = store.ask.activity(START, STOP)

        assert found.published == {"fictional": 1, "priority": 3, "non-fictional": 1}
        assert found.consumed == {"fictional": 2, "priority": 1}
        assert found.consumed_by_action == {"immediate": 2, "batched": 1}
        assert found.late == 1
        assert found.decisions == {"slow_down": 1, "process": 1}
        assert found.decisions_by_brain == {"claude": 1, "rules": 1}
        assert found.mean_confidence == pytest.approx(0.75)
        assert (found.tokens, found.api_calls, found.api_errors) == (700, 3, {"overloaded": 2})
        assert found.cost_usd == pytest.approx(0.03)
        assert (found.flagged, found.rejected) == (2, 1)
        assert found.samples == (QueueSample(at, "priority", 4, source="unknown"),)

    def test_agents_are_seen_by_their_latest_heartbeat_and_their_boots(self, store: Any) -> None:
        store.write(
            heartbeat(START + 1 * SECOND, "publisher-1", boot_id="one", degraded=True, state="degraded: waiting"),
            heartbeat(START + 2 * SECOND, "publisher-1", boot_id="two", degraded=True),
            heartbeat(START + 3 * SECOND, "publisher-1", boot_id="one", degraded=False, state='rate 5 s, "fine" 📚'),
            heartbeat(START + 290 * SECOND, "consumer-1", boot_id="c"),
            heartbeat(STOP, "monitor-1", boot_id="m"),
        )

        assert store.ask.activity(START, STOP).agents == (
            AgentSeen("consumer-1", "consumer", 10.0, False, 1, ""),
            AgentSeen("publisher-1", "publisher", 297.0, False, 2, 'rate 5 s, "fine" 📚'),
        )

    def test_spend_of_a_past_hour_counts_to_the_day_only(self, store: Any) -> None:
        hour, day = 3600 * SECOND, 24 * 3600 * SECOND
        store.write(
            budget(NOON - 1, "publisher-1", hour=0.5, day=2.0),
            budget(NOON, "publisher-2", hour=0.1, day=1.0),
            budget(NOON + 60 * SECOND, "publisher-2", hour=0.25, day=1.5),
            budget(NOON + 61 * SECOND, "publisher-2", hour=9.0, day=9.0),
            budget(NOON - 12 * hour, "consumer-1", hour=0.125, day=0.125),
            budget(NOON - 12 * hour - 1, "consumer-2", hour=3.0, day=3.0),
        )

        assert store.ask.system_spend(NOON + 60 * SECOND) == (0.25, 3.625)
        assert store.ask.system_spend(NOON - 1) == (0.5, 2.125)
        assert store.ask.system_spend(NOON - 12 * hour) == (0.125, 0.125)
        assert store.ask.system_spend(NOON + day) == (0.0, 0.0)
        assert store.ask.system_spend(NOON - 12 * hour - 1) == (3.0, 3.0)

    def test_activity_ends_with_the_hour_that_its_window_ends_in(self, store: Any) -> None:
        store.write(budget(STOP - 1, "publisher-1", hour=0.5, day=2.0), budget(STOP, "publisher-1", hour=0.1, day=2.1))

        found = store.ask.activity(START, STOP)

        assert (found.system_hour_usd, found.system_day_usd) == (0.5, 2.0)

    @pytest.mark.parametrize("text", AWKWARD, ids=[ascii(text) for text in AWKWARD])
    def test_awkward_text_is_kept_or_cleaned_alike(self, store: Any, text: str) -> None:
        plain = text.replace("\n", " ").replace("\r", " ").replace("\0", " ").replace("\ud800", "?")
        row = decision(START, action=text, reasoning=text)
        store.write(row, heartbeat(START, "publisher-1", state=text))

        found = store.ask.activity(START, STOP)

        assert found.agents[0].state == plain
        assert found.decisions == {plain.rstrip("\\"): 1}

    def test_each_field_has_its_declared_type(self, store: Any) -> None:
        values = {"int": 7, "float": 7.0, "bool": True, "str": "7"}
        for name, measurement in MEASUREMENTS.items():
            fields = {field: values[kind] for field, kind in measurement.fields.items()}
            store.write(Row(name, {measurement.tags[0]: "x"}, fields, START))

            assert store.types(name) == measurement.fields

    @pytest.mark.parametrize(
        ("field", "value"),
        [("depth", 1.5), ("depth", "1"), ("publish_rate", 1), ("source", 1), ("publish_rate", float("nan"))],
        ids=["float-for-int", "text-for-int", "int-for-float", "int-for-text", "not-a-number"],
    )
    def test_a_value_of_another_type_is_refused(self, store: Any, field: str, value: Any) -> None:
        store.write(sample(START, depth=1, publish_rate=1.0, source="declare"))

        assert store.refuses(sample(START + 1, **{field: value}))
        assert len(store.ask.queue_samples(START, STOP)) == 1


class TestEmbedded(StoreContract):
    @pytest.fixture
    def store(self) -> Embedded:
        return Embedded()


class TestInfluxDB(StoreContract):
    @pytest.fixture
    def store(self, influxd: Influxd, bucket: str) -> InfluxDB:
        return InfluxDB(influxd, bucket)


def _busy_window(at: int) -> List[Row]:
    def published(routing_key: str, queue: str, at: int, count: int = 1) -> Row:
        tags = {"agent_id": "publisher-1", "queue": queue, "routing_key": routing_key}
        return Row("publisher_metrics", tags, {"messages_published": count, "duration_ms": 1.5}, at)

    def consumed(queue: str, action: str, at: int, late: bool) -> Row:
        tags = {"agent_id": "consumer-1", "queue": queue, "processing_action": action}
        return Row("consumer_metrics", tags, {"messages_consumed": 1, "late": late}, at)

    def called(error: str, at: int) -> Row:
        tags = {"agent_id": "publisher-1", "agent_type": "publisher", "model": "m", "error": error}
        return Row("api_calls", tags, {"attempt": 1, "cost_usd": 0.01}, at)

    def flag(by: str, at: int) -> Row:
        return Row(
            "flags",
            {"agent_id": "consumer-1", "queue": "fictional", "by": by, "cause": "x"},
            {"reason": "r"},
            at,
        )

    return [
        published("fictional", "fictional", at),
        published("priority", "fictional", at),
        published("priority", "non-fictional", at, 2),
        published("", "non-fictional", at),
        published("fictional", "fictional", STOP),
        consumed("fictional", "immediate", at, late=False),
        consumed("fictional", "immediate", at + 1, late=True),
        consumed("priority", "batched", at, late=False),
        decision(at, action="slow_down", confidence=0.5, tokens_used=600),
        decision(
            at,
            "consumer-1",
            "process",
            brain="rules",
            decision_type="message_handling",
            confidence=1.0,
            tokens_used=100,
        ),
        called("none", at),
        called("overloaded", at),
        called("overloaded", at + 1),
        flag("ai", at),
        flag("check", at),
        Row(
            "rejections",
            {"agent_id": "consumer-1", "queue": "fictional", "cause": "schema"},
            {"reason": "r"},
            at,
        ),
        sample(at, "priority", depth=4),
    ]


# Few tag values and times, so that points meet, merge and stand on the window's edges.
_times = st.sampled_from([START - 1, START, START + 1, START + 7 * SECOND, STOP - 1, STOP])
_counts = st.integers(-(2**53), 2**53)
_dollars = st.floats(0, 1e6, allow_subnormal=False)
_words = st.text(st.characters(codec="utf-8"), max_size=8)


def _maybe(**fields: Any) -> Any:
    return st.fixed_dictionaries({}, optional=fields).filter(bool)


def _rows(measurement: str, tags: Dict[str, Sequence[str]], fields: Any) -> Any:
    kinds = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in tags.items()})
    return st.builds(Row, st.just(measurement), kinds, fields, _times)


AGENTS = ["publisher-1", "publisher-2", "consumer-1"]
ANY_ROW = st.one_of(
    _rows(
        "queue_metrics",
        {"queue": ["fictional", "priority"], "agent_id": ["monitor-1", ""]},
        _maybe(depth=_counts, ready=_counts, publish_rate=_dollars, source=st.sampled_from(["declare", "x"])),
    ),
    _rows(
        "agent_reasoning",
        {
            "agent_id": AGENTS,
            "agent_type": ["publisher"],
            "action": ["slow_down", "pause"],
            "decision_type": ["rate_adjustment"],
            "brain": ["claude", "rules"],
        },
        _maybe(
            decision_id=st.just("d"),
            fictional_interval=_counts,
            confidence=st.floats(0, 1),
            tokens_used=_counts,
            reasoning=_words,
        ),
    ),
    _rows(
        "agent_health",
        {"agent_id": AGENTS, "agent_type": ["publisher"]},
        _maybe(up=st.just(1), degraded=st.booleans(), state=_words, boot_id=st.sampled_from(["a", "b"])),
    ),
    _rows(
        "consumer_metrics",
        {"agent_id": AGENTS, "queue": ["fictional", ""], "processing_action": ["immediate", "batched"]},
        _maybe(messages_consumed=st.integers(0, 9), late=st.booleans()),
    ),
    _rows(
        "publisher_metrics",
        {"queue": ["fictional"], "routing_key": ["priority", ""]},
        _maybe(messages_published=_counts),
    ),
    _rows("api_calls", {"error": ["none", "overloaded", ""]}, _maybe(attempt=st.just(1), cost_usd=_dollars)),
    _rows("budget", {"agent_id": AGENTS}, _maybe(spent_hour_usd=_dollars, spent_day_usd=_dollars)),
    _rows("flags", {"by": ["ai", "check"]}, _maybe(reason=_words, message_id=_words)),
)


def _rounded(activity: Activity) -> Dict[str, Any]:
    """Give the figures with sums of floats cut where the order of adding shows."""
    plain = {name: getattr(activity, name) for name in activity.__struct_fields__}
    for name, value in plain.items():
        if isinstance(value, float):
            plain[name] = pytest.approx(value, rel=1e-9)
    return plain


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ANY_ROW, min_size=1, max_size=25))
def test_both_stores_answer_alike_whatever_was_written(influxd: Influxd, rows: List[Row]) -> None:
    bucket = influxd.fresh_bucket("alike-" + secrets.token_hex(6))
    real, double = InfluxDB(influxd, bucket), Embedded()
    try:
        for row in rows:
            double.write(row)
        real.write(*rows)

        assert real.ask.queue_samples(START, STOP) == double.ask.queue_samples(START, STOP)
        assert real.ask.peers("publisher", START, STOP) == double.ask.peers("publisher", START, STOP)
        assert _rounded(real.ask.activity(START, STOP)) == _rounded(double.ask.activity(START, STOP))
        assert real.ask.system_spend(STOP) == pytest.approx(double.ask.system_spend(STOP))
    finally:
        influxd.delete_bucket(bucket)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=20), min_size=1, max_size=20, unique=True))
def test_both_stores_keep_any_text_alike(influxd: Influxd, texts: List[str]) -> None:
    bucket = influxd.fresh_bucket("texts-" + secrets.token_hex(6))
    real, double = InfluxDB(influxd, bucket), Embedded()
    rows = [decision(START + index, action=text, brain=text) for index, text in enumerate(texts)]
    rows += [heartbeat(START, f"publisher-{index}", state=text) for index, text in enumerate(texts)]
    try:
        double.write(*rows)
        real.write(*rows)

        mine, theirs = double.ask.activity(START, STOP), real.ask.activity(START, STOP)
        assert theirs.decisions == mine.decisions
        assert theirs.decisions_by_brain == mine.decisions_by_brain
        assert theirs.agents == mine.agents
    finally:
        influxd.delete_bucket(bucket)
