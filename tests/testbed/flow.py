"""Agents under load with the ledger as their handler; what the fault tests break and the benches measure."""

import json
import time
from pathlib import Path
from typing import Callable, Dict, List

from tests.standin import StandIn
from tests.testbed import ledger_handler
from tests.testbed.influxd import Influxd
from tests.testbed.ledger import MAIN_QUEUES, Balance, Ledger, confirmed_ids
from tests.testbed.process import Process
from tests.testbed.rabbitmq import RabbitMQ
from tests.testbed.system import ROOT, System
from tests.testbed.waiting import wait_until

IDENTITY = {"publisher": "PUBLISHER_ID", "consumer": "CONSUMER_ID", "monitor": "AGENT_ID"}
CONSUMERS = ("consumer-1", "consumer-2", "consumer-3")
START_SECONDS = 30
# Beyond a load's own duration: its confirms, a broker that comes back, and what expires meanwhile.
END_SECONDS = 60
SETTLE_SECONDS = 60
# What one consumer can have handed out at a time: 16 messages, and a batch of 20 beyond them.
IN_HAND_MOST = 36
# Between the end of a handler and its acknowledgement at the broker, on a busy machine.
ACKNOWLEDGE_SECONDS = 5.0

SETTINGS: Dict[str, str] = {
    "REASOND_BRAIN": "rules",
    "REASOND_HEARTBEAT_S": "1",
    # The least: faults that only heartbeats reveal must be over within a test.
    "RABBITMQ_HEARTBEAT_S": "5",
    "CONSUMER_HANDLER": ledger_handler.NAME,
    "CONSUMER_HANDLER_DURATION_MS": "100",
    "CONSUMER_HANDLER_THREADS": "4",
    "CONSUMER_DEPTH_PERIOD_S": "2",
    # A batch that waits for company would only make the tests wait for it.
    "CONSUMER_BATCH_AGE_S": "2",
}


class Load:
    """One `reasond load` and the ids it saw confirmed."""

    def __init__(self, process: Process, ids: Path, seconds: float) -> None:
        self.process = process
        self.seconds = seconds
        self._ids = ids

    def wait_end(self) -> Dict[str, float]:
        """Wait for its end and give its report; its exit status may tell of messages that nobody confirmed."""
        limit = self.seconds + END_SECONDS
        wait_until(
            lambda: not self.process.running, what="the end of the load", timeout_seconds=limit, every_seconds=0.2
        )
        return json.loads(self.process.log_tail().splitlines()[-1])

    def interrupt(self) -> None:
        """End it now, as Ctrl-C would."""
        self.process.terminate()

    def confirmed(self) -> List[str]:
        return confirmed_ids(self._ids)


