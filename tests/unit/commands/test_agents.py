"""`reasond publisher|consumer|monitor`: settings are told before anything heavy loads, the status is the agent's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from reasond import runtime
from reasond.commands import agents
from reasond.errors import SettingsError

ROOT = Path(__file__).resolve().parents[3]
IDENTITIES = {"PUBLISHER_ID": "publisher-2", "CONSUMER_ID": "consumer-3", "AGENT_ID": "monitor-1"}


@pytest.mark.parametrize(
    "command, kind, agent_id",
    [
        (agents.publisher, "publisher", "publisher-2"),
        (agents.consumer, "consumer", "consumer-3"),
        (agents.monitor, "monitor", "monitor-1"),
    ],
    ids=["publisher", "consumer", "monitor"],
)
def test_command_runs_the_agent_of_its_kind_and_exits_with_its_status(monkeypatch, command, kind, agent_id):
    made = []

    class Process:
        def __init__(self, agent_type, settings, environ, log):
            made.append((agent_type, getattr(settings, agent_type).agent_id))

        def run(self):
            return 7

    monkeypatch.setattr(runtime, "AgentProcess", Process)

    done = CliRunner().invoke(command, env=IDENTITIES)

    assert (done.exit_code, made) == (7, [(kind, agent_id)])


def test_command_without_its_identity_raises_before_an_agent_is_made(monkeypatch):
    monkeypatch.setattr(runtime, "AgentProcess", lambda *args: pytest.fail("made"))

    done = CliRunner().invoke(agents.consumer, env={**IDENTITIES, "CONSUMER_ID": ""})

    assert isinstance(done.exception, SettingsError) and "CONSUMER_ID" in str(done.exception)


def test_wrong_setting_is_told_without_loading_the_clients():
    code = (
        "import sys; from reasond.cli import main; sys.argv = ['reasond', 'publisher']\n"
        "try: main()\n"
        "except SystemExit as end:\n"
        "    print(end.code, [name for name in ('pika', 'influxdb_client', 'anthropic') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "agents"), "PUBLISHER_ID": "me"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout == "78 []\n"
    assert "PUBLISHER_ID" in done.stderr
