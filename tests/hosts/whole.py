"""A host that site.yml made of a bare one: RabbitMQ, InfluxDB, Grafana and the seven agents; tests ask it here."""

import time
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

from tests.testbed.nspawn import Host
from tests.testbed.playbook import ANSIBLE, Outcome, Playbooks
from tests.testbed.waiting import wait_until

AGENTS = tuple(f"{kind}@{number}.service" for kind in ("publisher", "consumer") for number in (1, 2, 3)) + (
    "monitor@1.service",
)
SERVICES = ("influxdb.service", "rabbitmq-server.service", "grafana-server.service")
SETUPS = ("influxdb-setup.service", "rabbitmq-setup.service")
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
# The journal's entries of what systemd does to a unit, as sd-messages.h numbers them.
UNIT_MESSAGES = {
    "7d4958e842da4a758f6c1cdc7b36dcc5": "starting",
    "39f53479d3a045ac8e11786248231fbf": "started",
    "de5b426a63be47a7b6ac3eaac82e2f6f": "stopping",
    "9d1aaa27d60140bd96365438aad20286": "stopped",
}
SINGLE = ANSIBLE / "inventories" / "single"
AGENTS_ENV = "/etc/reasond/agents.env"
# What a play leaves on a host when it only looks: its own modules' folder and the stamps of the host's own timers.
LOOKED = "/root(/.ansible|$)|/var/lib/systemd|/var/lib/apt/(daily|periodic)|/var/lib/logrotate"
TOUCHED = f"find /etc /opt /root /srv /usr /var/lib -xdev -newer /run/marker | grep -vE '^({LOOKED})' || true"


class UnitEvent(NamedTuple):
    """What systemd said that it did to a unit: starting, started, stopping or stopped; µs since the boot."""

    what: str
    unit: str
    at_us: int


def unit_events(host: Host, units: Iterable[str], since_us: int) -> List[UnitEvent]:
    """Give what befell these units in this boot, in order, from a time on (UTC, µs)."""
    wanted = set(units)
    return [
        UnitEvent(UNIT_MESSAGES[entry["MESSAGE_ID"]], entry["UNIT"], int(entry["__MONOTONIC_TIMESTAMP"]))
        for entry in host.journal("_PID=1")
        if entry.get("MESSAGE_ID") in UNIT_MESSAGES
        and entry.get("UNIT") in wanted
        and int(entry["__REALTIME_TIMESTAMP"]) >= since_us
    ]


def now_us() -> int:
    """Give the time that `unit_events` goes by."""
    return time.time_ns() // 1000


def wait_at_work(agents: Sequence[Tuple[Host, Sequence[str]]], timeout_seconds: float) -> None:
    """Wait until every agent's status line is there and tells of no trouble; given each host's agents."""
    last: List[str] = []

    def none_troubled() -> bool:
        texts = {unit: host.show(unit, "StatusText")["StatusText"] for host, units in agents for unit in units}
        last[:] = [f"{unit}: {text}" for unit, text in texts.items() if not text or "degraded" in text]
        return not last

    try:
        wait_until(none_troubled, what="agents at work", timeout_seconds=timeout_seconds, every_seconds=0.5)
    except AssertionError as err:
        raise AssertionError(f"{err}\n" + "\n".join(last)) from err


class WholeHost:
    """The host and what tests ask of it."""

    def __init__(self, host: Host, folder: Path, variables: Mapping[str, Any], api_key: str) -> None:
        """Given a host that is on, a folder for inventory and logs, variables of the site, and the key for Claude.

        Passwords are made by the first run, which keeps them and the key beside the inventory.
        """
        self.host = host
        self._api_key = api_key
        self.variables = dict(variables)
        self.playbooks = Playbooks(folder, {"reasond-1": host}, inventory=SINGLE)
        self._started_us = 0

    # Installing

    def deploy(self, playbook: str = "site.yml", *, check: bool = False, **variables: Any) -> Outcome:
        """Run a playbook; `variables` go over the host's own."""
        environment = {"ANTHROPIC_API_KEY": self._api_key}
        return self.playbooks.run(
            playbook, check=check, extra_vars={**self.variables, **variables}, environment=environment
        )

    def change_key(self, api_key: str) -> None:
        """Show Ansible another key from now on; rotate.yml takes it."""
        self._api_key = api_key

    def look(self) -> Tuple[Outcome, List[str]]:
        """Run site.yml with --check; give its outcome, and what changed in the host's tree all the same."""
        self.host.run("touch", "/run/marker")
        outcome = self.deploy(check=True)
        return outcome, self.host.sh(TOUCHED).split()

    @property
    def secrets(self) -> Dict[str, str]:
        """The passwords, keys and tokens in use, by name."""
        found = self.playbooks.secrets
        for name in ("agents", "grafana", "admin"):
            found[f"influxdb_{name}_token"] = self.host.sh(f"cat /etc/reasond/tokens/{name}.token").strip()
        return found

    # Asking

    def start(self) -> None:
        """Start the whole by its target; returns once systemd has done so, whatever came of it."""
        self._started_us = now_us()
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
        wait_at_work([(self.host, AGENTS)], timeout_seconds)

    def write_settings(self, more: str) -> str:
        """Add lines to the agents' settings as an operator would; give what stood there before."""
        before = self.host.sh(f"cat {AGENTS_ENV}")
        self.host.write(AGENTS_ENV, before + more, 0o640)
        return before

    def drop_in(self, unit: str, text: str) -> None:
        """Change a unit as an operator would."""
        self.host.write(f"/etc/systemd/system/{unit}.d/test.conf", text)
        self.host.run("systemctl", "daemon-reload")

    def withdraw_drop_in(self, unit: str) -> None:
        """Take the change back; leaves the unit stopped and not failed."""
        self.host.sh(f"rm '/etc/systemd/system/{unit}.d/test.conf'; systemctl daemon-reload")
        self.host.sh(f"systemctl stop '{unit}'; systemctl reset-failed '{unit}' || true")

    def start_times(self) -> Dict[str, Tuple[int, int]]:
        """Return of each unit of the ten steps when its latest ordered start began and ended, by this boot's journal.

        Latest: since `start`, or since the boot.
        """
        times: Dict[str, List[int]] = {}
        for event in unit_events(self.host, (unit for step in STEPS for unit in step), self._started_us):
            if event.what in ("starting", "started"):
                times.setdefault(event.unit, []).append(event.at_us)
        return {unit: (moments[0], moments[1 if len(moments) > 1 else 0]) for unit, moments in times.items()}
