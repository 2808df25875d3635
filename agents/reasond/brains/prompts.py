"""A question as the text that is put to a model, in one of several versions of the wording.

Used by the Claude brain and the dry run. The texts stand in `prompts_v*/`: the frame and each agent's
sentence are the specification's ("Claude API Integration Pattern", Agents 2 to 4), what is added stands after
them. A change of any of these texts is a new version, so that decisions stay comparable. Version 2 tells the
agents how their last decisions turned out.
"""

import functools
import json
import pkgutil
import re
from pathlib import Path
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Tuple, get_args

import msgspec
from msgspec import Struct

from reasond.brains.redaction import Redactor
from reasond.core.contexts import Context, HandlingContext, HealthContext, QueueFacts, RateContext
from reasond.decisions import AgentType, RateAction
from reasond.errors import SettingsError

SHIPPED = ("1", "2")
LATEST = "2"
WITHOUT_PAST = ("1",)
"""Versions that have no word on the agent's earlier decisions, and so aren't told of them."""

MAX_TEXT_CHARS = 1000
"""Of one text inside a prompt; the rest is cut and said to be cut."""
MAX_BLOCK_CHARS = 6000
"""Of a message or the metrics in a prompt; beyond it every text is cut shorter, as far as needed."""
SHORTEST_TEXT_CHARS = 20
MAX_ITEMS = 100
"""Of one list or object inside a prompt."""
MAX_DEPTH = 8
"""Levels of lists and objects inside a prompt; what is deeper is left out and said to be."""

_IDENTITY = re.compile(r"[a-z]+-[1-9][0-9]{0,5}\Z")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}\Z")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
# Line separators, direction marks and the like: they could make quoted text look as if it stood outside.
_INVISIBLE = re.compile(r"[^\x20-\x7e\n]")


class Prompt(Struct, frozen=True):
    """The text put to a model, and the version of the prompts that it was made with."""

    text: str
    version: str


def agent_type_of(context: Context) -> AgentType:
    """Give the kind of agent that asks such a question."""
    if isinstance(context, RateContext):
        return "publisher"
    return "consumer" if isinstance(context, HandlingContext) else "monitor"


class Wording:
    """The texts that prompts are made of: a shipped version, or a folder with texts of the user's own.

    Such a folder's name is the version that decisions are tagged with; texts that it lacks are the latest
    shipped ones. `outcomes` False keeps the agents' earlier decisions out of every prompt.
    """

    def __init__(self, version: str = LATEST, outcomes: bool = True) -> None:
        """Read every text. Raises SettingsError for a folder that isn't there, or a text with a wrong placeholder."""
        self.version = version if version in SHIPPED else Path(version).name
        self.tells_past = outcomes and version not in WITHOUT_PAST
        self._texts = {name: _shipped(version if version in SHIPPED else LATEST, name) for name in _TEXTS}
        if version not in SHIPPED:
            self._texts.update(_own(Path(version)))

    def text(self, name: str, values: Mapping[str, str]) -> str:
        """Give a text with its placeholders filled, in one pass, so that braces in a value are none."""
        return _PLACEHOLDER.sub(lambda match: values[match.group(1)], self._texts[name])


@functools.lru_cache(maxsize=1)
def latest() -> Wording:
    """Give the latest shipped wording."""
    return Wording()


def render(context: Context, redactor: Optional[Redactor] = None, wording: Optional[Wording] = None) -> Prompt:
    """Give the prompt for a question, in the latest wording unless another is given.

    Every value that isn't a plain number stands JSON-quoted, cut to length and redacted, on one line or
    inside the context's JSON; no text of a message can so end its quotes or begin a line of the prompt.
    """
    clean, words = redactor or Redactor(), wording or latest()
    kind = agent_type_of(context)
    values = _VALUES[kind](context, clean)
    frame = {part: words.text(f"{kind}.{part}", values) for part in ("task", "rules")}
    frame["context"] = quoted(clean.clean(_facts(context, words.tells_past)), indent=2)
    frame["answer"] = words.text(kind + ".answer", {})
    return Prompt(text=words.text("frame", frame), version=words.version)


def quoted(value: Any, indent: Optional[int] = None) -> str:
    """Give a value as JSON of bounded length in which every character can be seen for what it is."""
    longest = MAX_TEXT_CHARS
    while True:
        text = json.dumps(_bounded(value, longest), indent=indent, ensure_ascii=False, allow_nan=False)
        if len(text) <= MAX_BLOCK_CHARS or longest <= SHORTEST_TEXT_CHARS:
            return _visible(text)
        longest //= 2


def _rate_values(context: RateContext, clean: Redactor) -> Dict[str, str]:
    values = {
        name: str(getattr(context, name))
        for name in (
            "fictional_interval",
            "nonfictional_interval",
            "default_fictional_interval",
            "default_nonfictional_interval",
            "min_interval",
            "max_interval",
            "message_ttl_s",
        )
    }
    values["depth_fictional"] = _known(_depth(context.queues.get("fictional")))
    values["depth_nonfictional"] = _known(_depth(context.queues.get("non-fictional")))
    return values


def _handling_values(context: HandlingContext, clean: Redactor) -> Dict[str, str]:
    return {
        "message_content": quoted(clean.clean(context.message)),
        "genre_type": context.genre_type if context.genre_type in ("fictional", "non-fictional") else "unknown",
        "priority": context.priority if context.priority in ("low", "normal", "high") else "unknown",
        "queue_depth": _known(context.queue_depth),
        "seconds_left": f"{max(0.0, context.seconds_left):.0f}",
    }


