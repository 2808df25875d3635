"""The table of Claude models as data: prices, end dates, and the request shape that each one accepts.

Used by the Claude brain (shape, cost), the budget (worst case), the dry run (what it would have cost) and the
doctor (what ends when). Sources: Anthropic's models overview, deprecations page and migration guides,
November 2026. A model that is not in the table gets the most careful shape and the highest price.
"""

import math
from datetime import date
from typing import Any, Dict, Literal, Optional, Tuple

from msgspec import Struct
from msgspec.structs import replace

from reasond.decisions import AgentType, json_schema

Thinking = Literal["none", "disabled", "between_tools", "always", "unknown"]
"""How thinking ahead of the answer is kept off: `none` never unless asked, `disabled` and `between_tools` by
that parameter, `always` not at all, `unknown` for a model nobody described (nothing is sent, room is
left)."""

TOKENS_PER_MILLION = 1_000_000

ROOM_TOKENS = 4000
"""Beside the answer where thinking can't be turned off: it counts toward max_tokens and comes first."""

BYTES_PER_TOKEN = 2.0
"""Fewest UTF-8 bytes that make a token, on average: English and JSON take 3 to 4, so this bounds from
above."""

OVERHEAD_TOKENS = 700
"""What the API adds to a prompt: a schema for structured output, the system text of tools, the turn's
frame."""


class Model(Struct, frozen=True):
    """One row: prices in USD per million tokens, the day from which its requests fail, and what it accepts.

    `effort` is sent where it isn't empty. `tokenizer` is how many tokens it makes of a text for which Sonnet
    4.5 makes one. Prompts above `long_prompt_tokens` cost `long_factor` times as much, input and output.
    """

    name: str
    input_usd: float
    output_usd: float
    thinking: Thinking
    retires: Optional[date] = None
    effort: str = ""
    structured: bool = True
    forced_tools: bool = False
    tokenizer: float = 1.0
    long_prompt_tokens: int = 0
    long_factor: float = 1.0

    @property
    def known(self) -> bool:
        """Whether the model stands in the table."""
        return self.thinking != "unknown"

    @property
    def room_tokens(self) -> int:
        """Tokens to allow beside the answer."""
        return ROOM_TOKENS if self.thinking in ("always", "unknown") else 0


NEW_TOKENIZER = 1.3

TABLE: Tuple[Model, ...] = (
    # Sonnet 4.5 and Haiku 4.5 know no effort parameter.
    Model("claude-sonnet-4-5-20250929", 3.0, 15.0, "none", retires=date(2026, 11, 30), forced_tools=True),
    Model("claude-sonnet-4-5", 3.0, 15.0, "none", retires=date(2026, 11, 30), forced_tools=True),
    Model("claude-sonnet-4-6", 3.0, 15.0, "none", forced_tools=True),
    Model("claude-sonnet-5", 2.0, 10.0, "disabled", effort="low", forced_tools=True, tokenizer=NEW_TOKENIZER),
    # Anthropic promises it until 2027-09-28 at least; that is no end date yet.
    Model("claude-sonnet-5-5", 2.0, 10.0, "between_tools", effort="low", tokenizer=NEW_TOKENIZER),
    Model("claude-haiku-4-5-20251001", 1.0, 5.0, "none", forced_tools=True),
    Model("claude-haiku-4-5", 1.0, 5.0, "none", forced_tools=True),
    Model(
        "claude-haiku-5-5",
        0.1,
        0.5,
        "disabled",
        effort="low",
        tokenizer=NEW_TOKENIZER,
        long_prompt_tokens=100_000,
        long_factor=5.0,
    ),
    Model("claude-opus-5-5", 4.0, 20.0, "always", effort="low", tokenizer=NEW_TOKENIZER),
    # The dearest there is, and so the price of a model that isn't in the table.
    Model("claude-fable-5-1", 10.0, 50.0, "always", effort="low", tokenizer=NEW_TOKENIZER),
)

_BY_NAME: Dict[str, Model] = {model.name: model for model in TABLE}
_HIGHEST_INPUT_USD = max(model.input_usd * model.long_factor for model in TABLE)
_HIGHEST_OUTPUT_USD = max(model.output_usd * model.long_factor for model in TABLE)


def find(name: str) -> Model:
    """Give the model's row; for an unknown name one of the highest price and the most careful shape."""
    known = _BY_NAME.get(name)
    if known is not None:
        return known
    return Model(name, _HIGHEST_INPUT_USD, _HIGHEST_OUTPUT_USD, "unknown", structured=False, tokenizer=NEW_TOKENIZER)


def careful(model: Model) -> Model:
    """Give the row as for a model of which only the price is known: for one that refused its shape."""
    return replace(model, thinking="unknown", structured=False, effort="")


def retired(model: Model, on: date) -> bool:
    """Tell whether the model's requests fail on that day (UTC)."""
    return model.retires is not None and on >= model.retires


def shape(model: Model, agent_type: AgentType, max_tokens: int) -> Dict[str, Any]:
    """Give the extra arguments of `messages.create` for a decision of this kind by this model.

    `max_tokens` is the room for the answer itself. What the older SDK has no type for goes by `extra_body`,
    which both generations merge into the request. Sampling parameters, prefill and thinking budgets are never
    sent: newer models refuse them.
    """
    body: Dict[str, Any] = {}
    if model.thinking in ("disabled", "between_tools"):
        body["thinking"] = {"type": model.thinking}
    output: Dict[str, Any] = {}
    if model.effort:
        output["effort"] = model.effort
    if model.structured:
        output["format"] = {"type": "json_schema", "schema": json_schema(agent_type)}
    if output:
        body["output_config"] = output
    arguments: Dict[str, Any] = {"max_tokens": max_tokens + model.room_tokens}
    if body:
        arguments["extra_body"] = body
    return arguments


def cost_usd(model: Model, input_tokens: int, output_tokens: int) -> float:
    """Give what so many tokens cost, USD; thinking is billed as output."""
    is_long = 0 < model.long_prompt_tokens < input_tokens
    factor = model.long_factor if is_long else 1.0
    dollars = input_tokens * model.input_usd + output_tokens * model.output_usd
    return factor * dollars / TOKENS_PER_MILLION


def prompt_tokens_bound(model: Model, prompt_bytes: int) -> int:
    """Give an upper bound of the input tokens of a prompt of so many UTF-8 bytes."""
    return int(math.ceil(prompt_bytes / BYTES_PER_TOKEN * model.tokenizer)) + OVERHEAD_TOKENS


def input_bound_usd(model: Model, prompt_bytes: int) -> float:
    """Give an upper bound of what sending such a prompt costs, USD, without any answer."""
    return cost_usd(model, prompt_tokens_bound(model, prompt_bytes), 0)


def worst_case_usd(model: Model, prompt_bytes: int, max_tokens: int) -> float:
    """Give an upper bound of what one answered attempt costs, USD; `max_tokens` as it is sent."""
    return cost_usd(model, prompt_tokens_bound(model, prompt_bytes), max_tokens)
