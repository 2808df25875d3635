"""`reasond budget` with InfluxDB away; tests/services/operator/test_commands.py has it read a real one."""

import json
import time

from click.testing import CliRunner

from reasond.adapters.state import StateDir
from reasond.cli import reasond
from reasond.core.budget import DAY_NS, HOUR_NS
from reasond.errors import StoreUnavailable


def test_own_files_are_shown_and_the_store_is_said_to_be_away(tmp_path):
    StateDir(tmp_path / "publisher-1")
    now_ns = time.time_ns()
    spent = {"hour": now_ns // HOUR_NS, "day": now_ns // DAY_NS, "hour_nano_usd": 10**9, "day_nano_usd": 2 * 10**9}
    (tmp_path / "publisher-1" / "budget.json").write_text(json.dumps(spent))
    environ = {"REASOND_STATE_DIR": str(tmp_path), "INFLUXDB_URL": "http://127.0.0.1:9"}

    shown = CliRunner().invoke(reasond, ["budget"], env=environ)
    as_json = CliRunner().invoke(reasond, ["budget", "--json"], env=environ)

    assert isinstance(shown.exception, StoreUnavailable) and "only this host" in shown.output
    found = json.loads(as_json.output)
    assert found["day"]["spent_usd"] == 2.0 and not found["whole"]
    assert [one["agent"] for one in found["agents"]] == ["publisher-1"]
