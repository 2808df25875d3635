"""`python -m tests.pictures`: the boards over a day of history as pictures, one PNG each.

Fills a real InfluxDB, asks a real Grafana for every panel over the last hour, lays the frames out as the board does,
and has Chromium draw the pages. Prints the paths; exit 1 when something that it needs is missing here, or a query
fails.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import List, Optional

from tests.pictures.drawing import Told, ask, draw, missing
from tests.testbed import provide
from tests.testbed.grafana import Grafana
from tests.testbed.history import HOUR_NS, HistoryStore, history
from tests.testbed.influxd import Influxd

FOLDER = provide.ROOT / "docs" / "pictures"


def answered(scratch: Path) -> List[Told]:
    """Ask for everything on every board over the range it opens with."""
    history()
    server = Influxd(provide.needed("influxd"), scratch / "influxd", onboard=False)
    grafana: Optional[Grafana] = None
    try:
        server.start()
        store = HistoryStore(server, scratch / "tokens")
        # The hour that lies ahead is not the eventful one.
        store.fill(time.time_ns() + HOUR_NS)
        store.make_series()
        (scratch / "grafana").mkdir()
        grafana = Grafana(provide.needed("grafana"), scratch / "grafana", store.for_grafana)
        grafana.start()
        return ask(grafana)
    finally:
        if grafana is not None:
            grafana.close()
        server.close()


def main(argv: Optional[List[str]] = None) -> int:
    """Make the pictures; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the PNGs go (docs/pictures)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="reasond-pictures-") as scratch:
        told = [] if missing() else answered(Path(scratch))
        problems = missing() or [one.error for one in told if one.error]
        if problems:
            print("\n".join(problems), file=sys.stderr)
            return 1
        for picture in draw(told, options.folder, Path(scratch)):
            print(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
