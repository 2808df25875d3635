"""Deterministic checks on a message that fits the schema; what fails is flagged whatever a brain says.

Used by the consumer's core. Each check has a `cause` token (tag of `flags`, header of the flagged message).
"""

import math
from datetime import datetime, timezone
from typing import Callable, Dict, Optional, OrderedDict, Tuple

from msgspec import Struct

from reasond.core.intake import Item
from reasond.messages import Message
from reasond.settings import ConsumerSettings
from reasond.topology import HEADER_CAUSE, HEADER_REQUEUED, PRIORITY, routing_key

FUTURE_TOLERANCE_S = 10.0
"""Hosts kept by a time service differ by far less; a guest that was suspended catches up within this."""
STALE_TOLERANCE_S = 60.0
"""A publisher may hold a message before it publishes it: 30 s until an overdue confirm makes it connect anew
and publish the same ids again, and as much again for coming back."""
SPEED_GRAIN_S = 1.0
"""Timestamps are often whole seconds: two of them are known to be apart by this much more or less."""
SPEED_SLACK_KM = 1.0
"""Coordinates are rounded and places have an extent; below this nothing has jumped."""
SIGHTINGS_KEPT = 10000
"""Books whose last sighting is remembered: some 10 MB at most."""
SIGHTING_TEXT_CHARS = 300
"""Of a sighting's text: enough for a brain to see an impossible order of events."""
EARTH_RADIUS_KM = 6371.0
DEGREE_MAX_KM = 111.2
"""No degree is longer on that sphere: 2 pi times its radius over 360 is 111.19."""
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

DUPLICATE_ID = "duplicate_id"

CAUSES: Dict[str, str] = {
    "timestamp_future": "The timestamp is ahead of the clock by over {:g} s.".format(FUTURE_TOLERANCE_S),
    "timestamp_stale": "The message is older than twice its TTL and {:g} s: a queue would have expired it "
    "after one TTL, so it was past its TTL when it was published.".format(STALE_TOLERANCE_S),
    "priority_mismatch": "High priority outside the queue `priority`, or another priority inside it.",
    "genre_mismatch": "The genre is not that of the queue.",
    "coordinates_range": "The coordinates lie outside the range that the settings allow.",
    "jump": "The book moved faster than the settings allow, against its last sighting.",
    DUPLICATE_ID: "The message id was seen with other content.",
}
"""What each cause means; the docs are made from it."""


class Doubt(Struct, frozen=True):
    """Why a message is implausible: the check's cause token, and what it found."""

    cause: str
    reason: str


class Sighting(Struct, frozen=True, gc=False):
    """Where and when (UTC seconds) a book was seen, and what was said of it."""

    lat: float
    lng: float
    stamp_s: float
    action: str
    context: str


class Subject(Struct, frozen=True, gc=False):
    """What a check looks at."""

    item: Item
    message: Message
    settings: ConsumerSettings
    last: Optional[Sighting]


Check = Callable[[Subject], Optional[str]]


def distance_km(lat_a: float, lng_a: float, lat_b: float, lng_b: float) -> float:
    """Give the great-circle distance of two places in degrees (haversine on a sphere; under 0.6 % off)."""
    phi_a, phi_b = math.radians(lat_a), math.radians(lat_b)
    across = math.sin(math.radians(lng_b - lng_a) / 2)
    along = math.sin((phi_b - phi_a) / 2)
    half = along * along + math.cos(phi_a) * math.cos(phi_b) * across * across
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, half)))


def future(subject: Subject) -> Optional[str]:
    """Check `timestamp_future`, as of the delivery."""
    ahead_s = -subject.item.age_s(subject.item.arrived)
    if ahead_s <= FUTURE_TOLERANCE_S:
        return None
    return "timestamp is {:.0f} s in the future".format(ahead_s)


def stale(subject: Subject) -> Optional[str]:
    """Check `timestamp_stale`, as of the delivery; one that is older than its TTL but not twice is only late.

    The broker's expiration counts from publishing, so a delivered message waited at most one TTL. One that
    was dead-lettered and put back (`x-death`) waited elsewhere and is left out.
    """
    age_s, ttl_s = subject.item.age_s(subject.item.arrived), subject.item.ttl_s
    if age_s <= 2 * ttl_s + STALE_TOLERANCE_S or "x-death" in subject.item.delivery.headers:
        return None
    return "timestamp is {:.0f} s old at a TTL of {} s".format(age_s, ttl_s)


def priority(subject: Subject) -> Optional[str]:
    """Check `priority_mismatch`."""
    high, served = subject.message.metadata.priority == "high", subject.item.delivery.queue == PRIORITY
    if high == served:
        return None
    return "priority {} in queue {}".format(subject.message.metadata.priority, subject.item.delivery.queue)


