"""`reasond control`: orders in the control file, the holder told by SIGHUP, bad values refused in one line."""

import json
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from reasond.adapters.state import STOP_SPENDING, StateDir
from reasond.commands.control import control
from reasond.core.agent import Control
from reasond.errors import InputError

DEADLINE_S = 20


@pytest.fixture
def base(tmp_path):
    for agent in ("publisher-1", "consumer-1", "monitor-1"):
        StateDir(tmp_path / agent)
    return tmp_path


def order(base, *arguments):
    """Run the command; give its output, or raise what it raised."""
    done = CliRunner().invoke(control, [*arguments, "--state-dir", str(base)], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.output


@pytest.mark.parametrize(
    "orders, expected",
    [
        ([("hold",)], Control(serial=1, hold=True)),
        ([("hold",), ("resume",)], Control(serial=2)),
        ([("shadow",)], Control(serial=1, shadow=True)),
        ([("shadow",), ("act",)], Control(serial=2)),
        ([("hold",), ("shadow",)], Control(serial=2, hold=True, shadow=True)),
        ([("interval", "fictional=3")], Control(serial=1, fictional_interval=3)),
        (
            [("interval", "fictional=3", "nonfictional=6")],
            Control(serial=1, fictional_interval=3, nonfictional_interval=6),
        ),
        ([("interval", "fictional=3"), ("hold",)], Control(serial=2, hold=True)),
        ([("hold",), ("show",)], Control(serial=1, hold=True)),
    ],
    ids=[
        "hold",
        "resume",
        "shadow",
        "act",
        "both stand",
        "one interval",
        "both intervals",
        "an interval is for once",
        "show changes nothing",
    ],
)
def test_orders_stand_in_the_control_file(base, orders, expected):
    for action, *values in orders:
        printed = order(base, "publisher-1", action, *values)

    assert StateDir(base / "publisher-1").control() == expected
    shown = [line for line in printed.splitlines() if line.startswith("{")][-1]
    assert json.loads(shown)["serial"] == expected.serial


@pytest.mark.parametrize(
    "arguments, word",
    [
        (("publisher-9", "hold"), "known: consumer-1, monitor-1, publisher-1"),
        (("publisher-1", "interval"), "takes fictional=SECONDS"),
        (("publisher-1", "interval", "fictional"), "fictional"),
        (("publisher-1", "interval", "fictional=0"), "at least 1"),
        (("publisher-1", "interval", "fictional=-3"), "at least 1"),
        (("publisher-1", "interval", "fictional=2.5"), "whole"),
        (("publisher-1", "interval", "fictional=\u00b2"), "whole"),
        (("publisher-1", "interval", "priority=3"), "priority"),
        (("publisher-1", "hold", "now"), "takes no values"),
        (("consumer-1", "interval", "fictional=3"), "for a publisher"),
        (("monitor-1", "hold"), "for a publisher or consumer"),
        (("publisher-1", "stop-spending"), "all"),
        (("all", "stop-spending", "now"), "all"),
    ],
)
def test_what_cannot_be_ordered_is_refused_and_nothing_is_written(base, arguments, word):
    with pytest.raises(InputError, match="(?s).*" + word):
        order(base, *arguments)

    assert not list(base.glob("*/control.json")) and not (base / STOP_SPENDING).exists()


def test_running_agent_gets_sighup(base):
    code = (
        "import signal, sys; from pathlib import Path; from reasond.adapters.state import StateDir\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])\n"
        "state = StateDir(Path(sys.argv[1])); state.lock(); print('held', flush=True)\n"
        "got = signal.sigtimedwait([signal.SIGHUP], {})\n"
        "print(got.si_signo if got else 'none', state.control().hold, flush=True)"
    ).format(DEADLINE_S)
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(base / "publisher-1")], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"

    printed = order(base, "publisher-1", "hold")

    out, _ = holder.communicate(timeout=DEADLINE_S)
    assert out == f"{int(signal.SIGHUP)} True\n"
    assert "isn't running" not in printed


def test_agent_that_is_not_running_is_told_of(base):
    assert "isn't running" in order(base, "publisher-1", "hold")


def test_holder_of_another_user_is_an_error_that_says_what_to_do(base, monkeypatch):
    monkeypatch.setattr(StateDir, "holder_pid", lambda self: 1)
    monkeypatch.setattr("os.kill", lambda pid, number: (_ for _ in ()).throw(PermissionError()))

    with pytest.raises(InputError, match="systemctl reload publisher@1.service"):
        order(base, "publisher-1", "hold")


def test_spending_switch_is_one_file_for_all_agents_of_the_host(base):
    order(base, "all", "stop-spending")
    assert all(StateDir(base / agent).stop_spending_file.exists() for agent in ("publisher-1", "consumer-1"))

    order(base, "all", "spend")
    assert not (base / STOP_SPENDING).exists()
    order(base, "all", "spend")


def test_spending_switch_without_any_agent_is_refused(tmp_path):
    with pytest.raises(InputError, match="no agent has its state"):
        order(tmp_path / "nowhere", "all", "stop-spending")
