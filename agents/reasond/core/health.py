"""The system's health without AI: vital figures, the score made of them, and findings with stable codes.

Used by the monitor: for alerts that depend on no model, for the model's context, and for the outcome of its
decisions (did a finding persist). Source: specification, Agent 4.
"""

import math
from typing import Dict, Iterator, List, Literal, Mapping, Optional, Sequence, Tuple

from msgspec import Struct

from reasond.core import trends
from reasond.core.contexts import QueueFacts
from reasond.core.rules import GUARD_DEPTH_MESSAGES, HIGH_WAIT_PART, HOPELESS_WAIT_PART, expected_wait_s
from reasond.core.views import Activity, QueueSample
from reasond.topology import DEAD_QUEUES, EXPIRED, FLAGGED, MAIN_QUEUES, REJECTED, SET_ASIDE_MAX_LENGTH

Severity = Literal["warning", "critical"]

SILENT_HEARTBEATS = 4
"""Heartbeats: one may be late by a write batch, two by a retry; four missed in a row mean a lost agent."""
STALE_SAMPLES = 3
"""Sampling periods: one sample may fall out, two by a slow answer; three missed in a row are a gap."""
BLIND_SAMPLES = 12
"""Sampling periods (1 minute by default) after which nobody knows the depths: as bad as an outage."""
EXPIRED_CRITICAL_PART = 0.1
"""Part of what was published: one message in ten that nobody read in time is a failing system."""
REJECTED_WARNING_PART, REJECTED_CRITICAL_PART = 0.01, 0.1
"""Part of what was consumed: publishers of one house send no malformed messages, so 1 % is already news."""
FLAGGED_WARNING_PART = 0.2
"""Part of what was consumed: ten times the generator's default rate of anomalies."""
LATE_WARNING_PART = 0.05
"""Part of what was consumed: one message in twenty handled after its TTL."""
API_WARNING_PART, API_CRITICAL_PART = 0.2, 0.8
"""Part of the attempts: retries absorb less than one in five; at four in five no brain decides any more."""
API_MIN_CALLS = 5
"""Calls: below it a rate of errors is noise."""
TREND_NS = 120 * 1_000_000_000
"""Nanoseconds: long enough for two dozen samples, short enough to show a change of four decisions ago;
a depth older than that says nothing about now."""
FULL_WARNING_PART = 0.8
"""Part of a set-aside queue's bound; at the bound it refuses more and consumers stand still."""


class Ramp(Struct, frozen=True):
    """A penalty that rises in a straight line from 0 at `good` to `points` at `bad`, and no further."""

    good: float
    bad: float
    points: float

    def penalty(self, value: float) -> float:
        """Give the points taken off for a value."""
        if value <= self.good:
            return 0.0
        if value >= self.bad:
            return self.points
        return self.points * (value - self.good) / (self.bad - self.good)


class Vitals(Struct, frozen=True):
    """What the score is made of; every figure is worse the larger it is, and 0 is perfect."""

    wait_part: float = 0.0
    expired_part: float = 0.0
    late_part: float = 0.0
    rejected_part: float = 0.0
    flagged_part: float = 0.0
    api_error_part: float = 0.0
    missing_part: float = 0.0
    budget_part: float = 0.0
    stale_periods: float = 0.0
    stopped_part: float = 0.0
    blind_part: float = 0.0


RAMPS: Dict[str, Ramp] = {
    # Expected wait of the worst main queue over the TTL: from half of it to hopeless.
    "wait_part": Ramp(HIGH_WAIT_PART, HOPELESS_WAIT_PART, 30),
    # Expired over published; twice the critical part is all there is to lose here.
    "expired_part": Ramp(0.0, 2 * EXPIRED_CRITICAL_PART, 30),
    # Handled after their TTL over consumed.
    "late_part": Ramp(0.0, 0.5, 10),
    # Rejected over consumed.
    "rejected_part": Ramp(0.0, REJECTED_CRITICAL_PART, 20),
    # Flagged over consumed; the generator's own 2 % costs nothing.
    "flagged_part": Ramp(0.05, 0.5, 5),
    # Failed attempts over attempts at the API: the flow goes on by rules, so this alone is never critical.
    "api_error_part": Ramp(0.05, API_CRITICAL_PART, 20),
    # Agents not seen over agents expected; half of them gone is an outage.
    "missing_part": Ramp(0.0, 0.5, 40),
    # Spend over the limit, the worse of hour and day.
    "budget_part": Ramp(0.8, 1.0, 10),
    # Age of the newest queue sample in sampling periods.
    "stale_periods": Ramp(float(STALE_SAMPLES), float(BLIND_SAMPLES), 25),
    # 1 when nothing was published or nothing consumed.
    "stopped_part": Ramp(0.0, 1.0, 25),
    # 1 when the store gives no figures.
    "blind_part": Ramp(0.0, 1.0, 30),
}
"""Penalties by vital figure; docs/health.md shows this table."""


