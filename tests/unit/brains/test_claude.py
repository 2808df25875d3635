"""The Claude brain against a transport of the test's own: models, deadlines, what is said and kept."""

import json
import threading

import pytest

from reasond.brains import claude as claude_module
from reasond.brains.claude import MAX_STRAYS, RETRY_MODEL_S, ClaudeBrain
from reasond.brains.prompts import LATEST
from reasond.brains.redaction import Secrets
from reasond.brains.transport import CallFailed
from reasond.core.effects import Answer, Failure
from tests.unit.brains.questions import AFTER_THE_END, SONNET_45, SONNET_55, ask, handling, rate, wait_until

GOOD = {"reasoning": "fine", "action": "process", "confidence": 0.9}


class Attempted:
    """A request as the exchange's hook wants it."""

    def __init__(self):
        self.extensions = {}


def answer(decision=None, stop_reason="end_turn"):
    text = json.dumps(GOOD if decision is None else decision)
    usage = {"input_tokens": 600, "output_tokens": 150}
    content = [{"type": "text", "text": text}]
    return json.dumps({"content": content, "stop_reason": stop_reason, "usage": usage}).encode()


class Api:
    """A transport that gives out what was scripted for each model and keeps what it was asked."""

    def __init__(self, **by_model):
        self.by_model = {name.replace("_", "-"): list(steps) for name, steps in by_model.items()}
        self.requests = []

    def post(self, exchange, request):
        exchange.on_request(Attempted())
        self.requests.append(request)
        steps = self.by_model.get(request["model"], [])
        step = steps.pop(0) if steps else answer()
        if isinstance(step, CallFailed):
            exchange.end(step.kind)
            raise step
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, bytes) else step(exchange)

    @property
    def asked(self):
        return [request["model"] for request in self.requests]


UNKNOWN = CallFailed("no_model", "not_found", "404: model: gone")


def brain(api, models=(SONNET_45, SONNET_55), **more):
    said, kept = [], []
    made = ClaudeBrain(
        transport=api,
        model_names=models,
        max_tokens=500,
        say=lambda *event: said.append(event),
        record=kept.append,
        **more,
    )
    return made, said, kept


def events(said):
    return [event for _, event, _ in said if event != "model_ends_soon"]


def test_decide_answers_with_decision_tokens_and_cost():
    made, _, _ = brain(Api())

    result = made.decide(ask(handling()))

    assert isinstance(result, Answer)
    assert (result.decision.action, result.brain, result.model, result.prompt_version) == (
        "process",
        "claude",
        SONNET_45,
        LATEST,
    )
    assert (result.input_tokens, result.output_tokens) == (600, 150)
    assert result.cost_usd == pytest.approx(0.00405)
    assert [(call.attempt, call.error) for call in result.calls] == [(1, "none")]


def test_decide_goes_on_with_the_next_model_without_losing_the_decision():
    api = Api(**{SONNET_45.replace("-", "_"): [UNKNOWN]})
    made, said, _ = brain(api)

    first, second = made.decide(ask(handling())), made.decide(ask(handling()))

    assert first.model == second.model == SONNET_55
    assert api.asked == [SONNET_45, SONNET_55, SONNET_55]
    assert events(said) == ["model_unknown_to_api"]
    assert made.status() == f"model {SONNET_55} in place of {SONNET_45}"


def test_decide_tries_a_model_it_left_again_after_a_day():
    now = [0.0]
    api = Api(**{SONNET_45.replace("-", "_"): [UNKNOWN]})
    made, said, _ = brain(api, clock=lambda: now[0])
    made.decide(ask(handling()))

    now[0] += RETRY_MODEL_S + 1
    result = made.decide(ask(handling()))

    assert result.model == SONNET_45
    assert events(said) == ["model_unknown_to_api"]


def test_decide_never_asks_a_model_past_its_end():
    api = Api()
    made, said, _ = brain(api)

    result = made.decide(ask(handling(), wall_ns=AFTER_THE_END))
    made.decide(ask(handling(), wall_ns=AFTER_THE_END))

    assert result.model == SONNET_55
    assert api.asked == [SONNET_55, SONNET_55]
    assert events(said) == ["model_retired"]


def test_decide_without_any_model_left_fails_without_the_network():
    api = Api()
    made, _, _ = brain(api, models=(SONNET_45,))

    result = made.decide(ask(handling(), wall_ns=AFTER_THE_END))

    assert (result.reason, result.calls, api.requests) == ("no_model", (), [])


def test_decide_says_once_that_the_end_is_near():
    made, said, _ = brain(Api())

    made.decide(ask(handling()))
    made.decide(ask(handling()))

    assert [(event, fields["ends"]) for _, event, fields in said] == [("model_ends_soon", "2026-11-30")]


def test_decide_with_a_model_not_in_the_table_warns_once_and_asks_plainly():
    api = Api()
    made, said, _ = brain(api, models=("claude-new-1",))

    result = made.decide(ask(handling()))
    made.decide(ask(handling()))

    assert isinstance(result, Answer)
    assert set(api.requests[0]) == {"model", "messages", "max_tokens"}
    assert events(said) == ["model_not_in_table"]
    assert result.cost_usd > 0.00405


