"""The boards over an acceptance run: a real Grafana on its InfluxDB, asked for everything, and drawn."""

import contextlib
from pathlib import Path
from typing import Callable, Iterator, List, Optional

from tests.acceptance.system import BUCKET, ORG, System
from tests.pictures.drawing import Told, ask, draw
from tests.testbed import provide
from tests.testbed.grafana import Grafana, Store

RANGE_MS = 15 * 60 * 1000


@contextlib.contextmanager
def shown(system: System, folder: Optional[Path]) -> Iterator[Callable[[], None]]:
    """Start a Grafana over the system's InfluxDB; give what draws the boards into `folder`, or nothing without one.

    Grafana takes a while to start: started while the agents run, it shows them as they are when they end.
    """
    if folder is None:
        yield lambda: None
        return
    scratch = system.folder / "grafana"
    scratch.mkdir()
    token = (system.folder / "tokens" / "grafana.token").read_text().strip()
    grafana = Grafana(provide.needed("grafana"), scratch, Store(system.influxd.url, ORG, BUCKET, token))
    try:
        grafana.start()
        yield lambda: _show(grafana, folder, scratch)
    finally:
        grafana.close()


def _show(grafana: Grafana, folder: Path, scratch: Path) -> None:
    told = ask(grafana, RANGE_MS)
    print("\n".join(summary(told)))
    for picture in draw(told, folder, scratch):
        print(picture)


def summary(told: List[Told]) -> List[str]:
    """Say how much was answered, what failed and what is empty."""
    failed = [one for one in told if one.error]
    lines = [f"boards: {len(told) - len(failed)} of {len(told)} panels, variables and annotations without error"]
    lines += [f"failed: {one.error}" for one in failed]
    empty = [one for one in told if not one.error and not any(frame.rows for frame in one.frames)]
    lines += [f"empty: {one.asked.where}" for one in empty]
    return lines
