"""The doctor's checks of InfluxDB: reach, version, token, bucket, rights, clock, task, and the agents' own word."""

import json
import time
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import urlencode

from reasond.adapters import probes
from reasond.adapters.influxdb import InfluxReader
from reasond.doctor.clock import clock_verdict
from reasond.doctor.examined import Examined
from reasond.doctor.findings import Check, Verdict, fail, ok, skipped, warning
from reasond.doctor.task import task_verdict
from reasond.downsampling import TASK_NAME
from reasond.errors import StoreRefused, StoreUnavailable
from reasond.settings import BudgetSettings, InfluxSettings

INFLUXDB, TOKEN, READ = "influxdb", "influxdb token", "influxdb read"
DAY_S = 24 * 3600
_SET_UP = "reasond setup-influxdb, then put the agents' token into INFLUXDB_TOKEN"
_START = "start InfluxDB 2 (systemctl start influxdb); check INFLUXDB_URL, INFLUXDB_CA_FILE, firewalls between"

_PROBE = """
from(bucket: bucket) |> range(start: -1m) |> limit(n: 1)
"""
_HEALTH = """
from(bucket: bucket)
    |> range(start: -5m)
    |> filter(fn: (r) => r._measurement == "agent_health")
    |> filter(fn: (r) => r._field == "boot_id" or r._field == "pid" or r._field == "spool_dropped"
        or r._field == "degraded_reason")
    |> keep(columns: ["_time", "agent_id", "_field", "_value"])
"""
HEALTH_WINDOW = "5 minutes"
"""Some thirty heartbeats an agent."""

Beat = Dict[str, str]
"""The fields of one agent_health point, as text."""


def checks(examined: Examined) -> List[Check]:
    """Give the checks of InfluxDB."""
    influx = examined.settings.influx
    days = examined.settings.influx_setup.retention_days
    needs = examined.needs("influx")
    reads = _Reads(influx)
    return [
        Check(INFLUXDB, lambda: reachable(influx), _START, needs),
        Check("influxdb clock", lambda: _clock(influx), "", (INFLUXDB,)),
        Check(TOKEN, lambda: token_valid(influx), _SET_UP, (INFLUXDB,)),
        Check("influxdb bucket", lambda: bucket_stands(influx, days), _SET_UP, (TOKEN,)),
        Check("influxdb write", lambda: may_write(influx), _SET_UP, (TOKEN,)),
        Check(READ, reads.probe, _SET_UP, (TOKEN,)),
        Check(
            "downsampling task",
            lambda: task_verdict(
                lambda token: _tasks(replace(influx, token=token)),
                influx.token,
                examined.settings.influx_setup.token_dir,
                influx.org,
                influx.bucket,
            ),
            "",
            (TOKEN,),
        ),
        Check("identities everywhere", reads.identities, "", (READ,)),
        Check("agents' own word", reads.health, "", (READ,)),
        Check(
            "budget of the system",
            lambda: reads.spend(examined.settings.budget),
            "",
            (READ, *examined.needs("budget")),
        ),
    ]


def reachable(influx: InfluxSettings) -> Verdict:
    """Ask for health and version."""
    answer = probes.http("GET", _url(influx, "/health"), StoreUnavailable, ca_file=influx.ca_file)
    told = _object(answer)
    version = str(told.get("version", answer.headers.get("x-influxdb-version", ""))).lstrip("v")
    if answer.status != 200 or told.get("status") != "pass":
        return fail("{} answers {}: {}".format(influx.url, answer.status, told.get("message", "not healthy")), _START)
    if not version.startswith("2."):
        return fail("{} is InfluxDB {}".format(influx.url, version or "of unknown version"), "use InfluxDB 2.x")
    return ok(f"InfluxDB {version} at {influx.url}")


