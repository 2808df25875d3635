"""The driver: every effect reaches its carrier, timers replace one another, events are recorded."""

import pytest

from reasond.core import effects
from reasond.core.effects import Now, Say, Wake
from reasond.driver import Driver
from reasond.simulation.clock import VirtualClock


class Shell(VirtualClock):
    """A shell that notes what it is told to do."""

    def __init__(self):
        super().__init__(0)
        self.told = []
        self.links = self

    def __getattr__(self, name):
        return lambda *args: self.told.append((name, args))


class Core:
    """A core that answers each event with the effects given for it."""

    def __init__(self, **answers):
        self.answers = answers
        self.woken = []

    def __getattr__(self, name):
        return lambda now, *args: self.answers.get(name, [])

    def on_wake(self, now, name):
        self.woken.append((now.mono, name))
        return []


def driven(core, recorder=None):
    driver, shell = Driver(core, recorder), Shell()
    driver.attach(shell)
    return driver, shell


def test_every_effect_declared_has_a_carrier():
    driver, _ = driven(Core())

    assert set(driver._carriers) == set(effects.Effect.__args__)


def test_effects_are_carried_out_in_order():
    first, second = Say("info", "a"), Say("info", "b")
    driver, shell = driven(Core(on_start=[first, second]))

    driver.start()

    assert shell.told == [("say", (first,)), ("say", (second,))]


def test_wake_of_the_same_name_replaces_the_earlier_one():
    core = Core(on_start=[Wake("decide", 5.0), Wake("decide", 9.0), Wake("other", 6.0), Wake("other", None)])
    driver, shell = driven(core)

    driver.start()
    shell.run_until(20.0)

    assert core.woken == [(9.0, "decide")]


def test_recorder_gets_event_time_arguments_and_effects():
    recorded = []
    said = Say("info", "a")
    driver, _ = driven(Core(on_confirmed=[said]), lambda *entry: recorded.append(entry))

    driver.on_confirmed("m1", "ok")

    assert recorded == [("on_confirmed", (Now(0.0, 0), "m1", "ok"), [said])]


@pytest.mark.parametrize(
    "method, event, args",
    [
        ("on_deliveries", "on_deliveries", ((),)),
        ("on_link", "on_link", ("publish", True, False)),
        ("handled", "on_handled", ("h1", None, 3.0)),
        ("decided", "on_decision", ("a1", None)),
        ("viewed", "on_view", ("v1", None)),
        ("saved", "on_saved", ("s1",)),
        ("control", "on_control", (None,)),
        ("settings", "on_settings", (None,)),
        ("stop", "on_stop", ()),
        ("cut_off", "on_cut_off", ()),
    ],
)
def test_each_way_in_reaches_its_event(method, event, args):
    seen = []
    driver, _ = driven(Core(), lambda name, arguments, result: seen.append((name, arguments[1:])))

    getattr(driver, method)(*args)

    assert seen == [(event, args)]
