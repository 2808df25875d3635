"""The shell of a real process: a core's effects carried out on pika's loop, with daemon threads for what blocks.

Made by the runtime; the simulation has its own shell in virtual time.
"""

import os
import subprocess
import time
from typing import Any, Callable, Dict, Optional, Sequence

import msgspec
from pika.adapters.select_connection import IOLoop

from reasond.adapters.influxdb import InfluxWriter
from reasond.adapters.lanes import Lane
from reasond.adapters.ports import BrokerLinks
from reasond.adapters.state import StateDir
from reasond.brains.base import Brain, Question
from reasond.core.effects import Alarm, Ask, Failure, Handle, Look, Now, Save, Say
from reasond.decisions import AgentType
from reasond.driver import Driver
from reasond.handlers import Handler
from reasond.logs import EventLog
from reasond.messages import Message
from reasond.observer import Observer
from reasond.points import Row

BRAIN_THREADS = 3
"""A call that hangs past its deadline must not hold up the next question; more than two hung ones are a pattern."""


class _LoopTimer:
    def __init__(self, ioloop: IOLoop, handle: object) -> None:
        self._ioloop = ioloop
        self._handle = handle

    def cancel(self) -> None:
        self._ioloop.remove_timeout(self._handle)


class LoopScheduler:
    """Time and timers of a pika loop."""

    def __init__(self, ioloop: IOLoop) -> None:
        """Take the loop."""
        self._ioloop = ioloop

    def now(self) -> Now:
        """Give the host's time."""
        return Now(mono=time.monotonic(), wall_ns=time.time_ns())

    def call_at(self, mono: float, function: Callable[[], None]) -> _LoopTimer:
        """Call `function` at monotonic time `mono`, or at the next turn when that is past."""
        delay_s = max(0.0, mono - time.monotonic())
        return _LoopTimer(self._ioloop, self._ioloop.call_later(delay_s, function))


class Parts(msgspec.Struct, frozen=True):
    """Everything a shell is made of."""

    agent_id: str
    agent_type: AgentType
    ioloop: Any
    links: BrokerLinks
    brain: Brain
    observer: Observer
    handler: Optional[Handler]
    handler_threads: int
    state: StateDir
    writer: InfluxWriter
    log: EventLog
    alert_command: Sequence[str] = ()
    alert_timeout_s: float = 20.0
    on_answer: Callable[[Any], None] = lambda answer: None


class ServiceShell(LoopScheduler):
    """Carries effects out on real services."""

    def __init__(self, parts: Parts, driver: Driver) -> None:
        """Take the parts, and the driver that gets the results."""
        super().__init__(parts.ioloop)
        self.links = parts.links
        self.alert_command: Sequence[str] = parts.alert_command
        self._parts = parts
        self._driver = driver
        post = parts.ioloop.add_callback_threadsafe
        self._brain = Lane("brain", BRAIN_THREADS, post)
        self._views = Lane("views", 1, post)
        self._handlers = Lane("handler", parts.handler_threads, post)
        self._saves = Lane("saves", 1, post)
        self._alarms = Lane("alarms", 1, post)

    def handle(self, effect: Handle) -> None:
        """Run the handler on a worker thread, or here when it declares itself fast."""
        handler = self._parts.handler
        assert handler is not None, "only a consumer handles"
        messages = [d.content for d in effect.deliveries if isinstance(d.content, Message)]

        def job() -> Any:
            return _timed(lambda: handler.handle(messages))

        if handler.fast:
            outcome = job()
            self.call_at(0.0, lambda: self._driver.handled(effect.ref, *outcome))
        else:
            self._handlers.submit(job, lambda outcome: self._driver.handled(effect.ref, *outcome))

    def ask(self, effect: Ask) -> None:
        """Ask the brain on a daemon thread."""
        parts = self._parts
        question = Question(
            ask_id=effect.ask_id,
            agent_id=parts.agent_id,
            agent_type=parts.agent_type,
            context=effect.context,
            deadline_s=effect.deadline_s,
            wall_ns=time.time_ns(),
        )
        self._brain.submit(lambda: self._decide(question), lambda answer: self._answered(effect.ask_id, answer))

    def look(self, effect: Look) -> None:
        """Have the observer make the view on a daemon thread."""
        self._views.submit(
            lambda: self._parts.observer.look(effect, time.time_ns()),
            lambda view: self._driver.viewed(effect.ref, view),
        )

    def save(self, effect: Save) -> None:
        """Write the state on a daemon thread; a disk that refuses is said and tried again."""
        self._saves.submit(lambda: self._save(effect), lambda problem: self._saved(effect, problem))

    def write(self, rows: Sequence[Row]) -> None:
        """Hand points to the spool."""
        self._parts.writer.write(rows)

    def say(self, effect: Say) -> None:
        """Log an event."""
        self._parts.log.say(effect.level, effect.event, effect.fields)

    def alarm(self, effect: Alarm) -> None:
        """Hand the alert to the alert command, where one is set."""
        if self.alert_command:
            self._alarms.submit(lambda: self._run_alert(effect.alert), self._alerted)

    def _decide(self, question: Question) -> Any:
        try:
            return self._parts.brain.decide(question)
        except Exception as err:  # a fault of ours must not cost the lane its thread and the core its answer
            return Failure("internal", "{}: {}".format(type(err).__name__, err))

    def _answered(self, ask_id: str, answer: Any) -> None:
        self._parts.on_answer(answer)
        if self._parts.brain.simulated_latency and not isinstance(answer, Failure):
            due = time.monotonic() + answer.latency_ms / 1000
            self.call_at(due, lambda: self._driver.decided(ask_id, answer))
        else:
            self._driver.decided(ask_id, answer)

    def _save(self, effect: Save) -> Optional[str]:
        try:
            self._parts.state.save(effect.key, effect.state, effect.durable)
        except (OSError, TypeError) as err:  # TypeError: a state that can't be encoded
            return str(err)
        return None

    def _saved(self, effect: Save, problem: Optional[str]) -> None:
        if problem is None:
            self._driver.saved(effect.ref)
            return
        self._parts.log.say("error", "state_not_saved", {"key": effect.key, "problem": problem})
        self.call_at(time.monotonic() + _SAVE_RETRY_S, lambda: self.save(effect))

    def _run_alert(self, alert: Dict[str, Any]) -> Optional[str]:
        """Run the alert command with nothing of our environment but PATH and LANG: secrets stay here."""
        environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        try:
            done = subprocess.run(
                list(self.alert_command),
                input=msgspec.json.encode(alert),
                env=environment,
                timeout=self._parts.alert_timeout_s,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as err:
            return str(err)
        if done.returncode:
            return "exit {}: {}".format(done.returncode, done.stderr.decode("utf-8", "replace")[-300:].strip())
        return None

    def _alerted(self, problem: Optional[str]) -> None:
        if problem is not None:
            self._parts.log.say("error", "alert_command_failed", {"problem": problem})


_SAVE_RETRY_S = 5.0


def _timed(work: Callable[[], None]) -> Any:
    """Run a handler: (None or its error, duration in ms). A handler is a stranger's code and may raise anything."""
    begin = time.monotonic()
    try:
        work()
        error = None
    except (Exception, SystemExit) as err:
        error = "{}: {}".format(type(err).__name__, err)
    return error, (time.monotonic() - begin) * 1000
