"""Places from a time-zone table, and distances between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.content import places
from reasond.content.places import Place, Way, all_places, apart_km, distance_km, nearest, parse
from reasond.errors import InputError

pytestmark = pytest.mark.unit

TABLE = (
    "# comment\n"
    "CA\t+4916-12307\tAmerica/Vancouver\n"
    "US\t+404251-0740023\tAmerica/New_York\teastern\n"
    "AQ\t-7750+16636\tAntarctica/McMurdo\n"
    "XX\tnonsense\tEurope/Nowhere\n"
    "short\n"
)
spots = st.builds(Place, st.just("x"), st.floats(-85, 85), st.floats(-180, 180))


def test_parse_reads_both_forms_of_coordinates_and_leaves_out_what_does_not_fit():
    assert parse(TABLE) == (
        Place("Vancouver", pytest.approx(49.2667, abs=1e-4), pytest.approx(-123.1167, abs=1e-4)),
        Place("New York", pytest.approx(40.7142, abs=1e-4), pytest.approx(-74.0064, abs=1e-4)),
    )


def test_all_places_are_many_and_known():
    found = {place.name: place for place in all_places()}
    assert len(found) > 200
    assert found["Tokyo"].lat == pytest.approx(35.65, abs=0.1)
    assert all(-80 < place.lat < 80 for place in found.values())


def test_packages_copy_serves_where_the_system_has_no_table(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "SYSTEM_DIRECTORY", tmp_path)
    assert len(all_places.__wrapped__()) > 200


def test_no_table_at_all_is_one_clear_error(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "SYSTEM_DIRECTORY", tmp_path)
    monkeypatch.setattr(places.pkgutil, "get_data", lambda package, name: None)
    with pytest.raises(InputError, match="tzdata"):
        all_places.__wrapped__()


def test_distance_between_two_known_cities():
    assert distance_km(48.8667, 2.3333, 51.5083, -0.1253) == pytest.approx(343, rel=0.02)


@given(spots, spots, st.floats(0, 1))
def test_way_is_divided_as_asked(start, end, part):
    way = Way(start, end)
    whole = way.length_km
    lat, lng = way.at(part)
    assert whole == distance_km(start.lat, start.lng, end.lat, end.lng)
    assert -90 <= lat <= 90 and -180 <= lng <= 180
    if whole < 19900:  # opposite points have no one shortest way
        assert distance_km(start.lat, start.lng, lat, lng) == pytest.approx(part * whole, abs=0.5)


@given(st.lists(spots, min_size=2, max_size=12, unique=True).map(tuple), st.integers(1, 12))
def test_nearest_are_the_first_of_all_others_by_distance(places, count):
    start = places[0]
    found = nearest(start, places, count)
    assert found == tuple(sorted(places[1:], key=lambda place: apart_km(start, place)))[:count]
