"""The whole system as its users run it: seven `reasond` processes on private services; made by the acceptance run."""

import json
import sys
import time
from pathlib import Path
from typing import Dict, NamedTuple

from tests.standin import StandIn
from tests.testbed import system
from tests.testbed.influxd import Influxd
from tests.testbed.rabbitmq import RabbitMQ
from tests.testbed.waiting import wait_until

AGENTS = (
    ("publisher", "PUBLISHER_ID", ("publisher-1", "publisher-2", "publisher-3")),
    ("consumer", "CONSUMER_ID", ("consumer-1", "consumer-2", "consumer-3")),
    ("monitor", "AGENT_ID", ("monitor-1",)),
)
START_SECONDS = 30
STOP_SECONDS = 12
ORG, BUCKET = "monitoring", "agent_metrics"


class Pace(NamedTuple):
    """How long the three phases last, the load in the middle one, and the agents' settings."""

    calm_s: float
    overload_s: float
    recovery_s: float
    load_rate: float
    settings: Dict[str, str]


COMMON = {
    "REASOND_BRAIN": "claude",
    "CONSUMER_HANDLER_DURATION_MS": "1000",
    "CONSUMER_HANDLER_THREADS": "1",
    # Every consumer gets its share of a short run's few messages, and samples some of them.
    "CONSUMER_SAMPLE_EVERY": "5",
}


def full(minutes: float) -> Pace:
    """The specification's own periods; three consumers handle 3 messages/s, 0.9 come in, then 3.9 do."""
    return Pace(minutes * 18, minutes * 24, minutes * 18, 3.0, dict(COMMON))


def compressed() -> Pace:
    """Every period shortened by the same intent: decide often, sample often, and a load that fills up fast."""
    return Pace(
        25,
        60,
        75,
        4.5,
        dict(
            COMMON,
            PUBLISHER_DECISION_PERIOD_S="15",
            PUBLISHER_DECISION_DEADLINE_S="6",
            PUBLISHER_OUTCOME_SETTLE_S="2",
            PUBLISHER_OUTCOME_WINDOW_S="4",
            PUBLISHER_MAX_PAUSE_S="20",
            CONSUMER_MIN_CALL_GAP_S="1",
            MONITOR_PERIOD_S="10",
            MONITOR_DECISION_DEADLINE_S="8",
            MONITOR_WINDOW_S="30",
            MONITOR_SAMPLING_PERIOD_S="1",
            REASOND_HEARTBEAT_S="2",
        ),
    )


class System(system.System):
    """Seven agents, their services and the stand-in; `close` ends what it started."""

    def __init__(
        self, folder: Path, rabbitmq: RabbitMQ, influxd: Influxd, api: StandIn, pace: Pace, python: str = sys.executable
    ) -> None:
        """Given started services (InfluxDB not set up yet) and an empty folder for states and logs."""
        influxd.org, influxd.bucket = ORG, BUCKET
        super().__init__(folder, rabbitmq, influxd, api, pace.settings, python)
        self.pace = pace
        self.stop_seconds: Dict[str, float] = {}
        self.overload_ns = 0
        self.recovery_ns = 0
        self.loaded = 0

    def set_up(self) -> None:
        """Run both set-ups as an administrator would, and take the agents' token from its file."""
        tokens = self.folder / "tokens"
        admin = {"INFLUXDB_ADMIN_USER": "admin", "INFLUXDB_ADMIN_PASSWORD": "password123"}
        self.run("setup-influxdb", ["setup-influxdb", "--token-dir", str(tokens)], **admin)
        self.run("setup-rabbitmq", ["setup-rabbitmq"])
        self.influxd.token = (tokens / "agents.token").read_text().strip()
        self.settings["INFLUXDB_TOKEN"] = self.influxd.token

    def start(self) -> None:
        """Start the seven agents and wait until each has told InfluxDB that it is alive."""
        self.started_ns = time.time_ns()
        for kind, variable, names in AGENTS:
            for name in names:
                self.processes[name] = self.process(name, [kind], **{variable: name})
                self.processes[name].launch()
        wait_until(
            lambda: self.alive() == set(self.processes),
            what="a heartbeat of all seven agents",
            timeout_seconds=START_SECONDS,
            every_seconds=0.5,
        )

    def alive(self) -> "set[str]":
        """Give the agents with a heartbeat since the start."""
        rows = self.flux('filter(fn: (r) => r._measurement == "agent_health" and r._field == "up") |> last()')
        return {row["agent_id"] for row in rows}

    def overload(self) -> None:
        """Drive the load through the middle of the run and wait for its end."""
        self.overload_ns = time.time_ns()
        arguments = [
            "load",
            "--rate",
            str(self.pace.load_rate),
            "--duration",
            str(self.pace.overload_s),
            "--seed",
            "3",
            "--json",
        ]
        loader = self.process("load", arguments)
        loader.launch()
        wait_until(
            lambda: not loader.running,
            what="the end of the load",
            timeout_seconds=self.pace.overload_s + 30,
            every_seconds=0.5,
        )
        assert loader.exit_status == 0, loader.log_tail()
        self.loaded = int(json.loads(loader.log_tail().splitlines()[-1])["confirmed"])
        self.recovery_ns = time.time_ns()

    def stop(self) -> None:
        """Send SIGTERM to all seven at once and note how long each took."""
        begin = time.monotonic()
        for process in self.processes.values():
            assert process.running, "{} had ended by itself\n{}".format(process.name, process.log_tail())
            process.terminate()

        def all_ended() -> bool:
            for name, process in self.processes.items():
                if not process.running:
                    self.stop_seconds.setdefault(name, time.monotonic() - begin)
            return len(self.stop_seconds) == len(self.processes)

        wait_until(all_ended, what="the end of all agents", timeout_seconds=STOP_SECONDS)
