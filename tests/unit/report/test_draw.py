"""The page as text; tests/services/report/test_draw.py opens it in a browser."""

import builtins
import json
import re

import pytest

from reasond.errors import InputError
from reasond.report.data import Chapter, Decision, Graph, Line, Page, Section, Table
from reasond.report.draw import in_script, page_html, require_plotly

HOSTILE = "</script><script>alert(1)</script><!--'\"&\u2028"
SECOND = 10**9


def page(text="plain"):
    one = Decision(1 * SECOND, text, "publisher", text, text, reasoning=text)
    section = Section(
        text, 0, 9 * SECOND, (Graph(text, (Line(text, (0,), (1.0,)),), text),), (one,), (one,), 1, 1, from_zero=True
    )
    table = Table(text, (text, text), ((text, "better"),), text)
    return Page(text, ((text, text),), (Chapter(text, text, (text,), (table,), (section,)),))


def test_what_stands_in_a_script_ends_none_and_is_read_back():
    text = in_script({"a": HOSTILE})

    assert "<" not in text and "\u2028" not in text
    assert json.loads(text) == {"a": HOSTILE}


def test_hostile_texts_add_no_element():
    plain, hostile = page_html(page(), 0), page_html(page(HOSTILE), 0)

    for element in ("<script", "</script", "<!--", "<td", "<div"):
        assert plain.count(element) == hostile.count(element), element


def test_the_page_loads_nothing():
    text = page_html(page(), 0)
    # Plotly's own code names addresses that it fetches for maps alone.
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)

    assert not re.search(r"https?://|//cdn|@import|url\(", own)
    assert not re.search(r"<(script|img|iframe)[^>]* src=", own)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', own).group(1)
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe-eval" not in policy


def test_the_page_tells_when_it_was_made_and_what_is_better():
    text = page_html(page(), 1_800_000_000 * SECOND)

    assert "2027-01-15 08:00:00 UTC" in text
    assert "<td class='good'>better</td>" in text
    assert "Marked: all 1 decisions" in text and "Decisions: all 1" in text


def test_without_plotly_it_is_said_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("plotly"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(InputError, match=r"pip install 'reasond\[simulate\]'"):
        require_plotly()
