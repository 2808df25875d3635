"""Comparisons as Markdown, one row a scenario: for docs, issues and notes."""

from typing import List, Sequence

from reasond.simulation.compare import Comparison, Difference, Pair, measure_of, title

SHOWN = ("overload", "lost", "in_time", "latency_p95", "oscillation", "usd")
"""The measures that get columns of their own; the rest is named where it got better or worse."""
BOLD = ("better", "worse")


def markdown(comparisons: Sequence[Comparison]) -> str:
    """Give a table for each pair of policies; every comparison must have the same pairs."""
    tables = []
    for number, pair in enumerate(comparisons[0].pairs):
        tables.append("\n".join(_table(pair, comparisons, number)))
    return "\n\n".join(tables) + "\n"


def _table(pair: Pair, comparisons: Sequence[Comparison], number: int) -> List[str]:
    heads = [f"{title(name)}, {measure_of(name).unit}" for name in SHOWN]
    lines = [
        f"`{pair.policy}` against `{pair.baseline}`: the means of both, and the difference with its "
        f"95 % interval ({len(comparisons[0].seeds)} seeds)",
        "",
        "| " + " | ".join(["scenario", "", heads[0], "difference", *heads[1:], "worse in"]) + " |",
        "| " + " | ".join(["---"] * (len(heads) + 4)) + " |",
    ]
    lines += [_row(comparison, comparison.pairs[number]) for comparison in comparisons]
    return lines


def _row(comparison: Comparison, pair: Pair) -> str:
    first = pair.differences[0]
    word = f"**{first.word}**" if first.word in BOLD else first.word
    both = [_both(comparison, pair, name) for name in SHOWN]
    worse = ", ".join(title(found.measure) for found in pair.differences if found.word == "worse")
    return "| " + " | ".join([comparison.scenario, word, both[0], _interval(first), *both[1:], worse]) + " |"


def _both(comparison: Comparison, pair: Pair, name: str) -> str:
    places = measure_of(name).decimals
    mine, theirs = (comparison.means[policy][name] for policy in (pair.policy, pair.baseline))
    return f"{mine:.{places}f} / {theirs:.{places}f}"


def _interval(difference: Difference) -> str:
    if difference.low is None or difference.high is None:
        return f"{difference.mean:+.1f}"
    return f"{difference.mean:+.1f} ({difference.low:+.1f} to {difference.high:+.1f})"
