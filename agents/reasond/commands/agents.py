"""`reasond publisher|consumer|monitor`: run one agent until SIGTERM; settings come from the environment."""

import gc
import os
import sys

import click

from reasond import settings as settings_module
from reasond.decisions import AgentType
from reasond.logs import open_log


def _run(agent_type: AgentType) -> None:
    # The runtime brings pika, influxdb-client and more with it: a wrong setting is told before they load.
    settings = settings_module.load(os.environ, agent_type)
    from reasond.runtime import AgentProcess

    log = open_log(settings.process.log_format, settings.process.log_level, os.environ)
    status = AgentProcess(agent_type, settings, os.environ, log).run()
    # At its end Python searches all it has loaded for cycles, for half a second of processor time; seven agents
    # that end together would wait seconds for that on a small host.
    gc.freeze()
    sys.exit(status)


@click.command()
def publisher() -> None:
    """Run the publisher that PUBLISHER_ID names.

    \b
    Examples:
      PUBLISHER_ID=publisher-1 REASOND_BRAIN=dry-run reasond publisher
      systemctl start publisher@1
    """
    _run("publisher")


@click.command()
def consumer() -> None:
    """Run the consumer that CONSUMER_ID names.

    \b
    Examples:
      CONSUMER_ID=consumer-1 REASOND_BRAIN=rules reasond consumer
      systemctl start consumer@1
    """
    _run("consumer")


@click.command()
def monitor() -> None:
    """Run the monitor that AGENT_ID names (monitor-1 by default).

    \b
    Examples:
      REASOND_BRAIN=dry-run reasond monitor
      systemctl start monitor@1
    """
    _run("monitor")
