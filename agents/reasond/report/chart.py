"""A section's chart in Plotly's JSON: its graphs one below the other on one time axis, and a lane for each agent.

Texts that Plotly draws are escaped: it takes some tags in them for formatting.
"""

import html
from collections import Counter
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

from reasond.report.curves import value_at
from reasond.report.data import Band, Decision, Graph, Line, Section
from reasond.report.texts import hover_lines

WIDTH = 980
"""px; fits a landscape page of A4 and of Letter without being scaled."""
LEFT, RIGHT, TOP, BOTTOM = 84, 16, 52, 46
GRAPH_PX: Dict[int, Tuple[int, ...]] = {1: (260,), 2: (230, 120), 3: (200, 96, 150)}
"""Heights by how many graphs there are: the first says most."""
GAP_PX, LANE_PX = 30, 17
MAX_LANES = 9
OTHERS = "others"
KINDS = {"publisher": 0, "consumer": 1, "monitor": 2}
BAND_LINES, BAND_PX, LETTER_PX = 2, 15, 6.2
"""Lines of phases' names above the first graph's title, the height of one, and the width of a letter."""
MARK_PX = 9
SHADES = (0.18, 0.32)
MS_NS = 1_000_000
ZERO_MS, DAY_MS = 978_307_200_000, 86_400_000
"""A first of January, UTC, that stands for the start; and a day."""
HEADROOM = 1.08
LEAST_TOP = 5.0
TEXT, MUTED, GRID, BAND = "#1f2328", "#59636e", "#e4e7eb", "#f6d365"

COLOURS: Dict[str, str] = {
    "all three": "#59636e",
    "fictional": "#0969da",
    "non-fictional": "#1a7f64",
    "priority": "#a2387f",
    "books.expired": "#c4432b",
    "books.rejected": "#6e5494",
    "books.flagged": "#b7791f",
}
OTHER_LINES = ("#1f2328", "#0969da", "#1a7f64")
"""For the rates: what is set, what comes in, what goes out."""
ACTIONS: Dict[str, Tuple[str, str]] = {
    "slow_down": ("#d97706", "triangle-down"),
    "speed_up": ("#15803d", "triangle-up"),
    "pause": ("#c81e1e", "square"),
    "continue": ("#8c959f", "circle"),
    "process": ("#0284c7", "circle"),
    "batch": ("#6d28d9", "diamond"),
    "flag_anomaly": ("#be185d", "x"),
    "healthy": ("#15803d", "circle"),
    "warning": ("#d97706", "triangle-up"),
    "critical": ("#c81e1e", "square"),
}
"""Colour and symbol: on paper without colours the symbol tells."""
OTHER_ACTION = ("#1f2328", "star")
LETTERS = {
    "triangle-down": "▼",
    "triangle-up": "▲",
    "square": "■",
    "circle": "●",
    "diamond": "◆",
    "x": "✖",
    "star": "★",
}


def figure(section: Section) -> Dict[str, Any]:
    """Give data, layout, and `texts`, to which the marks refer by number: each stands on several curves."""
    graphs = [graph for graph in section.graphs if graph.lines]
    lanes = _lanes(section.marks)
    plan = _Plan(graphs, lanes)
    data: List[Dict[str, Any]] = []
    for number, graph in enumerate(graphs, 1):
        data += [_line(section, line, place, number) for place, line in enumerate(graph.lines)]
        data += _marks_on(section, graph, number)
    data += _marks_in_lanes(section, lanes, len(graphs) + 1)
    texts = [_safe(hover_lines(section, one)) for one in section.marks]
    return {"data": data, "layout": _layout(section, graphs, lanes, plan), "texts": texts}


class _Plan:
    """Where each graph has its place, in px from the top and as parts of the height from below."""

    def __init__(self, graphs: Sequence[Graph], lanes: Sequence[str]) -> None:
        heights = [*GRAPH_PX[max(1, len(graphs))][: len(graphs)], *([LANE_PX * len(lanes)] if lanes else [])]
        self.inner_px = sum(heights) + GAP_PX * (len(heights) - 1)
        self.domains: List[Tuple[float, float]] = []
        from_top = 0
        for height in heights:
            self.domains.append((1 - (from_top + height) / self.inner_px, 1 - from_top / self.inner_px))
            from_top += height + GAP_PX


