"""Grafana's colours in its dark theme: the named ones, the palette of series, and shades."""

import colorsys
from typing import Any, List, Mapping, Optional, Sequence, Tuple

PAGE, PANEL, BORDER, TEXT, MUTED = "#111217", "#181b1f", "#24272c", "#ccccdc", "#8e8f9c"
GRID = "rgba(204, 204, 220, 0.1)"
# The hues of the theme, light to dark; the one in the middle bears the name alone.
HUES = {
    "red": ("#ffa6b0", "#ff7383", "#f2495c", "#e02f44", "#c4162a"),
    "orange": ("#ffcb7d", "#ffb357", "#ff9830", "#ff780a", "#fa6400"),
    "yellow": ("#fff899", "#ffee52", "#fade2a", "#f2cc0c", "#e0b400"),
    "green": ("#c8f2c2", "#96d98d", "#73bf69", "#56a64b", "#37872d"),
    "blue": ("#c0d8ff", "#8ab8ff", "#5794f2", "#3274d9", "#1f60c4"),
    "purple": ("#deb6f2", "#ca95e5", "#b877d9", "#a352cc", "#8f3bb8"),
}
PREFIXES = ("super-light-", "light-", "", "semi-dark-", "dark-")
NAMED = {prefix + hue: shade for hue, shades in HUES.items() for prefix, shade in zip(PREFIXES, shades)}
# The classic palette begins with these; no panel here has more series without a colour of their own.
ORDER = ("green", "yellow", "blue", "orange", "red", "purple")
PALETTE = tuple(f"{prefix}{hue}" for prefix in ("", "dark-", "super-light-") for hue in ORDER)
SHADES, MOST_TURN, MOST_CHANGE = 6, 10, 35
# As bright as this a background wants dark letters, of 255.
BRIGHT = 180


def named(colour: str) -> str:
    """Give the #rrggbb of a colour by Grafana's name, or the colour itself."""
    return NAMED.get(colour, colour)


def of_series(colour: Mapping[str, Any], index: int) -> str:
    """Give the colour of the series at that place of its panel, by the field's `color`; thresholds count elsewhere."""
    mode = colour.get("mode", "palette-classic")
    if mode == "fixed":
        return named(colour["fixedColor"])
    if mode == "shades":
        shades = _shades(named(colour["fixedColor"]))
        return shades[index % len(shades)]
    if mode != "palette-classic":
        raise ValueError(f"colour mode {mode} of a series is not known to the pictures")
    return named(PALETTE[index % len(PALETTE)])


def of_threshold(steps: Sequence[Mapping[str, Any]], value: Optional[float]) -> str:
    """Give the colour of the last step that the value reaches; the base's for none."""
    reached = [step for step in steps if step["value"] is None or (value is not None and value >= step["value"])]
    return named(reached[-1]["color"]) if reached else named("green")


def letters_on(background: str) -> str:
    """Give the colour that letters on this one can be read in."""
    red, green, blue = _parts(background)
    return "#202226" if 255 * (0.299 * red + 0.587 * green + 0.114 * blue) > BRIGHT else "#f7f8fa"


def darker(colour: str, percent: float, turn: float = 0) -> str:
    """Give the colour with so much less lightness, its hue turned by so many degrees."""
    hue, light, saturation = colorsys.rgb_to_hls(*_parts(colour))
    return _hex(colorsys.hls_to_rgb((hue + turn / 360) % 1, max(0.0, light - percent / 100), saturation))


def clear(colour: str, opacity: float) -> str:
    """Give the colour with that opacity, for CSS."""
    red, green, blue = (round(part * 255) for part in _parts(colour))
    return f"rgba({red}, {green}, {blue}, {opacity})"


def _shades(colour: str) -> List[str]:
    """Give the colour, then brighter and darker ones in turn, each farther away."""
    made = [colour]
    for place in range(1, SHADES):
        part = place / SHADES
        turned = _parts(darker(colour, 0, part * MOST_TURN))
        made.append(_hex(tuple(min(1.0, value + part * MOST_CHANGE / 100) for value in turned)))
        made.append(darker(colour, part * MOST_CHANGE, -part * MOST_TURN))
    return made


def _parts(colour: str) -> Tuple[float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def _hex(parts: Sequence[float]) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in parts)
