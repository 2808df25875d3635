"""The budget around a brain that pays: reserve the worst case, keep that on disk, ask, settle.

Used by the factory around the Claude brain. What is on disk is never less than what was spent: a process that
dies between asking and settling has spent the whole reservation.
"""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Protocol, Tuple, Union

from msgspec.structs import replace

from reasond.brains.base import Brain, Question
from reasond.core.budget import (
    DAY_NS,
    HOUR_NS,
    NANO_PER_USD,
    Ledger,
    Limits,
    Refusal,
    Reservation,
    SystemSpend,
)
from reasond.core.effects import Answer, BudgetState, Failure, FailureReason, Level

LOOK_EVERY_S = 60.0
"""Between looks at the whole system's spend: overshoot is bounded by what all agents reserve in that time."""
LOOK_WAIT_S = 1.0
"""A decision waits no longer than this for the look; a store that is slow is read in time for the next
one."""

Say = Callable[[Level, str, Dict[str, Any]], None]
LookUp = Callable[[int], Tuple[float, float]]
"""Gives the whole system's spend, USD, in the UTC hour and day of the given time
(StoreReader.system_spend)."""


class Paying(Brain, Protocol):
    """A brain whose decisions cost money."""

    def worst_case_usd(self, question: Question) -> float:
        """Give an upper bound of what deciding this question costs, USD."""
        ...


