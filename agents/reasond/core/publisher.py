"""The publisher: two schedules of messages, and every so often a decision on their pace.

A pure state machine of the shape of `core.agent.AgentCore`. Source: specification, Agent 2. What is published
and not confirmed is kept by `core.outbox`, what was decided and not judged yet by `core.hindsight`.
"""

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from msgspec import Struct

from reasond.core import arms, hindsight, outbox, outcome, pacing, records, rules, trends
from reasond.core.agent import Control, Status
from reasond.core.arms import Arms
from reasond.core.contexts import QueueFacts, RateContext
from reasond.core.effects import (
    Amend,
    Answer,
    Ask,
    Delivery,
    Effect,
    Failure,
    Link,
    Look,
    Now,
    Publish,
    Rows,
    Save,
    Say,
    ViewFailed,
    Wake,
)
from reasond.core.items import Chance, ContentSource, Item, compose
from reasond.core.views import RateView
from reasond.decisions import AgentType, RateDecision
from reasond.messages import GENRES, Genre, encode
from reasond.points import Row, Stamper
from reasond.settings import PublisherSettings
from reasond.topology import EXCHANGE, FICTIONAL, MAIN_QUEUES, NON_FICTIONAL, PRIORITY, routing_key

FEED_KEY = "feed"
"""Key of the state that says how far a feed is confirmed."""
CONTROL_KEY = "control"
"""Key of the operator's orders as they were last seen."""
EMPTY_POLL_S = 0.5
"""Seconds: a feed that had nothing is asked again; what comes meanwhile waits no longer than this."""
DEADLINE_GRACE_S = 1.0
"""Seconds after the deadline in which a brain's own account of its failure may still come."""
LEAST_ANSWER_TIME_S = 1.0
"""Seconds: a brain that had less left, the look at the depths having taken the rest, is not asked at all."""
LATE_ANSWERS_KEPT = 8
"""Decisions whose late answer is still matched: at one every 30 s, four minutes' worth."""
OPERATOR = "operator"
EXPERIMENT = "experiment"
"""The `brain` tag of what the operator ordered."""
AMQP_PRIORITIES: Dict[str, int] = {"low": 1, "normal": 5, "high": 9}
"""The AMQP basic property `priority` goes from 0 to 9; it changes nothing here, and tells other consumers."""
_PUBLISH, _DECIDE, _DEADLINE, _PAUSE = "publish:", "decide", "deadline", "pause"
_PUBLISH_WAKES: Dict[str, Genre] = {_PUBLISH + genre: genre for genre in GENRES}
_PAID = ("tokens_used", "input_tokens", "output_tokens", "cost_usd")
_DEPTH_FIELDS = {
    FICTIONAL: "queue_depth_fictional",
    NON_FICTIONAL: "queue_depth_nonfictional",
    PRIORITY: "queue_depth_priority",
}


class _Question(Struct):
    """A decision under way: first the look at the depths, whose reference is the ask_id, then the brain."""

    ask_id: str
    began: float
    context: RateContext
    asked: bool = False
    # The operator set a rate meanwhile: the answer is about one that is no longer in force.
    overtaken: bool = False


class _Schedule(Struct):
    """One genre's pace: its interval, who set it, and the monotonic time its latest message counts for."""

    interval: int
    default: int
    last: float = 0.0
    empty_until: float = 0.0
    set_by: str = ""
    armed: Optional[float] = None


