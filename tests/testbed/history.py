"""A day in the life of seven agents, made by the embedded run speeded up, as line protocol that can end at any time.

Used to fill InfluxDB for Grafana. One seed gives one day: agents at their default rates; dry-run decisions passed
off as Claude's, with what they would have cost as their cost; calls that fail; hours in shadow, under rules, of
plain dry run and of an experiment; hours whose handlers grow slow; anomalies and malformed messages. Making it
takes most of a minute, so that it is kept in the cache, by a digest of the sources that it comes from.
"""

import dataclasses
import gzip
import hashlib
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, TextIO, Tuple, Union
from typing import Counter as CounterType
from urllib.parse import quote

from msgspec.structs import replace

import reasond
from reasond import __version__, flux, settings
from reasond.brains import models
from reasond.brains.base import Question
from reasond.brains.dry_run import DryRunBrain
from reasond.brains.factory import models_for
from reasond.brains.rules import RulesBrain
from reasond.core.agent import Control
from reasond.core.budget import Ledger, Reservation, SystemSpend, limits_from
from reasond.core.effects import Answer, ApiCall, BudgetState, Failure, FailureReason
from reasond.core.records import budget_row
from reasond.decisions import RateDecision
from reasond.embedded.broker import Stored
from reasond.points import Row, Stamper, to_line
from reasond.simulation.world import AgentPlan, World, seven
from reasond.topology import EXCHANGE, FICTIONAL
from scripts.toolbox import cache_folder, locked
from tests.testbed.grafana import Store
from tests.testbed.http import send
from tests.testbed.influxd import Influxd

SEED = 5
ORG, BUCKET = "monitoring", "agent_metrics"
# One hour more than a day: it may lie ahead of now, so that the agents seem to live on while tests run.
HOURS = 25
DAY_NS = 24 * 3600 * 10**9
HOUR_NS = 3600 * 10**9
ENVIRONMENT = {
    "REASOND_BRAIN": "dry-run",
    "PUBLISHER_ANOMALY_RATE": "0.02",
    # Three consumers handle 7.5 messages/s; 5 to 8 times slower that is less than the 1.5 that come in, or nearly.
    "CONSUMER_HANDLER_DURATION_MS": "400",
    "CONSUMER_HANDLER_THREADS": "1",
    # What a consumer has in hand doesn't expire: with many in hand the slow hours would be late only.
    "CONSUMER_PREFETCH": "5",
    "CLAUDE_MODELS_CONSUMER": "claude-haiku-4-5",
    # What these rates cost a day, with room to spare. The monitor judges by the same limits as the budget's points.
    "BUDGET_USD_PER_HOUR": "5",
    "BUDGET_USD_PER_DAY": "40",
}
BUDGET = settings.load(ENVIRONMENT).budget
SLOWDOWNS = (5.5, 9.0)
# Hours under another policy, and hours whose handlers grow slow in the minutes below, counted from the beginning.
RULES_HOURS, SHADOW_HOURS, DRY_HOURS = (2, 6, 10, 14, 18), (4, 8, 12, 20), (1,)
RUSH_HOURS = (7, 8, 9, 10, 11, 16, 17, 18, 19, 20, 22)
RUSH_MINUTES = ((10, 18), (35, 43), (50, 56))
# The last hour before the one that lies ahead has everything in it, and ends as calm as the next one begins.
LAST_HOUR = 23
LAST_RUSH_MINUTES = ((5, 13), (22, 28), (35, 41))
LAST_SHADOW, LAST_RULES, LAST_DRY = range(20, 32), range(32, 45), range(45, 49)
# Six pairs of blocks and a block: the monitor last tells how they came out when 12 minutes of the last hour are over,
# which tests that take minutes still find in the hour before them.
EXPERIMENT, EXPERIMENT_MINUTES = "claude,static:10m", range(21 * 60, 23 * 60 + 11)
# Nobody reaches the API in these minutes of the run.
OUTAGES = (range(9 * 60 + 20, 9 * 60 + 30), range(LAST_HOUR * 60 + 14, LAST_HOUR * 60 + 17))
REJECTED_EVERY_MINUTES = 17
# Of the rate decisions.
CARELESS_PART = 0.05
BATCH_LINES = 20_000
# A batch of 6 MB, on a machine with other things to do.
WRITE_SECONDS = 60
# A backfill of 30 days.
SETUP_SECONDS = 900
# What the day is made of: the rest of the package may change without making it anew.
SOURCES = ("*.py", "brains/**/*", "content/**/*", "core/**/*", "embedded/**/*", "simulation/**/*")
# Lines of the file that stand for budget points, which are worked out anew for the hours and days they come to lie in.
SPENT, BALANCE = "$spent", "$balance"

