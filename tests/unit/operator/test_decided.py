"""One decision: whole from its point, found by its id's beginning, with its line of the transcript."""

import json

import pytest

from reasond.errors import InputError
from reasond.operator.decided import decided, find, transcript_line
from reasond.operator.records import Wanted
from reasond.points import MEASUREMENTS
from reasond.report.span import Span
from tests.unit.report.decided import row

ALL = Span(0, 2**62)


def test_every_field_of_the_point_is_told(records):
    fields = {
        name: {"int": 7, "float": 0.5, "bool": True, "str": "text"}[kind]
        for name, kind in MEASUREMENTS["agent_reasoning"].fields.items()
    }

    one = decided(row(3, queue="fictional", **fields))

    assert one.set == one.before == one.in_force == (7, 7)
    assert one.depths == one.depths_after == {"fictional": 7, "non-fictional": 7, "priority": 7}
    assert (one.id, one.reasoning, one.adjustment, one.fallback_reason) == ("text",) * 4
    assert (one.cost_usd, one.would_cost_usd, one.drain_time_s, one.latency_ms) == (0.5,) * 4
    assert (one.outcome, one.acted, one.adjusted, one.model) == ("helped", True, True, "")


def test_unknown_depths_are_left_out_and_zero_is_not():
    one = decided(row(queue_depth_fictional=0))

    assert one.depths == {"fictional": 0} and one.confidence is None


def test_in_shadow_what_was_before_stays_in_force():
    pairs = {"fictional_interval": 9, "nonfictional_interval": 9}
    before = {"previous_fictional_interval": 5, "previous_nonfictional_interval": 5}

    one = decided(row(action="slow_down", acted=False, **pairs, **before))

    assert (one.set, one.in_force, one.acted) == ((9, 9), (5, 5), False)


def a_decision(records, agent="publisher-1"):
    return decided(records.decided(ALL, Wanted(agent=agent, limit=3))[-1])


def test_whole_id_and_unambiguous_beginning_find_the_same(records):
    one = a_decision(records)

    whole = find(records, one.id, ALL, {})
    by_beginning = find(records, one.id[:-4], ALL, {})

    assert whole.decision == by_beginning.decision == one
    assert [attempt.cost_usd for attempt in whole.attempts] == [0.004]


def test_ambiguous_beginning_names_candidates_and_none_says_where_to_look(records):
    with pytest.raises(InputError, match="give more of it:\n  publisher-1-") as several:
        find(records, "publisher-1-", ALL, {})
    with pytest.raises(InputError, match="--since"):
        find(records, "publisher-1-x", ALL, {})

    assert len(str(several.value).splitlines()) == 12


def test_transcript_line_is_found_in_the_rotated_file_too(tmp_path, records):
    one = a_decision(records)
    lines = [{"decision_id": "other", "prompt": one.id}, {"decision_id": one.id, "prompt": "p", "response": "r"}]
    (tmp_path / "publisher-1.jsonl").write_text("{broken\n" + json.dumps(lines[0]) + "\n")
    rotated = tmp_path / "publisher-1.20260101T000000.000000.jsonl"
    rotated.write_text(json.dumps(lines[1]) + "\n")

    found = find(records, one.id, ALL, {"publisher-1": tmp_path})

    assert found.transcript == lines[1]
    assert found.looked_in == [str(tmp_path / "publisher-1.jsonl"), str(rotated)]


def test_where_a_transcript_was_sought_is_told(tmp_path):
    assert transcript_line("x", "publisher-1", {}) == (None, [])
    assert transcript_line("x", "publisher-1", {"publisher-1": tmp_path}) == (None, [f"{tmp_path}/publisher-1.jsonl"])
