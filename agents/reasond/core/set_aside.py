"""Messages on their way to `books.rejected` or `books.flagged`: published before they are settled.

Used by the consumer's core. The original body goes out unchanged; what is added is in `x-reasond-*` headers.
"""

import hashlib
from datetime import datetime, timezone
from typing import Any, Dict, Iterator, List, Literal, Optional, Tuple

from msgspec import Struct

from reasond.core.effects import Declare, Delivery, Effect, Now, Publish, Relink, Say
from reasond.core.intake import Item
from reasond.core.retries import backoff_s
from reasond.topology import (
    DEAD_EXCHANGE,
    HEADER_AT,
    HEADER_ATTEMPTS,
    HEADER_BY,
    HEADER_CAUSE,
    HEADER_EXPIRATION,
    HEADER_PATH,
    HEADER_QUEUE,
    HEADER_REASON,
    HEADER_REQUEUED,
)

REASON_MAX_CHARS = 1000
"""Of a reason inside a header: a handler's error can be a whole stack."""
HEADERS_MAX_BYTES = 65536
"""Of a sender's headers that are kept: all headers must fit one frame (131072 bytes by default), and a frame
too large makes the broker close the connection."""
HEADER_CUT = "x-reasond-cut"
"""Says that the sender's headers were too large to be kept."""
RENAMED = {"CC": "x-original-CC", "BCC": "x-original-BCC"}
"""RabbitMQ takes these as further routing keys (manual, "Sender-selected Distribution")."""
DEPTH_MAX = 16
"""Of nested header tables."""
UNKNOWN_TYPE = "application/octet-stream"
"""RFC 2046, 4.5.1: what has no stated type."""
RETRY_BASE_S = 1.0
"""First wait after the broker refused; it doubles to a minute: a full queue needs somebody to look at it."""
CONFIRM_PATIENCE_S = 30.0
"""A confirm older than this means a new connection, unless the broker has blocked this one."""

Outcome = Literal["ok", "returned", "nacked"]


class Verdict(Struct, frozen=True):
    """Where a message is set aside (the dead-letter queue) and why: a cause token and a reason.

    As far as they apply: JSON path of the fault, who found it (`ai` or `check`), and the decision's id.
    """

    queue: str
    cause: str
    reason: str
    path: str = ""
    by: str = ""
    decision_id: str = ""


class SetAside(Struct, gc=False):
    """One message being set aside; `sent` is when it was published last, None while it waits."""

    item: Item
    verdict: Verdict
    publish: Publish
    begun: float
    sent: Optional[float] = None
    due: float = 0.0
    refusals: int = 0


class SetAsides:
    """All messages being set aside, by the ref of their Publish."""

    def __init__(self) -> None:
        """Start with none, and no link to publish on."""
        self.pending: Dict[str, SetAside] = {}
        """Read by the core: most events find it empty."""
        self._serial = 0
        self._up = False
        self._blocked = False
        self._refusing: Dict[str, str] = {}

    def __len__(self) -> int:
        """Give how many are pending."""
        return len(self.pending)

    def add(self, now: Now, item: Item, verdict: Verdict) -> None:
        """Take on a message; `send` publishes it."""
        self._serial += 1
        ref = "aside-{}".format(self._serial)
        publish = Publish(
            ref=ref,
            exchange=DEAD_EXCHANGE,
            routing_key=verdict.queue,
            body=item.delivery.body,
            message_id=message_id(item),
            headers=headers(now, item, verdict),
            content_type=item.delivery.content_type or UNKNOWN_TYPE,
        )
        self.pending[ref] = SetAside(item, verdict, publish, now.mono)

    def link(self, up: bool, blocked: bool) -> None:
        """Take the publish link's state: what was unconfirmed on one that went down is sent again."""
        self._up, self._blocked = up, blocked
        if not up:
            for aside in self.pending.values():
                aside.sent = None

    def send(self, now: Now) -> Iterator[Effect]:
        """Publish what waits and may go, under the same ref and id each time; have a stuck link made anew."""
        if not self.pending or not self._up or self._blocked:
            return
        for aside in self.pending.values():
            if aside.sent is None and aside.due <= now.mono:
                aside.sent = now.mono
                yield aside.publish
            elif aside.sent is not None and now.mono - aside.sent >= CONFIRM_PATIENCE_S:
                yield Say("warning", "set_aside_unconfirmed", {"seconds": now.mono - aside.sent})
                yield Relink("publish")
                # Until the link is back nothing is sent, and then everything is.
                self.link(False, False)
                return

    def confirmed(self, now: Now, ref: str, outcome: str) -> Tuple[Optional[SetAside], List[Effect]]:
        """Take the broker's word: the message that is safe now, if it is, and what else is to be done."""
        aside = self.pending.get(ref)
        if aside is None:
            return None, []
        queue = aside.verdict.queue
        if outcome == "ok":
            del self.pending[ref]
            if self._refusing.pop(queue, None) is None:
                return aside, []
            return aside, [Say("notice", "set_aside_accepted_again", {"queue": queue})]
        aside.refusals += 1
        aside.sent, aside.due = None, now.mono + backoff_s(aside.refusals, RETRY_BASE_S)
        effects: List[Effect] = [Declare()] if outcome == "returned" else []
        if self._refusing.get(queue) != outcome:
            self._refusing[queue] = outcome
            effects.append(Say("warning", "set_aside_refused", {"queue": queue, "outcome": outcome}))
        return None, effects

    def next_due(self) -> Optional[float]:
        """Give the monotonic time at which `send` has something to do next."""
        if not self.pending or not self._up or self._blocked:
            return None
        return min(
            aside.due if aside.sent is None else aside.sent + CONFIRM_PATIENCE_S for aside in self.pending.values()
        )

    def forget(self, unsent_only: bool = False) -> Iterator[Item]:
        """Drop what is pending (or only what isn't on its way to the broker) and give what it was."""
        for ref in [r for r, aside in self.pending.items() if not unsent_only or aside.sent is None]:
            yield self.pending.pop(ref).item


