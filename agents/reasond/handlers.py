"""What a consumer does with its messages: the plug-in interface, and the default that simulates work.

A plug-in is a class in the entry-point group `reasond.handlers`, chosen by its name with CONSUMER_HANDLER:

    # pyproject.toml of the plug-in
    [project.entry-points."reasond.handlers"]
    warehouse = "shop.reasond_plugin:Warehouse"

    # shop/reasond_plugin.py
    class Warehouse(reasond.handlers.Handler):
        def __init__(self, setup):
            super().__init__(setup)
            self.stock = open_stock(setup.state_dir / "stock.db")

        def handle(self, messages):
            for message in messages:
                self.stock.put(message.payload.entity_id, message.payload.coordinates)

What a handler may rely on: `handle` gets one message, or a batch of one queue; when it returns they are
acknowledged together; when it raises they are tried again (a batch one by one), at last the message is set
aside in `books.rejected` with the error's text. Delivery is at least once, so one message can come again:
after a crash, or to another consumer. Used by the runtime and the simulation.
"""

import threading
import time
from importlib import metadata
from pathlib import Path
from typing import Dict, Iterable, List, OrderedDict, Sequence, Tuple, Type

from msgspec import Struct

from reasond import plugins
from reasond.errors import SettingsError
from reasond.messages import Message
from reasond.settings import ConsumerSettings

POSITIONS_KEPT = 10000
"""Books whose latest position the simulated handler remembers: some 2 MB."""


class HandlerSetup(Struct, frozen=True):
    """What a handler is made with: the consumer's settings, and a directory that is its consumer's own."""

    settings: ConsumerSettings
    state_dir: Path


class Handler:
    """Does the work on messages; subclass it.

    `fast`: set it to True only when `handle` takes well under a millisecond and never waits: it is then
    called on the loop's own thread. Otherwise it runs on worker threads, CONSUMER_HANDLER_THREADS at a time.
    """

    fast: bool = False

    def __init__(self, setup: HandlerSetup) -> None:
        """Get ready; what is raised here stops the consumer's start."""
        self.setup = setup

    def handle(self, messages: Sequence[Message]) -> None:
        """Work on the messages, one or more; return when all of them are done.

        Raises anything when one of them is not: its type and text are logged and kept with the message.
        """
        raise NotImplementedError

    def reload(self, settings: ConsumerSettings) -> None:
        """Take settings that were read anew; does nothing unless overridden."""


class SimulatedWork(Handler):
    """Takes its time over each message (CONSUMER_HANDLER_DURATION_MS) and notes where each book was last."""

    def __init__(self, setup: HandlerSetup) -> None:
        """Start with no book seen."""
        super().__init__(setup)
        self._duration_ms = setup.settings.handler_duration_ms
        self._guard = threading.Lock()
        self._positions: OrderedDict[str, Tuple[float, float, float]] = OrderedDict()

    def duration_ms(self, messages: Sequence[Message]) -> float:
        """Give how long these messages take; virtual time passes by as much instead of sleeping."""
        return self._duration_ms * len(messages)

    def handle(self, messages: Sequence[Message]) -> None:
        """Sleep as long as the work takes, and note the positions."""
        time.sleep(self.duration_ms(messages) / 1000)
        self.note(messages)

    def note(self, messages: Iterable[Message]) -> None:
        """Note where and when the books were; an older message doesn't replace a newer one's position."""
        with self._guard:
            for message in messages:
                book, at = message.payload.entity_id, message.payload.coordinates
                stamp_s = message.header.timestamp.timestamp()
                known = self._positions.get(book)
                if known is None or stamp_s >= known[2]:
                    self._positions[book] = (at.lat, at.lng, stamp_s)
                self._positions.move_to_end(book)
                if len(self._positions) > POSITIONS_KEPT:
                    self._positions.popitem(last=False)

    def positions(self) -> Dict[str, Tuple[float, float, float]]:
        """Give each book's latest position: latitude, longitude, UTC seconds."""
        with self._guard:
            return dict(self._positions)

    def reload(self, settings: ConsumerSettings) -> None:
        """Take another duration from the next message on."""
        self._duration_ms = settings.handler_duration_ms


BUILT_IN: Dict[str, Type[Handler]] = {"simulate": SimulatedWork}
"""Found also where the package runs from its source, without installed entry points."""


def load(name: str) -> Type[Handler]:
    """Give the handler class of that name.

    Raises SettingsError when there is none (naming those that are there), when it can't be imported, or when
    what stands under the name is no Handler.
    """
    found = {point.name: point for point in _entry_points()}
    if name not in found:
        if name in BUILT_IN:
            return BUILT_IN[name]
        names = ", ".join(sorted({*found, *BUILT_IN}))
        raise SettingsError(["CONSUMER_HANDLER: there is no handler {!r}; available: {}".format(name, names)])
    kind = plugins.load(found[name], "CONSUMER_HANDLER")
    if not (isinstance(kind, type) and issubclass(kind, Handler)):
        raise SettingsError(["CONSUMER_HANDLER: {!r} is no reasond.handlers.Handler".format(name)])
    return kind


def _entry_points() -> List[metadata.EntryPoint]:
    return plugins.entered(plugins.HANDLERS)
