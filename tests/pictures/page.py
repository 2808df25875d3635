"""One board as a self-contained page: its panels' frames on the grid of its JSON, in Grafana's dark theme."""

import html
import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from tests.pictures import charts, colours, tables
from tests.pictures.charts import Marks, Span
from tests.pictures.fields import fields_of
from tests.pictures.units import formatted
from tests.testbed.boards import BOARD_PIXELS, COLUMNS, Frame, Variable

STYLE = Path(__file__).parent / "style.css"
# Grafana's grid: a row is 30 px high with 8 px between; the same stands between columns and around the board.
ROW_PX, GAP_PX = 30, 8
HEADER_PX = 84
# Of a panel: its title, the room at its sides and beneath, and its border.
TITLE_PX, ROOM_PX, BORDER_PX = 32, 8, 1
# A line of the legend, and a letter in it with what stands before and behind a name.
LEGEND_PX, LETTER_PX, AROUND_NAME_PX = 20, 6.2, 36
DRAW = "for (const [id, f] of Object.entries(figures)) Plotly.newPlot(id, f.data, f.layout, {staticPlot: true});"


class Answers(NamedTuple):
    """What Grafana answered for one board over a range: frames by the titles of panels and names of annotations."""

    span: Span
    panels: Dict[str, List[Frame]]
    annotations: Dict[str, List[Frame]]
    variables: Dict[str, Variable]


def page(board: Mapping[str, Any], answers: Answers, plotly: str) -> str:
    """Give the page; `plotly` is the library's JavaScript."""
    figures: Dict[str, Any] = {}
    sections = "".join(_section(panel, board, answers, figures) for panel in board["panels"])
    # A name with a tag in it must not end the script.
    data = json.dumps(figures).replace("</", "<\\/")
    return (
        f'<!doctype html><html><head><meta charset="utf-8"><style>{STYLE.read_text("utf-8")}</style>'
        f"<script>{plotly}</script></head><body>{_header(board, answers.span)}{sections}"
        f"<script>const figures = {data};\n{DRAW}</script></body></html>"
    )


def height(board: Mapping[str, Any]) -> int:
    """Give the page's height, px."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    return HEADER_PX + int(rows) * (ROW_PX + GAP_PX)


def _header(board: Mapping[str, Any], span: Span) -> str:
    start, stop = (formatted(at, "dateTimeAsIso") for at in span)
    chosen = "".join(
        f"<span>{html.escape(one['label'])}<b>{html.escape(_chosen(one))}</b></span>"
        for one in board["templating"]["list"]
    )
    title = f"<h1>{html.escape(board['title'])}</h1>"
    return f"<header>{title}<time>{start} to {stop[-8:]} UTC</time><p>{chosen}</p></header>"


def _chosen(variable: Mapping[str, Any]) -> str:
    text = variable["current"]["text"]
    return text if isinstance(text, str) else " + ".join(text)


def _section(panel: Mapping[str, Any], board: Mapping[str, Any], answers: Answers, figures: Dict[str, Any]) -> str:
    left, top, width, high = _box(panel["gridPos"])
    box = f'style="left: {left:.1f}px; top: {top}px; width: {width:.1f}px; height: {high}px"'
    title = html.escape(panel["title"])
    if panel["type"] == "row":
        return f'<section class="row" {box}>{title}</section>'
    size = int(width) - 2 * (ROOM_PX + BORDER_PX), high - TITLE_PX - ROOM_PX - 2 * BORDER_PX
    frames = fields_of(answers.panels[panel["title"]], panel, answers.variables)
    if panel["type"] == "timeseries":
        inside = _chart(panel, charts.series_of(frames), _marks(panel, board, answers), answers.span, size, figures)
    else:
        inside = {"stat": tables.tiles, "table": tables.table}[panel["type"]](panel, frames, *size)
    return f'<section {box}><h2>{title}</h2><div class="inside" style="height: {size[1]}px">{inside}</div></section>'


def _box(place: Mapping[str, int]) -> Tuple[float, int, float, int]:
    column = (BOARD_PIXELS - GAP_PX) / COLUMNS
    top = HEADER_PX + place["y"] * (ROW_PX + GAP_PX)
    high = place["h"] * (ROW_PX + GAP_PX) - GAP_PX
    return GAP_PX + place["x"] * column, top, place["w"] * column - GAP_PX, high


def _chart(
    panel: Mapping[str, Any],
    shown: Sequence[charts.Series],
    marks: Marks,
    span: Span,
    size: Tuple[int, int],
    figures: Dict[str, Any],
) -> str:
    if not shown:
        return tables.NO_DATA
    lines = legend_lines([one.field.name for one in shown], size[0])
    name = f"panel-{panel['id']}"
    figures[name] = charts.figure(panel, shown, span, marks, (size[0], size[1] - lines * LEGEND_PX))
    return f'<div id="{name}"></div>{charts.legend(shown)}'


def legend_lines(names: Sequence[str], width: int) -> int:
    """Give how many lines these names take in so many px."""
    lines, used = 1, 0.0
    for name in names:
        needed = AROUND_NAME_PX + LETTER_PX * len(name)
        if used and used + needed > width:
            lines, used = lines + 1, 0.0
        used += needed
    return lines


def _marks(panel: Mapping[str, Any], board: Mapping[str, Any], answers: Answers) -> Marks:
    """Give the times that an annotation marks on the panel; there is one on a board, or none."""
    for annotation in board["annotations"].get("list", []):
        chosen = annotation["filter"]
        if annotation["enable"] and (panel["id"] in chosen["ids"]) != chosen["exclude"]:
            frames = answers.annotations[annotation["name"]]
            times = [at for frame in frames for column in frame.of_type("time") for at in column.filled]
            return Marks(times, colours.named(annotation["iconColor"]))
    return Marks([], "")
