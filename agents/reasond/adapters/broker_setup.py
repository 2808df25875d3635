"""Sets the topology up on a RabbitMQ: looks at everything first, and changes nothing when anything conflicts.

Used by `reasond setup-rabbitmq`, by the doctor (which only looks) and by tests.
"""

import random
import time
from typing import Any, Callable, Dict, List, Sequence, Tuple

from msgspec import Struct

from reasond import topology
from reasond.adapters.management import Management, Policy, winner
from reasond.core import backoff
from reasond.errors import BrokerRefused, BrokerUnavailable, TopologyConflict

RETRY_BASE_S, RETRY_CAP_S = 0.5, 5.0
"""A broker that is starting is there within seconds; somebody may be watching this wait."""
QUORUM_TTL_VERSION = (3, 10, 0)
"""Before it a quorum queue accepts a per-message TTL and ignores it: nothing would ever expire."""
LOSING_KEYS = frozenset(("expires", "message-ttl", "max-length", "max-length-bytes", "max-length-in-bytes"))
"""What a stranger's policy can make a queue lose messages by."""


class Item(Struct, frozen=True):
    """One thing of the topology: what it is called, and how it is made."""

    name: str
    make: Callable[[], None]


class Inspection(Struct, frozen=True):
    """What stands, what is missing, what conflicts; `notes` are worth knowing and stand in nobody's way."""

    stood: Tuple[str, ...]
    missing: Tuple[Item, ...]
    conflicts: Tuple[str, ...]
    notes: Tuple[str, ...] = ()


class SetupReport(Struct, frozen=True):
    """What set-up did: names of what was created (or brought up to date) and of what stood already."""

    created: Tuple[str, ...]
    stood: Tuple[str, ...]
    notes: Tuple[str, ...] = ()


def wait_for_broker(
    management: Management,
    timeout_s: float,
    rng: random.Random,
    on_wait: Callable[[str], None] = lambda reason: None,
) -> None:
    """Wait until the management API answers, at most `timeout_s`; `on_wait` is told the reason of each wait.

    Raises BrokerUnavailable when the time is over, BrokerRefused at once when credentials are wrong.
    """
    deadline = time.monotonic() + timeout_s
    attempt = 0
    while True:
        try:
            management.overview()
            return
        except BrokerUnavailable as err:
            wait_s = backoff.delay_s(attempt, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S, rng=rng)
            if time.monotonic() + wait_s > deadline:
                raise
            attempt += 1
            on_wait(str(err))
            time.sleep(wait_s)


def inspect(management: Management, queue_type: str) -> Inspection:
    """Compare the broker with the declared topology, changing nothing.

    Raises BrokerUnavailable or BrokerRefused.
    """
    if not management.vhost_exists():
        raise BrokerRefused(
            f"virtual host {management.vhost!r} doesn't exist at {management.url}: "
            f"create it (rabbitmqctl add_vhost {management.vhost}) or correct RABBITMQ_VHOST"
        )
    look = _Look(management, queue_type)
    look.version()
    look.exchange(topology.DEAD_EXCHANGE)
    dead = [queue for queue in topology.queues(queue_type) if queue.exchange == topology.DEAD_EXCHANGE]
    main = [queue for queue in topology.queues(queue_type) if queue.exchange == topology.EXCHANGE]
    for queue in dead:
        look.queue(queue)
    look.policy()
    look.exchange(topology.EXCHANGE)
    for queue in main:
        look.queue(queue)
    look.strangers()
    return Inspection(tuple(look.stood), tuple(look.missing), tuple(look.conflicts), tuple(look.notes))


def apply(found: Inspection) -> SetupReport:
    """Create what an inspection found missing, in the order that never leaves a policy pointing at nothing.

    Raises TopologyConflict with every conflict, having changed nothing; BrokerUnavailable or BrokerRefused.
    """
    if found.conflicts:
        raise TopologyConflict(found.conflicts)
    for item in found.missing:
        item.make()
    return SetupReport(tuple(item.name for item in found.missing), found.stood, found.notes)


def set_up(management: Management, queue_type: str) -> SetupReport:
    """Inspect and apply; idempotent. Raises as both do."""
    return apply(inspect(management, queue_type))


