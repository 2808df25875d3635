"""InfluxDB 2 as the agents use it: points out through the spool, questions in by Flux.

Used by the runtime, the observer and the commands. influxdb-client carries raw line protocol and queries;
its own retries and batching stay off, as they would lose points at a stop. It is imported with the
first connection only: it costs 33 MB and up to half a second, which a command without a store shouldn't pay.
"""

import contextlib
import importlib
import random
import re
import ssl
import threading
import time
from datetime import datetime, timezone
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import msgspec
import urllib3
from msgspec import Struct

from reasond import flux
from reasond.adapters.causes import short_cause
from reasond.adapters.spool import LANES, OnProblem, Spool
from reasond.core.backoff import delay_s
from reasond.core.experiment import MEASURES
from reasond.core.views import Activity, AgentSeen, Decided, Minutes, Peer, QueueSample
from reasond.errors import StoreError, StoreRefused, StoreUnavailable
from reasond.points import MEASUREMENTS, Row, to_line
from reasond.settings import InfluxSettings

# InfluxData's own advice is 5,000 lines a request; ours have 100 to 200 bytes.
BATCH_MAX_BYTES = 512 * 1024
# Decisions look at samples that are 5 s apart: a second's wait costs nothing and makes few requests.
BATCH_AGE_S = 1.0
# InfluxDB restarts within seconds; a minute keeps a long absence cheap and its end unnoticed by nobody.
AWAY_BASE_S, AWAY_CAP_S = 0.5, 30.0
# A wrong token or a missing bucket is mended by people.
REFUSED_BASE_S, REFUSED_CAP_S = 5.0, 60.0
# A server may ask for any wait; beyond this it's better to look again.
RETRY_AFTER_MAX_S = 120.0
# Evidence for people, in the spool's directory; two files of this size at most.
REJECTED_MAX_BYTES = 1024 * 1024
REJECTED_FILE = "rejected.lp"
# How long the last refusal of points stays a standing problem.
REJECTED_SHOWN_S = 60.0
_MESSAGE_MAX_CHARS = 300
_IMPORT_GUARD = threading.Lock()
_DROPPED = re.compile(r"dropped=(\d+)")


class WriterStats(Struct, frozen=True):
    """How writing stands.

    `written` and `rejected` count points since the start; `spool_bytes` are unsent; `dropped` points gave
    way for want of room; `torn` lines were cut off by a crash; `lag_s` is the time since nothing was unsent,
    0 when nothing is; `last_error` is the present problem, empty when there is none.
    """

    written: int
    rejected: int
    spool_bytes: int
    dropped: int
    torn: int
    lag_s: float
    last_error: str


class _Outcome(Struct, frozen=True):
    """What became of a request: `kind` is ok, partial, invalid, too_large, refused or away."""

    kind: str
    text: str = ""
    retry_after_s: Optional[float] = None


