"""An agent as a real process with a notify socket of its own, and what its tests look at; used in this folder."""

import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

from reasond.adapters import broker_setup
from reasond.adapters.management import Management
from reasond.doctor.examined import examine
from tests.testbed.process import Process
from tests.testbed.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
READY_S = 20
STOP_S = 10
"""What the specification's process life promises."""
SOON_S = 30
BACK_S = 60
"""For services that were away: agents come back with backoff, and a broker takes seconds to start."""
IDENTITY = {"publisher": "PUBLISHER_ID", "consumer": "CONSUMER_ID", "monitor": "AGENT_ID"}
FAST = {
    "REASOND_BRAIN": "rules",
    "REASOND_HEARTBEAT_S": "1",
    "REASOND_LOG_FORMAT": "plain",
    "PUBLISHER_FICTIONAL_INTERVAL_S": "1",
    "PUBLISHER_NONFICTIONAL_INTERVAL_S": "1",
    "PUBLISHER_DECISION_PERIOD_S": "3",
    "PUBLISHER_DECISION_DEADLINE_S": "2",
    # Rules would slow the publisher down or pause it when a consumer is missing: bounds keep the flow even.
    "PUBLISHER_MAX_INTERVAL_S": "1",
    "PUBLISHER_MAX_PAUSE_S": "1",
    "PUBLISHER_ANOMALY_RATE": "0",
    "CONSUMER_HANDLER_DURATION_MS": "0",
    "MONITOR_PERIOD_S": "3",
    "MONITOR_DECISION_DEADLINE_S": "2",
    "MONITOR_SAMPLING_PERIOD_S": "1",
}


class Agent:
    """One `reasond` process with a notify socket of its own, on which everything it tells systemd is kept."""

    def __init__(self, folder, kind, environ):
        self.folder = folder / f"{kind}-1"
        self.folder.mkdir(parents=True, exist_ok=True)
        # A socket's path is short by law of the kernel (108 bytes); pytest's folders aren't.
        self._socket_dir = tempfile.TemporaryDirectory(prefix="notify-")
        path = str(Path(self._socket_dir.name) / "s")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self.told = []
        threading.Thread(target=self._listen, daemon=True).start()
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT / "agents"),
            "NOTIFY_SOCKET": path,
            "WATCHDOG_USEC": "400000",
            "REASOND_STATE_DIR": str(folder / "state"),
            "REASOND_LOG_DIR": str(folder / "log"),
            IDENTITY[kind]: f"{kind}-1",
            **FAST,
            **environ,
        }
        self.process = Process(kind, [sys.executable, "-m", "reasond", kind], environment, self.folder)

    def _listen(self):
        with contextlib.suppress(OSError):
            while True:
                text = self._socket.recv(65536).decode()
                self.told.append((time.monotonic(), text))

    def start(self):
        self.process.launch()
        self.expect("READY=1", READY_S)
        return self

    def close(self):
        self.process.kill()
        self._socket.close()
        self._socket_dir.cleanup()

    @property
    def log(self):
        return self.process.log_path.read_text(errors="replace")

    def since(self, mark=0):
        """Give what was told after the first `mark` messages."""
        return [text for _, text in self.told[mark:]]

    def expect(self, beginning, timeout_s=SOON_S, mark=0, containing=""):
        """Wait for a message after `mark` that begins so and contains that; give it."""

        def found():
            assert self.process.running, self.process.log_tail()
            return next((text for text in self.since(mark) if text.startswith(beginning) and containing in text), None)

        return wait_until(found, what=f"{beginning} {containing} of {self.process.name}", timeout_seconds=timeout_s)

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def stop(self):
        """Send SIGTERM; give the exit status and how long the end took, in seconds."""
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        return self.wait_end(STOP_S + 5), time.monotonic() - began

    def wait_end(self, timeout_s):
        wait_until(lambda: not self.process.running, what="the end", timeout_seconds=timeout_s)
        return self.process.exit_status


def started(folder):
    """Yield, for a fixture, a function that makes agents, which end with the test."""
    made = []

    def make(kind, environ, launch=True):
        agent = Agent(folder, kind, environ)
        made.append(agent)
        return agent.start() if launch else agent

    yield make
    for agent in made:
        agent.close()


def services(vhost, influxd, bucket):
    return {
        "RABBITMQ_HOST": vhost.host,
        "RABBITMQ_PORT": str(vhost.port),
        "RABBITMQ_USER": vhost.username,
        "RABBITMQ_PASS": vhost.password,
        "RABBITMQ_VHOST": vhost.name,
        "RABBITMQ_MANAGEMENT_URL": vhost.management_url,
        "INFLUXDB_URL": influxd.url,
        "INFLUXDB_ORG": influxd.org,
        "INFLUXDB_BUCKET": bucket,
        "INFLUXDB_TOKEN": influxd.token,
    }


def ready_services(vhost, influxd, bucket):
    """Give an agent's settings of the run's services, with the topology set up."""
    found = services(vhost, influxd, bucket)
    set_up(found)
    return found


def management_of(environ):
    return Management(examine(environ, ()).settings.rabbit)


def set_up(environ):
    broker_setup.set_up(management_of(environ), "classic")


def count(influxd, bucket, measurement, field):
    """Give the sum of a counting field over everything in the bucket."""
    flux = (
        f'from(bucket: "{bucket}") |> range(start: -1h) |> filter(fn: (r) => r._measurement == "{measurement}" '
        f'and r._field == "{field}") |> group() |> sum()'
    )
    rows = influxd.query(flux)
    return int(rows[0]["_value"]) if rows else 0


def waiting(environ):
    """Give the messages in all queues, ready and unacknowledged."""
    return sum(sample.depth for sample in management_of(environ).queue_samples(0))


def fill(rabbitmq, vhost, queue, number):
    """Publish sound messages that live long."""
    for _ in range(number):
        body = {
            "properties": {"delivery_mode": 2, "content_type": "application/json"},
            "routing_key": queue,
            "payload": message(queue),
            "payload_encoding": "string",
        }
        assert rabbitmq.api("POST", f"/api/exchanges/{vhost.quoted}/books/publish", body)["routed"]


def message(genre):
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps(
        {
            "header": {
                "message_id": str(uuid.uuid4()),
                "timestamp": stamp,
                "version": "1.0",
                "source": "load-1",
            },
            "metadata": {
                "genre_type": genre,
                "priority": "normal",
                "ttl_seconds": 600,
                "publisher_reasoning": "a test",
            },
            "payload": {
                "entity_id": "book_" + uuid.uuid4().hex[:8],
                "action": "location_update",
                "coordinates": {"lat": 49.262, "lng": -122.781},
                "context": "Lent to a reader.",
            },
        }
    )
