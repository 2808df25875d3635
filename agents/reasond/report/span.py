"""A time range as people give it: so long ago, or a time of RFC 3339."""

import re
from datetime import datetime, timezone
from typing import Iterator

from msgspec import Struct

from reasond.errors import InputError

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MAX_DAYS = 31
"""As long as the bucket keeps points, by default a day less; more would take minutes to read."""
NOW = "now"
SECOND_NS = 1_000_000_000
_AGO = re.compile(r"(\d{1,9})([smhd])")


class Span(Struct, frozen=True):
    """From `start_ns` up to, and without, `stop_ns` (UTC)."""

    start_ns: int
    stop_ns: int

    def pieces(self, length_s: int) -> Iterator["Span"]:
        """Give it cut at whole multiples of a length, oldest first."""
        length_ns = length_s * SECOND_NS
        start_ns = self.start_ns
        while start_ns < self.stop_ns:
            stop_ns = min(self.stop_ns, start_ns - start_ns % length_ns + length_ns)
            yield Span(start_ns, stop_ns)
            start_ns = stop_ns


def span(since: str, until: str, now_ns: int) -> Span:
    """Read a range; either end is a duration before now, `now`, or a time with its zone.

    Raises InputError saying what can't be understood, or that there is nothing between the two.
    """
    found = Span(_at(since, "--since", now_ns), min(now_ns, _at(until, "--until", now_ns)))
    if found.start_ns >= found.stop_ns:
        raise InputError("there is nothing between --since and --until: the first must be earlier, and in the past")
    if found.stop_ns - found.start_ns > MAX_DAYS * UNITS_S["d"] * SECOND_NS:
        raise InputError(f"a range spans at most {MAX_DAYS} days")
    return found


def told(time_ns: int) -> str:
    """Give a time (UTC) as people read it."""
    return datetime.fromtimestamp(time_ns // SECOND_NS, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def _at(text: str, option: str, now_ns: int) -> int:
    if text == NOW:
        return now_ns
    ago = _AGO.fullmatch(text)
    if ago:
        return max(0, now_ns - int(ago.group(1)) * UNITS_S[ago.group(2)] * SECOND_NS)
    try:
        # Python before 3.11 knows no Z.
        at = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
        if at.tzinfo is None:
            raise ValueError("without a zone")
        return int(at.timestamp()) * SECOND_NS
    except (ValueError, OverflowError) as err:
        raise InputError(f"{option} {text}: needs 30m, 24h, 7d, or a time such as 2026-11-05T14:00:00Z") from err