Policy = str
"""`claude`, `shadow` (Claude is asked and not followed), `rules` or `dry-run`."""


def policy_at(minute: int) -> Policy:
    """Tell who decides in that minute of the run."""
    hour, rest = divmod(minute, 60)
    if hour in RULES_HOURS or (hour == LAST_HOUR and rest in LAST_RULES):
        return "rules"
    if hour in SHADOW_HOURS or (hour == LAST_HOUR and rest in LAST_SHADOW):
        return "shadow"
    if hour in DRY_HOURS or (hour == LAST_HOUR and rest in LAST_DRY):
        return "dry-run"
    return "claude"


def plan_at(minute: int) -> str:
    """Give the plan of the experiment that runs in that minute of the run; empty without one."""
    return EXPERIMENT if minute in EXPERIMENT_MINUTES else ""


def is_rush(minute: int) -> bool:
    """Tell whether handlers are slow in that minute of the run."""
    hour, rest = divmod(minute, 60)
    phases = LAST_RUSH_MINUTES if hour == LAST_HOUR else RUSH_MINUTES if hour in RUSH_HOURS else ()
    return any(begin <= rest < end for begin, end in phases)


class Accounts:
    """What each agent has spent, by the ledgers that the agents themselves keep."""

    def __init__(self) -> None:
        """Begin with nothing spent."""
        self._ledgers: Dict[str, Ledger] = {}
        self._totals: Dict[Tuple[str, int], float] = {}

    def spend(self, agent_id: str, wall_ns: int, usd: float) -> None:
        """Count a call; the limits are such that it fits."""
        ledger = self._ledger(agent_id)
        reserved = ledger.reserve(wall_ns, usd, self._system(wall_ns))
        assert isinstance(reserved, Reservation), f"{agent_id}: {reserved.reason}: raise BUDGET"
        ledger.settle(reserved, usd)
        for key in _windows(wall_ns):
            self._totals[key] = self._totals.get(key, 0.0) + usd

    def state(self, agent_id: str, wall_ns: int) -> BudgetState:
        """Give where the agent's budget stands."""
        return self._ledger(agent_id).figures(wall_ns, self._system(wall_ns))

    def _system(self, wall_ns: int) -> SystemSpend:
        hour_usd, day_usd = (self._totals.get(key, 0.0) for key in _windows(wall_ns))
        return SystemSpend(hour_usd=hour_usd, day_usd=day_usd, at_ns=wall_ns)

    def _ledger(self, agent_id: str) -> Ledger:
        if agent_id not in self._ledgers:
            self._ledgers[agent_id] = Ledger(limits_from(BUDGET), BUDGET.warn_at)
        return self._ledgers[agent_id]


