"""Keeps hosts up beyond the command that asked for them; Molecule's create and destroy use it.

`python -m tests.testbed.keeper start FOLDER NAME=SUITE ...` returns once the hosts are up and the vendors'
repositories are served, and leaves FOLDER/hosts.json; `... stop FOLDER` takes them down again.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

from tests.testbed import provide
from tests.testbed.nspawn import ROOT, Room
from tests.testbed.packages import vendors
from tests.testbed.waiting import wait_until

ANSWER, PID, LOG = "hosts.json", "keeper.pid", "keeper.log"
START_SECONDS = 1800
STOP_SECONDS = 120


def start(folder: Path, platforms: Dict[str, str]) -> None:
    """Have a process of its own boot and hold the hosts; return when they are up, end with its words if not."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / ANSWER).exists():
        stop(folder)
    wanted = [f"{name}={suite}" for name, suite in platforms.items()]
    with (folder / LOG).open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.testbed.keeper", "hold", str(folder), *wanted],
            cwd=str(ROOT),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    wait_until(
        lambda: (folder / ANSWER).exists() or child.poll() is not None,
        what="the hosts",
        timeout_seconds=START_SECONDS,
        every_seconds=0.2,
    )
    if not (folder / ANSWER).exists():
        sys.exit((folder / LOG).read_text(errors="replace"))


def stop(folder: Path) -> None:
    """Take the hosts of this folder down, if there are any."""
    if not (folder / PID).exists():
        return
    os.kill(int((folder / PID).read_text()), signal.SIGTERM)
    wait_until(lambda: not (folder / PID).exists(), what="the hosts' end", timeout_seconds=STOP_SECONDS)


def hold(folder: Path, platforms: Dict[str, str]) -> None:
    """Boot the hosts, tell where they are, and hold them until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    (folder / PID).write_text(str(os.getpid()))
    try:
        trees = [provide.host_tree(suite) for suite in platforms.values()]
        room = Room(trees[0])
        try:
            for number, tree in enumerate(trees):
                room.host(f"m{number}", tree).power_on()
            with vendors(room, provide.needed("influxd"), provide.needed("grafana")) as served:
                hosts = {name: host.address for name, host in zip(platforms, room.hosts.values())}
                answer = {"hosts": hosts, "ssh_key": str(room.ssh_key), "variables": served.variables()}
                staged = folder / f"{ANSWER}.new"
                staged.write_text(json.dumps(answer))
                staged.rename(folder / ANSWER)
                signal.sigwait({signal.SIGTERM, signal.SIGINT})
        finally:
            room.close()
    finally:
        (folder / ANSWER).unlink(missing_ok=True)
        (folder / PID).unlink()


def main(arguments: List[str]) -> None:
    """Do what the command line says."""
    if len(arguments) < 2 or arguments[0] not in ("start", "stop", "hold"):
        sys.exit(__doc__)
    folder = Path(arguments[1])
    if arguments[0] == "stop":
        stop(folder)
        return
    platforms = dict(platform.split("=", 1) for platform in arguments[2:])
    (start if arguments[0] == "start" else hold)(folder, platforms)


if __name__ == "__main__":
    main(sys.argv[1:])
