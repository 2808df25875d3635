"""`reasond demo`: a scenario in one process, drawn in the terminal and then as a page; no service, no key, no money."""

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

from reasond import __version__
from reasond.errors import InputError
from reasond.paths import cache_directory
from reasond.report.draw import page_html, require_plotly
from reasond.report.files import write
from reasond.report.simulated import Simulated, page
from reasond.simulation import policy as policies
from reasond.simulation.compare import compare
from reasond.simulation.demo import STORY, Demonstration, Moment, find
from reasond.simulation.run import Job, Run
from reasond.topology import DEAD_QUEUES, MAIN_QUEUES

FRAME_S = 0.25
"""Real seconds between two frames: smooth enough to follow, cheap on a slow terminal."""
PLAIN_EVERY_S = 30.0
"""System seconds between two lines where there is no terminal."""
LAST_EVENTS = 8
BAR_WIDTH = 40
WHAT_WIDTH = 16
CALM = "calm"
REPORT_FILE = "reasond-demo.html"


@click.command()
@click.option("--scenario", default=STORY, show_default=True, metavar="NAME|FILE", help="As reasond simulate knows it.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    default=8.0,
    show_default=True,
    help="Times real time; 0: as fast as it goes.",
)
@click.option("--minutes", type=click.FloatRange(min=1, max=1440), help="System time.  [default: the scenario's own]")
@click.option(
    "--brain",
    default="dry-run",
    show_default=True,
    help="Who decides, as for reasond simulate; claude asks the real API and spends money.",
)
@click.option(
    "--budget", type=click.FloatRange(min=0), default=1.0, show_default=True, help="Dollars that claude may spend."
)
@click.option("--seed", type=int, default=1, show_default=True, help="One seed gives one run.")
@click.option("--report", "report_file", metavar="FILE", help="Where the page goes.  [default: the user's cache]")
@click.option("--no-report", is_flag=True, help="Write no page.")
def demo(
    scenario: str,
    speed: float,
    minutes: Optional[float],
    brain: str,
    budget: float,
    seed: int,
    report_file: Optional[str],
    no_report: bool,
) -> None:
    """Watch seven agents steer a flow whose handlers grow slow in the middle.

    Three publishers, three consumers and a monitor run on an embedded broker and an embedded store, in virtual
    time: the same code as the services run, without RabbitMQ, InfluxDB or an API key. At the end a page is written
    that shows the whole run, every decision with its reason, and its path is printed.

    \b
    Examples:
      reasond demo
      reasond demo --speed 30
      reasond demo --scenario rush-hour --speed 60
      reasond demo --brain rules --seed 7
      ANTHROPIC_API_KEY=... reasond demo --brain claude
    """
    if report_file:
        require_plotly()
    story = find(scenario)
    job = Job(
        scenario=story,
        policy=brain,
        seed=seed,
        seconds=60 * (minutes or story.minutes),
        environ=policies.api_environment([brain], os.environ),
        curves=True,
    )
    with tempfile.TemporaryDirectory(prefix="reasond-demo-") as scratch:
        desk = policies.make_desk(os.environ, budget) if job.environ else None
        run = Demonstration(Run(job, Path(scratch), desk), job.seconds)
        console = Console()
        if console.is_terminal:
            _draw(run, speed, console)
        else:
            _print(run, speed, console)
        # Before the agents stop: their stopping is no part of the story.
        result = run.run.result()
        run.world.stop()
        _summarize(run, console)
    if not no_report:
        found = Simulated(story, compare([result], [brain]), (result,))
        _report(found, report_file or str(cache_directory(os.environ) / REPORT_FILE), console)


def _report(found: Simulated, target: str, console: Console) -> None:
    """Write the page; without Plotly the demonstration was worth watching all the same."""
    try:
        text = page_html(page([found], __version__), time.time_ns())
    except InputError as err:
        console.print(f"no page: {err}", highlight=False, markup=False, soft_wrap=True)
        return
    path = Path(target)
    write(path, text)
    console.print(f"The whole run as a page: {path.absolute()}", highlight=False, markup=False, soft_wrap=True)


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
        "{:>6}  {:<{}} {:>27}  {:>5} {:>5}  {}".format(
            "time", "now", WHAT_WIDTH, "depth prio/fict/non-fict", "out", "in", "intervals (fictional/non-fictional, s)"
        )
    )
    for moment in _steps(run, speed, PLAIN_EVERY_S):
        depths = "/".join(_number(moment.depths[queue]) for queue in MAIN_QUEUES)
        intervals = "  ".join("{}={}/{}".format(agent[-1], *pair) for agent, pair in sorted(moment.intervals.items()))
        console.print(
            "{:>6}  {:<{}} {:>27}  {:>5} {:>5}  {}".format(
                _clock(moment.at_s),
                moment.what or CALM,
                WHAT_WIDTH,
                depths,
                moment.published,
                moment.consumed,
                intervals,
            ),
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _draw(run: Demonstration, speed: float, console: Console) -> None:
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        for moment in _steps(run, speed, FRAME_S * (speed or 60.0)):
            live.update(_frame(run, moment))


def _frame(run: Demonstration, moment: Moment) -> Group:
    head = Text("{} of {}   ".format(_clock(moment.at_s), _clock(run.length_s)))
    head.append(moment.what or CALM, style="bold red" if moment.what else "green")
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
