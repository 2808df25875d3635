"""The units in systemd/: only what systemd 245 knows, the ten steps as a graph, one sandbox, their exposure."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Dict, List, Set, Tuple

import pytest

from reasond import settings

UNITS = Path(__file__).resolve().parents[2] / "systemd"
AGENTS = ("publisher@.service", "consumer@.service", "monitor@.service")
SETUPS = ("influxdb-setup.service", "rabbitmq-setup.service")
PING = "reasond-watchdog-ping.service"
SERVICES = (*AGENTS, *SETUPS)
VENDORS = ("influxdb.service", "rabbitmq-server.service", "grafana-server.service")
OLDEST_SYSTEMD = 245
# `security --offline` and `verify --root` of the commands used here.
ANALYZE_SINCE = 250
EXPOSURE = {**dict.fromkeys((*AGENTS, PING, "rabbitmq-setup.service"), 13), "influxdb-setup.service": 17}

# Each directive that a unit here uses, with the systemd that brought it, by the manual pages and NEWS; 0 is
# for what is older than version 200. A directive that isn't here is looked up and added, or not used.
KNOWN_SINCE = {
    "Unit": {
        "Description": 0,
        "Wants": 0,
        "After": 0,
        "Before": 0,
        "PartOf": 0,
        "ReloadPropagatedFrom": 0,
        "AssertPathExists": 218,
        "StartLimitIntervalSec": 230,
        "StartLimitBurst": 229,
    },
    "Service": {
        "Type": 0,
        "NotifyAccess": 0,
        "RemainAfterExit": 0,
        "ExecStart": 0,
        "ExecReload": 0,
        "User": 0,
        "Group": 0,
        "SyslogIdentifier": 0,
        "Environment": 0,
        "EnvironmentFile": 0,
        "StateDirectory": 235,
        "StateDirectoryMode": 235,
        "LogsDirectory": 235,
        "LogsDirectoryMode": 235,
        "ConfigurationDirectory": 235,
        "ConfigurationDirectoryMode": 235,
        "RuntimeDirectory": 211,
        "RuntimeDirectoryMode": 211,
        "TimeoutStartSec": 0,
        "TimeoutStopSec": 0,
        "KillMode": 0,
        "WatchdogSec": 0,
        "Restart": 0,
        "RestartSec": 0,
        "RestartPreventExitStatus": 0,
        "MemoryMax": 231,
        "TasksMax": 227,
        "CPUWeight": 232,
        "OOMScoreAdjust": 0,
        "LimitCORE": 0,
        "NoNewPrivileges": 0,
        "CapabilityBoundingSet": 0,
        "AmbientCapabilities": 229,
        "RestrictSUIDSGID": 242,
        "PrivateUsers": 232,
        "ProtectSystem": 214,
        "ProtectHome": 214,
        "PrivateTmp": 0,
        "PrivateMounts": 239,
        "PrivateDevices": 209,
        "DevicePolicy": 0,
        "RemoveIPC": 232,
        "UMask": 0,
        "ProtectKernelTunables": 232,
        "ProtectKernelModules": 232,
        "ProtectKernelLogs": 244,
        "ProtectControlGroups": 232,
        "ProtectClock": 245,
        "ProtectHostname": 242,
        "KeyringMode": 235,
        "LockPersonality": 235,
        "RestrictRealtime": 231,
        "RestrictNamespaces": 233,
        "SystemCallArchitectures": 209,
        "SystemCallFilter": 0,
        "SystemCallErrorNumber": 209,
        "MemoryDenyWriteExecute": 231,
        "RestrictAddressFamilies": 211,
    },
    "Timer": {"OnCalendar": 0, "RandomizedDelaySec": 229, "AccuracySec": 209},
    "Install": {"WantedBy": 0},
}
# Restart= of a oneshot service came with 244; before, the unit was refused.
SETUP_RESTART_SINCE = 244

Lines = List[Tuple[str, str, str]]


def read(path: Path) -> Lines:
    """Return section, directive and value of each line, in order."""
    section, found = "", []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, value = line.split("=", 1)
            found.append((section, name, value))
    return found


def values(unit: str, name: str) -> List[str]:
    """Return a directive's values over all its lines, apart at blanks; the drop-in's for a vendor's unit."""
    path = UNITS / f"{unit}.d" / "reasond.conf" if unit in VENDORS else UNITS / unit
    return [part for _, directive, value in read(path) if directive == name for part in value.split()]


