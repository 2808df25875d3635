"""One process, one agent, without services: what systemd is told and when, reloads, and the stop."""

import signal
import socket
import time

import pytest

from reasond import runtime, settings
from reasond.adapters.state import STOP_SPENDING
from reasond.core.agent import Control
from reasond.errors import IdentityTaken
from reasond.runtime import AgentProcess

STOP_S = 10


class Log:
    """Keeps what is said."""

    def __init__(self):
        self.said = []
        self.level = "info"

    def say(self, level, event, fields=None):
        self.said.append((level, event, dict(fields or {})))

    def set_level(self, level):
        self.level = level

    def fields_of(self, event):
        return [fields for _, name, fields in self.said if name == event]


class Notifier:
    """Keeps what systemd would be told."""

    def __init__(self, environ):
        self.told = []
        self.watchdog_s = 0.1

    def __getattr__(self, name):
        return lambda *args: self.told.append((name, *args))

    def names(self):
        return [entry[0] for entry in self.told if entry[0] not in ("alive", "status", "extend_start_s")]


@pytest.fixture(autouse=True)
def signals_back():
    """Put the signal handlers back that a run in this process sets."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def closed_port():
    """A port that refuses connections for as long as the test lasts."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def make(tmp_path, monkeypatch, closed_port):
    """A function that makes an agent whose services are all away."""
    monkeypatch.setattr(runtime, "Notifier", Notifier)
    monkeypatch.setattr(runtime, "STATUS_PERIOD_S", 0.05)
    # Nothing here answers: a stop would wait for it all the time it may.
    monkeypatch.setattr(runtime, "FLUSH_DEADLINE_S", 0.1)
    made = []

    def build(kind="publisher", **more):
        environ = {
            "RABBITMQ_HOST": "127.0.0.1",
            "RABBITMQ_PORT": str(closed_port),
            "RABBITMQ_MANAGEMENT_URL": f"http://127.0.0.1:{closed_port}",
            "INFLUXDB_URL": f"http://127.0.0.1:{closed_port}",
            "REASOND_STATE_DIR": str(tmp_path / "state"),
            "REASOND_LOG_DIR": str(tmp_path / "log"),
            "REASOND_BRAIN": "rules",
            "PUBLISHER_ID": "publisher-1",
            "CONSUMER_ID": "consumer-1",
            **more,
        }
        process = AgentProcess(kind, settings.load(environ, kind), environ, Log())
        made.append(process)
        return process

    yield build
    for process in made:
        process._writer.close(0.1)


def run(process, *steps):
    """Run the agent; call each (seconds, function) on its loop; the last one's time ends it by SIGTERM."""
    for at_s, function in steps:
        process._ioloop.call_later(at_s, function)
    process._ioloop.call_later(max(at_s for at_s, _ in steps) + 0.1, lambda: signal.raise_signal(signal.SIGTERM))
    began = time.monotonic()
    status = process.run()
    return status, time.monotonic() - began


def nothing():
    pass


@pytest.mark.parametrize(
    "kind, links", [("publisher", "publish"), ("consumer", "consume, publish"), ("monitor", "publish")]
)
def test_agent_without_broker_is_ready_only_after_the_wait_and_says_why(make, monkeypatch, kind, links):
    monkeypatch.setattr(runtime, "READY_WITHOUT_BROKER_S", 0.5)
    process = make(kind)
    seen = []

    status, seconds = run(process, (0.25, lambda: seen.append(process._notifier.names())), (1.0, nothing))

    assert seen == [[]], "not ready before the wait is over"
    assert process._notifier.names() == ["ready", "stopping"]
    assert (status, seconds < STOP_S) == (0, True)
    told = process._notifier.told
    assert ("extend_start_s", runtime.EXTEND_START_S) in told[: told.index(("ready",))]
    assert ("extend_start_s", runtime.EXTEND_START_S) not in told[told.index(("ready",)) :]
    statuses = [entry[1] for entry in told if entry[0] == "status"]
    assert statuses[-1].startswith(f"degraded: waiting for RabbitMQ ({links})")


def test_agent_whose_links_are_up_is_ready_at_once(make):
    process = make("consumer")

    def up(which):
        return lambda: process._linked(which, True)

    seen = []
    run(
        process,
        (0.1, up("publish")),
        (0.3, lambda: seen.append(process._notifier.names())),
        (0.4, up("consume")),
        (0.6, nothing),
    )

    assert seen == [[]], "one of two links is not enough"
    assert process._notifier.names() == ["ready", "stopping"]


def test_watchdog_is_called_at_twice_its_rate_while_the_loop_runs(make):
    process = make()

    run(process, (1.0, nothing))

    calls = sum(1 for entry in process._notifier.told if entry == ("alive",))
    assert 5 <= calls <= 60


def test_watchdog_is_not_called_while_the_loop_hangs(make):
    process = make()
    counts = []

    def hang():
        counts.append(len(process._notifier.told))
        time.sleep(0.5)
        counts.append(len(process._notifier.told))

    run(process, (0.3, hang), (0.9, nothing))

    assert counts[0] == counts[1]


