"""What a publisher has before it is a message: the item a source gives, and how it gets its header.

`reasond.content` makes the sources and imports these names from `reasond.content.source`; they stand here
because the publisher's core takes a source as an argument and the core imports nothing from the edges.
"""

import hashlib
from datetime import datetime, timedelta, timezone
from typing import Any, Optional, Protocol

from msgspec import Struct

from reasond.core import backoff
from reasond.core.effects import Now
from reasond.messages import SCHEMA_VERSION, Genre, Header, Message, Metadata, Payload, Priority, Source

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Bits(Protocol):
    """Where chance comes from: a `random.Random`."""

    def getrandbits(self, k: int, /) -> int:
        """Give `k` random bits."""
        ...


class Chance(backoff.Chance, Bits, Protocol):
    """Where a publisher's core has all its chance from."""


class Item(Struct, frozen=True):
    """The content of one message to be.

    `position` says where a feed had it from, and is given back when the broker has confirmed it; None where
    nothing is to be remembered. `message_id` is kept when the content brings its own. The last three are for
    injected anomalies: their kind, a routing key other than the message's own, and by how many seconds the
    timestamp lies in the past (negative: in the future).
    """

    genre: Genre
    payload: Payload
    ttl_seconds: int
    priority: Priority = "normal"
    message_id: Optional[str] = None
    position: Optional[int] = None
    anomaly: Optional[str] = None
    routing_key: Optional[str] = None
    age_s: float = 0.0


class ContentSource(Protocol):
    """Where a publisher's content comes from. Nothing here may block."""

    def take(self, genre: Genre, now: Now) -> Optional[Item]:
        """Give the next item of a genre, or None when there is none at present."""
        ...

    def confirmed(self, position: int) -> Optional[Any]:
        """Take the broker's confirmation of an item; give the state to keep under the key `feed`, if any.

        The state never passes an item that is not confirmed yet.
        """
        ...

    def configure(self, settings: Any) -> None:
        """Take the publisher's settings anew (those that may change while it runs)."""
        ...


def random_id(source: str, now: Now, rng: Bits) -> str:
    """Give a UUID version 4 for a message.

    Source and time go into it beside chance: publishers that were given one seed, or one that is started
    again with its seed, must not give two messages the same id.
    """
    return hashed_id(f"{source} {now.wall_ns} {rng.getrandbits(128):032x}")


def hashed_id(text: str) -> str:
    """Give the UUID (in version 4's form) that a text always leads to."""
    h = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    # RFC 9562, 5.4: the digit 4 for the version, and 8, 9, a or b for the variant.
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{'89ab'[int(h[16], 16) % 4]}{h[17:20]}-{h[20:]}"


def compose(item: Item, *, source: Source, reasoning: str, now: Now, rng: Bits) -> Message:
    """Give the message an item becomes when `source` publishes it now."""
    stamp = _EPOCH + timedelta(microseconds=now.wall_ns // 1000)
    if item.age_s:
        stamp -= timedelta(seconds=item.age_s)
    return Message(
        header=Header(
            message_id=item.message_id or random_id(source, now, rng),
            timestamp=stamp,
            version=SCHEMA_VERSION,
            source=source,
        ),
        metadata=Metadata(
            genre_type=item.genre,
            priority=item.priority,
            ttl_seconds=item.ttl_seconds,
            publisher_reasoning=reasoning,
        ),
        payload=item.payload,
    )
