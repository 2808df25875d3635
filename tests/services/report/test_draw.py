"""The page in a real browser without a network: it opens, says nothing to the console, and has its curves drawn."""

import os
import re
import subprocess
from pathlib import Path
from typing import List, Tuple

import pytest
from msgspec.structs import replace

from reasond.report.data import Band, Chapter, Decision, Graph, Line, Page, Section
from reasond.report.draw import page_html
from reasond.report.simulated import Simulated, page
from reasond.simulation import scenario as scenarios
from reasond.simulation.compare import compare
from reasond.simulation.run import Job, simulate

BROWSER_S = 90
# Charts are drawn within this time of the page's own clock, which goes faster than others.
PAGE_MS = 20_000
HOSTILE = '</script><script>document.title = "taken"</script><img src=x onerror="document.title=1">%{x}<b>bold</b>'
SECOND_NS = 10**9


def browse(chromium: str, file: Path, *options: str) -> Tuple[str, List[str]]:
    """Open a page with no network; give what the option asks for, and what the console was told."""
    command = [chromium, "--headless", "--disable-gpu", "--no-first-run", "--enable-logging=stderr"]
    # Root may have no sandbox, and the page is our own.
    command += ["--no-sandbox"] if os.geteuid() == 0 else []
    # Whatever the page would fetch meets a closed port, and would be told to the console.
    command += ["--proxy-server=127.0.0.1:9", "--proxy-bypass-list=<-loopback>"]
    command += [f"--user-data-dir={file.parent / 'browser'}", f"--virtual-time-budget={PAGE_MS}", *options]
    done = subprocess.run([*command, file.as_uri()], capture_output=True, timeout=BROWSER_S, check=True)
    said = [line for line in done.stderr.decode(errors="replace").splitlines() if ":CONSOLE" in line]
    return done.stdout.decode(errors="replace"), said


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two brains in ten minutes of rush hour."""
    scenario = scenarios.find("rush-hour")
    jobs = [Job(scenario, policy, seed, 1500.0, curves=seed == 1) for policy in ("rules", "static") for seed in (1, 2)]
    results = [simulate(job) for job in jobs]
    found = Simulated(scenario, compare(results, ["rules", "static"]), tuple(r for r in results if r.curves))
    file = tmp_path_factory.mktemp("page") / "page.html"
    file.write_text(page_html(page([found], "a version"), 0), encoding="utf-8")
    return file


def test_a_simulations_page_opens_offline_with_its_curves_and_marks(chromium: str, simulated: Path) -> None:
    dom, said = browse(chromium, simulated, "--dump-dom")

    assert said == []
    assert len(re.findall(r'<div class="chart[^"]*" data-figure="\d"', dom)) == 2
    curves = re.findall(r'<path class="js-line" d="([^"]*)"', dom)
    # Four depths, three dead-letter queues, three rates, of two brains.
    assert len(curves) == 20 and sum(len(curve) > 500 for curve in curves) >= 8
    assert all(abs(float(x)) <= 1000 for curve in curves for x in re.findall(r"M(-?[\d.]+),", curve))
    assert dom.count('class="point"') > 50
    assert "rush hour" in dom and "load rising" in dom


def test_a_page_prints_landscape(chromium: str, simulated: Path, tmp_path: Path) -> None:
    target = tmp_path / "page.pdf"

    browse(chromium, simulated, f"--print-to-pdf={target}", "--no-pdf-header-footer")

    data = target.read_bytes()
    width, height = (float(part) for part in re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", data)[0])
    assert width > height and len(data) > 50_000


def hostile_page() -> Page:
    """Give a page whose every text of outside wants to be more than text."""
    one = Decision(
        time_ns=5 * SECOND_NS,
        agent_id=HOSTILE,
        kind="publisher",
        action=HOSTILE,
        brain=HOSTILE,
        model=HOSTILE,
        queue=HOSTILE,
        reasoning=HOSTILE,
        outcome=HOSTILE,
        fallback=HOSTILE,
    )
    line = Line(HOSTILE, (0, 10 * SECOND_NS), (1.0, 2.0))
    section = Section(
        title=HOSTILE,
        start_ns=0,
        stop_ns=10 * SECOND_NS,
        graphs=(Graph(HOSTILE, (line,), HOSTILE),),
        marks=(one, replace(one, time_ns=6 * SECOND_NS)),
        decisions=(one,),
        decided=2,
        changed=2,
        bands=(Band(0, 5 * SECOND_NS, HOSTILE),),
        from_zero=True,
    )
    return Page(HOSTILE, ((HOSTILE, HOSTILE),), (Chapter(HOSTILE, HOSTILE, (HOSTILE,), (), (section,)),))


def test_hostile_texts_stay_texts_in_the_page_and_under_the_pointer(chromium: str, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    text = page_html(hostile_page(), 0)
    # Our own script, allowed like the others, puts the pointer on the first mark.
    point = "Plotly.Fx.hover(document.querySelector('.chart'), [{curveNumber: 1, pointNumber: 0}]);"
    opened = text.replace("script-src ", "script-src 'unsafe-inline' ", 1)
    opened = re.sub(r"'sha256-[^']*'", "", opened, count=2).replace("</body>", f"<script>{point}</script></body>")
    for name, content in (("as it is", text), ("hovered", opened)):
        file.write_text(content, encoding="utf-8")
        dom, said = browse(chromium, file, "--dump-dom")

        assert said == [], name
        assert "<title>taken" not in dom and "<title>1<" not in dom
        assert "<img" not in dom and "<b>bold" not in dom
        # Ours are two: Plotly's code and the page's own; a third is the pointer's.
        assert len(re.findall(r"<script>", dom)) == (2 if name == "as it is" else 3)
    hover = re.search(r'<g class="hoverlayer">(.*?)</g></g>', dom, re.DOTALL)
    assert hover and "&lt;/script&gt;" in hover.group(1) and "%{x}" in hover.group(1)