def message_id(item: Item) -> str:
    """Give the id to publish under: the sender's, else the header's, else one derived."""
    known = item.delivery.message_id or item.message_id
    if known:
        return known
    receipt = item.delivery.receipt
    digest = hashlib.sha256(item.delivery.body).hexdigest()[:32]
    return "reasond-{}-{}-{}".format(digest, receipt.epoch, receipt.tag)


def headers(now: Now, item: Item, verdict: Verdict) -> Dict[str, Any]:
    """Give the headers of a message set aside: the sender's as far as AMQP carries them, and ours."""
    delivery = item.delivery
    kept = _senders(delivery)
    at = datetime.fromtimestamp(now.wall_ns // 1_000_000_000, timezone.utc)
    ours = {
        HEADER_REASON: text(verdict.reason),
        HEADER_PATH: text(verdict.path),
        HEADER_CAUSE: verdict.cause,
        HEADER_BY: verdict.by,
        HEADER_QUEUE: delivery.queue,
        HEADER_EXPIRATION: delivery.expiration_ms or "",
        HEADER_AT: at.isoformat().replace("+00:00", "Z"),
    }
    kept.update({name: value for name, value in ours.items() if value})
    if item.attempts or item.deaths:
        kept[HEADER_ATTEMPTS] = item.attempts + item.deaths
    return kept


def text(value: str) -> str:
    """Give the text cut to what a header carries, without what UTF-8 can't encode."""
    if len(value) > REASON_MAX_CHARS:
        value = value[: REASON_MAX_CHARS - 3] + "..."
    return value.encode("utf-8", "replace").decode("utf-8")


_OURS = frozenset(
    (HEADER_REASON, HEADER_PATH, HEADER_CAUSE, HEADER_BY, HEADER_QUEUE, HEADER_EXPIRATION, HEADER_ATTEMPTS)
    + (HEADER_AT, HEADER_REQUEUED, HEADER_CUT)
)
"""Left by an earlier time a message was set aside: they would mix with this one's."""


def _senders(delivery: Delivery) -> Dict[str, Any]:
    kept = {RENAMED.get(k, k): _carried(v, 0) for k, v in delivery.headers.items() if k not in _OURS}
    size_bytes = _size(kept)
    if size_bytes <= HEADERS_MAX_BYTES:
        return kept
    return {HEADER_CUT: "the sender's headers, {} bytes, are left out".format(size_bytes)}


def _carried(value: Any, depth: int) -> Any:
    """Give the value in a type that pika can encode: floats and large integers it can only read."""
    if depth > DEPTH_MAX:
        return "..."
    if isinstance(value, dict):
        return {str(key): _carried(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_carried(item, depth + 1) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if value is None or isinstance(value, (bool, bytes, datetime)):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    return str(value)


def _size(value: Any) -> int:
    """Give about how many bytes a value takes on the wire, rather more than less."""
    if isinstance(value, dict):
        return 5 + sum(2 + len(key.encode("utf-8")) + _size(item) for key, item in value.items())
    if isinstance(value, list):
        return 5 + sum(_size(item) for item in value)
    if isinstance(value, str):
        return 5 + len(value.encode("utf-8"))
    return 5 + len(value) if isinstance(value, bytes) else 9
