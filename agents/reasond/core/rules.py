"""The rule-based controller: what a sound agent without AI would decide, as pure functions of the contexts.

Used as the brain `rules` and by every core as the fallback when a brain gives no usable answer.
Its reasoning texts carry the figures it decided on; its confidence is left out, for a rule has none.
"""

import math
from typing import Dict, Iterable, Optional, Sequence, Tuple

from msgspec import Struct

from reasond.core.contexts import HandlingContext, HealthContext, QueueFacts, RateContext
from reasond.decisions import MAX_LIST_ITEMS, HandlingDecision, HealthDecision, HealthStatus, RateDecision
from reasond.topology import FICTIONAL, NON_FICTIONAL, PRIORITY

STALE_DEPTHS_S = 30.0
"""Seconds: depths older than a decision period don't show the last decision's effect: unknown."""
GUARD_DEPTH_MESSAGES = 5
"""Messages: below this a queue is never called pressed; a handful in hand makes any rate look slow."""
LARGE_DEPTH_MESSAGES = 50
"""Messages: one consumer's default prefetch; with no rates known, a growing queue beyond it is pressed."""
HIGH_WAIT_PART = 0.5
"""Part of the TTL: a message that waits longer than this has lost its margin against expiry."""
LOW_WAIT_PART = 0.2
"""Part of the TTL: below it a queue is calm; from here to HIGH_WAIT_PART nothing moves (hysteresis)."""
HOPELESS_WAIT_PART = 2.0
"""Part of the TTL: beyond it whatever is published now expires before it is read."""
MIN_STEP_FACTOR, MAX_STEP_FACTOR = 1.25, 2.0
"""Factors on an interval: less than a quarter drowns in the rounding to whole seconds; halving the rate is
AIMD's customary decrease, and leaves the other agents something to do."""
RECOVERY_PART = 0.25
"""Part of the default rate that a calm agent takes back at each decision, alone: all of it in four, 2 minutes."""
PEER_SETTLE_S = 20.0
"""Seconds: a peer's change shows in the depths only after its interval (5 to 10 s) and a sample or two."""
BATCH_DEPTH_MESSAGES = 20
"""Messages: one full batch at the default size; below it a batch only waits for its age."""
BATCH_MIN_LEFT_S = 12.0
"""Seconds: a batch's default age limit and time to handle it; a message with less left can't wait."""
HEALTHY_SCORE, CRITICAL_SCORE = 80, 50
"""Points of system_health_score: at or above the first is healthy, below the second critical."""

SUGGESTIONS: Dict[str, str] = {
    "queue_not_draining": "Add consumers or slow the publishers of this queue.",
    "expiring": "Messages outlive their TTL in the queue: consume faster, publish slower or raise the TTL.",
    "agent_silent": "Look at the agent's unit: systemctl status, journalctl -u.",
    "agent_degraded": "Read the agent's STATUS line: it names what it waits for.",
    "api_failing": "Check the API key, the account's credit and the network; agents go on by rules.",
    "budget_warning": "Lengthen decision periods or raise the budget before it is spent.",
    "budget_spent": "Agents decide by rules until the hour or day is over; raise the budget if need be.",
    "rejecting": "Look at `reasond quarantine list --queue rejected` for what is malformed or fails.",
    "flagging": "Look at `reasond quarantine list --queue flagged` for what is out of the ordinary.",
    "identity_conflict": "Two processes run under one identity: stop one.",
    "samples_missing": "Check the broker's management API and the monitor's access to it.",
    "nothing_published": "Check that the publishers run and aren't paused or held.",
    "nothing_consumed": "Check that the consumers run and aren't held.",
    "late": "Messages are handled after their TTL: batch less or lower the prefetch.",
}
"""What helps, by the family of a finding's code (the part before the colon)."""


