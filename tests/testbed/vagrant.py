"""The project in vagrant/, run for real with LXC: a clone of the checkout, what it makes, and its undoing.

All that a `Project` makes on the machine (guests, LXC's bridge, where that wasn't up, and a folder) is undone by
`close()`, and by a guardian process when the test run dies before that.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional

from scripts.toolbox import locked
from tests.testbed.nspawn import ROOT
from tests.testbed.playbook import PRIVATE_PREFIXES

LXC_NET = Path("/usr/libexec/lxc/lxc-net")
BRIDGE = Path("/sys/class/net/lxcbr0")
# LXC's bridge is the machine's: one test run at a time has it.
BRIDGE_LOCK = ("reasond-lxc", Path("/run/lock"))
RECORD = "project.json"
# The command that runs now, by its process group.
RUNNING = "running.pid"
STEP_SECONDS = 60
UP_SECONDS = 1200
TAIL_LINES = 60
# Vagrant without VirtualBox refuses to read a Vagrantfile for it; its version is all that it asks then.
VBOXMANAGE = "#!/bin/sh\necho 7.0.20r163906\n"
SHAPE = """
require "json"
require "vagrant"
environment = Vagrant::Environment.new(cwd: ARGV[0])
machines = environment.machine_names.map do |name|
  machine = environment.machine(name, ARGV[1].to_sym)
  provider = machine.provider_config
  # VirtualBox's keeps its command's options instead, each with its number.
  options = provider.respond_to?(:customizations) ? provider.customizations.map { |_, words| words.last.to_i } : []
  size = provider.respond_to?(:cpus) && options.empty? ? [provider.memory, provider.cpus] : options
  networks = machine.config.vm.networks.map { |kind, options| options.merge(kind: kind) }
  books = machine.config.vm.provisioners.select { |one| one.type == :ansible }.map(&:config)
  installs = books.map { |book| { book: book.playbook, host_vars: book.host_vars } }
  [name, { box: machine.config.vm.box, size: size, networks: networks, installs: installs }]
