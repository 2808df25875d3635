"""`reasond load`: real traffic of the schema through the broker, in a shape over time, all confirmed."""

import contextlib
import json
import math
import os
import random
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import IO, Any, Callable, Dict, Iterator, List, Optional, Sequence

import click
from msgspec import Struct
from pika.adapters.select_connection import IOLoop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from reasond.adapters.rabbitmq import RabbitLinks
from reasond.content.generator import Generator
from reasond.content.source import compose
from reasond.core.effects import Delivery, Link, Now, Publish
from reasond.doctor.examined import host_settings
from reasond.errors import BrokerUnavailable, InputError
from reasond.messages import GENRES, Message, encode
from reasond.settings import PublisherSettings, RabbitSettings
from reasond.topology import EXCHANGE, routing_key

TICK_S = 0.01
"""Between two looks at how many messages are due: short against any shape's period."""
WINDOW = 2000
"""Messages unconfirmed at a time: enough to keep a local broker busy, few enough to stop within a second."""
CONFIRM_DEADLINE_S = 10.0
CONNECT_DEADLINE_S = 20.0
INTERRUPTED_DEADLINE_S = 2.0
"""For the confirms still due at Ctrl-C: who presses it doesn't wait ten seconds."""
INTERRUPTED_EXIT = 130
"""128 + SIGINT, as shells have it."""
BURST_FROM, BURST_TO, BURST_FACTOR = 0.4, 0.6, 5.0
SINE_PERIODS = 4
ROUNDING = 1e-6
"""Messages: what floats may lack of a whole number at the largest totals (50000/s for a day)."""

PATTERNS = ("constant", "burst", "ramp", "sine")


def due(pattern: str, rate: float, duration_s: float, at_s: float) -> int:
    """Give how many messages are due by `at_s`: the integral of the pattern's rate (messages/s) from 0.

    constant: `rate`; burst: `rate`, five times that in the middle fifth; ramp: from 0 to `rate`; sine: around
    `rate`/2 between 0 and `rate`, four periods.
    """
    at_s = min(max(at_s, 0.0), duration_s)
    part = at_s / duration_s if duration_s else 1.0
    if pattern == "burst":
        within = min(max(part - BURST_FROM, 0.0), BURST_TO - BURST_FROM)
        return int(rate * duration_s * (part + (BURST_FACTOR - 1) * within) + ROUNDING)
    if pattern == "ramp":
        return int(rate * duration_s * part * part / 2 + ROUNDING)
    if pattern == "sine":
        turns = 2 * math.pi * SINE_PERIODS
        return int(rate * duration_s / 2 * (part - math.sin(turns * part) / turns) + ROUNDING)
    return int(rate * at_s + ROUNDING)


class Report(Struct):
    """What came of a load: counts of messages, and the confirms' latency in ms.

    `due` is what the shape asked for until the end; `interrupted` tells that Ctrl-C set that end.
    """

    due: int = 0
    published: int = 0
    confirmed: int = 0
    returned: int = 0
    nacked: int = 0
    unconfirmed: int = 0
    seconds: float = 0.0
    confirm_p50_ms: float = 0.0
    confirm_p99_ms: float = 0.0
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """The command's exit status."""
        if self.interrupted:
            return INTERRUPTED_EXIT
        lost = self.returned or self.nacked or self.unconfirmed or self.published < self.due
        return 1 if lost else 0


