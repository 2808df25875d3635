"""`reasond report`: what it says to a mistake; tests/services/report/test_live.py has it read a real InfluxDB."""

import pytest
from click.testing import CliRunner

from reasond.cli import reasond
from reasond.errors import InputError, StoreUnavailable


def run(*words, **environ):
    return CliRunner().invoke(reasond, ["report", *words], env=environ)


@pytest.mark.parametrize("words", [["--since", "soon"], ["--since", "1h", "--until", "2h"], ["--since", "99d"]])
def test_a_range_that_is_none_is_refused(words):
    assert isinstance(run(*words).exception, InputError)


def test_a_store_that_is_away_is_said_and_nothing_is_written(tmp_path):
    target = tmp_path / "page.html"

    done = run("--output", str(target), INFLUXDB_URL="http://127.0.0.1:9")

    assert isinstance(done.exception, StoreUnavailable)
    assert not target.exists()
