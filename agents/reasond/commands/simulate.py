"""`reasond simulate`: the agents in virtual time, on scenarios, with any brain, compared over many seeds."""

import csv
import io
import os
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import click
import msgspec
from msgspec.structs import replace
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from reasond import __version__
from reasond.errors import InputError
from reasond.report.draw import page_html, require_plotly
from reasond.report.files import write
from reasond.report.simulated import Simulated, page
from reasond.settings import all_settings
from reasond.simulation import policy as policies
from reasond.simulation import scenario as scenarios
from reasond.simulation.batch import run_all
from reasond.simulation.compare import LEAST_SEEDS, MEASURES, Comparison, Measure, Pair, compare, measure_of
from reasond.simulation.run import Job, Result
from reasond.simulation.scenario import Scenario
from reasond.simulation.tables import markdown

COMPARED_SEEDS = 30
STANDARD_OUTPUT = "-"
SHORT = {"no measurable difference": "no difference"}
"""Words too long for a table on 80 columns."""
WORD_STYLES = {"better": "green", "worse": "red", "different": "yellow"}


@click.command()
@click.argument("scenario", nargs=-1)
@click.option("--list", "listed", is_flag=True, help="Name the shipped scenarios and end.")
@click.option("--all", "every", is_flag=True, help="Run every shipped scenario.")
@click.option("--hours", type=click.FloatRange(min=0.01, max=168), help="Virtual time.  [default: the scenario's own]")
@click.option("--brain", default="rules", show_default=True, help="Who decides; see below.")
@click.option("--compare", "compared", help="Several brains, by comma: each against each that stands after it.")
@click.option("--prompt", help="The prompts of --brain: a version, or a folder of your own.")
@click.option("--compare-prompt", help="Other prompts, to compare those with.")
@click.option("--seeds", type=click.IntRange(min=1, max=10000), help="Runs a brain.  [default: 1; compared: 30]")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The first seed.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of all agents, often.")
@click.option("--jobs", type=click.IntRange(min=0), default=0, help="Processes.  [default: one a processor]")
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Dollars that claude may spend in all; what it was asked before is free.",
)
@click.option("--yes", is_flag=True, help="Don't ask before claude spends.")
@click.option("--json", "json_file", metavar="FILE", help="Write every figure as JSON (-: standard output).")
@click.option("--markdown", "markdown_file", metavar="FILE", help="Write the comparisons as Markdown (-: likewise).")
@click.option("--csv", "csv_file", metavar="FILE", help="Write one row a run as CSV (-: standard output).")
@click.option("--report", "report_file", metavar="FILE", help="Write a page with curves, decisions and verdicts.")
def simulate(
    scenario: Tuple[str, ...],
    listed: bool,
    every: bool,
    hours: Optional[float],
    brain: str,
    compared: Optional[str],
    prompt: Optional[str],
    compare_prompt: Optional[str],
    seeds: Optional[int],
    seed: int,
    settings: Tuple[str, ...],
    jobs: int,
    budget: float,
    yes: bool,
    json_file: Optional[str],
    markdown_file: Optional[str],
    csv_file: Optional[str],
    report_file: Optional[str],
) -> None:
    """Run the agents in virtual time and tell how they did; an hour takes about half a second.

    SCENARIO is the name of a shipped scenario or the path of a .toml file; without one, the calm one is run.
    The cores are those of the services; broker, store and clock are in memory, and nothing is sent anywhere.

    \b
    Brains:
      claude     the real API, within --budget; needs ANTHROPIC_API_KEY
      rules      the controller that the agents fall back on
      static     never changes anything: the control group
      dry-run    answers made up as Claude might, with its latency and its price, and no call
      replay:FILE   the answers of a transcript again
      NAME       a brain of your own, by its entry point in the group reasond.brains
      X-alone    brain X, whose publishers don't hear of each other
      X-forgetful   brain X, that isn't told how its last decisions turned out
      X@PROMPT   brain X, asked by a version of the prompts or a folder of your own
      publisher=X+consumer=Y+monitor=Z   a brain for each kind; kinds left out decide by rules

    \b
    Examples:
      reasond simulate --list
      reasond simulate --list --json -
      reasond simulate rush-hour
      reasond simulate --hours 24 --brain rules
      reasond simulate rush-hour burst --compare rules,static --seeds 30
      reasond simulate rush-hour --compare claude,rules --seeds 5 --budget 2
      reasond simulate burst --brain claude --prompt 2 --compare-prompt my-prompts/
      reasond simulate rush-hour --compare rules,static --report rush-hour.html
      reasond simulate mine.toml --set PUBLISHER_TTL_S=60 --json result.json
    """
    if listed:
        _list(json_file)
        return
    if report_file:
        require_plotly()
    brains = _brains(compared or brain, [one for one in (prompt, compare_prompt) if one])
    chosen = [scenarios.find(name) for name in (scenarios.SHIPPED if every else scenario or ("calm",))]
    count = seeds or (COMPARED_SEEDS if len(brains) > 1 else 1)
    api = policies.api_environment(brains, os.environ)
    environ = dict(api, **_environment(settings))
    planned = [
        Job(
            scenario=one,
            policy=policy,
            seed=number,
            seconds=3600 * hours if hours else 60 * one.minutes,
            environ=environ,
            # A page shows one run of each brain: the others only take part in the figures.
            curves=bool(report_file) and number == seed,
        )
        for one in chosen
        for policy in brains
        for number in range(seed, seed + count)
    ]
    desk = _desk(planned, jobs, budget, yes) if api else None
    results = _run(planned, jobs, desk)
    comparisons = [compare([r for r in results if r.scenario == one.name], brains) for one in chosen]
    # What is asked for on standard output stands there alone.
    console = Console(stderr=STANDARD_OUTPUT in (json_file, csv_file, markdown_file))
    for one, found in zip(chosen, comparisons):
        _print(console, one, found)
    if json_file:
        _write(json_file, _json(results, comparisons))
    if markdown_file:
        _write(markdown_file, markdown(comparisons))
    if csv_file:
        _write(csv_file, _csv(results))
    if report_file:
        _write_report(Path(report_file), chosen, comparisons, results)


