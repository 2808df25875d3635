"""The stand-in for the Messages API, called by the real SDK: it has to look like the API itself."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import typing
import urllib.error
import urllib.request
from pathlib import Path

import anthropic
import pytest

from tests.standin import FORMS, Inverted, Sensible, StandIn, Step
from tests.standin.models import MODELS
from tests.standin.prompt import kind_of, publisher_figures
from tests.standin.wire import FAULTS, VERSIONS

pytestmark = [
    pytest.mark.contract,
    # The specification's own model is on the SDK's list of deprecated ones.
    pytest.mark.filterwarnings("ignore:The model:DeprecationWarning"),
]

OLD = "claude-sonnet-4-5-20250929"
NEW = "claude-sonnet-5-5"
SDK_2 = int(anthropic.__version__.split(".")[0]) >= 2

ROOT = Path(__file__).resolve().parents[2]

#: Waits in these tests end here; nothing gets near it unless it is broken, in seconds.
DEADLINE_S = 10

FRAME = """You are an AI agent in a distributed system.

Context:
{context}

Your task: {task}

Respond ONLY with valid JSON in this format:
{{"action": "...", "reasoning": "...", "confidence": 0.95}}
"""


def framed(task, context=None):
    return FRAME.format(context=json.dumps(context or {}, indent=2), task=task)


def publisher_prompt(fictional, non_fictional, rates="fictional=5s, non-fictional=10s"):
    return framed(
        f"Queue depths are: fictional={fictional}, non-fictional={non_fictional}. "
        f"Should I adjust my publishing rate? Current rate: {rates}"
    )


def consumer_prompt(message, depth=3, priority="normal"):
    return framed(
        f"I received message: {json.dumps(message)}. Based on genre_type=fictional, priority={priority}, "
        f"and current queue_depth={depth}, should I: a) Process immediately, b) Batch with others, "
        f"c) Flag as anomaly?"
    )


def monitor_prompt(metrics):
    return framed(f"System metrics: {metrics}. Detect any issues? Should I alert? Any optimization suggestions?")


LOADED = publisher_prompt(40, 20)

SCHEMA = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string"},
        "action": {"type": "string", "enum": ["continue", "slow_down", "speed_up", "pause"]},
        "fictional_interval": {"type": "integer"},
        "nonfictional_interval": {"type": "integer"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["reasoning", "action", "fictional_interval", "nonfictional_interval", "note"],
    "additionalProperties": False,
}

TOOL = {"name": "decide", "description": "Takes the decision.", "input_schema": SCHEMA}


@pytest.fixture
def api():
    with StandIn() as running:
        yield running


#: One HTTP client for all of them: each new one reads the certificates anew.
BASE = anthropic.Anthropic(api_key="none", base_url="http://127.0.0.1:9", max_retries=0, timeout=DEADLINE_S)


def client(api, **options):
    return BASE.with_options(**dict({"api_key": api.key, "base_url": api.url}, **options))


def ask(api, prompt=LOADED, *, model=OLD, max_tokens=500, options=None, **extra):
    """Send one request; every parameter beyond the three goes as extra_body, which both generations take."""
    return client(api, **(options or {})).messages.create(
        model=model,
        max_tokens=max_tokens,
        messages=[{"role": "user", "content": prompt}],
        extra_body=extra or None,
    )


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def get(api, path):
    with urllib.request.urlopen(api.url + path, timeout=DEADLINE_S) as answer:
        return json.load(answer)


def post(api, path, value):
    request = urllib.request.Request(api.url + path, json.dumps(value).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
        return json.load(answer)


# Answers that the SDK parses


def test_plain_answer_is_json_text_with_usage(api):
    message = ask(api)
    assert json.loads(text_of(message))["action"] == "slow_down"
    assert (message.type, message.role, message.model) == ("message", "assistant", OLD)
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens == -(-len(LOADED) // 4)
    assert message.usage.output_tokens == -(-len(text_of(message)) // 4)


@pytest.mark.parametrize("model", sorted(MODELS))
def test_every_model_answers_when_there_is_room(api, model):
    message = ask(api, model=model, max_tokens=4000)
    assert json.loads(text_of(message))["action"] == "slow_down"
    assert message.model == model


def test_structured_output_has_the_schemas_properties_and_no_others(api):
    message = ask(api, output_config={"format": {"type": "json_schema", "schema": SCHEMA}})
    answer = json.loads(text_of(message))
    assert list(answer) == list(SCHEMA["properties"])
    assert answer["action"] == "slow_down"
    assert answer["note"] is None


@pytest.mark.parametrize(
    "choice", [None, {"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "decide"}], ids=str
)
def test_tools_are_used_when_allowed(api, choice):
    extra = {"tools": [TOOL]}
    if choice:
        extra["tool_choice"] = choice
    message = ask(api, **extra)
    (block,) = [block for block in message.content if block.type == "tool_use"]
    assert message.stop_reason == "tool_use"
    assert block.name == "decide"
    assert block.input["action"] == "slow_down"
    assert list(block.input) == list(SCHEMA["properties"])


def test_tools_are_not_used_when_tool_choice_is_none(api):
    message = ask(api, tools=[TOOL], tool_choice={"type": "none"})
    assert [block.type for block in message.content] == ["text"]


@pytest.mark.parametrize("wanted, outside", [("fenced", "```"), ("chatty", "Sure!"), ("json", "{")])
def test_text_forms_carry_the_same_decision(api, wanted, outside):
    api.set(form=wanted)
    text = text_of(ask(api))
    assert text.startswith(outside)
    start = text.index('{"') if wanted != "fenced" else text.index("{")
    assert json.JSONDecoder().raw_decode(text[start:])[0]["action"] == "slow_down"


@pytest.mark.parametrize(
    "wanted, stop",
    [("refusal", "refusal"), ("context_exceeded", "model_context_window_exceeded"), ("empty", "end_turn")],
)
def test_messages_without_content_still_cost(api, wanted, stop):
    api.script([wanted])
    message = ask(api)
    assert (message.stop_reason, message.content) == (stop, [])
    assert message.usage.output_tokens > 0


def test_truncated_answer_is_broken_json(api):
    api.script(["truncated"])
    message = ask(api)
    assert message.stop_reason == "max_tokens"
    with pytest.raises(ValueError):
        json.loads(text_of(message))


def test_answer_longer_than_max_tokens_is_cut_there(api):
    message = ask(api, max_tokens=10)
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 10


# Thinking


@pytest.mark.parametrize("model", ["claude-sonnet-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-5-5"])
def test_thinking_by_default_eats_the_specifications_max_tokens(api, model):
    message = ask(api, model=model, max_tokens=500)
    assert message.stop_reason == "max_tokens"
    assert [block.type for block in message.content] == ["thinking"]
    assert message.usage.output_tokens == 500


@pytest.mark.parametrize(
    "model, thinking",
    [
        ("claude-sonnet-5", {"type": "disabled"}),
        ("claude-sonnet-5-5", {"type": "between_tools"}),
        ("claude-haiku-5-5", {"type": "disabled"}),
        (OLD, None),
        ("claude-sonnet-4-6", None),
        ("claude-haiku-4-5-20251001", {"type": "disabled"}),
    ],
    ids=str,
)
def test_without_thinking_ahead_500_tokens_are_enough(api, model, thinking):
    message = ask(api, model=model, **({"thinking": thinking} if thinking else {}))
    assert [block.type for block in message.content] == ["text"]
    assert json.loads(text_of(message))["action"] == "slow_down"


def test_thinking_comes_first_and_is_counted(api):
    effort = {"effort": "low"}
    message = ask(api, model="claude-opus-5-5", max_tokens=500, output_config=effort)
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].thinking == ""
    assert message.content[0].signature
    assert message.usage.output_tokens > 200


def test_newer_tokenizer_counts_about_thirty_percent_more(api):
    quiet = {"thinking": {"type": "between_tools"}}
    old, new = ask(api).usage, ask(api, model=NEW, **quiet).usage
    assert new.input_tokens == pytest.approx(1.3 * old.input_tokens, abs=1)
    assert new.output_tokens == pytest.approx(1.3 * old.output_tokens, abs=1)


# Strictness

FORMAT = {"type": "json_schema"}


def schema(**changes):
    return {"output_config": {"format": dict(FORMAT, schema=dict(SCHEMA, **changes))}}


BAD_REQUESTS = {
    "forced-tool-5-5": (NEW, {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "decide"}}),
    "forced-any-5-5": (NEW, {"tools": [TOOL], "tool_choice": {"type": "any"}}),
    "forced-any-haiku-5-5": ("claude-haiku-5-5", {"tools": [TOOL], "tool_choice": {"type": "any"}}),
    "forced-any-opus-5-5": ("claude-opus-5-5", {"tools": [TOOL], "tool_choice": {"type": "any"}}),
    "forced-tool-while-thinking": (
        "claude-sonnet-5",
        {"tools": [TOOL], "tool_choice": {"type": "any"}, "thinking": {"type": "adaptive"}},
    ),
    "unknown-tool-chosen": (OLD, {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "other"}}),
    "tool-choice-without-tools": (OLD, {"tool_choice": {"type": "auto"}}),
    "tool-schema-not-an-object": (OLD, {"tools": [{"name": "x", "input_schema": {"type": "string"}}]}),
    "disabled-5-5": (NEW, {"thinking": {"type": "disabled"}}),
    "disabled-opus-5-5": ("claude-opus-5-5", {"thinking": {"type": "disabled"}}),
    "between-tools-opus-5-5": ("claude-opus-5-5", {"thinking": {"type": "between_tools"}}),
    "between-tools-haiku-5-5": ("claude-haiku-5-5", {"thinking": {"type": "between_tools"}}),
    "between-tools-sonnet-5": ("claude-sonnet-5", {"thinking": {"type": "between_tools"}}),
    "between-tools-4-5": (OLD, {"thinking": {"type": "between_tools"}}),
    "between-tools-extra-field": (NEW, {"thinking": {"type": "between_tools", "display": "summarized"}}),
    "between-tools-effort-max": (
        NEW,
        {"thinking": {"type": "between_tools"}, "output_config": {"effort": "max"}},
    ),
    "adaptive-4-5": (OLD, {"thinking": {"type": "adaptive"}}),
    "budget-5": ("claude-sonnet-5", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
    "budget-5-5": (NEW, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
    "budget-too-small": (OLD, {"thinking": {"type": "enabled", "budget_tokens": 100}}),
    "budget-over-max-tokens": (OLD, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
    "temperature-5": ("claude-sonnet-5", {"temperature": 1.0}),
    "temperature-5-5": (NEW, {"temperature": 0.0}),
    "top-p-5-5": (NEW, {"top_p": 0.9}),
    "top-k-5-5": (NEW, {"top_k": 5}),
    "effort-4-5": (OLD, {"output_config": {"effort": "low"}}),
    "effort-unknown": (NEW, {"output_config": {"effort": "tiny"}}),
    "schema-open": (OLD, schema(additionalProperties=True)),
    "schema-optional-field": (OLD, schema(required=["action"])),
    "schema-open-inside": (
        OLD,
        schema(properties=dict(SCHEMA["properties"], note={"type": "object", "properties": {}})),
    ),
    "schema-bounds": (
        OLD,
        schema(properties=dict(SCHEMA["properties"], fictional_interval={"type": "integer", "minimum": 1})),
    ),
    "schema-dangling-ref": (OLD, schema(properties=dict(SCHEMA["properties"], note={"$ref": "#/$defs/no"}))),
    "format-type": (OLD, {"output_config": {"format": {"type": "json_object"}}}),
    "output-config-unknown": (OLD, {"output_config": {"style": "short"}}),
    "unknown-parameter": (OLD, {"max_output_tokens": 500}),
    "output-format-of-the-beta": (OLD, {"output_format": dict(FORMAT, schema=SCHEMA)}),
    "max-tokens-zero": (OLD, {"max_tokens": 0}),
    "max-tokens-text": (OLD, {"max_tokens": "500"}),
    "max-tokens-null": (OLD, {"max_tokens": None}),
    "max-tokens-over-the-models": (OLD, {"max_tokens": 64001}),
    "messages-empty": (OLD, {"messages": []}),
    "message-empty": (OLD, {"messages": [{"role": "user", "content": ""}]}),
    "message-role": (OLD, {"messages": [{"role": "robot", "content": "x"}]}),
    "message-first-assistant": (OLD, {"messages": [{"role": "assistant", "content": "x"}]}),
    "stream": (OLD, {"stream": True}),
}

PREFILL = {"messages": [{"role": "user", "content": LOADED}, {"role": "assistant", "content": "{"}]}
BAD_REQUESTS.update({f"prefill-{model}": (model, PREFILL) for model in sorted(MODELS) if not MODELS[model].prefill})


@pytest.mark.parametrize("model, extra", list(BAD_REQUESTS.values()), ids=list(BAD_REQUESTS))
def test_request_that_the_model_refuses_is_a_400(api, model, extra):
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(api, **dict({"model": model, "max_tokens": 1500}, **extra))
    body = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert body["request_id"] == caught.value.response.headers["request-id"]
    assert [(exchange.status, exchange.usage) for exchange in api.log] == [(400, None)]


def test_missing_max_tokens_is_a_400(api):
    body = {"model": OLD, "messages": [{"role": "user", "content": LOADED}]}
    with pytest.raises(anthropic.BadRequestError, match="max_tokens: Field required"):
        client(api).post("/v1/messages", body=body, cast_to=object)


@pytest.mark.parametrize("version", VERSIONS)
def test_sampling_is_refused_for_every_model_from_the_new_version_on(api, version):
    headers = {"anthropic-version": version}
    attempt = contextlib.nullcontext() if version == VERSIONS[0] else pytest.raises(anthropic.BadRequestError)
    with attempt:
        ask(api, options={"default_headers": headers}, temperature=1.0)


def test_unknown_version_is_a_400(api):
    with pytest.raises(anthropic.BadRequestError, match="anthropic-version"):
        ask(api, options={"default_headers": {"anthropic-version": "2030-01-01"}})


@pytest.mark.parametrize("model", ["claude-sonnet-9", "sonnet", "claude-3-opus-20240229"])
def test_unknown_model_is_a_404(api, model):
    with pytest.raises(anthropic.NotFoundError) as caught:
        ask(api, model=model)
    assert caught.value.body["error"] == {"type": "not_found_error", "message": "model: " + model}


def test_alias_is_answered_by_the_model_it_stands_for(api):
    assert ask(api, model="claude-sonnet-4-5").model == OLD
    assert list(api.totals()) == [OLD]
    api.set(retired=[OLD])
    with pytest.raises(anthropic.NotFoundError):
        ask(api, model="claude-sonnet-4-5")


def test_retired_model_is_a_404_until_it_is_back(api):
    api.set(retired=[OLD])
    with pytest.raises(anthropic.NotFoundError):
        ask(api)
    api.set(retired=[])
    assert ask(api).stop_reason == "end_turn"


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"x-api-key": "wrong"}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({}, 401),
        ({"x-api-key": "right"}, 200),
        # SDK 2.x sends the key like this.
        ({"authorization": "Bearer right"}, 200),
        ({"x-api-key": "right", "authorization": "Bearer wrong"}, 200),
        ({"x-api-key": "wrong", "authorization": "Bearer right"}, 401),
    ],
    ids=str,
)
def test_key_is_taken_from_either_header(api, headers, status):
    api.set(key="right")
    body = {"model": OLD, "max_tokens": 500, "messages": [{"role": "user", "content": LOADED}]}
    sent = dict(headers, **{"anthropic-version": VERSIONS[0], "content-type": "application/json"})
    request = urllib.request.Request(api.url + "/v1/messages", json.dumps(body).encode(), sent)
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=DEADLINE_S).close()
    assert [exchange.status for exchange in api.log] == [status]
    assert not {"x-api-key", "authorization"} & set(api.log[0].headers)


def test_wrong_key_is_the_sdks_authentication_error(api):
    with pytest.raises(anthropic.AuthenticationError) as caught:
        ask(api, options={"api_key": "wrong"})
    assert caught.value.body["error"]["type"] == "authentication_error"


def test_key_can_change_at_run_time(api):
    before = client(api)
    api.set(key="rotated")
    with pytest.raises(anthropic.AuthenticationError):
        before.messages.create(model=OLD, max_tokens=10, messages=[{"role": "user", "content": "x"}])
    assert ask(api).stop_reason == "end_turn"


@pytest.mark.parametrize("method, path", [("GET", "/v1/other"), ("POST", "/v1/complete")])
def test_unknown_path_is_a_404(api, method, path):
    with pytest.raises(anthropic.NotFoundError):
        getattr(client(api), method.lower())(path, cast_to=object)


def test_invalid_request_takes_nothing_from_the_script(api):
    api.script(["refusal"])
    with pytest.raises(anthropic.BadRequestError):
        ask(api, nonsense=1)
    assert ask(api).stop_reason == "refusal"


# Faults

ERRORS = {
    "400": "BadRequestError",
    "no_credit": "BadRequestError",
    "401": "AuthenticationError",
    "402": "PaymentRequiredError",
    "403": "PermissionDeniedError",
    "404": "NotFoundError",
    "408": "RequestTimeoutError",
    # 2.x keeps this name as an alias.
    "413": "RequestTooLargeError",
    "429": "RateLimitError",
    "500": "InternalServerError",
    "503": "ServiceUnavailableError",
    "504": "GatewayTimeoutError",
    "529": "OverloadedError",
}

#: 0.72 has no class of its own for these, or keeps it private; what it raises instead.
OLD_ERRORS = dict.fromkeys(["402", "408", "413", "529"], "APIStatusError")
OLD_ERRORS.update(dict.fromkeys(["503", "504"], "InternalServerError"))


def error_class(name):
    return getattr(anthropic, OLD_ERRORS.get(name, ERRORS[name]) if not SDK_2 else ERRORS[name])


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_fault_raises_the_sdks_class_for_it(api, name):
    api.script([name])
    with pytest.raises(error_class(name)) as caught:
        ask(api)
    assert caught.value.status_code == FAULTS[name].status
    assert set(caught.value.body) == {"type", "error", "request_id"}
    assert api.log[-1].form == name


@pytest.mark.skipif(not SDK_2, reason="0.72 declares no list of error types")
def test_error_types_are_those_the_sdk_declares():
    from anthropic.types.shared.error_type import ErrorType

    assert {fault.kind for fault in FAULTS.values()} <= set(typing.get_args(ErrorType))


@pytest.mark.parametrize(
    "step, header", [("429", "1"), (Step("429", retry_after=3600), "3600"), (Step("529"), None)], ids=str
)
def test_retry_after_is_sent_with_a_429(api, step, header):
    api.script([step])
    with pytest.raises(anthropic.APIStatusError) as caught:
        ask(api)
    assert caught.value.response.headers.get("retry-after") == header


def test_sdks_own_retry_gets_the_next_scripted_answer(api):
    api.script([Step("429", retry_after=0.01), "529"])
    assert ask(api, options={"max_retries": 2}).stop_reason == "end_turn"
    assert [exchange.status for exchange in api.log] == [429, 529, 200]


@pytest.mark.parametrize("step", ["hang", Step("slow", delay_s=DEADLINE_S)], ids=["hang", "slow"])
def test_silence_is_the_sdks_timeout(api, step):
    api.script([step])
    with pytest.raises(anthropic.APITimeoutError):
        ask(api, options={"timeout": 0.3})


def test_slow_answer_arrives_after_its_delay(api):
    api.script([Step("slow", delay_s=0.3)])
    started = time.monotonic()
    assert ask(api).stop_reason == "end_turn"
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("wanted", ["dropped", "cut_off"])
def test_broken_connection_is_the_sdks_connection_error(api, wanted):
    api.script([wanted])
    with pytest.raises(anthropic.APIConnectionError):
        ask(api)
    assert api.log[-1].delivered is False


def read_some(api, limit, deadline_s):
    """Read an answer's bytes until the limit or the deadline; return what arrived."""
    got, ends = b"", time.monotonic() + deadline_s
    call = client(api).messages.with_streaming_response.create(
        model=OLD, max_tokens=500, messages=[{"role": "user", "content": LOADED}]
    )
    with call as response:
        for piece in response.iter_bytes():
            got += piece
            if len(got) >= limit or time.monotonic() > ends:
                break
    return got


