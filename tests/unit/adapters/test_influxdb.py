"""The InfluxDB adapter against a server that answers as the test says."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest

from reasond.adapters import influxdb
from reasond.adapters.influxdb import InfluxReader, InfluxWriter, WriterStats
from reasond.adapters.spool import Spool
from reasond.errors import StoreRefused, StoreUnavailable
from reasond.points import Row
from reasond.settings import InfluxSettings
from tests.testbed.process import free_ports
from tests.testbed.waiting import wait_until

TOKEN = "very-secret-token"
Reply = Tuple[int, Any, Dict[str, str]]
Answer = Callable[[str, List[str]], Reply]
OK: Reply = (204, "", {})


def _error(status: int, code: str, message: str, **headers: str) -> Reply:
    return status, {"code": code, "message": message}, {k.replace("_", "-"): v for k, v in headers.items()}


class Scripted:
    """Answers each write by a function of its lines; keeps what came."""

    def __init__(self) -> None:
        self.answer: Answer = lambda path, lines: OK
        self.writes: List[List[str]] = []
        self.times: List[float] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Else each answer waits 40 ms for the client's acknowledgement of its head.
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.writes.append(body.split("\n"))
                outer.times.append(time.monotonic())
                status, content, headers = outer.answer(self.path, body.split("\n"))
                data = (content if isinstance(content, str) else json.dumps(content)).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                """Keep the test's output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        # A test that speaks TLS to it would fill the output with a traceback.
        self._server.handle_error = lambda request, address: None  # type: ignore[method-assign]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Scripted]:
    made = Scripted()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes become moments."""
    for name, value in (
        ("AWAY_BASE_S", 0.02),
        ("AWAY_CAP_S", 0.1),
        ("REFUSED_BASE_S", 0.05),
        ("REFUSED_CAP_S", 0.1),
        ("BATCH_AGE_S", 0.05),
    ):
        monkeypatch.setattr(influxdb, name, value)


class Bench:
    """A writer with its spool and what it said."""

    def __init__(self, server: Scripted, directory: Path) -> None:
        self.said: List[str] = []
        self.spool = Spool(directory, 10**7)
        settings = InfluxSettings(url=server.url, token=TOKEN, timeout_s=1.0)
        self.writer = InfluxWriter(settings, self.spool, self.said.append)

    def wait(self, probe: Callable[[WriterStats], Any]) -> WriterStats:
        wait_until(lambda: probe(self.writer.stats), what="the writer's state", timeout_seconds=10)
        return self.writer.stats


@pytest.fixture
def bench(server: Scripted, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(server, tmp_path)
    yield made
    made.writer.close(0.1)


def _rows(count: int, start: int = 0) -> List[Row]:
    return [
        Row("queue_metrics", {"queue": "fictional"}, {"depth": number}, number)
        for number in range(start, start + count)
    ]


def test_points_go_out_together_and_soon(server: Scripted, bench: Bench) -> None:
    bench.writer.write(_rows(3))
    stats = bench.wait(lambda stats: stats.written == 3)

    assert server.writes == [[f"queue_metrics,queue=fictional depth={n}i {n}" for n in range(3)]]
    assert (stats.rejected, stats.spool_bytes, stats.lag_s, stats.last_error) == (0, 0, 0.0, "")
    assert bench.said == []


def test_one_bad_line_in_a_thousand_is_set_aside_and_the_others_land(
    server: Scripted, bench: Bench, tmp_path: Path
) -> None:
    bad = _rows(1, start=637)[0]
    landed: List[str] = []

    def answer(path: str, lines: List[str]) -> Reply:
        if any(" depth=637i" in line for line in lines):
            return _error(400, "invalid", f"unable to parse '{lines[0]}'")
        landed.extend(lines)
        return OK

    server.answer = answer
    bench.writer.write(_rows(1000))
    stats = bench.wait(lambda stats: stats.written + stats.rejected == 1000)

    assert (stats.written, stats.rejected) == (999, 1)
    assert len(landed) == len(set(landed)) == 999
    assert (tmp_path / "rejected.lp").read_text().splitlines() == [influxdb.to_line(bad)]
    assert len(server.writes) < 30
    assert any("refused points" in text for text in bench.said)


def test_rejected_points_are_kept_within_bounds(
    server: Scripted, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(influxdb, "REJECTED_MAX_BYTES", 1000)
    server.answer = lambda path, lines: _error(400, "invalid", "unable to parse")
    bench.writer.write(_rows(60))
    bench.wait(lambda stats: stats.rejected == 60)

    kept = (tmp_path / "rejected.lp").read_text() + (tmp_path / "rejected.lp.1").read_text()
    assert len(kept) <= 2000
    assert "depth=59i" in kept


def test_partial_write_is_not_sent_again(server: Scripted, bench: Bench) -> None:
    server.answer = lambda path, lines: _error(
        422, "unprocessable entity", "partial write: field type conflict: ... dropped=2"
    )
    bench.writer.write(_rows(10))
    stats = bench.wait(lambda stats: stats.written)

    assert (stats.written, stats.rejected, len(server.writes)) == (8, 2, 1)


def test_too_large_a_batch_is_halved(server: Scripted, bench: Bench) -> None:
    server.answer = lambda path, lines: OK if len(lines) <= 10 else _error(413, "request too large", "too large")
    bench.writer.write(_rows(64))
    stats = bench.wait(lambda stats: stats.written == 64)

    assert stats.rejected == 0
    assert max(len(lines) for lines in server.writes if len(lines) <= 10) == 8


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (_error(401, "unauthorized", "unauthorized access"), "INFLUXDB_TOKEN"),
        (_error(403, "forbidden", "insufficient permissions"), "INFLUXDB_TOKEN"),
        (_error(404, "not found", 'bucket "agent_metrics" not found'), "reasond setup-influxdb"),
        (_error(429, "too many requests", "slow down"), "429"),
        (_error(500, "internal error", "engine closed"), "engine closed"),
        (_error(503, "unavailable", "busy"), "503"),
        ((502, "<html>bad gateway</html>", {}), "502"),
        # Not InfluxDB's own: to bisect this would throw good points away.
        ((400, "<html>no</html>", {}), "400"),
        ((302, "", {"Location": "/login"}), "302|redirects"),
    ],
    ids=["401", "403", "404", "429", "500", "503", "502-proxy", "400-stranger", "302"],
)
def test_refusal_is_said_once_and_nothing_is_lost(server: Scripted, bench: Bench, reply: Reply, said: str) -> None:
    server.answer = lambda path, lines: reply
    bench.writer.write(_rows(5))
    wait_until(lambda: len(server.writes) >= 4, what="four tries", timeout_seconds=10)
    stuck = bench.writer.stats
    server.answer = lambda path, lines: OK
    stats = bench.wait(lambda stats: stats.written == 5)

    assert stuck.lag_s > 0 and stuck.spool_bytes > 0 and re.search(said, stuck.last_error)
    assert (stats.rejected, stats.dropped, stats.last_error) == (0, 0, "")
    wait_until(lambda: len(bench.said) == 2, what="both said", timeout_seconds=5)
    assert re.search(said, bench.said[0]) and bench.said[1] == ""
    assert TOKEN not in "".join(bench.said)


def test_retry_after_is_honoured(server: Scripted, bench: Bench) -> None:
    replies = [_error(503, "unavailable", "busy", Retry_After="1")]
    server.answer = lambda path, lines: replies.pop() if replies else OK
    bench.writer.write(_rows(1))
    bench.wait(lambda stats: stats.written == 1)

    assert server.times[1] - server.times[0] >= 0.95


def test_server_that_never_answers_is_given_up_on_after_the_timeout(server: Scripted, bench: Bench) -> None:
    release = threading.Event()
    server.answer = lambda path, lines: (release.wait(20), OK)[1]
    bench.writer.write(_rows(1))
    wait_until(lambda: bench.said, what="the problem said", timeout_seconds=10)
    release.set()
    bench.wait(lambda stats: stats.written == 1)

    assert "no answer in time" in bench.said[0]


def test_flush_sends_at_once_and_tells_success(server: Scripted, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(influxdb, "BATCH_AGE_S", 30.0)
    bench.writer.write(_rows(2))

    assert bench.writer.flush(10)
    assert bench.writer.stats.written == 2


def test_close_with_influxdb_away_keeps_its_deadline_and_the_points(server: Scripted, tmp_path: Path) -> None:
    server.answer = lambda path, lines: _error(503, "unavailable", "busy")
    bench = Bench(server, tmp_path)
    bench.writer.write(_rows(4))
    begun = time.monotonic()
    done = bench.writer.close(0.5)
    took_s = time.monotonic() - begun
    server.answer = lambda path, lines: OK
    again = Bench(server, tmp_path)

    assert not done
    assert took_s < 2.0
    assert again.wait(lambda stats: stats.written == 4).spool_bytes == 0
    again.writer.close(1)


def test_spool_s_own_problem_is_said_too(server: Scripted, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    bench = Bench(server, tmp_path / "file" / "spool")
    bench.writer.write(_rows(1))

    stats = bench.wait(lambda stats: stats.written == 1)
    assert "Not a directory" in stats.last_error
    bench.writer.close(0.1)


def test_undeclared_field_is_the_caller_s_error(bench: Bench) -> None:
    with pytest.raises(KeyError):
        bench.writer.write([Row("queue_metrics", {}, {"nonsense": 1}, 1)])


@pytest.fixture
def reader(server: Scripted) -> InfluxReader:
    return InfluxReader(InfluxSettings(url=server.url, token=TOKEN, timeout_s=0.5))


@pytest.mark.parametrize(
    ("reply", "error", "said"),
    [
        (_error(401, "unauthorized", "unauthorized access"), StoreRefused, "INFLUXDB_TOKEN"),
        (_error(404, "not found", "could not find bucket"), StoreRefused, "setup-influxdb"),
        (_error(400, "invalid", "runtime error"), StoreRefused, "runtime error"),
        (_error(429, "too many requests", "queue full"), StoreUnavailable, "queue full"),
        (_error(503, "unavailable", "busy"), StoreUnavailable, "busy"),
        ((200, ",error,reference\r\n,out of memory,897\r\n", {}), StoreRefused, "out of memory"),
        ((200, "error,reference\r\nout of memory,897\r\n", {}), StoreRefused, "out of memory"),
        (
            (200, ",result,table,_time,decision_id\r\n,peers,0,not a time,d\r\n", {}),
            StoreRefused,
            "check INFLUXDB_URL",
        ),
        ((200, "<html>sign in</html>", {}), StoreRefused, "check INFLUXDB_URL"),
    ],
    ids=[
        "401",
        "404",
        "400",
        "429",
        "503",
        "error-in-answer",
        "error-in-answer-unindented",
        "nonsense",
        "portal",
    ],
)
def test_refused_question_is_an_error_of_ours(
    server: Scripted, reader: InfluxReader, reply: Reply, error: Any, said: str
) -> None:
    server.answer = lambda path, lines: reply

    with pytest.raises(error, match=said) as caught:
        reader.peers("publisher", 0, 1)
    assert TOKEN not in str(caught.value)


def test_question_to_nobody_is_unavailable() -> None:
    (port,) = free_ports(1)
    reader = InfluxReader(InfluxSettings(url=f"http://127.0.0.1:{port}", timeout_s=1))

    with pytest.raises(StoreUnavailable, match="Connection refused"):
        reader.system_spend(0)


def test_question_without_an_answer_ends_with_the_timeout(server: Scripted, reader: InfluxReader) -> None:
    release = threading.Event()
    server.answer = lambda path, lines: (release.wait(20), OK)[1]
    begun = time.monotonic()

    with pytest.raises(StoreUnavailable, match="no answer in time"):
        reader.peers("publisher", 0, 1)
    took_s = time.monotonic() - begun
    release.set()

    assert took_s < 5


def test_tls_without_a_common_ground_names_the_setting(server: Scripted) -> None:
    reader = InfluxReader(InfluxSettings(url=server.url.replace("http", "https"), timeout_s=2))

    with pytest.raises(StoreUnavailable, match="INFLUXDB_CA_FILE|can't be reached"):
        reader.queue_samples(0, 1)


def test_times_keep_their_nanoseconds() -> None:
    assert influxdb.nanoseconds("2026-01-31T15:51:00Z") == 1769874660000000000
    assert influxdb.nanoseconds("2026-01-31T15:51:00.000000001Z") == 1769874660000000001
    assert influxdb.nanoseconds("2026-01-31T15:51:00.5Z") == 1769874660500000000


def test_module_is_imported_without_the_client_library() -> None:
    code = "import sys; import reasond.adapters.influxdb; sys.exit('influxdb_client' in sys.modules)"
    environment: Optional[Dict[str, str]] = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=60).returncode == 0


def test_client_that_several_threads_import_at_once_is_whole() -> None:
    code = (
        "import threading\n"
        "from reasond.adapters import influxdb\n"
        "from reasond.settings import load\n"
        "settings = load({}).influx\n"
        "failed = []\n"
        "def use(make):\n"
        "    try:\n"
        "        make(settings)\n"
        "    except Exception as err:\n"
        "        failed.append(err)\n"
        "makers = [influxdb._write_api, influxdb._query_api, influxdb.connect] * 2\n"
        "threads = [threading.Thread(target=use, args=(make,)) for make in makers]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "assert not failed, failed\n"
    )

    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
