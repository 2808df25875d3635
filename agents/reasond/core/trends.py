"""What a run of queue samples says: depth, trend, time to drain, age, expiry.

Used by the publisher's core for its questions and by `core.outcome`; general enough for whoever has samples.
None is unknown, never 0.
"""

import math
from operator import attrgetter
from typing import Dict, Iterable, List, Mapping, Optional, Sequence

from reasond.core.contexts import QueueFacts
from reasond.core.views import QueueSample
from reasond.topology import EXPIRED, MAIN_QUEUES

TREND_MIN_SAMPLES = 3
"""Samples: a line through two points is noise."""
LEVEL_PER_MINUTE = 0.5
"""Messages a minute: a queue that shrinks more slowly than this is level, and its drain time would be hours
of noise."""
RATE_WINDOW_NS = 30 * 1_000_000_000
"""The broker's rates cover its last sampling interval of a few seconds: with slow handlers most of them are 0."""
NS_PER_MINUTE = 60 * 1_000_000_000

_by_time = attrgetter("time_ns")


def of_queue(samples: Iterable[QueueSample], queue: str) -> List[QueueSample]:
    """Give that queue's samples whose depth is known, oldest first."""
    mine = [sample for sample in samples if sample.queue == queue and sample.depth is not None]
    return sorted(mine, key=_by_time)


def trend_per_minute(samples: Sequence[QueueSample]) -> Optional[float]:
    """Give one queue's change of depth a minute, by least squares; None for fewer than 3 samples."""
    known = [sample for sample in samples if sample.depth is not None]
    if len(known) < TREND_MIN_SAMPLES:
        return None
    start, depths = known[0].time_ns, [sample.depth or 0 for sample in known]
    if known[-1].time_ns > start and depths.count(depths[0]) == len(depths):
        return 0.0
    times = [(sample.time_ns - start) / NS_PER_MINUTE for sample in known]
    mean_time, mean_depth = _mean(times), _mean(depths)
    spread = sum([(at - mean_time) ** 2 for at in times])
    if spread == 0:
        return None
    return sum([(at - mean_time) * (depth - mean_depth) for at, depth in zip(times, depths)]) / spread


def drain_time_s(
    depth: Optional[float],
    publish_rate: Optional[float] = None,
    ack_rate: Optional[float] = None,
    trend: Optional[float] = None,
) -> Optional[float]:
    """Give the seconds until a queue is empty if it goes on shrinking as it does; 0 for an empty one.

    The net rate is ack - publish (messages/s), where those are unknown the trend (messages/minute). None
    when the depth is unknown, or the queue doesn't shrink: it then has no time to drain.
    """
    if depth is None:
        return None
    if depth <= 0:
        return 0.0
    if publish_rate is not None and ack_rate is not None:
        net_per_s: Optional[float] = ack_rate - publish_rate
    else:
        net_per_s = None if trend is None else -trend / 60
    if net_per_s is None or net_per_s * 60 < LEVEL_PER_MINUTE:
        return None
    return depth / net_per_s


def facts(samples: Iterable[QueueSample], queue: str) -> QueueFacts:
    """Give what is known of one queue; depth and consumers are the newest, rates a mean over RATE_WINDOW_NS."""
    mine = of_queue(samples, queue)
    if not mine:
        return QueueFacts(depth=None)
    trend = trend_per_minute(mine)
    since_ns = mine[-1].time_ns - RATE_WINDOW_NS
    recent = [sample for sample in mine if sample.time_ns > since_ns]
    publish = _known_mean([sample.publish_rate for sample in recent])
    acked = _known_mean([sample.ack_rate for sample in recent])
    return QueueFacts(
        depth=mine[-1].depth,
        trend_per_minute=trend,
        publish_rate=publish,
        ack_rate=acked,
        consumers=mine[-1].consumers,
        drain_time_s=drain_time_s(mine[-1].depth, publish, acked, trend),
    )


def all_facts(samples: Sequence[QueueSample], queues: Sequence[str] = MAIN_QUEUES) -> Dict[str, QueueFacts]:
    """Give the facts of each named queue; one without samples has unknown depth."""
    return {queue: facts(samples, queue) for queue in queues}


def depths_line(depths: Mapping[str, Optional[int]]) -> str:
    """Give depths by queue as a few words for a status line; `?` is unknown."""
    return "depth " + " ".join([f"{queue} {'?' if depth is None else depth}" for queue, depth in depths.items()])


def longest_drain_s(queues: Iterable[QueueFacts]) -> Optional[float]:
    """Give the time until the last of these queues is empty; None when one has no drain time."""
    times = [queue.drain_time_s for queue in queues if queue.depth is not None]
    known = [time for time in times if time is not None]
    return max(known) if known and len(known) == len(times) else None


def newest_age_s(samples: Iterable[QueueSample], wall_ns: int) -> Optional[float]:
    """Give the age of the newest sample of known depth, at least 0; None without one."""
    times = [sample.time_ns for sample in samples if sample.depth is not None]
    return max(0.0, (wall_ns - max(times)) / 1e9) if times else None


def expired_per_minute(samples: Iterable[QueueSample], queue: str = EXPIRED) -> Optional[float]:
    """Give how many messages a minute came to the queue of the expired.

    None when it was sampled less than twice, or lost messages meanwhile (purged, or old ones fell off).
    """
    mine = of_queue(samples, queue)
    if len(mine) < 2 or mine[-1].time_ns == mine[0].time_ns:
        return None
    depths = [sample.depth or 0 for sample in mine]
    # It never shrank when it is in order.
    if depths != sorted(depths):
        return None
    minutes = (mine[-1].time_ns - mine[0].time_ns) / NS_PER_MINUTE
    return (depths[-1] - depths[0]) / minutes


def _known_mean(rates: Sequence[Optional[float]]) -> Optional[float]:
    """Give the mean of the rates that are known; None where none is."""
    known = [rate for rate in rates if rate is not None]
    return _mean(known) if known else None


def _mean(values: Sequence[float]) -> float:
    # What statistics.fmean gives, but it is asked for thousands of times a day and takes three times as long.
    return math.fsum(values) / len(values)
