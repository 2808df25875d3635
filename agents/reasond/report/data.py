"""What a report says, as plain data: both sources fill it, and only the drawing knows how it looks.

Texts are as they are; whoever draws them escapes them. Times are UTC nanoseconds.
"""

from typing import Optional, Tuple

from msgspec import Struct

Intervals = Tuple[Optional[int], Optional[int]]
"""Seconds between fictional and between non-fictional messages; None where nothing is known."""


class Decision(Struct, frozen=True, gc=False):
    """One decision. `outcome` is in words, empty while there is none; `before` was found, `after` is in force."""

    time_ns: int
    agent_id: str
    kind: str
    action: str
    brain: str
    model: str = ""
    prompt: str = ""
    queue: str = ""
    reasoning: str = ""
    before: Intervals = (None, None)
    after: Intervals = (None, None)
    acted: bool = True
    outcome: str = ""
    fallback: str = ""
    adjusted: bool = False
    confidence: Optional[float] = None
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    would_usd: float = 0.0


class Line(Struct, frozen=True):
    """A curve: values at rising times, None where there is a gap; a step holds until the next value."""

    name: str
    times_ns: Tuple[int, ...]
    values: Tuple[Optional[float], ...]
    step: bool = False
    faint: bool = False


class Graph(Struct, frozen=True):
    """Curves of one unit; publishers' decisions are marked on the line `marked`. `top` is the axis's end, if set."""

    title: str
    lines: Tuple[Line, ...]
    marked: str = ""
    top: Optional[float] = None


class Band(Struct, frozen=True):
    """A time out of the ordinary, and what is so."""

    start_ns: int
    stop_ns: int
    what: str


class Table(Struct, frozen=True):
    """Rows of text. `wide` takes the whole width; `words` are the columns of text, the others hold numbers."""

    title: str
    heads: Tuple[str, ...]
    rows: Tuple[Tuple[str, ...], ...]
    note: str = ""
    wide: bool = False
    words: Tuple[int, ...] = (0,)


class Section(Struct, frozen=True):
    """One course of events: curves on one time axis, with what was decided; `decided` counts all decisions.

    With `from_zero` the axis shows the time since the start.
    """

    title: str
    start_ns: int
    stop_ns: int
    graphs: Tuple[Graph, ...]
    marks: Tuple[Decision, ...]
    decisions: Tuple[Decision, ...]
    decided: int
    changed: int
    bands: Tuple[Band, ...] = ()
    tables: Tuple[Table, ...] = ()
    from_zero: bool = False


class Chapter(Struct, frozen=True):
    """A scenario, or the range asked for: what can be told about it first, then its sections."""

    title: str
    about: str
    words: Tuple[str, ...]
    tables: Tuple[Table, ...]
    sections: Tuple[Section, ...]


class Page(Struct, frozen=True):
    """A whole report; `facts` say what, when and who."""

    title: str
    facts: Tuple[Tuple[str, str], ...]
    chapters: Tuple[Chapter, ...]
