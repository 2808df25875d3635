"""Control by time: what differs between the blocks in which the model decides and those in which it doesn't.

Publishers share the queues, so one of them can't be another's control. Instead all of them change together, by the
blocks of a switchback plan (`reasond.switchback`). Each block begins with the default intervals, and its first third
is cut, since what the one before left behind would count for this one. What still carries over pulls the effect
towards 0: it is a lower bound. The unit is the block: samples within one are alike, and to count them one by one
finds effects where there are none.
"""

import hashlib
import itertools
import math
from typing import Dict, Iterable, List, Literal, Optional, Sequence, Set, Tuple

from msgspec import Struct

from reasond.core.views import Minutes
from reasond.switchback import WASHOUT_PART, Block, Switchback, block_at

MEASURES = ("depth", "expired", "usd")
"""What an experiment is judged by, a minute: messages in the main queues (mean), messages expired, dollars spent."""
MINUTE_S = 60.0

WHOLE_PART = 0.8
"""Of a block's samples, after the cut, that must be there for it to count."""
LEAST_PAIRS = 6
"""With five pairs the least p-value of a sign flip test is 1/16: nothing could ever be told."""
EXACT_PAIRS = 12
RESAMPLES = 4000
ALPHA = 0.05


class BlockMean(Struct, frozen=True, array_like=True):
    """A block that counts: its number, whether it was treated, and one measure's mean in it."""

    number: int
    treated: bool
    mean: float


class Effect(Struct, frozen=True):
    """One measure under treatment and control: block means, their difference with its 95 % interval, and p.

    `low`, `high` and `p` are None with fewer than LEAST_PAIRS pairs.
    """

    measure: str
    pairs: int
    treated: Optional[float]
    control: Optional[float]
    difference: Optional[float]
    low: Optional[float] = None
    high: Optional[float] = None
    p: Optional[float] = None

    @property
    def verdict(self) -> Literal["too little data", "no measurable difference", "less", "more"]:
        """What can be said, of the treatment against the control."""
        if self.p is None or self.difference is None:
            return "too little data"
        if self.p > ALPHA:
            return "no measurable difference"
        return "less" if self.difference < 0 else "more"


def exposed(plan: Switchback, minutes: Minutes) -> Set[int]:
    """Give the numbers of the blocks in which all decisions carry the arm that the plan gives them."""
    arms: Dict[int, Set[str]] = {}
    for decided in minutes.decided:
        arms.setdefault(decided.block, set()).add(decided.arm)
    return {number for number, found in arms.items() if found == {_arm(plan, number)}}


def block_means(plan: Switchback, minutes: Minutes, measure: str, counting: Iterable[int]) -> Tuple[BlockMean, ...]:
    """Give a measure's mean in each whole block of those that are `counting`, after its cut.

    A minute that has depths and nothing of the measure had none of it.
    """
    wanted, figures = set(counting), minutes.figures[measure]
    samples = [
        (time_ns, figures.get(time_ns, 0.0))
        for time_ns in sorted(minutes.figures["depth"])
        if block_at(plan, time_ns).number in wanted
    ]
    return means(plan, samples, MINUTE_S)


def means(plan: Switchback, samples: Iterable[Tuple[int, float]], every_s: float) -> Tuple[BlockMean, ...]:
    """Give the mean of each block that is whole, after its cut, of samples (UTC ns, value), one each `every_s`."""
    values: Dict[int, List[float]] = {}
    blocks: Dict[int, Block] = {}
    for time_ns, value in samples:
        block = block_at(plan, time_ns)
        if time_ns >= block.counts_ns:
            blocks[block.number] = block
            values.setdefault(block.number, []).append(value)
    needed = WHOLE_PART * plan.block_s * (1 - WASHOUT_PART) / every_s
    return tuple(
        BlockMean(number, blocks[number].treated, _mean(found))
        for number, found in sorted(values.items())
        if len(found) >= needed
    )


def effect(measure: str, blocks: Iterable[BlockMean]) -> Effect:
    """Compare one measure under treatment and control, by the blocks of each pair that is whole."""
    by_number = {block.number: block for block in blocks}
    pairs = [
        _of_pair(first, by_number[number + 1])
        for number, first in sorted(by_number.items())
        if number % 2 == 0 and number + 1 in by_number
    ]
    if not pairs:
        return Effect(measure, 0, None, None, None)
    differences = [treated - control for treated, control in pairs]
    found = Effect(
        measure,
        len(pairs),
        _mean([treated for treated, _ in pairs]),
        _mean([control for _, control in pairs]),
        _mean(differences),
    )
    if len(pairs) < LEAST_PAIRS:
        return found
    swaps = flips(len(pairs))
    low, high = interval(differences, swaps)
    p = p_value(differences, swaps)
    return Effect(measure, found.pairs, found.treated, found.control, found.difference, low, high, p)


def flips(count: int) -> List[Tuple[int, ...]]:
    """Give every way to swap the two of so many pairs (1 or -1 each), or where those are too many a sample of them.

    The sample is the same each time, so that one range gives one result.
    """
    if count <= EXACT_PAIRS:
        return list(itertools.product((1, -1), repeat=count))
    as_seen = (1,) * count
    return [as_seen, *(_drawn(count, number) for number in range(RESAMPLES - 1))]


def p_value(differences: Sequence[float], swaps: Sequence[Sequence[int]], shift: float = 0.0) -> float:
    """Give the part of the ways to swap that make as great a mean difference as was seen, from `shift` (two-sided)."""
    moved = [difference - shift for difference in differences]
    # A rounding error must not make a swap of everything look smaller than what was seen.
    least = abs(math.fsum(moved)) * (1 - 1e-12)
    as_great = sum(abs(math.fsum([value * sign for value, sign in zip(moved, swap)])) >= least for swap in swaps)
    return as_great / len(swaps)


def interval(differences: Sequence[float], swaps: Sequence[Sequence[int]]) -> Tuple[float, float]:
    """Give the shifts that the test doesn't reject: the 95 % interval of the mean difference, by bisection."""
    mean = _mean(differences)
    reach = 2 * max(abs(difference - mean) for difference in differences)
    if not reach:
        return mean, mean
    ends = []
    for sign in (-1.0, 1.0):
        inside, outside = mean, mean + sign * reach
        for _ in range(30):
            middle = (inside + outside) / 2
            if p_value(differences, swaps, middle) > ALPHA:
                inside = middle
            else:
                outside = middle
        ends.append(outside)
    return ends[0], ends[1]


def _drawn(count: int, number: int) -> Tuple[int, ...]:
    digest = hashlib.shake_128(f"swap {number}".encode()).digest((count + 7) // 8)
    bits = int.from_bytes(digest, "big")
    return tuple(1 if bits >> place & 1 else -1 for place in range(count))


def _of_pair(first: BlockMean, second: BlockMean) -> Tuple[float, float]:
    """Give the treated and the control block's mean."""
    return (first.mean, second.mean) if first.treated else (second.mean, first.mean)


def _arm(plan: Switchback, number: int) -> str:
    return block_at(plan, number * plan.block_s * 10**9).arm


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
