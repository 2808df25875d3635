"""What other packages enter for reasond to find: handlers and brains, by entry points.

Used by the settings, to know which names there are, and by whoever loads what stands under one.
"""

import sys
from importlib import metadata
from typing import Any, List, Tuple

from reasond.errors import SettingsError

HANDLERS = "reasond.handlers"
BRAINS = "reasond.brains"
"""The entry-point groups."""


def entered(group: str) -> List[metadata.EntryPoint]:
    """Give the group's entry points; before Python 3.10 they can't be selected in the call."""
    if sys.version_info >= (3, 10):
        return list(metadata.entry_points(group=group))
    else:
        return list(metadata.entry_points().get(group, ()))


def names(group: str) -> Tuple[str, ...]:
    """Give the names that are entered in the group, sorted."""
    return tuple(sorted({point.name for point in entered(group)}))


def load(point: metadata.EntryPoint, variable: str) -> Any:
    """Give what stands under an entry point.

    Raises SettingsError, named after the variable that asked for it, when it can't be imported.
    """
    try:
        return point.load()
    except Exception as err:  # a stranger's module may raise anything when it is imported
        problem = "{}: {}".format(type(err).__name__, err)
        raise SettingsError(["{}: {!r} can't be loaded: {}".format(variable, point.name, problem)]) from err
