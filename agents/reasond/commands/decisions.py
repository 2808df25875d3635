"""`reasond decisions`: what was decided, by whom, and what came of it; one of them with its prompt and answer."""

import os
import time
from typing import Dict, List, Optional

import click
import msgspec
from rich.table import Table
from rich.text import Text

from reasond.adapters.influxdb import InfluxReader
from reasond.doctor.examined import Examined, examine
from reasond.operator import screen
from reasond.operator.completion import agents, decision_ids
from reasond.operator.decided import Decided, Found, decided, find
from reasond.operator.records import InfluxRecords, Wanted, printable
from reasond.report.span import NOW, span

ACTIONS = (
    "batch continue critical flag_anomaly healthy hold interval pause process resume shadow slow_down speed_up warning"
).split()
"""Those of the three kinds of agents and of the operator, for completion: the store may hold others."""


@click.group(short_help="List decisions, or show one with its prompt and answer.", invoke_without_command=True)
@click.option("--since", default="1h", show_default=True, help="30m, 24h, 7d ago, or a time of RFC 3339.")
@click.option("--until", default=NOW, show_default=True, help="Likewise.")
@click.option("--agent", default="", help="Only this agent's.", shell_complete=agents)
@click.option(
    "--action",
    default="",
    help="Only this action: slow_down, flag_anomaly, warning, ...",
    shell_complete=lambda ctx, param, incomplete: [one for one in ACTIONS if one.startswith(incomplete)],
)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=0), help="The newest so many; 0: all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@click.pass_context
def decisions(ctx: click.Context, since: str, until: str, agent: str, action: str, limit: int, as_json: bool) -> None:
    """List decisions, newest first, from InfluxDB.

    A * behind the action: the core changed the answer; (shadow): it was not acted on; (fallback): the brain gave no
    answer, and the rules decided.

    \b
    Examples:
      reasond decisions
      reasond decisions --since 24h --agent publisher-1 --action slow_down
      reasond decisions --since 2026-11-05T14:00:00Z --until 2026-11-05T15:00:00Z --limit 0 --json
      reasond decisions show publisher-1-17641
    """
    if ctx.invoked_subcommand is not None:
        return
    now_ns = time.time_ns()
    asked = span(since, until, now_ns)
    rows = _records(examine(os.environ)).decided(asked, Wanted(agent, action, limit))
    found = [decided(row) for row in rows]
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    console = screen.console()
    if not found:
        click.echo("no decision in that range; look further back with --since 24h", err=True)
        return
    console.print(screen.decisions(found, now_ns), soft_wrap=True)


@decisions.command()
@click.argument("decision_id", metavar="ID", shell_complete=decision_ids)
@click.option("--since", default="7d", show_default=True, help="How far back to look: 24h, 30d, a time of RFC 3339.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(decision_id: str, since: str, as_json: bool) -> None:
    """Show one decision: prompt, answer, outcome, cost, and what the core changed.

    The beginning of ID is enough where only one decision's begins so. Prompt and answer stand in the transcript on
    the agent's own host; elsewhere the rest is shown, and where they were sought.

    \b
    Examples:
      sudo reasond decisions show publisher-1-1764181200123456789
      sudo reasond decisions show consumer-2-187 --json | jq -r .transcript.prompt
    """
    examined = examine(os.environ)
    asked = span(since, NOW, time.time_ns())
    found = find(_records(examined), decision_id, asked, examined.log_directories())
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    _print(found)


def _records(examined: Examined) -> InfluxRecords:
    return InfluxRecords(InfluxReader(examined.settings.influx))


def _print(found: Found) -> None:
    console = screen.console()
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _lines(found.decision).items():
        table.add_row(Text(name, style="bold"), Text(value))
    console.print(table)
    for one in found.attempts:
        words = f"attempt {one.attempt}: {one.model}, status {one.status}, {one.latency_ms:.0f} ms, "
        words += f"{one.input_tokens} tokens in, {one.output_tokens} out, ${one.cost_usd:.6f}"
        console.print(Text(words if one.error == "none" else f"{words}, {one.error}"))
    for line in _transcript(found):
        console.print(line, soft_wrap=True)


def _lines(one: Decided) -> Dict[str, str]:
    """Give what there is of a decision, by name."""
    lines = {
        "id": one.id,
        "time": one.time,
        "agent": one.agent,
        "action": one.action + ("" if one.acted else " (shadow: not acted on)"),
        "brain": " ".join(
            part for part in (one.brain, one.model, one.prompt_version and f"prompt {one.prompt_version}") if part
        ),
        "fallback": one.fallback_reason,
        "queue": one.queue,
        "message": one.message_id,
        "intervals": _intervals(one),
        "adjusted": one.adjustment or ("yes" if one.adjusted else ""),
        "depths": _depths(one.depths),
        "depths after": _depths(one.depths_after),
        "confidence": "" if one.confidence is None else f"{one.confidence:.2f}",
        "outcome": one.outcome or "open",
        "cost": _cost(one),
        "reasoning": one.reasoning,
    }
    return {name: value for name, value in lines.items() if value}


def _intervals(one: Decided) -> str:
    if None in one.set:
        return ""
    return "fictional {} s, non-fictional {} s".format(*one.set) + (
        "" if None in one.before else " (before: {} s, {} s)".format(*one.before)
    )


def _depths(depths: Dict[str, int]) -> str:
    return ", ".join(f"{queue} {depth}" for queue, depth in depths.items())


def _cost(one: Decided) -> str:
    words = f"${one.cost_usd:.6f}, {one.input_tokens} tokens in, {one.output_tokens} out"
    would = "" if one.would_cost_usd is None else f" (would have cost ${one.would_cost_usd:.6f})"
    latency = "" if one.latency_ms is None else f", {one.latency_ms:.0f} ms"
    return words + would + latency


def _transcript(found: Found) -> List[Text]:
    line: Optional[Dict[str, object]] = found.transcript
    if line is None:
        where = ", ".join(found.looked_in) or "this host has no directory of that agent's transcripts"
        return [Text(f"prompt and answer: not found; looked in: {where}", style="yellow")]
    lines = []
    for name, key in (("prompt", "prompt"), ("answer", "response")):
        lines += [Text(""), Text(f"{name} ({found.looked_in[-1]})", style="bold"), Text(_safe(line.get(key, "")))]
    if line.get("detail"):
        lines.append(Text(_safe("error: {} {}".format(line.get("error"), line["detail"]))))
    return lines


def _safe(text: object) -> str:
    """Give a prompt or an answer, which hold strangers' text, fit for a terminal."""
    return printable(str(text), keep="\n\t")
