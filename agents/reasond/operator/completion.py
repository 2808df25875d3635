"""What a shell may complete: names of agents, and ids of decisions from the transcripts of this host.

A shell waits for it at each press of Tab, so that no service is asked.
"""

import os
import re
from pathlib import Path
from typing import List

import click

from reasond.doctor.examined import examine
from reasond.operator.host import known_agents

TAIL_BYTES = 256 * 1024
"""Of a transcript: some hundred decisions."""
MOST_IDS = 200
_ID = re.compile(r'"decision_id": "([^"\\]+)"')


def agents(ctx: click.Context, param: click.Parameter, incomplete: str) -> List[str]:
    """Give the agents of this host, and those that are expected, whose name begins so."""
    return [name for name in known_agents(examine(os.environ)) if name.startswith(incomplete)]


def agents_and_all(ctx: click.Context, param: click.Parameter, incomplete: str) -> List[str]:
    """Give the same, and `all`."""
    return [*agents(ctx, param, incomplete), *(["all"] if "all".startswith(incomplete) else [])]


def decision_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> List[str]:
    """Give the ids of the latest decisions in this host's transcripts that begin so, newest first."""
    found: List[str] = []
    for agent, directory in examine(os.environ).log_directories().items():
        found += [one for one in _ids(directory / f"{agent}.jsonl") if one.startswith(incomplete)]
    return found[:MOST_IDS]


def _ids(file: Path) -> List[str]:
    try:
        with open(str(file), "rb") as lines:
            lines.seek(0, os.SEEK_END)
            lines.seek(max(0, lines.tell() - TAIL_BYTES))
            text = lines.read().decode("utf-8", "replace")
    except OSError:
        return []
    return list(dict.fromkeys(reversed(_ID.findall(text))))
