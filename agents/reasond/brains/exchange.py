"""One question's way over the network: its deadline, its attempts as they went, and how it is cut off.

The transport hangs an `Exchange` on the SDK's HTTP client by that client's public event hooks and request
extensions ("timeout", "trace"); the brain reads from it what every attempt was and cost. No HTTP library is
imported here: both SDK generations' objects have the few attributes that are used.
"""

import email.utils
import socket
import threading
import time
from typing import Any, Callable, Dict, Iterable, List, Optional

from msgspec import Struct
from msgspec.structs import replace

from reasond.brains.replies import reason_of

MAX_BODY_BYTES = 1024 * 1024
"""Of an answer; one of 500 tokens is a few KB, and a body without end must not fill the memory."""
MAX_ERROR_BYTES = 16 * 1024
"""Of an error's body: enough for the API's words."""
ATTEMPT_PART = 0.25
"""Of the deadline, for one attempt: the SDK's three retries then fit."""
USUAL_ANSWER_S = 8.0
"""Seconds within which an ordinary answer of 500 tokens comes; an attempt is not cut off (and paid for twice)
before that where the deadline allows."""
LAST_START_PART = 0.65
"""Of the deadline: no further attempt begins after it, for there would be no time to wait for its answer."""
SDK_OBEYS_RETRY_AFTER_S = 60.0
"""Seconds: the older SDK ignores a longer `retry-after` and tries again after its own backoff."""


class Attempt(Struct):
    """One attempt: seconds count from the question; `status` 0 and `error` empty until known."""

    model: str
    number: int
    started_s: float
    ended_s: Optional[float] = None
    sent: bool = False
    status: int = 0
    error: str = ""
    detail: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    measured: bool = False


class GivenUp(Exception):
    """No further attempt may begin: the deadline is too near, or the question was cut off."""


class BodyTooLarge(Exception):
    """The answer's body goes beyond MAX_BODY_BYTES."""


class DeadlinePassed(Exception):
    """The deadline passed while the answer was read."""


