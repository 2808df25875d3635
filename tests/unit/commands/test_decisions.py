"""`reasond decisions`: what it says to a mistake; tests/services/operator/test_commands.py has it read InfluxDB."""

import pytest
from click.testing import CliRunner

from reasond.cli import reasond
from reasond.commands.decisions import _transcript
from reasond.errors import InputError, StoreUnavailable
from reasond.operator.decided import Found, decided
from tests.unit.report.decided import row


def run(*words):
    return CliRunner().invoke(reasond, ["decisions", *words], env={"INFLUXDB_URL": "http://127.0.0.1:9"})


@pytest.mark.parametrize(
    "words", [["--since", "soon"], ["--since", "1h", "--until", "2h"], ["show", "x", "--since", "99d"]]
)
def test_a_range_that_is_none_is_refused(words):
    assert isinstance(run(*words).exception, InputError)


@pytest.mark.parametrize("words", [[], ["show", "publisher-1-1"]], ids=["list", "show"])
def test_store_that_is_away_is_said(words):
    assert isinstance(run(*words).exception, StoreUnavailable)


def test_prompt_and_answer_keep_their_lines_and_nothing_that_controls_a_terminal():
    line = {"prompt": "first\nsecond \x1b[31mred", "response": "{}", "detail": "late\x07", "error": "deadline"}

    shown = [text.plain for text in _transcript(Found(decided(row()), [], line, ["a file"]))]

    assert shown == [
        "",
        "prompt (a file)",
        "first\nsecond  [31mred",
        "",
        "answer (a file)",
        "{}",
        "error: deadline late ",
    ]