def test_reload_tells_its_begin_and_end_and_takes_what_may_change(make, tmp_path):
    file = tmp_path / "agents.env"
    file.write_text("PUBLISHER_MIN_INTERVAL_S=4\nREASOND_LOG_LEVEL=debug\nRABBITMQ_PORT=1\n")
    process = make(REASOND_SETTINGS_FILES=str(file))

    run(process, (0.2, lambda: signal.raise_signal(signal.SIGHUP)), (0.5, nothing))

    assert process._notifier.names() == ["reloading", "ready", "stopping"]
    assert process._core._settings.min_interval_s == 4
    assert process._log.level == "debug"
    assert len(process._log.fields_of("reloaded")) == 1


@pytest.mark.parametrize(
    "text, word",
    [("PUBLISHER_MIN_INTERVAL_S=often\nREASOND_LOG_LEVEL=debug\n", "PUBLISHER_MIN_INTERVAL_S"), (None, "agents.env")],
    ids=["wrong value", "file is gone"],
)
def test_reload_of_something_wrong_is_refused_whole_and_said(make, tmp_path, text, word):
    file = tmp_path / "agents.env"
    if text is not None:
        file.write_text(text)
    process = make(REASOND_SETTINGS_FILES=str(file))

    run(process, (0.2, lambda: signal.raise_signal(signal.SIGHUP)), (0.5, nothing))

    assert process._notifier.names() == ["reloading", "ready", "stopping"]
    assert word in process._log.fields_of("reload_refused")[0]["problem"]
    assert process._log.level == "info" and process._core._settings.min_interval_s == 1


def test_reload_of_an_emptied_file_goes_back_to_the_defaults(make, tmp_path):
    file = tmp_path / "agents.env"
    file.write_text("")
    process = make(REASOND_SETTINGS_FILES=str(file), PUBLISHER_MIN_INTERVAL_S="3")

    run(process, (0.2, lambda: signal.raise_signal(signal.SIGHUP)), (0.5, nothing))

    assert process._core._settings.min_interval_s == 1


def test_reload_gives_the_monitor_its_alert_command(make, tmp_path):
    file = tmp_path / "agents.env"
    file.write_text("MONITOR_ALERT_COMMAND=/usr/bin/page --now\n")
    process = make("monitor", REASOND_SETTINGS_FILES=str(file))

    run(process, (0.2, lambda: signal.raise_signal(signal.SIGHUP)), (0.5, nothing))

    assert process._shell.alert_command == ("/usr/bin/page", "--now")


def test_operators_orders_are_taken_at_the_start_and_at_a_reload(make):
    process = make()
    process._state.give_control(Control(serial=1, hold=True))
    seen = []

    def resume():
        seen.append(process._core.status(process._shell.now()).fields["held"])
        process._state.give_control(Control(serial=2))
        signal.raise_signal(signal.SIGHUP)

    run(process, (0.2, resume), (0.5, nothing))

    assert seen == [True]
    assert process._core.status(process._shell.now()).fields["held"] is False


def test_spending_switch_is_heeded_without_a_reload(make, monkeypatch):
    heeded = []
    monkeypatch.setattr(runtime, "stop_spending", lambda brain, stop: heeded.append(stop))
    process = make()

    run(process, (0.2, process._state.stop_spending_file.touch), (0.5, nothing))

    assert heeded[0] is False and heeded[-1] is True
    assert process._state.stop_spending_file.name == STOP_SPENDING


def test_second_agent_of_one_identity_is_refused(make):
    make()

    with pytest.raises(IdentityTaken, match="publisher-1"):
        make()


def test_stop_with_work_in_hand_is_cut_off_before_the_links_close(make, monkeypatch):
    # Given a consumer with a handler that doesn't end
    monkeypatch.setattr(runtime, "DRAIN_DEADLINE_S", 0.2)
    process = make("consumer")
    order = []
    core, driver, links = process._core, process._driver, process._links
    monkeypatch.setattr(core, "stopped", lambda: "cut off" in order)
    monkeypatch.setattr(driver, "cut_off", lambda: order.append("cut off"))
    close = links.close
    monkeypatch.setattr(links, "close", lambda: (order.append("closed"), close()))

    # When it is stopped
    status, seconds = run(process, (0.1, nothing))

    # Then nothing that ends while the links close is taken for done
    assert order == ["cut off", "closed"]
    assert (status, 0.2 < seconds < STOP_S) == (0, True)
    assert process._log.fields_of("stopped_with_work_in_hand") == [{}]


def test_stop_asked_for_twice_is_one_stop(make):
    process = make()

    status, _ = run(process, (0.1, lambda: signal.raise_signal(signal.SIGTERM)), (0.1, nothing))

    assert status == 0
    assert process._notifier.names().count("stopping") == 1
