"""Runs playbooks against hosts of a room, by the ansible-playbook of the locked virtual environment.

Inventory, secrets, connections and logs stand in a folder of the test's: a checkout is not written to, and
nothing of the developer's own Ansible or ssh settings is used.
"""

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import pytest

from tests.testbed import provide
from tests.testbed.nspawn import ROOT, Host

ANSIBLE = ROOT / "ansible"
# A cold environment is two minutes' work.
VENV_SECONDS = 900
PLAYBOOK_SECONDS = 900
TAIL_LINES = 40
# Read after whatever else is in the inventory's folder, so that it has the last word.
HOSTS_FILE = "zz-test-hosts.json"
SSH_OPTIONS = (
    "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes -o ConnectTimeout=10 "
    "-o LogLevel=ERROR -F none"
)
# What a developer may have set for themselves.
PRIVATE_PREFIXES = (
    "ANSIBLE_", "MOLECULE_", "ANTHROPIC_", "REASOND_", "RABBITMQ_", "INFLUXDB_", "GRAFANA_", "GF_",
    "PUBLISHER_", "CONSUMER_", "MONITOR_", "AGENT_", "PYTHON", "SSH_", "LC_",
)  # fmt: skip

# The output is for people, and each result in it is a line of JSON.
OUTPUT = {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(.*)\] \**$")
CHANGED = re.compile(r"^changed: \[([^\] ]+)")
FAILED = re.compile(r"^(?:fatal|failed): \[([^\] ]+)[^\]]*\].*? => (?=\{)", re.MULTILINE)
IGNORED = "\n...ignoring"
RECAP = re.compile(r"^(\S+) +: (ok=\d+ .*)$")


class Counts(NamedTuple):
    """A host's line of the recap."""

    ok: int
    changed: int
    unreachable: int
    failed: int
    skipped: int
    rescued: int
    ignored: int


class Outcome(NamedTuple):
    """What a playbook that went through did."""

    hosts: Dict[str, Counts]
    # Of each host the names of the tasks and handlers that changed something.
    changes: Dict[str, List[str]]
    log: Path
    seconds: float

    @property
    def changed(self) -> int:
        """The sum over all hosts."""
        return sum(counts.changed for counts in self.hosts.values())


class PlaybookFailed(AssertionError):
    """The playbook failed or took too long; the message carries the failed tasks' words."""


@functools.lru_cache(maxsize=None)
def ansible() -> Path:
    """Return the bin folder of the environment; skip the test with the reason, or fail it in CI."""
    return Path(script("venv", "ansible-test", *_newest())) / "bin"


def control_node() -> None:
    """Have the environment that users run Ansible in; skip the test with the reason, or fail it in CI."""
    script("venv", "ansible", *_newest())


def _newest() -> List[str]:
    pythons = script("find-pythons").splitlines()
    return [line.split(maxsplit=2)[2] for line in pythons if line.startswith("newest ")]


def script(name: str, *arguments: str) -> str:
    """Return the answer of one of scripts/; skip the test with its last words, or fail it in CI."""
    command = [str(ROOT / "scripts" / name), *arguments]
    done = subprocess.run(command, capture_output=True, timeout=VENV_SECONDS, check=False)
    told = done.stderr.decode(errors="replace")
    sys.stderr.write(told)
    if done.returncode:
        last = (told.strip().splitlines() or [f"{name} ended with status {done.returncode}"])[-1]
        (pytest.fail if provide.in_ci() else pytest.skip)(last)
    return done.stdout.decode().strip()


