"""Points on their way to InfluxDB, kept in files so that they survive a crash and InfluxDB's absence.

Used by the InfluxDB adapter. `append` only hands lines over: one daemon thread of the
spool writes them to the kernel at once and syncs them each second, so that a SIGKILL costs what came in
within the last moments and a power cut at most a second.

Two lanes, each a row of append-only segment files of line protocol (`raw-00000001.lp`, ...): `keep` holds the
measurements that tell what was decided and what it cost, `raw` all others. Where the files grow beyond their
bound, the oldest raw segment gives way, then the next, and `keep` only when no raw one is left; what went
unsent with them is counted. Lines of one measurement stay in order, as an amendment must follow its point.

What was sent is remembered in `position.json`, replaced after each batch but not synced: a restart may send a
batch again, which is harmless, as InfluxDB overwrites a point by itself.
"""

import errno
import os
import re
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Tuple

import msgspec
from msgspec import Struct

from reasond.adapters.state import write_atomically

KEPT_MEASUREMENTS = frozenset(("agent_reasoning", "budget", "system_health"))
"""Their points give way last."""

LANES: Tuple[str, ...] = ("keep", "raw")
"""In the order in which they are sent; after a batch of one the other has its turn, so that neither starves."""

SYNC_PERIOD_S = 1.0
"""Between two syncs: at most one second of points is lost (docs/decisions/0012)."""

# Long enough that a burst becomes one write(2), short against the second that may be lost.
LINGER_S = 0.02
# What waits in memory while the disk refuses or hangs: minutes at default rates (about 200 bytes a point).
MEMORY_MAX_BYTES = 4 * 1024 * 1024
# A sixteenth of the bound gives way at a time; more than a megabyte in one file only makes the counting slow.
SEGMENTS_PER_BOUND = 16
SEGMENT_MAX_BYTES = 1024 * 1024
_POSITION = "position.json"
_SEGMENT = re.compile(r"^(?P<lane>keep|raw)-(?P<number>[0-9]{8})\.lp$")

OnProblem = Callable[[str], None]
"""Is told what is wrong whenever that changes, "" when all is well; called on a thread of the adapter."""


class Batch(Struct, frozen=True):
    """Lines to send, and where they stand: in `segment` of `lane` up to byte `end`; segment 0 is memory."""

    lane: str
    segment: int
    end: int
    lines: Tuple[bytes, ...]


class SpoolStats(Struct, frozen=True):
    """How the spool stands: bytes unsent, lines dropped for want of room, torn lines found after a crash."""

    unsent_bytes: int
    dropped: int
    torn: int


class _Segment:
    """One file: how much of it is written, in bytes and lines."""

    def __init__(self, number: int, path: Path, size: int = 0, lines: int = 0) -> None:
        self.number = number
        self.path = path
        self.size = size
        self.lines = lines


