"""`python -m tests.pictures`: the boards over a day of history as pictures, one PNG each.

Fills a real InfluxDB, asks a real Grafana for every panel over the last hour, lays the frames out as the board does,
and has Chromium draw the pages. Prints the paths; exit 1 when something that it needs is missing here.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Optional

from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

from tests.pictures.charts import Span
from tests.pictures.page import Answers, height, page
from tests.pictures.png import with_palette
from tests.testbed import provide
from tests.testbed.boards import BOARD_PIXELS, all_asked, boards, duration_ms
from tests.testbed.grafana import Grafana
from tests.testbed.history import HOUR_NS, HistoryStore, history
from tests.testbed.influxd import Influxd

FOLDER = provide.ROOT / "docs" / "pictures"
DRAW_SECONDS = 120
# Charts are drawn within this time of the page's own clock, which goes faster than others.
PAGE_MS = 10_000


def answered(scratch: Path) -> Dict[str, Answers]:
    """Ask for everything on every board over the range it opens with; give the answers by board."""
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


def ask(grafana: Grafana) -> Dict[str, Answers]:
    """Ask a Grafana for everything; raises QueryFailed."""
    stop_ms = int(time.time() * 1000)
    made: Dict[str, Answers] = {}
    for name, board in boards().items():
        if board["time"]["to"] != "now":
            raise ValueError(f"{name}: the pictures know only ranges that end now")
        span = Span(stop_ms - duration_ms(board["time"]["from"][len("now-") :]), stop_ms)
        asked = [one for one in all_asked() if one.board == name]
        made[name] = Answers(span, {}, {}, asked[0].variables)
        kinds = {"panel": made[name].panels, "annotation": made[name].annotations}
        for one in asked:
            if one.kind in kinds:
                kinds[one.kind][one.title] = one.ask(grafana, *span)
    return made


def draw(browser: str, file: Path, picture: Path, height_px: int) -> None:
    """Have the browser draw a page of that height into a PNG; raises CalledProcessError."""
    command = [browser, "--headless", "--disable-gpu", "--hide-scrollbars", "--disable-lcd-text"]
    # Root may have no sandbox, and the page is our own.
    command += ["--no-sandbox"] if os.geteuid() == 0 else []
    command += [
        f"--user-data-dir={file.parent / 'browser'}",
        f"--window-size={BOARD_PIXELS},{height_px}",
        "--force-device-scale-factor=1",
        f"--virtual-time-budget={PAGE_MS}",
        f"--screenshot={picture}",
        file.as_uri(),
    ]
    subprocess.run(command, check=True, timeout=DRAW_SECONDS, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    picture.write_bytes(with_palette(picture.read_bytes()))


def main(argv: Optional[List[str]] = None) -> int:
    """Make the pictures; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the PNGs go (docs/pictures)")
    options = parser.parse_args(argv)
    folder = options.folder.resolve()
    missing = [answer.reason for answer in map(provide.provided, ("chromium", "influxd", "grafana")) if not answer.path]
    if missing:
        print("\n".join(missing), file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="reasond-pictures-") as scratch:
        everything = answered(Path(scratch))
        for name, board in boards().items():
            file, picture = Path(scratch) / f"{name}.html", folder / f"{name}.png"
            file.write_text(page(board, everything[name], get_plotlyjs()), "utf-8")
            draw(provide.needed("chromium"), file, picture, height(board))
            print(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