def _windows(wall_ns: int) -> Tuple[Tuple[str, int], Tuple[str, int]]:
    return ("hour", wall_ns // HOUR_NS), ("day", wall_ns // DAY_NS)


class PlayedBrain:
    """The dry run passed off as Claude: its answers cost what they would have cost, and some calls fail."""

    simulated_latency = True

    def __init__(self, plan: AgentPlan, accounts: Accounts, minute: Callable[[], int]) -> None:
        """Given whose brain it is, the accounts of all, and what gives the minute of the run."""
        names = models_for(plan.settings, plan.agent_type)
        self._model = models.find(names[0])
        self._dry = DryRunBrain(seed=SEED, model_names=names)
        self._rules = RulesBrain()
        self._accounts = accounts
        self._minute = minute

    @property
    def name(self) -> str:
        policy = policy_at(self._minute())
        return "claude" if policy == "shadow" else policy

    def decide(self, question: Question) -> Union[Answer, Failure]:
        if self.name == "rules":
            return self._rules.decide(question)
        answer = self._dry.decide(question)
        assert isinstance(answer, Answer)
        if self.name == "dry-run":
            return answer
        chance = random.Random(f"{SEED}:{question.agent_id}:{question.ask_id}:api")
        if isinstance(answer.decision, RateDecision):
            answer = replace(answer, decision=_careless(answer.decision, chance))
        result = self._result(question, answer, chance)
        for call in result.calls:
            self._accounts.spend(question.agent_id, call.wall_ns, call.cost_usd)
        return replace(result, budget=self._accounts.state(question.agent_id, question.wall_ns))

    def status(self) -> str:
        return ""

    def _result(self, question: Question, answer: Answer, chance: random.Random) -> Union[Answer, Failure]:
        if any(self._minute() in outage for outage in OUTAGES):
            return self._failed(question, "unreachable", [("connection", 0, chance.uniform(2, 40))] * 4)
        luck = chance.random()
        if luck < 0.008:
            return self._failed(question, "overloaded", [("overloaded", 529, chance.uniform(150, 900))] * 4)
        if luck < 0.014:
            late_ms = question.deadline_s * 1000
            return self._failed(question, "deadline", [("timeout", 0, late_ms)], self._paid(answer)[:1])
        if luck < 0.018:
            failed = [("invalid_answer", 200, answer.latency_ms)]
            return self._failed(question, "invalid_answer", failed, self._paid(answer))
        attempts: List[Tuple[str, int, float]] = []
        if luck < 0.05:
            kind = ("rate_limited", 429) if luck < 0.03 else ("overloaded", 529)
            attempts = [(*kind, chance.uniform(150, 900))]
        calls = self._calls(question, [*attempts, ("none", 200, answer.latency_ms)], self._paid(answer))
        return replace(
            answer,
            brain="claude",
            model=self._model.name,
            cost_usd=sum(call.cost_usd for call in calls),
            would_cost_usd=None,
            latency_ms=sum(call.latency_ms for call in calls),
            calls=calls,
        )

    def _paid(self, answer: Answer) -> Tuple[int, ...]:
        return answer.input_tokens, answer.output_tokens

    def _failed(
        self,
        question: Question,
        reason: FailureReason,
        attempts: Sequence[Tuple[str, int, float]],
        tokens: Sequence[int] = (),
    ) -> Failure:
        calls = self._calls(question, attempts, tokens)
        return Failure(
            reason,
            latency_ms=sum(call.latency_ms for call in calls),
            input_tokens=sum(call.input_tokens for call in calls),
            output_tokens=sum(call.output_tokens for call in calls),
            cost_usd=sum(call.cost_usd for call in calls),
            calls=calls,
        )

    def _calls(
        self, question: Question, attempts: Sequence[Tuple[str, int, float]], tokens: Sequence[int]
    ) -> Tuple[ApiCall, ...]:
        """Give the attempts one after the other; the last one is billed for so many tokens in and out."""
        calls: List[ApiCall] = []
        for number, (error, status, latency_ms) in enumerate(attempts, 1):
            billed = (*tokens, 0, 0)[:2] if number == len(attempts) else (0, 0)
            calls.append(
                ApiCall(
                    wall_ns=question.wall_ns + int(sum(call.latency_ms for call in calls) * 1e6),
                    model=self._model.name,
                    attempt=number,
                    status=status,
                    error=error,
                    latency_ms=latency_ms,
                    input_tokens=billed[0],
                    output_tokens=billed[1],
                    cost_usd=models.cost_usd(self._model, *billed),
                )
            )
        return tuple(calls)


def _careless(decision: RateDecision, chance: random.Random) -> RateDecision:
    """Give what a model answers that doesn't mind the rules now and then: the guard rails have to mend it."""
    if chance.random() >= CARELESS_PART or decision.fictional_interval is None:
        return decision
    if decision.action in ("slow_down", "speed_up"):
        return replace(decision, fictional_interval=decision.fictional_interval + 0.4)
    if chance.random() < 0.5:
        return replace(decision, action="slow_down", fictional_interval=max(1.0, decision.fictional_interval - 2))
    return replace(decision, action="continue", fictional_interval=decision.fictional_interval + 3)


class _Recorded(World):
    """A world that writes every row down as it comes, amendments included; times count from the run's end."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(SEED)
        self.accounts = Accounts()
        self._out = out
        self._end_ns = self.clock.now().wall_ns + HOURS * HOUR_NS

    @property
    def minute(self) -> int:
        return int(self.clock.now().mono // 60)

    def write(self, rows: Sequence[Row]) -> None:
        rows = [self._lived(row) if row.measurement == "agent_health" else row for row in rows]
        super().write(rows)
        for row in rows:
            at_ns = row.time_ns - self._end_ns
            if row.measurement == "budget":
                self._out.write(f"{BALANCE} {row.tags['agent_id']} {at_ns}\n")
                continue
            self._out.write(to_line(replace(row, time_ns=at_ns)) + "\n")
            if row.measurement == "api_calls":
                self._out.write(f"{SPENT} {row.tags['agent_id']} {row.fields['cost_usd']!r} {at_ns}\n")

    def experiment(self, plan: str) -> None:
        """Reload every publisher's settings with this plan."""
        for agent in self.agents.values():
            agent.driver.settings(dataclasses.replace(agent.plan.settings.publisher, switchback=plan))

    def _lived(self, row: Row) -> Row:
        """Give a heartbeat what only a process has: an id, memory, a spool; trouble now and then."""
        number = sorted(self.agents).index(row.tags["agent_id"])
        chance = self.rng(f"beat:{number}:{self.minute // 10}")
        troubled = number == 1 and any(self.minute in outage for outage in OUTAGES)
        more = {
            "pid": 4200 + number,
            "memory_bytes": int((58 + 2 * number + 4 * chance.random()) * 2**20),
            "spool_bytes": int(troubled) * 48_000,
            "spool_dropped": 0,
            "clock_steps": 0,
            "version": __version__,
            "degraded": troubled,
            "boot_id": "simulated-boot",
        }
        if troubled:
            more["degraded_reason"] = "waiting for influxdb"
        return replace(row, fields={**row.fields, **more})


def _simulate(out: TextIO) -> None:
    """Write the whole run, line by line."""
    world = _Recorded(out)
    for plan in seven(ENVIRONMENT):
        world.add(plan, PlayedBrain(plan, world.accounts, lambda: world.minute))
    rng = world.rng("story")
    policy, slowdown = "claude", 1.0
    for minute in range(HOURS * 60):
        if is_rush(minute) and not is_rush(minute - 1):
            slowdown = rng.uniform(*SLOWDOWNS)
        # Busier by day than by night even when nothing is wrong.
        calm = 1.0 + 0.4 * abs((minute / 60) % 24 - 12) / 12
        world.handler_slowdown = slowdown if is_rush(minute) else calm
        if policy_at(minute) != policy:
            policy = policy_at(minute)
            for agent in world.agents.values():
                agent.driver.control(Control(serial=minute, shadow=policy == "shadow"))
        if plan_at(minute) != plan_at(minute - 1):
            world.experiment(plan_at(minute))
        if minute % REJECTED_EVERY_MINUTES == REJECTED_EVERY_MINUTES - 1:
            body = b'{"header": {"message_id": "not-a-uuid"}}'
            world.broker.publish(world.clock.now(), Stored(body, EXCHANGE, FICTIONAL, message_id=f"bad-{minute}"))
        world.run_until((minute + 1) * 60)


def _digest() -> str:
    """Give what names the day: a change of any source that it depends on makes another."""
    package = Path(reasond.__file__).resolve().parent
    files = {file for pattern in SOURCES for file in package.glob(pattern) if "__pycache__" not in file.parts}
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for file in sorted(file for file in files if file.is_file()):
        digest.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


class History(NamedTuple):
    """The recorded run, in a file of the cache."""

    file: Path

    def lines(self, end_ns: int, days: int = 1) -> Iterator[str]:
        """Yield line protocol whose last point lies just before `end_ns` (UTC).

        One day comes with the hour before it; of several the same 24 hours are repeated, under other ids.
        """
        accounts, stamper = Accounts(), Stamper()
        for before in range(days - 1, -1, -1):
            with gzip.open(str(self.file), "rt", encoding="utf-8") as file:
                for line in file:
                    head, _, at = line.rpartition(" ")
                    at_ns = int(at)
                    if at_ns < -DAY_NS and days > 1:
                        continue
                    at_ns += end_ns - before * DAY_NS
                    if head.startswith("$"):
                        row = _told(accounts, stamper, head, at_ns)
                        if row is not None:
                            yield to_line(row)
                        continue
                    yield f"{_renamed(head, before)} {at_ns}"

    def batches(self, end_ns: int, days: int = 1) -> Iterator[Tuple[str, CounterType[str]]]:
        """Yield the lines in texts of a size that InfluxDB likes, each with its points by measurement."""
        lines: List[str] = []
        counts: CounterType[str] = Counter()
        for line in self.lines(end_ns, days):
            lines.append(line)
            name = line[: line.index(",")]
            # A line that only adds an outcome to a decision is no other point.
            counts[name] += name not in flux.MARKERS or f"{flux.MARKERS[name]}=" in line
            if len(lines) == BATCH_LINES:
                yield "\n".join(lines), counts
                lines, counts = [], Counter()
        if lines:
            yield "\n".join(lines), counts


def _renamed(head: str, before: int) -> str:
    """Give other ids to another day: decisions and messages are found by them."""
    return head.replace('_id="', f'_id="{before}-') if before else head


def _told(accounts: Accounts, stamper: Stamper, head: str, at_ns: int) -> Optional[Row]:
    """Count what was spent, or give the point that tells of it."""
    what, agent_id, *amount = head.split(" ")
    if what == SPENT:
        accounts.spend(agent_id, at_ns, float(amount[0]))
        return None
    return budget_row(stamper, agent_id, accounts.state(agent_id, at_ns), at_ns)


def history() -> History:
    """Return the recorded run, from the cache or made now, which takes most of a minute."""
    folder = cache_folder() / "history"
    file = folder / f"{_digest()}.lines.gz"
    with locked("history"):
        if not file.exists():
            folder.mkdir(exist_ok=True)
            for old in folder.iterdir():
                old.unlink()
            beside = file.with_suffix(".new")
            with gzip.open(str(beside), "wt", compresslevel=3, encoding="utf-8") as out:
                _simulate(out)
            beside.rename(file)
    return History(file)


class HistoryStore:
    """An InfluxDB that `reasond setup-influxdb` made, in the folder `tokens` its tokens; filled with history."""

    def __init__(self, server: Influxd, tokens: Path, *, retention_days: int = 30) -> None:
        """Given a running server that was never set up, and a folder for its tokens; sets it up."""
        self._retention_days = retention_days
        self.server = server
        self.tokens = tokens
        self.counts: CounterType[str] = Counter()
        # When the history ends that it was filled with (UTC).
        self.end_ns = 0
        self.set_up()

    def set_up(self, *options: str) -> str:
        """Run `reasond setup-influxdb` and return what it said; raises AssertionError when it fails."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("INFLUXDB_", "REASOND_"))}
        settings = {
            "INFLUXDB_URL": self.server.url,
            "INFLUXDB_ORG": ORG,
            "INFLUXDB_BUCKET": BUCKET,
            "INFLUXDB_ADMIN_PASSWORD": self.server.password,
            "INFLUXDB_TOKEN_DIR": str(self.tokens),
            "INFLUXDB_RETENTION_DAYS": str(self._retention_days),
        }
        done = subprocess.run(
            [sys.executable, "-m", "reasond", "setup-influxdb", *options],
            env={**kept, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SETUP_SECONDS,
            check=False,
        )
        told = done.stdout.decode(errors="replace")
        assert done.returncode == 0, f"setup-influxdb ended with {done.returncode}:\n{told}"
        return told

    def fill(self, end_ns: int, days: int = 1) -> None:
        """Write history that ends at that time (UTC); `counts` then says how many points of each measurement.

        The 5-minute series of what is written don't come by themselves: `make_series` makes them.
        """
        for text, counts in history().batches(end_ns, days):
            self.write(text)
            self.counts.update(counts)
        self.end_ns = end_ns

    def make_series(self) -> str:
        """Have set-up make the 5-minute series up to now, and return what it said."""
        return self.set_up("--backfill")

    def write(self, lines: str) -> None:
        """Write line protocol; raises HttpError when a line is refused."""
        headers = {"Authorization": f"Token {self.token('agents')}", "Content-Type": "text/plain; charset=utf-8"}
        path = f"/api/v2/write?org={quote(ORG)}&bucket={quote(BUCKET)}&precision=ns"
        send("POST", self.server.url + path, lines, headers, WRITE_SECONDS)

    def token(self, name: str) -> str:
        """Give a token that set-up left: admin, agents or grafana."""
        return (self.tokens / f"{name}.token").read_text().strip()

    @property
    def for_grafana(self) -> Store:
        """What Grafana reads it by."""
        return Store(self.server.url, ORG, BUCKET, self.token("grafana"))
