"""Who decides in a simulation: one brain for all agents, or one for each kind."""

from pathlib import Path
from typing import Dict, Optional, Tuple, Union

from msgspec import Struct
from msgspec.structs import replace

from reasond.brains.base import Brain, Question
from reasond.brains.dry_run import DryRunBrain
from reasond.brains.factory import make_claude, models_for
from reasond.brains.recorded import Purse, Recording, Remembered, Replayed
from reasond.brains.redaction import Redactor
from reasond.brains.rules import RulesBrain
from reasond.brains.static import StaticBrain
from reasond.core.contexts import RateContext
from reasond.core.effects import Answer, Failure
from reasond.decisions import AgentType
from reasond.errors import InputError
from reasond.settings import Settings
from reasond.simulation.scenario import KINDS

BRAINS: Tuple[str, ...] = ("claude", "rules", "static", "dry-run")
REPLAY = "replay:"
"""Before the path of a transcript whose answers are given again."""
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
    plain = _plain(brain)
    if plain not in BRAINS and not plain.startswith(REPLAY):
        there = ", ".join((*BRAINS, REPLAY + "FILE"))
        raise InputError(f"policy {text!r}: there is no brain {brain!r}; there are {there}")
    if plain.startswith(REPLAY) and not Path(plain[len(REPLAY) :]).is_file():
        raise InputError(f"policy {text!r}: there is no file {plain[len(REPLAY) :]!r}")
    return brain


def _plain(brain: str) -> str:
    return brain[: -len(ALONE)] if brain.endswith(ALONE) else brain


class Desk:
    """Whatever brains of several runs share: the answers that were paid for, and the purse for new ones."""

    def __init__(self, folder: Path, purse: Purse) -> None:
        """Take the folder that answers are kept in."""
        self._folder = folder
        self._purse = purse
        self._kept: Dict[str, Recording] = {}

    def claude(self, settings: Settings, kind: AgentType) -> Brain:
        """Give the brain that asks the API what it wasn't asked before."""
        # Another choice of models, or less room, gives other answers to the same prompt.
        scope = "_".join((*models_for(settings, kind), str(settings.brain.max_tokens), kind))
        if scope not in self._kept:
            self._kept[scope] = Recording(self._folder / f"{scope}.jsonl")
        redactor = Redactor(settings.privacy.redact)
        return Remembered(make_claude(settings, kind), self._kept[scope], self._purse, redactor)


def make(name: str, settings: Settings, kind: AgentType, seed: int, desk: Optional[Desk] = None) -> Brain:
    """Give a brain by its name in a policy; `claude` needs the desk. Raises InputError for a bad recording."""
    plain = _plain(name)
    brain: Brain
    if plain == "claude":
        assert desk is not None, "claude needs a desk"
        brain = desk.claude(settings, kind)
    elif plain.startswith(REPLAY):
        brain = Replayed(Recording(Path(plain[len(REPLAY) :])), Redactor(settings.privacy.redact))
    elif plain == "dry-run":
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


def asks_api(name: str) -> bool:
    """Tell whether a brain, by its name in a policy, asks the API or acts as if it did."""
    return _plain(name) not in ("rules", "static")


def spends(text: str) -> bool:
    """Tell whether a policy asks the real API."""
    return any(_plain(brain) == "claude" for brain in parse(text).brains.values())


def in_dry_run(text: str) -> str:
    """Give the policy that has `dry-run` wherever this one has `claude`."""
    return text.replace("claude", "dry-run")