class Loader:
    """Publishes on a loop of its own; is the `LinkEvents` of its link."""

    def __init__(
        self,
        rabbit: RabbitSettings,
        shape: Callable[[float], int],
        duration_s: float,
        rng: random.Random,
        ledger: Optional[IO[str]],
    ) -> None:
        """Take the broker, the shape (messages due by a time), how long, and the file for confirmed ids."""
        self.report = Report()
        self._ioloop = IOLoop()
        self._shape = shape
        self._rng = rng
        # Messages of a load are all sound: what it measures is the flow.
        self._source = Generator(PublisherSettings(agent_id="load-1", anomaly_rate=0.0), rng)
        self._ledger = ledger
        self._pending: Dict[str, float] = {}
        self._latencies_ms: List[float] = []
        self._begin: Optional[float] = None
        self._end_s = duration_s
        self._confirm_deadline_s = CONFIRM_DEADLINE_S
        self._up = False
        self._problem = ""
        self._links = RabbitLinks(
            rabbit,
            self,
            self._ioloop,
            consume=False,
            prefetch=1,
            rng=rng,
            client_name="load-1",
            on_problem=self._note_problem,
        )

    def run(self, progress: Callable[[float, Report], None]) -> Report:
        """Publish until the duration is over and all is confirmed, or the broker stays away.

        SIGINT and SIGTERM end it early, with its report; a second one ends it as usual. Takes those signals,
        so it is for the main thread. Raises BrokerUnavailable when no connection comes up.
        """
        self._progress = progress
        self._called_at = time.monotonic()
        self._links.open()
        self._ioloop.call_later(TICK_S, self._tick)
        with _ended_by(self._interrupt):
            self._ioloop.start()
        if self._begin is None and not self.report.interrupted:
            raise BrokerUnavailable(
                "no connection to RabbitMQ within {:g} s: {}".format(CONNECT_DEADLINE_S, self._problem or "no answer")
            )
        self._finish()
        return self.report

    def on_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Nothing is consumed here."""

    def on_confirmed(self, ref: str, outcome: str) -> None:
        """Count the broker's word."""
        sent = self._pending.pop(ref, None)
        if sent is None:
            return
        if outcome == "ok":
            self.report.confirmed += 1
            self._latencies_ms.append((time.monotonic() - sent) * 1000)
            if self._ledger is not None:
                self._ledger.write(json.dumps({"message_id": ref}) + "\n")
        elif outcome == "returned":
            self.report.returned += 1
        else:
            self.report.nacked += 1

    def on_link(self, which: Link, up: bool, blocked: bool) -> None:
        """Publish only while the link is up and not blocked."""
        self._up = up and not blocked
        if up and self._begin is None:
            self._begin = time.monotonic()

    def _interrupt(self) -> None:
        """Make now the end; the loop looks every `TICK_S`."""
        self.report.interrupted = True
        self._end_s = 0.0 if self._begin is None else min(self._end_s, time.monotonic() - self._begin)
        self._confirm_deadline_s = INTERRUPTED_DEADLINE_S

    def _note_problem(self, text: str) -> None:
        self._problem = text or self._problem

    def _tick(self) -> None:
        now = time.monotonic()
        if self._begin is None:
            if self.report.interrupted or now - self._called_at > CONNECT_DEADLINE_S:
                self._ioloop.stop()
                return
        elif self._step(now - self._begin):
            self._links.close()
            self._ioloop.call_later(10 * TICK_S, self._ioloop.stop)
            return
        self._ioloop.call_later(TICK_S, self._tick)

    def _step(self, at_s: float) -> bool:
        """Publish what is due; tell whether the load is over."""
        due_now = self.report.due = self._shape(min(at_s, self._end_s))
        behind = not self.report.interrupted
        while behind and self._up and self.report.published < due_now and len(self._pending) < WINDOW:
            self._publish()
        self._progress(at_s, self.report)
        caught_up = self.report.published >= due_now or not self._up or self.report.interrupted
        late = at_s >= self._end_s + self._confirm_deadline_s
        return (at_s >= self._end_s and caught_up and not self._pending) or late

    def _publish(self) -> None:
        now = Now(mono=time.monotonic(), wall_ns=time.time_ns())
        item = self._source.take(self._rng.choice(GENRES), now)
        message: Message = compose(item, source="load-1", reasoning="load test", now=now, rng=self._rng)
        message_id = message.header.message_id
        self._pending[message_id] = now.mono
        self.report.published += 1
        self._links.publish(
            Publish(
                ref=message_id,
                exchange=EXCHANGE,
                routing_key=routing_key(message),
                body=encode(message),
                message_id=message_id,
                expiration_ms=message.metadata.ttl_seconds * 1000,
            )
        )

    def _finish(self) -> None:
        report = self.report
        report.unconfirmed = len(self._pending)
        report.seconds = 0.0 if self._begin is None else time.monotonic() - self._begin
        latencies = sorted(self._latencies_ms)
        if latencies:
            report.confirm_p50_ms = latencies[len(latencies) // 2]
            report.confirm_p99_ms = latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))]


