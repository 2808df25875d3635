"""The brain `static`: never changes anything. The control group against which the others are measured."""

from typing import Union

from reasond.brains.base import Question
from reasond.core import rules
from reasond.core.contexts import HandlingContext, RateContext
from reasond.core.effects import Answer, Failure
from reasond.decisions import Decision, HandlingDecision, RateDecision


class StaticBrain:
    """Publishers keep their rate, consumers process each message; the monitor goes by rules."""

    name = "static"
    simulated_latency = False

    def decide(self, question: Question) -> Union[Answer, Failure]:
        """Give the same decision as ever."""
        return Answer(decision=_unchanged(question), brain=self.name)

    def status(self) -> str:
        """Say nothing."""
        return ""


def _unchanged(question: Question) -> Decision:
    context = question.context
    if isinstance(context, RateContext):
        return RateDecision(
            action="continue",
            reasoning="Static: the rate is never changed.",
            fictional_interval=context.fictional_interval,
            nonfictional_interval=context.nonfictional_interval,
        )
    if isinstance(context, HandlingContext):
        return HandlingDecision(action="process", reasoning="Static: every message is processed at once.")
    return rules.decide_health(context)