class _Pressure(Struct, frozen=True):
    """How one queue stands; `known` is False when unmeasured, `wait_part` the expected wait over the TTL."""

    queue: str
    known: bool
    pressed: bool = False
    calm: bool = False
    hopeless: bool = False
    wait_part: Optional[float] = None
    text: str = ""


def expected_wait_s(facts: QueueFacts) -> Optional[float]:
    """Give how long a message published now waits to be handled, seconds; None: unknown, inf: for ever.

    Depth over the rate of delivery (Little's law); without that rate, the drain time stands in for it.
    """
    if facts.depth is None:
        return None
    if facts.consumers == 0:
        return math.inf
    if facts.depth == 0:
        return 0.0
    if facts.ack_rate is not None:
        return facts.depth / facts.ack_rate if facts.ack_rate > 0 else math.inf
    return facts.drain_time_s


def decide_rate(context: RateContext) -> RateDecision:
    """Give a publisher's rate decision; intervals in whole seconds, both always named.

    Slows the schedules whose queue keeps messages waiting past half of their TTL, pauses where all that is
    published would expire, returns towards the default rate when calm, and holds in between and when blind.
    It never goes below a default interval.
    """
    pressures = {name: _pressure(context, name) for name in (FICTIONAL, NON_FICTIONAL, PRIORITY)}
    own = (pressures[FICTIONAL], pressures[NON_FICTIONAL])
    if not any(pressure.known for pressure in pressures.values()):
        return _hold(context, "Depths are unknown ({}), so I hold my rate".format(_why_unknown(context)))
    if all(pressure.hopeless for pressure in own) and _may_pause(context, own):
        return _pause(context, own)
    if any(pressure.pressed for pressure in pressures.values()):
        return _slow_down(context, pressures)
    if all(pressure.calm for pressure in pressures.values()) and not context.expired_per_minute:
        return _recover(context, list(pressures.values()))
    expired = "; {:.1f} expired a minute".format(context.expired_per_minute) if context.expired_per_minute else ""
    return _hold(context, "Between the thresholds: {}{}".format(_texts(pressures.values()), expired))


def decide_handling(context: HandlingContext) -> HandlingDecision:
    """Give a consumer's decision: batch when a batch's worth waits and the message can wait, else process.

    It never flags: the plausibility checks do that, deterministically and without being asked.
    """
    if context.priority == "high" or context.queue == PRIORITY:
        return HandlingDecision("process", "High priority: handled at once.")
    if context.redelivered:
        return HandlingDecision("process", "Delivered before: handled alone, so that it can spoil no batch.")
    if context.queue_depth is None:
        return HandlingDecision("process", "Depth of {} is unknown: handled at once.".format(context.queue))
    if context.queue_depth < BATCH_DEPTH_MESSAGES:
        return HandlingDecision(
            "process",
            "Depth of {} is {}, under a batch of {}.".format(context.queue, context.queue_depth, BATCH_DEPTH_MESSAGES),
        )
    if context.seconds_left < BATCH_MIN_LEFT_S:
        return HandlingDecision(
            "process",
            "{:.0f} s of the TTL are left: too little to wait for a batch.".format(context.seconds_left),
        )
    return HandlingDecision(
        "batch",
        "Depth of {} is {} and {:.0f} s of the TTL are left: handled in a batch.".format(
            context.queue, context.queue_depth, context.seconds_left
        ),
    )


def decide_health(context: HealthContext) -> HealthDecision:
    """Give the monitor's decision from the score and the findings ("severity code: text" lines)."""
    split = [_split(line) for line in context.findings]
    critical = [text for severity, _, text in split if severity == "critical"]
    status: HealthStatus = "healthy"
    if critical or context.score < CRITICAL_SCORE:
        status = "critical"
    elif split or context.score < HEALTHY_SCORE:
        status = "warning"
    alerts = critical
    if status == "critical" and not alerts:
        alerts = ["system_health_score is {} of 100, under {}.".format(context.score, CRITICAL_SCORE)]
    families = [code.split(":", 1)[0] for _, code, _ in split]
    suggestions = [SUGGESTIONS[family] for family in dict.fromkeys(families) if family in SUGGESTIONS]
    return HealthDecision(
        status=status,
        reasoning="Score {} of 100 over {:.0f} s, {} findings of which {} critical.".format(
            context.score, context.window_s, len(split), len(critical)
        ),
        issues=tuple(text for _, _, text in split)[:MAX_LIST_ITEMS],
        suggestions=tuple(suggestions[:MAX_LIST_ITEMS]),
        alerts=tuple(alerts[:MAX_LIST_ITEMS]),
    )


