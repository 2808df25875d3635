"""How the experiments of a range stood at their last look, as the monitor wrote it down (measurement `experiment`)."""

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from reasond.points import Row
from reasond.report.data import Table

MEASURES = {"depth": "messages waiting", "expired": "expired a minute", "usd": "$ a minute"}
TOO_LITTLE = "too little data"
FEWER = {"less": "fewer", "more": "more"}


def newest(rows: Sequence[Row]) -> List[Row]:
    """Give each plan's and measure's newest row, the newest plan first; the rows given are oldest first."""
    found: Dict[Tuple[str, str], Row] = {}
    for row in rows:
        if row.tags.get("measure") in MEASURES:
            found[row.tags.get("plan", "?"), row.tags["measure"]] = row
    order = list(MEASURES)
    return sorted(found.values(), key=lambda row: (-row.time_ns, order.index(row.tags["measure"])))


def words(rows: Sequence[Row]) -> Tuple[str, ...]:
    """Say what each experiment showed of the messages waiting."""
    return tuple(_said(row) for row in newest(rows) if row.tags["measure"] == "depth")


def table(rows: Sequence[Row]) -> Optional[Table]:
    """Give the effects with their intervals; None without an experiment."""
    stood = newest(rows)
    if not stood:
        return None
    heads = ("experiment", "measure", "treatment", "control", "difference", "95 % interval", "p", "pairs", "verdict")
    note = "By blocks of time that chance gave to one or the other; a difference is a lower bound. docs/experiment.md"
    return Table("Experiments", heads, tuple(map(_row, stood)), note, wide=True, words=(0, 1, 8))


def _said(row: Row) -> str:
    plan, fields = row.tags.get("plan", "?"), row.fields
    verdict = fields.get("verdict", TOO_LITTLE)
    if verdict == TOO_LITTLE:
        return f"Experiment {plan}: too little data yet, {fields.get('pairs_missing', '?')} more pairs of blocks."
    control, treatment = fields.get("control", "?"), fields.get("treatment", "?")
    known = f"{_number(fields, 'difference')} ({_interval(fields)}), {fields.get('pairs', '?')} pairs of blocks"
    if verdict in FEWER:
        return f"Experiment {plan}: with {treatment} {FEWER[verdict]} messages wait than with {control}: {known}."
    return f"Experiment {plan}: no measurable difference in messages waiting to {control}: {known}."


def _row(row: Row) -> Tuple[str, ...]:
    fields = row.fields
    figures = [_number(fields, name) for name in ("treated_mean", "control_mean", "difference")]
    return (
        row.tags.get("plan", "?"),
        MEASURES[row.tags["measure"]],
        *figures,
        _interval(fields),
        _number(fields, "p"),
        str(fields.get("pairs", "-")),
        str(fields.get("verdict", "-")),
    )


def _interval(fields: Mapping[str, Any]) -> str:
    if "interval_low" not in fields or "interval_high" not in fields:
        return "-"
    return f"{_number(fields, 'interval_low')} to {_number(fields, 'interval_high')}"


def _number(fields: Mapping[str, Any], name: str) -> str:
    return f"{fields[name]:.3g}" if name in fields else "-"
