"""The boards' bench shows the slowest panel last, and its verdict can be a bad one."""

from typing import Dict, Optional

import pytest

from tests.bench.boards import Timing, table, told


def timing(where: str, **medians_ms: Optional[float]) -> Timing:
    named: Dict[str, Optional[float]] = {name.lstrip("_"): ms for name, ms in medians_ms.items()}
    return Timing(where, named, {name: "it broke" for name, ms in named.items() if ms is None})


def test_table_shows_the_slowest_last_and_marks_what_misses_the_limit() -> None:
    lines = table([timing("slow", _1h=10, _30d=301), timing("quick", _1h=20, _30d=300)], ["1h", "30d"])

    assert [line.split() for line in lines[1:]] == [["quick", "20", "300"], ["slow", "10", "301!"]]


@pytest.mark.parametrize(
    "ms, judged, status",
    [(300.0, True, 0), (300.1, True, 1), (300.1, False, 0), (None, False, 1)],
    ids=["in time", "too slow", "too slow, but not judged", "failed"],
)
def test_verdict_follows_the_slowest_range(ms: Optional[float], judged: bool, status: int) -> None:
    assert told([timing("panel", _1h=1.0, _30d=ms)], ["1h", "30d"], judged=judged) == status
