"""How many messages came to their end lately, for STATUS lines. Used by the consumer's core."""

from collections import deque
from typing import Deque, Tuple

from reasond.core.effects import Now

STEP_S = 5.0
"""The rate is counted in steps of this length, so that counting costs next to nothing."""
WINDOW_S = 60.0


class Tally:
    """Counts over the last minute, and duplicates since the start."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.duplicates = 0
        self._steps: Deque[Tuple[float, int]] = deque()
        self._step = 0.0
        self._count = 0
        self._total = 0

    def count(self, now: Now, messages: int) -> None:
        """Count messages that ended now."""
        if now.mono - self._step >= STEP_S:
            self._turn(now)
        self._count += messages

    def per_minute(self, now: Now) -> float:
        """Give how many ended in the last minute."""
        self._turn(now)
        return float(self._total)

    def _turn(self, now: Now) -> None:
        if self._count:
            self._steps.append((now.mono, self._count))
            self._total += self._count
        self._step, self._count = now.mono, 0
        while self._steps and self._steps[0][0] < now.mono - WINDOW_S:
            self._total -= self._steps.popleft()[1]
