"""A Grafana over an InfluxDB with a day of history in it; what takes minutes is got before any test's timeout runs."""

import tempfile
import time
from pathlib import Path
from typing import Iterator

import pytest

from tests.testbed import provide
from tests.testbed.grafana import Grafana
from tests.testbed.history import HOUR_NS, HistoryStore, history
from tests.testbed.influxd import Influxd
from tests.testbed.playbook import ansible


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Make Ansible's environment and the day now, where a test needs them."""
    if session.config.option.collectonly or not any("grafana" in getattr(i, "fixturenames", ()) for i in session.items):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        history()
        # Where there is no environment, each test says so.
        try:
            ansible()
        except (pytest.skip.Exception, pytest.fail.Exception) as err:
            print(err)


@pytest.fixture(scope="session")
def history_store() -> Iterator[HistoryStore]:
    """An InfluxDB by `reasond setup-influxdb` with a day of history, which goes on for an hour from now."""
    binary = provide.path_or_skip("influxd")
    with tempfile.TemporaryDirectory(prefix="reasond-test-") as folder:
        server = Influxd(binary, Path(folder) / "influxd", onboard=False)
        try:
            server.start()
            store = HistoryStore(server, Path(folder) / "tokens")
            store.fill(time.time_ns() + HOUR_NS)
            store.make_series()
            yield store
        finally:
            server.close()


@pytest.fixture(scope="session")
def grafana(history_store: HistoryStore) -> Iterator[Grafana]:
    """A Grafana provisioned as the role does it, reading that InfluxDB."""
    home = provide.path_or_skip("grafana")
    with tempfile.TemporaryDirectory(prefix="reasond-test-") as folder:
        server = Grafana(home, Path(folder), history_store.for_grafana)
        try:
            server.start()
            yield server
        finally:
            server.close()
