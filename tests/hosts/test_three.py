"""Three hosts with a firewall: broker and publishers, consumers on Python 3.8, InfluxDB and Grafana.

A partition between broker and consumers for a while loses nothing.
"""

import json
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from tests.acceptance.system import BUCKET, ORG
from tests.hosts.whole import wait_at_work
from tests.standin import StandIn
from tests.testbed import ledger, ledger_handler
from tests.testbed.influxd import query
from tests.testbed.management import Management
from tests.testbed.nspawn import ROOT, Host, Room
from tests.testbed.packages import Vendors
from tests.testbed.playbook import ANSIBLE, Playbooks
from tests.testbed.provide import tree_or_skip
from tests.testbed.tunnel import tunnel
from tests.testbed.waiting import wait_until

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long, pytest.mark.xdist_group("three")]

GROUPS = {
    "rabbitmq": ["broker-1"],
    "influxdb": ["store-1"],
    "grafana": ["store-1"],
    "agents": ["broker-1", "worker-1"],
}
# A systemd's own Python 3.8 isn't to be had for Debian: the interpreter is shown to a newer Debian's host.
PYTHON = "/opt/python3.8"
NOTES = "/var/lib/reasond/consumer-{}"
LOAD_RATE, LOAD_SECONDS, CUT_SECONDS = 4, 75, 30


class Three:
    """The hosts, and their site."""

    def __init__(self, room: Room, served: Vendors, api: StandIn, folder: Path, oldest: Path) -> None:
        newer = tree_or_skip("bookworm")
        self.room = room
        self.hosts = {"broker-1": room.host("broker"), "store-1": room.host("store")}
        self.hosts["worker-1"] = room.host("worker", newer)
        worker = self.hosts["worker-1"]
        worker.bind(oldest, PYTHON)
        worker.bind(ledger_handler.plug_in(folder / "plug-in"), "/opt/plug-in")
        worker.bind(ROOT, "/opt/checkout")
        for host in self.hosts.values():
            host.power_on()
        worker.write("/etc/ld.so.conf.d/python38.conf", f"{PYTHON}/lib\n")
        worker.run("ldconfig")
        self.playbooks = Playbooks(
            folder / "site",
            self.hosts,
            inventory=self._inventory(folder / "inventory"),
            groups=GROUPS,
            host_variables=self._variables(),
        )
        self.variables = {
            **served.variables(),
            "reasond_settings": {
                "ANTHROPIC_BASE_URL": api.url,
                "CONSUMER_HANDLER_DURATION_MS": 200,
                "CONSUMER_HANDLER_THREADS": 1,
                "MONITOR_SAMPLING_PERIOD_S": 2,
            },
        }
        self.key = api.key

    def _inventory(self, folder: Path) -> Path:
        """Make what a user's own has beside hosts.yml."""
        (folder / "group_vars" / "all").mkdir(parents=True)
        (folder / "group_vars" / "all" / "00-wiring.yml").symlink_to(ANSIBLE / "wiring.yml")
        (folder / "group_vars" / "all" / "main.yml").write_text("common_firewall: true\n")
        return folder

    def _variables(self) -> Dict[str, Dict[str, Any]]:
        no_agents: Dict[str, List[int]] = {"consumer_instances": [], "publisher_instances": [], "monitor_instances": []}
        found = {name: {"private_address": host.address, **no_agents} for name, host in self.hosts.items()}
        found["broker-1"].update(publisher_instances=[1, 2, 3], monitor_instances=[1])
        found["worker-1"].update(
            consumer_instances=[1, 2, 3],
            agents_python=f"{PYTHON}/bin/python3.8",
            reasond_instance_settings={
                f"consumer-{n}": {
                    "CONSUMER_HANDLER": ledger_handler.NAME,
                    "PYTHONPATH": "/opt/checkout:/opt/plug-in",
                    ledger_handler.FOLDER_VARIABLE: NOTES.format(n),
                }
                for n in (1, 2, 3)
            },
        )
        return found

    def deploy(self) -> None:
        self.playbooks.run("site.yml", extra_vars=self.variables, environment={"ANTHROPIC_API_KEY": self.key})

    def status(self, host: Host, *units: str) -> Dict[str, str]:
        return {unit: host.show(unit, "StatusText")["StatusText"] for unit in units}


@pytest.fixture(scope="module")
def three(
    room: Room, vendored: Vendors, api: StandIn, tmp_path_factory: pytest.TempPathFactory, oldest_python: Path
) -> Iterator[Three]:
    made = Three(room, vendored, api, tmp_path_factory.mktemp("three"), oldest_python)
    made.deploy()
    yield made
    for host in made.hosts.values():
        room.discard(host)


