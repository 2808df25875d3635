"""Every fenced block of the docs is classified: run in a sandbox, by a test that is named, or wanting something."""

from pathlib import Path

import pytest

from tests.testbed import doc_blocks
from tests.testbed.doc_blocks import all_blocks, blocks_of

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = all_blocks()
SHELL = [block for block in BLOCKS if block.language == "sh"]


def named(blocks):
    return [pytest.param(block, id=block.name) for block in blocks]


@pytest.mark.parametrize("block", named(BLOCKS))
def test_block_has_a_language_and_commands_are_marked_as_such(block):
    assert block.language in doc_blocks.LANGUAGES
    assert block.language == "sh" or not doc_blocks.looks_like_commands(block)
    assert block.language == "sh" or not (block.run_by or block.needs)


@pytest.mark.parametrize("block", named(SHELL))
def test_what_a_block_lacks_is_one_of_the_known_wants(block):
    assert set(block.needs) <= set(doc_blocks.NEEDS)


@pytest.mark.parametrize("block", named(block for block in SHELL if block.run_by))
def test_test_that_is_named_as_running_a_block_contains_what_it_runs(block):
    for path, strings in block.run_by:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert [string for string in strings if string not in text] == [], path
    everything = [string for _, strings in block.run_by for string in strings]
    left = [line for line in block.commands if not any(string in line for string in everything)]
    assert block.needs or left == []


def test_some_blocks_of_every_class_were_found():
    assert len([block for block in SHELL if block.is_run]) >= 10
    assert [block for block in SHELL if block.run_by] and [block for block in SHELL if block.needs]


def test_comments_before_a_block_are_read():
    text = (
        'Words.\n\n<!-- run by tests/a.py: "one", "two" -->\n<!-- needs: hosts, a cloud -->\n```sh\nls # all\n\n# or\n'
    )
    (block,) = blocks_of("p.md", text + "find \\\n  .\n```\n")

    assert block.run_by == (("tests/a.py", ("one", "two")),)
    assert block.needs == ("hosts", "a cloud")
    assert (block.line, block.commands, block.is_run) == (5, ["ls", "find    ."], False)


def test_block_without_a_comment_is_run():
    (block,) = blocks_of("p.md", "<!-- needs: hosts -->\n\n```sh\nls\n```\n")

    assert block.is_run


def test_comment_that_names_no_strings_is_refused():
    with pytest.raises(ValueError, match="strings in quotes"):
        list(blocks_of("p.md", "<!-- run by tests/a.py -->\n```sh\nls\n```\n"))


@pytest.mark.parametrize(
    ("text", "expected"), [("  make lint\n", True), ("reasond doctor\n", True), ("a picture of reasond\n", False)]
)
def test_lines_to_type_are_recognised_in_a_block_of_text(text, expected):
    (block,) = blocks_of("p.md", "```text\n" + text + "```\n")

    assert doc_blocks.looks_like_commands(block) is expected
