"""The consumer under generated histories, and cut off at every effect: nothing is lost or settled early.

The bench checks every list of effects (see tests.support.driver_consumer); here is what holds over all.
"""

from typing import Any, Callable, Dict, List, Set
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from reasond.core import in_hand
from reasond.core.agent import Control
from reasond.core.effects import Delivery, Failure
from reasond.core.in_hand import DEATHS_ALLOWED
from reasond.messages import Message
from tests.support.driver_consumer import Bench, Died, answer, message

pytestmark = pytest.mark.unit

SLOW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
QUEUES = ("fictional", "non-fictional", "priority")
SETTINGS: Dict[str, Any] = {
    "sample_every": 3, "batch_size": 3, "batch_age_s": 2.0, "handler_attempts": 2, "handler_backoff_s": 0.5,
}  # fmt: skip
GARBAGE = (b"", b"\xff\xfe", b"{}", b"[" * 50, b'{"header": 1}')


def _content(number: int, bench: Bench) -> Any:
    """A message by number: some plausible, some not, some copies of an earlier id."""
    queue = QUEUES[number % 3]
    if number % 11 == 0:
        return message(number, queue=queue, at_ns=bench.wall_ns + 10**12)
    return message(number, queue=queue, at_ns=bench.wall_ns - (number % 5) * 10**9)


Step = Callable[[Bench, List[Delivery]], None]


def _deliver(numbers: List[int]) -> Step:
    def step(bench: Bench, back: List[Delivery]) -> None:
        bench.deliver(*[_content(number, bench) for number in numbers])

    return step


def _garbage(index: int) -> Step:
    return lambda bench, back: bench.deliver(GARBAGE[index % len(GARBAGE)], queue="fictional") and None


def _again(copies: int) -> Step:
    def step(bench: Bench, back: List[Delivery]) -> None:
        known = [d for d in [*bench.settled, *bench.out.values()] if isinstance(d.content, Message)]
        for delivery in known[-copies:]:
            bench.deliver(delivery)

    return step


def _handle(error: bool) -> Step:
    return lambda bench, back: bench.handle("ValueError: no" if error else None) and None if bench.handles else None


def _confirm(outcome: str) -> Step:
    return lambda bench, back: bench.confirm(outcome) and None if bench.publishes else None


def _decide(action: str) -> Step:
    result = Failure("overloaded") if action == "fail" else answer(action)
    return lambda bench, back: bench.decide(result) and None if bench.asks else None


def _lose(which: str) -> Step:
    return lambda bench, back: back.extend(bench.lose(which))


def _redeliver(bench: Bench, back: List[Delivery]) -> None:
    waiting, back[:] = list(back), []
    for delivery in waiting:
        bench.deliver(delivery)


def _restart(bench: Bench, back: List[Delivery]) -> None:
    back.extend(bench.restart())


def _block(blocked: bool) -> Step:
    return lambda bench, back: bench.event("on_link", "publish", True, blocked) and None


def _control(hold: bool, shadow: bool) -> Step:
    return lambda bench, back: bench.event("on_control", Control(serial=1, hold=hold, shadow=shadow)) and None


STEPS = st.one_of(
    st.lists(st.integers(1, 60), min_size=1, max_size=8).map(_deliver),
    st.lists(st.integers(1, 60), min_size=1, max_size=8).map(_deliver),
    st.integers(0, 4).map(_garbage),
    st.integers(1, 3).map(_again),
    st.just(lambda bench, back: bench.save()),
    st.just(lambda bench, back: bench.save()),
    st.sampled_from([False, False, False, True]).map(_handle),
    st.sampled_from(["ok", "ok", "nacked", "returned"]).map(_confirm),
    st.sampled_from(["process", "batch", "flag_anomaly", "fail"]).map(_decide),
    st.sampled_from(["consume", "publish"]).map(_lose),
    st.just(_redeliver),
    st.just(_restart),
    st.booleans().map(_block),
    st.builds(_control, st.booleans(), st.booleans()),
    st.floats(0.1, 12.0).map(lambda seconds: lambda bench, back: bench.pass_time(seconds)),
)


@SLOW
@given(st.lists(STEPS, max_size=40))
def test_any_sequence_settles_each_delivery_once_and_only_when_it_is_safe(steps: List[Step]) -> None:
    # Given a consumer in any history of deliveries, failures, link losses and restarts
    bench, back = Bench(**SETTINGS), []  # type: ignore[var-annotated]
    for step in steps:
        step(bench, back)
    # When everything that is open gets its answer, and the broker redelivers what it still has
    bench.event("on_control", Control(serial=2))
    bench.event("on_link", "publish", True, False)
    bench.settle_down()
    _redeliver(bench, back)
    bench.settle_down()
    # Then no delivery is left (the bench has checked that each settled one was safe, and settled once)
    assert bench.out == {}
    # And nothing is remembered as held
    assert bench.core.status(bench.now).fields["in_hand"] == 0


@SLOW
@given(st.lists(STEPS, max_size=25))
def test_stop_after_any_sequence_ends_and_leaves_unsettled_what_has_not_begun(steps: List[Step]) -> None:
    # Given any history
    bench, back = Bench(**SETTINGS), []  # type: ignore[var-annotated]
    for step in steps:
        step(bench, back)
    # When it is told to stop, and what is under way comes to its end
    bench.event("on_stop")
    for _ in range(500):
        if bench.core.stopped():
            break
        if bench.saves:
            bench.save()
        elif bench.handles:
            bench.handle()
        elif bench.publishes:
            bench.confirm()
        else:
            raise AssertionError("nothing is under way, and yet it doesn't stop")
    # Then it has stopped, with nothing in the journal that was not handed out
    assert bench.core.stopped()
    journal = bench.state.get("in_hand", {"sights": {}})["sights"]
    note(journal)
    # And the rest is the broker's again: another process brings it to its end
    for delivery in bench.restart():
        bench.deliver(delivery)
    _redeliver(bench, back)
    bench.settle_down()
    assert bench.out == {}


