"""The pure parts of the boards' pictures: text of values, colours, names and rules, columns, and smaller PNGs."""

import struct
import zlib
from typing import Any, Dict, List

import pytest

from tests.acceptance.boards import summary
from tests.pictures import charts, colours, page, tables
from tests.pictures.drawing import Told
from tests.pictures.fields import Field, fields_of
from tests.pictures.png import SIGNATURE, with_palette
from tests.pictures.units import axis_top, formatted, ticks
from tests.testbed.boards import Asked, Column, Frame, Variable

VARIABLES = {"price_in": Variable("price_in", ("3",), None)}
STEPS = [{"value": None, "color": "red"}, {"value": 0.5, "color": "yellow"}, {"value": 0.8, "color": "#123456"}]


def panel(defaults: Dict[str, Any], *overrides: Dict[str, Any]) -> Dict[str, Any]:
    return {"title": "T", "fieldConfig": {"defaults": defaults, "overrides": list(overrides)}}


def rule(how: str, wanted: str, **properties: Any) -> Dict[str, Any]:
    made = [{"id": name.replace("__", "."), "value": value} for name, value in properties.items()]
    return {"matcher": {"id": how, "options": wanted}, "properties": made}


def series(ref_id: str = "A", **labels: str) -> Frame:
    return Frame(ref_id, "", (Column("Time", "time", {}, [0, 1000]), Column("Value", "number", labels, [1, 2])))


def numbers(frames: List[Frame], shown: Dict[str, Any]) -> List[Field]:
    return [frame[1] for frame in fields_of(frames, shown, VARIABLES)]


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        (99, "none", None, "99"),
        (1681, "none", None, "1681"),
        (0.6902654, "percentunit", None, "69.0%"),
        (0.87, "percentunit", 0, "87%"),
        (421, "short", None, "421"),
        (63299, "short", None, "63.3 K"),
        (2_500_000, "short", None, "2.50 Mil"),
        (0.5, "s", None, "500 ms"),
        (12, "s", None, "12 s"),
        (60, "s", None, "1 min"),
        (90, "s", None, "1.50 mins"),
        (90_000, "s", None, "1.04 days"),
        (1872.556, "ms", None, "1.87 s"),
        (26.603629, "currencyUSD", None, "$26.6"),
        (0.00284104, "currencyUSD", 5, "$0.00284"),
        (-1500, "currencyUSD", None, "-$1.50K"),
        (71_988_344, "bytes", None, "68.7 MiB"),
        (30, "msg/min", None, "30 msg/min"),
        (1795685168432, "dateTimeAsIso", None, "2026-11-26 09:26:08"),
        (False, "", None, "false"),
        ("none judged", "percentunit", None, "none judged"),
    ],
)
def test_values_are_written_as_grafana_writes_them(value, unit, decimals, text):
    assert formatted(value, unit, decimals) == text


def test_an_axis_has_round_places_and_counts_long_times_in_minutes():
    assert ticks(43, 5) == [0, 10, 20, 30, 40]
    assert ticks(1, 5) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(460, 4, unit="s") == [0, 120, 240, 360]
    assert ticks(40_000, 4, unit="ms") == [0, 10_000, 20_000, 30_000, 40_000]
    assert axis_top(42) == 47
    assert axis_top(0) == 100


@pytest.mark.parametrize(
    ("value", "colour"), [(None, "#f2495c"), (0.49, "#f2495c"), (0.5, "#fade2a"), (0.79, "#fade2a"), (0.8, "#123456")]
)
def test_the_last_threshold_that_is_reached_gives_the_colour(value, colour):
    assert colours.of_threshold(STEPS, value) == colour


def test_series_take_the_palette_in_order_and_shades_begin_with_the_colour_itself():
    assert [colours.of_series({}, index) for index in (0, 1, 18)] == ["#73bf69", "#fade2a", "#73bf69"]
    shades = [colours.of_series({"mode": "shades", "fixedColor": "blue"}, index) for index in range(11)]
    assert shades[0] == "#5794f2"
    assert len(set(shades)) == 11
    with pytest.raises(ValueError, match="continuous"):
        colours.of_series({"mode": "continuous-GrYlRd"}, 0)


