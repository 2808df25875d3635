"""What each model takes and how it thinks, as this stand-in knows it.

Written from the vendor's documents and on purpose not shared with the package: a mistake in the package's own
table must show as a 400 here. Used by strictness (what is refused) and answers (how thinking spends tokens).
"""

from typing import Dict, FrozenSet, NamedTuple, Optional

#: Characters of text to one token, on the tokenizer up to the 4.6 generation.
CHARS_PER_TOKEN = 4

#: The tokenizer of 4.7 and later makes about this many times the tokens of the same text.
NEW_TOKENIZER = 1.3

#: Output tokens spent on thinking ahead of an answer, by effort. At the default efforts it is more than the
#: specification's max_tokens of 500, which is the trap that a caller has to see.
THINKING_TOKENS = {"low": 200, "medium": 700, "high": 1500, "xhigh": 4000, "max": 8000}

EFFORTS_46 = frozenset(["low", "medium", "high", "max"])
EFFORTS_5 = frozenset(["low", "medium", "high", "xhigh", "max"])

#: With thinking reduced or off, these are the efforts that remain.
QUIET_EFFORTS = frozenset(["low", "medium", "high"])


class Model(NamedTuple):
    """One model's row; a thinking type that is not listed is refused."""

    thinking: FrozenSet[str]
    thinks_by_default: bool
    forced_tool: bool
    sampling: bool
    prefill: bool
    new_tokenizer: bool
    max_output: int
    efforts: FrozenSet[str] = frozenset()
    default_effort: str = "high"
    quiet_hint: Optional[str] = None


_OLD = Model(
    thinking=frozenset(["enabled", "disabled"]),
    thinks_by_default=False,
    forced_tool=True,
    sampling=True,
    prefill=True,
    new_tokenizer=False,
    max_output=64000,
)

_NEW = Model(
    thinking=frozenset(["adaptive"]),
    thinks_by_default=True,
    forced_tool=False,
    sampling=False,
    prefill=False,
    new_tokenizer=True,
    max_output=128000,
    efforts=EFFORTS_5,
)

MODELS: Dict[str, Model] = {
    "claude-sonnet-4-5-20250929": _OLD,
    "claude-haiku-4-5-20251001": _OLD,
    "claude-sonnet-4-6": _OLD._replace(
        thinking=frozenset(["enabled", "disabled", "adaptive"]), prefill=False, efforts=EFFORTS_46
    ),
    "claude-sonnet-5": _NEW._replace(thinking=frozenset(["adaptive", "disabled"]), forced_tool=True),
    "claude-sonnet-5-5": _NEW._replace(
        thinking=frozenset(["adaptive", "between_tools"]),
        quiet_hint='To turn thinking off on this model, send "thinking": {"type": "between_tools"}.',
    ),
    # That it refuses forced tool use is taken from its siblings; its own documents don't say.
    "claude-haiku-5-5": _NEW._replace(thinking=frozenset(["adaptive", "disabled"]), default_effort="medium"),
    "claude-opus-5-5": _NEW._replace(default_effort="medium"),
}

#: Names without a date; the answer names the model that they stand for.
ALIASES = {
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
}


def count_tokens(text: str, model: Model) -> int:
    """Return how many tokens `text` is on `model`: the same text always gives the same number."""
    factor = NEW_TOKENIZER if model.new_tokenizer else 1.0
    return int(-(-len(text) * factor // CHARS_PER_TOKEN))


def chars_for(tokens: int, model: Model) -> int:
    """Return how many characters fit into `tokens` on `model`: the inverse of `count_tokens`."""
    factor = NEW_TOKENIZER if model.new_tokenizer else 1.0
    return int(max(tokens, 0) * CHARS_PER_TOKEN / factor)
