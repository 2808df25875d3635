"""The history that tests and the benchmark fill InfluxDB with ends when it is told to, and repeats without clashes."""

import re
from typing import Dict, List, Set

import pytest

from reasond.points import MEASUREMENTS
from tests.testbed.history import DAY_NS, HOUR_NS, HOURS, History, history

# Where the day isn't in the cache yet, making it takes a minute.
pytestmark = pytest.mark.timeout(300)
# Six in the morning (UTC), so that a midnight lies in the middle.
END_NS = 20_000 * DAY_NS + 6 * HOUR_NS
HEARTBEAT_NS = 10 * 10**9


@pytest.fixture(scope="module")
def recorded() -> History:
    return history()


@pytest.fixture(scope="module")
def lines(recorded: History) -> List[str]:
    return list(recorded.lines(END_NS))


def time_of(line: str) -> int:
    return int(line.rpartition(" ")[2])


def test_every_measurement_is_in_it(lines: List[str]) -> None:
    assert {line[: line.index(",")] for line in lines} == set(MEASUREMENTS)


def test_points_go_on_until_the_end_and_not_beyond(lines: List[str]) -> None:
    beats = sorted(time_of(line) for line in lines if line.startswith("agent_health,"))

    assert END_NS - 2 * HEARTBEAT_NS <= beats[-1] <= max(map(time_of, lines)) <= END_NS
    assert beats[0] - (END_NS - HOURS * HOUR_NS) < 2 * HEARTBEAT_NS
    assert max(after - before for before, after in zip(beats, beats[1:])) <= HEARTBEAT_NS


def test_spend_of_the_day_starts_anew_at_midnight_utc_and_is_what_the_calls_cost(lines: List[str]) -> None:
    spent = {"before": 0.0, "after": 0.0}
    latest: Dict[str, Dict[str, float]] = {"before": {}, "after": {}}
    for line in lines:
        when = "before" if time_of(line) // DAY_NS < END_NS // DAY_NS else "after"
        if line.startswith("api_calls,"):
            spent[when] += float(re.findall(r"[ ,]cost_usd=([^, ]+)", line)[0])
        elif line.startswith("budget,"):
            (agent,), (usd,) = re.findall(r"agent_id=([^, ]+)", line), re.findall(r"[ ,]spent_day_usd=([^, ]+)", line)
            latest[when][agent] = float(usd)

    assert spent["after"] > 1
    # A call that was under way at midnight counts where it was asked for.
    assert {when: sum(by.values()) for when, by in latest.items()} == pytest.approx(spent, abs=0.05)


def test_a_day_that_is_repeated_has_other_ids_and_lies_before(recorded: History) -> None:
    ids: Dict[bool, Set[str]] = {True: set(), False: set()}
    for line in recorded.lines(END_NS, days=2):
        at_ns = time_of(line)
        assert END_NS - 2 * DAY_NS <= at_ns <= END_NS
        ids[at_ns < END_NS - DAY_NS].update(re.findall(r'[ ,](?:decision|message)_id="([^"]*)"', line))

    assert all(len(found) > 20_000 for found in ids.values())
    assert not ids[True] & ids[False]
