"""Rows and line protocol: declared types, unique stamps, escapes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.points import MEASUREMENTS, Row, Stamper, to_line

TAGS = {"agent_id": "publisher-1"}


def test_specification_measurements_have_its_tags_and_fields():
    reasoning = MEASUREMENTS["agent_reasoning"]
    assert {"agent_id", "agent_type", "action", "decision_type", "queue"} <= set(reasoning.tags)
    assert reasoning.fields["tokens_used"] == "int" and reasoning.fields["decision_latency_ms"] == "float"
    assert reasoning.fields["outcome_success"] == "bool" and reasoning.fields["fictional_interval"] == "int"
    assert {"messages_published", "duration_ms", "current_interval", "ai_adjusted"} <= set(
        MEASUREMENTS["publisher_metrics"].fields
    )
    assert {"messages_consumed", "processing_duration_ms", "queue_depth", "ai_decision_used"} <= set(
        MEASUREMENTS["consumer_metrics"].fields
    )


def test_no_name_is_tag_and_field_of_one_measurement():
    for measurement in MEASUREMENTS.values():
        assert not set(measurement.tags) & set(measurement.fields), measurement.name


def test_row_takes_the_declared_type_whatever_python_holds():
    row = Stamper().row("agent_reasoning", {}, {"tokens_used": 3.0, "confidence": 1, "adjusted": 1}, 5)

    assert to_line(row) == "agent_reasoning adjusted=true,confidence=1.0,tokens_used=3i 5"


def test_row_leaves_out_what_is_none_or_an_empty_tag():
    row = Stamper().row("agent_reasoning", {"queue": "", "model": "m"}, {"confidence": None, "adjusted": False}, 5)

    assert to_line(row) == "agent_reasoning,model=m adjusted=false 5"


@pytest.mark.parametrize("tags, fields", [({"colour": "x"}, {}), ({}, {"weight": 1})], ids=["tag", "field"])
def test_row_with_an_undeclared_name_raises(tags, fields):
    with pytest.raises(KeyError):
        Stamper().row("budget", tags, fields, 1)


def test_stamps_of_one_series_rise_and_of_two_are_free():
    stamper = Stamper()

    times = [stamper.row("budget", TAGS, {"level": "ok"}, 100).time_ns for _ in range(3)]
    other = stamper.row("budget", {"agent_id": "consumer-1"}, {"level": "ok"}, 100).time_ns

    assert times == [100, 101, 102] and other == 100 and stamper.clock_steps == 0


def test_clock_set_back_by_more_than_a_second_starts_again_and_is_counted():
    stamper = Stamper()
    stamper.row("budget", TAGS, {"level": "ok"}, 10_000_000_000)

    small = stamper.row("budget", TAGS, {"level": "ok"}, 9_500_000_000).time_ns
    large = stamper.row("budget", TAGS, {"level": "ok"}, 5_000_000_000).time_ns

    assert small == 10_000_000_001 and large == 5_000_000_000 and stamper.clock_steps == 1


@given(st.text(max_size=60))
def test_to_line_of_any_text_is_one_line_with_its_quotes_closed(text):
    line = to_line(Row("agent_reasoning", {"model": text or "m"}, {"reasoning": text}, 7))

    assert "\n" not in line and line.endswith('" 7')
    value = line[line.index('reasoning="') + len('reasoning="') : -len('" 7')]
    assert value.replace("\\\\", "").replace('\\"', "").count('"') == 0
