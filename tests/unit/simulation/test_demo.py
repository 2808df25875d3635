"""The demonstration's story, told without drawing it."""

from reasond.brains.factory import make_brain
from reasond.simulation.demo import Demonstration


def demonstration(tmp_path, minutes=10.0):
    return Demonstration(
        minutes,
        1,
        lambda plan: make_brain(
            plan.settings, plan.agent_type, state_dir=tmp_path, system_spend=lambda at_ns: (0.0, 0.0)
        ),
        {"REASOND_BRAIN": "dry-run"},
    )


def test_handlers_are_slow_in_the_middle_only(tmp_path):
    run = demonstration(tmp_path)

    assert [run.advance(at).slow for at in (60.0, 179.0, 181.0, 359.0, 361.0, 600.0)] == [
        False,
        False,
        True,
        True,
        False,
        False,
    ]


def test_the_story_shows_all_kinds_of_decisions_and_its_books_balance(tmp_path):
    run = demonstration(tmp_path)
    run.advance(600.0)
    run.world.stop()

    summary = run.summary()

    actions = {action for _, action in summary["decisions"]}
    assert {"continue", "slow_down", "speed_up", "process", "batch", "healthy"} <= actions
    assert summary["published"] == sum(summary["consumed"].values()) + summary["expired"] + summary["queued"]
    assert summary["cost_usd"] == 0.0 and summary["would_cost_usd"] > 0.0
    assert min(summary["scores"]) < 80 <= summary["scores"][-1]
    assert set(summary["brains"]) == {"dry-run"}


def test_a_moment_tells_depths_intervals_and_every_agents_line(tmp_path):
    moment = demonstration(tmp_path).advance(120.0)

    assert set(moment.intervals) == {"publisher-1", "publisher-2", "publisher-3"}
    assert len(moment.lines) == 7 and all(moment.lines.values())
    assert moment.depths["fictional"] is not None
