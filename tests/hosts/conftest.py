"""Hosts for this tier: what they are made of is got before any test's timeout runs."""

import functools
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List, NamedTuple

import pytest

from tests.hosts.whole import WholeHost
from tests.testbed import provide
from tests.testbed.nspawn import ROOT, Room

GET_SECONDS = 1800


class Layers(NamedTuple):
    """The folders a host is made of, topmost first, or the reason why there are none on this machine."""

    folders: List[Path]
    reason: str


@functools.lru_cache(maxsize=None)
def layers() -> Layers:
    """Run scripts/get-nspawn once and return its answer."""
    script = ROOT / "scripts" / "get-nspawn"
    done = subprocess.run([str(script)], capture_output=True, timeout=GET_SECONDS, check=False)
    told = done.stderr.decode(errors="replace")
    sys.stderr.write(told)
    if done.returncode == 0:
        return Layers([Path(line) for line in done.stdout.decode().splitlines()], "")
    return Layers([], (told.strip().splitlines() or [f"{script.name} ended with status {done.returncode}"])[-1])


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Make the hosts' trees and get influxd now, where the tier was asked for."""
    if session.config.option.collectonly or not any("room" in getattr(i, "fixturenames", ()) for i in session.items):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        if layers().folders:
            provide.provided("influxd")


ROOMS: List[Room] = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add each host's failed units and the end of its journal to a failure: without them nobody knows why."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if not report.failed:
        return
    for host in (host for room in ROOMS for host in room.hosts.values() if host.leader()):
        told = host.sh("systemctl list-units --failed --no-pager; journalctl --no-pager -b -n 120", check=False)
        report.sections.append((f"host {host.name}", told))


@pytest.fixture(scope="session")
def room() -> Iterator[Room]:
    """The bridge that all hosts of the run stand on."""
    if not layers().folders:
        (pytest.fail if provide.in_ci() else pytest.skip)(layers().reason)
    room = Room(layers().folders, limits=True)
    ROOMS.append(room)
    try:
        yield room
    finally:
        ROOMS.remove(room)
        room.close()


@pytest.fixture(scope="session")
def whole(room: Room) -> WholeHost:
    """One host with everything installed as systemd/README.md says, switched on, nothing of it started."""
    host = WholeHost(room.host("all"), provide.path_or_skip("influxd"))
    host.install()
    host.power_on()
    return host
