"""The record of every exchange, and totals by model for comparison with what the agents measured.

Used by server; read by tests through `StandIn.log`, `StandIn.totals` and the control endpoints.
"""

import json
import threading
import time
from typing import IO, Any, Callable, Dict, List, Mapping, Optional

from tests.standin.wire import Json

#: Headers that carry a key, in whatever form; none of them enters a record.
SECRET_HEADERS = frozenset(["x-api-key", "authorization", "proxy-authorization", "cookie"])


class Exchange:
    """One request and its answer.

    `usage` is what the API would bill, or None. `delivered` is False when no usable answer reached the
    caller: what it cost stays billed, but the caller cannot know it. `scripted` marks an answer whose content
    a test gave.
    """

    def __init__(self, number: int, path: str, headers: Mapping[str, str], body: Any) -> None:
        self.number = number
        self.time = time.time()
        self.path = path
        self.headers = {name: value for name, value in headers.items() if name not in SECRET_HEADERS}
        self.request = body
        self.model: Optional[str] = None
        self.kind: Optional[str] = None
        self.prompt = ""
        self.form = "auto"
        self.scripted = False
        self.status = 0
        self.error: Optional[str] = None
        self.answer = ""
        self.stop_reason: Optional[str] = None
        self.usage: Optional[Json] = None
        self.delivered = True

    def as_json(self) -> Json:
        """Return every field, ready for JSON."""
        return dict(vars(self))


class Journal:
    """Keeps exchanges in memory and, given a path, appends each to a JSON Lines file.

    A line {"number": n, "delivered": false} after an exchange's own takes its delivery back.
    """

    def __init__(self, path: Optional[str] = None) -> None:
        self._exchanges: List[Exchange] = []
        self._changed = threading.Condition()
        self._numbers = 0
        self._path = path
        self._file: Optional[IO[str]] = None

    def open(self) -> None:
        """Open the file, if there is to be one; raises OSError."""
        with self._changed:
            if self._path is not None and self._file is None:
                self._file = open(self._path, "a", encoding="utf-8")

    def next_number(self) -> int:
        """Return the number of the next request, from 1."""
        with self._changed:
            self._numbers += 1
            return self._numbers

    def record(self, exchange: Exchange) -> None:
        """Keep an exchange; called before its answer leaves, so that who has the answer finds it here."""
        with self._changed:
            self._exchanges.append(exchange)
            self._write(exchange.as_json())
            self._changed.notify_all()

    def undelivered(self, exchange: Exchange) -> None:
        """Take back that an exchange's answer arrived."""
        with self._changed:
            exchange.delivered = False
            self._write({"number": exchange.number, "delivered": False})
            self._changed.notify_all()

    def since(self, number: int = 0) -> List[Exchange]:
        """Return the exchanges after the one with this number, in the order of their recording."""
        with self._changed:
            return [exchange for exchange in self._exchanges if exchange.number > number]

    def wait(self, enough: Callable[[List[Exchange]], bool], timeout: float) -> bool:
        """Wait until `enough` holds for the list of exchanges; return whether it did in time (seconds)."""
        with self._changed:
            return self._changed.wait_for(lambda: enough(list(self._exchanges)), timeout)

    def totals(self) -> Json:
        """Return counts and tokens by model.

        `input_tokens` and `output_tokens` are those of answers that arrived; `lost_*` were billed in vain.
        """
        with self._changed:
            totals: Dict[str, Json] = {}
            for exchange in self._exchanges:
                _add(totals.setdefault(exchange.model or "", _empty()), exchange)
            return totals

    def clear(self) -> None:
        """Forget every exchange; numbers go on."""
        with self._changed:
            self._exchanges.clear()

    def close(self) -> None:
        """Close the file; later records stay in memory."""
        with self._changed:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _write(self, line: Json) -> None:
        if self._file is not None:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


def _empty() -> Json:
    names = "requests answered failed input_tokens output_tokens lost lost_input_tokens lost_output_tokens"
    return dict.fromkeys(names.split(), 0)


def _add(total: Json, exchange: Exchange) -> None:
    total["requests"] += 1
    if exchange.usage is None:
        total["failed"] += 1
        return
    prefix = "" if exchange.delivered else "lost_"
    total["answered" if exchange.delivered else "lost"] += 1
    total[prefix + "input_tokens"] += exchange.usage["input_tokens"]
    total[prefix + "output_tokens"] += exchange.usage["output_tokens"]
