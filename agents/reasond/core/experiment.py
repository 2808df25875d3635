"""Control by time: what differs between the blocks in which the model decides and those in which it doesn't.

Publishers share the queues, so one of them can't be another's control. Instead all of them change together, by the
blocks of a switchback plan (`reasond.switchback`). Each block begins with the default intervals, and its first third
is cut, since what the one before left behind would count for this one. What still carries over pulls the effect
towards 0: it is a lower bound. The unit is the block: samples within one are alike, and to count them one by one
finds effects where there are none.
"""

import itertools
import math
from typing import Dict, List, Literal, Optional, Protocol, Sequence, Tuple

from msgspec import Struct

from reasond.switchback import WASHOUT_PART, Block, Switchback, block_at

WHOLE_PART = 0.8
"""Of a block's samples, after the cut, that must be there for it to count."""
LEAST_PAIRS = 6
"""With five pairs the least p-value of a sign flip test is 1/16: nothing could ever be told."""
EXACT_PAIRS = 12
RESAMPLES = 4000
ALPHA = 0.05


class Chance(Protocol):
    """Where chance comes from: a `random.Random`."""

    def getrandbits(self, k: int, /) -> int:
        """Give `k` random bits."""
        ...


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


def effect(
    plan: Switchback, measure: str, samples: Sequence[Tuple[int, float]], every_s: float, chance: Chance
) -> Effect:
    """Compare one measure's samples (UTC ns, value; one each `every_s` when none is missing) by blocks in pairs."""
    blocks = _means(plan, samples, every_s)
    pairs = [
        _of_pair(blocks[number], blocks[number + 1])
        for number in sorted(blocks)
        if number % 2 == 0 and number + 1 in blocks
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
    swaps = flips(len(pairs), chance)
    low, high = interval(differences, swaps)
    p = p_value(differences, swaps)
    return Effect(measure, found.pairs, found.treated, found.control, found.difference, low, high, p)


def flips(count: int, chance: Chance) -> List[Tuple[int, ...]]:
    """Give every way to swap the two of so many pairs (1 or -1 each), or where those are too many a sample of them."""
    if count <= EXACT_PAIRS:
        return list(itertools.product((1, -1), repeat=count))
    drawn = [chance.getrandbits(count) for _ in range(RESAMPLES - 1)]
    return [tuple(1 if bits >> place & 1 else -1 for place in range(count)) for bits in (2**count - 1, *drawn)]


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
    reach = max(abs(difference - mean) for difference in differences) * 2 + 1e-12
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


def _means(plan: Switchback, samples: Sequence[Tuple[int, float]], every_s: float) -> Dict[int, Tuple[bool, float]]:
    """Give the mean of each block that is whole, after its cut: by number, with whether it was treated."""
    values: Dict[int, List[float]] = {}
    blocks: Dict[int, Block] = {}
    for time_ns, value in samples:
        block = block_at(plan, time_ns)
        if time_ns >= block.counts_ns:
            blocks[block.number] = block
            values.setdefault(block.number, []).append(value)
    needed = WHOLE_PART * plan.block_s * (1 - WASHOUT_PART) / every_s
    return {n: (blocks[n].treated, _mean(found)) for n, found in values.items() if len(found) >= needed}


def _of_pair(first: Tuple[bool, float], second: Tuple[bool, float]) -> Tuple[float, float]:
    """Give the treated and the control block's mean."""
    return (first[1], second[1]) if first[0] else (second[1], first[1])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