class LedgerFile:
    """A ledger's state on disk, one JSON file, replaced whole and synced."""

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is read yet."""
        self._path = path

    def load(self) -> Optional[Dict[str, Any]]:
        """Give the state last kept, None where there is none.

        Raises OSError, and ValueError for a file that holds something else.
        """
        try:
            state = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        if not isinstance(state, dict):
            raise ValueError(f"{self._path} holds no budget")
        return state

    def keep(self, state: Dict[str, Any]) -> None:
        """Keep the state so that it survives a power cut; raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_name(self._path.name + ".new")
        descriptor = os.open(str(beside), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(state, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        directory = os.open(str(self._path.parent), os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def hour_spent(limits: Limits, wall_ns: int) -> Dict[str, Any]:
    """Give a ledger's state whose running hour is spent: for when what was really spent can't be known."""
    hour_usd = min(limits.agent_hour_usd, limits.system_hour_usd)
    amount = int(hour_usd * NANO_PER_USD)
    hour, day = wall_ns // HOUR_NS, wall_ns // DAY_NS
    return {"hour": hour, "day": day, "hour_nano_usd": amount, "day_nano_usd": amount}


class Spending:
    """A brain that asks its inner brain only as far as the budget reaches.

    `keep` gets the ledger's state before each call and after it, and raises OSError when it can't keep it.
    `system_spend` is asked once a minute at most; while it fails the agent keeps to its share. `say` is told
    of each change of level once.
    """

    simulated_latency = False

    def __init__(
        self,
        brain: Paying,
        ledger: Ledger,
        *,
        keep: Callable[[Dict[str, Any]], None],
        system_spend: LookUp,
        say: Say = lambda level, event, fields: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with the ledger as it is and the system's spend unknown."""
        self.name = brain.name
        self._brain = brain
        self._ledger = ledger
        self._keep = keep
        self._system_spend = system_spend
        self._say = say
        self._clock = clock
        self._lock = threading.Lock()
        self._system: Optional[SystemSpend] = None
        self._figures: Optional[BudgetState] = None
        self._looked_at: Optional[float] = None
        self._look: Optional[threading.Thread] = None
        self._stopped = False
        self._level = "ok"
        self._told = False

    def stop_spending(self, stop: bool) -> None:
        """Stop all calls at once, or allow them again (`reasond control`)."""
        if stop != self._stopped:
            self._stopped = stop
            self._say("notice", "spending_stopped" if stop else "spending_allowed", {})

    def decide(self, question: Question) -> Union[Answer, Failure]:
        """Give the inner brain's decision, or a Failure without asking it when the money doesn't reach."""
        began = self._clock()
        if self._stopped:
            return self._refuse(question.wall_ns, "spending_stopped", "spending is stopped by the operator")
        self._look_at_system(question.wall_ns)
        try:
            reserved = self._reserve(question)
        except OSError as err:
            self._say("error", "budget_not_kept", {"error": str(err)})
            return self._refuse(question.wall_ns, "internal", f"the budget can't be kept: {err}")
        except Exception as err:
            # A question that can't even be priced can't be asked; a brain never raises.
            return self._refuse(question.wall_ns, "internal", f"{type(err).__name__}: {err}")
        if isinstance(reserved, Refusal):
            return self._refuse(question.wall_ns, "budget_spent", reserved.reason)
        left_s = max(0.0, question.deadline_s - (self._clock() - began))
        result = self._brain.decide(replace(question, deadline_s=left_s))
        self._settle(reserved, result.cost_usd)
        return replace(result, budget=self.figures(question.wall_ns))

    def status(self) -> str:
        """Tell what was spent as of the last question, where the budget stands, and what the inner brain has to say."""
        words = [self._brain.status()]
        if self._figures is not None:
            spent = self._figures
            words.append(f"spent ${spent.spent_hour_usd:.4f} this hour, ${spent.spent_day_usd:.4f} today")
        if self._stopped:
            words.append("spending stopped")
        elif self._level != "ok":
            words.append(f"budget {self._level}")
        return ", ".join(word for word in words if word)

    def figures(self, wall_ns: int) -> BudgetState:
        """Give where the budget stands now."""
        with self._lock:
            figures = self._ledger.figures(wall_ns, self._system)
        self._tell(figures)
        return replace(figures, level="stopped") if self._stopped else figures

    def _reserve(self, question: Question) -> Union[Reservation, Refusal]:
        worst_usd = self._brain.worst_case_usd(question)
        with self._lock:
            reserved = self._ledger.reserve(question.wall_ns, worst_usd, self._system)
            if isinstance(reserved, Reservation):
                try:
                    self._keep(self._ledger.state())
                except OSError:
                    self._ledger.settle(reserved, 0.0)
                    raise
        return reserved

    def _settle(self, reserved: Reservation, cost_usd: float) -> None:
        with self._lock:
            self._ledger.settle(reserved, cost_usd)
            try:
                self._keep(self._ledger.state())
            except OSError as err:
                # The disk still holds the worst case, which errs on the safe side.
                self._say("error", "budget_not_kept", {"error": str(err)})

    def _refuse(self, wall_ns: int, reason: FailureReason, detail: str) -> Failure:
        return Failure(reason=reason, detail=detail, budget=self.figures(wall_ns))

    def _look_at_system(self, wall_ns: int) -> None:
        """Begin a look when one is due, beside the caller, and wait a moment for it."""
        due = self._looked_at is None or self._clock() - self._looked_at >= LOOK_EVERY_S
        if not due or (self._look is not None and self._look.is_alive()):
            return
        self._looked_at = self._clock()
        self._look = threading.Thread(target=self._take_look, args=(wall_ns,), name="system-spend", daemon=True)
        self._look.start()
        self._look.join(LOOK_WAIT_S)

    def _take_look(self, wall_ns: int) -> None:
        try:
            hour_usd, day_usd = self._system_spend(wall_ns)
        except Exception as err:
            if not self._told:
                self._told = True
                self._say("notice", "system_spend_unknown", {"error": f"{type(err).__name__}: {err}"})
            return
        self._told = False
        with self._lock:
            self._system = SystemSpend(hour_usd=hour_usd, day_usd=day_usd, at_ns=wall_ns)

    def _tell(self, figures: BudgetState) -> None:
        self._figures = figures
        if figures.level == self._level:
            return
        self._level = figures.level
        fields = {
            "level": figures.level,
            "spent_hour_usd": round(figures.spent_hour_usd, 4),
            "limit_hour_usd": figures.limit_hour_usd,
            "spent_day_usd": round(figures.spent_day_usd, 4),
            "limit_day_usd": figures.limit_day_usd,
        }
        self._say("notice" if figures.level == "ok" else "warning", "budget_level", fields)
