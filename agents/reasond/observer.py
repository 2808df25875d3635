"""Makes the views that a core looks for from two ports: a store of points and a broker's statistics.

Used by the runtime and the simulation, which call it off the main thread: it blocks as long as its ports do.
"""

from typing import Any, Callable, Dict, Optional, Sequence, Tuple, TypeVar, Union

from reasond.core.effects import Look, ViewFailed
from reasond.core.views import (
    Activity,
    BrokerStatistics,
    DepthsView,
    Minutes,
    Peer,
    QueueSample,
    RateView,
    StoreReader,
    WindowView,
)
from reasond.decisions import AgentType
from reasond.errors import ReasondError
from reasond.topology import MAIN_QUEUES

RATE_WINDOW_NS = 120 * 1_000_000_000
"""Nanoseconds: two dozen samples, enough for a trend and for medians; peers decide each 30 s."""
FRESH_SAMPLING_PERIODS = 2.0
"""Sampling periods: a store whose newest sample is older has missed two, and the broker is asked instead."""

T = TypeVar("T")
View = Union[RateView, DepthsView, WindowView, Activity, Minutes]


class Observer:
    """Answers each `Look` of one agent with a view, degraded where a port fails, or with `ViewFailed`."""

    def __init__(
        self,
        store: StoreReader,
        statistics: BrokerStatistics,
        sampling_period_s: float,
        *,
        agent_id: str = "",
        agent_type: AgentType = "publisher",
    ) -> None:
        """Take the ports and the monitor's sampling period; peers are of `agent_type`, without `agent_id`."""
        self._store = store
        self._statistics = statistics
        self._fresh_ns = int(FRESH_SAMPLING_PERIODS * sampling_period_s * 1e9)
        self._agent_id = agent_id
        self._agent_type = agent_type
        self._views: Dict[str, Callable[[Look, int], Any]] = {
            "rate": self._rate,
            "broker_depths": self._broker_depths,
            "depth_window": self._depth_window,
            "activity": self._activity,
            "minutes": self._minutes,
        }

    def look(self, effect: Look, wall_ns: int) -> Union[View, ViewFailed]:
        """Give the view that is asked for, as of `wall_ns` (UTC); never raises."""
        try:
            view: View = self._views[effect.view](effect, wall_ns)
            return view
        except ReasondError as err:
            return ViewFailed(str(err) or type(err).__name__)
        except Exception as err:  # the core waits for an answer: a fault of ours must not leave it without one
            return ViewFailed("{}: {}".format(type(err).__name__, err))

    def _rate(self, effect: Look, wall_ns: int) -> RateView:
        start_ns, stop_ns = wall_ns - RATE_WINDOW_NS, wall_ns + 1
        samples = _or_none(lambda: self._store.queue_samples(start_ns, stop_ns))
        # A store that just failed to answer would only cost a second timeout.
        peers = () if samples is None else self._peers(start_ns, wall_ns)
        newest = _newest_ns(samples or ())
        if samples is not None and newest is not None and wall_ns - newest <= self._fresh_ns:
            return RateView(samples=samples, source="influxdb", peers=peers)
        own = _or_none(lambda: self._statistics.queue_samples(wall_ns))
        if own is not None and _newest_ns(own) is not None:
            return RateView(samples=own, source="broker", peers=peers)
        return RateView(samples=(), source="unknown", peers=peers)

    def _peers(self, start_ns: int, stop_ns: int) -> Tuple[Peer, ...]:
        peers = _or_none(lambda: self._store.peers(self._agent_type, start_ns, stop_ns))
        return tuple(peer for peer in peers or () if peer.agent_id != self._agent_id)

    def _broker_depths(self, effect: Look, wall_ns: int) -> DepthsView:
        return DepthsView(samples=self._statistics.queue_samples(wall_ns))

    def _depth_window(self, effect: Look, wall_ns: int) -> WindowView:
        return WindowView(samples=self._store.queue_samples(effect.start_ns, effect.stop_ns))

    def _activity(self, effect: Look, wall_ns: int) -> Activity:
        return self._store.activity(effect.start_ns, effect.stop_ns)

    def _minutes(self, effect: Look, wall_ns: int) -> Minutes:
        return self._store.minutes(effect.start_ns, effect.stop_ns)


def _or_none(ask: Callable[[], T]) -> Optional[T]:
    try:
        return ask()
    except ReasondError:
        return None


def _newest_ns(samples: Sequence[QueueSample]) -> Optional[int]:
    """Give the time of the newest main queue's sample that knows its depth; the samples are oldest first."""
    known = (s.time_ns for s in reversed(samples) if s.queue in MAIN_QUEUES and s.depth is not None)
    return next(known, None)
