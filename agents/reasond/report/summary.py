"""The tables of a report: what was decided, whether it helped, what it cost, and how the monitor found the system."""

import json
from collections import Counter
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from reasond.points import Row
from reasond.report.data import Table
from reasond.report.decisions import DID_NOT_HELP, HELPED, Spend, Tally

MOST_AGENTS = 16
"""With more of them each kind gets one row."""
HOURS_A_DAY = 24
MAX_ANALYSIS_CHARS = 1200
KINDS = ("publisher", "consumer", "monitor")
HELP_NOTE = (
    "Of decisions that were acted on. Success alone proves nothing: queues drift by themselves. docs/outcome.md says "
    "what counts as success."
)


def tables(tally: Tally, spends: Mapping[str, Spend], health: Sequence[Row], hours: float) -> Tuple[Table, ...]:
    """Give the tables of one course of events of so many hours; `spends` by agent."""
    return (by_agent(tally), outcomes(tally), costs(spends, hours), monitor(health))


def by_agent(tally: Tally) -> Table:
    """Give how often each agent decided what."""
    counts: Dict[Tuple[str, str], Counter[str]] = {}
    each = len(tally.actions) <= MOST_AGENTS
    for (kind, agent_id), actions in tally.actions.items():
        counts.setdefault((kind, agent_id if each else f"all {kind}s"), Counter()).update(actions)
    rows = [
        (name, str(sum(actions.values())), counted(actions))
        for (_, name), actions in sorted(counts.items(), key=lambda item: (_place(item[0][0]), item[0][1]))
    ]
    note = f"Decided by rules for want of an answer: {counted(tally.fallbacks)}." if tally.fallbacks else ""
    return Table("Decisions by agent and action", ("agent", "decisions", "of them"), tuple(rows), note, words=(0, 2))


def outcomes(tally: Tally) -> Table:
    """Give how often each action that was acted on helped."""
    rows = []
    for (kind, action), found in sorted(tally.outcomes.items(), key=lambda item: (_place(item[0][0]), item[0][1])):
        missing = {
            reason.replace("_", " ") or "not yet": count
            for reason, count in found.items()
            if reason not in (HELPED, DID_NOT_HELP)
        }
        rows.append((kind, action, *shares(found), counted(missing) if missing else ""))
    heads = ("kind", "action", "judged", "helped", "share", "not judged, and why")
    return Table("Outcomes", heads, tuple(rows), HELP_NOTE, words=(0, 1, 5))


def shares(found: Mapping[str, int]) -> Tuple[str, str, str]:
    """Give how many were judged, how many of them helped, and that in percent."""
    helped = found.get(HELPED, 0)
    judged = helped + found.get(DID_NOT_HELP, 0)
    return str(judged), str(helped), f"{100 * helped / judged:.0f} %" if judged else "-"


def costs(spends: Mapping[str, Spend], hours: float) -> Table:
    """Give tokens and dollars by agent, their sum, and what that is an hour and a day."""
    would = any(spend.would_usd for spend in spends.values())
    heads = ("agent", "decisions", "tokens in", "tokens out", "cost", *(("would cost",) if would else ()))
    whole = total(spends.values())
    if not whole.usd and not whole.input_tokens + whole.output_tokens:
        return Table("Cost", heads, (_cost("all", whole, would),), "No model was asked.")
    rows = [_cost(name, spend, would) for name, spend in _few(spends)]
    rows.append(_cost("all", whole, would))
    for name, part in (("an hour", 1.0), ("projected a day", HOURS_A_DAY)):
        usd = [whole.usd, *([whole.would_usd] if would else [])]
        rows.append((name, "", "", "", *(f"${value / hours * part:.2f}" for value in usd)))
    note = "What the tokens of the dry run would have cost with Claude stands in the last column." if would else ""
    return Table("Cost", heads, tuple(rows), note)


def total(spends: Iterable[Spend]) -> Spend:
    """Give the sum."""
    whole = Spend()
    for spend in spends:
        for name in Spend.__struct_fields__:
            setattr(whole, name, getattr(whole, name) + getattr(spend, name))
    return whole


def _few(spends: Mapping[str, Spend]) -> List[Tuple[str, Spend]]:
    """Give the spends by agent, of many agents by kind."""
    if len(spends) <= MOST_AGENTS:
        return sorted(spends.items(), key=lambda item: (_place(item[0].rpartition("-")[0]), item[0]))
    kinds: Dict[str, List[Spend]] = {}
    for agent_id, spend in spends.items():
        kinds.setdefault(agent_id.rpartition("-")[0], []).append(spend)
    return [(f"all {kind}s", total(kinds[kind])) for kind in sorted(kinds, key=_place)]


def _cost(name: str, spend: Spend, would: bool) -> Tuple[str, ...]:
    usd = (spend.usd, spend.would_usd) if would else (spend.usd,)
    tokens = (f"{spend.input_tokens:,}", f"{spend.output_tokens:,}")
    return (name, f"{spend.decisions:,}", *tokens, *(f"${value:.4f}" for value in usd))


def monitor(health: Sequence[Row]) -> Table:
    """Give how the monitor found the system, from its points, oldest first."""
    heads = ("monitor", "")
    if not health:
        return Table("The monitor", heads, (("status", "no analysis in this time"),), words=(0, 1))
    newest = health[-1].fields
    statuses = Counter(str(row.fields.get("status", "?")) for row in health)
    scores = [row.fields["system_health_score"] for row in health if "system_health_score" in row.fields]
    rows = [("status", f"{newest.get('status', '?')} at the end; over the time: {counted(statuses)}")]
    if scores:
        rows.append(("score", f"first {scores[0]}, worst {min(scores)}, last {scores[-1]} of 100"))
    alerts = sum(row.fields.get("alerts_raised", 0) for row in health)
    rows.append(("alerts raised", str(alerts)))
    for name, title in (("issues", "issues at the end"), ("suggestions", "suggestions")):
        said = _list(newest.get(name, ""))
        if said:
            rows.append((title, "; ".join(said)))
    if newest.get("ai_analysis_text"):
        rows.append(("newest analysis", str(newest["ai_analysis_text"])[:MAX_ANALYSIS_CHARS]))
    return Table("The monitor", heads, tuple(rows), words=(0, 1))


def _list(text: Any) -> List[str]:
    """Read a list that a point holds as JSON; another text counts as its only entry."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return [str(text)]
    return [str(entry) for entry in found] if isinstance(found, list) else [str(found)]


def counted(counts: Mapping[str, int]) -> str:
    """Give counts in words, the greatest first."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def who(tallies: Sequence[Tally]) -> Tuple[Tuple[str, str], ...]:
    """Give who decided, for the head of a page."""
    titles = {"brain": "brains that decided", "model": "models", "prompt": "prompt versions"}
    found = []
    for name, heading in titles.items():
        seen = sorted({value for tally in tallies for value in tally.who[name]})
        found.append((heading, ", ".join(seen) if seen else "none"))
    return tuple(found)


def _place(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else len(KINDS)
