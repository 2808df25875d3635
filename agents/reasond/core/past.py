"""An agent's own latest decisions and what became of them, for its next question. Used by the three cores."""

from typing import Any, Dict, Mapping, Tuple

from msgspec.structs import replace

from reasond.core.contexts import Past
from reasond.core.effects import Now
from reasond.core.outcome import Outcome
from reasond.points import Row

KEPT = 3
"""Decisions: the last of them may not be judged yet, and what is older was decided on another state."""
PENDING = "not_measured_yet"
_DEPTHS = ("queue_depth_fictional", "queue_depth_nonfictional", "queue_depth_priority")


class Memory:
    """The latest decisions in the order they were taken; forgotten with the process."""

    def __init__(self) -> None:
        """Start with none."""
        self._decisions: Dict[str, Tuple[int, Past]] = {}

    def note(self, decision_id: str, row: Row, missing: str = "") -> None:
        """Take a decision by its point; `missing` says why its outcome will never be known."""
        fields = row.fields
        past = Past(
            action=row.tags["action"],
            age_s=0.0,
            unknown=missing or PENDING,
            acted=fields.get("acted", True),
            fictional_interval=fields.get("fictional_interval"),
            nonfictional_interval=fields.get("nonfictional_interval"),
            waiting_before=_waiting(fields, ""),
        )
        self._decisions[decision_id] = (row.time_ns, past)
        for old in list(self._decisions)[:-KEPT]:
            del self._decisions[old]

    def judge(self, decision_id: str, outcome: Outcome) -> None:
        """Take what became of a decision; one that is forgotten stays so."""
        if decision_id in self._decisions:
            time_ns, past = self._decisions[decision_id]
            after = _waiting(outcome.after, "_after")
            judged = replace(past, helped=outcome.success, unknown=outcome.missing, waiting_after=after)
            self._decisions[decision_id] = (time_ns, judged)

    def recent(self, now: Now) -> Tuple[Past, ...]:
        """Give the decisions as of now, oldest first."""
        return tuple(
            replace(past, age_s=round((now.wall_ns - time_ns) / 1e9, 1)) for time_ns, past in self._decisions.values()
        )


def _waiting(fields: Mapping[str, Any], suffix: str) -> Any:
    """Give the summed depth of the main queues where any is known."""
    known = [fields[name + suffix] for name in _DEPTHS if fields.get(name + suffix) is not None]
    return sum(known) if known else None
