"""The doctor's checks of the Claude brain: key, models and their end, and on request the API itself."""

import importlib
import ssl
from datetime import date, datetime, timezone
from typing import Any, Dict, FrozenSet, List, Optional, Sequence, Tuple

from reasond.brains import models, plugged
from reasond.brains.factory import OWN, models_for
from reasond.brains.transport import usable_key
from reasond.decisions import AgentType
from reasond.doctor.examined import Examined
from reasond.doctor.findings import Check, Verdict, fail, ok, skipped, warning
from reasond.settings import BrainSettings

API_TIMEOUT_S = 6.0
LISTED = 1000
"""The most that the API lists at once (Anthropic API reference, "List Models")."""
KEY = "claude key"
_TYPES: Tuple[AgentType, ...] = ("publisher", "consumer", "monitor")
_KEY_MEND = (
    "put ANTHROPIC_API_KEY=... into /etc/reasond/secrets.env (0600 root) and restart the agents, or choose "
    "another REASOND_BRAIN"
)


def checks(examined: Examined) -> List[Check]:
    """Give the checks of the Claude brain; another brain leaves one line."""
    brain = examined.settings.brain
    if brain.brain != "claude" and not examined.wrong_sections & {"brain"}:
        mend = "mend the package that enters it, or choose another REASOND_BRAIN"
        return [Check("brain", lambda: other_brain(brain.brain), mend)]
    needs = examined.needs("brain")
    found = [Check("brain", lambda: ok("claude; by rules where it can't"), needs=needs)]
    found.append(Check(KEY, lambda: key_there(brain), needs=needs))
    for kinds, names in _lists(examined).items():
        found.append(_models_check(kinds, names, needs))
    every = frozenset(name for names in _lists(examined).values() for name in names)
    run = (lambda: api_answers(brain, every)) if examined.ask_api else (lambda: skipped("ask for it with --api"))
    found.append(Check("claude api", run, _KEY_MEND, needs if not examined.ask_api else (KEY,)))
    return found


def other_brain(name: str) -> Verdict:
    """Judge a brain other than Claude; raises SettingsError for a plug-in that can't be imported."""
    if name in OWN:
        return ok(f"{name}: no API, no key, no cost")
    plugged.find(name)
    return ok(f"{name}: a plug-in, which can be imported")


def key_there(brain: BrainSettings) -> Verdict:
    """Tell whether there is a key that can be sent; never shows it."""
    if not brain.api_key:
        return fail("ANTHROPIC_API_KEY is not set: agents decide by rules", _KEY_MEND)
    if not usable_key(brain.api_key):
        return fail("ANTHROPIC_API_KEY holds characters that no key has", _KEY_MEND)
    return ok("set (not shown)")


def models_verdict(names: Sequence[str], today: date) -> Verdict:
    """Judge a list of models, in the order in which they are used, on a day (UTC)."""
    rows = [models.find(name) for name in names]
    living = [row.name for row in rows if not models.retired(row, today)]
    told, mend = [], []
    for position, row in enumerate(rows):
        text, advice = _model_word(row, rows[position + 1 :], today)
        told.append(text)
        mend.extend([advice] if advice else [])
    if not living:
        return fail("; ".join(told), "set CLAUDE_MODELS to models that are served, such as claude-sonnet-5-5")
    return warning("; ".join(told), "; ".join(mend)) if mend else ok("; ".join(told))


def api_answers(brain: BrainSettings, wanted: FrozenSet[str]) -> Verdict:
    """List the API's models through the SDK, which costs nothing, and compare."""
    try:
        listed = _listed(brain)
    except Exception as err:  # the SDK's errors differ between its generations; status_code is common to them
        status = getattr(err, "status_code", None)
        if status in (401, 403):
            return fail(f"the API refuses the key ({status})", _KEY_MEND)
        if status is not None:
            return warning(
                f"the API answers, but doesn't list models ({status})",
                "nothing, if ANTHROPIC_BASE_URL names a gateway without that list",
            )
        inner = err.__cause__ or err
        return fail(
            "the API can't be reached: {}: {}".format(type(inner).__name__, " ".join(str(inner).split())[:200]),
            "check ANTHROPIC_BASE_URL, ANTHROPIC_CA_FILE, HTTPS_PROXY and the firewall",
        )
    missing = sorted(wanted - set(listed))
    if missing:
        return warning("it doesn't list {}".format(", ".join(missing)), "correct or shorten CLAUDE_MODELS")
    return ok(f"reached, the key is accepted, all {len(wanted)} models are listed")


def _listed(brain: BrainSettings) -> List[str]:
    sdk: Any = importlib.import_module("anthropic")
    # Only where asked for: without it the SDK chooses the trust store by itself.
    trust: Dict[str, Any] = {"verify": ssl.create_default_context(cafile=brain.ca_file)} if brain.ca_file else {}
    http = sdk.DefaultHttpxClient(follow_redirects=False, **trust)
    with sdk.Anthropic(
        api_key=brain.api_key,
        base_url=brain.base_url or None,
        max_retries=0,
        timeout=API_TIMEOUT_S,
        http_client=http,
    ) as client:
        return [model.id for model in client.models.list(limit=LISTED).data]


def _lists(examined: Examined) -> Dict[Tuple[AgentType, ...], Tuple[str, ...]]:
    """Give each list of models once, under the kinds of agents that use it."""
    by_names: Dict[Tuple[str, ...], List[AgentType]] = {}
    for kind in _TYPES:
        by_names.setdefault(models_for(examined.settings, kind), []).append(kind)
    return {tuple(kinds): names for names, kinds in by_names.items()}


def _models_check(kinds: Sequence[str], names: Sequence[str], needs: Tuple[str, ...]) -> Check:
    label = "claude models" if len(kinds) == len(_TYPES) else "claude models ({})".format(", ".join(kinds))
    return Check(label, lambda: models_verdict(names, datetime.now(timezone.utc).date()), needs=needs)


def _model_word(row: models.Model, later: Sequence[models.Model], today: date) -> Tuple[str, str]:
    """Give what to say of a model, and what to do about it."""
    if not row.known:
        return (
            f"{row.name} is unknown here: asked with the most careful request, priced at the highest rate",
            f"check the spelling of {row.name}, or update reasond",
        )
    if row.retires is None:
        return f"{row.name} has no end date", ""
    word = "retired on" if models.retired(row, today) else "retires on"
    successor: Optional[str] = next((m.name for m in later if not models.retired(m, row.retires)), None)
    told = f"{row.name} {word} {row.retires.isoformat()}"
    if successor is None:
        return told + " and nothing takes over", f"add a model after {row.name} in CLAUDE_MODELS"
    return f"{told}, then {successor} takes over", "nothing has to be done; to choose yourself: CLAUDE_MODELS"
