"""AMQP connections: parameters from the settings, pika's errors in our words, and a line that is kept open.

Used by `adapters.rabbitmq` (the agents' links) and by the commands that talk to the broker directly. The one
place that knows pika's exceptions.
"""

import contextlib
import random
import socket
import ssl
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import pika
from pika import exceptions as pika_errors
from pika import spec as pika_spec
from pika.adapters.select_connection import IOLoop, SelectConnection
from pika.adapters.utils import connection_workflow

from reasond.adapters.lanes import Lane
from reasond.core import backoff
from reasond.errors import BrokerError, BrokerRefused, BrokerUnavailable, SettingsError
from reasond.settings import RabbitSettings

CONNECT_TIMEOUT_S = 5.0
"""For a TCP connection: on a working network it takes milliseconds."""
HANDSHAKE_TIMEOUT_S = 10.0
"""For TCP, TLS and AMQP together; a mute peer is given up after it."""
RESOLVE_LIMIT_S = 15.0
"""A name server that is away holds a lookup for long (resolv.conf(5): several tries of 5 s)."""
RETRY_BASE_S, RETRY_CAP_S = 0.5, 30.0
REFUSED_BASE_S, REFUSED_CAP_S = 10.0, 60.0
"""A wrong password doesn't mend itself: each try costs the broker a log line, so they are rare."""
STABLE_S = 5.0
"""A connection that held for less counts as a failed try, so that a flapping one is slowed down."""
CLOSE_LIMIT_S = 1.5
"""A blocked or mute broker never answers a close; the stop as a whole has 10 s."""
CLOSE_POLL_S = 0.02

BLOCKED_LIMIT_S = 30.0
"""A command that the broker's alarm holds up for longer ends and says so."""

ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED, NOT_ALLOWED = 403, 404, 406, 530
_PERMANENT_CODES = (ACCESS_REFUSED, NOT_ALLOWED)


def parameters(
    settings: RabbitSettings, host: str, client_name: str, address: Optional[str] = None
) -> pika.ConnectionParameters:
    """Give pika's parameters for one host; `address` is its IP address where it was looked up already.

    Raises SettingsError when the CA file can't be used.
    """
    return pika.ConnectionParameters(
        host=address or host,
        port=settings.port,
        virtual_host=settings.vhost,
        credentials=pika.PlainCredentials(settings.user, settings.password),
        heartbeat=settings.heartbeat_s,
        socket_timeout=CONNECT_TIMEOUT_S,
        stack_timeout=HANDSHAKE_TIMEOUT_S,
        ssl_options=_tls(settings, host),
        client_properties={"connection_name": client_name, "product": "reasond"},
    )


def _tls(settings: RabbitSettings, host: str) -> Optional[pika.SSLOptions]:
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as err:
        raise SettingsError([f"RABBITMQ_CA_FILE: {settings.ca_file!r} can't be used: {err}"]) from err
    return pika.SSLOptions(context, server_hostname=host)


def translate(err: BaseException, settings: RabbitSettings, host: str = "") -> BrokerError:
    """Give one of pika's errors (or a socket's) in our words: BrokerRefused when trying again can't help."""
    at = "RabbitMQ at {}:{}".format(host or ",".join(settings.hosts), settings.port)
    cause = _innermost(err)
    if isinstance(cause, pika_errors.ProbableAuthenticationError):
        return BrokerRefused(f"{at} refused the login of {settings.user!r}: check RABBITMQ_USER and RABBITMQ_PASS")
    if isinstance(cause, pika_errors.ProbableAccessDeniedError):
        return BrokerRefused(
            f"{at} gives {settings.user!r} no access to virtual host {settings.vhost!r}: "
            "check RABBITMQ_VHOST and the user's permissions"
        )
    if isinstance(cause, pika_errors.IncompatibleProtocolError):
        return BrokerUnavailable(f"{at} doesn't answer as AMQP 0-9-1: check port and RABBITMQ_TLS")
    if isinstance(cause, (pika_errors.ConnectionClosed, pika_errors.ChannelClosed)):
        kind = BrokerRefused if cause.reply_code in _PERMANENT_CODES else BrokerUnavailable
        return kind(f"{at}: {cause.reply_code} {cause.reply_text}")
    return BrokerUnavailable(f"{at} can't be reached: {str(cause) or type(cause).__name__}")


