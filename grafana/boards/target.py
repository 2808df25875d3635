"""The query of a panel, as Grafana's InfluxDB data source takes it in Flux; the SDK has no builder for it."""

from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.cog import builder, variants

from .look import DATA_SOURCE


@dataclass
class FluxQuery(variants.Dataquery):
    """A Flux text under a letter; `${...}` in it are the board's variables."""

    ref_id: str
    query: str

    def to_json(self) -> dict[str, Any]:
        """Give what stands in a dashboard's JSON."""
        return {"refId": self.ref_id, "datasource": DATA_SOURCE, "query": self.query}


class Flux(builder.Builder[FluxQuery]):
    """Builds a `FluxQuery`."""

    def __init__(self, ref_id: str, query: str) -> None:
        self._internal = FluxQuery(ref_id, query)

    def build(self) -> FluxQuery:
        """Give the query."""
        return self._internal
