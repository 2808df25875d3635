"""The hosts' bed itself: it takes away what it made, also when the run that made it is killed."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

from tests.testbed.nspawn import CGROUPS, ROOT, Room
from tests.testbed.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

RUN = """
import sys
from pathlib import Path
from tests.testbed.nspawn import Room
room = Room([Path(folder) for folder in sys.argv[1:]])
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
    layers = [str(folder) for folder in room.layers[-1:]]
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, *layers], cwd=str(ROOT), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert run.stdout
    token, folder, subnet = run.stdout.readline().decode().split()
    assert len(traces(token, folder, subnet)) > 5

    run.send_signal(signal.SIGKILL)
    run.wait(30)

    wait_until(lambda: traces(token, folder, subnet) == [], what="the guardian's clearing up", timeout_seconds=30)


def test_hosts_reach_each_other_until_the_link_is_cut(room: Room) -> None:
    first, second = room.host("ping1"), room.host("ping2")
    first.power_on()
    second.power_on()
    first.run("ping", "-c1", "-W2", second.address)

    subprocess.run(["ip", "link", "set", f"vb-{second.machine}", "down"], check=True)

    assert "100% packet loss" in first.run("ping", "-c1", "-W1", second.address, check=False)
    second.power_cut()
    first.power_cut()
