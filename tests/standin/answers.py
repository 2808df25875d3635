"""Builds whole messages: an answer in one of its forms, its thinking, and what both cost in tokens.

Used by server for every request that is answered with status 200 and well-formed JSON.
"""

import json
from typing import Any, List, Mapping, NamedTuple, Optional

from tests.standin.models import ALIASES, THINKING_TOKENS, Model, chars_for, count_tokens
from tests.standin.policy import Answer
from tests.standin.prompt import text_of
from tests.standin.strictness import resolve, thinks_ahead
from tests.standin.wire import Json

#: A refusal still costs: the API bills what was read and the little that was written.
REFUSAL_TOKENS = 4


class Shape(NamedTuple):
    """What is to be answered: the form's name, the decision, and a text that replaces it verbatim."""

    form: str
    decision: Answer
    text: Optional[str] = None


class Built(NamedTuple):
    """A message, and its text (or tool input as text) for the log."""

    message: Json
    text: str


def build(body: Mapping[str, Any], model: Model, shape: Shape, number: int) -> Built:
    """Return the message that answers a valid request.

    Given: the request's body, its model's row, what to answer, and the request's number for its ids.
    Thinking comes first and is paid out of max_tokens; what is left bounds the text.
    """
    thinking = _thinking_tokens(body, model)
    room = body["max_tokens"] - thinking
    blocks = _thinking_blocks(body, model, number) if thinking else []
    if room <= 0:
        usage = _usage(body, model, body["max_tokens"], body["max_tokens"])
        return Built(_message(body, number, blocks, "max_tokens", usage), "")
    if shape.form in ("refusal", "context_exceeded", "empty"):
        return _without_text(body, model, shape.form, number)
    tool = _tool(body) if shape.form in ("auto", "slow", "tool_use") and shape.text is None else None
    if tool is not None:
        return _tool_use(body, model, tool, shape, number, blocks, thinking)
    text = _text(body, shape)
    kept = text[: len(text) // 2] if shape.form == "truncated" else text[: chars_for(room, model)]
    stop = "end_turn" if kept == text else "max_tokens"
    spent = min(thinking + count_tokens(kept, model), body["max_tokens"])
    blocks = [*blocks, {"type": "text", "text": kept, "citations": None}]
    return Built(_message(body, number, blocks, stop, _usage(body, model, spent, thinking)), kept)


def input_tokens(body: Mapping[str, Any], model: Model) -> int:
    """Return the tokens of a request's prompt: its texts, its tools and its schema."""
    extras = [body.get("tools"), (body.get("output_config") or {}).get("format")]
    texts = [text_of(body)] + [json.dumps(extra) for extra in extras if extra]
    return sum(count_tokens(text, model) for text in texts)


def conform(schema: Json, value: Any, root: Optional[Json] = None) -> Any:
    """Return `value` bent into `schema`: only its properties, all of them, in its order and types.

    What the value lacks is filled with the least that fits; bounds are not part of a schema here.
    """
    root = schema if root is None else root
    if "$ref" in schema:
        return conform(resolve(root, str(schema["$ref"])) or {}, value, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return value if value in schema["enum"] else schema["enum"][0]
    if "anyOf" in schema:
        return conform(_branch(schema["anyOf"], value), value, root)
    return _typed(schema, value, root)


def _branch(branches: List[Json], value: Any) -> Json:
    null = [branch for branch in branches if branch.get("type") == "null"]
    others = [branch for branch in branches if branch.get("type") != "null"]
    return null[0] if null and (value is None or not others) else others[0]


def _typed(schema: Json, value: Any, root: Json) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = "null" if value is None and "null" in kind else [one for one in kind if one != "null"][0]
    if kind == "object" or "properties" in schema:
        given = value if isinstance(value, dict) else {}
        return {name: conform(part, given.get(name), root) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        items = value if isinstance(value, list) else []
        return [conform(schema.get("items", {}), item, root) for item in items]
    return _scalar(kind, value)


def _scalar(kind: Any, value: Any) -> Any:
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "string":
        return value if isinstance(value, str) else ""
    if kind == "integer":
        return int(round(value)) if numeric else 0
    if kind == "number":
        return value if numeric else 0.0
    if kind == "boolean":
        return value if isinstance(value, bool) else False
    return None if kind == "null" else value


def _thinking_tokens(body: Mapping[str, Any], model: Model) -> int:
    choice = body.get("tool_choice") or {}
    if not thinks_ahead(body, model) or choice.get("type") in ("any", "tool"):
        return 0
    effort = (body.get("output_config") or {}).get("effort") or model.default_effort
    budget = (body.get("thinking") or {}).get("budget_tokens", THINKING_TOKENS[effort])
    return int(min(budget, THINKING_TOKENS[effort]))


def _thinking_blocks(body: Mapping[str, Any], model: Model, number: int) -> List[Json]:
    # The newer models leave the text out unless asked for it: a reader of content[0] finds nothing at all.
    default = "omitted" if model.new_tokenizer else "summarized"
    shown = (body.get("thinking") or {}).get("display") or default
    text = "Weighing the figures in the prompt." if shown == "summarized" else ""
    return [{"type": "thinking", "thinking": text, "signature": f"signature-{number}"}]


def _tool(body: Mapping[str, Any]) -> Optional[Json]:
    tools: List[Json] = list(body.get("tools") or [])
    choice = body.get("tool_choice") or {"type": "auto"}
    if not tools or choice["type"] == "none":
        return None
    named = [tool for tool in tools if tool["name"] == choice.get("name")]
    return (named or tools)[0]


def _tool_use(
    body: Mapping[str, Any],
    model: Model,
    tool: Json,
    shape: Shape,
    number: int,
    blocks: List[Json],
    thinking: int,
) -> Built:
    arguments = conform(tool["input_schema"], shape.decision)
    text = json.dumps(arguments)
    spent = thinking + count_tokens(text, model)
    stop = "tool_use"
    if spent > body["max_tokens"]:
        spent, stop, arguments = body["max_tokens"], "max_tokens", {}
    block = {"type": "tool_use", "id": f"toolu_{number:08d}", "name": tool["name"], "input": arguments}
    usage = _usage(body, model, spent, thinking)
    return Built(_message(body, number, [*blocks, block], stop, usage), text)


def _text(body: Mapping[str, Any], shape: Shape) -> str:
    if shape.text is not None:
        return shape.text
    wanted = (body.get("output_config") or {}).get("format")
    decision = conform(wanted["schema"], shape.decision) if wanted else shape.decision
    text = json.dumps(decision)
    if shape.form == "fenced":
        return f"```json\n{json.dumps(decision, indent=2)}\n```"
    if shape.form == "chatty":
        return f"Sure! Having looked at {{the figures}}, I suggest:\n\n{text}\n\nLet me know if that helps."
    return text


def _without_text(body: Mapping[str, Any], model: Model, form: str, number: int) -> Built:
    stop = {"refusal": "refusal", "context_exceeded": "model_context_window_exceeded"}.get(form, "end_turn")
    message = _message(body, number, [], stop, _usage(body, model, min(REFUSAL_TOKENS, body["max_tokens"]), 0))
    if form == "refusal":
        message["stop_details"] = {"type": "refusal", "category": "general_harms", "explanation": None}
    return Built(message, "")


def _usage(body: Mapping[str, Any], model: Model, output: int, thinking: int) -> Json:
    return {
        "input_tokens": input_tokens(body, model),
        "output_tokens": output,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens_details": {"thinking_tokens": thinking},
        "service_tier": "standard",
    }


def _message(body: Mapping[str, Any], number: int, blocks: List[Json], stop: str, usage: Json) -> Json:
    return {
        "id": f"msg_{number:08d}",
        "type": "message",
        "role": "assistant",
        "model": ALIASES.get(body["model"], body["model"]),
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }
