"""The shell of a real process: handlers, brains, saves and the alert command, on threads and back on the loop."""

import json
import queue
import sys
import threading
import time

import pytest

from reasond.core.effects import Alarm, Ask, Delivery, Failure, Handle, Look, Receipt, Rows, Save, Say
from reasond.messages import Invalid, decode
from reasond.shell import Parts, ServiceShell

DEADLINE_S = 20
BODY = json.dumps(
    {
        "header": {
            "message_id": "5e2f1e0e-7f0a-4c39-9a34-6c1f9a1f2b10",
            "timestamp": "2026-01-31T15:51:00Z",
            "version": "1.0",
            "source": "publisher-1",
        },
        "metadata": {
            "genre_type": "fictional",
            "priority": "low",
            "ttl_seconds": 30,
            "publisher_reasoning": "a test",
        },
        "payload": {
            "entity_id": "book_1",
            "action": "location_update",
            "coordinates": {"lat": 49.262, "lng": -122.781},
            "context": "Lent.",
        },
    }
).encode()


class Loop:
    """A loop whose callbacks and timers a test runs itself, in its own thread."""

    def __init__(self):
        self.callbacks = queue.Queue()
        self.timers = []
        self.threads = []

    def add_callback_threadsafe(self, function):
        self.callbacks.put(function)

    def call_later(self, delay_s, function):
        self.timers.append((delay_s, function))
        return len(self.timers) - 1

    def remove_timeout(self, handle):
        self.timers[handle] = None

    def turn(self):
        """Wait for one callback and run it."""
        self.callbacks.get(timeout=DEADLINE_S)()

    def ring(self):
        """Run the timers that were set, whatever their delay; give the delays."""
        timers, self.timers = [timer for timer in self.timers if timer], []
        for _, function in timers:
            function()
        return [delay_s for delay_s, _ in timers]


class Log:
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def say(self, level, event, fields=None):
        self.said.append((level, event, dict(fields or {})))


class Notes:
    """Notes every call with its arguments: stands for the driver, the writer, the observer."""

    def __init__(self, **answers):
        self.calls = []
        self.answers = answers

    def __getattr__(self, name):
        def call(*args):
            self.calls.append((name, *args))
            return self.answers.get(name)

        return call


class Handler:
    """A handler that does what the test says."""

    def __init__(self, work, fast=False):
        self.work, self.fast = work, fast

    def handle(self, messages):
        self.work(messages)


class Brain:
    """A brain that answers or raises."""

    simulated_latency = False

    def __init__(self, answer, simulated_latency=False):
        self.answer, self.simulated_latency = answer, simulated_latency
        self.asked = []

    def decide(self, question):
        self.asked.append(question)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def shell_with(**parts):
    """Make a shell of doubles; give it with its loop, its driver and its log."""
    loop, driver, log = Loop(), Notes(), Log()
    made = dict(
        agent_id="consumer-1",
        agent_type="consumer",
        ioloop=loop,
        links=None,
        brain=Brain(None),
        observer=Notes(look="view"),
        handler=None,
        handler_threads=1,
        state=Notes(),
        writer=Notes(),
        log=log,
    )
    made.update(parts)
    return ServiceShell(Parts(**made), driver), loop, driver, log


def deliveries():
    content = decode(BODY)
    assert not isinstance(content, Invalid)
    return (
        Delivery(Receipt(1, 1), "fictional", BODY, content),
        Delivery(Receipt(1, 2), "fictional", b"{", Invalid("$", "truncated")),
    )


# Handlers


def test_handle_runs_on_a_worker_thread_and_gets_the_sound_messages():
    seen = []
    work = Handler(lambda messages: seen.append((threading.current_thread(), messages)))
    shell, loop, driver, _ = shell_with(handler=work)

    shell.handle(Handle("h1", deliveries()))
    loop.turn()

    thread, messages = seen[0]
    assert thread is not threading.current_thread()
    assert [message.payload.entity_id for message in messages] == ["book_1"]
    ((name, ref, error, duration_ms),) = driver.calls
    assert (name, ref, error) == ("handled", "h1", None) and duration_ms >= 0


@pytest.mark.parametrize(
    "error, text",
    [(ValueError("no such shelf"), "ValueError: no such shelf"), (SystemExit(3), "SystemExit: 3")],
    ids=["exception", "exit"],
)
@pytest.mark.parametrize("fast", [False, True], ids=["worker", "fast"])
def test_handle_that_raises_ends_with_its_error_and_the_next_one_runs(error, text, fast):
    errors = [error]

    def work(messages):
        if errors:
            raise errors.pop()

    shell, loop, driver, _ = shell_with(handler=Handler(work, fast))
    for ref in ("h1", "h2"):
        shell.handle(Handle(ref, deliveries()))
        loop.ring() if fast else loop.turn()

    assert [(call[1], call[2]) for call in driver.calls] == [("h1", text), ("h2", None)]


def test_fast_handler_runs_here_and_ends_in_a_later_turn():
    seen = []
    work = Handler(lambda messages: seen.append(threading.current_thread()), fast=True)
    shell, loop, driver, _ = shell_with(handler=work)

    shell.handle(Handle("h1", deliveries()))

    assert seen == [threading.current_thread()]
    assert driver.calls == [], "a core must not be called back from inside its own effects"
    loop.ring()
    assert driver.calls[0][:3] == ("handled", "h1", None)


# Brains and looks


def test_ask_puts_the_question_and_brings_the_answer_back():
    brain = Brain("answer")
    shell, loop, driver, _ = shell_with(brain=brain)

    shell.ask(Ask("a1", "context", 7.5))
    loop.turn()

    (question,) = brain.asked
    assert (question.ask_id, question.agent_id, question.context, question.deadline_s) == (
        "a1",
        "consumer-1",
        "context",
        7.5,
    )
    assert driver.calls == [("decided", "a1", "answer")]


