"""Running checks: none stops another, whatever it does; what it needs comes first; deadlines hold."""

import threading
import time

import pytest

from reasond.doctor.findings import Check, Finding, fail, ok, run, skipped, warning
from reasond.errors import StoreRefused


def broken():
    raise ZeroDivisionError("division")


def refused():
    raise StoreRefused("said no")


def test_findings_come_in_the_given_order_whatever_needs_what():
    checks = [
        Check("last", lambda: ok("3"), needs=("middle",)),
        Check("middle", lambda: warning("2", "do"), needs=("first",)),
        Check("first", lambda: ok("1")),
    ]

    assert run(checks) == [
        Finding("last", "ok", "3"),
        Finding("middle", "warning", "2", "do"),
        Finding("first", "ok", "1"),
    ]


@pytest.mark.parametrize(
    "check, found",
    [
        (broken, "the check broke down: ZeroDivisionError: division"),
        (refused, "said no"),
    ],
    ids=["breaks down", "raises an error of ours"],
)
def test_check_that_raises_fails_with_its_advice_and_stops_no_other(check, found):
    results = run([Check("bad", check, "mend it"), Check("good", lambda: ok("well"))])

    assert results == [Finding("bad", "fail", found, "mend it"), Finding("good", "ok", "well")]


def test_check_that_hangs_is_given_up_at_the_deadline_and_stops_no_other():
    hang = threading.Event()
    began = time.monotonic()

    results = run([Check("hangs", lambda: hang.wait() and ok(""), "restart"), Check("good", lambda: ok(""))], 0.2)

    assert time.monotonic() - began < 5
    assert [(f.name, f.state, f.mend) for f in results] == [("hangs", "fail", "restart"), ("good", "ok", "")]
    assert "0.2 s" in results[0].found
    hang.set()


def test_checks_that_need_nothing_run_side_by_side():
    together = threading.Barrier(3, timeout=5)
    checks = [Check(str(n), lambda: ok("met") if together.wait() >= 0 else fail("", "")) for n in range(3)]

    assert {finding.state for finding in run(checks)} == {"ok"}


@pytest.mark.parametrize(
    "verdict, state",
    [(ok(""), "ok"), (warning("", ""), "ok"), (fail("", ""), "skipped"), (skipped(""), "skipped")],
    ids=["ok", "warning", "fail", "skipped"],
)
def test_check_runs_only_when_what_it_needs_came_well_out(verdict, state):
    results = run([Check("base", lambda: verdict), Check("above", lambda: ok(""), needs=("base",))])

    assert results[1].state == state
    assert ("needs base" in results[1].found) == (state == "skipped")


@pytest.mark.parametrize("one, other, state", [("ok", "fail", "ok"), ("fail", "fail", "skipped")])
def test_check_that_needs_one_of_several_runs_when_one_is_well(one, other, state):
    made = {"ok": ok(""), "fail": fail("", "")}
    checks = [
        Check("a", lambda: made[one]),
        Check("b", lambda: made[other]),
        Check("c", lambda: ok(""), needs_one_of=("a", "b")),
    ]

    assert run(checks)[2].state == state


def test_need_that_names_no_check_is_a_programming_error():
    with pytest.raises(ValueError, match="a"):
        run([Check("a", lambda: ok(""), needs=("nothing",))])
