"""What an operator does to a running host by playbook: rotate, fewer agents, upgrade, roll back, back up, restore.

All on the host that site.yml made, one after the other; each test leaves it running.
"""

import re
import shutil
import zipfile
from pathlib import Path
from typing import Dict, List

import pytest

from reasond import __version__
from tests.acceptance.system import BUCKET, ORG
from tests.hosts.conftest import Site
from tests.hosts.whole import AGENTS, SERVICES, WholeHost, now_us, unit_events
from tests.standin import StandIn
from tests.testbed.influxd import query
from tests.testbed.nspawn import ROOT
from tests.testbed.playbook import PlaybookFailed
from tests.testbed.tunnel import tunnel

pytestmark = [pytest.mark.timeout(1500), pytest.mark.long, pytest.mark.xdist_group("whole")]

NEXT_VERSION = "99.0.0"
NEXT_KEY = "sk-ant-hosts-test-Sesam-rotated"
CHECKOUT = ("agents", "systemd", "requirements", "grafana", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")
HANDLERS = "from reasond.plugins import HANDLERS, names; print(*names(HANDLERS))"
DECISIONS = (
    f'from(bucket: "{BUCKET}") |> range(start: -30d)'
    ' |> filter(fn: (r) => r._measurement == "agent_reasoning" and r._field == "confidence")'
    " |> group() |> count()"
)


@pytest.fixture
def whole(site: Site) -> WholeHost:
    site.whole.wait_at_work(120)
    return site.whole


def pids(whole: WholeHost, *units: str) -> Dict[str, str]:
    return {unit: whole.host.show(unit, "MainPID")["MainPID"] for unit in units}


def environment_of(whole: WholeHost, unit: str) -> Dict[str, str]:
    told = whole.host.sh(f"tr '\\0' '\\n' < /proc/{pids(whole, unit)[unit]}/environ")
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)


def decisions(whole: WholeHost) -> int:
    """Count the decisions in InfluxDB."""
    with tunnel(whole.host, 8086) as ports:
        rows = query(f"http://{ports[8086]}", ORG, whole.secrets["influxdb_agents_token"], DECISIONS)
    return sum(int(row["_value"]) for row in rows)