class PublisherCore:
    """A publisher as events in, effects out; see `AgentCore`."""

    agent_type: AgentType = "publisher"

    def __init__(
        self,
        settings: PublisherSettings,
        source: ContentSource,
        rng: Chance,
        state: Mapping[str, Any],
        stamper: Optional[Stamper] = None,
    ) -> None:
        """Take settings, content, chance (a `random.Random`) and the states last saved."""
        self.agent_id = settings.agent_id
        self._settings = settings
        self._source = source
        self._rng = rng
        self._stamper = stamper if stamper is not None else Stamper()
        self._schedules: Dict[Genre, _Schedule] = {
            "fictional": _Schedule(settings.fictional_interval_s, settings.fictional_interval_s),
            "non-fictional": _Schedule(settings.nonfictional_interval_s, settings.nonfictional_interval_s),
        }
        self._outbox = outbox.Outbox(settings.window, settings.confirm_timeout_s, rng)
        self._hindsight = hindsight.Hindsight(settings, state.get(hindsight.STATE_KEY))
        self._control = _restored(state.get(CONTROL_KEY))
        self._arms = Arms(settings.switchback, self._control.switchback)
        self._reasoning = _rate_text("Default rate", self._intervals) + " No decision yet."
        self._question: Optional[_Question] = None
        self._late: Dict[str, Row] = {}
        self._facts: Dict[str, QueueFacts] = {}
        self._blind = ""
        self._last = "no decision yet"
        self._paused = False
        self._stopping = False
        self._serial = 0
        self._saving = False
        self._unsaved: Optional[Any] = None
        self._calls: Dict[str, Callable[[Now], List[Effect]]] = {
            _DECIDE: self._decide,
            hindsight.WAKE: self._hindsight.on_wake,
            arms.WAKE: self._begin_block,
        }

    def on_start(self, now: Now) -> List[Effect]:
        """Set both schedules and the decisions going, each at this instance's phase."""
        instance = pacing.instance_of(self.agent_id)
        for schedule in self._schedules.values():
            schedule.last = now.mono + pacing.phase_s(instance, schedule.interval) - schedule.interval
        period = self._settings.decision_period_s
        first = pacing.first_mark_in_s(now.wall, period, pacing.phase_s(instance, period))
        effects = [*self._hindsight.on_start(now), Wake(_DECIDE, now.mono + first)]
        return self._armed(now, [*effects, Wake(arms.WAKE, self._arms.next_at(now))])

    def on_wake(self, now: Now, name: str) -> List[Effect]:
        """Take a timer: of a schedule, a decision, its deadline, the pause, a confirm, an outcome, a block."""
        if name in _PUBLISH_WAKES:
            return self._armed(now, self._publish_due(now, _PUBLISH_WAKES[name]))
        if name in (outbox.CONFIRM_WAKE, outbox.RETRY_WAKE):
            return self._armed(now, self._outbox.on_wake(now, name))
        if self._stopping:
            return []
        effects: List[Effect] = []
        if name in self._calls:
            effects = self._calls[name](now)
        elif name == _DEADLINE and self._question is not None:
            effects = self._overdue(now, self._question)
        elif name == _PAUSE and self._paused:
            effects = self._unpause(now)
        return self._armed(now, effects)

    def on_view(self, now: Now, ref: str, view: Any) -> List[Effect]:
        """Take the depths to decide on, or the samples that an outcome is judged by."""
        question = self._question
        if question is not None and ref == question.ask_id and not question.asked:
            return self._armed(now, self._ask(now, question, view))
        return self._armed(now, self._hindsight.on_view(now, ref, view))

    def on_decision(self, now: Now, ask_id: str, answer: Union[Answer, Failure]) -> List[Effect]:
        """Take the brain's answer; a late one changes nothing, but what it cost is recorded."""
        question = self._question
        if question is not None and ask_id == question.ask_id and not self._stopping:
            if isinstance(answer, Answer) and not isinstance(answer.decision, RateDecision):
                answer = records.mistaken(answer)
            return self._armed(now, self._finish(now, question, answer))
        return self._late_answer(now, ask_id, answer)

    def on_confirmed(self, now: Now, ref: str, outcome: str) -> List[Effect]:
        """Take the broker's word; a confirmed message is counted, and a feed goes on past it."""
        stall = self._outbox.stall
        parcel, effects = self._outbox.on_confirmed(now, ref, outcome)
        if parcel is not None:
            effects = [Rows(tuple(self._published_rows(now, parcel))), *effects]
            if parcel.item.position is not None:
                state = self._source.confirmed(parcel.item.position)
                effects += [] if state is None else self._keep_feed(state)
        # Nothing else of what the schedules depend on changes here.
        return effects if self._outbox.stall == stall else self._armed(now, effects)

    def on_link(self, now: Now, which: Link, up: bool, blocked: bool) -> List[Effect]:
        """Take the publishing link's state; while it is down or blocked nothing new is published."""
        if which != "publish":
            return []
        return self._armed(now, self._outbox.on_link(now, up, blocked))

    def on_saved(self, now: Now, ref: str) -> List[Effect]:
        """Take the end of a save; a feed's newer position, if there is one, is saved next."""
        if ref != FEED_KEY:
            return []
        self._saving = False
        state, self._unsaved = self._unsaved, None
        return [] if state is None else self._keep_feed(state)

    def on_control(self, now: Now, control: Control) -> List[Effect]:
        """Take the operator's orders: record what is new, and set intervals once for each serial."""
        before, self._control = self._control, control
        effects: List[Effect] = []
        for action, old, new in (
            ("hold" if control.hold else "resume", before.hold, control.hold),
            ("shadow" if control.shadow else "act", before.shadow, control.shadow),
        ):
            if old != new:
                effects += self._ordered(now, action, self._intervals, f"Order {control.serial}: {action}.")
        if control.hold != before.hold:
            self._hindsight.spoil(now, outcome.HELD)
        if control.serial != before.serial:
            effects += self._order_intervals(now, control)
        if self._arms.order(control.switchback):
            effects += self._begin_block(now)
        if control != before:
            names = ("serial", "hold", "shadow", "switchback")
            state = {name: getattr(control, name) for name in names}
            effects.append(Save(CONTROL_KEY, CONTROL_KEY, state))
        return self._armed(now, effects)

    def on_settings(self, now: Now, section: Any) -> List[Effect]:
        """Take the publisher's settings anew; intervals outside new bounds are brought within them."""
        if not isinstance(section, PublisherSettings):
            return []
        self._settings = section
        self._source.configure(section)
        bounds = self._bounds
        effects: List[Effect] = self._begin_block(now) if self._arms.configure(section.switchback) else []
        for genre, schedule in self._schedules.items():
            held = bounds.hold(schedule.interval)
            if held != schedule.interval:
                effects.append(Say("notice", "interval_clamped", {"genre": genre, "interval_s": held}))
                schedule.interval = held
                self._hindsight.changed(now)
        return self._armed(now, effects)

    def on_stop(self, now: Now) -> List[Effect]:
        """Publish nothing new; rules decide a question that is open, so that it leaves a point."""
        if self._stopping:
            return []
        effects: List[Effect] = []
        if self._question is not None:
            failure = Failure("internal", "the agent stops", latency_ms=1000 * (now.mono - self._question.began))
            effects = self._finish(now, self._question, failure, acting=False)
        self._stopping = True
        effects += [Wake(name, None) for name in (_DECIDE, _DEADLINE, _PAUSE, hindsight.WAKE)]
        return self._armed(now, effects)

    def on_cut_off(self, now: Now) -> List[Effect]:
        """Do nothing: what the broker has not confirmed was not counted."""
        return []

    def stopped(self) -> bool:
        """Tell whether, after `on_stop`, every message is confirmed and a feed's position is saved."""
        return self._stopping and not len(self._outbox) and not self._saving

    def status(self, now: Now) -> Status:
        """Describe the rate, the depths at the latest decision, and that decision."""
        current = self._intervals
        parts = [f"every {current.fictional} s/{current.nonfictional} s"]
        parts += [name for name, on in self._states().items() if on]
        if self._outbox.stall:
            parts.append("not publishing: " + self._outbox.stall)
        if self._facts:
            parts.append(trends.depths_line({queue: facts.depth for queue, facts in self._facts.items()}))
        parts.append(self._last)
        fields = {"unconfirmed": len(self._outbox), "paused": self._paused, "held": self._control.hold}
        return Status(", ".join(parts), fields)

    def on_deliveries(self, now: Now, deliveries: Sequence[Delivery]) -> List[Effect]:
        """A publisher consumes nothing."""
        return []

    def on_handled(self, now: Now, ref: str, error: Optional[str], duration_ms: float) -> List[Effect]:
        """A publisher handles nothing."""
        return []

    # Publishing

    @property
    def _intervals(self) -> pacing.Intervals:
        return pacing.Intervals(self._schedules["fictional"].interval, self._schedules["non-fictional"].interval)

    @property
    def _defaults(self) -> pacing.Intervals:
        return pacing.Intervals(self._settings.fictional_interval_s, self._settings.nonfictional_interval_s)

    @property
    def _bounds(self) -> pacing.Bounds:
        return pacing.Bounds(self._settings.min_interval_s, self._settings.max_interval_s)

    def _states(self) -> Dict[str, bool]:
        return {"paused": self._paused, "held": self._control.hold, "shadow": self._control.shadow}

    def _due(self, schedule: _Schedule) -> Optional[float]:
        """Give when a schedule may publish next; None while nothing may be published."""
        if self._stopping or self._paused or self._control.hold or self._outbox.stall:
            return None
        due = pacing.next_due(schedule.last, schedule.interval)
        return due if due > schedule.empty_until else schedule.empty_until

    def _armed(self, now: Now, effects: List[Effect]) -> List[Effect]:
        """End every event: give its effects, with each schedule's timer set to what is due now."""
        if self._outbox.stall:
            self._hindsight.spoil(now, outcome.NOT_PUBLISHING)
        for genre, schedule in self._schedules.items():
            due = self._due(schedule)
            if due != schedule.armed:
                schedule.armed = due
                effects.append(Wake(_PUBLISH + genre, due))
        return effects

    def _publish_due(self, now: Now, genre: Genre) -> List[Effect]:
        schedule = self._schedules[genre]
        schedule.armed = None
        due = self._due(schedule)
        if due is None or due > now.mono + 1e-6:
            return []
        return self._publish(now, genre, schedule)

    def _publish(self, now: Now, genre: Genre, schedule: _Schedule) -> List[Effect]:
        item = self._source.take(genre, now)
        if item is None:
            schedule.empty_until = now.mono + EMPTY_POLL_S
            return []
        schedule.last = pacing.published_at(pacing.next_due(schedule.last, schedule.interval), now.mono)
        parcel = outbox.Parcel(
            effect=self._publish_effect(now, item),
            item=item,
            genre=genre,
            interval=schedule.interval,
            ai_adjusted=schedule.set_by not in ("", OPERATOR) and schedule.interval != schedule.default,
            first=now.mono,
        )
        return self._outbox.put(now, parcel)

    def _publish_effect(self, now: Now, item: Item) -> Publish:
        message = compose(item, source=self.agent_id, reasoning=self._reasoning, now=now, rng=self._rng)
        self._serial += 1
        return Publish(
            ref=f"m{self._serial}",
            exchange=EXCHANGE,
            routing_key=item.routing_key or routing_key(message),
            body=encode(message),
            message_id=message.header.message_id,
            expiration_ms=item.ttl_seconds * 1000,
            priority=AMQP_PRIORITIES[item.priority],
        )

    def _published_rows(self, now: Now, parcel: outbox.Parcel) -> List[Row]:
        effect, item = parcel.effect, parcel.item
        rows = [
            self._stamper.row(
                "publisher_metrics",
                {"agent_id": self.agent_id, "queue": parcel.genre, "routing_key": effect.routing_key},
                {
                    "messages_published": 1,
                    "duration_ms": 1000 * (now.mono - parcel.first),
                    "current_interval": parcel.interval,
                    "ai_adjusted": parcel.ai_adjusted,
                },
                now.wall_ns,
            )
        ]
        if item.anomaly is not None:
            tags = {"agent_id": self.agent_id, "queue": effect.routing_key, "kind": item.anomaly}
            fields = {"message_id": effect.message_id, "entity_id": item.payload.entity_id}
            rows.append(self._stamper.row("injected_anomalies", tags, fields, now.wall_ns))
        return rows

    def _keep_feed(self, state: Any) -> List[Effect]:
        """Save a feed's position, one save at a time: of several positions only the newest is worth one."""
        if self._saving:
            self._unsaved = state
            return []
        self._saving = True
        return [Save(FEED_KEY, FEED_KEY, state)]

    # Deciding

    def _decide(self, now: Now) -> List[Effect]:
        """Begin a decision, unless held; one that is still open is decided by rules first."""
        period = self._settings.decision_period_s
        phase = pacing.phase_s(pacing.instance_of(self.agent_id), period)
        effects: List[Effect] = [Wake(_DECIDE, now.mono + pacing.next_mark_in_s(now.wall, period, phase))]
        if self._question is not None:
            effects += self._overdue(now, self._question)
        if self._control.hold:
            return effects
        ask_id = f"{self.agent_id}-{now.wall_ns}"
        self._question = _Question(ask_id, now.mono, self._context(now, None))
        late = now.mono + self._settings.decision_deadline_s + DEADLINE_GRACE_S
        return [*effects, Look(ask_id, "rate"), Wake(_DEADLINE, late)]

    def _ask(self, now: Now, question: _Question, view: Any) -> List[Effect]:
        """Put the question to the brain: which brain that is, and with what tags, is settled from here on."""
        effects = self._seen(view)
        question.context = self._context(now, view if isinstance(view, RateView) else None)
        question.asked = True
        left_s = self._settings.decision_deadline_s - (now.mono - question.began)
        if left_s < LEAST_ANSWER_TIME_S:
            return effects + self._overdue(now, question)
        block = self._arms.block(now)
        if block is not None and not block.treated:
            # In the control's blocks nobody is asked; where nothing is to decide, the rules do in shadow.
            answer = Answer(decision=rules.decide_rate(question.context), brain="rules")
            return effects + self._finish(now, question, answer, acting=block.arm != "static")
        return [*effects, Ask(question.ask_id, question.context, left_s)]

    def _seen(self, view: Any) -> List[Effect]:
        """Say once when the depths can't be had, and once when they can again."""
        blind = ""
        if isinstance(view, ViewFailed):
            blind = view.reason or "no reason given"
        elif isinstance(view, RateView) and view.source == "unknown":
            blind = "neither InfluxDB nor RabbitMQ gives depths"
        was, self._blind = self._blind, blind
        if blind and not was:
            return [Say("warning", "depths_unknown", {"reason": blind})]
        return [Say("notice", "depths_known", {})] if was and not blind else []

    def _context(self, now: Now, view: Optional[RateView]) -> RateContext:
        settings, current = self._settings, self._intervals
        samples = view.samples if view is not None else ()
        facts = trends.all_facts(samples)
        if view is not None:
            self._facts = facts
        return RateContext(
            agent_id=self.agent_id,
            fictional_interval=current.fictional,
            nonfictional_interval=current.nonfictional,
            default_fictional_interval=settings.fictional_interval_s,
            default_nonfictional_interval=settings.nonfictional_interval_s,
            min_interval=settings.min_interval_s,
            max_interval=settings.max_interval_s,
            paused=self._paused,
            queues=facts,
            depth_source=_depth_source(view),
            depth_age_s=trends.newest_age_s(samples, now.wall_ns),
            expired_per_minute=trends.expired_per_minute(samples),
            message_ttl_s=settings.ttl_s,
            peers=tuple(peer for peer in view.peers if peer.agent_id != self.agent_id) if view is not None else (),
            past=self._hindsight.memory.recent(now),
        )

    def _overdue(self, now: Now, question: _Question) -> List[Effect]:
        """Decide by rules, as no answer came in time; one that still comes is matched to this."""
        waited = now.mono - question.began
        failure = Failure("deadline", f"no answer within {waited:.1f} s", latency_ms=1000 * waited)
        return self._finish(now, question, failure)

    def _finish(
        self, now: Now, question: _Question, answer: Union[Answer, Failure], acting: bool = True
    ) -> List[Effect]:
        """Dispose of the answer, or decide by rules; act on it, and write what was decided."""
        self._question = None
        if isinstance(answer, Answer) and isinstance(answer.decision, RateDecision):
            decision, brain = answer.decision, answer.brain
        else:
            decision, brain = rules.decide_rate(question.context), records.FALLBACK_BRAIN
        acting = acting and not self._control.shadow and not question.overtaken
        before = self._intervals
        disposed = pacing.dispose(decision, before, self._bounds)
        missing = self._why_unmeasurable(question)
        row = self._decision_row(now, question, answer, decision, disposed, acting, missing)
        effects: List[Effect] = [
            Wake(_DEADLINE, None),
            Rows((row, *self._paid_rows(now, question.ask_id, answer))),
        ]
        effects.append(self._said(question, answer, brain, disposed, acting))
        if acting:
            effects += self._act(now, disposed, brain, decision.reasoning)
        if missing:
            self._hindsight.memory.note(question.ask_id, row, missing)
        else:
            oldest = max(before.fictional, before.nonfictional)
            effects += self._hindsight.add(now, row, acted=acting, old_interval_s=oldest)
        if isinstance(answer, Failure):
            self._late[question.ask_id] = row
            for ask_id in list(self._late)[:-LATE_ANSWERS_KEPT]:
                del self._late[ask_id]
        return effects

    def _why_unmeasurable(self, question: _Question) -> str:
        if question.context.depth_source != "influxdb":
            return outcome.FALLBACK_DEPTHS
        if self._control.hold:
            return outcome.HELD
        if question.overtaken:
            return outcome.OPERATOR
        return outcome.NOT_PUBLISHING if self._outbox.stall else ""

    def _act(self, now: Now, disposed: pacing.Disposed, brain: str, reasoning: str) -> List[Effect]:
        """Put a decision into force: intervals, pause, and the reasoning that messages carry."""
        if disposed.intervals != self._intervals or disposed.paused != self._paused:
            self._hindsight.changed(now)
        self._set_intervals(disposed.intervals, brain)
        self._paused = disposed.paused
        self._reasoning = reasoning or f"{disposed.action} by {brain}, no reason given."
        return [Wake(_PAUSE, now.mono + self._settings.max_pause_s if disposed.paused else None)]

    def _set_intervals(self, intervals: pacing.Intervals, by: str) -> None:
        for genre, interval in (
            ("fictional", intervals.fictional),
            ("non-fictional", intervals.nonfictional),
        ):
            schedule = self._schedules[genre]  # type: ignore[index]
            if schedule.interval != interval:
                schedule.interval, schedule.set_by = interval, by

    def _unpause(self, now: Now) -> List[Effect]:
        self._paused = False
        self._hindsight.changed(now)
        return [Say("notice", "pause_ended", {"after_s": self._settings.max_pause_s, "reason": "not renewed"})]

    def _late_answer(self, now: Now, ask_id: str, answer: Union[Answer, Failure]) -> List[Effect]:
        rows = self._paid_rows(now, ask_id, answer)
        effects: List[Effect] = [Rows(tuple(rows))] if rows else []
        row = self._late.pop(ask_id, None)
        if row is not None:
            paid = {name: value for name, value in records.reasoning_fields(answer).items() if name in _PAID}
            effects.append(Amend(Row(row.measurement, row.tags, paid, row.time_ns)))
        return [*effects, Say("notice", "late_answer", {"decision_id": ask_id, "cost_usd": answer.cost_usd})]

    # The experiment

    def _begin_block(self, now: Now) -> List[Effect]:
        """Go back to the default rate, as every block begins with it, and when an experiment begins or ends."""
        block = self._arms.block(now)
        default, bounds = self._defaults, self._bounds
        held = pacing.Intervals(bounds.hold(default.fictional), bounds.hold(default.nonfictional))
        what = "No experiment" if block is None else f"Block {block.number} ({block.arm}) begins"
        row = self._order_row(now, _direction(self._intervals, held), held, _rate_text(what, held), by=EXPERIMENT)
        if self._question is not None:
            self._question.overtaken = True
        self._hindsight.spoil(now, outcome.BLOCK)
        self._set_intervals(held, OPERATOR)
        self._paused = False
        self._reasoning = _rate_text("Default rate", held)
        said: Dict[str, Any] = {} if block is None else {"block": block.number, "arm": block.arm}
        effects: List[Effect] = [Rows((row,)), Say("notice", "block", said), Wake(_PAUSE, None)]
        return [*effects, Wake(arms.WAKE, self._arms.next_at(now))]

    # The operator

    def _order_intervals(self, now: Now, control: Control) -> List[Effect]:
        current = self._intervals
        wanted = pacing.Intervals(
            control.fictional_interval or current.fictional,
            control.nonfictional_interval or current.nonfictional,
        )
        if control.fictional_interval is None and control.nonfictional_interval is None:
            return []
        bounds = self._bounds
        held = pacing.Intervals(bounds.hold(wanted.fictional), bounds.hold(wanted.nonfictional))
        reasoning = f"Order {control.serial}: intervals {held.fictional} s and {held.nonfictional} s."
        effects = self._ordered(
            now, _direction(current, held), held, reasoning, "" if held == wanted else "clamped to the bounds"
        )
        if self._question is not None:
            self._question.overtaken = True
        if held != current:
            self._hindsight.changed(now)
            self._set_intervals(held, OPERATOR)
        self._reasoning = _rate_text("Set by the operator", held)
        return effects

    def _ordered(
        self, now: Now, action: str, intervals: pacing.Intervals, reasoning: str, adjustment: str = ""
    ) -> List[Effect]:
        """Record an order as a decision by the operator."""
        row = self._order_row(now, action, intervals, reasoning, adjustment)
        self._last = f"last {action} by {OPERATOR}"
        said = {
            "action": action,
            "fictional_s": intervals.fictional,
            "nonfictional_s": intervals.nonfictional,
        }
        return [Rows((row,)), Say("notice", "operator", said)]

    def _order_row(
        self,
        now: Now,
        action: str,
        intervals: pacing.Intervals,
        reasoning: str,
        adjustment: str = "",
        by: str = OPERATOR,
    ) -> Row:
        """Give the point of a change that no brain decided."""
        answer = Answer(decision=RateDecision("continue", reasoning), brain=by)
        current = self._intervals
        fields = dict(
            records.reasoning_fields(answer),
            reasoning=reasoning,
            decision_id=f"{self.agent_id}-{now.wall_ns}-{by}",
            fictional_interval=intervals.fictional,
            nonfictional_interval=intervals.nonfictional,
            previous_fictional_interval=current.fictional,
            previous_nonfictional_interval=current.nonfictional,
            adjusted=bool(adjustment),
            adjustment=adjustment or None,
            acted=True,
            outcome_missing=outcome.OPERATOR,
        )
        tags = records.reasoning_tags(self.agent_id, self.agent_type, action, answer)
        return self._stamper.row("agent_reasoning", *self._exposed(now, tags, fields), now.wall_ns)

    def _exposed(self, now: Now, tags: Dict[str, str], fields: Dict[str, Any]) -> Tuple[Dict[str, str], Dict[str, Any]]:
        """Give a decision's tags and fields with the block of the experiment that it was taken in."""
        block = self._arms.block(now)
        if block is None:
            return tags, fields
        return dict(tags, arm=block.arm), dict(fields, block=block.number, plan=self._arms.text)

    # What is written about a decision

    def _decision_row(
        self,
        now: Now,
        question: _Question,
        answer: Union[Answer, Failure],
        decision: RateDecision,
        disposed: pacing.Disposed,
        acted: bool,
        missing: str,
    ) -> Row:
        context = question.context
        fields = dict(
            records.reasoning_fields(answer),
            reasoning=decision.reasoning,
            confidence=decision.confidence,
            decision_id=question.ask_id,
            fictional_interval=disposed.fictional_interval,
            nonfictional_interval=disposed.nonfictional_interval,
            previous_fictional_interval=context.fictional_interval,
            previous_nonfictional_interval=context.nonfictional_interval,
            drain_time_s=trends.longest_drain_s(context.queues.values()),
            depth_source=context.depth_source,
            adjusted=disposed.adjusted,
            adjustment=disposed.adjustment or None,
            acted=acted,
            outcome_missing=missing or None,
        )
        for queue in MAIN_QUEUES:
            fields[_DEPTH_FIELDS[queue]] = context.queues[queue].depth if queue in context.queues else None
        tags = records.reasoning_tags(self.agent_id, self.agent_type, disposed.action, answer)
        return self._stamper.row("agent_reasoning", *self._exposed(now, tags, fields), now.wall_ns)

    def _paid_rows(self, now: Now, ask_id: str, answer: Union[Answer, Failure]) -> List[Row]:
        rows = records.api_call_rows(self._stamper, self.agent_id, self.agent_type, ask_id, answer.calls)
        if answer.budget is not None:
            rows.append(records.budget_row(self._stamper, self.agent_id, answer.budget, now.wall_ns))
        return rows

    def _said(
        self,
        question: _Question,
        answer: Union[Answer, Failure],
        brain: str,
        disposed: pacing.Disposed,
        acted: bool,
    ) -> Say:
        fields: Dict[str, Any] = {
            "decision_id": question.ask_id,
            "action": disposed.action,
            "brain": brain,
            "fictional_s": disposed.fictional_interval,
            "nonfictional_s": disposed.nonfictional_interval,
            "acted": acted,
        }
        if disposed.adjusted:
            fields["adjustment"] = disposed.adjustment
        if isinstance(answer, Failure):
            fields.update(fallback=answer.reason, detail=answer.detail)
        self._last = "last {} by {}{}".format(disposed.action, brain, "" if acted else " (not acted on)")
        return Say("warning" if isinstance(answer, Failure) else "info", "decision", fields)


