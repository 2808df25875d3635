"""`reasond watchdog-ping`: well or /fail, by what `status` says, to a local server."""

import pytest
from click.testing import CliRunner

from reasond.cli import reasond
from reasond.commands import watchdog_ping
from reasond.errors import InputError, PingUndelivered
from tests.unit.adapters.test_ping import server as server
from tests.unit.operator.test_system import analysis, beat, seen

WELL = [beat("publisher-1", 10**18), analysis(10**18)]


def run(*words, **environ):
    nobody = {"INFLUXDB_URL": "http://127.0.0.1:9", "http_proxy": "", "no_proxy": "*"}
    return CliRunner().invoke(reasond, ["watchdog-ping", *words], env=dict(nobody, **environ))


def test_all_well_asks_for_the_address_itself(server, monkeypatch):
    monkeypatch.setattr(watchdog_ping, "now", lambda: seen(WELL, 10**18))

    done = run(REASOND_WATCHDOG_URL=server.url)

    assert (done.exit_code, [path for path, _, _ in server.seen]) == (0, ["/check/uuid"]), done.output


def test_care_asks_for_fail_and_says_why_here_alone(server, tmp_path):
    done = run(server.url, REASOND_STATE_DIR=str(tmp_path))

    ((path, headers, body),) = server.seen
    assert (done.exit_code, path, body) == (0, "/check/uuid/fail", b"")
    assert "can't be reached" in done.output and "influx" not in str(headers).lower()


def test_plain_looks_at_nothing(server, monkeypatch):
    monkeypatch.setattr(watchdog_ping, "now", lambda: pytest.fail("looked"))

    assert run(server.url, "--plain").exit_code == 0
    assert [path for path, _, _ in server.seen] == ["/check/uuid"]


@pytest.mark.parametrize("words", [[], ["hc-ping.com/uuid"]], ids=["none", "no scheme"])
def test_address_that_is_none_is_refused(words):
    assert isinstance(run(*words).exception, InputError)


def test_ping_that_reaches_nobody_is_an_error():
    done = run("http://127.0.0.1:9/uuid", "--plain", "--attempts", "1")

    assert isinstance(done.exception, PingUndelivered) and done.exception.exit_code == 75
