"""Looks at RabbitMQ and InfluxDB that change nothing, for the doctor: what answers, and what is allowed.

Each AMQP probe asks for something that the broker judges by the user's rights first and that then has no
effect, as a wrong argument or a missing binding makes it void. So rights are seen as the agents' own user has
them, without an administrator's eyes and without a message left, moved or marked as redelivered.
"""

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Type

import pika
import urllib3
from msgspec import Struct
from pika import exceptions as pika_errors
from pika.adapters.utils import connection_workflow

from reasond import topology
from reasond.adapters.amqp import (
    ACCESS_REFUSED,
    NOT_FOUND,
    PRECONDITION_FAILED,
    parameters,
    reply_code,
    translate,
)
from reasond.adapters.causes import short_cause
from reasond.errors import ReasondError
from reasond.settings import RabbitSettings

HTTP_TIMEOUT_S = 4.0
"""An ordinary answer takes milliseconds; two in a row must fit into a check's deadline."""
CONNECT_TIMEOUT_S, HANDSHAKE_TIMEOUT_S, BLOCKED_TIMEOUT_S = 2.0, 4.0, 2.0
"""Shorter than the agents' own: somebody waits for the answer."""
VOID_KEY = "reasond.doctor"
"""A routing key that nothing is bound with: what is published with it is gone."""

Step = Callable[[Any], Any]


class Answer(Struct, frozen=True):
    """An HTTP answer: header names in lower case."""

    status: int
    headers: Dict[str, str]
    body: bytes


class Rights(Struct, frozen=True):
    """What came of the probes: names that are missing, declared otherwise, and rights that are refused."""

    missing: Tuple[str, ...]
    different: Tuple[str, ...]
    refused: Tuple[str, ...]


def http(
    method: str,
    url: str,
    unavailable: Type[ReasondError],
    *,
    headers: Optional[Mapping[str, str]] = None,
    body: Optional[bytes] = None,
    ca_file: str = "",
) -> Answer:
    """Send one request, follow nothing, and give the answer whatever its status.

    Raises `unavailable` when there is none.
    """
    try:
        with urllib3.PoolManager(
            timeout=urllib3.Timeout(total=HTTP_TIMEOUT_S),
            retries=False,
            ca_certs=ca_file if ca_file and url.startswith("https:") else None,
        ) as pool:
            answer = pool.request(method, url, headers=dict(headers or {}), body=body, redirect=False)
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as err:
        raise unavailable("no answer from {}: {}".format(url.partition("?")[0], short_cause(err))) from err
    lower = {name.lower(): value for name, value in answer.headers.items()}
    return Answer(int(answer.status), lower, bytes(answer.data))


