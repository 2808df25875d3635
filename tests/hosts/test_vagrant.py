"""`vagrant up` for real, with LXC and a box made here; for VirtualBox and libvirt what Vagrant reads of the file."""

import base64
import json
import urllib.request
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple

import pytest

from scripts.toolbox import locked
from tests.hosts.conftest import API_KEY
from tests.hosts.whole import AGENTS, SERVICES
from tests.standin import StandIn
from tests.testbed.http import HttpError, send, send_json
from tests.testbed.nspawn import ROOT, Room
from tests.testbed.packages import Vendors
from tests.testbed.playbook import control_node
from tests.testbed.provide import path_or_skip
from tests.testbed.vagrant import BRIDGE_LOCK, Login, Project, VagrantFailed, changes, logins, to_try
from tests.testbed.waiting import wait_until

pytestmark = [pytest.mark.timeout(1800), pytest.mark.xdist_group("vagrant")]

PORTS = {3000, 15672, 8086, 5672}
DECISIONS = """from(bucket: "agent_metrics") |> range(start: -15m)
|> filter(fn: (r) => r._measurement == "agent_reasoning")
|> group(columns: ["agent_id", "brain"]) |> count() |> keep(columns: ["agent_id", "brain", "_value"])"""
# A variable of the environment, what it wrongly holds, and words of the refusal.
WRONG = [
    ("REASOND_VAGRANT_VMS", "2", "give 1 (all on one VM) or 3"),
    ("REASOND_VAGRANT_MEMORY_MB", "2G", "give a whole number from 1024 to 65536 (MB of each VM)"),
    ("REASOND_VAGRANT_MEMORY_MB", "512", "or leave it out for 2048"),
    ("REASOND_VAGRANT_CPUS", "0", "give a whole number from 1 to 32"),
    ("REASOND_VAGRANT_BRAIN", "gpt", "give one of dry-run, rules, static, claude"),
    ("REASOND_VAGRANT_BOX", "missing.box", "neither a file nor the name of a published box"),
    ("REASOND_VAGRANT_VARIABLES", "missing.yml", "there is no such file"),
]


@pytest.fixture(scope="session")
def vagrant_box() -> Path:
    return Path(path_or_skip("vagrant"))


@pytest.fixture(scope="module")
def project(vagrant_box: Path) -> Iterator[Project]:
    """A clone in which no guest is ever made."""
    made = Project({})
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def asked(room: Room) -> Iterator[StandIn]:
    """Claude's stand-in for the one guest alone, so that it shows whether anybody asked."""
    with StandIn(policy="sensible", host=f"{room.subnet}.1", key=API_KEY) as standin:
        yield standin


@pytest.fixture(scope="module")
def bridge() -> Iterator[None]:
    """LXC's bridge is ours alone as long as this module has guests."""
    with locked(*BRIDGE_LOCK):
        yield


class Up(NamedTuple):
    """Guests that are up, and what Vagrant said of it."""

    project: Project
    told: str
    logins: Dict[str, Login]

    def agents(self, machine: str) -> List[str]:
        """Return systemd's words on the agents of a machine."""
        return self.project.vagrant("ssh", machine, "-c", f"systemctl is-active {' '.join(AGENTS)}; true").split()


def guests(vagrant_box: Path, vendored: Vendors, tmp_path: Path, inventory: str, **variables: str) -> Iterator[Up]:
    """Bring guests up, and take everything away after."""
    control_node()
    roles = tmp_path / "variables.json"
    given = json.loads(variables.pop("roles", "{}"))
    roles.write_text(json.dumps({**vendored.variables(), **given}))
    project = Project({"REASOND_VAGRANT_BOX": str(vagrant_box), "REASOND_VAGRANT_VARIABLES": str(roles), **variables})
    try:
        project.have_bridge()
        told = project.vagrant("up", "--provider=lxc")
        yield Up(project, told, logins(told, project.secrets(inventory)))
    finally:
        project.close()