class Finding(Struct, frozen=True):
    """Something wrong: a stable code (`family` or `family:what`), how bad, and a sentence with figures."""

    code: str
    severity: Severity
    text: str

    def line(self) -> str:
        """Give it as one line, as `rules.decide_health` reads it."""
        return "{} {}: {}".format(self.severity, self.code, self.text)


class Scene(Struct, frozen=True):
    """What the findings and vital figures of one window are worked out from.

    `activity_known` is False when the store gave nothing and `activity` holds the monitor's own samples only.
    `doubled_s` tells, by agent, for how long more than one boot of it has been seen at every analysis.
    """

    activity: Activity
    facts: Dict[str, QueueFacts]
    expired: int
    activity_known: bool
    agent_id: str
    expected_agents: Tuple[str, ...]
    ttl_s: float
    sampling_period_s: float
    heartbeat_s: float
    hour_limit_usd: float
    day_limit_usd: float
    warn_at: float
    doubled_s: Mapping[str, float] = {}
    store_error: str = ""


def system_health_score(vitals: Vitals) -> int:
    """Give the score: 100 less the penalties of RAMPS, rounded down, never under 0.

    It falls or stays, never rises, when any one vital figure gets larger.
    """
    penalty = sum(ramp.penalty(getattr(vitals, name)) for name, ramp in RAMPS.items())
    return max(0, math.floor(100 - penalty))


def vitals(scene: Scene) -> Vitals:
    """Give the window's vital figures; what is unknown counts as 0 and shows as staleness or blindness."""
    activity = scene.activity
    published, consumed = sum(activity.published.values()), sum(activity.consumed.values())
    known = scene.activity_known
    return Vitals(
        wait_part=max([wait for _, wait in _waits(scene)] + [0.0]) / scene.ttl_s,
        expired_part=scene.expired / max(published, scene.expired, 1) if known else 0.0,
        late_part=_part(activity.late, consumed),
        rejected_part=_part(activity.rejected, max(consumed, activity.rejected)),
        flagged_part=_part(activity.flagged, max(consumed, activity.flagged)),
        api_error_part=_part(sum(activity.api_errors.values()), activity.api_calls),
        missing_part=_part(len(silent(scene)), len(scene.expected_agents)),
        budget_part=_budget_part(scene),
        stale_periods=newest_age_s(activity) / scene.sampling_period_s,
        stopped_part=1.0 if known and (not published or not consumed) else 0.0,
        blind_part=0.0 if known else 1.0,
    )


def findings(scene: Scene) -> Tuple[Finding, ...]:
    """Give everything found wrong, critical first, each code once."""
    found: List[Finding] = []
    for part in (_queues, _samples, _expiry, _set_aside, _agents, _identities, _flow, _api, _budget):
        found.extend(part(scene))
    return tuple(sorted(found, key=lambda finding: (finding.severity != "critical", finding.code)))


def silent(scene: Scene) -> Tuple[str, ...]:
    """Name the expected agents whose heartbeat was not seen lately; never the monitor itself."""
    if not scene.activity_known:
        return ()
    limit = SILENT_HEARTBEATS * scene.heartbeat_s
    alive = {seen.agent_id for seen in scene.activity.agents if seen.age_s <= limit}
    return tuple(name for name in scene.expected_agents if name not in alive and name != scene.agent_id)


def newest_age_s(activity: Activity) -> float:
    """Give the newest known depth's age at the window's end, seconds; inf when none is known."""
    age = trends.newest_age_s(activity.samples, activity.stop_ns)
    return math.inf if age is None else age


