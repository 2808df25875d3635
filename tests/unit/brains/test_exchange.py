"""The exchange: deadline, attempts and their ends, by a clock that the test moves."""

import email.utils
import json
import time

import pytest

from reasond.brains.exchange import (
    LAST_START_PART,
    MAX_BODY_BYTES,
    MAX_ERROR_BYTES,
    SDK_OBEYS_RETRY_AFTER_S,
    USUAL_ANSWER_S,
    BodyTooLarge,
    DeadlinePassed,
    Exchange,
    GivenUp,
    retry_after_s,
)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Request:
    def __init__(self):
        self.extensions = {}


class Response:
    def __init__(self, status, headers=None, chunks=()):
        self.status_code = status
        self.is_success = 200 <= status < 300
        self.headers = dict(headers or {})
        self.closed = False
        self._chunks = chunks

    def iter_bytes(self):
        return iter(self._chunks)

    def close(self):
        self.closed = True


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def exchange(clock):
    made = Exchange(24.0, clock)
    made.model = "model-a"
    return made


def begin(exchange):
    request = Request()
    exchange.on_request(request)
    return request


@pytest.mark.parametrize(
    "deadline_s, expected",
    [
        pytest.param(24.0, USUAL_ANSWER_S, id="publisher-usual-answer"),
        pytest.param(45.0, 11.25, id="monitor-a-quarter"),
        pytest.param(4.0, 2.6, id="short-as-far-as-it-goes"),
    ],
)
def test_attempt_timeout_is_a_quarter_but_lets_a_usual_answer_come(clock, deadline_s, expected):
    assert Exchange(deadline_s, clock).attempt_timeout_s == pytest.approx(expected)


def test_on_request_bounds_each_wait_by_what_is_left(exchange, clock):
    begin(exchange)
    clock.now += LAST_START_PART * 24.0 - 0.01

    request = begin(exchange)

    assert request.extensions["timeout"]["read"] == pytest.approx(8.0, abs=0.5)
    clock.now += 20
    assert exchange.remaining_s() == 0


def test_on_request_gives_up_when_there_is_no_time_for_another_answer(exchange, clock):
    begin(exchange)
    clock.now += LAST_START_PART * 24.0 + 0.01

    with pytest.raises(GivenUp):
        begin(exchange)

    assert exchange.given_up.is_set()
    assert len(exchange.attempts()) == 1


def test_on_request_after_the_cut_gives_up(exchange):
    exchange.cut()

    with pytest.raises(GivenUp):
        begin(exchange)


def test_second_request_ends_the_first_as_a_broken_connection(exchange, clock):
    begin(exchange)
    clock.now += 3
    begin(exchange)

    first, second = exchange.attempts()

    assert (first.error, first.ended_s, second.ended_s) == ("connection", 3.0, None)
    assert (first.number, second.number, second.model) == (1, 2, "model-a")


def test_trace_tells_a_timeout_and_what_was_sent(exchange, clock):
    trace = begin(exchange).extensions["trace"]
    trace("http11.send_request_body.complete", {})
    clock.now += 8
    trace("http11.receive_response_headers.failed", {"exception": type("ReadTimeout", (Exception,), {})()})

    attempt = exchange.attempts()[0]

    assert (attempt.sent, attempt.error, attempt.ended_s) == (True, "timeout", 8.0)


def test_trace_forgets_what_went_to_a_proxy_before_tls(exchange):
    trace = begin(exchange).extensions["trace"]
    trace("http11.send_request_body.complete", {})
    trace("proxy.start_tls.complete", {"return_value": None})

    assert exchange.attempts()[0].sent is False


def test_on_response_reads_an_errors_words_and_closes_it(exchange):
    begin(exchange)
    body = json.dumps({"error": {"type": "api_error", "message": "broken"}}).encode()
    response = Response(500, chunks=[body])

    exchange.on_response(response)

    attempt = exchange.attempts()[0]
    assert (attempt.status, attempt.error, attempt.detail, response.closed) == (
        500,
        "server_error",
        body.decode(),
        True,
    )


def test_on_response_reads_no_more_of_an_error_than_it_is_worth(exchange):
    begin(exchange)
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield b"x" * 4096

    exchange.on_response(Response(500, chunks=endless()))

    assert len(exchange.attempts()[0].detail) == MAX_ERROR_BYTES
    assert len(taken) <= MAX_ERROR_BYTES // 4096 + 2


def test_on_response_survives_a_body_that_breaks(exchange):
    begin(exchange)

    def broken():
        yield b"half"
        raise OSError("gone")

    response = Response(529, chunks=broken())
    exchange.on_response(response)

    assert exchange.attempts()[0].error == "overloaded"
    assert response.closed


@pytest.mark.parametrize(
    "wait, allowed",
    [
        pytest.param("1", True, id="in-time"),
        pytest.param("16", False, id="beyond-the-last-start"),
        pytest.param("3600", False, id="an-hour"),
    ],
)
def test_on_response_stops_the_retry_that_would_come_too_late(exchange, wait, allowed):
    begin(exchange)
    response = Response(429, {"retry-after": wait})

    exchange.on_response(response)

    assert ("x-should-retry" not in response.headers) is allowed


def test_on_response_stops_a_retry_that_the_older_sdk_would_not_wait_for(clock):
    exchange = Exchange(300.0, clock)
    begin(exchange)
    response = Response(429, {"retry-after": str(SDK_OBEYS_RETRY_AFTER_S + 1)})

    exchange.on_response(response)

    assert response.headers["x-should-retry"] == "false"


def test_read_refuses_a_body_beyond_the_limit(exchange):
    begin(exchange)

    with pytest.raises(BodyTooLarge):
        exchange.read(b"x" * 65536 for _ in range(MAX_BODY_BYTES // 65536 + 1))

    assert exchange.attempts()[0].error == "too_large"


def test_read_stops_at_the_deadline(exchange, clock):
    begin(exchange)

    def dribble():
        while True:
            clock.now += 1
            yield b"x"

    with pytest.raises(DeadlinePassed):
        exchange.read(dribble())

    assert exchange.elapsed_s() <= 25
    assert exchange.attempts()[0].error == "deadline"


def test_cut_ends_the_open_attempt_and_wakes_its_socket(exchange):
    class Socket:
        shut = False

        def shutdown(self, how):
            self.shut = True

    class Stream:
        sock = Socket()

        def get_extra_info(self, name):
            return self.sock

    begin(exchange).extensions["trace"]("connection.connect_tcp.complete", {"return_value": Stream()})

    exchange.cut()

    assert Stream.sock.shut
    assert exchange.attempts()[0].error == "deadline"


@pytest.mark.parametrize(
    "headers, expected",
    [
        pytest.param({"retry-after": "7"}, 7.0, id="seconds"),
        pytest.param({"retry-after-ms": "1500", "retry-after": "7"}, 1.5, id="milliseconds-first"),
        pytest.param({"retry-after": "soon"}, None, id="nonsense"),
        pytest.param({}, None, id="absent"),
    ],
)
def test_retry_after_reads_every_form(headers, expected):
    assert retry_after_s(headers) == expected


def test_retry_after_reads_a_date():
    stamp = email.utils.formatdate(time.time() + 90, usegmt=True)

    assert retry_after_s({"retry-after": stamp}) == pytest.approx(90, abs=3)