def token_valid(influx: InfluxSettings) -> Verdict:
    """Tell whether InfluxDB knows the token and the organization."""
    if not influx.token:
        return fail("INFLUXDB_TOKEN is not set", _SET_UP)
    answer = _buckets(influx)
    if answer.status == 401:
        return fail("InfluxDB doesn't know the token", _SET_UP)
    if answer.status == 404 and "organization" in str(_object(answer).get("message", "")):
        return fail(f"no organization {influx.org!r}", "correct INFLUXDB_ORG, or " + _SET_UP)
    # 404 is also how it answers for a bucket that isn't there, which is another check's.
    if answer.status >= 300 and answer.status != 404:
        return fail("InfluxDB answers {}: {}".format(answer.status, _object(answer).get("message", "")), _SET_UP)
    return ok(f"known, organization {influx.org!r}")


def bucket_stands(influx: InfluxSettings, days: int) -> Verdict:
    """Tell whether the bucket is there, and keeps its points as long as it should."""
    answer = _buckets(influx)
    if answer.status == 404:
        return fail(f"no bucket {influx.bucket!r} in {influx.org!r}", "correct INFLUXDB_BUCKET, or " + _SET_UP)
    found = _object(answer).get("buckets") or []
    if not found:
        # InfluxDB leaves a bucket out of the list that the token may not read.
        return fail(f"bucket {influx.bucket!r} is there, but the token may not see it", _SET_UP)
    rules = found[0].get("retentionRules") or [{}]
    kept_s = int(rules[0].get("everySeconds", 0))
    told = "{!r} keeps points {}".format(influx.bucket, f"{kept_s / DAY_S:g} days" if kept_s else "for ever")
    if kept_s != days * DAY_S:
        return warning(
            f"{told} instead of {days} days",
            "influx bucket update --id {} --retention {}h, or reasond setup-influxdb".format(
                found[0].get("id", "ID"), days * 24
            ),
        )
    return ok(told)


def may_write(influx: InfluxSettings) -> Verdict:
    """Tell whether the token may write: InfluxDB judges that first, and takes a write without points."""
    answer = _empty_write(influx)
    if answer.status == 404:
        return fail(str(_object(answer).get("message", "not found")), "correct INFLUXDB_BUCKET, or " + _SET_UP)
    if answer.status >= 300:
        return fail(
            "the token may not write to {!r}: {}".format(influx.bucket, _object(answer).get("message", answer.status)),
            _SET_UP,
        )
    return ok(f"the token may write to {influx.bucket!r} (asked without a point)")


class _Reads:
    """The checks that ask in Flux, as the agents do."""

    def __init__(self, influx: InfluxSettings) -> None:
        self._influx = influx
        self._reader = InfluxReader(influx)

    def probe(self) -> Verdict:
        try:
            self._reader.query(_PROBE)
        except StoreRefused as err:
            # A bucket that a token may not read counts as missing in a query's error.
            return fail(f"the token may not read {self._influx.bucket!r} ({err})", _SET_UP)
        return ok(f"the token may read {self._influx.bucket!r}")

    def identities(self) -> Verdict:
        return identity_verdict(self._reader.query(_HEALTH))

    def health(self) -> Verdict:
        return health_verdict(self._reader.query(_HEALTH))

    def spend(self, budget: BudgetSettings) -> Verdict:
        return spend_verdict(self._reader.system_spend(time.time_ns()), budget)


def identity_verdict(records: Sequence[Mapping[str, str]]) -> Verdict:
    """Judge agent_health records (fields boot_id and pid): an identity lives in one process at a time.

    A restart gives one process after the other; two whose heartbeats overlap in time are two holders.
    """
    lives: Dict[str, Dict[Tuple[str, str], List[str]]] = {}
    for (agent_id, at), beat in _beats(records).items():
        lives.setdefault(agent_id, {}).setdefault((beat.get("boot_id", ""), beat.get("pid", "")), []).append(at)
    if not lives:
        return skipped(f"no heartbeat in the last {HEALTH_WINDOW}")
    doubles = [text for text in (_double(agent_id, held) for agent_id, held in sorted(lives.items())) if text]
    if doubles:
        return fail("; ".join(doubles), "stop one of the two, or give it an id of its own")
    return ok("one process each: {}".format(", ".join(sorted(lives))))