def _split(line: str) -> Tuple[str, str, str]:
    severity, _, rest = line.partition(" ")
    code, _, text = rest.partition(": ")
    return severity, code, text


def _pressure(context: RateContext, queue: str) -> _Pressure:
    facts = context.queues.get(queue)
    if facts is None or facts.depth is None or _stale(context):
        return _Pressure(queue, known=False, text="{} unknown".format(queue))
    wait = expected_wait_s(facts)
    part = None if wait is None else wait / context.message_ttl_s
    growing = (facts.trend_per_minute or 0.0) > 0
    beyond_guard = facts.depth >= GUARD_DEPTH_MESSAGES
    if part is None:
        pressed = growing and facts.depth >= LARGE_DEPTH_MESSAGES
        calm = not growing and not beyond_guard
    else:
        pressed = beyond_guard and part > HIGH_WAIT_PART
        calm = part < LOW_WAIT_PART or (not beyond_guard and not growing and facts.consumers != 0)
    return _Pressure(
        queue,
        known=True,
        pressed=pressed,
        calm=calm and not pressed,
        hopeless=facts.consumers == 0 or (pressed and part is not None and part >= HOPELESS_WAIT_PART),
        wait_part=part,
        text=_figures(queue, facts, wait),
    )


def _figures(queue: str, facts: QueueFacts, wait: Optional[float]) -> str:
    if wait is None:
        waiting = "wait unknown"
    elif math.isinf(wait):
        waiting = "nothing delivered"
    else:
        waiting = "{:.0f} s to serve".format(wait)
    trend = "" if facts.trend_per_minute is None else ", {:+.1f} a minute".format(facts.trend_per_minute)
    return "{} depth {} ({}{})".format(queue, facts.depth, waiting, trend)


def _texts(pressures: Iterable[_Pressure]) -> str:
    return "; ".join(pressure.text for pressure in pressures)


def _stale(context: RateContext) -> bool:
    return context.depth_source == "unknown" or (
        context.depth_age_s is not None and context.depth_age_s > STALE_DEPTHS_S
    )


def _why_unknown(context: RateContext) -> str:
    if context.depth_source != "unknown" and context.depth_age_s is not None and _stale(context):
        return "newest sample {:.0f} s old".format(context.depth_age_s)
    return "no source answers"


def _peers_lately(context: RateContext, *actions: str) -> int:
    return sum(1 for peer in context.peers if peer.action in actions and 0 <= peer.age_s <= PEER_SETTLE_S)


def _may_pause(context: RateContext, own: Sequence[_Pressure]) -> bool:
    """Tell whether to pause where publishing is hopeless: only on losses, and not right after a peer."""
    if context.paused:
        return True
    unread = all(pressure.wait_part is not None and math.isinf(pressure.wait_part) for pressure in own)
    lossy = bool(context.expired_per_minute) or unread
    return lossy and any(pressure.pressed for pressure in own) and not _peers_lately(context, "pause")


def _hold(context: RateContext, reason: str) -> RateDecision:
    return RateDecision(
        action="continue",
        reasoning="{}; intervals stay {} s and {} s.".format(
            reason, context.fictional_interval, context.nonfictional_interval
        ),
        fictional_interval=context.fictional_interval,
        nonfictional_interval=context.nonfictional_interval,
    )


