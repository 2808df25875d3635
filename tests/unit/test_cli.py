"""The command line: every command listed and loadable, each error one line and its exit status, no traceback."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from reasond import __version__, cli, errors

ROOT = Path(__file__).resolve().parents[2]


def run(monkeypatch, capsys, *arguments):
    """Run the command line in this process; give its exit status and what it printed."""
    monkeypatch.setattr(sys, "argv", ["reasond", *arguments])
    try:
        cli.main()
        status = 0
    except SystemExit as end:
        status = end.code
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.fixture
def raising(monkeypatch):
    """A function that makes a command `broken` which raises what it is given."""

    def make(error):
        @click.command()
        def broken():
            raise error

        monkeypatch.setattr(cli._LazyGroup, "get_command", lambda self, ctx, name: broken)

    return make


def test_help_lists_every_command_without_loading_any(monkeypatch, capsys):
    monkeypatch.setattr(cli._LazyGroup, "get_command", lambda self, ctx, name: pytest.fail(name + " was loaded"))

    status, out, _ = run(monkeypatch, capsys, "--help")

    assert status == 0
    for name, (_, text) in cli.COMMANDS.items():
        assert re.search(r"^  {} +{}".format(re.escape(name), re.escape(text[:20])), out, re.MULTILINE), name


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_each_command_loads_and_explains_itself(monkeypatch, capsys, name):
    status, out, _ = run(monkeypatch, capsys, name, "--help")

    assert status == 0
    assert out.startswith("Usage: reasond " + name)
    assert "Options:" in out and len(out.splitlines()) > 5


def test_each_module_of_a_command_is_listed():
    modules = {target.partition(":")[0].rpartition(".")[2] for target, _ in cli.COMMANDS.values()}
    found = {path.stem for path in (ROOT / "agents" / "reasond" / "commands").glob("*.py")}

    assert modules == found - {"__init__"}


def test_version_is_the_packages(monkeypatch, capsys):
    assert run(monkeypatch, capsys, "--version")[1].strip() == "reasond, version " + __version__


@pytest.mark.parametrize(
    "arguments, word",
    [(["publish"], "publish"), (["load", "--rate", "fast"], "--rate"), (["control"], "AGENT")],
    ids=["unknown command", "bad option", "missing argument"],
)
def test_wrong_usage_exits_with_2_and_names_what_is_wrong(monkeypatch, capsys, arguments, word):
    status, _, err = run(monkeypatch, capsys, *arguments)

    assert status == 2
    assert word in err and "Traceback" not in err


@pytest.mark.parametrize(
    "error, status, lines",
    [
        (errors.SettingsError(["A_PORT is bad", "B_HOST is bad"]), 78, ["A_PORT is bad", "B_HOST is bad"]),
        (errors.InputError("no such agent"), 2, ["no such agent"]),
        (errors.BrokerUnavailable("away"), 75, ["away"]),
        (errors.BrokerRefused("no"), 77, ["no"]),
        (errors.TopologyConflict(["queue a", "queue b"]), 3, ["queue a", "queue b"]),
        (errors.StoreUnavailable("away"), 75, ["away"]),
        (errors.StoreRefused("no"), 77, ["no"]),
        (errors.IdentityTaken("pid 7"), 78, ["pid 7"]),
        (errors.ReasondError("other"), 1, ["other"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_error_becomes_its_lines_and_its_exit_status(monkeypatch, capsys, raising, error, status, lines):
    raising(error)

    got, out, err = run(monkeypatch, capsys, "broken")

    assert got == status
    assert (out, err.splitlines()) == ("", ["reasond: " + line for line in lines])


def test_interrupt_exits_with_130(monkeypatch, capsys, raising):
    raising(KeyboardInterrupt())

    status, _, err = run(monkeypatch, capsys, "broken")

    assert status == 130
    assert "Traceback" not in err


def test_reader_that_went_away_ends_the_command_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "reasond", "--help"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            env={"PYTHONPATH": str(ROOT / "agents")},
            timeout=60,
        )

    assert (done.returncode, done.stderr) == (1, b"")
