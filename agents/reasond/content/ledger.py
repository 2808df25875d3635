"""Which lines of a feed are done, and from where to go on after a restart. Pure; used by `feed`.

Lines are read ahead and taken out of order (each genre at its own pace), so what is kept is the position up
to which every line is done, and the lines beyond it that are done already.
"""

from collections import deque
from typing import Any, Deque, Dict, List, Mapping, Optional, Set, Tuple

from msgspec import Struct


class Line(Struct, frozen=True):
    """One line of a feed: where it lies (bytes) in which incarnation of the file, and its number from 1.

    `generation` counts the incarnations: it rises when the file is replaced or truncated. `fault` tells why
    the line can't be read (too long). `again` marks a header that is only repeated for whoever goes on in the
    middle.
    """

    generation: int
    inode: int
    start: int
    end: int
    number: int
    text: bytes
    fault: str = ""
    again: bool = False


class Position(Struct, frozen=True):
    """Up to where every line is done: incarnation, byte after the last such line, that line's number."""

    generation: int = 0
    inode: int = 0
    offset: int = 0
    number: int = 0


class Ledger:
    """The lines read and not yet passed.

    Invariant: `position` never passes a line that isn't done.
    """

    def __init__(self, state: Any = None) -> None:
        """Go on from a `state()`; what can't be read as one counts as none."""
        self.position, self._done_before = _restored(state)
        self._open: Deque[Tuple[int, Line]] = deque()
        self._done: Set[int] = set()
        self._next = 1

    def __len__(self) -> int:
        """Give how many lines lie between the position and the last line read."""
        return len(self._open)

    def add(self, line: Line) -> Optional[int]:
        """Take a line that was read; give its number here, or None when it was done before the restart."""
        seq = self._next
        self._next += 1
        # Only where it stands counts from here on: thousands of texts are not to be kept twice.
        self._open.append((seq, Line(line.generation, line.inode, line.start, line.end, line.number, b"")))
        if (line.generation, line.start) in self._done_before:
            self._done_before.discard((line.generation, line.start))
            self.done(seq)
            return None
        return seq

    def done(self, seq: int) -> None:
        """Take that a line needs nothing more: confirmed, or set aside."""
        self._done.add(seq)
        while self._open and self._open[0][0] in self._done:
            first, line = self._open.popleft()
            self._done.discard(first)
            self.position = Position(line.generation, line.inode, line.end, line.number)

    def state(self) -> Dict[str, Any]:
        """Give what a restart needs, JSON-able."""
        beyond = [[line.generation, line.start] for seq, line in self._open if seq in self._done]
        return {
            "generation": self.position.generation,
            "inode": self.position.inode,
            "offset": self.position.offset,
            "number": self.position.number,
            "done": beyond + [list(pair) for pair in sorted(self._done_before)],
        }


def _restored(state: Any) -> Tuple[Position, Set[Tuple[int, int]]]:
    if not isinstance(state, Mapping):
        return Position(), set()
    numbers: List[int] = []
    for key in ("generation", "inode", "offset", "number"):
        value = state.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            return Position(), set()
        numbers.append(value)
    pairs = state.get("done")
    done = {
        (pair[0], pair[1])
        for pair in (pairs if isinstance(pairs, list) else [])
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(part, int) for part in pair)
    }
    return Position(*numbers), done
