"""When a publisher decides and publishes, and how a proposed rate is brought within what is allowed.

Used by the publisher's core. All times are seconds; intervals are whole seconds between two messages.
"""

import math
from typing import Literal, Optional, Tuple

from msgspec import Struct

from reasond.decisions import RateAction, RateDecision

GOLDEN_PART = 0.618
"""Multiples of it, modulo 1, keep their distance for any number of instances (contract, "Settings and
identity")."""
SMALLEST_INTERVAL_S = 1
"""Seconds: the specification's intervals are whole, and 0 would be no rate at all."""
LATE_S = 0.5
"""Seconds: a timer this late is jitter, and the pace is kept; later than that was a stall, and nothing is
made up."""
EARLY_PART = 0.5
"""Part of a period: marks of the wall clock closer than this are the one that just rang, seen by a slewed
clock."""


class Intervals(Struct, frozen=True):
    """A publisher's two intervals, whole seconds."""

    fictional: int
    nonfictional: int


class Bounds(Struct, frozen=True):
    """The least and greatest interval that any decision may set, whole seconds."""

    least: int
    greatest: int

    def hold(self, seconds: int) -> int:
        """Give the nearest interval within the bounds, never under SMALLEST_INTERVAL_S."""
        return max(SMALLEST_INTERVAL_S, self.least, min(self.greatest, seconds))


class Disposed(Struct, frozen=True):
    """What becomes of a proposal: the action and intervals that count, and what a guard rail changed.

    Invariant: `continue` and `pause` carry the intervals given; with `slow_down` no interval is shorter and
    one is longer, with `speed_up` the reverse, and each that moved lies within the bounds.
    """

    action: RateAction
    fictional_interval: int
    nonfictional_interval: int
    adjusted: bool = False
    adjustment: str = ""

    @property
    def paused(self) -> bool:
        """Whether publishing rests until the next decision: any action but `pause` ends a pause."""
        return self.action == "pause"

    @property
    def intervals(self) -> Intervals:
        """The intervals that count from now on."""
        return Intervals(self.fictional_interval, self.nonfictional_interval)


def instance_of(agent_id: str) -> int:
    """Give the number at the end of an identity (2 of publisher-2); 0 where there is none."""
    digits = agent_id.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


def phase_s(instance: int, period_s: float) -> float:
    """Give where in each period an instance's time lies: the fraction of instance x 0.618, of the period."""
    return (instance * GOLDEN_PART) % 1.0 * period_s


def next_mark_in_s(wall_s: float, period_s: float, at_phase_s: float) -> float:
    """Give the seconds from `wall_s` (UTC) to the next time that lies at the phase of a wall-clock period.

    Never less than EARLY_PART of a period, so that a timer which rang early doesn't ring twice for one mark.
    """
    left = (at_phase_s - wall_s) % period_s
    return left if left >= EARLY_PART * period_s else left + period_s


def first_mark_in_s(wall_s: float, period_s: float, at_phase_s: float) -> float:
    """Give the seconds from `wall_s` (UTC) to the next time that lies at the phase, however near."""
    return (at_phase_s - wall_s) % period_s


def next_due(last: float, interval: float) -> float:
    """Give when the next message is due: the last one plus the interval now in force."""
    return last + interval


def published_at(due: float, now: float) -> float:
    """Give the time that counts for a message published `now`: when it was due, but for a stall."""
    return due if now - due <= LATE_S else now


def dispose(decision: RateDecision, current: Intervals, bounds: Bounds) -> Disposed:
    """Bring a proposal within the rules; whatever it holds, the result keeps the invariant of `Disposed`.

    An interval that is absent or no number keeps the current one. Fractions are rounded in the direction of
    the action, so that a small move stays a move. A slow_down or speed_up that moves nothing, or moves one
    interval the wrong way, holds: its action becomes `continue`.
    """
    if decision.action == "pause":
        return _held("pause", current)
    if decision.action == "continue":
        same = _same(decision.fictional_interval, current.fictional) and _same(
            decision.nonfictional_interval, current.nonfictional
        )
        return _held("continue", current, "" if same else "continue keeps the intervals")
    if decision.action == "slow_down":
        return _moved("slow_down", decision, current, bounds)
    return _moved("speed_up", decision, current, bounds)


def _moved(
    action: Literal["slow_down", "speed_up"], decision: RateDecision, current: Intervals, bounds: Bounds
) -> Disposed:
    sign = 1 if action == "slow_down" else -1
    fictional, note_f = _proposed(decision.fictional_interval, current.fictional, bounds, sign)
    nonfictional, note_n = _proposed(decision.nonfictional_interval, current.nonfictional, bounds, sign)
    moves = (sign * (fictional - current.fictional), sign * (nonfictional - current.nonfictional))
    if min(moves) < 0:
        return _held("continue", current, f"{action} would move an interval the other way: held")
    if max(moves) == 0:
        why = note_f or note_n or "moves no interval"
        return _held("continue", current, f"{action}: {why}: held")
    notes = []
    for name, note in (("fictional", note_f), ("nonfictional", note_n)):
        if note:
            notes.append(f"{name} {note}")
    return Disposed(action, fictional, nonfictional, bool(notes), "; ".join(notes))


def _proposed(proposal: Optional[float], current: int, bounds: Bounds, sign: int) -> Tuple[int, str]:
    """Give the interval a proposal comes to, and what was changed about it."""
    if proposal is None or not math.isfinite(proposal):
        return current, "" if proposal is None else "interval is no number"
    # Beyond any bound already: a float of 300 digits would become an int of as many.
    clipped = min(max(proposal, -1e9), 1e9)
    whole = math.ceil(clipped) if sign > 0 else math.floor(clipped)
    if whole == current:
        return current, "" if whole == proposal else f"rounded to {whole} s"
    held = bounds.hold(whole)
    if held != whole:
        return held, f"clamped to {held} s"
    return held, "" if held == proposal else f"rounded to {held} s"


def _same(proposal: Optional[float], current: int) -> bool:
    return proposal is None or proposal == current


def _held(action: Literal["continue", "pause"], current: Intervals, adjustment: str = "") -> Disposed:
    return Disposed(action, current.fictional, current.nonfictional, bool(adjustment), adjustment)
