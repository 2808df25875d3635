"""The brain `dry-run`: plausible answers without network, SDK or cost, for the demo and for tests.

The same seed and question give the same answer, latency and token counts. It reacts to depth as Claude does:
with some freedom in the figures, less confidence where it knows less, and now and then a choice of its own.
"""

import json
import math
import random
import re
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import msgspec

from reasond.brains import models
from reasond.brains.base import Question
from reasond.brains.prompts import Wording, render
from reasond.brains.redaction import Redactor
from reasond.brains.transcript import line_of
from reasond.core import rules
from reasond.core.contexts import HandlingContext, HealthContext, RateContext
from reasond.core.effects import Answer, Failure
from reasond.decisions import Decision, HandlingDecision, HealthDecision, RateAction, RateDecision

LATENCY_MEDIAN_S = 2.0
LATENCY_SPREAD = 0.35
"""Of the logarithm: two thirds of the answers then come within 1.4 to 2.8 s, one in a hundred takes over 4.5
s."""
LATENCY_BOUNDS_S = (0.6, 12.0)
BYTES_PER_TOKEN = 3.6
"""UTF-8 bytes a token of such prompts and answers on Sonnet 4.5's tokenizer, roughly."""
BATCH_DEPTH_MESSAGES = 15
BATCH_LEFT_S = 12.0
TRY_FASTER_PART = 0.6
"""Of a default interval: how far down it dares when the queues stay empty."""

Record = Callable[[Dict[str, Any]], None]

_SUSPICIOUS: Tuple[Tuple[str, str], ...] = (
    (
        r"\b(ignore|disregard|override)\b.{0,40}\b(instruction|prompt|above|previous|rules?)",
        "it speaks to its reader",
    ),
    (r"\byour task\b|\bas an ai\b|\bsystem prompt\b|\brespond only\b", "it pretends to be part of a prompt"),
    (
        r"\b(destroyed|burn(ed|t)|pulped|lost for good)\b.*\b(borrowed|shelved|lent|read|delivered)\b",
        "impossible order",
    ),
    (
        r"\b(returned|unpacked|arrived)\b.*\bbefore\b.*\b(borrowed|lent|packed|left|departed)\b",
        "impossible order",
    ),
    (r"\b(underwater|submarine|moon|volcano|explo\w+|vanish\w+|teleport\w*|on fire)\b", "out of character"),
)


class DryRunBrain:
    """Makes answers up; `model_names` say whose price `would_cost_usd` is worked out with."""

    name = "dry-run"
    simulated_latency = True

    def __init__(
        self,
        *,
        seed: int = 0,
        model_names: Sequence[str] = (),
        redactor: Optional[Redactor] = None,
        wording: Optional[Wording] = None,
        record: Record = lambda entry: None,
    ) -> None:
        """Take the seed on which, with the question, everything depends."""
        self._seed = seed
        self._models = [models.find(name) for name in model_names]
        self._redactor = redactor or Redactor()
        self._wording = wording
        self._record = record

    def decide(self, question: Question) -> Union[Answer, Failure]:
        """Give a made-up decision at once; `latency_ms` is what Claude might have taken."""
        chance = random.Random(f"{self._seed}:{question.agent_id}:{question.ask_id}")
        prompt = render(question.context, self._redactor, self._wording)
        decision = _decision(question.context, chance)
        text = json.dumps(msgspec.to_builtins(decision))
        row = self._model(question.wall_ns)
        tokens = [
            math.ceil(len(part.encode("utf-8")) / BYTES_PER_TOKEN * row.tokenizer) for part in (prompt.text, text)
        ]
        answer = Answer(
            decision=decision,
            brain=self.name,
            prompt_version=prompt.version,
            input_tokens=tokens[0],
            output_tokens=tokens[1],
            would_cost_usd=models.cost_usd(row, tokens[0], tokens[1]),
            latency_ms=1000.0 * _latency_s(chance, question.deadline_s),
        )
        self._record(line_of(question, prompt, text, "none", answer))
        return answer

    def status(self) -> str:
        """Say that nothing here is real."""
        return "dry run"

    def _model(self, wall_ns: int) -> models.Model:
        today = datetime.fromtimestamp(wall_ns / 1e9, timezone.utc).date()
        usable = [row for row in self._models if not models.retired(row, today)]
        return (usable or self._models or [models.TABLE[0]])[0]


