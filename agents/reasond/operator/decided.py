"""Decisions as the operator's commands tell them: one point with all its fields, and what the transcript holds."""

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from msgspec import Struct

from reasond.core.records import NONE
from reasond.errors import InputError
from reasond.flux import in_shadow, intervals_in_force
from reasond.operator.records import Records, Wanted
from reasond.points import Row
from reasond.report.decisions import outcome_in_words
from reasond.report.span import Span, told

SECOND_NS = 1_000_000_000
ASKED_BEFORE_S = 600
"""An answer's attempts lie before its decision, within the longest deadline of the settings, 300 s, and some."""
QUEUES = {"fictional": "fictional", "nonfictional": "non-fictional", "priority": "priority"}
"""Names in the fields of a decision -> queues."""
SHOWN_IDS = 10
"""Of the decisions that a short prefix might mean."""

Pair = Tuple[Optional[int], Optional[int]]


class Decided(Struct, frozen=True):
    """One decision. Intervals are fictional and non-fictional, seconds; depths are messages by queue.

    `set` is what the decision says, `before` what it found, `in_force` what counted from then on: in shadow, what was.
    """

    id: str
    time_ns: int
    time: str
    agent: str
    kind: str
    action: str
    brain: str
    model: str = ""
    prompt_version: str = ""
    queue: str = ""
    plan: str = ""
    arm: str = ""
    block: Optional[int] = None
    message_id: str = ""
    reasoning: str = ""
    confidence: Optional[float] = None
    set: Pair = (None, None)
    before: Pair = (None, None)
    in_force: Pair = (None, None)
    acted: bool = True
    adjusted: bool = False
    adjustment: str = ""
    fallback_reason: str = ""
    depths: Dict[str, int] = {}
    depths_after: Dict[str, int] = {}
    depth_source: str = ""
    drain_time_s: Optional[float] = None
    outcome: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    would_cost_usd: Optional[float] = None
    latency_ms: Optional[float] = None


def decided(row: Row) -> Decided:
    """Give a whole point of `agent_reasoning` as a decision."""
    tags, fields = row.tags, row.fields
    return Decided(
        id=fields.get("decision_id", ""),
        time_ns=row.time_ns,
        time=told(row.time_ns) + " UTC",
        agent=tags.get("agent_id", ""),
        kind=tags.get("agent_type", ""),
        action=tags.get("action", ""),
        brain=tags.get("brain", ""),
        queue=tags.get("queue", ""),
        plan=fields.get("plan", ""),
        arm=tags.get("arm", ""),
        block=fields.get("block"),
        message_id=fields.get("message_id", ""),
        reasoning=fields.get("reasoning", ""),
        confidence=fields.get("confidence"),
        acted=not in_shadow(fields),
        adjusted=fields.get("adjusted", False),
        adjustment=fields.get("adjustment", ""),
        fallback_reason=fields.get("fallback_reason", ""),
        outcome=outcome_in_words(fields),
        **_intervals(fields),
        **_measured(fields),
        **_paid(tags, fields),
    )


def _intervals(fields: Dict[str, Any]) -> Dict[str, Any]:
    return {
        "set": (fields.get("fictional_interval"), fields.get("nonfictional_interval")),
        "before": (fields.get("previous_fictional_interval"), fields.get("previous_nonfictional_interval")),
        "in_force": intervals_in_force(fields),
    }


def _measured(fields: Dict[str, Any]) -> Dict[str, Any]:
    return {
        "depths": _depths(fields, "queue_depth_{}"),
        "depths_after": _depths(fields, "queue_depth_{}_after"),
        "depth_source": fields.get("depth_source", ""),
        "drain_time_s": fields.get("drain_time_s"),
    }


def _depths(fields: Dict[str, Any], form: str) -> Dict[str, int]:
    named = {queue: fields.get(form.format(name)) for name, queue in QUEUES.items()}
    return {queue: depth for queue, depth in named.items() if depth is not None}


def _paid(tags: Dict[str, str], fields: Dict[str, Any]) -> Dict[str, Any]:
    return {
        "model": _named(tags.get("model", "")),
        "prompt_version": _named(tags.get("prompt_version", "")),
        "input_tokens": fields.get("input_tokens", 0),
        "output_tokens": fields.get("output_tokens", 0),
        "cost_usd": fields.get("cost_usd", 0.0),
        "would_cost_usd": fields.get("would_cost_usd"),
        "latency_ms": fields.get("decision_latency_ms"),
    }


