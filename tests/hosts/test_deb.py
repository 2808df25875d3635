"""The .deb on bare hosts: what it brings, and what upgrade, downgrade, remove and purge do to agents and their things.

On one host of Debian 12 one test follows the other, under the load of a broker on this machine.
"""

import contextlib
import functools
import hashlib
import http.server
import json
import os
import shlex
import sys
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

import pytest

from reasond import __version__
from reasond.cli import COMMANDS
from tests.hosts.whole import now_us, unit_events
from tests.testbed import deb as package
from tests.testbed import ledger_handler
from tests.testbed.ledger import Ledger, confirmed_ids
from tests.testbed.nspawn import ROOT, Host, Room
from tests.testbed.packages import Repository
from tests.testbed.playbook import ANSIBLE, Outcome, Playbooks
from tests.testbed.process import Process
from tests.testbed.provide import path_or_skip, tree_or_skip
from tests.testbed.rabbitmq import RabbitMQ
from tests.testbed.waiting import wait_until

# A cold build installs its tools first.
pytestmark = [pytest.mark.timeout(1200), pytest.mark.xdist_group("deb")]

NEXT_VERSION = "99.0.0"
AGENTS = ("publisher@1.service", "consumer@1.service", "consumer@2.service", "monitor@1.service")
OURS = "'publisher@*' 'consumer@*' 'monitor@*' 'reasond*' influxdb-setup rabbitmq-setup"
KEPT = "/etc/reasond/consumer-1.env /etc/reasond/tokens/agents.env /var/lib/reasond/consumer-1 /var/log/reasond"
NOTES = "/var/lib/ledger"
# Consumers keep the ledger: by a plug-in and a folder that only the test's drop-in lets into their sandbox.
DROP_IN = f"""[Service]
Environment=PYTHONPATH=/srv/plug-in:{package.SOURCES} {ledger_handler.FOLDER_VARIABLE}={NOTES}
ReadWritePaths={NOTES}
"""
SETTINGS = {
    "REASOND_BRAIN": "rules",
    "CONSUMER_HANDLER": ledger_handler.NAME,
    "CONSUMER_HANDLER_DURATION_MS": "50",
    "CONSUMER_HANDLER_THREADS": "4",
    # Nobody listens: the points wait in the spool.
    "INFLUXDB_URL": "http://127.0.0.1:9",
}
LOAD_PER_SECOND = 20
# Ended by the test, once the upgrade is over.
LOAD_SECONDS = 300
COMPLETE = """
source /usr/share/bash-completion/completions/reasond
COMP_WORDS=(reasond do) COMP_CWORD=1 COMP_TYPE=9
_reasond_completion reasond do reasond
printf '%s\\n' "${COMPREPLY[@]}"
"""


class Broker(RabbitMQ):
    """A node that the hosts of a room reach."""

    def __init__(self, server: str, folder: Path, address: str) -> None:
        self.host = address
        super().__init__(server, folder)


class Site(NamedTuple):
    """A bare host of Debian 12, the package and the same under a newer version."""

    host: Host
    deb: Path
    newer: Path


def install(host: Host, deb: Path, check: bool = True) -> str:
    """Install a package from a file, as docs/deb.md does, without any network."""
    host.sh("mkdir -p /srv/debs")
    (Path(f"{host.root}/srv/debs") / deb.name).write_bytes(deb.read_bytes())
    command = "apt-get install -q -y --no-install-recommends --allow-downgrades"
    environment = "DEBIAN_FRONTEND=noninteractive unshare --net"
    return host.sh(f"{environment} {command} {shlex.quote(f'/srv/debs/{deb.name}')} 2>&1", check, 180)


def states(host: Host) -> List[str]:
    return host.run("systemctl", "show", "--property=ActiveState", "--value", *AGENTS).split()


def existing(host: Host, paths: str) -> List[str]:
    return host.sh(f"ls -d {paths} 2>/dev/null || true").split()


