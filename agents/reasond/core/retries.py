"""When a failed handler is tried again: bounded exponential backoff, and what waits for its time.

Used by the consumer's core. Without jitter: it is this process's own handler, nobody else comes back with it.
"""

import heapq
import itertools
from typing import List, Optional, Tuple

from reasond.core.intake import Item

BACKOFF_CAP_S = 60.0
"""No wait is longer: a message is held unacknowledged meanwhile."""


def backoff_s(failures: int, base_s: float, cap_s: float = BACKOFF_CAP_S) -> float:
    """Give the wait, seconds, after so many failures (1 or more): `base_s` doubled each time, to `cap_s`."""
    # The exponent is bounded so that the float can't overflow; the cap is long reached by then.
    return min(cap_s, base_s * 2.0 ** min(failures - 1, 60))


class Retries:
    """Items that wait for their next try."""

    def __init__(self) -> None:
        """Start with none."""
        self.waiting: List[Tuple[float, int, Item]] = []
        """A heap. Read by the core: most events find it empty."""
        self._order = itertools.count()

    def __len__(self) -> int:
        """Give how many wait."""
        return len(self.waiting)

    def add(self, at: float, item: Item) -> None:
        """Have the item tried again at monotonic time `at`."""
        heapq.heappush(self.waiting, (at, next(self._order), item))

    def next_due(self) -> Optional[float]:
        """Give the monotonic time of the next try."""
        return self.waiting[0][0] if self.waiting else None

    def take(self, until: Optional[float] = None) -> List[Item]:
        """Take out the items whose time has come at `until`, earliest first; all of them without one."""
        due = []
        while self.waiting and (until is None or self.waiting[0][0] <= until):
            due.append(heapq.heappop(self.waiting)[2])
        return due
