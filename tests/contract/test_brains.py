"""One contract for every brain, and the Claude brain through the real SDK against the stand-in API.

Runs with both generations of the SDK: 0.72 on Python 3.8 (httpx) and 2.x on newer ones (httpx2).
"""

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from reasond import settings
from reasond.brains import models
from reasond.brains.claude import ClaudeBrain
from reasond.brains.dry_run import DryRunBrain
from reasond.brains.factory import BUDGET_FILE, make_brain, make_transcript
from reasond.brains.rules import RulesBrain
from reasond.brains.spending import LedgerFile
from reasond.brains.static import StaticBrain
from reasond.brains.transport import Transport
from reasond.core.budget import Ledger, limits_from
from reasond.core.effects import Answer, Failure
from reasond.decisions import HandlingDecision, HealthDecision, RateDecision
from tests.standin import StandIn, Step
from tests.standin.models import MODELS
from tests.unit.brains.questions import (
    AFTER_THE_END,
    BEFORE_THE_END,
    SONNET_45,
    SONNET_55,
    ask,
    handling,
    health,
    rate,
    wait_until,
)

KEY = "sk-ant-api03-of-the-house-0123456789"

SLACK_S = 1.0
"""Over a deadline, for a machine that is busy with other tests."""

CONTEXTS = {"publisher": rate(30, 4), "consumer": handling(), "monitor": health()}
KINDS = {"publisher": RateDecision, "consumer": HandlingDecision, "monitor": HealthDecision}


@pytest.fixture
def api():
    with StandIn(key=KEY) as running:
        yield running


def claude(api, names=(SONNET_45, SONNET_55), said=None, **more):
    return ClaudeBrain(
        transport=Transport(api_key=KEY, base_url=api if isinstance(api, str) else api.url, **more),
        model_names=names,
        max_tokens=500,
        say=(lambda *event: said.append(event)) if said is not None else (lambda *event: None),
    )


def timed(brain, question):
    began = time.monotonic()
    result = brain.decide(question)
    return result, time.monotonic() - began


def cost_of(log):
    """What the stand-in says was used, at the table's prices."""
    return sum(
        models.cost_usd(models.find(one.model), one.usage["input_tokens"], one.usage["output_tokens"]) for one in log
    )


# --- every brain


@pytest.fixture(params=["claude", "rules", "static", "dry-run"])
def any_brain(request, api):
    return {
        "claude": lambda: claude(api),
        "rules": RulesBrain,
        "static": StaticBrain,
        "dry-run": lambda: DryRunBrain(seed=3),
    }[request.param]()


@pytest.mark.parametrize("kind", CONTEXTS)
def test_every_brain_answers_every_kind_with_its_decision(any_brain, kind):
    answer = any_brain.decide(ask(CONTEXTS[kind]))

    assert isinstance(answer, Answer)
    assert isinstance(answer.decision, KINDS[kind])
    assert (answer.brain, isinstance(any_brain.status(), str)) == (any_brain.name, True)
    assert answer.latency_ms >= 0 and answer.cost_usd >= 0


@pytest.mark.parametrize(
    "context",
    [rate(None, None), handling(queue_depth=None, message={}), health(metrics={})],
    ids=["publisher", "consumer", "monitor"],
)
def test_every_brain_copes_with_knowing_nothing(any_brain, context):
    assert isinstance(any_brain.decide(ask(context)), Answer)


# --- models and forms of answers


@pytest.mark.parametrize("kind", CONTEXTS)
@pytest.mark.parametrize("name", [row.name for row in models.TABLE if row.name in MODELS])
def test_every_model_of_the_table_decides_at_the_first_attempt(api, name, kind):
    brain = claude(api, [name])

    answer = brain.decide(ask(CONTEXTS[kind]))

    assert isinstance(answer, Answer), answer
    assert (answer.model, len(answer.calls)) == (name, 1)
    assert isinstance(answer.decision, KINDS[kind])
    assert answer.cost_usd <= brain.worst_case_usd(ask(CONTEXTS[kind]))