class InfluxWriter:
    """Sends what the spool holds, on one daemon thread; closing it closes the spool too."""

    def __init__(
        self,
        settings: InfluxSettings,
        spool: Spool,
        on_problem: OnProblem,
        rng: Optional[random.Random] = None,
    ) -> None:
        """Start sending to the bucket of `settings`.

        `on_problem` is told, on threads of the adapter, what is wrong with InfluxDB or the spool whenever
        that changes, and "" when all is well again; a token is never in it.
        """
        self._settings = settings
        self._spool = spool
        self._on_problem = on_problem
        self._rng = rng or random.Random()
        self._hurry = threading.Event()
        self._closing = False
        self._written = self._rejected = 0
        self._rejected_at: Optional[float] = None
        self._clear_since = time.monotonic()
        self._max_bytes = BATCH_MAX_BYTES
        self._problems: Dict[str, str] = {}
        self._problems_guard = threading.Lock()
        self._api: Any = None
        spool.on_problem = lambda text: self._problem("spool", text)
        self._problem("spool", spool.problem())
        self._thread = threading.Thread(target=self._work, name="influxdb-writer", daemon=True)
        self._thread.start()

    def write(self, rows: Sequence[Row]) -> None:
        """Hand points over; returns at once. A point of known tags and time gets its new fields added.

        Raises KeyError for a measurement or field that is not declared: a programming error.
        """
        self._spool.append([to_line(row) for row in rows])

    def flush(self, deadline_s: float) -> bool:
        """Send what is waiting, at most so long; tell whether nothing is left unsent."""
        end = time.monotonic() + deadline_s
        self._hurry.set()
        self._spool.sync(deadline_s)
        while self._spool.stats().unsent_bytes:
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._hurry.set()
            self._spool.interrupt()
            # The thread may be in the middle of a request: no condition tells its end any sooner.
            time.sleep(min(0.02, left))
        return True

    def close(self, deadline_s: float) -> bool:
        """Flush, then stop; what is unsent stays for the next start. Tells whether nothing is."""
        end = time.monotonic() + deadline_s
        done = self.flush(deadline_s)
        self._closing = True
        self._hurry.set()
        self._spool.interrupt()
        self._thread.join(max(0.05, end - time.monotonic()))
        self._spool.close(max(0.5, end - time.monotonic()))
        return done

    @property
    def stats(self) -> WriterStats:
        """The present figures."""
        spool = self._spool.stats()
        lag_s = time.monotonic() - self._clear_since if spool.unsent_bytes else 0.0
        return WriterStats(
            written=self._written,
            rejected=self._rejected,
            spool_bytes=spool.unsent_bytes,
            dropped=spool.dropped,
            torn=spool.torn,
            lag_s=lag_s,
            last_error=self._problem_text(),
        )

    def _work(self) -> None:
        while not self._closing:
            if not self._gather():
                continue
            # A batch of each lane: what has waited once doesn't wait again behind the other lane.
            for _ in LANES:
                batch = self._spool.peek(self._max_bytes)
                if batch is None or not self._deliver(list(batch.lines)):
                    break
                self._spool.done(batch)

    def _gather(self) -> bool:
        """Wait for points, and a little longer for more of them; tell whether there are any."""
        waiting = self._spool.wait(BATCH_AGE_S)
        if not waiting:
            self._clear_since = time.monotonic()
            self._forget_rejected()
            self._hurry.clear()
            return False
        if waiting < self._max_bytes:
            self._hurry.wait(BATCH_AGE_S)
        return True

    def _deliver(self, lines: List[bytes]) -> bool:
        """Get the lines rid of one way or another; False when told to stop before that."""
        stack = [lines]
        attempt = 0
        while stack:
            outcome = self._post(stack[-1])
            if outcome.kind in ("refused", "away"):
                if not self._back_off(outcome, attempt):
                    return False
                attempt += 1
                continue
            attempt = 0
            self._problem("influxdb", "")
            self._settle(stack, outcome)
        return True

    def _settle(self, stack: List[List[bytes]], outcome: _Outcome) -> None:
        """Take the top of the stack off by what the server said of it; halves of it may take its place."""
        lines = stack.pop()
        if outcome.kind == "ok":
            self._written += len(lines)
        elif outcome.kind == "partial":
            # The good ones landed (InfluxDB 2: 422); to send them again would change nothing.
            match = _DROPPED.search(outcome.text)
            refused = min(len(lines), int(match.group(1)) if match else 1)
            self._written += len(lines) - refused
            self._count_rejected(refused, outcome.text)
        elif len(lines) == 1:
            self._set_aside(lines[0])
            self._count_rejected(1, outcome.text)
        else:
            if outcome.kind == "too_large":
                self._max_bytes = max(4096, self._max_bytes // 2)
            middle = len(lines) // 2
            stack.extend((lines[middle:], lines[:middle]))

    def _post(self, lines: Sequence[bytes]) -> _Outcome:
        try:
            if self._api is None:
                self._api = _write_api(self._settings)
            self._api.write(
                bucket=self._settings.bucket,
                org=self._settings.org,
                record=b"\n".join(lines),
                write_precision="ns",
            )
        except Exception as err:  # a thread that ended would lose every later point in silence
            return _outcome(err, self._settings)
        return _Outcome("ok")

    def _back_off(self, outcome: _Outcome, attempt: int) -> bool:
        """Say what is wrong and wait; tell whether to go on."""
        self._problem("influxdb", outcome.text)
        base_s, cap_s = (AWAY_BASE_S, AWAY_CAP_S) if outcome.kind == "away" else (REFUSED_BASE_S, REFUSED_CAP_S)
        wait_s = delay_s(attempt, base_s=base_s, cap_s=cap_s, rng=self._rng)
        if outcome.retry_after_s is not None:
            wait_s = max(wait_s, min(outcome.retry_after_s, RETRY_AFTER_MAX_S))
        if self._closing:
            return False
        # A flush that set this has its one try at once; the next one waits again.
        self._hurry.clear()
        self._interruptible_wait(wait_s, at_least_s=min(wait_s, AWAY_BASE_S))
        return not self._closing

    def _interruptible_wait(self, wait_s: float, at_least_s: float) -> None:
        """Wait; a flush shortens it, but never below `at_least_s`: it asks many times a second."""
        begun = time.monotonic()
        self._hurry.wait(wait_s)
        left = at_least_s - (time.monotonic() - begun)
        while left > 0 and not self._closing:
            time.sleep(min(0.05, left))
            left = at_least_s - (time.monotonic() - begun)

    def _set_aside(self, line: bytes) -> None:
        path = self._spool.directory / REJECTED_FILE
        try:
            if path.exists() and path.stat().st_size + len(line) > REJECTED_MAX_BYTES:
                path.replace(path.with_name(REJECTED_FILE + ".1"))
            with open(str(path), "ab") as file:
                file.write(line + b"\n")
        except OSError as err:
            self._problem("rejected", f"a refused point could not be set aside: {err}")

    def _count_rejected(self, count: int, text: str) -> None:
        self._rejected += count
        self._rejected_at = time.monotonic()
        self._problem("rejected", f"InfluxDB refused points: {text}")

    def _forget_rejected(self) -> None:
        if self._rejected_at is not None and time.monotonic() - self._rejected_at > REJECTED_SHOWN_S:
            self._rejected_at = None
            self._problem("rejected", "")

    def _problem(self, which: str, text: str) -> None:
        with self._problems_guard:
            if self._problems.get(which, "") == text:
                return
            self._problems[which] = text
        self._on_problem(self._problem_text())

    def _problem_text(self) -> str:
        with self._problems_guard:
            return "; ".join(text for _, text in sorted(self._problems.items()) if text)


class InfluxReader:
    """Answers the questions of `core.views.StoreReader` from InfluxDB; may be asked from several threads."""

    def __init__(self, settings: InfluxSettings) -> None:
        """Take the settings; nothing is connected before the first question."""
        self._settings = settings
        self._guard = threading.Lock()
        self._api: Any = None
        self._dialect: Any = None

    def queue_samples(self, start_ns: int, stop_ns: int) -> Tuple[QueueSample, ...]:
        """Give `queue_metrics` of all queues in [start, stop), oldest first.

        Raises StoreUnavailable or StoreRefused.
        """
        if stop_ns <= start_ns:
            return ()
        with self._understood():
            return _samples(self.query(flux.QUEUE_SAMPLES, start=start_ns, stop=stop_ns))

    def peers(self, agent_type: str, start_ns: int, stop_ns: int) -> Tuple[Peer, ...]:
        """Give each agent's latest rate decision in [start, stop), by agent id; age counts from stop.

        Raises StoreUnavailable or StoreRefused.
        """
        if stop_ns <= start_ns:
            return ()
        with self._understood():
            return self._peers(agent_type, start_ns, stop_ns)

    def _peers(self, agent_type: str, start_ns: int, stop_ns: int) -> Tuple[Peer, ...]:
        latest: Dict[str, Tuple[int, str, Dict[str, str]]] = {}
        for record in self.query(flux.PEERS, start=start_ns, stop=stop_ns, kind=agent_type):
            agent_id = record.get("agent_id", "")
            found = (nanoseconds(record["_time"]), record.get("action", ""), record)
            if agent_id not in latest or found[:2] > latest[agent_id][:2]:
                latest[agent_id] = found
        peers = []
        for agent_id, (time_ns, action, record) in sorted(latest.items()):
            fictional, nonfictional = flux.intervals_in_force(record)
            taken = "continue" if flux.in_shadow(record) else action
            peers.append(Peer(agent_id, (stop_ns - time_ns) / 1e9, taken, _int(fictional), _int(nonfictional)))
        return tuple(peers)

    def activity(self, start_ns: int, stop_ns: int) -> Activity:
        """Aggregate every measurement over [start, stop), and the spend in the hour and day that end with it.

        One request. `published` and `consumed` are by the queue that the messages really went through.
        Raises StoreUnavailable or StoreRefused.
        """
        if stop_ns <= start_ns:
            return Activity(start_ns=start_ns, stop_ns=stop_ns)
        with self._understood():
            return self._activity(start_ns, stop_ns)

    def _activity(self, start_ns: int, stop_ns: int) -> Activity:
        hour, day, after = flux.spend_bounds(stop_ns - 1)
        results: Dict[str, List[Dict[str, str]]] = {}
        for record in self.query(flux.ACTIVITY, start=start_ns, stop=stop_ns, hour=hour, day=day, after=after):
            results.setdefault(record["result"], []).append(record)
        tallies = _Tallies(results)
        errors = tallies.by("api", "error")
        return Activity(
            start_ns=start_ns,
            stop_ns=stop_ns,
            published=tallies.by("published", "routing_key", "queue"),
            consumed=tallies.by("consumed", "queue"),
            consumed_by_action=tallies.by("consumed", "processing_action"),
            late=tallies.count("late"),
            decisions=tallies.by("decisions", "action"),
            decisions_by_brain=tallies.by("decisions", "brain"),
            mean_confidence=flux.mean(tallies.amount("confidence_sum"), tallies.count("confidence_count")),
            tokens=tallies.count("tokens"),
            cost_usd=tallies.amount("cost"),
            api_calls=sum(errors.values()),
            api_errors={error: count for error, count in errors.items() if error not in ("", flux.NO_ERROR)},
            flagged=tallies.count("flagged"),
            rejected=tallies.count("rejected"),
            agents=_agents(results.get("health", ()), results.get("boots", ()), stop_ns),
            samples=_samples(results.get("samples", ())),
            system_hour_usd=_spent(results.get("hour", ())),
            system_day_usd=_spent(results.get("day", ())),
            plans=tuple(sorted(record["_value"] for record in results.get("plans", ()))),
        )

    def minutes(self, start_ns: int, stop_ns: int) -> Minutes:
        """Give what an experiment is judged by in [start, stop), which should be whole minutes.

        One request: of a day at most, or it may outlast the timeout. Raises StoreUnavailable or StoreRefused.
        """
        figures: Dict[str, Dict[int, float]] = {measure: {} for measure in MEASURES}
        decided: List[Decided] = []
        with self._understood():
            for record in self.query(flux.MINUTES, start=start_ns, stop=stop_ns):
                if record["result"] in figures:
                    figures[record["result"]][nanoseconds(record["_time"])] = float(record["_value"])
                else:
                    block, count = int(record["block"]), int(record["_value"])
                    decided.append(Decided(block, record["arm"], record["brain"], count))
        return Minutes(figures, tuple(sorted(decided, key=flux.decided_order)))

    def system_spend(self, at_ns: int) -> Tuple[float, float]:
        """Give the whole system's spend in USD in the UTC hour and the UTC day of `at_ns`, up to it.

        Each agent's latest `budget` point within the hour counts to the hour, that within the day to the day.
        Raises StoreUnavailable or StoreRefused.
        """
        hour, day, after = flux.spend_bounds(at_ns)
        results: Dict[str, List[Dict[str, str]]] = {}
        with self._understood():
            for record in self.query(flux.SYSTEM_SPEND, hour=hour, day=day, after=after):
                results.setdefault(record["result"], []).append(record)
            return _spent(results.get("hour", ())), _spent(results.get("day", ()))

    @contextlib.contextmanager
    def _understood(self) -> Iterator[None]:
        """Turn an answer that can't be InfluxDB's own (a portal's, say) into an error of ours."""
        try:
            yield
        except (KeyError, ValueError) as err:
            said = f"what answers at {self._settings.url} is no InfluxDB 2 ({_cut(str(err))})"
            raise StoreRefused(f"{said}: check INFLUXDB_URL") from err

    def query(self, text: str, **params: Any) -> List[Dict[str, str]]:
        """Run a Flux text and give its records of all tables, values as text; `result` names the yield.

        `bucket` is always among the parameters. Raises StoreUnavailable or StoreRefused.
        """
        try:
            with self._guard:
                if self._api is None:
                    self._api, self._dialect = _query_api(self._settings)
            found = self._api.query_csv(text, dialect=self._dialect, params=dict(params, bucket=self._settings.bucket))
            return _records(found)
        except (StoreError, ValueError):
            raise
        except Exception as err:
            raise _translated(err, self._settings) from err


class _Tallies:
    """Sums by tag out of query results."""

    def __init__(self, results: Dict[str, List[Dict[str, str]]]) -> None:
        self._results = results

    def by(self, result: str, tag: str, otherwise: str = "") -> Dict[str, int]:
        """Give the sums by the tag's value; where a record lacks it, by that of `otherwise`."""
        sums: Dict[str, int] = {}
        for record in self._results.get(result, ()):
            key = record.get(tag, "") or record.get(otherwise, "")
            sums[key] = sums.get(key, 0) + int(record["_value"])
        return sums

    def count(self, result: str) -> int:
        """Give the one whole number of a result, exactly, 0 where it is empty."""
        return sum(int(record["_value"]) for record in self._results.get(result, ()))

    def amount(self, result: str) -> float:
        """Give the one value of a result, 0 where it is empty."""
        return sum(float(record["_value"]) for record in self._results.get(result, ()))


def _import_client() -> None:
    """Import the whole package once, one thread at a time.

    Its modules import each other in a circle: two threads that enter it from two sides fail, for good.
    """
    with _IMPORT_GUARD:
        importlib.import_module("influxdb_client")


def connect(settings: InfluxSettings) -> Any:
    """Give an influxdb_client.InfluxDBClient with a timeout on every request and no retries of its own."""
    _import_client()
    from influxdb_client.client.influxdb_client import InfluxDBClient

    timeout_ms = int(settings.timeout_s * 1000)
    return InfluxDBClient(
        url=settings.url.rstrip("/"),
        token=settings.token,
        org=settings.org,
        timeout=(timeout_ms, timeout_ms),
        retries=False,
        # For urllib3, None means the system's own certificates.
        ssl_ca_cert=settings.ca_file or None,
    )


def _write_api(settings: InfluxSettings) -> Any:
    _import_client()
    from influxdb_client.client.write_api import SYNCHRONOUS

    return connect(settings).write_api(write_options=SYNCHRONOUS)


def _query_api(settings: InfluxSettings) -> Tuple[Any, Any]:
    _import_client()
    from influxdb_client.domain import dialect

    make: Any = dialect.Dialect
    # Without annotations the yield's name stands in every record.
    plain = make(header=True, annotations=[], delimiter=",", comment_prefix="#", date_time_format="RFC3339Nano")
    return connect(settings).query_api(), plain


def _records(rows: Any) -> List[Dict[str, str]]:
    """Give CSV rows as dicts by their table's header.

    Raises StoreRefused when an error stands in the middle of the answer (InfluxDB 2 manual, "Annotated CSV"),
    ValueError for what isn't such an answer.
    """
    header: List[str] = []
    records: List[Dict[str, str]] = []
    for row in rows:
        if row[1:3] == ["result", "table"]:
            header = row
        elif "error" in row[:2] and row[-1] == "reference":
            header = ["error"]
        elif header == ["error"]:
            raise StoreRefused("InfluxDB ended the query: {}".format(" ".join(row).strip()[:_MESSAGE_MAX_CHARS]))
        elif not header:
            raise ValueError("no header before {!r}".format(" ".join(row)[:40]))
        else:
            records.append(dict(zip(header[1:], row[1:])))
    return records


def _samples(records: Sequence[Dict[str, str]]) -> Tuple[QueueSample, ...]:
    found = []
    for record in records:
        fields: Dict[str, Any] = {name: _int(record.get(name)) for name in flux.SAMPLE_INTS}
        fields.update((name, _float(record.get(name))) for name in flux.SAMPLE_FLOATS)
        fields["source"] = record.get("source")
        sample = flux.queue_sample(nanoseconds(record["_time"]), record.get("queue", ""), fields)
        found.append((sample.time_ns, sample.queue, record.get("agent_id", ""), sample))
    return tuple(entry[3] for entry in sorted(found, key=lambda entry: entry[:3]))


def _agents(health: Sequence[Dict[str, str]], boots: Sequence[Dict[str, str]], stop_ns: int) -> Tuple[AgentSeen, ...]:
    latest: Dict[Tuple[str, str], Dict[str, Dict[str, str]]] = {}
    for record in health:
        who = (record.get("agent_id", ""), record.get("agent_type", ""))
        latest.setdefault(who, {})[record["_field"]] = record
    counts: Dict[Tuple[str, str], int] = {}
    for record in boots:
        who = (record.get("agent_id", ""), record.get("agent_type", ""))
        counts[who] = counts.get(who, 0) + 1
    return tuple(
        AgentSeen(
            agent_id=who[0],
            agent_type=who[1],
            age_s=(stop_ns - nanoseconds(fields["up"]["_time"])) / 1e9,
            degraded=fields.get("degraded", {}).get("_value") == "true",
            boots=counts.get(who, 1),
            state=fields.get("state", {}).get("_value", ""),
        )
        for who, fields in sorted(latest.items())
        if "up" in fields
    )


def _spent(records: Sequence[Dict[str, str]]) -> float:
    return sum(float(record["_value"]) for record in sorted(records, key=lambda record: record.get("agent_id", "")))


def _int(text: Optional[str]) -> Optional[int]:
    return int(text) if text else None


def _float(text: Optional[str]) -> Optional[float]:
    return float(text) if text else None


def nanoseconds(text: str) -> int:
    """Give an RFC 3339 UTC time in nanoseconds; datetime alone would cut the last three decimals."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=timezone.utc).timestamp())
    return seconds * 1000000000 + int((fraction + "000000000")[:9])


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """Turn an answer that can't be read as what was asked for (a portal's, say) into an error of ours."""
    try:
        yield
    except (KeyError, ValueError) as err:
        raise StoreRefused(f"InfluxDB's answer can't be read ({err!r}): check INFLUXDB_URL") from err


def rows(measurement: str, records: Sequence[Mapping[str, str]]) -> List[Row]:
    """Give pivoted records as points, oldest first, with their fields in the declared types."""
    declared = MEASUREMENTS[measurement]
    found = []
    for record in records:
        tags = {name: record[name] for name in declared.tags if record.get(name)}
        fields = {
            name: _typed(kind, record[name]) for name, kind in declared.fields.items() if record.get(name, "") != ""
        }
        found.append(Row(measurement, tags, fields, nanoseconds(record["_time"])))
    return sorted(found, key=lambda row: (row.time_ns, row.tags.get("agent_id", "")))


def _typed(kind: str, text: str) -> Any:
    if kind == "bool":
        return text == "true"
    return {"int": int, "float": float}.get(kind, str)(text)


def _outcome(err: Exception, settings: InfluxSettings) -> _Outcome:
    """Tell what a failed write means (InfluxDB 2 API, "POST /api/v2/write")."""
    status = getattr(err, "status", None) or 0
    text = str(_translated(err, settings))
    code = _answer(err).get("code", "")
    if status == 400 and code == "invalid":
        return _Outcome("invalid", text)
    if status == 413:
        return _Outcome("too_large", text)
    if status == 422:
        return _Outcome("partial", text)
    if status == 429 or status >= 500 or status == 0:
        return _Outcome("away", text, _retry_after_s(err))
    return _Outcome("refused", text)


def _translated(err: Exception, settings: InfluxSettings) -> StoreError:
    """Give a foreign error as one of ours, with what to do about it."""
    status = getattr(err, "status", None) or 0
    answer = _answer(err)
    said = "InfluxDB at {} answered {} ({})".format(settings.url, status, _cut(answer.get("message", "no reason")))
    if status in (401, 403):
        return StoreRefused(f"{said}: check INFLUXDB_TOKEN, or make tokens with reasond setup-influxdb")
    # A query for an unknown organization is answered with 400, a write with 404.
    if status == 404 or (status == 400 and answer.get("message", "").endswith("not found")):
        return StoreRefused(f"{said}: check INFLUXDB_ORG and INFLUXDB_BUCKET, or run reasond setup-influxdb")
    if status == 429 or status >= 500:
        return StoreUnavailable(said)
    if status:
        return StoreRefused(said)
    if isinstance(err, (urllib3.exceptions.SSLError, ssl.SSLError)) or "SSL" in str(getattr(err, "reason", "")):
        reason = _cut(str(getattr(err, "reason", "") or err))
        return StoreUnavailable(f"no TLS with {settings.url}: {reason}; check INFLUXDB_CA_FILE")
    if isinstance(err, (urllib3.exceptions.HTTPError, OSError)):
        return StoreUnavailable(f"InfluxDB at {settings.url} can't be reached: {short_cause(err)}")
    return StoreRefused(f"InfluxDB at {settings.url}: {type(err).__name__}: {_cut(str(err))}")


def _answer(err: Exception) -> Dict[str, str]:
    """Give the JSON object that InfluxDB puts into an error's body, empty where there is none."""
    body = getattr(err, "body", None) or b"{}"
    try:
        answer = msgspec.json.decode(body.encode() if isinstance(body, str) else body)
    except msgspec.DecodeError:
        return {}
    return {name: str(value) for name, value in answer.items()} if isinstance(answer, dict) else {}


def _retry_after_s(err: Exception) -> Optional[float]:
    """Give `retry-after` in seconds; its other form, a date, InfluxDB doesn't send."""
    headers = getattr(err, "headers", None) or {}
    text = str(headers.get("retry-after") or headers.get("Retry-After") or "")
    return float(text) if text.isdigit() else None


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MESSAGE_MAX_CHARS else text[:_MESSAGE_MAX_CHARS] + "..."
