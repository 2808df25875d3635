"""`python -m tests.bench.boards`: how fast every panel answers over 30 days of the agents' points.

Fills a real InfluxDB with 30 days at the default rates, has `reasond setup-influxdb` make the 5-minute series,
and asks a real Grafana for every panel, as a browser would, over each range. The table has the median of several
answers (ms), the slowest panel last. Exit 1 when a panel takes longer than the limit, or can't be answered.

The days end an hour from now, so that the points go on while this measures. They were written at once: what InfluxDB
would have compacted in 30 days it compacts while this waits for it. Every range ends now, and now moves on between
two answers, so that none comes out of a cache.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

from tests.testbed import provide
from tests.testbed.boards import Asked, QueryFailed, all_asked
from tests.testbed.grafana import Grafana
from tests.testbed.history import HOUR_NS, HistoryStore, history
from tests.testbed.influxd import Influxd
from tests.testbed.waiting import NeverHappened, wait_until

LIMIT_MS = 300.0
DAYS, QUICK_DAYS = 30, 2
TIMES, QUICK_TIMES = 7, 2
HOUR_MS = 3_600_000
RANGES_MS: Dict[str, int] = {
    "15m": HOUR_MS // 4,
    "1h": HOUR_MS,
    "6h": 6 * HOUR_MS,
    "24h": 24 * HOUR_MS,
    "7d": 7 * 24 * HOUR_MS,
    "30d": 30 * 24 * HOUR_MS,
}
# Points that are as old as the bucket keeps them are refused.
MORE_RETENTION_DAYS = 7
QUIET_SECONDS = 900
# Compaction is over when nothing but the task's own runs writes to the disk any more.
QUIET_BYTES_PER_SECOND = 200_000
LOOK_EVERY_SECONDS = 5.0


class Timing(NamedTuple):
    """What a panel took over each range (median, ms; None where it failed), and why it failed."""

    where: str
    medians_ms: Dict[str, Optional[float]]
    failures: Dict[str, str]

    @property
    def worst_ms(self) -> float:
        """The slowest range; a failure is slower than anything."""
        return max(float("inf") if ms is None else ms for ms in self.medians_ms.values())


def timed(asked: Asked, grafana: Grafana, range_ms: int, times: int) -> float:
    """Ask so many times for a range that ends now; give the median, ms. Raises QueryFailed."""
    took_ms: List[float] = []
    for _ in range(times):
        stop_ms = int(time.time() * 1000)
        begun = time.perf_counter()
        asked.ask(grafana, stop_ms - range_ms, stop_ms)
        took_ms.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took_ms)


def measure(asked: Asked, grafana: Grafana, ranges: Sequence[str], times: int) -> Timing:
    """Time one panel over these ranges."""
    medians: Dict[str, Optional[float]] = {}
    failures: Dict[str, str] = {}
    for name in ranges:
        try:
            medians[name] = timed(asked, grafana, RANGES_MS[name], times)
        except (QueryFailed, OSError) as err:
            medians[name] = None
            failures[name] = str(err).splitlines()[0]
    timing = Timing(asked.where, medians, failures)
    # It takes long, and somebody may end it.
    print(table([timing], ranges)[1], file=sys.stderr, flush=True)
    return timing


def table(timings: Sequence[Timing], ranges: Sequence[str]) -> List[str]:
    """Give the lines of the table, the slowest panel last; `!` stands behind what misses the limit."""
    width = max(len(timing.where) for timing in timings)
    lines = [f"{'median, ms':<{width}}" + "".join(f"{name:>9}" for name in ranges)]
    for timing in sorted(timings, key=lambda timing: timing.worst_ms):
        cells = [_cell(timing.medians_ms[name]) for name in ranges]
        lines.append(f"{timing.where:<{width}}" + "".join(f"{cell:>9}" for cell in cells))
    return lines


def _cell(ms: Optional[float]) -> str:
    if ms is None:
        return "failed!"
    return f"{ms:.0f}!" if ms > LIMIT_MS else f"{ms:.0f} "


def told(timings: Sequence[Timing], ranges: Sequence[str], *, judged: bool) -> int:
    """Print the table and what misses the limit; give the exit status."""
    print("\n".join(table(timings, ranges)))
    missed = [timing for timing in timings if timing.worst_ms > LIMIT_MS]
    print(f"\n{len(timings) - len(missed)} of {len(timings)} answer within {LIMIT_MS:.0f} ms at every range")
    for timing in missed:
        over = [f"{name} {_cell(ms)}" for name, ms in timing.medians_ms.items() if ms is None or ms > LIMIT_MS]
        print(f"  {timing.where}: {', '.join(over)}")
        print("".join(f"    {name}: {why}\n" for name, why in timing.failures.items()), end="")
    failed = any(timing.failures for timing in timings)
    return int(failed or (judged and bool(missed)))


def fill(store: HistoryStore, days: int) -> None:
    """Write the days, make their 5-minute series, and say how much it was and how long it took."""
    history()
    begun = time.monotonic()
    store.fill(time.time_ns() + HOUR_NS, days)
    took = time.monotonic() - begun
    total = sum(store.counts.values())
    print(f"{days} days: {total:,} points written in {took:.0f} s ({total / took:,.0f}/s)")
    print("  " + ", ".join(f"{name} {count:,}" for name, count in store.counts.most_common()))
    begun = time.monotonic()
    said = store.make_series()
    print(f"setup-influxdb --backfill: {time.monotonic() - begun:.0f} s\n{said}", flush=True)


def wait_compacted(server: Influxd) -> None:
    """Wait until InfluxDB has no more to tidy up; says so when it takes too long."""
    begun, last = time.monotonic(), [-1.0]

    def quiet() -> bool:
        before, last[0] = last[0], _written_bytes(server.process.pid)
        return 0 <= last[0] - before < QUIET_BYTES_PER_SECOND * LOOK_EVERY_SECONDS

    try:
        wait_until(quiet, what="an InfluxDB at rest", timeout_seconds=QUIET_SECONDS, every_seconds=LOOK_EVERY_SECONDS)
        print(f"at rest after {time.monotonic() - begun:.0f} s", flush=True)
    except NeverHappened as err:
        print(f"measuring all the same: {err}", flush=True)


def _written_bytes(pid: int) -> float:
    """Give what a process has written to the disk so far (proc(5), /proc/PID/io)."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return float(fields["write_bytes"])


