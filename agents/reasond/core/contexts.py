"""What an agent's question is about: the facts put before a brain, one struct an agent kind.

Made by the cores, rendered into prompts by `brains.prompts`, read as they are by the rule-based controller.
Free text of other agents is never in here, except the quoted message of a consumer's question.
"""

from typing import Any, Dict, Optional, Tuple, Union

from msgspec import Struct

from reasond.core.views import Peer


class QueueFacts(Struct, frozen=True):
    """A queue as measured: None is unknown; drain time is depth over the net rate at which it shrinks."""

    depth: Optional[int]
    trend_per_minute: Optional[float] = None
    publish_rate: Optional[float] = None
    ack_rate: Optional[float] = None
    consumers: Optional[int] = None
    drain_time_s: Optional[float] = None


class Past(Struct, frozen=True):
    """One of the agent's own latest decisions: how long ago, and whether it helped (None: `unknown` says why).

    What counts as help is `core.outcome`'s. `waiting` is the summed depth of the main queues, messages.
    """

    action: str
    age_s: float
    helped: Optional[bool] = None
    unknown: str = ""
    acted: bool = True
    fictional_interval: Optional[int] = None
    nonfictional_interval: Optional[int] = None
    waiting_before: Optional[int] = None
    waiting_after: Optional[int] = None


class RateContext(Struct, frozen=True):
    """A publisher's question: should I adjust my rate? Intervals in whole seconds."""

    agent_id: str
    fictional_interval: int
    nonfictional_interval: int
    default_fictional_interval: int
    default_nonfictional_interval: int
    min_interval: int
    max_interval: int
    paused: bool
    queues: Dict[str, QueueFacts]
    depth_source: str
    depth_age_s: Optional[float]
    expired_per_minute: Optional[float]
    message_ttl_s: int
    peers: Tuple[Peer, ...] = ()
    past: Tuple[Past, ...] = ()


class HandlingContext(Struct, frozen=True):
    """A consumer's question: process, batch or flag this message? `message` holds only the fields allowed out."""

    agent_id: str
    queue: str
    genre_type: str
    priority: str
    queue_depth: Optional[int]
    message: Dict[str, Any]
    age_s: float
    seconds_left: float
    redelivered: bool = False
    last_seen: Optional[Dict[str, Any]] = None
    past: Tuple[Past, ...] = ()


class HealthContext(Struct, frozen=True):
    """The monitor's question: what is wrong with the system? `score` and `findings` are the deterministic ones."""

    agent_id: str
    window_s: float
    metrics: Dict[str, Any]
    score: int
    findings: Tuple[str, ...]
    past: Tuple[Past, ...] = ()


Context = Union[RateContext, HandlingContext, HealthContext]
