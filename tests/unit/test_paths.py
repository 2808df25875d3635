"""Where state and transcripts are kept: what was chosen, then systemd's, then the user's."""

from pathlib import Path

import pytest

from reasond.paths import SYSTEM_LOG_DIR, log_base, log_directory, state_base, state_directory
from reasond.settings import ProcessSettings


@pytest.mark.parametrize(
    "chosen, environ, expected",
    [
        ("/srv/reasond", {"STATE_DIRECTORY": "/var/lib/x"}, "/srv/reasond/publisher-1"),
        ("", {"STATE_DIRECTORY": "/var/lib/reasond/publisher-1"}, "/var/lib/reasond/publisher-1"),
        ("", {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, "/var/lib/a"),
        ("", {"XDG_STATE_HOME": "/home/u/s"}, "/home/u/s/reasond/state/publisher-1"),
        ("", {"HOME": "/home/u"}, "/home/u/.local/state/reasond/state/publisher-1"),
    ],
    ids=["chosen", "systemd", "systemd with several", "xdg", "home"],
)
def test_state_directory_is_the_first_that_is_named(chosen, environ, expected):
    assert state_directory(ProcessSettings(state_dir=chosen), environ, "publisher-1") == Path(expected)


@pytest.mark.parametrize(
    "chosen, environ, expected",
    [
        ("/srv/log", {"LOGS_DIRECTORY": "/var/log/x"}, "/srv/log/monitor-1"),
        ("", {"LOGS_DIRECTORY": "/var/log/reasond/monitor-1"}, "/var/log/reasond/monitor-1"),
        ("", {"HOME": "/home/u"}, "/home/u/.local/state/reasond/log/monitor-1"),
    ],
    ids=["chosen", "systemd", "home"],
)
def test_log_directory_goes_by_its_own_names(chosen, environ, expected):
    assert log_directory(ProcessSettings(log_dir=chosen), environ, "monitor-1") == Path(expected)


def test_state_base_holds_every_agents_state_directory(tmp_path):
    for settings, environ, system in [
        (ProcessSettings(state_dir=str(tmp_path)), {}, tmp_path / "none"),
        (ProcessSettings(), {"HOME": str(tmp_path)}, tmp_path / "none"),
    ]:
        base = state_base(settings, environ, system)
        assert state_directory(settings, environ, "consumer-2") == base / "consumer-2"


def test_state_base_is_the_systems_where_there_is_one(tmp_path):
    assert state_base(ProcessSettings(), {"HOME": "/home/u"}, tmp_path) == tmp_path


def test_log_base_goes_with_the_state(tmp_path):
    home = {"HOME": str(tmp_path)}

    assert log_base(ProcessSettings(), home, tmp_path) == SYSTEM_LOG_DIR
    assert log_base(ProcessSettings(log_dir="/srv/log"), home, tmp_path) == Path("/srv/log")
    for settings in (ProcessSettings(), ProcessSettings(state_dir="/srv/state")):
        base = log_base(settings, home, tmp_path / "none")
        assert log_directory(settings, home, "consumer-2") == base / "consumer-2"
