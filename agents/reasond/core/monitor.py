"""The monitor: samples the queues, analyses the last window, raises alerts, and looks back on its decisions.

A pure state machine of the shape of `core.agent.AgentCore`. Source: specification, Agent 4.
"""

import json
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import msgspec
from msgspec import Struct

from reasond.core import health, records, rules, summary, trends
from reasond.core.agent import Control, Status
from reasond.core.contexts import HealthContext
from reasond.core.effects import (
    Alarm,
    Amend,
    Answer,
    Ask,
    Delivery,
    Effect,
    Failure,
    Link,
    Look,
    Now,
    Rows,
    Save,
    Say,
    ViewFailed,
    Wake,
)
from reasond.core.outcome import NO_FINDING, health_outcome
from reasond.core.past import Memory
from reasond.core.trials import Kept, Trials
from reasond.core.views import Activity, DepthsView, QueueSample
from reasond.decisions import MAX_LIST_ITEMS, AgentType, HealthDecision
from reasond.points import Row, Stamper
from reasond.settings import BudgetSettings, MonitorSettings
from reasond.topology import DEAD_QUEUES, FICTIONAL, MAIN_QUEUES, NON_FICTIONAL, PRIORITY

STATE_KEY = "monitor"
ALARM_REPEAT_S = 900.0
"""Seconds: an episode that lasts is worth a reminder four times an hour, not one each minute."""
EPISODE_END_S = 180.0
"""Seconds without a critical status after which an episode is over: a state that flaps between two analyses
is one episode, not a dozen."""
LOOK_PATIENCE_S = 12.0
"""Seconds: InfluxDB's default timeout is 10; a look that took longer is given up, and the analysis goes on
with what the monitor measured itself."""
SAMPLE_PATIENCE_PERIODS = 2.0
"""Sampling periods after which a look at the depths that got no answer is given up."""
ALIGN_GUARD_PART = 0.1
"""Part of a period: a timer that rang this little early must not ring again for the same mark."""


class _Open(Struct):
    """A decision whose outcome is still to come: its point's tags and time, and the findings it was about."""

    tags: Dict[str, str]
    time_ns: int
    codes: Tuple[str, ...]


class _Kept(Struct):
    """What outlives the process."""

    open: Tuple[_Open, ...] = ()
    episode_since_ns: int = 0
    last_critical_ns: int = 0
    last_alarm_ns: int = 0
    episode_codes: Tuple[str, ...] = ()
    doubled_since_ns: Dict[str, int] = {}
    control: Control = Control()
    trials: Kept = msgspec.field(default_factory=Kept)


class _Asked(Struct, frozen=True):
    """An analysis that awaits the brain."""

    ask_id: str
    scene: health.Scene
    context: HealthContext
    findings: Tuple[health.Finding, ...]


