"""The content source that the settings name: the generator, a file that is followed, or standard input.

Used by the runtime.
"""

import os
import random
import sys
from pathlib import Path
from typing import Any, Callable, Mapping

from reasond.content.feed import REJECTED_FILE, Feed
from reasond.content.generator import Generator
from reasond.content.ledger import Ledger
from reasond.content.source import ContentSource
from reasond.content.tail import Stream, Tail
from reasond.errors import InputError
from reasond.settings import PublisherSettings

STDIN = "-"
_NOTABLE = {
    "feed_truncated": "notice",
    "feed_rotated": "notice",
    "feed_missing": "warning",
    "feed_ended": "notice",
}


def make_source(
    settings: PublisherSettings,
    rng: random.Random,
    feed_state: Any,
    state_dir: Path,
    say: Callable[[str, str, Mapping[str, Any]], None],
) -> ContentSource:
    """Give a publisher's content source, reading already where it is a feed.

    `feed_state` is what was last saved under the key `feed`; `say` logs an event and is called from another
    thread. Raises InputError when PUBLISHER_FEED names something that is no file, or there are no places to
    make content of.
    """
    if not settings.feed:
        return Generator(settings, rng)

    def tell(event: str, fields: Mapping[str, object]) -> None:
        say(_NOTABLE.get(event, "info"), event, fields)

    rejected = state_dir / REJECTED_FILE
    if settings.feed == STDIN:
        standard_input = os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0)
        feed = Feed(settings, Stream(standard_input, tell), None, rejected=rejected, say=say)
    else:
        path = Path(settings.feed)
        if path.exists() and not path.is_file():
            raise InputError(f"PUBLISHER_FEED: {path} is no regular file; give a file, or - for standard input")
        ledger = Ledger(feed_state)
        feed = Feed(settings, Tail(path, ledger.position, tell), ledger, rejected=rejected, say=say)
    feed.start()
    return feed
