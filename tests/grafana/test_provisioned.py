"""What the role provisions is there in a real Grafana."""

import pytest

from tests.testbed.boards import boards
from tests.testbed.grafana import DATASOURCE, Grafana

# The first test also waits for the day to be written and for both services.
pytestmark = pytest.mark.timeout(300)
FOLDER = "reasond"


def test_every_dashboard_is_in_the_folder(grafana: Grafana) -> None:
    found = grafana.get("/api/search?type=dash-db")

    wanted = {(board["uid"], board["title"]) for board in boards().values()}
    assert wanted
    assert {(entry["uid"], entry["title"]) for entry in found} == wanted
    assert {entry["folderTitle"] for entry in found} == {FOLDER}


@pytest.mark.parametrize("name", sorted(boards()))
def test_dashboard_is_as_in_its_file_and_not_for_editing(grafana: Grafana, name: str) -> None:
    board = boards()[name]

    found = grafana.get(f"/api/dashboards/uid/{board['uid']}")

    assert found["meta"]["provisioned"]
    changed = {"id", "version"}
    kept = {key: value for key, value in found["dashboard"].items() if key not in changed}
    assert kept == {key: value for key, value in board.items() if key not in changed}


def test_data_source_is_healthy(grafana: Grafana) -> None:
    assert grafana.get(f"/api/datasources/uid/{DATASOURCE}/health")["status"] == "OK"


def test_the_only_data_source_is_the_provisioned_one(grafana: Grafana) -> None:
    found = grafana.get("/api/datasources")

    assert [(source["uid"], source["isDefault"], source["readOnly"]) for source in found] == [(DATASOURCE, True, True)]
