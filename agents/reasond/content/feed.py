"""A feed that the user gives: a file that is followed as it grows, or standard input (PUBLISHER_FEED).

A daemon thread reads ahead, so that `take` never waits for a disk or a pipe. Each genre has a line of its own
and goes at its own interval: a slow genre does not hold up the other until AHEAD_LINES lie between the oldest
line that isn't confirmed and the newest one read; then reading rests until that line is confirmed. A line
that can't be published is counted and set aside in `feed.rejected.jsonl` in the state directory, with its
number and the reason.

A line without a message_id of its own gets one made of the line and where it stands, so that a line which is
published again after a crash is known by its id. Standard input can't be read again: it has no position.
"""

import hashlib
import json
import threading
from collections import deque
from pathlib import Path
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional

from msgspec.structs import replace

from reasond.content import records
from reasond.content.ledger import Ledger, Line
from reasond.content.source import Item, hashed_id
from reasond.content.tail import Lines
from reasond.core.effects import Now
from reasond.messages import Genre
from reasond.settings import PublisherSettings

AHEAD_LINES = 2000
"""Lines: a second of reading, a few hundred KB, and a state file of some 30 KB when all but the first are
done."""
POLL_S = 0.25
"""Seconds between looks at a file that had nothing new: inotify would save little and not work on every
mount."""
REJECTED_FILE = "feed.rejected.jsonl"
REJECTED_MAX_BYTES = 16 * 1024 * 1024
"""Bytes: beyond it bad lines are only counted, so that a wrong file doesn't fill the disk."""
REJECTED_TEXT_CHARS = 2000

Say = Callable[[str, str, Mapping[str, object]], None]
"""Logs an event: level, event, fields; called from the reading thread."""


class Feed:
    """A `ContentSource` out of lines."""

    def __init__(
        self,
        settings: PublisherSettings,
        lines: Lines,
        ledger: Optional[Ledger],
        *,
        rejected: Path,
        say: Say,
    ) -> None:
        """Take the lines; without a ledger no position is kept. Nothing is read before `start` or `step`."""
        self._settings = settings
        self._lines = lines
        self._ledger = ledger
        self._rejected = rejected
        self._say = say
        self._lock = threading.Lock()
        self._queues: Dict[Genre, Deque[Item]] = {"fictional": deque(), "non-fictional": deque()}
        self._columns: List[str] = []
        self._format: records.Format = "jsonl"
        self._generation = -1
        self._problem = ""
        self._ended = threading.Event()
        self.bad_lines = 0

    def start(self) -> None:
        """Read on a daemon thread from now on."""
        threading.Thread(target=self._run, name="feed", daemon=True).start()

    def close(self) -> None:
        """Have the thread end."""
        self._ended.set()

    def take(self, genre: Genre, now: Now) -> Optional[Item]:
        """Give the next line of a genre as an item, None when none was read."""
        with self._lock:
            queue = self._queues[genre]
            return queue.popleft() if queue else None

    def confirmed(self, position: int) -> Optional[Any]:
        """Take that a line was confirmed; give the position to keep."""
        if self._ledger is None:
            return None
        with self._lock:
            self._ledger.done(position)
            return self._ledger.state()

    def configure(self, settings: PublisherSettings) -> None:
        """Nothing of a feed changes while it is read."""

    def step(self) -> bool:
        """Read once; tell whether there was anything. A problem is said once and tried again."""
        try:
            lines = self._lines.poll(self._room())
        except OSError as err:
            if self._problem != str(err):
                self._problem = str(err)
                self._say("error", "feed_unreadable", {"feed": self._settings.feed, "problem": str(err)})
            return False
        self._problem = ""
        for line in lines:
            self._take_in(line)
        return bool(lines)

    def _run(self) -> None:
        while not self._ended.is_set():
            if not self.step():
                self._ended.wait(POLL_S)

    def _room(self) -> int:
        with self._lock:
            waiting = sum(len(queue) for queue in self._queues.values())
            ahead = waiting if self._ledger is None else max(waiting, len(self._ledger))
        return max(0, AHEAD_LINES - ahead)

    def _take_in(self, line: Line) -> None:
        heading = self._heading(line)
        if line.again:
            return
        seq = self._entered(line)
        if seq is None:
            return
        if heading or not line.text.strip():
            self._pass(seq)
            return
        try:
            item = self._item(line, seq)
        except records.RecordInvalid as err:
            self._reject(line, str(err))
            self._pass(seq)
            return
        with self._lock:
            self._queues[item.genre].append(item)

    def _heading(self, line: Line) -> bool:
        """Tell whether a line is a CSV header, and take its columns; a new file settles its format anew."""
        if line.number != 1 and line.generation == self._generation:
            return False
        self._generation = line.generation
        chosen = self._settings.feed_format
        if chosen == "auto":
            self._format = records.format_of(self._settings.feed, line.text)
        else:
            self._format = "csv" if chosen == "csv" else "jsonl"
        if self._format != "csv" or line.number != 1:
            return False
        try:
            self._columns = records.header_of(line.text)
        except records.RecordInvalid as err:
            self._columns = []
            self._reject(line, str(err))
        return True

    def _entered(self, line: Line) -> Optional[int]:
        if self._ledger is None:
            return 0
        with self._lock:
            return self._ledger.add(line)

    def _pass(self, seq: int) -> None:
        if self._ledger is not None:
            with self._lock:
                self._ledger.done(seq)

    def _item(self, line: Line, seq: int) -> Item:
        if line.fault:
            raise records.RecordInvalid(line.fault)
        item = records.read(line.text, self._format, self._columns, self._settings.ttl_s)
        if self._ledger is None:
            return item
        return replace(item, position=seq, message_id=item.message_id or self._line_id(line))

    def _line_id(self, line: Line) -> str:
        digest = hashlib.blake2b(line.text, digest_size=16).hexdigest()
        return hashed_id(f"{self._settings.agent_id} {line.generation} {line.inode} {line.start} {digest}")

    def _reject(self, line: Line, reason: str) -> None:
        self.bad_lines += 1
        fields = {"line": line.number, "reason": reason, "bad_lines": self.bad_lines}
        if _is_round(self.bad_lines):
            self._say("warning", "feed_line_rejected", fields)
        entry = {
            "feed": self._settings.feed,
            "line": line.number,
            "offset": line.start,
            "reason": reason,
            "text": line.text[:REJECTED_TEXT_CHARS].decode("utf-8", "replace"),
        }
        try:
            with self._rejected.open("a", encoding="utf-8") as file:
                if file.tell() < REJECTED_MAX_BYTES:
                    file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        except OSError as err:
            self._say("error", "feed_rejected_unwritable", {"path": str(self._rejected), "problem": str(err)})


def _is_round(count: int) -> bool:
    """Tell whether a count is 1, 10, 100, ...: often enough to be seen, too rarely to flood a log."""
    return str(count).rstrip("0") == "1"
