"""Real systemd hosts in systemd-nspawn, on a bridge with NAT; used by the hosts tier.

Each host is an overlay over a cached tree (scripts/get-nspawn) with an address and cgroups of its own. All
that a `Room` makes on the machine (processes, mounts, bridge, iptables rules, cgroups, folder) is undone by
`close()`, and by a guardian process when the test run dies before that.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from scripts.toolbox import locked
from tests.testbed.waiting import NeverHappened, wait_until

ROOT = Path(__file__).resolve().parents[2]
CGROUPS = Path("/sys/fs/cgroup")
# With the controllers' own hierarchies the guest can limit memory and tasks; `unified` alone has none of them.
CONTROLLERS = ("unified", "systemd", "memory", "cpu", "cpuacct", "pids", "blkio")
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
# Rooms made and undone at once, by several processes, must not take one subnet, nor forwarding from each other.
NETWORKS_LOCK = ("reasond-hosts-networks", Path("/run/lock"))
RECORD = "room.json"
BRIDGE_PREFIX = "rsnd"
# Whether iptables sees what passes between two ports of a bridge.
BRIDGE_FILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
SSH_KEY = "id_ed25519"
BOOT_SECONDS = 120
COMMAND_SECONDS = 60
GUEST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Joins its cgroups, then boots; nspawn ends with 133 when the guest asked for a reboot.
LAUNCHER = """
cgroups=$1
shift
for folder in $cgroups; do echo $$ > "$folder/cgroup.procs" || exit 1; done
while :; do
    "$@"
    status=$?
    [ $status = 133 ] || exit $status