def _layout(section: Section, graphs: Sequence[Graph], lanes: Sequence[str], plan: _Plan) -> Dict[str, Any]:
    layout: Dict[str, Any] = {
        "width": WIDTH,
        "height": plan.inner_px + TOP + BOTTOM,
        "margin": {"l": LEFT, "r": RIGHT, "t": TOP, "b": BOTTOM},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "#ffffff", "align": "left", "font": {"color": TEXT, "size": 12}},
        "font": {"family": "Inter, Liberation Sans, Arial, sans-serif", "size": 12, "color": TEXT},
        "xaxis": _time_axis(section, f"y{len(plan.domains)}" if len(plan.domains) > 1 else "y"),
        "shapes": [_shade(section, band, place) for place, band in enumerate(section.bands)],
        "annotations": [*_titles(graphs, lanes, plan), *_band_names(section)],
    }
    for number, (graph, domain) in enumerate(zip(graphs, plan.domains), 1):
        layout[_axis(number)] = {**_plain_axis(domain), "range": [0, _top(graph)], "rangemode": "tozero", "nticks": 5}
    if lanes:
        names = [_safe([lane]) for lane in lanes]
        layout[_axis(len(graphs) + 1)] = {
            **_plain_axis(plan.domains[-1]),
            "type": "linear",
            "range": [len(lanes) - 0.5, -0.5],
            "tickvals": list(range(len(lanes))),
            "ticktext": names,
        }
    return layout


def _axis(number: int) -> str:
    return f"yaxis{'' if number == 1 else number}"


def _plain_axis(domain: Tuple[float, float]) -> Dict[str, Any]:
    return {"domain": list(domain), "gridcolor": GRID, "zeroline": False, "fixedrange": True, "ticklabelstandoff": 4}


def _top(graph: Graph) -> float:
    highest = max((value for line in graph.lines for value in line.values if value is not None), default=0.0)
    return HEADROOM * max(LEAST_TOP, highest if graph.top is None else graph.top)


def _time_axis(section: Section, anchor: str) -> Dict[str, Any]:
    """Give the axis; times since the start are drawn as if that were midnight of a first day."""
    stop_ms = _ms(section, section.stop_ns)
    axis = {
        "type": "date",
        "range": [_ms(section, section.start_ns), stop_ms],
        "anchor": anchor,
        "gridcolor": GRID,
        "showline": True,
        "linecolor": MUTED,
        "ticks": "outside",
        "tickcolor": MUTED,
    }
    if section.from_zero:
        # A day later it would begin at 0:00 again: then the days are told too.
        axis["tickformat"] = "%-H:%M" if stop_ms - ZERO_MS <= DAY_MS else "day %-j, %-H:%M"
        axis["hoverformat"] = "%-H:%M:%S"
    return axis


def _ms(section: Section, time_ns: int) -> int:
    """Give a time for the axis; a small number would not do, as Plotly reads 7099 as a year."""
    return ZERO_MS + (time_ns - section.start_ns) // MS_NS if section.from_zero else time_ns // MS_NS


def _titles(graphs: Sequence[Graph], lanes: Sequence[str], plan: _Plan) -> Iterator[Dict[str, Any]]:
    names = [graph.title for graph in graphs] + (["Decisions that changed something, by agent"] if lanes else [])
    for name, (_, top) in zip(names, plan.domains):
        yield {
            "text": f"<b>{_safe([name])}</b>",
            "x": 0,
            "y": top,
            "xref": "paper",
            "yref": "paper",
            "xanchor": "left",
            "yanchor": "bottom",
            "showarrow": False,
            "font": {"size": 12},
        }


def _shade(section: Section, band: Band, place: int) -> Dict[str, Any]:
    return {
        "type": "rect",
        "x0": _ms(section, band.start_ns),
        "x1": _ms(section, band.stop_ns),
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "layer": "below",
        "fillcolor": BAND,
        # Neighbours are told apart by their shade.
        "opacity": SHADES[place % len(SHADES)],
        "line": {"width": 0},
    }


