"""Ports of a test host's own loopback, reached as its operator would: through ssh."""

import contextlib
import socket
import subprocess
from typing import Dict, Iterator

from tests.testbed.nspawn import Host
from tests.testbed.playbook import SSH_OPTIONS
from tests.testbed.process import free_ports
from tests.testbed.waiting import wait_until

OPEN_SECONDS = 20


@contextlib.contextmanager
def tunnel(host: Host, *ports: int, bind: str = "127.0.0.1") -> Iterator[Dict[int, str]]:
    """Give this machine's `127.0.0.1:PORT` for each port that the host listens on, as long as the block runs."""
    local = dict(zip(ports, free_ports(len(ports))))
    command = ["ssh", "-N", "-i", str(host.ssh_key), *SSH_OPTIONS.split(), "-o", "ExitOnForwardFailure=yes"]
    for port, here in local.items():
        command += ["-L", f"127.0.0.1:{here}:{bind}:{port}"]
    child = subprocess.Popen([*command, f"root@{host.address}"], stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: all(map(_open, local.values())), what=f"tunnel to {host.name}", timeout_seconds=OPEN_SECONDS)
        yield {port: f"127.0.0.1:{here}" for port, here in local.items()}
    finally:
        child.terminate()
        child.wait(OPEN_SECONDS)


def _open(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