def main(argv: Optional[List[str]] = None) -> int:
    """Measure; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.boards", description=__doc__)
    parser.add_argument("--board", default="", help="only boards whose file's name has this in it")
    parser.add_argument("--days", type=int, default=DAYS, help="how many to fill; longer ranges are left out")
    parser.add_argument("--times", type=int, default=TIMES, help="answers that a median is taken of")
    parser.add_argument("--quick", action="store_true", help="2 days, 2 answers; figures are printed, not judged")
    options = parser.parse_args(argv)
    missing = [answer.reason for answer in map(provide.provided, ("influxd", "grafana")) if not answer.path]
    if missing:
        print("\n".join(missing))
        return 1
    days, times = (QUICK_DAYS, QUICK_TIMES) if options.quick else (options.days, options.times)
    ranges = [name for name, range_ms in RANGES_MS.items() if range_ms <= days * 24 * HOUR_MS]
    with tempfile.TemporaryDirectory(prefix="reasond-bench-") as scratch:
        server = Influxd(provide.provided("influxd").path, Path(scratch) / "influxd", onboard=False)
        grafana: Optional[Grafana] = None
        try:
            server.start()
            store = HistoryStore(server, Path(scratch) / "tokens", retention_days=days + MORE_RETENTION_DAYS)
            fill(store, days)
            wait_compacted(server)
            (Path(scratch) / "grafana").mkdir()
            grafana = Grafana(provide.provided("grafana").path, Path(scratch) / "grafana", store.for_grafana)
            grafana.start()
            wanted = [asked for asked in all_asked() if options.board in asked.board]
            timings = [measure(asked, grafana, ranges, times) for asked in wanted]
            return told(timings, ranges, judged=not options.quick)
        finally:
            if grafana is not None:
                grafana.close()
            server.close()


if __name__ == "__main__":
    sys.exit(main())
