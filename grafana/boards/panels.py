"""Signals made visible: how each kind of panel looks, so that alike things look alike on every board."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.models import common, dashboard

from .look import AGENT_COLOURS, AGENT_SHADES, COLOURS, DATA_SOURCE, GREEN, GREY
from .signals import Signal
from .target import Flux

Threshold = tuple[float, str]
"""From this value on, this colour."""
MINUTE_MS = 60_000
LOWEST = -1_000_000.0
"""Below any figure. Grafana gives what is missing the colour of the lowest step, as if it were minus infinity."""


@dataclass(frozen=True)
class Words:
    """What a reader of the panel should know: what to aim for, and what harm a bad value does."""

    aim: str
    harm: str


def _description(signals: Sequence[Signal], words: Words) -> str:
    counts = "; ".join(dict.fromkeys(signal.counts for signal in signals))
    return f"What: {counts}.\n\nAim: {words.aim}\n\nHarm: {words.harm}"


def _steps(base: str, thresholds: Sequence[Threshold]) -> builders.ThresholdsConfig:
    steps = [dashboard.Threshold(value=None, color=base)]
    steps += [dashboard.Threshold(value=value, color=colour) for value, colour in thresholds]
    return builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _fixed(colour: str, mode: str = "fixed") -> list[dashboard.DynamicConfigValue]:
    return [dashboard.DynamicConfigValue(id_val="color", value={"mode": mode, "fixedColor": colour})]


def _common(panel: Any, title: str, signals: Sequence[Signal], words: Words, size: tuple[int, int]) -> Any:
    width, height = size
    panel.title(title).description(_description(signals, words)).datasource(DATA_SOURCE)
    panel.span(width).height(height)
    for letter, signal in zip("ABCDEFG", signals, strict=False):
        panel.with_target(Flux(letter, signal.flux))
    return panel


def _coloured(panel: Any, signals: Sequence[Signal]) -> None:
    """Give what the legend names its colour: each action, queue and brain, and the shades of one to a kind of agent."""
    legend = " ".join(signal.name for signal in signals)
    for tag, colours in COLOURS.items():
        if f".{tag}}}" in legend:
            for name, colour in colours.items():
                panel.override_by_regexp(f"/(^|[ ,]){name.replace('.', '[.]')}$/", _fixed(colour))
    if ".agent_" in legend:
        for kind, colour in AGENT_SHADES.items():
            panel.override_by_regexp(f"/{kind}(-[0-9]+)?$/", _fixed(colour, "shades"))
        for agent_id, colour in AGENT_COLOURS.items():
            panel.override_by_regexp(f"/{agent_id}$/", _fixed(colour))


def series(
    title: str,
    signals: Sequence[Signal],
    words: Words,
    *,
    size: tuple[int, int] = (12, 8),
    bars: bool = False,
    points: int = 500,
    shortest: str = "",
    limits: Sequence[Threshold] = (),
    bounds: tuple[float | None, float | None] = (0, None),
    gaps: bool = False,
    bridged_min: int = 0,
    dots: bool = False,
    dashed: str = "",
    decimals: int | None = None,
) -> timeseries.Panel:
    """Give a time series panel of at most `points` windows, none shorter than `shortest`.

    `limits` are drawn as lines; `bounds` are the axis's, None for what the data has; `bars` are stacked.
    With `gaps` a line ends where a window has no value, with `bridged_min` where there is none for so many minutes;
    `dots` stand on every value; `dashed` is the letter of the query whose lines are so.
    """
    panel = _common(timeseries.Panel(), title, signals, words, size)
    panel.unit(signals[0].unit).max_data_points(points)
    _named(panel, signals)
    if decimals is not None:
        panel.decimals(decimals)
    if dashed:
        dashes = {"fill": "dash", "dash": [6, 6]}
        panel.override_by_query(dashed, [dashboard.DynamicConfigValue(id_val="custom.lineStyle", value=dashes)])
    if shortest:
        panel.interval(shortest)
    for set_bound, bound in zip((panel.min, panel.max), bounds, strict=False):
        if bound is not None:
            set_bound(bound)
    panel.line_width(1).show_points(common.VisibilityMode.NEVER)
    panel.thresholds(_steps(GREEN, limits))
    style = common.GraphTresholdsStyleMode.LINE if limits else common.GraphTresholdsStyleMode.OFF
    panel.thresholds_style(common_builders.GraphThresholdsStyleConfig().mode(style))
    if bars:
        panel.draw_style(common.GraphDrawStyle.BARS).fill_opacity(80).line_width(0)
        # A window is named by its start.
        panel.bar_alignment(common.BarAlignment.AFTER)
        panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    else:
        panel.draw_style(common.GraphDrawStyle.LINE).fill_opacity(0)
        panel.span_nulls(bridged_min * MINUTE_MS if bridged_min else not gaps)
        if dots:
            panel.show_points(common.VisibilityMode.ALWAYS).point_size(3)
    panel.legend(
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs([])
    )
    panel.tooltip(
        common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    )
    _coloured(panel, signals)
    return panel


def _named(panel: Any, signals: Sequence[Signal]) -> None:
    """Call each series by its signal's name; with several signals, by the letter of the query."""
    if len(signals) == 1:
        panel.display_name(signals[0].name)
        return
    for letter, signal in zip("ABCDEFG", signals, strict=False):
        panel.override_by_query(letter, [dashboard.DynamicConfigValue(id_val="displayName", value=signal.name)])


