"""`reasond experiment`: does the model earn its keep here? Randomised blocks of time, and what they show."""

import os
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

import click
import msgspec
from rich.console import Console
from rich.table import Table

from reasond import plugins
from reasond.adapters.state import StateDir
from reasond.commands.control import give_orders, renewed
from reasond.commands.report import read_store
from reasond.core.experiment import LEAST_PAIRS, Effect
from reasond.doctor.examined import host_settings
from reasond.errors import InputError
from reasond.operator.host import Standing, standing
from reasond.paths import state_base
from reasond.report.span import NOW, span, told
from reasond.report.trial import Trial, trial
from reasond.switchback import BRAINS, Switchback, parse

TITLES: Dict[str, str] = {
    "depth": "waiting",
    "expired": "expired/min",
    "usd": "$/min",
}


_STATE_DIR = click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    help="Where the agents' state directories are (REASOND_STATE_DIR).",
)


@click.group(short_help="Find out by randomised blocks whether the model helps.")
def experiment() -> None:
    """Let the model and a control decide in turn, in blocks drawn by chance, and compare them.

    Publishers share the queues, so they can only be compared with themselves at another time. A PLAN such as
    claude,static:60m cuts time into blocks of 60 minutes; of each two, chance gives one to the model and one to the
    control: rules, or static, where nothing is changed and the rules decide in shadow. Every block begins with the
    default rate, and its first third doesn't count. Blocks follow the clock: start the same plan on every host that
    has publishers, or set REASOND_SWITCHBACK there.

    \b
    Examples:
      reasond experiment start claude,static:60m
      reasond experiment status
      reasond experiment result claude,static:60m --since 7d
    """


@experiment.command()
@click.argument("plan")
@_STATE_DIR
def start(plan: str, state_dir: Optional[Path]) -> None:
    """Begin PLAN with all publishers of this host: their rate goes back to the default now.

    \b
    Examples:
      reasond experiment start claude,static:60m
      reasond experiment start claude,rules:60m:7      # 7: another order of the blocks
    """
    treatment = _read(plan).treatment
    known = (*BRAINS, *plugins.names(plugins.BRAINS))
    if treatment not in known:
        raise InputError(f"the plan {plan!r} names no brain: there are {', '.join(known)}")
    brain = host_settings(os.environ).brain.brain
    if treatment != brain:
        click.echo(f"mind: REASOND_BRAIN is {brain} here, so that {treatment} decides in no block", err=True)
    _order(state_dir, plan)
    click.echo(f"the experiment {plan} runs; look at it with: reasond experiment status")


@experiment.command()
@_STATE_DIR
def stop(state_dir: Optional[Path]) -> None:
    """End the experiment with all publishers of this host, one that REASOND_SWITCHBACK began too.

    \b
    Examples:
      reasond experiment stop
    """
    _order(state_dir, "")
    click.echo("no publisher of this host is in an experiment; what it showed: reasond experiment result PLAN")


@experiment.command()
@_STATE_DIR
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def status(state_dir: Optional[Path], as_json: bool) -> None:
    """Tell each publisher's plan on this host, and which block it is in.

    \b
    Examples:
      reasond experiment status
      reasond experiment status --json | jq '.[].block.arm'
    """
    setting = host_settings(os.environ).publisher.switchback
    found = [_standing(directory, setting) for directory in _publishers(state_dir)]
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    for one in found:
        click.echo(f"{one.agent_id}  {_told_block(one)}")