@pytest.fixture(scope="module")
def one(
    bridge: None, vagrant_box: Path, vendored: Vendors, asked: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Up]:
    """One guest by the defaults, with a key in the environment that nobody has said to use."""
    roles = json.dumps({"reasond_settings": {"ANTHROPIC_BASE_URL": asked.url}})
    folder = tmp_path_factory.mktemp("one")
    yield from guests(vagrant_box, vendored, folder, "vagrant", roles=roles, ANTHROPIC_API_KEY=API_KEY)


@pytest.fixture(scope="module")
def three(vagrant_box: Path, vendored: Vendors, api: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Three guests whose agents ask Claude, which is the stand-in."""
    roles = {
        # Debian 12's own is new enough for quorum queues.
        "rabbitmq_repository": "distribution",
        "reasond_settings": {"ANTHROPIC_BASE_URL": api.url},
    }
    yield from guests(
        vagrant_box,
        vendored,
        tmp_path_factory.mktemp("three"),
        "vagrant-cluster",
        roles=json.dumps(roles),
        REASOND_VAGRANT_VMS="3",
        REASOND_VAGRANT_BRAIN="claude",
        ANTHROPIC_API_KEY=api.key,
    )


def basic(login: Login) -> Dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{login.user}:{login.password}".encode()).decode()}


def decisions(influxdb: Login) -> Dict[str, str]:
    """Sign in to InfluxDB as a person does, and return the brain of each agent that has a decision recorded."""
    signed = urllib.request.Request(f"http://{influxdb.address}/api/v2/signin", method="POST", headers=basic(influxdb))
    with urllib.request.urlopen(signed, timeout=10) as answer:
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
    headers = {"Cookie": cookie, "Content-Type": "application/vnd.flux", "Accept": "application/csv"}
    text = send("POST", f"http://{influxdb.address}/api/v2/query?org=monitoring", DECISIONS, headers)
    head, *rows = [line.split(",") for line in text.split() if line]
    return {row[head.index("agent_id")]: row[head.index("brain")] for row in rows if len(row) == len(head)}


def wait_decided(influxdb: Login, agents: int) -> Dict[str, str]:
    wait_until(
        lambda: len(decisions(influxdb)) == agents,
        what="a decision of each agent",
        timeout_seconds=150,
        every_seconds=2,
    )
    return decisions(influxdb)


# Without a guest


@pytest.mark.parametrize(("name", "value", "words"), WRONG)
def test_variable_that_cant_be_meant_is_refused_by_its_name(
    project: Project, name: str, value: str, words: str
) -> None:
    with pytest.raises(VagrantFailed) as refused:
        project.validate("libvirt", **{name: value})

    assert f"{name} is '{value}'" in str(refused.value)
    assert words in str(refused.value)


@pytest.mark.parametrize("vms", ["1", "3"])
@pytest.mark.parametrize("provider", ["virtualbox", "libvirt", "lxc"])
def test_vagrant_accepts_the_file_for_every_provider(project: Project, provider: str, vms: str) -> None:
    assert "validated successfully" in project.validate(provider, REASOND_VAGRANT_VMS=vms)


@pytest.mark.parametrize(("provider", "box"), [("virtualbox", "bento/ubuntu-20.04"), ("libvirt", "generic/ubuntu2004")])
def test_forwarded_ports_are_the_loopbacks_alone(project: Project, provider: str, box: str) -> None:
    shape: Any = project.shape(provider, REASOND_VAGRANT_MEMORY_MB="3000", REASOND_VAGRANT_CPUS="3")
    ((name, machine),) = shape.items()
    networks = machine["networks"]
    forwarded = [network for network in networks if network["kind"] == "forwarded_port"]

    assert (name, machine["box"], machine["size"]) == ("reasond-1", box, [3000, 3])
    assert [install["book"].endswith("/ansible/site.yml") for install in machine["installs"]] == [True]
    assert {network["host_ip"] for network in forwarded} == {"127.0.0.1"}
    assert {network["guest"] for network in forwarded if network["auto_correct"]} == PORTS | {22}
    assert not [network for network in networks if network["kind"] == "private_network"]


@pytest.mark.parametrize("provider", ["virtualbox", "libvirt"])
def test_three_vms_forward_each_port_once_and_know_each_other(project: Project, provider: str) -> None:
    machines: Any = project.shape(provider, REASOND_VAGRANT_VMS="3")
    forwarded = {
        name: {n["guest"] for n in machine["networks"] if n["kind"] == "forwarded_port"} - {22}
        for name, machine in machines.items()
    }
    own = {n: [w["ip"] for w in m["networks"] if w["kind"] == "private_network"] for n, m in machines.items()}

    assert forwarded == {"broker-1": {15672, 5672}, "broker-2": set(), "broker-3": {3000, 8086}}
    assert own == {f"broker-{number}": [f"192.168.56.{10 + number}"] for number in (1, 2, 3)}
    assert [len(machines[name]["installs"]) for name in own] == [0, 0, 1]
    (installs,) = machines["broker-3"]["installs"]
    assert installs["book"].endswith("/ansible/site.yml")
    assert installs["host_vars"] == {name: {"private_address": own[name][0]} for name in own}


def test_lxc_forwards_nothing_as_its_plugin_cant(project: Project) -> None:
    (machine,) = project.shape("lxc").values()
    networks: Any = machine["networks"]

    assert {network["guest"] for network in networks if network["kind"] == "forwarded_port"} <= {22}


def test_up_says_what_it_lacks_before_it_begins(project: Project) -> None:
    with pytest.raises(VagrantFailed, match="ANTHROPIC_API_KEY is empty"):
        project.vagrant("up", "--provider=lxc", REASOND_VAGRANT_BRAIN="claude")
    with pytest.raises(VagrantFailed, match="No box for LXC is published"):
        project.vagrant("up", "--provider=lxc")


# One guest


def test_one_vm_has_the_whole_system_at_work(one: Up) -> None:
    states = one.agents("reasond-1")
    services = one.project.vagrant("ssh", "-c", f"systemctl is-active {' '.join(SERVICES)}; true").split()

    assert states == ["active"] * len(AGENTS)
    assert services == ["active"] * len(SERVICES)
    assert "they decide by dry-run: Claude is not asked" in one.told


def test_each_printed_address_is_real_and_its_login_works(one: Up) -> None:
    grafana, rabbitmq, influxdb = (one.logins[port] for port in ("3000", "15672", "8086"))
    (board,) = [word for word in one.told.split() if "/d/" in word]

    shown = send_json("GET", board.replace("/d/", "/api/dashboards/uid/"), headers=basic(grafana))
    known = [rabbitmq, one.logins["amqp"]._replace(address=rabbitmq.address)]
    users = [send_json("GET", f"http://{who.address}/api/whoami", headers=basic(who))["name"] for who in known]
    wrong = basic(grafana._replace(password="admin"))
    with pytest.raises(HttpError, match="401"):
        send_json("GET", f"http://{grafana.address}/api/org", headers=wrong)

    assert shown["dashboard"]["title"] == "Agent Overview"
    assert users == ["reasond-monitoring", "reasond"]
    assert one.logins["amqp"].address == rabbitmq.address.replace(":15672", ":5672")
    assert set(wait_decided(influxdb, len(AGENTS)).values()) == {"dry-run"}


def holds_key(up: Up) -> bool:
    """Tell whether any file of the guest's holds the key."""
    find = f"sudo grep -rlF {API_KEY} /etc /var/lib/reasond /opt/reasond || true"
    return bool(up.project.vagrant("ssh", "-c", find).strip())


def test_key_that_was_not_asked_for_is_nowhere_and_claude_is_not_asked(one: Up, asked: StandIn) -> None:
    wait_decided(one.logins["8086"], len(AGENTS))

    assert asked.log == []
    assert one.project.secrets("vagrant")["anthropic_api_key"] == ""
    assert API_KEY not in one.told
    assert not holds_key(one)


def test_passwords_are_told_by_their_names_only(one: Up) -> None:
    secrets = [secret for secret in one.project.secrets("vagrant").values() if secret]

    assert len(secrets) >= 6
    assert [secret for secret in secrets if secret in one.told] == []


def test_what_is_offered_to_try_can_be_typed(one: Up) -> None:
    read, take_away, examine = to_try(one.told)

    page = (ROOT / "docs" / "vagrant.md").read_text(encoding="utf-8")
    assert [command for command in (read, take_away, examine) if command not in page] == []
    wait_decided(one.logins["8086"], len(AGENTS))
    examined = one.project.shell(examine)
    told = one.project.shell(read)
    one.project.shell(take_away)
    taken = one.agents("reasond-1").count("inactive")
    one.project.shell(take_away.replace("stop 'consumer@*'", "start --all 'consumer@*'"))

    assert "sudo systemctl start --all 'consumer@*'" in one.told
    assert ", 0 to mend" in examined
    assert "decision" in told
    assert taken == 3
    assert one.agents("reasond-1") == ["active"] * len(AGENTS)


def test_second_provision_changes_nothing(one: Up) -> None:
    told = one.project.vagrant("provision")

    assert changes(one.told)["reasond-1"] > 20
    assert changes(told) == {"reasond-1": 0}
    assert one.project.dirt() == ""


@pytest.mark.long
def test_key_given_later_is_used_and_goes_again(one: Up, asked: StandIn) -> None:
    one.project.vagrant("provision", REASOND_VAGRANT_BRAIN="claude")
    wait_until(lambda: len(asked.log) > 2, what="Claude asked", timeout_seconds=90, every_seconds=1)
    held = holds_key(one)

    one.project.vagrant("provision")

    assert held
    assert not holds_key(one)


@pytest.mark.long
def test_agents_come_back_after_a_halt(one: Up) -> None:
    one.project.vagrant("halt")

    told = one.project.vagrant("up")

    influxdb = logins(told, one.project.secrets("vagrant"))["8086"]
    wait_until(
        lambda: one.agents("reasond-1") == ["active"] * len(AGENTS),
        what="agents active",
        timeout_seconds=120,
        every_seconds=2,
    )
    assert len(decisions(influxdb)) == len(AGENTS)


def test_destroy_leaves_nothing(one: Up) -> None:
    standing = one.project.guests()
    with pytest.raises(VagrantFailed, match="the one VM is there"):
        one.project.vagrant("status", REASOND_VAGRANT_VMS="3")

    one.project.vagrant("destroy", "--force")

    assert len(standing) == 1
    assert one.project.guests() == []
    assert not [path for path in Path("/var/lib/lxc").iterdir() if path.name in standing]
    assert one.project.dirt() == ""


# Three guests


@pytest.mark.long
def test_three_vms_are_a_cluster_whose_agents_ask_claude(three: Up) -> None:
    rabbitmq, influxdb, grafana = (three.logins[port] for port in ("15672", "8086", "3000"))
    nodes = send_json("GET", f"http://{rabbitmq.address}/api/nodes", headers=basic(rabbitmq))
    queues = send_json("GET", f"http://{rabbitmq.address}/api/queues/%2F", headers=basic(rabbitmq))

    assert sorted(node["name"] for node in nodes if node["running"]) == [f"rabbit@broker-{n}" for n in (1, 2, 3)]
    assert {queue["type"] for queue in queues if queue["name"] in ("fictional", "priority")} == {"quorum"}
    assert rabbitmq.address.partition(":")[0] != grafana.address.partition(":")[0]
    assert send_json("GET", f"http://{grafana.address}/api/org", headers=basic(grafana))["name"]
    assert set(wait_decided(influxdb, len(AGENTS)).values()) == {"claude"}
    assert "they ask Claude, within the budget" in three.told


@pytest.mark.long
def test_commands_offered_for_three_name_the_right_vm(three: Up) -> None:
    read, take_away, examine = to_try(three.told)

    wait_decided(three.logins["8086"], len(AGENTS))
    assert ", 0 to mend" in three.project.shell(examine)
    assert "decision" in three.project.shell(read)
    three.project.shell(take_away)
    taken = three.agents("broker-2").count("inactive")
    three.project.shell(take_away.replace("stop 'consumer@*'", "start --all 'consumer@*'"))
    # Three that are broker-1's, and the monitor.
    assert taken - three.agents("broker-2").count("inactive") == 2


@pytest.mark.long
def test_three_vms_provision_again_without_a_change_and_go(three: Up) -> None:
    told = three.project.vagrant("provision")

    assert changes(told) == {f"broker-{number}": 0 for number in (1, 2, 3)}
    three.project.vagrant("destroy", "--force")
    assert three.project.guests() == []
    assert three.project.dirt() == ""
