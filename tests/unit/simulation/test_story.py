"""A scenario's phases as they hold at one time, and as they happen to a world."""

import pytest

from reasond.simulation import scenario as scenarios
from reasond.simulation.story import Story, conditions
from reasond.simulation.world import World

pytestmark = pytest.mark.unit


def test_phases_that_overlap_add_their_loads_and_multiply_their_slowdowns():
    phases = (
        scenarios.Phase(0, 10, load_hz=(0.0, 2.0), load_high_part=0.0, handler_slowdown=2, api_failing=0.2),
        scenarios.Phase(5, 10, load_hz=3.0, load_high_part=0.5, handler_slowdown=3, api_failing=0.1, consumers_down=1),
    )

    before, within, after = (conditions(phases, minute) for minute in (4.99, 5, 10))

    assert before.load_hz == pytest.approx(0.998) and before.handler_slowdown == 2 and before.consumers_down == 0
    assert within.load_hz == pytest.approx(4.0) and within.load_high_part == pytest.approx(1.5 / 4)
    assert (within.handler_slowdown, within.api_failing, within.consumers_down) == (6, 0.2, 1)
    assert after == conditions((), 0)


def test_a_course_moves_within_its_phase_and_the_words_say_what_is_on():
    phase = scenarios.Phase(1, 3, what="slower and slower", handler_slowdown=(1.0, 5.0))
    world = World()
    story = Story(scenarios.Scenario("x", "y", 4, phase=(phase,)), world)

    seen = []
    for minute in (0.5, 1.01, 2.01, 2.99, 3.01):
        world.run_until(60 * minute)
        seen.append((round(world.handler_slowdown, 1), story.what()))

    assert [what for _, what in seen] == ["", *["slower and slower"] * 3, ""]
    slowdowns = [slowdown for slowdown, _ in seen]
    assert slowdowns[0] == slowdowns[1] == slowdowns[4] == 1.0
    assert slowdowns[2] == 3.0 and 4.5 < slowdowns[3] <= 5.0


@pytest.mark.parametrize(("even", "least", "most"), [(True, 120, 120), (False, 80, 160)])
def test_other_clients_publish_at_the_rate_that_is_set(even, least, most):
    world = World(3)
    phase = scenarios.Phase(0, 1, load_hz=2.0, load_even=even)
    Story(scenarios.Scenario("x", "y", 1, phase=(phase,)), world)

    world.run_until(59.9)

    assert least - 1 <= world.loaded <= most