PERSISTENT = 2
"""AMQP's delivery_mode of a message that survives the broker's restart."""


def plain_text(value: Any) -> Optional[str]:
    """Give a short string as text: pika hands out one that isn't UTF-8 as bytes."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def plain_headers(headers: Optional[Dict[Any, Any]]) -> Dict[str, Any]:
    """Give a header table with text for names, so that it can be logged, compared and published again."""
    return {str(plain_text(name)): value for name, value in (headers or {}).items()}


def reply_code(err: Any) -> int:
    """Give the AMQP reply code an error carries, 0 for none."""
    return int(getattr(err, "reply_code", 0) or 0)


def _innermost(err: BaseException) -> BaseException:
    """Find what really happened inside the wrappers of pika's connection workflow."""
    while True:
        if isinstance(err, connection_workflow.AMQPConnectionWorkflowFailed):
            err = err.exceptions[-1]
        elif isinstance(err, connection_workflow.AMQPConnectorPhaseErrorBase):
            err = err.exception
        elif isinstance(err, pika_errors.AMQPConnectionError) and _only_wraps(err):
            err = err.args[0]
        else:
            return err


def _only_wraps(err: BaseException) -> bool:
    return len(err.args) == 1 and isinstance(err.args[0], BaseException)


@contextlib.contextmanager
def blocking_channel(settings: RabbitSettings, client_name: str) -> Iterator[Any]:
    """Give a pika BlockingChannel in confirm mode, for commands; hosts are tried in turn.

    Raises BrokerUnavailable or BrokerRefused, also for what goes wrong inside the `with` block.
    """
    connection = _connect_blocking(settings, client_name)
    try:
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            yield channel
        except pika_errors.AMQPError as err:
            raise translate(err, settings) from err
    finally:
        with contextlib.suppress(pika_errors.AMQPError):
            connection.close()


UnroutableError = pika_errors.UnroutableError
NackError = pika_errors.NackError
"""What a blocking channel in confirm mode raises for a returned and for a refused message."""


def _connect_blocking(settings: RabbitSettings, client_name: str) -> Any:
    problem: Optional[BrokerError] = None
    cause: Optional[BaseException] = None
    for host in settings.hosts:
        how = parameters(settings, host, client_name)
        how.blocked_connection_timeout = BLOCKED_LIMIT_S
        try:
            return pika.BlockingConnection(how)
        except (pika_errors.AMQPError, connection_workflow.AMQPConnectorException, OSError) as err:
            problem, cause = translate(err, settings, host), err
    assert problem is not None, "RABBITMQ_HOST names at least one host"
    raise problem from cause


class TolerantProperties(pika.BasicProperties):  # type: ignore[misc]
    """Properties that survive what pika can't decode: `undecodable` then says why, and the rest is empty.

    The broker passes on names that aren't UTF-8 or impossible timestamps as they came. pika raises in its
    reader and closes the connection, and would meet the same message again after each reconnect, for ever.
    """

    undecodable = ""

    def decode(self, encoded: bytes, offset: int = 0) -> Any:
        """Read the properties from the wire; never raises."""
        try:
            return super().decode(encoded, offset)
        except Exception as err:
            self.__init__()  # type: ignore[misc]
            self.undecodable = f"{type(err).__name__}: {err}"
            return self


pika_spec.props[pika_spec.BasicProperties.INDEX] = TolerantProperties


Resolved = Union[List[str], OSError]


