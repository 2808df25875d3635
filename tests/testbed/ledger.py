"""The ledger: follows every message id to its ends, and names the ids that have none or more than one.

Ends are the handlers' own notes (ledger_handler) and what lies in the broker's queues. Used by the fault
tests and the benches.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple, Union

from tests.testbed.management import Management
from tests.testbed.rabbitmq import RabbitMQ

MAIN_QUEUES = ("priority", "fictional", "non-fictional")
DEAD_QUEUES = ("books.expired", "books.rejected", "books.flagged")
# All that may lie in a queue of the tests; what is beyond would be taken for lost.
READ_MOST = 20000


class Note(NamedTuple):
    """One line of the ledger handler: a message begun or handled (`what`) by a consumer's process, UTC seconds."""

    what: str
    message_id: str
    source: str
    stamp_s: float
    consumer: str
    pid: int
    at_s: float


class Balance(NamedTuple):
    """Where the messages went.

    `ends` counts ids by each place where they ended; `lost` are confirmed ids without an end; `doubles` are
    ids with several ends, and these ends; `strangers` have an end without having been confirmed.
    """

    confirmed: int
    ends: Dict[str, int]
    lost: Tuple[str, ...]
    doubles: Dict[str, Tuple[str, ...]]
    strangers: Tuple[str, ...]

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {end}" for end, count in sorted(self.ends.items()))
        text = f"{self.confirmed} confirmed: {ends}; lost {len(self.lost)}, doubles {len(self.doubles)}"
        return text + (f", unconfirmed but there {len(self.strangers)}" if self.strangers else "")


def balance(confirmed: Iterable[str], handled: Iterable[Note], queued: Mapping[str, Sequence[str]]) -> Balance:
    """Settle: given the confirmed ids, the handlers' notes, and the ids that lie in each queue."""
    expected = set(confirmed)
    ends: Dict[str, List[str]] = defaultdict(list)
    counts: Dict[str, int] = defaultdict(int)
    for note in handled:
        if note.what == "handled":
            ends[note.message_id].append(note.consumer)
            counts["handled"] += 1
    for queue, ids in queued.items():
        for message_id in ids:
            ends[message_id].append(queue)
            counts[queue] += 1
    return Balance(
        confirmed=len(expected),
        ends=dict(counts),
        lost=tuple(sorted(expected - set(ends))),
        doubles={message_id: tuple(where) for message_id, where in sorted(ends.items()) if len(where) > 1},
        strangers=tuple(sorted(set(ends) - expected)),
    )


class Ledger:
    """What the handlers noted in a folder from a time on, and what the broker's queues hold."""

    def __init__(self, folder: Path, rabbitmq: Union[RabbitMQ, Management], since_s: float = 0.0) -> None:
        """Given the folder of the handlers' notes; what is older than `since_s` (UTC seconds) isn't looked at."""
        self.folder = folder
        self._rabbitmq = rabbitmq
        self.since_s = since_s
        self._before = {queue: set(self._ids_in(queue)) for queue in DEAD_QUEUES}

    def notes(self) -> List[Note]:
        """Give every whole line, in each consumer's own order."""
        found = []
        for path in sorted(self.folder.glob("consumer-*.jsonl")):
            for line in path.read_bytes().split(b"\n")[:-1]:
                note = Note(**json.loads(line))
                if note.at_s >= self.since_s:
                    found.append(note)
        return found

    def open_in(self, consumer: str) -> List[Note]:
        """Give what the consumer's processes have begun and not (yet) handled."""
        begun: Dict[Tuple[int, str], Note] = {}
        for note in self.notes():
            if note.consumer == consumer:
                key = (note.pid, note.message_id)
                if note.what == "begun":
                    begun[key] = note
                else:
                    begun.pop(key, None)
        return list(begun.values())

    def handlings(self, message_id: str) -> List[Note]:
        """Give the ends of one message's handling, in order of time."""
        found = [note for note in self.notes() if note.what == "handled" and note.message_id == message_id]
        return sorted(found, key=lambda note: note.at_s)

    def queued(self) -> Dict[str, List[str]]:
        """Give the ids that lie in each queue; of the dead-letter queues only what came since the beginning."""
        found = {queue: self._ids_in(queue) for queue in MAIN_QUEUES}
        for queue in DEAD_QUEUES:
            found[queue] = [i for i in self._ids_in(queue) if i not in self._before[queue]]
        return found

    def balance(self, confirmed: Iterable[str]) -> Balance:
        """Settle; only when no message is unacknowledged, as those are in no queue's reach."""
        return balance(confirmed, self.notes(), self.queued())

    def _ids_in(self, queue: str) -> List[str]:
        wanted = {"count": READ_MOST, "ackmode": "ack_requeue_true", "encoding": "auto", "truncate": 1}
        messages: List[Dict[str, Any]] = self._rabbitmq.api("POST", f"/api/queues/%2F/{queue}/get", wanted)
        return [str(message["properties"].get("message_id", "")) for message in messages]


def confirmed_ids(path: Path) -> List[str]:
    """Give the ids that `reasond load --ledger` noted as confirmed."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line)["message_id"] for line in lines]
