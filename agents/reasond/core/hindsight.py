"""Rate decisions that wait for their outcome: when it is due, what spoils it, and its writing.

Used by the publisher's core; the definitions of success are `core.outcome`'s. Tags and timestamp of every
open decision are kept in the state, so that a point is always amended with its whole tag set, after a restart
too.
"""

from typing import Any, Dict, List, Mapping, Optional

from msgspec import Struct

from reasond.core import outcome
from reasond.core.effects import Amend, Effect, Look, Now, Save, Say, Wake
from reasond.core.past import Memory
from reasond.core.views import WindowView
from reasond.points import Row
from reasond.settings import PublisherSettings

STATE_KEY = "decisions"
WAKE = "outcome"
_REF = "outcome:"
STORE_LAG_S = 3.0
"""Seconds: a sample is spooled, sent in a batch and indexed before a query can find it."""
MEASUREMENT = "agent_reasoning"


class Open(Struct):
    """A decision to be judged: its point, its later window, and what spoiled or shortened that."""

    decision_id: str
    tags: Dict[str, str]
    time_ns: int
    action: str
    acted: bool
    at_ns: int
    after: outcome.Span
    due: float
    shortened: bool = False
    spoiled: str = ""
    looking: bool = False


class Hindsight:
    """The open decisions of one publisher."""

    def __init__(self, settings: PublisherSettings, state: Any) -> None:
        """Take the settings and the state last saved under STATE_KEY; what can't be read counts as none."""
        self._settings = settings
        self.memory = Memory()
        self._open: Dict[str, Open] = {}
        self._left = _read(state)
        self._saves = 0

    def on_start(self, now: Now) -> List[Effect]:
        """Close what an earlier process left open: its outcome can't be measured any more."""
        missing = outcome.Outcome(missing=outcome.RESTART).fields()
        effects: List[Effect] = [Amend(Row(MEASUREMENT, left.tags, missing, left.time_ns)) for left in self._left]
        self._left = []
        return [*effects, self._save()] if effects else []

    def add(self, now: Now, row: Row, *, acted: bool, old_interval_s: float) -> List[Effect]:
        """Take a decision just made and its point; `old_interval_s` is the longer interval before it."""
        settings = self._settings
        after = outcome.after_span(
            now.wall_ns,
            old_interval_s=old_interval_s,
            settle_s=settings.outcome_settle_s,
            window_s=settings.outcome_window_s,
            sampling_period_s=settings.sampling_period_s,
        )
        decision = Open(
            decision_id=row.fields["decision_id"],
            tags=row.tags,
            time_ns=row.time_ns,
            action=row.tags["action"],
            acted=acted,
            at_ns=now.wall_ns,
            after=after,
            due=now.mono + (after.stop_ns - now.wall_ns) / 1e9 + STORE_LAG_S,
        )
        self._open[decision.decision_id] = decision
        self.memory.note(decision.decision_id, row)
        return [self._save(), self._next()]

    def changed(self, now: Now) -> None:
        """Take a change of the rate: what was decided before can be measured only up to here."""
        for decision in self._open.values():
            if not decision.looking and now.wall_ns < decision.after.stop_ns:
                start = decision.after.start_ns
                decision.after = outcome.Span(start, max(start, now.wall_ns))
                decision.shortened = True

    def spoil(self, now: Now, reason: str) -> None:
        """Take something that keeps decisions from showing; those whose window is over are left alone."""
        for decision in self._open.values():
            if not decision.spoiled and now.wall_ns < decision.after.stop_ns:
                decision.spoiled = reason

    def on_wake(self, now: Now) -> List[Effect]:
        """Look at the samples of those that are due; the spoiled ones need no look."""
        effects: List[Effect] = []
        for decision in list(self._open.values()):
            if decision.looking or decision.due > now.mono + 1e-6:
                continue
            if decision.spoiled:
                effects += self._close(decision, outcome.Outcome(missing=decision.spoiled))
                continue
            decision.looking = True
            before = self._before(decision)
            ref = _REF + decision.decision_id
            effects.append(Look(ref, "depth_window", before.start_ns, max(before.stop_ns, decision.after.stop_ns)))
        return [*effects, self._next()]

    def on_view(self, now: Now, ref: str, view: Any) -> List[Effect]:
        """Take the samples and judge the decision they were looked up for; other references give nothing."""
        decision = self._open.get(ref[len(_REF) :]) if ref.startswith(_REF) else None
        if decision is None:
            return []
        if not isinstance(view, WindowView):
            return self._close(decision, outcome.Outcome(missing=outcome.NO_VIEW))
        result = outcome.rate_outcome(
            decision.action,
            outcome.window(view.samples, self._before(decision)),
            outcome.window(view.samples, decision.after),
            ttl_s=self._settings.ttl_s,
            published_more=True if decision.acted else None,
        )
        if decision.shortened and result.missing == outcome.TOO_FEW_SAMPLES:
            result = outcome.Outcome(missing=outcome.SECOND_CHANGE)
        return self._close(decision, result)

    def _before(self, decision: Open) -> outcome.Span:
        settings = self._settings
        return outcome.before_span(decision.at_ns, settings.outcome_window_s, settings.sampling_period_s)

    def _close(self, decision: Open, result: outcome.Outcome) -> List[Effect]:
        del self._open[decision.decision_id]
        fields = result.fields()
        self.memory.judge(decision.decision_id, result)
        said: Dict[str, Any] = {
            "decision_id": decision.decision_id,
            "action": decision.action,
            "acted": decision.acted,
        }
        if result.success is None:
            said["missing"] = result.missing
        else:
            said["success"] = result.success
        amend = Amend(Row(MEASUREMENT, decision.tags, fields, decision.time_ns))
        return [amend, Say("info", "outcome", said), self._save()]

    def _next(self) -> Wake:
        due = [decision.due for decision in self._open.values() if not decision.looking]
        return Wake(WAKE, min(due) if due else None)

    def _save(self) -> Save:
        """Keep what a restart needs; not synced, as a power cut costs at worst an `outcome_missing`."""
        self._saves += 1
        kept = [{"tags": decision.tags, "time_ns": decision.time_ns} for decision in self._open.values()]
        return Save(f"{STATE_KEY}:{self._saves}", STATE_KEY, {"open": kept}, durable=False)


class _Left(Struct, frozen=True):
    tags: Dict[str, str]
    time_ns: int


def _read(state: Optional[Any]) -> List[_Left]:
    kept = state.get("open", []) if isinstance(state, Mapping) else []
    left: List[_Left] = []
    for entry in kept if isinstance(kept, list) else []:
        if isinstance(entry, Mapping) and isinstance(entry.get("tags"), dict) and isinstance(entry.get("time_ns"), int):
            left.append(_Left(entry["tags"], entry["time_ns"]))
    return left
