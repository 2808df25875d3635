"""What the API says: messages by block type, errors by kind."""

import json

import pytest

from reasond.brains.replies import decision_in, read_message, reason_of, words_of
from reasond.decisions import HandlingDecision
from reasond.errors import DecisionInvalid

DECISION = {"reasoning": "fine", "action": "process", "confidence": 0.9}


def body(content, stop_reason="end_turn", usage=None):
    usage = {"input_tokens": 10, "output_tokens": 5} if usage is None else usage
    return json.dumps({"type": "message", "content": content, "stop_reason": stop_reason, "usage": usage}).encode()


THINKING = {
    "type": "thinking",
    "thinking": '{"action": "flag_anomaly", "reasoning": "a thought"}',
    "signature": "x",
}
TEXT = {"type": "text", "text": json.dumps(DECISION)}
TOOL = {"type": "tool_use", "id": "t", "name": "decide", "input": DECISION}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param([TEXT], id="text"),
        pytest.param([THINKING, TEXT], id="thinking-first"),
        pytest.param([{"type": "redacted_thinking", "data": "x"}, {"type": "novelty"}, TEXT], id="unknown-blocks"),
        pytest.param([TOOL], id="tool-use"),
        pytest.param([{"type": "text", "text": "I'll decide."}, TOOL], id="text-and-tool-use"),
        pytest.param(
            [{"type": "text", "text": "Well:\n```json\n" + json.dumps(DECISION) + "\n```\nDone."}],
            id="fenced",
        ),
        pytest.param(["stray", {"type": "text", "text": None}, TEXT], id="malformed-blocks"),
        pytest.param([dict(TOOL, input={"unfit": 1}), TEXT], id="unfit-tool-use-then-text"),
    ],
)
def test_decision_is_read_by_block_type(content):
    assert decision_in(read_message(body(content)), "consumer") == HandlingDecision("process", "fine", 0.9)


def test_thinking_alone_is_no_decision():
    with pytest.raises(DecisionInvalid):
        decision_in(read_message(body([THINKING])), "consumer")


def test_tool_use_of_another_kind_is_no_decision():
    with pytest.raises(DecisionInvalid):
        decision_in(read_message(body([dict(TOOL, input={"unfit": 1})])), "consumer")


@pytest.mark.parametrize(
    "stop_reason, expected",
    [
        ("end_turn", None),
        ("tool_use", None),
        ("stop_sequence", None),
        ("max_tokens", "truncated"),
        ("model_context_window_exceeded", "truncated"),
        ("refusal", "refusal"),
    ],
)
def test_stop_reason_tells_what_is_no_answer(stop_reason, expected):
    assert read_message(body([TEXT], stop_reason)).stopped == expected


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"<html>", id="html"),
        pytest.param(b"\xff\xfe", id="binary"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'{"content": "text"}', id="content-no-list"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"", id="empty"),
    ],
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(ValueError):
        read_message(data)


def test_usage_counts_cached_tokens_and_survives_nonsense():
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 4,
        "cache_creation_input_tokens": None,
        "output_tokens": -3,
    }

    reply = read_message(body([TEXT], usage=usage))

    assert (reply.input_tokens, reply.output_tokens) == (14, 0)
    assert read_message(body([TEXT], usage=[1])).input_tokens == 0


def error(kind, message):
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}})


@pytest.mark.parametrize(
    "status, text, expected",
    [
        (400, error("invalid_request_error", "bad"), ("bad_request", "bad_request")),
        (400, error("invalid_request_error", "Your credit balance is too low"), ("billing", "billing")),
        (401, "", ("authentication", "authentication")),
        (402, "", ("billing", "billing")),
        (403, "", ("permission", "permission")),
        (404, error("not_found_error", "model: x"), ("no_model", "not_found")),
        (404, "<html>not here</html>", ("bad_request", "bad_request")),
        (307, "", ("bad_request", "bad_request")),
        (429, "", ("rate_limited", "rate_limited")),
        (500, "[]", ("server_error", "server_error")),
        (503, '{"error": 5}', ("server_error", "server_error")),
        (529, "", ("overloaded", "overloaded")),
    ],
)
def test_reason_of_follows_status_and_words(status, text, expected):
    assert reason_of(status, text) == expected


def test_words_of_an_error_without_words_is_its_body_on_one_line():
    assert words_of("<html>\n  gone\n</html>") == "<html> gone </html>"
    assert words_of(error("api_error", "broken")) == "broken"