done
"""
# nspawn mounts the controllers read-only; limits are set only after this has run and systemd looked again.
LIMITS_SERVICE = """[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'mount -o remount,rw,bind /sys/fs/cgroup; \
for c in /sys/fs/cgroup/*; do [ -L $c ] || mount -o remount,rw,bind $c; done; systemctl daemon-reexec'
[Install]
WantedBy=sysinit.target
"""


class CommandFailed(AssertionError):
    """A command inside a host ended with another status than 0; the message carries what it printed."""


def _run(*command: str, check: bool = True, timeout: float = COMMAND_SECONDS) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False)
    text = done.stdout.decode(errors="replace")
    if check and done.returncode:
        raise CommandFailed(f"{' '.join(command)}: status {done.returncode}\n{text}")
    return text


class Host:
    """One guest: switched on and off, asked and told by commands that run inside it as root."""

    def __init__(self, room: "Room", name: str, address: str) -> None:
        """Made by `Room.host`; stands there switched off."""
        self.name = name
        self.machine = f"{room.token}-{name}"
        self.address = address
        self.ssh_key = room.ssh_key
        self.folder = room.folder / name
        self.root = self.folder / "root"
        self.console = self.folder / "console.log"
        self._room = room
        self._binds: List[str] = []
        self._launcher: Optional[subprocess.Popen[bytes]] = None

    # Before it is switched on

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file into the host, on or off; its folder is made."""
        target = Path(f"{self.root}{path}") if self._launcher is None else self._live_root() / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def bind(self, source: Path, target: str) -> None:
        """Show a folder of this machine in the host, read-only, from its next start on."""
        self._binds.append(f"--bind-ro={source}:{target}")

    # Power

    def power_on(self, timeout: float = BOOT_SECONDS) -> str:
        """Switch on, wait until nothing is being started any more, and return systemd's verdict."""
        environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "0" if self._room.limits else "1"}
        command = ["systemd-nspawn", "--quiet", f"--directory={self.root}", "--boot", "--register=no", "--keep-unit"]
        command += [f"--machine={self.machine}", f"--hostname={self.name}", "--resolv-conf=off", "--link-journal=no"]
        command += [f"--network-bridge={self._room.bridge}", *self._binds]
        cgroups = " ".join(str(folder) for folder in self._room.make_cgroups(self.name))
        with self.console.open("ab") as console:
            self._launcher = subprocess.Popen(
                ["sh", "-c", LAUNCHER, "sh", cgroups, *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.wait_booted(timeout)

    def reboot(self, timeout: float = BOOT_SECONDS) -> str:
        """Reboot in an orderly way and wait as `power_on` does."""
        old = self.leader()
        self.run("systemctl", "--no-block", "reboot")
        wait_until(lambda: self.leader() not in (None, old), what=f"reboot of {self.name}", timeout_seconds=timeout)
        return self.wait_booted(timeout)

    def power_cut(self) -> None:
        """End everything inside at once; what was written survives, as the page cache is the machine's."""
        leader = self.leader()
        assert leader and self._launcher
        os.kill(leader, signal.SIGKILL)
        self._launcher.wait(COMMAND_SECONDS)
        self._launcher = None

    def wait_booted(self, timeout: float = BOOT_SECONDS) -> str:
        """Wait for the end of the start-up; raises NeverHappened with the console's last lines."""
        try:
            return wait_until(self._verdict, what=f"boot of {self.name}", timeout_seconds=timeout, every_seconds=0.2)
        except NeverHappened as err:
            raise NeverHappened(f"{err}\n{self.console.read_text(errors='replace')[-3000:]}") from err

    def _verdict(self) -> str:
        assert self._launcher and self._launcher.poll() is None, f"{self.name} is off\n{self.console.read_text()}"
        if self.leader() is None:
            return ""
        said = self.run("systemctl", "is-system-running", check=False).strip()
        return said if said in ("running", "degraded") else ""

    def leader(self) -> Optional[int]:
        """Return the machine's id of the process that is 1 inside, None when it is off."""
        for pid in self._room.pids(self.name):
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("NSpid:") and line.split()[2:] == ["1"]:
                        return pid
        return None

    def _live_root(self) -> Path:
        leader = self.leader()
        assert leader, f"{self.name} is off"
        return Path(f"/proc/{leader}/root")

    # Inside

    def run(self, *command: str, check: bool = True, timeout: float = COMMAND_SECONDS) -> str:
        """Run a command inside and return what it printed; raises CommandFailed unless told not to."""
        leader = self.leader()
        assert leader, f"{self.name} is off"
        inside = ["nsenter", "--target", str(leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
        clean = ["env", "-i", f"PATH={GUEST_PATH}", "LANG=C.UTF-8", "HOME=/root"]
        return _run(*inside, *clean, *command, check=check, timeout=timeout)

    def sh(self, script: str, check: bool = True, timeout: float = COMMAND_SECONDS) -> str:
        """Run a shell script inside."""
        return self.run("sh", "-euc", script, check=check, timeout=timeout)

    def show(self, unit: str, *properties: str) -> Dict[str, str]:
        """Return properties of a unit as systemd has them in force."""
        lines = self.run("systemctl", "show", "--no-pager", f"--property={','.join(properties)}", unit).splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def journal(self, *matches: str) -> List[Dict[str, Any]]:
        """Return the journal's entries of this boot, or of others by `-b`, as journalctl -o json gives them."""
        boot = [] if any(match.startswith("-b") for match in matches) else ["-b"]
        text = self.run("journalctl", "--no-pager", "--output=json", "--all", *boot, *matches)
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


class Room:
    """A bridge, its NAT, and the hosts on it. Needs root."""

    def __init__(self, tree: Path, *, limits: bool = False) -> None:
        """Given the tree that hosts are made of; `limits`: memory and task limits are enforced in them.

        `ssh_key` is the private key's file that lets root into every host.
        """
        self.tree = tree
        self.limits = limits
        # Interface names have 15 characters: "vb-", this, a dash and the host's name.
        self.token = "r" + secrets.token_hex(2)
        self.bridge = BRIDGE_PREFIX + self.token
        self.cgroup = f"reasond-{self.token}"
        self.folder = Path(tempfile.mkdtemp(prefix="reasond-hosts-", dir="/var/tmp"))
        self.hosts: Dict[str, Host] = {}
        self.ssh_key = self.folder / SSH_KEY
        self._partitions = 0
        with locked(*NETWORKS_LOCK):
            self.subnet = _free_subnet()
            self._guardian = self._guarded()
            self._make_network()
        self._addresses = (f"{self.subnet}.{number}" for number in range(10, 255))
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.token, "-f", str(self.ssh_key))

    def host(self, name: str, tree: Optional[Path] = None) -> Host:
        """Add a host with the next address, switched off; up to 6 characters of name.

        It is made of the room's tree unless another Debian's is given.
        """
        assert len(name) <= 6, "the interface's name would be too long"
        host = Host(self, name, next(self._addresses))
        for part in ("upper", "work", "root"):
            (host.folder / part).mkdir(parents=True)
        options = f"lowerdir={tree or self.tree},upperdir={host.folder / 'upper'},workdir={host.folder / 'work'}"
        _run("mount", "-t", "overlay", "overlay", "-o", options, str(host.root))
        self._furnish(host)
        self.hosts[name] = host
        return host

    def discard(self, host: Host) -> None:
        """Switch a host off and remove all of it; its name is free again."""
        if host.leader():
            host.power_cut()
        _run("umount", "--lazy", str(host.root))
        shutil.rmtree(str(host.folder))
        del self.hosts[host.name]

    @contextlib.contextmanager
    def partition(self, first: Host, second: Host) -> Iterator[None]:
        """Cut two hosts off from each other as long as the block runs; both still reach the rest.

        What was connected hangs, as nothing is refused. Blocks may be nested where iptables filters bridges
        (with Docker's or Kubernetes' br_netfilter), otherwise only one can be open.
        """
        cut = self._filter if _bridge_filtered() else self._isolate
        cut(first, second, True)
        self._partitions += 1
        try:
            yield
        finally:
            self._partitions -= 1
            cut(first, second, False)

    def _filter(self, first: Host, second: Host, cut: bool) -> None:
        for source, target in ((first.address, second.address), (second.address, first.address)):
            rule = ["FORWARD", "-s", source, "-d", target, "-j", "DROP"]
            _run("iptables", "-w", "-I" if cut else "-D", *rule)

    def _isolate(self, first: Host, second: Host, cut: bool) -> None:
        # An isolated port of a bridge reaches no other isolated one.
        assert not self._partitions, "two partitions at once need br_netfilter"
        for host in (first, second):
            _run("bridge", "link", "set", "dev", f"vb-{host.machine}", "isolated", "on" if cut else "off")

    def close(self) -> None:
        """Undo everything."""
        undo(self.folder)
        assert self._guardian.stdin
        self._guardian.stdin.close()
        self._guardian.wait(COMMAND_SECONDS)

    def pids(self, name: str) -> Iterator[int]:
        """Yield the processes of a host, the machine's ids."""
        yield from _pids(f"{self.cgroup}/{name}")

    def make_cgroups(self, name: str) -> List[Path]:
        """Make a host's cgroups: hosts that share one disturb each other."""
        made = []
        for hierarchy in _hierarchies():
            folder = hierarchy / self.cgroup / name
            folder.mkdir(parents=True, exist_ok=True)
            made.append(folder)
        return made

    def limit_memory(self, name: str, size_bytes: int) -> None:
        """Give a host that is on no more memory than this; needs `limits`."""
        assert self.limits
        (CGROUPS / "memory" / self.cgroup / name / "memory.limit_in_bytes").write_text(str(size_bytes))

    def _guarded(self) -> "subprocess.Popen[bytes]":
        """Record what there will be to undo, and start who undoes it even when this process is killed."""
        record = {"bridge": self.bridge, "subnet": self.subnet, "cgroup": self.cgroup}
        record["forwarding"] = FORWARDING.read_text().strip()
        (self.folder / RECORD).write_text(json.dumps(record))
        command = [sys.executable, "-m", "tests.testbed.nspawn", str(self.folder)]
        return subprocess.Popen(command, cwd=str(ROOT), stdin=subprocess.PIPE, start_new_session=True)

    def _make_network(self) -> None:
        _run("ip", "link", "add", self.bridge, "type", "bridge")
        _run("ip", "address", "add", f"{self.subnet}.1/24", "dev", self.bridge)
        _run("ip", "link", "set", self.bridge, "up")
        FORWARDING.write_text("1")
        for table, chain, rule in _rules(self.bridge, self.subnet):
            _run("iptables", "-w", "-t", table, "-I", chain, *rule)

    def _furnish(self, host: Host) -> None:
        # Without an identity systemd would take this for a first boot and enable every unit there is.
        host.write("/etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444)
        host.write("/etc/hostname", f"{host.name}\n")
        host.write("/etc/hosts", f"127.0.0.1 localhost {host.name}\n")
        host.write("/etc/resolv.conf", Path("/etc/resolv.conf").read_text())
        network = f"[Match]\nName=host0\n[Network]\nAddress={host.address}/24\nGateway={self.subnet}.1\n"
        host.write("/etc/systemd/network/10-host0.network", network)
        host.write("/root/.ssh/authorized_keys", self.ssh_key.with_suffix(".pub").read_text(), 0o600)
        (host.root / "root" / ".ssh").chmod(0o700)
        (host.root / "var" / "log" / "journal").mkdir(exist_ok=True)
        if self.limits:
            host.write("/etc/systemd/system/limits.service", LIMITS_SERVICE)
            wants = host.root / "etc/systemd/system/sysinit.target.wants"
            wants.mkdir(exist_ok=True)
            (wants / "limits.service").symlink_to("/etc/systemd/system/limits.service")


def _free_subnet() -> str:
    taken = _run("ip", "-4", "-brief", "address") + _run("ip", "-4", "route")
    for number in range(1, 255):
        if f"10.77.{number}." not in taken:
            return f"10.77.{number}"
    raise NeverHappened("no free subnet")


def _rules(bridge: str, subnet: str) -> List[Tuple[str, str, List[str]]]:
    net = f"{subnet}.0/24"
    return [
        ("nat", "POSTROUTING", ["-s", net, "!", "-d", net, "-j", "MASQUERADE"]),
        # A machine with Docker drops what it forwards unless told otherwise.
        ("filter", "FORWARD", ["-i", bridge, "-j", "ACCEPT"]),
        ("filter", "FORWARD", ["-o", bridge, "-j", "ACCEPT"]),
    ]


def _bridge_filtered() -> bool:
    return BRIDGE_FILTER.exists() and BRIDGE_FILTER.read_text().strip() == "1"


def _hierarchies() -> List[Path]:
    mounted = [CGROUPS / name for name in CONTROLLERS if (CGROUPS / name / "cgroup.procs").exists()]
    return mounted or [CGROUPS]


def _pids(cgroup: str) -> Iterator[int]:
    seen = set()
    for hierarchy in _hierarchies():
        for procs in (hierarchy / cgroup).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                seen.update(int(line) for line in procs.read_text().split())
    yield from sorted(pid for pid in seen if pid)


def _remove_rules(bridge: str, subnet: str) -> None:
    for table, chain, rule in _rules(bridge, subnet):
        _run("iptables", "-w", "-t", table, "-D", chain, *rule, check=False)
    # A partition's, when the run was killed in it.
    for added in _run("iptables", "-w", "-S", "FORWARD", check=False).splitlines():
        if f" {subnet}." in added:
            _run("iptables", "-w", "-D", *added.split()[1:], check=False)


def undo(folder: Path) -> None:
    """Take away all that the room in this folder made, whatever state it was left in; safe to call twice."""
    record_file = folder / RECORD
    if not record_file.exists():
        return
    record = json.loads(record_file.read_text())
    wait_until(lambda: _killed(record["cgroup"]), what="the hosts' end", timeout_seconds=COMMAND_SECONDS)
    for root in folder.glob("*/root"):
        _run("umount", "--lazy", str(root), check=False)
    with locked(*NETWORKS_LOCK):
        _remove_rules(record["bridge"], record["subnet"])
        _run("ip", "link", "delete", record["bridge"], check=False)
        if record["forwarding"] == "0" and BRIDGE_PREFIX not in _run("ip", "-brief", "link"):
            FORWARDING.write_text("0")
    for hierarchy in _hierarchies():
        top = hierarchy / record["cgroup"]
        for cgroup in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
            cgroup.rmdir()
        if top.exists():
            top.rmdir()
    shutil.rmtree(str(folder), ignore_errors=True)


def _killed(cgroup: str) -> bool:
    alive = list(_pids(cgroup))
    for pid in alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return not alive


if __name__ == "__main__":
    # The guardian: standard input closes with the test run, however that ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.read()
    undo(Path(sys.argv[1]))
