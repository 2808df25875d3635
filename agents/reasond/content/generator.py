"""The built-in content: books that move between real places, and anomalies put among them on purpose.

Used by publishers without a feed, by `reasond load` and by the simulation. Every book's position is a
continuous path in time, slower than any plausibility check allows, so that a sound message never trips one.

Three publishers run generators that know nothing of each other: a book's id holds the publisher's identity
and the millisecond at which its generator began, so that neither another publisher nor the same one after a
restart moves "the same" book somewhere else. A book that an anomaly moved is retired for the same reason.
"""

import random
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from msgspec import Struct
from msgspec.structs import replace

from reasond.content.places import Place, Way, all_places, distance_km, nearest
from reasond.content.source import Item
from reasond.core.effects import Now
from reasond.messages import Coordinates, Genre, Payload, Priority
from reasond.settings import PublisherSettings
from reasond.topology import FICTIONAL, NON_FICTIONAL, PRIORITY

FLEET = 5
"""Books under way a genre: each is then heard of about twice a minute at the default rates of three
publishers."""
HIGH_PART, LOW_PART = 0.1, 0.2
"""Parts of the messages with high and low priority; the rest is normal."""
NEAR_PLACES = 8
NEAR_PART = 0.6
"""Part of the journeys that go to one of the NEAR_PLACES nearest places; the others go anywhere."""
SPEEDS_KMH: Tuple[Tuple[float, str, float, float], ...] = (
    (150.0, "van", 35.0, 80.0),
    (1200.0, "train", 70.0, 180.0),
    (float("inf"), "plane", 500.0, 850.0),
)
"""Journeys up to so many km, by what, and how fast; the fastest stays well under CONSUMER_MAX_SPEED_KMH's
default."""
STAY_S = (60.0, 900.0)
"""Seconds a book stays where it arrived."""
POLAR_DEGREES, POLAR_STEPS = 79.5, 64
"""Degrees of latitude, looked for at so many points of a way: great circles cross the Arctic, where the range
check (CONSUMER_MAX_LATITUDE, 80 by default) would flag the book."""
JUMP_KM = 5000.0
"""Kilometres: no plane covers it between two messages."""
JUMP_SIGHTINGS = 6
"""Messages of a book before one may jump: each of three consumers has then most likely seen it once."""

TITLES: Dict[Genre, Tuple[str, ...]] = {
    "fictional": (
        "Moby-Dick",
        "Frankenstein",
        "Middlemarch",
        "Don Quixote",
        "Dracula",
        "Jane Eyre",
        "The Time Machine",
        "War and Peace",
        "Treasure Island",
        "Candide",
        "Emma",
        "The Trial",
    ),
    "non-fictional": (
        "On the Origin of Species",
        "The Wealth of Nations",
        "Walden",
        "Meditations",
        "The Histories",
        "Elements",
        "Silent Spring",
        "The Republic",
        "Principia",
        "Opticks",
        "Travels of Ibn Battuta",
        "The Art of War",
    ),
}
MOVING: Tuple[str, ...] = (
    "{title} travels by {vehicle} from {start} to {end}, {left:.0f} km to go.",
    "{title} is on its way to {end}; the {vehicle} left {start} on schedule.",
    "Interlibrary loan of {title}: {part:.0f} % of the way from {start} to {end}.",
    "{title} passed another waypoint between {start} and {end} by {vehicle}.",
)
STAYING: Tuple[Tuple[str, str], ...] = (
    ("location_update", "{title} is in the reading room of the library in {start}."),
    ("location_update", "{title} waits in {start} for its transfer to {end}."),
    ("inspected", "{title} was inspected in {start}: binding sound, no page missing."),
    ("shelved", "{title} was put on its shelf in {start}."),
    ("catalogued", "The catalogue of {start} now lists {title}."),
)
IMPOSSIBLE_ORDER: Tuple[str, ...] = (
    "{title} was returned in {start} this morning, a day before it was borrowed for the first time.",
    "{title} was destroyed in a fire last year and was borrowed in {start} an hour ago, undamaged.",
    "{title} arrived in {start} before it left the printer's.",
    "The copy of {title} in {start} was pulped on Monday and shelved again on Tuesday.",
)
OUT_OF_CHARACTER: Tuple[str, ...] = (
    "{title} vanished from a locked case in {start} and left a farewell note in its own handwriting.",
    "{title} boarded a submarine in {start} and asks to be addressed as captain.",
    "{title} was seen on fire in {start}, laughing, and then read aloud to the firefighters.",
    "{title} filed a complaint in {start} about the noise of the other books.",
)
CONTRADICTING: Tuple[str, ...] = (
    "{title} is on display in the museum of {elsewhere} and has not left it this year.",
    "{title} was handed over at the counter in {elsewhere} a minute ago.",
    "Stocktaking in {elsewhere}: {title} stands on its shelf.",
)


