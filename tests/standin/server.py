"""The HTTP server: takes requests as the Messages API does, answers or breaks as told.

`StandIn` runs it inside the caller's process, __main__ as a process of its own. Every thread is a daemon and
every wait ends when the server stops, hanging answers included.
"""

import contextlib
import json
import select
import socket
import socketserver
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Set, Tuple

from tests.standin import prompt as reading
from tests.standin.answers import Built, Shape, build
from tests.standin.journal import Exchange, Journal
from tests.standin.models import Model
from tests.standin.settings import RETRY_AFTER_S, Settings, Step
from tests.standin.strictness import check
from tests.standin.wire import BROKEN_FORMS, FAULTS, Json, Refused, error_body

#: The API's own limit on a request, in bytes.
LARGEST_REQUEST = 32 * 1024 * 1024

#: How much of a huge body exists at a time, in bytes.
CHUNK = 64 * 1024

#: An idle connection is given up after this, so that a lost peer leaves no thread behind, in seconds.
IDLE_S = 300

GARBAGE = b'<html><body>502 Bad Gateway</body></html> {"content": ['
BINARY = bytes(range(256)) * 8


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens and keeps track of open connections, so that stopping ends them.

    Given: the address to bind, the settings it obeys and the journal it fills.
    """

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: Tuple[str, int], settings: Settings, journal: Journal) -> None:
        self.settings = settings
        self.journal = journal
        self.stopping = threading.Event()
        self._open: Set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, Handler)

    def run(self) -> None:
        """Serve until `stop`."""
        self.serve_forever(poll_interval=0.01)

    def stop(self) -> None:
        """End every wait, the listening and every connection; `run` returns."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self._open_lock:
            for connection in self._open:
                # The peer may have gone first.
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand a connection to a thread of its own."""
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection that is done with."""
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent about peers that leave; anything else is a defect here and is shown."""

        if not isinstance(sys.exc_info()[1], (ConnectionError, socket.timeout)):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answer a message request, or a change of settings."""
        raw = self._read()
        if raw is None:
            return
        path = urllib.parse.urlsplit(self.path).path
        if path == "/v1/messages":
            self._messages(path, raw)
        elif path == "/_control":
            self._control(raw)
        else:
            self._error(Refused(404, "not_found_error", "Not found"), "req_none")

    def do_GET(self) -> None:
        """Answer with the settings, the log or the totals."""
        parts = urllib.parse.urlsplit(self.path)
        journal = self.server.journal
        answers: Dict[str, Callable[[], Any]] = {
            "/_control": self.server.settings.as_json,
            "/_log": lambda: _log(journal, parts.query),
            "/_totals": journal.totals,
        }
        if parts.path not in answers:
            self._error(Refused(404, "not_found_error", "Not found"), "req_none")
            return
        self._send(200, answers[parts.path]())

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the console quiet: the journal has it all."""

    def _read(self) -> Optional[bytes]:
        length = self.headers.get("content-length", "")
        if not length.isdigit() or int(length) > LARGEST_REQUEST:
            self.close_connection = True
            wrong = FAULTS["413"] if length.isdigit() else FAULTS["400"]
            self._error(Refused(*wrong), "req_none")
            return None
        return self.rfile.read(int(length))

    def _control(self, raw: bytes) -> None:
        try:
            wanted = json.loads(raw)
            if not isinstance(wanted, dict):
                raise ValueError("settings are an object")
            self.server.settings.change(wanted)
        except ValueError as err:
            self._send(400, {"error": str(err)})
            return
        self._send(200, self.server.settings.as_json())

    def _messages(self, path: str, raw: bytes) -> None:
        settings = self.server.settings
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = _decoded(raw)
        exchange = Exchange(self.server.journal.next_number(), path, headers, body)
        if isinstance(body, dict):
            exchange.model = str(body.get("model"))
            exchange.prompt = reading.text_of(body)
            exchange.kind = reading.kind_of(exchange.prompt)
        self.server.stopping.wait(settings.latency_ms / 1000)
        try:
            model = check(headers, body, settings.key, settings.retired)
        except Refused as refused:
            self._refuse(exchange, refused, None)
            return
        self._respond(exchange, body, model)

    def _respond(self, exchange: Exchange, body: Json, model: Model) -> None:
        step, policy = self.server.settings.take()
        exchange.form = step.form
        if step.form in FAULTS:
            self._refuse(exchange, Refused(*FAULTS[step.form]), step)
            return
        exchange.scripted = step.text is not None or step.decision is not None
        # The policy sees the prompt's text and nothing else.
        decision = policy.answer(exchange.prompt) if step.decision is None else step.decision
        built = build(body, model, Shape(step.form, decision, step.text), exchange.number)
        if step.form == "slow":
            self.server.stopping.wait(step.delay_s)
        exchange.delivered = step.form not in BROKEN_FORMS and not self._peer_left()
        _note(exchange, built, bills=step.form not in ("dropped", "garbage", "binary", "huge"))
        self.server.journal.record(exchange)
        if step.form in BROKEN_FORMS:
            self.close_connection = True
            self._break(step, built, exchange.number)
        elif not self._send(200, built.message, {"request-id": _request_id(exchange.number)}):
            self.server.journal.undelivered(exchange)

    def _refuse(self, exchange: Exchange, refused: Refused, step: Optional[Step]) -> None:
        exchange.status = refused.status
        exchange.error = f"{refused.kind}: {refused.message}"
        self.server.journal.record(exchange)
        extra = {}
        retry_after = step.retry_after if step else None
        if refused.status == 429 and retry_after is None:
            retry_after = RETRY_AFTER_S
        if retry_after is not None:
            extra["retry-after"] = f"{retry_after:g}"
        self._error(refused, _request_id(exchange.number), extra)

    def _error(self, refused: Refused, request_id: str, extra: Optional[Mapping[str, str]] = None) -> None:
        body = error_body(refused.kind, refused.message, request_id)
        self._send(refused.status, body, dict(extra or {}, **{"request-id": request_id}))

    def _send(self, status: int, value: Any, extra: Optional[Mapping[str, str]] = None) -> bool:
        body = json.dumps(value).encode()
        try:
            self.wfile.write(self._head(status, "application/json", len(body), extra) + body)
        except OSError:
            self.close_connection = True
            return False
        return True

    def _head(self, status: int, kind: str, length: int, extra: Optional[Mapping[str, str]] = None) -> bytes:
        reason = self.responses.get(status, ("Error", ""))[0]
        lines = [f"HTTP/1.1 {status} {reason}", f"content-type: {kind}", f"content-length: {length}"]
        lines += ["{}: {}".format(*pair) for pair in (extra or {}).items()]
        if self.close_connection:
            lines.append("connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _peer_left(self) -> bool:
        try:
            readable, _, _ = select.select([self.connection], [], [], 0)
            return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True

    def _break(self, step: Step, built: Built, number: int) -> None:
        body = json.dumps(built.message).encode()
        extra = {"request-id": _request_id(number)}
        whole = self._head(200, "application/json", len(body), extra)
        breaks: Dict[str, Callable[[], Iterable[bytes]]] = {
            "hang": self._hang,
            "dropped": lambda: [],
            "cut_off": lambda: [whole + body[: len(body) // 2]],
            "dribble": lambda: self._dribble(whole, body, step.every_s),
            "garbage": lambda: [self._head(200, "application/json", len(GARBAGE), extra) + GARBAGE],
            "binary": lambda: [self._head(200, "application/octet-stream", len(BINARY), extra) + BINARY],
            "huge": lambda: self._huge(built.message, step.size, extra),
        }
        # A caller that gives up is what these are for.
        with contextlib.suppress(OSError):
            for piece in breaks[step.form]():
                if self.server.stopping.is_set():
                    return
                self.wfile.write(piece)

    def _hang(self) -> Iterable[bytes]:
        self.server.stopping.wait()
        return []

    def _dribble(self, head: bytes, body: bytes, every_s: float) -> Iterable[bytes]:
        yield head
        for at in range(len(body)):
            if self.server.stopping.wait(every_s) or self._peer_left():
                return
            yield body[at : at + 1]

    def _huge(self, message: Json, size: int, extra: Mapping[str, str]) -> Iterable[bytes]:
        # Valid JSON from end to end: only its size tells that it is not an answer.
        blank = dict(message, content=[{"type": "text", "text": "@"}])
        before, after = json.dumps(blank).encode().split(b"@", 1)
        filler = max(size - len(before) - len(after), 0)
        yield self._head(200, "application/json", len(before) + filler + len(after), extra) + before
        while filler > 0:
            yield b"a" * min(CHUNK, filler)
            filler -= CHUNK
        yield after


class StandIn:
    """Runs the server in this process, as a context manager.

    Given: the policy (or its name), how to answer, the accepted key, where to listen, a path for the log as
    JSON Lines, a latency for every request and the models that count as retired.
    """

    def __init__(
        self,
        policy: Any = None,
        *,
        form: Any = "auto",
        key: str = "standin-key",
        host: str = "127.0.0.1",
        port: int = 0,
        log_file: Optional[str] = None,
        latency_ms: float = 0,
        retired: Iterable[str] = (),
    ) -> None:
        self._settings = Settings(key)
        self.set(policy=policy, form=form, latency_ms=latency_ms, retired=retired)
        self._address = (host, port)
        self._journal = Journal(log_file)
        self._server: Optional[Server] = None
        self._thread: Optional[threading.Thread] = None

    def __enter__(self) -> "StandIn":
        return self.start()

    def __exit__(self, *failure: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The base URL for the SDK; raises RuntimeError while not started."""
        if self._server is None:
            raise RuntimeError("the stand-in is not running")
        port = self._server.server_address[1]
        return f"http://{self._address[0]}:{port}"

    @property
    def key(self) -> str:
        """The key it accepts."""
        return self._settings.key

    @property
    def log(self) -> List[Exchange]:
        """Every exchange so far."""
        return self._journal.since()

    def start(self) -> "StandIn":
        """Listen; return self. A stopped one starts again on the port it had."""
        self._journal.open()
        self._server = Server(self._address, self._settings, self._journal)
        self._address = (self._address[0], int(self._server.server_address[1]))
        self._thread = threading.Thread(target=self._server.run, name="standin", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End all answers under way and stop listening; the log stays readable."""
        if self._server is not None and self._thread is not None:
            self._server.stop()
            self._thread.join(timeout=1)
            self._server = None
        self._journal.close()

    def set(self, **settings: Any) -> None:
        """Change settings: policy, form, script, schedule, latency_ms, retired, key. Raises ValueError."""
        self._settings.change(settings)

    def script(self, steps: Iterable[Any]) -> None:
        """Queue responses for the next valid requests: form names, statuses, `Step`s or their fields."""
        self._settings.add_steps(steps)

    def totals(self) -> Json:
        """Return requests and tokens by model, as `Journal.totals`."""
        return self._journal.totals()

    def wait_for(self, enough: Any, timeout: float) -> bool:
        """Wait until so many exchanges are logged or a predicate on them holds; return whether in time."""
        wanted = enough if callable(enough) else lambda log: len(log) >= enough
        return self._journal.wait(wanted, timeout)

    def clear(self) -> None:
        """Forget the log."""
        self._journal.clear()


def _note(exchange: Exchange, built: Built, bills: bool) -> None:
    exchange.status = 200
    exchange.model = built.message["model"]
    exchange.answer = built.text
    exchange.stop_reason = built.message["stop_reason"]
    exchange.usage = built.message["usage"] if bills else None


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _request_id(number: int) -> str:
    return f"req_{number:08d}"


def _log(journal: Journal, query: str) -> Json:
    since = urllib.parse.parse_qs(query).get("since", ["0"])[0]
    found = journal.since(int(since) if since.isdigit() else 0)
    return {"exchanges": [exchange.as_json() for exchange in found]}
