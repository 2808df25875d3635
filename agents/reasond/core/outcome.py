"""Did a decision do what it intended? The definitions, as pure functions; the docs are made from this text.

An outcome is a success or not (`outcome_success`, `outcome_score` 1 or 0), or there is none and
`outcome_missing` says why. It is written onto the decision's own `agent_reasoning` point.

**Publisher.** Two windows are compared, each by the medians of at least 3 samples a queue of `queue_metrics`:
one that ends with the decision, and one that starts after the greater of PUBLISHER_OUTCOME_SETTLE_S and the
old interval (before that the change can't show in the queues). Both are PUBLISHER_OUTCOME_WINDOW_S long and
one sampling period more, as samples don't come to the second; a second change of the rate ends the
after-window early. The measures are the *load* - time to drain the main queues where it is known in both
windows, otherwise their summed depth - and the *expiry*, the growth of `books.expired` a minute (unknown when
that queue lost messages). A measure moved when it differs by more than its dead band: a tenth of its value
before, and at least DRAIN_BAND_S, DEPTH_BAND_MESSAGES or EXPIRY_BAND_PER_MINUTE.

- `slow_down`, `pause` succeed when load or expiry fell and the other did not rise.
- `continue` succeeds when neither rose, or the load stays under its target.
- `speed_up` succeeds when more was published and no harm came of it: the expiry did not rise, and the load
  did not rise or stays under its target. In shadow nothing more is published, so there only the harm counts:
  success when acted minus success in shadow then says how much harm speeding up does (0 is best).

The target of the load is half of the TTL as time to drain, or TARGET_DEPTH_MESSAGES where only the depth is
known. A decision in shadow is measured alike: it is the placebo.

**Consumer.** `flag_anomaly` succeeds when the ground truth says that the message was anomalous. `process` and
`batch` succeed when the handler did and the message wasn't late, unless it is known to have been anomalous: then
it was missed.

**Monitor.** Succeeds when none of the deterministic findings of its window stands in the next one.
"""

import statistics
from typing import Any, Collection, Dict, Iterable, List, Optional, Sequence, Tuple

from msgspec import Struct

from reasond.core import trends
from reasond.core.rules import HIGH_WAIT_PART
from reasond.core.views import QueueSample
from reasond.topology import FICTIONAL, MAIN_QUEUES, NON_FICTIONAL, PRIORITY

MIN_SAMPLES = 3
"""Samples a queue and window: the median of three forgives one that is out of line."""
BAND_PART = 0.1
"""Part of the value before: sampled depths of a steady flow scatter by about as much."""
DRAIN_BAND_S = 2.0
"""Seconds: under half a sampling period nothing is told apart."""
DEPTH_BAND_MESSAGES = 2.0
"""Messages: one in each consumer's hand more or less is no change."""
EXPIRY_BAND_PER_MINUTE = 2.0
"""Messages a minute: two windows of 20 s can't tell less than one message apart, which is 3 a minute."""
TARGET_DEPTH_MESSAGES = 10.0
"""Messages in all main queues: a default prefetch of one consumer would take them at once, several times
over."""

FALLBACK_DEPTHS = "fallback_depths"
"""Depths were the broker's own at the moment, or ready counts alone: not comparable with the samples."""
RESTART = "restart"
"""The agent was started anew before the outcome could be measured."""
SECOND_CHANGE = "second_change"
"""The rate changed again before the first change could be measured."""
NOTHING_TO_MOVE = "nothing_to_move"
"""Queues and expiry were so low that what was intended could not have shown."""
TOO_FEW_SAMPLES = "too_few_samples"
"""A window held less than MIN_SAMPLES samples of a queue."""
HELD = "held"
"""The operator held the agent meanwhile."""
NOT_PUBLISHING = "not_publishing"
"""The broker was away or blocked meanwhile."""
NO_VIEW = "no_view"
"""The store did not give the samples."""
OPERATOR = "operator"
"""The operator's own orders are recorded, not judged; nor is a decision that one of them overtook."""
BLOCK = "block_ended"
"""A block of an experiment ended before the outcome could be measured."""
NO_GROUND_TRUTH = "no_ground_truth"
"""Nobody knows whether the flagged message was anomalous."""
NOT_HANDLED = "not_handled"
"""The message left the consumer before its handler ended."""
NO_FINDING = "no_finding"
"""The monitor found nothing that could go away or persist."""
GAP = "gap"
"""The next window was not looked at."""

