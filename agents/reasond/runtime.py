"""One process = one agent: settings, core, brain and adapters joined on one loop; start, signals, reload, stop.

Used by the commands `reasond publisher|consumer|monitor`, which systemd runs as Type=notify services.
"""

import os
import random
import signal
import socket
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional

from pika.adapters.select_connection import IOLoop

from reasond import __version__
from reasond import settings as settings_module
from reasond.adapters import envfile
from reasond.adapters.influxdb import InfluxReader, InfluxWriter
from reasond.adapters.management import Management
from reasond.adapters.rabbitmq import RabbitLinks
from reasond.adapters.spool import Spool
from reasond.adapters.state import StateDir
from reasond.adapters.statistics import StatisticsWithFallback
from reasond.adapters.systemd import Notifier
from reasond.brains.factory import make_brain, make_transcript, stop_spending
from reasond.content.factory import make_source
from reasond.core.agent import AgentCore
from reasond.core.consumer import ConsumerCore
from reasond.core.effects import Failure
from reasond.core.monitor import MonitorCore
from reasond.core.publisher import PublisherCore
from reasond.core.records import heartbeat_row
from reasond.decisions import AgentType
from reasond.driver import Driver
from reasond.errors import ReasondError
from reasond.handlers import Handler, HandlerSetup
from reasond.handlers import load as load_handler
from reasond.logs import EventLog
from reasond.observer import Observer
from reasond.paths import log_directory, state_directory
from reasond.points import Stamper
from reasond.settings import Settings
from reasond.shell import Parts, ServiceShell

READY_WITHOUT_BROKER_S = 60.0
"""A broker that is away must not keep an agent, least of all the monitor, from counting as started."""
STATUS_PERIOD_S = 2.0
DRAIN_DEADLINE_S = 5.0
"""For what is in hand at SIGTERM; with the flushes after it the stop stays under 10 s."""
FLUSH_DEADLINE_S = 1.5
LAST_WRITE_S = 0.5
STOP_POLL_S = 0.05
EXTEND_START_S = 30.0
ANSWERED_ALL_THE_SAME = frozenset(("refusal", "truncated", "invalid_answer"))
"""Failures of one answer: the brain itself is there, and the next question may fare better."""


