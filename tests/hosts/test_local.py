"""`make deploy` on the machine itself, from a fresh clone: the inventory `local` with the specification's accounts."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.hosts.whole import AGENTS, SERVICES
from tests.testbed.nspawn import ROOT, CommandFailed, Host, Room
from tests.testbed.packages import Vendors
from tests.testbed.provide import tree_or_skip

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long, pytest.mark.xdist_group("local")]

INSTALL_TOOLS = (
    "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends make git"
)
DEPLOY_SECONDS = 1500


def machine(room: Room, name: str, suite: str, folder: Path) -> Host:
    """Switch a machine on that has a clone of the checkout and what a developer would have."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    host = room.host(name, tree_or_skip(suite))
    host.bind(clone, "/mnt")
    host.power_on()
    host.sh(INSTALL_TOOLS, timeout=300)
    host.sh("cp -a /mnt /srv/reasond && chown -R root:root /srv/reasond")
    return host


def test_make_deploy_installs_the_whole_on_this_machine(room: Room, vendored: Vendors, tmp_path: Path) -> None:
    host = machine(room, "local", "bookworm", tmp_path)
    host.write("/run/more.json", json.dumps(vendored.variables()))

    told = host.sh(
        "cd /srv/reasond && make deploy DEPLOY_ARGS='-e @/run/more.json -e brain=dry-run' 2>&1", timeout=DEPLOY_SECONDS
    )

    states = {unit: host.show(unit, "ActiveState")["ActiveState"] for unit in (*SERVICES, *AGENTS)}
    signed = host.sh("curl -s -u admin:admin http://127.0.0.1:3000/api/org")
    room.discard(host)
    assert set(states.values()) == {"active"}, states
    assert "7 agents on localhost; they decide by dry-run" in told
    assert json.loads(signed)["name"]


def test_make_deploy_says_what_to_do_where_python_is_too_old(room: Room, tmp_path: Path) -> None:
    host = machine(room, "oldpy", "bullseye", tmp_path)

    with pytest.raises(CommandFailed, match="needs 3.11 or newer") as failed:
        host.sh("cd /srv/reasond && make deploy 2>&1", timeout=300)

    room.discard(host)
    assert "uv python install" in str(failed.value)
