"""What is measured: one signal is one figure or series with its unit, its meaning and its Flux query."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Signal:
    """A figure, a series or a table.

    `name` is how the legend calls it (`${__field.labels.TAG}` stands for a tag's value), `unit` is one of
    Grafana's unit ids, `counts` says in words what it is, `flux` gives it.
    """

    name: str
    unit: str
    counts: str
    flux: str
