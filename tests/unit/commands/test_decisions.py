"""`reasond decisions`: what it says to a mistake; tests/services/operator/test_commands.py has it read InfluxDB."""

import pytest
from click.testing import CliRunner

from reasond.cli import reasond
from reasond.errors import InputError, StoreUnavailable


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
