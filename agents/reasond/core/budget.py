"""What an agent may still spend on the API: a ledger of reservations over UTC hours and days.

Used by the brain that pays, which reserves a call's worst case before it and settles what it cost after.
Pure: time and the system's figures are arguments, state is data. Not locked: the caller serialises.
"""

import math
from typing import Any, Dict, Literal, Mapping, NamedTuple, Optional, Tuple, Union

from msgspec import Struct

from reasond.core.effects import BudgetState
from reasond.settings import BudgetSettings

HOUR_NS = 3600 * 1_000_000_000
DAY_NS = 24 * HOUR_NS
NANO_PER_USD = 1_000_000_000
"""Amounts are kept in whole billionths of a dollar: at $3 a million a token costs 3000 of them."""
SYSTEM_FRESH_NS = 120 * 1_000_000_000
"""Nanoseconds: system spend is looked at once a minute at most; one missed look is no reason for distrust."""

Level = Literal["ok", "warning", "spent"]
Window = Literal["hour", "day"]


class Limits(Struct, frozen=True):
    """What may be spent, USD: by this agent, by the whole system, and how many agents share the latter."""

    agent_hour_usd: float
    agent_day_usd: float
    system_hour_usd: float
    system_day_usd: float
    agents: int = 1


class SystemSpend(Struct, frozen=True):
    """What all agents together spent in the UTC hour and day of `at_ns`, when it was looked up."""

    hour_usd: float
    day_usd: float
    at_ns: int


class Reservation(Struct, frozen=True):
    """A worst case that counts as spent until it is settled; for ever, if it never is."""

    serial: int
    nano_usd: int
    hour: int
    day: int


class Refusal(Struct, frozen=True):
    """Why a call may not be made: which window is spent, and whose limit it is."""

    window: Window
    whose: Literal["agent", "system", "share"]
    spent_usd: float
    limit_usd: float

    @property
    def reason(self) -> str:
        """One readable line with the figures."""
        whose = {
            "agent": "this agent's",
            "system": "the system's",
            "share": "this agent's share of the system's",
        }
        return "{:.4f} of {} {:.2f} USD a{} are spent; this call's worst case doesn't fit".format(
            self.spent_usd, whose[self.whose], self.limit_usd, "n hour" if self.window == "hour" else " day"
        )


class _Bound(NamedTuple):
    window: Window
    whose: Literal["agent", "system", "share"]
    spent: int
    limit: int


def limits_from(settings: BudgetSettings) -> Limits:
    """Give the limits that the settings name; an agent's own limit of 0 means the system's."""
    return Limits(
        agent_hour_usd=settings.agent_usd_per_hour or settings.usd_per_hour,
        agent_day_usd=settings.agent_usd_per_day or settings.usd_per_day,
        system_hour_usd=settings.usd_per_hour,
        system_day_usd=settings.usd_per_day,
        agents=settings.agents,
    )