def _part(count: float, whole: float) -> float:
    return min(1.0, count / whole) if whole > 0 else 0.0


def _budget_part(scene: Scene) -> float:
    return max(
        _spent_part(scene.activity.system_hour_usd, scene.hour_limit_usd),
        _spent_part(scene.activity.system_day_usd, scene.day_limit_usd),
    )


def _spent_part(spent: float, limit: float) -> float:
    # A limit of 0 means that nothing may be spent: that is a choice, not a spent budget.
    return spent / limit if limit > 0 else 0.0


def _waits(scene: Scene) -> Iterator[Tuple[str, float]]:
    """Yield the main queues whose expected wait is known, past the depth at which it says something."""
    for queue in MAIN_QUEUES:
        facts = scene.facts.get(queue)
        if facts is None or facts.depth is None or facts.depth < GUARD_DEPTH_MESSAGES:
            continue
        wait = expected_wait_s(facts)
        if wait is not None:
            yield queue, wait


def _queues(scene: Scene) -> Iterator[Finding]:
    for queue, wait in _waits(scene):
        if wait <= HIGH_WAIT_PART * scene.ttl_s:
            continue
        facts = scene.facts[queue]
        takes = "nothing is acknowledged" if math.isinf(wait) else "{:.0f} s to serve".format(wait)
        yield Finding(
            "queue_not_draining:" + queue,
            "critical" if wait >= HOPELESS_WAIT_PART * scene.ttl_s else "warning",
            "Queue {} holds {} messages, {} at a TTL of {:.0f} s, trend {}.".format(
                queue, facts.depth, takes, scene.ttl_s, _trend(facts.trend_per_minute)
            ),
        )


def _trend(per_minute: Optional[float]) -> str:
    return "unknown" if per_minute is None else "{:+.1f} messages a minute".format(per_minute)


def _samples(scene: Scene) -> Iterator[Finding]:
    age = newest_age_s(scene.activity)
    if age <= STALE_SAMPLES * scene.sampling_period_s:
        return
    since = "in this window" if math.isinf(age) else "for {:.0f} s".format(age)
    yield Finding(
        "samples_missing",
        "critical" if age > BLIND_SAMPLES * scene.sampling_period_s else "warning",
        "No queue depth was measured {}; the sampling period is {:g} s.".format(since, scene.sampling_period_s),
    )


def _expiry(scene: Scene) -> Iterator[Finding]:
    published = sum(scene.activity.published.values())
    if scene.expired > 0:
        part = scene.expired / max(published, scene.expired)
        critical = scene.activity_known and part >= EXPIRED_CRITICAL_PART
        yield Finding(
            "expiring",
            "critical" if critical else "warning",
            "{} messages expired unread, against {} published.".format(scene.expired, published),
        )
    consumed = sum(scene.activity.consumed.values())
    if _part(scene.activity.late, consumed) > LATE_WARNING_PART:
        yield Finding(
            "late",
            "warning",
            "{} of {} messages were handled after their TTL.".format(scene.activity.late, consumed),
        )


def _set_aside(scene: Scene) -> Iterator[Finding]:
    activity = scene.activity
    consumed = max(sum(activity.consumed.values()), activity.rejected, activity.flagged)
    rejected = _part(activity.rejected, consumed)
    if rejected > REJECTED_WARNING_PART:
        yield Finding(
            "rejecting",
            "critical" if rejected > REJECTED_CRITICAL_PART else "warning",
            "{} of {} messages were rejected.".format(activity.rejected, consumed),
        )
    if _part(activity.flagged, consumed) > FLAGGED_WARNING_PART:
        yield Finding("flagging", "warning", "{} of {} messages were flagged.".format(activity.flagged, consumed))
    for queue in (REJECTED, FLAGGED):
        facts = scene.facts.get(queue)
        depth = facts.depth if facts is not None else None
        if depth is not None and depth >= FULL_WARNING_PART * SET_ASIDE_MAX_LENGTH:
            yield Finding(
                "set_aside_full:" + queue,
                "critical" if depth >= SET_ASIDE_MAX_LENGTH else "warning",
                "Queue {} holds {} of at most {} messages.".format(queue, depth, SET_ASIDE_MAX_LENGTH),
            )


