"""Each plausibility check at its border, and what the checks remember."""

from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.core import plausibility
from reasond.core.effects import Now
from reasond.core.intake import Item
from reasond.core.plausibility import (
    CAUSES,
    CHECKS,
    DUPLICATE_ID,
    EPOCH,
    FUTURE_TOLERANCE_S,
    STALE_TOLERANCE_S,
    Plausibility,
    distance_km,
)
from reasond.topology import HEADER_CAUSE, HEADER_REQUEUED
from tests.support.driver_consumer import START_WALL_NS, Bench, consumer_settings, message

pytestmark = pytest.mark.unit

BENCH = Bench()
VANCOUVER, SEATTLE, TOKYO = (49.262, -122.781), (47.606, -122.332), (35.654, 139.744)


def check(plausible: Plausibility, arrived_s: float = 0.0, **changes: Any) -> Optional[str]:
    """The cause of doubt of a message written at second `at_s` and delivered at second `arrived_s`."""
    delivered = {name: changes.pop(name) for name in ("headers",) if name in changes}
    in_queue = changes.pop("in_queue", "")
    settings = consumer_settings(**changes.pop("settings", {}))
    at_ns = START_WALL_NS + int(changes.pop("at_s", 0.0) * 1e9)
    one = message(at_ns=at_ns, **changes)
    item = Item(
        BENCH.delivery(one, queue=in_queue, **delivered),
        Now(mono=0.0, wall_ns=START_WALL_NS + int(arrived_s * 1e9)),
        stamp_s=(one.header.timestamp - EPOCH).total_seconds(),
        ttl_s=one.metadata.ttl_seconds,
    )
    doubt = plausible.doubt(item, one, settings)
    return None if doubt is None else doubt.cause


def test_plausible_message_raises_no_doubt() -> None:
    assert check(Plausibility()) is None


@pytest.mark.parametrize(
    ("ahead_s", "expected"),
    [(FUTURE_TOLERANCE_S - 0.5, None), (FUTURE_TOLERANCE_S + 0.5, "timestamp_future")],
    ids=["within tolerance", "beyond it"],
)
def test_timestamp_in_the_future_is_doubted_beyond_the_tolerance(ahead_s: float, expected: Optional[str]) -> None:
    assert check(Plausibility(), at_s=ahead_s) == expected


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [
        (29.0, None),
        (31.0, None),
        (60.0 + STALE_TOLERANCE_S - 1, None),
        (60.0 + STALE_TOLERANCE_S + 1, "timestamp_stale"),
    ],
    ids=["in time", "late", "late and held", "past its TTL when published"],
)
def test_timestamp_is_doubted_only_beyond_twice_the_ttl(age_s: float, expected: Optional[str]) -> None:
    assert check(Plausibility(), arrived_s=age_s, ttl=30) == expected


@pytest.mark.parametrize(
    ("in_queue", "priority", "genre", "expected"),
    [
        ("priority", "normal", "fictional", "priority_mismatch"),
        ("fictional", "high", "fictional", "priority_mismatch"),
        ("fictional", "low", "non-fictional", "genre_mismatch"),
        ("priority", "high", "non-fictional", None),
        ("non-fictional", "low", "non-fictional", None),
    ],
    ids=["normal in priority", "high in genre", "other genre", "high in priority", "low in its genre"],
)
def test_queue_that_does_not_fit_is_doubted(in_queue: str, priority: str, genre: str, expected: Optional[str]) -> None:
    assert check(Plausibility(), in_queue=in_queue, priority=priority, genre=genre) == expected


@pytest.mark.parametrize(
    ("place", "limits", "expected"),
    [
        ((79.9, 0.0), {}, None),
        ((80.1, 0.0), {}, "coordinates_range"),
        ((-80.1, 0.0), {}, "coordinates_range"),
        ((49.0, -123.0), {"min_longitude": -120.0}, "coordinates_range"),
        ((49.0, 10.0), {"max_longitude": 5.0}, "coordinates_range"),
        ((49.0, 4.0), {"min_latitude": 40.0, "max_latitude": 60.0, "max_longitude": 5.0}, None),
    ],
    ids=[
        "northern",
        "too far north",
        "too far south",
        "too far west",
        "too far east",
        "within narrow limits",
    ],
)
def test_coordinates_outside_the_settings_range_are_doubted(place: Any, limits: Any, expected: Optional[str]) -> None:
    assert check(Plausibility(), place=place, settings=limits) == expected


@pytest.mark.parametrize(
    ("seconds", "place", "expected"),
    [(3600, SEATTLE, None), (60, SEATTLE, "jump"), (36000, TOKYO, None), (3600, TOKYO, "jump")],
    ids=["an hour to the next city", "a minute to the next city", "ten hours across", "an hour across"],
)
def test_move_faster_than_the_settings_speed_is_doubted(seconds: float, place: Any, expected: Optional[str]) -> None:
    # Given a book in Vancouver
    plausible = Plausibility()
    assert check(plausible, place=VANCOUVER) is None
    # When, then
    assert check(plausible, at_s=seconds, arrived_s=seconds, place=place) == expected


