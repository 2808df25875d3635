"""Brains of other packages: found by the name in REASOND_BRAIN, and held to what every brain promises.

A plug-in is a class in the entry-point group `reasond.brains`, made with a `BrainSetup`; docs/brains.md has an example.
Used by the factory and the simulation.
"""

import time
from pathlib import Path
from typing import Any, Callable, Optional, Union

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from reasond import decisions, plugins
from reasond.brains.base import Question
from reasond.core.effects import Answer, Failure
from reasond.decisions import AgentType
from reasond.errors import DecisionInvalid, SettingsError
from reasond.settings import Settings

VARIABLE = "REASOND_BRAIN"


class BrainSetup(Struct, frozen=True):
    """What a brain is made with: all settings, the kind of its agent, and a directory that is its agent's own.

    `state_dir` is None in a simulation, where nothing is kept.
    """

    settings: Settings
    agent_type: AgentType
    state_dir: Optional[Path] = None


class Plugged:
    """Stands around a brain of another package: it answers under the name it was entered with, and never raises.

    An answer that is no decision of the agent's kind becomes a Failure, and so does whatever the brain raises; the core
    then decides by rules. `clock` gives seconds: an answer that tells no latency gets what passed on it.
    """

    def __init__(self, name: str, brain: Any, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the brain as its package made it."""
        self.name = name
        self.simulated_latency = bool(getattr(brain, "simulated_latency", False))
        self._brain = brain
        self._clock = clock

    @property
    def pays(self) -> bool:
        """Whether it can say beforehand what a question costs at most, and so is held to the budget."""
        return callable(getattr(self._brain, "worst_case_usd", None))

    def worst_case_usd(self, question: Question) -> float:
        """Give the brain's own upper bound of what deciding this question costs, USD; may raise what it raises."""
        return float(self._brain.worst_case_usd(question))

    def decide(self, question: Question) -> Union[Answer, Failure]:
        """Give the brain's decision in order, or tell why there is none."""
        began = self._clock()
        try:
            result = self._brain.decide(question)
            if isinstance(result, Failure):
                return result
            return self._in_order(result, question, (self._clock() - began) * 1000.0)
        except DecisionInvalid as err:
            return Failure(reason="invalid_answer", detail=str(err))
        except Exception as err:  # a stranger's brain may raise anything
            return Failure(reason="internal", detail="{}: {}".format(type(err).__name__, err))

    def status(self) -> str:
        """Tell what the brain tells; a brain need not have anything to say."""
        told = getattr(self._brain, "status", None)
        return str(told()) if callable(told) else ""

    def _in_order(self, answer: Any, question: Question, took_ms: float) -> Answer:
        if not isinstance(answer, Answer):
            raise DecisionInvalid("the brain gave a {} instead of an Answer".format(type(answer).__name__))
        decision = decisions.from_object(question.agent_type, msgspec.to_builtins(answer.decision))
        return replace(answer, decision=decision, brain=self.name, latency_ms=answer.latency_ms or took_ms)


def find(name: str) -> Callable[[BrainSetup], Any]:
    """Give what makes the brain of that name: the class that its package enters.

    Raises SettingsError when there is none or when it can't be imported.
    """
    found = {point.name: point for point in plugins.entered(plugins.BRAINS)}
    if name not in found:
        raise SettingsError(["{}: no brain {!r} is installed".format(VARIABLE, name)])
    kind: Callable[[BrainSetup], Any] = plugins.load(found[name], VARIABLE)
    return kind


def make(name: str, setup: BrainSetup, clock: Callable[[], float] = time.monotonic) -> Plugged:
    """Give the brain that is entered under the name.

    Raises SettingsError as `find` does, when it can't be made, and when what stands there is no brain.
    """
    kind = find(name)
    try:
        brain = kind(setup)
    except Exception as err:  # as above
        problem = "{}: {}".format(type(err).__name__, err)
        raise SettingsError(["{}: {!r} can't be made: {}".format(VARIABLE, name, problem)]) from err
    if not callable(getattr(brain, "decide", None)):
        raise SettingsError(["{}: {!r} is no brain: it has no decide()".format(VARIABLE, name)])
    return Plugged(name, brain, clock)