def _latency_s(chance: random.Random, deadline_s: float) -> float:
    least, most = LATENCY_BOUNDS_S
    drawn = chance.lognormvariate(math.log(LATENCY_MEDIAN_S), LATENCY_SPREAD)
    return min(max(drawn, least), most, 0.9 * deadline_s)


def _decision(context: Any, chance: random.Random) -> Decision:
    if isinstance(context, RateContext):
        return _rate(context, chance)
    if isinstance(context, HandlingContext):
        return _handling(context, chance)
    return _health(context, chance)


def _rate(context: RateContext, chance: random.Random) -> RateDecision:
    parts = _waits(context)
    if not parts:
        return _rated(context, "continue", (1.0, 1.0), 0.5, "The queue depths are unknown, so I keep my rate.")
    queue, worst = max(parts.items(), key=lambda item: item[1])
    if worst >= rules.HOPELESS_WAIT_PART and context.expired_per_minute:
        why = "{} takes {:.0f} times the TTL to drain and messages expire; more would only be lost."
        confidence = chance.uniform(0.85, 0.95)
        return _rated(context, "pause", (1.0, 1.0), confidence, why.format(queue, worst))
    if worst > rules.HIGH_WAIT_PART:
        return _slower(context, queue, worst, chance)
    return _calm(context, queue, worst, chance)


def _slower(context: RateContext, queue: str, worst: float, chance: random.Random) -> RateDecision:
    braked = any(peer.action in ("slow_down", "pause") and peer.age_s < rules.PEER_SETTLE_S for peer in context.peers)
    if braked and not context.expired_per_minute and chance.random() < 0.5:
        why = f"{queue} is filling up, but a peer has just slowed down; I wait to see what that does."
        return _rated(context, "continue", (1.0, 1.0), chance.uniform(0.6, 0.75), why)
    factor = chance.uniform(1.3, 1.6) if worst < 1 else chance.uniform(1.6, 2.0)
    factors = (factor, factor)
    if queue in ("fictional", "non-fictional"):
        factors = (factor, 1.0) if queue == "fictional" else (1.0, factor)
    why = "{} takes about {:.0f} % of the TTL to drain; slowing down gives the consumers time to catch up."
    return _rated(context, "slow_down", factors, chance.uniform(0.75, 0.92), why.format(queue, 100 * min(worst, 9.99)))


def _calm(context: RateContext, queue: str, worst: float, chance: random.Random) -> RateDecision:
    above = (
        context.fictional_interval > context.default_fictional_interval,
        context.nonfictional_interval > context.default_nonfictional_interval,
    )
    if worst > rules.LOW_WAIT_PART:
        why = f"{queue} drains within its TTL with some margin left; no change is needed."
        return _rated(context, "continue", (1.0, 1.0), chance.uniform(0.7, 0.85), why)
    if any(above):
        factor = chance.uniform(0.55, 0.75)
        factors = (factor if above[0] else 1.0, factor if above[1] else 1.0)
        why = "The queues are nearly empty and I publish slower than usual; I go back towards my default rate."
        return _rated(context, "speed_up", factors, chance.uniform(0.75, 0.9), why)
    if chance.random() < 0.15:
        why = "The queues are empty and the consumers idle; a somewhat higher rate should be safe."
        return _rated(context, "speed_up", (0.8, 0.8), chance.uniform(0.6, 0.75), why)
    why = "The queues are nearly empty at the usual rate; everything keeps up."
    return _rated(context, "continue", (1.0, 1.0), chance.uniform(0.8, 0.95), why)


