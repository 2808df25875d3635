"""The surface that the RabbitMQ adapter and the embedded broker's link share; one contract suite holds both."""

from typing import Protocol, Sequence

from reasond.core.effects import Delivery, Link, Publish, Settle


class LinkEvents(Protocol):
    """Who is told what happens on the links; called on the loop's own thread."""

    def on_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Messages came: all of one turn of the loop at once."""
        ...

    def on_confirmed(self, ref: str, outcome: str) -> None:
        """A publish was confirmed (`ok`), came back (`returned`) or was refused (`nacked`)."""
        ...

    def on_link(self, which: Link, up: bool, blocked: bool) -> None:
        """A link went up or down, or the broker blocked or unblocked it."""
        ...


class BrokerLinks(Protocol):
    """Two links to a broker on one loop: one publishes with confirms, the other consumes and acknowledges."""

    def open(self) -> None:
        """Begin to connect; comes back by itself with backoff until closed."""
        ...

    def publish(self, effect: Publish) -> None:
        """Publish persistent and mandatory; dropped when the publish link is down (the core sends it again)."""
        ...

    def settle(self, effect: Settle) -> None:
        """Acknowledge; receipts of an older epoch are dropped. Coalesced into `multiple` once per loop turn."""
        ...

    def declare(self) -> None:
        """Declare the topology's exchanges, queues and bindings again."""
        ...

    def relink(self, which: Link) -> None:
        """Close this link and open it anew."""
        ...

    def cancel(self) -> None:
        """Take no further deliveries; what was delivered may still be settled."""
        ...

    def close(self) -> None:
        """Flush acknowledgements and close both links for good."""
        ...
