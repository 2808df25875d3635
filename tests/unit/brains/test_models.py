"""The table of models: what each one's request looks like and what it costs."""

from datetime import date

import pytest

from reasond.brains import models
from reasond.decisions import json_schema
from tests.unit.brains.questions import SONNET_45, SONNET_55

NEVER_SENT = {"temperature", "top_p", "top_k", "stop_sequences", "system", "tools", "tool_choice"}


@pytest.mark.parametrize("row", models.TABLE, ids=lambda row: row.name)
def test_shape_of_every_model_sends_nothing_that_newer_ones_refuse(row):
    arguments = models.shape(row, "publisher", 500)

    assert not NEVER_SENT & (set(arguments) | set(arguments.get("extra_body", {})))
    assert "budget_tokens" not in str(arguments)
    assert arguments["max_tokens"] == 500 + row.room_tokens


def test_shape_of_the_specifications_model_is_its_500_tokens_and_a_schema():
    arguments = models.shape(models.find(SONNET_45), "consumer", 500)

    assert arguments == {
        "max_tokens": 500,
        "extra_body": {"output_config": {"format": {"type": "json_schema", "schema": json_schema("consumer")}}},
    }


def test_shape_of_its_successor_turns_thinking_off_by_between_tools_and_low_effort():
    body = models.shape(models.find(SONNET_55), "consumer", 500)["extra_body"]

    assert body["thinking"] == {"type": "between_tools"}
    assert body["output_config"]["effort"] == "low"


def test_shape_of_a_model_that_always_thinks_leaves_room_beside_the_answer():
    arguments = models.shape(models.find("claude-opus-5-5"), "consumer", 500)

    assert arguments["max_tokens"] == 500 + models.ROOM_TOKENS
    assert "thinking" not in arguments["extra_body"]


def test_unknown_model_gets_the_most_careful_shape_and_the_highest_price():
    row = models.find("claude-sonnet-9")

    assert not row.known
    assert models.shape(row, "monitor", 500) == {"max_tokens": 500 + models.ROOM_TOKENS}
    dearest = max(models.cost_usd(known, 1000, 1000) for known in models.TABLE)
    assert models.cost_usd(row, 1000, 1000) >= dearest


@pytest.mark.parametrize(
    "name, input_tokens, output_tokens, expected",
    [
        pytest.param(SONNET_45, 600, 150, 0.00405, id="specification-prices"),
        pytest.param(SONNET_55, 1_000_000, 1_000_000, 12.0, id="sonnet-5-5"),
        pytest.param("claude-haiku-5-5", 100_000, 1000, 0.0105, id="haiku-short-prompt"),
        pytest.param("claude-haiku-5-5", 100_001, 1000, 0.0525005, id="haiku-long-prompt-five-times"),
        pytest.param(SONNET_45, 0, 0, 0.0, id="nothing"),
    ],
)
def test_cost_follows_the_price_list(name, input_tokens, output_tokens, expected):
    assert models.cost_usd(models.find(name), input_tokens, output_tokens) == pytest.approx(expected)


@pytest.mark.parametrize(
    "day, ended",
    [
        pytest.param(date(2026, 11, 29), False, id="the-day-before"),
        pytest.param(date(2026, 11, 30), True, id="the-day"),
        pytest.param(date(2027, 1, 1), True, id="after"),
    ],
)
def test_retired_from_the_day_on_which_requests_fail(day, ended):
    assert models.retired(models.find(SONNET_45), day) is ended


def test_model_without_an_end_date_is_never_retired():
    assert not models.retired(models.find(SONNET_55), date(2100, 1, 1))


@pytest.mark.parametrize("row", models.TABLE, ids=lambda row: row.name)
def test_worst_case_bounds_what_such_a_prompt_costs(row):
    prompt = "Queue depths are: fictional=3, non-fictional=2. " * 50

    worst = models.worst_case_usd(row, len(prompt), 500)

    generous = len(prompt) / 3 * row.tokenizer
    assert worst >= models.cost_usd(row, int(generous), 500)


def test_careful_keeps_the_price_and_drops_the_shape():
    row = models.find(SONNET_55)

    plain = models.careful(row)

    assert models.shape(plain, "monitor", 500) == {"max_tokens": 500 + models.ROOM_TOKENS}
    assert (plain.name, plain.input_usd, plain.output_usd) == (row.name, row.input_usd, row.output_usd)