def every_file() -> List[Path]:
    kinds = ("*.service", "*.target", "*.timer", "*.d/*.conf")
    return sorted(path for kind in kinds for path in UNITS.glob(kind))


@pytest.mark.parametrize("path", every_file(), ids=lambda path: str(path.relative_to(UNITS)))
def test_every_directive_is_known_to_systemd_245(path: Path) -> None:
    for section, name, _ in read(path):
        assert name in KNOWN_SINCE[section], f"{path.name}: {name}= is in nobody's list"
        assert KNOWN_SINCE[section][name] <= OLDEST_SYSTEMD


def test_the_list_of_directives_holds_no_more_than_is_used() -> None:
    used = {(section, name) for path in every_file() for section, name, _ in read(path)}

    assert {(section, name) for section, names in KNOWN_SINCE.items() for name in names} == used


# Order


def after(units: Tuple[str, ...]) -> Dict[str, Set[str]]:
    """Return what each unit is ordered after, Before= turned round, and only among these units."""
    above = {unit: set(values(unit, "After")) & set(units) for unit in units}
    for unit in units:
        for below in set(values(unit, "Before")) & set(units):
            above[below].add(unit)
    # A target is ordered after what it wants, and after what is wanted by it: systemd.target(5).
    for target in (unit for unit in units if unit.endswith(".target")):
        members = {unit for unit in units if target in values(unit, "WantedBy")}
        above[target] |= (set(values(target, "Wants")) | members) & set(units)
    return above


EVERY_UNIT = (
    *VENDORS,
    *SERVICES,
    "reasond-publishers.target",
    "reasond-consumers.target",
    "reasond.target",
)


def all_above(unit: str, above: Dict[str, Set[str]]) -> Set[str]:
    found: Set[str] = set()
    waiting = [unit]
    while waiting:
        for other in above[waiting.pop()] - found:
            found.add(other)
            waiting.append(other)
    return found


def test_order_is_the_ten_steps() -> None:
    steps = (
        "influxdb.service",
        "influxdb-setup.service",
        "rabbitmq-server.service",
        "rabbitmq-setup.service",
        "grafana-server.service",
        "publisher@.service",
        "consumer@.service",
        "monitor@.service",
    )
    above = after(EVERY_UNIT)
    targets = {unit for unit in EVERY_UNIT if unit.endswith(".target")}

    for number, unit in enumerate(steps):
        assert all_above(unit, above) - targets == set(steps[:number]), unit


def test_order_has_no_circle() -> None:
    above = after(EVERY_UNIT)

    assert [unit for unit in EVERY_UNIT if unit in all_above(unit, above)] == []


def test_group_targets_come_before_the_whole_in_so_many_words() -> None:
    # PartOf= alone would order a target after the one it is part of: a circle through the monitor.
    for group in ("reasond-publishers.target", "reasond-consumers.target"):
        assert "reasond.target" in values(group, "Before")


def test_nothing_is_required_so_that_a_dead_service_takes_nobody_along() -> None:
    used = {name for path in every_file() for _, name, _ in read(path)}

    assert not used & {"Requires", "Requisite", "BindsTo", "Upholds"}


