"""Every query of the boards asked of a real Grafana, and the boards drawn from its answers; used by two commands.

`python -m tests.pictures` draws a simulated day for the docs, `python -m tests.acceptance --pictures` its own run.
"""

import os
import subprocess
import time
from pathlib import Path
from typing import Iterator, List, NamedTuple, Sequence

from tests.pictures.charts import Span
from tests.pictures.page import Answers, height, page
from tests.pictures.png import with_palette
from tests.testbed import provide
from tests.testbed.boards import BOARD_PIXELS, Asked, Frame, QueryFailed, all_asked, boards, duration_ms
from tests.testbed.grafana import Grafana

NEEDED = ("chromium", "influxd", "grafana")
DRAW_SECONDS = 120
# Charts are drawn within this time of the page's own clock, which goes faster than others.
PAGE_MS = 10_000


class Told(NamedTuple):
    """What asked, over which range, and what Grafana said: frames, or why there are none."""

    asked: Asked
    span: Span
    frames: List[Frame]
    error: str


def missing() -> List[str]:
    """Say what this machine can't provide of what the pictures need, and why."""
    return [answer.reason for answer in map(provide.provided, NEEDED) if not answer.path]


def ask(grafana: Grafana, range_ms: int = 0) -> List[Told]:
    """Ask a Grafana for everything, over so many ms that end now, or over the range that each board opens with."""
    stop_ms = int(time.time() * 1000)
    own_ms = {name: _opens_with_ms(name) for name in boards()}
    return [_told(grafana, one, Span(stop_ms - (range_ms or own_ms[one.board]), stop_ms)) for one in all_asked()]


def draw(told: Sequence[Told], folder: Path, scratch: Path) -> Iterator[Path]:
    """Draw each board into a PNG of that folder and yield its path; what got no answer is drawn without data."""
    # Not in the environment of Python 3.8, which imports this without drawing.
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

    folder.mkdir(parents=True, exist_ok=True)
    for name, board in boards().items():
        file, picture = scratch / f"{name}.html", folder.resolve() / f"{name}.png"
        file.write_text(page(board, _answers(told, name), get_plotlyjs()), "utf-8")
        _picture(provide.needed("chromium"), file, picture, height(board))
        yield picture


def _opens_with_ms(name: str) -> int:
    shown = boards()[name]["time"]
    if shown["to"] != "now":
        raise ValueError(f"{name}: the pictures know only ranges that end now")
    return duration_ms(shown["from"][len("now-") :])


def _told(grafana: Grafana, one: Asked, span: Span) -> Told:
    try:
        return Told(one, span, one.ask(grafana, *span), "")
    except QueryFailed as err:
        return Told(one, span, [], str(err))


def _answers(told: Sequence[Told], name: str) -> Answers:
    ours = [one for one in told if one.asked.board == name]
    panels, annotations = (
        {one.asked.title: one.frames for one in ours if one.asked.kind == kind} for kind in ("panel", "annotation")
    )
    return Answers(ours[0].span, panels, annotations, ours[0].asked.variables)


def _picture(browser: str, file: Path, picture: Path, height_px: int) -> None:
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
