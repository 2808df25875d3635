"""Why an agent does what it does, in plain sentences, from its decisions: `reasond why`.

A publisher is explained by the decisions that set its intervals, a consumer by those that stand for its queues, the
monitor by its newest analysis.
"""

import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from msgspec import Struct

from reasond.errors import InputError
from reasond.operator.decided import Decided, decided
from reasond.operator.host import Here, orders_in_words
from reasond.operator.records import Records, Wanted
from reasond.operator.system import SECOND_NS, age_in_words, newest_by, texts
from reasond.points import Row
from reasond.report.decisions import DID_NOT_HELP, HELPED, OPERATOR
from reasond.report.span import Span, told
from reasond.settings import Settings

LOOK_BACK_S = 24 * 3600
"""Seconds: an interval that no decision moved for so long is as good as the default."""
ONE_MESSAGE = "flag_anomaly"
"""An action that concerns its own message alone: it stands for nothing."""
MAX_REASONING_CHARS = 300
GENRES = ("fictional", "non-fictional")
Telling = Tuple[List[str], List[Decided]]
"""Sentences, and the decisions that they rest on."""
_STANDING = re.compile(r"standing ((?:\S+=\S+ ?)+)")
MISSING = {
    "operator": "an operator's order, which is not judged",
    "second_change": "not judged: another change came too soon after it",
    "nothing_to_move": "not judged: the queues were near empty, so nothing could move",
    "restart": "not judged: the agent was restarted meanwhile",
    "held": "not judged: the agent was held",
}
"""Reasons of a missing outcome in words; others are told as they are named."""


class Why(Struct, frozen=True):
    """An agent's behaviour explained: sentences in the order in which they should be read, and what they rest on."""

    agent: str
    kind: str
    time: str
    sentences: List[str]
    decisions: List[Decided]


def explain(records: Records, agent: str, settings: Settings, here: Here, at_ns: int) -> Why:
    """Explain an agent as of a time (UTC ns).

    Raises InputError for an agent that nothing is known of, StoreUnavailable or StoreRefused.
    """
    span = Span(at_ns - LOOK_BACK_S * SECOND_NS, at_ns + 1)
    found = [decided(row) for row in records.decided(span, Wanted(agent=agent))]
    beat = newest_by(records.latest("agent_health", span), "agent_id").get(agent)
    if not found and beat is None and agent not in here.agents:
        raise InputError(f"nothing is known of {agent} in the last 24 hours; reasond status lists the agents")
    kind = agent.rpartition("-")[0]
    teller = {"publisher": _publisher, "consumer": _consumer}.get(kind)
    opening = _opening(agent, beat, here, at_ns)
    if teller is not None:
        told_of, resting_on = teller(found, beat, settings, at_ns)
    else:
        health = newest_by(records.latest("system_health", span), "agent_id").get(agent)
        told_of, resting_on = _monitor(found, health, at_ns)
    return Why(agent, kind, told(at_ns) + " UTC", opening + told_of, resting_on)


def _opening(agent: str, beat: Optional[Row], here: Here, at_ns: int) -> List[str]:
    """Say what stands above every decision: a silent process, the operator's orders, a degraded state."""
    own, words = here.agents.get(agent), []
    if beat is None:
        words.append(f"{agent} has sent no heartbeat in the last 24 hours.")
    elif at_ns - beat.time_ns > 60 * SECOND_NS:
        ago = age_in_words((at_ns - beat.time_ns) / SECOND_NS)
        words.append(f"{agent} has sent no heartbeat for {ago}: what follows is how it was then.")
    if own is not None:
        words += [f"{agent} is {order}." for order in orders_in_words(own.orders)]
    elif beat is not None and beat.fields.get("held"):
        words.append(f"{agent} is held by the operator.")
    if beat is not None and beat.fields.get("degraded"):
        words.append("It is degraded: {}.".format(beat.fields.get("degraded_reason", "no reason given")))
    return words


# Publishers


