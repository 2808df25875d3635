"""Every prompt and answer as JSON Lines, one file an agent: time, prompt, raw answer, decision, cost, error.

Used by the brains that put prompts together (`claude`, `dry-run`). Lines are written on a daemon thread; what
can't be written is said and never holds up a decision. Keys are cut out of every line.
"""

import json
import os
import queue
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, TextIO, Union

import msgspec

from reasond.brains.base import Question
from reasond.brains.prompts import Prompt
from reasond.brains.redaction import Secrets
from reasond.core.effects import Answer, Failure, Level

FILE_MODE = 0o640
MAX_WAITING_LINES = 1000
"""Lines that wait for the disk; beyond it new ones are dropped and counted, for memory is not the place for
them."""
LOOK_AROUND_S = 3600.0
"""Between looks for transcripts that are too old."""

Say = Callable[[Level, str, Dict[str, Any]], None]


def line_of(question: Question, prompt: Prompt, raw: str, model: str, result: Union[Answer, Failure]) -> Dict[str, Any]:
    """Give one question's transcript entry, JSON-able."""
    answered = isinstance(result, Answer)
    return {
        "time": datetime.fromtimestamp(question.wall_ns / 1e9, timezone.utc).isoformat(),
        "agent": question.agent_id,
        "agent_type": question.agent_type,
        "decision_id": question.ask_id,
        "model": model,
        "prompt_version": prompt.version,
        "prompt": prompt.text,
        "response": raw,
        "decision": msgspec.to_builtins(result.decision) if isinstance(result, Answer) else None,
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
        "cost_usd": result.cost_usd,
        "latency_ms": result.latency_ms,
        "attempts": len(result.calls),
        "error": None if answered else getattr(result, "reason", ""),
        "detail": None if answered else getattr(result, "detail", ""),
    }


class Transcript:
    """An agent's transcript file in a directory, with its rotated predecessors.

    A file of `max_bytes` is rotated to `<agent>.<UTC time>.jsonl`; the newest `keep` of those that are
    younger than `days` stay.
    """

    def __init__(
        self,
        directory: Path,
        agent_id: str,
        *,
        max_bytes: int,
        keep: int,
        days: int,
        secrets: Optional[Secrets] = None,
        say: Say = lambda level, event, fields: None,
    ) -> None:
        """Start the writing thread; the file is opened with the first line."""
        self._directory = directory
        self._agent_id = agent_id
        self._max_bytes = max_bytes
        self._keep = keep
        self._days = days
        self._secrets = secrets or Secrets()
        self._say = say
        self._file: Optional[TextIO] = None
        self._failing = False
        self._dropped = 0
        self._looked_at: Optional[float] = None
        self._lines: queue.Queue[Optional[str]] = queue.Queue(MAX_WAITING_LINES)
        self._thread = threading.Thread(target=self._run, name="transcript-" + agent_id, daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path:
        """The file that is written now."""
        return self._directory / f"{self._agent_id}.jsonl"

    def write(self, entry: Dict[str, Any]) -> None:
        """Take an entry to be written soon; never blocks and never raises."""
        try:
            line = json.dumps(self._secrets.scrub_all(entry), ensure_ascii=False, default=str)
            self._lines.put_nowait(line.encode("utf-8", "replace").decode("utf-8"))
        except queue.Full:
            self._dropped += 1
        except (TypeError, ValueError) as err:
            self._fail(err)

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what waits, as far as the time allows."""
        try:
            self._lines.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            line = self._lines.get()
            if line is None:
                break
            try:
                self._append(line)
                self._failing = False
            except OSError as err:
                self._drop_file()
                self._fail(err)
        self._drop_file()

    def _append(self, line: str) -> None:
        if self._file is None:
            self._file = self._open()
        if self._file.tell() and self._file.tell() + len(line.encode("utf-8")) + 1 > self._max_bytes:
            self._rotate()
            self._file = self._open()
        self._file.write(line + "\n")
        self._file.flush()
        if self._looked_at is None or time.monotonic() - self._looked_at > LOOK_AROUND_S:
            self._discard()

    def _open(self) -> TextIO:
        self._directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(str(self.path), os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
        # The umask may have taken the group's right, and a file made by hand may have given more.
        os.fchmod(descriptor, FILE_MODE)
        file = os.fdopen(descriptor, "a", encoding="utf-8")
        file.seek(0, os.SEEK_END)
        return file

    def _rotate(self) -> None:
        self._drop_file()
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%f")
        self.path.replace(self._directory / f"{self._agent_id}.{stamp}.jsonl")
        self._discard()

    def _discard(self) -> None:
        """Delete rotated transcripts beyond the number and the age that are kept."""
        self._looked_at = time.monotonic()
        rotated: List[Path] = sorted(self._directory.glob(f"{self._agent_id}.*.jsonl"), reverse=True)
        oldest = time.time() - self._days * 86400.0
        for number, path in enumerate(rotated):
            if number >= self._keep or path.stat().st_mtime < oldest:
                path.unlink()

    def _drop_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as err:
                self._fail(err)

    def _fail(self, err: Exception) -> None:
        """Say it once for each time that writing begins to fail."""
        self._dropped += 1
        if not self._failing:
            self._failing = True
            fields = {"path": str(self.path), "error": str(err), "dropped": self._dropped}
            self._say("warning", "transcript_failed", fields)