@pytest.mark.parametrize("wanted", ["garbage", "binary"])
def test_garbage_is_a_200_that_is_not_json(api, wanted):
    api.script([wanted])
    with pytest.raises(ValueError):
        json.loads(read_some(api, 1 << 20, DEADLINE_S))
    assert api.log[-1].status == 200
    assert api.log[-1].usage is None


def test_dribble_gives_a_byte_at_a_time(api):
    api.script([Step("dribble", every_s=0.02)])
    assert 1 <= len(read_some(api, 5, DEADLINE_S)) <= 20


def test_huge_body_is_sent_lazily_and_can_be_left(api):
    api.script(["huge"])
    started = time.monotonic()
    assert len(read_some(api, 1 << 20, DEADLINE_S)) >= 1 << 20
    assert time.monotonic() - started < DEADLINE_S
    assert ask(api).stop_reason == "end_turn"


def test_small_huge_body_is_a_whole_valid_message(api):
    api.script([Step("huge", size=200000)])
    assert len(text_of(ask(api))) > 190000


def test_every_form_is_known_by_name(api):
    assert set(ERRORS) == set(FAULTS)
    for wanted in sorted(FORMS):
        api.script([wanted])
    with pytest.raises(ValueError, match="form"):
        api.script(["nonsense"])
    assert [step["form"] for step in get(api, "/_control")["script"]] == sorted(FORMS)


