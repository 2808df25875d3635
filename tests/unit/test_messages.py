"""The message schema: round trips, and what and where is wrong when a body is no message."""

import json
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasond import messages
from reasond.errors import MessageInvalid

VALID = {
    "header": {
        "message_id": "0b5ef34b-1c8b-4fd3-9d48-8b3fd1f4d6d1",
        "timestamp": "2026-01-31T15:51:00Z",
        "version": "1.0",
        "source": "publisher-1",
    },
    "metadata": {
        "genre_type": "fictional",
        "priority": "normal",
        "ttl_seconds": 30,
        "publisher_reasoning": "Why this message was sent (from AI)",
    },
    "payload": {
        "entity_id": "book_xxxxx",
        "action": "location_update",
        "coordinates": {"lat": 49.262, "lng": -122.781},
        "context": "Event description",
    },
}


def body(path=None, value=None, drop=False):
    """Give the valid message's body with one place changed."""
    changed = json.loads(json.dumps(VALID))
    if path:
        *parents, last = path.split(".")
        place = changed
        for name in parents:
            place = place[name]
        if drop:
            del place[last]
        else:
            place[last] = value
    return json.dumps(changed).encode()


def test_decode_specification_example_gives_every_field():
    message = messages.decode(body())

    assert message.header.message_id == VALID["header"]["message_id"]
    assert message.header.timestamp == datetime(2026, 1, 31, 15, 51, tzinfo=timezone.utc)
    assert message.payload.coordinates.lng == -122.781
    assert json.loads(messages.encode(message)) == VALID


@pytest.mark.parametrize(
    "path, value",
    [
        pytest.param("header.message_id", "0b5ef34b-1c8b-1fd3-9d48-8b3fd1f4d6d1", id="uuid-version-1"),
        pytest.param("header.message_id", VALID["header"]["message_id"] + "\n", id="uuid-with-newline"),
        pytest.param("header.timestamp", "2026-01-31T15:51:00", id="timestamp-without-zone"),
        pytest.param("header.timestamp", "2026-01-31T15:51:00+02:00", id="timestamp-not-utc"),
        pytest.param("header.timestamp", 1769874660, id="timestamp-number"),
        pytest.param("header.version", "2.0", id="version-2"),
        pytest.param("header.source", "Publisher 1", id="source-pattern"),
        pytest.param("metadata.genre_type", "poetry", id="genre"),
        pytest.param("metadata.priority", "urgent", id="priority"),
        pytest.param("metadata.ttl_seconds", 0, id="ttl-zero"),
        pytest.param("metadata.ttl_seconds", 4294968, id="ttl-over-expiration-range"),
        pytest.param("metadata.ttl_seconds", "30", id="ttl-text"),
        pytest.param("payload.entity_id", "car_1", id="entity-prefix"),
        pytest.param("payload.action", "a b", id="action-with-blank"),
        pytest.param("payload.coordinates.lat", 90.1, id="latitude-range"),
        pytest.param("payload.coordinates.lng", -180.1, id="longitude-range"),
        pytest.param("payload.context", None, id="context-null"),
    ],
)
def test_decode_with_a_bad_value_names_its_path(path, value):
    with pytest.raises(MessageInvalid) as caught:
        messages.decode(body(path, value))

    assert caught.value.path == "$." + path
    assert caught.value.reason


def test_decode_with_a_missing_field_names_it():
    with pytest.raises(MessageInvalid) as caught:
        messages.decode(body("payload.coordinates", drop=True))

    assert caught.value.path == "$.payload"
    assert "coordinates" in caught.value.reason


def test_decode_with_unknown_fields_tolerates_them():
    assert messages.decode(body("payload.shelf", "B4")).payload.entity_id == "book_xxxxx"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe\x00", id="no-utf8"),
        pytest.param(b"[" * 200000, id="deep-array"),
        pytest.param(b'{"header":' * 20000, id="deep-object"),
        pytest.param(b'{"header":{"message_id":' + b"[" * 100000, id="deep-inside"),
        pytest.param(b'{"junk":' + b'{"a":' * 20000 + b"1" + b"}" * 20000 + b"}", id="deep-unknown-field"),
        pytest.param(b"NaN", id="nan"),
        pytest.param(b" " * (messages.MAX_BODY_BYTES + 1), id="too-large"),
    ],
)
def test_read_garbage_gives_invalid_and_never_raises(raw):
    assert isinstance(messages.read(raw), messages.Invalid)


@given(st.binary(max_size=300))
def test_read_any_bytes_never_raises(raw):
    messages.read(raw)


_text = st.text(st.characters(blacklist_categories=("Cs",)), max_size=80)
_timestamps = st.datetimes(
    min_value=datetime(1970, 1, 2), max_value=datetime(9998, 12, 31), timezones=st.just(timezone.utc)
)


@settings(max_examples=60)
@given(
    message=st.builds(
        messages.Message,
        header=st.builds(
            messages.Header,
            message_id=st.uuids(version=4).map(str),
            timestamp=_timestamps,
            version=st.just("1.0"),
            source=st.from_regex(r"\A[a-z]{1,10}-[0-9]{1,3}\Z"),
        ),
        metadata=st.builds(
            messages.Metadata,
            genre_type=st.sampled_from(messages.GENRES),
            priority=st.sampled_from(messages.PRIORITIES),
            ttl_seconds=st.integers(1, 4294967),
            publisher_reasoning=_text,
        ),
        payload=st.builds(
            messages.Payload,
            entity_id=st.from_regex(r"\Abook_[A-Za-z0-9_-]{1,20}\Z"),
            action=st.just("location_update"),
            coordinates=st.builds(messages.Coordinates, lat=st.floats(-90, 90), lng=st.floats(-180, 180)),
            context=_text,
        ),
    )
)
def test_encode_then_decode_any_message_gives_it_back(message):
    assert messages.decode(messages.encode(message)) == message