def test_whole_wants_everything_and_everything_stops_with_it() -> None:
    groups = {"reasond-publishers.target", "reasond-consumers.target"}
    assert set(values("reasond.target", "Wants")) == {*VENDORS, *SETUPS, *groups}
    for unit in (*VENDORS, *SETUPS, *groups, "monitor@.service"):
        assert values(unit, "PartOf") == ["reasond.target"], unit
    for kind in ("publisher", "consumer"):
        assert values(f"{kind}@.service", "PartOf") == [f"reasond-{kind}s.target"]
        assert values(f"{kind}@.service", "WantedBy") == [f"reasond-{kind}s.target"]


# What the units say


def test_templates_differ_in_name_and_order_only() -> None:
    """One source of truth: everything but a kind's own lines is the same in all three."""
    own = {"Description", "After", "PartOf", "ReloadPropagatedFrom", "ExecStart", "WantedBy"}
    identity = re.compile(r"^(PUBLISHER_ID|CONSUMER_ID|AGENT_ID)=%p-%i$")

    def common(unit: str) -> Lines:
        return [line for line in read(UNITS / unit) if line[1] not in own and not identity.match(line[2])]

    first = common(AGENTS[0])
    assert len(first) > 50
    for unit in AGENTS[1:]:
        assert common(unit) == first


@pytest.mark.parametrize("unit", [*AGENTS[1:], *SETUPS, PING])
def test_sandbox_is_the_same_block_in_every_service(unit: str) -> None:
    def sandbox(name: str) -> Lines:
        lines = read(UNITS / name)
        start = lines.index(("Service", "NoNewPrivileges", "yes"))
        return [line for line in lines[start:] if line[0] == "Service"]

    assert len(sandbox(AGENTS[0])) > 25
    assert sandbox(unit) == sandbox(AGENTS[0])


@pytest.mark.parametrize(
    "kind, variable", [("publisher", "PUBLISHER_ID"), ("consumer", "CONSUMER_ID"), ("monitor", "AGENT_ID")]
)
def test_agent_gets_its_name_and_its_files_in_order(kind: str, variable: str) -> None:
    unit = f"{kind}@.service"
    environment = dict(value.split("=", 1) for value in values(unit, "Environment"))
    files = values(unit, "EnvironmentFile")

    assert environment[variable] == "%p-%i"
    assert files[:2] == ["/etc/reasond/agents.env", "-/etc/reasond/%p-%i.env"]
    assert files[-1] == "/etc/reasond/secrets.env"
    # SIGHUP rereads the first two, which hold no secret.
    assert environment["REASOND_SETTINGS_FILES"].split(",") == files[:2]
    assert set(environment) <= {setting.env for setting in settings.all_settings()}
    assert values(unit, "ExecStart") == ["/usr/bin/reasond", kind]


@pytest.mark.parametrize("unit", AGENTS)
def test_agent_directories_are_the_instances_own(unit: str) -> None:
    for name in ("StateDirectory", "LogsDirectory", "RuntimeDirectory"):
        assert values(unit, name) == ["reasond/%p-%i"], name
        assert values(unit, f"{name}Mode") == ["0750"], name


def test_setups_have_limits_and_are_tried_again_only_where_that_helps() -> None:
    assert SETUP_RESTART_SINCE <= OLDEST_SYSTEMD
    for unit in SETUPS:
        assert values(unit, "Type") == ["oneshot"]
        assert values(unit, "RemainAfterExit") == ["yes"]
        waits = int(values(unit, "ExecStart")[-1])
        assert int(values(unit, "TimeoutStartSec")[0]) > waits
        assert values(unit, "RestartPreventExitStatus") == ["3", "77", "78"]


def test_ping_is_no_part_of_the_whole_and_ends_before_the_next() -> None:
    assert values(PING, "PartOf") == values(PING, "WantedBy") == values(TIMER, "PartOf") == []
    assert values(TIMER, "WantedBy") == ["timers.target"]
    assert values(TIMER, "OnCalendar") == ["*:0/2"]
    assert int(values(PING, "TimeoutStartSec")[0]) < 120
    assert values(PING, "EnvironmentFile")[0] == "/etc/reasond/agents.env"


