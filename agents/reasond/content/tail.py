"""A file that grows, followed as `tail -F` does: rotated, truncated, not there yet, its last line cut.

Used by `feed`, on its own thread: reading may block. Standard input is followed by `Stream`.
"""

import os
import stat
from collections import deque
from pathlib import Path
from typing import BinaryIO, Callable, Deque, List, Mapping, Optional, Protocol

from reasond.content.ledger import Line, Position
from reasond.messages import MAX_BODY_BYTES

CHUNK_BYTES = 65536
"""Bytes read at a time: some hundred lines."""
IDLE_POLLS = 2
"""Looks at a file that was renamed which must find nothing new before it is left: its writer may still hold
it open."""
TOO_LONG = f"over {MAX_BODY_BYTES} bytes"

Tell = Callable[[str, Mapping[str, object]], None]
"""Is told what happens to the file: an event's name and its fields."""


class Lines(Protocol):
    """Where lines come from."""

    def poll(self, room: int) -> List[Line]:
        """Give at most `room` new lines, none when there is nothing at present.

        Raises OSError when it can't be read.
        """
        ...


class _Splitter:
    """Cuts bytes into lines, and forgets all but the length of one that is too long."""

    def __init__(self, generation: int, inode: int, offset: int, number: int) -> None:
        self.generation, self.inode = generation, inode
        self.ready: Deque[Line] = deque()
        self._start, self._number = offset, number
        self._held: List[bytes] = []
        self._length = 0

    def feed(self, chunk: bytes) -> None:
        for piece in chunk.splitlines(keepends=True) if b"\r" not in chunk else _pieces(chunk):
            self._length += len(piece)
            if self._length <= MAX_BODY_BYTES + 2:
                self._held.append(piece)
            if piece.endswith(b"\n"):
                self._cut()

    def finish(self) -> None:
        """Take a last line that no line break ends."""
        if self._length:
            self._cut()

    def _cut(self) -> None:
        text = b"".join(self._held).rstrip(b"\r\n")
        end = self._start + self._length
        long = self._length > MAX_BODY_BYTES + 2 or len(text) > MAX_BODY_BYTES
        self._number += 1
        self.ready.append(
            Line(
                generation=self.generation,
                inode=self.inode,
                start=self._start,
                end=end,
                number=self._number,
                text=text[:1000] if long else text,
                fault=TOO_LONG if long else "",
            )
        )
        self._start, self._held, self._length = end, [], 0


class Tail:
    """Follows the file of a name through its incarnations."""

    def __init__(self, path: Path, position: Position, tell: Tell) -> None:
        """Go on from a position; one of generation 0 means from the very beginning."""
        self._path = path
        self._from = position
        self._tell = tell
        self._file: Optional[BinaryIO] = None
        self._lines = _Splitter(0, 0, 0, 0)
        self._generation = position.generation
        self._read = 0
        self._idle = 0
        self._missing = False

    def poll(self, room: int) -> List[Line]:
        """Give at most `room` new lines; rotation and truncation are noticed when nothing is left."""
        if not self._lines.ready:
            self._refill()
        return [self._lines.ready.popleft() for _ in range(min(room, len(self._lines.ready)))]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _refill(self) -> None:
        if self._file is None and not self._open():
            return
        assert self._file is not None
        chunk = b"" if os.fstat(self._file.fileno()).st_size < self._read else self._file.read(CHUNK_BYTES)
        if chunk:
            self._idle = 0
            self._read += len(chunk)
            self._lines.feed(chunk)
        else:
            self._at_end(self._file)

    def _at_end(self, file: BinaryIO) -> None:
        here = os.fstat(file.fileno())
        if here.st_size < self._read:
            self._tell("feed_truncated", {"path": str(self._path)})
            self._begin(file, Position(self._generation + 1, here.st_ino))
            return
        there = _inode(self._path)
        if there is None or there == here.st_ino:
            self._idle = 0
            return
        self._idle += 1
        if self._idle >= IDLE_POLLS:
            self._lines.finish()
            self._tell("feed_rotated", {"path": str(self._path)})
            self.close()

    def _open(self) -> bool:
        """Open what is to be read next: where the position lies, whatever its name, or else the file."""
        resumed = self._resume() if self._from.generation else None
        if resumed is not None:
            return True
        try:
            file = open(str(self._path), "rb", buffering=0)
        except FileNotFoundError:
            if not self._missing:
                self._missing = True
                self._tell("feed_missing", {"path": str(self._path)})
            return False
        self._missing = False
        inode = os.fstat(file.fileno()).st_ino
        self._begin(file, Position(self._generation + 1, inode))
        return True

    def _resume(self) -> Optional[BinaryIO]:
        """Open the file in which the position lies, also when it was renamed within its directory."""
        position, self._from = self._from, Position()
        for path in (self._path, *_siblings(self._path)):
            if _inode(path) == position.inode:
                file = open(str(path), "rb", buffering=0)
                found = os.fstat(file.fileno())
                if found.st_ino == position.inode and found.st_size >= position.offset:
                    self._begin(file, position)
                    return file
                file.close()
        return None

    def _begin(self, file: BinaryIO, position: Position) -> None:
        self._file, self._read, self._idle = file, position.offset, 0
        self._generation = position.generation
        header = _first_line(file) if position.offset else None
        file.seek(position.offset)
        self._lines = _Splitter(position.generation, position.inode, position.offset, position.number)
        if header is not None:
            at = Line(position.generation, position.inode, 0, len(header), 1, header.rstrip(b"\r\n"), again=True)
            self._lines.ready.append(at)
        self._tell("feed_opened", {"path": str(self._path), "offset": position.offset})


class Stream:
    """Reads standard input, or anything else that can't be sought, to its end."""

    def __init__(self, file: BinaryIO, tell: Tell) -> None:
        """Take the unbuffered file."""
        self._file = file
        self._tell = tell
        self._lines = _Splitter(1, 0, 0, 0)
        self._ended = False

    def poll(self, room: int) -> List[Line]:
        """Give at most `room` lines; waits for the next when none is there, and gives none after the end."""
        if not self._lines.ready and not self._ended:
            chunk = self._file.read(CHUNK_BYTES)
            if chunk:
                self._lines.feed(chunk)
            else:
                self._ended = True
                self._lines.finish()
                self._tell("feed_ended", {})
        return [self._lines.ready.popleft() for _ in range(min(room, len(self._lines.ready)))]


def _pieces(chunk: bytes) -> List[bytes]:
    """Cut at line feeds only: a lone carriage return inside a line is the line's own."""
    parts = chunk.split(b"\n")
    pieces = [part + b"\n" for part in parts[:-1]]
    return pieces + [parts[-1]] if parts[-1] else pieces


def _inode(path: Path) -> Optional[int]:
    try:
        found = os.stat(str(path))
    except OSError:
        return None
    return found.st_ino if stat.S_ISREG(found.st_mode) else None


def _siblings(path: Path) -> List[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(str(path.parent)) if entry.is_file()]
    except OSError:
        return []


def _first_line(file: BinaryIO) -> Optional[bytes]:
    file.seek(0)
    text = b""
    while b"\n" not in text and len(text) <= MAX_BODY_BYTES:
        chunk = file.read(CHUNK_BYTES)
        if not chunk:
            break
        text += chunk
    line, found, _ = text.partition(b"\n")
    return line + found if found else None