def test_hangs_end_when_the_server_stops():
    api = StandIn().start()
    api.set(form="hang")
    failures = []

    def call():
        try:
            ask(api, options={"timeout": DEADLINE_S})
        except anthropic.APIConnectionError as err:
            failures.append(err)

    callers = [threading.Thread(target=call, daemon=True) for _ in range(3)]
    for caller in callers:
        caller.start()
    assert api.wait_for(3, DEADLINE_S)
    started = time.monotonic()
    api.stop()
    assert time.monotonic() - started < 1
    for caller in callers:
        caller.join(DEADLINE_S)
    assert len(failures) == 3


def test_stopped_server_comes_back_on_its_port():
    api = StandIn().start()
    url = api.url
    api.stop()
    api.start()
    try:
        assert api.url == url
        assert ask(api).stop_reason == "end_turn"
    finally:
        api.stop()


# Policies

PUBLISHER_CASES = {
    "high": ((40, 3), "fictional=5s, non-fictional=10s", ("slow_down", 10, 10)),
    "high-moderate": ((16, 3), "fictional=5s, non-fictional=10s", ("slow_down", 8, 10)),
    "high-non-fictional": ((3, 40), "fictional=5s, non-fictional=10s", ("slow_down", 5, 20)),
    "extreme": ((40, 900), "fictional=5s, non-fictional=10s", ("pause", 5, 10)),
    "extreme-with-separator": (("1,200", 3), "fictional=5s, non-fictional=10s", ("pause", 5, 10)),
    "low-at-default": ((0, 1), "fictional=5s, non-fictional=10s", ("continue", 5, 10)),
    "low-above-default": ((0, 1), "fictional=20s, non-fictional=12.0s", ("speed_up", 13, 10)),
    "low-while-paused": ((0, 1), "fictional=paused, non-fictional=paused", ("speed_up", 5, 10)),
    "middle": ((10, 8), "fictional=7s, non-fictional=10s", ("continue", 7, 10)),
    "one-unknown": (("unknown", 40), "fictional=5s, non-fictional=10s", ("slow_down", 5, 20)),
    "both-unknown": (("unknown", "unknown"), "fictional=7s, non-fictional=10s", ("continue", 7, 10)),
}


