"""Plug-ins: found by real metadata of packages in a folder, as pip leaves it."""

import pytest

from reasond import plugins
from reasond.errors import SettingsError
from tests.support.entered import enter

pytestmark = pytest.mark.unit


def test_entered_names_are_those_of_the_group_alone(tmp_path, monkeypatch):
    enter(tmp_path, plugins.BRAINS, "tortoise", "hills_a:Tortoise")
    enter(tmp_path, plugins.HANDLERS, "depot", "hills_b:Depot")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert "tortoise" in plugins.names(plugins.BRAINS) and "depot" not in plugins.names(plugins.BRAINS)
    assert "depot" in plugins.names(plugins.HANDLERS)


def test_load_gives_what_stands_under_the_entry_point(tmp_path, monkeypatch):
    enter(tmp_path, plugins.BRAINS, "tortoise", "hills_c:Tortoise", "class Tortoise:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (point,) = [point for point in plugins.entered(plugins.BRAINS) if point.name == "tortoise"]

    assert plugins.load(point, "REASOND_BRAIN").__name__ == "Tortoise"


@pytest.mark.parametrize("text", ["", "raise RuntimeError('no hills')\n"], ids=["no module", "raises"])
def test_load_of_what_can_not_be_imported_names_the_variable_and_the_error(tmp_path, monkeypatch, text):
    enter(tmp_path, plugins.BRAINS, "tortoise", "hills_{}:Tortoise".format("e" if text else "d"), text)
    monkeypatch.syspath_prepend(str(tmp_path))
    (point,) = [point for point in plugins.entered(plugins.BRAINS) if point.name == "tortoise"]

    with pytest.raises(SettingsError, match="REASOND_BRAIN: 'tortoise' can't be loaded: .*hills"):
        plugins.load(point, "REASOND_BRAIN")
