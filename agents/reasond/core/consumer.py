"""The consumer as a pure state machine: messages, answers and time in, effects out.

Driven by the runtime (real services) and the simulation (virtual time). A message's way:

    fresh -> taken on -> (asked about) -> (batch) -> in hand -> settled
                      -> set aside -> settled

One message at most waits for the brain; everything else flows on by the standing decisions.
"""

import dataclasses
from typing import Any, Dict, Iterable, List, Mapping, Optional, OrderedDict, Sequence, Tuple, Union

from msgspec import Struct

from reasond.core import records
from reasond.core.agent import Control, Status
from reasond.core.batching import Batches
from reasond.core.consumer_rows import NOT_AI, ConsumerRows, is_late, late_cost
from reasond.core.contexts import HandlingContext
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
    Receipt,
    Rows,
    Say,
    Settle,
    ViewFailed,
    Wake,
)
from reasond.core.in_hand import ALONE_PATIENCE_S, DEATHS_ALLOWED, JOURNAL, InHand, interrupted
from reasond.core.intake import Completed, Intake, Item, OpenDecision, Unit, said
from reasond.core.outcome import NOT_HANDLED, RESTART, Outcome, handling_outcome
from reasond.core.past import Memory
from reasond.core.plausibility import DUPLICATE_ID, EPOCH, Plausibility
from reasond.core.retries import Retries, backoff_s
from reasond.core.rules import decide_handling
from reasond.core.sampling import Excerpts, Sampler
from reasond.core.set_aside import SetAside, SetAsides, Verdict
from reasond.core.tally import Tally
from reasond.core.trends import depths_line
from reasond.core.views import DepthsView, QueueSample
from reasond.decisions import AgentType, HandlingDecision
from reasond.messages import Invalid, Message
from reasond.points import Row, Stamper
from reasond.settings import ConsumerSettings, PrivacySettings, all_settings
from reasond.topology import FLAGGED, MAIN_QUEUES, REJECTED

DRAIN_MESSAGES = 64
"""Fresh messages taken on in one turn of the loop, about a millisecond: timers and answers wait no longer."""
HELD_FOR_BRAIN_MAX_S = 20.0
"""No message waits longer for a decision, whatever the settings say."""
LEAST_ASK_S = 0.5
"""With less time than this left an answer can't come, but would be paid for."""
LATE_KEPT = 16
"""Decisions taken without their answer that are remembered, to note what it cost when it comes after all."""

_RELOADABLE = tuple(s.attribute for s in all_settings() if s.section == "consumer" and s.reloadable)


class Standing(Struct, frozen=True):
    """What holds for a queue and priority till the next sample: `process` or `batch`; `ai`: an AI said so."""

    action: str
    ai: bool


class _Asked(Struct, gc=False):
    ask_id: str
    item: Optional[Item]
    message_id: str
    context: HandlingContext


class _Out:
    """What comes of one event, gathered until its end; and the timers as they stand."""

    def __init__(self) -> None:
        self.effects: List[Effect] = []
        self.rows: List[Row] = []
        self.amends: List[Amend] = []
        self.wakes: Dict[str, float] = {}

    def wake(self, name: str, at: Optional[float]) -> None:
        """Set, move or drop a timer; nothing where it already stands so."""
        if at == self.wakes.get(name):
            return
        if at is None:
            del self.wakes[name]
        else:
            self.wakes[name] = at
        self.effects.append(Wake(name, at))

    def rang(self, name: str) -> None:
        """Note that a timer came to its end."""
        self.wakes.pop(name, None)

    def take(self) -> List[Effect]:
        """Give everything; a point stands before what amends it."""
        effects, self.effects = self.effects, []
        if self.rows:
            effects.append(Rows(tuple(self.rows)))
            self.rows = []
        if self.amends:
            effects.extend(self.amends)
            self.amends = []
        return effects


