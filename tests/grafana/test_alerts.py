"""The alert rules on a real Grafana over a real InfluxDB: they load, fire on data made for it, keep quiet, recover.

Three Grafanas run side by side, as an alert takes its time: one that sees health, one that sees trouble and tells
a webhook of it, and one that can't read InfluxDB. Rules are evaluated every 10 s and pend for 10 s.
"""

import http.server
import json
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

import pytest

from grafana.boards.alerts import ALERTS, FOLDER, UID_PREFIX
from reasond.points import Row, to_line
from tests.testbed import provide
from tests.testbed.grafana import DATASOURCE, Grafana, Store
from tests.testbed.influxd import Influxd
from tests.testbed.process import free_ports
from tests.testbed.waiting import wait_until

QUICK = {
    "grafana_alert_interval_seconds": 10,
    "grafana_alert_pending_seconds": 10,
    # A first start provisions policies after the one with mail is loaded; a minute later they are in force.
    "grafana_config": {"unified_alerting": {"alertmanager_config_poll_interval": "10s"}},
}
EVALUATION_SECONDS = 10
# Two evaluations make an alert; the third is for a machine that is busy.
FIRING_SECONDS = 40
# Alertmanager's group_wait is 30 s.
TOLD_SECONDS = 60
HOUR_MS = 3600 * 1000
# A dollar sign and quotes, which a quoting that is not thorough would break.
PATH = "/alerts?key=$HOME\"x'y"

Told = List[Dict[str, Any]]
Alerts = Dict[str, Dict[str, str]]


class Scene(NamedTuple):
    """One Grafana, and the bucket that it reads."""

    grafana: Grafana
    influxd: Influxd
    bucket: str

    def write(self, *rows: Row) -> None:
        self.influxd.write(self.bucket, "\n".join(to_line(row) for row in rows))

    def rules(self) -> Dict[str, Dict[str, Any]]:
        """By key, as Grafana tells them."""
        titles = {alert.title: alert.key for alert in ALERTS}
        groups = self.grafana.get("/api/prometheus/grafana/api/v1/rules")["data"]["groups"]
        return {titles[rule["name"]]: rule for group in groups for rule in group["rules"]}

    def alerts(self, *wanted: str) -> Alerts:
        """What is up: of each rule, its alerts' subject and state, where the state is one of `wanted`."""
        up: Alerts = {}
        for key, rule in self.rules().items():
            for alert in rule.get("alerts") or ():
                state = alert["state"].lower().split(" ")[0]
                if state in (wanted or ("alerting", "pending", "error", "nodata")):
                    up.setdefault(key, {})[_subject(alert["labels"])] = state
        return up

    def said(self, key: str) -> Dict[str, Dict[str, str]]:
        """The annotations of a rule's alerts that are up, by their subject."""
        alerts = [alert for alert in self.rules()[key]["alerts"] if alert["state"].startswith("Alerting")]
        return {_subject(alert["labels"]): alert["annotations"] for alert in alerts}

    def seen(self, key: str) -> List[str]:
        """The subjects that a rule has values of, alert or not."""
        return [_subject(alert["labels"]) for alert in self.rules()[key]["alerts"] if "NoData" not in alert["state"]]

    def evaluated(self, times: int = 1) -> None:
        """Wait until every rule was evaluated that often from now on."""
        for _ in range(times):
            since = _latest(self.rules())
            wait_until(
                lambda since=since: min(_evaluated_at(rule) for rule in self.rules().values()) > since,
                what="an evaluation of every rule",
                timeout_seconds=3 * EVALUATION_SECONDS,
                every_seconds=0.2,
            )


def _subject(labels: Dict[str, str]) -> str:
    return next((labels[name] for name in ("agent_id", "queue", "window") if name in labels), "")


def _evaluated_at(rule: Dict[str, Any]) -> str:
    return str(rule["lastEvaluation"])


def _latest(rules: Dict[str, Dict[str, Any]]) -> str:
    return max(_evaluated_at(rule) for rule in rules.values())


def _row(measurement: str, tags: Dict[str, str], age_s: float = 0.0, **fields: Any) -> Row:
    return Row(measurement, tags, fields, time.time_ns() - int(age_s * 1e9))