def health_verdict(records: Sequence[Mapping[str, str]]) -> Verdict:
    """Tell what agents last said of themselves: points dropped, and why they run degraded."""
    last: Dict[str, Tuple[str, Beat]] = {}
    for (agent_id, at), beat in _beats(records).items():
        if agent_id not in last or at > last[agent_id][0]:
            last[agent_id] = (at, beat)
    if not last:
        return skipped(f"no heartbeat in the last {HEALTH_WINDOW}")
    told = []
    for agent_id, (_, beat) in sorted(last.items()):
        if int(beat.get("spool_dropped") or 0):
            told.append("{} dropped {} points".format(agent_id, beat["spool_dropped"]))
        if beat.get("degraded_reason"):
            told.append("{} is degraded: {}".format(agent_id, beat["degraded_reason"]))
    if told:
        return warning("; ".join(told), "see to the reasons named; for dropped points raise INFLUXDB_SPOOL_MAX_BYTES")
    return ok(f"{len(last)} agents, none degraded, no point dropped")


def spend_verdict(spent_usd: Tuple[float, float], budget: BudgetSettings) -> Verdict:
    """Compare the system's spend in this hour and day with its limits."""
    limits = (budget.usd_per_hour, budget.usd_per_day)
    found = f"${spent_usd[0]:.4f} of ${limits[0]:g} this hour, ${spent_usd[1]:.4f} of ${limits[1]:g} today (UTC)"
    if any(spent >= budget.warn_at * limit for spent, limit in zip(spent_usd, limits) if spent):
        return warning(
            found, "wait, or raise BUDGET_USD_PER_HOUR and BUDGET_USD_PER_DAY: agents decide by rules beyond"
        )
    return ok(found)


def _beats(records: Sequence[Mapping[str, str]]) -> Dict[Tuple[str, str], Beat]:
    """Give the records' fields by agent and time."""
    beats: Dict[Tuple[str, str], Beat] = {}
    for record in records:
        # InfluxDB cuts trailing zeros off a fraction: filled up, times compare as text.
        whole, _, fraction = record["_time"].rstrip("Z").partition(".")
        at = f"{whole}.{fraction:0<9}"
        beats.setdefault((record.get("agent_id", ""), at), {})[record["_field"]] = record["_value"]
    return beats


def _double(agent_id: str, lives: Mapping[Tuple[str, str], Sequence[str]]) -> str:
    spans = sorted((min(times), max(times), who) for who, times in lives.items())
    for earlier, later in zip(spans, spans[1:]):
        if later[0] < earlier[1]:
            (boot, pid), (other_boot, other_pid) = earlier[2], later[2]
            if boot != other_boot:
                return f"{agent_id} runs on two hosts (boot ids {boot} and {other_boot})"
            return f"{agent_id} runs twice on one host (pids {pid} and {other_pid})"
    return ""


def _buckets(influx: InfluxSettings) -> probes.Answer:
    return _ask(influx, "GET", "/api/v2/buckets", {"org": influx.org, "name": influx.bucket})


def _tasks(influx: InfluxSettings) -> Optional[List[Dict[str, Any]]]:
    """Give the downsampling tasks that the token may see, None where InfluxDB refuses it."""
    answer = _ask(influx, "GET", "/api/v2/tasks", {"org": influx.org, "name": TASK_NAME})
    return None if answer.status >= 300 else list(_object(answer).get("tasks") or ())


def _empty_write(influx: InfluxSettings) -> probes.Answer:
    query = {"org": influx.org, "bucket": influx.bucket, "precision": "ns"}
    return _ask(influx, "POST", "/api/v2/write", query, b"")


def _ask(
    influx: InfluxSettings, method: str, path: str, query: Mapping[str, str], body: Optional[bytes] = None
) -> probes.Answer:
    return probes.http(
        method,
        f"{_url(influx, path)}?{urlencode(query)}",
        StoreUnavailable,
        headers={"Authorization": "Token " + influx.token},
        body=body,
        ca_file=influx.ca_file,
    )


def _url(influx: InfluxSettings, path: str) -> str:
    return influx.url.rstrip("/") + path


def _object(answer: probes.Answer) -> Dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _clock(influx: InfluxSettings) -> Verdict:
    return clock_verdict(
        lambda: probes.http("GET", _url(influx, "/ping"), StoreUnavailable, ca_file=influx.ca_file),
        influx.url,
    )
