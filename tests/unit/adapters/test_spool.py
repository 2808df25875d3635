"""The spool on a real file system."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, List

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reasond.adapters import spool as spool_module
from reasond.adapters.spool import Spool
from tests.testbed.waiting import wait_until

PLENTY = 10 * 1024 * 1024


def _raw(number: int) -> str:
    return f"consumer_metrics,agent_id=consumer-1 messages_consumed=1i {number}"


def _kept(number: int) -> str:
    return f'agent_reasoning,agent_id=publisher-1 reasoning="why" {number}'


def _drain(spool: Spool, max_bytes: int = 4096) -> List[str]:
    lines: List[str] = []
    while True:
        batch = spool.peek(max_bytes)
        if batch is None:
            return lines
        lines.extend(line.decode() for line in batch.lines)
        spool.done(batch)


def _files(directory: Path) -> List[str]:
    return sorted(path.name for path in directory.glob("*.lp"))


@pytest.fixture
def problems() -> List[str]:
    return []


def test_lines_come_out_in_order_with_decisions_first(tmp_path: Path) -> None:
    spool = Spool(tmp_path, PLENTY)
    spool.append([_raw(1), _kept(2), _raw(3)])
    spool.append([_kept(4)])
    assert spool.sync(5)

    assert _drain(spool) == [_kept(2), _kept(4), _raw(1), _raw(3)]
    assert spool.stats().unsent_bytes == 0


def test_steady_decisions_do_not_keep_other_points_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path, PLENTY)
    spool.append([_raw(1)])
    sent: List[str] = []

    # A decision comes in before each look, as it does where questions are frequent.
    for number in (2, 3):
        spool.append([_kept(number)])
        assert spool.sync(5)
        batch = spool.peek(4096)
        assert batch is not None
        sent.extend(line.decode() for line in batch.lines)
        spool.done(batch)

    assert sent == [_kept(2), _raw(1)]


def test_batch_stays_the_next_one_until_it_is_done(tmp_path: Path) -> None:
    spool = Spool(tmp_path, PLENTY)
    spool.append([_raw(number) for number in range(100)])
    assert spool.sync(5)

    first = spool.peek(500)
    assert first is not None and spool.peek(500) == first
    spool.done(first)

    following = spool.peek(500)
    assert following is not None
    assert following.lines[0].decode() == _raw(len(first.lines))


def test_line_longer_than_a_batch_comes_alone_and_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path, PLENTY)
    long_line = 'agent_reasoning reasoning="{}" 1'.format("x" * 9000)
    spool.append([long_line, _kept(2)])
    assert spool.sync(5)

    assert _drain(spool, 100) == [long_line, _kept(2)]


def test_restart_finds_what_was_not_sent_and_only_that(tmp_path: Path) -> None:
    spool = Spool(tmp_path, PLENTY)
    spool.append([_raw(number) for number in range(200)] + [_kept(1)])
    assert spool.sync(5)
    sent: List[bytes] = []
    for _ in range(3):
        batch = spool.peek(1000)
        assert batch is not None
        sent.extend(batch.lines)
        spool.done(batch)
    spool.close()

    again = Spool(tmp_path, PLENTY)
    again.append([_raw(200)])
    assert again.sync(5)
    rest = _drain(again)

    assert [line.decode() for line in sent] + rest == [_kept(1)] + [_raw(number) for number in range(201)]


def test_restart_with_a_position_of_other_files_sends_again_rather_than_losing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, PLENTY)
    spool.append([_raw(1), _raw(2)])
    spool.close()
    (name,) = _files(tmp_path)
    (tmp_path / "position.json").write_text(f'{{"raw": [{int(name[4:12])}, 7], "keep": [1, 999]}}')

    assert _drain(Spool(tmp_path, PLENTY)) == [_raw(1), _raw(2)]


@pytest.mark.parametrize("position", ["", "{", "[]", '{"raw": 1}', '{"stranger": [1, 2]}'])
def test_unreadable_position_means_sending_again(tmp_path: Path, position: str) -> None:
    spool = Spool(tmp_path, PLENTY)
    spool.append([_raw(1)])
    spool.close()
    (tmp_path / "position.json").write_text(position)

    assert _drain(Spool(tmp_path, PLENTY)) == [_raw(1)]


def test_torn_last_line_is_cut_off_and_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, PLENTY)
    spool.append([_raw(1), _raw(2)])
    spool.close()
    (path,) = tmp_path.glob("*.lp")
    path.write_bytes(path.read_bytes()[:-5])

    again = Spool(tmp_path, PLENTY)

    assert path.read_text() == _raw(1) + "\n"
    assert _drain(again) == [_raw(1)]
    assert again.stats().torn == 1


def test_file_that_is_one_torn_line_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "raw-00000007.lp").write_bytes(b"consumer_metrics mess")

    spool = Spool(tmp_path, PLENTY)
    spool.append([_raw(1)])
    assert spool.sync(5)

    assert spool.stats().torn == 1
    assert _files(tmp_path) == ["raw-00000008.lp"]


def test_sent_files_are_deleted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 65536)
    for start in range(0, 600, 100):
        spool.append([_raw(number) for number in range(start, start + 100)])
        assert spool.sync(5)
    assert len(_files(tmp_path)) > 3

    assert len(_drain(spool)) == 600
    spool.close()

    assert _files(tmp_path) == []


def test_raw_points_give_way_first_and_oldest_first_and_are_counted(tmp_path: Path, problems: List[str]) -> None:
    bound = 65536
    spool = Spool(tmp_path, bound, problems.append)
    spool.append([_kept(number) for number in range(300)])
    for start in range(0, 4000, 50):
        spool.append([_raw(number) for number in range(start, start + 50)])
        assert spool.sync(5)
    size = sum(path.stat().st_size for path in tmp_path.glob("*.lp"))

    left = _drain(spool)

    assert size <= bound
    assert [line for line in left if line.startswith("agent_reasoning")] == [_kept(number) for number in range(300)]
    raw = [line for line in left if line.startswith("consumer_metrics")]
    assert raw == [_raw(number) for number in range(4000 - len(raw), 4000)]
    assert spool.stats().dropped == 4000 - len(raw)
    assert "INFLUXDB_SPOOL_MAX_BYTES" in problems[0]
    assert problems[-1] == ""


def test_decisions_give_way_when_nothing_else_is_left(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 65536)
    for start in range(0, 3000, 50):
        spool.append([_kept(number) for number in range(start, start + 50)])
        assert spool.sync(5)

    left = _drain(spool)

    assert left == [_kept(number) for number in range(3000 - len(left), 3000)]
    assert spool.stats().dropped == 3000 - len(left) > 0


def test_batch_that_arrived_after_its_file_gave_way_does_not_count_as_dropped(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 65536)
    spool.append([_raw(number) for number in range(20)])
    assert spool.sync(5)
    batch = spool.peek(PLENTY)
    assert batch is not None and len(batch.lines) == 20
    for start in range(20, 3000, 50):
        spool.append([_raw(number) for number in range(start, start + 50)])
        assert spool.sync(5)
    spool.done(batch)

    left = _drain(spool)

    assert len(left) + len(batch.lines) + spool.stats().dropped == 20 + len(range(20, 3000, 50)) * 50


class _FullDisk:
    """A file on a disk that takes a few bytes and then no more, until it is cleared."""

    def __init__(self, file: Any, state: "List[bool]") -> None:
        self._file = file
        self._state = state

    def write(self, data: bytes) -> int:
        if self._state:
            self._file.write(data[:5])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> "List[bool]":
    """Truthy while the disk is full."""
    state: List[bool] = []
    real_open = open

    def opened(path: str, mode: str = "r", **more: Any) -> Any:
        file = real_open(path, mode, **more)
        return _FullDisk(file, state) if mode == "ab" else file

    monkeypatch.setattr(spool_module, "open", opened, raising=False)
    return state


def test_full_disk_is_said_and_leaves_no_torn_line(
    tmp_path: Path, problems: List[str], full_disk: "List[bool]"
) -> None:
    spool = Spool(tmp_path, PLENTY, problems.append)
    spool.append([_raw(1)])
    assert spool.sync(5)
    full_disk.append(True)
    spool.append([_raw(2)])
    wait_until(lambda: problems, what="the problem said", timeout_seconds=5)
    full_disk.clear()
    assert spool.sync(5)

    assert "No space left on device" in problems[0]
    assert problems[-1] == ""
    assert _drain(spool) == [_raw(1), _raw(2)]
    assert spool.stats().dropped == spool.stats().torn == 0


def test_with_a_full_disk_points_still_go_out_from_memory(
    tmp_path: Path, problems: List[str], full_disk: "List[bool]"
) -> None:
    full_disk.append(True)
    spool = Spool(tmp_path, PLENTY, problems.append)
    spool.append([_raw(1), _raw(2), _kept(3)])
    wait_until(lambda: problems, what="the problem said", timeout_seconds=5)

    batch = spool.peek(PLENTY)
    assert batch is not None
    assert spool.peek(PLENTY) is batch
    assert spool.stats().unsent_bytes == sum(len(line) + 1 for line in (_raw(1), _raw(2), _kept(3)))
    assert _drain(spool) == [_kept(3), _raw(1), _raw(2)]
    assert spool.stats().unsent_bytes == 0
    assert not spool.sync(0.1) or spool.stats().unsent_bytes == 0


def test_memory_is_bounded_while_the_disk_refuses(
    tmp_path: Path, full_disk: "List[bool]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "MEMORY_MAX_BYTES", 10000)
    full_disk.append(True)
    spool = Spool(tmp_path, PLENTY)
    spool.append([_kept(0)])
    spool.append([_raw(number) for number in range(1000)])
    wait_until(spool.problem, what="the problem", timeout_seconds=5)

    left = _drain(spool)

    assert left[0] == _kept(0)
    assert left[-1] == _raw(999)
    assert spool.stats().dropped == 1001 - len(left) > 0


def test_directory_that_cannot_be_made_is_a_problem_and_no_error(tmp_path: Path, problems: List[str]) -> None:
    (tmp_path / "file").write_text("")

    spool = Spool(tmp_path / "file" / "spool", PLENTY, problems.append)
    spool.append([_raw(1)])
    wait_until(lambda: problems, what="the problem said", timeout_seconds=5)

    assert "Not a directory" in problems[0]
    assert _drain(spool) == [_raw(1)]


def test_file_deleted_under_the_spool_is_said_and_later_points_go_on(tmp_path: Path, problems: List[str]) -> None:
    spool = Spool(tmp_path, PLENTY, problems.append)
    spool.append([_raw(1), _raw(2)])
    assert spool.sync(5)
    for path in tmp_path.glob("*.lp"):
        path.unlink()

    assert spool.peek(PLENTY) is None
    spool.append([_raw(3)])
    assert spool.sync(5)

    assert "2 points lost" in problems[0]
    assert spool.stats().dropped == 2
    assert _drain(spool) == [_raw(3)]


def test_append_does_not_wait_for_a_disk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(os, "fsync", lambda handle: release.wait(20))
    spool = Spool(tmp_path, PLENTY)
    spool.append([_raw(0)])
    assert not spool.sync(0.2)

    begun = time.monotonic()
    for number in range(1, 200):
        spool.append([_raw(number)])
    took_s = time.monotonic() - begun
    release.set()

    assert took_s < 1.0
    assert spool.sync(5)
    assert len(_drain(spool)) == 200


_WRITER = """
import sys, time
from pathlib import Path
from reasond.adapters.spool import Spool
spool = Spool(Path(sys.argv[1]), 10**7)
number = 0
while True:
    spool.append(["consumer_metrics messages_consumed=1i %d" % number])
    sys.stdout.write("%d %f\\n" % (number, time.monotonic()))
    sys.stdout.flush()
    number += 1
    time.sleep(0.002)
