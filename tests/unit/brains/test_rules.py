"""The rule-based controller behind the interface of a brain: it says exactly what the core's rules say."""

import pytest

from reasond.brains.rules import RulesBrain
from reasond.core import rules
from tests.unit.brains.questions import ask, handling, health, rate


@pytest.mark.parametrize(
    "context, expected",
    [
        pytest.param(rate(60, 60), rules.decide_rate(rate(60, 60)), id="publisher"),
        pytest.param(handling(queue_depth=40), rules.decide_handling(handling(queue_depth=40)), id="consumer"),
        pytest.param(health(60), rules.decide_health(health(60)), id="monitor"),
    ],
)
def test_decide_gives_the_controllers_decision(context, expected):
    answer = RulesBrain().decide(ask(context))

    assert answer.decision == expected
    assert (answer.brain, answer.model, answer.prompt_version) == ("rules", "none", "none")
