"""What the API refuses, per model: as strict as the real one, and where its documents are silent, stricter.

Used by server before a policy is asked. Each check raises `Refused`; the first one wins.
"""

from typing import Any, Callable, Collection, Dict, List, Mapping, Optional, Tuple

from tests.standin.models import ALIASES, MODELS, QUIET_EFFORTS, Model
from tests.standin.wire import NEW_VERSION, VERSIONS, Json, Refused

SAMPLING = ("temperature", "top_p", "top_k")

KNOWN = frozenset(
    (
        "cache_control container diagnostics inference_geo max_tokens messages metadata model output_config "
        "service_tier speed stop_sequences stream system temperature thinking tool_choice tools top_k top_p "
        "user_profile_id"
    ).split()
)

#: Schema keywords that structured outputs do not take; SDKs strip them before they send.
UNSUPPORTED_KEYWORDS = (
    "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength maxItems uniqueItems "
    "oneOf not if patternProperties"
).split()

#: Least budget for thinking that is asked for by budget, in tokens.
LEAST_BUDGET = 1024


def check(headers: Mapping[str, str], body: Any, key: str, retired: Collection[str]) -> Model:
    """Return the row of the model that a valid request names.

    Given: lower-case header names, the decoded body, the accepted key and the retired models' names.
    Raises Refused with the API's status, error type and message otherwise.
    """
    version = _authorise(headers, key)
    fields = _fields(body)
    _messages(fields["messages"])
    model = _model(fields["model"], retired)
    if fields["max_tokens"] > model.max_output:
        raise invalid(f"max_tokens: {fields['max_tokens']} > {model.max_output}")
    _sampling(fields, model, version)
    _prefill(fields, model)
    _thinking(fields, model)
    _tools(fields, model)
    _output_config(fields, model)
    return model


def invalid(message: str) -> Refused:
    """Return the refusal of a request that is wrong in itself."""
    return Refused(400, "invalid_request_error", message)


def sent_key(headers: Mapping[str, str]) -> Optional[str]:
    """Return the key a request carries; x-api-key goes before a bearer token, as SDK 2.x sends it."""
    bearer = headers.get("authorization", "")
    token = bearer[len("bearer ") :] if bearer.lower().startswith("bearer ") else None
    return headers.get("x-api-key") or token


def thinks_ahead(body: Mapping[str, Any], model: Model) -> bool:
    """Tell whether the model thinks before it answers this (valid) request."""
    kind = (body.get("thinking") or {}).get("type")
    if kind is None:
        return model.thinks_by_default
    return bool(kind in ("adaptive", "enabled"))


def _authorise(headers: Mapping[str, str], key: str) -> str:
    found = sent_key(headers)
    if not found:
        raise Refused(401, "authentication_error", "x-api-key header is required")
    if found != key:
        raise Refused(401, "authentication_error", "invalid x-api-key")
    version = headers.get("anthropic-version")
    if version not in VERSIONS:
        raise invalid("anthropic-version: header is required, one of {}".format(", ".join(VERSIONS)))
    accept = headers.get("accept", "*/*")
    if "*/*" not in accept and "application/json" not in accept and "application/*" not in accept:
        raise invalid("accept: the answer is application/json")
    return version


def _fields(body: Any) -> Json:
    if not isinstance(body, dict):
        raise invalid("The request body is not valid JSON")
    for name, kind in (("model", str), ("max_tokens", int), ("messages", list)):
        if name not in body:
            raise invalid(f"{name}: Field required")
        if not isinstance(body[name], kind) or isinstance(body[name], bool):
            raise invalid(f"{name}: Input should be a valid {kind.__name__}")
    for name in sorted(set(body) - KNOWN):
        raise invalid(f"{name}: Extra inputs are not permitted")
    if body["max_tokens"] < 1:
        raise invalid("max_tokens: Input should be greater than or equal to 1")
    if body.get("stream"):
        raise invalid("stream: this server answers with whole messages")
    return body


