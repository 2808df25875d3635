"""Set-up's own decisions, where no real server can be brought into the state."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from reasond.adapters.influx_setup import Options, Report, Step, set_up
from reasond.downsampling import TASK_NAME, task_flux
from reasond.errors import StoreRefused, StoreUnavailable
from reasond.settings import InfluxSettings, InfluxSetupSettings

ORG = {"id": "o1", "name": "monitoring"}
BUCKET = {
    "id": "b1",
    "name": "agent_metrics",
    "retentionRules": [{"type": "expire", "everySeconds": 2592000}],
}
USER = {"id": "u1", "name": "admin"}
TASK = {"id": "t1", "name": TASK_NAME, "status": "active", "flux": task_flux("monitoring", "agent_metrics")}


def _permissions(*actions: str) -> List[Dict[str, Any]]:
    return [{"action": action, "resource": {"type": "buckets", "id": "b1", "orgID": "o1"}} for action in actions]


class Hashing:
    """An InfluxDB that keeps only hashes of tokens: it lists authorizations without their values."""

    def __init__(self) -> None:
        self.tokens = {"admin-token": "a0", "agents-token": "a1", "grafana-token": "a2"}
        self.listed = [
            {
                "id": "a1",
                "description": "reasond agents on agent_metrics",
                "permissions": _permissions("read", "write"),
            },
            {
                "id": "a2",
                "description": "reasond grafana on agent_metrics",
                "permissions": _permissions("read"),
            },
        ]
        self.changes: List[str] = []
        self.deny = ""
        self.task = dict(TASK)
        self.rows = b""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}")
                token = (self.headers.get("Authorization") or "").replace("Token ", "")
                status, content = outer.answer(self.command, self.path.split("?")[0], token, body)
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = do_PATCH = _answer

            def log_message(self, *args: Any) -> None:
                """Keep the test's output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, method: str, path: str, token: str, body: Any) -> Any:
        if path == "/health":
            return 200, {"status": "pass"}
        if path == "/api/v2/setup":
            return 200, {"allowed": False}
        if token not in self.tokens:
            return 401, {"message": "unauthorized access"}
        if self.deny and path.startswith(self.deny):
            return 403, {"message": "insufficient permissions"}
        if method == "POST" and path == "/api/v2/authorizations":
            self.changes.append("made " + body["description"])
            entry = {"id": "new", "description": body["description"], "permissions": body["permissions"]}
            self.listed.append(entry)
            self.tokens["new-token"] = "new"
            return 201, dict(entry, token="new-token")
        if method == "DELETE":
            self.changes.append("deleted " + path.rsplit("/", 1)[1])
            return 204, {}
        authorizations = [dict(entry, status="active", token="REDACTED") for entry in self.listed]
        return 200, {
            "/api/v2/orgs": {"orgs": [ORG]},
            "/api/v2/orgs/o1/owners": {"users": [USER]},
            "/api/v2/users": {"users": [USER]},
            "/api/v2/buckets": {"buckets": [BUCKET]},
            "/api/v2/buckets/b1": BUCKET,
            "/api/v2/authorizations": {"authorizations": authorizations},
            "/api/v2/tasks": {"tasks": [self.task]},
            "/api/v2/delete": {},
            "/api/v2/query": self.rows,
        }[path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Hashing]:
    made = Hashing()
    yield made
    made.close()


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    for name, content in (
        ("admin.token", "admin-token"),
        ("agents.token", "agents-token"),
        ("grafana.token", "grafana-token"),
        ("agents.env", "INFLUXDB_TOKEN=agents-token"),
    ):
        (tmp_path / name).write_text(content + "\n")
        (tmp_path / name).chmod(0o600)
    return tmp_path


def _run(server: Hashing, tokens: Path, **options: Any) -> Report:
    return set_up(
        InfluxSettings(url=server.url, timeout_s=5),
        InfluxSetupSettings(token_dir=str(tokens)),
        Options(**dict({"timeout_s": 5.0}, **options)),
    )


def test_tokens_that_the_server_shows_no_more_are_known_by_their_files(server: Hashing, tokens: Path) -> None:
    report = _run(server, tokens)

    assert not report.changed
    assert server.changes == []


def test_lost_file_of_a_token_that_the_server_shows_no_more_means_a_new_one(server: Hashing, tokens: Path) -> None:
    (tokens / "grafana.token").unlink()

    _run(server, tokens)

    assert server.changes == ["made reasond grafana on agent_metrics", "deleted a2"]
    assert (tokens / "grafana.token").read_text() == "new-token\n"


def test_file_with_a_token_of_elsewhere_is_replaced(server: Hashing, tokens: Path) -> None:
    (tokens / "agents.token").write_text("of another server\n")

    _run(server, tokens)

    assert (tokens / "agents.env").read_text() == "INFLUXDB_TOKEN=new-token\n"


def test_old_token_stays_when_the_new_one_s_file_can_t_be_written(
    server: Hashing, tokens: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *args: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("reasond.adapters.influx_setup.write_atomically", refuse)

    with pytest.raises(Exception, match="No space left"):
        _run(server, tokens, rotate=True)

    assert server.changes == ["made reasond agents on agent_metrics"]
    assert (tokens / "agents.token").read_text() == "agents-token\n"


def test_denied_step_names_the_request_and_no_token(server: Hashing, tokens: Path) -> None:
    server.deny = "/api/v2/orgs/o1/owners"

    with pytest.raises(StoreRefused, match=r"GET /api/v2/orgs/o1/owners: 403 insufficient permissions") as caught:
        _run(server, tokens)
    assert "admin-token" not in str(caught.value)


def test_query_that_fails_once_its_answer_has_begun_is_told(server: Hashing, tokens: Path) -> None:
    server.task["status"] = "inactive"
    server.rows = (
        b",result,table,_time\r\n,first,0,2026-01-01T00:00:00Z\r\n\r\n\r\n"
        b",error,reference\r\n,memory allocation limit reached,\r\n"
    )

    with pytest.raises(StoreRefused, match="POST /api/v2/query: 200 memory allocation limit reached"):
        _run(server, tokens)


def test_page_of_another_program_is_no_healthy_influxdb(
    server: Hashing, tokens: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "answer", lambda *args: (200, "hello"))

    with pytest.raises(StoreUnavailable, match="health"):
        _run(server, tokens, timeout_s=0.3)


@pytest.mark.parametrize(
    ("states", "complete", "changed"),
    [
        (("kept", "kept"), True, False),
        (("kept", "created"), True, True),
        (("changed",), True, True),
        (("differs",), False, False),
        (("missing",), False, False),
    ],
    ids=["all-kept", "created", "changed", "differs", "missing"],
)
def test_report_sums_its_steps_up(states: Any, complete: bool, changed: bool) -> None:
    report = Report(steps=tuple(Step("thing", state) for state in states))

    assert (report.complete, report.changed) == (complete, changed)
