"""The consumers' handler for tests that count: notes each message's begin and end in the ledger's folder.

Runs inside the agents' processes as a plug-in; `plug_in` makes the folder by which they find it.
"""

import json
import os
import time
from pathlib import Path
from typing import Sequence

from reasond.handlers import Handler, HandlerSetup
from reasond.messages import Message

NAME = "ledger"
FOLDER_VARIABLE = "TESTBED_LEDGER"
POISON = "a book that kills its reader"
"""A message with this in its context ends the process."""
POISON_EXIT = 86


class LedgerHandler(Handler):
    """Works on each message for CONSUMER_HANDLER_DURATION_MS, then notes it as handled; only then it returns."""

    def __init__(self, setup: HandlerSetup) -> None:
        super().__init__(setup)
        name = setup.settings.agent_id
        path = Path(os.environ[FOLDER_VARIABLE]) / (name + ".jsonl")
        self._consumer = name
        self._duration_s = setup.settings.handler_duration_ms / 1000
        self._file = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def handle(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._note("begun", message)
            if POISON in message.payload.context:
                os._exit(POISON_EXIT)
            time.sleep(self._duration_s)
            self._note("handled", message)

    def _note(self, what: str, message: Message) -> None:
        line = {
            "what": what,
            "message_id": message.header.message_id,
            "source": message.header.source,
            "stamp_s": message.header.timestamp.timestamp(),
            "consumer": self._consumer,
            "pid": os.getpid(),
            "at_s": time.time(),
        }
        # One write(2) in append mode: a SIGKILL leaves the whole line or none of it.
        os.write(self._file, (json.dumps(line) + "\n").encode())


def plug_in(folder: Path) -> Path:
    """Make what an installed plug-in leaves behind, and return the folder to put on PYTHONPATH."""
    info = folder / "ledger_handler-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ledger-handler\nVersion: 1.0\n")
    entry = "[reasond.handlers]\n{} = {}:LedgerHandler\n".format(NAME, __name__)
    (info / "entry_points.txt").write_text(entry)
    return folder