@pytest.mark.parametrize("depths, rates, wanted", list(PUBLISHER_CASES.values()), ids=list(PUBLISHER_CASES))
def test_publisher_is_answered_by_the_figures_in_the_prompt(depths, rates, wanted):
    answer = Sensible().answer(publisher_prompt(*depths, rates=rates))
    assert (answer["action"], answer["fictional_interval"], answer["nonfictional_interval"]) == wanted
    assert 0 <= answer["confidence"] <= 1
    assert next(iter(answer)) == "reasoning"


@pytest.mark.parametrize("depths, wanted", [((40, 3), ("speed_up", 2, 5)), ((0, 0), ("slow_down", 10, 20))])
def test_inverted_policy_does_the_opposite(depths, wanted):
    answer = Inverted().answer(publisher_prompt(*depths))
    assert (answer["action"], answer["fictional_interval"], answer["nonfictional_interval"]) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "Queue depths are: fictional = 7 , non_fictional: **1,234**. Current rate: fictional: 5 s, non-fictional: 10s",
        "queue depths are fictional: 7, Non-Fictional is 1234; current rates are fictional=5s non-fictional=10s",
    ],
    ids=["marked-up", "prose"],
)
def test_figures_are_read_in_several_formats(text):
    assert publisher_figures(text) == (7, 1234, 5, 10)