@pytest.fixture(scope="module")
def site(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    deb = package.built(room, "bookworm")
    host = room.host("deb", tree_or_skip("bookworm"))
    host.bind(ROOT, package.SOURCES)
    host.power_on()
    print(install(host, deb))
    yield Site(host, deb, package.versioned(deb, NEXT_VERSION, Path(tmp_path_factory.mktemp("debs"))))
    room.discard(host)


@pytest.fixture(scope="module")
def broker(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    node = Broker(path_or_skip("rabbitmq"), Path(tmp_path_factory.mktemp("broker")), f"{room.subnet}.1")
    node.start()
    try:
        yield node
    finally:
        node.close()


def broker_settings(broker: Broker) -> Dict[str, str]:
    """Give the settings that lead to it; the password is no setting."""
    return {
        "RABBITMQ_HOST": broker.host,
        "RABBITMQ_PORT": str(broker.port),
        "RABBITMQ_USER": broker.username,
        "RABBITMQ_MANAGEMENT_URL": broker.management_url,
    }


def here(broker: Broker, folder: Path, *arguments: str) -> Process:
    """Make a `reasond` process of this machine, on that broker."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT / "agents"),
        "RABBITMQ_PASS": broker.password,
        **broker_settings(broker),
    }
    return Process(arguments[0], [sys.executable, "-m", "reasond", *arguments], environment, folder)


def finish(process: Process, seconds: float = 60) -> str:
    wait_until(lambda: not process.running, what=f"the end of {process.name}", timeout_seconds=seconds)
    return process.log_tail()


@pytest.fixture(scope="module")
def running(site: Site, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The host with settings, written by hand as docs/deb.md has it, and four agents at work."""
    host, folder = site.host, Path(tmp_path_factory.mktemp("setup"))
    setup = here(broker, folder, "setup-rabbitmq")
    setup.launch()
    finish(setup)
    assert setup.exit_status == 0, setup.log_tail()
    plug_in = ledger_handler.plug_in(folder / "plug-in")
    for path in plug_in.rglob("*"):
        if path.is_file():
            host.write(f"/srv/plug-in/{path.relative_to(plug_in)}", path.read_text())
    text = "".join(f"{name}={value}\n" for name, value in {**SETTINGS, **broker_settings(broker)}.items())
    host.sh(f"cat > /etc/reasond/agents.env <<'END'\n{text}END\n")
    host.sh(f"echo RABBITMQ_PASS={broker.password} > /etc/reasond/secrets.env")
    host.write("/etc/systemd/system/consumer@.service.d/ledger.conf", DROP_IN)
    # What has an administrator elsewhere is not set up from here.
    host.sh(f"install -d -o reasond -g reasond {NOTES}; systemctl mask influxdb-setup rabbitmq-setup")
    host.run("systemctl", "enable", "--now", "reasond.target", *AGENTS, timeout=120)
    assert states(host) == ["active"] * len(AGENTS)
    return site


# Installed


def test_install_brings_settings_and_starts_nothing(site: Site) -> None:
    shown = site.host.sh(f"systemctl list-units --all --no-legend --plain {OURS}").split()
    wanted = site.host.sh("find /etc/systemd/system -name 'publisher@*' -o -name 'reasond*' -o -name '*-setup.service'")
    modes = site.host.sh("stat -c '%U:%G %a %n' /etc/reasond /etc/reasond/*.env /usr/bin/reasond").splitlines()

    assert shown == []
    assert wanted == ""
    assert modes == [
        "root:reasond 750 /etc/reasond",
        "root:reasond 640 /etc/reasond/agents.env",
        "root:root 600 /etc/reasond/secrets.env",
        "root:root 777 /usr/bin/reasond",
    ]
    assert site.host.sh("dpkg-query -W -f '${Conffiles}' reasond").split()[0::2] == ["/etc/reasond/agents.env"]
    assert site.host.run("systemctl", "is-system-running").strip() == "running"


def test_command_runs_from_the_packages_environment(site: Site) -> None:
    told = site.host.run("reasond", "--version")
    found = json.loads(site.host.run("reasond", "doctor", "--json", check=False))
    verdicts = {finding["name"]: finding for finding in found["findings"]}

    assert __version__ in told
    assert {name: verdicts[name]["state"] for name in ("settings", "python", "packages")} == {
        "settings": "ok",
        "python": "ok",
        "packages": "ok",
    }, verdicts
    assert "3.11" in verdicts["python"]["found"]


def test_bytecode_is_there_for_a_sandbox_that_can_write_none(site: Site) -> None:
    sources = site.host.sh("find /usr/lib/reasond/lib -path '*/reasond/*.py' | wc -l")
    compiled = site.host.sh("find /usr/lib/reasond/lib -path '*/reasond/*.cpython-311.pyc' | wc -l")

    assert int(compiled) == int(sources) > 50


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_each_command_has_its_page(site: Site, command: str) -> None:
    page = f"/usr/share/man/man1/reasond{command and '-' + command}.1.gz"

    text = site.host.sh(f"zcat {page}")

    assert text.startswith(f'.TH "REASOND{(command and "-" + command).upper()}'.replace("-", "\\-"))


def test_completion_is_loaded_by_bash_and_completes(site: Site) -> None:
    assert site.host.run("bash", "-euc", COMPLETE).split() == ["doctor"]


def test_systemd_accepts_the_units(site: Site) -> None:
    units = " ".join((*AGENTS, "influxdb-setup.service", "rabbitmq-setup.service", "reasond.target"))

    complaints = site.host.sh(f"systemd-analyze verify {units} 2>&1 | grep -iE 'reasond|publisher|consumer' || true")

    assert complaints == ""


# Upgrade and downgrade


def test_upgrade_restarts_what_runs_in_order_and_no_message_is_lost(
    running: Site, broker: Broker, tmp_path: Path
) -> None:
    host, ids = running.host, tmp_path / "load.ids"
    notes = tmp_path / "notes"
    notes.mkdir()
    ledger = Ledger(notes, broker)
    load = here(
        broker,
        tmp_path,
        "load",
        "--rate",
        str(LOAD_PER_SECOND),
        "--duration",
        str(LOAD_SECONDS),
        "--ledger",
        str(ids),
        "--json",
    )
    load.launch()
    wait_until(lambda: len(confirmed_ids(ids)) > LOAD_PER_SECOND, what="load", timeout_seconds=30)
    begun_us = now_us()

    print(install(host, running.newer))

    upgraded_us, done = now_us(), len(confirmed_ids(ids))
    wait_until(lambda: len(confirmed_ids(ids)) > done + LOAD_PER_SECOND, what="load afterwards", timeout_seconds=30)
    load.terminate()
    finish(load)
    wait_until(lambda: not any(depth(broker)), what="empty queues", timeout_seconds=60)
    events = unit_events(host, AGENTS, begun_us)
    for name in host.sh(f"ls {NOTES}").split():
        (notes / name).write_text(host.sh(f"cat {NOTES}/{name}"))
    balance = ledger.balance(confirmed_ids(ids))
    print(f"upgrade {(upgraded_us - begun_us) / 1e6:.1f} s; {balance}")
    story = [f"{event.what} {event.unit}" for event in events if event.what in ("stopping", "started")]
    assert NEXT_VERSION in host.run("reasond", "--version")
    assert story == [f"{what} {unit}" for unit in AGENTS for what in ("stopping", "started")]
    assert states(host) == ["active"] * len(AGENTS)
    assert balance.ends["handled"] > 0.5 * balance.confirmed
    assert balance.lost == ()


def depth(broker: Broker) -> List[int]:
    """Give the depths of the main queues, unacknowledged messages too."""
    path = "/api/queues/%2F?disable_stats=true&enable_queue_totals=true"
    rows = {row["name"]: row.get("messages", 0) for row in broker.api("GET", path)}
    return [rows[name] for name in ("fictional", "non-fictional", "priority")]


@pytest.mark.long
def test_downgrade_keeps_settings_state_and_who_runs(running: Site) -> None:
    host = running.host
    before = host.sh("sha256sum /etc/reasond/*.env")
    stopped = "consumer@2.service"
    host.run("systemctl", "stop", stopped)

    told = install(host, running.deb)

    after = dict(zip(AGENTS, states(host)))
    assert "DOWNGRADED" in told
    assert __version__ in host.run("reasond", "--version")
    assert after == {unit: "inactive" if unit == stopped else "active" for unit in AGENTS}
    assert host.sh("sha256sum /etc/reasond/*.env") == before
    assert host.sh("stat -c '%U:%G %a' /etc/reasond/agents.env").strip() == "root:reasond 640"
    host.run("systemctl", "start", stopped)


@pytest.mark.long
def test_upgrade_that_no_agent_survives_stops_at_the_first(running: Site, tmp_path: Path) -> None:
    host = running.host
    pids = host.run("systemctl", "show", "--property=MainPID", "--value", *AGENTS[1:]).split()
    host.sh("echo PUBLISHER_MIN_INTERVAL_S=often > /etc/reasond/publisher-1.env")

    told = install(host, running.newer)

    host.run("rm", "/etc/reasond/publisher-1.env")
    assert "publisher@1.service didn't come up" in told
    assert host.run("systemctl", "show", "--property=MainPID", "--value", *AGENTS[1:]).split() == pids
    host.sh("systemctl reset-failed publisher@1; systemctl start publisher@1")
    install(host, running.deb)
    assert states(host) == ["active"] * len(AGENTS)


# Remove and purge


def test_remove_stops_agents_and_keeps_settings_and_state(running: Site) -> None:
    host = running.host
    host.sh("echo CONSUMER_BATCH_SIZE=10 > /etc/reasond/consumer-1.env; mkdir -p /etc/reasond/tokens")
    host.sh("echo INFLUXDB_TOKEN=t > /etc/reasond/tokens/agents.env")

    host.sh("DEBIAN_FRONTEND=noninteractive apt-get remove -qq -y reasond", timeout=120)

    processes = host.sh("pgrep -u reasond -a || true")
    assert processes == ""
    assert existing(host, KEPT) == KEPT.split()
    assert existing(host, "/etc/reasond/agents.env /etc/reasond/secrets.env /usr/bin/reasond /usr/lib/reasond") == [
        "/etc/reasond/agents.env",
        "/etc/reasond/secrets.env",
    ]
    assert host.sh("systemctl list-unit-files --no-legend 'publisher@.service' 'reasond.target' || true") == ""


def test_purge_keeps_state_where_nobody_is_asked(running: Site) -> None:
    host = running.host

    told = host.sh("DEBIAN_FRONTEND=noninteractive apt-get purge -qq -y reasond 2>&1", timeout=120)

    assert "reasond: kept: /etc/reasond /var/lib/reasond /var/log/reasond" in told
    assert existing(host, KEPT) == KEPT.split()
    assert existing(host, "/etc/reasond/agents.env /etc/reasond/secrets.env") == []
    assert host.sh("find /etc/systemd/system -name 'publisher@*' -o -name 'reasond*.target'") == ""
    assert host.run("id", "-un", "reasond").strip() == "reasond"


def test_purge_removes_everything_where_that_was_preseeded(running: Site) -> None:
    host = running.host
    install(host, running.deb)
    host.sh("echo 'reasond reasond/purge-state boolean true' | debconf-set-selections")

    host.sh("DEBIAN_FRONTEND=noninteractive apt-get purge -qq -y reasond 2>&1", timeout=120)

    assert existing(host, "/etc/reasond /var/lib/reasond /var/log/reasond /usr/lib/reasond /usr/bin/reasond") == []
    assert host.sh("getent passwd reasond || true") == ""
    assert host.sh("debconf-show reasond") == ""


# Built


@pytest.mark.long
@pytest.mark.parametrize("suite", ["bullseye", "bookworm"])
def test_two_builds_in_different_folders_give_the_same_bytes(room: Room, suite: str) -> None:
    first = package.built(room, suite)
    host = package.builder(room, suite, "build")
    elsewhere = "/home/somebody/some where/else"
    host.sh(f"mkdir -p '{elsewhere}' && cp -r {package.SOURCES}/. '{elsewhere}'")

    second = package.build(host, f"'{elsewhere}'").strip()

    digests = [host.sh(f"sha256sum {second}").split()[0], hashlib.sha256(first.read_bytes()).hexdigest()]
    room.discard(host)
    assert second.endswith(f"/{first.name}")
    assert digests[0] == digests[1]


@pytest.mark.long
def test_package_of_debian_11_installs_there_and_not_on_12(room: Room) -> None:
    deb = package.built(room, "bullseye")
    host, other = room.host("deb11"), room.host("deb12", tree_or_skip("bookworm"))
    host.power_on()
    other.power_on()

    install(host, deb)
    told = host.run("reasond", "--version")
    refused = install(other, deb, check=False)

    complaints = host.sh("systemd-analyze verify publisher@1.service reasond.target 2>&1 | grep -i reasond || true")
    absent = existing(other, "/usr/bin/reasond")
    room.discard(host)
    room.discard(other)
    assert __version__ in told
    assert "python3 (< 3.10~)" in refused
    assert absent == []
    assert complaints == ""


@pytest.mark.long
def test_completion_is_accepted_by_zsh_and_completes_in_fish(room: Room) -> None:
    host = room.host("shells", tree_or_skip("bookworm"))
    host.power_on()
    install(host, package.built(room, "bookworm"))
    fetch = "DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends zsh fish"
    host.sh(f"apt-get update -qq && {fetch}", timeout=300)

    accepted = host.sh("zsh -n /usr/share/zsh/vendor-completions/_reasond && echo accepted").strip()
    known = host.sh("zsh -c 'autoload -Uz compinit && compinit -u && echo ${_comps[reasond]}'").strip()
    completed = host.run("fish", "-c", "complete -C 'reasond do'").split()

    room.discard(host)
    assert accepted == "accepted"
    assert known in ("_reasond", "_reasond_completion")
    assert completed[0] == "doctor"


# By Ansible

PLAY = """
- hosts: all
  become: true
  roles: [agents]
"""


@pytest.mark.long
def test_role_moves_a_host_from_a_file_to_a_repositorys_newer_version_and_back(
    room: Room, broker: Broker, tmp_path: Path
) -> None:
    deb = package.built(room, "bookworm")
    newer = package.versioned(deb, NEXT_VERSION, tmp_path)
    host = room.host("role", tree_or_skip("bookworm"))
    host.power_on()
    setup = here(broker, tmp_path, "setup-rabbitmq")
    setup.launch()
    finish(setup)
    (tmp_path / "plays").mkdir()
    (tmp_path / "plays" / "play.yml").write_text(PLAY)
    plays = Playbooks(tmp_path / "ansible", {"reasond-1": host}, playbooks=tmp_path / "plays")
    variables = {
        "agents_install_method": "deb",
        "agents_publisher_instances": [1],
        "agents_consumer_instances": [1],
        "agents_monitor_instances": [],
        "agents_doctor": False,
        "agents_settings": {**broker_settings(broker), "REASOND_BRAIN": "rules", "INFLUXDB_URL": "http://127.0.0.1:9"},
        "agents_secrets": {"RABBITMQ_PASS": broker.password},
    }

    def run(**more: str) -> Outcome:
        roles = {"ANSIBLE_ROLES_PATH": str(ANSIBLE / "roles")}
        return plays.run("play.yml", extra_vars={**variables, **more}, environment=roles)

    run(agents_deb_file=str(deb))
    first = host.run("reasond", "--version")
    again = run(agents_deb_file=str(deb))
    with repository(room, tmp_path / "served") as (apt, url):
        for one in (deb, newer):
            apt.add(one)
        served = {
            "agents_deb_repository_url": apt.url,
            "agents_deb_repository_key_url": f"{url}/key.asc",
            "agents_deb_repository_key_fingerprint": apt.key_fingerprint,
        }
        run(**served)
        second = host.run("reasond", "--version")
        restarted = host.sh("systemctl is-active publisher@1 consumer@1").split()
        version = host.sh(f"dpkg-deb --field /var/cache/reasond/{deb.name} Version").strip()
        run(**served, agents_deb_version=version)
        third = host.run("reasond", "--version")
        kept = run(**served, agents_deb_version=version)
    room.discard(host)
    assert __version__ in first
    assert again.changed == 0
    assert NEXT_VERSION in second
    assert restarted == ["active", "active"]
    assert __version__ in third
    assert kept.changed == 0


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: apt tells what it could not fetch."""


@contextlib.contextmanager
def repository(room: Room, folder: Path) -> Iterator[Tuple[Repository, str]]:
    """Serve an empty signed repository where hosts of the room reach it; give also the address of its key."""
    folder.mkdir()
    handler = functools.partial(Silent, directory=str(folder))
    server = http.server.ThreadingHTTPServer((f"{room.subnet}.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://{room.subnet}.1:{server.server_port}"
    apt = Repository(folder / "debian", f"{url}/debian", f"{url}/key.asc", folder / "key.asc", subkey=False)
    try:
        yield apt, url
    finally:
        server.shutdown()
        server.server_close()
        apt.close()
