"""How everything looks, in one place: names, colours, ranges and limits that all boards share."""

from grafana_foundation_sdk.models.dashboard import DataSourceRef

DATA_SOURCE = DataSourceRef("influxdb", "reasond-influxdb")
TAGS = ["reasond"]
SCHEMA_VERSION = 38
"""Of Grafana 10.0, the oldest supported; newer ones bring it up to date when they load it."""

RANGE_FROM, RANGE_TO = "now-1h", "now"
REFRESH = "30s"
TABLE_ROWS = 500

GREEN, YELLOW, ORANGE, RED = "green", "yellow", "orange", "red"
GREY = "#8e8e8e"

# One hue a kind of agent: a shade for each of the default instances, and Grafana's own for any further one.
AGENT_SHADES = {"publisher": "blue", "consumer": "orange", "monitor": "purple"}
AGENT_COLOURS = {
    "publisher-1": "#1f60c4",
    "publisher-2": "#5794f2",
    "publisher-3": "#c0d8ff",
    "consumer-1": "#e0540b",
    "consumer-2": "#ff9830",
    "consumer-3": "#ffd8a8",
    "monitor-1": "#b877d9",
}
ACTION_COLOURS = {
    "speed_up": "#56a64b",
    "continue": "#3274d9",
    "slow_down": "#ff9830",
    "pause": "#e02f44",
    "process": "#8ab8ff",
    "batch": "#b877d9",
    "flag_anomaly": "#f2495c",
    "healthy": "#73bf69",
    "warning": "#fade2a",
    "critical": "#c4162a",
    # The operator's orders.
    "hold": GREY,
    "resume": GREY,
    "shadow": GREY,
    "act": GREY,
}
QUEUE_COLOURS = {
    "fictional": "#5794f2",
    "non-fictional": "#ff9830",
    "priority": "#e02f44",
    "books.expired": "#fade2a",
    "books.rejected": "#f2495c",
    "books.flagged": "#b877d9",
}
BRAIN_COLOURS = {
    "claude": "#b877d9",
    "dry-run": "#8ab8ff",
    "rules": "#ff9830",
    "static": GREY,
    "operator": "#e02f44",
    # The return to the default rate with which a block of an experiment begins.
    "experiment": "#fade2a",
}
ERROR_COLOURS = {
    "rate_limited": "#fade2a",
    "overloaded": "#ff9830",
    "timeout": "#b877d9",
    "connection": "#5794f2",
    "invalid_answer": "#f2495c",
}
"""The everyday failures of an API call; others keep Grafana's colours."""
COLOURS = {"action": ACTION_COLOURS, "queue": QUEUE_COLOURS, "brain": BRAIN_COLOURS, "error": ERROR_COLOURS}
"""By tag."""
