"""Fixtures that every tier may use; nothing is started before a test asks for it."""

import os
import tempfile
from pathlib import Path
from typing import Iterator, List

import pytest

from tests.testbed import provide
from tests.testbed.influxd import Influxd
from tests.testbed.rabbitmq import RabbitMQ, Vhost

# A machine of a developer's may have reasond installed: its settings are none of the tests' business.
os.environ["REASOND_SETTINGS_FILES"] = ""

PROGRAMS = {
    "rabbitmq": ("rabbitmq", "breakable_rabbitmq", "vhost"),
    "influxd": ("influxd", "breakable_influxd", "bucket", "history_store"),
    "grafana": ("grafana",),
    "chromium": ("chromium",),
}


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Get the programs before any test's timeout runs: building influxd takes minutes."""
    if session.config.option.collectonly:
        return
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        for program, fixtures in PROGRAMS.items():
            if wanted.intersection(fixtures):
                provide.provided(program)


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder under the system's own: pytest's is too deep for a socket's path and kept for three runs."""
    with tempfile.TemporaryDirectory(prefix="reasond-test-") as folder:
        yield Path(folder)


def _rabbitmq(folder: Path) -> Iterator[RabbitMQ]:
    broker = RabbitMQ(provide.path_or_skip("rabbitmq"), folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


def _influxd(folder: Path) -> Iterator[Influxd]:
    server = Influxd(provide.path_or_skip("influxd"), folder)
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def rabbitmq(scratch: Path) -> Iterator[RabbitMQ]:
    """The one broker of the run; never stop or freeze it, take `breakable_rabbitmq` for that."""
    yield from _rabbitmq(scratch / "rabbitmq")


@pytest.fixture(scope="session")
def influxd(scratch: Path) -> Iterator[Influxd]:
    """The one InfluxDB of the run; never stop or freeze it, take `breakable_influxd` for that."""
    yield from _influxd(scratch / "influxd")


@pytest.fixture(scope="module")
def breakable_rabbitmq() -> Iterator[RabbitMQ]:
    """A broker of the module's own, for tests that kill, freeze or restart it."""
    with tempfile.TemporaryDirectory(prefix="reasond-test-") as folder:
        yield from _rabbitmq(Path(folder))


@pytest.fixture(scope="module")
def breakable_influxd() -> Iterator[Influxd]:
    """An InfluxDB of the module's own, for tests that kill, freeze or restart it."""
    with tempfile.TemporaryDirectory(prefix="reasond-test-") as folder:
        yield from _influxd(Path(folder))


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a browser that draws pages without a screen."""
    return provide.path_or_skip("chromium")


@pytest.fixture
def vhost(rabbitmq: RabbitMQ) -> Iterator[Vhost]:
    """An empty virtual host of the test's own on the run's broker, deleted afterwards."""
    made = rabbitmq.fresh_vhost()
    yield made
    rabbitmq.delete_vhost(made)


@pytest.fixture
def bucket(influxd: Influxd) -> Iterator[str]:
    """The name of an empty bucket of the test's own on the run's InfluxDB, deleted afterwards."""
    made = influxd.fresh_bucket()
    yield made
    influxd.delete_bucket(made)


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Mark each test by the folder it stands in, so that no file has to repeat its tier."""
    tests = Path(__file__).resolve().parent
    for item in items:
        tier = item.path.relative_to(tests).parts[0]
        if tier in ("unit", "contract", "services", "acceptance", "faults", "grafana", "hosts", "bench", "simulation"):
            item.add_marker(tier)
        if any(name in getattr(item, "fixturenames", ()) for names in PROGRAMS.values() for name in names):
            item.add_marker("services")
