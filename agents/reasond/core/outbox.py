"""Messages on their way to the broker: published, not yet confirmed.

Used by the publisher's core. Whatever happens to the link, a message stays here, with its id and its body as
they are, until the broker has confirmed it.
"""

from typing import Any, Dict, List, Literal, Optional, Tuple

from msgspec import Struct

from reasond.core.backoff import Chance, delay_s
from reasond.core.effects import Declare, Effect, Now, Publish, Relink, Say, Wake
from reasond.core.items import Item
from reasond.messages import Genre

RETRY_BASE_S, RETRY_CAP_S = 1.0, 30.0
"""Seconds: a queue that was deleted stands again within one declaration; one that is full stays so for a
while."""
DECLARE_GAP_S = 1.0
"""Seconds: a window of returned messages asks for one declaration, not for two hundred."""
CONFIRM_WAKE, RETRY_WAKE = "confirm", "retry"

Stall = Literal["", "link_down", "blocked", "window_full"]


class Parcel(Struct):
    """One message under way: its publish effect (id and body never change), and what is told of its confirm.

    `sent` is the monotonic time of the latest publish, None while it waits for the link or for `retry_at`.
    """

    effect: Publish
    item: Item
    genre: Genre
    interval: int
    ai_adjusted: bool
    first: float
    sent: Optional[float] = None
    retry_at: Optional[float] = None
    tries: int = 0


class Outbox:
    """The window of unconfirmed messages and the state of the publishing link."""

    def __init__(self, window: int, confirm_timeout_s: float, rng: Chance) -> None:
        """Begin with the link down and nothing under way."""
        self._window = window
        self._confirm_timeout_s = confirm_timeout_s
        self._rng = rng
        self._parcels: Dict[str, Parcel] = {}
        self._up = self._blocked = self._full = self._relinking = False
        self._was_up = False
        self._watching = False
        self._trouble = ""
        self._said: Stall = ""
        self._declared: Optional[float] = None
        self.stall: Stall = "link_down"
        """Why nothing new may be published now; empty when it may."""

    def __len__(self) -> int:
        """Give how many messages are unconfirmed."""
        return len(self._parcels)

    def put(self, now: Now, parcel: Parcel) -> List[Effect]:
        """Take a new message and publish it; only while there is no `stall`."""
        self._parcels[parcel.effect.ref] = parcel
        self._full = len(self._parcels) >= self._window
        return [*self._send(now, parcel), *self._watch(now), *self._tell()]

    def on_link(self, now: Now, up: bool, blocked: bool) -> List[Effect]:
        """Take the link's state; when it is open again, publish what is not on it, oldest first."""
        if not up or self._relinking:
            for parcel in self._parcels.values():
                parcel.sent = parcel.retry_at = None
            self._relinking = False
        elif self._blocked and not blocked:
            # The broker read nothing while it was blocked: only from now on is a confirm overdue.
            for parcel in self._parcels.values():
                parcel.sent = None if parcel.sent is None else now.mono
        self._up, self._blocked = up, up and blocked
        self._was_up = self._was_up or up
        effects: List[Effect] = list(self._tell())
        if up and not blocked:
            waiting = [p for p in self._parcels.values() if p.sent is None and p.retry_at is None]
            for parcel in waiting:
                effects += self._send(now, parcel)
            if waiting:
                effects.append(Say("notice", "published_again", {"messages": len(waiting)}))
        return effects + self._watch(now)

    def on_confirmed(self, now: Now, ref: str, outcome: str) -> Tuple[Optional[Parcel], List[Effect]]:
        """Take the broker's word; give the parcel when it is done, and what follows."""
        if outcome == "ok":
            done = self._parcels.pop(ref, None)
            self._trouble = ""
            # Half of the window must be free again, or each confirm would end an episode and begin one.
            if self._full and len(self._parcels) <= self._window // 2:
                self._full = False
            return done, self._tell()
        parcel = self._parcels.get(ref)
        if parcel is None or parcel.sent is None:
            return None, []
        wait_s = delay_s(parcel.tries, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S, rng=self._rng)
        parcel.tries += 1
        parcel.sent, parcel.retry_at = None, now.mono + wait_s
        return None, [*self._refused(now, parcel, outcome), self._next_retry()]

    def on_wake(self, now: Now, name: str) -> List[Effect]:
        """Take the timer of the oldest confirm, or of the next retry."""
        if name == CONFIRM_WAKE:
            self._watching = False
            return [*self._overdue(now), *self._watch(now)]
        effects: List[Effect] = []
        for parcel in list(self._parcels.values()):
            if parcel.retry_at is not None and parcel.retry_at <= now.mono:
                parcel.retry_at = None
                if self._up and not self._blocked:
                    effects += self._send(now, parcel)
        return [*effects, self._next_retry(), *self._watch(now)]

    def _send(self, now: Now, parcel: Parcel) -> List[Effect]:
        parcel.sent, parcel.retry_at = now.mono, None
        return [parcel.effect]

    def _watch(self, now: Now) -> List[Effect]:
        """Have a timer run for the oldest confirm, as long as one is awaited."""
        if self._watching:
            return []
        sent = [parcel.sent for parcel in self._parcels.values() if parcel.sent is not None]
        if not sent:
            return []
        self._watching = True
        due = min(sent) + self._confirm_timeout_s
        return [Wake(CONFIRM_WAKE, due if due > now.mono else now.mono + self._confirm_timeout_s)]

    def _overdue(self, now: Now) -> List[Effect]:
        """Ask for a new connection when a confirm is overdue; the same ids are published again on it."""
        if not self._up or self._blocked or self._relinking:
            return []
        due = now.mono - self._confirm_timeout_s + 1e-6
        late = [p for p in self._parcels.values() if p.sent is not None and p.sent <= due]
        if not late:
            return []
        self._relinking = True
        fields: Dict[str, Any] = {"messages": len(late), "timeout_s": self._confirm_timeout_s}
        return [Say("warning", "confirm_overdue", fields), Relink("publish")]

    def _refused(self, now: Now, parcel: Parcel, outcome: str) -> List[Effect]:
        effects: List[Effect] = []
        if self._declared is None or now.mono - self._declared >= DECLARE_GAP_S:
            self._declared = now.mono
            effects.append(Declare())
        if self._trouble != outcome:
            self._trouble = outcome
            fields = {"message_id": parcel.effect.message_id, "routing_key": parcel.effect.routing_key}
            effects.append(Say("warning", "message_" + outcome, fields))
        return effects

    def _next_retry(self) -> Wake:
        waiting = [p.retry_at for p in self._parcels.values() if p.retry_at is not None]
        return Wake(RETRY_WAKE, min(waiting) if waiting else None)

    def _tell(self) -> List[Effect]:
        """Work out the stall anew; say once when publishing has to stop, and once when it goes on."""
        stall: Stall = "window_full" if self._full else ""
        if not self._up:
            stall = "link_down"
        elif self._blocked:
            stall = "blocked"
        self.stall = stall
        if stall == self._said or not self._was_up:
            return []
        self._said, before = stall, self._said
        if stall:
            return [Say("warning", "publishing_stopped", {"reason": stall, "unconfirmed": len(self._parcels)})]
        return [Say("notice", "publishing_resumed", {"after": before})]