def _budget(agent: str, hour: float, day: float, level: str, limit: float = 5.0) -> Row:
    spent = {"spent_hour_usd": hour, "spent_day_usd": day}
    limits = {"limit_hour_usd": limit, "limit_day_usd": 5 * limit}
    return _row("budget", {"agent_id": agent}, level=level, **spent, **limits)


def _queue(queue: str, depths: Dict[int, int], rate: Optional[float] = None) -> List[Row]:
    """Samples of one queue: depth by age in seconds."""
    tags = {"queue": queue, "agent_id": "monitor-1"}
    rates = {} if rate is None else {"ack_rate": rate}
    return [_row("queue_metrics", tags, age, depth=depth, **rates) for age, depth in depths.items()]


def _calls(failed: int, answered: int) -> List[Row]:
    tags = {"agent_id": "publisher-1", "agent_type": "publisher", "model": "m"}
    rows = [_row("api_calls", {**tags, "error": "none"}, 20 + n, attempt=1) for n in range(answered)]
    return rows + [_row("api_calls", {**tags, "error": "timeout"}, 20 + n, attempt=1) for n in range(failed)]


def _status(status: str, score: int) -> Row:
    return _row("system_health", {"agent_id": "monitor-1"}, status=status, system_health_score=score)


def _beat(agent: str, age_s: float = 0.0) -> Row:
    return _row("agent_health", {"agent_id": agent, "agent_type": agent.split("-")[0]}, age_s, up=1)


def healthy() -> List[Row]:
    """Just short of every alert."""
    return [
        # 79 % of the hour. One agent keeps to a share; its limit must not count as the system's.
        _budget("publisher-1", 1.95, 4.0, "ok"),
        _budget("publisher-2", 2.0, 4.0, "ok", limit=0.71),
        _beat("publisher-1", 30),
        _beat("monitor-1"),
        # Not seen for longer than a day: no longer an agent of this system.
        _beat("consumer-9", 25 * 3600),
        _status("warning", 60),
        # 50 s to wait; and too few messages to tell.
        *_queue("fictional", {120: 500, 30: 100, 0: 100}, rate=2.0),
        *_queue("priority", {30: 4, 0: 4}, rate=0.0),
        # No rate is known: nothing can be said.
        *_queue("non-fictional", {30: 900, 0: 900}),
        # Nine came, many went; and what grew has done so long ago.
        *_queue("books.expired", {300: 5000, 200: 5005, 100: 90, 0: 94}),
        *_queue("books.flagged", {1200: 0, 900: 500, 300: 500, 0: 500}),
        *_calls(failed=4, answered=6),
    ]


def trouble() -> List[Row]:
    """Past every alert."""
    return [
        _budget("publisher-1", 2.2, 4.0, "ok"),
        _budget("publisher-2", 2.0, 4.0, "spent", limit=0.71),
        _beat("publisher-1", 300),
        _beat("consumer-1", 7200),
        _beat("monitor-1"),
        _status("critical", 31),
        *_queue("fictional", {30: 200, 0: 200}, rate=2.0),
        *_queue("priority", {30: 5, 0: 5}, rate=0.0),
        *_queue("non-fictional", {30: 100, 0: 100}, rate=2.0),
        *_queue("books.expired", {300: 50, 100: 20, 0: 30}),
        *_queue("books.rejected", {300: 0, 0: 9}),
        *_calls(failed=3, answered=3),
    ]


TROUBLE: Dict[str, Set[str]] = {
    "budget-warning": {"hour"},
    "budget-spent": {""},
    "agent-silent": {"publisher-1", "consumer-1"},
    "health-critical": {""},
    "queue-not-draining": {"fictional", "priority"},
    "dead-letters-growing": {"books.expired"},
    "api-failing": {""},
}


@pytest.fixture(scope="module")
def home() -> str:
    return provide.path_or_skip("grafana")


