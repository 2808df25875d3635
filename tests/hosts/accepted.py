"""The acceptance run on a host that site.yml made: the units' own processes, judged by their own records.

What `tests.acceptance.criteria` asks of a system, answered by the host: its InfluxDB through an operator's
tunnel, its broker by rabbitmqctl, its journal.
"""

import json
import time
from pathlib import Path
from typing import Dict, List

from tests.acceptance.criteria import Result, judge
from tests.acceptance.system import AGENTS as KINDS
from tests.acceptance.system import BUCKET, ORG, Pace
from tests.hosts.whole import AGENTS, WholeHost, now_us, unit_events
from tests.standin import StandIn
from tests.testbed.influxd import query
from tests.testbed.waiting import wait_until

QUEUES = ("fictional", "non-fictional", "priority", "books.expired", "books.rejected", "books.flagged")
AT_WORK_SECONDS = 60
LOAD = "reasond load --json --seed 3"


class Store:
    """The host's InfluxDB."""

    bucket = BUCKET

    def __init__(self, address: str, token: str) -> None:
        self._url, self._token = f"http://{address}", token

    def query(self, flux: str) -> List[Dict[str, str]]:
        return query(self._url, ORG, self._token, flux)


class HostSystem:
    """A run on the host: `set_up`, phases, `stop`, then the criteria read its attributes."""

    def __init__(self, whole: WholeHost, folder: Path, api: StandIn, pace: Pace, influxdb: str) -> None:
        """Given a running host, a folder for its logs, a stand-in of this run's own, and InfluxDB's address here."""
        self.whole, self.folder, self.api, self.pace = whole, folder, api, pace
        self.influxd = Store(influxdb, whole.secrets["influxdb_agents_token"])
        self.started_ns = self.recovery_ns = self.loaded = 0
        self.stop_seconds: Dict[str, float] = {}

    def set_up(self) -> None:
        """Empty the queues, and have site.yml start the agents with the pace's settings."""
        host = self.whole.host
        host.run("systemctl", "stop", *AGENTS, timeout=60)
        for queue in QUEUES:
            host.run("rabbitmqctl", "--quiet", "purge_queue", queue)
        self.started_ns = time.time_ns()
        settings = {
            **self.whole.variables["reasond_settings"],
            **self.pace.settings,
            "ANTHROPIC_BASE_URL": self.api.url,
        }
        self.whole.deploy(reasond_settings=settings)
        self.whole.wait_at_work(AT_WORK_SECONDS)

    def run(self) -> List[Result]:
        """Go through calm, overload and recovery, stop the agents, judge."""
        self.set_up()
        self._pass(self.pace.calm_s)
        told = self.whole.host.run(
            "bash",
            "-euc",
            f"{LOAD} --rate {self.pace.load_rate} --duration {self.pace.overload_s}",
            timeout=self.pace.overload_s + 30,
        )
        self.loaded = int(json.loads(told.splitlines()[-1])["confirmed"])
        self.recovery_ns = time.time_ns()
        self._pass(self.pace.recovery_s)
        self.stop()
        return judge(self)

    def _pass(self, seconds: float) -> None:
        """Let the time go by, looking that no agent has ended."""
        before = self.whole.show_agents("MainPID")
        end = time.monotonic() + seconds
        wait_until(
            lambda: time.monotonic() >= end, what="the phase's end", timeout_seconds=seconds + 10, every_seconds=1
        )
        assert self.whole.show_agents("MainPID") == before

    def stop(self) -> None:
        """Stop the seven units, note how long each took, and keep the monitor's log."""
        host = self.whole.host
        begun_us = now_us()
        host.run("systemctl", "stop", *AGENTS, timeout=60)
        moments = {(event.what, event.unit): event.at_us for event in unit_events(host, AGENTS, begun_us)}
        names = dict(zip(AGENTS, (name for _, _, group in KINDS for name in group)))
        self.stop_seconds = {
            name: (moments["stopped", unit] - moments["stopping", unit]) / 1e6 for unit, name in names.items()
        }
        lines = [f"<{entry['PRIORITY']}>{entry['MESSAGE']}" for entry in host.journal("-t", "monitor-1")]
        (self.folder / "monitor-1.log").write_text("\n".join(lines))

    def flux(self, pipeline: str) -> List[Dict[str, str]]:
        """Run a pipeline over everything written since the start, and give its rows as text."""
        start = f"time(v: {self.started_ns})"
        return self.influxd.query(f'from(bucket: "{BUCKET}") |> range(start: {start}) |> {pipeline}')

    def depths(self) -> Dict[str, int]:
        """Give each queue's messages, ready and unacknowledged, as the broker counts them now."""
        told = self.whole.host.run("rabbitmqctl", "--quiet", "list_queues", "--formatter", "json", "name", "messages")
        return {queue["name"]: int(queue["messages"]) for queue in json.loads(told)}