def test_ask_of_a_brain_that_breaks_down_is_a_failure_and_the_next_is_answered():
    brain = Brain(RuntimeError("a fault of ours"))
    shell, loop, driver, _ = shell_with(brain=brain)

    for number in range(5):
        shell.ask(Ask(f"a{number}", None, 1.0))
        loop.turn()

    answers = [call[2] for call in driver.calls]
    assert [(answer.reason, answer.detail) for answer in answers] == [("internal", "RuntimeError: a fault of ours")] * 5


def test_simulated_latency_holds_the_answer_back_but_never_a_failure():
    class Answer:
        latency_ms = 1500.0

    shell, loop, driver, _ = shell_with(brain=Brain(Answer(), simulated_latency=True))
    shell.ask(Ask("a1", None, 5.0))
    loop.turn()

    assert driver.calls == []
    (delay_s,) = loop.ring()
    assert 1.0 < delay_s <= 1.5 and driver.calls[0][:2] == ("decided", "a1")

    failing, loop, driver, _ = shell_with(brain=Brain(Failure("no_key"), simulated_latency=True))
    failing.ask(Ask("a2", None, 5.0))
    loop.turn()
    assert driver.calls == [("decided", "a2", Failure("no_key"))]


def test_look_brings_the_observers_view_back():
    shell, loop, driver, _ = shell_with()

    shell.look(Look("v1", "rate"))
    loop.turn()

    assert driver.calls == [("viewed", "v1", "view")]


# Saves, points, events


def test_save_that_the_disk_refuses_is_said_and_tried_again():
    class State:
        problems = [OSError("no space left")]
        saved = []

        def save(self, key, state, durable):
            if self.problems:
                raise self.problems.pop()
            self.saved.append((key, state, durable))

    shell, loop, driver, log = shell_with(state=State())

    shell.save(Save("s1", "decisions", {"open": []}, durable=True))
    loop.turn()

    assert driver.calls == []
    assert log.said == [("error", "state_not_saved", {"key": "decisions", "problem": "no space left"})]
    loop.ring()
    loop.turn()
    assert (driver.calls, State.saved) == ([("saved", "s1")], [("decisions", {"open": []}, True)])


def test_write_and_say_are_handed_on():
    shell, _, _, log = shell_with(writer=Notes())

    shell.write(Rows(()).rows)
    shell.say(Say("notice", "event", {"n": 1}))

    assert shell._parts.writer.calls == [("write", ())]
    assert log.said == [("notice", "event", {"n": 1})]


# Timers


def test_call_at_never_waits_for_less_than_nothing():
    shell, loop, _, _ = shell_with()

    shell.call_at(time.monotonic() - 100, lambda: None)
    shell.call_at(time.monotonic() + 5, lambda: None)

    first, second = loop.ring()
    assert first == 0.0 and 4.0 < second <= 5.0


def test_timer_that_was_cancelled_does_not_ring():
    shell, loop, _, _ = shell_with()
    rung = []

    shell.call_at(time.monotonic(), lambda: rung.append(1)).cancel()
    loop.ring()

    assert rung == []


# The alert command

ALERT = {"status": "critical", "score": 12, "issues": ["queue grows", 'quo"te\n']}


def command(tmp_path, code):
    script = tmp_path / "alert.py"
    script.write_text(code)
    return (sys.executable, "-S", str(script), "fixed", "argv")


def test_alarm_is_given_to_the_command_with_path_and_lang_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    out = tmp_path / "out.json"
    code = (
        "import json, os, sys\n"
        f"json.dump([sys.argv[1:], dict(os.environ), json.load(sys.stdin)], open({str(out)!r}, 'w'))\n"
    )
    shell, loop, _, log = shell_with(alert_command=command(tmp_path, code))

    shell.alarm(Alarm(ALERT))
    loop.turn()

    assert log.said == []
    argv, environ, alert = json.loads(out.read_text())
    assert (argv, alert) == (["fixed", "argv"], ALERT)
    # Python itself sets LC_CTYPE in the C locale (PEP 538).
    assert set(environ) - {"LC_CTYPE"} == {"PATH", "LANG"}


@pytest.mark.parametrize(
    "code, problem",
    [
        ("import sys; sys.exit('pager is down')", "exit 1: pager is down"),
        ("import time; time.sleep(600)", "timed out"),
    ],
    ids=["exit status", "timeout"],
)
def test_alert_command_that_fails_is_said(tmp_path, code, problem):
    shell, loop, _, log = shell_with(alert_command=command(tmp_path, code), alert_timeout_s=1.0)

    shell.alarm(Alarm(ALERT))
    loop.turn()

    ((level, event, fields),) = log.said
    assert (level, event) == ("error", "alert_command_failed")
    assert problem in fields["problem"]


def test_alert_command_that_is_missing_is_said(tmp_path):
    shell, loop, _, log = shell_with(alert_command=(str(tmp_path / "none"),))

    shell.alarm(Alarm(ALERT))
    loop.turn()

    assert "No such file" in log.said[0][2]["problem"]


def test_without_an_alert_command_nothing_is_run():
    shell, loop, _, log = shell_with()
    shell._alarms = Notes()

    shell.alarm(Alarm(ALERT))

    assert (shell._alarms.calls, log.said) == ([], [])


def test_alert_command_of_a_reload_is_the_one_that_runs(tmp_path):
    out = tmp_path / "ran"
    shell, loop, _, _ = shell_with()

    shell.alert_command = command(tmp_path, f"open({str(out)!r}, 'w')")
    shell.alarm(Alarm(ALERT))
    loop.turn()

    assert out.exists()