def _addresses(host: str, port: int) -> Resolved:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as err:
        return err if isinstance(err, OSError) else OSError(str(err))
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Line:
    """One SelectConnection that comes back by itself: hosts in turn, backoff, never blocking the loop.

    Names are looked up on a daemon thread of our own: pika's own lookup thread isn't one, and a name server
    that is away would hold up the process's end.
    """

    def __init__(
        self,
        settings: RabbitSettings,
        ioloop: IOLoop,
        *,
        client_name: str,
        rng: random.Random,
        on_open: Callable[[SelectConnection], None],
        on_lost: Callable[[Optional[BrokerError]], None],
        on_blocked: Callable[[bool], None],
    ) -> None:
        """Take the settings, the loop, and who is told.

        `on_lost` gets the reason when a connection ended or none could be had in a whole round of the hosts.
        Raises SettingsError when the CA file can't be used.
        """
        self._settings = settings
        self._ioloop = ioloop
        self._client_name = client_name
        self._rng = rng
        self._on_open = on_open
        self._on_lost = on_lost
        self._on_blocked = on_blocked
        self._lane = Lane("names", 1, ioloop.add_callback_threadsafe)
        self._generation = 0
        self._failures = 0
        self._opened_at: Optional[float] = None
        self._problem: Optional[BrokerError] = None
        self._timer: Optional[object] = None
        self._hosts_left: Deque[str] = deque()
        self._addresses_left: Deque[Tuple[str, str]] = deque()
        self.connection: Optional[SelectConnection] = None
        parameters(settings, settings.hosts[0], client_name)

    def open(self) -> None:
        """Begin a round: every address of every host, then a wait, then again."""
        self._forget()
        self._problem = None
        self._hosts_left = deque(self._settings.hosts)
        self._addresses_left.clear()
        self._next()

    def relink(self) -> None:
        """Drop this connection, closing it in the background, and begin to connect anew."""
        self.drop(lambda: None)
        self.open()

    def drop(self, done: Callable[[], None]) -> None:
        """Close for good, in bounded time; `done` is called when it is closed. Nothing else is told."""
        connection = self.connection
        self._forget()
        if connection is None:
            done()
        else:
            _retire(connection, self._ioloop, done)

    def _forget(self) -> None:
        """Make every callback of what went before void."""
        self._generation += 1
        self.connection = None
        self._opened_at = None
        self._cancel_timer()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._ioloop.remove_timeout(self._timer)
            self._timer = None

    def _next(self, problem: Optional[BrokerError] = None) -> None:
        """Try the next address, else the next host, else wait."""
        self._forget()
        # Of a round's failures a refusal tells most: an address that isn't listened on is ordinary.
        if not isinstance(self._problem, BrokerRefused):
            self._problem = problem or self._problem
        if self._addresses_left:
            host, address = self._addresses_left.popleft()
            self._connect(host, address)
        elif self._hosts_left:
            self._resolve(self._hosts_left.popleft())
        else:
            self._wait(self._problem)

    def _resolve(self, host: str) -> None:
        generation = self._generation
        port = self._settings.port
        self._timer = self._ioloop.call_later(
            RESOLVE_LIMIT_S,
            lambda: self._resolved(generation, host, OSError("no answer from the name service")),
        )
        self._lane.submit(lambda: _addresses(host, port), lambda found: self._resolved(generation, host, found))

    def _resolved(self, generation: int, host: str, found: Resolved) -> None:
        if generation != self._generation:
            return
        if isinstance(found, OSError):
            self._next(translate(found, self._settings, host))
            return
        self._addresses_left.extend((host, address) for address in found)
        self._next()

    def _connect(self, host: str, address: str) -> None:
        generation = self._generation
        # Never interrupted: closing or aborting a connection that is opening fails an assertion inside pika
        # 1.4, on the loop. One that nobody waits for any more runs into its timeout, or is closed once open.
        SelectConnection.create_connection(
            [parameters(self._settings, host, self._client_name, address)],
            on_done=lambda result: self._connected(generation, host, result),
            custom_ioloop=self._ioloop,
        )

    def _connected(self, generation: int, host: str, result: Any) -> None:
        if generation != self._generation:
            if isinstance(result, SelectConnection):
                _retire(result, self._ioloop, lambda: None)
            return
        if not isinstance(result, SelectConnection):
            self._next(translate(result, self._settings, host))
            return
        self.connection = result
        self._opened_at = time.monotonic()
        result.add_on_close_callback(lambda _, err: self._closed(generation, host, err))
        result.add_on_connection_blocked_callback(lambda *_: self._blocked(generation, True))
        result.add_on_connection_unblocked_callback(lambda *_: self._blocked(generation, False))
        self._on_open(result)

    def _blocked(self, generation: int, blocked: bool) -> None:
        if generation == self._generation:
            self._on_blocked(blocked)

    def _closed(self, generation: int, host: str, err: BaseException) -> None:
        if generation != self._generation:
            return
        if self._opened_at is not None and time.monotonic() - self._opened_at >= STABLE_S:
            self._failures = 0
        self._forget()
        self._wait(translate(err, self._settings, host))

    def _wait(self, problem: Optional[BrokerError]) -> None:
        refused = isinstance(problem, BrokerRefused)
        delay_s = backoff.delay_s(
            self._failures,
            base_s=REFUSED_BASE_S if refused else RETRY_BASE_S,
            cap_s=REFUSED_CAP_S if refused else RETRY_CAP_S,
            rng=self._rng,
        )
        self._failures += 1
        self._timer = self._ioloop.call_later(delay_s, self.open)
        self._on_lost(problem)