def test_every_model_the_stand_in_knows_stands_in_the_table():
    assert set(MODELS) <= {row.name for row in models.TABLE}


@pytest.mark.parametrize("name", [SONNET_55, "claude-opus-5-5", "claude-haiku-5-5", "claude-sonnet-5"])
def test_model_that_thinks_by_default_decides_even_when_nothing_is_known_about_it(api, name, monkeypatch):
    monkeypatch.delitem(models._BY_NAME, name)

    assert isinstance(claude(api, [name]).decide(ask(handling())), Answer)


def test_thinking_does_eat_max_tokens_where_no_room_is_left_for_it(api, monkeypatch):
    monkeypatch.delitem(models._BY_NAME, SONNET_55)
    monkeypatch.setattr(models, "ROOM_TOKENS", 0)

    result = claude(api, [SONNET_55]).decide(ask(handling()))

    assert (result.reason, result.output_tokens) == ("truncated", 500)


@pytest.mark.parametrize("form", ["json", "fenced", "chatty", "auto"])
def test_answer_is_read_in_every_form(api, form):
    api.script([Step(form)])

    answer = claude(api, ["claude-sonnet-4-6"]).decide(ask(handling(queue_depth=50)))

    assert answer.decision.action == "batch"


@pytest.mark.parametrize(
    "form, reason",
    [
        ("refusal", "refusal"),
        ("truncated", "truncated"),
        ("context_exceeded", "truncated"),
        ("empty", "invalid_answer"),
        ("text", "invalid_answer"),
        ("garbage", "invalid_answer"),
        ("binary", "invalid_answer"),
        ("cut_off", "unreachable"),
        ("400", "bad_request"),
        ("401", "authentication"),
        ("402", "billing"),
        ("no_credit", "billing"),
        ("403", "permission"),
        ("413", "bad_request"),
    ],
)
def test_what_is_no_answer_fails_once_with_its_reason(api, form, reason):
    api.script([Step(form, text="I would rather not say." if form == "text" else None)])

    result, took = timed(claude(api), ask(handling()))

    assert isinstance(result, Failure), result
    assert (result.reason, len(result.calls), len(api.log)) == (reason, 1, 1)
    assert result.calls[0].error not in ("", "none")
    assert took < 2


@pytest.mark.parametrize("form", ["408", "500", "503", "504", "529", "dropped"])
def test_passing_fault_is_retried_by_the_sdk_and_each_attempt_recorded(api, form):
    api.script([form, form])

    answer = claude(api).decide(ask(handling()))

    assert isinstance(answer, Answer), answer
    assert [call.attempt for call in answer.calls] == [1, 2, 3]
    assert [call.error == "none" for call in answer.calls] == [False, False, True]
    assert [call.status for call in answer.calls[:2]] == [0 if form == "dropped" else int(form)] * 2
    waits = [(after.wall_ns - before.wall_ns) / 1e9 for before, after in zip(answer.calls, answer.calls[1:])]
    assert 0.3 < waits[0] < waits[1] < 2.0


def test_fault_that_stays_ends_after_the_sdks_retries(api):
    api.set(form="500")

    result = claude(api, max_retries=2).decide(ask(handling(), deadline_s=24.0))

    assert (result.reason, len(result.calls), result.cost_usd) == ("server_error", 3, 0.0)


def test_retry_after_is_honoured(api):
    api.script([Step("429", retry_after=1.2)])

    answer, took = timed(claude(api), ask(handling()))

    assert isinstance(answer, Answer)
    assert [call.error for call in answer.calls] == ["rate_limited", "none"]
    assert 1.2 <= took < 1.2 + SLACK_S


# --- deadlines