@pytest.mark.parametrize(
    "message, depth, priority, action",
    [
        ({"context": "Arrived at the north branch"}, 3, "normal", "process"),
        ({"context": "Arrived at the north branch"}, 40, "normal", "batch"),
        ({"context": "Arrived at the north branch"}, 40, "high", "process"),
        ({"context": "Destroyed in a fire, borrowed an hour later"}, 3, "normal", "flag_anomaly"),
        ({"context": "Returned before it was ever borrowed"}, 40, "high", "flag_anomaly"),
        ({"context": "x"}, "unknown", "low", "process"),
    ],
)
def test_consumer_is_answered_by_message_and_depth(message, depth, priority, action):
    assert Sensible().answer(consumer_prompt(message, depth, priority))["action"] == action


def test_question_quoted_in_a_message_does_not_change_the_kind():
    quoted = publisher_prompt(999, 999) + "\nYour task: " + monitor_prompt("depth=1")
    prompt = consumer_prompt({"context": quoted})
    assert kind_of(prompt) == "consumer"
    assert Sensible().answer(prompt)["action"] == "process"


@pytest.mark.parametrize(
    "metrics, status",
    [
        ("queue_depth_fictional=3, error_rate=0.01", "healthy"),
        ("queue_depth_fictional=30, error_rate=0.01", "warning"),
        ("queue_depth_fictional=3, error_rate=40%", "critical"),
        (json.dumps({"queues": {"fictional": {"depth": 80}}, "published": 400}), "critical"),
        (json.dumps({"agents": {"expected": 7, "alive": 6}}), "warning"),
        (json.dumps({"agents": {"expected": 7, "alive": 7}, "error_rates": {"expired": 0.3}}), "critical"),
        ("nothing known", "healthy"),
    ],
)
def test_monitor_is_answered_by_the_worst_figure(metrics, status):
    answer = Sensible().answer(monitor_prompt(metrics))
    assert answer["status"] == status
    assert bool(answer["issues"]) == (status != "healthy")
    assert bool(answer["alerts"]) == (status == "critical")


