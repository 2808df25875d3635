"""`reasond demo`: ten minutes of the system in one process, drawn in the terminal; no service, no key, no money."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

import click
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from reasond.brains.base import Brain
from reasond.brains.factory import make_brain
from reasond.errors import InputError
from reasond.simulation.demo import Demonstration, Moment
from reasond.simulation.world import AgentPlan
from reasond.topology import DEAD_QUEUES, MAIN_QUEUES

FRAME_S = 0.25
"""Real seconds between two frames: smooth enough to follow, cheap on a slow terminal."""
PLAIN_EVERY_S = 30.0
"""System seconds between two lines where there is no terminal."""
LAST_EVENTS = 8
BAR_WIDTH = 40


@click.command()
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    default=8.0,
    show_default=True,
    help="Times real time; 0: as fast as it goes.",
)
@click.option("--minutes", type=click.FloatRange(min=1, max=1440), default=10.0, show_default=True, help="System time.")
@click.option(
    "--brain",
    type=click.Choice(["dry-run", "rules", "static", "claude"]),
    default="dry-run",
    show_default=True,
    help="Who decides; claude asks the real API and spends money.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="One seed gives one run.")
def demo(speed: float, minutes: float, brain: str, seed: int) -> None:
    """Watch seven agents steer a flow whose handlers grow slow in the middle.

    Three publishers, three consumers and a monitor run on an embedded broker and an embedded store, in virtual
    time: the same code as the services run, without RabbitMQ, InfluxDB or an API key.

    \b
    Examples:
      reasond demo
      reasond demo --speed 30
      reasond demo --brain rules --seed 7
      ANTHROPIC_API_KEY=... reasond demo --brain claude
    """
    with tempfile.TemporaryDirectory(prefix="reasond-demo-") as scratch:
        run = Demonstration(minutes, seed, lambda plan: _brain(plan, brain, Path(scratch)), _environment(brain))
        console = Console()
        if console.is_terminal:
            _draw(run, speed, console)
        else:
            _print(run, speed, console)
        run.world.stop()
        _summarize(run, console)


def _brain(plan: AgentPlan, name: str, scratch: Path) -> Brain:
    """Make the brain as the runtime would; dry-run unless Claude was asked for in so many words."""
    state = scratch / plan.agent_id
    state.mkdir(exist_ok=True)
    return make_brain(plan.settings, plan.agent_type, state_dir=state, system_spend=lambda at_ns: (0.0, 0.0))


def _environment(brain: str) -> Dict[str, str]:
    """Choose the brain; of the process's own environment only what Claude needs is taken."""
    chosen = {"REASOND_BRAIN": brain}
    if brain == "claude":
        if not os.environ.get("ANTHROPIC_API_KEY"):
            raise InputError("--brain claude needs ANTHROPIC_API_KEY; without a key: reasond demo")
        own = ("ANTHROPIC_", "CLAUDE_", "BUDGET_")
        chosen.update({name: value for name, value in os.environ.items() if name.startswith(own)})
    return chosen


def _steps(run: Demonstration, speed: float, step_s: float) -> Any:
    """Advance by `step_s` of system time at the chosen pace, yielding each moment."""
    begin, at_s = time.monotonic(), 0.0
    while at_s < run.length_s:
        at_s = min(run.length_s, at_s + step_s)
        yield run.advance(at_s)
        if speed > 0:
            time.sleep(max(0.0, begin + at_s / speed - time.monotonic()))


def _print(run: Demonstration, speed: float, console: Console) -> None:
    console.print(
        "{:>6}  {:<5} {:>27}  {:>5} {:>5}  {}".format(
            "time", "load", "depth prio/fict/non-fict", "out", "in", "intervals (fictional/non-fictional, s)"
        )
    )
    for moment in _steps(run, speed, PLAIN_EVERY_S):
        depths = "/".join(_number(moment.depths[queue]) for queue in MAIN_QUEUES)
        intervals = "  ".join("{}={}/{}".format(agent[-1], *pair) for agent, pair in sorted(moment.intervals.items()))
        console.print(
            "{:>6}  {:<5} {:>27}  {:>5} {:>5}  {}".format(
                _clock(moment.at_s),
                "SLOW" if moment.slow else "calm",
                depths,
                moment.published,
                moment.consumed,
                intervals,
            ),
            highlight=False,
            soft_wrap=True,
        )


