"""What a brain may answer, per agent kind: the typed decisions, their JSON Schema, and how a text is read as one.

Used by every brain (to shape and read answers) and by the core (which clamps and disposes).
"""

import json
import math
from typing import Any, Dict, Iterator, Literal, Optional, Tuple, Type, Union

import msgspec
from msgspec import Struct

from reasond.errors import DecisionInvalid

AgentType = Literal["publisher", "consumer", "monitor"]
RateAction = Literal["continue", "slow_down", "speed_up", "pause"]
HandlingAction = Literal["process", "batch", "flag_anomaly"]
HealthStatus = Literal["healthy", "warning", "critical"]

DECISION_TYPES: Dict[str, str] = {
    "publisher": "rate_adjustment",
    "consumer": "message_handling",
    "monitor": "system_health",
}
"""The `decision_type` tag by agent kind (specification, "InfluxDB Schema for AI Metrics")."""

MAX_REASONING_CHARS = 2000
MAX_LIST_ITEMS = 20


class RateDecision(Struct, frozen=True):
    """A publisher's: what to do with its rate; intervals in seconds as proposed, None where not given."""

    action: RateAction
    reasoning: str
    fictional_interval: Optional[float] = None
    nonfictional_interval: Optional[float] = None
    confidence: Optional[float] = None


class HandlingDecision(Struct, frozen=True):
    """A consumer's: what to do with the message asked about."""

    action: HandlingAction
    reasoning: str
    confidence: Optional[float] = None


class HealthDecision(Struct, frozen=True):
    """The monitor's: the state of the system and what it found; its action is its status."""

    status: HealthStatus
    reasoning: str = ""
    issues: Tuple[str, ...] = ()
    suggestions: Tuple[str, ...] = ()
    alerts: Tuple[str, ...] = ()
    confidence: Optional[float] = None

    @property
    def action(self) -> str:
        """The value of the `action` tag."""
        return self.status


Decision = Union[RateDecision, HandlingDecision, HealthDecision]

_KINDS: Dict[str, Type[Struct]] = {
    "publisher": RateDecision,
    "consumer": HandlingDecision,
    "monitor": HealthDecision,
}
_CHOICE: Dict[str, str] = {"publisher": "action", "consumer": "action", "monitor": "status"}
_STRINGS: Dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_PROPERTIES: Dict[str, Dict[str, Any]] = {
    # Reasoning first: an answer given without thinking is then still worked out before it is chosen.
    "publisher": {
        "reasoning": {"type": "string"},
        "action": {"type": "string", "enum": ["continue", "slow_down", "speed_up", "pause"]},
        "fictional_interval": {"type": "number"},
        "nonfictional_interval": {"type": "number"},
        "confidence": {"type": "number"},
    },
    "consumer": {
        "reasoning": {"type": "string"},
        "action": {"type": "string", "enum": ["process", "batch", "flag_anomaly"]},
        "confidence": {"type": "number"},
    },
    "monitor": {
        "reasoning": {"type": "string"},
        "status": {"type": "string", "enum": ["healthy", "warning", "critical"]},
        "issues": _STRINGS,
        "suggestions": _STRINGS,
        "alerts": _STRINGS,
        "confidence": {"type": "number"},
    },
}


def json_schema(agent_type: AgentType) -> Dict[str, Any]:
    """Give the JSON Schema of an answer of this kind, in the form structured outputs take."""
    properties = _PROPERTIES[agent_type]
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def parse(agent_type: AgentType, text: str) -> Decision:
    """Read a model's text as a decision: bare JSON, fenced, or surrounded by prose.

    Of several JSON objects the last that is a decision of this kind counts: models work towards their answer.
    Raises DecisionInvalid telling what the text lacks.
    """
    reason = "no JSON object in the answer"
    found: Optional[Decision] = None
    for candidate in _objects(text):
        try:
            found = from_object(agent_type, candidate)
        except DecisionInvalid as err:
            reason = str(err)
    if found is None:
        raise DecisionInvalid(reason)
    return found


def from_object(agent_type: AgentType, answer: Dict[str, Any]) -> Decision:
    """Read a decoded JSON object as a decision; unknown keys (such as `suggested_params`) are ignored.

    Raises DecisionInvalid naming the key at fault.
    """
    choice = _CHOICE[agent_type]
    if choice not in answer:
        raise DecisionInvalid("the answer has no {!r}".format(choice))
    tidy = {key: _tidy(key, value) for key, value in answer.items() if key in _PROPERTIES[agent_type]}
    tidy = {key: value for key, value in tidy.items() if value is not None}
    tidy.setdefault("reasoning", "")
    try:
        decision: Decision = msgspec.convert(tidy, _KINDS[agent_type], strict=False)  # type: ignore[assignment]
    except msgspec.ValidationError as err:
        raise DecisionInvalid("the answer doesn't fit: {}".format(err)) from err
    return decision


def _tidy(key: str, value: Any) -> Any:
    """Bring a value into the range its key allows; None for one that says nothing."""
    if key == "confidence":
        return _confidence(value)
    if key in ("fictional_interval", "nonfictional_interval"):
        return _finite(value)
    if key in ("issues", "suggestions", "alerts"):
        return tuple(_text(item) for item in value[:MAX_LIST_ITEMS]) if isinstance(value, list) else None
    if key in ("action", "status") and isinstance(value, str):
        return value.strip().lower()
    return _text(value) if key == "reasoning" else value


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # A lone surrogate can't be encoded as UTF-8, and control characters garble journals and line protocol.
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() else " " for c in text)[:MAX_REASONING_CHARS]


def _finite(value: Any) -> Optional[float]:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _confidence(value: Any) -> Optional[float]:
    number = _finite(value) if not isinstance(value, bool) else None
    return None if number is None else min(1.0, max(0.0, number))


def _objects(text: str) -> Iterator[Dict[str, Any]]:
    """Yield every top-level JSON object that stands in the text, in order."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at != -1:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find("{", at + 1)
            continue
        yield value
        at = text.find("{", end)
