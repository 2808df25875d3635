"""What is drawn: every agent and queue on it, plain in a pipe, coloured on a terminal unless NO_COLOR says no."""

import io
import time

import pytest
from msgspec.structs import replace
from rich.console import Console

from reasond.doctor.examined import examine
from reasond.operator import screen
from reasond.operator.system import Trial, system
from tests.unit.operator.test_system import NOBODY

LINES, COLUMNS = 40, 160


@pytest.fixture(scope="module")
def found(records, end_ns):
    return system(records, examine({}, ()), NOBODY, end_ns)


def drawn(renderable, **settings):
    out = io.StringIO()
    Console(file=out, width=COLUMNS, highlight=False, **settings).print(renderable)
    return out.getvalue()


def test_whole_system_fits_one_screen(found):
    text = drawn(screen.status(found))

    assert len(text.splitlines()) <= LINES
    assert all(one.agent in text for one in found.agents) and all(one.queue in text for one in found.queues)
    assert all(one.id in text for one in found.decisions)
    assert "healthy" in text.splitlines()[0] and "budget ok" in text


def test_care_stands_above_everything_else(records, end_ns):
    late = system(records, examine({}, ()), NOBODY, end_ns + 120 * 10**9)
    lines = drawn(screen.status(late)).splitlines()

    assert "needs care (7)" in lines[0]
    assert lines[1].startswith("! publisher-1 is away")


def test_running_experiment_stands_at_the_foot_with_what_came_of_it_so_far(found):
    trial = Trial("claude,static:60m", "static", 4, 1_000_000_000 * 10**9, ["depth: too little data (2 of 6 pairs)"])

    foot = drawn(screen.status(replace(found, experiment=trial))).splitlines()[-2:]

    assert foot == [
        "experiment claude,static:60m: static decides, until 2001-09-09 01:46:40 UTC",
        "  depth: too little data (2 of 6 pairs)",
    ]


def test_terminal_gets_colours_and_no_color_takes_them(found, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = drawn(screen.status(found), force_terminal=True, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    plain = drawn(screen.status(found), force_terminal=True, color_system="standard")

    assert "\x1b[32m" in coloured and "\x1b[32m" not in plain


def test_budget_has_every_agent_and_what_stops(found):
    text = drawn(screen.budget(found.money))

    assert all(one.agent in text for one in found.money.agents)
    assert "nothing stops" in text


def test_decisions_of_another_day_carry_their_date(found):
    one = found.decisions[0]
    tomorrow = one.time_ns + 86400 * 10**9

    assert time.strftime("%Y-%m-%d", time.gmtime(one.time_ns // 10**9)) in drawn(screen.decisions([one], tomorrow))
