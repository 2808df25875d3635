"""Events as log lines, one line an event: for the journal, a terminal, or a JSON reader.

Used by the runtime and by commands that report as they go.
"""

import json
import os
import sys
import time
from typing import Any, Dict, Mapping, Optional, TextIO

# sd-daemon(3): the journal takes a leading <N> as the line's priority.
PRIORITIES: Dict[str, int] = {"crit": 2, "error": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}
_COLOURS: Dict[str, str] = {"crit": "1;37;41", "error": "31", "warning": "33", "notice": "36", "debug": "2"}
MAX_VALUE_CHARS = 600
"""A field's longest text in a line: a reasoning fits, a message body doesn't flood the journal."""


class EventLog:
    """Writes events to a stream in the chosen form; safe to call from any thread (one write a line)."""

    def __init__(self, stream: TextIO, form: str, level: str) -> None:
        """Take the stream, the form (journal, colour, plain, json) and the least level that is written."""
        self._stream = stream
        self._render = {"journal": _journal, "colour": _colour, "plain": _plain, "json": _json}[form]
        self._level = PRIORITIES[level]

    def set_level(self, level: str) -> None:
        """Change the least level that is written."""
        self._level = PRIORITIES[level]

    def say(self, level: str, event: str, fields: Optional[Mapping[str, Any]] = None) -> None:
        """Write one event; a broken stream is ignored, as there is nobody left to tell."""
        if PRIORITIES[level] > self._level:
            return
        try:
            self._stream.write(self._render(level, event, fields or {}) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass


def open_log(form: str, level: str, environ: Mapping[str, str], stream: Optional[TextIO] = None) -> EventLog:
    """Give the log for this process; form `auto` finds out what standard error is connected to."""
    stream = sys.stderr if stream is None else stream
    if form == "auto":
        form = _detect(environ, stream)
    elif form == "plain" and stream.isatty() and not environ.get("NO_COLOR"):
        form = "colour"
    return EventLog(stream, form, level)


def _detect(environ: Mapping[str, str], stream: TextIO) -> str:
    """Compare $JOURNAL_STREAM (systemd.exec(5)) with the stream's own device and inode."""
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return "plain"
    if environ.get("JOURNAL_STREAM", "") == "{}:{}".format(stat.st_dev, stat.st_ino):
        return "journal"
    return "colour" if stream.isatty() and not environ.get("NO_COLOR") else "plain"


def _fields(fields: Mapping[str, Any]) -> str:
    return "".join(" {}={}".format(name, _text(value)) for name, value in fields.items() if value is not None)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "{:.6g}".format(value)
    text = str(value)
    if len(text) > MAX_VALUE_CHARS:
        text = text[:MAX_VALUE_CHARS] + "..."
    # JSON's quoting keeps a line one line, whatever a message or a model wrote.
    return text if text.isprintable() and " " not in text and '"' not in text and text else json.dumps(text)


def _stamp() -> str:
    now = time.time()
    return time.strftime("%H:%M:%S", time.localtime(now)) + ".{:03d}".format(int(now % 1 * 1000))


def _journal(level: str, event: str, fields: Mapping[str, Any]) -> str:
    return "<{}>{}{}".format(PRIORITIES[level], event, _fields(fields))


def _plain(level: str, event: str, fields: Mapping[str, Any]) -> str:
    return "{} {:7} {}{}".format(_stamp(), level, event, _fields(fields))


def _colour(level: str, event: str, fields: Mapping[str, Any]) -> str:
    code = _COLOURS.get(level)
    line = _plain(level, event, fields)
    return "\033[{}m{}\033[0m".format(code, line) if code else line


def _json(level: str, event: str, fields: Mapping[str, Any]) -> str:
    return json.dumps(dict(fields, time=time.time(), level=level, event=event), default=str, ensure_ascii=False)