@pytest.fixture(scope="module")
def start(home: str, influxd: Influxd, scratch: Path) -> Iterator[Callable[..., Scene]]:
    """Starts a Grafana over a bucket of its own; with `url`, over an InfluxDB that isn't there."""
    scenes: List[Scene] = []

    def started(name: str, url: str = "", **variables: Any) -> Scene:
        bucket = influxd.fresh_bucket()
        folder = scratch / f"alerts-{name}"
        folder.mkdir()
        store = Store(url or influxd.url, influxd.org, bucket, influxd.token)
        scenes.append(Scene(Grafana(home, folder, store, variables={**QUICK, **variables}), influxd, bucket))
        scenes[-1].grafana.start()
        return scenes[-1]

    yield started
    for scene in scenes:
        scene.grafana.close()
        influxd.delete_bucket(scene.bucket)


@pytest.fixture(scope="module")
def webhook() -> Iterator[Tuple[str, Told]]:
    """The address of a server that keeps what Grafana tells it, and what it was told."""
    told: Told = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.append({"path": self.path, "user": self.headers["Authorization"], "body": body})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Keep the tests' output clean."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", told
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def blind(start: Callable[..., Scene]) -> Scene:
    (port,) = free_ports(1)
    return start("blind", url=f"http://127.0.0.1:{port}")


@pytest.fixture(scope="module")
def loud(start: Callable[..., Scene], webhook: Tuple[str, Told]) -> Scene:
    receiver = {"type": "webhook", "settings": {"url": webhook[0] + "/alerts", "username": "a", "password": PATH}}
    scene = start("loud", grafana_alert_contact_points=[receiver], grafana_alert_runbook_base="https://x.test/run")
    scene.write(*trouble())
    return scene


@pytest.fixture(scope="module")
def calm(start: Callable[..., Scene], blind: Scene, loud: Scene) -> Scene:
    # The other two go first: they need the most time.
    return start("calm")


def test_rules_are_provisioned_in_their_folder_and_group(calm: Scene):
    rules = calm.grafana.get("/api/v1/provisioning/alert-rules")

    folder = next(each for each in calm.grafana.get("/api/folders") if each["title"] == FOLDER)
    assert {rule["uid"] for rule in rules} == {UID_PREFIX + alert.key for alert in ALERTS}
    assert {(rule["folderUID"], rule["ruleGroup"]) for rule in rules} == {(folder["uid"], "reasond")}
    assert {rule["for"] for rule in rules} == {"10s"}


def test_dashboards_keep_a_folder_of_the_uid_that_was_asked_for(calm: Scene):
    assert calm.grafana.get("/api/folders/reasond")["title"] == "reasond"


def test_an_empty_bucket_is_no_alert(calm: Scene):
    calm.evaluated()

    assert {key: rule["health"] for key, rule in calm.rules().items()} == {alert.key: "ok" for alert in ALERTS}
    assert calm.alerts() == {}


def test_healthy_data_is_no_alert(calm: Scene):
    calm.write(*healthy())

    calm.evaluated(2)

    assert calm.alerts() == {}
    # They saw the data, and didn't just find none.
    seen = {key: set(calm.seen(key)) for key in calm.rules()}
    assert {key for key, subjects in seen.items() if not subjects} == set()
    assert seen["agent-silent"] == {"publisher-1", "monitor-1"}
    assert seen["budget-warning"] == {"hour", "day"}
    assert seen["queue-not-draining"] == {"fictional", "priority"}
    assert seen["dead-letters-growing"] == {"books.expired", "books.flagged"}


def test_each_rule_fires_on_its_trouble_and_on_nothing_else(loud: Scene):
    def fired() -> bool:
        # Anew each time: the hour may have turned.
        loud.write(_budget("publisher-1", 2.2, 4.0, "ok"), _budget("publisher-2", 2.0, 4.0, "spent", limit=0.71))
        return {key: set(subjects) for key, subjects in loud.alerts("alerting").items()} == TROUBLE

    try:
        wait_until(fired, what="every alert", timeout_seconds=FIRING_SECONDS, every_seconds=1)
    except AssertionError:
        pytest.fail(f"{loud.alerts()} are up, not {TROUBLE}")


