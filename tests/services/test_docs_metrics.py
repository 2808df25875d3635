"""Every Flux snippet of docs/metrics.md answers on a real InfluxDB, with rows, over what a short run wrote."""

import re
import time
from pathlib import Path
from typing import Iterator

import pytest

from reasond.points import Row, to_line
from tests.support.recorded import lived
from tests.testbed.influxd import Influxd

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
SNIPPET = re.compile(r"^#+ (?P<heading>[^\n]+)\n(?:(?!^#).)*?```flux\n(?P<flux>.*?)```", re.DOTALL | re.MULTILINE)
SNIPPETS = [(found.group("heading"), found.group("flux")) for found in SNIPPET.finditer(PAGE.read_text("utf-8"))]
BUCKET = "agent_metrics"
MINUTES = 6
# A short run that comes to everything: many anomalies, many questions, and handlers slow enough to fill queues.
ENVIRONMENT = {
    "REASOND_BRAIN": "dry-run",
    "PUBLISHER_ANOMALY_RATE": "0.3",
    "PUBLISHER_FICTIONAL_INTERVAL_S": "1",
    "PUBLISHER_NONFICTIONAL_INTERVAL_S": "1",
    "CONSUMER_SAMPLE_EVERY": "2",
    "CONSUMER_MIN_CALL_GAP_S": "1",
    "CONSUMER_HANDLER_DURATION_MS": "700",
    "CONSUMER_HANDLER_THREADS": "1",
}


def _lines_up_to_now() -> str:
    world = lived(ENVIRONMENT, MINUTES, seed=5)
    world.stop()
    shift_ns = time.time_ns() - world.clock.now().wall_ns
    moved = (Row(row.measurement, row.tags, row.fields, row.time_ns + shift_ns) for row in world.written)
    return "\n".join(to_line(row) for row in moved)


@pytest.fixture(scope="module")
def filled(influxd: Influxd) -> Iterator[str]:
    """A bucket that holds the last minutes of seven agents."""
    bucket = influxd.fresh_bucket()
    influxd.write(bucket, _lines_up_to_now())
    yield bucket
    influxd.delete_bucket(bucket)


def test_the_page_has_a_snippet_under_each_heading_of_a_metric():
    text = PAGE.read_text("utf-8")

    assert len(SNIPPETS) == text.count("```flux")
    assert len(SNIPPETS) == len(re.findall(r"^### ", text, re.MULTILINE))


@pytest.mark.parametrize("flux", [flux for _, flux in SNIPPETS], ids=[heading for heading, _ in SNIPPETS])
def test_snippet_answers_with_rows(influxd: Influxd, filled: str, flux: str):
    assert '"{}"'.format(BUCKET) in flux

    rows = influxd.query(flux.replace('"{}"'.format(BUCKET), '"{}"'.format(filled)))

    assert rows
    assert not [row["error"] for row in rows if row.get("error")]
    assert any(value for row in rows for name, value in row.items() if name not in ("", "result", "table"))
