"""Points on their way to a real InfluxDB that is killed, frozen, or refuses them."""

import time
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest

from reasond.adapters.influxdb import InfluxReader, InfluxWriter, WriterStats
from reasond.adapters.spool import Spool
from reasond.errors import StoreRefused, StoreUnavailable
from reasond.points import Row
from reasond.settings import InfluxSettings
from tests.testbed.influxd import Influxd
from tests.testbed.waiting import wait_until

PLENTY = 10**8


class Sender:
    """A writer to one bucket, with what it said."""

    def __init__(self, server: Influxd, directory: Path, bucket: str, **more: Any) -> None:
        max_bytes = more.pop("max_bytes", PLENTY)
        values = dict({"url": server.url, "token": server.token, "org": server.org, "bucket": bucket}, **more)
        self.settings = InfluxSettings(**values)
        self.said: List[str] = []
        self.spool = Spool(directory, max_bytes)
        self.writer = InfluxWriter(self.settings, self.spool, self.said.append)

    def wait(self, probe: Callable[[WriterStats], Any], what: str, timeout_seconds: float = 30) -> None:
        wait_until(lambda: probe(self.writer.stats), what=what, timeout_seconds=timeout_seconds)


class Stream:
    """Rows with ever later times, one nanosecond apart, so that each can be counted."""

    def __init__(self) -> None:
        self._next_ns = time.time_ns() - 60 * 10**9
        self.made = 0

    def rows(self, count: int, agent_id: str = "consumer-1") -> List[Row]:
        self.made += count
        tags = {"agent_id": agent_id, "queue": "fictional", "processing_action": "immediate"}
        rows = [
            Row("consumer_metrics", tags, {"messages_consumed": 1, "age_ms": 1.5}, self._next_ns + at)
            for at in range(count)
        ]
        self._next_ns += count
        return rows


def _count(server: Influxd, bucket: str, measurement: str = "consumer_metrics") -> int:
    found = server.query(
        'from(bucket: "{}") |> range(start: -1h) |> filter(fn: (r) => r._measurement == "{}"'
        ' and r._field == "{}") |> count() |> group() |> sum()'.format(
            bucket,
            measurement,
            {"consumer_metrics": "messages_consumed", "agent_reasoning": "reasoning"}[measurement],
        )
    )
    return int(found[0]["_value"]) if found and "_value" in found[0] else 0


@pytest.fixture
def own_bucket(breakable_influxd: Influxd) -> Iterator[str]:
    made = breakable_influxd.fresh_bucket()
    yield made
    breakable_influxd.delete_bucket(made)


def test_no_point_is_lost_when_influxdb_is_killed_and_comes_back(
    breakable_influxd: Influxd, own_bucket: str, tmp_path: Path
) -> None:
    sender, stream = Sender(breakable_influxd, tmp_path, own_bucket, timeout_s=2.0), Stream()
    for _turn in range(2):
        for _ in range(20):
            sender.writer.write(stream.rows(50))
            time.sleep(0.01)
        sender.wait(lambda stats: stats.written, "the first points written")
        breakable_influxd.kill()
        for _ in range(20):
            sender.writer.write(stream.rows(50))
            time.sleep(0.01)
        sender.wait(lambda stats: stats.last_error, "the problem said")
        away = sender.writer.stats
        breakable_influxd.start()
        sender.wait(lambda stats: not stats.spool_bytes, "everything sent")
        assert away.spool_bytes > 0 and away.lag_s > 0

    assert _count(breakable_influxd, own_bucket) == stream.made
    assert sender.said[-1] == ""
    # Each absence is said once when it begins and once when it ends.
    assert len([text for text in sender.said if text]) <= 4
    assert sender.writer.stats.dropped == sender.writer.stats.rejected == 0
    assert sender.writer.close(5)


def test_frozen_influxdb_costs_time_but_no_point_and_holds_nobody_up(
    breakable_influxd: Influxd, own_bucket: str, tmp_path: Path
) -> None:
    sender, stream = Sender(breakable_influxd, tmp_path, own_bucket, timeout_s=0.5), Stream()
    reader = InfluxReader(sender.settings)
    sender.writer.write(stream.rows(100))
    sender.wait(lambda stats: stats.written == 100, "the first points written")
    breakable_influxd.signal_stop()
    try:
        begun = time.monotonic()
        for _ in range(100):
            sender.writer.write(stream.rows(10))
        appended_s = time.monotonic() - begun
        sender.wait(lambda stats: "no answer in time" in stats.last_error, "the problem said")
        with pytest.raises(StoreUnavailable, match="no answer in time"):
            reader.system_spend(time.time_ns())
        begun = time.monotonic()
        assert not sender.writer.flush(0.3)
        flushed_s = time.monotonic() - begun
    finally:
        breakable_influxd.signal_cont()
    sender.wait(lambda stats: not stats.spool_bytes, "everything sent")

    assert appended_s < 1.0
    assert flushed_s < 2.0
    assert _count(breakable_influxd, own_bucket) == stream.made
    sender.writer.close(5)


def test_restart_of_the_agent_sends_what_the_last_one_could_not(
    breakable_influxd: Influxd, own_bucket: str, tmp_path: Path
) -> None:
    stream = Stream()
    breakable_influxd.kill()
    try:
        first = Sender(breakable_influxd, tmp_path, own_bucket, timeout_s=1.0)
        first.writer.write(stream.rows(3000))
        assert not first.writer.close(0.5)
    finally:
        breakable_influxd.start()

    second = Sender(breakable_influxd, tmp_path, own_bucket)
    second.writer.write(stream.rows(10))
    assert second.writer.flush(30)

    assert _count(breakable_influxd, own_bucket) == stream.made
    second.writer.close(5)


