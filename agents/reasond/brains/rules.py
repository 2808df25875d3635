"""The brain `rules`: the rule-based controller of `core.rules` behind the interface of a brain."""

from typing import Union

from reasond.brains.base import Question
from reasond.core import rules
from reasond.core.contexts import Context, HandlingContext, RateContext
from reasond.core.effects import Answer, Failure
from reasond.decisions import Decision


class RulesBrain:
    """Decides as the fallback does."""

    name = "rules"
    simulated_latency = False

    def decide(self, question: Question) -> Union[Answer, Failure]:
        """Give the controller's decision."""
        return Answer(decision=by_rules(question.context), brain=self.name)

    def status(self) -> str:
        """Say nothing."""
        return ""


def by_rules(context: Context) -> Decision:
    """Give the rule-based decision on a question of any kind."""
    if isinstance(context, RateContext):
        return rules.decide_rate(context)
    if isinstance(context, HandlingContext):
        return rules.decide_handling(context)
    return rules.decide_health(context)
