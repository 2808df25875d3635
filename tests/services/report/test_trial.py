"""An experiment's result from a real InfluxDB, held to what plain Python counts from the rows that were written."""

import json
import time
from collections import defaultdict
from typing import Dict, Iterator, List, Sequence

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from reasond.adapters.influxdb import InfluxReader, InfluxWriter
from reasond.adapters.spool import Spool
from reasond.cli import reasond
from reasond.core.experiment import effect, means
from reasond.points import Row
from reasond.report import live
from reasond.report.span import Span
from reasond.settings import InfluxSettings, load
from reasond.simulation import scenario as scenarios
from reasond.simulation.run import Job, Run
from reasond.switchback import block_at, parse
from reasond.topology import MAIN_QUEUES

PLAN = "rules,static:10m"
PAIRS = 7
SECOND_NS = 10**9
HOUR_NS = 3600 * SECOND_NS
KEPT = ("queue_metrics", "agent_reasoning", "experiment")
# After the last block, until the monitor has looked at it.
SETTLED_S = 240


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> List[Row]:
    """The rows of a simulated experiment whose last block ended within the hour."""
    length_s = PAIRS * 2 * parse(PLAN).block_s + SETTLED_S
    start_ns = time.time_ns() // HOUR_NS * HOUR_NS - 3 * HOUR_NS
    busy = replace(
        scenarios.find("slow-consumer"), minutes=600.0, phase=(scenarios.Phase(0, 600, handler_slowdown=4.0),)
    )
    job = Job(busy, "rules", 3, length_s, {"REASOND_SWITCHBACK": PLAN}, start_wall_ns=start_ns)
    run = Run(job, tmp_path_factory.mktemp("trial"))
    rows: List[Row] = []
    take = run.world.write

    def note(given: Sequence[Row]) -> None:
        rows.extend(row for row in given if row.measurement in KEPT)
        take(given)

    run.world.write = note  # type: ignore[method-assign]
    run.advance(length_s)
    return rows


@pytest.fixture(scope="module")
def environ(influxd, written, tmp_path_factory) -> Iterator[Dict[str, str]]:
    settings = InfluxSettings(url=influxd.url, token=influxd.token, org=influxd.org, bucket=influxd.fresh_bucket())
    said: List[str] = []
    writer = InfluxWriter(settings, Spool(tmp_path_factory.mktemp("spool"), 10**8), said.append)
    writer.write(written)
    assert writer.close(60), said
    yield {
        "INFLUXDB_URL": settings.url,
        "INFLUXDB_TOKEN": settings.token,
        "INFLUXDB_ORG": settings.org,
        "INFLUXDB_BUCKET": settings.bucket,
    }
    influxd.delete_bucket(settings.bucket)


def counted(written: List[Row]):
    """Give the effect on depth: the mean of each minute and queue, summed, compared by blocks."""
    minutes: Dict[int, Dict[str, List[float]]] = defaultdict(lambda: defaultdict(list))
    for row in written:
        if row.measurement == "queue_metrics" and row.tags["queue"] in MAIN_QUEUES and "depth" in row.fields:
            minutes[row.time_ns - row.time_ns % (60 * SECOND_NS)][row.tags["queue"]].append(row.fields["depth"])
    samples = [
        (at, sum(sum(found) / len(found) for found in queues.values())) for at, queues in sorted(minutes.items())
    ]
    return effect("depth", means(parse(PLAN), samples, 60))


def result(environ: Dict[str, str], plan: str = PLAN) -> Dict:
    done = CliRunner().invoke(reasond, ["experiment", "result", plan, "--since", "4h", "--json"], env=environ)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_effect_is_the_one_that_was_written(environ, written):
    found, expected = result(environ)["effects"][0], counted(written)

    assert expected.pairs == PAIRS and expected.verdict == "less"
    assert found["pairs"] == PAIRS and found["verdict"] == "less"
    for name in ("treated", "control", "difference", "low", "high", "p"):
        assert found[name] == pytest.approx(getattr(expected, name), rel=1e-6, abs=1e-6)


def test_the_monitor_came_to_the_same(environ, written):
    found = result(environ)["effects"]
    told = {row.tags["measure"]: row.fields for row in written if row.measurement == "experiment"}

    assert set(told) == {one["measure"] for one in found}
    for one in found:
        fields = told[one["measure"]]
        assert fields["pairs"] == one["pairs"] and fields["verdict"] == one["verdict"]
        pairs = (("difference", "difference"), ("low", "interval_low"), ("high", "interval_high"), ("p", "p"))
        for name, field in pairs:
            assert fields[field] == pytest.approx(one[name], rel=1e-6, abs=1e-6)


def test_the_report_of_the_range_tells_it(environ, written):
    now_ns = time.time_ns()
    settings = load(environ).influx
    page = live.page(InfluxReader(settings), Span(now_ns - 4 * HOUR_NS, now_ns), "test")
    told = {row.tags["measure"]: row.fields for row in written if row.measurement == "experiment"}

    (chapter,) = page.chapters
    assert chapter.words[0].startswith(f"Experiment {PLAN}: with rules fewer messages wait than with static: ")
    assert f"{told['depth']['difference']:.3g}" in chapter.words[0]
    assert [row[-1] for row in chapter.tables[0].rows] == [told[m]["verdict"] for m in ("depth", "expired", "usd")]


def test_who_decided_in_the_treatments_blocks_is_counted(environ, written):
    plan = parse(PLAN)
    decided = [
        row
        for row in written
        if row.tags.get("brain") == "rules" and "block" in row.fields and block_at(plan, row.time_ns).treated
    ]

    assert result(environ)["decided"] == {"rules": len(decided)}


def test_blocks_of_another_plan_do_not_count(environ):
    found = result(environ, "rules,static:10m:5")

    assert found["unexposed"] > 0
    assert found["exposed"] < 2 * PAIRS


def test_people_are_told_in_words(environ):
    told = CliRunner().invoke(reasond, ["experiment", "result", PLAN, "--since", "4h"], env=environ).output

    assert "7 pairs of blocks count" in told and "lower bound" in told and "waiting" in told


def test_a_short_range_is_too_little_data(environ):
    told = CliRunner().invoke(reasond, ["experiment", "result", PLAN, "--since", "1h"], env=environ).output

    assert "Too little data" in told