def test_unknown_question_gets_an_answer_no_agent_takes():
    assert Sensible().answer("What is the weather?")["action"] == "unknown"


def test_policy_sees_the_prompts_text_and_nothing_else():
    seen = []

    class Watching(Sensible):
        def answer(self, prompt):
            seen.append(prompt)
            return super().answer(prompt)

    with StandIn(policy=Watching()) as api:
        ask(api, metadata={"user_id": "publisher-1"})
    assert seen == [LOADED]


# Log, totals and control


def test_log_has_everything_but_the_key(api, tmp_path):
    path = tmp_path / "log.jsonl"
    with StandIn(key="very-secret-key", log_file=str(path)) as logged:
        ask(logged)
        (exchange,) = logged.log
    assert exchange.prompt == LOADED
    assert (exchange.model, exchange.kind, exchange.path) == (OLD, "publisher", "/v1/messages")
    assert json.loads(exchange.answer)["action"] == "slow_down"
    assert exchange.request["max_tokens"] == 500
    assert exchange.headers["anthropic-version"] == VERSIONS[1 if SDK_2 else 0]
    assert exchange.scripted is False
    lines = path.read_text()
    assert json.loads(lines) == exchange.as_json()
    assert "very-secret-key" not in lines


def test_totals_are_the_sum_of_what_callers_got(api):
    usages = [ask(api).usage for _ in range(3)]
    api.script(["529", "cut_off"])
    for _ in range(2):
        with pytest.raises(anthropic.APIError):
            ask(api)
    total = api.totals()[OLD]
    assert (total["requests"], total["answered"], total["failed"], total["lost"]) == (5, 3, 1, 1)
    assert total["input_tokens"] == sum(usage.input_tokens for usage in usages)
    assert total["output_tokens"] == sum(usage.output_tokens for usage in usages)
    assert total["lost_input_tokens"] > 0
    assert get(api, "/_totals") == api.totals()