def test_readme_names_every_file() -> None:
    readme = (UNITS / "README.md").read_text(encoding="utf-8")

    for path in UNITS.iterdir():
        assert path.name in readme or path.name == "README.md", path.name


# systemd's own judgement


def analyze() -> str:
    """Return systemd-analyze when it is new enough; else skip by name, or fail in CI."""
    program = shutil.which("systemd-analyze")
    found = subprocess.run([program, "--version"], capture_output=True, check=False).stdout if program else b""
    version = re.match(rb"systemd (\d+)", found)
    if program and version and int(version.group(1)) >= ANALYZE_SINCE:
        return program
    told = f"systemd {version.group(1).decode()}" if version else "no systemd-analyze"
    reason = f"units: judging them needs systemd-analyze {ANALYZE_SINCE} or newer, here is {told}"
    (pytest.fail if os.environ.get("CI", "").lower() in ("true", "1") else pytest.skip)(reason)
    raise AssertionError


@pytest.mark.parametrize("unit", [*SERVICES, PING])
def test_exposure_stays_under_its_limit(unit: str) -> None:
    command = [analyze(), "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE[unit]}", unit]

    done = subprocess.run(command, cwd=str(UNITS), capture_output=True, check=False)

    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    print(done.stdout.decode().strip().splitlines()[-1])


def verify(root: Path, *units: str, change: Tuple[str, str, str] = ("reasond.target", "", "")) -> str:
    """Return what `systemd-analyze verify` complains of in a tree that holds the units and what they name.

    `change` replaces a text in one of them first.
    """
    folder = root / "etc" / "systemd" / "system"
    shutil.copytree(str(UNITS), str(folder))
    changed, old, new = change
    (folder / changed).write_text((UNITS / changed).read_text(encoding="utf-8").replace(old, new))
    for vendor in VENDORS:
        (folder / vendor).write_text("[Service]\nExecStart=/usr/bin/reasond\n")
    for program in ("usr/bin/reasond", "bin/kill"):
        (root / program).parent.mkdir(parents=True, exist_ok=True)
        (root / program).write_text("#!/bin/sh\n")
        (root / program).chmod(0o755)
    for place in ("/usr/lib/systemd/system", "/lib/systemd/system"):
        if Path(place).is_dir():
            shutil.copytree(place, str(root / "usr/lib/systemd/system"), symlinks=True)
            break
    for agent in AGENTS:
        wants = folder / f"{values(agent, 'WantedBy')[0]}.wants"
        wants.mkdir()
        (wants / agent.replace("@", "@1")).symlink_to(folder / agent)
    command = [analyze(), "verify", f"--root={root}", "--man=no", *units]
    done = subprocess.run(command, cwd=str(folder), capture_output=True, check=False)
    return (done.stdout + done.stderr).decode() or ("" if done.returncode == 0 else f"status {done.returncode}")


TIMER = PING.replace(".service", ".timer")
WHOLE = (
    "reasond.target",
    "publisher@1.service",
    "consumer@1.service",
    "monitor@1.service",
    *SETUPS,
    *VENDORS,
    PING,
    TIMER,
)


def test_verify_finds_nothing(tmp_path: Path) -> None:
    assert verify(tmp_path, *WHOLE) == ""


def test_verify_would_find_a_misspelt_directive(tmp_path: Path) -> None:
    told = verify(tmp_path, *WHOLE, change=("publisher@.service", "WatchdogSec=", "WatchDogSeconds="))

    assert "WatchDogSeconds" in told


def test_verify_would_find_a_circle(tmp_path: Path) -> None:
    told = verify(tmp_path, *WHOLE, change=("reasond-consumers.target", "Before=reasond.target\n", ""))

    assert "ordering cycle" in told
