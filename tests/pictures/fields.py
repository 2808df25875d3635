"""What a panel's definition makes of each column of its frames: name, colour, unit, text of a value.

As Grafana does it: defaults first, then every override that matches, in their order. A rule that matches by name or
by regular expression sees the name that the rules before it gave.
"""

import copy
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from tests.pictures import colours
from tests.pictures.units import formatted
from tests.testbed.boards import Column, Frame, Variable, interpolated

LABEL = re.compile(r"\$\{__field\.labels\.(\w+)\}")


class Field(NamedTuple):
    """A column with what the panel says of it; `place` counts it among the panel's columns that are no times."""

    column: Column
    name: str
    config: Dict[str, Any]
    place: int

    @property
    def custom(self) -> Dict[str, Any]:
        """What the panel's type alone knows."""
        custom: Dict[str, Any] = self.config.get("custom", {})
        return custom

    @property
    def colour(self) -> str:
        """The colour of the whole series."""
        return colours.of_series(self.config.get("color", {}), self.place)

    def text(self, value: Any) -> Tuple[str, str]:
        """Give the text and the colour of one value."""
        steps = self.config.get("thresholds", {}).get("steps", [])
        number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
        colour = colours.of_threshold(steps, number)
        if value is None:
            return self.config.get("noValue", ""), colour
        for mapping in self.config.get("mappings", []):
            found = mapping["options"].get(formatted(value)) if mapping["type"] == "value" else None
            if found:
                return found.get("text", self._written(value)), colours.named(found.get("color", colour))
        return self._written(value), colour

    def _written(self, value: Any) -> str:
        unit = self.config.get("unit", "")
        if self.column.type == "time" and not unit.startswith("dateTime"):
            unit = "dateTimeAsSystem"
        # A string in a unit is a number to Grafana, where it can be one.
        if isinstance(value, str) and unit not in ("", "none", "string") and re.fullmatch(r"-?[\d.]+", value):
            value = float(value)
        return formatted(value, unit, self.config.get("decimals"))


def fields_of(
    frames: Sequence[Frame], panel: Mapping[str, Any], variables: Mapping[str, Variable]
) -> List[List[Field]]:
    """Give every frame's fields, as the panel shows them."""
    made: List[List[Field]] = []
    index = 0
    for frame in frames:
        made.append([])
        for column in frame.columns:
            made[-1].append(_field(frame.ref_id, column, index, panel["fieldConfig"], variables))
            index += column.type != "time"
    return made


def _field(
    ref_id: str, column: Column, index: int, source: Mapping[str, Any], variables: Mapping[str, Variable]
) -> Field:
    config: Dict[str, Any] = copy.deepcopy(dict(source.get("defaults", {})))
    for rule in source.get("overrides", []):
        if not _matches(rule["matcher"], ref_id, column, _name(config, column, variables)):
            continue
        for found in rule["properties"]:
            parent, _, last = found["id"].rpartition(".")
            (config.setdefault(parent, {}) if parent else config)[last] = found["value"]
    return Field(column, _name(config, column, variables), config, index)


def _name(config: Mapping[str, Any], column: Column, variables: Mapping[str, Variable]) -> str:
    wanted = config.get("displayName")
    if not wanted:
        return column.name
    # A label that isn't there leaves its variable standing, for everybody to see.
    labelled = LABEL.sub(lambda found: column.labels.get(found.group(1), found.group()), wanted)
    return interpolated(labelled, variables)


def _matches(matcher: Mapping[str, Any], ref_id: str, column: Column, name: str) -> bool:
    how, wanted = matcher["id"], matcher["options"]
    if how == "byName":
        return wanted in (column.name, name)
    if how == "byFrameRefID":
        return bool(wanted == ref_id)
    if how == "byRegexp":
        return bool(re.search(wanted.strip("/"), name))
    raise ValueError(f"a rule that matches {how} is not known to the pictures")