@experiment.command()
@click.argument("plan")
@click.option("--since", default="7d", show_default=True, help="30m, 24h, 7d ago, or a time of RFC 3339.")
@click.option("--until", default=NOW, show_default=True, help="Likewise.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def result(plan: str, since: str, until: str, as_json: bool) -> None:
    """Compare PLAN's blocks in a range, from InfluxDB (INFLUXDB_*), and say whether they differ.

    The unit is the block, in pairs; p is that of a sign-flip test. Blocks in which the publishers' decisions don't
    carry the plan's arm are left out. What carries over from one block to the next pulls a difference towards 0.

    \b
    Examples:
      reasond experiment result claude,static:60m --since 7d
    """
    asked, read = span(since, until, time.time_ns()), _read(plan)
    found = read_store(lambda reader, progress: trial(reader, read, asked, progress))
    if as_json:
        click.echo(msgspec.json.encode(_plain(found)).decode())
        return
    _print(found, plan)


def _standing(directory: Path, setting: str) -> Standing:
    orders = StateDir(directory).control()
    _read_if_any(setting if orders.switchback is None else orders.switchback)
    return standing(directory.name, orders, setting)


def _read_if_any(text: str) -> None:
    if text:
        _read(text)


def _told_block(one: Standing) -> str:
    block = one.block
    if block is None:
        return "no experiment"
    until = f"counts from {told(block.counts_ns)}, until {told(block.end_ns)} (UTC)"
    return f"{one.plan}  block {block.number}: {block.arm} decides, {until}"


def _read(text: str) -> Switchback:
    try:
        plan = parse(text)
    except ValueError as err:
        raise InputError(f"the plan {text!r} {err}") from err
    if plan is None:
        raise InputError("the plan is empty; it must look like claude,static:60m")
    return plan


def _publishers(state_dir: Optional[Path]) -> List[Path]:
    base = state_dir or state_base(host_settings(os.environ).process, os.environ)
    found = sorted(path for path in base.glob("publisher-*") if path.is_dir()) if base.is_dir() else []
    if not found:
        raise InputError(f"no publisher has its state under {base}")
    return found


def _order(state_dir: Optional[Path], plan: str) -> None:
    for directory in _publishers(state_dir):
        give_orders(directory, renewed(StateDir(directory).control(), switchback=plan))


def _print(found: Trial, plan: str) -> None:
    console = Console()
    table = Table(
        "", found.plan.treatment, found.plan.control, "difference", "95 % interval", "p", "", box=None, pad_edge=False
    )
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[1:6]:
        column.justify = "right"
    for one in found.effects:
        table.add_row(TITLES[one.measure], *map(_number, (one.treated, one.control, one.difference)), *_certainty(one))
    pairs = found.effects[0].pairs
    console.print(table)
    for line in _words(found, pairs, plan):
        console.print(line, highlight=False, soft_wrap=True)


def _words(found: Trial, pairs: int, plan: str) -> List[str]:
    hours = 2 * found.plan.block_s / 3600
    lines = [f"{pairs} pairs of blocks count, {found.exposed} blocks were under the plan {plan}."]
    if pairs < LEAST_PAIRS:
        lines.append(
            f"Too little data: {LEAST_PAIRS} pairs are needed, {LEAST_PAIRS - pairs} more take "
            f"{(LEAST_PAIRS - pairs) * hours:g} hours."
        )
    else:
        lines.append(
            "waiting: messages in the main queues, mean. A difference is a lower bound: blocks leave something behind."
        )
    if found.unexposed:
        lines.append(
            f"{found.unexposed} blocks of the range were not under this plan, or only in part; they are left out."
        )
    total = sum(found.decided.values())
    if total:
        own = found.decided.get(found.plan.treatment, 0)
        lines.append(f"In the treatment's blocks {found.plan.treatment} took {own} of {total} decisions.")
    return lines


def _number(value: Optional[float]) -> str:
    return "-" if value is None else f"{value:.4g}"


def _certainty(one: Effect) -> List[str]:
    if one.low is None or one.high is None or one.p is None:
        return ["-", "-", one.verdict]
    return [f"{one.low:.4g} to {one.high:.4g}", f"{one.p:.3f}", one.verdict]


def _plain(found: Trial) -> Dict[str, Any]:
    plain: Dict[str, Any] = msgspec.to_builtins(found)
    for one, effect in zip(plain["effects"], found.effects):
        one["verdict"] = effect.verdict
    return plain