def _draw(run: Demonstration, speed: float, console: Console) -> None:
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        for moment in _steps(run, speed, FRAME_S * (speed or 60.0)):
            live.update(_frame(run, moment))


def _frame(run: Demonstration, moment: Moment) -> Group:
    head = Text("{} of {}   ".format(_clock(moment.at_s), _clock(run.length_s)))
    head.append("handlers slow" if moment.slow else "calm", style="bold red" if moment.slow else "green")
    head.append(
        "   published {}  consumed {}  would cost ${:.4f}".format(
            moment.published, moment.consumed, moment.would_cost_usd or moment.cost_usd
        )
    )
    return Group(
        Panel(head, title="reasond demo"), _queues(moment), _agents(moment), Panel(_events(run), title="latest")
    )


def _queues(moment: Moment) -> Table:
    table = Table("queue", "depth", "", expand=True)
    for queue in MAIN_QUEUES + DEAD_QUEUES:
        depth = moment.depths[queue]
        colour = "red" if (depth or 0) > 30 else "yellow" if (depth or 0) > 10 else "green"
        table.add_row(queue, _number(depth), Text("#" * min(BAR_WIDTH, depth or 0), style=colour))
    return table


def _agents(moment: Moment) -> Table:
    table = Table("agent", "state", expand=True)
    for agent_id, line in moment.lines.items():
        table.add_row(agent_id, line)
    return table


def _events(run: Demonstration) -> Text:
    text = Text()
    told = [event for event in run.events[-200:] if event[2].level not in ("debug",)][-LAST_EVENTS:]
    for now, agent_id, said in told:
        fields = " ".join("{}={}".format(name, value) for name, value in said.fields.items())
        line = "{} {:<12} {} {}".format(_clock(now.mono), agent_id, said.event, fields)
        text.append(line[:160] + "\n", style="bold red" if said.level == "crit" else "")
    return text


def _summarize(run: Demonstration, console: Console) -> None:
    summary = run.summary()
    console.print("\n[bold]{:g} minutes in figures[/bold]".format(run.length_s / 60), highlight=False)
    for line in summary_lines(summary):
        console.print("  " + line, highlight=False, soft_wrap=True)
    console.print(
        '\nNext: README.md, "What to look at next"; the same agents on real services: reasond setup-rabbitmq --help',
        highlight=False,
        soft_wrap=True,
    )


def summary_lines(summary: Dict[str, Any]) -> List[str]:
    """Give the summary as readable lines."""
    consumed = summary["consumed"]
    lines = [
        "messages   published {} = {}".format(
            summary["published"], _counts(dict(consumed, expired=summary["expired"], queued=summary["queued"]))
        ),
        "deepest    {}".format(_counts(summary["deepest"])),
    ]
    for kind in ("publisher", "consumer", "monitor"):
        actions = {action: count for (agent_type, action), count in summary["decisions"].items() if agent_type == kind}
        lines.append("{:<10} {} decisions: {}".format(kind, sum(actions.values()), _counts(actions)))
    lines.append("deciders   {}".format(_counts(summary["brains"])))
    lines.append("outcomes   {}".format(_counts(summary["outcomes"])))
    scores = summary["scores"]
    if scores:
        lines.append("health     first {}, worst {}, last {} of 100".format(scores[0], min(scores), scores[-1]))
    spent = "cost ${:.4f}".format(summary["cost_usd"])
    if summary["would_cost_usd"]:
        spent += " (with Claude these tokens would have cost ${:.4f})".format(summary["would_cost_usd"])
    lines.append("tokens     {}; {}".format(summary["tokens"], spent))
    return lines


def _counts(counts: Dict[str, int]) -> str:
    return ", ".join("{} {}".format(name, count) for name, count in sorted(counts.items()) if count) or "none"


def _number(depth: Optional[int]) -> str:
    return "?" if depth is None else str(depth)


def _clock(seconds: float) -> str:
    return "{:d}:{:02d}".format(int(seconds) // 60, int(seconds) % 60)