def _publisher(found: Sequence[Decided], beat: Optional[Row], settings: Settings, at_ns: int) -> Telling:
    if not found:
        words = "It took no decision in the last 24 hours, so the intervals of its settings count: "
        words += "fictional every {} s, non-fictional every {} s."
        publisher = settings.publisher
        return [words.format(publisher.fictional_interval_s, publisher.nonfictional_interval_s)], []
    newest = found[0]
    sentences: List[str] = []
    resting_on: List[Decided] = []
    if newest.acted and newest.action == "pause":
        sentences.append(f"It is paused: {_by(newest, at_ns)}. {_ground(newest)}")
        resting_on.append(newest)
    told_of, setters = _intervals(found, at_ns)
    sentences += told_of
    resting_on += [one for one in setters if one not in resting_on]
    if newest not in resting_on:
        sentences.append(_latest(newest, at_ns))
        resting_on.append(newest)
    if newest.arm:
        sentences.append(f"An experiment is running: in this block (number {newest.block}) {newest.arm} decides.")
    return sentences, resting_on


def _intervals(found: Sequence[Decided], at_ns: int) -> Telling:
    """Tell each interval by the decision that set it; one that set both is explained once."""
    sentences: List[str] = []
    setters: List[Decided] = []
    for number, genre in enumerate(GENRES):
        setter = _setter(found, number)
        again = setter is not None and setter in setters
        sentences.append(_interval(found[0], setter, number, genre, at_ns, brief=again))
        if setter is not None and not again:
            sentences += _about(setter)
            setters.append(setter)
    return sentences, setters


def _setter(found: Sequence[Decided], number: int) -> Optional[Decided]:
    """Give the decision that set an interval to what it is: the newest that changed it."""
    return next((one for one in found if one.acted and one.set[number] != one.before[number]), None)


def _interval(newest: Decided, setter: Optional[Decided], number: int, genre: str, at_ns: int, brief: bool) -> str:
    now = f"It publishes a {genre} message every {newest.in_force[number]} s"
    if setter is None:
        return f"{now}: no decision of the last 24 hours changed that."
    if brief:
        return f"{now} (before: {setter.before[number]} s), by the same decision."
    return f"{now} (before: {setter.before[number]} s): {_by(setter, at_ns)}."


def _about(one: Decided) -> List[str]:
    """Say on what ground a decision was taken, what the core changed of it, and how it turned out."""
    sentences = [_ground(one)]
    if one.adjusted:
        sentences.append(f"The core changed the answer: {one.adjustment}.")
    sentences.append(_outcome(one))
    return [sentence for sentence in sentences if sentence]


def _by(one: Decided, at_ns: int) -> str:
    who = "the operator" if one.brain == OPERATOR else one.brain
    model = f" ({one.model})" if one.model else ""
    ago = age_in_words((at_ns - one.time_ns) / SECOND_NS)
    instead = f", as the brain gave no answer ({one.fallback_reason})" if one.fallback_reason else ""
    return f"{who}{model} decided {one.action} {ago} ago, at {one.time}{instead} [{one.id}]"


def _ground(one: Decided) -> str:
    """Say what was measured and what reason was given."""
    measured = ", ".join(f"{queue} {depth}" for queue, depth in one.depths.items())
    source = f" (from {one.depth_source})" if one.depth_source else ""
    drain = "" if one.drain_time_s is None else f", {one.drain_time_s:.0f} s to drain"
    words = f"It was taken at depths of {measured}{drain}{source}." if measured else "No depths were known."
    if one.brain == OPERATOR:
        words = ""
    return " ".join(part for part in (words, _reason(one)) if part)


def _reason(one: Decided) -> str:
    if not one.reasoning:
        return ""
    text = one.reasoning
    cut = text if len(text) <= MAX_REASONING_CHARS else text[: MAX_REASONING_CHARS - 1] + "…"
    confidence = "" if one.confidence is None else f", confidence {one.confidence:.2f}"
    return f"The reason given{confidence}: “{cut}”"


