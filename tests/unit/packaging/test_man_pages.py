"""The manual pages say what the command says, in roff that nothing of it breaks."""

import importlib.util
from pathlib import Path

import click
import pytest

from reasond.cli import COMMANDS

SCRIPT = Path(__file__).resolve().parents[3] / "packaging" / "man_pages.py"
SPEC = importlib.util.spec_from_file_location("reasond_man_pages", str(SCRIPT))
man_pages = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(man_pages)


@click.group(help="Do things.", epilog="Exit statuses: 0 well, 1 not.")
def things():
    """Stand for a command with commands below it."""


@things.command("break", help="Break it.\n\n\b\nExamples:\n  .things break --at '\\n'\n  things break\n\n.hidden line")
@click.argument("what")
@click.option("--at", help="Where - and when.")
def break_(what, at):
    """Stand for a command whose help has what roff would take for its own."""


@things.command(hidden=True)
def hushed():
    """Stand for a command that no list shows."""


@pytest.fixture
def every():
    return {man_pages.page_name(context): context for context in man_pages.contexts(things)}


def test_there_is_a_page_for_each_command_shown(every):
    assert set(every) == {"things", "things-break"}
    assert {f"reasond-{name}" for name in COMMANDS} | {"reasond"} <= {name for name, _ in man_pages.pages()}


def test_page_escapes_what_roff_would_take_for_its_own(every):
    (context,) = (context for context in every.values() if context.parent)

    lines = man_pages.page(context, [], "2026-11-26").splitlines()

    # A line that begins with a full stop is a request of this generator's, never of the help's.
    assert {line.split()[0] for line in lines if line.startswith(".")} <= set(".TH .SH .PP .nf .fi .TP .B .BR".split())
    assert "  .things break \\-\\-at \\(aq\\en\\(aq" in lines
    assert "\\&.hidden line" in lines
    assert lines[lines.index(".B \\-\\-at TEXT") + 1] == "Where \\- and when."


def test_page_of_a_group_lists_its_commands_and_leads_to_them(every):
    context = every["things"]
    below = [one for one in every.values() if one.parent is context]

    text = man_pages.page(context, below, "2026-11-26")

    assert ".SH COMMANDS\n.TP\n.B break" in text
    assert "Exit statuses: 0 well, 1 not." in text
    assert "hushed" not in text
    assert ".SH SEE ALSO\n.BR things\\-break (1)" in text


def test_date_is_that_of_the_sources(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795712062")

    pages = dict(man_pages.pages())

    assert '"2026-11-26"' in pages["reasond-doctor"].splitlines()[0]
