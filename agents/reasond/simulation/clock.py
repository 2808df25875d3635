"""Virtual time: a heap of calls, run in order; used by the simulated world instead of a loop."""

import heapq
import itertools
from typing import Callable, List, Optional, Tuple

from reasond.core.effects import Now


class VirtualTimer:
    """A pending call that can be dropped."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], None]) -> None:
        """Hold the call."""
        self.function: Optional[Callable[[], None]] = function

    def cancel(self) -> None:
        """Drop the call; harmless once it has run."""
        self.function = None


class VirtualClock:
    """Time that stands still until `run_until` moves it to the next call; equal times run in the order given."""

    def __init__(self, start_wall_ns: int) -> None:
        """Begin at monotonic 0.0 and the given UTC time."""
        self._start_wall_ns = start_wall_ns
        self._now = Now(mono=0.0, wall_ns=start_wall_ns)
        self._order = itertools.count()
        self._heap: List[Tuple[float, int, VirtualTimer]] = []

    def now(self) -> Now:
        """Give the virtual time."""
        return self._now

    def call_at(self, mono: float, function: Callable[[], None]) -> VirtualTimer:
        """Call `function` at virtual time `mono`, or next when that is past."""
        timer = VirtualTimer(function)
        now = self._now.mono
        heapq.heappush(self._heap, (mono if mono > now else now, next(self._order), timer))
        return timer

    def run_until(self, mono: float) -> None:
        """Run every call that is due up to and at `mono`, and leave the time there."""
        heap = self._heap
        while heap and heap[0][0] <= mono:
            at, _, timer = heapq.heappop(heap)
            if at > self._now.mono:
                self._go_on(at)
            function, timer.function = timer.function, None
            if function is not None:
                function()
        if mono > self._now.mono:
            self._go_on(mono)

    def _go_on(self, mono: float) -> None:
        self._now = Now(mono, self._start_wall_ns + int(mono * 1e9))
