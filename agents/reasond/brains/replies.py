"""What the Messages API says, read with care: a message's blocks by type, and an error's kind.

Used by the Claude brain and its transport. Nothing that comes from the network is trusted to have its shape.
"""

import json
from typing import Any, Dict, List, Optional, Tuple

from msgspec import Struct

from reasond.core.effects import FailureReason
from reasond.decisions import AgentType, Decision, from_object, parse
from reasond.errors import DecisionInvalid

_BY_STATUS: Dict[int, FailureReason] = {
    400: "bad_request",
    401: "authentication",
    402: "billing",
    403: "permission",
    404: "bad_request",
    408: "overloaded",
    409: "overloaded",
    413: "bad_request",
    429: "rate_limited",
    529: "overloaded",
}
_STOPPED: Dict[str, FailureReason] = {
    "max_tokens": "truncated",
    "model_context_window_exceeded": "truncated",
    "refusal": "refusal",
}


class Reply(Struct, frozen=True):
    """An answer: its text blocks in order, what tools were called with, why it ended, what it used."""

    text: str
    tool_inputs: Tuple[Dict[str, Any], ...]
    stop_reason: str
    input_tokens: int
    output_tokens: int

    @property
    def stopped(self) -> Optional[FailureReason]:
        """Why this is no answer, by its stop reason; None for one that came to its end."""
        return _STOPPED.get(self.stop_reason)

    @property
    def raw(self) -> str:
        """The answer as text, for the transcript."""
        return self.text or "\n".join(json.dumps(item, ensure_ascii=False) for item in self.tool_inputs)


def read_message(body: bytes) -> Reply:
    """Read the body of a successful answer; thinking blocks and unknown ones are passed over.

    Raises ValueError for one that is no message.
    """
    try:
        message = json.loads(body.decode("utf-8"))
    except RecursionError as err:
        raise ValueError("nested too deep") from err
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        raise ValueError("not a message of the Messages API")
    blocks: List[Dict[str, Any]] = [block for block in message["content"] if isinstance(block, dict)]
    texts = [block["text"] for block in blocks if block.get("type") == "text" and isinstance(block.get("text"), str)]
    inputs = [block.get("input") for block in blocks if block.get("type") == "tool_use"]
    usage: Dict[str, Any] = message["usage"] if isinstance(message.get("usage"), dict) else {}
    cached = _count(usage, "cache_creation_input_tokens") + _count(usage, "cache_read_input_tokens")
    return Reply(
        text="\n".join(texts),
        tool_inputs=tuple(item for item in inputs if isinstance(item, dict)),
        stop_reason=str(message.get("stop_reason")),
        input_tokens=_count(usage, "input_tokens") + cached,
        output_tokens=_count(usage, "output_tokens"),
    )


def decision_in(reply: Reply, agent_type: AgentType) -> Decision:
    """Give the decision that an answer holds, as a tool's input or in its text.

    Raises DecisionInvalid telling what it lacks.
    """
    for item in reply.tool_inputs:
        try:
            return from_object(agent_type, item)
        except DecisionInvalid:
            if not reply.text:
                raise
    return parse(agent_type, reply.text)


def reason_of(status: int, body: str) -> Tuple[FailureReason, str]:
    """Give an error answer's reason for the core and its kind for `api_calls`."""
    if status == 404 and _error(body).get("type") == "not_found_error":
        return "no_model", "not_found"
    if status == 400 and "credit balance" in words_of(body):
        return "billing", "billing"
    reason = _BY_STATUS.get(status)
    if reason is None:
        reason = "server_error" if status >= 500 else "bad_request"
    return reason, reason


def words_of(body: str) -> str:
    """Give the API's own message from an error's body; the body on one line where it has none."""
    words = _error(body).get("message")
    return words if isinstance(words, str) else " ".join(body.split())


def _error(body: str) -> Dict[str, Any]:
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}


def _count(usage: Dict[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