@dataclass(frozen=True)
class Part:
    """One of several figures of a tile: the query's name of it, how it is called, its unit and its colours."""

    field: str
    title: str
    unit: str
    decimals: int | None = None
    base: str = GREY
    limits: Sequence[Threshold] = ()

    def properties(self) -> list[dashboard.DynamicConfigValue]:
        """Give the overrides that make it so."""
        thresholds = _steps(self.base, self.limits).build()
        made = {"displayName": self.title, "unit": self.unit, "decimals": self.decimals, "thresholds": thresholds}
        return [dashboard.DynamicConfigValue(id_val=name, value=value) for name, value in made.items()]


def tile(
    title: str,
    signal: Signal,
    words: Words,
    *,
    base: str = GREEN,
    limits: Sequence[Threshold] = (),
    texts: Mapping[str, str] | None = None,
    size: tuple[int, int] = (4, 4),
    none: str = "",
    none_colour: str = GREY,
    parts: Sequence[Part] = (),
) -> stat.Panel:
    """Give a coloured tile of the newest figure, or of its `parts`.

    `texts` colours words instead, `none` stands for no data, in its own colour.
    """
    panel = _common(stat.Panel(), title, [signal], words, size)
    if signal.unit == "currencyUSD":
        panel.decimals(2)
    panel.unit(signal.unit).color_mode(common.BigValueColorMode.BACKGROUND).graph_mode(common.BigValueGraphMode.NONE)
    panel.thresholds(_steps(none_colour, () if texts or parts else ((LOWEST, base), *limits)))
    fields = "/.*/" if texts else ""
    panel.reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).fields(fields).values(False))
    named = _labelled(signal) or parts
    panel.text_mode(common.BigValueTextMode.VALUE_AND_NAME if named else common.BigValueTextMode.VALUE)
    if _labelled(signal):
        panel.display_name(signal.name)
    for part in parts:
        panel.override_by_name(part.field, part.properties())
    if texts:
        options = {
            text: dashboard.ValueMappingResult(color=colour, text=text, index=index)
            for index, (text, colour) in enumerate(texts.items())
        }
        panel.mappings([dashboard.ValueMap(options=options)])
    if none:
        panel.no_value(none)
    return panel


def _labelled(signal: Signal) -> bool:
    return "${" in signal.name


@dataclass(frozen=True)
class Column:
    """One column of a table: the query's name of it, how it is called, and how it looks."""

    field: str
    title: str
    width: int = 0
    unit: str = ""
    colours: Mapping[str, str] | None = None
    limits: Sequence[Threshold] = ()
    decimals: int | None = None
    align: str = ""

    def properties(self) -> list[dashboard.DynamicConfigValue]:
        """Give the overrides that make it so."""
        coloured = self.colours or self.limits
        made = {
            "displayName": self.title if self.title != self.field else None,
            "custom.width": self.width or None,
            "custom.align": self.align or None,
            "unit": self.unit or None,
            "decimals": self.decimals,
            "mappings": self._mappings() if self.colours else None,
            # A word without a colour of its own is grey: by default it would be green, as if it were good.
            "thresholds": _steps(GREEN if self.limits else GREY, self.limits).build() if coloured else None,
            "custom.cellOptions": {"type": "color-text"} if coloured else None,
        }
        kept = {name: value for name, value in made.items() if value is not None}
        return [dashboard.DynamicConfigValue(id_val=name, value=value) for name, value in kept.items()]

    def _mappings(self) -> list[dict[str, Any]]:
        colours = (self.colours or {}).items()
        options = {text: {"color": colour, "index": at} for at, (text, colour) in enumerate(colours)}
        return [{"type": "value", "options": options}]


def rows(
    title: str, signal: Signal, words: Words, columns: Sequence[Column], *, size: tuple[int, int] = (24, 10)
) -> table.Panel:
    """Give a table with the columns in this order."""
    panel = _common(table.Panel(), title, [signal], words, size)
    panel.show_header(True).cell_height(common.TableCellHeight.SM)
    panel.thresholds(_steps(GREEN, ()))
    # The SDK's table has no builder for what is a column's own.
    panel.build().field_config.defaults.custom = {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": True}
    for column in columns:
        if column.properties():
            panel.override_by_name(column.field, column.properties())
    order = {column.field: place for place, column in enumerate(columns)}
    panel.with_transformation(
        dashboard.DataTransformerConfig(
            id_val="organize", options={"indexByName": order, "excludeByName": {}, "renameByName": {}}
        )
    )
    return panel