def test_one_bad_line_in_a_thousand_costs_only_itself(influxd: Influxd, bucket: str, tmp_path: Path) -> None:
    sender, stream = Sender(influxd, tmp_path, bucket), Stream()
    sender.writer.write(stream.rows(500))
    sender.spool.append(["consumer_metrics,agent_id=consumer-1 messages_consumed=nonsense 1"])
    sender.writer.write(stream.rows(499))
    assert sender.writer.flush(30)
    stats = sender.writer.stats

    assert _count(influxd, bucket) == stats.written == 999
    assert stats.rejected == 1
    assert "messages_consumed=nonsense" in (tmp_path / "rejected.lp").read_text()
    assert "unable to parse" in stats.last_error
    sender.writer.close(5)


def test_field_of_another_type_is_refused_alone_and_not_sent_again(
    influxd: Influxd, bucket: str, tmp_path: Path
) -> None:
    sender, stream = Sender(influxd, tmp_path, bucket), Stream()
    rows = stream.rows(100)
    sender.writer.write(rows[:50])
    assert sender.writer.flush(30)
    tags = "consumer_metrics,agent_id=consumer-1,processing_action=immediate,queue=fictional"
    sender.spool.append([f"{tags} messages_consumed=1.5 {time.time_ns()}"])
    sender.writer.write(rows[50:])
    assert sender.writer.flush(30)

    assert _count(influxd, bucket) == 100
    assert sender.writer.stats.rejected == 1
    assert "field type conflict" in sender.writer.stats.last_error
    sender.writer.close(5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"token": "not-a-token"}, "INFLUXDB_TOKEN"),
        ({"bucket": "no-such-bucket"}, "INFLUXDB_BUCKET"),
        ({"org": "no-such-org"}, "INFLUXDB_ORG"),
    ],
    ids=["token", "bucket", "organization"],
)
def test_wrong_setting_is_said_once_with_its_name_and_points_wait(
    influxd: Influxd, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Any, said: str
) -> None:
    monkeypatch.setattr("reasond.adapters.influxdb.REFUSED_BASE_S", 0.1)
    values = dict({"bucket": bucket}, **wrong)
    sender, stream = Sender(influxd, tmp_path, values.pop("bucket"), **values), Stream()
    sender.writer.write(stream.rows(10))
    sender.wait(lambda stats: stats.last_error, "the problem said")
    sender.writer.flush(1.0)

    assert len(sender.said) == 1 and said in sender.said[0]
    assert "not-a-token" not in sender.said[0] and influxd.token not in sender.said[0]
    assert sender.writer.stats.spool_bytes > 0
    assert sender.writer.stats.rejected == 0
    with pytest.raises(StoreRefused, match=said):
        InfluxReader(sender.settings).queue_samples(0, 1)
    sender.writer.close(0.2)


def test_small_spool_keeps_the_newest_and_the_decisions_and_counts_the_rest(
    breakable_influxd: Influxd, own_bucket: str, tmp_path: Path
) -> None:
    stream = Stream()
    breakable_influxd.kill()
    try:
        sender = Sender(breakable_influxd, tmp_path, own_bucket, timeout_s=1.0, max_bytes=65536)
        now = time.time_ns()
        decisions = [
            Row("agent_reasoning", {"agent_id": "publisher-1"}, {"reasoning": "why"}, now + at) for at in range(100)
        ]
        sender.writer.write(decisions)
        for _ in range(60):
            sender.writer.write(stream.rows(50))
            assert sender.spool.sync(5)
        size = sum(path.stat().st_size for path in tmp_path.glob("*.lp"))
    finally:
        breakable_influxd.start()
    sender.wait(lambda stats: not stats.spool_bytes, "everything sent")
    stats = sender.writer.stats

    assert size <= 65536
    assert _count(breakable_influxd, own_bucket, "agent_reasoning") == 100
    assert stats.dropped > 0
    assert _count(breakable_influxd, own_bucket) == stream.made - stats.dropped
    sender.writer.close(5)


def test_long_absence_s_backlog_drains_within_seconds(
    breakable_influxd: Influxd, own_bucket: str, tmp_path: Path
) -> None:
    stream = Stream()
    breakable_influxd.kill()
    try:
        sender = Sender(breakable_influxd, tmp_path, own_bucket, timeout_s=5.0)
        for _ in range(100):
            sender.writer.write(stream.rows(1000))
            assert sender.spool.sync(5)
    finally:
        breakable_influxd.start()
    begun = time.monotonic()
    sender.wait(lambda stats: not stats.spool_bytes, "everything sent", timeout_seconds=60)
    took_s = time.monotonic() - begun

    assert _count(breakable_influxd, own_bucket) == 100000
    # Measured: about 3 s on two cores; beyond 45 s something sends points one by one.
    assert took_s < 45
    sender.writer.close(5)


def test_amended_point_is_one_point_with_all_its_fields(influxd: Influxd, bucket: str, tmp_path: Path) -> None:
    sender, now = Sender(influxd, tmp_path, bucket), time.time_ns()
    tags = {"agent_id": "publisher-1", "agent_type": "publisher", "action": "slow_down"}
    sender.writer.write([Row("agent_reasoning", tags, {"reasoning": 'say "no"', "confidence": 0.5}, now)])
    assert sender.writer.flush(30)
    sender.writer.write([Row("agent_reasoning", tags, {"outcome_success": True, "outcome_score": 1.0}, now)])
    assert sender.writer.flush(30)

    (found,) = influxd.query(
        f'from(bucket: "{bucket}") |> range(start: -1h)'
        ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
    )
    assert found["reasoning"] == 'say "no"'
    assert (found["confidence"], found["outcome_success"], found["outcome_score"]) == ("0.5", "true", "1")
    sender.writer.close(5)
