"""Makes the brain that the settings choose, with its budget and transcript around it. Used by the runtime."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Tuple, Union

from reasond.brains import plugged, spending
from reasond.brains.base import Brain, Question
from reasond.brains.prompts import Wording
from reasond.brains.redaction import Redactor, Secrets
from reasond.brains.rules import RulesBrain
from reasond.brains.spending import LedgerFile, LookUp, Paying, Say, Spending
from reasond.brains.static import StaticBrain
from reasond.brains.transcript import Transcript
from reasond.core.budget import Ledger, limits_from
from reasond.core.effects import Answer, Failure
from reasond.decisions import AgentType
from reasond.settings import Settings

if TYPE_CHECKING:
    from reasond.brains.claude import ClaudeBrain

BUDGET_FILE = "budget.json"
OWN = ("claude", "rules", "static", "dry-run")
"""The brains of this package; any other name is a plug-in's."""

Record = Callable[[Dict[str, Any]], None]


class KeylessBrain:
    """Stands where Claude would, without a key: tells so at each question, and the core decides by rules."""

    name = "claude"
    simulated_latency = False

    def __init__(self, detail: str) -> None:
        """Keep why there is no key; secrets are read at the start alone, so that stays so."""
        self._detail = detail

    def decide(self, question: Question) -> Union[Answer, Failure]:
        """Give no decision."""
        return Failure(reason="no_key", detail=self._detail)

    def status(self) -> str:
        """Say what is missing."""
        return "no usable ANTHROPIC_API_KEY"


def make_brain(
    settings: Settings,
    agent_type: AgentType,
    *,
    state_dir: Path,
    system_spend: LookUp,
    transcript: Optional[Transcript] = None,
    say: Say = lambda level, event, fields: None,
    wall_ns: Callable[[], int] = time.time_ns,
) -> Brain:
    """Give the brain that REASOND_BRAIN names, for an agent of this kind.

    `state_dir` is the instance's own; its budget is kept there. `system_spend` is StoreReader.system_spend.
    `transcript` (see `make_transcript`) is written to by the brains that make prompts. Raises OSError when
    the state directory or ANTHROPIC_CA_FILE can't be read, SettingsError for a plug-in that is no brain.
    """
    chosen = settings.brain.brain
    if chosen not in OWN:
        return _plugged(settings, agent_type, state_dir, system_spend, say, wall_ns)
    record: Record = transcript.write if transcript is not None else _nowhere
    if chosen == "rules":
        return RulesBrain()
    if chosen == "static":
        return StaticBrain()
    if chosen == "dry-run":
        return _dry_run(settings, agent_type, record)
    return _claude(settings, agent_type, state_dir, system_spend, record, say, wall_ns)


def make_transcript(
    settings: Settings, agent_type: AgentType, log_dir: Path, say: Say = lambda level, event, fields: None
) -> Optional[Transcript]:
    """Give the agent's transcript, None where TRANSCRIPT turns it off; the caller closes it at the end."""
    privacy = settings.privacy
    if not privacy.transcript:
        return None
    return Transcript(
        log_dir,
        getattr(settings, agent_type).agent_id,
        max_bytes=privacy.transcript_max_bytes,
        keep=privacy.transcript_keep,
        days=privacy.transcript_days,
        secrets=_secrets(settings),
        say=say,
    )


def models_for(settings: Settings, agent_type: AgentType) -> Tuple[str, ...]:
    """Give the models an agent of this kind uses, in order: its own list, or everybody's."""
    own: Tuple[str, ...] = getattr(settings.brain, agent_type + "_models")
    return own or settings.brain.models


def wording_of(settings: Settings) -> Wording:
    """Give the prompts' wording. Raises SettingsError for a folder of own texts that can't be used."""
    return Wording(settings.brain.prompt, settings.brain.tell_outcomes)


def stop_spending(brain: Brain, stop: bool) -> None:
    """Stop or allow the brain's calls of the API; brains that make none take no notice."""
    if isinstance(brain, Spending):
        brain.stop_spending(stop)


