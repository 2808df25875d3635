"""Virtual time: calls run in order of their time, ties in the order given."""

from reasond.simulation.clock import VirtualClock


def test_calls_run_in_order_of_time_then_of_giving():
    clock, ran = VirtualClock(0), []
    for name, at in (("c", 3.0), ("a", 1.0), ("b1", 2.0), ("b2", 2.0)):
        clock.call_at(at, lambda name=name: ran.append((name, clock.now().mono)))

    clock.run_until(2.5)

    assert ran == [("a", 1.0), ("b1", 2.0), ("b2", 2.0)]
    assert clock.now().mono == 2.5


def test_a_cancelled_call_does_not_run_and_cancelling_late_is_harmless():
    clock, ran = VirtualClock(0), []
    timer = clock.call_at(1.0, lambda: ran.append(1))
    other = clock.call_at(1.0, lambda: ran.append(2))
    timer.cancel()

    clock.run_until(5.0)
    other.cancel()

    assert ran == [2]


def test_a_call_later_counts_from_now():
    clock, seen = VirtualClock(0), []
    clock.run_until(10.0)
    clock.call_later(2.5, lambda: seen.append(clock.now().mono))

    clock.run_until(20.0)

    assert seen == [12.5]


def test_a_call_in_the_past_runs_now_and_time_never_goes_back():
    clock, seen = VirtualClock(7), []
    clock.run_until(10.0)
    clock.call_at(3.0, lambda: seen.append(clock.now()))

    clock.run_until(10.0)

    assert seen[0].mono == 10.0 and seen[0].wall_ns == 7 + 10_000_000_000