def _health_values(context: HealthContext, clean: Redactor) -> Dict[str, str]:
    return {
        "metrics_summary": quoted(clean.clean(context.metrics)),
        "window_s": f"{context.window_s:g}",
    }


PLACEHOLDERS: Dict[str, FrozenSet[str]] = {
    "publisher": frozenset(
        "fictional_interval nonfictional_interval default_fictional_interval default_nonfictional_interval "
        "min_interval max_interval message_ttl_s depth_fictional depth_nonfictional".split()
    ),
    "consumer": frozenset("message_content genre_type priority queue_depth seconds_left".split()),
    "monitor": frozenset(("metrics_summary", "window_s")),
}
"""What the task and the rules of each kind of agent may name in braces."""
_VALUES: Dict[str, Any] = {"publisher": _rate_values, "consumer": _handling_values, "monitor": _health_values}


def _facts(context: Context, tells_past: bool) -> Dict[str, Any]:
    """Give the context as data, without what stands in the agent's sentence already."""
    facts: Dict[str, Any] = msgspec.to_builtins(context)
    if not tells_past or not facts["past"]:
        del facts["past"]
    facts.pop("message", None)
    facts.pop("metrics", None)
    if isinstance(context, RateContext):
        facts["peers"] = [_peer(peer) for peer in facts["peers"]]
    return facts


def _peer(facts: Dict[str, Any]) -> Dict[str, Any]:
    """Let only an identity, a known action and numbers through, whatever somebody wrote into the store."""
    action = facts["action"] if facts["action"] in get_args(RateAction) else "unknown"
    agent_id = facts["agent_id"] if _IDENTITY.match(facts["agent_id"]) else "unknown"
    return dict(facts, action=action, agent_id=agent_id)


def _depth(queue: Optional[QueueFacts]) -> Optional[int]:
    return None if queue is None else queue.depth


def _known(value: Optional[int]) -> str:
    return "unknown" if value is None else str(value)


def _bounded(value: Any, longest: int, depth: int = 0) -> Any:
    if isinstance(value, str):
        return value if len(value) <= longest else value[:longest] + "... [cut]"
    if depth >= MAX_DEPTH and isinstance(value, (dict, list, tuple)):
        return "[left out: nested too deep]"
    if isinstance(value, dict):
        items = list(value.items())[:MAX_ITEMS]
        return {_bounded(str(key), longest): _bounded(item, longest, depth + 1) for key, item in items}
    if isinstance(value, (list, tuple)):
        return [_bounded(item, longest, depth + 1) for item in value[:MAX_ITEMS]]
    if isinstance(value, float):
        return _rounded(value)
    return value if value is None or isinstance(value, (bool, int)) else _bounded(str(value), longest)


def _rounded(value: float) -> Any:
    """Six digits after the point are enough for a coordinate; what JSON can't say is said as text."""
    return round(value, 6) if abs(value) < float("inf") else str(value)


def _visible(text: str) -> str:
    return _INVISIBLE.sub(lambda match: _escaped(match.group()), text)


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return json.dumps(character)[1:-1]


_KINDS: Tuple[AgentType, ...] = ("publisher", "consumer", "monitor")
_TEXTS: Dict[str, FrozenSet[str]] = {
    "frame": frozenset(("context", "task", "rules", "answer")),
    **{f"{kind}.{part}": frozenset() for kind in _KINDS for part in ("task", "rules", "answer")},
}
"""Each text by its name; for the frame its placeholders, for the others they depend on the agent."""


def _shipped(version: str, name: str) -> str:
    data = pkgutil.get_data("reasond.brains", f"prompts_v{version}/{name}.txt")
    if data is None:
        raise FileNotFoundError(f"reasond.brains has no prompt {name} of version {version}")
    return data.decode("utf-8").rstrip("\n")


def _own(folder: Path) -> Dict[str, str]:
    """Read the texts of a user's folder; raises SettingsError that names what is wrong."""
    problems = (
        []
        if _VERSION.match(folder.name) and folder.name not in SHIPPED
        else [
            f"CLAUDE_PROMPT: {folder} needs a name of up to 40 letters, digits, '.', '_' or '-', other than {SHIPPED}"
        ]
    )
    texts = {}
    for name in _TEXTS:
        try:
            texts[name] = (folder / f"{name}.txt").read_text(encoding="utf-8").rstrip("\n")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as err:
            problems.append(f"CLAUDE_PROMPT: {folder / name}.txt can't be read: {err}")
            continue
        problems += _misplaced(folder, name, texts[name])
    if not texts and not problems:
        problems.append(f"CLAUDE_PROMPT: {folder} has none of {', '.join(sorted(_TEXTS))} (.txt)")
    if problems:
        raise SettingsError(problems)
    return texts


def _misplaced(folder: Path, name: str, text: str) -> List[str]:
    """Name the placeholders that nothing fills, and those of the frame that are missing."""
    kind, _, part = name.partition(".")
    known = _TEXTS[name] or (PLACEHOLDERS[kind] if part != "answer" else frozenset())
    there = set(_PLACEHOLDER.findall(text))
    problems = [f"nothing fills {{{one}}}; there are {', '.join(sorted(known)) or 'none'}" for one in there - known]
    problems += [f"{{{one}}} is missing" for one in sorted(_TEXTS[name] - there)]
    return [f"CLAUDE_PROMPT: {folder / name}.txt: {problem}" for problem in sorted(problems)]
