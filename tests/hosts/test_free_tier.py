"""The inventory `free-tier` on two hosts of 1 GB: what each service and agent takes, by the hosts' own cgroups."""

from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple

import pytest

from tests.hosts.whole import AGENTS
from tests.standin import StandIn
from tests.testbed.nspawn import Host, Room
from tests.testbed.packages import Vendors
from tests.testbed.playbook import ANSIBLE, Playbooks
from tests.testbed.waiting import wait_until

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long, pytest.mark.xdist_group("free-tier")]

GB = 1024**3
LOAD = "reasond load --rate 5 --duration 120 --seed 7"
SERVICES = {
    "reasond-1": ("rabbitmq-server.service", *AGENTS),
    "reasond-2": ("influxdb.service", "grafana-server.service"),
}


class Taken(NamedTuple):
    """What a unit's cgroup counts, in bytes; the page cache is left out, as the kernel gives it back."""

    anonymous: int
    kernel: int
    swap: int
    cache: int
    limit: int
    failures: int

    @property
    def held(self) -> int:
        """What can't be given back."""
        return self.anonymous + self.kernel + self.swap


def taken(host: Host, unit: str) -> Taken:
    """Read a unit's cgroup, of the first version, from inside the host."""
    folder = "/sys/fs/cgroup/memory" + host.show(unit, "ControlGroup")["ControlGroup"]
    stat = dict(line.split() for line in host.sh(f"cat {folder}/memory.stat").splitlines())
    files = ("memory.kmem.usage_in_bytes", "memory.limit_in_bytes", "memory.failcnt")
    kernel, limit, failures = map(int, host.sh("cat " + " ".join(f"{folder}/{name}" for name in files)).split())
    return Taken(
        int(stat["total_rss"]), kernel, int(stat.get("total_swap", 0)), int(stat["total_cache"]), limit, failures
    )


@pytest.fixture(scope="module")
def hosts(
    room: Room, vendored: Vendors, api: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dict[str, Host]]:
    made = {"reasond-1": room.host("small1"), "reasond-2": room.host("small2")}
    for host in made.values():
        host.power_on()
        room.limit_memory(host.name, GB)
    addresses = {name: {"private_address": host.address} for name, host in made.items()}
    inventory = ANSIBLE / "inventories" / "free-tier"
    playbooks = Playbooks(
        Path(tmp_path_factory.mktemp("free-tier")), made, inventory=inventory, host_variables=addresses
    )
    variables = {**vendored.variables(), "reasond_settings": {"ANTHROPIC_BASE_URL": api.url}}
    playbooks.run("site.yml", extra_vars=variables, environment={"ANTHROPIC_API_KEY": api.key})
    yield made
    for host in made.values():
        room.discard(host)


def test_everything_fits_into_two_hosts_of_1_gb(hosts: Dict[str, Host]) -> None:
    hosts["reasond-1"].run("bash", "-euc", LOAD, timeout=180)
    wait_until(
        lambda: all(hosts["reasond-1"].show(unit, "ActiveState")["ActiveState"] == "active" for unit in AGENTS),
        what="every agent active",
        timeout_seconds=60,
    )

    table = {(name, unit): taken(hosts[name], unit) for name, units in SERVICES.items() for unit in units}

    print(f"\n{'host':<11}{'unit':<26}{'anonymous':>10}{'kernel':>8}{'swap':>6}{'held':>7}{'cache':>7}{'limit':>7}  MB")
    for (name, unit), row in table.items():
        figures = (row.anonymous, row.kernel, row.swap, row.held, row.cache, row.limit)
        a, k, s, held, c, limit = (figure / 1024**2 for figure in figures)
        print(f"{name:<11}{unit:<26}{a:>10.0f}{k:>8.0f}{s:>6.0f}{held:>7.0f}{c:>7.0f}{limit:>7.0f}")
    for name, units in SERVICES.items():
        held: List[int] = [table[name, unit].held for unit in units]
        print(f"{name}: {sum(held) / 1024**2:.0f} MB held of 1024")
        assert sum(held) < 0.85 * GB
    for (name, unit), row in table.items():
        assert row.limit < GB, f"{unit} has no limit of its own"
        assert row.held < row.limit, unit
        assert hosts[name].show(unit, "NRestarts")["NRestarts"] == "0", unit
