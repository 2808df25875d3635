"""Virtual time: a heap of calls, run in order; used by the simulated world instead of a loop."""

import heapq
from typing import Callable, List, Optional, Tuple

from msgspec import Struct

from reasond.core.effects import Now


class VirtualTimer(Struct):
    """A pending call that can be dropped."""

    function: Optional[Callable[[], None]]

    def cancel(self) -> None:
        """Drop the call; harmless once it has run."""
        self.function = None


class VirtualClock:
    """Time that stands still until `run_until` moves it to the next call; equal times run in the order given."""

    def __init__(self, start_wall_ns: int) -> None:
        """Begin at monotonic 0.0 and the given UTC time."""
        self._start_wall_ns = start_wall_ns
        self._now = Now(mono=0.0, wall_ns=start_wall_ns)
        self._order = 0
        self._heap: List[Tuple[float, int, VirtualTimer]] = []

    def now(self) -> Now:
        """Give the virtual time."""
        return self._now

    def call_at(self, mono: float, function: Callable[[], None]) -> VirtualTimer:
        """Call `function` at virtual time `mono`, or next when that is past."""
        timer = VirtualTimer(function)
        now = self._now.mono
        self._order += 1
        heapq.heappush(self._heap, (mono if mono > now else now, self._order, timer))
        return timer

    def call_later(self, delay_s: float, function: Callable[[], None]) -> VirtualTimer:
        """Call `function` after so many virtual seconds."""
        return self.call_at(self._now.mono + delay_s, function)

    def run_until(self, mono: float) -> None:
        """Run every call that is due up to and at `mono`, and leave the time there."""
        heap = self._heap
        while heap and heap[0][0] <= mono:
            at, _, timer = heapq.heappop(heap)
            if at > self._now.mono:
                self._now = Now(at, self._start_wall_ns + int(at * 1e9))
            function, timer.function = timer.function, None
            if function is not None:
                function()
        if mono > self._now.mono:
            self._now = Now(mono, self._start_wall_ns + int(mono * 1e9))