@pytest.mark.parametrize(
    "words",
    [
        "400: output_config: Extra inputs are not permitted",
        '400: "thinking.type.between_tools" is not supported for this model.',
        "400: This model does not support the effort parameter.",
    ],
    ids=["output-config", "thinking", "effort"],
)
def test_decide_falls_back_once_to_prompted_json_where_its_shape_is_refused(words):
    refused = CallFailed("bad_request", "bad_request", words)
    api = Api(**{SONNET_55.replace("-", "_"): [refused]})
    made, said, _ = brain(api, models=(SONNET_55,))

    results = [made.decide(ask(handling())) for _ in range(2)]

    assert all(isinstance(result, Answer) for result in results)
    assert ["extra_body" in request for request in api.requests] == [True, False, False]
    assert events(said) == ["request_shape_refused"]


def test_decide_does_not_ask_again_when_even_the_plain_request_is_refused():
    refused = CallFailed("bad_request", "bad_request", "400: output_config: whatever")
    api = Api(**{SONNET_55.replace("-", "_"): [refused, refused, refused]})
    made, _, _ = brain(api, models=(SONNET_55,))

    assert made.decide(ask(handling())).reason == "bad_request"
    assert len(api.requests) == 2


@pytest.mark.parametrize(
    "body, reason",
    [
        pytest.param(answer(stop_reason="max_tokens"), "truncated", id="max-tokens"),
        pytest.param(answer(stop_reason="refusal"), "refusal", id="refusal"),
        pytest.param(answer({"action": "reboot", "reasoning": "x"}), "invalid_answer", id="no-such-action"),
        pytest.param(answer({"reasoning": "x"}), "invalid_answer", id="no-action"),
        pytest.param(b"<html>", "invalid_answer", id="html"),
    ],
)
def test_decide_fails_on_what_is_no_answer_and_counts_its_tokens(body, reason):
    made, _, _ = brain(Api(**{SONNET_45.replace("-", "_"): [body]}))

    result = made.decide(ask(handling()))

    assert isinstance(result, Failure)
    assert result.reason == reason
    assert result.calls[0].error == reason
    assert (result.input_tokens == 600) == body.startswith(b"{")


def test_decide_is_back_by_the_deadline_whatever_the_transport_does():
    release = threading.Event()

    def hang(exchange):
        release.wait(20)
        return answer()

    made, _, _ = brain(Api(**{SONNET_45.replace("-", "_"): [hang]}))

    result = made.decide(ask(handling(), deadline_s=0.2))
    release.set()

    assert (result.reason, result.calls[0].error) == ("deadline", "deadline")
    assert 200 <= result.latency_ms < 1500


def test_decide_starts_no_further_thread_while_too_many_hang():
    release = threading.Event()

    def hang(exchange):
        release.wait(20)
        return answer()

    made, _, _ = brain(Api(**{SONNET_45.replace("-", "_"): [hang] * MAX_STRAYS}))
    for _ in range(MAX_STRAYS):
        made.decide(ask(handling(), deadline_s=0.02))

    blocked = made.decide(ask(handling(), deadline_s=0.5))
    release.set()

    assert (blocked.reason, blocked.calls) == ("unreachable", ())
    assert wait_until(lambda: isinstance(made.decide(ask(handling(), deadline_s=2.0)), Answer))


def test_decide_never_raises(monkeypatch):
    made, _, _ = brain(Api(**{SONNET_45.replace("-", "_"): [RuntimeError("key sk-ant-secret-1")]}))
    assert made.decide(ask(handling())).reason == "internal"

    monkeypatch.setattr(claude_module, "render", lambda *anything: 1 / 0)
    assert made.decide(ask(handling())).reason == "internal"


def test_decide_keeps_a_transcript_of_every_question():
    bad = answer({"action": "reboot", "reasoning": "x"})
    made, _, kept = brain(Api(**{SONNET_45.replace("-", "_"): [answer(), bad]}))

    made.decide(ask(handling("Seen at the desk."), ask_id="a-1"))
    made.decide(ask(handling(), ask_id="a-2"))

    assert [entry["decision_id"] for entry in kept] == ["a-1", "a-2"]
    assert "Seen at the desk." in kept[0]["prompt"]
    assert json.loads(kept[0]["response"]) == GOOD
    assert kept[0]["decision"]["action"] == "process"
    assert (kept[1]["error"], kept[1]["decision"]) == ("invalid_answer", None)
    assert "reboot" in kept[1]["response"]


def test_internal_errors_tell_no_secret():
    api = Api(**{SONNET_45.replace("-", "_"): [RuntimeError("header 'topsecret'")]})
    made, _, _ = brain(api, secrets=Secrets(["topsecret"]))

    assert "topsecret" not in made.decide(ask(handling())).detail


def test_worst_case_bounds_what_the_decision_then_costs():
    made, _, _ = brain(Api())
    question = ask(rate())

    assert made.worst_case_usd(question) > made.decide(ask(handling())).cost_usd


def test_worst_case_is_that_of_the_dearest_model_that_may_answer():
    cheap, _, _ = brain(Api(), models=("claude-haiku-5-5",))
    mixed, _, _ = brain(Api(), models=("claude-haiku-5-5", SONNET_45))
    question = ask(rate())

    assert mixed.worst_case_usd(question) > cheap.worst_case_usd(question)
    assert brain(Api(), models=(SONNET_45,))[0].worst_case_usd(ask(rate(), wall_ns=AFTER_THE_END)) == 0.0
