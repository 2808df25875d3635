"""Which messages are put to the brain, and what of them leaves the host."""

import json
from typing import Any, Dict, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.core.effects import Now
from reasond.core.plausibility import Sighting
from reasond.core.sampling import PROMPT_TEXT_CHARS, REDACTED, Excerpts, Sampler
from tests.support.driver_consumer import message

pytestmark = pytest.mark.unit

EVERYTHING = ("header", "metadata", "payload")


def now(mono: float = 0.0) -> Now:
    return Now(mono=mono, wall_ns=0)


def drawn(sampler: Sampler, messages: int, **changes: Any) -> List[int]:
    options: Dict[str, Any] = dict({"every": 3, "min_gap_s": 0.0, "busy": False}, **changes)
    return [number for number in range(1, messages + 1) if sampler.due(now(), **options)]


def test_every_nth_message_is_due() -> None:
    assert drawn(Sampler(), 9) == [3, 6, 9]


def test_every_message_is_due_at_one_in_one() -> None:
    assert drawn(Sampler(), 3, every=1) == [1, 2, 3]


def test_sample_due_while_a_question_is_open_is_skipped_and_counted() -> None:
    sampler = Sampler()
    assert drawn(sampler, 9, busy=True) == []
    assert sampler.skipped == 3


@pytest.mark.parametrize(("at", "due"), [(9.9, False), (10.0, True)], ids=["within the gap", "after it"])
def test_sample_due_within_the_gap_is_skipped_and_counted(at: float, due: bool) -> None:
    # Given
    sampler = Sampler()
    sampler.asked(now(0.0))
    # When, then
    assert sampler.due(now(at), every=1, min_gap_s=10.0, busy=False) is due
    assert sampler.skipped == (0 if due else 1)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (("payload.context",), {"payload": {"context": "seen in a library"}}),
        (
            ("payload.coordinates.lat", "payload.coordinates.lng"),
            {"payload": {"coordinates": {"lat": 49.262, "lng": -122.781}}},
        ),
        (
            ("metadata.priority", "header.source"),
            {"metadata": {"priority": "normal"}, "header": {"source": "publisher-1"}},
        ),
        (("payload.nothing", "nothing", "header.source.deeper"), {}),
        ((), {}),
    ],
    ids=["one", "two of one parent", "of two parts", "unknown", "none"],
)  # fmt: skip
def test_excerpt_holds_the_allowed_fields_and_nothing_else(fields: Tuple[str, ...], expected: Any) -> None:
    assert Excerpts(fields, ()).of(message()) == expected


def test_excerpt_of_everything_is_the_whole_message_in_plain_data() -> None:
    excerpt = Excerpts((*EVERYTHING, "payload.context"), ()).of(message())
    assert set(excerpt) == set(EVERYTHING)
    assert excerpt["payload"]["coordinates"] == {"lat": 49.262, "lng": -122.781}
    json.dumps(excerpt)


def test_excerpt_is_redacted_before_it_is_cut() -> None:
    # Given a secret that the cut would go through the middle of
    secret = "secret-1234"
    text = "x" * (PROMPT_TEXT_CHARS - 5) + secret
    # When
    excerpt = Excerpts(EVERYTHING, (r"secret-\d{4}",)).of(message(context=text, reasoning=secret + " by me"))
    # Then
    assert len(excerpt["payload"]["context"]) == PROMPT_TEXT_CHARS
    assert "secret" not in json.dumps(excerpt)
    assert excerpt["metadata"]["publisher_reasoning"] == REDACTED + " by me"


def test_number_that_a_pattern_matches_is_redacted() -> None:
    excerpt = Excerpts(("payload.coordinates",), (r"49\.2",)).of(message())
    assert excerpt == {"payload": {"coordinates": {"lat": REDACTED, "lng": -122.781}}}


@given(st.text(max_size=3000))
def test_no_text_of_an_excerpt_is_longer_than_allowed(text: str) -> None:
    excerpt = Excerpts(EVERYTHING, ()).of(message(context=text, reasoning=text))
    assert excerpt["payload"]["context"] == text[:PROMPT_TEXT_CHARS]
    assert len(excerpt["metadata"]["publisher_reasoning"]) <= PROMPT_TEXT_CHARS


SIGHTING = Sighting(1.0, 2.0, 100.0, "location_update", "in a shop of secret-1")


def test_last_sighting_is_shown_as_far_as_its_fields_are_allowed() -> None:
    assert Excerpts(("payload.context", "header"), ("secret-1",)).of_sighting(SIGHTING, 160.0) == {
        "context": "in a shop of " + REDACTED,
        "seconds_before": 60.0,
    }


@pytest.mark.parametrize(
    ("fields", "sighting"), [(("header",), SIGHTING), (EVERYTHING, None)], ids=["forbidden", "none"]
)
def test_last_sighting_that_is_not_there_or_not_allowed_is_none(fields: Any, sighting: Any) -> None:
    assert Excerpts(fields, ()).of_sighting(sighting, 160.0) is None
