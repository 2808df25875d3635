"""A system as its users run it: `reasond` processes on private services; for the acceptance run, faults and benches."""

import os
import sys
from pathlib import Path
from typing import Dict, List, Sequence

from tests.standin import StandIn
from tests.testbed.influxd import Influxd
from tests.testbed.process import Process
from tests.testbed.rabbitmq import RabbitMQ
from tests.testbed.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
COMMAND_SECONDS = 60


class System:
    """The services, the stand-in and the processes started so far, by name; `close` ends those."""

    def __init__(
        self,
        folder: Path,
        rabbitmq: RabbitMQ,
        influxd: Influxd,
        api: StandIn,
        settings: Dict[str, str],
        python: str = sys.executable,
    ) -> None:
        """Given started services, a folder for states and logs, and the settings that all processes share."""
        self.folder, self.rabbitmq, self.influxd, self.api = folder, rabbitmq, influxd, api
        self.settings = settings
        self.python = python
        self.processes: Dict[str, Process] = {}
        self.started_ns = 0

    def environment(self, **more: str) -> Dict[str, str]:
        """Give a process's environment: nothing of ours but PATH and HOME."""
        env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        env.update(
            PYTHONPATH=str(ROOT / "agents"),
            RABBITMQ_HOST=self.rabbitmq.host,
            RABBITMQ_PORT=str(self.rabbitmq.port),
            RABBITMQ_USER=self.rabbitmq.username,
            RABBITMQ_PASS=self.rabbitmq.password,
            RABBITMQ_MANAGEMENT_URL=self.rabbitmq.management_url,
            INFLUXDB_URL=self.influxd.url,
            INFLUXDB_ORG=self.influxd.org,
            INFLUXDB_BUCKET=self.influxd.bucket,
            ANTHROPIC_API_KEY=self.api.key,
            ANTHROPIC_BASE_URL=self.api.url,
            REASOND_STATE_DIR=str(self.folder / "state"),
            REASOND_LOG_DIR=str(self.folder / "log"),
            REASOND_SETTINGS_FILES="",
        )
        env.update(self.settings)
        env.update(more)
        return env

    def run(self, name: str, arguments: Sequence[str], **more: str) -> None:
        """Run one `reasond` command to its end; raises AssertionError with its output when it fails."""
        process = self.process(name, arguments, **more)
        process.launch()
        wait_until(lambda: not process.running, what=f"the end of {name}", timeout_seconds=COMMAND_SECONDS)
        assert process.exit_status == 0, f"{name} ended with {process.exit_status}\n{process.log_tail()}"

    def process(self, name: str, arguments: Sequence[str], **more: str) -> Process:
        """Make a `reasond` process; starts nothing."""
        command = [self.python, "-m", "reasond", *arguments]
        return Process(name, command, self.environment(**more), self.folder)

    def flux(self, pipeline: str) -> List[Dict[str, str]]:
        """Run a pipeline over everything written since the start, and give its rows as text."""
        start = f"time(v: {self.started_ns})"
        return self.influxd.query(f'from(bucket: "{self.influxd.bucket}") |> range(start: {start}) |> {pipeline}')

    def depths(self) -> Dict[str, int]:
        """Give each queue's messages, ready and unacknowledged, as the broker counts them now."""
        queues = self.rabbitmq.api("GET", "/api/queues/%2F?disable_stats=true&enable_queue_totals=true")
        return {queue["name"]: int(queue["messages"]) for queue in queues}

    def close(self) -> None:
        """End whatever still runs."""
        for process in self.processes.values():
            process.kill()
