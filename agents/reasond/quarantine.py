"""The messages set aside in the three dead-letter queues: look at them, put them back, drop them.

Used by `reasond quarantine`. Looking takes messages with basic.get on one channel and gives them back, in
their old order, by closing it. Putting back publishes first and acknowledges after the confirm: whatever
stops it midway, nothing is lost (one message may then be in both places).
"""

import hashlib
from collections import Counter
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import pika
from msgspec import Struct

from reasond import topology
from reasond.adapters.amqp import (
    PERSISTENT,
    NackError,
    UnroutableError,
    blocking_channel,
    plain_headers,
    plain_text,
)
from reasond.errors import InputError
from reasond.messages import Message, read
from reasond.settings import RabbitSettings

CLIENT_NAME = "quarantine"
UNKNOWN_CAUSE = "unknown"
_DEATH_HEADERS = ("x-death", "x-first-death-exchange", "x-first-death-queue", "x-first-death-reason")


class SetAside(Struct, frozen=True):
    """One message set aside.

    `key` is what it is asked for by: its message id, else `sha256-` and the beginning of its body's digest.
    `queue` is where it lies, `origin` where it came from (None when nothing tells), `at` when it was set
    aside.
    """

    key: str
    queue: str
    cause: str
    reason: str
    path: str
    by: str
    origin: Optional[str]
    at: Optional[str]
    expiration_ms: Optional[str]
    body: bytes
    headers: Dict[str, Any]
    message_id: Optional[str]
    content_type: Optional[str]
    priority: Optional[int]


class QueueView(Struct, frozen=True):
    """One dead-letter queue: how many lie there, and the first of them."""

    queue: str
    ready: int
    messages: Tuple[SetAside, ...]

    def causes(self) -> Dict[str, int]:
        """Count the messages looked at by cause, the most frequent first."""
        return dict(Counter(message.cause for message in self.messages).most_common())


class Choice(Struct, frozen=True):
    """Which messages are meant: these keys, one cause, or all; in these queues, the first `limit` of each."""

    queues: Tuple[str, ...] = topology.DEAD_QUEUES
    keys: Tuple[str, ...] = ()
    cause: Optional[str] = None
    everything: bool = False
    limit: int = 1000

    def takes(self, message: SetAside) -> bool:
        """Tell whether a message is meant."""
        if self.keys:
            return message.key in self.keys
        return self.everything or (self.cause is not None and message.cause == self.cause)


class Outcome(Struct, frozen=True):
    """What was done: keys that were moved or dropped, and keys that stay with the reason."""

    done: Tuple[str, ...]
    failed: Dict[str, str]


class _Held(NamedTuple):
    tag: int
    message: SetAside


def look(settings: RabbitSettings, queues: Sequence[str], limit: int) -> Tuple[QueueView, ...]:
    """Look at the first `limit` messages of each queue, leaving everything as it was.

    Raises BrokerUnavailable or BrokerRefused (also for a queue that doesn't exist).
    """
    with blocking_channel(settings, CLIENT_NAME) as channel:
        views = []
        for queue in queues:
            ready = _ready(channel, queue)
            held = tuple(entry.message for entry in _take(channel, queue, min(limit, ready)))
            views.append(QueueView(queue, ready, held))
        return tuple(views)


def requeue(settings: RabbitSettings, choice: Choice, now: datetime) -> Outcome:
    """Put the chosen messages back where they came from, with their TTL afresh, and mark them as put back.

    Raises BrokerUnavailable or BrokerRefused; what was done until then stays done.
    """
    stamp = now.astimezone(timezone.utc).isoformat(timespec="seconds")
    return _each(settings, choice, lambda channel, message: _put_back(channel, message, stamp))


def drop(settings: RabbitSettings, choice: Choice) -> Outcome:
    """Delete the chosen messages for good. Raises BrokerUnavailable or BrokerRefused."""
    return _each(settings, choice, lambda channel, message: None)


