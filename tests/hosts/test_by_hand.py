"""The units installed by hand, by the very commands of systemd/README.md, on a host without Ansible."""

import re

import pytest

from tests.hosts.whole import AGENTS
from tests.testbed.nspawn import ROOT, Room

pytestmark = pytest.mark.timeout(240)

# What the units start; here it is what they are that counts.
COMMAND = "#!/bin/sh\nexec sleep infinity\n"
UNITS = " ".join((*AGENTS, "influxdb-setup.service", "rabbitmq-setup.service", "reasond.target"))


def test_readme_installs_units_that_systemd_accepts_and_starts_at_boot(room: Room) -> None:
    readme = (ROOT / "systemd" / "README.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"^## Install\n.*?```sh\n(.*?)```", readme, re.DOTALL | re.MULTILINE)
    host = room.host("hand")
    host.bind(ROOT / "systemd", "/usr/src/reasond/systemd")
    host.write("/usr/bin/reasond", COMMAND, 0o755)
    host.power_on()

    host.run("bash", "-euc", f"cd /usr/src/reasond\n{commands}")

    complaints = host.sh(f"cd /etc/systemd/system && systemd-analyze verify {UNITS} 2>&1 | grep -i reasond || true")
    enabled = host.run("systemctl", "is-enabled", "reasond.target", *AGENTS).split()
    directory = host.sh("stat -c '%U:%G %a' /etc/reasond").strip()
    room.discard(host)
    assert complaints == ""
    assert enabled == ["enabled"] * (1 + len(AGENTS))
    assert directory == "root:reasond 750"
