"""A finding, a check that comes to one, and how checks are run; used by every module of the doctor.

Checks are independent: one that fails, breaks down or hangs is told as that and stops no other.
"""

import threading
import time
from typing import Callable, Dict, List, Literal, Mapping, Optional, Sequence, Tuple

from msgspec import Struct

from reasond.errors import ReasondError

State = Literal["ok", "warning", "fail", "skipped"]

CHECK_DEADLINE_S = 8.0
"""For one check; checks wait for at most two others in a row, so everything down still ends within 30 s."""


class Verdict(Struct, frozen=True):
    """What a check came to: what was found and, where it isn't ok, how to mend it."""

    state: State
    found: str
    mend: str = ""


class Finding(Struct, frozen=True):
    """A verdict under its check's name."""

    name: str
    state: State
    found: str
    mend: str = ""


class Check(Struct, frozen=True):
    """One thing to look at.

    `run` gives the verdict; a ReasondError that it raises becomes a `fail` with the error's text. `mend` is
    the advice for then, and for a check that breaks down or hangs. It runs when every check named in `needs`
    and one of those in `needs_one_of` (if there are any) came to ok or warning, and is skipped otherwise.
    """

    name: str
    run: Callable[[], Verdict]
    mend: str = ""
    needs: Tuple[str, ...] = ()
    needs_one_of: Tuple[str, ...] = ()


def ok(found: str) -> Verdict:
    """Give the verdict that nothing is to be done."""
    return Verdict("ok", found)


def warning(found: str, mend: str) -> Verdict:
    """Give the verdict that something works and should be looked after."""
    return Verdict("warning", found, mend)


def fail(found: str, mend: str) -> Verdict:
    """Give the verdict that something doesn't work."""
    return Verdict("fail", found, mend)


def skipped(why: str) -> Verdict:
    """Give the verdict that there was nothing to look at."""
    return Verdict("skipped", why)


def run(checks: Sequence[Check], deadline_s: float = CHECK_DEADLINE_S) -> List[Finding]:
    """Run all checks, those that need no other at once and side by side; give the findings in their order.

    Takes at most `deadline_s` for each link of the longest chain of needs. Raises ValueError for a need that
    names no check: a programming error.
    """
    found: Dict[str, Finding] = {}
    waiting = list(checks)
    while waiting:
        ready = [check for check in waiting if set(check.needs + check.needs_one_of) <= set(found)]
        if not ready:
            raise ValueError("checks wait for each other or for none: " + ", ".join(c.name for c in waiting))
        for finding in _together(ready, found, deadline_s):
            found[finding.name] = finding
        waiting = [check for check in waiting if check.name not in found]
    return [found[check.name] for check in checks]


def _together(ready: Sequence[Check], found: Mapping[str, Finding], deadline_s: float) -> List[Finding]:
    verdicts: Dict[str, Verdict] = {}
    threads = []
    for check in ready:
        missing = _unmet(check, found)
        if missing:
            verdicts[check.name] = skipped("not looked at: needs " + missing)
            continue
        # Daemon threads: one that hangs, in a name lookup for instance, must not hold up the end.
        thread = threading.Thread(target=_into, args=(verdicts, check), name=check.name, daemon=True)
        thread.start()
        threads.append(thread)
    end = time.monotonic() + deadline_s
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return [_finding(check, verdicts.get(check.name), deadline_s) for check in ready]


def _unmet(check: Check, found: Mapping[str, Finding]) -> str:
    def met(name: str) -> bool:
        return found[name].state in ("ok", "warning")

    missing = [name for name in check.needs if not met(name)]
    if check.needs_one_of and not any(met(name) for name in check.needs_one_of):
        missing.append(" or ".join(check.needs_one_of))
    return ", ".join(missing)


def _into(verdicts: Dict[str, Verdict], check: Check) -> None:
    try:
        verdicts[check.name] = check.run()
    except ReasondError as err:
        verdicts[check.name] = fail(str(err), check.mend)
    except Exception as err:  # a check of ours that breaks down must not hide what the others found
        verdicts[check.name] = fail(f"the check broke down: {type(err).__name__}: {err}", check.mend)


def _finding(check: Check, verdict: Optional[Verdict], deadline_s: float) -> Finding:
    if verdict is None:
        verdict = fail(f"no answer within {deadline_s:g} s", check.mend)
    return Finding(check.name, verdict.state, verdict.found, verdict.mend)