class AgentProcess:
    """An agent as a process; `run` lasts until SIGTERM or SIGINT."""

    def __init__(self, agent_type: AgentType, settings: Settings, environ: Mapping[str, str], log: EventLog) -> None:
        """Make every part.

        Raises ReasondError when the state directory or the identity can't be had, or a part refuses its settings.
        """
        self._type = agent_type
        self._settings = settings
        self._environ = dict(environ)
        self._log = log
        self._notifier = Notifier(environ)
        self._agent_id: str = getattr(settings, agent_type).agent_id
        self._state = StateDir(state_directory(settings.process, environ, self._agent_id))
        self._state.lock()
        self._ioloop = IOLoop()
        self._stamper = Stamper()
        self._rng = random.Random()
        self._links_up: Dict[str, bool] = {"publish": False}
        if agent_type == "consumer":
            self._links_up["consume"] = False
        self._problems: Dict[str, str] = {}
        self._signals: List[int] = []
        self._handler: Optional[Handler] = None
        self._started = time.monotonic()
        self._ready = False
        self._stopping = False
        self._build()

    def run(self) -> int:
        """Run until told to stop; give the exit status."""
        self._catch_signals()
        self._log.say("info", "starting", {"agent": self._agent_id, "version": __version__, "pid": os.getpid()})
        self._driver.start()
        self._take_control()
        self._links.open()
        self._tick_status()
        self._tick_watchdog()
        self._heartbeat()
        self._ioloop.start()
        self._log.say("info", "stopped", {"agent": self._agent_id})
        return 0

    # Making the parts

    def _build(self) -> None:
        settings = self._settings
        spool = Spool(self._state.path / "spool", settings.influx.spool_max_bytes)
        self._writer = InfluxWriter(settings.influx, spool, lambda text: self._problem("influxdb", text))
        reader = InfluxReader(settings.influx)
        transcripts = log_directory(settings.process, self._environ, self._agent_id)
        self._transcript = make_transcript(settings, self._type, transcripts, self._log.say)
        self._brain = make_brain(
            settings,
            self._type,
            state_dir=self._state.path,
            system_spend=reader.system_spend,
            transcript=self._transcript,
            say=self._log.say,
        )
        self._core = self._make_core()
        self._driver = Driver(self._core)
        links = RabbitLinks(
            settings.rabbit,
            _WatchedLinks(self._driver, self._linked),
            self._ioloop,
            consume=self._type == "consumer",
            prefetch=settings.consumer.prefetch,
            rng=self._rng,
            client_name=self._agent_id,
            on_problem=lambda text: self._problem("rabbitmq", text),
        )
        self._links = links
        statistics = StatisticsWithFallback(
            Management(settings.rabbit), links.ready_counts, self._ioloop.add_callback_threadsafe
        )
        observer = Observer(
            reader, statistics, settings.monitor.sampling_period_s, agent_id=self._agent_id, agent_type=self._type
        )
        shell = ServiceShell(self._parts(links, observer), self._driver)
        self._shell = shell
        self._driver.attach(shell)

    def _parts(self, links: RabbitLinks, observer: Observer) -> Parts:
        settings = self._settings
        if self._type == "consumer":
            setup = HandlerSetup(settings=settings.consumer, state_dir=self._state.path)
            self._handler = load_handler(settings.consumer.handler)(setup)
        return Parts(
            agent_id=self._agent_id,
            agent_type=self._type,
            ioloop=self._ioloop,
            links=links,
            brain=self._brain,
            observer=observer,
            handler=self._handler,
            handler_threads=settings.consumer.handler_threads,
            state=self._state,
            writer=self._writer,
            log=self._log,
            alert_command=settings.monitor.alert_command,
            alert_timeout_s=settings.monitor.alert_timeout_s,
            on_answer=self._brain_answered,
        )

    def _make_core(self) -> AgentCore:
        settings, state = self._settings, self._state.load()
        if self._type == "publisher":
            source = make_source(settings.publisher, self._rng, state.get("feed"), self._state.path, self._log.say)
            return PublisherCore(settings.publisher, source, self._rng, state, self._stamper)
        if self._type == "consumer":
            return ConsumerCore(settings.consumer, settings.privacy, state, self._stamper)
        return MonitorCore(settings.monitor, settings.budget, state, self._stamper)

    # Signals: the handler only notes the number and wakes the loop, which does the work

    def _catch_signals(self) -> None:
        reading, writing = socket.socketpair()
        reading.setblocking(False)
        writing.setblocking(False)
        self._signal_sockets = (reading, writing)
        signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda got, frame: self._signals.append(got))
        self._ioloop.add_handler(reading.fileno(), self._signalled, IOLoop.READ)

    def _signalled(self, fd: int, events: int) -> None:
        try:
            self._signal_sockets[0].recv(4096)
        except BlockingIOError:
            pass
        while self._signals:
            if self._signals.pop(0) == signal.SIGHUP:
                self._reload()
            else:
                self._stop()

    def _reload(self) -> None:
        self._notifier.reloading()
        try:
            files = self._settings.process.settings_files
            # Without files there is nothing to take; a variable that left them falls back to its default.
            merged = settings_module.merge(self._environ, envfile.read_all(files)) if files else self._environ
            fresh = settings_module.load(merged, self._type)
        except ReasondError as err:
            self._log.say("error", "reload_refused", {"problem": str(err)})
        else:
            self._log.set_level(fresh.process.log_level)
            self._driver.settings(getattr(fresh, self._type))
            if self._handler is not None:
                self._handler.reload(fresh.consumer)
            self._shell.alert_command = fresh.monitor.alert_command
            self._take_control()
            self._log.say("notice", "reloaded", {})
        self._notifier.ready()

    def _take_control(self) -> None:
        self._control = self._state.control()
        self._driver.control(self._control)
        self._heed_spending_switch()

    def _heed_spending_switch(self) -> None:
        stop_spending(self._brain, self._control.stop_spending or self._state.stop_spending_file.exists())

    def _stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._notifier.stopping()
        self._log.say("info", "stopping", {})
        self._links.cancel()
        self._driver.stop()
        self._await_drained(time.monotonic() + DRAIN_DEADLINE_S)

    def _await_drained(self, deadline: float) -> None:
        if not self._core.stopped() and time.monotonic() < deadline:
            self._ioloop.call_later(STOP_POLL_S, lambda: self._await_drained(deadline))
            return
        if not self._core.stopped():
            self._log.say("warning", "stopped_with_work_in_hand", {})
            # A handler that ends while the links close is not acknowledged, and so must not count as done.
            self._driver.cut_off()
        self._links.close()
        self._await_closed(time.monotonic() + FLUSH_DEADLINE_S)

    def _await_closed(self, deadline: float) -> None:
        if not (self._links.closed and self._core.stopped()) and time.monotonic() < deadline:
            self._ioloop.call_later(STOP_POLL_S, lambda: self._await_closed(deadline))
            return
        self._writer.close(FLUSH_DEADLINE_S)
        if self._transcript is not None:
            self._transcript.close(LAST_WRITE_S)
        self._ioloop.stop()

    # What systemd, people and InfluxDB are told

    def _linked(self, which: str, up: bool) -> None:
        self._links_up[which] = up
        if up:
            self._problems.pop("rabbitmq", None)

    def _problem(self, source: str, text: str) -> None:
        if text and self._problems.get(source) != text:
            self._log.say("warning", source + "_problem", {"problem": text})
        if text:
            self._problems[source] = text
        else:
            self._problems.pop(source, None)

    def _brain_answered(self, answer: Any) -> None:
        """Say when the brain can't decide, and when it can again."""
        away = isinstance(answer, Failure) and answer.reason not in ANSWERED_ALL_THE_SAME
        self._problem(self._brain.name, answer.reason + ", deciding by rules" if away else "")

    def _tick_status(self) -> None:
        waited = time.monotonic() - self._started
        if not self._ready and (all(self._links_up.values()) or waited > READY_WITHOUT_BROKER_S):
            self._ready = True
            self._notifier.ready()
        elif not self._ready:
            self._notifier.extend_start_s(EXTEND_START_S)
        self._notifier.status(self._status_line())
        self._heed_spending_switch()
        self._ioloop.call_later(STATUS_PERIOD_S, self._tick_status)

    def _tick_watchdog(self) -> None:
        if self._notifier.watchdog_s is None:
            return
        self._notifier.alive()
        self._ioloop.call_later(self._notifier.watchdog_s / 2, self._tick_watchdog)

    def _degraded(self) -> str:
        down = sorted(which for which, up in self._links_up.items() if not up)
        reasons = ["waiting for RabbitMQ ({})".format(", ".join(down))] if down else []
        reasons.extend("{}: {}".format(source, text) for source, text in sorted(self._problems.items()))
        return "; ".join(reasons)

    def _status_line(self) -> str:
        degraded = self._degraded()
        parts = ["degraded: " + degraded] if degraded else []
        parts.extend(part for part in (self._core.status(self._shell.now()).line, self._brain.status()) if part)
        return " | ".join(parts)

    def _heartbeat(self) -> None:
        now = self._shell.now()
        status = self._core.status(now)
        degraded = self._degraded()
        fields: Dict[str, Any] = {
            "pid": os.getpid(),
            "memory_bytes": _resident_bytes(),
            "uptime_s": now.mono - self._started,
            "clock_steps": self._stamper.clock_steps,
            "spool_bytes": self._writer.stats.spool_bytes,
            "spool_dropped": self._writer.stats.dropped,
            "boot_id": _boot_id(),
            "version": __version__,
            "brain": self._settings.brain.brain,
            "degraded": bool(degraded),
            "degraded_reason": degraded or None,
            "state": status.line,
        }
        fields.update(status.fields)
        self._writer.write((heartbeat_row(self._stamper, self._agent_id, self._type, fields, now.wall_ns),))
        self._ioloop.call_later(self._settings.process.heartbeat_s, self._heartbeat)


class _WatchedLinks:
    """The driver's link events, with the runtime looking on."""

    def __init__(self, driver: Driver, linked: Callable[[str, bool], None]) -> None:
        self.on_deliveries = driver.on_deliveries
        self.on_confirmed = driver.on_confirmed
        self._driver = driver
        self._linked = linked

    def on_link(self, which: Any, up: bool, blocked: bool) -> None:
        self._linked(which, up)
        self._driver.on_link(which, up, blocked)


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _boot_id() -> Optional[str]:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