class MonitorCore:
    """The monitor as events in, effects out; see `AgentCore`."""

    agent_type: AgentType = "monitor"

    def __init__(
        self,
        settings: MonitorSettings,
        budget: BudgetSettings,
        state: Mapping[str, Any],
        stamper: Optional[Stamper] = None,
    ) -> None:
        """Take the settings and the state last saved; a state that can't be read counts as none."""
        self.agent_id = settings.agent_id
        self._settings = settings
        self._budget = budget
        self._stamper = stamper if stamper is not None else Stamper()
        self._kept, self._unread = _restored(state.get(STATE_KEY))
        self._samples: List[QueueSample] = []
        self._serial = 0
        self._sampling: Optional[Tuple[str, float]] = None
        self._looking: Optional[Tuple[str, int, int]] = None
        self._asked: Optional[_Asked] = None
        self._late: Dict[str, Row] = {}
        self._memory = Memory()
        self._trials = Trials(self._kept.trials, self.agent_id, self._stamper)
        self._stopping = False
        self._last: Optional[Tuple[str, int]] = None

    def on_start(self, now: Now) -> List[Effect]:
        """Sample at once; analyse at the next whole period of the wall clock."""
        effects: List[Effect] = []
        if self._unread:
            effects.append(Say("warning", "state_unreadable", {"key": STATE_KEY, "reason": self._unread}))
        return effects + self._sample(now) + [self._analysis_due(now)]

    def on_wake(self, now: Now, name: str) -> List[Effect]:
        """Take a timer: `sample`, `analyse`, `look` (patience is over) or `decide` (deadline is over)."""
        if self._stopping:
            return []
        if name == "sample":
            return self._sample(now)
        if name == "analyse":
            return self._analyse(now)
        if name == "look" and self._looking is not None:
            failed = ViewFailed("no answer within {:g} s".format(LOOK_PATIENCE_S))
            return self._with_activity(now, self._looking, failed)
        if name == "decide" and self._asked is not None:
            deadline = self._settings.decision_deadline_s
            failure = Failure("deadline", "no answer within {:g} s".format(deadline), latency_ms=1000 * deadline)
            return self._finish(now, self._asked, failure, late=True)
        return []

    def on_view(self, now: Now, ref: str, view: Any) -> List[Effect]:
        """Take the depths, or the activity of the window to analyse; one that was given up is dropped."""
        if self._stopping:
            return []
        if self._sampling is not None and ref == self._sampling[0]:
            self._sampling = None
            return self._with_depths(now, view)
        if self._looking is not None and ref == self._looking[0]:
            return self._with_activity(now, self._looking, view)
        if self._trials.awaits(ref):
            return [*self._trials.take(now, view, self._ref("minutes")), self._save()]
        return []

    def on_decision(self, now: Now, ask_id: str, answer: Union[Answer, Failure]) -> List[Effect]:
        """Take the brain's answer; a late one is discarded, but what it cost is recorded."""
        if self._asked is not None and ask_id == self._asked.ask_id:
            if isinstance(answer, Answer) and not isinstance(answer.decision, HealthDecision):
                answer = records.mistaken(answer)
            return self._finish(now, self._asked, answer, late=False)
        row = self._late.pop(ask_id, None)
        if row is None:
            return []
        cost = {name: value for name, value in records.reasoning_fields(answer).items() if name in _PAID}
        rows = self._paid_rows(now, ask_id, answer)
        effects: List[Effect] = [Rows(tuple(rows))] if rows else []
        return [
            *effects,
            Amend(Row(measurement=row.measurement, tags=row.tags, fields=cost, time_ns=row.time_ns)),
            Say("notice", "late_answer", {"decision_id": ask_id, "cost_usd": answer.cost_usd}),
        ]

    def on_control(self, now: Now, control: Control) -> List[Effect]:
        """Take the operator's orders: `shadow` records but raises no alarm, `hold` means nothing here."""
        before, self._kept.control = self._kept.control, control
        if control == before:
            return []
        action = "shadow" if control.shadow else "act"
        row = self._stamper.row(
            "agent_reasoning",
            {
                "agent_id": self.agent_id,
                "agent_type": self.agent_type,
                "action": action,
                "decision_type": "system_health",
                "brain": "operator",
                "model": records.NONE,
                "prompt_version": records.NONE,
            },
            {
                "reasoning": "Set by the operator: order {}.".format(control.serial),
                "decision_id": "{}-operator-{}".format(self.agent_id, control.serial),
                "acted": True,
            },
            now.wall_ns,
        )
        said = Say("notice", "operator", {"action": action, "serial": control.serial})
        return [Rows((row,)), said, self._save()]

    def on_settings(self, now: Now, section: Any) -> List[Effect]:
        """Take the monitor's settings anew; the timers follow them from their next ring on."""
        if isinstance(section, MonitorSettings):
            self._settings = section
        return []

    def on_stop(self, now: Now) -> List[Effect]:
        """Drop the timers; rules decide an analysis that awaits the brain, so that it leaves a point."""
        if self._stopping:
            return []
        effects: List[Effect] = []
        if self._asked is not None:
            effects = self._finish(now, self._asked, Failure("internal", "the agent stops"), late=True)
        self._stopping = True
        self._sampling = self._looking = None
        return effects + [Wake(name, None) for name in ("sample", "analyse", "look", "decide")]

    def on_cut_off(self, now: Now) -> List[Effect]:
        """Do nothing: a monitor has no messages in hand."""
        return []

    def stopped(self) -> bool:
        """Tell whether, after `on_stop`, nothing is left in hand."""
        return self._stopping

    def status(self, now: Now) -> Status:
        """Describe the last analysis."""
        newest = {sample.queue: sample.depth for sample in self._samples if sample.queue in MAIN_QUEUES}
        depths = [trends.depths_line(newest)] if newest else []
        depths += filter(None, [self._trials.line()])
        if self._last is None:
            return Status(", ".join(["no analysis yet", *depths]))
        status, score = self._last
        parts = [status, "score {}".format(score)]
        if self._kept.episode_since_ns:
            parts.append("alarm since {:.0f} s".format((now.wall_ns - self._kept.episode_since_ns) / 1e9))
        return Status(", ".join(parts + depths), {"state": status})

    def on_deliveries(self, now: Now, deliveries: Sequence[Delivery]) -> List[Effect]:
        """A monitor consumes nothing."""
        return []

    def on_handled(self, now: Now, ref: str, error: Optional[str], duration_ms: float) -> List[Effect]:
        """A monitor handles nothing."""
        return []

    def on_confirmed(self, now: Now, ref: str, outcome: str) -> List[Effect]:
        """A monitor publishes nothing."""
        return []

    def on_link(self, now: Now, which: Link, up: bool, blocked: bool) -> List[Effect]:
        """A monitor has no use for links: it must go on when the broker is away."""
        return []

    def on_saved(self, now: Now, ref: str) -> List[Effect]:
        """Nothing waits for a save: the state only spares a second alarm after a restart."""
        return []

    def _sample(self, now: Now) -> List[Effect]:
        """Look at the depths, unless a look is still under way and not yet given up."""
        period = self._settings.sampling_period_s
        effects: List[Effect] = [Wake("sample", _aligned(now, period))]
        if self._sampling is not None:
            if now.mono - self._sampling[1] < SAMPLE_PATIENCE_PERIODS * period:
                return effects
            effects += self._with_depths(now, ViewFailed("no answer"))
        ref = self._ref("depths")
        self._sampling = (ref, now.mono)
        return [*effects, Look(ref, "broker_depths")]

    def _with_depths(self, now: Now, view: Any) -> List[Effect]:
        """Write a sample of each queue of the topology; an unmeasured one has a source and no figures."""
        taken = {sample.queue: sample for sample in view.samples} if isinstance(view, DepthsView) else {}
        rows = []
        for queue in MAIN_QUEUES + DEAD_QUEUES:
            sample = taken.get(queue) or QueueSample(now.wall_ns, queue, None, source="unknown")
            rows.append(_sample_row(self._stamper, self.agent_id, sample))
        oldest = now.wall_ns - int(self._settings.window_s * 1e9)
        known = [sample for sample in taken.values() if sample.depth is not None]
        self._samples = [s for s in self._samples if s.time_ns >= oldest] + known
        return [Rows(tuple(rows))]

    def _analysis_due(self, now: Now) -> Wake:
        return Wake("analyse", _aligned(now, self._settings.period_s))

    def _analyse(self, now: Now) -> List[Effect]:
        effects: List[Effect] = [self._analysis_due(now)]
        if self._looking is not None or self._asked is not None:
            return [
                *effects,
                Say("warning", "analysis_skipped", {"reason": "the last one is still under way"}),
            ]
        ref = self._ref("activity")
        self._looking = (ref, now.wall_ns - int(self._settings.window_s * 1e9), now.wall_ns)
        patience = min(LOOK_PATIENCE_S, max(0.5, self._settings.period_s - self._settings.decision_deadline_s))
        return [
            *effects,
            Look(ref, "activity", self._looking[1], self._looking[2]),
            Wake("look", now.mono + patience),
        ]

    def _with_activity(self, now: Now, looked: Tuple[str, int, int], view: Any) -> List[Effect]:
        """Work out what the window shows, settle the outcomes that are due, and put the question."""
        self._looking = None
        scene = self._scene(now, looked, view)
        found = health.findings(scene)
        score = health.system_health_score(health.vitals(scene))
        effects: List[Effect] = [Wake("look", None), *self._outcomes(scene, found)]
        if scene.activity_known:
            effects += self._trials.follow(now, scene.activity.plans, self._ref("minutes"))
        context = HealthContext(
            agent_id=self.agent_id,
            window_s=self._settings.window_s,
            metrics=summary.metrics_summary(scene, self._budget),
            score=score,
            findings=tuple(finding.line() for finding in found),
            past=self._memory.recent(now),
        )
        ask_id = "{}-{}".format(self.agent_id, now.wall_ns)
        self._asked = _Asked(ask_id, scene, context, found)
        deadline = self._settings.decision_deadline_s
        return [*effects, Ask(ask_id, context, deadline), Wake("decide", now.mono + deadline)]

    def _scene(self, now: Now, looked: Tuple[str, int, int], view: Any) -> health.Scene:
        _, start, stop = looked
        known = isinstance(view, Activity)
        activity = view if isinstance(view, Activity) else Activity(start_ns=start, stop_ns=stop)
        merged = {(s.time_ns, s.queue): s for s in (*activity.samples, *self._samples) if s.time_ns >= start}
        samples = tuple([merged[key] for key in sorted(merged)])
        # Whoever may write to the bucket can make up a name; only plain ones may reach prompts and alerts.
        activity = msgspec.structs.replace(
            activity,
            samples=samples,
            agents=tuple(agent for agent in activity.agents if summary.is_name(agent.agent_id)),
            api_errors=summary.named(activity.api_errors),
        )
        if known:
            self._note_doubled(activity, now)
        return health.Scene(
            activity=activity,
            facts=health.queue_facts(samples, stop),
            expired=health.expired_count(samples),
            activity_known=known,
            agent_id=self.agent_id,
            expected_agents=tuple(self._settings.expected_agents),
            ttl_s=float(self._settings.message_ttl_s),
            sampling_period_s=self._settings.sampling_period_s,
            heartbeat_s=self._settings.heartbeat_s,
            hour_limit_usd=self._budget.usd_per_hour,
            day_limit_usd=self._budget.usd_per_day,
            warn_at=self._budget.warn_at,
            doubled_s={name: (now.wall_ns - at) / 1e9 for name, at in self._kept.doubled_since_ns.items()},
            store_error=view.reason[:200] if isinstance(view, ViewFailed) else "",
        )

    def _note_doubled(self, activity: Activity, now: Now) -> None:
        doubled = [agent.agent_id for agent in activity.agents if agent.boots > 1]
        since = self._kept.doubled_since_ns
        self._kept.doubled_since_ns = {name: since.get(name, now.wall_ns) for name in doubled}

    def _outcomes(self, scene: health.Scene, found: Sequence[health.Finding]) -> List[Effect]:
        """Amend the decisions whose next window, which shares nothing with their own, was just looked at."""
        if not scene.activity_known:
            return []
        start, length = scene.activity.start_ns, scene.activity.stop_ns - scene.activity.start_ns
        due = [decision for decision in self._kept.open if decision.time_ns <= start]
        self._kept.open = tuple(decision for decision in self._kept.open if decision.time_ns > start)
        present = {finding.code for finding in found}
        effects: List[Effect] = []
        for decision in due:
            seen = None if start - decision.time_ns > length else present
            outcome = health_outcome(decision.codes, seen)
            self._memory.judge(str(decision.time_ns), outcome)
            effects.append(Amend(Row("agent_reasoning", decision.tags, outcome.fields(), decision.time_ns)))
        return effects

    def _finish(self, now: Now, asked: _Asked, answer: Union[Answer, Failure], late: bool) -> List[Effect]:
        """Dispose of the answer (or decide by rules), write what came of it, and raise a due alarm."""
        self._asked = None
        if isinstance(answer, Answer) and isinstance(answer.decision, HealthDecision):
            proposed = answer.decision
        else:
            proposed = rules.decide_health(asked.context)
        decision, adjustment = dispose(proposed, asked.findings)
        alarm = self._alarm(now, asked, decision)
        reasoning = self._reasoning_row(now, asked, answer, decision, adjustment)
        rows = [self._health_row(now, asked, decision, alarm is not None), reasoning]
        rows += self._paid_rows(now, asked.ask_id, answer)
        self._keep_open(reasoning, asked)
        if late:
            # One late answer at a time is all there can be: the next question comes a period later.
            self._late = {asked.ask_id: reasoning}
        self._last = (decision.status, asked.context.score)
        effects: List[Effect] = [Wake("decide", None), Rows(tuple(rows))]
        effects.append(_said(asked, answer, decision))
        if alarm is not None:
            effects += [alarm, Say("crit", "alert", alarm.alert)]
        return [*effects, self._save()]

    def _reasoning_row(
        self,
        now: Now,
        asked: _Asked,
        answer: Union[Answer, Failure],
        decision: HealthDecision,
        adjustment: str,
    ) -> Row:
        facts = asked.scene.facts
        depths = {name: facts[queue].depth for name, queue in _DEPTH_FIELDS.items() if queue in facts}
        fields = dict(
            records.reasoning_fields(answer),
            reasoning=_analysis(decision),
            confidence=decision.confidence,
            decision_id=asked.ask_id,
            adjusted=bool(adjustment),
            adjustment=adjustment or None,
            acted=not self._kept.control.shadow,
            drain_time_s=summary.worst_drain_s(facts),
            outcome_missing=None if asked.findings else NO_FINDING,
            **depths,
        )
        tags = records.reasoning_tags(self.agent_id, self.agent_type, decision.status, answer)
        return self._stamper.row("agent_reasoning", tags, fields, now.wall_ns)

    def _health_row(self, now: Now, asked: _Asked, decision: HealthDecision, alarmed: bool) -> Row:
        issues = _issues(decision, asked.findings)
        alerts = _alerts(decision, asked.findings)
        fields = dict(
            summary.health_counts(asked.scene),
            status=decision.status,
            system_health_score=asked.context.score,
            issues_detected=len(issues),
            suggestions_made=len(decision.suggestions),
            alerts_raised=1 if alarmed else 0,
            ai_analysis_text=_analysis(decision),
            issues=json.dumps(issues, ensure_ascii=False),
            suggestions=json.dumps(decision.suggestions, ensure_ascii=False),
            alerts=json.dumps(alerts, ensure_ascii=False),
            decision_id=asked.ask_id,
        )
        return self._stamper.row("system_health", {"agent_id": self.agent_id}, fields, now.wall_ns)

    def _paid_rows(self, now: Now, ask_id: str, answer: Union[Answer, Failure]) -> List[Row]:
        rows = records.api_call_rows(self._stamper, self.agent_id, self.agent_type, ask_id, answer.calls)
        if answer.budget is not None:
            rows.append(records.budget_row(self._stamper, self.agent_id, answer.budget, now.wall_ns))
        return rows

    def _keep_open(self, row: Row, asked: _Asked) -> None:
        # An open decision is known by its time: its id isn't kept in the state.
        self._memory.note(str(row.time_ns), row, "" if asked.findings else NO_FINDING)
        if asked.findings:
            codes = tuple(finding.code for finding in asked.findings)
            self._kept.open = (*self._kept.open, _Open(row.tags, row.time_ns, codes))

    def _alarm(self, now: Now, asked: _Asked, decision: HealthDecision) -> Optional[Alarm]:
        """Give the alarm due at an episode's start, at a new critical finding, or each ALARM_REPEAT_S."""
        kept = self._kept
        quiet_s = (now.wall_ns - kept.last_critical_ns) / 1e9
        # With long periods an episode needs two analyses without a critical status to end, not less than one.
        over = not 0 <= quiet_s < max(EPISODE_END_S, 2 * self._settings.period_s)
        if kept.episode_since_ns and over:
            kept.episode_since_ns, kept.last_alarm_ns, kept.episode_codes = 0, 0, ()
        if decision.status != "critical":
            return None
        begins = not kept.episode_since_ns
        if begins:
            kept.episode_since_ns = now.wall_ns
        kept.last_critical_ns = now.wall_ns
        codes = tuple(finding.code for finding in asked.findings if finding.severity == "critical")
        news = bool(set(codes) - set(kept.episode_codes))
        repeat = not 0 <= (now.wall_ns - kept.last_alarm_ns) / 1e9 < ALARM_REPEAT_S
        if kept.control.shadow or not (begins or news or repeat):
            return None
        kept.last_alarm_ns = now.wall_ns
        kept.episode_codes = tuple(sorted(set(kept.episode_codes) | set(codes)))
        return Alarm(self._alert(now, asked, decision, reminder=not begins and not news))

    def _alert(self, now: Now, asked: _Asked, decision: HealthDecision, reminder: bool) -> Dict[str, Any]:
        """Give the alert as the console and the alert command get it; times in UTC nanoseconds."""
        return {
            "agent_id": self.agent_id,
            "status": decision.status,
            "score": asked.context.score,
            "codes": [finding.code for finding in asked.findings if finding.severity == "critical"],
            "alerts": _alerts(decision, asked.findings),
            "decision_id": asked.ask_id,
            "time_ns": now.wall_ns,
            "since_ns": self._kept.episode_since_ns,
            "reminder": reminder,
        }

    def _save(self) -> Save:
        # A lost save costs one alarm too many or one outcome; an fsync a minute is not worth that.
        return Save(self._ref("state"), STATE_KEY, msgspec.to_builtins(self._kept), durable=False)

    def _ref(self, kind: str) -> str:
        self._serial += 1
        return "{}-{}".format(kind, self._serial)


