"""The dashboards have the panels that were specified, say what a reader needs, and name what the package writes."""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import get_args

import pytest

from reasond.decisions import HandlingAction, HealthStatus, RateAction
from reasond.downsampling import DOWNSAMPLED
from reasond.points import MEASUREMENTS

GREY = "#8e8e8e"
GRAFANA = Path(__file__).resolve().parents[2] / "grafana"
BOARDS = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
RULES = json.loads((GRAFANA / "alerting" / "rules.json").read_text("utf-8"))["groups"]
PANELS = [
    pytest.param(panel, id=f"{name}-{panel['title']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]
EACH_BOARD = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
EACH_PANEL = pytest.mark.parametrize("panel", PANELS)
EACH_TABLE = pytest.mark.parametrize("panel", [param for param in PANELS if param.values[0]["type"] == "table"])

UIDS = {
    "agent-overview": "reasond-agent-overview",
    "ai-decisions": "reasond-ai-decisions",
    "agent-effectiveness": "reasond-agent-effectiveness",
    "cost-performance": "reasond-cost-performance",
}
SPECIFIED = {
    "agent-overview": {
        "Messages published/consumed over time",
        "Queue depths (real-time)",
        "Active agents count",
    },
    "ai-decisions": {
        "AI decisions over time",
        "Recent agent reasoning",
        "Decision confidence scores",
        "Token usage by agent",
        "Decision latency",
    },
    "agent-effectiveness": {
        "AI decisions vs queue depth changes",
        "Anomalies detected vs actual issues",
        "Agent response time before/after decisions",
    },
    "cost-performance": {
        "Total API tokens used (per agent, per hour)",
        "Cost estimation",
        "Decision frequency",
    },
}
# What Grafana 10 to 12 draw without Angular.
TYPES = {
    "barchart", "bargauge", "gauge", "heatmap", "histogram", "piechart", "row", "stat", "state-timeline",
    "status-history", "table", "text", "timeseries",
}  # fmt: skip
TEXTS = {"row", "table", "text"}
# Grafana's own ids, and what it writes behind a figure as it stands.
UNITS = {
    "none", "short", "s", "ms", "bytes", "percent", "percentunit", "currencyUSD", "dateTimeAsIso",
    "msg/min", "decisions/min",
}  # fmt: skip
# By how a column's name ends; its title may say the unit instead.
COLUMN_UNITS = {"_s": ("s", ""), "_ms": ("ms", ""), "_bytes": ("bytes", ""), "usd": ("currencyUSD", "$")}
WIDTH = 24
MOST_ROWS = 500
# Grafana 10.0's; what it lacks newer ones add when they load the board.
SCHEMA_VERSION = 38
SOURCE = {"type": "influxdb", "uid": "reasond-influxdb"}
SAME = (
    "editable", "graphTooltip", "links", "refresh", "schemaVersion", "tags", "templating", "time", "timezone",
    "version",
)  # fmt: skip
DECIDED = [*get_args(RateAction), *get_args(HandlingAction), *get_args(HealthStatus)]
# With the operator's orders, which `reasond control` gives and publishers and consumers record as decisions.
ACTIONS = [*DECIDED, "hold", "resume", "shadow", "act"]

DECLARED = {**MEASUREMENTS, **DOWNSAMPLED}
FROM = re.compile(r"\bfrom\(")
MEASUREMENT = re.compile(r'\br\._measurement == "(\w+)"')
FIELD = re.compile(r'\br\._field [!=]= "(\w+)"')
COLUMN = re.compile(r"\br\.(\w+)")
TAG_VALUES = re.compile(r'schema\.tagValues\(bucket: v\.defaultBucket, tag: "(\w+)", predicate: \(r\) => ([^,]+),')


def nodes(value):
    """Yield every object in a JSON value."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(part)


def of_boards():
    """Yield every Flux text of the boards, with where it stands."""
    for name, board in BOARDS.items():
        for panel in board["panels"]:
            yield from (
                (f"{name}-{panel['title']}-{target['refId']}", target["query"]) for target in panel.get("targets", ())
            )
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield f"{name}-variable-{variable['name']}", variable["query"]
        for annotation in board.get("annotations", {}).get("list", ()):
            yield f"{name}-annotation-{annotation['name']}", annotation["target"]["query"]


def of_rules():
    """Yield every Flux text of the alert rules, with where it stands."""
    for rule in (rule for group in RULES for rule in group["rules"]):
        for part in rule["data"]:
            if part["datasourceUid"] != "__expr__":
                yield f"{rule['uid']}-{part['refId']}", part["model"]["query"]


EACH_QUERY = pytest.mark.parametrize(
    "query", [pytest.param(query, id=where) for where, query in (*of_boards(), *of_rules())]
)


def reads(query):
    """Yield what each `from()` reads, as its measurement, its fields and the columns that its filters name.

    Its filters are those in a row after range(): what comes later sees columns that the query made itself.
    """
    for text in FROM.split(query)[1:]:
        source, span, *steps = re.split(r"\s*\|>\s*", text)
        assert source == "bucket: v.defaultBucket)"
        assert span.startswith("range(start: ")
        filters = []
        for step in steps:
            if not step.startswith("filter("):
                break
            # The last step of a query in a query goes on with whatever stands behind it.
            filters.append(step.split("\n")[0])
        told = " ".join(filters)
        (measurement,) = MEASUREMENT.findall(told)
        yield measurement, set(FIELD.findall(told)), set(COLUMN.findall(told)) - {"_measurement", "_field", "_value"}


def test_boards_are_four_with_fixed_uids():
    assert {name: board["uid"] for name, board in BOARDS.items()} == UIDS
    assert len({board["title"] for board in BOARDS.values()}) == len(BOARDS)


@pytest.mark.parametrize("name, titles", SPECIFIED.items(), ids=SPECIFIED)
def test_specified_panels_are_on_their_board(name, titles):
    assert titles <= {panel["title"] for panel in BOARDS[name]["panels"] if panel["type"] != "row"}


def test_fourteen_panels_are_specified():
    assert sum(map(len, SPECIFIED.values())) == 14


def test_reasoning_is_a_table_of_the_specified_columns():
    (panel,) = (panel for panel in BOARDS["ai-decisions"]["panels"] if panel["title"] == "Recent agent reasoning")

    assert panel["type"] == "table"
    assert organized(panel) == ["timestamp", "agent_id", "action", "reasoning"]


@EACH_BOARD
def test_panels_have_ids_and_titles_of_their_own(board):
    ids = [panel["id"] for panel in board["panels"]]
    titles = [panel["title"] for panel in board["panels"]]

    assert all(isinstance(number, int) and number > 0 for number in ids)
    assert len(set(ids)) == len(ids)
    assert all(titles)
    assert len(set(titles)) == len(titles)


@EACH_BOARD
def test_panels_stand_side_by_side_within_the_boards_width(board):
    taken = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["y"] >= 0
        assert place["w"] > 0
        assert place["h"] > 0
        assert place["x"] + place["w"] <= WIDTH, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


@EACH_PANEL
def test_panel_says_what_to_aim_for_and_what_harm_there_is(panel):
    assert re.fullmatch(r"What: \S.*\n\nAim: \S.*\n\nHarm: \S.*", panel["description"])


@EACH_PANEL
def test_panel_is_of_a_type_that_every_grafana_has(panel):
    assert panel["type"] in TYPES
    assert panel["targets"]


@EACH_PANEL
def test_figures_have_a_unit_that_grafana_knows(panel):
    config = panel["fieldConfig"]
    units = [one["value"] for node in config["overrides"] for one in node["properties"] if one["id"] == "unit"]
    unit = config["defaults"].get("unit")

    assert unit or panel["type"] in TEXTS
    assert {*units, unit} - {None} <= UNITS


def organized(panel):
    """Give a table's columns in their order, by the query's names."""
    (places,) = (one["options"]["indexByName"] for one in panel["transformations"] if one["id"] == "organize")
    return sorted(places, key=places.get)


@EACH_TABLE
def test_column_of_seconds_bytes_or_dollars_says_so(panel):
    said = defaultdict(dict)
    for override in panel["fieldConfig"]["overrides"]:
        said[override["matcher"]["options"]].update((one["id"], one["value"]) for one in override["properties"])
    for name in organized(panel):
        for end, (unit, sign) in COLUMN_UNITS.items():
            if name.endswith(end) or name.startswith(f"{end}_"):
                in_title = sign and sign in said[name]["displayName"]
                assert said[name].get("unit") == unit or in_title, name


@EACH_TABLE
def test_table_has_a_bounded_number_of_rows(panel):
    for target in panel["targets"]:
        limits = [int(number) for number in re.findall(r"\|> limit\(n: (\d+)\)", target["query"])]
        # One row an agent, an action, a kind or a brain.
        aggregated = re.search(r"\|> (last|sum|count|reduce)\(", target["query"])
        assert all(number <= MOST_ROWS for number in limits)
        assert MOST_ROWS in limits or aggregated


@EACH_BOARD
def test_everything_asks_the_provisioned_data_source(board):
    sources = [node["datasource"] for node in nodes(board) if "datasource" in node]
    asking = [node for node in nodes(board) if "query" in node and "refId" in node]

    assert asking
    assert all("datasource" in node for node in asking)
    assert all(source == SOURCE for source in sources)


@EACH_BOARD
def test_boards_are_alike_but_for_what_they_show(board):
    first = next(iter(BOARDS.values()))

    assert {key: board[key] for key in SAME} == {key: first[key] for key in SAME}


def test_board_opens_on_the_last_hour_with_links_and_variables():
    board = BOARDS["agent-overview"]
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}

    assert board["tags"] == ["reasond"]
    assert (board["time"], board["refresh"]) == ({"from": "now-1h", "to": "now"}, "30s")
    assert board["schemaVersion"] == SCHEMA_VERSION
    (link,) = board["links"]
    assert (link["type"], link["tags"]) == ("dashboards", ["reasond"])
    assert link["includeVars"] and link["keepTime"]
    assert list(variables) == ["agent", "queue", "action", "price_in", "price_out"]
    assert [variables[name]["query"] for name in ("price_in", "price_out")] == ["3", "15"]


@EACH_QUERY
def test_query_names_what_the_package_writes(query):
    found = list(reads(query))
    tag_values = TAG_VALUES.findall(query)

    assert found or tag_values
    assert len(MEASUREMENT.findall(query)) == len(found) + len(tag_values)
    for measurement, fields, columns in found:
        assert fields
        assert fields <= set(DECLARED[measurement].fields)
        assert columns <= set(DECLARED[measurement].tags)
    known = {field for measurement, _, _ in found for field in DECLARED[measurement].fields}
    assert set(FIELD.findall(query)) <= known
    for tag, predicate in tag_values:
        (measurement,) = MEASUREMENT.findall(predicate)
        assert tag in DECLARED[measurement].tags


def action_colours(panel):
    """Yield the actions that a panel colours, each with its colour: series by their names, values by mappings."""
    config = panel["fieldConfig"]
    for override in config["overrides"]:
        properties = {one["id"]: one["value"] for one in override["properties"]}
        if override["matcher"]["id"] == "byRegexp" and "color" in properties:
            named = re.compile(override["matcher"]["options"].strip("/"))
            yield from ((action, properties["color"]["fixedColor"]) for action in ACTIONS if named.search(action))
    for node in nodes(config):
        if node.get("type") == "value" and isinstance(node.get("options"), dict):
            yield from ((action, node["options"][action]["color"]) for action in ACTIONS if action in node["options"])


def test_action_has_one_colour_on_every_board():
    colours = defaultdict(set)
    boards = defaultdict(set)
    for name, board in BOARDS.items():
        for panel in board["panels"]:
            for action, colour in action_colours(panel) if panel["type"] != "row" else ():
                colours[action].add(colour)
                boards[action].add(name)

    assert set(colours) == set(ACTIONS)
    assert {action: found for action, found in colours.items() if len(found) != 1} == {}
    assert all(len(found) > 1 for found in boards.values())
    assert len(set().union(*(colours[action] for action in DECIDED))) == len(DECIDED)


@EACH_PANEL
def test_series_and_columns_of_actions_are_coloured(panel):
    config = panel["fieldConfig"]
    names = [config["defaults"].get("displayName", "")]
    names += [one["value"] for node in config["overrides"] for one in node["properties"] if one["id"] == "displayName"]
    columns = organized(panel) if panel["type"] == "table" else ()

    if "action" in columns or any("labels.action}" in name for name in names):
        assert {action for action, _ in action_colours(panel)} == set(ACTIONS)


@EACH_TABLE
def test_word_without_a_colour_of_its_own_is_grey(panel):
    for override in panel["fieldConfig"]["overrides"]:
        properties = {one["id"]: one["value"] for one in override["properties"]}
        if "mappings" in properties:
            assert properties["thresholds"]["steps"] == [{"value": None, "color": GREY}]


@EACH_PANEL
def test_bars_begin_where_their_window_does(panel):
    custom = panel["fieldConfig"]["defaults"].get("custom", {})

    assert custom.get("drawStyle") != "bars" or custom["barAlignment"] == 1


@EACH_PANEL
def test_tile_without_a_figure_is_grey(panel):
    defaults = panel["fieldConfig"]["defaults"]
    # No agent at all is a figure, and a bad one.
    if panel["type"] == "stat" and panel["title"] != "Active agents count":
        assert defaults["noValue"]
        assert (defaults["thresholds"]["steps"][0]["value"], defaults["thresholds"]["steps"][0]["color"]) == (
            None,
            GREY,
        )
