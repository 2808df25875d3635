"""The dashboards' queries as a browser would send them, and Grafana's answers as typed columns.

Used by the tests that ask a real Grafana for every panel, by the benchmark, and by whatever draws the panels. What
the front end does before it asks, and only that, is done here: variables are put in, and the interval is worked out
from the range and the panel's number of points. `v.timeRangeStart` and its like are the server's to replace.
"""

import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from tests.testbed.grafana import SOURCE, Grafana

FOLDER = SOURCE / "dashboards"
# What a panel as wide as the board has on a screen of full HD: a panel without a number of points of its own asks for
# one a pixel.
BOARD_PIXELS, COLUMNS = 1840, 24
# Grafana's front end asks for so many points of variables and annotations.
VARIABLE_POINTS, ANNOTATION_POINTS = 1000, 100
ALL = "$__all"
VARIABLE = re.compile(r"\$(?P<plain>\w+)|\$\{(?P<name>\w+)(?::(?P<format>\w+))?\}")
# Characters that kbn.regexEscape of the front end puts a backslash before.
SPECIAL = re.compile(r"([\\^$*+?.()|\[\]{}/])")
UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
# Below each of the first an interval is rounded to the second (ms), as roundInterval of the front end does.
ROUNDED_MS = (
    (10, 1), (15, 10), (35, 20), (75, 50), (150, 100), (350, 200), (750, 500), (1500, 1000), (3500, 2000),
    (7500, 5000), (12_500, 10_000), (17_500, 15_000), (25_000, 20_000), (45_000, 30_000), (90_000, 60_000),
    (210_000, 120_000), (450_000, 300_000), (750_000, 600_000), (1_050_000, 900_000), (1_500_000, 1_200_000),
    (2_700_000, 1_800_000), (5_400_000, 3_600_000), (9_000_000, 7_200_000), (16_200_000, 10_800_000),
    (32_400_000, 21_600_000), (86_400_000, 43_200_000), (604_800_000, 86_400_000), (1_814_400_000, 604_800_000),
    (3_628_800_000, 2_592_000_000),
)  # fmt: skip
LONGEST_MS = 31_536_000_000


class QueryFailed(Exception):
    """Grafana answered a query with an error; the message carries it, and where the query stands."""


class Column(NamedTuple):
    """One field of a frame: its type is time, number, string or boolean; times are ms since 1970; null is None."""

    name: str
    type: str
    labels: Dict[str, str]
    values: List[Any]

    @property
    def filled(self) -> List[Any]:
        """The values that are there."""
        return [value for value in self.values if value is not None]


class Frame(NamedTuple):
    """One table of an answer."""

    ref_id: str
    name: str
    columns: Tuple[Column, ...]

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return len(self.columns[0].values) if self.columns else 0

    def of_type(self, *types: str) -> List[Column]:
        """Give the columns of one of these types."""
        return [column for column in self.columns if column.type in types]


class Asked(NamedTuple):
    """What asks: a panel, a variable or an annotation of a board, with its targets as they stand in the file."""

    board: str
    kind: str
    title: str
    type: str
    targets: Tuple[Dict[str, Any], ...]
    variables: Dict[str, "Variable"]
    max_points: int
    min_interval_ms: int = 1
    # A range of the panel's own, that wins over the board's.
    own_range_ms: int = 0

    @property
    def where(self) -> str:
        """The name for people."""
        return f"{self.board}: {self.title}" + ("" if self.kind == "panel" else f" ({self.kind})")

    def interval_ms(self, range_ms: int) -> int:
        """Give the interval that the front end works out for a range, both in ms."""
        return max(self.min_interval_ms, rounded_ms(range_ms / self.max_points))

    def requests(self, range_ms: int, chosen: Mapping[str, Sequence[str]] = {}) -> List[Dict[str, Any]]:
        """Give the queries as they are sent for a range (ms); `chosen` has values of variables that differ."""
        return [
            {
                **target,
                "query": interpolated(target["query"], self.variables, chosen),
                "intervalMs": self.interval_ms(range_ms),
                "maxDataPoints": self.max_points,
            }
            for target in self.targets
        ]

    def ask(
        self, grafana: Grafana, start_ms: int, stop_ms: int, chosen: Mapping[str, Sequence[str]] = {}
    ) -> List[Frame]:
        """Ask Grafana for a range (ms since 1970) and return all frames; raises QueryFailed."""
        start_ms = stop_ms - self.own_range_ms if self.own_range_ms else start_ms
        requests = self.requests(stop_ms - start_ms, chosen)
        results = grafana.query(requests, str(start_ms), str(stop_ms))["results"]
        failed = {ref_id: result["error"] for ref_id, result in results.items() if result.get("error")}
        if failed or set(results) != {request["refId"] for request in requests}:
            texts = "\n".join(f"{request['refId']}:\n{request['query']}" for request in requests)
            raise QueryFailed(f"{self.where}: {failed or 'not every query is answered'}\n{texts}")
        return [frame(ref_id, found) for ref_id, result in results.items() for found in result["frames"]]

    def single(self, ref_id: str) -> "Asked":
        """Give the same with one of its targets alone."""
        return self._replace(targets=tuple(target for target in self.targets if target["refId"] == ref_id))