def test_alerts_say_the_figures_and_where_the_runbook_is(loud: Scene):
    assert loud.said("budget-warning")["hour"]["summary"] == "4.20 of 5.00 USD of this hour (UTC) are spent"
    assert loud.said("budget-spent")[""]["summary"] == "The budget is spent: the rules decide for 1 agents"
    assert loud.said("health-critical")[""]["summary"] == "The system is critical: score 31 of 100"
    waits = loud.said("queue-not-draining")
    assert waits["fictional"]["summary"] == "Queue fictional holds 200 messages and 2.00 a second are acknowledged"
    assert "waits 100 s:" in waits["fictional"]["description"]
    assert "waits for ever:" in waits["priority"]["description"]
    summary = "10 messages came into books.expired in 10 minutes"
    assert loud.said("dead-letters-growing")["books.expired"]["summary"] == summary
    summary = "3 of 6 attempts at the Claude API failed in 5 minutes"
    assert loud.said("api-failing")[""]["summary"] == summary
    assert loud.said("agent-silent")["consumer-1"]["summary"].startswith("consumer-1 has sent no heartbeat for 72")
    assert loud.said("api-failing")[""]["runbook_url"] == "https://x.test/run#api-failing"


def test_a_blip_pends_and_does_not_fire(calm: Scene):
    calm.write(_status("critical", 20), _budget("publisher-1", 4.0, 4.0, "ok"))

    def pends() -> bool:
        return set(calm.alerts("pending")) == {"health-critical", "budget-spent", "budget-warning"}

    wait_until(pends, what="pending alerts", timeout_seconds=2 * EVALUATION_SECONDS, every_seconds=0.1)
    calm.write(_status("healthy", 95), _budget("publisher-1", 1.0, 1.0, "ok"))
    history: List[Alerts] = []

    def over() -> bool:
        history.append(calm.alerts("alerting"))
        return not calm.alerts()

    wait_until(over, what="the end of the blip", timeout_seconds=2 * EVALUATION_SECONDS, every_seconds=0.1)
    assert not any(history)


def test_influxdb_out_of_reach_is_one_alert(blind: Scene):
    wait_until(
        lambda: blind.alerts() == {"health-critical": {"": "alerting"}},
        what="the one alert",
        timeout_seconds=FIRING_SECONDS,
        every_seconds=0.5,
    )

    assert blind.said("health-critical")[""]["summary"].startswith("Grafana can't read InfluxDB")


def test_the_contact_point_is_told(loud: Scene, webhook: Tuple[str, Told]):
    told = webhook[1]

    def names() -> Set[str]:
        return {alert["labels"]["alertname"] for each in told for alert in each["body"]["alerts"]}

    titles = {alert.title for alert in ALERTS}
    wait_until(lambda: names() == titles, what="a word on every alert", timeout_seconds=TOLD_SECONDS)

    alerts = [alert for each in told for alert in each["body"]["alerts"]]
    assert all(alert["labels"]["reasond"] == "true" and alert["annotations"]["summary"] for alert in alerts)


def test_alerts_end_with_their_trouble(loud: Scene):
    loud.write(
        _budget("publisher-1", 0.1, 0.1, "ok"),
        _budget("publisher-2", 0.1, 0.1, "ok"),
        _beat("publisher-1"),
        _beat("consumer-1"),
        _status("healthy", 97),
        *_queue("fictional", {0: 3}, rate=9.0),
        *_queue("priority", {0: 1}, rate=9.0),
        *_calls(failed=0, answered=20),
    )

    # What was set aside stays so: that alert ends when its ten minutes are over.
    wait_until(
        lambda: set(loud.alerts()) == {"dead-letters-growing"},
        what="the end of the other alerts",
        timeout_seconds=FIRING_SECONDS,
        every_seconds=0.5,
    )


def test_without_a_contact_point_nothing_is_sent_and_nothing_fails(blind: Scene):
    policies = blind.grafana.get("/api/v1/provisioning/policies")
    assert policies["provenance"] == "file"
    log = blind.grafana.process.log_path.read_text()

    # Grafana says nothing of what it doesn't send; the webhook was told of alerts that are as old as this one.
    assert blind.alerts("alerting")
    assert "SMTP not configured" not in log
    assert "Notify for alerts failed" not in log


@pytest.mark.parametrize("name", ["calm", "loud"])
def test_templates_of_annotations_are_always_right(name: str, calm: Scene, loud: Scene):
    scene = {"calm": calm, "loud": loud}[name]

    assert "expanding template" not in scene.grafana.process.log_path.read_text()


