"""How the running experiment stands, for the monitor: follows its blocks as they end, and compares them.

The same analysis as `reasond experiment result`, a piece at a time: what was read once isn't read again.
"""

from typing import Any, List, Optional, Sequence, Tuple

from msgspec import Struct

from reasond.core.effects import Look, Now, Rows, Say
from reasond.core.experiment import LEAST_PAIRS, MEASURES, BlockMean, Effect, block_means, effect, exposed
from reasond.core.views import Minutes
from reasond.points import Row, Stamper
from reasond.switchback import Switchback, block_at, parse

DAY_NS = 24 * 3600 * 10**9
REACH_NS = 7 * DAY_NS
"""How far back blocks count, as with `reasond experiment result` by default: 84 pairs of 60 minutes."""
PIECE_NS = DAY_NS
SETTLED_NS = 120 * 10**9
"""After a block's end, until the points that were written in it have come through the agents' spools."""
PATIENCE_S = 120.0
"""After which a look without an answer is given up."""


class _Blocks(Struct):
    """One measure's blocks that count."""

    measure: str
    blocks: Tuple[BlockMean, ...] = ()


class Kept(Struct):
    """What outlives the process: the plan, until when (UTC ns) it was read, and the blocks that count."""

    plan: str = ""
    read_ns: int = 0
    measures: Tuple[_Blocks, ...] = ()


class Trials:
    """The experiment that the publishers' decisions tell of; one at a time."""

    def __init__(self, kept: Kept, agent_id: str, stamper: Stamper) -> None:
        """Take what was kept (the caller's own, changed in place), whose points it writes, and what stamps them."""
        self._kept = kept
        self._agent_id = agent_id
        self._stamper = stamper
        self._looked: Optional[Tuple[Look, float]] = None
        self._running: Tuple[str, ...] = ()
        self._told = self._effects()

    def follow(self, now: Now, plans: Sequence[str], ref: str) -> List[Look]:
        """Take the plans that decisions were lately taken under; give the look `ref` at blocks that ended since.

        With several plans at once nothing is looked at: publishers differ, for a moment or by mistake.
        """
        self._running = tuple(plan for plan in plans if plan_told(plan) is not None)
        if len(self._running) != 1:
            return []
        if self._kept.plan != self._running[0]:
            self._kept.plan, self._kept.read_ns = self._running[0], 0
            self._kept.measures = tuple(_Blocks(measure) for measure in MEASURES)
            self._told = ()
        if self._looked is not None and now.mono - self._looked[1] < PATIENCE_S:
            return []
        return self._next(now, ref)

    def awaits(self, ref: str) -> bool:
        """Tell whether a view is the answer to the last look."""
        return self._looked is not None and self._looked[0].ref == ref

    def take(self, now: Now, view: Any, ref: str) -> List[Any]:
        """Take the minutes looked at; give the look `ref` at the next ones, or the effects as they stand then.

        A failed look changes nothing: the next analysis looks again.
        """
        assert self._looked is not None, "only what is awaited is taken"
        look, self._looked = self._looked[0], None
        plan = plan_told(self._kept.plan)
        if not isinstance(view, Minutes) or plan is None:
            return []
        self._judge(plan, view, look)
        more = self._next(now, ref)
        return list(more) or self._results(now, plan)

    def line(self) -> str:
        """Say for the status how the experiment stands; empty without one."""
        if len(self._running) > 1:
            return "publishers follow different experiments: " + ", ".join(self._running)
        if not self._running:
            return ""
        return "experiment {}: {}".format(self._running[0], told(self._told[0]) if self._told else "not judged yet")

    def _next(self, now: Now, ref: str) -> List[Look]:
        """Give the look at the oldest blocks that are over and not yet read, a day at most."""
        plan = plan_told(self._kept.plan)
        if plan is None:
            return []
        start_ns = self._kept.read_ns or block_at(plan, now.wall_ns - REACH_NS).begin_ns
        over_ns = block_at(plan, now.wall_ns - SETTLED_NS).begin_ns
        stop_ns = min(over_ns, block_at(plan, start_ns + PIECE_NS).begin_ns)
        if stop_ns <= start_ns:
            return []
        look = Look(ref, "minutes", start_ns, stop_ns)
        self._looked = (look, now.mono)
        return [look]

    def _judge(self, plan: Switchback, minutes: Minutes, look: Look) -> None:
        counting = exposed(plan, minutes)
        oldest = block_at(plan, look.stop_ns - REACH_NS).number
        for one in self._kept.measures:
            kept = tuple(block for block in one.blocks if block.number >= oldest)
            one.blocks = kept + block_means(plan, minutes, one.measure, counting)
        self._kept.read_ns = look.stop_ns

    def _results(self, now: Now, plan: Switchback) -> List[Any]:
        self._told = self._effects()
        said = {"plan": self._kept.plan, "effect": [told(found) for found in self._told]}
        rows = tuple(self._row(now, plan, found) for found in self._told)
        return [Rows(rows), Say("info", "experiment", said)]

    def _effects(self) -> Tuple[Effect, ...]:
        return tuple(effect(one.measure, one.blocks) for one in self._kept.measures)

    def _row(self, now: Now, plan: Switchback, found: Effect) -> Row:
        return self._stamper.row(
            "experiment",
            {"agent_id": self._agent_id, "plan": self._kept.plan, "measure": found.measure},
            {
                "treatment": plan.treatment,
                "control": plan.control,
                "pairs": found.pairs,
                "pairs_missing": max(0, LEAST_PAIRS - found.pairs),
                "treated_mean": found.treated,
                "control_mean": found.control,
                "difference": found.difference,
                "interval_low": found.low,
                "interval_high": found.high,
                "p": found.p,
                "verdict": found.verdict,
            },
            now.wall_ns,
        )


def told(found: Effect) -> str:
    """Say one effect in a line: `depth -3.1 (-5.0 to -1.2, 12 pairs): less`."""
    if found.difference is None or found.low is None or found.high is None:
        return "{}: {} ({} of {} pairs)".format(found.measure, found.verdict, found.pairs, LEAST_PAIRS)
    figures = "{:+.3g} ({:.3g} to {:.3g}, {} pairs)".format(found.difference, found.low, found.high, found.pairs)
    return "{} {}: {}".format(found.measure, figures, found.verdict)


def effect_of(row: Row) -> Effect:
    """Give back the effect that a row of the measurement `experiment` tells."""
    read = row.fields.get
    return Effect(
        measure=row.tags.get("measure", ""),
        pairs=read("pairs", 0),
        treated=read("treated_mean"),
        control=read("control_mean"),
        difference=read("difference"),
        low=read("interval_low"),
        high=read("interval_high"),
        p=read("p"),
    )


def plan_told(plan: str) -> Optional[Switchback]:
    """Read a plan that came from the store, where anybody with the token may write; None for what is none."""
    try:
        return parse(plan)
    except ValueError:
        return None