def checkout(folder: Path, version: str) -> Path:
    """Copy what a release is made of, under another version."""
    for name in CHECKOUT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(str(source), str(folder / name), ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(str(source), str(folder / name))
    init = folder / "agents" / "reasond" / "__init__.py"
    changed = init.read_text().replace(f'"{__version__}"', f'"{version}"')
    assert changed != init.read_text()
    init.write_text(changed)
    return folder


def plug_in(folder: Path) -> Path:
    """Make the wheel of a package with one handler."""
    info = "shelf_reasond-1.0.dist-info"
    files = {
        "shelf_reasond.py": "from reasond.handlers import SimulatedWork\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: shelf-reasond\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[reasond.handlers]\nshelf = shelf_reasond:SimulatedWork\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    wheel = folder / "shelf_reasond-1.0-py3-none-any.whl"
    with zipfile.ZipFile(str(wheel), "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel


def test_rotation_changes_every_secret_while_services_run_on(whole: WholeHost, api: StandIn) -> None:
    before, services = whole.secrets, pids(whole, *SERVICES[:2])
    whole.change_key(NEXT_KEY)

    outcome = whole.deploy("rotate.yml")
    api.set(key=NEXT_KEY)

    after = whole.secrets
    kept = {name for name in before if before[name] == after[name]}
    print(f"rotation {outcome.seconds:.0f} s")
    assert kept <= {"rabbitmq_erlang_cookie", "influxdb_admin_token"}
    assert pids(whole, *SERVICES[:2]) == services
    whole.wait_at_work(120)
    for unit in AGENTS:
        environment = environment_of(whole, unit)
        assert environment["ANTHROPIC_API_KEY"] == NEXT_KEY
        assert environment["INFLUXDB_TOKEN"] == after["influxdb_agents_token"]
        assert environment["RABBITMQ_PASS"] == after["rabbitmq_agents_password"]
    with tunnel(whole.host, 8086) as ports:
        with pytest.raises(Exception, match="401"):
            query(f"http://{ports[8086]}", ORG, before["influxdb_agents_token"], DECISIONS)
    for secret in after.values():
        assert secret not in outcome.log.read_text()


def ping(whole: WholeHost) -> List[str]:
    """Tell how the dead man's ping stands: its timer, and the file that holds its address."""
    timer = whole.host.show("reasond-watchdog-ping.timer", "ActiveState", "UnitFileState")
    file = whole.host.sh("stat -c '%U:%G %a' /etc/reasond/watchdog.env 2>/dev/null || true").strip()
    return [timer["ActiveState"], timer["UnitFileState"], file]


def test_agents_no_longer_listed_are_removed_and_come_back_when_listed(whole: WholeHost) -> None:
    others = pids(whole, *AGENTS[:3])
    # The ping comes and goes with its address in the same two runs, to save two more.
    pings = [ping(whole)]

    whole.deploy(consumer_instances=[1, 2], agents_watchdog_url="http://127.0.0.1:9/$uuid")
    pings.append(ping(whole))
    address = whole.host.sh(
        "systemd-run --quiet --pipe -p EnvironmentFile=/etc/reasond/watchdog.env printenv REASOND_WATCHDOG_URL"
    )
    fewer = whole.host.run("systemctl", "show", "consumer@3", "--property=ActiveState,UnitFileState").split()
    expected = whole.host.sh("grep EXPECTED /etc/reasond/agents.env")
    whole.deploy()

    pings.append(ping(whole))
    assert pings == [["inactive", "disabled", ""], ["active", "enabled", "root:root 600"], ["inactive", "disabled", ""]]
    assert address.strip() == "http://127.0.0.1:9/$uuid"
    assert fewer == ["ActiveState=inactive", "UnitFileState=disabled"]
    assert "consumer-2" in expected
    assert "consumer-3" not in expected
    assert whole.state("consumer@3.service") == "active"
    assert set(pids(whole, *AGENTS[:3])) == set(others)


def test_upgrade_restarts_one_agent_at_a_time_and_rollback_brings_the_old_release_back(
    whole: WholeHost, tmp_path: Path
) -> None:
    source, begun_us = checkout(tmp_path, NEXT_VERSION), now_us()

    # A plug-in comes with the new release, to save one more.
    whole.deploy("upgrade.yml", agents_source=str(source), agents_plugins=[str(plug_in(tmp_path))])

    handlers = whole.host.run("/opt/reasond/current/bin/python", "-c", HANDLERS).split()
    events = unit_events(whole.host, AGENTS, begun_us)
    story = [f"{event.what} {event.unit}" for event in events if event.what in ("stopping", "started")]
    upgraded = whole.host.run("reasond", "--version")
    whole.deploy("upgrade.yml", agents_rollback=True)
    back = whole.host.run("reasond", "--version")
    assert NEXT_VERSION in upgraded
    assert handlers == ["shelf", "simulate"]
    assert __version__ in back
    assert story == [f"{what} {unit}" for unit in AGENTS for what in ("stopping", "started")]
    whole.wait_at_work(120)


def test_release_that_can_not_be_made_changes_nothing(whole: WholeHost, tmp_path: Path) -> None:
    source, before = checkout(tmp_path, "99.0.1"), pids(whole, *AGENTS)
    lock = source / "requirements" / "agents.txt"
    lock.write_text(re.sub(r"sha256:[0-9a-f]{6}", "sha256:000000", lock.read_text()))

    with pytest.raises(PlaybookFailed, match="could not be made"):
        whole.deploy("upgrade.yml", agents_source=str(source))

    assert pids(whole, *AGENTS) == before
    assert __version__ in whole.host.run("reasond", "--version")
    assert "99.0.1" not in whole.host.sh("ls /opt/reasond/releases")


def test_wrong_setting_is_refused_before_anything_is_changed(whole: WholeHost) -> None:
    before, settings = pids(whole, *AGENTS), whole.host.sh("cat /etc/reasond/agents.env")

    with pytest.raises(PlaybookFailed, match="PUBLISHER_MIN_INTERVAL_S"):
        whole.deploy(reasond_settings={**whole.variables["reasond_settings"], "PUBLISHER_MIN_INTERVAL_S": "often"})

    assert pids(whole, *AGENTS) == before
    assert whole.host.sh("cat /etc/reasond/agents.env") == settings


def test_uninstall_keeps_what_site_yml_then_finds_again(whole: WholeHost) -> None:
    before = decisions(whole)

    whole.deploy("uninstall.yml")

    left = whole.host.sh("systemctl list-units --plain --no-legend 'publisher@*' 'consumer@*' 'influxdb*' 'rabbitmq*'")
    assert "active" not in left.split()
    assert whole.host.sh("command -v reasond influxd rabbitmqctl || true") == ""
    whole.deploy()
    whole.wait_at_work(120)
    assert decisions(whole) >= before


def test_backup_restores_what_a_purge_destroyed(whole: WholeHost, tmp_path: Path) -> None:
    whole.deploy("backup.yml", backup_folder=str(tmp_path / "backup"))
    before, saved, state = decisions(whole), whole.secrets, whole.host.sh("ls /var/lib/reasond")
    loose = [path.name for path in (tmp_path / "backup").iterdir() if path.stat().st_mode & 0o077]

    whole.deploy("uninstall.yml", purge=True)
    gone = whole.host.sh(
        "ls -d /etc/reasond /var/lib/reasond /var/lib/influxdb /var/lib/rabbitmq /var/lib/grafana /opt/reasond"
        " /etc/systemd/system/publisher@.service 2>/dev/null || true"
    )
    whole.deploy()
    whole.deploy("restore.yml", backup_folder=str(tmp_path / "backup"))

    assert gone == ""
    assert loose == []
    whole.wait_at_work(120)
    assert decisions(whole) >= before > 0
    assert whole.secrets == saved
    assert whole.host.sh("ls /var/lib/reasond") == state