def _waits(context: RateContext) -> Dict[str, float]:
    """Give each known queue's expected wait as a part of the TTL."""
    parts = {}
    for name, facts in context.queues.items():
        wait = rules.expected_wait_s(facts)
        if facts.depth is None or (wait is None and facts.depth >= rules.GUARD_DEPTH_MESSAGES):
            continue
        small = facts.depth < rules.GUARD_DEPTH_MESSAGES
        parts[name] = 0.0 if small or wait is None else min(wait, 1e6) / context.message_ttl_s
    return parts


def _rated(
    context: RateContext, action: RateAction, factors: Tuple[float, float], confidence: float, why: str
) -> RateDecision:
    pairs = (
        (context.fictional_interval, context.default_fictional_interval, factors[0]),
        (context.nonfictional_interval, context.default_nonfictional_interval, factors[1]),
    )
    moved = [_moved(context, interval, default, factor) for interval, default, factor in pairs]
    if action in ("slow_down", "speed_up") and moved == [pair[0] for pair in pairs]:
        action, why = "continue", why + " My intervals are at their bound already."
    return RateDecision(
        action=action,
        reasoning=why,
        fictional_interval=moved[0],
        nonfictional_interval=moved[1],
        confidence=round(confidence, 2),
    )


def _moved(context: RateContext, interval: int, default: int, factor: float) -> int:
    if factor > 1:
        return max(interval, min(context.max_interval, math.ceil(interval * factor)))
    least = max(context.min_interval, math.ceil(default * TRY_FASTER_PART))
    return interval if factor == 1 else min(interval, max(least, math.floor(interval * factor)))


def _handling(context: HandlingContext, chance: random.Random) -> HandlingDecision:
    oddity = _oddity(context)
    if oddity and chance.random() < 0.9:
        why = f"The message stands out: {oddity}."
        return HandlingDecision("flag_anomaly", why, round(chance.uniform(0.75, 0.95), 2))
    can_wait = context.priority != "high" and context.seconds_left >= BATCH_LEFT_S and not context.redelivered
    deep = context.queue_depth is not None and context.queue_depth >= BATCH_DEPTH_MESSAGES
    if can_wait and (deep or (context.priority == "low" and chance.random() < 0.2)):
        depth = "unknown" if context.queue_depth is None else context.queue_depth
        why = f"Priority {context.priority} and a depth of {depth}: it can wait for others of its kind."
        return HandlingDecision("batch", why, round(chance.uniform(0.7, 0.9), 2))
    why = f"An ordinary update of priority {context.priority}; nothing speaks against handling it now."
    return HandlingDecision("process", why, round(chance.uniform(0.8, 0.97), 2))


def _oddity(context: HandlingContext) -> str:
    """Tell what an attentive reader would stumble over in the message's own text; empty for nothing."""
    text = " ".join(_texts(context.message)).lower()
    for pattern, what in _SUSPICIOUS:
        if re.search(pattern, text):
            return what
    return ""


def _texts(value: Any) -> List[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    return []


def _health(context: HealthContext, chance: random.Random) -> HealthDecision:
    found = rules.decide_health(context)
    certain = chance.uniform(0.85, 0.95) if found.status != "warning" else chance.uniform(0.65, 0.85)
    why = {
        "healthy": "Messages flow, the queues drain and the agents are alive; nothing needs attention.",
        "warning": "The system works, but {} need attention before they grow.".format(
            "one thing may" if len(found.issues) == 1 else f"{len(found.issues)} things"
        ),
        "critical": "Messages or agents are being lost; a person should look now.",
    }[found.status]
    return HealthDecision(
        status=found.status,
        reasoning=why,
        issues=found.issues,
        suggestions=found.suggestions,
        alerts=found.alerts,
        confidence=round(certain, 2),
    )
