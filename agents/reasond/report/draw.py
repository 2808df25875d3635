"""A report as one page of HTML that needs nothing from anywhere: Plotly's code is in it. Alone here Plotly is used.

Whatever comes from a message, a model or a store is text: escaped where it stands in HTML or in a chart's label, and
within data so that no end of a script is in it. The page's own policy lets no other script run, and loads nothing.
"""

import base64
import hashlib
import html
import json
import pkgutil
from typing import Any, List, Sequence

from reasond.errors import InputError
from reasond.report.chart import figure, legend
from reasond.report.data import Chapter, Decision, Page, Section, Table
from reasond.report.span import told
from reasond.report.texts import after_text, cost_text, outcome_text, time_text

NO_PLOTLY = "a report is drawn by Plotly, which isn't here: pip install 'reasond[simulate]'"
WORD_CLASSES = {
    "better": "good",
    "helped": "good",
    "worse": "bad",
    "did not help": "bad",
    "no measurable difference": "dull",
}
SAME_AXES = " The axes are the same for all runs of a scenario."
LONG_CHARS = 40
"""A text of more than this may be broken anywhere, so that no table grows wider than the page."""


def require_plotly() -> None:
    """Raise InputError where Plotly is missing: better told before a long run than after it."""
    _plotly()


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]
    except ImportError as err:
        raise InputError(NO_PLOTLY) from err
    code: str = get_plotlyjs()
    return code


def page_html(page: Page, made_ns: int) -> str:
    """Give the page, made at this time (UTC). Raises InputError where Plotly is missing."""
    scripts = [_plotly(), _asset("page.js")]
    figures = [figure(section) for chapter in page.chapters for section in chapter.sections]
    numbers = iter(range(len(figures)))
    body = [_head(page, made_ns)]
    for chapter in page.chapters:
        body += _chapter(chapter, [(next(numbers), section) for section in chapter.sections])
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return _asset("page.html").format(
        title=html.escape(page.title),
        policy=f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:",
        style=_asset("page.css"),
        body="\n".join(body),
        figures=in_script(figures),
        plotly=scripts[0],
        script=scripts[1],
    )


def in_script(value: Any) -> str:
    """Give a value as JSON that can stand within a script element: nothing in it ends or opens one."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _asset(name: str) -> str:
    data = pkgutil.get_data("reasond.report", name)
    if data is None:
        raise FileNotFoundError(f"reasond.report has no {name}")
    return data.decode()


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _head(page: Page, made_ns: int) -> str:
    facts = [*page.facts, ("made", f"{told(made_ns)} UTC")]
    rows = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in facts)
    return f"<header><h1>{html.escape(page.title)}</h1><dl>{rows}</dl></header>"


def _chapter(chapter: Chapter, sections: Sequence[Any]) -> List[str]:
    parts = [f"<h2>{html.escape(chapter.title)}</h2>"]
    if chapter.about:
        parts.append(f"<p class='about'>{html.escape(chapter.about)}</p>")
    parts += [f"<p class='verdict'>{html.escape(words)}</p>" for words in chapter.words]
    parts += [_tables(chapter.tables)]
    for number, section in sections:
        parts += _section(section, number)
    return parts


def _section(section: Section, number: int) -> List[str]:
    marked = f"Marked: the {len(section.marks)} most telling of {section.changed} decisions that changed something."
    if len(section.marks) == section.changed:
        marked = f"Marked: all {section.changed} decisions that changed something; continuing as before is left out."
    return [
        f"<section><h3>{html.escape(section.title)}</h3>",
        f"<figure><div class='chart' data-figure='{number}'></div>",
        f"{legend(section)}<figcaption>{marked}{SAME_AXES if section.from_zero else ''}</figcaption></figure>",
        _tables(section.tables),
        _decisions(section),
        "</section>",
    ]


def _tables(tables: Sequence[Table]) -> str:
    return f"<div class='tables'>{''.join(_table(table) for table in tables if table.rows)}</div>"


def _table(table: Table) -> str:
    heads = "".join(f"<th{_kind(table, place)}>{html.escape(head)}</th>" for place, head in enumerate(table.heads))
    rows = "".join(
        f"<tr>{''.join(_cell(table, place, text) for place, text in enumerate(row))}</tr>" for row in table.rows
    )
    note = f"<p class='note'>{html.escape(table.note)}</p>" if table.note else ""
    wide = " wide" if table.wide else ""
    return (
        f"<div class='table{wide}'><h4>{html.escape(table.title)}</h4>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{note}</div>"
    )


def _kind(table: Table, place: int) -> str:
    return "" if place in table.words else " class='number'"


def _cell(table: Table, place: int, text: str) -> str:
    word = WORD_CLASSES.get(text) or ("long" if len(text) > LONG_CHARS else "")
    kind = f" class='{word}'" if word else _kind(table, place)
    return f"<td{kind}>{html.escape(text)}</td>"


def _decisions(section: Section) -> str:
    if not section.decisions:
        return ""
    count = len(section.decisions)
    which = f"the {count} most telling of {section.decided}" if count < section.decided else f"all {count}"
    rows = "".join(_decision(section, one) for one in section.decisions)
    heads = "".join(f"<th>{head}</th>" for head in ("time", "agent", "brain", "action", "reasoning", "outcome", "cost"))
    return (
        f"<div class='decisions'><h4>Decisions: {which}</h4>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _decision(section: Section, one: Decision) -> str:
    cells = (
        time_text(section, one.time_ns),
        one.agent_id,
        one.brain,
        after_text(one),
        one.reasoning,
        outcome_text(one),
        cost_text(one),
    )
    return f"<tr>{''.join(f'<td>{html.escape(text)}</td>' for text in cells)}</tr>"
