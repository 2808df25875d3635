"""How far a feed is done."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.content.ledger import Ledger, Line, Position

pytestmark = pytest.mark.unit


def lines(count, generation=1):
    return [Line(generation, 7, 10 * n, 10 * n + 10, n + 1, b"x") for n in range(count)]


def test_position_waits_for_the_oldest_line_and_then_passes_all_that_is_done():
    ledger = Ledger()
    seqs = [ledger.add(line) for line in lines(3)]
    ledger.done(seqs[1])
    assert ledger.position == Position()
    assert ledger.state()["done"] == [[1, 10]]
    ledger.done(seqs[0])
    assert ledger.position == Position(1, 7, 20, 2)
    assert (len(ledger), ledger.state()["done"]) == (1, [])


@given(st.integers(0, 12), st.data())
def test_restart_gives_exactly_the_lines_that_were_not_done(count, data):
    # Given lines of which some are done, in any order
    ledger = Ledger()
    seqs = [ledger.add(line) for line in lines(count)]
    done = data.draw(st.lists(st.sampled_from(range(count)), unique=True)) if count else []
    for n in done:
        ledger.done(seqs[n])
    # When another goes on from the state as it is kept
    state = json.loads(json.dumps(ledger.state()))
    again = Ledger(state)
    rest = [line for line in lines(count) if line.start >= again.position.offset]
    given_again = {line.start // 10 for line in rest if again.add(line) is not None}
    # Then
    assert given_again == set(range(count)) - set(done)
    assert again.state() == ledger.state()


def test_done_lines_of_another_incarnation_are_others():
    ledger = Ledger({"generation": 1, "inode": 7, "offset": 0, "number": 0, "done": [[1, 10]]})
    assert all(ledger.add(line) is not None for line in lines(2, generation=2))


@pytest.mark.parametrize(
    "state",
    [None, [], {}, {"generation": 1}, {"generation": 1, "inode": 2, "offset": -1, "number": 0, "done": []},
     {"generation": True, "inode": 2, "offset": 1, "number": 0}],
    ids=["none", "list", "empty", "incomplete", "negative", "bool"],
)  # fmt: skip
def test_unreadable_state_counts_as_none(state):
    assert Ledger(state).position == Position()


def test_unreadable_done_entries_are_left_out():
    state = {"generation": 1, "inode": 2, "offset": 3, "number": 4, "done": [[1, 5], 3, ["a", 1], [1]]}
    assert Ledger(state).state()["done"] == [[1, 5]]