@SLOW
@given(st.lists(STEPS.filter(lambda step: step is not _restart), max_size=25), st.integers(0, 5))
def test_stop_cut_off_after_any_sequence_counts_nothing_more_and_no_death(steps: List[Step], further: int) -> None:
    # Given any history without a crash, and a stop during which a little comes to its end
    bench, back = Bench(**SETTINGS), []  # type: ignore[var-annotated]
    for step in steps:
        step(bench, back)
    bench.event("on_stop")
    for _ in range(further):
        if bench.saves:
            bench.save()
        elif bench.handles:
            bench.handle()
    # When the time for it is over
    bench.event("on_cut_off")
    bench.save()
    # Then it has stopped, and the journal says of no message that a process died with it
    assert bench.core.stopped()
    assert bench.state.get("in_hand", {"sights": {}})["sights"] == {}
    # And whatever ends now settles and counts nothing
    before = list(bench.effects)
    while bench.handles:
        bench.handle()
    while bench.publishes:
        bench.confirm()
    assert bench.effects == before
    # And another process brings the rest to its end
    for delivery in bench.restart():
        bench.deliver(delivery)
    _redeliver(bench, back)
    bench.settle_down()
    assert bench.out == {}


def _story(bench: Bench) -> None:
    """A run through every way a message can go."""
    bench.deliver(*[message(n, queue=QUEUES[n % 3], at_ns=bench.wall_ns) for n in range(1, 8)])
    bench.deliver(b"garbage", queue="fictional")
    bench.save()
    if bench.asks:
        bench.decide(answer("batch"))
    bench.deliver(message(1, queue=QUEUES[1], at_ns=bench.wall_ns))
    bench.deliver(message(20, at_ns=bench.wall_ns + 10**12))
    while bench.handles:
        bench.handle("ValueError: no" if len(bench.settled) % 4 == 1 else None)
        bench.save()
    while bench.publishes:
        bench.confirm("nacked" if len(bench.aside) == 1 and not bench.declared else "ok")
        break
    if bench.asks:
        bench.decide(answer("flag_anomaly"))
    bench.pass_time(3.0)
    bench.settle_down()


def _effects_in_story() -> int:
    bench = Bench(**SETTINGS)
    bench.cut = 10**6
    _story(bench)
    return 10**6 - bench.cut


STORY_EFFECTS = _effects_in_story()


def test_the_story_goes_every_way_a_message_can_go() -> None:
    bench = Bench(**SETTINGS)
    _story(bench)
    actions = {row.tags["processing_action"] for row in bench.metric_rows()}
    assert actions >= {"immediate", "batched", "flagged", "rejected", "duplicate"}
    assert bench.out == {}


@pytest.mark.parametrize("cut", range(STORY_EFFECTS), ids="at effect {}".format)
def test_process_that_ends_at_any_effect_loses_nothing(cut: int) -> None:
    # Given a process that ends before the effect numbered `cut` of the story is carried out
    bench = Bench(**SETTINGS)
    bench.cut = cut
    with pytest.raises(Died):
        _story(bench)
    bench.cut = None
    before = {d.body for d in [*bench.settled, *bench.out.values()]}
    # When another process starts on the saved state and the broker redelivers what was unsettled
    for delivery in bench.restart():
        bench.deliver(delivery)
    bench.settle_down()
    # Then every body is settled, and was handled or is safe in a dead-letter queue
    assert bench.out == {}
    assert {d.body for d in bench.settled} == before
    assert before <= set(bench.done) | {p.body for p in bench.aside}
    # And one death makes nobody a poisoned message
    assert not any(p.headers["x-reasond-cause"] == "poison" for p in bench.aside)


@SLOW
@given(st.lists(st.integers(1, 60), min_size=1, max_size=30, unique=True), st.data())
def test_messages_that_kill_the_process_are_rejected_at_their_third_sight_and_nobody_else_is(
    numbers: List[int], data: st.DataObject
) -> None:
    # Given messages of which a few end the process as soon as a thread takes them up
    sent = [message(number, queue=QUEUES[number % 3]) for number in numbers]
    poisoned = data.draw(st.sets(st.sampled_from([m.header.message_id for m in sent]), min_size=1, max_size=3))
    bench = Bench()
    back = [bench.delivery(m) for m in sent]
    # When processes come and go, with so little in hand at a time that suspects and others meet
    with mock.patch.object(in_hand, "WINDOW_MESSAGES", 3):
        deaths = _lives(bench, back, poisoned)
    # Then each was given up after the deaths that are allowed, and nobody else with it
    assert deaths >= DEATHS_ALLOWED
    assert {p.message_id for p in bench.aside} == poisoned
    assert {p.headers["x-reasond-cause"] for p in bench.aside} == {"poison"}
    assert len(bench.done) == len(numbers) - len(poisoned)
    assert bench.out == {}


def _lives(bench: Bench, back: List[Delivery], poisoned: Set[str]) -> int:
    """Run process after process until all is settled; give how many ended by a poisoned message."""
    deaths = 0
    while back:
        assert deaths <= DEATHS_ALLOWED * len(poisoned)
        for delivery in back:
            bench.deliver(delivery)
        back = []
        while (bench.saves or bench.handles or bench.publishes) and not back:
            if bench.saves:
                bench.save()
            elif poisoned & set(bench.ids_handled()):
                deaths += 1
                back = bench.restart()
            elif bench.publishes:
                bench.confirm()
            else:
                bench.handle()
    return deaths
