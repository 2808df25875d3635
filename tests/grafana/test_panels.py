"""Every panel's, variable's and annotation's query, sent as a browser would, answers over a day of real shape."""

import time
from typing import Callable, Dict, List

import pytest

from tests.testbed.boards import Asked, Frame, all_asked
from tests.testbed.grafana import DATASOURCE, Grafana

# The first test also waits for the day to be written and for both services.
pytestmark = pytest.mark.timeout(300)
HOURS = (1, 24)
EACH = [
    pytest.param(asked.single(target["refId"]), id=f"{asked.board}-{asked.kind}-{asked.title}-{target['refId']}")
    for asked in all_asked()
    for target in asked.targets
]


def drawn_over_time(frame: Frame) -> bool:
    return len(frame.of_type("time")) == 1 and bool(frame.of_type("number"))


def one_figure(frame: Frame) -> bool:
    return bool(frame.of_type("number", "string"))


def bars(frame: Frame) -> bool:
    return bool(frame.of_type("string", "time")) and bool(frame.of_type("number"))


def named_columns(frame: Frame) -> bool:
    return all(column.name for column in frame.columns)


def texts(frame: Frame) -> bool:
    return bool(frame.of_type("string"))


def marks(frame: Frame) -> bool:
    return bool(frame.of_type("time")) and bool(frame.of_type("string"))


# What each kind of panel needs of every frame.
FIT: Dict[str, Callable[[Frame], bool]] = {
    "timeseries": drawn_over_time,
    "state-timeline": lambda frame: len(frame.of_type("time")) == 1 and len(frame.columns) > 1,
    "heatmap": drawn_over_time,
    "stat": one_figure,
    "gauge": lambda frame: bool(frame.of_type("number")),
    "bargauge": lambda frame: bool(frame.of_type("number")),
    "piechart": lambda frame: bool(frame.of_type("number")),
    "barchart": bars,
    "table": named_columns,
    "variable": texts,
    "annotation": marks,
}


def ask(asked: Asked, grafana: Grafana, hours: int) -> List[Frame]:
    stop_ms = int(time.time() * 1000)
    return asked.ask(grafana, stop_ms - hours * 3_600_000, stop_ms)


def shown(frames: List[Frame]) -> str:
    """Give what was found, for whoever reads the failure."""
    return "\n".join(
        f"{frame.rows} rows: " + ", ".join(f"{c.name} {c.type} {c.labels} {c.values[:3]}" for c in frame.columns)
        for frame in frames[:5]
    )


@pytest.mark.parametrize("hours", HOURS, ids=[f"{hours}h" for hours in HOURS])
@pytest.mark.parametrize("asked", EACH)
def test_query_answers_with_rows_of_the_type_its_panel_needs(grafana: Grafana, asked: Asked, hours: int) -> None:
    frames = ask(asked, grafana, hours)

    assert any(frame.rows for frame in frames), f"no rows\n{asked.requests(hours * 3_600_000)[0]['query']}"
    unfit = [frame for frame in frames if not FIT[asked.type](frame)]
    assert not unfit, f"a {asked.type} can't show:\n{shown(unfit)}"
    kinds = ("string",) if asked.type in ("table", "variable", "annotation") else ("number", "string")
    filled = [column for frame in frames for column in frame.of_type(*kinds, "number") if column.filled]
    assert filled, f"nothing but nulls\n{shown(frames)}"


@pytest.mark.parametrize("asked", EACH)
def test_query_goes_to_the_provisioned_data_source(asked: Asked) -> None:
    assert [target["datasource"]["uid"] for target in asked.targets] == [DATASOURCE]


def test_boards_ask_something() -> None:
    assert {asked.kind for asked in all_asked()} >= {"panel", "variable"}
