"""Tell which running agents are not what their files say; run on the host, as root, by the release's own Python.

usage: differing_agents.py CONFIG_FOLDER AGENT...

Compares what each process was started with (its program, its environment) with what a start would give it now.
So a run of Ansible that ended early, a rollback or a new token is found as surely as a change of this run. Prints
one JSON object: agent -> why, for those that run and differ. Names of variables are told, never values.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

from reasond import settings
from reasond.adapters import envfile

COMMAND = "/usr/bin/reasond"
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
# Not settings of ours, and still obeyed by the libraries: one that left the files is to leave the process.
OTHERS = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "TZ")


def unit_of(agent: str) -> str:
    """Return the unit of an agent."""
    return "{}@{}.service".format(*agent.split("-"))


def main_pid(unit: str) -> int:
    """Return the unit's process, 0 when it runs none."""
    command = ["systemctl", "show", "--property=MainPID", "--value", unit]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode().strip() or 0)


def environment_of(pid: int) -> Dict[str, str]:
    """Return what a process was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "surrogateescape").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def started_at(pid: int) -> float:
    """Return a process's start, seconds since 1970."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    (booted,) = (line.split()[1] for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    return int(booted) + ticks / TICKS_A_SECOND


def program_differs(pid: int) -> str:
    """Tell how the process's program differs from the installed one, "" when it doesn't."""
    installed = Path(COMMAND).resolve()
    with installed.open("rb") as file:
        interpreter = file.readline()[2:].split()[0]
    if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] != interpreter:
        return "it runs another release"
    # A package puts the new program in the old one's place; a second more, as the kernel rounds.
    return "its program is newer than it" if installed.stat().st_ctime > started_at(pid) + 1 else ""


def environment_differs(folder: str, agent: str, pid: int) -> List[str]:
    """Return the variables in which the process's environment differs from its files."""
    files = [f"{folder}/agents.env", f"-{folder}/{agent}.env", f"-{folder}/tokens/agents.env", f"{folder}/secrets.env"]
    wanted, held = envfile.read_all(files), environment_of(pid)
    # Those that the unit itself sets stand in no file.
    own = {"PUBLISHER_ID", "CONSUMER_ID", "AGENT_ID", "REASOND_SETTINGS_FILES"}
    names = {setting.env for setting in settings.all_settings()} | set(wanted) | set(OTHERS)
    return sorted(name for name in names - own if wanted.get(name) != held.get(name))


def difference(folder: str, agent: str) -> str:
    """Tell why an agent should be started anew, "" when it should not or doesn't run."""
    pid = main_pid(unit_of(agent))
    if not pid:
        return ""
    try:
        names = environment_differs(folder, agent, pid)
        return program_differs(pid) or ("changed: " + ", ".join(names) if names else "")
    except FileNotFoundError:  # it has just ended
        return ""


def main() -> None:
    """Print the agents."""
    folder, agents = sys.argv[1], sys.argv[2:]
    found = {agent: difference(folder, agent) for agent in agents}
    sys.stdout.write(json.dumps({agent: why for agent, why in found.items() if why}) + "\n")


if __name__ == "__main__":
    main()