def _depth_source(view: Optional[RateView]) -> str:
    """Give where the depths came from: the view's source, or `declare` for ready counts alone."""
    if view is None:
        return "unknown"
    newest = {sample.queue: sample.source for sample in view.samples if sample.depth is not None}
    if "declare" in [newest.get(queue) for queue in MAIN_QUEUES]:
        return "declare"
    return view.source if newest else "unknown"


def _rate_text(why: str, intervals: pacing.Intervals) -> str:
    return f"{why}: fictional every {intervals.fictional} s, non-fictional every {intervals.nonfictional} s."


def _direction(before: pacing.Intervals, after: pacing.Intervals) -> str:
    moves = (after.fictional - before.fictional, after.nonfictional - before.nonfictional)
    if min(moves) >= 0:
        return "slow_down" if max(moves) > 0 else "continue"
    return "speed_up" if max(moves) <= 0 else "interval"


def _restored(state: Any) -> Control:
    """Give the orders as last seen; what can't be read counts as none."""
    if not isinstance(state, Mapping) or not isinstance(state.get("serial"), int):
        return Control()
    order = state.get("switchback")
    return Control(
        serial=state["serial"],
        hold=state.get("hold") is True,
        shadow=state.get("shadow") is True,
        switchback=order if isinstance(order, str) else None,
    )
