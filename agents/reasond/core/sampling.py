"""Which messages are put to the brain, and what of them it is shown. Used by the consumer's core."""

import re
from typing import Any, Dict, List, Optional, Pattern, Sequence

import msgspec

from reasond.core.effects import Now
from reasond.core.plausibility import Sighting
from reasond.messages import Message

PROMPT_TEXT_CHARS = 1000
"""Of each text that is shown: a brain needs the gist, and every character is paid for."""
REDACTED = "[redacted]"


class Sampler:
    """Counts messages and tells which is to be asked about.

    Every `every`-th one is due; it is skipped, and counted, while a question is open or the last one was
    asked less than `min_gap_s` ago.
    """

    def __init__(self) -> None:
        """Start with nothing counted and no question asked."""
        self.skipped = 0
        self._counted = 0
        self._asked: Optional[float] = None

    def due(self, now: Now, *, every: int, min_gap_s: float, busy: bool) -> bool:
        """Count a message; tell whether it is the one to ask about now."""
        self._counted += 1
        if self._counted < every:
            return False
        self._counted = 0
        if busy or (self._asked is not None and now.mono - self._asked < min_gap_s):
            self.skipped += 1
            return False
        return True

    def asked(self, now: Now) -> None:
        """Note that a question was asked."""
        self._asked = now.mono


class Excerpts:
    """Makes what may leave the host out of a message: allowed fields only, redacted, cut to length."""

    def __init__(self, fields: Sequence[str], redact: Sequence[str]) -> None:
        """Take the allowed fields as dotted paths and the patterns to cut out; raises re.error."""
        self._paths = [field.split(".") for field in fields]
        self._patterns: List[Pattern[str]] = [re.compile(pattern) for pattern in redact]

    def of(self, message: Message) -> Dict[str, Any]:
        """Give the excerpt of a message; what the schema doesn't know is never in it."""
        return self._allowed(msgspec.to_builtins(message))

    def of_sighting(self, sighting: Optional[Sighting], stamp_s: float) -> Optional[Dict[str, Any]]:
        """Give the same of a book's last sighting, with its age against `stamp_s`; None if nothing's left."""
        if sighting is None:
            return None
        payload = {
            "action": sighting.action,
            "coordinates": {"lat": sighting.lat, "lng": sighting.lng},
            "context": sighting.context,
        }
        allowed = self._allowed({"payload": payload}).get("payload")
        if not allowed:
            return None
        return dict(allowed, seconds_before=stamp_s - sighting.stamp_s)

    def _allowed(self, content: Dict[str, Any]) -> Dict[str, Any]:
        shown: Dict[str, Any] = {}
        for path in self._paths:
            self._copy(content, shown, path)
        return shown

    def _copy(self, source: Any, target: Dict[str, Any], path: List[str]) -> None:
        if not isinstance(source, dict) or path[0] not in source:
            return
        value = source[path[0]]
        if len(path) == 1:
            target[path[0]] = self._clean(value)
            return
        # Another path may have allowed a part of the same before.
        below = target.get(path[0], {})
        self._copy(value, below, path[1:])
        if below:
            target[path[0]] = below

    def _clean(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._clean(item) for key, item in value.items()}
        if isinstance(value, str):
            # Before cutting: half of a match would no longer match.
            return self._redacted(value)[:PROMPT_TEXT_CHARS]
        if isinstance(value, (int, float)) and self._redacted(repr(value)) != repr(value):
            return REDACTED
        return value

    def _redacted(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(lambda match: REDACTED if match.group() else "", text)
        return text
