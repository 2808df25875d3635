"""The command line: every command listed and loadable, each error one line and its exit status, no traceback."""

import importlib
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from reasond import __version__, cli, errors, exits

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
    hints = [error.hint] if error.hint else []
    assert (out, err.splitlines()) == ("", ["reasond: " + line for line in lines + hints])


@pytest.mark.parametrize(
    "error", [errors.BrokerUnavailable, errors.BrokerRefused, errors.StoreUnavailable, errors.StoreRefused]
)
def test_a_service_that_fails_comes_with_what_to_do(error):
    assert "reasond doctor" in error.hint


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


def every_command():
    """Give each command and subcommand with its words."""
    found = {}
    for name, (target, _) in cli.COMMANDS.items():
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        found[name] = command
        found.update({f"{name} {sub}": each for sub, each in getattr(command, "commands", {}).items()})
    return found


@pytest.mark.parametrize("words", sorted(every_command()))
def test_help_has_examples_of_the_command(words):
    text = every_command()[words].help

    examples = text.partition("Examples:")[2]
    assert f"reasond {words.split()[0]}" in examples


def examples():
    """Give the arguments of each example that stands in a command's help."""
    lines = {line for one in every_command().values() for line in one.help.partition("Examples:")[2].splitlines()}
    typed = sorted(line.partition("reasond ")[2] for line in lines if "reasond " in line)
    return [re.split(r"\s(?:#|\||>)", line)[0] for line in typed]


@pytest.mark.parametrize("typed", examples())
def test_example_can_be_typed(typed, tmp_path, monkeypatch):
    """Commands, options, arguments and their types are real; files that a user would have are made up."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(typed)
    for word in words:
        if re.fullmatch(r"[\w.-]+\.(toml|jsonl|json|csv|html)", word):
            (tmp_path / word).touch()
    command, name = cli.reasond, "reasond"
    # A group that is also a command of its own may be followed by options.
    while isinstance(command, click.Group) and words and words[0] in command.list_commands(click.Context(command)):
        name, *words = words
        command = command.get_command(click.Context(command), name)
    assert command is not cli.reasond

    command.make_context(name, words)


def test_every_command_has_its_exit_statuses_and_every_error_is_among_them():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ReasondError)]

    assert set(exits.BY_COMMAND) == set(cli.COMMANDS)
    assert {status for told in exits.BY_COMMAND.values() for status in told} <= set(exits.STATUSES)
    assert {kind.exit_code for kind in kinds} <= set(exits.STATUSES)


def on_a_terminal(*arguments, **environ):
    """Run the command with a terminal for standard output; give what came out."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "reasond", *arguments],
        stdout=follower,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": str(ROOT / "agents"), "TERM": "xterm", "PATH": "/usr/bin:/bin", **NOWHERE, **environ},
    )
    os.close(follower)
    out = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # the last holder of the other end is gone
            break
        if not piece:
            break
        out += piece
    os.close(leader)
    process.wait(60)
    return out


NOWHERE = {
    "INFLUXDB_URL": "http://127.0.0.1:9",
    "RABBITMQ_HOST": "127.0.0.1",
    "RABBITMQ_PORT": "9",
    "RABBITMQ_MANAGEMENT_URL": "http://127.0.0.1:9",
    "REASOND_BRAIN": "rules",
}
"""Services that nobody can be."""
COLOUR = re.compile(rb"\x1b\[[0-9;]*3[0-7]")


@pytest.mark.parametrize("command", ["doctor", "status"], ids=["by click", "by rich"])
def test_colours_are_for_terminals_and_not_where_no_color_is_set(tmp_path, command):
    here = {"REASOND_STATE_DIR": str(tmp_path), "REASOND_LOG_DIR": str(tmp_path), "HOME": str(tmp_path)}
    piped = subprocess.run(
        [sys.executable, "-m", "reasond", command],
        capture_output=True,
        env={"PYTHONPATH": str(ROOT / "agents"), "PATH": "/usr/bin:/bin", **NOWHERE, **here},
        timeout=60,
    )

    assert COLOUR.search(on_a_terminal(command, **here))
    assert not COLOUR.search(on_a_terminal(command, NO_COLOR="1", **here))
    assert b"\x1b" not in piped.stdout + piped.stderr and piped.stdout


def test_completing_a_command_loads_none(monkeypatch):
    monkeypatch.setattr(cli._LazyGroup, "get_command", lambda self, ctx, name: pytest.fail(name + " was loaded"))

    found = cli.reasond.shell_complete(click.Context(cli.reasond), "st")

    assert [(item.value, item.help) for item in found] == [("status", cli.COMMANDS["status"][1])]
