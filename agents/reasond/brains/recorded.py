"""Answers that were given before: kept by prompt so that a rerun is free, or replayed from a transcript.

Used by the simulation. A recording is a transcript (brains.transcript): JSON Lines, one answered question each.
"""

import hashlib
import json
import time
from collections import deque
from pathlib import Path
from typing import Any, Callable, Deque, Dict, Iterable, Optional, Tuple, Union

import msgspec
from msgspec.structs import replace

from reasond.brains.base import Question
from reasond.brains.prompts import Prompt, Wording, render
from reasond.brains.redaction import Redactor
from reasond.brains.spending import Paying
from reasond.brains.transcript import line_of
from reasond.core.effects import Answer, ApiCall, Failure
from reasond.decisions import from_object
from reasond.errors import DecisionInvalid, InputError

NEEDED = ("prompt", "decision", "agent")


class Purse:
    """What may be spent in all, USD; never overdrawn, as each question is paid for at its worst case first."""

    def __init__(self, limit_usd: float) -> None:
        """Start with everything left."""
        self.limit_usd = limit_usd
        self.spent_usd = 0.0

    def affords(self, usd: float) -> bool:
        """Tell whether so much is left."""
        return self.spent_usd + usd <= self.limit_usd


class Recording:
    """The answers of a transcript file, by prompt, and in their order for each agent."""

    def __init__(self, path: Path) -> None:
        """Read the file, where there is one. Raises InputError for one that holds no transcript."""
        self._path = path
        self._by_prompt: Dict[str, Dict[str, Any]] = {}
        self._by_agent: Dict[str, Deque[Dict[str, Any]]] = {}
        if path.exists():
            self._load()

    def __len__(self) -> int:
        """The number of different prompts that have an answer."""
        return len(self._by_prompt)

    def find(self, prompt: str) -> Optional[Dict[str, Any]]:
        """Give the answer to a prompt."""
        return self._by_prompt.get(_key(prompt))

    def following(self, agent_id: str) -> Optional[Dict[str, Any]]:
        """Give an agent's next answer in the order of the recording; each once."""
        waiting = self._by_agent.get(agent_id)
        return waiting.popleft() if waiting else None

    def add(self, entry: Dict[str, Any]) -> None:
        """Keep an answer, in the file too; raises OSError."""
        self._take(entry)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def _take(self, entry: Dict[str, Any]) -> None:
        self._by_prompt[_key(entry["prompt"])] = entry
        self._by_agent.setdefault(entry["agent"], deque()).append(entry)

    def _load(self) -> None:
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as err:
            raise InputError(f"can't read the recording {self._path}: {err}") from err
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
            except ValueError as err:
                # The last line of a run that was ended while it wrote.
                if number == len(lines):
                    return
                raise InputError(f"{self._path}, line {number}: no transcript: {err}") from err
            if not isinstance(entry, dict) or any(name not in entry for name in NEEDED):
                raise InputError(f"{self._path}, line {number}: no transcript: {', '.join(NEEDED)} are needed")
            if entry["decision"] is not None:
                self._take(entry)


class Remembered:
    """A paying brain behind a recording: what was asked before costs nothing, what wasn't is kept."""

    simulated_latency = False

    def __init__(
        self,
        brain: Paying,
        recording: Recording,
        purse: Purse,
        redactor: Optional[Redactor] = None,
        wording: Optional[Wording] = None,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Take the brain, its recording (one for each choice of models), and the purse it pays from."""
        self.name = brain.name
        self._brain = brain
        self._recording = recording
        self._purse = purse
        self._redactor = redactor or Redactor()
        self._wording = wording
        self._wall_ns = wall_ns

    def status(self) -> str:
        """Tell what the brain tells."""
        return self._brain.status()

    def decide(self, question: Question) -> Union[Answer, Failure]:
        """Give the answer of the recording, else the brain's, as far as the purse reaches.

        An answer of the recording tells what it cost when it was first given.
        """
        prompt = render(question.context, self._redactor, self._wording)
        entry = self._recording.find(prompt.text)
        if entry is not None:
            return answer_of(entry, question, self.name)
        # Models end on real days, whatever day it is in the simulation.
        now_ns = self._wall_ns()
        asked = replace(question, wall_ns=now_ns)
        if not self._purse.affords(self._brain.worst_case_usd(asked)):
            return Failure("budget_spent", f"${self._purse.limit_usd:g} may be spent, what is left may not reach")
        result = self._brain.decide(asked)
        self._purse.spent_usd += result.cost_usd
        calls = _moved(result.calls, question.wall_ns - now_ns)
        if isinstance(result, Answer):
            attempts = msgspec.to_builtins(_moved(result.calls, -now_ns))
            self._recording.add({**line_of(question, prompt, "", result.model, result), "calls": attempts})
        return replace(result, calls=calls)


class Replayed:
    """A brain that says what a recording says: by the prompt, else the agent's next answer in its order."""

    name = "replay"
    simulated_latency = True

    def __init__(
        self, recording: Recording, redactor: Optional[Redactor] = None, wording: Optional[Wording] = None
    ) -> None:
        """Take the recording."""
        self._recording = recording
        self._redactor = redactor or Redactor()
        self._wording = wording

    def status(self) -> str:
        """Say nothing."""
        return ""

    def decide(self, question: Question) -> Union[Answer, Failure]:
        """Give the recorded answer, or a Failure when the agent has none left."""
        prompt: Prompt = render(question.context, self._redactor, self._wording)
        entry = self._recording.find(prompt.text) or self._recording.following(question.agent_id)
        if entry is None:
            return Failure("unreachable", f"the recording has no answer left for {question.agent_id}")
        return answer_of(entry, question, self.name)


def answer_of(entry: Dict[str, Any], question: Question, brain: str) -> Union[Answer, Failure]:
    """Read a transcript's entry as the answer to a question; what is no decision of its kind is a failure."""
    try:
        decision = from_object(question.agent_type, entry["decision"])
        attempts = msgspec.convert(entry.get("calls", []), Tuple[ApiCall, ...])
    except (DecisionInvalid, TypeError, msgspec.ValidationError) as err:
        return Failure("invalid_answer", f"recorded: {err}")
    return Answer(
        decision=decision,
        brain=brain,
        model=str(entry.get("model") or "none"),
        prompt_version=str(entry.get("prompt_version") or "none"),
        input_tokens=int(entry.get("input_tokens") or 0),
        output_tokens=int(entry.get("output_tokens") or 0),
        cost_usd=float(entry.get("cost_usd") or 0.0),
        latency_ms=float(entry.get("latency_ms") or 0.0),
        calls=_moved(attempts, question.wall_ns),
    )


def _moved(calls: Iterable[ApiCall], by_ns: int) -> Tuple[ApiCall, ...]:
    """Give the attempts at other times: a recording keeps them counted from the question."""
    return tuple(replace(call, wall_ns=call.wall_ns + by_ns) for call in calls)


def _key(prompt: str) -> str:
    return hashlib.sha256(prompt.encode("utf-8")).hexdigest()
