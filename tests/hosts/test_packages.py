"""The stand-in packages: bare hosts install them from signed repositories as they would the vendors'."""

from typing import Iterator

import pytest

from tests.testbed.http import send_json
from tests.testbed.nspawn import CommandFailed, Host, Room
from tests.testbed.packages import Repository, Vendors, vendors
from tests.testbed.provide import path_or_skip, tree_or_skip
from tests.testbed.waiting import wait_until

pytestmark = pytest.mark.timeout(1800)

ADD_SOURCE = """
mkdir -p /etc/apt/keyrings
curl -sSf {repository.key_url} -o /etc/apt/keyrings/{name}.asc
echo 'deb [signed-by=/etc/apt/keyrings/{name}.asc] {repository.url} stable main' > /etc/apt/sources.list.d/{name}.list
"""
# Only the vendor's: the others take their time and are none of this test's business.
UPDATE = "apt-get update -q -o Dir::Etc::sourcelist=sources.list.d/{name}.list -o Dir::Etc::sourceparts=-"
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get install -y -q {name}"


@pytest.fixture(scope="module")
def served(room: Room) -> Iterator[Vendors]:
    with vendors(room, path_or_skip("influxd"), path_or_skip("grafana")) as made:
        yield made


@pytest.fixture(params=["bullseye", "bookworm"])
def bare(request: pytest.FixtureRequest, room: Room) -> Iterator[Host]:
    host = room.host(f"pack{request.param[1]}", tree_or_skip(request.param))
    host.power_on()
    yield host
    room.discard(host)


def add_source(host: Host, name: str, repository: Repository) -> None:
    host.sh(ADD_SOURCE.format(name=name, repository=repository) + UPDATE.format(name=name), timeout=120)


def test_influxdb_is_installed_from_its_repository_starts_and_is_healthy(served: Vendors, bare: Host) -> None:
    add_source(bare, "influxdb2", served.influxdb)

    bare.sh(INSTALL.format(name="influxdb2"), timeout=300)
    installed = bare.sh("dpkg-query --show --showformat '${Version}' influxdb2; systemctl is-enabled influxdb")
    bare.run("systemctl", "start", "influxdb")

    assert installed.split() == [f"{served.influxdb_version.first}enabled"]
    assert send_json("GET", f"http://{bare.address}:8086/health")["status"] == "pass"
    assert bare.sh("stat -c %U:%a /var/lib/influxdb/influxd.bolt").strip() == "influxdb:600"
    pid = bare.show("influxdb.service", "MainPID")["MainPID"]
    assert bare.run("ps", "-o", "user=,comm=", "-p", pid).split() == ["influxdb", "influxd"]


def test_grafana_is_installed_from_its_repository_starts_and_is_healthy(served: Vendors, bare: Host) -> None:
    add_source(bare, "grafana", served.grafana)

    bare.sh(INSTALL.format(name="grafana"), timeout=300)
    state = bare.run("systemctl", "is-active", "grafana-server", check=False).strip()
    bare.run("systemctl", "start", "grafana-server")

    assert state == "inactive"
    health = wait_until(
        lambda: send_json("GET", f"http://{bare.address}:3000/api/health"), what="Grafana's health", timeout_seconds=60
    )
    assert health["database"] == "ok"
    assert bare.sh("stat -c %U:%G:%a /etc/grafana/grafana.ini").strip() == "root:grafana:640"


@pytest.mark.parametrize("bare", ["bullseye"], indirect=True)
def test_repository_signed_by_another_key_is_refused(served: Vendors, bare: Host) -> None:
    wrong = ADD_SOURCE.format(name="influxdb2", repository=served.influxdb).replace(
        served.influxdb.key_url, served.grafana.key_url
    )

    with pytest.raises(CommandFailed, match="NO_PUBKEY"):
        bare.sh(f"{wrong}\n{UPDATE.format(name='influxdb2')} -o APT::Update::Error-Mode=any", timeout=120)


@pytest.mark.parametrize("bare", ["bullseye"], indirect=True)
def test_next_version_is_an_upgrade_that_keeps_settings_and_restarts(served: Vendors, bare: Host) -> None:
    add_source(bare, "influxdb2", served.influxdb)
    bare.sh(INSTALL.format(name=f"influxdb2={served.influxdb_version.first}"), timeout=300)
    bare.sh("echo 'log-level = \"error\"' >> /etc/influxdb/config.toml; systemctl start influxdb")
    old = bare.show("influxdb.service", "MainPID")["MainPID"]
    served.release_next()

    bare.sh(UPDATE.format(name="influxdb2") + "\n" + INSTALL.format(name="influxdb2"), timeout=300)

    version = bare.sh("dpkg-query --show --showformat '${Version}' influxdb2").strip()
    assert version == served.influxdb_version.next
    assert "log-level" in bare.sh("cat /etc/influxdb/config.toml")
    assert bare.show("influxdb.service", "MainPID", "ActiveState")["ActiveState"] == "active"
    assert bare.show("influxdb.service", "MainPID")["MainPID"] != old