def test_answer_that_nobody_waits_for_is_lost_not_answered(api):
    api.script([Step("slow", delay_s=0.6)])
    with pytest.raises(anthropic.APITimeoutError):
        ask(api, options={"timeout": 0.2})
    assert api.wait_for(1, DEADLINE_S)
    assert api.totals()[OLD]["lost"] == 1


def test_scripted_content_is_marked(api):
    api.script([Step("text", text="verbatim"), {"form": "json", "decision": {"action": "pause"}}])
    assert text_of(ask(api)) == "verbatim"
    assert json.loads(text_of(ask(api))) == {"action": "pause"}
    assert [exchange.scripted for exchange in api.log] == [True, True]


def test_control_changes_settings_and_shows_them(api):
    wanted = {
        "policy": {"name": "inverted", "high": 30},
        "form": "fenced",
        "latency_ms": 5,
        "retired": ["claude-sonnet-5"],
        "key": "other",
        "schedule": [{"form": "529", "every": 2}],
    }
    assert post(api, "/_control", wanted) == get(api, "/_control")
    shown = get(api, "/_control")
    assert (shown["policy"], shown["form"]["form"], shown["retired"]) == (
        "inverted",
        "fenced",
        ["claude-sonnet-5"],
    )
    assert "other" not in json.dumps(shown)
    assert text_of(ask(api)).startswith("```")
    with pytest.raises(anthropic.APIStatusError):
        ask(api)