class Ledger:
    """One agent's spend in the current hour and day.

    Invariant: while no call costs more than was reserved for it, a window's spend never passes the limit.
    """

    def __init__(self, limits: Limits, warn_at: float, state: Optional[Mapping[str, Any]] = None) -> None:
        """Go on from a `state()`, or start with nothing spent.

        What was reserved and not settled when that state was taken stays spent. Raises ValueError for a state
        that isn't one.
        """
        self._limits = limits
        self._warn_at = warn_at
        kept = {"hour": 0, "day": 0, "hour_nano_usd": 0, "day_nano_usd": 0}
        for key in kept:
            value = (state or {}).get(key, 0)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError("budget state: {} is {!r}, not a whole number from 0".format(key, value))
            kept[key] = value
        self._hour, self._day = kept["hour"], kept["day"]
        self._spent_hour, self._spent_day = kept["hour_nano_usd"], kept["day_nano_usd"]
        self._open: Dict[int, Reservation] = {}
        self._serial = 0
        self._refused: Optional[Tuple[int, int, Window]] = None
        self._own_at_look = (-1, 0, 0)

    def reserve(self, wall_ns: int, usd: float, system: Optional[SystemSpend] = None) -> Union[Reservation, Refusal]:
        """Count `usd`, a call's worst case, as spent, or refuse when it doesn't fit into every limit.

        `system` is the whole system's spend as last looked up. While it is fresh the system's limits count;
        stale or unknown, the agent keeps to its share, the system's limit over the number of agents.
        """
        self._roll(wall_ns)
        amount = _nano(usd)
        for bound in self._bounds(wall_ns, system):
            if bound.spent + amount > bound.limit:
                self._refused = (self._hour, self._day, bound.window)
                return Refusal(bound.window, bound.whose, _usd(bound.spent), _usd(bound.limit))
        self._refused = None
        self._serial += 1
        self._spent_hour += amount
        self._spent_day += amount
        reservation = Reservation(self._serial, amount, self._hour, self._day)
        self._open[reservation.serial] = reservation
        return reservation

    def settle(self, reservation: Reservation, actual_usd: float) -> None:
        """Put what the call really cost in place of its worst case; a second settlement changes nothing.

        It counts in the hour and day in which it was reserved; a window that is over is left as it was.
        """
        if self._open.pop(reservation.serial, None) != reservation:
            return
        change = _nano(actual_usd) - reservation.nano_usd
        if reservation.hour == self._hour:
            self._spent_hour = max(0, self._spent_hour + change)
        if reservation.day == self._day:
            self._spent_day = max(0, self._spent_day + change)

    def state(self) -> Dict[str, Any]:
        """Give what must outlive the process, JSON-able; to be kept before the call that was reserved for."""
        return {
            "hour": self._hour,
            "day": self._day,
            "hour_nano_usd": self._spent_hour,
            "day_nano_usd": self._spent_day,
        }

    def level(self, wall_ns: int, system: Optional[SystemSpend] = None) -> Level:
        """Tell where the spend stands: `spent` also when the last call asked for did not fit any more."""
        self._roll(wall_ns)
        bounds = self._bounds(wall_ns, system)
        if self._refusal_stands() or any(bound.spent >= bound.limit for bound in bounds):
            return "spent"
        if any(bound.spent >= self._warn_at * bound.limit for bound in bounds):
            return "warning"
        return "ok"

    def figures(self, wall_ns: int, system: Optional[SystemSpend] = None) -> BudgetState:
        """Give the figures for `budget` points and STATUS lines; limits are those in force for this agent."""
        level = self.level(wall_ns, system)
        own = [bound for bound in self._bounds(wall_ns, system) if bound.whose != "system"]
        return BudgetState(
            spent_hour_usd=_usd(self._spent_hour),
            spent_day_usd=_usd(self._spent_day),
            limit_hour_usd=_usd(min(bound.limit for bound in own if bound.window == "hour")),
            limit_day_usd=_usd(min(bound.limit for bound in own if bound.window == "day")),
            system_hour_usd=system.hour_usd if system is not None and _fresh(system, wall_ns, HOUR_NS) else None,
            system_day_usd=system.day_usd if system is not None and _fresh(system, wall_ns, DAY_NS) else None,
            level=level,
        )

    def _roll(self, wall_ns: int) -> None:
        """Start new windows when theirs are over.

        A clock set back by one window stays in the later one: what was spent there counts on. Set back
        further, the window follows the clock but keeps its spend: no clock can make the budget new.
        """
        hour, day = wall_ns // HOUR_NS, wall_ns // DAY_NS
        if hour > self._hour:
            self._hour, self._spent_hour = hour, 0
        elif hour < self._hour - 1:
            self._hour = hour
        if day > self._day:
            self._day, self._spent_day = day, 0
        elif day < self._day - 1:
            self._day = day

    def _refusal_stands(self) -> bool:
        if self._refused is None:
            return False
        hour, day, window = self._refused
        return hour == self._hour if window == "hour" else day == self._day

    def _bounds(self, wall_ns: int, system: Optional[SystemSpend]) -> Tuple[_Bound, ...]:
        limits = self._limits
        return (
            _Bound("hour", "agent", self._spent_hour, _nano_down(limits.agent_hour_usd)),
            _Bound("day", "agent", self._spent_day, _nano_down(limits.agent_day_usd)),
            self._system_bound("hour", system if _fresh(system, wall_ns, HOUR_NS) else None),
            self._system_bound("day", system if _fresh(system, wall_ns, DAY_NS) else None),
        )

    def _system_bound(self, window: Window, system: Optional[SystemSpend]) -> _Bound:
        limit = self._limits.system_hour_usd if window == "hour" else self._limits.system_day_usd
        own = self._spent_hour if window == "hour" else self._spent_day
        if system is None:
            return _Bound(window, "share", own, _nano_down(limit / max(1, self._limits.agents)))
        # The look is up to two minutes old: what this agent reserved since then is not in it yet.
        self._note_look(system.at_ns)
        since = own - (self._own_at_look[1] if window == "hour" else self._own_at_look[2])
        known = _nano(system.hour_usd if window == "hour" else system.day_usd)
        return _Bound(window, "system", max(own, known + max(0, since)), _nano_down(limit))

    def _note_look(self, at_ns: int) -> None:
        """Remember what this agent itself had spent when a look-up was first used."""
        if self._own_at_look[0] != at_ns:
            self._own_at_look = (at_ns, self._spent_hour, self._spent_day)


def _fresh(system: Optional[SystemSpend], wall_ns: int, window_ns: int) -> bool:
    """Tell whether a look-up may be trusted: young, not of the future, and of the window of `wall_ns`."""
    if system is None or not 0 <= wall_ns - system.at_ns <= SYSTEM_FRESH_NS:
        return False
    return system.at_ns // window_ns == wall_ns // window_ns


def _nano(usd: float) -> int:
    """Give an amount in billionths, rounded up: what is spent is never understated."""
    if not math.isfinite(usd) or usd < 0:
        raise ValueError("{!r} is no amount of USD".format(usd))
    return math.ceil(round(usd * NANO_PER_USD, 3))


def _nano_down(usd: float) -> int:
    return math.floor(round(usd * NANO_PER_USD, 3))


def _usd(nano: int) -> float:
    return nano / NANO_PER_USD
