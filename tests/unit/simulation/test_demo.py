"""The demonstration's story, told without drawing it."""

import pytest

from reasond.errors import InputError
from reasond.simulation.demo import STORY, Demonstration, find
from reasond.simulation.run import Job, Run


def demonstration(tmp_path, minutes=10.0, scenario=STORY):
    job = Job(find(scenario), "dry-run", seed=1, seconds=60 * minutes)
    return Demonstration(Run(job, tmp_path), job.seconds)


def test_handlers_are_slow_in_the_middle_only(tmp_path):
    run = demonstration(tmp_path)

    slow, calm = "handlers slow", ""
    told = [run.advance(at).what for at in (60.0, 179.0, 181.0, 359.0, 361.0, 600.0)]

    assert told == [calm, calm, slow, slow, calm, calm]


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


def test_other_clients_messages_are_counted_too(tmp_path):
    run = demonstration(tmp_path, scenario="rush-hour")
    moment = run.advance(900.0)

    assert moment.what == "load rising"
    assert moment.published > run.world.published


def test_a_moment_tells_depths_intervals_and_every_agents_line(tmp_path):
    moment = demonstration(tmp_path).advance(120.0)

    assert set(moment.intervals) == {"publisher-1", "publisher-2", "publisher-3"}
    assert len(moment.lines) == 7 and all(moment.lines.values())
    assert moment.depths["fictional"] is not None


def test_a_scenario_is_found_by_its_name_too():
    assert find("calm").title == "Calm"
    with pytest.raises(InputError):
        find("clam")
