"""The doctor's check of the InfluxDB task that keeps the boards' 5-minute series; used with those of InfluxDB.

The agents' token may not read tasks. The admin's may: set-up leaves it on InfluxDB's host, for root's eyes only.
"""

import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

from reasond.doctor.findings import Verdict, ok, skipped, warning
from reasond.downsampling import TASK_NAME, WINDOW_S, parsed_time, task_flux

LATE_S = 6 * WINDOW_S
"""Seconds since the newest run: six runs in a row that InfluxDB didn't make are no hiccup."""
_SET_UP = "on InfluxDB's host: systemctl restart influxdb-setup, or reasond setup-influxdb as root"
_WAIT = "wait while influxdb-setup runs, which fills in the past; else " + _SET_UP
_RUNS = "see its runs on InfluxDB's own pages (port 8086, user admin), under Tasks; then " + _SET_UP

Task = Dict[str, Any]
"""One task as InfluxDB's API lists it."""


def task_verdict(
    ask: Callable[[str], Optional[Sequence[Task]]], token: str, token_dir: str, org: str, bucket: str
) -> Verdict:
    """Tell how the task is, by the agents' `token` or else by the admin's in `token_dir`.

    `ask` gives the tasks of that name that a token may see, which are none for a token without that right, and None
    for a token that InfluxDB doesn't know.
    """
    listed = ask(token)
    if not listed:
        admin = _admin_token(token_dir)
        listed = ask(admin) if admin else None
        if listed is None:
            why = "InfluxDB doesn't know the admin token" if admin else "needs the admin token"
            return skipped(f"unknown: {why} (root on InfluxDB's host: {token_dir}/admin.token)")
    named = [task for task in listed if task.get("name") == TASK_NAME]
    return judged(named, task_flux(org, bucket), time.time_ns())


def judged(tasks: List[Task], flux: str, now_ns: int) -> Verdict:
    """Judge the tasks of that name, given the script that this release installs and the time (UTC ns).

    Nothing here is a `fail`: only the boards need the task, and over ranges of more than 3 hours.
    """
    what = f"task {TASK_NAME!r}"
    if not tasks:
        return warning(f"no {what}: boards are empty over ranges of more than 3 hours", _SET_UP)
    if len(tasks) > 1:
        return warning(f"{what} is there {len(tasks)} times", _SET_UP)
    task = tasks[0]
    if task.get("flux") != flux:
        return warning(f"{what} isn't the one that this release installs", _SET_UP)
    if task.get("status") != "active":
        return warning("{} is inactive: {}".format(what, task.get("description", "")), _WAIT)
    return _last_run(what, task, now_ns)


def _last_run(what: str, task: Task, now_ns: int) -> Verdict:
    status = str(task.get("lastRunStatus", ""))
    if status not in ("", "success"):
        return warning("{}: its last run ended as {}: {}".format(what, status, task.get("lastRunError", "")), _RUNS)
    # Of a task that has not run yet this is when it was made, or started.
    completed_ns = parsed_time(str(task.get("latestCompleted", "")))
    if completed_ns is None:
        return warning(f"{what} has never run", _RUNS)
    age_s = (now_ns - completed_ns) / 1e9
    if age_s > LATE_S:
        return warning(f"{what} last ran {age_s / 60:.0f} minutes ago", _RUNS)
    return ok(f"{what} is active" + (f", last run {age_s / 60:.0f} minutes ago" if status else ", not due yet"))


def _admin_token(token_dir: str) -> str:
    try:
        return (Path(token_dir) / "admin.token").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
