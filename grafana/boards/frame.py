"""What every board has: uid, tags, range, refresh, links to the others, variables and decision markers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard

from .look import DATA_SOURCE, RANGE_FROM, RANGE_TO, REFRESH, SCHEMA_VERSION, TAGS
from .signals.decisions import MARKERS
from .target import FluxQuery

ALL = ".*"
Panels = Sequence[Builder[dashboard.Panel]]


@dataclass(frozen=True)
class Row:
    """A heading and the panels under it, in reading order; 24 units of width make a line."""

    title: str
    panels: Panels


def _values(tag: str, measurement: str) -> str:
    """Give the query of a tag's values in the board's range."""
    return (
        'import "influxdata/influxdb/schema"\n'
        f'schema.tagValues(bucket: v.defaultBucket, tag: "{tag}", '
        f'predicate: (r) => r._measurement == "{measurement}", start: v.timeRangeStart, stop: v.timeRangeStop)'
    )


def _choice(name: str, label: str, query: str, *, regex: str = "") -> builders.QueryVariable:
    variable = builders.QueryVariable(name).label(label).datasource(DATA_SOURCE).query(query)
    variable.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    variable.multi(True).include_all(True).all_value(ALL)
    variable.current(dashboard.VariableOption(selected=True, text=["All"], value=["$__all"]))
    return variable.regex(regex)


def _price(name: str, label: str, usd: str) -> builders.TextBoxVariable:
    option = dashboard.VariableOption(selected=True, text=usd, value=usd)
    return builders.TextBoxVariable(name).label(label).default_value(usd).current(option).options([option])


def variables() -> list[Builder[dashboard.VariableModel]]:
    """Give the variables, the same on every board; the prices are the specification's."""
    return [
        _choice("agent", "Agent", _values("agent_id", "agent_health")),
        _choice("queue", "Queue", _values("queue", "queue_metrics"), regex="/^(?!books[.])/"),
        _choice("action", "Action", _values("action", "agent_reasoning")),
        _price("price_in", "$ per million input tokens", "3"),
        _price("price_out", "$ per million output tokens", "15"),
    ]


def _markers(panel_ids: list[int]) -> builders.AnnotationQuery:
    """Give the rate decisions by which an agent changed its action, as marks on these panels."""
    marks = builders.AnnotationQuery().name("Changes of action").datasource(DATA_SOURCE).enable(True)
    # Not quite opaque: curves are seen through them.
    marks.icon_color("rgba(184, 119, 217, 0.7)").filter(builders.AnnotationPanelFilter().exclude(False).ids(panel_ids))
    # The SDK knows the target of Grafana's own annotations only.
    marks.build().target = FluxQuery("Anno", MARKERS)
    return marks


def board(
    uid: str, title: str, description: str, rows: Sequence[Row], marked: Sequence[str] = ()
) -> dashboard.Dashboard:
    """Give a board; the panels whose titles are in `marked` show the decisions as marks."""
    made = builders.Dashboard(title).uid(uid).description(description).tags(TAGS).readonly().timezone("browser")
    made.time(RANGE_FROM, RANGE_TO).refresh(REFRESH).tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
    made.variables(variables())
    link = builders.DashboardLink("Boards").type(dashboard.DashboardLinkType.DASHBOARDS).tags(TAGS)
    made.link(link.as_dropdown(False).include_vars(True).keep_time(True))
    for row in rows:
        made.with_row(builders.Row(row.title))
        for panel in row.panels:
            made.with_panel(panel)
    finished = made.build()
    _number(finished, marked)
    return finished


def _number(made: Any, marked: Sequence[str]) -> None:
    """Give every panel its id, by place, and hang the marks onto those that show them."""
    # The SDK writes a style of its own accord, which Grafana has given up.
    made.schema_version, made.version, made.style = SCHEMA_VERSION, 1, None
    for number, panel in enumerate(made.panels, 1):
        panel.id_val = number
    ids = {panel.title: panel.id_val for panel in made.panels}
    if marked:
        made.annotations = dashboard.AnnotationContainer([_markers([ids[title] for title in marked]).build()])