def _provisioned_like(scene: Scene, other: Grafana) -> Tuple[Set[str], Dict[str, Any]]:
    """Provision with another Grafana's file; return the contact points' names and the notification policies."""
    file = "provisioning/alerting/reasond.yaml"
    (scene.grafana.folder / file).write_text((other.folder / file).read_text())
    scene.grafana.send("POST", "/api/admin/provisioning/alerting/reload")
    points = scene.grafana.get("/api/v1/provisioning/contact-points")
    return {point["name"] for point in points}, scene.grafana.get("/api/v1/provisioning/policies")


def test_contact_points_and_policies_are_taken_back(home: str, loud: Scene, calm: Scene, scratch: Path):
    names, policies = _provisioned_like(loud, loud.grafana)
    assert "reasond" in names
    assert [route["receiver"] for route in policies["routes"]] == ["reasond"]

    # The list is empty again.
    names, policies = _provisioned_like(loud, calm.grafana)
    assert "reasond" not in names
    (route,) = policies["routes"]
    assert route["receiver"] == "grafana-default-email"
    assert route["mute_time_intervals"] == ["reasond-shown-in-grafana-only"]

    # The role shall no longer own the policies.
    (scratch / "alerts-undo").mkdir()
    undo = {"grafana_alert_policy": False, "__grafana_alert_undo": True}
    store = Store(loud.influxd.url, loud.influxd.org, loud.bucket, loud.influxd.token)
    _, policies = _provisioned_like(loud, Grafana(home, scratch / "alerts-undo", store, variables=undo))
    assert not policies.get("routes")
    assert policies["receiver"] == "grafana-default-email"
    assert loud.grafana.get("/api/v1/provisioning/mute-timings") == []


def _asked(scene: Scene, key: str, name: str, stop_ms: int) -> Dict[str, float]:
    """What a rule's query answers at a time, by subject."""
    alert = next(alert for alert in ALERTS if alert.key == key)
    flux, seconds = alert.queries[name]
    query = {"refId": "A", "datasource": {"type": "influxdb", "uid": DATASOURCE}, "query": flux}
    answer = scene.grafana.query([query], str(stop_ms - seconds * 1000), str(stop_ms))["results"]["A"]
    assert "error" not in answer
    found: Dict[str, float] = {}
    for frame in answer.get("frames", ()):
        fields = frame["schema"]["fields"]
        for field, values in zip(fields, frame["data"]["values"]):
            if field["type"] == "number" and values:
                found[_subject(field.get("labels") or {})] = values[-1]
    return found


def test_budget_on_the_stroke_of_the_hour_is_that_of_the_hour_that_ends(calm: Scene):
    hour_ms = int(time.time() * 1000) // HOUR_MS * HOUR_MS
    before = (hour_ms - 30000) * 1000000
    calm.write(Row("budget", {"agent_id": "past-1"}, {"spent_hour_usd": 3.0, "limit_hour_usd": 8.0}, before))

    assert _asked(calm, "budget-warning", "spent", hour_ms)["hour"] == 3.0
    assert _asked(calm, "budget-warning", "cap", hour_ms)["hour"] == 8.0
    # Two seconds later the new hour has spent nothing, whatever the old one did.
    assert "hour" not in _asked(calm, "budget-warning", "spent", hour_ms + 2000)


def test_agents_without_an_analysis_are_a_matter_of_health(calm: Scene):
    # Six hours ago nothing else was going on.
    then_ms = int(time.time() * 1000) - 6 * HOUR_MS
    agent = {"agent_id": "publisher-1", "agent_type": "publisher"}

    assert _asked(calm, "health-critical", "status", then_ms) == {}
    calm.write(Row("agent_health", agent, {"up": 1}, (then_ms - 60000) * 1000000))
    assert _asked(calm, "health-critical", "status", then_ms) == {"": 2.0}
    calm.write(Row("system_health", {"agent_id": "monitor-1"}, {"status": "warning"}, (then_ms - 200000) * 1000000))
    assert _asked(calm, "health-critical", "status", then_ms) == {"": 0.0}