def _agents(scene: Scene) -> Iterator[Finding]:
    gone = silent(scene)
    ages = {seen.agent_id: seen.age_s for seen in scene.activity.agents}
    kinds: Dict[str, List[str]] = {}
    for name in scene.expected_agents:
        kinds.setdefault(name.rsplit("-", 1)[0], []).append(name)
    for name in gone:
        kind = name.rsplit("-", 1)[0]
        whole_kind = all(other in gone for other in kinds[kind])
        seen = "for {:.0f} s".format(ages[name]) if name in ages else "in this window"
        yield Finding(
            "agent_silent:" + name,
            "critical" if whole_kind else "warning",
            "{} sent no heartbeat {}{}.".format(name, seen, ", nor did any other " + kind if whole_kind else ""),
        )
    for agent in scene.activity.agents:
        if agent.degraded and agent.agent_id not in gone:
            yield Finding(
                "agent_degraded:" + agent.agent_id,
                "warning",
                "{} says that it is degraded.".format(agent.agent_id),
            )


def _identities(scene: Scene) -> Iterator[Finding]:
    """A restart shows two boots for one window's length; for longer it is a conflict or a crash loop."""
    for agent in scene.activity.agents:
        if agent.boots <= 1:
            continue
        since_s = scene.doubled_s.get(agent.agent_id, 0.0)
        window_s = (scene.activity.stop_ns - scene.activity.start_ns) / 1e9
        lasting = since_s > window_s
        yield Finding(
            "identity_conflict:{}".format(agent.agent_id) if lasting else "agent_restarted:{}".format(agent.agent_id),
            "critical" if lasting else "warning",
            "{} boots of {} were seen in {:.0f} s{}.".format(
                agent.boots,
                agent.agent_id,
                window_s,
                ", for {:.0f} s now: two processes, or one that restarts all the time".format(since_s)
                if lasting
                else "",
            ),
        )


def _flow(scene: Scene) -> Iterator[Finding]:
    if not scene.activity_known:
        yield Finding("store_unreachable", "critical", "InfluxDB gives no figures: {}.".format(scene.store_error))
        return
    published, consumed = sum(scene.activity.published.values()), sum(scene.activity.consumed.values())
    if not published:
        yield Finding("nothing_published", "warning", "No message was published in this window.")
    elif not consumed:
        yield Finding(
            "nothing_consumed",
            "critical",
            "{} messages were published and none was consumed.".format(published),
        )


def _api(scene: Scene) -> Iterator[Finding]:
    calls, errors = scene.activity.api_calls, scene.activity.api_errors
    failed = sum(errors.values())
    part = _part(failed, calls)
    if calls >= API_MIN_CALLS and part >= API_WARNING_PART:
        kinds = ", ".join("{} {}".format(count, kind) for kind, count in sorted(errors.items()) if count)
        yield Finding(
            "api_failing",
            "critical" if part >= API_CRITICAL_PART else "warning",
            "{} of {} calls of the Claude API failed ({}).".format(failed, calls, kinds),
        )


def _budget(scene: Scene) -> Iterator[Finding]:
    activity = scene.activity
    part = _budget_part(scene)
    if part < scene.warn_at:
        return
    figures = "{:.2f} of {:.2f} USD this hour, {:.2f} of {:.2f} USD today (UTC) are spent.".format(
        activity.system_hour_usd, scene.hour_limit_usd, activity.system_day_usd, scene.day_limit_usd
    )
    if part >= 1.0:
        yield Finding("budget_spent", "critical", figures)
    else:
        yield Finding("budget_warning", "warning", figures)


def queue_facts(samples: Sequence[QueueSample], stop_ns: int) -> Dict[str, QueueFacts]:
    """Give the facts of each of the topology's queues from samples of the last TREND_NS to `stop_ns`."""
    recent = [sample for sample in samples if sample.time_ns > stop_ns - TREND_NS]
    return trends.all_facts(recent, (*MAIN_QUEUES, *DEAD_QUEUES))


def expired_count(samples: Sequence[QueueSample]) -> int:
    """Count the messages that came into `books.expired`, from its samples, oldest first.

    Rises are summed: falls are what somebody dropped or what fell off by age, and take nothing back.
    """
    depths = [sample.depth for sample in samples if sample.queue == EXPIRED and sample.depth is not None]
    return sum(max(0, after - before) for before, after in zip(depths, depths[1:]))