"""


def test_killed_process_loses_at_most_the_last_second(tmp_path: Path) -> None:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    child = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, env=environment)
    assert child.stdout is not None
    for _ in range(500):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read().decode().splitlines()
    child.wait(10)
    appended = 500 + len(rest)

    spool = Spool(tmp_path, PLENTY)
    found = _drain(spool)

    numbers = [int(line.split()[-1]) for line in found]
    assert numbers == list(range(len(numbers)))
    # One line each 2 ms or slower: fewer than a second makes, and really the last moments' only.
    assert appended - len(numbers) < 250


_LINES = st.lists(st.booleans(), max_size=8)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("append"), _LINES),
            st.tuples(st.just("send"), st.integers(1, 400)),
            st.tuples(st.just("peek"), st.integers(1, 400)),
            st.tuples(st.just("restart"), st.none()),
        ),
        max_size=15,
    )
)
def test_every_line_comes_out_once_in_its_lane_s_order_over_restarts(tmp_path_factory: Any, steps: Any) -> None:
    directory = tmp_path_factory.mktemp("spool")
    spool, number = Spool(directory, PLENTY), 0
    appended: List[str] = []
    sent: List[str] = []
    for what, value in steps:
        if what == "append":
            lines = [_kept(number + at) if kept else _raw(number + at) for at, kept in enumerate(value)]
            number += len(lines)
            appended.extend(lines)
            spool.append(lines)
        elif what == "restart":
            assert spool.close(5)
            spool = Spool(directory, PLENTY)
        else:
            assert spool.sync(5)
            batch = spool.peek(value)
            if batch is not None and what == "send":
                sent.extend(line.decode() for line in batch.lines)
                spool.done(batch)
    assert spool.sync(5)
    sent.extend(_drain(spool, 300))
    spool.close(5)

    assert spool.stats().dropped == 0
    for name in ("agent_reasoning", "consumer_metrics"):
        assert [line for line in sent if line.startswith(name)] == [line for line in appended if line.startswith(name)]
    assert len(sent) == len(appended)