def test_letters_are_dark_on_bright_tiles_only():
    assert colours.letters_on("#fade2a") == "#202226"
    assert colours.letters_on("#c4162a") == "#f7f8fa"


def test_legends_name_labels_and_variables():
    shown = panel(
        {},
        rule("byFrameRefID", "A", displayName="published by ${__field.labels.agent_id}"),
        rule("byFrameRefID", "B", displayName="estimated at $${price_in}"),
    )
    frames = [series("A", agent_id="publisher-1"), series("B")]
    assert [field.name for field in numbers(frames, shown)] == ["published by publisher-1", "estimated at $3"]


def test_a_label_that_is_missing_leaves_its_variable_to_be_seen():
    (field,) = numbers([series()], panel({"displayName": "${__field.labels.queue}"}))
    assert field.name == "${__field.labels.queue}"


def test_rules_by_regular_expression_see_the_name_that_rules_before_them_gave():
    shown = panel(
        {},
        rule("byFrameRefID", "A", displayName="handling, ${__field.labels.queue}"),
        rule("byRegexp", "/(^|[ ,])fictional$/", color={"mode": "fixed", "fixedColor": "#111111"}),
        rule("byRegexp", "/(^|[ ,])non-fictional$/", color={"mode": "fixed", "fixedColor": "#222222"}),
    )
    frames = [series(queue="fictional"), series(queue="non-fictional"), series(queue="priority")]
    # The third has no rule and takes the third of the palette: blue.
    assert [field.colour for field in numbers(frames, shown)] == ["#111111", "#222222", "#5794f2"]


def test_a_rule_that_is_not_known_is_an_error():
    with pytest.raises(ValueError, match="byType"):
        numbers([series()], panel({}, rule("byType", "number", unit="s")))


def test_mappings_give_texts_and_colours_and_what_has_none_takes_the_thresholds():
    mapping = {"type": "value", "options": {"true": {"text": "yes", "color": "red"}}}
    frame = Frame("A", "", (Column("degraded", "boolean", {}, [True]),))
    ((field,),) = fields_of([frame], panel({"mappings": [mapping], "thresholds": {"steps": STEPS[1:]}}), {})
    assert field.text(True) == ("yes", "#f2495c")
    assert field.text(False) == ("false", colours.named("green"))


def test_a_string_is_a_number_in_a_unit_only():
    frame = Frame("A", "", (Column("usd", "string", {}, ["0.0145758085"]), Column("more", "string", {}, ["none"])))
    (plain,) = fields_of([frame], panel({}), {})
    (money,) = fields_of([frame], panel({"unit": "currencyUSD"}), {})
    assert [field.text(field.column.values[0])[0] for field in (*plain, *money)] == [
        "0.0145758085", "none", "$0.0146", "none",
    ]  # fmt: skip


def test_columns_share_what_is_left_but_get_no_narrower_than_150_px():
    frame = Frame("A", "", tuple(Column(name, "string", {}, []) for name in "abc"))
    (fields,) = fields_of([frame], panel({}, rule("byName", "a", custom__width=100)), {})
    assert tables.column_widths(fields, 600) == [100, 250, 250]
    assert tables.column_widths(fields, 300) == [100, 150, 150]


def test_a_tile_shows_the_newest_value_that_is_there_or_what_stands_for_none():
    options = {"reduceOptions": {"calcs": ["lastNotNull"], "values": False, "fields": ""}, "textMode": "value"}
    shown = {**panel({"noValue": "no flags", "thresholds": {"steps": STEPS}}), "options": options}
    frame = Frame("A", "", (Column("Time", "time", {}, [1, 2, 3]), Column("Value", "number", {}, [7, 8, None])))
    assert ">8<" in tables.tiles(shown, fields_of([frame], shown, {}), 200, 100)
    assert ">no flags<" in tables.tiles(shown, [], 200, 100)


