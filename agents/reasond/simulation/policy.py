"""Who decides in a simulation: one brain for all agents, or one for each kind."""

import dataclasses
from pathlib import Path
from typing import Dict, Iterable, Mapping, Optional, Tuple, Union

from msgspec import Struct
from msgspec.structs import replace

from reasond import plugins
from reasond.brains import plugged
from reasond.brains.base import Brain, Question
from reasond.brains.dry_run import DryRunBrain
from reasond.brains.factory import key_problem, make_claude, models_for, wording_of
from reasond.brains.recorded import Purse, Recording, Remembered, Replayed
from reasond.brains.redaction import Redactor
from reasond.brains.rules import RulesBrain
from reasond.brains.static import StaticBrain
from reasond.core.contexts import RateContext
from reasond.core.effects import Answer, Failure
from reasond.decisions import AgentType
from reasond.errors import InputError
from reasond.paths import cache_directory
from reasond.settings import Settings, load
from reasond.simulation.scenario import KINDS

BRAINS: Tuple[str, ...] = ("claude", "rules", "static", "dry-run")
REPLAY = "replay:"
"""Before the path of a transcript whose answers are given again."""
ALONE = "-alone"
"""After a brain's name: its publishers aren't told what their peers decided."""
FORGETFUL = "-forgetful"
"""After a brain's name: no agent is told how its own last decisions turned out."""
PROMPT = "@"
"""Before the version of the prompts, or the folder of own ones, that a brain is asked by."""
OTHERWISE = "rules"
"""Who decides for the kinds that a mix doesn't name."""


class Choice(Struct, frozen=True):
    """One brain as it was named: who answers, in which wording, and what it isn't told."""

    brain: str
    prompt: str = ""
    alone: bool = False
    forgetful: bool = False

    @property
    def environment(self) -> Dict[str, str]:
        """What the settings say of it."""
        return {} if self.brain.startswith(REPLAY) else {"REASOND_BRAIN": self.brain}

    @property
    def asks_api(self) -> bool:
        """Whether it asks the API, or acts as if it did."""
        return self.brain in ("claude", "dry-run") or self.brain.startswith(REPLAY)


class Policy(Struct, frozen=True):
    """A policy by its text, and the brain of each kind of agent."""

    text: str
    brains: Dict[AgentType, Choice]

    @property
    def spends(self) -> bool:
        """Whether the real API is asked."""
        return any(choice.brain == "claude" for choice in self.brains.values())


def parse(text: str) -> Policy:
    """Read `BRAIN`, or a mix: `publisher=BRAIN+consumer=BRAIN`.

    A brain is a name with `@PROMPT`, `-alone` and `-forgetful` after it, as wanted. Raises InputError naming what
    can't be understood.
    """
    brains: Dict[AgentType, Choice] = {}
    if "=" not in text:
        return Policy(text, {kind: _choice(text, text) for kind in KINDS})
    for part in text.split("+"):
        kind, _, brain = part.partition("=")
        matching = [known for known in KINDS if known == kind]
        if not matching or matching[0] in brains:
            raise InputError(f"policy {text!r}: {kind!r} must be one of {', '.join(KINDS)}, each at most once")
        brains[matching[0]] = _choice(brain, text)
    return Policy(text, {kind: brains.get(kind, Choice(OTHERWISE)) for kind in KINDS})


def api_environment(texts: Iterable[str], environ: Mapping[str, str]) -> Dict[str, str]:
    """Give of a process's environment what the API needs, where one of these policies asks it; else nothing.

    Raises InputError where the key is missing or unusable.
    """
    if not any(parse(text).spends for text in texts):
        return {}
    chosen = {name: value for name, value in environ.items() if name.startswith(("ANTHROPIC_", "CLAUDE_"))}
    missing = key_problem(load(chosen))
    if missing:
        raise InputError(f"the brain claude needs a key: {missing}; dry-run needs none")
    return chosen


def in_dry_run(text: str) -> str:
    """Give the policy that has `dry-run` wherever this one has `claude`."""
    return text.replace("claude", "dry-run")


def _choice(word: str, text: str) -> Choice:
    rest, told = word, {ALONE: False, FORGETFUL: False}
    for suffix in (ALONE, FORGETFUL, ALONE):
        if rest.endswith(suffix):
            rest, told[suffix] = rest[: -len(suffix)], True
    brain, _, prompt = rest.partition(PROMPT)
    if brain not in BRAINS and not brain.startswith(REPLAY) and brain not in plugins.names(plugins.BRAINS):
        there = ", ".join((*BRAINS, *plugins.names(plugins.BRAINS), REPLAY + "FILE"))
        raise InputError(f"policy {text!r}: there is no brain {word!r}; there are {there}")
    if brain.startswith(REPLAY) and not Path(brain[len(REPLAY) :]).is_file():
        raise InputError(f"policy {text!r}: there is no file {brain[len(REPLAY) :]!r}")
    return Choice(brain, prompt, told[ALONE], told[FORGETFUL])


class Desk:
    """Whatever brains of several runs share: the answers that were paid for, and the purse for new ones."""

    def __init__(self, folder: Path, purse: Purse) -> None:
        """Take the folder that answers are kept in."""
        self.folder = folder
        self._purse = purse
        self._kept: Dict[str, Recording] = {}

    def claude(self, settings: Settings, kind: AgentType) -> Brain:
        """Give the brain that asks the API what it wasn't asked before."""
        # Another choice of models, or less room, gives other answers to the same prompt.
        scope = "_".join((*models_for(settings, kind), str(settings.brain.max_tokens), kind))
        if scope not in self._kept:
            self._kept[scope] = Recording(self.folder / f"{scope}.jsonl")
        answers, redactor = self._kept[scope], Redactor(settings.privacy.redact)
        return Remembered(make_claude(settings, kind), answers, self._purse, redactor, wording_of(settings))


def make_desk(environ: Mapping[str, str], budget_usd: float) -> Desk:
    """Give a desk whose answers are kept in the user's cache."""
    return Desk(cache_directory(environ) / "answers", Purse(budget_usd))


def make(choice: Choice, settings: Settings, kind: AgentType, seed: int, desk: Optional[Desk] = None) -> Brain:
    """Give a brain; `claude` needs the desk.

    Raises InputError for a bad recording, SettingsError for prompts or a plug-in that can't be used.
    """
    settings = _worded(choice, settings)
    redactor, wording = Redactor(settings.privacy.redact), wording_of(settings)
    brain: Brain
    if choice.brain == "claude":
        assert desk is not None, "claude needs a desk"
        brain = desk.claude(settings, kind)
    elif choice.brain.startswith(REPLAY):
        brain = Replayed(Recording(Path(choice.brain[len(REPLAY) :])), redactor, wording)
    elif choice.brain == "dry-run":
        brain = DryRunBrain(seed=seed, model_names=models_for(settings, kind), redactor=redactor, wording=wording)
    elif choice.brain in ("rules", "static"):
        brain = RulesBrain() if choice.brain == "rules" else StaticBrain()
    else:
        # Virtual time passes by what the answer tells, never by what this processor took.
        brain = plugged.make(choice.brain, plugged.BrainSetup(settings, kind), clock=lambda: 0.0)
    return Alone(brain) if choice.alone else brain


def _worded(choice: Choice, settings: Settings) -> Settings:
    brain = settings.brain
    tells = brain.tell_outcomes and not choice.forgetful
    changed = dataclasses.replace(brain, prompt=choice.prompt or brain.prompt, tell_outcomes=tells)
    return dataclasses.replace(settings, brain=changed)


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
