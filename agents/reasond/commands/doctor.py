"""`reasond doctor`: check dependencies, credentials, permissions, clocks and versions; say how to mend each."""

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import click

from reasond.doctor import broker, claude, findings, host, store
from reasond.doctor.examined import Examined, examine
from reasond.doctor.findings import Check, Finding, State

_SHOWN: Dict[str, Tuple[str, str]] = {
    "ok": ("ok", "green"),
    "warning": ("warning", "yellow"),
    "fail": ("FAIL", "red"),
    "skipped": ("skipped", "cyan"),
}
NAME_WIDTH = 24


@click.command(short_help="Check every dependency and say how to mend it.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
@click.option(
    "--api", "ask_api", is_flag=True, help="Also reach the Claude API: lists its models, which costs nothing."
)
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@click.option(
    "--settings",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read this settings file (may be given several times); default: those in /etc/reasond.",
)
def doctor(as_json: bool, ask_api: bool, strict: bool, files: Tuple[Path, ...]) -> None:
    """Look at all that agents need, change nothing, and say how to mend what isn't well.

    Settings come from the environment, over those of the settings files. Run it as root, or as the agents'
    user, where those files or the state directories are closed to others. Nothing is left behind on any
    service, no money is spent, no secret is printed. Ends within 30 s, also with everything down. Exits with 0
    when nothing has failed, with 1 otherwise.

    \b
    Examples:
      sudo reasond doctor
      reasond doctor --json | jq '.findings[] | select(.state == "fail")'
      reasond doctor --api --settings ./agents.env --settings ./secrets.env
    """
    found = findings.run(all_checks(examine(os.environ, files or None, ask_api=ask_api)))
    counts = Counter(finding.state for finding in found)
    well = not counts["fail"] and not (strict and counts["warning"])
    if as_json:
        click.echo(json.dumps({"ok": well, "findings": [_as_dict(finding) for finding in found]}))
    else:
        _print(found, counts)
    sys.exit(0 if well else 1)


def all_checks(examined: Examined) -> List[Check]:
    """Give every check, in the order in which they are told."""
    return [
        *host.checks(examined),
        *broker.checks(examined),
        *store.checks(examined),
        *claude.checks(examined),
    ]


def _as_dict(finding: Finding) -> Dict[str, str]:
    return {name: getattr(finding, name) for name in finding.__struct_fields__}


def _print(found: Sequence[Finding], counts: "Counter[State]") -> None:
    for finding in found:
        word, colour = _SHOWN[finding.state]
        click.echo(
            "{}  {:<{}}  {}".format(click.style(f"{word:<7}", fg=colour), finding.name, NAME_WIDTH, finding.found)
        )
        if finding.mend and finding.state in ("warning", "fail"):
            click.echo("{:9}{:<{}}  {}".format("", "", NAME_WIDTH, "mend: " + finding.mend))
    click.echo(
        "{} ok, {} warnings, {} to mend, {} skipped".format(
            counts["ok"], counts["warning"], counts["fail"], counts["skipped"]
        )
    )
