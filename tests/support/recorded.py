"""Seven dry-run agents in virtual time, with every row that they wrote."""

from typing import Dict, List, Sequence

from reasond.brains.dry_run import DryRunBrain
from reasond.points import Row
from reasond.simulation.world import World, seven


class RecordedWorld(World):
    """A world that also keeps every row as it was written, amendments included."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.written: List[Row] = []

    def write(self, rows: Sequence[Row]) -> None:
        self.written.extend(rows)
        super().write(rows)


def lived(environment: Dict[str, str], minutes: int, seed: int) -> RecordedWorld:
    """Give the world after so many minutes of the seven; its agents go on until it is stopped."""
    world = RecordedWorld(seed)
    for plan in seven(environment):
        world.add(plan, DryRunBrain(seed=seed, model_names=plan.settings.brain.models))
    world.run_until(minutes * 60)
    return world