def _list(json_file: Optional[str]) -> None:
    if json_file:
        shipped = [{"name": name, "about": scenarios.find(name).about} for name in scenarios.SHIPPED]
        _write(json_file, msgspec.json.format(msgspec.json.encode(shipped), indent=2).decode() + "\n")
        return
    table = Table("scenario", "what happens", box=None, pad_edge=False)
    for name in scenarios.SHIPPED:
        table.add_row(name, scenarios.find(name).about)
    Console().print(table)


def _brains(text: str, prompts: Sequence[str]) -> List[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if prompts:
        names = [f"{name}@{prompt.rstrip('/')}" for name in names for prompt in prompts]
    if not names or len(set(names)) != len(names):
        raise InputError("brains that are compared must differ: --compare rules,static, or two prompts")
    for name in names:
        policies.parse(name)
    return names


def _environment(pairs: Sequence[str]) -> Dict[str, str]:
    """Read NAME=VALUE pairs; values are checked with the scenario's own."""
    known = {setting.env for setting in all_settings()}
    environ = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name not in known:
            raise InputError(f"--set {pair}: needs NAME=VALUE with a name of docs/settings.md")
        environ[name] = value
    return environ


def _desk(planned: Sequence[Job], processes: int, budget: float, yes: bool) -> policies.Desk:
    """Say what asking Claude will cost, ask whether to go on, and give what its brains share."""
    desk = policies.make_desk(os.environ, budget)
    spending = [job for job in planned if policies.parse(job.policy).spends]
    likely = _run([replace(job, policy=policies.in_dry_run(job.policy)) for job in spending], processes)
    usd = sum(result.figures.usd for result in likely)
    questions = sum(result.figures.decisions for result in likely)
    click.echo(
        f"Claude would be asked about {questions} questions in {len(spending)} runs, which costs about ${usd:.2f} "
        f"(by a dry run of the same), less what {desk.folder} holds already; at most ${budget:g} is spent (--budget), "
        "then rules decide.",
        err=True,
    )
    if not yes:
        click.confirm("Go on?", abort=True, err=True)
    return desk


def _run(planned: Sequence[Job], processes: int, desk: Optional[policies.Desk] = None) -> List[Result]:
    console = Console(stderr=True)
    columns = (TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TextColumn("runs"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("simulating", total=len(planned))
        return run_all(planned, processes, lambda job: bar.advance(task), desk)


def _print(console: Console, scenario: Scenario, found: Comparison) -> None:
    runs = "1 run" if len(found.seeds) == 1 else f"the mean of {len(found.seeds)} runs"
    console.print(f"\n[bold]{scenario.title}[/bold]: {scenario.about}", highlight=False)
    table = Table("", *found.means, "unit", box=None, pad_edge=False, header_style="bold")
    for column in table.columns[1:-1]:
        column.justify = "right"
    for measure in MEASURES:
        table.add_row(measure.title, *(_shown(measure, means) for means in found.means.values()), measure.unit)
    console.print(table)
    console.print(f"[dim]{runs}, {found.minutes:g} virtual minutes each, seeds from {found.seeds[0]}[/dim]")
    for pair in found.pairs:
        console.print(f"\n{pair.verdict}", highlight=False)
        if len(found.seeds) >= LEAST_SEEDS:
            console.print(_differences(pair))


def _differences(pair: Pair) -> Table:
    """Give what is measurably different, and what isn't, with the intervals."""
    table = Table("", "difference", "95 % interval", "unit", "", box=None, pad_edge=False, header_style="bold")
    table.columns[1].justify = table.columns[2].justify = "right"
    for column in table.columns:
        column.no_wrap = True
    for difference in pair.differences:
        measure = measure_of(difference.measure)
        mean, low, high = (
            f"{value or 0.0:+.{measure.decimals}f}" for value in (difference.mean, difference.low, difference.high)
        )
        word = Text(SHORT.get(difference.word, difference.word), style=WORD_STYLES.get(difference.word, "dim"))
        table.add_row(measure.title, mean, f"{low} to {high}", measure.unit, word)
    return table


def _shown(measure: Measure, means: Dict[str, float]) -> str:
    return f"{means[measure.name]:.{measure.decimals}f}"


def _json(results: Sequence[Result], comparisons: Sequence[Comparison]) -> str:
    runs = [_flat(result) for result in results]
    text = {"runs": runs, "comparisons": msgspec.to_builtins(comparisons)}
    return msgspec.json.format(msgspec.json.encode(text), indent=2).decode() + "\n"


def _flat(result: Result) -> Dict[str, Any]:
    head = {"scenario": result.scenario, "brain": result.policy, "seed": result.seed}
    return {**head, **msgspec.to_builtins(result.figures)}


def _csv(results: Sequence[Result]) -> str:
    rows = [_flat(result) for result in results]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write_report(
    path: Path, chosen: Sequence[Scenario], comparisons: Sequence[Comparison], results: Sequence[Result]
) -> None:
    found = [
        Simulated(one, comparison, tuple(r for r in results if r.scenario == one.name and r.curves is not None))
        for one, comparison in zip(chosen, comparisons)
    ]
    write(path, page_html(page(found, __version__), time.time_ns()))
    click.echo(f"the report: {path.absolute()}", err=True)


def _write(target: str, text: str) -> None:
    if target == STANDARD_OUTPUT:
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as err:
        raise InputError(f"can't write {target}: {err.strerror}") from err
