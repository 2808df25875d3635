"""What the downsampling's texts promise by themselves; tests/services/test_downsampling.py runs them."""

import re

import pytest

from reasond.downsampling import (
    DOWNSAMPLED,
    DURATION_BOUNDS_MS,
    LATENCY_BOUNDS_MS,
    WINDOW_NS,
    flux_time,
    oldest_flux,
    parsed_time,
    span_flux,
    task_flux,
)
from reasond.points import MEASUREMENTS

START_NS = 1_767_225_600_000_000_000


def test_series_have_names_of_their_own_and_only_numbers() -> None:
    assert not set(DOWNSAMPLED) & set(MEASUREMENTS)
    assert all(name == series.name and name.endswith("_5m") for name, series in DOWNSAMPLED.items())
    assert {kind for series in DOWNSAMPLED.values() for kind in series.fields.values()} == {"int", "float"}


def test_each_series_and_field_is_written_by_the_flux() -> None:
    flux = span_flux("o", "b", START_NS, START_NS + WINDOW_NS)

    for name, series in DOWNSAMPLED.items():
        assert f"series.{name}" in flux
        for field in series.fields:
            assert re.search(rf"\b{field}\b", flux), f"{name}.{field}"


@pytest.mark.parametrize("bounds", [DURATION_BOUNDS_MS, LATENCY_BOUNDS_MS], ids=["durations", "latencies"])
def test_bounds_rise_and_end_with_all(bounds: "tuple[float, ...]") -> None:
    assert list(bounds) == sorted(set(bounds))
    assert bounds[-1] == float("inf")


@pytest.mark.parametrize(
    ("name", "literal"),
    [
        ("plain", '"plain"'),
        ('a"b', '"a\\"b"'),
        ("a\\b", '"a\\\\b"'),
        ('\\"', '"\\\\\\""'),
        ("${x}", '"\\${x}"'),
        ("a\nb\tc", '"a\\nb\\tc"'),
    ],
    ids=["plain", "quote", "backslash", "both", "interpolation", "whitespace"],
)
def test_names_are_quoted(name: str, literal: str) -> None:
    for flux in (task_flux(name, name), span_flux(name, name, START_NS, START_NS + WINDOW_NS)):
        assert f"\norg = {literal}\n" in flux
        assert f"\nbucket = {literal}\n" in flux
    assert f"from(bucket: {literal})" in oldest_flux(name)


@pytest.mark.parametrize("shift", [(1, 0), (0, WINDOW_NS // 2)], ids=["start", "stop"])
def test_part_of_a_window_is_refused(shift: "tuple[int, int]") -> None:
    with pytest.raises(ValueError, match="not whole windows of 300 s"):
        span_flux("o", "b", START_NS + shift[0], START_NS + WINDOW_NS + shift[1])


def test_times_come_back_as_written() -> None:
    assert flux_time(START_NS) == "2026-01-01T00:00:00Z"
    assert parsed_time(flux_time(START_NS)) == START_NS
    assert parsed_time("2026-01-01T00:00:00.987654321Z") == START_NS
    assert parsed_time("") is parsed_time("yesterday evening") is None
