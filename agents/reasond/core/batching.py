"""Messages collected per queue to be handled together, bounded in size and age; used by the consumer."""

from typing import Dict, List, Optional

from msgspec import Struct

from reasond.core.effects import Now
from reasond.core.intake import Item, Unit

MAX_AGE_S = 20.0
"""No message is held for a batch longer than this, whatever the settings say."""


class _Batch(Struct, gc=False):
    items: List[Item]
    due: float


class Batches:
    """One batch a queue; it is over at its size, or when the first of its messages can wait no more."""

    def __init__(self) -> None:
        """Start with none."""
        self.open: Dict[str, _Batch] = {}
        """By queue. Read by the core: most events find it empty."""

    def __len__(self) -> int:
        """Give how many messages are collected."""
        return sum(len(batch.items) for batch in self.open.values())

    def add(self, now: Now, item: Item, *, size: int, age_s: float) -> Optional[Unit]:
        """Add a message; give the batch when that makes it full or leaves it no time.

        A message waits at most `age_s`, MAX_AGE_S and what is left of its TTL.
        """
        queue = item.delivery.queue
        due = now.mono + min(age_s, MAX_AGE_S, item.left_s(now))
        batch = self.open.get(queue)
        if batch is None:
            batch = self.open[queue] = _Batch([item], due)
        else:
            batch.items.append(item)
            batch.due = min(batch.due, due)
        if len(batch.items) >= size or batch.due <= now.mono:
            del self.open[queue]
            return tuple(batch.items)
        return None

    def next_due(self) -> Optional[float]:
        """Give the monotonic time at which the next batch is over."""
        return min([batch.due for batch in self.open.values()]) if self.open else None

    def take(self, until: Optional[float] = None) -> List[Unit]:
        """Take out the batches that are over at monotonic time `until`; all of them without one."""
        over = [q for q, batch in self.open.items() if until is None or batch.due <= until]
        return [tuple(self.open.pop(queue).items) for queue in over]
