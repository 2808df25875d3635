"""What a running stand-in can be told: policy, form of answers, faults, latency, retired models and key.

Used by server; changed by tests through `StandIn.set` and `StandIn.script`, and through the control endpoint.
"""

import threading
import time
from collections import deque
from typing import Any, Deque, Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Tuple, Union

from tests.standin.policy import Answer, Policy, policy_from
from tests.standin.wire import FORMS, Json

#: Seconds that a 429 asks to wait, unless told otherwise.
RETRY_AFTER_S = 1.0

#: Seconds that a slow answer takes, unless told otherwise.
SLOW_S = 5.0

#: A huge body's size, in bytes.
HUGE_BYTES = 100 * 1024 * 1024


class Step(NamedTuple):
    """One response to give: a form and what it needs.

    `text` replaces the answer's text verbatim and `decision` the policy's; both mark the exchange as
    scripted. `every_s` is between two bytes of a dribble.
    """

    form: str = "auto"
    retry_after: Optional[float] = None
    delay_s: float = SLOW_S
    every_s: float = 1.0
    size: int = HUGE_BYTES
    text: Optional[str] = None
    decision: Optional[Answer] = None


class Rule(NamedTuple):
    """A fault on a schedule: each `every`-th request, `after_s` to `until_s` seconds after it was set."""

    step: Step
    every: int = 1
    after_s: float = 0.0
    until_s: float = float("inf")


StepLike = Union[str, int, Step, Json]


def step_from(wanted: StepLike) -> Step:
    """Return a step from a form's name, a status, a step or its fields.

    Raises ValueError for an unknown form or field.
    """
    if not isinstance(wanted, (Step, dict)):
        wanted = {"form": str(wanted)}
    try:
        step = wanted if isinstance(wanted, Step) else Step(**wanted)
    except TypeError as err:
        raise ValueError(f"step: {err}") from err
    if step.form not in FORMS:
        raise ValueError("form: {!r} is none of {}".format(step.form, ", ".join(sorted(FORMS))))
    return step


def rule_from(wanted: Union[Rule, Json]) -> Rule:
    """Return a schedule's rule from its fields: a step's, and every, after_s, until_s.

    Raises ValueError for an unknown form or field.
    """
    if isinstance(wanted, Rule):
        return wanted
    when = {name: value for name, value in wanted.items() if name in ("every", "after_s", "until_s")}
    step = {name: value for name, value in wanted.items() if name not in when}
    return Rule(step_from(step), **when)


class Settings:
    """The current settings; every method may be called from any thread."""

    def __init__(self, key: str) -> None:
        self._lock = threading.Lock()
        self._script: Deque[Step] = deque()
        self._rules: List[Rule] = []
        self._rules_since = time.monotonic()
        self._served = 0
        self.policy: Policy = policy_from(None)
        self.form = Step()
        self.key = key
        self.latency_ms = 0.0
        self.retired: FrozenSet[str] = frozenset()

    def change(self, wanted: Json) -> None:
        """Take new values: policy, form, script, schedule, latency_ms, retired, key.

        Raises ValueError, changing nothing, for an unknown name or a value that does not fit.
        """
        unknown = set(wanted) - {"policy", "form", "script", "schedule", "latency_ms", "retired", "key"}
        if unknown:
            raise ValueError("unknown settings: {}".format(", ".join(sorted(unknown))))
        checked = {name: _checked(name, value) for name, value in wanted.items()}
        with self._lock:
            for name, value in checked.items():
                self._assign(name, value)

    def add_steps(self, steps: Iterable[StepLike]) -> None:
        """Append to the queue of responses that the next valid requests get, one each."""
        checked = [step_from(step) for step in steps]
        with self._lock:
            self._script.extend(checked)

    def take(self) -> Tuple[Step, Policy]:
        """Return what the request now at hand gets: the script's next step, else a rule's, else the form."""
        with self._lock:
            self._served += 1
            if self._script:
                return self._script.popleft(), self.policy
            elapsed = time.monotonic() - self._rules_since
            for rule in self._rules:
                if self._served % rule.every == 0 and rule.after_s <= elapsed < rule.until_s:
                    return rule.step, self.policy
            return self.form, self.policy

    def as_json(self) -> Json:
        """Return the settings, without the key."""
        with self._lock:
            return {
                "policy": self.policy.name,
                "form": self.form._asdict(),
                "script": [step._asdict() for step in self._script],
                "schedule": [_rule_json(rule) for rule in self._rules],
                "latency_ms": self.latency_ms,
                "retired": sorted(self.retired),
            }

    def _assign(self, name: str, value: Any) -> None:
        if name == "script":
            self._script = deque(value)
        elif name == "schedule":
            self._rules, self._rules_since, self._served = value, time.monotonic(), 0
        else:
            setattr(self, name, value)


def _checked(name: str, value: Any) -> Any:
    take: Dict[str, Any] = {
        "policy": policy_from,
        "form": step_from,
        "script": lambda steps: [step_from(step) for step in steps],
        "schedule": lambda rules: [rule_from(rule) for rule in rules],
        "latency_ms": float,
        "retired": frozenset,
        "key": str,
    }
    try:
        return take[name](value)
    except TypeError as err:
        raise ValueError(f"{name}: {err}") from err


def _rule_json(rule: Rule) -> Json:
    until = None if rule.until_s == float("inf") else rule.until_s
    return dict(rule.step._asdict(), every=rule.every, after_s=rule.after_s, until_s=until)