_AFTER_FIELDS = {
    FICTIONAL: "queue_depth_fictional_after",
    NON_FICTIONAL: "queue_depth_nonfictional_after",
    PRIORITY: "queue_depth_priority_after",
}


class Outcome(Struct, frozen=True):
    """Success or not, or (success None) why there is none; `after` are the fields measured afterwards."""

    success: Optional[bool] = None
    missing: str = ""
    after: Dict[str, Any] = {}

    def fields(self) -> Dict[str, Any]:
        """Give the `agent_reasoning` fields to add to the decision's point."""
        fields = dict(self.after)
        if self.success is None:
            fields["outcome_missing"] = self.missing
        else:
            fields.update(outcome_success=self.success, outcome_score=1.0 if self.success else 0.0)
        return fields


class Window(Struct, frozen=True):
    """A window's medians: depth by queue, time to drain and expiry a minute; None is unknown.

    `samples` is the least number among the two genres' queues (and `priority`, where it was sampled),
    `fallback` whether samples of ready messages alone were left out.
    """

    depths: Dict[str, float]
    samples: int
    drain_time_s: Optional[float] = None
    expired_per_minute: Optional[float] = None
    fallback: bool = False

    @property
    def depth(self) -> float:
        """The summed depth of the main queues, messages."""
        return sum(self.depths.values())


class Span(Struct, frozen=True):
    """A range of time [start, stop), UTC nanoseconds."""

    start_ns: int
    stop_ns: int


def before_span(at_ns: int, window_s: float, sampling_period_s: float) -> Span:
    """Give the window that ends with a decision made at `at_ns`."""
    return Span(at_ns - int((window_s + sampling_period_s) * 1e9), at_ns)


def after_span(
    at_ns: int, *, old_interval_s: float, settle_s: float, window_s: float, sampling_period_s: float
) -> Span:
    """Give the window in which the effect of a decision made at `at_ns` is measured."""
    start = at_ns + int(max(settle_s, old_interval_s) * 1e9)
    return Span(start, start + int((window_s + sampling_period_s) * 1e9))


def window(samples: Iterable[QueueSample], span: Span) -> Window:
    """Give the medians of the samples within a span."""
    inside = [s for s in samples if span.start_ns <= s.time_ns < span.stop_ns and s.depth is not None]
    whole = [sample for sample in inside if sample.source == "management"]
    by_queue = {queue: trends.of_queue(whole, queue) for queue in MAIN_QUEUES}
    counted = [len(by_queue[queue]) for queue in MAIN_QUEUES if queue != PRIORITY or by_queue[queue]]
    depths = {queue: statistics.median(_depths(mine)) for queue, mine in by_queue.items() if mine}
    return Window(
        depths=depths,
        samples=min(counted),
        drain_time_s=_drain(by_queue, depths),
        expired_per_minute=trends.expired_per_minute(whole),
        fallback=len(whole) < len(inside),
    )


def rate_outcome(
    action: str, before: Window, after: Window, *, ttl_s: float, published_more: Optional[bool] = None
) -> Outcome:
    """Judge a publisher's decision by its two windows.

    `published_more` tells whether a speed_up really published more, None in shadow.
    """
    if min(before.samples, after.samples) < MIN_SAMPLES:
        return Outcome(missing=FALLBACK_DEPTHS if before.fallback or after.fallback else TOO_FEW_SAMPLES)
    figures = _after(after)
    load, expiry, after_load, target = _measures(before, after, ttl_s)
    under_target = after_load <= target
    if action in ("slow_down", "pause"):
        if not _could_fall(before):
            return Outcome(missing=NOTHING_TO_MOVE, after=figures)
        return Outcome(success=min(load, expiry) < 0 and max(load, expiry) <= 0, after=figures)
    if action == "speed_up":
        harmless = expiry <= 0 and (load <= 0 or under_target)
        return Outcome(success=harmless and published_more is not False, after=figures)
    if not _could_fall(before) and not _could_fall(after):
        return Outcome(missing=NOTHING_TO_MOVE, after=figures)
    return Outcome(success=expiry <= 0 and (load <= 0 or under_target), after=figures)


