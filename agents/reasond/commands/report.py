"""`reasond report`: a time range of the running system as one page, from InfluxDB."""

import os
import time
from pathlib import Path
from typing import Callable, TypeVar

import click
from rich.console import Console
from rich.progress import Progress

from reasond import __version__
from reasond.adapters.influxdb import InfluxReader
from reasond.doctor.examined import host_settings
from reasond.report import live
from reasond.report.draw import page_html, require_plotly
from reasond.report.files import write
from reasond.report.span import NOW, span

DEFAULT_FILE = "reasond-report.html"

T = TypeVar("T")


@click.command()
@click.option("--since", default="1h", show_default=True, help="30m, 24h, 7d ago, or a time of RFC 3339.")
@click.option("--until", default=NOW, show_default=True, help="Likewise.")
@click.option("--output", default=DEFAULT_FILE, show_default=True, metavar="FILE", help="The page to write.")
def report(since: str, until: str, output: str) -> None:
    """Write a page that shows what the agents did in a time range, and what came of it.

    Depths, rates and dead letters on one time axis with the decisions marked on them, their reasons, outcomes and
    costs, and what can be told about whether they helped: one HTML file that needs no network and can be printed.
    It is read from InfluxDB, by INFLUXDB_URL, INFLUXDB_TOKEN, INFLUXDB_ORG and INFLUXDB_BUCKET from the environment,
    over the units' files in /etc/reasond as far as this user may read them. A day takes some seconds. For a
    simulation: reasond simulate --report FILE.

    \b
    Examples:
      sudo reasond report
      reasond report --since 24h --output yesterday.html
      reasond report --since 2026-11-05T14:00:00Z --until 2026-11-05T16:00:00Z
    """
    require_plotly()
    now_ns = time.time_ns()
    asked = span(since, until, now_ns)
    page = read_store(lambda reader, progress: live.page(reader, asked, __version__, progress))
    path = Path(output)
    write(path, page_html(page, now_ns))
    click.echo(f"the report: {path.absolute()}")


def read_store(work: Callable[[InfluxReader, Callable[[float], None]], T]) -> T:
    """Do work that reads the InfluxDB of INFLUXDB_*, and show how far it is; give what it gives."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("reading InfluxDB", total=1.0)
        reader = InfluxReader(host_settings(os.environ).influx)
        return work(reader, lambda part: bar.update(task, completed=part))
