"""Carries a core's effects out through a shell, and the shell's events into the core.

One driver for the runtime (real services) and the simulation (virtual time): what is simulated is what runs.
"""

from functools import partial
from typing import Any, Callable, Dict, List, Optional, Protocol, Sequence, Union

from reasond.adapters.ports import BrokerLinks
from reasond.core.agent import AgentCore, Control
from reasond.core.effects import (
    Alarm,
    Amend,
    Answer,
    Ask,
    Declare,
    Delivery,
    Effect,
    Failure,
    Handle,
    Link,
    Look,
    Now,
    Publish,
    Relink,
    Rows,
    Save,
    Say,
    Settle,
    Wake,
)
from reasond.points import Row

Recorder = Callable[[str, Sequence[Any], List[Effect]], None]
"""Is told each event's name and arguments (time first) and the effects it gave."""


class Timer(Protocol):
    """A pending call that can be dropped."""

    def cancel(self) -> None:
        """Drop the call; harmless once it has run."""
        ...


class Scheduler(Protocol):
    """Time and the one way to wait: a real loop's or a heap's."""

    def now(self) -> Now:
        """Give the present time."""
        ...

    def call_at(self, mono: float, function: Callable[[], None]) -> Timer:
        """Call `function` at monotonic time `mono`, or at the next turn when that is past."""
        ...


class Shell(Scheduler, Protocol):
    """What surrounds a core: everything it can't do itself. Nothing here may block or call back at once."""

    links: BrokerLinks

    def handle(self, effect: Handle) -> None:
        """Run the handler; ends in `Driver.handled`."""
        ...

    def ask(self, effect: Ask) -> None:
        """Ask the brain; ends in `Driver.decided`."""
        ...

    def look(self, effect: Look) -> None:
        """Have a view made; ends in `Driver.viewed`."""
        ...

    def save(self, effect: Save) -> None:
        """Keep state; ends in `Driver.saved`."""
        ...

    def write(self, rows: Sequence[Row]) -> None:
        """Write points; a point of known tags and time gets the new fields added."""
        ...

    def say(self, effect: Say) -> None:
        """Log an event."""
        ...

    def alarm(self, effect: Alarm) -> None:
        """Hand an alert on."""
        ...


class Driver:
    """Joins one core to one shell; is the `LinkEvents` of its links."""

    def __init__(self, core: AgentCore, recorder: Optional[Recorder] = None) -> None:
        """Take the core; `attach` gives the shell before the first event."""
        self.core = core
        self._recorder = recorder
        self._timers: Dict[str, Timer] = {}
        self._carriers: Dict[type, Callable[[Any], None]] = {}
        self._shell: Optional[Shell] = None
        self._detached = False

    def attach(self, shell: Shell) -> None:
        """Give the driver its shell."""
        self._shell = shell
        self._carriers = {
            Publish: shell.links.publish,
            Settle: shell.links.settle,
            Declare: lambda effect: shell.links.declare(),
            Relink: lambda effect: shell.links.relink(effect.which),
            Handle: shell.handle,
            Ask: shell.ask,
            Look: shell.look,
            Save: shell.save,
            Rows: lambda effect: shell.write(effect.rows),
            Amend: lambda effect: shell.write((effect.row,)),
            Say: shell.say,
            Alarm: shell.alarm,
            Wake: self._wake,
        }

    def detach(self) -> None:
        """Let the core hear of nothing that still comes, as when its process was killed."""
        self._detached = True

    def start(self) -> None:
        """Begin: the core's first timers and looks."""
        self._event("on_start")

    def on_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Pass messages that came in one turn of the loop."""
        self._event("on_deliveries", deliveries)

    def on_confirmed(self, ref: str, outcome: str) -> None:
        """Pass the broker's word on a publish."""
        self._event("on_confirmed", ref, outcome)

    def on_link(self, which: Link, up: bool, blocked: bool) -> None:
        """Pass a link's state."""
        self._event("on_link", which, up, blocked)

    def handled(self, ref: str, error: Optional[str], duration_ms: float) -> None:
        """Pass the end of a handler's work."""
        self._event("on_handled", ref, error, duration_ms)

    def decided(self, ask_id: str, answer: Union[Answer, Failure]) -> None:
        """Pass a brain's answer."""
        self._event("on_decision", ask_id, answer)

    def viewed(self, ref: str, view: Any) -> None:
        """Pass what a look found."""
        self._event("on_view", ref, view)

    def saved(self, ref: str) -> None:
        """Pass the completion of a save."""
        self._event("on_saved", ref)

    def control(self, control: Control) -> None:
        """Pass the operator's orders."""
        self._event("on_control", control)

    def settings(self, section: Any) -> None:
        """Pass settings that were read anew."""
        self._event("on_settings", section)

    def stop(self) -> None:
        """Pass the order to stop."""
        self._event("on_stop")

    def cut_off(self) -> None:
        """Pass the end of the time to stop in."""
        self._event("on_cut_off")

    def _event(self, name: str, *args: Any) -> None:
        if self._detached:
            return
        assert self._shell is not None, "attach a shell first"
        now = self._shell.now()
        effects = getattr(self.core, name)(now, *args)
        if self._recorder is not None:
            self._recorder(name, (now, *args), effects)
        for effect in effects:
            self._carriers[type(effect)](effect)

    def _wake(self, effect: Wake) -> None:
        assert self._shell is not None
        pending = self._timers.pop(effect.name, None)
        if pending is not None:
            pending.cancel()
        if effect.at is not None:
            self._timers[effect.name] = self._shell.call_at(effect.at, partial(self._woken, effect.name))

    def _woken(self, name: str) -> None:
        self._timers.pop(name, None)
        self._event("on_wake", name)
