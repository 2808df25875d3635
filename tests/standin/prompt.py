"""Reads the figures out of a prompt's text: all that a policy may know.

Nothing else of the request, and nothing of the system under test, reaches a policy: an answer that could be
computed only from something the prompt leaves out is an answer the real model could not give.
"""

import json
import re
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

#: A figure as people write it: 12, 1,234, 3.5, -4.
NUMBER = r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d+(?:\.\d+)?"

_NUMBER = re.compile(NUMBER)
_TASK = re.compile(r"^[ \t]*Your task:", re.MULTILINE | re.IGNORECASE)
_FORMAT = re.compile(r"^[ \t]*Respond ONLY with valid JSON", re.MULTILINE | re.IGNORECASE)
_CONTEXT = re.compile(r"^[ \t]*Context:", re.MULTILINE | re.IGNORECASE)
_PUBLISHER = re.compile(r"queue depths? (?:are|is)(?P<depths>.*?)current rates?(?P<rates>.*)", re.I | re.S)
_CONSUMER = re.compile(r"I received (?:a |this )?message:(?P<message>.*)based on genre_?type(?P<facts>.*)", re.I | re.S)
_MONITOR = re.compile(r"system metrics:(?P<metrics>.*?)(?:Detect any issues|\Z)", re.I | re.S)
_SEPARATOR = r"[\"'`*]*\s*(?:=|:|\bis\b|\bat\b)\s*[\"'`*]*"
_FICTIONAL = re.compile(r"(?<!non-)(?<!non_)(?<!non )(?<!non)\bfictional" + _SEPARATOR + r"([^\s,;?]+)", re.I)
_NON_FICTIONAL = re.compile(r"\bnon[-_ ]?fictional" + _SEPARATOR + r"([^\s,;?]+)", re.I)
_GENRE = re.compile(r"^" + _SEPARATOR + r"([\w-]+)")
_PRIORITY = re.compile(r"priority" + _SEPARATOR + r"([\w-]+)", re.I)
_DEPTH = re.compile(r"queue_?\s?depth" + _SEPARATOR + r"([^\s,;?]+)", re.I)
_PAIR = re.compile(r"([A-Za-z][\w./-]*)[\"'`*]*\s*[=:]\s*[\"'`*]*(" + NUMBER + r")(\s*%)?")


class PublisherFigures(NamedTuple):
    """What a publisher's prompt states; None where it states no number."""

    fictional_depth: Optional[float]
    nonfictional_depth: Optional[float]
    fictional_interval: Optional[float]
    nonfictional_interval: Optional[float]


class ConsumerFigures(NamedTuple):
    """What a consumer's prompt states."""

    message: str
    genre: Optional[str]
    priority: Optional[str]
    depth: Optional[float]


class MonitorFigures(NamedTuple):
    """Every number a monitor's prompt states, by its dotted name in lower case."""

    numbers: Mapping[str, float]


def text_of(body: Mapping[str, Any]) -> str:
    """Return the text a model would read: the system prompt, then each message's text."""
    parts = [_flat(body.get("system"))]
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else []:
        parts.append(_flat(message.get("content") if isinstance(message, dict) else None))
    return "\n\n".join(part for part in parts if part)


def task_of(prompt: str) -> str:
    """Return the task's part of the frame, or the whole prompt where there is no frame.

    The last line that begins with the frame's words counts: text quoted in JSON cannot begin a line.
    """
    starts = list(_TASK.finditer(prompt))
    task = prompt[starts[-1].end() :] if starts else prompt
    ends = list(_FORMAT.finditer(task))
    return task[: ends[-1].start()] if ends else task


def context_of(prompt: str) -> Any:
    """Return the decoded JSON under the frame's `Context:` line, or None."""
    start = _CONTEXT.search(prompt)
    return _first_json(prompt[start.end() :]) if start else None


def kind_of(prompt: str) -> Optional[str]:
    """Return "publisher", "consumer" or "monitor", by the question that the task opens with, or None.

    The earliest counts: a message quoted in a consumer's question may itself quote another one.
    """
    task = task_of(prompt)
    patterns = (("publisher", _PUBLISHER), ("consumer", _CONSUMER), ("monitor", _MONITOR))
    starts = [(found.start(), kind) for kind, found in ((k, p.search(task)) for k, p in patterns) if found]
    return min(starts)[1] if starts else None


def publisher_figures(prompt: str) -> Optional[PublisherFigures]:
    """Return the figures of a publisher's question, or None if this is not one."""
    found = _PUBLISHER.search(task_of(prompt))
    if found is None:
        return None
    depths, rates = found.group("depths"), found.group("rates")
    return PublisherFigures(
        _named(_FICTIONAL, depths),
        _named(_NON_FICTIONAL, depths),
        _named(_FICTIONAL, rates),
        _named(_NON_FICTIONAL, rates),
    )


def consumer_figures(prompt: str) -> Optional[ConsumerFigures]:
    """Return the figures of a consumer's question, or None if this is not one."""
    found = _CONSUMER.search(task_of(prompt))
    if found is None:
        return None
    facts = found.group("facts")
    genre, priority = _GENRE.search(facts), _PRIORITY.search(facts)
    return ConsumerFigures(
        found.group("message").strip().rstrip("."),
        genre.group(1) if genre else None,
        priority.group(1) if priority else None,
        _named(_DEPTH, facts),
    )


def monitor_figures(prompt: str) -> Optional[MonitorFigures]:
    """Return the numbers of a monitor's question, or None if this is not one."""
    found = _MONITOR.search(task_of(prompt))
    if found is None:
        return None
    summary = _first_json(found.group("metrics"))
    numbers = _leaves(context_of(prompt), "")
    numbers.update(_leaves(summary, "") if summary is not None else dict(_pairs(found.group("metrics"))))
    return MonitorFigures(numbers)


def _flat(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [block.get("text") for block in content if isinstance(block, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _number(text: str) -> Optional[float]:
    found = _NUMBER.match(text.strip("\"'`*~("))
    return float(found.group(0).replace(",", "")) if found else None


def _named(pattern: "re.Pattern[str]", text: str) -> Optional[float]:
    # A thousands separator is a comma inside the figure; a comma before a blank ends it.
    joined = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    found = pattern.search(joined)
    return _number(found.group(1)) if found else None


def _pairs(text: str) -> Iterator[Tuple[str, float]]:
    for name, figure, percent in _PAIR.findall(text):
        value = float(figure.replace(",", ""))
        yield name.lower(), value / 100 if percent else value


def _first_json(text: str) -> Any:
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    if not starts:
        return None
    try:
        return json.JSONDecoder().raw_decode(text[min(starts) :])[0]
    except ValueError:
        return None


def _leaves(value: Any, path: str) -> Dict[str, float]:
    found: Dict[str, float] = {}
    items: List[Tuple[str, Any]] = []
    if isinstance(value, dict):
        items = [(str(name), child) for name, child in value.items()]
    elif isinstance(value, list):
        items = [(str(at), child) for at, child in enumerate(value)]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        found[path] = float(value)
    for name, child in items:
        found.update(_leaves(child, (f"{path}.{name}" if path else name).lower()))
    return found
