"""Time series as figures of Plotly's JSON, with a legend in HTML beneath."""

import html
import re
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from tests.pictures import colours
from tests.pictures.fields import Field
from tests.pictures.units import axis_top, formatted, ticks

# Of the room between two bars, how much a bar fills; and the widest, px.
BAR_PART, BAR_PX = 0.6, 200
TICK_PX, LABELS_PX, LETTER_PX = 40, 26, 7
# A label of the time axis with room around it, and the minutes that may lie between two.
TIME_PX, MINUTES = 70, (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440)
# A line that runs along the top of the axis is seen in full.
ABOVE = 1.005
# What says nothing at the end of a decimal number.
ZEROS = re.compile(r"[.]0+(?!\d)|(?P<kept>[.]\d*?[1-9])0+(?!\d)")


class Span(NamedTuple):
    """The range that is shown, ms since 1970."""

    start_ms: int
    stop_ms: int


class Series(NamedTuple):
    """A field against its frame's times, without what is null; and as a line has it, which may end there."""

    field: Field
    points: List[Tuple[int, float]]
    drawn: List[Tuple[int, Optional[float]]]


class Marks(NamedTuple):
    """What an annotation marks on a panel."""

    times_ms: List[int]
    colour: str


def series_of(frames: Sequence[Sequence[Field]]) -> List[Series]:
    """Give every column of numbers that has a point; what has none isn't in the legend either."""
    return [series for frame in frames for series in _of_frame(frame) if series.points]


def legend(shown: Sequence[Series]) -> str:
    """Give the names and colours."""
    items = [f'<li><i style="background: {one.field.colour}"></i>{html.escape(one.field.name)}</li>' for one in shown]
    return f'<ul class="legend">{"".join(items)}</ul>'


