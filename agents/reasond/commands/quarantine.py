"""`reasond quarantine`: the messages that expired, were rejected or were flagged."""

import json
import os
import sys
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Tuple

import click

from reasond import quarantine as dead_letters
from reasond import topology
from reasond.doctor.examined import host_settings
from reasond.errors import InputError
from reasond.settings import RabbitSettings

SHORT = {"expired": topology.EXPIRED, "rejected": topology.REJECTED, "flagged": topology.FLAGGED}
FAILED_EXIT = 1
SHOWN = 20
"""Messages of a queue that are listed for people: a screen's worth."""

_queue = click.option("--queue", type=click.Choice(sorted(SHORT)), help="Only this queue.")
_limit = click.option(
    "--limit",
    default=1000,
    show_default=True,
    type=click.IntRange(min=1),
    help="Messages looked at in each queue.",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


@click.group()
def quarantine() -> None:
    """Look at, put back or drop the messages set aside in books.expired, books.rejected and books.flagged.

    \b
    Examples:
      reasond quarantine list
      reasond quarantine show ID
      reasond quarantine requeue --cause handler_failed --queue rejected
    """


@quarantine.command("list")
@_queue
@_limit
@_json
def list_(queue: Optional[str], limit: int, as_json: bool) -> None:
    """Count the messages by cause and list the first of each queue, leaving them as they are.

    \b
    Examples:
      reasond quarantine list --queue flagged
      reasond quarantine list --json | jq 'map_values(.causes)'
    """
    views = dead_letters.look(_rabbit(), _queues(queue), limit)
    if as_json:
        click.echo(json.dumps({view.queue: _view(view) for view in views}))
        return
    for view in views:
        causes = ", ".join(f"{count} {cause}" for cause, count in view.causes().items())
        click.echo("{}: {} messages{}".format(view.queue, view.ready, f" ({causes})" if causes else ""))
        shown = view.messages[:SHOWN]
        for message in shown:
            click.echo("  {}  {}  {}  {}".format(message.key, message.at or "-", message.cause, _line(message.reason)))
        if view.ready > len(shown):
            click.echo(f"  ... and {view.ready - len(shown)} more (--json lists --limit of them)")


@quarantine.command()
@click.argument("key", metavar="ID")
@_queue
@_limit
@_json
def show(key: str, queue: Optional[str], limit: int, as_json: bool) -> None:
    """Show one message: where it came from, why it is here, its headers and its body.

    \b
    Examples:
      reasond quarantine show 4b0a2b4e-7a54-4a0e-9d7e-0a2f3c1d5e6f
      reasond quarantine show ID --queue flagged --json | jq -r '.[].body'
    """
    views = dead_letters.look(_rabbit(), _queues(queue), limit)
    found = [_shown(message) for view in views for message in view.messages if message.key == key]
    if not found:
        raise InputError(f"no message {key} among the first {limit} of each queue")
    if as_json:
        click.echo(json.dumps(found))
        return
    for message in found:
        for name, value in message.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            click.echo("{:14} {}".format(name + ":", "-" if value is None else _line(text)))


@quarantine.command()
@click.argument("keys", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every message.")
@click.option("--cause", help="Every message with this cause (see list).")
@_queue
@_limit
@_json
def requeue(**given: Any) -> None:
    """Put messages back into the queue they came from, with their time to live afresh.

    \b
    Examples:
      reasond quarantine requeue --cause handler_failed --queue rejected
      reasond quarantine requeue ID ID
    """
    as_json = given.pop("as_json")
    choice = _choice(given.pop("keys"), **given)
    outcome = dead_letters.requeue(_rabbit(), choice, datetime.now(timezone.utc))
    _report("requeued", outcome, as_json)


@quarantine.command()
@click.argument("keys", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every message.")
@click.option("--cause", help="Every message with this cause (see list).")
@click.option("--yes", is_flag=True, help="Don't ask.")
@_queue
@_limit
@_json
def drop(**given: Any) -> None:
    """Delete messages for good.

    \b
    Examples:
      reasond quarantine drop --cause expired --queue expired --yes
      reasond quarantine drop ID
    """
    yes, as_json = given.pop("yes"), given.pop("as_json")
    choice = _choice(given.pop("keys"), **given)
    if not yes:
        what = ", ".join(choice.keys) or (f"cause {choice.cause}" if choice.cause else "all messages")
        click.confirm("Delete {} in {} for good?".format(what, ", ".join(choice.queues)), abort=True, err=True)
    _report("dropped", dead_letters.drop(_rabbit(), choice), as_json)


def _rabbit() -> RabbitSettings:
    return host_settings(os.environ).rabbit


def _queues(queue: Optional[str]) -> Tuple[str, ...]:
    return topology.DEAD_QUEUES if queue is None else (SHORT[queue],)


def _choice(
    keys: Tuple[str, ...], *, everything: bool, cause: Optional[str], queue: Optional[str], limit: int
) -> dead_letters.Choice:
    if sum((bool(keys), everything, cause is not None)) != 1:
        raise InputError("name messages by id, or give either --cause or --all")
    return dead_letters.Choice(_queues(queue), keys, cause, everything, limit)


def _report(verb: str, outcome: dead_letters.Outcome, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({verb: list(outcome.done), "failed": outcome.failed}))
    else:
        click.echo(f"{verb} {len(outcome.done)}")
        for key, reason in outcome.failed.items():
            click.echo(f"{key} stays: {reason}", err=True)
    if outcome.failed:
        sys.exit(FAILED_EXIT)


def _view(view: dead_letters.QueueView) -> Dict[str, Any]:
    fields = ("key", "at", "cause", "reason", "path", "by", "origin")
    messages: List[Dict[str, Any]] = [{name: getattr(one, name) for name in fields} for one in view.messages]
    return {
        "ready": view.ready,
        "looked_at": len(view.messages),
        "causes": view.causes(),
        "messages": messages,
    }


def _shown(message: dead_letters.SetAside) -> Dict[str, Any]:
    fields = (
        "key",
        "queue",
        "origin",
        "at",
        "cause",
        "reason",
        "path",
        "by",
        "expiration_ms",
        "content_type",
    )
    shown: Dict[str, Any] = {name: getattr(message, name) for name in fields}
    shown["headers"] = json.loads(json.dumps(message.headers, default=str))
    shown["body"] = message.body.decode("utf-8", "backslashreplace")
    return shown


def _line(text: str) -> str:
    """Keep a stranger's text on one line and off the terminal's controls."""
    return "".join(char if char.isprintable() else " " for char in text)
