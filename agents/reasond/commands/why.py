"""`reasond why`: an agent's present behaviour explained from its decisions."""

import os
import textwrap
import time

import click
import msgspec

from reasond.adapters.influxdb import InfluxReader
from reasond.doctor.examined import examine
from reasond.operator import screen
from reasond.operator.completion import agents
from reasond.operator.host import look
from reasond.operator.records import InfluxRecords
from reasond.operator.why import explain

MAX_WIDTH = 100
"""Columns: longer lines of prose are hard to read."""


@click.command(short_help="Explain an agent's present rate or behaviour from its decisions.")
@click.argument("agent", shell_complete=agents)
@click.option("--json", "as_json", is_flag=True, help="The sentences, and the decisions they rest on.")
def why(agent: str, as_json: bool) -> None:
    """Say in plain sentences why AGENT does what it does now.

    Of a publisher: who set each interval, when, at which depths, what the core changed and how it turned out. Of a
    consumer: what stands for each queue. Of the monitor: its status and what it found. The operator's orders come
    first. It is read from InfluxDB, 24 hours back, and from the orders on this host.

    \b
    Examples:
      sudo reasond why publisher-1
      sudo reasond why monitor-1 --json | jq -r '.decisions[].id'
    """
    examined = examine(os.environ)
    at_ns = time.time_ns()
    records = InfluxRecords(InfluxReader(examined.settings.influx))
    found = explain(records, agent, examined.settings, look(examined, at_ns), at_ns)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    width = min(MAX_WIDTH, screen.console().width)
    for sentence in found.sentences:
        click.echo(_wrapped(sentence, width))


def _wrapped(sentence: str, width: int) -> str:
    """Give a sentence in lines, with its ids whole, as they are to be copied."""
    return textwrap.fill(sentence, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