class Flow(System):
    """A system whose consumers keep the ledger."""

    def __init__(
        self, folder: Path, rabbitmq: RabbitMQ, influxd: Influxd, api: StandIn, settings: Dict[str, str]
    ) -> None:
        """Given started services, a folder, and settings beyond SETTINGS."""
        notes = folder / "ledger"
        notes.mkdir(parents=True)
        plug_in = ledger_handler.plug_in(folder / "plug-in")
        path = ":".join(str(part) for part in (ROOT / "agents", ROOT, plug_in))
        shared = {
            **SETTINGS,
            "PYTHONPATH": path,
            ledger_handler.FOLDER_VARIABLE: str(notes),
            "INFLUXDB_TOKEN": influxd.token,
            **settings,
        }
        super().__init__(folder, rabbitmq, influxd, api, shared)
        self.notes = notes
        self.started_ns = time.time_ns()
        self._loads = 0
        self.run("setup-rabbitmq", ["setup-rabbitmq"])

    def start(self, *names: str, **more: str) -> None:
        """Start agents, or start them again, and wait until the consumers among them consume."""
        for name in names:
            kind = name.partition("-")[0]
            if name not in self.processes:
                self.processes[name] = self.process(name, [kind], **{IDENTITY[kind]: name}, **more)
            self.processes[name].launch()
        consuming = [name for name in self.processes if name.startswith("consumer") and self.processes[name].running]
        self.wait_consuming(len(consuming))

    def stop(self, name: str) -> None:
        """Stop an agent for good."""
        self.processes.pop(name).stop()

    def wait_consuming(self, count: int) -> None:
        """Wait until each main queue has that many consumers."""
        wait_until(
            lambda: all(self.consumers(queue) == count for queue in MAIN_QUEUES),
            what=f"{count} consumers at each queue",
            timeout_seconds=START_SECONDS,
            every_seconds=0.2,
        )

    def consumers(self, queue: str) -> int:
        """Give how many consumers a queue has now; the listing's own figure is seconds old."""
        broker = self.rabbitmq.process
        assert broker.running, f"the broker had ended by itself\n{broker.log_tail()}"
        found = self.rabbitmq.api("GET", "/api/consumers/%2F")
        return sum(consumer["queue"]["name"] == queue for consumer in found)

    def revive(self) -> int:
        """Start every agent again that has ended, as systemd would; give how many."""
        agents = [process for name, process in self.processes.items() if not name.startswith("load")]
        ended = [process for process in agents if not process.running]
        for process in ended:
            process.launch()
        return len(ended)

    def ledger(self) -> Ledger:
        """Open a ledger from now on."""
        return Ledger(self.notes, self.rabbitmq, since_s=time.time())

    def load(self, rate: float, seconds: float) -> Load:
        """Begin to publish that many messages a second for so long."""
        self._loads += 1
        name = f"load-{self._loads}"
        ids = self.folder / f"{name}.ids"
        arguments = ["load", "--rate", str(rate), "--duration", str(seconds), "--ledger", str(ids), "--json"]
        self.processes[name] = process = self.process(name, arguments)
        process.launch()
        return Load(process, ids, seconds)

    def settle(self, ledger: Ledger, load: Load) -> Balance:
        """Wait until the load has ended and every message has come to its end; balance."""
        load.wait_end()
        self.processes.pop(load.process.name)
        self.wait_drained()
        return ledger.balance(load.confirmed())

    def wait_drained(self) -> None:
        """Wait until every message has come to its end."""
        wait_until(self.drained, what="empty queues", timeout_seconds=SETTLE_SECONDS, every_seconds=0.2)

    def drained(self) -> bool:
        """Tell whether the main queues hold nothing, not even unacknowledged."""
        depths = self.depths()
        return not any(depths[queue] for queue in MAIN_QUEUES)

    def points(self, field: str, where: str, since_s: float) -> int:
        """Give the sum of a counting field over the points since a time for which a Flux condition holds."""
        rows = self.flux(
            f'range(start: time(v: {int(since_s * 1e9)})) |> filter(fn: (r) => r._field == "{field}" and ({where}))'
            " |> group() |> sum()"
        )
        return sum(int(row["_value"]) for row in rows)

    def handled_points(self, since_s: float) -> int:
        """Give how many messages InfluxDB knows as handled since a time."""
        kinds = 'r.processing_action == "immediate" or r.processing_action == "batched"'
        return self.points("messages_consumed", kinds, since_s)

    def duplicate_points(self, since_s: float) -> int:
        """Give how many messages the consumers themselves recognised as duplicates since a time."""
        return self.points("messages_consumed", 'r.processing_action == "duplicate"', since_s)


def wait_handled(ledger: Ledger, count: int, probe: Callable[[], object] = lambda: None) -> None:
    """Wait until so many messages are handled since the ledger was opened."""

    def enough() -> bool:
        probe()
        return sum(note.what == "handled" for note in ledger.notes()) >= count

    wait_until(enough, what=f"{count} messages handled", timeout_seconds=SETTLE_SECONDS, every_seconds=0.1)


def unexplained(ledger: Ledger, balance: Balance, began_s: float, ended_s: float) -> Dict[str, List[float]]:
    """Give the doubles that a fault from `began_s` to `ended_s` doesn't explain, with the times of their ends.

    A fault explains a message that was in hand when it began: first handled not long before, and again, or
    found in a queue, after.
    """
    odd = {}
    for message_id in balance.doubles:
        times = [note.at_s for note in ledger.handlings(message_id)]
        first = min(times, default=began_s)
        again = max(times) if len(times) > 1 else began_s
        if not began_s - ACKNOWLEDGE_SECONDS <= first <= ended_s + ACKNOWLEDGE_SECONDS or again < began_s - 1:
            odd[message_id] = times
    return odd


def percentile(values: List[float], part: float) -> float:
    """Give the value below which that part of the values lies; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


def resumed_after_s(ledger: Ledger, moment_s: float) -> float:
    """Give the seconds from a moment until the next message was handled; -1 when none was."""
    later = [n.at_s - moment_s for n in ledger.notes() if n.what == "handled" and n.at_s > moment_s]
    return min(later, default=-1.0)


def ages(ledger: Ledger, begin_s: float, end_s: float) -> List[float]:
    """Give the ages, seconds, of the messages handled in a span of time."""
    return [n.at_s - n.stamp_s for n in ledger.notes() if n.what == "handled" and begin_s <= n.at_s < end_s]
