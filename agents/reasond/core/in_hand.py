"""What the handler has in hand, journalled before it starts, so that one that kills the process is found out.

Used by the consumer's core. The journal is one small state: for each message id how many processes have had
it in hand. One Save is on its way at a time and takes with it all that waits, so the rate of saves never
exceeds what the disk does, however high the rate of messages.
"""

from typing import Any, Dict, List, Optional, OrderedDict, Tuple

from msgspec import Struct

from reasond.core.effects import Effect, Handle, Now, Save, Say
from reasond.core.intake import Item, OpenDecision, Unit

JOURNAL = "in_hand"
"""The key under which the journal is saved."""
DEATHS_ALLOWED = 2
"""A message that this many processes died with in hand is rejected when it comes a third time."""
WINDOW_MESSAGES = 16
"""Handed out at a time: enough to keep a few threads busy while a Save is on its way, and few enough that a
message of the queue `priority` soon comes to its turn."""
SUSPECTS_KEPT = 1000
"""Ids remembered from earlier journals; most come back at once, some went to another consumer."""
SAVE_PATIENCE_S = 5.0
"""A disk that doesn't answer must not stop the flow: beyond this the handler starts without its journal."""
ALONE_PATIENCE_S = 30.0
"""A handler that hangs must not stop the flow: beyond this a suspect and the others go together."""


class _Run(Struct, gc=False):
    unit: Unit
    alone: bool


