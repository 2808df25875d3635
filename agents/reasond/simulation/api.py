"""The Claude API as it is to simulated brains: its limit of requests a minute, its failures and slow hours.

A brain that asks it, or acts as if it did, is wrapped in a `LimitedApi`; virtual time passes where a real one
would wait. The retries follow what the SDK does: some with growing pauses, within the deadline.
"""

import random
from collections import deque
from typing import Callable, Deque, List, Tuple, Union

from msgspec.structs import replace

from reasond.brains.base import Brain, Question
from reasond.core.effects import Answer, ApiCall, Failure, FailureReason

RETRIES = 3
"""The most that CLAUDE_MAX_RETRIES allows, and its default."""
FIRST_PAUSE_S = 0.5
"""Before the first retry; each later one waits twice as long."""
REFUSED_MS = 60.0
"""About what a refused request takes."""
WINDOW_S = 60.0


class Gate:
    """The API's limit, counted over all agents of one run."""

    def __init__(self, requests_per_minute: int) -> None:
        """Start with no request seen."""
        self._limit = requests_per_minute
        self._times: Deque[float] = deque()

    def admits(self, at_s: float) -> bool:
        """Tell whether one more request fits into the minute that ends at `at_s`, and count it if so."""
        while self._times and self._times[0] <= at_s - WINDOW_S:
            self._times.popleft()
        if len(self._times) >= self._limit:
            return False
        self._times.append(at_s)
        return True


class LimitedApi:
    """A brain behind the API; `mood` gives, as of now, the part of requests that fail and a factor on latency."""

    simulated_latency = True

    def __init__(self, brain: Brain, gate: Gate, mood: Callable[[], Tuple[float, float]], seed: int) -> None:
        """Take the brain that answers; chance depends on the seed and the question alone."""
        self.name = brain.name
        self._brain = brain
        self._gate = gate
        self._mood = mood
        self._seed = seed

    def status(self) -> str:
        """Tell what the brain tells."""
        return self._brain.status()

    def decide(self, question: Question) -> Union[Answer, Failure]:
        """Give the brain's answer when a request gets through in time, else why none did."""
        failing, slowdown = self._mood()
        chance = random.Random(f"{self._seed}:{question.ask_id}:api")
        refused: List[ApiCall] = []
        waited_ms, pause_s = 0.0, FIRST_PAUSE_S
        error = ""
        for attempt in range(1, RETRIES + 2):
            error = self._error(question.wall_ns / 1e9 + waited_ms / 1000, failing, chance)
            if not error:
                return self._answered(question, refused, waited_ms, slowdown)
            refused.append(_refused(question, attempt, waited_ms, error))
            waited_ms += REFUSED_MS + 1000 * pause_s
            pause_s *= 2
        reason: FailureReason = "rate_limited" if error == "rate_limited" else "unreachable"
        return Failure(reason, "simulated", latency_ms=waited_ms, calls=tuple(refused))

    def _error(self, at_s: float, failing: float, chance: random.Random) -> str:
        if chance.random() < failing:
            return "connection"
        return "" if self._gate.admits(at_s) else "rate_limited"

    def _answered(
        self, question: Question, refused: List[ApiCall], waited_ms: float, slowdown: float
    ) -> Union[Answer, Failure]:
        answer = self._brain.decide(question)
        latency_ms = waited_ms + answer.latency_ms * slowdown
        calls = (*refused, *answer.calls)
        if latency_ms <= 1000 * question.deadline_s:
            return replace(answer, latency_ms=latency_ms, calls=calls)
        # What comes too late is paid for all the same.
        return Failure(
            "deadline",
            "simulated",
            latency_ms=1000 * question.deadline_s,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            cost_usd=answer.cost_usd,
            calls=calls,
        )


def _refused(question: Question, attempt: int, waited_ms: float, error: str) -> ApiCall:
    status = 429 if error == "rate_limited" else 0
    wall_ns = question.wall_ns + int(1e6 * waited_ms)
    return ApiCall(wall_ns, model="", attempt=attempt, status=status, error=error, latency_ms=REFUSED_MS)
