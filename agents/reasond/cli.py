"""The `reasond` command: puts the commands together and turns errors into one line and an exit status."""

import importlib
import os
import sys
from typing import Dict, List, Optional, Tuple

import click
from click.shell_completion import CompletionItem

from reasond import __version__
from reasond.errors import ReasondError

COMMANDS: Dict[str, Tuple[str, str]] = {
    "publisher": ("reasond.commands.agents:publisher", "Run a publisher agent (systemd does)."),
    "consumer": ("reasond.commands.agents:consumer", "Run a consumer agent (systemd does)."),
    "monitor": ("reasond.commands.agents:monitor", "Run the monitor agent (systemd does)."),
    "setup-rabbitmq": ("reasond.commands.setup_rabbitmq:setup_rabbitmq", "Create exchange, queues, bindings, policy."),
    "setup-influxdb": ("reasond.commands.setup_influxdb:setup_influxdb", "Create org, bucket, user and tokens."),
    "status": ("reasond.commands.status:status", "Show the whole system on one screen."),
    "decisions": ("reasond.commands.decisions:decisions", "List decisions, or show one with its prompt and answer."),
    "why": ("reasond.commands.why:why", "Explain an agent's present rate or behaviour from its decisions."),
    "budget": ("reasond.commands.budget:budget", "Show what was spent, what may be, and what stops when."),
    "control": ("reasond.commands.control:control", "Hold, resume, shadow or steer an agent by hand."),
    "load": ("reasond.commands.load:load", "Drive real traffic through the broker."),
    "quarantine": ("reasond.commands.quarantine:quarantine", "Look at, requeue or drop messages set aside."),
    "doctor": ("reasond.commands.doctor:doctor", "Check every dependency and say how to mend it."),
    "experiment": ("reasond.commands.experiment:experiment", "Find out by randomised blocks whether the model helps."),
    "simulate": ("reasond.commands.simulate:simulate", "Run the agents in virtual time, and compare who decides."),
    "report": ("reasond.commands.report:report", "Write what the agents did, and what came of it, as one page."),
    "watchdog-ping": (
        "reasond.commands.watchdog_ping:watchdog_ping",
        "Ping an address off the host, as a dead man's switch.",
    ),
    "completion": ("reasond.commands.completion:completion", "Print the completion script for a shell."),
    "demo": ("reasond.commands.demo:demo", "Watch ten minutes of the system in one process, without services."),
}
"""Name -> (module:attribute, one-line help): a command's module, and what it imports, is loaded when it runs."""


class _LazyGroup(click.Group):
    """A group that imports a command only when it is used: the seven agents share a small machine's memory."""

    def list_commands(self, ctx: click.Context) -> List[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> List[CompletionItem]:
        """Complete a command's name without loading any: a shell waits for it."""
        names = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return names or click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


EXAMPLES = """\b
Examples:
  sudo reasond status             how is everything?
  sudo reasond why publisher-1    why is its rate what it is?
  sudo reasond doctor             what is wrong, and how to mend it?
  reasond COMMAND --help          what a command does, with examples
"""


@click.group(
    cls=_LazyGroup, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="reasond")
@click.pass_context
def reasond(ctx: click.Context) -> None:
    """Daemons that reason at run time and steer a RabbitMQ message flow."""
    # rich heeds it by itself, click doesn't (https://no-color.org).
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def main() -> None:
    """Run the command line; every error of ours becomes its text on standard error and its exit status."""
    try:
        # click gives a command's exit status back instead of leaving with it.
        status = reasond.main(prog_name="reasond", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as err:
        err.show()
        sys.exit(err.exit_code)
    except ReasondError as err:
        for line in [*str(err).splitlines(), *([err.hint] if err.hint else [])]:
            click.echo("reasond: " + line, err=True)
        sys.exit(err.exit_code)
