"""An experiment's effect on a running system, from InfluxDB: figures a minute, and who decided in which block."""

import random
from typing import Callable, Dict, List, Set, Tuple

from msgspec import Struct

from reasond.adapters.influxdb import InfluxReader, nanoseconds
from reasond.core.experiment import Effect, effect
from reasond.report import queries
from reasond.report.span import Span
from reasond.switchback import Switchback, block_at

PIECE_S = 24 * 3600
EVERY_S = 60
SEED = 1
"""Of the swaps that are drawn where all of them would be too many: one range gives one result."""

Progress = Callable[[float], None]


class Trial(Struct, frozen=True):
    """What came of a plan in a range: effects by measure, blocks that count, and who decided in the treatment's.

    `unexposed` are blocks of the range in which the publishers' decisions don't carry the plan's arm: they were not
    part of this experiment, and are left out.
    """

    plan: Switchback
    effects: Tuple[Effect, ...]
    exposed: int
    unexposed: int
    decided: Dict[str, int]


def trial(reader: InfluxReader, plan: Switchback, asked: Span, progress: Progress = lambda part: None) -> Trial:
    """Read a range and compare the plan's blocks in it. Raises StoreUnavailable or StoreRefused."""
    figures: Dict[str, Dict[int, float]] = {name: {} for name in queries.BY_MINUTE}
    arms: Dict[int, Set[str]] = {}
    decided: Dict[str, int] = {}
    for piece in asked.pieces(PIECE_S):
        for name, text in queries.BY_MINUTE.items():
            for record in reader.query(text, start=piece.start_ns, stop=piece.stop_ns):
                figures[name][nanoseconds(record["_time"])] = float(record["_value"])
        for record in reader.query(queries.EXPOSURE, start=piece.start_ns, stop=piece.stop_ns):
            arms.setdefault(int(record["block"]), set()).add(record["arm"])
            if record["arm"] == plan.treatment:
                decided[record["brain"]] = decided.get(record["brain"], 0) + int(record["_value"])
        progress((piece.stop_ns - asked.start_ns) / (asked.stop_ns - asked.start_ns))
    exposed = {number for number, found in arms.items() if found == {_arm(plan, number)}}
    seen = {block_at(plan, time_ns).number for time_ns in figures["depth"]}
    effects = [_effect(plan, name, figures, exposed) for name in queries.BY_MINUTE]
    return Trial(plan, tuple(effects), len(exposed & seen), len(seen - exposed), decided)


def _effect(plan: Switchback, name: str, figures: Dict[str, Dict[int, float]], exposed: Set[int]) -> Effect:
    """Compare one measure; a minute that has depths and nothing of the measure had none of it."""
    samples: List[Tuple[int, float]] = [
        (time_ns, figures[name].get(time_ns, 0.0))
        for time_ns in sorted(figures["depth"])
        if block_at(plan, time_ns).number in exposed
    ]
    return effect(plan, name, samples, EVERY_S, random.Random(SEED))


def _arm(plan: Switchback, number: int) -> str:
    return block_at(plan, number * plan.block_s * 10**9).arm
