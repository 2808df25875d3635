"""A publisher in an experiment: default rate at each block, nobody asked in the control's, exposure on every point."""

import random

import pytest

from reasond.core.agent import Control
from reasond.core.arms import WAKE, Arms
from reasond.core.effects import Ask, Now, Rows, Wake
from reasond.core.publisher import PublisherCore
from reasond.core.views import QueueSample, RateView
from reasond.settings import load
from reasond.switchback import block_at, parse

pytestmark = pytest.mark.unit

TEXT = "claude,static:60m"
HOUR_NS = 3600 * 10**9
BEGIN_NS = 490_000 * HOUR_NS


def at(hours, seconds=0.0):
    return Now(hours * 3600 + seconds, BEGIN_NS + hours * HOUR_NS + int(seconds * 1e9))


def hour_of(treated):
    """Give an hour whose block is the treatment's, or the control's."""
    plan = parse(TEXT)
    return next(hour for hour in range(1, 9) if block_at(plan, BEGIN_NS + hour * HOUR_NS).treated is treated)


def publisher(plan=TEXT, **environ):
    settings = load({"PUBLISHER_ID": "publisher-1", "REASOND_SWITCHBACK": plan, **environ}, "publisher").publisher
    return PublisherCore(settings, source=None, rng=random.Random(1), state={})


def rows(effects):
    return [row for effect in effects if isinstance(effect, Rows) for row in effect.rows]


def pressed(now):
    samples = tuple(
        QueueSample(now.wall_ns - int(age_s * 1e9), queue, 60, publish_rate=2.0, ack_rate=0.5, consumers=3)
        for age_s in (15, 10, 5, 0)
        for queue in ("fictional", "non-fictional", "priority")
    )
    return RateView(samples=samples, source="influxdb")


def decided(core, now):
    """Have the core decide on full queues; give the effects after the look."""
    ask = next(effect for effect in core.on_wake(now, "decide") if hasattr(effect, "view"))
    return core.on_view(now, ask.ref, pressed(now))


def test_no_plan_has_no_block_and_a_plan_that_nobody_can_read_neither():
    assert Arms("").block(at(1)) is None and Arms("").next_at(at(1)) is None
    assert Arms("", "nonsense").block(at(1)) is None


def test_an_order_stands_above_the_setting_and_an_empty_one_ends_the_experiment():
    arms = Arms(TEXT)

    assert arms.order("") and arms.block(at(1)) is None
    assert not arms.configure("claude,rules:60m") and arms.block(at(1)) is None
    assert arms.order(None) and arms.block(at(1)).arm in ("claude", "rules")


def test_the_next_block_begins_on_the_hour():
    assert Arms(TEXT).next_at(at(2, 600)) == 3 * 3600


def test_in_a_treated_block_the_brain_is_asked():
    core, now = publisher(), at(hour_of(treated=True), 1800)

    assert any(isinstance(effect, Ask) for effect in decided(core, now))


def test_in_a_static_block_nobody_is_asked_and_the_rules_decide_in_shadow():
    core, now = publisher(), at(hour_of(treated=False), 1800)

    effects = decided(core, now)

    assert not any(isinstance(effect, Ask) for effect in effects)
    row = rows(effects)[0]
    assert row.tags["brain"] == "rules" and row.tags["action"] == "slow_down" and row.tags["arm"] == "static"
    assert row.fields["acted"] is False and row.fields["block"] == 490_000 + hour_of(treated=False)
    assert core.status(now).line.startswith("every 5 s/10 s")


def test_in_a_block_of_the_rules_they_decide_and_are_acted_on():
    core, now = publisher("claude,rules:60m"), at(hour_of(treated=False), 1800)

    row = rows(decided(core, now))[0]

    assert row.fields["acted"] is True and row.tags["arm"] == "rules"
    assert not core.status(now).line.startswith("every 5 s/10 s")


def test_each_block_begins_with_the_default_rate_and_says_so():
    core, hour = publisher(), hour_of(treated=False)
    core.on_start(at(hour - 1))
    core.on_control(at(hour - 1, 60), Control(serial=1, fictional_interval=40))

    effects = core.on_wake(at(hour), WAKE)

    row = rows(effects)[0]
    assert row.tags["brain"] == "experiment" and row.tags["action"] == "speed_up"
    assert (row.fields["previous_fictional_interval"], row.fields["fictional_interval"]) == (40, 5)
    assert [effect.at for effect in effects if isinstance(effect, Wake) and effect.name == WAKE] == [
        (hour + 1) * 3600.0
    ]
    assert core.status(at(hour)).line.startswith("every 5 s/10 s")


def test_without_an_experiment_no_point_carries_an_arm():
    core = publisher("")

    effects = decided(core, at(1, 1800))

    assert any(isinstance(effect, Ask) for effect in effects)
    assert all("arm" not in row.tags for row in rows(effects))
