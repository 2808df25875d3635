"""A host with all of reasond on it: real RabbitMQ and InfluxDB, a stand-in for Grafana, the seven agents."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from tests.testbed.nspawn import ROOT, Host
from tests.testbed.waiting import wait_until

AGENTS = tuple(f"{kind}@{number}.service" for kind in ("publisher", "consumer") for number in (1, 2, 3)) + (
    "monitor@1.service",
)
SERVICES = ("influxdb.service", "rabbitmq-server.service", "grafana-server.service")
# The specification's ten steps; "healthy" (2 and 5) is asked by the set-ups before they do anything.
STEPS: Tuple[Tuple[str, ...], ...] = (
    ("influxdb.service",),
    ("influxdb-setup.service",),
    ("rabbitmq-server.service",),
    ("rabbitmq-setup.service",),
    ("grafana-server.service",),
    AGENTS[0:3],
    AGENTS[3:6],
    AGENTS[6:],
)
SETUP_PASSWORD, AGENT_PASSWORD, ADMIN_PASSWORD = "setup-Sesam-7341", "agent-Sesam-9182", "admin-Sesam-5523"
API_KEY = "sk-ant-hosts-test-Sesam-4410"
# systemd.special(7): of the journal's entries "a unit is being started" and "a unit was started".
STARTING, STARTED = "7d4958e842da4a758f6c1cdc7b36dcc5", "39f53479d3a045ac8e11786248231fbf"

NAMES = r"^(books|books\.dead|fictional|non-fictional|priority|books\.expired|books\.rejected|books\.flagged)$"
DEFINITIONS: Dict[str, Any] = {
    "vhosts": [{"name": "/"}],
    "users": [
        {"name": "reasond-setup", "password": SETUP_PASSWORD, "tags": "policymaker"},
        {"name": "reasond", "password": AGENT_PASSWORD, "tags": "management"},
    ],
    "permissions": [
        {"user": "reasond-setup", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
        {"user": "reasond", "vhost": "/", "configure": NAMES, "write": NAMES, "read": NAMES},
    ],
}
RABBITMQ_CONF = """
listeners.tcp.1 = 127.0.0.1:5672
management.tcp.ip = 127.0.0.1
management.load_definitions = /etc/rabbitmq/definitions.json
max_message_size = 262144
"""
# RabbitMQ 3.8.9 hung in its own shutdown in 1 of 3 runs; systemd's 90 s until it ends that are too long here.
RABBITMQ_STOP = "[Service]\nTimeoutStopSec=15\n"
# As the vendor's unit stands in what matters here: started says nothing about healthy. The server was
# built on this machine, perhaps for a newer C library than the host's, so it brings that along; it is slow
# to answer, so that a set-up that didn't ask would fail.
INFLUXD = """#!/bin/sh
sleep 3
exec /opt/influxd/ld.so --library-path /opt/influxd /opt/influxd/influxd "$@"
"""
INFLUXDB_SERVICE = """[Unit]
Description=InfluxDB (as the vendor's unit)
After=network.target
[Service]
User=influxdb
Group=influxdb
StateDirectory=influxdb
ExecStart=/usr/bin/influxd --bolt-path=/var/lib/influxdb/influxd.bolt --sqlite-path=/var/lib/influxdb/influxd.sqlite \
--engine-path=/var/lib/influxdb/engine --http-bind-address=127.0.0.1:8086 --reporting-disabled
KillMode=control-group
Restart=on-failure
[Install]
WantedBy=multi-user.target
"""
GRAFANA_SERVICE = """[Unit]
Description=Grafana (a stand-in: the order is what is tested)
After=network.target
[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/sh -c 'sleep 1; systemd-notify --ready; exec sleep infinity'
Restart=on-failure
[Install]
WantedBy=multi-user.target
"""
AGENTS_ENV = """# Quoted as in the docs
RABBITMQ_HOST=localhost
RABBITMQ_USER=reasond
INFLUXDB_URL="http://localhost:8086"
REASOND_BRAIN=dry-run
REASOND_LOG_LEVEL=info
"""
PREPARE = """
mkdir -p /usr/src/reasond
cp -r /mnt/agents /mnt/systemd /mnt/pyproject.toml /mnt/README.md /mnt/LICENSE /mnt/CHANGELOG.md /usr/src/reasond/
/opt/reasond/bin/pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation \
    /usr/src/reasond
chgrp rabbitmq /etc/rabbitmq/definitions.json
ln -s /opt/reasond/bin/reasond /usr/bin/reasond
useradd --system --home-dir /var/lib/influxdb --shell /usr/sbin/nologin influxdb
"""


class WholeHost:
    """The host and what tests ask of it."""

    def __init__(self, host: Host, influxd: str) -> None:
        """Given a host that is off, and the influxd to put on it."""
        self.host = host
        self._influxd = influxd

    # Installing

    def install(self) -> None:
        """Put everything on the host, before it is switched on."""
        host = self.host
        host.write("/etc/rabbitmq/definitions.json", json.dumps(DEFINITIONS), 0o640)
        host.run_offline(PREPARE, ROOT)
        self._install_influxd()
        host.write("/etc/systemd/system/influxdb.service", INFLUXDB_SERVICE)
        host.write("/etc/systemd/system/grafana-server.service", GRAFANA_SERVICE)
        host.write("/etc/rabbitmq/rabbitmq.conf", RABBITMQ_CONF)
        host.write("/etc/rabbitmq/enabled_plugins", "[rabbitmq_management].\n")
        host.write("/etc/systemd/system/rabbitmq-server.service.d/test.conf", RABBITMQ_STOP)
        # Busy waiting of the schedulers starves everything else where there are two cores.
        calm = "+sbwt none +sbwtdcpu none +sbwtdio none"
        host.write("/etc/rabbitmq/rabbitmq-env.conf", f'SERVER_ADDITIONAL_ERL_ARGS="{calm}"\n')

    def _install_influxd(self) -> None:
        linked = subprocess.run(["ldd", self._influxd], stdout=subprocess.PIPE, check=False).stdout.decode()
        libraries = re.findall(r"(?:=> )?(/\S+) \(0x", linked)
        target = Path(f"{self.host.root}/opt/influxd")
        target.mkdir(parents=True)
        for library in libraries:
            name = "ld.so" if "/ld-" in library else Path(library).name
            subprocess.run(["cp", "-L", library, str(target / name)], check=True)
        subprocess.run(["cp", self._influxd, str(target / "influxd")], check=True)
        start = INFLUXD if libraries else INFLUXD.replace("/opt/influxd/ld.so --library-path /opt/influxd ", "")
        self.host.write("/usr/bin/influxd", start, 0o755)

    def power_on(self) -> None:
        """Switch on, then install the units by the very commands of systemd/README.md, and the settings."""
        host = self.host
        host.power_on()
        readme = (ROOT / "systemd" / "README.md").read_text(encoding="utf-8")
        (commands,) = re.findall(r"^## Install\n.*?```sh\n(.*?)```", readme, re.DOTALL | re.MULTILINE)
        host.run("bash", "-euc", f"cd /usr/src/reasond\n{commands}")
        host.write("/etc/reasond/agents.env", AGENTS_ENV, 0o640)
        host.sh("chgrp reasond /etc/reasond/agents.env")
        secrets = f"RABBITMQ_PASS='{AGENT_PASSWORD}'\nANTHROPIC_API_KEY={API_KEY}\n"
        host.write("/etc/reasond/secrets.env", secrets, 0o600)
        setup = f"RABBITMQ_MANAGEMENT_USER=reasond-setup\nRABBITMQ_MANAGEMENT_PASS={SETUP_PASSWORD}\n"
        host.write("/etc/reasond/rabbitmq-setup.env", setup, 0o600)
        host.write("/etc/reasond/influxdb-setup.env", f"INFLUXDB_ADMIN_PASSWORD={ADMIN_PASSWORD}\n", 0o600)

    # Asking

    def start(self) -> None:
        """Start the whole by its target; returns once systemd has done so, whatever came of it."""
        self.host.run("systemctl", "start", "reasond.target", timeout=180)

    def state(self, unit: str) -> str:
        return self.host.show(unit, "ActiveState")["ActiveState"]

    def show_agents(self, *properties: str) -> Dict[str, Dict[str, str]]:
        return {unit: self.host.show(unit, *properties) for unit in AGENTS}

    def wait_for(self, state: str, units: Sequence[str] = AGENTS, timeout_seconds: float = 90) -> None:
        """Wait until all these units are in that state; `failed` counts as inactive for a stop that was forced."""
        accepted = {state, "failed"} if state == "inactive" else {state}
        wait_until(
            lambda: all(self.state(unit) in accepted for unit in units),
            what=f"{', '.join(units)} {state}",
            timeout_seconds=timeout_seconds,
            every_seconds=0.3,
        )

    def wait_at_work(self, timeout_seconds: float = 60) -> None:
        """Wait until every agent's status line is there and tells of no trouble."""

        def troubled() -> List[str]:
            found = {unit: shown["StatusText"] for unit, shown in self.show_agents("StatusText").items()}
            return [f"{unit}: {text}" for unit, text in found.items() if not text or "degraded" in text]

        last: List[str] = []

        def none_troubled() -> bool:
            last[:] = troubled()
            return not last

        try:
            wait_until(none_troubled, what="agents at work", timeout_seconds=timeout_seconds, every_seconds=0.5)
        except AssertionError as err:
            raise AssertionError(f"{err}\n" + "\n".join(last)) from err

    def drop_in(self, unit: str, text: str) -> None:
        """Change a unit as an operator would."""
        self.host.write(f"/etc/systemd/system/{unit}.d/test.conf", text)
        self.host.run("systemctl", "daemon-reload")

    def withdraw_drop_in(self, unit: str) -> None:
        """Take the change back; leaves the unit stopped and not failed."""
        self.host.sh(f"rm -r '/etc/systemd/system/{unit}.d'; systemctl daemon-reload")
        self.host.sh(f"systemctl stop '{unit}'; systemctl reset-failed '{unit}' || true")

    def start_times(self) -> Dict[str, Tuple[int, int]]:
        """Return of each unit of the ten steps when its start began and ended, by the journal of this boot."""
        times: Dict[str, List[int]] = {}
        wanted = {unit for step in STEPS for unit in step}
        for entry in self.host.journal("_PID=1"):
            if entry.get("MESSAGE_ID") in (STARTING, STARTED) and entry.get("UNIT") in wanted:
                times.setdefault(entry["UNIT"], []).append(int(entry["__MONOTONIC_TIMESTAMP"]))
        return {unit: (moments[0], moments[1 if len(moments) > 1 else 0]) for unit, moments in times.items()}