class _Lane:
    """Segments in order, how much of the first is sent, and what still waits in memory.

    The last segment is written to while `file` is open.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.segments: Deque[_Segment] = deque()
        self.sent = 0
        self.sent_lines = 0
        self.next_number = 1
        self.file: Any = None
        self.memory: Deque[bytes] = deque()
        self.memory_bytes = 0

    def disk_bytes(self) -> int:
        return sum(segment.size for segment in self.segments)

    def unsent_on_disk(self) -> int:
        return self.disk_bytes() - self.sent

    def pop(self) -> _Segment:
        self.sent = self.sent_lines = 0
        return self.segments.popleft()


class Spool:
    """A bounded queue of line protocol in a directory, of one process (the identity's lock sees to that).

    `append`, `sync` and `stats` may be called from any thread; `peek` and `done` from one, the sender's.
    Invariant: nobody waits for the disk while holding the guard, so that `append` never does.
    """

    def __init__(self, directory: Path, max_bytes: int, on_problem: Optional[OnProblem] = None) -> None:
        """Take up what the directory holds (made when missing) and start the spool's thread.

        `max_bytes` bounds the files. Never raises for the disk's sake: then points wait in memory, and
        `on_problem` (which may be replaced later) is told.
        """
        self.directory = Path(directory)
        self.on_problem = on_problem or (lambda text: None)
        self._max_bytes = max_bytes
        self._segment_bytes = max(4096, min(SEGMENT_MAX_BYTES, max_bytes // SEGMENTS_PER_BOUND))
        self._lanes: Dict[str, _Lane] = {name: _Lane(name) for name in LANES}
        self._guard = threading.Condition()
        self._wake = threading.Event()
        self._stop = False
        self._sync_now = False
        self._troubles: Dict[str, str] = {}
        self._dropped = 0
        self._torn = 0
        self._in_flight: Optional[Batch] = None
        self._overtaken: Optional[Batch] = None
        self._last_lane = ""
        self._doomed: List[Path] = []
        # Lines ever handed over; no longer in memory (written, sent or dropped); synced.
        self._appended = self._settled = self._synced = 0
        self._recover()
        self._thread = threading.Thread(target=self._work, name="spool", daemon=True)
        self._thread.start()

    def append(self, lines: Sequence[str]) -> None:
        """Hand over lines of line protocol (no line end); never waits for the disk."""
        encoded = [line.encode("utf-8", "replace") for line in lines]
        with self._guard:
            for line in encoded:
                lane = self._lanes["keep" if _measurement(line) in KEPT_MEASUREMENTS else "raw"]
                lane.memory.append(line)
                lane.memory_bytes += len(line) + 1
            self._appended += len(encoded)
            self._shrink_memory()
        if not self._wake.is_set():
            self._wake.set()

    def sync(self, deadline_s: float) -> bool:
        """Wait until everything appended so far is on disk, at most so long; tell whether it is."""
        end = time.monotonic() + deadline_s
        with self._guard:
            goal = self._appended
            self._sync_now = True
            self._wake.set()
            while self._synced < goal:
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._guard.wait(left)
            return True

    def close(self, deadline_s: float = 2.0) -> bool:
        """Write and sync what there is, end the thread; tell whether everything reached the disk in time."""
        end = time.monotonic() + deadline_s
        done = self.sync(deadline_s)
        self._stop = True
        self._wake.set()
        self._thread.join(max(0.0, end - time.monotonic()))
        return done

    def stats(self) -> SpoolStats:
        """Give the present figures."""
        with self._guard:
            unsent = sum(lane.unsent_on_disk() + lane.memory_bytes for lane in self._lanes.values())
            if self._in_flight is not None and self._in_flight.segment == 0:
                unsent += sum(len(line) + 1 for line in self._in_flight.lines)
            return SpoolStats(unsent_bytes=unsent, dropped=self._dropped, torn=self._torn)

    def problem(self) -> str:
        """Tell what is wrong at present; empty when nothing is."""
        with self._guard:
            return "; ".join(text for _, text in sorted(self._troubles.items()))

    def wait(self, timeout_s: float) -> int:
        """Wait until `peek` can give something, `interrupt` or the timeout; give how many bytes there are."""
        with self._guard:
            if not self._sendable():
                self._guard.wait(timeout_s)
            return self._sendable()

    def interrupt(self) -> None:
        """End a `wait`."""
        with self._guard:
            self._guard.notify_all()

    def peek(self, max_bytes: int) -> Optional[Batch]:
        """Give the next lines to send, at most `max_bytes` (but at least one line); None when all is sent.

        The batch stays the next one until `done` is called with it.
        """
        while True:
            with self._guard:
                if self._in_flight is not None and self._in_flight.segment == 0:
                    return self._in_flight
                lane = self._next_lane()
                if lane is None:
                    return None
                if not lane.unsent_on_disk():
                    self._in_flight = self._from_memory(lane, max_bytes)
                    return self._in_flight
                segment, start = lane.segments[0], lane.sent
            read = _read_lines(segment.path, start, segment.size, max_bytes)
            with self._guard:
                # It may have given way meanwhile.
                if not lane.segments or lane.segments[0] is not segment:
                    continue
                if read is None:
                    self._lose(lane)
                    continue
                end, lines = read
                self._in_flight = Batch(lane=lane.name, segment=segment.number, end=end, lines=lines)
                return self._in_flight

    def done(self, batch: Batch) -> None:
        """Count the batch as sent (or given up): the next `peek` gives what follows it."""
        with self._guard:
            self._in_flight = None
            self._last_lane = batch.lane
            lane = self._lanes[batch.lane]
            if lane.segments and lane.segments[0].number == batch.segment:
                lane.sent = batch.end
                lane.sent_lines += len(batch.lines)
                self._drop_sent(lane)
            elif self._overtaken is batch:
                # It gave way while it was on its way, and arrived all the same.
                self._dropped -= len(batch.lines)
            self._overtaken = None
            roomy = sum(each.disk_bytes() for each in self._lanes.values()) < self._max_bytes // 2
            position = {
                name: (lane.segments[0].number, lane.sent) for name, lane in self._lanes.items() if lane.segments
            }
            self._guard.notify_all()
        if roomy:
            self._trouble("room", "")
        self._bury()
        try:
            write_atomically(self.directory / _POSITION, msgspec.json.encode(position), durable=False)
        except OSError:
            # Sent points are then sent again; a disk that refuses is said where points are written.
            return

    def _sendable(self) -> int:
        """Bytes that `peek` can get at; only when the disk refuses do lines go past the files."""
        lanes = self._lanes.values()
        on_disk = sum(lane.unsent_on_disk() for lane in lanes)
        if not self._troubles.get("write"):
            return on_disk
        return on_disk + sum(lane.memory_bytes for lane in lanes if lane.memory)

    def _next_lane(self) -> Optional[_Lane]:
        for name in sorted(LANES, key=lambda name: name == self._last_lane):
            lane = self._lanes[name]
            self._drop_sent(lane)
            if lane.unsent_on_disk() or (self._troubles.get("write") and lane.memory):
                return lane
        return None

    def _from_memory(self, lane: _Lane, max_bytes: int) -> Batch:
        lines, size = _take(lane.memory, max_bytes)
        lane.memory_bytes -= size
        self._settled += len(lines)
        return Batch(lane=lane.name, segment=0, end=0, lines=tuple(lines))

    def _drop_sent(self, lane: _Lane) -> None:
        """Drop what is sent, except the file that is still written to."""
        while lane.segments and lane.sent >= lane.segments[0].size:
            if len(lane.segments) == 1 and lane.file is not None:
                return
            self._doomed.append(lane.pop().path)

    def _lose(self, lane: _Lane) -> None:
        """Go on without a file that somebody removed or that can't be read."""
        if len(lane.segments) == 1:
            lane.file = None
        unsent = lane.segments[0].lines - lane.sent_lines
        segment = lane.pop()
        self._dropped += unsent
        self._trouble("room", f"spool file {segment.path} can't be read, {unsent} points lost")

    def _shrink_memory(self) -> None:
        while sum(lane.memory_bytes for lane in self._lanes.values()) > MEMORY_MAX_BYTES:
            lane = self._lanes["raw" if self._lanes["raw"].memory else "keep"]
            if not lane.memory:
                return
            lane.memory_bytes -= len(lane.memory.popleft()) + 1
            self._dropped += 1
            self._settled += 1

    def _bury(self) -> None:
        """Delete the files that were dropped; without the guard, as it may take the disk's time."""
        with self._guard:
            doomed, self._doomed = self._doomed, []
        for path in doomed:
            _unlink(path)

    def _work(self) -> None:
        synced_at = time.monotonic()
        while True:
            self._wake.wait(SYNC_PERIOD_S if self._synced < self._settled or self._troubles else None)
            stopping = self._stop
            if not stopping and not self._sync_now:
                time.sleep(LINGER_S)
            self._wake.clear()
            self._write()
            if self._sync_now or stopping or time.monotonic() - synced_at >= SYNC_PERIOD_S:
                self._sync_now = False
                self._sync_files()
                synced_at = time.monotonic()
            if stopping:
                for lane in self._lanes.values():
                    self._end_segment(lane)
                self._bury()
                return

    def _write(self) -> None:
        for lane in self._lanes.values():
            while self._write_some(lane):
                pass
        with self._guard:
            self._make_room()
            self._guard.notify_all()
        self._bury()

    def _write_some(self, lane: _Lane) -> bool:
        """Move up to a segment's worth of lines from memory to disk; tell whether there is more to do."""
        with self._guard:
            if not lane.memory:
                return False
            # Their bytes stay counted as in memory until they are written.
            taken, size = _take(lane.memory, self._segment_bytes)
        try:
            self._to_file(lane, b"\n".join(taken) + b"\n", len(taken))
        except OSError as err:
            with self._guard:
                lane.memory.extendleft(reversed(taken))
                self._shrink_memory()
            self._trouble("write", self._refused(err))
            return False
        with self._guard:
            lane.memory_bytes -= size
            self._settled += len(taken)
        self._trouble("write", "")
        return True

    def _to_file(self, lane: _Lane, data: bytes, lines: int) -> None:
        """Append to the lane's open segment.

        Raises OSError when the disk refuses; nothing of `data` is then left behind.
        """
        if lane.file is not None and lane.segments[-1].size >= self._segment_bytes:
            self._end_segment(lane)
        file = lane.file or self._begin_segment(lane)
        segment = lane.segments[-1]
        try:
            if file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(segment.size)
            raise
        with self._guard:
            segment.size += len(data)
            segment.lines += lines

    def _begin_segment(self, lane: _Lane) -> Any:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        path = self.directory / f"{lane.name}-{lane.next_number:08d}.lp"
        # Unbuffered: what is written has reached the kernel and outlives the process.
        file = open(str(path), "ab", buffering=0)
        with self._guard:
            lane.file = file
            lane.segments.append(_Segment(lane.next_number, path))
            lane.next_number += 1
        return file

    def _end_segment(self, lane: _Lane) -> None:
        file = lane.file
        if file is None:
            return
        self._fsync(file)
        with self._guard:
            lane.file = None
            self._drop_sent(lane)
        file.close()

    def _make_room(self) -> None:
        lost = 0
        while sum(lane.disk_bytes() for lane in self._lanes.values()) > self._max_bytes:
            lane = self._lanes["raw" if self._lanes["raw"].disk_bytes() else "keep"]
            if len(lane.segments) == 1:
                lane.file = None
            flying, sent_lines = self._in_flight, lane.sent_lines
            segment = lane.pop()
            lost += segment.lines - sent_lines
            if flying is not None and (flying.lane, flying.segment) == (lane.name, segment.number):
                self._overtaken = flying
            self._doomed.append(segment.path)
        if lost:
            self._dropped += lost
            text = "spool {} is full ({} bytes, INFLUXDB_SPOOL_MAX_BYTES): the oldest points give way"
            self._trouble("room", text.format(self.directory, self._max_bytes))

    def _sync_files(self) -> None:
        with self._guard:
            goal = self._settled
            files = [lane.file for lane in self._lanes.values() if lane.file is not None]
        if all([self._fsync(file) for file in files]):
            with self._guard:
                self._synced = goal
                self._guard.notify_all()

    def _fsync(self, file: Any) -> bool:
        try:
            os.fsync(file.fileno())
        except OSError as err:
            self._trouble("sync", self._refused(err))
            return False
        self._trouble("sync", "")
        return True

    def _refused(self, err: OSError) -> str:
        return f"spool {self.directory}: {err.strerror or err}; points wait in memory"

    def _trouble(self, which: str, text: str) -> None:
        """Say it when something begins to be wrong, becomes something else, or ends."""
        with self._guard:
            if self._troubles.get(which, "") == text:
                return
            self._troubles.pop(which, None)
            if text:
                self._troubles[which] = text
            self._guard.notify_all()
        self.on_problem(self.problem())

    def _recover(self) -> None:
        """Find what a former process left: drop torn last lines, take up the position."""
        try:
            found = sorted(self.directory.iterdir())
        except OSError:
            return
        for path in found:
            match = _SEGMENT.match(path.name)
            if match is None:
                continue
            lane, number = self._lanes[match.group("lane")], int(match.group("number"))
            lane.next_number = number + 1
            size, lines = self._mend(path)
            if lines:
                lane.segments.append(_Segment(number, path, size, lines))
            else:
                self._doomed.append(path)
        self._take_position()
        self._bury()

    def _mend(self, path: Path) -> Tuple[int, int]:
        """Cut a torn last line off a file; give its size in bytes and lines."""
        try:
            content = path.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                self._torn += 1
                os.truncate(str(path), whole)
        except OSError as err:
            self._trouble("write", self._refused(err))
            return 0, 0
        return whole, content.count(b"\n")

    def _take_position(self) -> None:
        try:
            content = (self.directory / _POSITION).read_bytes()
            position = msgspec.json.decode(content, type=Dict[str, Tuple[int, int]])
        except (OSError, msgspec.DecodeError):
            return
        for name, (number, sent) in position.items():
            lane = self._lanes.get(name)
            if lane is None:
                continue
            while lane.segments and lane.segments[0].number < number:
                self._doomed.append(lane.pop().path)
            if lane.segments and lane.segments[0].number == number:
                lane.sent, lane.sent_lines = _line_start(lane.segments[0].path, sent)
            lane.next_number = max(lane.next_number, number + 1)
            self._drop_sent(lane)


def _measurement(line: bytes) -> str:
    """Give the name that a line begins with."""
    return line.split(b" ", 1)[0].split(b",", 1)[0].decode("ascii", "replace")


def _take(memory: Deque[bytes], max_bytes: int) -> Tuple[List[bytes], int]:
    """Take lines off the front, at least one, until they make up `max_bytes`; give them and their bytes."""
    taken: List[bytes] = []
    size = 0
    while memory and size < max_bytes:
        taken.append(memory.popleft())
        size += len(taken[-1]) + 1
    return taken, size


def _read_lines(path: Path, start: int, stop: int, max_bytes: int) -> Optional[Tuple[int, Tuple[bytes, ...]]]:
    """Give whole lines from `start`, at least one, and where they end; None when the file can't be read."""
    try:
        with open(str(path), "rb") as file:
            file.seek(start)
            data = file.read(min(max_bytes, stop - start))
            cut = data.rfind(b"\n") + 1
            if cut == 0:
                data += file.read(stop - start - len(data))
                cut = data.find(b"\n") + 1
    except OSError:
        return None
    if cut == 0:
        return None
    return start + cut, tuple(data[: cut - 1].split(b"\n"))


def _line_start(path: Path, offset: int) -> Tuple[int, int]:
    """Give the offset and the lines before it, or (0, 0) where no line begins there: another file's."""
    try:
        with open(str(path), "rb") as file:
            before = file.read(offset)
    except OSError:
        return 0, 0
    if len(before) < offset or not before.endswith(b"\n"):
        return 0, 0
    return offset, before.count(b"\n")


def _unlink(path: Path) -> None:
    try:
        path.unlink()
    except OSError:
        # It is found and sent again at the next start, which is harmless.
        return
