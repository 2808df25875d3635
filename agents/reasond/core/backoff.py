"""How long to wait before trying again: exponential, capped, with bounded jitter.

Used by the adapters and the runtime.
"""

from typing import Protocol

JITTER_PART = 0.5
"""Part of a delay that is left to chance: agents that lost one server together then don't come back together,
and yet no wait is shorter than half of what the attempt calls for."""
MAX_DOUBLINGS = 62
"""Doublings: beyond it any cap is long reached and the float would overflow."""


class Chance(Protocol):
    """Where chance comes from: a `random.Random`."""

    def random(self) -> float:
        """Give a number in [0, 1)."""
        ...


def delay_s(attempt: int, *, base_s: float, cap_s: float, rng: Chance) -> float:
    """Give the wait in seconds after the failed attempt number `attempt` (0 is the first).

    The full delay is `base_s` doubled with each attempt, at most `cap_s`; what is given lies between
    1 - JITTER_PART of it and all of it. Raises ValueError for a negative attempt, base or cap.
    """
    if attempt < 0 or base_s < 0 or cap_s < 0:
        raise ValueError("attempt, base_s and cap_s must not be negative")
    full = min(cap_s, base_s * 2.0 ** min(attempt, MAX_DOUBLINGS))
    return full * (1.0 - JITTER_PART * rng.random())