class ConsumerCore:
    """One consumer.

    Invariant: a delivery is settled only after its handler succeeded, its twin was handled, or the broker
    confirmed that it is safe in a dead-letter queue; until then it is held, or forgotten with its link.
    """

    agent_type: AgentType = "consumer"

    def __init__(
        self,
        settings: ConsumerSettings,
        privacy: PrivacySettings,
        state: Mapping[str, Any],
        stamper: Optional[Stamper] = None,
    ) -> None:
        """Take the settings, what may leave the host, and the states last saved by key."""
        self.agent_id = settings.agent_id
        self._settings = settings
        self._make = ConsumerRows(settings.agent_id, stamper or Stamper())
        self._saved_journal = state.get(JOURNAL)
        self._hand = InHand(self._saved_journal)
        self._intake = Intake()
        self._held: Dict[str, Item] = {}
        self._solo: List[Item] = []
        self._solo_since = 0.0
        self._completed = Completed(settings.dedupe_window)
        self._plausibility = Plausibility()
        self._batches = Batches()
        self._retries = Retries()
        self._asides = SetAsides()
        self._sampler = Sampler()
        self._excerpts = Excerpts(privacy.prompt_fields, privacy.redact)
        self._asked: Optional[_Asked] = None
        self._late: OrderedDict[str, OpenDecision] = OrderedDict()
        self._memory = Memory()
        self._standing: Dict[Tuple[str, str], Standing] = {}
        self._depths: Dict[str, QueueSample] = {}
        self._look_ref = ""
        self._control = Control()
        self._stopping = False
        self._cleaned = False
        self._serial = 0
        self._tally = Tally()
        self._last_action = ""
        self._out = _Out()

    # Events

    def on_start(self, now: Now) -> List[Effect]:
        """Begin: close what a crash left open, and look at the depths."""
        for decision in interrupted(self._saved_journal):
            self._out.amends.append(Amend(decision.row(Outcome(missing=RESTART).fields())))
        self._look(now)
        return self._finish(now)

    def on_deliveries(self, now: Now, deliveries: Sequence[Delivery]) -> List[Effect]:
        """Take messages in; they are taken on by priority and fairly, at most DRAIN_MESSAGES a turn."""
        if not self._stopping:
            for delivery in deliveries:
                self._intake.add(Item(delivery, now))
        return self._finish(now)

    def on_handled(self, now: Now, ref: str, error: Optional[str], duration_ms: float) -> List[Effect]:
        """Take the end of a handler's run: settle, try again, or set aside."""
        unit = self._hand.ended(ref)
        if unit is None:
            return []
        if error is None:
            self._succeeded(now, unit, duration_ms)
        elif len(unit) > 1:
            self._out.effects.append(Say("warning", "batch_failed", {"messages": len(unit), "error": error}))
            for item in unit:
                item.action = "immediate"
                self._once_more(now, item)
        else:
            self._failed(now, unit[0], error)
        return self._finish(now)

    def on_decision(self, now: Now, ask_id: str, answer: Union[Answer, Failure]) -> List[Effect]:
        """Take an answer: act on it, or, when the message no longer waits for it, only note what it cost."""
        self._out.rows.extend(self._make.costs(now, ask_id, answer))
        if self._asked is not None and self._asked.ask_id == ask_id:
            self._decide(now, answer)
        else:
            decision = self._late.pop(ask_id, None)
            if decision is not None:
                self._out.amends.append(late_cost(decision, answer))
            fields = {"decision_id": ask_id, "cost_usd": answer.cost_usd}
            self._out.effects.append(Say("notice", "late_answer", fields))
        return self._finish(now)

    def on_confirmed(self, now: Now, ref: str, outcome: str) -> List[Effect]:
        """Take the broker's word on a message set aside; only now is its original settled."""
        aside, effects = self._asides.confirmed(now, ref, outcome)
        self._out.effects.extend(effects)
        if aside is not None:
            self._set_aside_done(now, aside)
        return self._finish(now)

    def on_view(self, now: Now, ref: str, view: Union[Any, ViewFailed]) -> List[Effect]:
        """Take the depths; what could not be had is unknown."""
        if ref == self._look_ref:
            self._look_ref = ""
            self._depths = {s.queue: s for s in view.samples} if isinstance(view, DepthsView) else {}
        return self._finish(now)

    def on_wake(self, now: Now, name: str) -> List[Effect]:
        """Take the end of a timer."""
        self._out.rang(name)
        if name == "depths":
            self._look(now)
        elif name == "decision" and self._asked is not None:
            self._decide(now, Failure("deadline", "no answer in time"), waiting=False)
        return self._finish(now)

    def on_link(self, now: Now, which: Link, up: bool, blocked: bool) -> List[Effect]:
        """Take a link's state: without `consume` all receipts are void, without `publish` set-asides wait."""
        if which == "publish":
            self._asides.link(up, blocked)
        elif not up:
            self._forget_all()
        return self._finish(now)

    def on_saved(self, now: Now, ref: str) -> List[Effect]:
        """Take the completion of the journal's Save: what it holds may start."""
        self._out.effects.extend(self._hand.saved(ref))
        return self._finish(now)

    def on_control(self, now: Now, control: Control) -> List[Effect]:
        """Take the operator's orders; each that changes something is recorded as a decision."""
        before, self._control = self._control, control
        for name, on, off in (("hold", "hold", "resume"), ("shadow", "shadow", "act")):
            if getattr(before, name) != getattr(control, name):
                action = on if getattr(control, name) else off
                self._out.rows.append(self._make.operator(now, action, control.serial))
                fields = {"action": action, "serial": control.serial}
                self._out.effects.append(Say("notice", "operator", fields))
        return self._finish(now)

    def on_settings(self, now: Now, section: Any) -> List[Effect]:
        """Take those settings that may change without a restart."""
        if isinstance(section, ConsumerSettings):
            fresh = {name: getattr(section, name) for name in _RELOADABLE}
            self._settings = dataclasses.replace(self._settings, **fresh)
        return self._finish(now)

    def on_stop(self, now: Now) -> List[Effect]:
        """Finish what the handler has and flush the batches; the broker gets back whatever has not begun."""
        if self._stopping:
            return []
        self._stopping = True
        batches = self._batches.take()
        self._drop(self._not_begun())
        self._ask_gone()
        for unit in batches:
            self._intake.add_ready(unit)
        return self._finish(now)

    def on_cut_off(self, now: Now) -> List[Effect]:
        """Give everything back, also what the handler has: whoever acknowledges it counts it, and nothing died."""
        self._drop([*self._not_begun(), *self._asides.forget(), *self._hand.abandon()])
        return self._finish(now)

    def stopped(self) -> bool:
        """Tell whether, after `on_stop`, nothing is left in hand, unconfirmed or unsaved."""
        return self._stopping and self._cleaned and self._hand.quiet and not self._asides and not self._intake

    def status(self, now: Now) -> Status:
        """Describe rate, what is in hand and what stands."""
        held = len(self._held)
        standing = [f"{queue}/{p}={s.action}" for (queue, p), s in sorted(self._standing.items())]
        parts = [f"{self._tally.per_minute(now):.0f}/min", f"{held} in hand"]
        if self._depths:
            parts.append(depths_line({queue: self._depth(queue) for queue in MAIN_QUEUES}))
        if self._asides.pending:
            parts.append(f"{len(self._asides)} being set aside")
        parts += ["held"] if self._control.hold else []
        parts += ["shadow"] if self._control.shadow else []
        parts += ["standing " + " ".join(standing)] if standing else []
        parts += ["last " + self._last_action] if self._last_action else []
        fields = {
            "in_hand": held,
            "unconfirmed": len(self._asides),
            "samples_skipped": self._sampler.skipped,
            "duplicates": self._tally.duplicates,
            "held": self._control.hold,
        }
        return Status(line=", ".join(parts), fields=fields)

    # Each event ends here

    def _finish(self, now: Now) -> List[Effect]:
        """Let go on what can, and give everything that came of the event."""
        if self._batches.open or self._retries.waiting:
            self._take_due(now)
        more = bool(self._intake.units or self._solo) and self._pump(now)
        if self._asides.pending:
            self._out.effects.extend(self._asides.send(now))
        if self._stopping:
            self._wind_up()
        if self._hand.stirred:
            self._journal(now)
        self._set_wakes(now, more)
        return self._out.take()

    def _take_due(self, now: Now) -> None:
        """Let those go on that have waited long enough."""
        for unit in self._batches.take(now.mono):
            self._intake.add_ready(unit)
        for item in self._retries.take(now.mono):
            self._go(now, item)

    def _wind_up(self) -> None:
        """Let what is not on its way to the broker go back, and clean the journal when nothing is in hand."""
        self._drop(self._asides.forget(unsent_only=True))
        if not self._hand.messages and not self._cleaned:
            self._hand.clean()
            self._cleaned = True

    def _journal(self, now: Now) -> None:
        save = self._hand.save(now)
        if save is not None:
            self._out.effects.append(save)
        else:
            self._out.effects.extend(self._hand.overdue(now))

    def _set_wakes(self, now: Now, more: bool) -> None:
        """Set the timers that stand or have something to wait for."""
        out = self._out
        if more or "drain" in out.wakes:
            out.wake("drain", now.mono if more else None)
        if self._batches.open or "batch" in out.wakes:
            out.wake("batch", self._batches.next_due())
        if self._retries.waiting or "retry" in out.wakes:
            out.wake("retry", self._retries.next_due())
        if self._asides.pending or "set_aside" in out.wakes:
            out.wake("set_aside", self._asides.next_due())

    def _look(self, now: Now) -> None:
        if self._stopping:
            return
        if self._look_ref:
            # The last look is still out after a whole period: what it would replace is too old to go by.
            self._depths = {}
        else:
            self._serial += 1
            self._look_ref = "depths-{}".format(self._serial)
            self._out.effects.append(Look(self._look_ref, "broker_depths"))
        self._out.wake("depths", now.mono + self._settings.depth_period_s)

    # Taking messages on

    def _pump(self, now: Now) -> bool:
        """Choose for the handler while there is room; tell whether more is left for the next turn."""
        fresh = not (self._control.hold or self._stopping)
        left = DRAIN_MESSAGES
        while self._hand.room(now):
            if self._solo:
                self._choose_solo(now)
                return False
            if not left:
                return True
            taken = self._intake.take(fresh)
            if taken is None:
                return False
            if isinstance(taken, Item):
                left -= 1
                self._take_on(now, taken)
            else:
                self._hand.choose(now, taken)
        return False

    def _choose_solo(self, now: Now) -> None:
        """Hand out a suspect when nothing else is in hand, or that takes too long to come."""
        if not self._hand.messages or now.mono >= self._solo_since + ALONE_PATIENCE_S:
            self._solo_since = now.mono
            self._hand.choose(now, (self._solo.pop(0),))

    def _take_on(self, now: Now, item: Item) -> None:
        content = item.delivery.content
        if isinstance(content, Invalid):
            self._asides.add(now, item, Verdict(REJECTED, "malformed", content.reason, path=content.path))
            return
        header, metadata = content.header, content.metadata
        item.message_id, item.entity_id = header.message_id, content.payload.entity_id
        item.stamp_s, item.ttl_s = (header.timestamp - EPOCH).total_seconds(), metadata.ttl_seconds
        item.priority = metadata.priority
        if not self._is_duplicate(now, item):
            self._held[item.message_id] = item
            self._judge(now, item, content)

    def _is_duplicate(self, now: Now, item: Item) -> bool:
        """Recognise an id that is held or done: same content is a duplicate, other content implausible."""
        first = self._held.get(item.message_id)
        if first is not None and said(first.delivery) == said(item.delivery):
            first.twins = [*(first.twins or ()), item]
            return True
        same = self._completed.same(item.message_id, said(item.delivery))
        if first is None and same is None:
            return False
        if first is None and same:
            self._end_duplicate(now, item)
            return True
        reason = "message id was seen with other content"
        self._asides.add(now, item, Verdict(FLAGGED, DUPLICATE_ID, reason, by="check"))
        return True

    def _judge(self, now: Now, item: Item, message: Message) -> None:
        """Send a message its way: set aside, asked about, or on by the standing decision."""
        item.deaths = self._hand.deaths(item.message_id)
        if item.deaths >= DEATHS_ALLOWED:
            reason = "{} processes ended with this message in hand".format(item.deaths)
            self._asides.add(now, item, Verdict(REJECTED, "poison", reason))
            fields = {"message_id": item.message_id, "deaths": item.deaths}
            self._out.effects.append(Say("error", "poison", fields))
            return
        last_seen = self._plausibility.last_seen(item.entity_id)
        doubt = self._plausibility.doubt(item, message, self._settings)
        if doubt is not None:
            self._asides.add(now, item, Verdict(FLAGGED, doubt.cause, doubt.reason, by="check"))
        elif item.deaths:
            self._go(now, item)
        elif not self._is_sampled(now):
            self._by_standing(now, item)
        else:
            self._ask(now, item, message, self._excerpts.of_sighting(last_seen, item.stamp_s))

    def _go(self, now: Now, item: Item) -> None:
        """Let one message be handled by itself; a suspect waits until nothing else is in hand."""
        if not item.deaths:
            self._intake.add_ready((item,))
            return
        if not self._solo:
            self._solo_since = now.mono
        self._solo.append(item)

    def _by_standing(self, now: Now, item: Item) -> None:
        standing = None if self._control.shadow else self._standing.get((item.delivery.queue, item.priority))
        if standing is None:
            self._hand.choose(now, (item,))
            return
        item.ai = standing.ai
        if standing.action == "batch":
            self._batch(now, item)
        else:
            self._hand.choose(now, (item,))

    def _batch(self, now: Now, item: Item) -> None:
        item.action = "batched"
        # More than the prefetch never comes together.
        size = min(self._settings.batch_size, self._settings.prefetch)
        full = self._batches.add(now, item, size=size, age_s=self._settings.batch_age_s)
        if full is not None:
            self._intake.add_ready(full)

    # Asking and deciding

    def _is_sampled(self, now: Now) -> bool:
        return self._sampler.due(
            now,
            every=self._settings.sample_every,
            min_gap_s=self._settings.min_call_gap_s,
            busy=self._asked is not None,
        )

    def _ask(self, now: Now, item: Item, message: Message, last_seen: Optional[Dict[str, Any]]) -> None:
        left_s = item.left_s(now)
        deadline_s = min(self._settings.decision_deadline_s, left_s, HELD_FOR_BRAIN_MAX_S)
        if deadline_s < LEAST_ASK_S:
            self._by_standing(now, item)
            return
        queue = item.delivery.queue
        context = HandlingContext(
            agent_id=self.agent_id,
            queue=queue,
            genre_type=message.metadata.genre_type,
            priority=message.metadata.priority,
            queue_depth=self._depth(queue),
            message=self._excerpts.of(message),
            age_s=item.age_s(now),
            seconds_left=left_s,
            redelivered=item.delivery.redelivered,
            last_seen=last_seen,
            past=self._memory.recent(now),
        )
        self._serial += 1
        ask_id = "{}-{:x}-{}".format(self.agent_id, now.wall_ns, self._serial)
        self._asked = _Asked(ask_id, item, item.message_id, context)
        self._sampler.asked(now)
        self._out.effects.append(Ask(ask_id, context, deadline_s))
        self._out.wake("decision", now.mono + deadline_s)

    def _decide(self, now: Now, answer: Union[Answer, Failure], waiting: bool = True) -> None:
        """Record a decision and act on it; without a usable answer the rules decide.

        `waiting` False: the answer is still to come, and will be paid for.
        """
        asked, self._asked = self._asked, None
        assert asked is not None, "a decision needs a question"
        self._out.wake("decision", None)
        if isinstance(answer, Answer) and isinstance(answer.decision, HandlingDecision):
            decision = answer.decision
        else:
            decision = decide_handling(asked.context)
            answer = answer if isinstance(answer, Failure) else records.mistaken(answer)
        action, adjustment = self._disposed(now, asked, decision)
        opened = self._record(now, asked, answer, decision, action, adjustment)
        self._out.effects.append(_said(asked, answer, action))
        if not waiting:
            self._late[asked.ask_id] = opened
            if len(self._late) > LATE_KEPT:
                self._late.popitem(last=False)
        ai = isinstance(answer, Answer) and answer.brain not in NOT_AI
        self._carry_out(now, asked, action, decision.reasoning, ai)

    def _disposed(self, now: Now, asked: _Asked, decision: HandlingDecision) -> Tuple[str, str]:
        """Give the action that the hard rules leave of a decision, and what they changed."""
        if decision.action == "batch" and asked.item is not None and asked.item.left_s(now) <= 0:
            return "process", "no time left to wait for a batch"
        return decision.action, ""

    def _record(
        self,
        now: Now,
        asked: _Asked,
        answer: Union[Answer, Failure],
        decision: HandlingDecision,
        action: str,
        adjustment: str,
    ) -> OpenDecision:
        missing = "" if asked.item is not None else NOT_HANDLED
        fields = {
            "reasoning": decision.reasoning,
            "confidence": decision.confidence,
            "decision_id": asked.ask_id,
            "message_id": asked.message_id,
            "adjusted": bool(adjustment),
            "adjustment": adjustment or None,
            "acted": not self._control.shadow and not (asked.item is None and action == "flag_anomaly"),
            "outcome_missing": missing or None,
        }
        queue = asked.context.queue
        row = self._make.decision(now, answer, queue=queue, action=action, fields=fields, depths=self._depths)
        self._out.rows.append(row)
        self._last_action = action
        self._memory.note(asked.ask_id, row, missing)
        opened = OpenDecision(asked.ask_id, row.tags, row.time_ns)
        if asked.item is not None:
            asked.item.decision = opened
            self._hand.open(opened)
        return opened

    def _carry_out(self, now: Now, asked: _Asked, action: str, reasoning: str, ai: bool) -> None:
        item = asked.item
        if self._control.shadow:
            if item is not None:
                self._go(now, item)
            return
        if action != "flag_anomaly":
            # The question's own queue and priority, not the item's: that may be gone with its link.
            self._standing[asked.context.queue, asked.context.priority] = Standing(action, ai)
        if item is None:
            return
        item.ai = ai
        if action == "flag_anomaly":
            by, cause = ("ai", "judgement") if ai else ("check", "rules")
            reason = reasoning or "no reason given"
            self._asides.add(now, item, Verdict(FLAGGED, cause, reason, by=by, decision_id=asked.ask_id))
        elif action == "batch":
            self._batch(now, item)
        else:
            self._go(now, item)

    # Ends

    def _succeeded(self, now: Now, unit: Unit, duration_ms: float) -> None:
        share_ms = duration_ms / len(unit)
        receipts: List[Receipt] = []
        for item in unit:
            item.attempts += 1
            self._completed.add(item.message_id, said(item.delivery))
            self._out.rows.append(self._message_row(now, item, item.action, share_ms))
            if not item.void:
                receipts.append(item.delivery.receipt)
            self._end(now, item, handled=not is_late(item, now))
        self._tally.count(now, len(unit))
        if receipts:
            self._out.effects.append(Settle(tuple(receipts)))

    def _failed(self, now: Now, item: Item, error: str) -> None:
        item.attempts += 1
        if item.void or item.attempts < self._settings.handler_attempts:
            fields = {"message_id": item.message_id, "attempt": item.attempts, "error": error}
            self._out.effects.append(Say("warning", "handler_failed", fields))
            self._once_more(now, item)
            return
        self._asides.add(now, item, Verdict(REJECTED, "handler_failed", error))

    def _once_more(self, now: Now, item: Item) -> None:
        """Have a message handled again by itself, after a wait when it failed by itself."""
        if item.void:
            # Whoever holds the message now decides; here it may have come again meanwhile.
            self._release(item)
            for twin in item.twins or () if not self._stopping else ():
                self._intake.add(twin)
        elif self._stopping:
            self._drop((item,))
        elif item.attempts:
            self._retries.add(now.mono + backoff_s(item.attempts, self._settings.handler_backoff_s), item)
        else:
            self._go(now, item)

    def _set_aside_done(self, now: Now, aside: SetAside) -> None:
        item = aside.item
        action = "flagged" if aside.verdict.queue == FLAGGED else "rejected"
        duration_ms = (now.mono - aside.begun) * 1000
        self._out.effects.append(Settle((item.delivery.receipt,)))
        self._out.rows.append(self._message_row(now, item, action, duration_ms))
        self._out.rows.append(self._make.set_aside(now, aside))
        self._tally.count(now, 1)
        self._end(now, item, handled=False)

    def _end(self, now: Now, item: Item, handled: bool) -> None:
        """Let a message go that came to its end, and its duplicates with it; `handled`: well and in time."""
        self._hand.absolve(item)
        self._close(item, handled)
        self._release(item)
        for twin in item.twins or ():
            self._end_duplicate(now, twin)

    def _end_duplicate(self, now: Now, item: Item) -> None:
        self._tally.duplicates += 1
        self._tally.count(now, 1)
        self._out.rows.append(self._message_row(now, item, "duplicate", 0.0))
        self._out.effects.append(Settle((item.delivery.receipt,)))

    def _message_row(self, now: Now, item: Item, action: str, duration_ms: float) -> Row:
        depth = self._depth(item.delivery.queue)
        return self._make.message(now, item, action=action, duration_ms=duration_ms, depth=depth)

    def _depth(self, queue: str) -> Optional[int]:
        sample = self._depths.get(queue)
        return None if sample is None else sample.depth

    def _close(self, item: Item, handled: Optional[bool]) -> None:
        """Write the outcome of a decision on a message; `handled` None: it left before its handler ended."""
        if item.decision is not None:
            # Only the store joins a flag with the ground truth of injected anomalies.
            outcome = handling_outcome(item.decision.tags["action"], handled=handled, anomalous=None)
            self._memory.judge(item.decision.decision_id, outcome)
            self._out.amends.append(Amend(item.decision.row(outcome.fields())))
            self._hand.close(item.decision)
            item.decision = None

    def _release(self, item: Item) -> None:
        # A second message under the same id never stands here itself.
        if self._held.get(item.message_id) is item:
            del self._held[item.message_id]

    # Giving back

    def _not_begun(self) -> List[Item]:
        """Take out everything that is neither handed out nor being set aside."""
        items = [*self._intake.clear(), *self._solo, *self._retries.take(), *self._hand.forget()]
        for unit in self._batches.take():
            items.extend(unit)
        self._solo = []
        return items

    def _drop(self, items: Iterable[Item]) -> None:
        """Let messages go that the broker will deliver again."""
        for item in items:
            self._close(item, None)
            self._release(item)

    def _ask_gone(self) -> None:
        """Let the message that waits for the brain go; the answer may still stand for those after it."""
        if self._asked is not None and self._asked.item is not None:
            self._drop((self._asked.item,))
            self._asked.item = None

    def _forget_all(self) -> None:
        """Every receipt is void: what the handler works on is followed to its end, to know its duplicate."""
        self._drop(self._not_begun())
        self._drop(self._asides.forget())
        self._ask_gone()
        for item in self._hand.handed_out():
            item.void, item.twins = True, None
            self._close(item, None)


def _said(asked: _Asked, answer: Union[Answer, Failure], action: str) -> Say:
    """Give the log's line on a decision."""
    fields: Dict[str, Any] = {"decision_id": asked.ask_id, "action": action, "queue": asked.context.queue}
    fields.update(message_id=asked.message_id, brain=records.FALLBACK_BRAIN)
    if isinstance(answer, Failure):
        return Say("warning", "decision", dict(fields, fallback=answer.reason, detail=answer.detail))
    return Say("info", "decision", dict(fields, brain=answer.brain))
