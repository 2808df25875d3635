"""Reading a brain's answer: every form a model gives it in, and nothing beyond its kind's actions."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond import decisions
from reasond.errors import DecisionInvalid

RATE = {"reasoning": "deep", "action": "slow_down", "fictional_interval": 10, "nonfictional_interval": 20.0}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(json.dumps(RATE), id="bare"),
        pytest.param("```json\n" + json.dumps(RATE, indent=2) + "\n```", id="fenced"),
        pytest.param("Looking at it {now}:\n" + json.dumps(RATE) + "\nHope this helps {:-)}", id="prose"),
        pytest.param('{"action": "pause", "reasoning": "draft"} no, rather: ' + json.dumps(RATE), id="last-counts"),
        pytest.param(json.dumps(dict(RATE, action=" SLOW_DOWN ")), id="case-and-blanks"),
        pytest.param(json.dumps(dict(RATE, fictional_interval="10")), id="number-as-text"),
        pytest.param(json.dumps(dict(RATE, suggested_params={"x": 1})), id="suggested-params"),
        pytest.param(json.dumps(RATE) + '\n{"note": "not a decision"}', id="other-object-after"),
    ],
)
def test_parse_a_form_models_answer_in_gives_the_decision(text):
    decision = decisions.parse("publisher", text)

    assert decision == decisions.RateDecision("slow_down", "deep", 10.0, 20.0, None)


@pytest.mark.parametrize(
    "kind, text",
    [
        pytest.param("publisher", "", id="empty"),
        pytest.param("publisher", "slow down please", id="prose-only"),
        pytest.param("publisher", '{"action": "delete_queue", "reasoning": ""}', id="foreign-action"),
        pytest.param("publisher", '{"action": ["pause"]}', id="action-list"),
        pytest.param("publisher", '{"reasoning": "no action"}', id="no-action"),
        pytest.param("consumer", '{"action": "slow_down"}', id="other-kinds-action"),
        pytest.param("monitor", '{"action": "healthy"}', id="monitor-without-status"),
        pytest.param("monitor", "{" * 5000, id="deep"),
        pytest.param("publisher", '{"action": "pause"', id="cut-off"),
    ],
)
def test_parse_what_is_no_decision_raises_with_a_reason(kind, text):
    with pytest.raises(DecisionInvalid) as caught:
        decisions.parse(kind, text)

    assert str(caught.value)


def test_parse_absent_confidence_is_left_out_never_invented():
    assert decisions.parse("consumer", '{"action": "process", "reasoning": ""}').confidence is None


@pytest.mark.parametrize("given_value, expected", [(3, 1.0), (-1, 0.0), ("0.5", 0.5), (True, None), ("high", None)])
def test_parse_confidence_is_brought_into_range(given_value, expected):
    text = json.dumps({"action": "process", "reasoning": "", "confidence": given_value})

    assert decisions.parse("consumer", text).confidence == expected


def test_parse_monitor_lists_become_bounded_texts():
    answer = {"status": "warning", "issues": ["a\nb", {"queue": "x"}] + ["more"] * 50, "suggestions": "none"}

    decision = decisions.parse("monitor", json.dumps(answer))

    assert decision.issues[:2] == ("a b", '{"queue": "x"}')
    assert len(decision.issues) == decisions.MAX_LIST_ITEMS
    assert decision.suggestions == ()
    assert decision.action == "warning"


@pytest.mark.parametrize("kind", ["publisher", "consumer", "monitor"])
def test_json_schema_of_a_kind_fits_structured_outputs(kind):
    schema = decisions.json_schema(kind)

    assert schema["additionalProperties"] is False
    assert sorted(schema["required"]) == sorted(schema["properties"])
    assert list(schema["properties"])[0] == "reasoning"


@given(st.text(max_size=200))
def test_parse_any_text_gives_a_decision_or_says_why_not(text):
    for kind in decisions.DECISION_TYPES:
        try:
            decisions.parse(kind, text)
        except DecisionInvalid:
            pass


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.fixed_dictionaries(
        {"action": st.sampled_from(["continue", "slow_down", "speed_up", "pause"])},
        optional={
            "reasoning": _json,
            "confidence": _json,
            "fictional_interval": _json,
            "nonfictional_interval": _json,
        },
    )
)
def test_from_object_any_values_give_finite_numbers_and_printable_text(answer):
    decision = decisions.from_object("publisher", answer)

    for number in (decision.confidence, decision.fictional_interval, decision.nonfictional_interval):
        assert number is None or math.isfinite(number)
    assert decision.confidence is None or 0.0 <= decision.confidence <= 1.0
    assert len(decision.reasoning) <= decisions.MAX_REASONING_CHARS
    decision.reasoning.encode("utf-8")
    assert "\n" not in decision.reasoning