def genre(subject: Subject) -> Optional[str]:
    """Check `genre_mismatch`."""
    if routing_key(subject.message) == subject.item.delivery.queue:
        return None
    return "genre {} in queue {}".format(subject.message.metadata.genre_type, subject.item.delivery.queue)


def in_range(subject: Subject) -> Optional[str]:
    """Check `coordinates_range`."""
    at, allowed = subject.message.payload.coordinates, subject.settings
    if allowed.min_latitude <= at.lat <= allowed.max_latitude:
        if allowed.min_longitude <= at.lng <= allowed.max_longitude:
            return None
    return "coordinates {:g}, {:g} are outside the range".format(at.lat, at.lng)


def jump(subject: Subject) -> Optional[str]:
    """Check `jump` against the last sighting, in whichever order the two were written."""
    last, at = subject.last, subject.message.payload.coordinates
    if last is None:
        return None
    apart_s = abs(subject.item.stamp_s - last.stamp_s)
    reach_km = subject.settings.max_speed_kmh * (apart_s + SPEED_GRAIN_S) / 3600 + SPEED_SLACK_KM
    # No way is longer than the one along the meridian and then the equator: that settles most without trigonometry.
    if (abs(at.lat - last.lat) + abs(at.lng - last.lng)) * DEGREE_MAX_KM <= reach_km:
        return None
    moved_km = distance_km(last.lat, last.lng, at.lat, at.lng)
    if moved_km <= reach_km:
        return None
    return "moved {:.0f} km in {:.0f} s".format(moved_km, apart_s)


CHECKS: Tuple[Tuple[str, Check], ...] = (
    ("timestamp_future", future),
    ("timestamp_stale", stale),
    ("priority_mismatch", priority),
    ("genre_mismatch", genre),
    ("coordinates_range", in_range),
    ("jump", jump),
)
"""In the order in which they are made; the first that fails gives the cause; `duplicate_id` is the core's."""


class Plausibility:
    """The checks with what they remember: each book's last plausible sighting, of the books seen last."""

    def __init__(self) -> None:
        """Start with no book seen."""
        self._last: OrderedDict[str, Sighting] = OrderedDict()
        self._doubted: OrderedDict[str, Sighting] = OrderedDict()

    def last_seen(self, entity_id: str) -> Optional[Sighting]:
        """Give the book's last plausible sighting."""
        return self._last.get(entity_id)

    def doubt(self, item: Item, message: Message, settings: ConsumerSettings) -> Optional[Doubt]:
        """Check a message; give the first doubt, or None and remember the sighting.

        A message that a person put back from a set-aside queue is not doubted again. A jump that the next
        message of that book confirms was none: two sightings that agree outweigh one.
        """
        entity_id = message.payload.entity_id
        if HEADER_REQUEUED in item.delivery.headers or HEADER_CAUSE in item.delivery.headers:
            return None
        subject = Subject(item, message, settings, self._last.get(entity_id))
        for cause, check in CHECKS:
            reason = check(subject)
            if reason is not None:
                doubt = Doubt(cause, reason)
                return self._jumped(subject, doubt) if check is jump else doubt
        self._doubted.pop(entity_id, None)
        self._remember(self._last, entity_id, _sighting(item, message))
        return None

    def _jumped(self, subject: Subject, doubt: Doubt) -> Optional[Doubt]:
        entity_id, sighting = subject.message.payload.entity_id, _sighting(subject.item, subject.message)
        before = self._doubted.pop(entity_id, None)
        against = Subject(subject.item, subject.message, subject.settings, before)
        if before is None or jump(against) is not None:
            self._remember(self._doubted, entity_id, sighting)
            return doubt
        self._last.pop(entity_id, None)
        self._remember(self._last, entity_id, sighting)
        return None

    def _remember(self, kept: "OrderedDict[str, Sighting]", entity_id: str, sighting: Sighting) -> None:
        known = kept.get(entity_id)
        # A message of low priority may come after a later one: the position is the latest by timestamp.
        if known is None or sighting.stamp_s >= known.stamp_s:
            kept[entity_id] = sighting
        kept.move_to_end(entity_id)
        if len(kept) > SIGHTINGS_KEPT:
            kept.popitem(last=False)


def _sighting(item: Item, message: Message) -> Sighting:
    payload = message.payload
    at = payload.coordinates
    return Sighting(at.lat, at.lng, item.stamp_s, payload.action, payload.context[:SIGHTING_TEXT_CHARS])
