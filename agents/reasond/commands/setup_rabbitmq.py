"""`reasond setup-rabbitmq`: create exchange, queues, bindings and policy, or tell what conflicts."""

import json
import os
import random
import sys
from typing import Dict, List

import click

from reasond import settings as settings_module
from reasond.adapters import broker_setup
from reasond.adapters.management import Management
from reasond.errors import TopologyConflict

MISSING_EXIT = 1
"""Of `--check` when something is missing and nothing conflicts."""


@click.command("setup-rabbitmq")
@click.option("--check", is_flag=True, help="Only look and report; change nothing.")
@click.option("--timeout", "timeout_s", default=60.0, show_default=True, help="Seconds to wait for the broker.")
@click.option("--json", "as_json", is_flag=True, help="Report as one JSON object.")
def setup_rabbitmq(check: bool, timeout_s: float, as_json: bool) -> None:
    """Create the exchanges, queues, bindings and the dead-letter policy; safe to run again.

    Talks to the management API (RABBITMQ_MANAGEMENT_URL, _USER, _PASS; else RABBITMQ_HOST, _USER, _PASS); the
    user needs the tag policymaker and all rights on the virtual host. On a conflict it changes nothing and
    exits 3.

    \b
    Examples:
      RABBITMQ_HOST=broker RABBITMQ_USER=admin RABBITMQ_PASS=... reasond setup-rabbitmq
      reasond setup-rabbitmq --check --json
    """
    rabbit = settings_module.load(os.environ).rabbit
    management = Management(rabbit)
    broker_setup.wait_for_broker(
        management, timeout_s, random.Random(), lambda reason: click.echo("waiting: " + reason, err=True)
    )
    found = broker_setup.inspect(management, rabbit.queue_type)
    report: Dict[str, List[str]] = dict(broker_setup.describe(found), created=[])
    if not check and not found.conflicts:
        report["created"], report["missing"] = list(broker_setup.apply(found).created), []
    click.echo(json.dumps(report) if as_json else "\n".join(_lines(report)))
    if found.conflicts:
        raise TopologyConflict(found.conflicts)
    sys.exit(MISSING_EXIT if report["missing"] else 0)


def _lines(report: Dict[str, List[str]]) -> List[str]:
    words = (("created", "created"), ("stood", "stood already"), ("missing", "missing"), ("notes", "note"))
    return ["{:14} {}".format(word + ":", name) for key, word in words for name in report[key]]
