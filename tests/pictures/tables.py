"""Tables and tiles as HTML, laid out as Grafana lays them out."""

import html
import re
from typing import Any, List, Mapping, Sequence, Tuple

from tests.pictures import colours
from tests.pictures.fields import Field

NO_DATA = '<div class="none">No data</div>'
# A column without a width of its own gets its part of what is left, but no less: then the table scrolls sideways.
NARROWEST_PX = 150
HEAD_PX, ROW_PX, BORDER_PX = 33, 36, 2
# Columns that Grafana aligns so of its own accord.
ALIGNED = {"number": "right"}
# A letter's width as part of its height, and the most of a tile that letters fill.
LETTER, FILLED = 0.6, 0.8


def table(panel: Mapping[str, Any], frames: Sequence[Sequence[Field]], width: int, height: int) -> str:
    """Give the first frame as rows; columns and rows that don't fit are cut off, as they are on the board."""
    if not frames:
        return NO_DATA
    fields = sorted(frames[0], key=lambda field: _place(panel, field))
    widths = column_widths(fields, width)
    head = _row([(field.name, "") for field in fields], fields, widths, "head")
    rows = min(len(fields[0].column.values), -(-(height - HEAD_PX) // ROW_PX)) if fields else 0
    body = [_row([_cell(field, field.column.values[at]) for field in fields], fields, widths) for at in range(rows)]
    return f'<div class="table">{head}{"".join(body) or NO_DATA}{_bar(sum(widths), width)}</div>'


def column_widths(fields: Sequence[Field], width: int) -> List[float]:
    """Give the columns' widths in a table so wide, px."""
    own = [field.custom.get("width") for field in fields]
    left, sharing = width - sum(filter(None, own)), own.count(None)
    shared = max(left / sharing, NARROWEST_PX) if sharing else 0
    return [part if part is not None else shared for part in own]


def tiles(panel: Mapping[str, Any], frames: Sequence[Sequence[Field]], width: int, height: int) -> str:
    """Give the newest value of each field that is asked for, as coloured tiles."""
    options = panel["options"]
    shown = [_reduced(field, options["textMode"]) for frame in frames for field in frame if _wanted(options, field)]
    shown = shown or [_nothing(panel)]
    columns = _columns(len(shown), width, height)
    tile_width, tile_height = width / columns, height / -(-len(shown) // columns)
    made = "".join(_tile(text, colour, name, tile_width, tile_height) for text, colour, name in shown)
    return f'<div class="tiles" style="grid-template-columns: repeat({columns}, 1fr)">{made}</div>'


def _place(panel: Mapping[str, Any], field: Field) -> int:
    for change in panel.get("transformations", []):
        if change["id"] != "organize" or change["options"]["renameByName"] or change["options"]["excludeByName"]:
            raise ValueError(f"{panel['title']}: the pictures know of transformations only how to order columns")
        return int(change["options"]["indexByName"].get(field.column.name, 999))
    return 0


def _row(cells: Sequence[Tuple[str, str]], fields: Sequence[Field], widths: Sequence[float], kind: str = "") -> str:
    made = []
    for (text, colour), field, width in zip(cells, fields, widths):
        side = "right" if "right" in (field.custom.get("align"), ALIGNED.get(field.column.type)) else "left"
        style = f"width: {width:.1f}px; text-align: {side}" + (f"; color: {colour}" if colour else "")
        made.append(f'<span style="{style}">{html.escape(text)}</span>')
    return f'<div class="row {kind}">{"".join(made)}</div>'


def _cell(field: Field, value: Any) -> Tuple[str, str]:
    text, colour = field.text(value)
    return text, colour if field.custom.get("cellOptions", {}).get("type") == "color-text" else ""


def _bar(needed: float, width: int) -> str:
    """Give the bar at the bottom that says how much of a table can be seen."""
    if needed <= width + BORDER_PX:
        return ""
    return f'<div class="bar"><i style="width: {100 * width / needed:.0f}%"></i></div>'


def _wanted(options: Mapping[str, Any], field: Field) -> bool:
    if options["reduceOptions"]["calcs"] != ["lastNotNull"] or options["reduceOptions"]["values"]:
        raise ValueError("the pictures know tiles of the newest value only")
    wanted = options["reduceOptions"]["fields"]
    return bool(re.search(wanted.strip("/"), field.name)) if wanted else field.column.type == "number"


def _reduced(field: Field, mode: str) -> Tuple[str, str, str]:
    filled = field.column.filled
    text, colour = field.text(filled[-1] if filled else None)
    return text, colour, field.name if mode == "value_and_name" else ""


def _nothing(panel: Mapping[str, Any]) -> Tuple[str, str, str]:
    defaults = panel["fieldConfig"]["defaults"]
    return defaults.get("noValue", "No data"), colours.of_threshold(defaults["thresholds"]["steps"], None), ""


def _columns(count: int, width: int, height: int) -> int:
    """Give how many tiles stand side by side, so that the smaller side of each is as long as can be."""
    return max(range(1, count + 1), key=lambda columns: min(width / columns, height / -(-count // columns)))


def _tile(text: str, colour: str, name: str, width: float, height: float) -> str:
    size = min(FILLED * width / max(len(text), 1) / LETTER, (0.4 if name else 0.55) * height, 100)
    ground = f"linear-gradient(120deg, {colours.darker(colour, 15, 8)}, {colours.darker(colour, 5, -8)})"
    label = f'<small style="font-size: {min(18, width / max(len(name), 1) / LETTER):.0f}px">{html.escape(name)}</small>'
    style = f"background: {ground}; color: {colours.letters_on(colour)}"
    return (
        f'<div style="{style}">{label if name else ""}<b style="font-size: {size:.0f}px">{html.escape(text)}</b></div>'
    )
