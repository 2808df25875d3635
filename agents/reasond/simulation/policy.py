"""Who decides in a simulation: one brain for all agents, or one for each kind."""

from typing import Dict, Optional, Tuple, Union

from msgspec import Struct
from msgspec.structs import replace

from reasond.brains.base import Brain, Question
from reasond.brains.dry_run import DryRunBrain
from reasond.brains.factory import models_for
from reasond.brains.rules import RulesBrain
from reasond.brains.static import StaticBrain
from reasond.core.contexts import RateContext
from reasond.core.effects import Answer, Failure
from reasond.decisions import AgentType
from reasond.errors import InputError
from reasond.settings import Settings
from reasond.simulation.scenario import KINDS

BRAINS: Tuple[str, ...] = ("rules", "static", "dry-run")
ALONE = "-alone"
"""After a brain's name: its publishers aren't told what their peers decided."""
OTHERWISE = "rules"
"""Who decides for the kinds that a mix doesn't name."""


class Policy(Struct, frozen=True):
    """A policy by its text, and the brain of each kind of agent."""

    text: str
    brains: Dict[AgentType, str]


def parse(text: str) -> Policy:
    """Read `BRAIN`, or a mix: `publisher=BRAIN+consumer=BRAIN`; a brain may end in `-alone`.

    Raises InputError naming what can't be understood.
    """
    brains: Dict[AgentType, str] = {}
    if "=" not in text:
        return Policy(text, {kind: _known(text, text) for kind in KINDS})
    for part in text.split("+"):
        kind, _, brain = part.partition("=")
        matching = [known for known in KINDS if known == kind]
        if not matching or matching[0] in brains:
            raise InputError(f"policy {text!r}: {kind!r} must be one of {', '.join(KINDS)}, each at most once")
        brains[matching[0]] = _known(brain, text)
    return Policy(text, {kind: brains.get(kind, OTHERWISE) for kind in KINDS})


def _known(brain: str, text: str) -> str:
    if _plain(brain) not in BRAINS:
        raise InputError(f"policy {text!r}: there is no brain {brain!r}; there are {', '.join(BRAINS)}")
    return brain


def _plain(brain: str) -> str:
    return brain[: -len(ALONE)] if brain.endswith(ALONE) else brain


def make(name: str, settings: Settings, kind: AgentType, seed: int) -> Brain:
    """Give a brain by its name in a policy."""
    plain = _plain(name)
    brain: Brain
    if plain == "dry-run":
        brain = DryRunBrain(seed=seed, model_names=models_for(settings, kind))
    else:
        brain = RulesBrain() if plain == "rules" else StaticBrain()
    return Alone(brain) if plain != name else brain


class Alone:
    """A brain that doesn't hear of its peers: what coordination is worth shows in the difference."""

    def __init__(self, brain: Brain) -> None:
        """Take the brain that decides."""
        self._brain = brain
        self.name = brain.name
        self.simulated_latency = brain.simulated_latency

    def decide(self, question: Question) -> Union[Answer, Failure]:
        """Have it decide without the peers."""
        context = question.context
        if isinstance(context, RateContext):
            question = replace(question, context=replace(context, peers=()))
        return self._brain.decide(question)

    def status(self) -> str:
        """Tell what the brain tells."""
        return self._brain.status()


def asks_api(brain: Optional[Brain]) -> bool:
    """Tell whether a brain asks the API or acts as if it did."""
    return getattr(brain, "simulated_latency", False) is True