def test_stacked_bars_reach_as_high_as_their_sum():
    custom = {
        "drawStyle": "bars",
        "fillOpacity": 80,
        "stacking": {"mode": "normal"},
        "thresholdsStyle": {"mode": "off"},
    }
    shown = panel({"custom": custom, "min": 0})
    found = charts.series_of(fields_of([series(), series()], shown, {}))
    made = charts.figure(shown, found, charts.Span(0, 2000), charts.Marks([500], "#b877d9"), (400, 200))
    assert made["layout"]["yaxis"]["range"][1] == pytest.approx(axis_top(4) * charts.ABOVE)
    assert [data["type"] for data in made["data"]] == ["bar", "bar", "scatter"]
    assert made["layout"]["shapes"][0]["x0"] == 500


@pytest.mark.parametrize(
    ("spans", "drawn"),
    [
        pytest.param(True, [(0, 1), (3, 2), (9, 3)], id="everything"),
        pytest.param(False, [(0, 1), (1, None), (3, 2), (5, None), (7, None), (9, 3)], id="nothing"),
        pytest.param(4, [(0, 1), (3, 2), (9, None), (9, 3)], id="what is nearer than a threshold"),
        pytest.param(3, [(0, 1), (3, None), (3, 2), (9, None), (9, 3)], id="not what is just as far"),
    ],
)
def test_a_line_spans_what_is_missing_as_the_panel_says(spans, drawn):
    times, values = [0, 1, 3, 5, 7, 9], [1, None, 2, None, None, 3]
    frame = Frame("A", "", (Column("Time", "time", {}, times), Column("Value", "number", {}, values)))

    (found,) = charts.series_of(fields_of([frame], panel({"custom": {"spanNulls": spans}}), {}))

    assert found.drawn == drawn
    assert found.points == [(0, 1), (3, 2), (9, 3)]


def test_a_long_legend_takes_more_lines():
    assert page.legend_lines(["short"], 300) == 1
    assert page.legend_lines(["a name of some length"] * 4, 350) == 2


def png(*lines: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", len(lines[0]) // 3, len(lines), 8, 2, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(lines))) + chunk(b"IEND", b"")


def test_a_picture_of_few_colours_keeps_them_all():
    # Two pixels a line: none, sub, up, average and Paeth filters over the same two colours.
    red, blue = bytes([200, 0, 10]), bytes([10, 0, 200])
    step = bytes((after - before) & 255 for before, after in zip(red, blue))
    mean = bytes((part - part // 2) & 255 for part in red)
    mixed = bytes((part - (left + above) // 2) & 255 for part, left, above in zip(blue, red, blue))
    lines = (b"\0" + red + blue, b"\1" + red + step, b"\2" + bytes(6), b"\3" + mean + mixed, b"\4" + bytes(6))
    made = with_palette(png(*lines))
    palette = made[made.index(b"PLTE") + 4 :][:6]
    start = made.index(b"IDAT")
    (length,) = struct.unpack(">I", made[start - 4 : start])
    drawn = zlib.decompress(made[start + 4 : start + 4 + length])
    rows = [drawn[at + 1 : at + 3] for at in range(0, len(drawn), 3)]
    assert [[palette[3 * place : 3 * place + 3] for place in row] for row in rows] == [[red, blue]] * 5


def test_many_shades_leave_room_for_a_colour_that_is_rare():
    shades = b"".join(bytes([0, at // 2, at % 2]) * 2 for at in range(400))
    rare = bytes([250, 80, 10])
    made = with_palette(png(b"\0" + shades + rare))
    start = made.index(b"PLTE")
    (length,) = struct.unpack(">I", made[start - 4 : start])

    palette = made[start + 4 : start + 4 + length]
    assert rare in [palette[at : at + 3] for at in range(0, length, 3)]


def test_what_is_no_plain_picture_is_refused():
    with pytest.raises(ValueError, match="not a PNG"):
        with_palette(b"GIF89a")


def test_a_summary_counts_what_was_answered_and_names_what_failed_or_is_empty():
    span = charts.Span(0, 1000)
    answers = {"full": ([series()], ""), "none": ([], ""), "no rows": ([Frame("A", "", ())], ""), "bad": ([], "oh")}
    told = [
        Told(Asked("b", "panel", title, "stat", (), {}, 1), span, frames, error)
        for title, (frames, error) in answers.items()
    ]

    assert summary(told) == [
        "boards: 3 of 4 panels, variables and annotations without error",
        "failed: oh",
        "empty: b: none",
        "empty: b: no rows",
    ]
