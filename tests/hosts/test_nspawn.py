"""The hosts' bed itself: it takes away what it made, also when the run that made it is killed."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Iterator, List

import pytest

from tests.testbed import nspawn
from tests.testbed.nspawn import CGROUPS, ROOT, CommandFailed, Host, Room
from tests.testbed.provide import tree_or_skip
from tests.testbed.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

RUN = """
import sys
from pathlib import Path
from tests.testbed.nspawn import Room
room = Room(Path(sys.argv[1]))
room.host("one").power_on()
print(room.token, room.folder, room.subnet, flush=True)
sys.stdin.read()
"""


def traces(token: str, folder: str, subnet: str) -> List[str]:
    """Return what is left on this machine of a room."""
    commands = (["ip", "-brief", "link"], ["iptables-save"], ["ps", "-eo", "args"])
    found = []
    for command in commands:
        printed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()
        found += [line for line in printed.splitlines() if token in line or f"{subnet}." in line]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if folder in line]
    found += [str(path) for path in (*CGROUPS.glob(f"*{token}"), *CGROUPS.glob(f"*/*{token}"))]
    return found + ([folder] if Path(folder).exists() else [])


def test_killed_run_leaves_nothing_behind(room: Room) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(room.tree)], cwd=str(ROOT), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert run.stdout
    token, folder, subnet = run.stdout.readline().decode().split()
    assert len(traces(token, folder, subnet)) > 5

    run.send_signal(signal.SIGKILL)
    run.wait(30)

    wait_until(lambda: traces(token, folder, subnet) == [], what="the guardian's clearing up", timeout_seconds=30)


def test_rooms_made_at_once_have_subnets_of_their_own(room: Room) -> None:
    with ThreadPoolExecutor(8) as pool:
        rooms = list(pool.map(lambda _: Room(room.tree), range(8)))
    try:
        assert len({made.subnet for made in (room, *rooms)}) == 9
    finally:
        for made in rooms:
            made.close()


def test_hosts_reach_each_other_until_the_link_is_cut(room: Room) -> None:
    first, second = room.host("ping1"), room.host("ping2")
    first.power_on()
    second.power_on()
    first.run("ping", "-c1", "-W2", second.address)

    subprocess.run(["ip", "link", "set", f"vb-{second.machine}", "down"], check=True)

    assert "100% packet loss" in first.run("ping", "-c1", "-W1", second.address, check=False)
    second.power_cut()
    first.power_cut()


def reached(source: Host, target: Host) -> bool:
    return " 0% packet loss" in source.run("ping", "-c1", "-W1", target.address, check=False)


@pytest.fixture
def three(room: Room) -> Iterator[List[Host]]:
    hosts = [room.host(name) for name in ("cut1", "cut2", "cut3")]
    for host in hosts:
        host.power_on()
    yield hosts
    for host in hosts:
        room.discard(host)


@pytest.mark.parametrize("way", ["this machine's", "isolated"])
def test_partition_cuts_two_hosts_off_from_each_other_only(
    room: Room, three: List[Host], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "isolated":
        monkeypatch.setattr(nspawn, "_bridge_filtered", lambda: False)
    first, second, third = three

    with room.partition(first, second):
        cut = {(a.name, b.name) for a in three for b in three if a is not b and not reached(a, b)}

    assert cut == {("cut1", "cut2"), ("cut2", "cut1")}
    # A kernel that got no answer while it asked for the other's address asks again once a second
    wait_until(lambda: reached(first, second), what="a way from cut1 to cut2", timeout_seconds=10)


def test_host_of_another_debian_stands_on_the_same_bridge(room: Room) -> None:
    older = room.host("deb11")
    newer = room.host("deb12", tree_or_skip("bookworm"))
    assert [older.power_on(), newer.power_on()] == ["running", "running"]

    assert reached(older, newer)
    assert [host.sh(". /etc/os-release; echo $VERSION_ID").strip() for host in (older, newer)] == ["11", "12"]
    room.discard(older)
    room.discard(newer)


def test_bound_folder_is_seen_and_read_only_and_ssh_lets_root_in(room: Room, tmp_path: Path) -> None:
    (tmp_path / "word").write_text("from outside")
    host = room.host("bound")
    host.bind(tmp_path, "/srv/outside")
    host.power_on()

    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]
    command = ["ssh", "-i", str(host.ssh_key), *options, f"root@{host.address}", "cat /srv/outside/word"]
    told = subprocess.run(command, stdout=subprocess.PIPE, timeout=30, check=True)

    assert told.stdout == b"from outside"
    with pytest.raises(CommandFailed, match="Read-only"):
        host.sh("echo changed > /srv/outside/word")
    room.discard(host)