class Playbooks:
    """An inventory for hosts of a room, and the playbooks that are run with it one after the other."""

    def __init__(
        self,
        folder: Path,
        hosts: Mapping[str, Host],
        *,
        inventory: Optional[Path] = None,
        groups: Optional[Mapping[str, Sequence[str]]] = None,
        host_variables: Optional[Mapping[str, Mapping[str, Any]]] = None,
        playbooks: Path = ANSIBLE,
    ) -> None:
        """Given a folder for what is made here, and the hosts by their names in the inventory.

        `inventory` is a folder that is copied, as a user would; `groups` adds host names to groups;
        `host_variables` sets variables of hosts beside those of the connection. `localhost` can't be one of the
        hosts: what is delegated to it belongs to this machine.
        """
        self.folder = folder
        self.inventory = folder / "inventory"
        self._playbooks = playbooks
        self._runs = 0
        folder.mkdir(parents=True, exist_ok=True)
        if inventory:
            _copy_inventory(inventory, self.inventory)
        self.inventory.mkdir(exist_ok=True)
        more = host_variables or {}
        described = {name: {**_connection(host), **more.get(name, {})} for name, host in hosts.items()}
        children = {group: {"hosts": {name: {} for name in names}} for group, names in (groups or {}).items()}
        everything = {"all": {"hosts": described, "children": children}}
        (self.inventory / HOSTS_FILE).write_text(json.dumps(everything, indent=2))

    @property
    def secrets(self) -> Dict[str, str]:
        """What the first run of site.yml made and kept: passwords and the key for Claude, by name."""
        text = (self.inventory / "group_vars" / "all" / "secrets.yml").read_text()
        return dict(re.findall(r"^(\w+): [\"']?([^\s\"']+)", text, re.MULTILINE))

    def run(
        self,
        playbook: str,
        *,
        check: bool = False,
        tags: Sequence[str] = (),
        limit: str = "",
        extra_vars: Optional[Mapping[str, Any]] = None,
        options: Sequence[str] = (),
        environment: Optional[Mapping[str, str]] = None,
        timeout_seconds: float = PLAYBOOK_SECONDS,
    ) -> Outcome:
        """Run a playbook of the playbooks' folder; raise PlaybookFailed unless every host went through.

        `check` only looks, with the differences in the log. `environment` is added to what Ansible itself gets. The
        log's path is in the outcome and the failure.
        """
        self._runs += 1
        log = self.folder / f"{self._runs:02d}-{Path(playbook).stem}{'-check' if check else ''}.log"
        command = [str(ansible() / "ansible-playbook"), "--inventory", str(self.inventory), playbook, *options]
        command += ["--check", "--diff"] if check else []
        command += ["--tags", ",".join(tags)] if tags else []
        command += ["--limit", limit] if limit else []
        if extra_vars:
            # In a file: a command line would show secrets to everybody.
            command += ["--extra-vars", f"@{self._write_variables(extra_vars)}"]
        begun = time.monotonic()
        status = self._attend(
            command, {**clean_environment(self.folder), **OUTPUT, **(environment or {})}, log, timeout_seconds
        )
        outcome = _read(log, time.monotonic() - begun)
        if status != 0:
            ended = f"not done after {timeout_seconds:g} s" if status is None else f"status {status}"
            raise PlaybookFailed(f"{playbook}: {ended}\n{_failures(log)}\nlog: {log}")
        return outcome

    def _write_variables(self, variables: Mapping[str, Any]) -> Path:
        file = self.folder / f"{self._runs:02d}-variables.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(variables))
        return file

    def _attend(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path, timeout_seconds: float
    ) -> Optional[int]:
        """Run to the end, and return the status; None when it had to be ended."""
        # Of each run its own, for connections that a power cut or a partition broke; short, as a socket's path is.
        sockets = Path(tempfile.mkdtemp(prefix="reasond-ssh-"))
        with log.open("wb") as output:
            child = subprocess.Popen(
                command,
                cwd=str(self._playbooks),
                env={**environment, "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                return child.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                return None
            finally:
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)
                    child.wait()
                _close_connections(sockets)


def clean_environment(folder: Path) -> Dict[str, str]:
    """Give the environment for Ansible's programs: nothing of the developer's own settings; their cache in `folder`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(PRIVATE_PREFIXES)}
    return {
        **kept,
        "PATH": f"{ansible()}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(ansible().parent),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "ANSIBLE_HOME": str(folder / "ansible-home"),
        "ANSIBLE_NOCOLOR": "1",
    }


def _connection(host: Host) -> Dict[str, Any]:
    return {
        "ansible_connection": "ssh",
        "ansible_host": host.address,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(host.ssh_key),
        "ansible_ssh_common_args": SSH_OPTIONS,
    }


def _copy_inventory(source: Path, target: Path) -> None:
    """Copy an inventory's folder; links in it go on pointing to where they did."""
    shutil.copytree(str(source), str(target), symlinks=True)
    for link in [path for path in target.rglob("*") if path.is_symlink()]:
        pointed = (source / link.relative_to(target)).resolve()
        link.unlink()
        link.symlink_to(pointed)


def _close_connections(sockets: Path) -> None:
    for socket in sockets.iterdir():
        command = ["ssh", "-F", "none", "-o", f"ControlPath={socket}", "-O", "exit", "host"]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
    shutil.rmtree(str(sockets), ignore_errors=True)


def _read(log: Path, seconds: float) -> Outcome:
    hosts: Dict[str, Counts] = {}
    changes: Dict[str, List[str]] = {}
    task = ""
    for line in log.read_text(errors="replace").splitlines():
        named, changed, recap = TASK.match(line), CHANGED.match(line), RECAP.match(line)
        if named:
            task = named.group(1)
        elif changed:
            names = changes.setdefault(changed.group(1), [])
            # An item of a loop is a line too.
            names += [task] if task not in names[-1:] else []
        elif recap:
            numbers = dict(part.split("=") for part in recap.group(2).split())
            hosts[recap.group(1)] = Counts(**{name: int(numbers[name]) for name in Counts._fields})
    return Outcome(hosts, changes, log, seconds)


def _failures(log: Path) -> str:
    """Return the failed tasks' words, or the log's end when no task tells."""
    text = log.read_text(errors="replace")
    told: Dict[str, None] = {}
    for failed in FAILED.finditer(text):
        named = [line.group(1) for line in map(TASK.match, text[: failed.start()].splitlines()) if line]
        try:
            fields, end = json.JSONDecoder().raw_decode(text, failed.end())
        except ValueError:
            fields, end = {"msg": text[failed.end() :].splitlines()[0]}, failed.end()
        if not text.startswith(IGNORED, end):
            told[f"{failed.group(1)}: {(named or [''])[-1]}: {_words(fields)}"] = None
    return "\n".join(told) or "\n".join(text.splitlines()[-TAIL_LINES:])


def _words(fields: Dict[str, Any]) -> str:
    parts = [fields.get(key) for key in ("msg", "stderr", "stdout") if fields.get(key)]
    return "\n  ".join(part if isinstance(part, str) else json.dumps(part) for part in parts or [fields])
