"""A service's process: started in a group of its own, ended by that group's id and by nothing else."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from tests.testbed.waiting import NeverHappened, wait_until

STOP_SECONDS = 30
KILL_SECONDS = 10
STILL_SECONDS = 10
LOG_LINES_SHOWN = 60
# Below the range that the kernel gives to outgoing connections, so that a port is still free when a
# service comes back to it after a kill.
PORTS = range(20000, 30000)

# Ends what a killed test run left behind: its standard input closes with the run, however that ended.
_GUARDIAN = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    sign, group = line[0], int(line[1:])
    groups.add(group) if sign == "+" else groups.discard(group)
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""
_guardian: "Optional[subprocess.Popen[bytes]]" = None


class DidNotStart(Exception):
    """A service ended or stayed silent at its start; the message carries the end of its log."""


def free_ports(count: int) -> List[int]:
    """Return that many different loopback ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        ports: List[int] = []
        for port in random.sample(PORTS, len(PORTS)):
            probe = stack.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
            if len(ports) == count:
                return ports
    raise DidNotStart("no free ports")


def _tell_guardian(sign: str, group: int) -> None:
    global _guardian
    if _guardian is None:
        command = [sys.executable, "-S", "-c", _GUARDIAN]
        _guardian = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    assert _guardian.stdin
    _guardian.stdin.write(f"{sign}{group}\n".encode())
    _guardian.stdin.flush()


def _fields(folder: Path) -> List[str]:
    """Return what stands in a process's or thread's stat after its name: state, parent, group, ..."""
    return (folder / "stat").read_text().rpartition(")")[2].split()


class Process:
    """One process group of the test bed; may be started again after it was stopped or killed."""

    def __init__(self, name: str, command: Sequence[str], environment: Dict[str, str], folder: Path) -> None:
        self.name = name
        self.command = list(command)
        self.environment = environment
        self.folder = folder
        self.log_path = folder / f"{name}.log"
        self._popen: Optional[subprocess.Popen[bytes]] = None

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def pid(self) -> int:
        """The id of the first process, which is its group's id too."""
        assert self._popen, f"{self.name} is not running"
        return self._popen.pid

    @property
    def exit_status(self) -> Optional[int]:
        """How the process ended; None while it runs or before it was started."""
        return None if self._popen is None else self._popen.poll()

    def log_tail(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines() if self.log_path.exists() else []
        return "\n".join(lines[-LOG_LINES_SHOWN:])

    def launch(self) -> None:
        """Start the process without waiting for it to be of use."""
        assert not self.running, f"{self.name} is running already"
        with self.log_path.open("ab") as log:
            self._popen = subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=str(self.folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _tell_guardian("+", self._popen.pid)

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """Ask the process to end, and kill it if it has not by the deadline."""
        if self.running:
            self.signal_cont()
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                assert self._popen
                self._popen.wait(timeout_seconds)
        self.kill()

    def terminate(self) -> None:
        """Ask the process to end (SIGTERM), without waiting."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the whole group at once, as a crash would."""
        if self._popen is None:
            return
        self._signal(signal.SIGKILL)
        self._popen.wait(KILL_SECONDS)
        wait_until(self._group_is_gone, what=f"the end of {self.name}", timeout_seconds=KILL_SECONDS)
        _tell_guardian("-", self._popen.pid)
        self._popen = None

    def signal_stop(self) -> None:
        """Freeze the service (SIGSTOP): its sockets stay open and nobody answers. Returns once it stands still."""
        self._signal(signal.SIGSTOP)
        # One thread takes the signal and stops the others; on a busy machine they go on, and answer, until it has run.
        wait_until(
            lambda: all(state in "TZX" for state in self._thread_states()),
            what=f"{self.name} standing still",
            timeout_seconds=STILL_SECONDS,
        )

    def signal_cont(self) -> None:
        """Let a frozen service go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._popen is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, number)

    def _thread_states(self) -> List[str]:
        """Return the state's letter of each thread of the group, as proc(5) has it."""
        if self._popen is None:
            return []
        states: List[str] = []
        for process in Path("/proc").glob("[0-9]*"):
            # One that ends while it is looked at has no state any more.
            with contextlib.suppress(OSError):
                if _fields(process)[2] == str(self._popen.pid):
                    states += [_fields(thread)[0] for thread in (process / "task").iterdir()]
        return states

    def _group_is_gone(self) -> bool:
        assert self._popen
        try:
            os.killpg(self._popen.pid, 0)
        except ProcessLookupError:
            return True
        return False


class Service:
    """A process that serves requests; subclasses say when it is ready."""

    START_SECONDS = 60.0

    def __init__(self, process: Process) -> None:
        self.process = process

    def ready(self) -> bool:
        """Tell whether the service answers; an OSError means not yet."""
        raise NotImplementedError

    def start(self) -> None:
        """Start on the same data and ports as before, and wait until it answers."""
        self.process.launch()
        try:
            wait_until(
                lambda: not self.process.running or self.ready(),
                what=f"{self.process.name} answering",
                timeout_seconds=self.START_SECONDS,
            )
        except NeverHappened as err:
            tail = self.process.log_tail()
            self.process.kill()
            raise DidNotStart(f"{err}\n{tail}") from err
        if not self.process.running:
            self.process.kill()
            raise DidNotStart(f"{self.process.name} ended while starting\n{self.process.log_tail()}")

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        self.process.kill()

    def signal_stop(self) -> None:
        self.process.signal_stop()

    def signal_cont(self) -> None:
        self.process.signal_cont()

    def close(self) -> None:
        """End everything that belongs to the service; at once, as its data is not needed any more."""
        self.kill()