def figure(
    panel: Mapping[str, Any], shown: Sequence[Series], span: Span, marks: Marks, size: Tuple[int, int]
) -> Dict[str, Any]:
    """Give the figure of series and marks, in so many px of width and height."""
    defaults = panel["fieldConfig"]["defaults"]
    bars = defaults["custom"]["drawStyle"] == "bars"
    bottom, top = _bounds(defaults, shown, stacked=bool(defaults["custom"].get("stacking")))
    unit = defaults.get("unit", "")
    places = ticks(top, (size[1] - LABELS_PX) // TICK_PX, bottom, unit)
    if defaults.get("decimals") == 0:
        places = [place for place in places if float(place).is_integer()]
    texts = [ZEROS.sub(_kept, formatted(place, unit, defaults.get("decimals"))) for place in places]
    left = LETTER_PX * max(map(len, texts)) + 12
    data = [_bars(one, shown, span, size[0] - left) if bars else _line(one) for one in shown]
    if marks.times_ms:
        head = {"symbol": "triangle-up", "size": 8, "color": marks.colour}
        heads = {"x": marks.times_ms, "y": [bottom] * len(marks.times_ms)}
        data.append({"type": "scatter", "mode": "markers", "marker": head, **heads})
    axis = {"gridcolor": colours.GRID, "zeroline": False, "ticklabelstandoff": 3}
    layout = {
        "width": size[0],
        "height": size[1],
        "margin": {"l": left, "r": 8, "t": 6, "b": LABELS_PX},
        "paper_bgcolor": colours.PANEL,
        "plot_bgcolor": colours.PANEL,
        "showlegend": False,
        "barmode": "stack",
        "font": {"family": "Inter, Liberation Sans, Arial, sans-serif", "size": 12, "color": colours.TEXT},
        "xaxis": {**axis, "type": "date", "range": list(span), "tickformat": "%H:%M", **_times(span, size[0])},
        "yaxis": {**axis, "range": [bottom, top * ABOVE], "tickvals": places, "ticktext": texts},
        "shapes": [*_limits(defaults), *(_mark(at, marks.colour) for at in marks.times_ms)],
    }
    return {"data": data, "layout": layout}


def _of_frame(frame: Sequence[Field]) -> Iterator[Series]:
    times = next((field.column.values for field in frame if field.column.type == "time"), [])
    for field in frame:
        if field.column.type == "number":
            pairs = list(zip(times, field.column.values))
            points = [(at, value) for at, value in pairs if value is not None]
            yield Series(field, points, _drawn(pairs, field.custom.get("spanNulls", False)))


def _drawn(pairs: List[Tuple[int, Optional[float]]], bridged: Union[bool, float]) -> List[Tuple[int, Optional[float]]]:
    """Give a line's points; nulls end it, all or those where values are as many ms apart as `bridged` or more."""
    if bridged is False:
        return pairs
    drawn: List[Tuple[int, Optional[float]]] = []
    ended = False
    for at, value in pairs:
        if value is None:
            ended = True
            continue
        if ended and drawn and bridged is not True and at - drawn[-1][0] >= bridged:
            drawn.append((at, None))
        drawn.append((at, value))
        ended = False
    return drawn


def _bounds(defaults: Mapping[str, Any], shown: Sequence[Series], *, stacked: bool) -> Tuple[float, float]:
    highest: Dict[int, float] = {}
    for one in shown:
        for at, value in one.points:
            highest[at] = highest.get(at, 0) + value if stacked else max(value, highest.get(at, value))
    top = defaults.get("max")
    return defaults.get("min", 0), axis_top(max(highest.values())) if top is None else top


def _kept(found: "re.Match[str]") -> str:
    return found.group("kept") or ""


def _times(span: Span, width_px: int) -> Dict[str, Any]:
    """Give where the time axis has its labels."""
    rough = (span.stop_ms - span.start_ms) / 60_000 * TIME_PX / width_px
    minutes = next((step for step in MINUTES if step >= rough), MINUTES[-1])
    return {"tick0": 0, "dtick": minutes * 60_000}


def _line(one: Series) -> Dict[str, Any]:
    custom, colour = one.field.custom, one.field.colour
    times, values = zip(*one.drawn)
    dash = "dash" if custom.get("lineStyle", {}).get("fill") == "dash" else "solid"
    return {
        "type": "scatter",
        "mode": "lines+markers" if custom.get("showPoints") == "always" else "lines",
        "marker": {"color": colour, "size": custom.get("pointSize", 5) + 1},
        "x": times,
        "y": values,
        "line": {"color": colour, "width": 1.5 * custom["lineWidth"], "dash": dash},
        "fill": "tozeroy",
        "fillcolor": colours.clear(colour, custom["fillOpacity"] / 100),
    }


def _bars(one: Series, shown: Sequence[Series], span: Span, width_px: int) -> Dict[str, Any]:
    every = sorted({at for series in shown for at, _ in series.points})
    gap_ms = min((after - at for at, after in zip(every, every[1:])), default=span.stop_ms - span.start_ms)
    widest_ms = BAR_PX * (span.stop_ms - span.start_ms) / width_px
    width_ms = min(BAR_PART * gap_ms, widest_ms)
    times, values = zip(*one.points)
    return {
        "type": "bar",
        "x": times,
        "y": values,
        "width": width_ms,
        # Grafana's bars stand upon their times, or begin there.
        "offset": 0 if one.field.custom.get("barAlignment") == 1 else -width_ms / 2,
        "marker": {
            "color": colours.clear(one.field.colour, one.field.custom["fillOpacity"] / 100),
            "line": {"width": 0},
        },
    }


def _limits(defaults: Mapping[str, Any]) -> List[Dict[str, Any]]:
    if defaults["custom"]["thresholdsStyle"]["mode"] != "line":
        return []
    steps = [step for step in defaults["thresholds"]["steps"] if step["value"] is not None]
    wide = {"type": "line", "xref": "paper", "x0": 0, "x1": 1}
    return [
        {**wide, "y0": at, "y1": at, "line": {"color": colours.named(colour), "width": 1.5}}
        for at, colour in ((step["value"], step["color"]) for step in steps)
    ]


def _mark(at_ms: int, colour: str) -> Dict[str, Any]:
    line = {"color": colour, "width": 1, "dash": "dot"}
    return {"type": "line", "yref": "paper", "x0": at_ms, "x1": at_ms, "y0": 0, "y1": 1, "line": line}