class _Look:
    """One inspection under way."""

    def __init__(self, management: Management, queue_type: str) -> None:
        self._management = management
        self._queue_type = queue_type
        self._policies = management.policies()
        self.stood: List[str] = []
        self.missing: List[Item] = []
        self.conflicts: List[str] = []
        self.notes: List[str] = []

    def version(self) -> None:
        version = self._management.version()
        if self._queue_type == "quorum" and version < QUORUM_TTL_VERSION:
            number = ".".join(str(part) for part in version)
            self.conflicts.append(
                f"RabbitMQ {number} ignores per-message TTL on quorum queues: RABBITMQ_QUEUE_TYPE=quorum "
                "needs 3.10 or later"
            )

    def exchange(self, name: str) -> None:
        standing = self._management.exchange(name)
        label = "exchange " + name
        if standing is None:
            self.missing.append(Item(label, lambda: self._management.declare_exchange(name)))
            return
        expected = {
            "type": "direct",
            "durable": True,
            "auto_delete": False,
            "internal": False,
            "arguments": {},
        }
        self._compare(label, {key: standing.get(key) for key in expected}, expected)

    def queue(self, queue: topology.Queue) -> None:
        standing = self._management.queue(queue.name)
        label = "queue " + queue.name
        if standing is None:
            self.missing.append(Item(label, lambda: self._management.declare_queue(queue.name, queue.arguments)))
        else:
            expected: Dict[str, Any] = {
                "durable": True,
                "auto_delete": False,
                "exclusive": False,
                "type": queue.arguments.get("x-queue-type", "classic"),
                "arguments": _without_type(queue.arguments),
            }
            actual = {key: standing.get(key, expected[key]) for key in expected}
            actual["arguments"] = _without_type(standing.get("arguments") or {})
            self._compare(label, actual, expected)
        self._binding(queue, standing is not None)

    def policy(self) -> None:
        ours = Policy(
            topology.POLICY_NAME,
            topology.POLICY_PATTERN,
            topology.policy_definition(self._queue_type),
            topology.POLICY_PRIORITY,
        )
        label = "policy " + topology.POLICY_NAME
        standing = [policy for policy in self._policies if policy.name == topology.POLICY_NAME]
        if standing == [ours]:
            self.stood.append(label)
        else:
            # Under our own name it is ours to bring up to date: an older version of reasond may have set it.
            self.missing.append(Item(label, lambda: self._management.put_policy(ours)))

    def strangers(self) -> None:
        """Look at what other policies do to our queues."""
        others = [policy for policy in self._policies if policy.name != topology.POLICY_NAME]
        for queue in topology.MAIN_QUEUES:
            self._rivals(others, queue)
        for queue in topology.DEAD_QUEUES:
            for policy in winner(others, queue):
                self._loses(policy, queue)
        try:
            operators = self._management.operator_policies()
        except BrokerRefused as err:
            self.notes.append(f"operator policies could not be looked at: {err}")
            return
        for queue in topology.MAIN_QUEUES + topology.DEAD_QUEUES:
            for policy in winner(operators, queue):
                self._loses(policy, queue)

    def _rivals(self, others: Sequence[Policy], queue: str) -> None:
        for policy in winner(others, queue):
            if policy.priority >= topology.POLICY_PRIORITY:
                self.conflicts.append(
                    f"policy {policy.name!r} (priority {policy.priority}) matches queue {queue} and would "
                    f"take the place of {topology.POLICY_NAME!r} (priority {topology.POLICY_PRIORITY}): what "
                    f"expires there is lost; lower its priority or narrow its pattern {policy.pattern!r}"
                )
            else:
                self.notes.append(
                    f"policy {policy.name!r} doesn't apply to queue {queue}: {topology.POLICY_NAME!r} goes "
                    "before it, and policies don't merge"
                )

    def _loses(self, policy: Policy, queue: str) -> None:
        keys = sorted(LOSING_KEYS.intersection(policy.definition))
        if keys:
            kind = "operator policy" if policy.operator else "policy"
            self.conflicts.append(
                f"{kind} {policy.name!r} sets {', '.join(keys)} on queue {queue}, which would lose messages: "
                f"exempt the queue from its pattern {policy.pattern!r}"
            )

    def _binding(self, queue: topology.Queue, stands: bool) -> None:
        label = f"binding {queue.exchange} -> {queue.name}"
        if stands and self._management.bound(queue.exchange, queue.name, queue.name):
            self.stood.append(label)
        else:
            self.missing.append(Item(label, lambda: self._management.bind(queue.exchange, queue.name, queue.name)))

    def _compare(self, label: str, actual: Dict[str, Any], expected: Dict[str, Any]) -> None:
        differences = [
            f"{key} is {actual[key]!r}, not {expected[key]!r}" for key in expected if actual[key] != expected[key]
        ]
        if differences:
            self.conflicts.append("{} stands otherwise: {}".format(label, "; ".join(differences)))
        else:
            self.stood.append(label)


def _without_type(arguments: Dict[str, Any]) -> Dict[str, Any]:
    """Leave out the queue type, which is compared by itself: for a classic queue it may be written or not."""
    return {key: value for key, value in arguments.items() if key != "x-queue-type"}


def describe(found: Inspection) -> Dict[str, List[str]]:
    """Give an inspection as JSON-able lists of names."""
    return {
        "stood": list(found.stood),
        "missing": [item.name for item in found.missing],
        "conflicts": list(found.conflicts),
        "notes": list(found.notes),
    }
