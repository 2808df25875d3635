"""The shapes that go over the wire, and the names for what can go wrong on it.

Error bodies and types are those that the SDKs' own types declare. Used by strictness, answers and server.
"""

from typing import Any, Dict, Mapping, NamedTuple, Optional

Json = Dict[str, Any]

VERSIONS = ("2023-06-01", "2026-10-21")

#: From this version on, sampling parameters are refused for every model.
NEW_VERSION = "2026-10-21"


class Refused(Exception):
    """The request is answered with an error status.

    Given: the HTTP status, the API's error type and the message for its body.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message


class Fault(NamedTuple):
    """An error answer that a test can ask for by name."""

    status: int
    kind: str
    message: str


FAULTS: Mapping[str, Fault] = {
    "400": Fault(400, "invalid_request_error", "Scripted: the request is invalid."),
    # An empty balance came as a 400 before the API had billing errors; both must read as "spent".
    "no_credit": Fault(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
    "401": Fault(401, "authentication_error", "invalid x-api-key"),
    "402": Fault(402, "billing_error", "Scripted: there is a problem with billing."),
    "403": Fault(403, "permission_error", "Scripted: the key may not use this resource."),
    "404": Fault(404, "not_found_error", "Scripted: not found."),
    "408": Fault(408, "timeout_error", "Scripted: the request took too long to arrive."),
    "413": Fault(413, "invalid_request_error", "Scripted: the request exceeds the maximum size."),
    "429": Fault(429, "rate_limit_error", "Scripted: this request would exceed the rate limit."),
    "500": Fault(500, "api_error", "Internal server error"),
    "503": Fault(503, "api_error", "Service unavailable"),
    "504": Fault(504, "timeout_error", "The request timed out."),
    "529": Fault(529, "overloaded_error", "Overloaded"),
}

#: Forms that put a decision into a message, one way or another.
ANSWER_FORMS = frozenset(["auto", "json", "fenced", "chatty", "tool_use", "text", "truncated", "slow"])

#: Well-formed messages without a decision in them.
EMPTY_FORMS = frozenset(["refusal", "context_exceeded", "empty"])

#: Forms after which no usable answer has arrived.
BROKEN_FORMS = frozenset(["hang", "dropped", "cut_off", "dribble", "garbage", "binary", "huge"])

FORMS = ANSWER_FORMS | EMPTY_FORMS | BROKEN_FORMS | frozenset(FAULTS)


def error_body(kind: str, message: str, request_id: Optional[str]) -> Json:
    """Return the API's error body."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
