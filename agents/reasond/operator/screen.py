"""How the operator's commands look on a terminal and in a pipe; the figures are made elsewhere.

Colours and bold appear on terminals alone, and no colours where NO_COLOR is set: rich sees to that.
"""

from typing import List, Optional, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from reasond.operator.decided import Decided
from reasond.operator.money import Money, Window
from reasond.operator.system import AgentState, QueueState, System, age_in_words
from reasond.report.span import told

PIPE_WIDTH = 200
"""Columns where there is no terminal: a line of a table stays one line for grep."""
STATE_STYLES = {"up": "green", "degraded": "yellow", "away": "red", "unknown": "dim"}
STATUS_STYLES = {"healthy": "green", "warning": "yellow", "critical": "red"}
LEVEL_STYLES = {"ok": "green", "warning": "yellow", "spent": "red", "stopped": "red"}
NOTHING = "-"
DOING_CHARS = 60


def console() -> Console:
    """Give the console for standard output: as wide as the terminal, or wide enough for a pipe."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=PIPE_WIDTH)


def status(system: System) -> RenderableType:
    """Give the whole system on one screen."""
    parts: List[RenderableType] = [_head(system)]
    parts += [Text("! " + one, style="bold red") for one in system.care]
    parts += [Text("missing: " + one, style="yellow") for one in system.missing]
    parts += [Text(""), _agents(system)]
    if system.queues:
        parts += [Text(""), _queues(system.queues)]
    if system.decisions:
        parts += [Text(""), decisions(system.decisions, system.time_ns)]
    parts += [Text(""), *_foot(system)]
    return Group(*parts)


def _head(system: System) -> Text:
    head = Text(told(system.time_ns) + " UTC  ", style="dim")
    if system.healthy:
        head.append("healthy", style="bold green")
    else:
        head.append(f"needs care ({len(system.care)})", style="bold red")
    if system.health is not None:
        score = NOTHING if system.health.score is None else str(system.health.score)
        head.append("  monitor: ", style="dim")
        head.append(system.health.status, style=STATUS_STYLES.get(system.health.status, ""))
        head.append(f", score {score}, {age_in_words(system.health.age_s)} ago", style="dim")
    return head


def _agents(system: System) -> Table:
    table = _table("agent", "state", "doing", ">per min", "decided by", "last decision", ">ago", ">$ hour", ">$ today")
    spent = {one.agent: one for one in system.money.agents}
    for one in system.agents:
        money = spent.get(one.agent)
        table.add_row(
            one.agent,
            Text(one.state, style=STATE_STYLES.get(one.state, "")),
            _doing(one),
            NOTHING if one.per_minute is None or one.kind == "monitor" else f"{one.per_minute:.1f}",
            one.brain or NOTHING,
            one.last.action if one.last else NOTHING,
            age_in_words((system.time_ns - one.last.time_ns) / 1e9) if one.last else NOTHING,
            f"{money.hour_usd:.4f}" if money else NOTHING,
            f"{money.day_usd:.4f}" if money else NOTHING,
        )
    return table


def _doing(one: AgentState) -> Text:
    if one.orders:
        return Text(_cut("; ".join(order.partition(" (")[0] for order in one.orders), DOING_CHARS), style="yellow")
    return Text(_cut(one.why or one.line or NOTHING, DOING_CHARS))


def _queues(queues: Sequence[QueueState]) -> Table:
    table = _table("queue", ">depth", ">in/s", ">out/s", ">consumers", ">seen")
    for one in queues:
        style = "yellow" if one.dead_letters and one.depth else ""
        table.add_row(
            Text(one.queue, style=style),
            _number(one.depth),
            _rate(one.publish_per_s),
            _rate(one.ack_per_s),
            NOTHING if one.dead_letters else _number(one.consumers),
            NOTHING if one.age_s is None else f"{age_in_words(one.age_s)} ago",
        )
    return table


def decisions(found: Sequence[Decided], now_ns: int) -> Table:
    """Give decisions as a table, in the order given."""
    table = _table("time (UTC)", "agent", "brain", "action", "what", ">conf", "outcome", ">$", "id")
    today = told(now_ns)[:10]
    for one in found:
        when = told(one.time_ns)
        table.add_row(
            when[11:] if when.startswith(today) else when,
            one.agent,
            Text(one.brain + (" (fallback)" if one.fallback_reason else "")),
            Text(one.action + ("" if one.acted else " (shadow)") + (" *" if one.adjusted else "")),
            _what(one),
            NOTHING if one.confidence is None else f"{one.confidence:.2f}",
            one.outcome or "open",
            f"{one.cost_usd:.4f}",
            one.id,
        )
    return table


def _what(one: Decided) -> str:
    """Give a publisher's intervals before and after, a consumer's queue."""
    if one.kind == "publisher" and None not in one.set:
        before, after = ("/".join(map(str, pair)) for pair in (one.before, one.set))
        return f"{after} s" if before == after or None in one.before else f"{before} -> {after} s"
    return one.queue or NOTHING


def _foot(system: System) -> List[RenderableType]:
    lines = spend_lines(system.money)
    found = system.experiment
    if found is not None:
        until = "" if found.until_ns is None else f", until {told(found.until_ns)} UTC"
        lines.append(Text(f"experiment {found.plan or 'of unknown plan'}: {found.arm} decides{until}"))
        lines += [Text("  " + effect) for effect in found.effects]
    return list(lines)


def spend_lines(money: Money) -> List[Text]:
    """Give the system's spend in this hour and today, and what stops when."""
    head = Text("budget ")
    head.append(money.level, style=LEVEL_STYLES.get(money.level, ""))
    head.append(f": {_window(money.hour)} this hour, {_window(money.day)} today")
    if money.pace_usd_per_hour is not None:
        head.append(f"; now ${money.pace_usd_per_hour:.4f} an hour")
    return [head]


