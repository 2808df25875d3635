"""`reasond completion`: the script, and what it gets when a shell asks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from reasond.cli import reasond
from reasond.commands.completion import SHELLS, VARIABLE

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("shell", SHELLS)
def test_script_asks_the_command_itself(shell):
    done = CliRunner().invoke(reasond, ["completion", shell])

    assert done.exit_code == 0
    assert f"{VARIABLE}={shell}_complete" in done.output and "reasond" in done.output


def complete(words, tmp_path):
    """Give what bash gets when Tab is pressed behind these words."""
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "agents"),
        "REASOND_STATE_DIR": str(tmp_path),
        VARIABLE: "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    program = "import sys; sys.argv = ['reasond']; from reasond.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], env=environ, stdout=subprocess.PIPE, timeout=60, check=False)
    return [line.partition(",")[2] for line in done.stdout.decode().splitlines()]


@pytest.mark.parametrize(
    "words, expected",
    [
        (["reasond", "dec"], ["decisions"]),
        (["reasond", "decisions", "--agent", "monitor"], ["monitor-1"]),
        (["reasond", "decisions", "--action", "slow"], ["slow_down"]),
        (["reasond", "why", "publisher-"], ["publisher-1", "publisher-2", "publisher-3"]),
        (["reasond", "control", "a"], ["all"]),
        (["reasond", "control", "publisher-1", "ho"], ["hold"]),
    ],
)
def test_a_shell_gets_commands_agents_and_actions(tmp_path, words, expected):
    assert complete(words, tmp_path) == expected


def test_bash_takes_the_script(tmp_path):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("completion: no bash here")
    script = tmp_path / "reasond"
    script.write_text(CliRunner().invoke(reasond, ["completion", "bash"]).output)

    done = subprocess.run(
        [bash, "--norc", "-c", f"source {script} && complete -p reasond"],
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )

    assert b"reasond" in done.stdout
