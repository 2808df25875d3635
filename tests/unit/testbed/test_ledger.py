"""The ledger must be able to find what it is there to find: a planted loss and a planted double."""

import pytest

from tests.testbed.ledger import Note, balance

CONFIRMED = ["a", "b", "c", "d", "e"]


def note(message_id, consumer="consumer-1", what="handled"):
    return Note(what=what, message_id=message_id, source="load-1", stamp_s=1.0, consumer=consumer, pid=1, at_s=2.0)


def sound():
    """Three handled, one expired, one still queued."""
    handled = [note("a"), note("b", "consumer-2"), note("c")]
    return handled, {"books.expired": ["d"], "fictional": ["e"], "priority": []}


def test_sound_run_balances():
    handled, queued = sound()

    found = balance(CONFIRMED, handled, queued)

    assert (found.lost, found.doubles, found.strangers) == ((), {}, ())
    assert found.ends == {"handled": 3, "books.expired": 1, "fictional": 1}


def test_planted_loss_is_named():
    handled, queued = sound()

    found = balance(CONFIRMED, handled[:1] + handled[2:], queued)

    assert (found.lost, found.doubles) == (("b",), {})


def test_message_only_begun_is_lost():
    handled, queued = sound()

    found = balance(CONFIRMED, [note("a", what="begun"), *handled[1:]], queued)

    assert found.lost == ("a",)


@pytest.mark.parametrize(
    "more, ends",
    [
        ({"handled": [note("a", "consumer-2")]}, ("consumer-1", "consumer-2")),
        ({"handled": [note("a")]}, ("consumer-1", "consumer-1")),
        ({"books.flagged": ["a"]}, ("consumer-1", "books.flagged")),
        ({"priority": ["a"]}, ("consumer-1", "priority")),
    ],
    ids=["handled by two", "handled twice by one", "handled and set aside", "handled and still queued"],
)
def test_planted_double_is_named_with_its_ends(more, ends):
    handled, queued = sound()
    handled += more.pop("handled", [])
    queued.update(more)

    found = balance(CONFIRMED, handled, queued)

    assert (found.lost, found.doubles) == ((), {"a": ends})


def test_double_of_an_unconfirmed_message_is_named_too():
    handled, queued = sound()

    found = balance(CONFIRMED, [*handled, note("x"), note("x")], queued)

    assert (found.strangers, list(found.doubles)) == (("x",), ["x"])
