"""The docs' commands are run as they stand, by a shell, where three agents work on real services.

Which blocks those are says tests/testbed/doc_blocks.py. The shell has what a user's would have: `reasond` on PATH, the
settings in the environment, the files and packages that the pages have it write.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, Iterator

import pytest

from reasond import plugins
from tests.services import agent_process
from tests.services.agent_process import Agent
from tests.support.entered import enter
from tests.testbed.doc_blocks import ROOT, Block, all_blocks
from tests.testbed.influxd import Influxd
from tests.testbed.rabbitmq import RabbitMQ
from tests.testbed.waiting import wait_until

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("docs")]

RUN = [block for block in all_blocks() if block.is_run]
COMMAND_S = 300
"""Five seeds of an hour under two policies took 6 s alone, and over 120 s on a machine with eight times the work."""
DECISIONS_S = 60
# The sandbox has a message that expired, which needs care: docs/exit-codes.md.
ENDS = {"reasond status": (0, 1)}
PACKAGES = {
    "docs/brains.md": (plugins.BRAINS, "tortoise", "shop.reasond_brain:Tortoise"),
    "docs/handlers.md": (plugins.HANDLERS, "warehouse", "depot.reasond_plugin:Warehouse"),
}
FILES = {"docs/scenarios.md": "mine.toml"}


def example(page: str, language: str) -> str:
    """Give the first block of a language on a page."""
    return next(block.text for block in all_blocks() if (block.page, block.language) == (page, language))


class Sandbox:
    """A folder to work in, and the environment of a shell there."""

    def __init__(self, folder: Path, environ: Dict[str, str]) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        packages = folder / "packages"
        for page, (group, name, target) in PACKAGES.items():
            enter(packages, group, name, target, example(page, "python"))
        for page, name in FILES.items():
            (self.folder / name).write_text(example(page, "toml"))
        programs = folder / "bin"
        programs.mkdir()
        command = programs / "reasond"
        command.write_text('#!/bin/sh\nexec {} -m reasond "$@"\n'.format(shlex.quote(sys.executable)))
        command.chmod(0o755)
        self.environ = {
            **environ,
            "REASOND_BRAIN": "dry-run",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PATH": os.pathsep.join((str(programs), "/usr/bin", "/bin")),
            "PYTHONPATH": os.pathsep.join((str(ROOT / "agents"), str(packages))),
            "REASOND_STATE_DIR": str(folder / "state"),
            "REASOND_LOG_DIR": str(folder / "log"),
            "REASOND_SETTINGS_FILES": "",
        }

    def run(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Run one command line; give how it ended and what it said."""
        return subprocess.run(
            ["bash", "-euc", command],
            cwd=str(self.folder),
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_S,
        )


@pytest.fixture(scope="module")
def sandbox(rabbitmq: RabbitMQ, influxd: Influxd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Three agents at work, one message set aside, and a shell beside them."""
    vhost, bucket = rabbitmq.fresh_vhost(), influxd.fresh_bucket()
    environ = agent_process.ready_services(vhost, influxd, bucket)
    made = Sandbox(tmp_path_factory.mktemp("docs"), environ)
    expected = "publisher-1,consumer-1,monitor-1"
    made.environ["MONITOR_EXPECTED_AGENTS"] = expected
    settings = {**environ, "REASOND_BRAIN": "dry-run", "MONITOR_EXPECTED_AGENTS": expected}
    folder = Path(made.environ["HOME"])
    agents = [Agent(folder, kind, settings) for kind in ("publisher", "consumer", "monitor")]
    try:
        for agent in agents:
            agent.start()
        for queue in ("rejected", "expired", "flagged"):
            body = {"properties": {}, "routing_key": "books." + queue, "payload": "x", "payload_encoding": "string"}
            rabbitmq.api("POST", "/api/exchanges/{}/amq.default/publish".format(vhost.quoted), body)
        wait_until(
            lambda: (
                agent_process.count(influxd, bucket, "publisher_metrics", "messages_published") > 0
                and "decision" in agents[0].log
            ),
            what="a decision of the publisher's",
            timeout_seconds=DECISIONS_S,
        )
        yield made
    finally:
        for agent in agents:
            agent.close()
        rabbitmq.delete_vhost(vhost)
        influxd.delete_bucket(bucket)


def identity(sandbox: Sandbox, line: str) -> str:
    """Give the line with the placeholder ID made the id of what its command would have listed."""
    if not re.search(r"\bID\b", line):
        return line
    assert "quarantine" in line or "decisions" in line, "nobody knows what the ID is of: " + line
    listed = "reasond quarantine list --json" if "quarantine" in line else "reasond decisions --since 1h --json"
    told = sandbox.run(listed)
    found = re.search(r'"(?:key|id)": ?"([^"]+)"', told.stdout)
    assert found, told.stdout
    return re.sub(r"\bID\b", found.group(1), line)


@pytest.mark.parametrize("block", [pytest.param(block, id=block.name) for block in RUN])
def test_commands_of_the_docs_do_what_they_say(sandbox: Sandbox, block: Block) -> None:
    for line in block.commands:
        begun = time.monotonic()
        done = sandbox.run(identity(sandbox, line))
        print("{:.1f} s, status {}: {}\n{}".format(time.monotonic() - begun, done.returncode, line, done.stdout))
        assert done.returncode in ENDS.get(line, (0,)), "{}\n{}".format(line, done.stdout)
        assert "Traceback" not in done.stdout
