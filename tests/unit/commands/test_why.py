"""`reasond why` with InfluxDB away; tests/services/operator/test_commands.py has it read a real one."""

from click.testing import CliRunner

from reasond.cli import reasond
from reasond.errors import StoreUnavailable


def test_store_that_is_away_is_said():
    done = CliRunner().invoke(reasond, ["why", "publisher-1"], env={"INFLUXDB_URL": "http://127.0.0.1:9"})

    assert isinstance(done.exception, StoreUnavailable)