def _dry_run(settings: Settings, agent_type: AgentType, record: Record) -> Brain:
    from reasond.brains.dry_run import DryRunBrain

    return DryRunBrain(
        seed=settings.brain.dry_run_seed,
        model_names=models_for(settings, agent_type),
        redactor=Redactor(settings.privacy.redact),
        wording=wording_of(settings),
        record=record,
    )


def _claude(
    settings: Settings,
    agent_type: AgentType,
    state_dir: Path,
    system_spend: LookUp,
    record: Record,
    say: Say,
    wall_ns: Callable[[], int],
) -> Brain:
    missing = key_problem(settings)
    if missing:
        say("warning", "no_api_key", {"detail": f"{missing}: deciding by rules"})
        return KeylessBrain(missing)
    brain = make_claude(settings, agent_type, record, say)
    return _within_budget(brain, settings, state_dir, system_spend, say, wall_ns)


def _plugged(
    settings: Settings,
    agent_type: AgentType,
    state_dir: Path,
    system_spend: LookUp,
    say: Say,
    wall_ns: Callable[[], int],
) -> Brain:
    brain = plugged.make(settings.brain.brain, plugged.BrainSetup(settings, agent_type, state_dir))
    return _within_budget(brain, settings, state_dir, system_spend, say, wall_ns) if brain.pays else brain


def _within_budget(
    brain: Paying,
    settings: Settings,
    state_dir: Path,
    system_spend: LookUp,
    say: Say,
    wall_ns: Callable[[], int],
) -> Brain:
    file = LedgerFile(state_dir / BUDGET_FILE)
    ledger = _ledger(settings, file, say, wall_ns())
    return Spending(brain, ledger, keep=file.keep, system_spend=system_spend, say=say)


def key_problem(settings: Settings) -> str:
    """Say why no call can be made with ANTHROPIC_API_KEY; empty when one can."""
    from reasond.brains.transport import usable_key

    if usable_key(settings.brain.api_key):
        return ""
    what = "holds characters that no key has" if settings.brain.api_key else "is not set"
    return f"ANTHROPIC_API_KEY {what}"


def make_claude(
    settings: Settings,
    agent_type: AgentType,
    record: Optional[Record] = None,
    say: Say = lambda level, event, fields: None,
) -> "ClaudeBrain":
    """Give the brain that asks the API, with nothing around it that bounds what it spends."""
    # Here, so that no other brain pays for the network's modules.
    from reasond.brains.claude import ClaudeBrain
    from reasond.brains.transport import Transport

    chosen = settings.brain
    return ClaudeBrain(
        transport=Transport(
            api_key=chosen.api_key,
            base_url=chosen.base_url,
            ca_file=chosen.ca_file,
            max_retries=chosen.max_retries,
        ),
        model_names=models_for(settings, agent_type),
        max_tokens=chosen.max_tokens,
        max_retries=chosen.max_retries,
        redactor=Redactor(settings.privacy.redact),
        wording=wording_of(settings),
        secrets=_secrets(settings),
        say=say,
        record=record or _nowhere,
    )


def _ledger(settings: Settings, file: LedgerFile, say: Say, now_ns: int) -> Ledger:
    limits = limits_from(settings.budget)
    try:
        return Ledger(limits, settings.budget.warn_at, file.load())
    except ValueError as err:
        # What was spent can't be known: the running hour counts as spent, and rules decide until it is over.
        say("error", "budget_unreadable", {"error": str(err)})
        return Ledger(limits, settings.budget.warn_at, spending.hour_spent(limits, now_ns))


def _secrets(settings: Settings) -> Secrets:
    # Passwords reach no prompt; a short one, such as "guest", would only mangle ordinary words.
    return Secrets((settings.brain.api_key, settings.influx.token))


def _nowhere(entry: Dict[str, Any]) -> None:
    """Drop a transcript entry: TRANSCRIPT is off."""
