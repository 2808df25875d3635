"""The fenced blocks of the docs' pages: which are commands, and who runs them.

A block of language `sh` is run by tests/services/test_docs_commands.py as it stands, unless comments right before it
say otherwise:

    <!-- run by tests/hosts/test_upkeep.py: "rotate.yml" -->   that test runs it; it contains these strings
    <!-- needs: hosts -->                                      it can't be run there for want of this

With `run by` alone, each command line holds one of the strings; beside `needs` some may be left over.
"""

import re
from pathlib import Path
from typing import Iterator, List, NamedTuple, Tuple

from scripts.toolbox import ROOT

PAGES = ("*.md", "docs/**/*.md", "systemd/*.md", "grafana/*.md", "ansible/inventories/*.md", "ansible/roles/*/*.md")
LANGUAGES = ("sh", "text", "python", "toml", "ini", "yaml", "json", "flux")
NEEDS = ("hosts", "a virtual machine", "a cloud", "a Claude key", "an editor", "the system's services", "minutes")
"""What a sandbox hasn't got: systemd with the units of a deployed host; VMs; money; a person; a long time."""
FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MARK = re.compile(r"<!-- (run by|needs:) (.+?) -->\n\Z")
RUN_BY = re.compile(r'([\w./-]+): ((?:"[^"]+"(?:, )?)+)\Z')
COMMANDS = (
    "reasond make ansible-playbook ansible-vault systemctl journalctl rabbitmqctl rabbitmq-plugins pip python3 sudo "
    "ssh install git curl vagrant"
).split()
"""What a line begins with that somebody would type."""


class Block(NamedTuple):
    """A fenced block: its page from the repository's root, its first line's number, and what stands before it."""

    page: str
    line: int
    language: str
    text: str
    run_by: Tuple[Tuple[str, Tuple[str, ...]], ...] = ()
    needs: Tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The block's name in a test's id."""
        return "{}:{}".format(self.page, self.line)

    @property
    def commands(self) -> List[str]:
        """Its command lines, without comments at their ends and with continued lines joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines) if line]

    @property
    def is_run(self) -> bool:
        """Whether the sandbox runs it."""
        return self.language == "sh" and not self.run_by and not self.needs


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """Yield a page's blocks in order."""
    for match in FENCE.finditer(text):
        before, run_by, needs = text[: match.start()], [], []
        mark = MARK.search(before)
        while mark:
            if mark.group(1) == "needs:":
                needs.extend(mark.group(2).split(", "))
            else:
                run_by.append(_runner(mark.group(2)))
            before = before[: mark.start()]
            mark = MARK.search(before)
        line = text.count("\n", 0, match.start()) + 1
        yield Block(page, line, match.group(1), match.group(2), tuple(run_by), tuple(needs))


def all_blocks() -> List[Block]:
    """Give the blocks of every page."""
    pages = sorted({path for pattern in PAGES for path in ROOT.glob(pattern)})
    return [
        block
        for page in pages
        for block in blocks_of(str(page.relative_to(ROOT)), Path(page).read_text(encoding="utf-8"))
    ]


def looks_like_commands(block: Block) -> bool:
    """Tell whether a line of the block is something to type."""
    first = [line.split()[0] for line in block.text.splitlines() if line.strip()]
    return any(word in COMMANDS or word.startswith("scripts/") for word in first)


def _runner(text: str) -> Tuple[str, Tuple[str, ...]]:
    match = RUN_BY.match(text)
    if match is None:
        raise ValueError('"run by" wants a file, a colon and strings in quotes: {}'.format(text))
    return match.group(1), tuple(re.findall(r'"([^"]+)"', match.group(2)))
