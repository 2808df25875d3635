"""Lines of a feed as items."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.content.records import RecordInvalid, format_of, header_of, read
from reasond.core.items import hashed_id

pytestmark = pytest.mark.unit

FLAT = {"entity_id": "book_7", "lat": 49.2, "lng": -122.7, "genre_type": "fictional"}
FULL = {
    "header": {
        "message_id": hashed_id("x"),
        "timestamp": "2020-01-01T00:00:00Z",
        "version": "1.0",
        "source": "me",
    },
    "metadata": {
        "genre_type": "non-fictional",
        "priority": "high",
        "ttl_seconds": 9,
        "publisher_reasoning": "old",
    },
    "payload": {
        "entity_id": "book_7",
        "action": "shelved",
        "coordinates": {"lat": 1, "lng": 2},
        "context": "there",
    },
}
COLUMNS = ["entity_id", "genre_type", "lat", "lng", "context", "ttl_seconds", "note"]


def line(value):
    return json.dumps(value).encode()


def test_flat_row_gets_the_defaults():
    item = read(line(FLAT), "jsonl", [], 30)
    assert (item.genre, item.priority, item.ttl_seconds, item.message_id) == ("fictional", "normal", 30, None)
    assert (item.payload.action, item.payload.context, item.payload.coordinates.lat) == (
        "location_update",
        "",
        49.2,
    )


def test_full_message_keeps_its_id_metadata_and_payload():
    item = read(line(FULL), "jsonl", [], 30)
    assert (item.genre, item.priority, item.ttl_seconds) == ("non-fictional", "high", 9)
    assert item.message_id == hashed_id("x")
    assert (item.payload.action, item.payload.context) == ("shelved", "there")


def test_csv_row_is_read_by_its_columns_names_and_empty_cells_are_absent():
    item = read(b'book_1,fictional,49.2,-122.7,"said ""no"", twice",,x', "csv", COLUMNS, 30)
    assert (item.payload.entity_id, item.payload.context, item.ttl_seconds) == (
        "book_1",
        'said "no", twice',
        30,
    )
    assert item.payload.coordinates.lng == -122.7


@pytest.mark.parametrize(
    ("text", "form", "reason"),
    [
        (b"{", "jsonl", "truncated"),
        (b"[1]", "jsonl", "no JSON object"),
        (line(dict(FLAT, lat=91)), "jsonl", "lat"),
        (line(dict(FLAT, lat="49")), "jsonl", "lat"),
        (line(dict(FLAT, entity_id="chair_1")), "jsonl", "entity_id"),
        (line({"payload": FULL["payload"]}), "jsonl", "metadata"),
        (b"\xff\xfe", "csv", "UTF-8"),
        (b'book_1,"open', "csv", "CSV"),
        (b"book_1,fictional,1,2,a,3,b,c", "csv", "8 cells"),
        (b"book_1,fictional,north,2", "csv", "lat"),
        (b"[" * 100000, "jsonl", ""),
    ],
    ids=[
        "cut",
        "list",
        "out of range",
        "text for number",
        "pattern",
        "half a message",
        "bytes",
        "quote",
        "too many",
        "no number",
        "deep",
    ],
)
def test_line_that_fits_nothing_says_why(text, form, reason):
    with pytest.raises(RecordInvalid) as err:
        read(text, form, COLUMNS, 30)
    assert reason in str(err.value)


@given(st.binary(max_size=300), st.sampled_from(["jsonl", "csv"]))
def test_any_bytes_are_an_item_or_a_reason(text, form):
    try:
        read(text, form, COLUMNS, 30)
    except RecordInvalid as err:
        assert str(err)


@pytest.mark.parametrize(
    ("path", "first", "form"),
    [
        ("a.CSV", b"{", "csv"),
        ("a.jsonl", b"a,b", "jsonl"),
        ("-", b'  {"a": 1}', "jsonl"),
        ("feed", b"a,b", "csv"),
        ("feed", b"\xef\xbb\xbf{", "jsonl"),
    ],
    ids=["csv name", "json name", "json text", "csv text", "byte order mark"],
)
def test_format_by_name_or_first_line(path, first, form):
    assert format_of(path, first) == form


def test_header_is_freed_of_spaces_and_byte_order_mark():
    assert header_of(b"\xef\xbb\xbfentity_id, lat ,lng") == ["entity_id", "lat", "lng"]
