"""The names that whoever publishes imports."""

import pytest

from reasond.content import source
from reasond.core import items

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", source.__all__)
def test_source_gives_the_cores_own_definitions(name):
    assert getattr(source, name) is getattr(items, name)