def test_consumers_run_on_the_oldest_python(three: Three) -> None:
    told = three.hosts["worker-1"].run("/opt/reasond/current/bin/python", "--version")
    assert told.startswith("Python 3.8.")


def test_only_what_the_others_need_is_open(three: Three) -> None:
    # From the broker's host, which no rule lets to Grafana, and from this machine, which none lets anywhere
    broker, store = three.hosts["broker-1"], three.hosts["store-1"]
    probe = "nc -z -w 2 {} {} && echo open || true"

    assert broker.sh(probe.format(store.address, 8086)).strip() == "open"
    assert broker.sh(probe.format(store.address, 3000)).strip() == ""
    assert store.sh(probe.format(broker.address, 5672)).strip() == ""
    assert three.hosts["worker-1"].sh(probe.format(broker.address, 5672)).strip() == "open"
    assert broker.sh("nc -z -w 2 127.0.0.1 22 && echo open").strip() == "open"


def notes_of(worker: Host, folder: Path) -> Path:
    """Copy the handlers' notes here."""
    for number in (1, 2, 3):
        text = worker.sh(f"cat {NOTES.format(number)}/consumer-{number}.jsonl 2>/dev/null || true")
        (folder / f"consumer-{number}.jsonl").write_text(text)
    return folder


def test_partition_between_broker_and_consumers_loses_nothing(three: Three, tmp_path: Path) -> None:
    broker, worker = three.hosts["broker-1"], three.hosts["worker-1"]
    consumers = tuple(f"consumer@{n}.service" for n in (1, 2, 3))
    with tunnel(broker, 15672, bind=broker.address) as ports:
        book = ledger.Ledger(tmp_path, Management(ports[15672], three.playbooks.secrets["rabbitmq_setup_password"]))
        load = f"reasond load --rate {LOAD_RATE} --duration {LOAD_SECONDS} --seed 5 --ledger /run/confirmed"
        broker.run("systemd-run", "--unit=load", *load.split())
        wait_until(
            lambda: broker.sh("wc -l < /run/confirmed || true").strip() not in ("", "0"),
            what="the load",
            timeout_seconds=30,
        )

        with three.room.partition(broker, worker):
            wait_until(
                lambda: all("degraded" in text for text in three.status(worker, *consumers).values()),
                what="every consumer degraded",
                timeout_seconds=CUT_SECONDS + 60,
                every_seconds=1,
            )
        wait_at_work([(worker, consumers)], 120)
        wait_until(
            lambda: broker.show("load.service", "ActiveState")["ActiveState"] != "active",
            what="the load's end",
            timeout_seconds=LOAD_SECONDS + 60,
            every_seconds=1,
        )
        broker.run("systemctl", "stop", "publisher@1", "publisher@2", "publisher@3")

        def drained() -> bool:
            told = json.loads(broker.run("rabbitmqctl", "-q", "list_queues", "--formatter", "json", "name", "messages"))
            return not any(int(queue["messages"]) for queue in told if not queue["name"].startswith("books."))

        wait_until(drained, what="empty queues", timeout_seconds=120, every_seconds=1)
        notes_of(worker, tmp_path)
        (tmp_path / "confirmed").write_text(broker.sh("cat /run/confirmed"))
        settled = book.balance(ledger.confirmed_ids(tmp_path / "confirmed"))
    broker.run("systemctl", "start", "publisher@1", "publisher@2", "publisher@3")
    restarts = {unit: worker.show(unit, "NRestarts")["NRestarts"] for unit in consumers}
    print(f"partition: {settled}")
    assert settled.confirmed >= LOAD_RATE * LOAD_SECONDS * 0.9
    assert settled.lost == ()
    assert set(restarts.values()) == {"0"}


def test_decisions_of_every_agent_reached_the_store(three: Three) -> None:
    token = three.hosts["store-1"].sh("cat /etc/reasond/tokens/agents.token").strip()
    flux = (
        f'from(bucket: "{BUCKET}") |> range(start: -1h) |> filter(fn: (r) => r._measurement == "agent_reasoning"'
        ' and r._field == "confidence") |> group(columns: ["agent_id"]) |> count()'
    )
    store = three.hosts["store-1"]
    with tunnel(store, 8086, bind=store.address) as ports:
        rows = query(f"http://{ports[8086]}", ORG, token, flux)
    assert len({row["agent_id"] for row in rows}) == 7, rows