@click.command()
@click.option(
    "--rate",
    type=click.FloatRange(min=0.1, max=50000),
    default=10.0,
    show_default=True,
    help="Messages per second.",
)
@click.option("--duration", type=click.FloatRange(min=1, max=86400), default=30.0, show_default=True, help="Seconds.")
@click.option(
    "--pattern",
    type=click.Choice(PATTERNS),
    default="constant",
    show_default=True,
    help="How the rate goes over time.",
)
@click.option("--seed", type=int, default=None, help="One seed gives the same messages.")
@click.option(
    "--ledger",
    type=click.Path(path_type=Path),
    help="Note every confirmed message id in this file, JSON Lines.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def load(
    rate: float, duration: float, pattern: str, seed: Optional[int], ledger: Optional[Path], as_json: bool
) -> None:
    """Drive real traffic: publish sound messages of the schema to the agents' RabbitMQ.

    Messages come from source load-1, half of each genre, and are persistent, mandatory and confirmed; where
    confirms come late, publishing waits. `reasond control publisher-1 hold` keeps an agent's own traffic out.

    \b
    Patterns, with R for --rate:
      constant  R throughout
      burst     R, and five times R in the middle fifth
      ramp      from 0 up to R
      sine      between 0 and R, four periods

    RABBITMQ_* come from the environment, over the units' files in /etc/reasond as far as this user may read them.

    Ctrl-C ends it at once, with its report and exit status 130. Exits with 1 when a message was returned,
    refused, not confirmed, or when the broker couldn't take them as fast as asked.

    \b
    Examples:
      sudo reasond load --rate 5 --duration 120
      reasond load --rate 2 --duration 300 --pattern burst
      reasond load --rate 500 --duration 60 --ledger confirmed.jsonl --json
    """
    rabbit = host_settings(os.environ).rabbit
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(f"load {pattern}", total=duration, state="connecting")

        def show(at_s: float, report: Report) -> None:
            bar.update(
                task,
                completed=min(at_s, duration),
                state=f"{report.published} published, {report.confirmed} confirmed",
            )

        with _opened(ledger) as noted:
            loader = Loader(
                rabbit, lambda at_s: due(pattern, rate, duration, at_s), duration, random.Random(seed), noted
            )
            report = loader.run(show)
    _print(report, as_json)
    sys.exit(report.exit_code)


@contextlib.contextmanager
def _ended_by(interrupt: Callable[[], None]) -> Iterator[None]:
    """For the block, have the first SIGINT or SIGTERM call `interrupt`; the next does what it did before."""
    before: Dict[int, Any] = {}

    def once(number: int, frame: Optional[FrameType]) -> None:
        _restore(before)
        interrupt()

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, once)
    try:
        yield
    finally:
        _restore(before)


def _restore(handlers: Dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


class _opened:
    """A ledger file for the block, or None."""

    def __init__(self, path: Optional[Path]) -> None:
        try:
            self._file = path.open("a", encoding="utf-8") if path else None
        except OSError as err:
            raise InputError(f"can't write the ledger {path}: {err.strerror}") from err

    def __enter__(self) -> Optional[IO[str]]:
        return self._file

    def __exit__(self, *exc: Any) -> None:
        if self._file:
            self._file.close()


def _print(report: Report, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({name: getattr(report, name) for name in report.__struct_fields__}))
        return
    rate = report.published / report.seconds if report.seconds else 0.0
    parts = [
        f"published {report.published} of {report.due} due in {report.seconds:.1f} s ({rate:.1f}/s)",
        f"confirmed {report.confirmed}, returned {report.returned}, refused {report.nacked}, "
        f"unconfirmed {report.unconfirmed}",
        f"confirm p50 {report.confirm_p50_ms:.1f} ms, p99 {report.confirm_p99_ms:.1f} ms",
    ]
    click.echo(("interrupted: " if report.interrupted else "") + "; ".join(parts))
