"""`reasond setup-influxdb`: makes InfluxDB ready for the agents."""

import dataclasses
import os
from typing import Optional

import click
import msgspec

from reasond import settings as declared
from reasond.adapters.influx_setup import Options, Report, set_up

EXIT_INCOMPLETE = 1
"""Of `--check`: something is missing or differs."""


@click.command("setup-influxdb")
@click.option("--timeout", "timeout_s", default=60.0, show_default=True, help="Seconds to wait for health.")
@click.option("--token-dir", default=None, help="Where the token files go; default: INFLUXDB_TOKEN_DIR.")
@click.option("--rotate", is_flag=True, help="Make new tokens and delete the old ones.")
@click.option("--force", is_flag=True, help="Change the retention of a bucket that has another.")
@click.option("--check", is_flag=True, help="Change nothing; exit 1 when something is missing or differs.")
@click.option("--backfill", is_flag=True, help="Make the 5-minute series of the past anew.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def setup_influxdb(
    *,
    timeout_s: float,
    token_dir: Optional[str],
    rotate: bool,
    force: bool,
    check: bool,
    backfill: bool,
    as_json: bool,
) -> None:
    """Create user, organization, bucket, separate tokens for agents and Grafana, and the downsampling.

    What stands already is kept, so that it can be run again at any time. Tokens go to files that only their
    owner can read (agents.env, agents.token, grafana.token, admin.token) and are never printed. After
    --rotate, carry the files to the hosts that need them and restart the agents and Grafana.

    The task "reasond downsample" keeps 5-minute series for the boards; those of the past are filled in when it is
    made or its definition changes. --backfill does so by hand, after points came more than an hour late.

    \b
    Examples:
      INFLUXDB_ADMIN_PASSWORD=... reasond setup-influxdb
      reasond setup-influxdb --check --json
      reasond setup-influxdb --rotate
    """
    settings = declared.load(os.environ)
    setup = settings.influx_setup
    if token_dir:
        setup = dataclasses.replace(setup, token_dir=token_dir)
    report = set_up(
        settings.influx,
        setup,
        Options(timeout_s=timeout_s, rotate=rotate, force=force, check=check, backfill=backfill),
        lambda text: click.echo(text, err=True),
    )
    click.echo(_json(report) if as_json else _text(report))
    if check and not report.complete:
        raise click.exceptions.Exit(EXIT_INCOMPLETE)


def _json(report: Report) -> str:
    return msgspec.json.encode({"complete": report.complete, "changed": report.changed, "steps": report.steps}).decode()


def _text(report: Report) -> str:
    return "\n".join(
        f"{step.state:<8} {step.what}" + (f" ({step.detail})" if step.detail else "") for step in report.steps
    )
