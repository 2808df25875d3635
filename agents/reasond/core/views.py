"""Measured state as the core is shown it, and the ports by which it is had.

Made by the observer from a store and a broker's statistics, real or embedded; read by the cores.
"""

from typing import Dict, Literal, Optional, Protocol, Tuple

from msgspec import Struct

DepthSource = Literal["management", "declare", "unknown"]
"""`management`: ready + unacknowledged; `declare`: ready only, from a passive declare; `unknown`: nobody answered."""


class QueueSample(Struct, frozen=True, gc=False):
    """One queue at one time (UTC ns); None is unknown, never 0; rates in messages per second.

    `ack_rate` is how fast messages leave for good: what was only handed over to a consumer is still in the depth.
    """

    time_ns: int
    queue: str
    depth: Optional[int]
    ready: Optional[int] = None
    unacknowledged: Optional[int] = None
    publish_rate: Optional[float] = None
    ack_rate: Optional[float] = None
    consumers: Optional[int] = None
    source: DepthSource = "management"


class Peer(Struct, frozen=True):
    """Another agent's latest decision, numbers and enums only: free text never crosses between agents."""

    agent_id: str
    age_s: float
    action: str
    fictional_interval: Optional[int] = None
    nonfictional_interval: Optional[int] = None


class RateView(Struct, frozen=True):
    """What a publisher decides on: the recent samples (oldest first), where they came from, and its peers."""

    samples: Tuple[QueueSample, ...]
    source: Literal["influxdb", "broker", "unknown"]
    peers: Tuple[Peer, ...] = ()


class DepthsView(Struct, frozen=True):
    """The queues as the broker itself counts them now (view `broker_depths`)."""

    samples: Tuple[QueueSample, ...]


class WindowView(Struct, frozen=True):
    """Queue samples of a range of time from the store, oldest first (view `depth_window`)."""

    samples: Tuple[QueueSample, ...]


class AgentSeen(Struct, frozen=True):
    """An agent's latest heartbeat: how old, and how many different boots of it were seen in the window."""

    agent_id: str
    agent_type: str
    age_s: float
    degraded: bool = False
    boots: int = 1
    state: str = ""


class Activity(Struct, frozen=True):
    """Everything the monitor aggregates over its window (specification, Agent 4); counts unless named otherwise.

    `plans` are the switchback plans that decisions were taken under, sorted.
    """

    start_ns: int
    stop_ns: int
    published: Dict[str, int] = {}
    consumed: Dict[str, int] = {}
    consumed_by_action: Dict[str, int] = {}
    late: int = 0
    decisions: Dict[str, int] = {}
    decisions_by_brain: Dict[str, int] = {}
    mean_confidence: Optional[float] = None
    tokens: int = 0
    cost_usd: float = 0.0
    api_calls: int = 0
    api_errors: Dict[str, int] = {}
    flagged: int = 0
    rejected: int = 0
    agents: Tuple[AgentSeen, ...] = ()
    samples: Tuple[QueueSample, ...] = ()
    system_hour_usd: float = 0.0
    system_day_usd: float = 0.0
    plans: Tuple[str, ...] = ()


class Decided(Struct, frozen=True):
    """How many decisions a brain took in a block of an experiment, under the arm that they carry."""

    block: int
    arm: str
    brain: str
    count: int


class Minutes(Struct, frozen=True):
    """What an experiment is judged by, in [start, stop): each measure's figures by the minute's begin (UTC ns)."""

    figures: Dict[str, Dict[int, float]]
    decided: Tuple[Decided, ...] = ()


class StoreReader(Protocol):
    """What is asked of InfluxDB or its double; blocking; raises StoreUnavailable or StoreRefused."""

    def queue_samples(self, start_ns: int, stop_ns: int) -> Tuple[QueueSample, ...]:
        """Give `queue_metrics` of all queues in [start, stop), oldest first."""
        ...

    def peers(self, agent_type: str, start_ns: int, stop_ns: int) -> Tuple[Peer, ...]:
        """Give each agent of that type's latest rate decision in [start, stop), by agent id; age counts from stop."""
        ...

    def activity(self, start_ns: int, stop_ns: int) -> Activity:
        """Aggregate every measurement over [start, stop)."""
        ...

    def system_spend(self, at_ns: int) -> Tuple[float, float]:
        """Give the whole system's spend in USD in the UTC hour and the UTC day of `at_ns`, from `budget`."""
        ...

    def minutes(self, start_ns: int, stop_ns: int) -> Minutes:
        """Give what an experiment is judged by in [start, stop), which should be whole minutes."""
        ...


class BrokerStatistics(Protocol):
    """The broker's own figures; blocking; raises BrokerUnavailable or BrokerRefused."""

    def queue_samples(self, at_ns: int) -> Tuple[QueueSample, ...]:
        """Give one sample of each of the topology's queues that exists, stamped `at_ns`."""
        ...
