"""The broker's own figures with their fallback: the management API, else passive declares on the agent's channel.

Used by the runtime as the observer's `BrokerStatistics`.
"""

import threading
from typing import Callable, Dict, List, Optional, Tuple

from reasond.core.views import BrokerStatistics, QueueSample
from reasond.errors import BrokerError, BrokerUnavailable

ReadyCounts = Callable[[Callable[[Dict[str, Optional[int]]], None]], None]
DECLARE_DEADLINE_S = 5.0
"""A passive declare is answered in milliseconds; a broker that takes longer is as good as away."""


class StatisticsWithFallback:
    """Asks the management API first; where that doesn't answer, the ready counts, marked as such."""

    def __init__(
        self, management: BrokerStatistics, ready_counts: ReadyCounts, post: Callable[[Callable[[], None]], None]
    ) -> None:
        """Take both ways and `post`, which calls a function on the loop that owns the channel."""
        self._management = management
        self._ready_counts = ready_counts
        self._post = post

    def queue_samples(self, at_ns: int) -> Tuple[QueueSample, ...]:
        """Give one sample of each queue.

        Raises BrokerUnavailable or BrokerRefused when neither way answers.
        """
        try:
            return self._management.queue_samples(at_ns)
        except BrokerError as err:
            counts = self._declared()
            if not counts:
                raise BrokerUnavailable("{}; nor did a passive declare answer".format(err)) from err
            return tuple(
                QueueSample(time_ns=at_ns, queue=queue, depth=ready, ready=ready, source="declare")
                for queue, ready in sorted(counts.items())
                if ready is not None
            )

    def _declared(self) -> Dict[str, Optional[int]]:
        answered = threading.Event()
        counts: List[Dict[str, Optional[int]]] = []

        def take(found: Dict[str, Optional[int]]) -> None:
            counts.append(found)
            answered.set()

        self._post(lambda: self._ready_counts(take))
        answered.wait(DECLARE_DEADLINE_S)
        return counts[0] if counts else {}
