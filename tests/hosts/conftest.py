"""Hosts for this tier: what they are made of is got before any test's timeout runs."""

import contextlib
from pathlib import Path
from typing import Iterator, List, NamedTuple

import pytest

from tests.hosts.whole import WholeHost
from tests.standin import StandIn
from tests.testbed import provide
from tests.testbed.nspawn import Room
from tests.testbed.packages import Vendors, vendors
from tests.testbed.playbook import Outcome, ansible, control_node, script

API_KEY = "sk-ant-hosts-test-Sesam-4410"


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Get what hosts are made of now, where the tier was asked for."""
    if session.config.option.collectonly or not any("room" in getattr(i, "fixturenames", ()) for i in session.items):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        for service in (["nspawn", "bullseye"], ["nspawn", "bookworm"], ["influxd"], ["grafana"]):
            provide.provided(*service)
        if any("vagrant_box" in getattr(item, "fixturenames", ()) for item in session.items):
            provide.provided("vagrant")
            # In it Vagrant runs Ansible; making it takes a minute.
            with contextlib.suppress(pytest.skip.Exception, pytest.fail.Exception):
                control_node()


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
    """The bridge that all hosts of a process stand on; bare ones are of Debian 11."""
    room = Room(provide.tree_or_skip("bullseye"), limits=True)
    ROOMS.append(room)
    try:
        yield room
    finally:
        ROOMS.remove(room)
        room.close()


@pytest.fixture(scope="session")
def vendored(room: Room) -> Iterator[Vendors]:
    """The vendors' repositories, as hosts of the room reach them; for tests that release no next version."""
    ansible()
    with vendors(room, provide.path_or_skip("influxd"), provide.path_or_skip("grafana")) as served:
        yield served


@pytest.fixture(scope="session")
def api(room: Room) -> Iterator[StandIn]:
    """Claude's stand-in, where hosts of the room reach it."""
    with StandIn(policy="sensible", host=f"{room.subnet}.1", key=API_KEY) as standin:
        yield standin


@pytest.fixture(scope="session")
def single(room: Room, vendored: Vendors, api: StandIn, tmp_path_factory: pytest.TempPathFactory) -> WholeHost:
    """One bare host, switched on, with the inventory `single` for it; `site` installs it."""
    host = room.host("all")
    host.power_on()
    variables = {
        **vendored.variables(),
        "reasond_settings": {"ANTHROPIC_BASE_URL": api.url, "REASOND_LOG_LEVEL": "info"},
    }
    return WholeHost(host, Path(tmp_path_factory.mktemp("whole")), variables, api.key)


@pytest.fixture(scope="session")
def oldest_python() -> Path:
    """The folder of a Python 3.8, to be shown to a host; skips where there is none."""
    for line in script("find-pythons").splitlines():
        name, version, path = line.split(maxsplit=2)
        if name == "oldest" and version.startswith("3.8."):
            return Path(path).resolve().parents[1]
    (pytest.fail if provide.in_ci() else pytest.skip)("no Python 3.8 here to show to a host")


class Site(NamedTuple):
    """The host after site.yml, and what its runs did: looking only, for the first time, and once more."""

    whole: WholeHost
    looked: Outcome
    touched: List[str]
    first: Outcome
    second: Outcome


@pytest.fixture(scope="session")
def site(single: WholeHost) -> Site:
    """The whole system, installed by site.yml as a user would: a look, a first run, a second one."""
    looked, touched = single.look()
    return Site(single, looked, touched, single.deploy(), single.deploy())