class InHand:
    """Units chosen for the handler: waiting for a Save, saved with the one on its way, or handed out.

    A suspect (a message that a process died with in hand) is handed out alone: so whoever dies twice in hand
    did it by itself, and no innocent neighbour is rejected.
    """

    def __init__(self, saved: Any) -> None:
        """Take the state last saved under JOURNAL; None or anything odd counts as empty."""
        state = saved if isinstance(saved, dict) else {}
        sights = state.get("sights")
        self._deaths: OrderedDict[str, int] = OrderedDict()
        for message_id, count in sights.items() if isinstance(sights, dict) else ():
            self._deaths[str(message_id)] = count if isinstance(count, int) else 1
        while len(self._deaths) > SUSPECTS_KEPT:
            self._deaths.popitem(last=False)
        self._waiting: List[Unit] = []
        self._saving: List[Unit] = []
        self._running: Dict[str, _Run] = {}
        self._messages = 0
        self._serial = 0
        self._save_ref: Optional[str] = None
        self._save_since = 0.0
        self._said_overdue: Optional[str] = None
        self._dirty = False
        self._alone_until: Optional[float] = None
        self._open: Dict[str, OpenDecision] = {}
        self.stirred = False
        """Whether a Save may be due or is on its way; while it is not, `save` and `overdue` give nothing."""

    # What may be chosen

    @property
    def messages(self) -> int:
        """How many messages are chosen or handed out."""
        return self._messages

    @property
    def quiet(self) -> bool:
        """Whether nothing is in hand and no Save is on its way or due."""
        return not self._messages and self._save_ref is None and not self._dirty

    def deaths(self, message_id: str) -> int:
        """Give how many processes died with this message in hand."""
        return self._deaths.get(message_id, 0)

    def room(self, now: Now) -> bool:
        """Tell whether more may be chosen now."""
        if self._alone_until is not None and now.mono < self._alone_until:
            return False
        return self._messages < WINDOW_MESSAGES

    def choose(self, now: Now, unit: Unit) -> None:
        """Choose a unit: it is journalled with the next Save, then handed out."""
        self._waiting.append(unit)
        self.stirred = True
        self._messages += len(unit)
        if unit[0].deaths:
            self._alone_until = now.mono + ALONE_PATIENCE_S

    # Open decisions travel with the journal

    def open(self, decision: OpenDecision) -> None:
        """Keep a decision whose outcome isn't known yet across a crash."""
        self._open[decision.decision_id] = decision
        self._stir()

    def close(self, decision: OpenDecision) -> None:
        """Drop a decision whose outcome is written."""
        if self._open.pop(decision.decision_id, None) is not None:
            self._stir()

    # The journal

    def save(self, now: Now) -> Optional[Save]:
        """Give the Save that is due: nothing on its way, and something waits or changed."""
        if self._save_ref is not None or not (self._waiting or self._dirty):
            return None
        self._serial += 1
        self._save_ref, self._save_since, self._dirty = "journal-{}".format(self._serial), now.mono, False
        self._saving, self._waiting = self._waiting, []
        return Save(ref=self._save_ref, key=JOURNAL, state=self._state(), durable=False)

    def saved(self, ref: str) -> List[Handle]:
        """Take the completion of a Save; give what it lets start."""
        if ref != self._save_ref:
            return []
        self._save_ref = None
        units, self._saving = self._saving, []
        self.stirred = bool(self._waiting) or self._dirty
        return [self._hand_out(unit) for unit in units]

    def overdue(self, now: Now) -> List[Effect]:
        """Give what has to start without its journal, because a Save is overdue; that is said once a Save."""
        if self._save_ref is None or now.mono - self._save_since < SAVE_PATIENCE_S:
            return []
        effects: List[Effect] = []
        if self._said_overdue != self._save_ref:
            self._said_overdue = self._save_ref
            effects.append(Say("warning", "journal_overdue", {"seconds": now.mono - self._save_since}))
        units = self._saving + self._waiting
        self._saving, self._waiting = [], []
        effects.extend(self._hand_out(unit) for unit in units)
        return effects

    def ended(self, ref: str) -> Optional[Unit]:
        """Take the end of a Handle; give its unit, None for an unknown ref."""
        run = self._running.pop(ref, None)
        if run is None:
            return None
        self._messages -= len(run.unit)
        if run.alone:
            self._alone_until = None
        return run.unit

    def absolve(self, item: Item) -> None:
        """Forget the earlier deaths of a message that came to its end."""
        if item.deaths and self._deaths.pop(item.message_id, None) is not None:
            self._stir()

    # Giving up

    def forget(self) -> List[Item]:
        """Drop what isn't handed out yet, and its trace in the journal; give what it was."""
        units = self._waiting + self._saving
        self._waiting, self._saving = [], []
        items = [item for unit in units for item in unit]
        self._messages -= len(items)
        if items:
            self._stir()
        if any(item.deaths for item in items):
            self._alone_until = None
        return items

    def abandon(self) -> List[Item]:
        """Drop what is handed out, and its trace in the journal: its end isn't heard any more; give what it was."""
        items = self.handed_out()
        self._running.clear()
        self._messages -= len(items)
        if items:
            self._stir()
        return items

    def handed_out(self) -> List[Item]:
        """Give the items whose handler runs."""
        return [item for run in self._running.values() for item in run.unit]

    def clean(self) -> None:
        """Have the journal written once more, at the end, without what is no longer in hand."""
        if self._serial > 0:
            self._stir()

    def _stir(self) -> None:
        self._dirty = self.stirred = True

    def _hand_out(self, unit: Unit) -> Handle:
        self._serial += 1
        ref = "handle-{}".format(self._serial)
        self._running[ref] = _Run(unit, bool(unit[0].deaths))
        return Handle(ref=ref, deliveries=tuple([item.delivery for item in unit]))

    def _state(self) -> Dict[str, Any]:
        sights: Dict[str, int] = dict(self._deaths)
        for unit in self._saving:
            _count(sights, unit)
        for run in self._running.values():
            _count(sights, run.unit)
        opened = [{"id": d.decision_id, "tags": d.tags, "time_ns": d.time_ns} for d in self._open.values()]
        return {"sights": sights, "open": opened}


def interrupted(saved: Any) -> Tuple[OpenDecision, ...]:
    """Give the decisions of a saved journal that were open when the process ended; odd ones are left out."""
    found = []
    entries = saved.get("open") if isinstance(saved, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        try:
            found.append(OpenDecision(str(entry["id"]), dict(entry["tags"]), int(entry["time_ns"])))
        except (KeyError, TypeError, ValueError):
            continue
    return tuple(found)


def _count(sights: Dict[str, int], unit: Unit) -> None:
    for item in unit:
        sights[item.message_id] = item.deaths + 1