def _pause(context: RateContext, own: Sequence[_Pressure]) -> RateDecision:
    return RateDecision(
        action="pause",
        reasoning="{}; {} expired a minute: what I publish now would expire (TTL {} s), so I pause.".format(
            _texts(own), "{:.1f}".format(context.expired_per_minute or 0.0), context.message_ttl_s
        ),
        fictional_interval=context.fictional_interval,
        nonfictional_interval=context.nonfictional_interval,
    )


def _slow_down(context: RateContext, pressures: Dict[str, _Pressure]) -> RateDecision:
    """Lengthen the pressed queues' intervals; peers that braked just now leave this one a share of it to do."""
    pressed = [pressure for pressure in pressures.values() if pressure.pressed]
    braked = _peers_lately(context, "slow_down", "pause")
    shared = pressures[PRIORITY] if pressures[PRIORITY].pressed else None
    fictional = _longer(context, context.fictional_interval, (pressures[FICTIONAL], shared), braked)
    nonfictional = _longer(context, context.nonfictional_interval, (pressures[NON_FICTIONAL], shared), braked)
    if (fictional, nonfictional) == (context.fictional_interval, context.nonfictional_interval):
        return _hold(
            context,
            "{}, but my intervals are at their bound of {} s".format(_texts(pressed), context.max_interval),
        )
    share = "; {} peers braked too, so I take a share".format(braked) if braked else ""
    return RateDecision(
        action="slow_down",
        reasoning="{}, over {:.0f} % of the TTL of {} s{}: from {} s and {} s to {} s and {} s.".format(
            _texts(pressed),
            100 * HIGH_WAIT_PART,
            context.message_ttl_s,
            share,
            context.fictional_interval,
            context.nonfictional_interval,
            fictional,
            nonfictional,
        ),
        fictional_interval=fictional,
        nonfictional_interval=nonfictional,
    )


def _longer(context: RateContext, interval: int, queues: Sequence[Optional[_Pressure]], braked: int) -> int:
    """Give the interval that brings the wait to HIGH_WAIT_PART, within a step's bounds and this share."""
    parts = [queue.wait_part or HIGH_WAIT_PART for queue in queues if queue is not None and queue.pressed]
    if not parts:
        return interval
    needed = min(MAX_STEP_FACTOR, max(MIN_STEP_FACTOR, max(parts) / HIGH_WAIT_PART))
    factor = math.pow(needed, 1.0 / (1 + braked))
    return max(interval, min(context.max_interval, math.ceil(interval * factor)))


def _recover(context: RateContext, pressures: Sequence[_Pressure]) -> RateDecision:
    """Shorten intervals that are above their default, by a part of the default rate; never below it.

    Peers that sped up just now leave a share: if all took back that much at once, the queues would be pressed
    again before anybody saw it.
    """
    part = RECOVERY_PART / (1 + _peers_lately(context, "speed_up"))
    fictional = _shorter(context, context.fictional_interval, context.default_fictional_interval, part)
    nonfictional = _shorter(context, context.nonfictional_interval, context.default_nonfictional_interval, part)
    if (fictional, nonfictional) == (context.fictional_interval, context.nonfictional_interval):
        return _hold(context, "Calm: {}".format(_texts(pressures)))
    return RateDecision(
        action="speed_up",
        reasoning="Calm: {}; nothing expires: intervals back from {} s and {} s to {} s and {} s.".format(
            _texts(pressures),
            context.fictional_interval,
            context.nonfictional_interval,
            fictional,
            nonfictional,
        ),
        fictional_interval=fictional,
        nonfictional_interval=nonfictional,
    )


def _shorter(context: RateContext, interval: int, default: int, part: float) -> int:
    floor = max(default, context.min_interval)
    if interval <= floor:
        return interval
    per_second = 1.0 / interval + part / default
    return max(floor, min(interval - 1, math.floor(1.0 / per_second)))