@pytest.mark.parametrize(
    "step, latest_s, reason",
    [
        pytest.param(Step("429", retry_after=3600), 0.0, "rate_limited", id="retry-after-an-hour"),
        pytest.param(Step("huge"), 0.0, "invalid_answer", id="huge-body"),
        pytest.param(Step("dribble", every_s=0.05), 1.5, "deadline", id="dribble"),
        pytest.param(Step("slow", delay_s=20.0), 1.5, "deadline", id="slow"),
        pytest.param(Step("hang"), 1.5, "deadline", id="hang"),
    ],
)
def test_deadline_is_kept_whatever_the_api_does(api, step, latest_s, reason):
    api.set(form=step)

    result, took = timed(claude(api), ask(handling(), deadline_s=1.5))

    assert result.reason == reason
    assert took < latest_s + SLACK_S
    assert wait_until(lambda: not [one for one in threading.enumerate() if one.name.startswith("claude-")])


def test_memory_stays_flat_under_a_huge_body(api):
    api.set(form=Step("huge"))
    brain = claude(api)
    brain.decide(ask(handling()))

    tracemalloc.start()
    brain.decide(ask(handling()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 16 * 1024 * 1024


def test_attempt_that_timed_out_after_it_was_sent_stays_spent(api):
    api.set(form="hang")
    brain = claude(api)
    question = ask(handling(), deadline_s=1.0)

    result = brain.decide(question)

    assert (result.calls[0].error, result.calls[0].status) in (("timeout", 0), ("deadline", 0))
    assert 0 < result.calls[0].cost_usd <= result.cost_usd <= brain.worst_case_usd(question)
    assert (result.input_tokens, result.output_tokens) == (0, 0)


class Raw:
    """A server of one's own on a socket: `serve(connection)` runs for each connection."""

    def __init__(self, serve):
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections.append(connection)
                threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        with contextlib.suppress(OSError):
            self._serve(connection)

    def close(self):
        self._listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


@contextlib.contextmanager
def raw(serve):
    server = Raw(serve)
    try:
        yield server
    finally:
        server.close()


def test_headers_that_dribble_are_cut_off_and_leave_no_thread():
    stop = threading.Event()

    def dribble(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nx-filler: ")
        while not stop.wait(0.05):
            connection.sendall(b"x")

    with raw(dribble) as server:
        result, took = timed(claude(server.url), ask(handling(), deadline_s=1.0))

        assert result.reason == "deadline"
        assert took < 1.0 + SLACK_S
        assert wait_until(lambda: not [one for one in threading.enumerate() if one.name.startswith("claude-")])
    stop.set()


def test_error_without_end_is_cut_short():
    def endless(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    with raw(endless) as server:
        result, took = timed(claude(server.url), ask(handling(), deadline_s=4.0))

    assert (result.reason, len(result.detail) <= 300) == ("bad_request", True)
    assert took < SLACK_S


def test_key_follows_no_redirect():
    seen = []

    def elsewhere(connection):
        seen.append(connection.recv(65536))

    with raw(elsewhere) as other:

        def redirect(connection):
            connection.recv(65536)
            connection.sendall(f"HTTP/1.1 307 Moved\r\nlocation: {other.url}/\r\ncontent-length: 0\r\n\r\n".encode())

        with raw(redirect) as server:
            result = claude(server.url).decide(ask(handling(), deadline_s=4.0))

    assert (result.reason, result.calls[0].status, seen) == ("bad_request", 307, [])


def test_nobody_listening_is_unreachable_and_costs_nothing():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    result = claude(url, max_retries=1).decide(ask(handling()))

    assert (result.reason, result.cost_usd, len(result.calls)) == ("unreachable", 0.0, 2)
    assert [call.error for call in result.calls] == ["connection", "connection"]


def test_hang_does_not_delay_the_process_exit(api):
    api.set(form="hang")
    code = (
        "import sys, threading; from tests.contract.test_brains import claude, ask, handling;"
        "brain = claude(sys.argv[1]);"
        "question = ask(handling(), deadline_s=60.0);"
        "threading.Thread(target=brain.decide, args=(question,), daemon=True).start();"
        "sys.stdin.readline()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, api.url],
        env=dict(os.environ, PYTHONPATH="agents:."),
        stdin=subprocess.PIPE,
    )
    try:
        assert api.wait_for(1, 30)

        began = time.monotonic()
        process.stdin.close()
        assert process.wait(10) == 0
    finally:
        process.kill()
    assert time.monotonic() - began < 2


# --- the chain of models


def test_model_that_the_api_no_longer_knows_gives_way_without_losing_the_decision(api):
    api.set(retired=[SONNET_45])
    said = []
    brain = claude(api, said=said)

    first, second = (brain.decide(ask(handling(), ask_id=name)) for name in ("a", "b"))

    assert (first.model, second.model) == (SONNET_55, SONNET_55)
    assert [(call.model, call.status) for call in first.calls] == [(SONNET_45, 404), (SONNET_55, 200)]
    assert [one.model for one in api.log] == [SONNET_45, SONNET_55, SONNET_55]
    assert [event for _, event, _ in said].count("model_unknown_to_api") == 1


def test_model_past_its_end_is_not_even_asked(api):
    answer = claude(api).decide(ask(handling(), wall_ns=AFTER_THE_END))

    assert answer.model == SONNET_55
    assert [one.model for one in api.log] == [SONNET_55]


def test_no_model_at_all_is_told(api):
    api.set(retired=[SONNET_45, SONNET_55])

    result = claude(api).decide(ask(handling()))

    assert (result.reason, len(result.calls)) == ("no_model", 2)


def test_shape_that_is_refused_is_dropped_once_for_good(api, monkeypatch):
    name = "claude-haiku-4-5-20251001"
    wrong = models.Model(name, 1.0, 5.0, "between_tools", effort="low")
    monkeypatch.setitem(models._BY_NAME, name, wrong)
    said = []
    brain = claude(api, [name], said=said)

    first, second = (brain.decide(ask(handling(), ask_id=ask_id)) for ask_id in ("a", "b"))

    assert [call.status for call in first.calls + second.calls] == [400, 200, 200]
    assert [event for _, event, _ in said] == ["request_shape_refused"]


# --- money


@pytest.mark.parametrize("kind", CONTEXTS)
def test_tokens_and_cost_are_those_of_the_apis_own_log(api, kind):
    brain = claude(api, [SONNET_45, SONNET_55, "claude-opus-5-5"])
    api.script(["auto", "500", "fenced", "refusal", "404", "chatty", "auto", "empty"])

    results = [brain.decide(ask(CONTEXTS[kind], ask_id=f"ask-{number}")) for number in range(6)]

    billed = [one for one in api.log if one.usage]
    assert sum(result.input_tokens for result in results) == sum(one.usage["input_tokens"] for one in billed)
    assert sum(result.output_tokens for result in results) == sum(one.usage["output_tokens"] for one in billed)
    assert sum(result.cost_usd for result in results) == pytest.approx(cost_of(billed))
    assert sum(len(result.calls) for result in results) == len(api.log)


def environment(api, **more):
    return dict({"CONSUMER_ID": "consumer-1", "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": api.url}, **more)


def made(api, tmp_path, transcript=None, said=None, **more):
    read = settings.load(environment(api, **more), "consumer")
    say = (lambda *event: said.append(event)) if said is not None else (lambda *event: None)
    return make_brain(
        read,
        "consumer",
        state_dir=tmp_path,
        system_spend=lambda at: (0.0, 0.0),
        transcript=transcript,
        say=say,
    )


def test_budget_stops_the_calls_and_outlives_a_restart(api, tmp_path):
    said = []
    brain = made(api, tmp_path, said=said, BUDGET_USD_PER_HOUR="0.06", BUDGET_AGENTS="1")

    results = [brain.decide(ask(handling(), ask_id=f"ask-{number}")) for number in range(40)]
    restarted = made(api, tmp_path, BUDGET_USD_PER_HOUR="0.06", BUDGET_AGENTS="1").decide(ask(handling()))

    answered = [result for result in results if isinstance(result, Answer)]
    assert 0 < len(answered) < 40 and len(api.log) == len(answered)
    assert results[-1].reason == restarted.reason == "budget_spent"
    assert cost_of(api.log) <= 0.06
    assert answered[-1].budget.spent_hour_usd == pytest.approx(cost_of(api.log))
    assert [fields["level"] for _, event, fields in said if event == "budget_level"][-1] == "spent"


def test_process_killed_during_a_call_has_spent_its_reservation(api, tmp_path):
    api.set(form="hang")
    code = (
        "import sys, json; from pathlib import Path; from reasond import settings;"
        "from reasond.brains.factory import make_brain;"
        "from tests.unit.brains.questions import ask, handling;"
        "brain = make_brain(settings.load(json.loads(sys.argv[1])), 'consumer', state_dir=Path(sys.argv[2]),"
        " system_spend=lambda at: (0.0, 0.0));"
        "brain.decide(ask(handling(), deadline_s=60.0))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(environment(api)), str(tmp_path)],
        env=dict(os.environ, PYTHONPATH="agents:."),
    )
    try:
        assert api.wait_for(1, 30)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    limits = limits_from(settings.load({}).budget)
    kept = Ledger(limits, 0.8, LedgerFile(tmp_path / BUDGET_FILE).load()).figures(BEFORE_THE_END)
    worst = claude(api).worst_case_usd(ask(handling()))
    assert kept.spent_hour_usd == pytest.approx(worst, abs=1e-6)


# --- secrets


def test_key_is_in_no_transcript_no_log_and_no_error(api, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    read = settings.load(environment(api), "consumer")
    transcript = make_transcript(read, "consumer", tmp_path / "log")
    said = []
    brain = made(api, tmp_path, transcript, said)
    told = json.dumps({"action": "process", "reasoning": "the key is " + KEY})
    api.script([Step("auto", text=told), Step("chatty", text=KEY), "401", "garbage", "cut_off"])

    results = [brain.decide(ask(handling("Its key: " + KEY), ask_id=f"ask-{number}")) for number in range(5)]
    transcript.close()

    lines = transcript.path.read_text()
    assert lines.count("\n") == 5 and "[redacted]" in lines
    assert KEY not in lines
    assert KEY not in caplog.text
    assert KEY not in str(said) + "".join(getattr(result, "detail", "") for result in results)


def test_key_that_the_server_sends_back_stays_out_of_the_error():
    def echo(connection):
        request = connection.recv(65536)
        body = next(line for line in request.split(b"\r\n") if KEY.encode() in line)
        connection.sendall(b"HTTP/1.1 400 Bad\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    with raw(echo) as server:
        result = claude(server.url).decide(ask(handling(), deadline_s=4.0))

    assert result.reason == "bad_request"
    assert "[redacted]" in result.detail and KEY not in result.detail


def test_request_carries_only_the_fields_that_may_leave(api, tmp_path):
    brain = made(api, tmp_path, PROMPT_REDACT=r"book_\d+;49\.262")

    brain.decide(ask(handling()))

    sent = json.dumps(api.log[0].request)
    assert "book_00042" not in sent and "49.262" not in sent and "[redacted]" in sent
    assert set(api.log[0].request) == {"model", "max_tokens", "messages", "output_config"}


def test_ca_file_that_can_not_be_read_is_an_error_at_the_start(api, tmp_path):
    with pytest.raises(OSError):
        made(api, tmp_path, ANTHROPIC_CA_FILE=str(Path(tmp_path) / "missing.pem"))


def test_proxy_of_the_environment_is_used(api, monkeypatch):
    seen = []

    def proxy(connection):
        seen.append(connection.recv(65536).split(b"\r\n")[0])

    with raw(proxy) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        claude("http://api.example.test", max_retries=0).decide(ask(handling(), deadline_s=2.0))

    assert seen == [b"POST http://api.example.test/v1/messages HTTP/1.1"]
