"""Compares this host's clock with a service's, by the Date header of an HTTP answer (RFC 9110, "Date")."""

import email.utils
import time
from typing import Callable

from reasond.adapters.probes import Answer
from reasond.doctor.findings import Verdict, ok, skipped, warning

WARN_S = 2.0
"""The header counts whole seconds, and TTLs of 30 s and windows of 15 s bear no more."""


def clock_verdict(ask: Callable[[], Answer], url: str, wall: Callable[[], float] = time.time) -> Verdict:
    """Ask and compare; `wall` gives this host's UTC seconds.

    Raises what `ask` raises.
    """
    before = wall()
    header = ask().headers.get("date", "")
    after = wall()
    try:
        theirs = email.utils.parsedate_to_datetime(header).timestamp()
    except (TypeError, ValueError, IndexError):
        return skipped(f"{url} tells no time")
    difference_s = difference(before, after, theirs)
    found = f"this host's clock is {difference_s:+.0f} s against {url}" if difference_s else "equal to " + url
    if abs(difference_s) > WARN_S:
        return warning(found, "turn time synchronisation on at both ends: timedatectl set-ntp true")
    return ok(found)


def difference(before: float, after: float, theirs: float) -> float:
    """Give the least seconds by which our clock leads (negative: lags).

    Their time was cut to whole seconds, and taken at some moment between our `before` and `after`.
    """
    if before > theirs + 1.0:
        return before - (theirs + 1.0)
    return min(0.0, after - theirs)
