"""An experiment's effect on a running system, from InfluxDB: figures a minute, and who decided in which block."""

from typing import Callable, Dict, List, Tuple

from msgspec import Struct

from reasond.core.experiment import MEASURES, Effect, block_means, effect, exposed
from reasond.core.views import Decided, Minutes, StoreReader
from reasond.report.span import Span
from reasond.switchback import Switchback, block_at

PIECE_S = 24 * 3600

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


def trial(reader: StoreReader, plan: Switchback, asked: Span, progress: Progress = lambda part: None) -> Trial:
    """Read a range and compare the plan's blocks in it. Raises StoreUnavailable or StoreRefused."""
    read = _read(reader, asked, progress)
    counting = exposed(plan, read)
    seen = {block_at(plan, time_ns).number for time_ns in read.figures["depth"]}
    decided: Dict[str, int] = {}
    for one in read.decided:
        if one.arm == plan.treatment:
            decided[one.brain] = decided.get(one.brain, 0) + one.count
    effects = [effect(measure, block_means(plan, read, measure, counting)) for measure in MEASURES]
    return Trial(plan, tuple(effects), len(counting & seen), len(seen - counting), decided)


def _read(reader: StoreReader, asked: Span, progress: Progress) -> Minutes:
    """Read piece by piece, so that no single answer takes longer than INFLUXDB_TIMEOUT_S."""
    figures: Dict[str, Dict[int, float]] = {measure: {} for measure in MEASURES}
    decided: List[Decided] = []
    for piece in asked.pieces(PIECE_S):
        found = reader.minutes(piece.start_ns, piece.stop_ns)
        for measure, by_minute in found.figures.items():
            figures[measure].update(by_minute)
        decided += found.decided
        progress((piece.stop_ns - asked.start_ns) / (asked.stop_ns - asked.start_ns))
    return Minutes(figures, tuple(decided))
