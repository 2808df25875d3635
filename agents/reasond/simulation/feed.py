"""A publisher's feed in virtual time: the same lines and ledger, read when asked and on no thread."""

from pathlib import Path
from typing import Any, Mapping, Optional

import msgspec

from reasond.content.feed import REJECTED_FILE, Feed
from reasond.content.generator import Generator
from reasond.content.ledger import Ledger
from reasond.content.source import Item
from reasond.content.tail import Tail
from reasond.core.effects import Now
from reasond.messages import GENRES, Genre
from reasond.settings import PublisherSettings


class ReplayedFeed:
    """A `ContentSource`: the file that PUBLISHER_FEED names, from where the saved state left off."""

    def __init__(self, settings: PublisherSettings, state: Mapping[str, Any]) -> None:
        """Read nothing yet; lines that can't be published are set aside beside the file."""
        path = Path(settings.feed)
        ledger = Ledger(state.get("feed"))
        lines = Tail(path, ledger.position, lambda event, fields: None)
        rejected = path.with_name(REJECTED_FILE)
        self._feed = Feed(settings, lines, ledger, rejected=rejected, say=lambda level, event, fields: None)

    def take(self, genre: Genre, now: Now) -> Optional[Item]:
        """Read on as far as a feed reads ahead, and give the next line of the genre; None at its end."""
        while self._feed.step():
            continue
        return self._feed.take(genre, now)

    def confirmed(self, position: int) -> Optional[Any]:
        """Take that a line was confirmed; give the position to keep."""
        return self._feed.confirmed(position)

    def configure(self, settings: PublisherSettings) -> None:
        """Take the settings anew: nothing of a feed changes while it is read."""
        self._feed.configure(settings)


def write_feed(path: Path, lines: int, generator: Generator, now: Now) -> None:
    """Write a feed of so many generated messages, genres in turn, one JSON line each."""
    with path.open("wb") as file:
        for number in range(lines):
            item = generator.take(GENRES[number % len(GENRES)], now)
            at = item.payload.coordinates
            line = {
                "entity_id": item.payload.entity_id,
                "action": item.payload.action,
                "lat": at.lat,
                "lng": at.lng,
                "context": item.payload.context,
                "genre_type": item.genre,
                "priority": item.priority,
            }
            file.write(msgspec.json.encode(line) + b"\n")
