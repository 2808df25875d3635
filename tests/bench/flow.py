"""`python -m tests.bench.flow`: the flow doesn't wait for the brain.

One consumer handles a steady 50 messages/s, in blocks that alternate between an API that answers at once (A)
and one that takes 20 s for every call (B), with a question open nearly always. Compared is the handling time,
from the header's timestamp to the end of the handler, of the messages that were not put to the brain. Exit 1
when B's p99 is over 1.2 times A's, when nothing was measured, or when a message was lost.

A question costs the process some 10 ms of computing, however fast its answer. So that A isn't slow by asking
ten times as often as B, at least 5 s lie between two questions (`--gap 0` for none).
"""

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Set

from tests.standin import StandIn
from tests.standin.journal import Exchange
from tests.testbed import provide
from tests.testbed.flow import Flow, Load, percentile
from tests.testbed.influxd import Influxd
from tests.testbed.ledger import Balance, Ledger
from tests.testbed.rabbitmq import RabbitMQ

RATE = 50
LATENCIES_MS = {"A": 0, "B": 20_000}
LIMIT = 1.2
WARM_UP_SECONDS = 4.0
GAP_SECONDS, QUICK_GAP_SECONDS = 5.0, 1.0
CONSUMER = "consumer-1"
SETTINGS = {
    "REASOND_BRAIN": "claude",
    "CONSUMER_HANDLER_DURATION_MS": "5",
    "CONSUMER_HANDLER_THREADS": "2",
    "RABBITMQ_HEARTBEAT_S": "30",
    "BUDGET_USD_PER_HOUR": "100000",
    "BUDGET_USD_PER_DAY": "100000",
}
# A batch waits for company by design; what is compared here is what is handled at once.
POLICY = {"name": "sensible", "batch_at": 1e9, "contradictions": []}
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class Block(NamedTuple):
    """One stretch of load under one latency: when it ran (UTC seconds) and what it published."""

    label: str
    begin_s: float
    end_s: float
    load: Load


class Figures(NamedTuple):
    """What blocks measured: handling times in ms, messages sampled, part of the time with a question open."""

    times_ms: List[float]
    sampled: int
    open_part: float

    @property
    def p50(self) -> float:
        return percentile(self.times_ms, 0.5)

    @property
    def p99(self) -> float:
        return percentile(self.times_ms, 0.99)

    def __str__(self) -> str:
        return (
            f"p50 {self.p50:6.2f} ms  p99 {self.p99:6.2f} ms  max {max(self.times_ms, default=0):7.2f} ms  "
            f"{len(self.times_ms):5d} messages, {self.sampled:3d} more sampled, "
            f"question open {self.open_part:4.0%} of the time"
        )