class AmqpProbe:
    """One connection to one host, for a `with` block; every step gets a channel of its own."""

    def __init__(self, settings: RabbitSettings, host: str) -> None:
        """Take the settings and the host; entering the block connects.

        Entering raises BrokerUnavailable or BrokerRefused; a step does when the connection itself is lost.
        """
        self._settings = settings
        self._host = host
        self._connection: Any = None

    def __enter__(self) -> "AmqpProbe":
        """Connect."""
        parameter = parameters(self._settings, self._host, "doctor")
        parameter.socket_timeout, parameter.stack_timeout = CONNECT_TIMEOUT_S, HANDSHAKE_TIMEOUT_S
        parameter.blocked_connection_timeout = BLOCKED_TIMEOUT_S
        try:
            self._connection = pika.BlockingConnection(parameter)
        except (pika_errors.AMQPError, connection_workflow.AMQPConnectorException, OSError) as err:
            raise translate(err, self._settings, self._host) from err
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the connection, if it is still there."""
        try:
            self._connection.close()
        except pika_errors.AMQPError:
            pass

    def version(self) -> str:
        """Give the broker's version, as it introduces itself."""
        # pika gives BlockingConnection no way of its own to what the broker said in connection.start.
        told = getattr(self._connection._impl, "server_properties", None) or {}
        return str(told.get("version", ""))

    def rights(self, queues: Sequence[topology.Queue], read: Sequence[str]) -> Rights:
        """Probe what agents do: declare every name, publish to both exchanges, bind each queue, consume some.

        `read` names those to consume. Raises BrokerUnavailable or BrokerRefused when the connection is lost.
        """
        found = _Found(self.code_of)
        for exchange in (topology.DEAD_EXCHANGE, topology.EXCHANGE):
            if found.stands("exchange " + exchange, _exchange_declare(exchange, passive=True)):
                found.declared("exchange " + exchange, _exchange_declare(exchange, passive=False))
                found.permitted("write on exchange " + exchange, _publish(exchange, b""))
        for queue in queues:
            label = "queue " + queue.name
            if found.stands(label, _queue_declare(queue, passive=True)):
                found.declared(label, _queue_declare(queue, passive=False))
                found.permitted(f"write on {label}, or read on exchange {queue.exchange}", _unbind(queue))
                if queue.name in read:
                    found.permitted("read on " + label, _consume(queue.name))
        return Rights(tuple(found.missing), tuple(found.different), tuple(found.refused))

    def accepts_size(self, size_bytes: int) -> bool:
        """Tell whether the broker takes a message of this size; it is published to nowhere and gone."""
        return self.code_of(_publish(topology.EXCHANGE, b"\0" * size_bytes)) != PRECONDITION_FAILED

    def code_of(self, step: Step) -> int:
        """Take a step on a fresh channel; give the AMQP reply code the broker closed it with, 0 for none.

        Raises BrokerUnavailable or BrokerRefused when the connection was lost.
        """
        try:
            channel = self._connection.channel()
            channel.confirm_delivery()
            step(channel)
            channel.close()
        except pika_errors.UnroutableError:
            return 0
        except pika_errors.ChannelClosedByBroker as err:
            return reply_code(err)
        except pika_errors.AMQPError as err:
            raise translate(err, self._settings, self._host) from err
        return 0


class _Found:
    """Collects what the broker answered to the steps."""

    def __init__(self, code_of: Callable[[Step], int]) -> None:
        self._code_of = code_of
        self.missing: List[str] = []
        self.different: List[str] = []
        self.refused: List[str] = []

    def stands(self, label: str, step: Step) -> bool:
        code = self._code_of(step)
        if code == NOT_FOUND:
            self.missing.append(label)
        return code != NOT_FOUND

    def declared(self, label: str, step: Step) -> None:
        code = self._code_of(step)
        if code == ACCESS_REFUSED:
            self.refused.append("configure on " + label)
        elif code == PRECONDITION_FAILED:
            self.different.append(label)

    def permitted(self, label: str, step: Step) -> None:
        if self._code_of(step) == ACCESS_REFUSED:
            self.refused.append(label)


def _exchange_declare(name: str, passive: bool) -> Step:
    return lambda channel: channel.exchange_declare(name, "direct", durable=True, passive=passive)


def _queue_declare(queue: topology.Queue, passive: bool) -> Step:
    # Declared actively only after the passive one found it: the doctor must not create what is missing.
    return lambda channel: channel.queue_declare(queue.name, durable=True, passive=passive, arguments=queue.arguments)


def _publish(exchange: str, body: bytes) -> Step:
    # Mandatory, so that it comes back at once instead of being taken for a success.
    return lambda channel: channel.basic_publish(exchange, VOID_KEY, body, mandatory=True)


def _unbind(queue: topology.Queue) -> Step:
    # Wants the same rights as to bind; that there is no such binding is no error (RabbitMQ since 3.2).
    return lambda channel: channel.queue_unbind(queue.name, queue.exchange, VOID_KEY)


def _consume(name: str) -> Step:
    # x-priority must be a number: refused with 406, but only after the right to read was looked at.
    return lambda channel: channel.basic_consume(name, lambda *_: None, arguments={"x-priority": "none"})