@pytest.mark.parametrize(
    "wanted",
    [
        {"nonsense": 1},
        {"form": "no"},
        {"policy": "no"},
        {"policy": {"name": "sensible", "no": 1}},
        {"latency_ms": "x"},
    ],
    ids=str,
)
def test_control_refuses_what_it_does_not_know_and_changes_nothing(api, wanted):
    before = get(api, "/_control")
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(api, "/_control", dict({"latency_ms": 7}, **wanted))
    assert caught.value.code == 400
    assert get(api, "/_control") == before


def test_log_since_gives_the_later_exchanges(api):
    for _ in range(3):
        ask(api)
    assert [exchange["number"] for exchange in get(api, "/_log?since=1")["exchanges"]] == [2, 3]


@pytest.mark.skipif(os.name != "posix", reason="ends the process by signal")
def test_runs_as_a_process_of_its_own(tmp_path):
    path = tmp_path / "log.jsonl"
    command = [
        sys.executable,
        "-m",
        "tests.standin",
        "--log",
        str(path),
        "--policy",
        "inverted",
        "--key",
        "k",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        url = process.stdout.readline().strip()
        answer = anthropic.Anthropic(base_url=url, api_key="k", max_retries=0, timeout=DEADLINE_S).messages.create(
            model=OLD, max_tokens=500, messages=[{"role": "user", "content": LOADED}]
        )
        assert json.loads(text_of(answer))["action"] == "speed_up"
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait(DEADLINE_S)
    assert json.loads(path.read_text())["status"] == 200