class Variable(NamedTuple):
    """A variable of a board: its values as they are chosen when the board is opened, and what All stands for."""

    name: str
    values: Tuple[str, ...]
    all_value: Optional[str]


def rounded_ms(interval_ms: float) -> int:
    """Give the interval as the front end rounds it, ms."""
    return next((rounded for below, rounded in ROUNDED_MS if interval_ms < below), LONGEST_MS)


def interpolated(query: str, variables: Mapping[str, Variable], chosen: Mapping[str, Sequence[str]] = {}) -> str:
    """Put variables in as the front end does; what is none of the board's stays, as it may be the server's.

    Raises ValueError for a format that isn't known here.
    """

    def value(found: "re.Match[str]") -> str:
        name = found.group("plain") or found.group("name")
        if name not in variables:
            return found.group()
        variable = variables[name]
        values = tuple(chosen.get(name, variable.values))
        if values == (ALL,):
            # A value given for All is put in as it is, whatever the format.
            if variable.all_value is None:
                raise ValueError(f"variable {name} is All, and no value is given for that")
            return variable.all_value
        return formatted(values, found.group("format") or "")

    return VARIABLE.sub(value, query)


def formatted(values: Sequence[str], how: str) -> str:
    """Give a variable's values in one of the front end's formats; raises ValueError for one not known here."""
    if how == "regex":
        escaped = [SPECIAL.sub(r"\\\1", value) for value in values]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
    if how == "doublequote":
        return ",".join('"{}"'.format(value.replace('"', '\\"')) for value in values)
    joined = {"": ",", "raw": ",", "csv": ",", "pipe": "|"}
    if how not in joined:
        raise ValueError(f"format {how} of a variable is not known to the tests")
    text = joined[how].join(values)
    return f"{{{text}}}" if not how and len(values) > 1 else text


def frame(ref_id: str, found: Mapping[str, Any]) -> Frame:
    """Read a frame of Grafana's JSON."""
    fields = found["schema"].get("fields") or []
    columns = tuple(
        Column(field["name"], field["type"], field.get("labels") or {}, values)
        for field, values in zip(fields, found["data"]["values"] or [[] for _ in fields])
    )
    return Frame(ref_id, found["schema"].get("name", ""), columns)


def boards(folder: Path = FOLDER) -> Dict[str, Dict[str, Any]]:
    """Give the dashboards' JSON by the names of their files."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}


def all_asked(folder: Path = FOLDER) -> List[Asked]:
    """Give everything that asks on every board, in the order of the files and of the boards."""
    return [asked for name, board in boards(folder).items() for asked in of_board(name, board)]


def of_board(name: str, board: Mapping[str, Any]) -> Iterator[Asked]:
    """Yield everything that asks on a board, given its JSON."""
    listed = board.get("templating", {}).get("list", [])
    variables = {variable["name"]: _variable(variable) for variable in listed}
    for panel in _flat(board["panels"]):
        targets = tuple(target for target in panel.get("targets", []) if not target.get("hide"))
        if targets:
            yield _panel(name, panel, targets, variables)
    for variable in listed:
        if variable["type"] == "query":
            target = {"refId": "metricFindQuery", "datasource": variable["datasource"], "query": variable["query"]}
            yield Asked(name, "variable", variable["name"], "variable", (target,), variables, VARIABLE_POINTS)
    for annotation in board.get("annotations", {}).get("list", []):
        if annotation.get("target", {}).get("query"):
            target = {"datasource": annotation["datasource"], "refId": "Anno", **annotation["target"]}
            title = annotation["name"]
            yield Asked(name, "annotation", title, "annotation", (target,), variables, ANNOTATION_POINTS)


def _flat(panels: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the panels, those that a closed row holds included."""
    for panel in panels:
        if panel["type"] == "row":
            yield from _flat(panel.get("panels", []))
        else:
            yield panel


def _panel(
    board: str, panel: Mapping[str, Any], targets: Tuple[Dict[str, Any], ...], variables: Dict[str, Variable]
) -> Asked:
    if panel.get("repeat") or panel.get("timeShift"):
        raise ValueError(f"{board}: {panel['title']}: the tests know neither repeated panels nor shifted times")
    pixels = panel["gridPos"]["w"] * BOARD_PIXELS // COLUMNS
    return Asked(
        board,
        "panel",
        panel["title"],
        panel["type"],
        tuple({"datasource": panel.get("datasource"), **target} for target in targets),
        variables,
        panel.get("maxDataPoints") or pixels,
        duration_ms(panel["interval"].lstrip(">")) if panel.get("interval") else 1,
        duration_ms(panel["timeFrom"]) if panel.get("timeFrom") else 0,
    )


def _variable(variable: Mapping[str, Any]) -> Variable:
    value = variable.get("current", {}).get("value", "")
    values = tuple(value) if isinstance(value, list) else (value,)
    if values in ((), ("",)):
        values = (ALL,) if variable.get("includeAll") else (variable.get("query", ""),)
    return Variable(variable["name"], values, variable.get("allValue") or None)


def duration_ms(text: str) -> int:
    """Give a duration as Grafana writes it, such as 30s or 1h, in ms; raises ValueError for anything else."""
    found = re.fullmatch(r"(\d+)(ms|[smhdw])", text)
    if not found:
        raise ValueError(f"{text!r} is no duration such as 30s or 1h")
    return int(found.group(1)) * UNITS_MS[found.group(2)]
