"""What the core is told and what it answers with: time, deliveries, answers in; effects out, all plain data.

Shared by the three cores, the runtime and the simulation. House rule, property-tested: no `Settle` stands in
the same list as the `Publish` or `Save` it depends on; it follows their confirmation.
"""

from typing import Any, Dict, Literal, Optional, Tuple, Union

from msgspec import Struct

from reasond.decisions import Decision
from reasond.messages import Invalid, Message
from reasond.points import Row

Link = Literal["publish", "consume"]
Level = Literal["debug", "info", "notice", "warning", "error", "crit"]
View = Literal["rate", "broker_depths", "depth_window", "activity", "minutes"]


class Now(Struct, frozen=True, gc=False):
    """The time of an event: `mono` in seconds for timers, `wall_ns` in UTC nanoseconds for stamps and TTL."""

    mono: float
    wall_ns: int

    @property
    def wall(self) -> float:
        """UTC seconds since the epoch."""
        return self.wall_ns / 1e9


class Receipt(Struct, frozen=True, gc=False):
    """A delivery's ticket: the epoch of its channel (rises with each channel) and the AMQP delivery tag."""

    epoch: int
    tag: int


class Delivery(Struct, frozen=True, gc=False):
    """One message as the broker handed it over; `content` is what its body decodes to."""

    receipt: Receipt
    queue: str
    body: bytes
    content: Union[Message, Invalid]
    headers: Dict[str, Any] = {}
    content_type: Optional[str] = None
    message_id: Optional[str] = None
    expiration_ms: Optional[str] = None
    redelivered: bool = False


class Publish(Struct, frozen=True, gc=False):
    """Publish persistently with the mandatory flag; answered by `on_confirmed(now, ref, outcome)`."""

    ref: str
    exchange: str
    routing_key: str
    body: bytes
    message_id: str
    headers: Dict[str, Any] = {}
    content_type: str = "application/json"
    expiration_ms: Optional[int] = None
    priority: Optional[int] = None


class Settle(Struct, frozen=True, gc=False):
    """Acknowledge these deliveries; receipts of an older epoch are dropped by the adapter."""

    receipts: Tuple[Receipt, ...]


class Handle(Struct, frozen=True, gc=False):
    """Let the handler work on these deliveries together; answered by `on_handled(now, ref, error, duration_ms)`."""

    ref: str
    deliveries: Tuple[Delivery, ...]


class Ask(Struct, frozen=True):
    """Put a question to the brain; answered by `on_decision(now, ask_id, Answer | Failure)`.

    `context` is one of the structs of `core.contexts`; `deadline_s` counts from now, retries and all.
    """

    ask_id: str
    context: Any
    deadline_s: float


class Look(Struct, frozen=True):
    """Ask for measured state off the main thread; answered by `on_view(now, ref, view | ViewFailed)`.

    `start_ns`/`stop_ns` (UTC) bound the views that cover a range of time.
    """

    ref: str
    view: View
    start_ns: int = 0
    stop_ns: int = 0


class Rows(Struct, frozen=True):
    """Write measurement points."""

    rows: Tuple[Row, ...]


class Amend(Struct, frozen=True):
    """Add fields to a point already written: `row` has its exact tag set and timestamp and only the new fields."""

    row: Row


class Wake(Struct, frozen=True):
    """Call `on_wake(now, name)` at monotonic time `at`; a later Wake of that name replaces it, `at=None` drops it."""

    name: str
    at: Optional[float]


class Save(Struct, frozen=True):
    """Keep `state` (JSON-able) under `key` in the state directory; answered by `on_saved(now, ref)`.

    `durable` asks for fsync (survives a power cut); without it the state survives the process only.
    """

    ref: str
    key: str
    state: Any
    durable: bool = True


class Say(Struct, frozen=True):
    """Log one event with its fields."""

    level: Level
    event: str
    fields: Dict[str, Any] = {}


class Alarm(Struct, frozen=True):
    """Hand an alert to the alert command, where one is set; the core says it at level crit beside this."""

    alert: Dict[str, Any]


class Relink(Struct, frozen=True):
    """Close this connection and open it anew (a confirm is overdue, a channel is stuck)."""

    which: Link


class Declare(Struct, frozen=True):
    """Declare the topology's exchanges, queues and bindings again (a queue was deleted under us)."""


Effect = Union[Publish, Settle, Handle, Ask, Look, Rows, Amend, Wake, Save, Say, Alarm, Relink, Declare]


class ApiCall(Struct, frozen=True):
    """One attempt at the API as it went, for `api_calls`; `status` 0 when no answer came."""

    wall_ns: int
    model: str
    attempt: int
    status: int
    error: str
    latency_ms: float
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


class BudgetState(Struct, frozen=True):
    """Where the budget stands, USD: this agent's own spend and limits, and the whole system's where known."""

    spent_hour_usd: float
    spent_day_usd: float
    limit_hour_usd: float
    limit_day_usd: float
    system_hour_usd: Optional[float] = None
    system_day_usd: Optional[float] = None
    level: Literal["ok", "warning", "spent", "stopped"] = "ok"


class Answer(Struct, frozen=True):
    """A brain's decision and what it cost.

    `brain` is who decided; `cost_usd` what was really spent on it over all attempts, `would_cost_usd` what the
    same tokens would have cost where nothing was spent (dry run).
    """

    decision: Decision
    brain: str
    model: str = "none"
    prompt_version: str = "none"
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    would_cost_usd: Optional[float] = None
    latency_ms: float = 0.0
    calls: Tuple[ApiCall, ...] = ()
    budget: Optional[BudgetState] = None


FailureReason = Literal[
    "no_key",
    "budget_spent",
    "spending_stopped",
    "deadline",
    "unreachable",
    "rate_limited",
    "overloaded",
    "authentication",
    "permission",
    "billing",
    "bad_request",
    "no_model",
    "refusal",
    "truncated",
    "invalid_answer",
    "server_error",
    "internal",
]


class Failure(Struct, frozen=True):
    """A brain gave no usable decision: why, and what was spent all the same. The core then decides by rules."""

    reason: FailureReason
    detail: str = ""
    latency_ms: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    calls: Tuple[ApiCall, ...] = ()
    budget: Optional[BudgetState] = None


class ViewFailed(Struct, frozen=True):
    """Measured state could not be had: why."""

    reason: str
