"""The site's making: links that lead out of the pages, what a browser would fetch, and fragments of the change log."""

import importlib.machinery
import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"

pytestmark = pytest.mark.unit


def script(name, monkeypatch):
    """Import a script of scripts/, which has no ending."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    # Byte code beside the scripts would be the tests' litter.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = importlib.machinery.SourceFileLoader("script_" + name.replace("-", "_"), str(SCRIPTS / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("[x](docs/operate.md#budget)", "[x](docs/operate.md#budget)"),
        ("[x](docs/decisions/)", "[x](docs/decisions/README.md)"),
        ("[x](LICENSE)", "x"),
        ("[x](no-such-file.md)", "[x](no-such-file.md)"),
        ("[x](https://example.org/a)", "[x](https://example.org/a)"),
        ("[x](#rules)", "[x](#rules)"),
    ],
)
def test_link_of_a_page_leads_to_a_page_or_is_named(tmp_path, monkeypatch, link, expected):
    made = script("make-docs", monkeypatch)
    there = {str(path): path for path in made.pages()}
    page = tmp_path / "page.md"
    page.write_text("{}\n```text\n{}\n```\n".format(link, link))

    class Root:
        """The repository's root, with one page more."""

        def __truediv__(self, path):
            return page if str(path) == "PAGE.md" else ROOT / path

    monkeypatch.setattr(made, "ROOT", Root())
    assert made.rewritten(Path("PAGE.md"), there) == "{}\n```text\n{}\n```\n".format(expected, link)


@pytest.mark.parametrize(
    ("page", "wrong"),
    [
        ('<script src="https://cdn.example.org/a.js"></script>', True),
        ('<link rel="stylesheet" href="//fonts.example.org/b.css">', True),
        ('<img src="http://example.org/c.png">', True),
        ('<script src="../assets/a.js"></script><link rel="stylesheet" href="b.css">', False),
        ('<a href="https://example.org/">elsewhere</a>', False),
    ],
)
def test_page_that_a_browser_fetches_something_for_from_elsewhere_is_named(tmp_path, monkeypatch, page, wrong):
    (tmp_path / "index.html").write_text(page)

    assert bool(list(script("make-docs", monkeypatch).fetched_from_elsewhere(tmp_path))) is wrong


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a-slug.added.md", "One thing.\n`reasond` another.\n", ""),
        ("a-slug.news.md", "One thing.\n", "the name"),
        ("A slug.added.md", "One thing.\n", "the name"),
        ("a.fixed.md", "", "says nothing"),
        ("a.fixed.md", "- One thing.\n", "line 1"),
        ("a.fixed.md", "One thing that was broken\nover two lines.\n", "line 1"),
    ],
)
def test_fragment_that_would_be_no_entry_is_named(tmp_path, monkeypatch, name, text, complaint):
    fragment = tmp_path / name
    fragment.write_text(text)

    told = list(script("check-fragments", monkeypatch).problems(fragment))

    assert bool(told) == bool(complaint)
    assert complaint in " ".join(told)


def test_spend_at_the_defaults_is_what_the_readme_says(monkeypatch):
    made = script("make-reference", monkeypatch)
    calls = made.calls_an_hour({})
    # 3 x 120 publishers' and 60 of the monitor's; of 0.9 messages a second one in ten.
    assert calls == pytest.approx(360 + 60 + 324)
    assert made.call_usd("claude-sonnet-4-5-20250929") == pytest.approx((600 * 3 + 150 * 15) / 1e6)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = re.search(r"about (\d+) calls an hour: some \$(\d) an hour on Claude Sonnet 4.5, \$([\d.]+) on", readme)
    usd = [calls * made.call_usd(name) for name in ("claude-sonnet-4-5-20250929", "claude-sonnet-5-5")]
    assert told.groups() == ("{:.0f}".format(calls), "{:.0f}".format(usd[0]), "{:.1f}".format(usd[1]))


def test_spend_stops_growing_where_consumers_may_not_ask_more_often(monkeypatch):
    made = script("make-reference", monkeypatch)

    assert made.calls_an_hour({"CONSUMER_SAMPLE_EVERY": "1"}) == made.calls_an_hour({"CONSUMER_SAMPLE_EVERY": "2"})
    assert made.calls_an_hour({"CONSUMER_SAMPLE_EVERY": "100"}) == pytest.approx(420 + 32.4)
