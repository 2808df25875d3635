"""The report of a simulation: verdicts and differences first, then one run of each scenario and brain as it went."""

from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from msgspec import Struct
from msgspec.structs import replace

from reasond.report import summary
from reasond.report.curves import ALL_QUEUES, DEAD, DEPTH, RATE, SET_RATE, last, points_for, thinned
from reasond.report.data import Band, Chapter, Graph, Line, Page, Section, Table
from reasond.report.decisions import MAX_MARKS, MAX_SHOWN, Tally, decision, most_telling
from reasond.simulation.compare import LEAST_SEEDS, MEASURES, Comparison, Measure, Pair, measure_of
from reasond.simulation.run import Curves, Result
from reasond.simulation.scenario import Scenario
from reasond.topology import DEAD_QUEUES, MAIN_QUEUES

LEAST_SHOWN = 30
"""Decisions in the table, and marks, of each run on a page with many."""
DRY_RUN = "dry-run"
WINDOW_S = 60.0
"""The flow is counted over so long, or over a 240th of the run."""
WINDOWS = 240
PUBLISHED, ACKNOWLEDGED = "published, by all clients", "acknowledged"


class Simulated(Struct, frozen=True):
    """A scenario with what came of it; each of `runs` carries its curves."""

    scenario: Scenario
    comparison: Comparison
    runs: Tuple[Result, ...]


def page(found: Sequence[Simulated], version: str) -> Page:
    """Give the page of one or more scenarios; `version` is that of reasond."""
    charts = sum(len(one.runs) for one in found)
    tallies: List[Tally] = []
    chapters = [_chapter(one, charts, tallies) for one in found]
    comparison = found[0].comparison
    brains = " against ".join(comparison.means)
    titles = found[0].scenario.title if len(found) == 1 else f"{len(found)} scenarios"
    seeds = comparison.seeds
    facts = (
        ("what", "a simulation: the agents' own code in virtual time, on a broker and a store in memory"),
        ("scenario" if len(found) == 1 else "scenarios", ", ".join(one.scenario.name for one in found)),
        ("brains chosen", ", ".join(comparison.means)),
        ("seeds", f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}, {len(seeds)} runs a brain"),
        *summary.who(tallies),
        ("reasond", version),
    )
    return Page(f"{titles}: {brains}", facts, tuple(chapters))


def _chapter(one: Simulated, charts: int, tallies: List[Tally]) -> Chapter:
    pairs = one.comparison.pairs
    if pairs:
        words = tuple(pair.verdict for pair in pairs)
        tables = tuple(_differences(one.comparison, pair) for pair in pairs)
    else:
        words = ("One brain alone: whether it helps can't be told. For that: reasond simulate --compare.",)
        tables = (_figures(one.comparison),)
    sections = []
    for result in one.runs:
        if result.curves is not None:
            tally = Tally()
            tally.add(decision(row) for row in result.curves.decisions)
            tallies.append(tally)
            sections.append(_section(one, result, result.curves, tally, charts))
    return Chapter(one.scenario.title, one.scenario.about, words, tables, tuple(_same_axes(sections)))


def _differences(comparison: Comparison, pair: Pair) -> Table:
    """Give two policies side by side, with what lies between them."""
    rows = []
    for found in pair.differences:
        measure = measure_of(found.measure)
        mine, theirs = (comparison.means[policy][measure.name] for policy in (pair.policy, pair.baseline))
        rows.append(
            (
                measure.title,
                measure.unit,
                _shown(measure, mine),
                _shown(measure, theirs),
                _signed(measure, found.mean),
                _interval(measure, found.low, found.high),
                found.word,
            )
        )
    heads = ("", "unit", pair.policy, pair.baseline, "difference", "95 % interval", "")
    note = f"Means over {len(comparison.seeds)} seeds of {comparison.minutes:g} virtual minutes each."
    if len(comparison.seeds) < LEAST_SEEDS:
        note += f" Fewer than {LEAST_SEEDS} seeds give no interval."
    note += _would(pair.policy + pair.baseline)
    return Table(f"{pair.policy} against {pair.baseline}", heads, tuple(rows), note, wide=True, words=(0, 1, 6))


def _figures(comparison: Comparison) -> Table:
    """Give the figures of the one policy there is."""
    ((policy, means),) = comparison.means.items()
    rows = tuple((measure.title, measure.unit, _shown(measure, means[measure.name])) for measure in MEASURES)
    seeds = len(comparison.seeds)
    note = f"{'One run' if seeds == 1 else f'Means over {seeds} seeds'} of {comparison.minutes:g} virtual minutes."
    return Table("Figures", ("", "unit", policy), rows, note + _would(policy), words=(0, 1))


