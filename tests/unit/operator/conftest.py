"""The past that the tests of this folder look at; made once, as it takes a second."""

import pytest

from reasond.doctor.examined import examine
from tests.support.past import EmbeddedRecords, past

END_NS = 1795718400 * 10**9
"""2026-11-26 18:40 UTC: what is left of a day decides whether its limit is reached."""


@pytest.fixture(scope="session")
def end_ns():
    """The time at which the past ends."""
    return END_NS


@pytest.fixture(scope="session")
def rows():
    return past(END_NS)


@pytest.fixture(scope="session")
def records(rows):
    return EmbeddedRecords(rows)


@pytest.fixture
def examined(tmp_path):
    """The settings of a host whose agents' state would be in the test's folder."""
    return examine({"REASOND_STATE_DIR": str(tmp_path / "state"), "REASOND_LOG_DIR": str(tmp_path / "log")}, ())