def _messages(messages: List[Any]) -> None:
    if not messages:
        raise invalid("messages: at least one message is required")
    for at, message in enumerate(messages):
        if not isinstance(message, dict) or set(message) - {"role", "content"}:
            raise invalid(f"messages.{at}: Input should be an object with role and content")
        if message.get("role") not in ("user", "assistant"):
            raise invalid(f'messages.{at}: Unexpected role "{message.get("role")}"')
        _content(message.get("content"), f"messages.{at}.content")
    if messages[0]["role"] != "user":
        raise invalid('messages: first message must use the "user" role')


def _content(content: Any, where: str) -> None:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(blocks, list) or not blocks:
        raise invalid(f"{where}: Input should be a non-empty string or list of blocks")
    for block in blocks:
        if not isinstance(block, dict) or "type" not in block:
            raise invalid(f"{where}: each block needs a type")
        if block["type"] == "text" and not (isinstance(block.get("text"), str) and block["text"].strip()):
            raise invalid(f"{where}: text content blocks must be non-empty")


def _model(name: str, retired: Collection[str]) -> Model:
    full = ALIASES.get(name, name)
    if name in retired or full in retired or full not in MODELS:
        raise Refused(404, "not_found_error", f"model: {name}")
    return MODELS[full]


def _sampling(body: Json, model: Model, version: str) -> None:
    for name in SAMPLING:
        if name in body and version == NEW_VERSION:
            raise invalid(f"{name}: Extra inputs are not permitted")
        if name in body and not model.sampling:
            raise invalid(f"`{name}` is deprecated for this model.")
    if "temperature" in body and "top_p" in body:
        raise invalid("`temperature` and `top_p` cannot both be specified for this model.")


def _prefill(body: Json, model: Model) -> None:
    if body["messages"][-1]["role"] == "assistant" and not model.prefill:
        raise invalid(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )


def _effort(body: Json, model: Model) -> str:
    return str((body.get("output_config") or {}).get("effort") or model.default_effort)


def _thinking(body: Json, model: Model) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    if not isinstance(thinking, dict) or not isinstance(thinking.get("type"), str):
        raise invalid("thinking.type: Field required")
    kind = thinking["type"]
    if kind not in model.thinking:
        raise invalid(f'"thinking.type.{kind}" is not supported for this model. {_thinking_hint(model)}')
    allowed = {"enabled": {"type", "budget_tokens", "display"}, "adaptive": {"type", "display"}}
    for name in sorted(set(thinking) - allowed.get(kind, {"type"})):
        raise invalid(f"thinking.{kind}.{name}: Extra inputs are not permitted")
    if kind == "enabled":
        _budget(thinking.get("budget_tokens"), body["max_tokens"])
    if model.thinks_by_default and kind not in ("adaptive", "enabled"):
        if _effort(body, model) not in QUIET_EFFORTS:
            raise invalid(f'"thinking.type.{kind}" needs an effort of low, medium or high')


def _thinking_hint(model: Model) -> str:
    if model.quiet_hint:
        return model.quiet_hint
    return 'Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'


def _budget(budget: Any, max_tokens: int) -> None:
    if not isinstance(budget, int) or budget < LEAST_BUDGET:
        raise invalid(f"thinking.enabled.budget_tokens: Input should be greater than or equal to {LEAST_BUDGET}")
    if budget >= max_tokens:
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")