class Bench:
    """The blocks of one run, and what they come to."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.ledger: Ledger = flow.ledger()
        self.blocks: List[Block] = []

    def run(self, labels: Sequence[str], seconds: float) -> Balance:
        """Warm up, run the blocks one after the other, stop the consumer and settle."""
        self.block("warm-up", 0, WARM_UP_SECONDS)
        for number, label in enumerate(labels):
            # A message that still waits for the last block's answer would be asked about in this one.
            if number:
                self.flow.wait_drained()
            self.block(label, LATENCIES_MS[label], seconds)
        # What waits for the brain goes back to its queue, where the ledger finds it.
        self.flow.stop(CONSUMER)
        self.flow.api.stop()
        return self.ledger.balance(i for block in self.blocks for i in block.load.confirmed())

    def block(self, label: str, latency_ms: float, seconds: float) -> None:
        """Publish for so long under a latency of the API."""
        self.flow.api.set(latency_ms=latency_ms)
        begin_s = time.time()
        load = self.flow.load(RATE, seconds)
        load.wait_end()
        self.blocks.append(Block(label, begin_s, time.time(), load))

    def figures(self, blocks: Sequence[Block]) -> Figures:
        """Give the handling times of what these blocks published and nobody was asked about."""
        asked = asked_at(self.flow.api.log)
        handled = {note.message_id: note for note in self.ledger.notes() if note.what == "handled"}
        times_ms: List[float] = []
        sampled: Set[str] = set()
        open_s = 0.0
        for block in blocks:
            ids = set(block.load.confirmed())
            mine = {i: at_s for i, at_s in asked.items() if i in ids}
            sampled.update(mine)
            notes = [handled[i] for i in ids - set(mine) if i in handled]
            times_ms.extend((note.at_s - note.stamp_s) * 1000 for note in notes)
            open_s += union_s(mine.values(), LATENCIES_MS.get(block.label, 0) / 1000, block.end_s)
        whole_s = sum(block.end_s - block.begin_s for block in blocks)
        return Figures(times_ms, len(sampled), open_s / whole_s)


def asked_at(log: Sequence[Exchange]) -> Dict[str, float]:
    """Give the ids of the messages that the API was asked about, and when first (UTC seconds)."""
    first: Dict[str, float] = {}
    for exchange in log:
        for message_id in _ID.findall(exchange.prompt):
            first[message_id] = min(exchange.time, first.get(message_id, exchange.time))
    return first


def union_s(begins_s: Iterable[float], length_s: float, end_s: float) -> float:
    """Give how long at least one of the spans that begin so and last so long covers the time before `end_s`."""
    covered, reached = 0.0, 0.0
    for begin_s in sorted(begins_s):
        stop_s = min(begin_s + length_s, end_s)
        covered += max(0.0, stop_s - max(begin_s, reached))
        reached = max(reached, stop_s)
    return covered


def told(bench: Bench, balance: Balance, quick: bool) -> int:
    """Print every block, both sides and the ratio; give the exit status."""
    for number, block in enumerate(bench.blocks[1:], 1):
        print(f"block {number} {block.label}  {bench.figures([block])}")
    sides = {label: bench.figures([b for b in bench.blocks if b.label == label]) for label in LATENCIES_MS}
    for label, figures in sides.items():
        print(f"all of  {label}  {figures}  (API latency {LATENCIES_MS[label] / 1000:g} s)")
    print(balance)
    measured = all(figures.times_ms and figures.sampled for figures in sides.values())
    if not measured or balance.lost:
        print("FAILED: " + ("a message was lost" if balance.lost else "nothing was measured"))
        return 1
    ratio = sides["B"].p99 / sides["A"].p99
    print(f"p99 with 20 s answers is {ratio:.2f} times that with instant answers; the limit is {LIMIT}")
    return int(ratio > LIMIT and not quick)


def main(argv: Optional[List[str]] = None) -> int:
    """Measure; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.flow", description=__doc__)
    parser.add_argument("--seconds", type=float, default=35.0, help="length of each of the four blocks")
    parser.add_argument("--gap", type=float, default=GAP_SECONDS, help="least time between two questions")
    parser.add_argument("--quick", action="store_true", help="two blocks of 8 s; the ratio is printed, not judged")
    options = parser.parse_args(argv)
    missing = [answer.reason for answer in map(provide.provided, ("rabbitmq", "influxd")) if not answer.path]
    if missing:
        print("\n".join(missing))
        return 1
    labels, seconds, gap = ("ABAB", options.seconds, options.gap)
    if options.quick:
        labels, seconds, gap = ("AB", 8.0, QUICK_GAP_SECONDS)
    settings = dict(SETTINGS, CONSUMER_MIN_CALL_GAP_S=str(gap))
    with tempfile.TemporaryDirectory(prefix="reasond-bench-") as scratch, StandIn(POLICY) as api:
        folder = Path(scratch)
        rabbitmq = RabbitMQ(provide.provided("rabbitmq").path, folder / "rabbitmq")
        influxd = Influxd(provide.provided("influxd").path, folder / "influxd")
        flow = None
        try:
            rabbitmq.start()
            influxd.start()
            flow = Flow(folder / "flow", rabbitmq, influxd, api, settings)
            flow.start(CONSUMER)
            bench = Bench(flow)
            balance = bench.run(labels, seconds)
            return told(bench, balance, options.quick)
        finally:
            if flow is not None:
                flow.close()
            influxd.close()
            rabbitmq.close()


if __name__ == "__main__":
    sys.exit(main())
