"""`reasond budget`: what was spent this hour and today, what may be, and what stops when."""

import os
import time
from typing import Optional

import click
import msgspec

from reasond.adapters.influxdb import InfluxReader
from reasond.doctor.examined import examine
from reasond.errors import StoreError
from reasond.operator import money, screen
from reasond.operator.host import look
from reasond.operator.records import InfluxRecords


@click.command(short_help="Show what was spent, what may be, and what stops when.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def budget(as_json: bool) -> None:
    """Show the spend of this hour and today (UTC), by agent, against the limits, and where the present pace leads.

    Agents of this host are read from their budget files, the others from InfluxDB. In a file a call under way counts
    with its worst case, which was reserved for it. With InfluxDB away only this host's agents are shown; the exit
    status is then 75.

    \b
    Examples:
      sudo reasond budget
      sudo reasond budget --json | jq '.day | {spent_usd, limit_usd, projected_usd}'
    """
    examined = examine(os.environ)
    at_ns = time.time_ns()
    told: Optional[money.Told] = None
    problem: Optional[StoreError] = None
    try:
        told = money.ask(InfluxRecords(InfluxReader(examined.settings.influx)), at_ns)
    except StoreError as err:
        problem = err
    found = money.account(told, look(examined, at_ns), examined.settings.budget, at_ns)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        screen.console().print(screen.budget(found))
    if problem is not None:
        raise problem
