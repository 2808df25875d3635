"""How the system is: its health, who is alive, how long the queues need."""

from reasond.core.rules import GUARD_DEPTH_MESSAGES

from ..flux import AGENT, MAIN, PICK, lines, read, windows
from . import Signal

HEARTBEAT = "1m"
"""An agent beats every 10 s (REASOND_HEARTBEAT_S)."""
ANALYSIS = "5m"
"""The monitor analyses every minute (MONITOR_PERIOD_S); an older analysis says nothing about now."""

ACTIVE = Signal(
    "active",
    "none",
    "agents with a heartbeat in the last minute of the range",
    'import "date"\n'
    + read("agent_health", ["up"], AGENT, start=f"date.sub(from: v.timeRangeStop, d: {HEARTBEAT})")
    + '\n  |> last()\n  |> group()\n  |> count()\n  |> rename(columns: {_value: "active"})',
)
ALIVE = Signal(
    "alive",
    "none",
    "agents that the monitor saw alive; the lowest of each window",
    f"{PICK}{read('system_health', ['agents_alive'])}\n{windows('min')}",
)
EXPECTED = Signal(
    "expected",
    "none",
    "agents that the monitor expects (MONITOR_EXPECTED_AGENTS)",
    f"{PICK}{read('system_health', ['agents_expected'])}\n{windows('max')}",
)
SAID = ("state", "degraded", "degraded_reason", "brain", "version", "uptime_s", "memory_bytes")
LAST_SEEN = Signal(
    "last seen",
    "none",
    "the newest heartbeat of every agent that was seen in the range, with what it said of itself",
    f"""beats = {read("agent_health", ["up", *SAID], AGENT)}
  |> last()
  |> drop(columns: ["_start", "_stop", "_measurement"])
seen = beats
  |> filter(fn: (r) => r._field == "up")
  |> map(fn: (r) => ({{agent_id: r.agent_id, agent_type: r.agent_type, _field: "seen", _value: r._time}}))
  |> group(columns: ["agent_id", "agent_type", "_field"])
said = beats
  |> filter(fn: (r) => r._field != "up")
  |> drop(columns: ["_time"])
union(tables: [seen, said])
  |> pivot(rowKey: ["agent_id", "agent_type"], columnKey: ["_field"], valueColumn: "_value")
  |> group()
  |> sort(columns: ["agent_id"])
  |> drop(columns: ["agent_type"])
  // The newest reason may be of a trouble that is over.
  |> map(fn: (r) => ({{r with degraded_reason: if exists r.degraded and r.degraded and exists r.degraded_reason
    then r.degraded_reason else ""}}))""",
)


def _newest(field: str) -> str:
    recent = read("system_health", [field], start=f"date.sub(from: v.timeRangeStop, d: {ANALYSIS})")
    return f'import "date"\n{recent}\n  |> last()'


SCORE = Signal(
    "score",
    "none",
    "system_health_score of the monitor's newest analysis, 0 to 100",
    _newest("system_health_score"),
)
STATUS = Signal(
    "status",
    "none",
    "the monitor's newest word: healthy, warning or critical",
    _newest("status") + '\n  |> group()\n  |> keep(columns: ["_value"])\n  |> rename(columns: {_value: "status"})',
)
SCORES = Signal(
    "score",
    "none",
    "system_health_score, 0 to 100; the lowest of each window",
    f"{PICK}{read('system_health', ['system_health_score'])}\n{windows('min')}",
)
# The time of a queue with a message or two is noise: one that waits for its consumer counts a minute.
DRAIN = Signal(
    "time to drain",
    "s",
    "seconds that the slowest main queue needs until it is empty, by the rates of the monitor's newest analysis; 0 if "
    f"no main queue held {GUARD_DEPTH_MESSAGES} messages in the last minute",
    f"""import "date"
deepest = {read("queue_metrics", ["depth"], MAIN, start=f"date.sub(from: v.timeRangeStop, d: {HEARTBEAT})")}
  |> max()
  |> group()
  |> max()
  |> findRecord(fn: (key) => true, idx: 0)
few = exists deepest._value and deepest._value < {GUARD_DEPTH_MESSAGES}
{read("system_health", ["drain_time_s", "issues_detected"], start=f"date.sub(from: v.timeRangeStop, d: {ANALYSIS})")}
  |> toFloat()
  |> group(columns: ["_field"])
  |> last()
  |> group()
  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
  |> sort(columns: ["_time"])
  |> tail(n: 1)
  |> filter(fn: (r) => few or exists r.drain_time_s)
  |> map(fn: (r) => ({{_time: r._time, _value: if few then 0.0 else r.drain_time_s}}))""",
)
DRAINS = Signal(
    "time to drain",
    "s",
    "seconds that the slowest main queue needs until it is empty; the longest of each window; "
    "a gap where it doesn't drain, or nothing is known; with a message or two in a queue it is noise",
    f"{PICK}{read('system_health', ['drain_time_s'])}\n{windows('max', empty=True)}",
)
ISSUES = Signal(
    "issues found by the monitor",
    "short",
    "issues that the monitor's analyses named",
    lines(f"{PICK}{read('system_health', ['issues_detected'])}\n{windows('sum', empty=True)}"),
)
