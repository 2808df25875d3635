"""sd_notify on a real socket: what is sent, and that nothing is without one."""

import os
import socket

import pytest

from reasond.adapters.systemd import Notifier


@pytest.fixture
def notify_socket(tmp_path, monkeypatch):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        yield listener


def test_each_call_sends_its_state(notify_socket):
    notifier = Notifier({})

    notifier.ready()
    notifier.status("rate 5s\nok")
    notifier.status("rate 5s ok")
    notifier.alive()
    notifier.reloading()
    notifier.extend_start_s(30)
    notifier.stopping()

    got = [notify_socket.recv(1000).decode() for _ in range(6)]
    assert got == [
        "READY=1",
        "STATUS=rate 5s ok",
        "WATCHDOG=1",
        "RELOADING=1",
        "EXTEND_TIMEOUT_USEC=30000000",
        "STOPPING=1",
    ]


@pytest.mark.parametrize(
    "environ, period_s",
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
    ],
)
def test_watchdog_period_is_the_one_meant_for_this_process(environ, period_s):
    assert Notifier(environ).watchdog_s == period_s


def test_without_a_socket_nothing_happens(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    Notifier({}).ready()