_PAID = ("tokens_used", "input_tokens", "output_tokens", "cost_usd", "would_cost_usd")
_DEPTH_FIELDS = {
    "queue_depth_fictional": FICTIONAL,
    "queue_depth_nonfictional": NON_FICTIONAL,
    "queue_depth_priority": PRIORITY,
}


def dispose(decision: HealthDecision, found: Sequence[health.Finding]) -> Tuple[HealthDecision, str]:
    """Give the decision as it stands and what was changed: critical findings allow no better status."""
    critical = [finding.code for finding in found if finding.severity == "critical"]
    if not critical or decision.status == "critical":
        return decision, ""
    adjustment = "status {} raised to critical: {}".format(decision.status, ", ".join(critical))
    return msgspec.structs.replace(decision, status="critical"), adjustment


def _issues(decision: HealthDecision, found: Sequence[health.Finding]) -> List[str]:
    texts = {finding.text for finding in found}
    lines = [finding.line() for finding in found] + [issue for issue in decision.issues if issue not in texts]
    return lines[:MAX_LIST_ITEMS]


def _alerts(decision: HealthDecision, found: Sequence[health.Finding]) -> List[str]:
    own = [finding.text for finding in found if finding.severity == "critical"]
    return (own + [alert for alert in decision.alerts if alert not in own])[:MAX_LIST_ITEMS]


