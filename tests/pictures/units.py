"""Values as Grafana writes them, for the units that the boards use."""

import math
from datetime import datetime, timezone
from typing import Any, List, Optional, Sequence, Tuple

Steps = Sequence[Tuple[float, str]]
"""How many of the unit before each is, and what stands behind the value."""

SHORT: Steps = ((1, ""), (1000, " K"), (1000, " Mil"), (1000, " Bil"))
MONEY: Steps = ((1, ""), (1000, "K"), (1000, "M"))
BYTES: Steps = ((1, " B"), (1024, " KiB"), (1024, " MiB"), (1024, " GiB"))
SECONDS: Steps = ((1, " s"), (60, " min"), (60, " hour"), (24, " day"), (7, " week"))
MILLISECONDS: Steps = ((1, " ms"), (1000, " s"), (60, " min"), (60, " hour"), (24, " day"))
SCALES = {"short": SHORT, "bytes": BYTES, "s": SECONDS, "ms": MILLISECONDS, "currencyUSD": MONEY}
# Of these, more than one has an s behind it.
PLURAL = (" min", " hour", " day", " week")
SIGNIFICANT = 3
# Steps of an axis whose times are longer than the first.
CLOCK_S = (10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 86_400)
PLAIN = ("", "none", "string", "bool")
ISO_TIME = "%Y-%m-%d %H:%M:%S"


def formatted(value: Any, unit: str = "", decimals: Optional[int] = None) -> str:
    """Give the text of a number in a unit; times are ms since 1970 and come out in UTC, other types as they are."""
    if unit.startswith("dateTime"):
        return datetime.fromtimestamp(value / 1000, timezone.utc).strftime(ISO_TIME)
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, (int, float)):
        return str(value)
    if unit in PLAIN:
        return fixed(value, decimals)
    if unit in ("percent", "percentunit"):
        return fixed(value * (100 if unit == "percentunit" else 1), decimals) + "%"
    if unit not in SCALES:
        # A unit that Grafana doesn't know stands behind the value.
        return f"{fixed(value, decimals)} {unit}"
    if unit in ("s", "ms") and 0 < abs(value) < 1:
        smaller, unit = value * 1000, {"s": " ms", "ms": " µs"}[unit]
        return fixed(smaller, decimals) + unit
    scaled, behind = _scaled(abs(value), SCALES[unit])
    sign, before = ("-" if value < 0 else ""), ("$" if unit == "currencyUSD" else "")
    return f"{sign}{before}{fixed(scaled, decimals)}{behind}"


def fixed(value: float, decimals: Optional[int] = None) -> str:
    """Give a number with so many decimals; by itself, as in Grafana, a whole one has none, others three digits."""
    return f"{value:.{_decimals(value) if decimals is None else decimals}f}"


def ticks(top: float, most: int, bottom: float = 0, unit: str = "") -> List[float]:
    """Give round values for an axis from bottom to top, no more than `most` steps; times count in minutes and hours."""
    rough = (top - bottom) / max(most, 1)
    clock = [step * {"s": 1, "ms": 1000}.get(unit, 0) for step in CLOCK_S]
    size = 10 ** math.floor(math.log10(rough))
    steps = [step for step in clock if clock[0] < rough <= step] or [size * factor for factor in (1, 2, 2.5, 5, 10)]
    step = next(step for step in steps if step >= rough * 0.999)
    return [round(step * place, 12) for place in range(math.ceil(bottom / step), math.floor(top / step * 1.0001) + 1)]


def axis_top(highest: float) -> float:
    """Give where an axis that begins at 0 ends: a tenth above the data, rounded; for no data but zeros at 100."""
    if highest <= 0:
        return 100
    step: float = 10 ** (math.floor(math.log10(highest)) - 1)
    return math.ceil(highest * 1.1 / step) * step


def _scaled(value: float, steps: Steps) -> Tuple[float, str]:
    behind = steps[0][1]
    for factor, text in steps[1:]:
        if value < factor:
            break
        value, behind = value / factor, text
    return value, behind + ("s" if behind in PLURAL and value > 1 else "")


def _decimals(value: float) -> int:
    if float(value).is_integer():
        return 0
    return max(0, SIGNIFICANT - 1 - math.floor(math.log10(abs(value))))