def _outcome(one: Decided) -> str:
    after = ", ".join(f"{queue} {depth}" for queue, depth in one.depths_after.items())
    then = f" (depths after: {after})" if after else ""
    if one.outcome == HELPED:
        return f"It helped{then}."
    if one.outcome == DID_NOT_HELP:
        return f"It did not help{then}."
    if not one.outcome:
        return "How it turned out isn't known yet."
    return "How it turned out: {}.".format(MISSING.get(one.outcome, f"not judged ({one.outcome})"))


def _latest(one: Decided, at_ns: int) -> str:
    shadow = "" if one.acted else " It was not acted on (shadow)."
    return f"The latest decision: {_by(one, at_ns)}.{shadow} {_reason(one)}".rstrip()


# Consumers


def _consumer(found: Sequence[Decided], beat: Optional[Row], settings: Settings, at_ns: int) -> Telling:
    sentences: List[str] = []
    resting_on: List[Decided] = []
    fields: Mapping[str, Any] = beat.fields if beat else {}
    standing = _standing(fields.get("state", ""))
    if standing:
        listed = ", ".join(f"{queue} at priority {priority}: {action}" for queue, priority, action in standing)
        sentences.append(f"What stands by its own word, until the next sample of each: {listed}.")
    for queue, one in sorted(_by_queue(found).items()):
        sentences.append(f"Queue {queue}: {_by(one, at_ns)}.")
        sentences += _about(one)
        resting_on.append(one)
    if not resting_on:
        sentences.append("No decision of the last 24 hours stands: it handles every message as it comes.")
    flags = [one for one in found if one.action == ONE_MESSAGE]
    if flags:
        count = "One message was" if len(flags) == 1 else f"{len(flags)} messages were"
        sentences.append(f"{count} flagged in the last 24 hours, the latest: {_by(flags[0], at_ns)}.")
        sentences += _about(flags[0])
        resting_on.append(flags[0])
    sentences.append(
        f"One message in {settings.consumer.sample_every} is put to the brain; the others go by what stands."
    )
    return (sentences, resting_on)


def _standing(line: str) -> List[List[str]]:
    """Read queue, priority and action of each standing decision out of a consumer's status line."""
    match = _STANDING.search(line)
    entries = match.group(1).replace(",", "").split() if match else []
    return [[*entry.partition("=")[0].partition("/")[::2], entry.partition("=")[2]] for entry in entries]


def _by_queue(found: Sequence[Decided]) -> Dict[str, Decided]:
    """Give the newest decision for each queue that is more than one message's."""
    newest: Dict[str, Decided] = {}
    for one in found:
        if one.queue and one.acted and one.action != ONE_MESSAGE:
            newest.setdefault(one.queue, one)
    return newest


# The monitor


def _monitor(found: Sequence[Decided], health: Optional[Row], at_ns: int) -> Telling:
    if health is None:
        return (["It gave no analysis in the last 24 hours."], [])
    fields = health.fields
    one = next((each for each in found if each.id == fields.get("decision_id")), None)
    by = "" if one is None else f": {_by(one, at_ns)}"
    score = fields.get("system_health_score")
    sentences = ["It says {}{}{}.".format(fields.get("status"), "" if score is None else f", score {score} of 100", by)]
    if one is not None and one.adjusted:
        sentences.append(f"The core changed the answer: {one.adjustment}.")
    for name, words in (("issues", "What it found"), ("suggestions", "What it suggests"), ("alerts", "Its alerts")):
        listed = texts(fields.get(name, ""))
        if listed:
            sentences.append("{}: {}.".format(words, "; ".join(text.rstrip(".") for text in listed)))
    if not texts(fields.get("issues", "")):
        sentences.append("It found no issue.")
    if fields.get("ai_analysis_text"):
        sentences.append("In its words: “{}”".format(fields["ai_analysis_text"][:MAX_REASONING_CHARS]))
    return (sentences, [] if one is None else [one])