def _analysis(decision: HealthDecision) -> str:
    return decision.reasoning or " ".join(decision.issues) or "No issue found."


def _said(asked: _Asked, answer: Union[Answer, Failure], decision: HealthDecision) -> Say:
    fields: Dict[str, Any] = {
        "status": decision.status,
        "score": asked.context.score,
        "findings": [finding.code for finding in asked.findings],
        "decision_id": asked.ask_id,
        "cost_usd": answer.cost_usd,
    }
    if isinstance(answer, Failure):
        return Say("warning", "decision", dict(fields, brain=records.FALLBACK_BRAIN, fallback=answer.reason))
    return Say("info", "decision", dict(fields, brain=answer.brain))


def _sample_row(stamper: Stamper, agent_id: str, sample: QueueSample) -> Row:
    return stamper.row(
        "queue_metrics",
        {"queue": sample.queue, "agent_id": agent_id},
        {
            "depth": sample.depth,
            "ready": sample.ready,
            "unacknowledged": sample.unacknowledged,
            "consumers": sample.consumers,
            "publish_rate": sample.publish_rate,
            "ack_rate": sample.ack_rate,
            "source": sample.source if sample.depth is not None else "unknown",
        },
        sample.time_ns,
    )


def _aligned(now: Now, period_s: float) -> float:
    """Give the monotonic time of the next whole multiple of the period on the wall clock (UTC)."""
    left = period_s - now.wall % period_s
    if left < ALIGN_GUARD_PART * period_s:
        left += period_s
    return now.mono + left


def _restored(state: Any) -> Tuple[_Kept, str]:
    if state is None:
        return _Kept(), ""
    try:
        return msgspec.convert(state, _Kept), ""
    except msgspec.ValidationError as err:
        return _Kept(), str(err)
