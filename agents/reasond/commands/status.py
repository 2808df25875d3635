"""`reasond status`: the whole system on one screen, once or live."""

import os
import sys
import time
from typing import Optional

import click
import msgspec
from rich.live import Live

from reasond import exits
from reasond.adapters.influxdb import InfluxReader
from reasond.doctor.examined import examine
from reasond.operator import screen
from reasond.operator.host import look
from reasond.operator.records import InfluxRecords
from reasond.operator.system import System, system

WATCH_S = 5.0
"""Seconds between two looks: the monitor samples the queues as often."""


@click.command(short_help="Show the whole system on one screen.")
@click.option(
    "--watch",
    "watch_s",
    type=click.FloatRange(min=1, max=3600),
    is_flag=False,
    flag_value=WATCH_S,
    metavar="[SECONDS]",
    help=f"Look again every so many seconds ({WATCH_S:g}) until Ctrl-C.",
)
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object; with --watch one a line.")
def status(watch_s: Optional[float], as_json: bool) -> None:
    """Show agents, queues, last decisions, spend, alerts and health on one screen.

    It is read from InfluxDB, and from what this host knows of its agents: processes, orders, budget files, units.
    With InfluxDB away the latter is shown, and what is missing is said. Settings come from the environment, over the
    units' files in /etc/reasond as far as this user may read them: run it as root there.

    Exits with 0 when all is well, with 1 when something needs care (the lines that begin with an exclamation mark
    name it), with 75 when InfluxDB can't be reached, with 77 when it refuses.

    \b
    Examples:
      sudo reasond status
      sudo reasond status --watch
      sudo reasond status --json | jq -r '.care[]'
      sudo reasond status >/dev/null || echo "look at it"
    """
    if watch_s is None:
        found = now()
        _print(found, as_json)
        sys.exit(exit_status(found))
    if as_json:
        _follow(watch_s)
    _live(watch_s)


def now() -> System:
    """Look at the system as of now."""
    examined = examine(os.environ)
    at_ns = time.time_ns()
    records = InfluxRecords(InfluxReader(examined.settings.influx))
    return system(records, examined, look(examined, at_ns), at_ns)


def exit_status(found: System) -> int:
    """Give the exit status that says how the system is."""
    if found.store_error:
        return found.store_exit_status
    return exits.WELL if found.healthy else exits.WRONG


def _print(found: System, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        screen.console().print(screen.status(found))


def _follow(watch_s: float) -> None:
    while True:
        _print(now(), True)
        sys.stdout.flush()
        time.sleep(watch_s)


def _live(watch_s: float) -> None:
    console = screen.console()
    if not console.is_terminal:
        while True:
            console.print(screen.status(now()))
            time.sleep(watch_s)
    with Live(screen.status(now()), console=console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(watch_s)
            live.update(screen.status(now()), refresh=True)