def _each(settings: RabbitSettings, choice: Choice, act: Callable[[Any, SetAside], Optional[str]]) -> Outcome:
    """Act on each chosen message, then acknowledge it unless the act gave a reason to keep it."""
    if not (choice.keys or choice.cause or choice.everything):
        raise InputError("name messages by id, or give --cause or --all")
    done: List[str] = []
    failed: Dict[str, str] = {}
    with blocking_channel(settings, CLIENT_NAME) as channel:
        for queue in choice.queues:
            # What is put back may expire at once and return: only what lies there now is looked at.
            for tag, message in _take(channel, queue, min(choice.limit, _ready(channel, queue))):
                if not choice.takes(message):
                    continue
                problem = act(channel, message)
                if problem is None:
                    channel.basic_ack(tag)
                    done.append(message.key)
                else:
                    failed[message.key] = problem
    missing = set(choice.keys).difference(done, failed)
    failed.update({key: f"not among the first {choice.limit} messages" for key in sorted(missing)})
    return Outcome(tuple(done), failed)


def _put_back(channel: Any, message: SetAside, stamp: str) -> Optional[str]:
    if message.origin is None:
        return "nothing tells which queue it came from"
    properties = pika.BasicProperties(
        content_type=message.content_type,
        delivery_mode=PERSISTENT,
        expiration=message.expiration_ms,
        headers=_senders(message.headers, stamp),
        message_id=message.message_id,
        priority=message.priority,
    )
    try:
        channel.basic_publish(topology.EXCHANGE, message.origin, message.body, properties, mandatory=True)
    except UnroutableError:
        return f"no queue {message.origin} is bound to exchange {topology.EXCHANGE}"
    except NackError:
        return f"queue {message.origin} refused it"
    return None


def _senders(headers: Dict[str, Any], stamp: str) -> Dict[str, Any]:
    """Give the sender's own headers, and the mark that the message was put back by hand."""
    kept = {
        name: value
        for name, value in headers.items()
        if not name.startswith("x-reasond-") and name not in _DEATH_HEADERS
    }
    kept[topology.HEADER_REQUEUED] = stamp
    return kept


def _ready(channel: Any, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).method.message_count)


def _take(channel: Any, queue: str, count: int) -> Iterator[_Held]:
    for _ in range(count):
        method, properties, body = channel.basic_get(queue)
        if method is None:
            return
        yield _Held(method.delivery_tag, _read(queue, properties, body))


def _read(queue: str, properties: Any, body: bytes) -> SetAside:
    headers = plain_headers(properties.headers)
    death = _death(headers)
    message_id = plain_text(properties.message_id)
    at = headers.get(topology.HEADER_AT) or death.get("time")
    return SetAside(
        key=message_id or "sha256-" + hashlib.sha256(body).hexdigest()[:16],
        queue=queue,
        cause=str(headers.get(topology.HEADER_CAUSE) or death.get("reason") or UNKNOWN_CAUSE),
        reason=str(headers.get(topology.HEADER_REASON, "")),
        path=str(headers.get(topology.HEADER_PATH, "")),
        by=str(headers.get(topology.HEADER_BY, "")),
        origin=_origin(headers, death, body),
        at=at.isoformat() if isinstance(at, datetime) else at,
        expiration_ms=headers.get(topology.HEADER_EXPIRATION) or death.get("original-expiration"),
        body=body,
        headers=headers,
        message_id=message_id,
        content_type=plain_text(properties.content_type),
        priority=properties.priority,
    )


def _death(headers: Dict[str, Any]) -> Dict[str, Any]:
    deaths = headers.get("x-death")
    return deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}


def _origin(headers: Dict[str, Any], death: Dict[str, Any], body: bytes) -> Optional[str]:
    for told in (headers.get(topology.HEADER_QUEUE), death.get("queue")):
        if told in topology.MAIN_QUEUES:
            return str(told)
    content = read(body)
    return topology.routing_key(content) if isinstance(content, Message) else None
