"""Scenario files: the shipped ones are sound, and what is wrong with a user's own is said, all of it."""

import re
from pathlib import Path

import pytest

from reasond.errors import InputError
from reasond.simulation import scenario as scenarios

pytestmark = pytest.mark.unit


def read(text):
    return scenarios.read(text.encode(), "mine", where="mine.toml")


@pytest.mark.parametrize("name", scenarios.SHIPPED)
def test_shipped_scenario_is_sound_and_says_what_it_is_about(name):
    found = scenarios.find(name)

    assert found.name == name
    assert found.title and len(found.about) > 40
    assert found.identities()


def test_every_shipped_file_is_named():
    folder = Path(scenarios.__file__).with_name("scenarios")

    assert {file.stem for file in folder.glob("*.toml")} == set(scenarios.SHIPPED)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title = 'x'\nabout = 'y'\nminuts = 5", "minuts"),
        ("title = 'x'", "about"),
        ("title = 'x'\nabout = 'y'\nminutes = 0", "minutes must be more than 0"),
        ("title = 'x'\nabout = 'y'\n[agents]\npublishers = -1", "agents: each count"),
        ("title = 'x'\nabout = 'y'\n[settings]\nPUBLISHER_TTL_S = 0", "PUBLISHER_TTL_S"),
        ("title = 'x'\nabout = 'y'\n[agent_settings.publisher-9]\nPUBLISHER_TTL_S = 9", "no agent publisher-9"),
        ("title = 'x'\nabout = 'y'\n[feed]\nlines = 3\npublisher = 'publisher-4'", "no agent publisher-4"),
        ("not toml", "mine.toml"),
    ],
)
def test_what_is_wrong_with_a_scenario_is_said(text, told):
    with pytest.raises(InputError, match=re.escape(told)):
        read(text)


def test_every_problem_of_every_phase_is_named_at_once():
    with pytest.raises(InputError) as caught:
        read(
            "title = 'x'\nabout = 'y'\n"
            "[[phase]]\nwhat = 'flood'\nbegin_min = 9\nend_min = 5\nload_hz = -1\n"
            "[[phase]]\nbegin_min = 0\nend_min = 61\nconsumers_down = 4\n"
        )

    told = str(caught.value)
    assert "phase 1 (flood): needs 0 <= begin_min" in told
    assert "phase 1 (flood): load_hz must be 0 to 1000" in told
    assert "phase 2: needs 0 <= begin_min < end_min <= minutes (60)" in told
    assert "phase 2: consumers_down must be at most the consumers there are" in told


@pytest.mark.parametrize(("name", "told"), [("rush-hours", "did you mean rush-hour"), ("no.toml", "can't read")])
def test_a_scenario_that_is_not_there_is_said_to_be(name, told):
    with pytest.raises(InputError, match=told):
        scenarios.find(name)


def test_a_file_of_the_user_is_found_by_its_path(tmp_path):
    (tmp_path / "mine.toml").write_text("title = 'x'\nabout = 'y'\nminutes = 3\n")

    found = scenarios.find(str(tmp_path / "mine.toml"))

    assert (found.name, found.minutes) == ("mine", 3)


def test_settings_of_one_agent_stand_above_those_of_all():
    found = read(
        "title = 'x'\nabout = 'y'\n[settings]\nPUBLISHER_TTL_S = 40\n"
        "[agent_settings.publisher-2]\nPUBLISHER_TTL_S = 50\n"
    )

    ttls = [found.agent(f"publisher-{n}", "publisher").publisher.ttl_s for n in (1, 2)]

    assert ttls == [40, 50]
    assert found.agent("publisher-2", "publisher", {"PUBLISHER_TTL_S": "60"}).publisher.ttl_s == 60
