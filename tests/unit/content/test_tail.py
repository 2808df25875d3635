"""Following a file as `tail -F` does. Every step is called by hand: no thread, no wait."""

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.content.ledger import Position
from reasond.content.tail import IDLE_POLLS, TOO_LONG, Stream, Tail
from reasond.messages import MAX_BODY_BYTES

pytestmark = pytest.mark.unit


class Told(list):
    def __call__(self, event, fields):
        self.append(event)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "feed.jsonl"


def append(path, data):
    with path.open("ab") as file:
        file.write(data)


def drain(tail, polls=2 * IDLE_POLLS + 3):
    return [line for _ in range(polls) for line in tail.poll(1000)]


def texts(lines):
    return [line.text for line in lines if not line.again]


def opened(path, position=None):
    told = Told()
    return Tail(path, position or Position(), told), told


def test_lines_are_given_as_they_come_and_a_partial_one_waits(path):
    path.write_bytes(b"one\ntwo\nthr")
    tail, _ = opened(path)
    assert texts(drain(tail)) == [b"one", b"two"]
    append(path, b"ee\r\nfour\n")
    lines = drain(tail)
    assert texts(lines) == [b"three", b"four"]
    assert [(line.start, line.end, line.number) for line in lines] == [(8, 15, 3), (15, 20, 4)]


def test_file_that_is_not_there_yet_is_said_once_and_read_when_it_comes(path):
    tail, told = opened(path)
    assert drain(tail) == []
    assert told == ["feed_missing"]
    path.write_bytes(b"one\n")
    assert texts(drain(tail)) == [b"one"]


def test_file_that_was_renamed_is_read_to_its_end_before_the_new_one(path):
    path.write_bytes(b"one\ntwo\n")
    tail, told = opened(path)
    assert texts(drain(tail)) == [b"one", b"two"]
    append(path, b"three\nlast without an end")
    path.rename(path.with_suffix(".1"))
    path.write_bytes(b"new\n")
    lines = drain(tail)
    assert texts(lines) == [b"three", b"last without an end", b"new"]
    assert [line.generation for line in lines] == [1, 1, 2]
    assert lines[-1].start == 0 and "feed_rotated" in told


def test_file_that_was_renamed_is_not_left_before_its_writer_had_time(path):
    path.write_bytes(b"one\n")
    tail, _ = opened(path)
    drain(tail)
    path.rename(path.with_suffix(".1"))
    path.write_bytes(b"new\n")
    assert tail.poll(10) == []
    append(path.with_suffix(".1"), b"straggler\n")
    assert texts(drain(tail)) == [b"straggler", b"new"]


def test_file_that_was_truncated_is_read_from_its_start_as_a_new_incarnation(path):
    path.write_bytes(b"one\ntwo\n")
    tail, told = opened(path)
    drain(tail)
    path.write_bytes(b"x\n")
    lines = drain(tail)
    assert texts(lines) == [b"x"] and lines[0].generation == 2 and "feed_truncated" in told


def test_restart_goes_on_at_the_position(path):
    path.write_bytes(b"head\none\ntwo\n")
    inode = os.stat(str(path)).st_ino
    tail, _ = opened(path, Position(3, inode, 9, 2))
    lines = drain(tail)
    assert (lines[0].text, lines[0].again) == (b"head", True)
    assert [(line.text, line.generation, line.number) for line in lines[1:]] == [(b"two", 3, 3)]


def test_restart_finds_the_rest_in_the_file_that_was_renamed_meanwhile(path):
    path.write_bytes(b"one\ntwo\n")
    inode = os.stat(str(path)).st_ino
    path.rename(path.with_suffix(".1"))
    path.write_bytes(b"new\n")
    tail, _ = opened(path, Position(1, inode, 4, 1))
    lines = drain(tail)
    assert [(line.text, line.generation) for line in lines if not line.again] == [(b"two", 1), (b"new", 2)]


@pytest.mark.parametrize("offset", [4, 400], ids=["replaced", "truncated"])
def test_restart_whose_file_is_gone_begins_the_present_one_anew(path, offset):
    path.write_bytes(b"new\n")
    inode = os.stat(str(path)).st_ino
    tail, _ = opened(path, Position(1, inode if offset == 400 else inode + 10**6, offset, 1))
    lines = drain(tail)
    assert [(line.text, line.generation, line.start) for line in lines] == [(b"new", 2, 0)]


def test_line_that_is_too_long_is_told_and_cut_and_the_next_is_read(path):
    path.write_bytes(b"a" * (3 * MAX_BODY_BYTES) + b"\nshort\n")
    tail, _ = opened(path)
    long, short = drain(tail, polls=20)
    assert (long.fault, long.end, len(long.text) < 2000) == (TOO_LONG, 3 * MAX_BODY_BYTES + 1, True)
    assert (short.text, short.number, short.fault) == (b"short", 2, "")


def test_no_more_lines_than_there_is_room_for(path):
    path.write_bytes(b"1\n2\n3\n")
    tail, _ = opened(path)
    assert [texts(tail.poll(2)), tail.poll(0), texts(tail.poll(2))] == [[b"1", b"2"], [], [b"3"]]


@given(st.lists(st.binary(max_size=20).filter(lambda b: b"\n" not in b), max_size=10), st.integers(1, 7))
def test_stream_gives_the_lines_whatever_the_pieces_they_come_in(wanted, size):
    class Pieces(io.BytesIO):
        def read(self, n=-1):
            return super().read(size)

    told = Told()
    stream = Stream(Pieces(b"".join(text + b"\n" for text in wanted)), told)
    lines = [line for _ in range(300) for line in stream.poll(3)]
    assert [line.text for line in lines] == [text.rstrip(b"\r") for text in wanted]
    assert told == ["feed_ended"]
