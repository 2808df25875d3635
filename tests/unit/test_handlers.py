"""The handler plug-ins: how they are found, and the one that simulates work."""

import time
from importlib import metadata
from pathlib import Path
from typing import Any, List

import pytest

from reasond import handlers
from reasond.errors import SettingsError
from reasond.handlers import Handler, HandlerSetup, SimulatedWork, load
from tests.support.driver_consumer import START_WALL_NS, consumer_settings, message

pytestmark = pytest.mark.unit


class Stranger(Handler):
    """A plug-in as a user would write it."""


class NoHandler:
    """What somebody entered by mistake."""


class Point:
    """An entry point as importlib gives it."""

    def __init__(self, name: str, target: Any) -> None:
        self.name = name
        self._target = target

    def load(self) -> Any:
        if isinstance(self._target, Exception):
            raise self._target
        return self._target


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> List[Point]:
    entered: List[Point] = []
    monkeypatch.setattr(handlers, "_entry_points", lambda: entered)
    return entered


def simulated(**changes: Any) -> SimulatedWork:
    return SimulatedWork(HandlerSetup(settings=consumer_settings(**changes), state_dir=Path("state")))


def test_load_of_an_entered_name_gives_its_class(points: List[Point]) -> None:
    points.append(Point("stranger", Stranger))
    assert load("stranger") is Stranger


def test_load_of_the_built_in_name_works_without_installed_entry_points(points: List[Point]) -> None:
    assert load("simulate") is SimulatedWork


def test_load_of_an_unknown_name_lists_those_that_are_there(points: List[Point]) -> None:
    points.append(Point("stranger", Stranger))
    with pytest.raises(SettingsError, match="CONSUMER_HANDLER.*'nobody'.*simulate, stranger"):
        load("nobody")


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (ImportError("no shop"), "ImportError: no shop"),
        (NoHandler, "no reasond.handlers.Handler"),
        (Stranger.handle, "no reasond.handlers.Handler"),
    ],
    ids=["import fails", "other class", "function"],
)  # fmt: skip
def test_load_of_what_is_no_handler_says_so(points: List[Point], target: Any, text: str) -> None:
    points.append(Point("broken", target))
    with pytest.raises(SettingsError, match=text):
        load("broken")


def test_entry_points_of_the_installed_packages_can_be_listed() -> None:
    # Whatever is installed here: the call must work on this Python.
    assert all(isinstance(point, metadata.EntryPoint) for point in handlers._entry_points())


def test_handler_that_does_not_say_what_to_do_raises() -> None:
    with pytest.raises(NotImplementedError):
        Stranger(HandlerSetup(settings=consumer_settings(), state_dir=Path("state"))).handle([message()])


def test_simulated_work_takes_its_duration_for_each_message() -> None:
    # Given
    work = simulated(handler_duration_ms=20.0)
    # When
    begin = time.monotonic()
    work.handle([message(1), message(2)])
    # Then
    assert time.monotonic() - begin >= 0.04
    assert work.duration_ms([message(1), message(2)]) == 40.0


def test_simulated_work_takes_another_duration_after_a_reload() -> None:
    work = simulated(handler_duration_ms=20.0)
    work.reload(consumer_settings(handler_duration_ms=5.0))
    assert work.duration_ms([message()]) == 5.0


def test_simulated_work_keeps_the_latest_position_of_each_book() -> None:
    # Given
    work, second = simulated(handler_duration_ms=0.0), 10**9
    # When a later message comes before an earlier one
    work.handle([message(book="book_a", place=(2.0, 2.0), at_ns=START_WALL_NS + second)])
    work.handle([message(book="book_a", place=(1.0, 1.0)), message(book="book_b", place=(3.0, 3.0))])
    # Then
    assert {book: at[:2] for book, at in work.positions().items()} == {
        "book_a": (2.0, 2.0),
        "book_b": (3.0, 3.0),
    }


def test_simulated_work_forgets_the_book_not_seen_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "POSITIONS_KEPT", 2)
    work = simulated(handler_duration_ms=0.0)
    work.handle([message(book="book_{}".format(n)) for n in ("a", "b", "a", "c")])
    assert set(work.positions()) == {"book_a", "book_c"}