def _window(one: Window) -> str:
    part = "" if one.part is None else f" ({100 * one.part:.1f} %)"
    return f"${one.spent_usd:.4f} of ${one.limit_usd:g}{part}"


def budget(money: Money) -> RenderableType:
    """Give spend, limits and projection."""
    windows = _table("", ">spent $", ">limit $", ">part", ">projected $", "ends (UTC)", "limit reached")
    for name, one in (("this hour", money.hour), ("today", money.day)):
        windows.add_row(
            name,
            f"{one.spent_usd:.4f}",
            f"{one.limit_usd:g}",
            _percent(one.part),
            NOTHING if one.projected_usd is None else f"{one.projected_usd:.4f}",
            one.ends.replace(" UTC", ""),
            one.reached_at or "no",
        )
    agents = _table("agent", ">hour $", ">of", ">part", ">today $", ">of", ">part", "level", "from")
    for each in money.agents:
        agents.add_row(
            each.agent,
            f"{each.hour_usd:.4f}",
            f"{each.limit_hour_usd:g}",
            _percent(each.hour_part),
            f"{each.day_usd:.4f}",
            f"{each.limit_day_usd:g}",
            _percent(each.day_part),
            Text(each.level, style=LEVEL_STYLES.get(each.level, "")),
            each.source,
        )
    lines = [Text(line) for line in money.words]
    return Group(*spend_lines(money), Text(""), windows, Text(""), agents, Text(""), *lines)


def _table(*heads: str) -> Table:
    """Give a table without lines; a head that begins with > stands at the right, as its figures do."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head.lstrip(">"), justify="right" if head.startswith(">") else "left", no_wrap=True)
    return table


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 1] + "…"


def _number(value: Optional[int]) -> str:
    return NOTHING if value is None else str(value)


def _rate(value: Optional[float]) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def _percent(part: Optional[float]) -> str:
    return NOTHING if part is None else f"{100 * part:.1f} %"