def _would(policies: str) -> str:
    return " A dry run's cost is what its tokens would have cost." if DRY_RUN in policies else ""


def _shown(measure: Measure, value: float) -> str:
    return f"{value:,.{measure.decimals}f}"


def _signed(measure: Measure, value: float) -> str:
    # Adding 0 turns -0.0 into 0.0.
    return f"{round(value, measure.decimals) + 0.0:+,.{measure.decimals}f}"


def _interval(measure: Measure, low: Optional[float], high: Optional[float]) -> str:
    return "" if low is None or high is None else f"{_signed(measure, low)} to {_signed(measure, high)}"


def _section(one: Simulated, result: Result, curves: Curves, tally: Tally, charts: int) -> Section:
    seconds = 60 * result.figures.minutes
    stop_ns = curves.start_ns + round(1e9 * seconds)
    marks = most_telling(tally.marks, max(LEAST_SHOWN, MAX_MARKS // charts))
    shown = most_telling(tally.telling, max(LEAST_SHOWN, MAX_SHOWN // charts))
    return Section(
        title=f"{result.policy}, seed {result.seed}",
        start_ns=curves.start_ns,
        stop_ns=stop_ns,
        graphs=tuple(_graphs(curves, seconds, points_for(charts))),
        marks=tuple(marks),
        decisions=tuple(shown),
        decided=tally.decided,
        changed=tally.changed,
        bands=tuple(_bands(one.scenario, curves.start_ns, seconds)),
        tables=summary.tables(tally, tally.spends, curves.health, seconds / 3600),
        from_zero=True,
    )


def _graphs(curves: Curves, seconds: float, count: int) -> Iterator[Graph]:
    times = tuple(curves.start_ns + round(1e9 * moment.at_s) for moment in curves.moments)
    depths = {
        queue: tuple(float(moment.depths[place]) for moment in curves.moments)
        for place, queue in enumerate(MAIN_QUEUES)
    }
    whole = tuple(float(sum(moment.depths)) for moment in curves.moments)
    lines = [Line(ALL_QUEUES, times, whole, faint=True), *(Line(name, times, depths[name]) for name in MAIN_QUEUES)]
    yield Graph(DEPTH, tuple(thinned(line, count) for line in lines), ALL_QUEUES)
    dead = [
        Line(queue, times, tuple(float(look[place]) for look in curves.dead)) for place, queue in enumerate(DEAD_QUEUES)
    ]
    yield Graph(DEAD, tuple(thinned(line, count) for line in dead))
    set_rate = Line(SET_RATE, tuple(at for at, _ in curves.rates), tuple(60 * hz for _, hz in curves.rates), step=True)
    yield Graph(RATE, (thinned(set_rate, count, last), *_flow(curves, seconds)), SET_RATE)


def _flow(curves: Curves, seconds: float) -> Iterator[Line]:
    """Give what was published and acknowledged a minute; a window's figure stands in its middle."""
    window_s = max(WINDOW_S, seconds / WINDOWS)
    edges = [0]
    for at, moment in enumerate(curves.moments):
        if moment.at_s - curves.moments[edges[-1]].at_s >= window_s:
            edges.append(at)
    for place, name in enumerate((PUBLISHED, ACKNOWLEDGED)):
        times, values = [], []
        for first, second in zip(edges, edges[1:]):
            begin_s, end_s = curves.moments[first].at_s, curves.moments[second].at_s
            times.append(curves.start_ns + round(5e8 * (begin_s + end_s)))
            values.append(60 * (curves.flow[second][place] - curves.flow[first][place]) / (end_s - begin_s))
        yield Line(name, tuple(times), tuple(values))


def _bands(scenario: Scenario, start_ns: int, seconds: float) -> Iterator[Band]:
    """Give the phases; beyond the scenario's length they begin anew."""
    offset_s = 0.0
    while offset_s < seconds:
        for phase in scenario.phase:
            begin_s = offset_s + 60 * phase.begin_min
            end_s = min(seconds, offset_s + 60 * phase.end_min)
            if begin_s < end_s:
                yield Band(start_ns + round(1e9 * begin_s), start_ns + round(1e9 * end_s), phase.what)
        offset_s += 60 * scenario.minutes


def _same_axes(sections: Sequence[Section]) -> List[Section]:
    """Give the sections with axes of one height for each graph, so that brains can be compared by eye."""
    tops: Dict[str, float] = {}
    for graph in (graph for section in sections for graph in section.graphs):
        highest = max((value for line in graph.lines for value in line.values if value is not None), default=0.0)
        tops[graph.title] = max(highest, tops.get(graph.title, 0.0))
    return [
        replace(section, graphs=tuple(replace(graph, top=tops[graph.title]) for graph in section.graphs))
        for section in sections
    ]
