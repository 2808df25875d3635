"""What systemctl says of the agents' units, by a stand-in of it on PATH."""

import pytest

from reasond.adapters.units import UnitState, unit_of, unit_states

ANSWER = """Id=publisher@1.service
ActiveState=active
SubState=running
UnitFileState=enabled
StatusText=every 5 s/10 s, a=b
Result=success

Id=consumer@1.service
ActiveState=inactive
SubState=dead
UnitFileState=disabled
StatusText=
Result=success

Id=monitor@1.service
ActiveState=failed
SubState=failed
UnitFileState=disabled
StatusText=
Result=exit-code
"""


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    def make(script):
        program = tmp_path / "systemctl"
        program.write_text("#!/bin/sh\n" + script)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return make


def test_states_of_units_that_run_or_would_start(tmp_path, systemctl):
    (tmp_path / "answer").write_text(ANSWER)
    systemctl(f'echo "$@" >{tmp_path}/asked; cat {tmp_path}/answer')

    found = unit_states(["publisher-1", "consumer-1", "monitor-1"], tmp_path)

    assert found == {
        "monitor-1": UnitState("failed", "failed", False, "", "exit-code"),
        "publisher-1": UnitState("active", "running", True, "every 5 s/10 s, a=b", "success"),
    }
    assert (tmp_path / "asked").read_text().split()[2:] == [
        unit_of(n) for n in ("publisher-1", "consumer-1", "monitor-1")
    ]


def test_nothing_where_systemd_does_not_run_or_nobody_is_asked_for(tmp_path, systemctl):
    systemctl(f"touch {tmp_path}/asked")

    assert unit_states(["publisher-1"], tmp_path / "missing") == unit_states([], tmp_path) == {}
    assert not (tmp_path / "asked").exists()


def test_nothing_where_systemctl_fails(tmp_path, systemctl):
    systemctl("exit 1")

    assert unit_states(["publisher-1"], tmp_path) == {}
