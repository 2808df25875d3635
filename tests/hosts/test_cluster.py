"""The inventory `cluster`: three brokers with quorum queues on Debian 12; one of them loses power."""

import json
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple

import pytest

from tests.hosts.whole import wait_at_work
from tests.standin import StandIn
from tests.testbed.management import Management
from tests.testbed.nspawn import Host, Room
from tests.testbed.packages import Vendors
from tests.testbed.playbook import ANSIBLE, Playbooks
from tests.testbed.provide import tree_or_skip
from tests.testbed.tunnel import tunnel
from tests.testbed.waiting import wait_until

pytestmark = [pytest.mark.timeout(2400), pytest.mark.long, pytest.mark.xdist_group("cluster")]

BROKERS = ("broker-1", "broker-2", "broker-3")
# As the inventory spreads them.
AGENTS = {
    "broker-1": ("publisher@1.service", "publisher@2.service", "consumer@1.service", "monitor@1.service"),
    "broker-2": ("publisher@3.service", "consumer@2.service", "consumer@3.service"),
}


class Cluster(NamedTuple):
    """The hosts by their names, and how they are deployed."""

    hosts: Dict[str, Host]
    playbooks: Playbooks

    def wait_at_work(self, seconds: float) -> None:
        wait_at_work([(self.hosts[name], units) for name, units in AGENTS.items()], seconds)

    def members(self, name: str) -> List[str]:
        """Give the running members as this broker sees them."""
        told = self.hosts[name].run("rabbitmqctl", "--quiet", "cluster_status", "--formatter", "json", timeout=60)
        return sorted(json.loads(told)["running_nodes"])


@pytest.fixture(scope="module")
def cluster(room: Room, vendored: Vendors, api: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    newer = tree_or_skip("bookworm")
    hosts = {name: room.host(name[0] + name[-1], newer) for name in (*BROKERS, "store-1")}
    for host in hosts.values():
        host.power_on()
    playbooks = Playbooks(
        Path(tmp_path_factory.mktemp("cluster")),
        hosts,
        inventory=ANSIBLE / "inventories" / "cluster",
        host_variables={name: {"private_address": host.address} for name, host in hosts.items()},
    )
    variables = {
        **vendored.variables(),
        # Debian 12's own is new enough for quorum queues.
        "rabbitmq_repository": "distribution",
        "reasond_settings": {"ANTHROPIC_BASE_URL": api.url},
    }
    playbooks.run("site.yml", extra_vars=variables, environment={"ANTHROPIC_API_KEY": api.key}, timeout_seconds=1500)
    yield Cluster(hosts, playbooks)
    for host in hosts.values():
        room.discard(host)


def test_three_brokers_are_one_cluster_with_replicated_queues(cluster: Cluster) -> None:
    nodes = [f"rabbit@{name}" for name in BROKERS]
    broker = cluster.hosts["broker-2"]
    with tunnel(broker, 15672, bind=broker.address) as ports:
        management = Management(ports[15672], cluster.playbooks.secrets["rabbitmq_setup_password"])
        told = management.api("GET", "/api/queues/%2F")
    queues = {queue["name"]: (queue["type"], sorted(queue["members"])) for queue in told}

    assert {name: cluster.members(name) for name in BROKERS} == {name: nodes for name in BROKERS}
    for queue in ("fictional", "non-fictional", "priority"):
        assert queues[queue] == ("quorum", nodes), queue
    cluster.wait_at_work(120)


def test_broker_that_loses_power_is_done_without_and_comes_back(cluster: Cluster) -> None:
    gone = cluster.hosts["broker-3"]
    pids = {unit: cluster.hosts[name].show(unit, "MainPID") for name, units in AGENTS.items() for unit in units}

    gone.power_cut()
    wait_until(
        lambda: cluster.members("broker-1") == ["rabbit@broker-1", "rabbit@broker-2"],
        what="two brokers left",
        timeout_seconds=120,
        every_seconds=2,
    )
    cluster.wait_at_work(120)
    gone.power_on()

    wait_until(lambda: len(cluster.members("broker-1")) == 3, what="three again", timeout_seconds=180, every_seconds=2)
    cluster.wait_at_work(120)
    assert pids == {unit: cluster.hosts[name].show(unit, "MainPID") for name, units in AGENTS.items() for unit in units}
