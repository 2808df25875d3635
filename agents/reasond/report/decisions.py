"""Decisions as a report tells them: read from points, counted, and the telling ones kept.

Used by both sources. Points come in the order of their time, in as many pieces as the source likes.
"""

from collections import Counter
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Set, Tuple

from msgspec import Struct

from reasond.core.records import NONE
from reasond.flux import in_shadow, intervals_in_force
from reasond.points import Row
from reasond.report.data import Decision

KEPT = 2000
"""Decisions kept in memory with their texts: more than a page ever shows."""
MAX_SHOWN, MAX_MARKS = 500, 1200
"""Decisions in the tables of one page, and marks on its curves."""
MAX_TEXT_CHARS = 600
"""Of a reasoning; a page with 500 of this length grows by 300 kB."""
MAX_TAG_CHARS = 40
"""Ours are shorter; a stranger's must not push a table off the page."""
OPERATOR = "operator"
HELPED, DID_NOT_HELP = "helped", "did not help"
WEIGHTS: Dict[str, int] = {
    "pause": 4,
    "critical": 4,
    "slow_down": 3,
    "speed_up": 3,
    "flag_anomaly": 2,
    "warning": 2,
}
"""How much an action tells; one that isn't named tells little."""


def decision(row: Row) -> Decision:
    """Give a point of `agent_reasoning` as a decision."""
    tags, fields = row.tags, row.fields
    return Decision(
        time_ns=row.time_ns,
        agent_id=_cut(tags.get("agent_id", ""), MAX_TAG_CHARS),
        kind=_cut(tags.get("agent_type", ""), MAX_TAG_CHARS),
        action=_cut(tags.get("action", ""), MAX_TAG_CHARS),
        brain=_cut(tags.get("brain", ""), MAX_TAG_CHARS),
        model=_named(tags.get("model", "")),
        prompt=_named(tags.get("prompt_version", "")),
        queue=_cut(tags.get("queue", ""), MAX_TAG_CHARS),
        reasoning=_cut(fields.get("reasoning", ""), MAX_TEXT_CHARS),
        before=(fields.get("previous_fictional_interval"), fields.get("previous_nonfictional_interval")),
        after=intervals_in_force(fields),
        acted=not in_shadow(fields),
        outcome=outcome_in_words(fields),
        fallback=fields.get("fallback_reason", ""),
        adjusted=fields.get("adjusted", False),
        confidence=fields.get("confidence"),
        input_tokens=fields.get("input_tokens", 0),
        output_tokens=fields.get("output_tokens", 0),
        usd=fields.get("cost_usd", 0.0),
        would_usd=fields.get("would_cost_usd", 0.0),
    )


def _named(tag: str) -> str:
    return "" if tag == NONE else tag


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 1] + "…"


def outcome_in_words(fields: Mapping[str, Any]) -> str:
    """Give what became of a decision: whether it helped, why that isn't known, or nothing while it is open."""
    if "outcome_success" in fields:
        return HELPED if fields["outcome_success"] else DID_NOT_HELP
    return str(fields.get("outcome_missing", ""))


class Spend(Struct):
    """What one agent's decisions took."""

    decisions: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    would_usd: float = 0.0


class Tally:
    """Counts decisions as they come, and keeps the telling ones."""

    def __init__(self) -> None:
        """Start with none seen."""
        self.decided = 0
        self.changed = 0
        self.actions: Dict[Tuple[str, str], Counter[str]] = {}
        """Counts by action, by agent's kind and identity."""
        self.outcomes: Dict[Tuple[str, str], Counter[str]] = {}
        """Counts by outcome, by kind and action; decisions in shadow are left out."""
        self.shadowed: Dict[Tuple[str, str], Counter[str]] = {}
        """The same of those in shadow."""
        self.spends: Dict[str, Spend] = {}
        self.fallbacks: Counter[str] = Counter()
        self.who: Dict[str, Set[str]] = {"brain": set(), "model": set(), "prompt": set()}
        self.marks: List[Decision] = []
        self.telling: List[Decision] = []
        self._standing: Dict[Tuple[str, str], str] = {}

    def add(self, decisions: Iterable[Decision]) -> None:
        """Take decisions in, oldest first."""
        for one in decisions:
            self._count(one)
            self.telling.append(one)
            if self._changes(one):
                self.changed += 1
                self.marks.append(one)
        self.telling = most_telling(self.telling, KEPT)
        self.marks = most_telling(self.marks, KEPT)

    def _count(self, one: Decision) -> None:
        self.decided += 1
        self.actions.setdefault((one.kind, one.agent_id), Counter())[one.action] += 1
        outcomes = self.outcomes if one.acted else self.shadowed
        outcomes.setdefault((one.kind, one.action), Counter())[one.outcome] += 1
        spend = self.spends.setdefault(one.agent_id, Spend())
        spend.decisions += 1
        spend.input_tokens += one.input_tokens
        spend.output_tokens += one.output_tokens
        spend.usd += one.usd
        spend.would_usd += one.would_usd
        if one.fallback:
            self.fallbacks[one.fallback] += 1
        for name, seen in self.who.items():
            if getattr(one, name):
                seen.add(getattr(one, name))

    def _changes(self, one: Decision) -> bool:
        """Tell whether a decision changed the rate or the action; to flag concerns one message alone."""
        if one.brain == OPERATOR or one.action == "flag_anomaly":
            return True
        if one.kind == "publisher":
            return one.action != "continue" or (None not in one.before and one.before != one.after)
        standing = self._standing.get((one.agent_id, one.queue))
        self._standing[(one.agent_id, one.queue)] = one.action
        return standing is not None and standing != one.action


def most_telling(decisions: Sequence[Decision], count: int) -> List[Decision]:
    """Give at most so many, oldest first: those that tell most, of equal ones the newest."""
    if len(decisions) <= count:
        return list(decisions)
    ranked = sorted(decisions, key=lambda one: (_weight(one), one.time_ns))
    return sorted(ranked[-count:], key=lambda one: one.time_ns)


def _weight(one: Decision) -> int:
    extra = int(bool(one.fallback) or one.adjusted or one.outcome == DID_NOT_HELP)
    return WEIGHTS.get(one.action, 3 if one.brain == OPERATOR else 0) + extra
