"""What an agent remembers of its own decisions: the last three, in order, with what became of them."""

import pytest

from reasond.core.effects import Now
from reasond.core.outcome import Outcome
from reasond.core.past import KEPT, PENDING, Memory
from reasond.points import Row

pytestmark = pytest.mark.unit


def row(at_s, action="slow_down", **fields):
    return Row("agent_reasoning", {"action": action}, fields, int(at_s * 1e9))


def recent(memory, at_s):
    return memory.recent(Now(at_s, int(at_s * 1e9)))


def test_a_decision_is_pending_until_it_is_judged_and_then_tells_how_the_queues_moved():
    memory = Memory()
    memory.note("d-1", row(100, fictional_interval=9, queue_depth_fictional=30, queue_depth_priority=4))
    pending = recent(memory, 110)[0]

    memory.judge("d-1", Outcome(success=True, after={"queue_depth_fictional_after": 12}))
    judged = recent(memory, 131)[0]

    assert (pending.helped, pending.unknown, pending.age_s, pending.waiting_before) == (None, PENDING, 10.0, 34)
    assert (judged.helped, judged.unknown, judged.age_s, judged.waiting_after) == (True, "", 31.0, 12)
    assert judged.action == "slow_down" and judged.fictional_interval == 9 and judged.acted


def test_why_nothing_can_be_told_is_kept():
    memory = Memory()
    memory.note("d-1", row(1, acted=False), missing="held")
    memory.note("d-2", row(2))
    memory.judge("d-2", Outcome(missing="too_few_samples"))

    assert [(past.helped, past.unknown, past.acted) for past in recent(memory, 3)] == [
        (None, "held", False),
        (None, "too_few_samples", True),
    ]


def test_only_the_latest_are_kept_and_judging_a_forgotten_one_changes_nothing():
    memory = Memory()
    for number in range(KEPT + 2):
        memory.note(f"d-{number}", row(number, action=f"a{number}"))

    memory.judge("d-0", Outcome(success=True))

    assert [past.action for past in recent(memory, 9)] == [f"a{number}" for number in range(2, KEPT + 2)]
    assert all(past.helped is None for past in recent(memory, 9))
