"""A simulation's result as a page."""

import pytest
from msgspec.structs import replace

from reasond.points import Row
from reasond.report.curves import ALL_QUEUES, DEAD, DEPTH, RATE, SET_RATE
from reasond.report.draw import page_html
from reasond.report.simulated import ACKNOWLEDGED, PUBLISHED, Simulated, page
from reasond.simulation.compare import compare
from reasond.simulation.run import Curves, Job, simulate
from reasond.simulation.scenario import Phase, Scenario
from reasond.topology import DEAD_QUEUES, MAIN_QUEUES

MINUTE_NS = 60 * 10**9
SCENARIO = Scenario(
    title="A jam",
    about="Slow for a while.",
    name="jam",
    minutes=10,
    settings={"CONSUMER_HANDLER_DURATION_MS": 900, "CONSUMER_HANDLER_THREADS": 1},
    phase=(Phase(2, 5, "slow", handler_slowdown=8),),
)


def simulated(policies, seeds=1, minutes=15.0):
    results = [
        simulate(Job(SCENARIO, policy, seed, 60 * minutes, curves=seed == 1))
        for policy in policies
        for seed in range(1, seeds + 1)
    ]
    return Simulated(SCENARIO, compare(results, policies), tuple(one for one in results if one.curves)), results


@pytest.fixture(scope="module")
def two():
    return simulated(["dry-run", "static"], 5)


@pytest.fixture(scope="module")
def found(two):
    return page([two[0]], "a version")


def test_verdict_and_differences_come_first(two, found):
    (chapter,) = found.chapters
    (pair,) = two[0].comparison.pairs

    assert chapter.words == (pair.verdict,)
    (table,) = chapter.tables
    assert table.heads[2:4] == ("dry-run", "static")
    assert [row[-1] for row in table.rows] == [one.word for one in pair.differences]
    assert all(" to " in row[5] for row in table.rows)


def test_who_and_what_is_told(found):
    facts = dict(found.facts)

    assert facts["scenario"] == "jam" and facts["brains chosen"] == "dry-run, static"
    assert facts["seeds"] == "1 to 5, 5 runs a brain" and facts["prompt versions"] == "2"


def test_curves_are_the_runs(two, found):
    section, static = found.chapters[0].sections
    result = two[1][0]
    depth, dead, rate = section.graphs

    assert (depth.title, dead.title, rate.title) == (DEPTH, DEAD, RATE)
    assert [line.name for line in depth.lines] == [ALL_QUEUES, *MAIN_QUEUES]
    assert depth.lines[0].values == tuple(sum(moment.depths) for moment in result.curves.moments)
    assert [line.name for line in dead.lines] == list(DEAD_QUEUES)
    assert dead.lines[0].values[-1] <= result.figures.expired
    lines = {line.name: line for line in rate.lines}
    assert lines[SET_RATE].step
    for name, whole in ((PUBLISHED, result.figures.published), (ACKNOWLEDGED, result.figures.processed)):
        # One figure a minute; what falls to the last look's seconds is missing.
        assert whole * 0.8 < sum(lines[name].values) <= whole * 1.2
    assert section.graphs[0].top == static.graphs[0].top


def test_phases_begin_anew_after_the_scenarios_length(found):
    (section, _) = found.chapters[0].sections

    assert [
        ((band.start_ns - section.start_ns) / MINUTE_NS, (band.stop_ns - section.start_ns) / MINUTE_NS)
        for band in section.bands
    ] == [(2, 5), (12, 15)]


def test_static_changes_nothing_so_that_no_rate_is_marked(found):
    dry, static = found.chapters[0].sections

    assert any(one.kind == "publisher" for one in dry.marks)
    assert not any(one.kind == "publisher" for one in static.marks)


def test_one_brain_alone_has_figures_and_no_verdict():
    (chapter,) = page([simulated(["rules"])[0]], "").chapters

    assert "can't be told" in chapter.words[0]
    assert chapter.tables[0].title == "Figures" and chapter.tables[0].heads[2] == "rules"


def a_day_of(result):
    """Give a run's curves again and again until a day is full; to simulate a whole one would take a minute."""
    curves, length_ns = result.curves, 15 * MINUTE_NS
    times = range(96)

    def later(row, time):
        fields = dict(row.fields, reasoning=row.fields.get("reasoning", "") + " and so on" * 60)
        return Row(row.measurement, row.tags, fields, row.time_ns + time * length_ns)

    day = Curves(
        start_ns=curves.start_ns,
        moments=tuple(replace(one, at_s=one.at_s + 900 * time) for time in times for one in curves.moments),
        dead=curves.dead * 96,
        flow=tuple((time * 1000 + sent, time * 1000 + done) for time in times for sent, done in curves.flow),
        rates=tuple((at + time * length_ns, rate) for time in times for at, rate in curves.rates),
        decisions=tuple(later(row, time) for time in times for row in curves.decisions),
        health=curves.health,
    )
    return replace(result, curves=day, figures=replace(result.figures, minutes=24 * 60.0))


def test_a_day_fits_on_a_light_page(two):
    runs = tuple(a_day_of(result) for result in two[0].runs)
    whole = page([replace(two[0], runs=runs)], "")

    assert whole.chapters[0].sections[0].decided > 15_000
    assert len(page_html(whole, 0).encode()) < 8_000_000


def test_one_result_is_one_page():
    first, second = (page_html(page([simulated(["dry-run"], minutes=3.0)[0]], ""), 0) for _ in range(2))

    assert first == second
