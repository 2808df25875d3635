"""The state directory: saves in one step, survives bad files, holds an identity once."""

import subprocess
import sys

import pytest

from reasond.adapters.state import StateDir, write_atomically
from reasond.core.agent import Control
from reasond.errors import IdentityTaken, InputError


def test_save_then_load_gives_every_state_back(tmp_path):
    state = StateDir(tmp_path / "publisher-1")
    state.save("decisions", {"open": [1, 2]})
    state.save("feed", {"offset": 7}, durable=False)

    assert StateDir(tmp_path / "publisher-1").load() == {"decisions": {"open": [1, 2]}, "feed": {"offset": 7}}


def test_load_unreadable_state_is_set_aside_and_the_rest_is_given(tmp_path):
    state = StateDir(tmp_path)
    state.save("good", 1)
    (tmp_path / "broken.state.json").write_text("{")

    assert state.load() == {"good": 1}
    assert (tmp_path / "broken.state.json.bad").exists()


def test_write_atomically_that_fails_leaves_the_old_content(tmp_path):
    file = tmp_path / "x"
    file.write_text("old")

    with pytest.raises(TypeError):
        write_atomically(file, None, True)

    assert file.read_text() == "old"


def test_lock_held_by_another_process_is_refused_with_its_pid(tmp_path):
    code = (
        "import sys; from pathlib import Path; from reasond.adapters.state import StateDir\n"
        "s = StateDir(Path(sys.argv[1])); s.lock(); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"

        state = StateDir(tmp_path)
        assert state.holder_pid() == holder.pid
        with pytest.raises(IdentityTaken, match=str(holder.pid)):
            state.lock()
    finally:
        holder.communicate(timeout=10)

    state.lock()
    assert StateDir(tmp_path).holder_pid() is not None


def test_control_round_trip_and_default(tmp_path):
    state = StateDir(tmp_path)
    assert state.control() == Control()

    state.give_control(Control(serial=3, hold=True))

    assert state.control() == Control(serial=3, hold=True)


def test_directory_that_cannot_be_made_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError, match="REASOND_STATE_DIR"):
        StateDir(tmp_path / "file" / "publisher-1")
