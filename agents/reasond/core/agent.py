"""The shape every core has, so that one runtime and one simulation can drive all three."""

from typing import Any, List, Optional, Protocol, Sequence, Union

from msgspec import Struct

from reasond.core.effects import Answer, Delivery, Effect, Failure, Link, Now, ViewFailed
from reasond.decisions import AgentType


class Status(Struct, frozen=True):
    """A few figures on an agent for STATUS lines, heartbeats and people.

    `line` is one readable line (rate, depth, last action); `fields` are `agent_health` fields to add.
    """

    line: str
    fields: Any = {}


class AgentCore(Protocol):
    """An agent as a pure state machine: each event returns the effects to carry out, in order.

    Events that a kind of agent has no use for return an empty list. `state` given to the constructor of each
    core is a mapping of key -> last saved state of that key (`Save`), empty at the first start.
    """

    agent_id: str
    agent_type: AgentType

    def on_start(self, now: Now) -> List[Effect]:
        """Begin: first timers and looks. Called once, before any other event."""
        ...

    def on_deliveries(self, now: Now, deliveries: Sequence[Delivery]) -> List[Effect]:
        """Take messages from the broker, all that came in one turn of the loop."""
        ...

    def on_handled(self, now: Now, ref: str, error: Optional[str], duration_ms: float) -> List[Effect]:
        """Take the end of a `Handle`: error is None when the handler succeeded."""
        ...

    def on_decision(self, now: Now, ask_id: str, answer: Union[Answer, Failure]) -> List[Effect]:
        """Take a brain's answer, or why there is none; may come late or for an unknown ask_id."""
        ...

    def on_confirmed(self, now: Now, ref: str, outcome: str) -> List[Effect]:
        """Take the broker's word on a `Publish`: `ok`, `returned` (no queue took it) or `nacked`."""
        ...

    def on_view(self, now: Now, ref: str, view: Union[Any, ViewFailed]) -> List[Effect]:
        """Take what a `Look` found."""
        ...

    def on_wake(self, now: Now, name: str) -> List[Effect]:
        """Take the end of a timer set with `Wake`."""
        ...

    def on_link(self, now: Now, which: Link, up: bool, blocked: bool) -> List[Effect]:
        """Take a connection's state: a link that went down forgets what the core held on it."""
        ...

    def on_saved(self, now: Now, ref: str) -> List[Effect]:
        """Take the completion of a `Save`."""
        ...

    def on_control(self, now: Now, control: "Control") -> List[Effect]:
        """Take the operator's hand (at start, if there is one, and after each reload)."""
        ...

    def on_settings(self, now: Now, section: Any) -> List[Effect]:
        """Take the agent's own settings section anew, after SIGHUP."""
        ...

    def on_stop(self, now: Now) -> List[Effect]:
        """Begin to stop: take on nothing new, finish or give back what is in hand."""
        ...

    def on_cut_off(self, now: Now) -> List[Effect]:
        """Take the end of the time to stop in: the links close, so what ends from now on must not count."""
        ...

    def stopped(self) -> bool:
        """Tell whether, after `on_stop`, nothing is left in hand."""
        ...

    def status(self, now: Now) -> Status:
        """Describe the present state."""
        ...


class Control(Struct, frozen=True):
    """The operator's standing orders for one agent (`reasond control`).

    `hold`: a publisher publishes nothing, a consumer takes nothing new. `shadow`: ask and record, don't act.
    The intervals (whole seconds) are set once, when `serial` changes. `stop_spending`: call no API.
    `switchback` is a publisher's experiment in place of the setting's; "" ends one.
    """

    serial: int = 0
    hold: bool = False
    shadow: bool = False
    fictional_interval: Optional[int] = None
    nonfictional_interval: Optional[int] = None
    stop_spending: bool = False
    switchback: Optional[str] = None
