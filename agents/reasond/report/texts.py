"""One decision in words, for the table and for what a mark shows under the pointer."""

import textwrap
from typing import List

from reasond.report.data import Decision, Intervals, Section
from reasond.report.span import told

SECOND_NS = 1_000_000_000
LINE_CHARS = 80
HOVER_CHARS = 400
"""Of the reasoning: what stands under the pointer must fit on the screen; the table has more of it."""


def time_text(section: Section, time_ns: int) -> str:
    """Give a decision's time as the section's axis counts: since the start, or in UTC."""
    if not section.from_zero:
        return told(time_ns)
    seconds = (time_ns - section.start_ns) // SECOND_NS
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def after_text(one: Decision) -> str:
    """Give the action with what it made of the intervals, and what kept it from being acted on."""
    parts = [one.action]
    if one.queue:
        parts.append(f"in {one.queue}")
    if one.kind == "publisher" and None not in one.after:
        parts.append(_intervals(one.before, one.after))
    if not one.acted:
        parts.append("(in shadow)")
    if one.adjusted:
        parts.append("(kept within bounds)")
    return " ".join(parts)


def _intervals(before: Intervals, after: Intervals) -> str:
    if None in before or before == after:
        return f"at {after[0]}/{after[1]} s"
    return f"{before[0]}/{before[1]} → {after[0]}/{after[1]} s"


def outcome_text(one: Decision) -> str:
    """Give the outcome in words; none yet is a dash."""
    return one.outcome.replace("_", " ") or "-"


def cost_text(one: Decision) -> str:
    """Give tokens and dollars, in the dry run those it would have taken; nothing where nothing was asked."""
    tokens = one.input_tokens + one.output_tokens
    if not tokens and not one.usd:
        return "-"
    return f"{tokens} tokens, {f'would be ${one.would_usd:.4f}' if one.would_usd else f'${one.usd:.4f}'}"


def brain_text(one: Decision) -> str:
    """Give who decided, by which model and prompt, and why not who was chosen."""
    parts = [one.brain, *([one.model] if one.model else []), *([f"prompt {one.prompt}"] if one.prompt else [])]
    return ", ".join(parts) + (f" (no answer: {one.fallback.replace('_', ' ')})" if one.fallback else "")


def hover_lines(section: Section, one: Decision) -> List[str]:
    """Give what stands under the pointer, line by line."""
    reasoning = textwrap.shorten(one.reasoning, HOVER_CHARS, placeholder=" …")
    confidence = "" if one.confidence is None else f", confidence {one.confidence:.2f}"
    return [
        f"{one.agent_id}, {time_text(section, one.time_ns)}",
        f"{after_text(one)}{confidence}",
        f"by {brain_text(one)}",
        *textwrap.wrap(reasoning, LINE_CHARS),
        f"outcome: {outcome_text(one)}; cost: {cost_text(one)}",
    ]
