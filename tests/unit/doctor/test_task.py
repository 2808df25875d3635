"""The downsampling task is judged by what InfluxDB lists; who may not see tasks is told so, not that there is none."""

import pytest

from reasond.doctor import task
from reasond.downsampling import TASK_NAME, flux_time, task_flux

ORG, BUCKET = "monitoring", "agent_metrics"
FLUX = task_flux(ORG, BUCKET)
NOW_NS = 1_790_000_000 * 10**9
MINUTE_NS = 60 * 10**9


def listed(**changes):
    well = {
        "name": TASK_NAME,
        "flux": FLUX,
        "status": "active",
        "latestCompleted": flux_time(NOW_NS - 4 * MINUTE_NS),
        "lastRunStatus": "success",
    }
    return {**well, **changes}


def test_task_that_runs_is_well_and_its_newest_run_is_told():
    found = task.judged([listed()], FLUX, NOW_NS)

    assert found.state == "ok"
    assert "4 minutes ago" in found.found


def test_task_that_was_just_made_is_well_without_a_run():
    found = task.judged([listed(lastRunStatus="")], FLUX, NOW_NS)

    assert (found.state, "not due yet" in found.found) == ("ok", True)


@pytest.mark.parametrize(
    "tasks, text",
    [
        ([], "no task"),
        ([listed(), listed()], "2 times"),
        ([listed(flux=FLUX + "\n")], "isn't the one"),
        ([listed(status="inactive", description="filled in up to noon")], "inactive: filled in up to noon"),
        ([listed(lastRunStatus="failed", lastRunError="out of memory")], "failed: out of memory"),
        ([listed(lastRunStatus="canceled")], "canceled"),
        ([listed(latestCompleted="")], "never run"),
        ([listed(latestCompleted=flux_time(NOW_NS - 31 * MINUTE_NS))], "31 minutes ago"),
        ([listed(latestCompleted=flux_time(NOW_NS - 31 * MINUTE_NS), lastRunStatus="")], "31 minutes ago"),
    ],
    ids=["missing", "twice", "other script", "inactive", "failed", "canceled", "no run", "old", "made long ago"],
)
def test_task_that_isn_t_well_is_a_warning_that_says_how_to_mend_it(tasks, text):
    found = task.judged(tasks, FLUX, NOW_NS)

    assert found.state == "warning"
    assert text in found.found
    assert "influxdb-setup" in found.mend


def test_run_of_half_an_hour_ago_is_still_well():
    assert task.judged([listed(latestCompleted=flux_time(NOW_NS - 30 * MINUTE_NS))], FLUX, NOW_NS).state == "ok"


def verdict(tasks_by_token, token_dir):
    return task.task_verdict(lambda token: tasks_by_token.get(token, []), "agents", str(token_dir), ORG, BUCKET)


def test_token_that_sees_no_task_leaves_it_unknown_without_the_admin_s(tmp_path):
    found = verdict({}, tmp_path)

    assert found.state == "skipped"
    assert found.found.startswith("unknown: needs the admin token")
    assert str(tmp_path) in found.found


@pytest.mark.parametrize(
    "tasks, text", [([listed(status="inactive")], "inactive"), ([], "no task")], ids=["there", "missing"]
)
def test_admin_s_token_is_used_where_the_agents_sees_no_task(tmp_path, tasks, text):
    (tmp_path / "admin.token").write_text("admin\n")

    assert text in verdict({"admin": tasks}, tmp_path).found


def test_admin_s_token_of_another_influxdb_leaves_it_unknown(tmp_path):
    (tmp_path / "admin.token").write_text("stranger\n")

    found = verdict({"stranger": None}, tmp_path)

    assert found.state == "skipped"
    assert found.found.startswith("unknown: InfluxDB doesn't know the admin token")


def test_admin_s_token_is_left_alone_where_the_agents_will_do(tmp_path):
    (tmp_path / "admin.token").write_text("admin\n")

    assert "inactive" in verdict({"agents": [listed(status="inactive")]}, tmp_path).found


def test_task_of_a_longer_name_is_another(tmp_path):
    (tmp_path / "admin.token").write_text("admin\n")

    assert "no task" in verdict({"agents": [listed(name=TASK_NAME + " old")]}, tmp_path).found
