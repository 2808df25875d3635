"""What is examined: settings read as far as they can be, from files and environment, and this host's agents."""

import pytest

from reasond.doctor.examined import examine, host_settings
from reasond.errors import SettingsError


def test_environment_goes_before_files_and_later_files_before_earlier(tmp_path):
    (tmp_path / "a.env").write_text("RABBITMQ_HOST=a\nRABBITMQ_PORT=1111\nRABBITMQ_USER=file\n")
    (tmp_path / "b.env").write_text("RABBITMQ_PORT=2222\n")

    examined = examine({"RABBITMQ_USER": "me"}, [tmp_path / "a.env", tmp_path / "b.env"])

    rabbit = examined.settings.rabbit
    assert (rabbit.hosts, rabbit.port, rabbit.user) == (("a",), 2222, "me")
    assert examined.sources == (str(tmp_path / "a.env"), str(tmp_path / "b.env"), "environment")


def test_a_command_has_the_units_files_under_the_environment_and_wants_them_right(tmp_path):
    agents, secrets = tmp_path / "agents.env", tmp_path / "secrets.env"
    agents.write_text("RABBITMQ_PORT=1111\nRABBITMQ_HOST=a\n")
    secrets.write_text("RABBITMQ_PASS=p\n")
    files = (agents, secrets, tmp_path / "missing.env")

    found = host_settings({"RABBITMQ_PORT": "2222"}, files).rabbit
    agents.write_text("RABBITMQ_PORT=often\n")

    assert (found.hosts, found.port, found.password) == (("a",), 2222, "p")
    with pytest.raises(SettingsError, match="RABBITMQ_PORT"):
        host_settings({}, files)


def test_environment_names_other_files_or_none(tmp_path):
    standard, other = tmp_path / "agents.env", tmp_path / "other.env"
    standard.write_text("RABBITMQ_PORT=1111\n")
    other.write_text("RABBITMQ_PORT=2222\n")

    ports = [
        host_settings(environ, [standard]).rabbit.port
        for environ in (
            {},
            {"REASOND_SETTINGS_FILES": ""},
            {"REASOND_SETTINGS_FILES": f"{other}, -{tmp_path}/missing"},
        )
    ]

    assert ports == [1111, 5672, 2222]
    assert "missing" in examine({"REASOND_SETTINGS_FILES": f"{tmp_path}/missing"}).problems[0]


def test_standard_files_are_read_where_they_are_and_not_when_others_are_named(tmp_path):
    standard = [tmp_path / "agents.env", tmp_path / "missing.env"]
    standard[0].write_text("RABBITMQ_PORT=1111\n")

    assert examine({}, standard_files=standard).settings.rabbit.port == 1111
    assert examine({}, [], standard_files=standard).settings.rabbit.port == 5672


def test_what_is_wrong_for_one_agent_only_is_told_with_its_file(tmp_path):
    (tmp_path / "agents.env").write_text("PUBLISHER_TTL_S=soon\n")
    (tmp_path / "publisher-2.env").write_text("PUBLISHER_MIN_INTERVAL_S=often\n")
    (tmp_path / "consumer-1.env").write_text("CONSUMER_BATCH_SIZE=5\n")

    examined = examine({}, standard_files=[tmp_path / "agents.env"])

    everybodys, ones = sorted(examined.problems, key=lambda problem: "often" in problem)
    assert "PUBLISHER_TTL_S" in everybodys and "(in " not in everybodys
    assert ones.startswith("PUBLISHER_MIN_INTERVAL_S: 'often'") and ones.endswith(f"(in {tmp_path}/publisher-2.env)")
    assert examined.settings.publisher.min_interval_s == examine({}, []).settings.publisher.min_interval_s


def test_file_that_cannot_be_read_is_a_problem_and_the_rest_goes_on(tmp_path):
    examined = examine({"RABBITMQ_PORT": "1111"}, [tmp_path / "none.env"])

    assert "none.env" in examined.problems[0]
    assert examined.settings.rabbit.port == 1111


@pytest.mark.parametrize(
    "environ, sections, kept",
    [
        ({"RABBITMQ_PORT": "x", "INFLUXDB_ORG": "o"}, {"rabbit"}, "o"),
        ({"RABBITMQ_PORT": "x", "INFLUXDB_URL": "y", "INFLUXDB_ORG": "o"}, {"rabbit", "influx"}, "o"),
        ({"PUBLISHER_SPED": "1", "INFLUXDB_ORG": "o"}, set(), "o"),
        ({"PUBLISHER_MIN_INTERVAL_S": "90", "PUBLISHER_MAX_INTERVAL_S": "80", "INFLUXDB_ORG": "o"}, {"publisher"}, "o"),
    ],
    ids=["one section", "two sections", "unknown variable", "two that contradict each other"],
)
def test_wrong_settings_are_told_by_section_and_the_right_ones_kept(environ, sections, kept):
    examined = examine(environ, [])

    assert examined.problems
    assert sections <= set(examined.wrong_sections)
    assert "influx" not in examined.wrong_sections - sections
    assert examined.settings.influx.org == kept
    assert examined.needs("rabbit") == (("settings",) if "rabbit" in sections else ())


def test_agents_are_those_with_a_state_directory_and_those_named(tmp_path):
    for name in ("publisher-1", "consumer-12", "lost+found", "publisher-0", "publisher-1.bak"):
        (tmp_path / name).mkdir()

    examined = examine({"REASOND_STATE_DIR": str(tmp_path), "AGENT_ID": "monitor-1"}, [])

    assert list(examined.agents()) == ["consumer-12", "monitor-1", "publisher-1"]
    assert examined.agents()["monitor-1"] == tmp_path / "monitor-1"
