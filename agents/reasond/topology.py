"""Exchange, queues, bindings and dead-letter policy, declared once.

Used by `reasond setup-rabbitmq`, the agents' redeclaration, the embedded broker, the doctor and the docs.
"""

from typing import Any, Dict, Tuple

from msgspec import Struct

from reasond.messages import Message

EXCHANGE = "books"
DEAD_EXCHANGE = "books.dead"
FICTIONAL, NON_FICTIONAL, PRIORITY = "fictional", "non-fictional", "priority"
EXPIRED, REJECTED, FLAGGED = "books.expired", "books.rejected", "books.flagged"

MAIN_QUEUES: Tuple[str, ...] = (PRIORITY, FICTIONAL, NON_FICTIONAL)
"""In the order in which consumers serve them."""
DEAD_QUEUES: Tuple[str, ...] = (EXPIRED, REJECTED, FLAGGED)

POLICY_NAME = "reasond-expired"
POLICY_PATTERN = "^(fictional|non-fictional|priority)$"
POLICY_PRIORITY = 10

SET_ASIDE_MAX_LENGTH = 100000
"""Messages: flagged and rejected queues refuse more (reject-publish), the agent then holds what it has."""
EXPIRED_MAX_LENGTH = 100000
EXPIRED_MAX_AGE_MS = 7 * 24 * 3600 * 1000
"""Expired messages are evidence, not work: what is older than a week or beyond the length falls off."""

HEADER_REASON = "x-reasond-reason"
HEADER_PATH = "x-reasond-path"
HEADER_CAUSE = "x-reasond-cause"
HEADER_BY = "x-reasond-by"
HEADER_QUEUE = "x-reasond-queue"
HEADER_EXPIRATION = "x-reasond-expiration"
HEADER_ATTEMPTS = "x-reasond-attempts"
HEADER_AT = "x-reasond-at"
HEADER_REQUEUED = "x-reasond-requeued"
"""Set by whoever puts a message back by hand: it is then not doubted again."""


class Queue(Struct, frozen=True):
    """One durable queue and the arguments it is declared with."""

    name: str
    exchange: str
    arguments: Dict[str, Any]


def routing_key(message: Message) -> str:
    """Give the queue (whose name is its routing key) a message goes to: `priority` for high, else its genre's."""
    if message.metadata.priority == "high":
        return PRIORITY
    return message.metadata.genre_type


def queues(queue_type: str = "classic") -> Tuple[Queue, ...]:
    """Give every queue in the order of declaration: dead ones first, so that a policy never points at nothing.

    Main queues carry no arguments when classic: a client that declares them plainly must succeed.
    `queue_type` "quorum" adds the arguments that quorum queues need.
    """
    quorum: Dict[str, Any] = {"x-queue-type": "quorum"} if queue_type == "quorum" else {}
    bounded = dict(quorum, **{"x-max-length": SET_ASIDE_MAX_LENGTH, "x-overflow": "reject-publish"})
    aged = dict(quorum, **{"x-max-length": EXPIRED_MAX_LENGTH, "x-message-ttl": EXPIRED_MAX_AGE_MS})
    return (
        Queue(EXPIRED, DEAD_EXCHANGE, aged),
        Queue(REJECTED, DEAD_EXCHANGE, bounded),
        Queue(FLAGGED, DEAD_EXCHANGE, bounded),
        Queue(FICTIONAL, EXCHANGE, quorum),
        Queue(NON_FICTIONAL, EXCHANGE, quorum),
        Queue(PRIORITY, EXCHANGE, quorum),
    )


def policy_definition(queue_type: str = "classic") -> Dict[str, Any]:
    """Give the dead-letter policy's definition: what expires goes to `books.expired`."""
    definition: Dict[str, Any] = {"dead-letter-exchange": DEAD_EXCHANGE, "dead-letter-routing-key": EXPIRED}
    if queue_type == "quorum":
        definition.update({"dead-letter-strategy": "at-least-once", "overflow": "reject-publish"})
    return definition