end
puts JSON.dump(machines.to_h)
"""
LOGIN = re.compile(r"^ +\w+ +(\w+)://(\S+) +user (\S+) +password (\w+)$", re.MULTILINE)
TO_TRY = re.compile(r"(vagrant ssh.*? -c \".*?\"(?= |$))", re.MULTILINE)
RECAP = re.compile(r"^(\S+) +: ok=\d+ +changed=(\d+) +unreachable=0 +failed=0 ", re.MULTILINE)


class Login(NamedTuple):
    """A line of what `vagrant up` says at its end, with the password that it names."""

    address: str
    user: str
    password: str


class VagrantFailed(AssertionError):
    """Vagrant ended with another status than 0; the message carries the end of what it printed."""


class Project:
    """A clone of the checkout with a Vagrant home of its own. Needs root for its guests."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Given variables for every command; nothing of the developer's own Vagrant or Ansible settings is used."""
        self.folder = Path(tempfile.mkdtemp(prefix="reasond-vagrant-", dir="/var/tmp"))
        self.clone = self.folder / "clone"
        (self.folder / RECORD).write_text(json.dumps({"bridge": False}))
        self._guardian = subprocess.Popen(
            [sys.executable, "-m", "tests.testbed.vagrant", str(self.folder)],
            cwd=str(ROOT),
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.clone)], check=True)
        (self.folder / "bin").mkdir()
        vboxmanage = self.folder / "bin" / "VBoxManage"
        vboxmanage.write_text(VBOXMANAGE)
        vboxmanage.chmod(0o755)
        self._environment = {**_clean_environment(self.folder), **environment}

    # Asking without any guest

    def validate(self, provider: str, **variables: str) -> str:
        """Let Vagrant check the Vagrantfile; raise VagrantFailed with what it says against it."""
        return self._run(["vagrant", "validate"], {"VAGRANT_DEFAULT_PROVIDER": provider, **variables})

    def shape(self, provider: str, **variables: str) -> Dict[str, Dict[str, object]]:
        """Return box, size, networks and provisioners of each VM, as Vagrant itself reads them for a provider."""
        command = ["ruby", "-W0", "-e", SHAPE, str(self.clone / "vagrant"), provider]
        shape: Dict[str, Dict[str, object]] = json.loads(self._run(command, variables).splitlines()[-1])
        return shape

    # With guests

    def have_bridge(self) -> None:
        """Start LXC's bridge unless it is up."""
        if not BRIDGE.exists():
            (self.folder / RECORD).write_text(json.dumps({"bridge": True}))
            subprocess.run([str(LXC_NET), "start"], check=True, timeout=STEP_SECONDS)

    def vagrant(self, *arguments: str, timeout_seconds: float = UP_SECONDS, **variables: str) -> str:
        """Run a command of Vagrant's and return what it printed; raise VagrantFailed."""
        return self._run(["vagrant", *arguments], variables, timeout_seconds)

    def shell(self, command: str) -> str:
        """Run what a person would type in vagrant/."""
        return self._run(["bash", "-c", command], {})

    def secrets(self, inventory: str) -> Dict[str, str]:
        """Return what the file of passwords of an inventory holds."""
        file = self.clone / "ansible" / "inventories" / inventory / "group_vars" / "all" / "secrets.yml"
        return dict(re.findall(r'^(\w+): "(.*)"$', file.read_text(), re.MULTILINE))

    def dirt(self) -> str:
        """Return what git finds changed or new in the clone."""
        return _printed(["git", "-C", str(self.clone), "status", "--porcelain"])

    def guests(self) -> List[str]:
        """Return the names of the LXC guests that are this project's."""
        return _guests(self.folder)

    def close(self) -> None:
        """Undo everything."""
        undo(self.folder)
        assert self._guardian.stdin
        self._guardian.stdin.close()
        self._guardian.wait(STEP_SECONDS)

    def _run(self, command: List[str], variables: Mapping[str, str], timeout_seconds: float = STEP_SECONDS) -> str:
        log = self.folder / "last.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                command,
                cwd=str(self.clone / "vagrant"),
                env={**self._environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            (self.folder / RUNNING).write_text(str(child.pid))
            try:
                status: Optional[int] = child.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                _end_running(self.folder)
                child.wait()
        told = log.read_text(errors="replace")
        if status != 0:
            ended = f"not done after {timeout_seconds:g} s" if status is None else f"status {status}"
            end = "\n".join(told.splitlines()[-TAIL_LINES:])
            raise VagrantFailed(f"{' '.join(command[:2])}: {ended}\n{end}")
        return told


def logins(told: str, secrets: Mapping[str, str]) -> Dict[str, Login]:
    """Return the logins that a run's last words tell, by the port's service: http ones by port, amqp by its name."""
    found = {}
    for scheme, address, user, name in LOGIN.findall(told):
        found["amqp" if scheme == "amqp" else address.rpartition(":")[2]] = Login(address, user, secrets[name])
    return found


def to_try(told: str) -> List[str]:
    """Return the commands that a run's last words offer."""
    return TO_TRY.findall(told)


def changes(told: str) -> Dict[str, int]:
    """Return each host's changed tasks by the recap; a host that failed is missing."""
    return {host: int(changed) for host, changed in RECAP.findall(told)}


def _clean_environment(folder: Path) -> Dict[str, str]:
    private = (*PRIVATE_PREFIXES, "VAGRANT_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(private)}
    return {
        **kept,
        # The stand-in for VirtualBox's program comes last, so a real one is used where there is one.
        "PATH": f"{os.environ['PATH']}{os.pathsep}{folder / 'bin'}",
        "LANG": "C.UTF-8",
        "VAGRANT_HOME": str(folder / "home"),
        # Nothing is asked of the vendor.
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "ANSIBLE_HOME": str(folder / "ansible-home"),
    }


def _printed(command: List[str]) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=STEP_SECONDS, check=True)
    return done.stdout.decode(errors="replace")


def _guests(folder: Path) -> List[str]:
    """Return the project's guests that LXC knows, by the names that Vagrant has noted."""
    noted = {path.read_text().strip() for path in folder.glob("clone/vagrant/.vagrant/machines/*/lxc/id")}
    return sorted(noted & set(_printed(["lxc-ls", "-1"]).split())) if shutil.which("lxc-ls") else []


def _end_running(folder: Path) -> None:
    running = folder / RUNNING
    if running.exists():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(running.read_text()), signal.SIGKILL)
        running.unlink()


def undo(folder: Path) -> None:
    """Take away all that the project in this folder made, whatever state it was left in; safe to call twice."""
    if not (folder / RECORD).exists():
        return
    _end_running(folder)
    for guest in _guests(folder):
        subprocess.run(
            ["lxc-destroy", "--force", "--name", guest], capture_output=True, timeout=STEP_SECONDS, check=False
        )
    if json.loads((folder / RECORD).read_text())["bridge"] and BRIDGE.exists():
        subprocess.run([str(LXC_NET), "stop"], capture_output=True, timeout=STEP_SECONDS, check=False)
    shutil.rmtree(str(folder), ignore_errors=True)


if __name__ == "__main__":
    # The guardian: standard input closes with the test run, however that ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.read()
    if (Path(sys.argv[1]) / RECORD).exists():
        with locked(*BRIDGE_LOCK):
            undo(Path(sys.argv[1]))