def test_older_message_that_comes_later_is_measured_by_its_own_time_and_keeps_the_newer_position() -> None:
    # Given a book seen in Seattle at second 7200
    plausible = Plausibility()
    assert check(plausible, at_s=7200, arrived_s=7200, place=SEATTLE) is None
    # When a message of an hour before comes after it
    assert check(plausible, at_s=3600, arrived_s=7200, place=VANCOUVER, ttl=4000) is None
    # Then the latest position by timestamp stays
    last = plausible.last_seen("book_1")
    assert last is not None and (last.lat, last.lng) == SEATTLE


def test_doubted_position_does_not_become_the_next_ones_measure() -> None:
    # Given a book in Vancouver that is said to be in Tokyo a minute later
    plausible = Plausibility()
    check(plausible, place=VANCOUVER)
    assert check(plausible, at_s=60, arrived_s=60, place=TOKYO) == "jump"
    # When it is in Vancouver again, then that is plausible
    assert check(plausible, at_s=120, arrived_s=120, place=VANCOUVER) is None


def test_jump_that_a_second_message_confirms_becomes_the_position() -> None:
    # Given a first sighting that was wrong
    plausible = Plausibility()
    check(plausible, place=TOKYO)
    assert check(plausible, at_s=60, arrived_s=60, place=VANCOUVER) == "jump"
    # When the next message agrees with the doubted one
    assert check(plausible, at_s=120, arrived_s=120, place=VANCOUVER) is None
    # Then it is the measure from now on
    assert check(plausible, at_s=180, arrived_s=180, place=TOKYO) == "jump"


def test_other_book_far_away_is_plausible() -> None:
    plausible = Plausibility()
    check(plausible, place=VANCOUVER)
    assert check(plausible, book="book_other", at_s=1, arrived_s=1, place=TOKYO) is None


@pytest.mark.parametrize("header", [HEADER_REQUEUED, HEADER_CAUSE])
def test_message_put_back_by_hand_is_not_doubted_again(header: str) -> None:
    assert check(Plausibility(), arrived_s=10**6, in_queue="priority", headers={header: "1"}) is None


def test_expired_message_put_back_is_not_stale_but_else_checked() -> None:
    dead = {"x-death": [{"reason": "expired"}]}
    assert check(Plausibility(), arrived_s=10**6, headers=dead) is None
    assert check(Plausibility(), arrived_s=10**6, headers=dead, place=(89.0, 0.0)) == "coordinates_range"


def test_memory_of_books_is_bounded_and_forgets_the_one_not_seen_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given room for two
    monkeypatch.setattr(plausibility, "SIGHTINGS_KEPT", 2)
    plausible = Plausibility()
    for book in ("book_a", "book_b", "book_a", "book_c"):
        check(plausible, book=book)
    # Then
    assert plausible.last_seen("book_b") is None
    assert plausible.last_seen("book_a") is not None
    assert plausible.last_seen("book_c") is not None


def test_every_check_is_documented() -> None:
    assert {cause for cause, _ in CHECKS} | {DUPLICATE_ID} == set(CAUSES)


LATITUDES, LONGITUDES = st.floats(-90, 90), st.floats(-180, 180)


@given(LATITUDES, LONGITUDES, LATITUDES, LONGITUDES)
def test_distance_is_symmetric_and_at_most_half_the_earth(
    lat_a: float, lng_a: float, lat_b: float, lng_b: float
) -> None:
    there = distance_km(lat_a, lng_a, lat_b, lng_b)
    assert 0 <= there <= 20016
    assert there == pytest.approx(distance_km(lat_b, lng_b, lat_a, lng_a), abs=1e-3)


@given(LATITUDES, LONGITUDES, LATITUDES, LONGITUDES)
def test_no_way_is_longer_than_its_degrees_allow(lat_a: float, lng_a: float, lat_b: float, lng_b: float) -> None:
    degrees = abs(lat_a - lat_b) + abs(lng_a - lng_b)
    assert distance_km(lat_a, lng_a, lat_b, lng_b) <= degrees * plausibility.DEGREE_MAX_KM


@pytest.mark.parametrize(
    ("places", "expected_km"),
    [((VANCOUVER, SEATTLE), 187), ((VANCOUVER, TOKYO), 7566), (((0, 179.9), (0, -179.9)), 22)],
    ids=["next city", "across an ocean", "across the date line"],
)
def test_distance_of_known_places(places: Any, expected_km: float) -> None:
    (lat_a, lng_a), (lat_b, lng_b) = places
    assert distance_km(lat_a, lng_a, lat_b, lng_b) == pytest.approx(expected_km, rel=0.02)