class Book(Struct):
    """One book and its present journey; times are UTC seconds, it stays at the way's start until it leaves."""

    entity_id: str
    title: str
    way: Way
    leaves: float
    arrives: float
    vehicle: str
    sightings: int = 0

    def part(self, wall: float) -> float:
        """Give how much of the journey is done, 0 to 1."""
        if wall <= self.leaves:
            return 0.0
        return min(1.0, (wall - self.leaves) / max(1e-9, self.arrives - self.leaves))

    def at(self, wall: float) -> Coordinates:
        """Give where the book is."""
        lat, lng = self.way.at(self.part(wall))
        return Coordinates(lat=round(lat, 5), lng=round(lng, 5))


class Generator:
    """A `ContentSource` that always has something to say."""

    def __init__(
        self, settings: PublisherSettings, rng: random.Random, places: Optional[Sequence[Place]] = None
    ) -> None:
        """Take the settings and chance, which PUBLISHER_SEED replaces where it is set.

        Raises InputError when there is no time-zone table to take places from.
        """
        self._settings = settings
        seed = settings.seed or rng.getrandbits(64)
        # The identity goes in: publishers with one seed must not tell one story thrice.
        self._rng = random.Random(f"{seed}:{settings.agent_id}")
        self._places = tuple(places) if places is not None else all_places()
        self._fleets: Dict[Genre, List[Book]] = {"fictional": [], "non-fictional": []}
        self._began = ""
        self._made = 0

    def take(self, genre: Genre, now: Now) -> Item:
        """Give the next item, an anomaly at the rate that is set."""
        if not self._began:
            self._began = _base36(now.wall_ns // 1_000_000)
        book = self._book(genre, now.wall)
        if self._rng.random() < self._settings.anomaly_rate:
            kind = self._rng.choice(sorted(ANOMALIES))
            return ANOMALIES[kind](self, kind, genre, book, now)
        return self._sound(genre, book, now)

    def confirmed(self, position: int) -> None:
        """Nothing is to be remembered."""

    def configure(self, settings: PublisherSettings) -> None:
        """Take the rate of anomalies anew."""
        self._settings = settings

    def _sound(self, genre: Genre, book: Book, now: Now) -> Item:
        book.sightings += 1
        action, context = self._story(book, now.wall)
        return Item(
            genre=genre,
            payload=Payload(book.entity_id, action, book.at(now.wall), context),
            ttl_seconds=self._settings.ttl_s,
            priority=self._priority(),
        )

    def _priority(self) -> Priority:
        chance = self._rng.random()
        if chance < HIGH_PART:
            return "high"
        return "low" if chance < HIGH_PART + LOW_PART else "normal"

    def _book(self, genre: Genre, wall: float) -> Book:
        fleet = self._fleets[genre]
        while len(fleet) < FLEET:
            fleet.append(self._new_book(genre, wall))
        book = self._rng.choice(fleet)
        if wall >= book.arrives:
            self._send(book, book.way.end, book.arrives + self._rng.uniform(*STAY_S), wall)
        return book

    def _new_book(self, genre: Genre, wall: float) -> Book:
        self._made += 1
        start = self._rng.choice(self._places)
        book = Book(
            entity_id=f"book_{self._settings.agent_id}_{self._began}_{self._made}",
            title=self._rng.choice(TITLES[genre]),
            way=Way(start, start),
            leaves=wall,
            arrives=wall,
            vehicle="van",
        )
        # Nobody has seen it yet: it may as well have left a while ago.
        self._send(book, start, wall + self._rng.uniform(-3600.0, STAY_S[1]), wall - 3600.0)
        if wall >= book.arrives:
            self._send(book, book.way.end, wall + self._rng.uniform(*STAY_S), wall)
        return book

    def _send(self, book: Book, start: Place, leaves: float, wall: float) -> None:
        """Let a book leave `start` for somewhere else, not before `wall`: its past is not to be rewritten."""
        if self._rng.random() < NEAR_PART:
            others = nearest(start, self._places, NEAR_PLACES)
        else:
            others = tuple(place for place in self._places if place != start)
        ways = (Way(start, place) for place in self._rng.sample(others, min(len(others), 12)))
        book.way = next(filter(_stays_south, ways), None) or Way(start, others[0])
        far = book.way.length_km
        for reach, vehicle, slow, fast in SPEEDS_KMH:
            if far <= reach:
                book.vehicle = vehicle
                book.leaves = max(leaves, wall)
                book.arrives = book.leaves + 3600 * far / self._rng.uniform(slow, fast)
                return

    def _story(self, book: Book, wall: float) -> Tuple[str, str]:
        part = book.part(wall)
        if 0.0 < part < 1.0:
            action, template = "location_update", self._rng.choice(MOVING)
        else:
            action, template = self._rng.choice(STAYING)
        left = (1 - part) * book.way.length_km
        return action, _told(template, book, left=left, part=100 * part)

    def _elsewhere(self, at: Coordinates) -> Place:
        """Give a place that is far away, the farthest of a few when none is."""
        drawn = [self._rng.choice(self._places) for _ in range(20)]
        far = [place for place in drawn if distance_km(at.lat, at.lng, place.lat, place.lng) >= JUMP_KM]
        return far[0] if far else max(drawn, key=lambda p: distance_km(at.lat, at.lng, p.lat, p.lng))

    # Anomalies that a deterministic check catches; each returns an item of its kind

    def _timestamp_future(self, kind: str, genre: Genre, book: Book, now: Now) -> Item:
        return self._odd(kind, self._sound(genre, book, now), age_s=-self._rng.uniform(120.0, 3600.0))

    def _timestamp_stale(self, kind: str, genre: Genre, book: Book, now: Now) -> Item:
        age_s = 2 * self._settings.ttl_s + self._rng.uniform(180.0, 3600.0)
        return self._odd(kind, self._sound(genre, book, now), age_s=age_s)

    def _priority_mismatch(self, kind: str, genre: Genre, book: Book, now: Now) -> Item:
        item = self._sound(genre, book, now)
        return self._odd(kind, item, routing_key=genre if item.priority == "high" else PRIORITY)

    def _genre_mismatch(self, kind: str, genre: Genre, book: Book, now: Now) -> Item:
        other = NON_FICTIONAL if genre == FICTIONAL else FICTIONAL
        return self._odd(kind, replace(self._sound(genre, book, now), priority="normal"), routing_key=other)

    def _coordinates_range(self, kind: str, genre: Genre, book: Book, now: Now) -> Item:
        lat = self._rng.choice((-1, 1)) * self._rng.uniform(82.0, 89.9)
        return self._placed(kind, self._sound(genre, book, now), lat, self._rng.uniform(-180.0, 180.0))

    def _jump(self, kind: str, genre: Genre, book: Book, now: Now) -> Item:
        """Move the best known book; one that nobody knows can't be seen to jump."""
        fleet = self._fleets[genre]
        known = max(fleet, key=lambda other: other.sightings)
        if known.sightings < JUMP_SIGHTINGS:
            return self._coordinates_range("coordinates_range", genre, book, now)
        fleet.remove(known)
        item = self._sound(genre, known, now)
        place = self._elsewhere(item.payload.coordinates)
        return self._placed(kind, item, place.lat, place.lng)

    # Anomalies that only the text reveals

    def _contradicting_text(self, kind: str, genre: Genre, book: Book, now: Now) -> Item:
        place = self._elsewhere(book.at(now.wall))
        return self._retold(kind, genre, book, now, _told(self._rng.choice(CONTRADICTING), book, place))

    def _impossible_order(self, kind: str, genre: Genre, book: Book, now: Now) -> Item:
        return self._retold(kind, genre, book, now, _told(self._rng.choice(IMPOSSIBLE_ORDER), book))

    def _out_of_character(self, kind: str, genre: Genre, book: Book, now: Now) -> Item:
        return self._retold(kind, genre, book, now, _told(self._rng.choice(OUT_OF_CHARACTER), book))

    def _retold(self, kind: str, genre: Genre, book: Book, now: Now, context: str) -> Item:
        item = self._sound(genre, book, now)
        return replace(item, anomaly=kind, payload=replace(item.payload, context=context))

    def _placed(self, kind: str, item: Item, lat: float, lng: float) -> Item:
        at = Coordinates(lat=round(lat, 5), lng=round(lng, 5))
        return replace(item, anomaly=kind, payload=replace(item.payload, coordinates=at))

    def _odd(self, kind: str, item: Item, *, age_s: float = 0.0, routing_key: Optional[str] = None) -> Item:
        return replace(item, anomaly=kind, age_s=age_s, routing_key=routing_key)


Maker = Callable[[Generator, str, Genre, Book, Now], Item]

BY_CHECK: Dict[str, Maker] = {
    "timestamp_future": Generator._timestamp_future,
    "timestamp_stale": Generator._timestamp_stale,
    "priority_mismatch": Generator._priority_mismatch,
    "genre_mismatch": Generator._genre_mismatch,
    "coordinates_range": Generator._coordinates_range,
    "jump": Generator._jump,
}
"""Kinds that a deterministic check of that name catches (`reasond.core.plausibility`)."""
BY_CONTEXT: Dict[str, Maker] = {
    "contradicting_text": Generator._contradicting_text,
    "impossible_order": Generator._impossible_order,
    "out_of_character": Generator._out_of_character,
}
"""Kinds that only the text reveals: for the brain."""
ANOMALIES: Dict[str, Maker] = {**BY_CHECK, **BY_CONTEXT}


def _told(template: str, book: Book, elsewhere: Optional[Place] = None, *, left: float = 0.0, part: float = 0.0) -> str:
    return template.format(
        title=book.title,
        start=book.way.start.name,
        end=book.way.end.name,
        vehicle=book.vehicle,
        elsewhere=elsewhere.name if elsewhere is not None else "",
        left=left,
        part=part,
    )


def _stays_south(way: Way) -> bool:
    return all(abs(way.at(n / POLAR_STEPS)[0]) <= POLAR_DEGREES for n in range(POLAR_STEPS + 1))


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = digits[digit] + text
    return text or "0"
