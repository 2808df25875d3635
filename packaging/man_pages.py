"""Write the manual pages of the `reasond` command, one for it and one for each command below it.

usage: man_pages.py FOLDER

Everything is taken from the command itself, as `--help` shows it. The date is that of SOURCE_DATE_EPOCH, so that the
same sources give the same pages.
"""

import inspect
import os
import re
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

import click

from reasond import __version__
from reasond.cli import COMMANDS, reasond

# click keeps the lines of a paragraph that begins with this as they are.
AS_IT_IS = "\b"
FILES = (
    ("/etc/reasond/agents.env", "settings of all agents"),
    ("/etc/reasond/publisher-1.env", "and so on: what only this agent has"),
    ("/etc/reasond/secrets.env", "passwords, tokens and the API key, for root alone"),
    ("/var/lib/reasond", "the agents' state"),
    ("/var/log/reasond", "transcripts, rotated by the agents themselves"),
)


def escape(text: str) -> str:
    """Return text in which roff sees no request or escape of its own."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return re.sub(r"^\.", r"\\&.", text, flags=re.MULTILINE)


def contexts(command: click.Command, parent: Optional[click.Context] = None) -> Iterator[click.Context]:
    """Yield the context of a command, then those of all commands below it, hidden ones left out."""
    context = command.make_context(command.name, [], parent=parent, resilient_parsing=True)
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                below.name = name
                yield from contexts(below, context)


def page_name(context: click.Context) -> str:
    """Return the name of a command's page, such as reasond-quarantine-list."""
    return context.command_path.replace(" ", "-")


def summary(context: click.Context) -> str:
    """Return a command's line in a list of commands, without the full stop."""
    listed = COMMANDS.get(context.info_name or "") if context.parent and not context.parent.parent else None
    text = listed[1] if listed else context.command.get_short_help_str(limit=100)
    return text.rstrip(".")


def prose(text: str) -> Iterator[str]:
    """Yield the lines of a help text; examples and what is to keep its lines are set as they are."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text).strip()):
        lines = paragraph.strip().splitlines()
        if not lines:
            continue
        if lines[0].strip() == AS_IT_IS:
            yield from (".PP", ".nf", *map(escape, lines[1:]), ".fi")
        else:
            yield from (".PP", *(escape(line.strip()) for line in lines))


def listed(rows: List[Tuple[str, str]]) -> Iterator[str]:
    """Yield a list of terms and what they mean."""
    for term, meaning in rows:
        yield from (".TP", ".B " + escape(term), escape(meaning) or "\\&")


def options(context: click.Context) -> List[Tuple[str, str]]:
    """Return options and what they mean, as a command's help shows them; arguments only where they say more."""
    records = (parameter.get_help_record(context) for parameter in context.command.get_params(context))
    return [(term, meaning) for term, meaning in filter(None, records) if meaning]


def page(context: click.Context, below: List[click.Context], date: str) -> str:
    """Return a command's page, given also the contexts of the commands right below it."""
    name = page_name(context)
    usage = " ".join(context.command.collect_usage_pieces(context))
    lines = [f'.TH "{escape(name.upper())}" "1" "{date}" "reasond {__version__}" "reasond"']
    lines += [".SH NAME", f"{escape(name)} \\- {escape(summary(context))}"]
    lines += [".SH SYNOPSIS", f".B {escape(context.command_path)}", escape(usage)]
    lines += [".SH DESCRIPTION", *prose(context.command.help or summary(context))]
    lines += [".SH OPTIONS", *listed(options(context))]
    if below:
        lines += [".SH COMMANDS", *listed([(c.info_name or "", summary(c) + ".") for c in below])]
    if context.command.epilog:
        lines += [".SH NOTES", *prose(context.command.epilog)]
    if context.parent is None:
        lines += [".SH FILES", *listed(list(FILES))]
    others = [page_name(c) for c in ([context.parent] if context.parent else []) + below]
    lines += [".SH SEE ALSO", *(f".BR {escape(other)} (1)," for other in others[:-1])]
    lines += [f".BR {escape(others[-1])} (1)"]
    return "\n".join(lines) + "\n"


def pages() -> Iterator[Tuple[str, str]]:
    """Yield name and text of every page."""
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH") or "0")
    date = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d")
    every = list(contexts(reasond))
    for context in every:
        yield page_name(context), page(context, [c for c in every if c.parent is context], date)


def main() -> None:
    """Write the pages."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages():
        (folder / f"{name}.1").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