def _named(tag: str) -> str:
    return "" if tag == NONE else tag


class Attempt(Struct, frozen=True):
    """One attempt at the API; `error` is none or its kind."""

    attempt: int
    model: str
    error: str
    status: int
    latency_ms: float
    input_tokens: int
    output_tokens: int
    cost_usd: float


class Found(Struct, frozen=True):
    """A decision with its attempts and its line of the transcript; `looked_in` says where that was sought."""

    decision: Decided
    attempts: List[Attempt]
    transcript: Optional[Dict[str, Any]]
    looked_in: List[str]


def find(records: Records, prefix: str, span: Span, transcripts: Dict[str, Path]) -> Found:
    """Give the one decision whose id begins so; `transcripts` are the agents' log directories on this host.

    Raises InputError where none or several begin so, StoreUnavailable or StoreRefused.
    """
    named = records.named(span, prefix)
    whole = [one for one in named if one[2] == prefix]
    chosen = whole or named
    ids = sorted({decision_id for _, _, decision_id in chosen})
    if not ids:
        raise InputError(
            f"no decision since {told(span.start_ns)} UTC has an id that begins with {prefix}; "
            "list them with reasond decisions, or look further back with --since 30d"
        )
    if len(ids) > 1:
        more = "" if len(ids) <= SHOWN_IDS else "\n  ..."
        raise InputError(
            f"several decisions have an id that begins with {prefix}; give more of it:\n"
            + "\n".join(f"  {decision_id}" for decision_id in ids[:SHOWN_IDS])
            + more
        )
    time_ns, agent, decision_id = chosen[0]
    return _found(records, time_ns, agent, decision_id, transcripts)


def _found(records: Records, time_ns: int, agent: str, decision_id: str, transcripts: Dict[str, Path]) -> Found:
    points = records.decided(Span(time_ns, time_ns + 1), Wanted(agent=agent))
    one = next(decided(row) for row in points if row.fields.get("decision_id") == decision_id)
    before = Span(max(0, time_ns - ASKED_BEFORE_S * SECOND_NS), time_ns + ASKED_BEFORE_S * SECOND_NS)
    attempts = [_attempt(row) for row in records.attempts(before, agent, decision_id)]
    line, looked_in = transcript_line(decision_id, agent, transcripts)
    return Found(one, attempts, line, looked_in)


def _attempt(row: Row) -> Attempt:
    fields = row.fields
    return Attempt(
        attempt=fields.get("attempt", 0),
        model=row.tags.get("model", ""),
        error=row.tags.get("error", ""),
        status=fields.get("status", 0),
        latency_ms=fields.get("latency_ms", 0.0),
        input_tokens=fields.get("input_tokens", 0),
        output_tokens=fields.get("output_tokens", 0),
        cost_usd=fields.get("cost_usd", 0.0),
    )


def transcript_line(
    decision_id: str, agent: str, directories: Dict[str, Path]
) -> Tuple[Optional[Dict[str, Any]], List[str]]:
    """Give a decision's line of the agent's transcripts, the newest file first, and where it was sought."""
    directory = directories.get(agent)
    if directory is None:
        return None, []
    looked_in = []
    for file in _files(directory, agent):
        looked_in.append(str(file))
        line = _line_of(file, decision_id)
        if line is not None:
            return line, looked_in
    return None, looked_in or [f"{directory}/{agent}.jsonl"]


def _files(directory: Path, agent: str) -> Sequence[Path]:
    try:
        rotated = sorted(directory.glob(f"{agent}.*.jsonl"), reverse=True)
    except OSError:
        rotated = []
    current = directory / f"{agent}.jsonl"
    return ([current] if current.exists() else []) + rotated


def _line_of(file: Path, decision_id: str) -> Optional[Dict[str, Any]]:
    needle = json.dumps(decision_id)
    try:
        with open(str(file), encoding="utf-8", errors="replace") as lines:
            for text in lines:
                if needle in text:
                    entry = _entry(text)
                    if entry.get("decision_id") == decision_id:
                        return entry
    except OSError:
        return None
    return None


def _entry(text: str) -> Dict[str, Any]:
    try:
        entry = json.loads(text)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