def handling_outcome(action: str, *, handled: Optional[bool], anomalous: Optional[bool]) -> Outcome:
    """Judge a consumer's decision by how the handler ended and the ground truth; None is unknown."""
    if action == "flag_anomaly":
        return Outcome(missing=NO_GROUND_TRUTH) if anomalous is None else Outcome(success=anomalous)
    if anomalous:
        return Outcome(success=False)
    return Outcome(missing=NOT_HANDLED) if handled is None else Outcome(success=handled)


def health_outcome(found: Collection[str], found_next: Optional[Collection[str]]) -> Outcome:
    """Judge a monitor's decision by the findings' codes in its window and the next (None: not seen)."""
    if found_next is None:
        return Outcome(missing=GAP)
    return Outcome(success=set(found).isdisjoint(found_next))


def _depths(samples: Sequence[QueueSample]) -> List[float]:
    return [float(sample.depth) for sample in samples if sample.depth is not None]


def _drain(by_queue: Dict[str, List[QueueSample]], depths: Dict[str, float]) -> Optional[float]:
    """Give the drain time of the slowest queue by median depth and rates, None when one is unknown."""
    times: List[float] = []
    for queue, depth in depths.items():
        mine = by_queue[queue]
        if depth <= 0:
            # Empty, at whatever rates.
            times.append(0.0)
        else:
            time = trends.drain_time_s(
                depth,
                _median_of([s.publish_rate for s in mine]),
                _median_of([s.ack_rate for s in mine]),
                trends.trend_per_minute(mine),
            )
            if time is None:
                return None
            times.append(time)
    return max(times) if times else None


def _median_of(values: Sequence[Optional[float]]) -> Optional[float]:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _measures(before: Window, after: Window, ttl_s: float) -> Tuple[int, int, float, float]:
    """Give how load and expiry moved (-1, 0, 1), the load after, and its target."""
    if before.drain_time_s is not None and after.drain_time_s is not None:
        load = _moved(before.drain_time_s, after.drain_time_s, DRAIN_BAND_S)
        figures = after.drain_time_s, HIGH_WAIT_PART * ttl_s
    else:
        load = _moved(before.depth, after.depth, DEPTH_BAND_MESSAGES)
        figures = after.depth, TARGET_DEPTH_MESSAGES
    expiry = 0
    if before.expired_per_minute is not None and after.expired_per_minute is not None:
        expiry = _moved(before.expired_per_minute, after.expired_per_minute, EXPIRY_BAND_PER_MINUTE)
    return load, expiry, figures[0], figures[1]


def _moved(before: float, after: float, band: float) -> int:
    """Tell whether a measure fell (-1), rose (1) or stayed within its dead band (0)."""
    change = after - before
    return 0 if abs(change) <= max(band, BAND_PART * before) else (1 if change > 0 else -1)


def _could_fall(window: Window) -> bool:
    """Tell whether there is so much in the queues, or expiring, that a fall could show."""
    return window.depth > DEPTH_BAND_MESSAGES or (window.expired_per_minute or 0.0) > EXPIRY_BAND_PER_MINUTE


def _after(after: Window) -> Dict[str, Any]:
    figures: Dict[str, Any] = {_AFTER_FIELDS[queue]: round(depth) for queue, depth in after.depths.items()}
    if after.drain_time_s is not None:
        figures["drain_time_s_after"] = after.drain_time_s
    return figures