class Exchange:
    """Attempts of one question under one monotonic deadline; used by two threads, the asker and the caller.

    Invariant: at most the last attempt is open (`ended_s` None). `given_up` is set when no attempt will
    follow.
    """

    def __init__(self, deadline_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the deadline's clock."""
        self.deadline_s = deadline_s
        self.model = ""
        self.given_up = threading.Event()
        self._clock = clock
        self._start = clock()
        self._lock = threading.Lock()
        self._attempts: List[Attempt] = []
        self._sockets: List[Any] = []
        self._cut = False

    @property
    def attempt_timeout_s(self) -> float:
        """Seconds that one attempt may wait for the API."""
        usual = min(USUAL_ANSWER_S, LAST_START_PART * self.deadline_s)
        return max(ATTEMPT_PART * self.deadline_s, usual)

    def elapsed_s(self) -> float:
        """Give the seconds since the question."""
        return self._clock() - self._start

    def remaining_s(self) -> float:
        """Give the seconds until the deadline, at least 0."""
        return max(0.0, self.deadline_s - self.elapsed_s())

    def attempts(self) -> List[Attempt]:
        """Give the attempts so far, as they are now."""
        with self._lock:
            return [replace(attempt) for attempt in self._attempts]

    def cut(self) -> None:
        """Let no further attempt begin and wake who waits on a socket: the deadline has passed."""
        with self._lock:
            self._cut = True
            self._end_open("deadline")
            sockets, self._sockets = self._sockets, []
        for sock in sockets:
            _shut_down(sock)

    def on_request(self, request: Any) -> None:
        """Take note of an attempt that begins (the HTTP client's request hook).

        Raises GivenUp when there is no time left for one, or the question was cut off.
        """
        with self._lock:
            self._end_open("connection")
            late = bool(self._attempts) and self.elapsed_s() > LAST_START_PART * self.deadline_s
            if self._cut or late or self.remaining_s() <= 0:
                self.given_up.set()
                raise GivenUp
            self._attempts.append(Attempt(self.model, len(self._attempts) + 1, self.elapsed_s()))
            limit = min(self.attempt_timeout_s, self.remaining_s())
        request.extensions["timeout"] = {name: limit for name in ("connect", "read", "write", "pool")}
        request.extensions["trace"] = self._trace

    def on_response(self, response: Any) -> None:
        """Take note of an attempt's status (the client's response hook); stop a retry that comes too late."""
        with self._lock:
            attempt = self._attempts[-1]
            attempt.status = response.status_code
        if response.is_success:
            return
        attempt.detail = self._error_text(response)
        wait = retry_after_s(response.headers)
        if wait is not None and not self._may_wait(wait):
            # The SDK obeys this header of the API's above everything else.
            response.headers["x-should-retry"] = "false"
        with self._lock:
            self._end_open(reason_of(attempt.status, attempt.detail)[1])

    def read(self, chunks: Iterable[bytes]) -> bytes:
        """Give the whole body of an answer.

        Raises BodyTooLarge or DeadlinePassed, and what the chunks raise.
        """
        # The attempt's end is noted first: leaving the loop looks like a broken connection to the trace.
        body = bytearray()
        for chunk in chunks:
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                self.end("too_large")
                raise BodyTooLarge(f"more than {MAX_BODY_BYTES} bytes")
            if self.remaining_s() <= 0:
                self.end("deadline")
                raise DeadlinePassed("while the answer was read")
        return bytes(body)

    def end(self, error: str, detail: str = "", *, only_open: bool = True) -> Optional[Attempt]:
        """Say how the last attempt ended; gives it, None when there was none."""
        with self._lock:
            if not self._attempts:
                return None
            attempt = self._attempts[-1]
            if attempt.ended_s is None:
                self._end_open(error)
            elif not only_open:
                attempt.error = error
            attempt.detail = attempt.detail or detail
            return attempt

    def measured(self, input_tokens: int, output_tokens: int) -> None:
        """Take what the last attempt's answer says it used."""
        with self._lock:
            attempt = self._attempts[-1]
            attempt.input_tokens, attempt.output_tokens, attempt.measured = input_tokens, output_tokens, True

    def _may_wait(self, wait_s: float) -> bool:
        in_time = self.elapsed_s() + wait_s <= LAST_START_PART * self.deadline_s
        return in_time and wait_s <= SDK_OBEYS_RETRY_AFTER_S

    def _end_open(self, error: str) -> None:
        if self._attempts and self._attempts[-1].ended_s is None:
            self._attempts[-1].ended_s = self.elapsed_s()
            self._attempts[-1].error = self._attempts[-1].error or error

    def _error_text(self, response: Any) -> str:
        """Read an error's body as far as is worth it, and close it: the SDK would read all of it."""
        body = bytearray()
        try:
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_ERROR_BYTES or self.remaining_s() <= 0:
                    break
            response.close()
        except Exception:
            response.close()
        return bytes(body[:MAX_ERROR_BYTES]).decode("utf-8", "replace")

    def _trace(self, event: str, info: Dict[str, Any]) -> None:
        """Follow a request inside the HTTP client ("trace" extension): was it sent, and what broke it?"""
        with self._lock:
            if not self._attempts:
                return
            attempt = self._attempts[-1]
            if event.endswith(".send_request_body.complete"):
                attempt.sent = True
            elif event.endswith((".connect_tcp.complete", ".start_tls.complete")):
                # What went out before TLS was the CONNECT to a proxy.
                attempt.sent = False
                self._keep_socket(info.get("return_value"))
            elif event.endswith(".failed") and attempt.ended_s is None:
                name = type(info.get("exception")).__name__
                attempt.error = "timeout" if "Timeout" in name else "connection"
                attempt.ended_s = self.elapsed_s()

    def _keep_socket(self, stream: Any) -> None:
        sock = stream.get_extra_info("socket") if stream is not None else None
        if sock is not None:
            self._sockets.append(sock)


def retry_after_s(headers: Any) -> Optional[float]:
    """Give the seconds that an answer's `retry-after` asks to wait; None where it says nothing."""
    for name, per_second in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return float(headers.get(name, "")) / per_second
        except ValueError:
            continue
    try:
        at = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except (TypeError, ValueError, IndexError):
        return None
    return at.timestamp() - time.time()


def _shut_down(sock: Any) -> None:
    """Wake who reads this socket, without freeing its descriptor, which another could be given meanwhile."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except (OSError, ValueError):
        return