def _retire(connection: SelectConnection, ioloop: IOLoop, done: Callable[[], None]) -> None:
    """Close a connection properly, or cut it off when the broker doesn't answer in time; then call `done`."""
    if not (connection.is_closing or connection.is_closed):
        connection.close()
    deadline = time.monotonic() + CLOSE_LIMIT_S

    def look() -> None:
        if not connection.is_closed and time.monotonic() < deadline:
            ioloop.call_later(CLOSE_POLL_S, look)
            return
        if not connection.is_closed:
            # pika has no public way to cut a connection; without it a blocked broker would collect old ones.
            connection._terminate_stream(pika_errors.ConnectionClosedByClient(0, "no answer to close"))
        done()

    look()


Call = Callable[[Any, Callable[[Any], None]], None]
"""Makes one call on a channel and has its reply handed to a callback."""


class Steps:
    """Calls made one after another on a channel of their own, for what the broker may refuse.

    AMQP answers a refused declaration by closing the channel: the next call then gets a new one.
    """

    def __init__(
        self,
        connection: SelectConnection,
        calls: Sequence[Tuple[str, Call]],
        done: Callable[[List[Tuple[str, Any]]], None],
    ) -> None:
        """Begin; each call is a name and a function of channel and callback.

        `done` gets (name, pika's reply or the exception) of every call, also when the connection was lost.
        """
        self._connection = connection
        self._calls = deque(calls)
        self._done = done
        self._results: List[Tuple[str, Any]] = []
        self._finished = False
        self._open()

    def _open(self) -> None:
        if not self._connection.is_open:
            self._finish(pika_errors.ConnectionWrongStateError("the connection is closed"))
            return
        channel = self._connection.channel(on_open_callback=self._next)
        channel.add_on_close_callback(self._refused)

    def _next(self, channel: Any) -> None:
        if not self._calls:
            self._finish(None)
            channel.close()
            return
        self._calls[0][1](channel, lambda reply: self._answered(channel, reply))

    def _answered(self, channel: Any, reply: Any) -> None:
        self._results.append((self._calls.popleft()[0], reply))
        # Not from inside pika's callback: it holds the channel until this one returns.
        self._connection.ioloop.call_later(0, lambda: self._next(channel) if channel.is_open else None)

    def _refused(self, channel: Any, err: BaseException) -> None:
        if self._finished:
            return
        if self._calls:
            self._results.append((self._calls.popleft()[0], err))
        self._connection.ioloop.call_later(0, self._open)

    def _finish(self, err: Optional[BaseException]) -> None:
        self._results.extend((name, err) for name, _ in self._calls)
        self._calls.clear()
        self._finished = True
        self._done(self._results)
