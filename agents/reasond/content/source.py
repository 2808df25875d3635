"""Where content comes from: the protocol of a source, its items, and how an item becomes a message.

Used by the generator, the feed, and whoever publishes (publishers, `reasond load`). The names are defined in
`reasond.core.items`, because the publisher's core takes a source as an argument and imports nothing from
here.
"""

from reasond.core.items import ContentSource, Item, compose, hashed_id, random_id

__all__ = ["ContentSource", "Item", "compose", "hashed_id", "random_id"]