def _band_names(section: Section) -> Iterator[Dict[str, Any]]:
    """Give the names above their bands, on a second line where two would overlap; a third has no room."""
    taken = [0.0] * BAND_LINES
    for band in section.bands:
        middle = _px(section, (band.start_ns + band.stop_ns) // 2)
        half = LETTER_PX * len(band.what) / 2
        line = next((at for at, end in enumerate(taken) if end <= middle - half), None)
        if not band.what or line is None:
            continue
        taken[line] = middle + half
        yield {
            "text": _safe([band.what]),
            "x": _ms(section, (band.start_ns + band.stop_ns) // 2),
            "y": 1,
            "yref": "paper",
            "yanchor": "bottom",
            "yshift": BAND_PX * (line + 1),
            "showarrow": False,
            "font": {"size": 11, "color": MUTED},
        }


def _px(section: Section, time_ns: int) -> float:
    """Give how far from the axis's begin a time is drawn."""
    return (WIDTH - LEFT - RIGHT) * (time_ns - section.start_ns) / (section.stop_ns - section.start_ns)


def _line(section: Section, line: Line, place: int, number: int) -> Dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": _safe([line.name]),
        "x": [_ms(section, at) for at in line.times_ns],
        "y": [None if value is None else round(value, 2) for value in line.values],
        "yaxis": f"y{number}",
        "line": {
            "color": _colour(line, place),
            "width": 1.2 if line.faint else 1.6,
            "shape": "hv" if line.step else "linear",
            "dash": "dot" if line.faint else "solid",
        },
        "hoverinfo": "x+y+name",
    }


def _colour(line: Line, place: int) -> str:
    return COLOURS.get(line.name) or OTHER_LINES[place % len(OTHER_LINES)]


def _marks_on(section: Section, graph: Graph, number: int) -> Iterator[Dict[str, Any]]:
    """Give publishers' decisions on the line that they concern."""
    line = next((line for line in graph.lines if line.name == graph.marked), None)
    if line is None:
        return
    for action, places in _by_action(section.marks, lambda one: one.kind == "publisher").items():
        heights = [value_at(line, section.marks[place].time_ns) for place in places]
        yield _marks(section, action, places, heights, number)


def _marks_in_lanes(section: Section, lanes: Sequence[str], number: int) -> Iterator[Dict[str, Any]]:
    for action, places in _by_action(section.marks, lambda one: True).items():
        heights = [_lane(section.marks[place], lanes) for place in places]
        yield _marks(section, action, places, heights, number)


def _by_action(marks: Sequence[Decision], wanted: Callable[[Decision], bool]) -> Dict[str, List[int]]:
    """Give the places of the wanted marks by action."""
    found: Dict[str, List[int]] = {}
    for place, one in enumerate(marks):
        if wanted(one):
            found.setdefault(one.action, []).append(place)
    return found


def _marks(section: Section, action: str, places: Sequence[int], heights: Sequence[Any], number: int) -> Dict[str, Any]:
    colour, symbol = ACTIONS.get(action, OTHER_ACTION)
    acted = [section.marks[place].acted for place in places]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": _safe([action]),
        "x": [_ms(section, section.marks[place].time_ns) for place in places],
        "y": heights,
        "yaxis": f"y{number}",
        "marker": {
            "color": colour,
            "size": MARK_PX,
            "symbol": [symbol if one else f"{symbol}-open" for one in acted],
            "line": {"width": 0.8, "color": ["#ffffff" if one else colour for one in acted]},
        },
        # The page's script puts the texts in their place.
        "texts": list(places),
        "hoverinfo": "text",
    }


def _lanes(marks: Sequence[Decision]) -> List[str]:
    """Give the agents that have marks, those with the fewest together as others."""
    counts = Counter(one.agent_id for one in marks)
    if len(counts) > MAX_LANES:
        kept = sorted(agent_id for agent_id, _ in counts.most_common(MAX_LANES - 1))
        return [*kept, OTHERS]
    kinds = {one.agent_id: KINDS.get(one.kind, len(KINDS)) for one in marks}
    return sorted(counts, key=lambda agent_id: (kinds[agent_id], agent_id))


def _lane(one: Decision, lanes: Sequence[str]) -> int:
    return lanes.index(one.agent_id) if one.agent_id in lanes else len(lanes) - 1


def _safe(lines: Sequence[str]) -> str:
    """Give text that Plotly draws as it is; it knows no entity for quotes."""
    return "<br>".join(html.escape(line, quote=False) for line in lines)


def legend(section: Section) -> str:
    """Give the lines' colours by graph, and the marks' symbols, as HTML."""
    groups = []
    for graph in section.graphs:
        items = []
        for place, line in enumerate(graph.lines):
            style = f"border-top: {'1px dotted' if line.faint else '2px solid'} {_colour(line, place)}"
            items.append(f'<i style="{style}"></i>{html.escape(line.name)}')
        groups.append((graph.title.split(",")[0], items))
    seen = {one.action for one in section.marks}
    marks = []
    for action in [*(known for known in ACTIONS if known in seen), *sorted(seen - set(ACTIONS))]:
        colour, symbol = ACTIONS.get(action, OTHER_ACTION)
        marks.append(f'<b style="color: {colour}">{LETTERS[symbol]}</b>{html.escape(action)}')
    if any(not one.acted for one in section.marks):
        marks.append("hollow: in shadow")
    return "".join(_legend(name, items) for name, items in [*groups, ("Decisions", marks)] if items)


def _legend(name: str, items: Sequence[str]) -> str:
    entries = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul class='legend'><li class='of'>{html.escape(name)}</li>{entries}</ul>"
