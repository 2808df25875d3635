"""Every role's Molecule scenarios: converge on a bare host, again without a change, verify."""

import subprocess
from pathlib import Path

import pytest

from tests.testbed.nspawn import Room
from tests.testbed.playbook import ANSIBLE, ansible, clean_environment

pytestmark = [pytest.mark.timeout(1500), pytest.mark.long, pytest.mark.xdist_group("molecule")]

SCENARIOS = sorted(path.parent for path in ANSIBLE.glob("roles/*/molecule/*/molecule.yml"))
SCENARIO_SECONDS = 1200
TAIL_LINES = 60


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: f"{path.parents[1].name}-{path.name}")
def test_scenario_passes(room: Room, scenario: Path, tmp_path: Path) -> None:
    # The room is asked for so that a machine that can't boot hosts says so; Molecule boots its own.
    environment = {**clean_environment(tmp_path), "MOLECULE_EPHEMERAL_DIRECTORY": str(tmp_path / "molecule")}
    done = subprocess.run(
        [str(ansible() / "molecule"), "test", "--scenario-name", scenario.name],
        cwd=str(scenario.parents[1]),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SCENARIO_SECONDS,
        check=False,
    )

    told = done.stdout.decode(errors="replace").splitlines()
    assert done.returncode == 0, "\n".join(told[-TAIL_LINES:])
    assert any("verify" in line for line in told)
