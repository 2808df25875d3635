"""In which block of an experiment a publisher is, and what that means for its decisions. Used by its core."""

from typing import Optional

from reasond.core.effects import Now
from reasond.switchback import Block, block_at, parse

WAKE = "block"


class Arms:
    """The plan in force, from the settings or by the operator's order; no plan is the ordinary life."""

    def __init__(self, plan: str, order: Optional[str] = None) -> None:
        """Take the setting, and the order that stands above it ("" ends an experiment, None says nothing)."""
        self._setting = plan
        self._order = order

    @property
    def text(self) -> str:
        """The plan in force as text; empty without one."""
        return self._setting if self._order is None else self._order

    def configure(self, plan: str) -> bool:
        """Take the setting anew; tell whether the plan in force changed."""
        before, self._setting = self.text, plan
        return self.text != before

    def order(self, order: Optional[str]) -> bool:
        """Take the operator's order; tell whether the plan in force changed."""
        before, self._order = self.text, order
        return self.text != before

    def block(self, now: Now) -> Optional[Block]:
        """Give the block that it is; None without an experiment, or with an order that nobody can read."""
        try:
            plan = parse(self.text)
        except ValueError:
            return None
        return None if plan is None else block_at(plan, now.wall_ns)

    def next_at(self, now: Now) -> Optional[float]:
        """Give the monotonic time at which the next block begins."""
        block = self.block(now)
        return None if block is None else now.mono + (block.end_ns - now.wall_ns) / 1e9