def _tools(body: Json, model: Model) -> None:
    tools = body.get("tools") or []
    names = [_tool_name(at, tool) for at, tool in enumerate(tools)]
    choice = body.get("tool_choice")
    if choice is None:
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind not in ("auto", "any", "tool", "none"):
        raise invalid("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
    if not names and kind != "none":
        raise invalid("tool_choice: may only be specified while providing tools")
    if kind in ("any", "tool"):
        _forced(body, model)
    if kind == "tool" and choice.get("name") not in names:
        raise invalid("tool_choice.name: Tool '{}' not found in provided tools".format(choice.get("name")))


def _forced(body: Json, model: Model) -> None:
    if not model.forced_tool:
        raise invalid("tool_choice forces tool use is not compatible with this model.")
    # A model whose thinking is only a default lets a forced tool skip it; thinking that was asked for stays.
    if (body.get("thinking") or {}).get("type") in ("enabled", "adaptive"):
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")


def _tool_name(at: int, tool: Any) -> str:
    if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
        raise invalid(f"tools.{at}.name: Field required")
    schema = tool.get("input_schema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise invalid(f"tools.{at}.input_schema.type: Input should be 'object'")
    return str(tool["name"])


def _output_config(body: Json, model: Model) -> None:
    config = body.get("output_config")
    if config is None:
        return
    if not isinstance(config, dict):
        raise invalid("output_config: Input should be an object")
    for name in sorted(set(config) - {"effort", "format"}):
        raise invalid(f"output_config.{name}: Extra inputs are not permitted")
    effort = config.get("effort")
    if effort is not None and not model.efforts:
        raise invalid("This model does not support the effort parameter.")
    if effort is not None and effort not in model.efforts:
        raise invalid("output_config.effort: Input should be one of {}".format(", ".join(sorted(model.efforts))))
    if config.get("format") is not None:
        _format(config["format"])
        _no_prefill_with_format(body)


def _no_prefill_with_format(body: Json) -> None:
    if body["messages"][-1]["role"] == "assistant":
        raise invalid("output_config.format: Message prefill is incompatible with output formats.")


def _format(wanted: Any) -> None:
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        raise invalid("output_config.format.type: Input should be 'json_schema'")
    for name in sorted(set(wanted) - {"type", "schema"}):
        raise invalid(f"output_config.format.{name}: Extra inputs are not permitted")
    if not isinstance(wanted.get("schema"), dict):
        raise invalid("output_config.format.schema: Field required")
    schema = wanted["schema"]
    _SchemaCheck(schema).visit(schema, ())


class _SchemaCheck:
    """Walks a schema for structured output and raises Refused at what the API does not take."""

    def __init__(self, root: Json) -> None:
        self._root = root

    def visit(self, schema: Any, refs: Tuple[str, ...]) -> None:
        if not isinstance(schema, dict):
            raise self._wrong("each schema must be an object")
        for keyword in UNSUPPORTED_KEYWORDS:
            if keyword in schema:
                raise self._wrong("For '{}' type, property '{}' is not supported".format(schema.get("type"), keyword))
        if "$ref" in schema:
            self._reference(str(schema["$ref"]), refs)
            return
        if schema.get("type") == "object" or "properties" in schema:
            self._object(schema)
        for child in _children(schema):
            self.visit(child, refs)

    def _object(self, schema: Json) -> None:
        if schema.get("additionalProperties") is not False:
            raise self._wrong("For 'object' type, 'additionalProperties' must be explicitly set to false")
        missing = sorted(set(schema.get("properties", {})) - set(schema.get("required", [])))
        if missing:
            raise self._wrong("every property must be in 'required', missing: {}".format(", ".join(missing)))

    def _reference(self, ref: str, refs: Tuple[str, ...]) -> None:
        if ref in refs:
            raise self._wrong("recursive schemas are not supported")
        target = resolve(self._root, ref)
        if target is None:
            raise self._wrong(f"$ref '{ref}' does not resolve inside the schema")
        self.visit(target, (*refs, ref))

    def _wrong(self, message: str) -> Refused:
        return invalid(f"output_config.format.schema: {message}")


def resolve(root: Json, ref: str) -> Optional[Json]:
    """Return the schema that `ref` (as "#/$defs/name") names inside `root`, or None."""
    if not ref.startswith("#/"):
        return None
    node: Any = root
    for part in ref[2:].split("/"):
        node = node.get(part) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else None


def _children(schema: Json) -> List[Any]:
    take: Dict[str, Callable[[Any], List[Any]]] = {
        "properties": lambda value: list(value.values()),
        "items": lambda value: [value],
        "anyOf": list,
        "allOf": list,
    }
    return [child for name, pick in take.items() if name in schema for child in pick(schema[name])]
