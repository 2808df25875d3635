"""`reasond control`: the operator's hand on an agent of this host, through its control file and a reload."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

import click
import msgspec

from reasond.adapters.state import STOP_SPENDING, StateDir
from reasond.core.agent import Control
from reasond.doctor.examined import host_settings
from reasond.errors import InputError
from reasond.operator.completion import agents_and_all
from reasond.paths import state_base

_INTERVALS = {"fictional": "fictional_interval", "nonfictional": "nonfictional_interval"}
_ACTIONS = ("hold", "resume", "shadow", "act", "interval", "show", "stop-spending", "spend")
_KINDS: Dict[str, Tuple[str, ...]] = {
    "hold": ("publisher", "consumer"),
    "resume": ("publisher", "consumer"),
    "interval": ("publisher",),
}
"""Kinds of agents that an action means something to, where not to all."""


@click.command(short_help="Hold, resume, shadow or steer an agent by hand.")
@click.argument("agent", shell_complete=agents_and_all)
@click.argument("action", type=click.Choice(_ACTIONS), metavar="ACTION")
@click.argument("values", nargs=-1, metavar="[NAME=SECONDS]...")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    help="Where the agents' state directories are (REASOND_STATE_DIR).",
)
def control(agent: str, action: str, values: Tuple[str, ...], state_dir: Optional[Path]) -> None:
    """Give an agent of this host an order that stands until the next one, also across restarts.

    AGENT is publisher-1, consumer-2, monitor-1, ...; ACTION is one of:

    \b
      hold           a publisher publishes nothing, a consumer takes nothing new
      resume         ends hold
      shadow         ask and record, but don't act on the answers
      act            ends shadow
      interval       set a publisher's intervals now: fictional=3 nonfictional=6 (whole
                     seconds); decisions go on from there
      show           print the standing orders
      stop-spending  no agent of this host calls the API any more (AGENT is `all`)
      spend          ends stop-spending (AGENT is `all`)

    A running agent is told at once (SIGHUP), which takes its own user or root; one that isn't running reads
    its orders at its start. The standing orders are printed as JSON.

    \b
    Examples:
      reasond control publisher-1 hold
      reasond control publisher-1 interval fictional=3
      reasond control consumer-2 shadow
      reasond control all stop-spending
    """
    base = state_dir or state_base(host_settings(os.environ).process, os.environ)
    if action in ("stop-spending", "spend"):
        _switch_spending(base, agent, action == "stop-spending", values)
        return
    directory = base / agent
    if not directory.is_dir():
        raise InputError(f"no agent {agent} has its state under {base}; known: {_known(base)}")
    state = StateDir(directory)
    orders = state.control()
    if action != "show":
        orders = _changed(orders, agent, action, values)
        give_orders(directory, orders)
    click.echo(msgspec.json.encode(orders).decode())


def give_orders(directory: Path, orders: Control) -> None:
    """Write the orders of the agent whose state directory this is, and tell it if it runs.

    Raises InputError where the directory can't be written to or the process can't be told.
    """
    state = StateDir(directory)
    with _permitted(directory):
        state.give_control(orders)
    _reload(state, directory.name)


def _known(base: Path) -> str:
    names = sorted(path.name for path in base.glob("*-*") if path.is_dir()) if base.is_dir() else []
    return ", ".join(names) or "none"


@contextlib.contextmanager
def _permitted(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise InputError(
            f"can't write to {directory}: {err.strerror}; run this as root or as the agents' user"
        ) from err


def _switch_spending(base: Path, agent: str, stop: bool, values: Tuple[str, ...]) -> None:
    if agent != "all" or values:
        raise InputError("the spending switch is one for all agents: reasond control all stop-spending|spend")
    if not base.is_dir():
        raise InputError(f"no agent has its state under {base}")
    switch = base / STOP_SPENDING
    with _permitted(base):
        if stop:
            switch.touch()
        elif switch.exists():
            switch.unlink()
    click.echo(
        "no agent of this host calls the API until: reasond control all spend"
        if stop
        else "agents of this host may call the API again, within the budget"
    )


def _changed(orders: Control, agent: str, action: str, values: Tuple[str, ...]) -> Control:
    kind = agent.rpartition("-")[0]
    if kind not in _KINDS.get(action, (kind,)):
        raise InputError("{} means nothing to a {}; it is for a {}".format(action, kind, " or ".join(_KINDS[action])))
    changes: Dict[str, Any] = {}
    if action == "interval":
        changes.update(_intervals(values))
    elif values:
        raise InputError("{} takes no values, got {}".format(action, " ".join(values)))
    elif action in ("hold", "resume"):
        changes["hold"] = action == "hold"
    else:
        changes["shadow"] = action == "shadow"
    return renewed(orders, **changes)


def renewed(orders: Control, **changes: Any) -> Control:
    """Give the orders that follow: with a new serial, and intervals only where they are among the changes."""
    once = {"serial": orders.serial + 1, "fictional_interval": None, "nonfictional_interval": None}
    return msgspec.structs.replace(orders, **{**once, **changes})


def _intervals(values: Tuple[str, ...]) -> Dict[str, int]:
    intervals: Dict[str, int] = {}
    for value in values:
        name, _, seconds = value.partition("=")
        # isdigit() alone also takes digits that int() doesn't, such as a superscript two.
        if name not in _INTERVALS or not (seconds.isascii() and seconds.isdigit()) or int(seconds) < 1:
            raise InputError(f"{value!r} is not fictional=SECONDS or nonfictional=SECONDS (whole, at least 1)")
        intervals[_INTERVALS[name]] = int(seconds)
    if not intervals:
        raise InputError("interval takes fictional=SECONDS, nonfictional=SECONDS, or both")
    return intervals


def _reload(state: StateDir, agent: str) -> None:
    pid = state.holder_pid()
    if pid is None:
        click.echo(f"{agent} isn't running; the order takes effect when it starts", err=True)
        return
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        click.echo(f"{agent} has just ended; the order takes effect when it starts", err=True)
    except PermissionError as err:
        raise InputError(
            f"the order is written, but {agent} (pid {pid}) can't be told: run this as root or as the agents' "
            f"user, or systemctl reload {_unit(agent)}"
        ) from err


def _unit(agent: str) -> str:
    kind, _, number = agent.rpartition("-")
    return f"{kind}@{number}.service"
