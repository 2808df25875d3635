"""`reasond setup-influxdb` against a real InfluxDB in every state it may be found in."""

import base64
import json
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest

from reasond import cli
from reasond.adapters import influx_setup
from reasond.adapters.influx_setup import Options, Report, set_up
from reasond.downsampling import TASK_NAME, WINDOW_NS, parsed_time
from reasond.errors import InputError, StoreRefused, StoreUnavailable
from reasond.settings import InfluxSettings, InfluxSetupSettings
from tests.testbed import provide
from tests.testbed.http import HttpError, send, send_json
from tests.testbed.influxd import Influxd, query
from tests.testbed.process import free_ports

VOLATILE = ("links", "updatedAt", "latestCompleted", "latestScheduled", "lastRunStatus")
PASSWORD = "password123"
ORG, BUCKET = "monitoring", "agent_metrics"
NOW_LINE = "m v=1i"
TASK, PAST = f"task {TASK_NAME}", "5-minute series of the past"
HOUR_NS = 3600 * 1000000000
FILES = {"admin.token", "agents.env", "agents.token", "grafana.token"}


class Bare:
    """An InfluxDB as installed, with what a test wants to know about it."""

    def __init__(self, server: Influxd, tokens: Path) -> None:
        self.server = server
        self.url = server.url
        self.tokens = tokens
        # One time for all of a test: a window's border may pass while it runs.
        self.now_ns = time.time_ns()
        self.settings = InfluxSettings(url=server.url, org=ORG, bucket=BUCKET)
        self.setup = InfluxSetupSettings(admin_password=PASSWORD, token_dir=str(tokens))

    def run(self, **options: Any) -> Report:
        return set_up(self.settings, self.setup, Options(**dict({"timeout_s": 20.0}, **options)))

    def by_hand(self, user: str = "admin", org: str = ORG, bucket: str = BUCKET) -> str:
        """Onboard as somebody who clicked through the first page; give the all-access token."""
        request = {"username": user, "password": PASSWORD, "org": org, "bucket": bucket}
        return str(send_json("POST", self.url + "/api/v2/setup", request)["auth"]["token"])

    def token(self, name: str) -> str:
        return (self.tokens / (name + ".token")).read_text().strip()

    def call(self, token: str, method: str, path: str, body: Any = None) -> Any:
        return send_json(method, self.url + path, body, {"Authorization": "Token " + token})

    def status(self, token: str, method: str, path: str, body: Any = None) -> int:
        """Give the status of a request, 200 for any success."""
        data = body if isinstance(body, str) else json.dumps(body) if body is not None else None
        headers = {"Authorization": "Token " + token, "Content-Type": "application/json"}
        try:
            send(method, self.url + path, data, headers)
        except HttpError as err:
            return err.status
        return 200

    def write(self, token: str, bucket: str = BUCKET) -> int:
        return self.status(token, "POST", f"/api/v2/write?org={ORG}&bucket={bucket}", NOW_LINE)

    def count(self, token: str, bucket: str = BUCKET) -> Optional[int]:
        """Give the number of points that the token can see, None where it is refused."""
        flux = f'from(bucket: "{bucket}") |> range(start: -1h) |> count()'
        headers = {"Authorization": "Token " + token, "Content-Type": "application/vnd.flux"}
        try:
            answer = send("POST", self.url + "/api/v2/query?org=" + ORG, flux, headers)
        except HttpError:
            return None
        return len(answer.strip().splitlines())

    def publish(self, token: str, *ages_h: float) -> None:
        """Write a message published that many hours ago, for each."""
        point = "publisher_metrics,agent_id=p,queue=q,routing_key=r messages_published=1i {}"
        lines = "\n".join(point.format(self.now_ns - int(age_h * HOUR_NS)) for age_h in ages_h)
        assert self.status(token, "POST", f"/api/v2/write?org={ORG}&bucket={BUCKET}", lines) == 200

    def window(self, age_h: float) -> int:
        """Give the number of the window that a message of that age lies in."""
        return (self.now_ns - int(age_h * HOUR_NS)) // WINDOW_NS

    def windows(self) -> Dict[int, int]:
        """Give the messages of each window that has a series' point, by the window's number."""
        flux = f'''from(bucket: "{BUCKET}") |> range(start: 0)
            |> filter(fn: (r) => r._measurement == "publisher_metrics_5m")'''
        found = query(self.url, ORG, self.token("admin"), flux)
        return {(parsed_time(row["_time"]) or 0) // WINDOW_NS: int(row["_value"]) for row in found}

    def tasks(self) -> List[Dict[str, Any]]:
        """Give the organization's tasks."""
        found = self.call(self.token("admin"), "GET", "/api/v2/tasks?org=" + ORG)["tasks"]
        return [task for task in found if task["name"] == TASK_NAME]

    def change(self, **changes: Any) -> None:
        """Change the one task by hand."""
        (task,) = self.tasks()
        self.call(self.token("admin"), "PATCH", "/api/v2/tasks/" + task["id"], changes)

    def state(self) -> Dict[str, Any]:
        """Give everything that set-up may have made."""
        admin = self.token("admin")
        return {
            path: [
                {key: value for key, value in entry.items() if key not in VOLATILE}
                for entry in self.call(admin, "GET", "/api/v2/" + path)[path]
            ]
            for path in ("orgs", "users", "buckets", "authorizations", "tasks")
        }


@pytest.fixture
def bare() -> Iterator[Bare]:
    with tempfile.TemporaryDirectory(prefix="reasond-test-") as folder:
        server = Influxd(provide.path_or_skip("influxd"), Path(folder) / "influxd", onboard=False)
        try:
            server.start()
            yield Bare(server, Path(folder) / "etc" / "tokens")
        finally:
            server.close()


def _states(report: Report) -> Dict[str, str]:
    return {step.what: step.state for step in report.steps}


def test_fresh_server_gets_everything_once_and_a_second_run_changes_nothing(bare: Bare) -> None:
    first = bare.run()
    state = bare.state()
    second = bare.run()

    assert first.changed and first.complete
    assert not second.changed and second.complete
    assert bare.state() == state
    (bucket,) = [entry for entry in state["buckets"] if entry["name"] == BUCKET]
    assert bucket["retentionRules"][0]["everySeconds"] == 30 * 24 * 3600
    assert [org["name"] for org in state["orgs"]] == [ORG]
    assert {path.name for path in bare.tokens.iterdir()} == FILES
    assert {stat.S_IMODE(path.stat().st_mode) for path in bare.tokens.iterdir()} == {0o600}
    assert (bare.tokens / "agents.env").read_text() == "INFLUXDB_TOKEN={}\n".format(bare.token("agents"))


def test_tokens_can_do_what_their_holders_need_and_no_more(bare: Bare) -> None:
    bare.run()
    admin, agents, grafana = (bare.token(name) for name in ("admin", "agents", "grafana"))
    org_id = bare.call(admin, "GET", "/api/v2/orgs?org=" + ORG)["orgs"][0]["id"]
    bare.call(admin, "POST", "/api/v2/buckets", {"orgID": org_id, "name": "other", "retentionRules": []})
    assert bare.write(admin, "other") == 200

    assert (bare.write(agents), bare.write(grafana)) == (200, 403)
    assert bare.count(agents) == bare.count(grafana) == bare.count(admin)
    assert bare.count(admin, "other") is not None
    assert bare.count(agents, "other") is bare.count(grafana, "other") is None
    assert bare.write(agents, "other") in (401, 403, 404)
    for token in (agents, grafana):
        assert bare.status(token, "POST", "/api/v2/users", {"name": "mallory"}) in (401, 403)
        assert bare.status(token, "POST", "/api/v2/buckets", {"orgID": org_id, "name": "x"}) in (401, 403)
        assert bare.call(token, "GET", "/api/v2/authorizations")["authorizations"] == []


def test_server_set_up_by_hand_for_another_organization_gets_ours_beside_it(bare: Bare) -> None:
    bare.by_hand(org="other", bucket="theirs")

    report = bare.run()

    states = _states(report)
    assert states["organization monitoring"] == states["bucket agent_metrics"] == "created"
    assert states["user admin"] == "kept"
    assert bare.write(bare.token("agents")) == 200
    # Came in by password: it has no all-access token of its own, and needs none the next time either.
    assert not (bare.tokens / "admin.token").exists()
    assert not bare.run().changed


def test_server_with_another_first_user_is_opened_by_a_token_and_gets_the_admin(bare: Bare) -> None:
    token = bare.by_hand(user="alice", org="other", bucket="theirs")
    bare.tokens.mkdir(parents=True)
    (bare.tokens / "admin.token").write_text(token + "\n")

    report = bare.run()

    states = _states(report)
    assert states["user admin"] == "created"
    assert states["user admin as owner of monitoring"] == "created"
    assert _signs_in(bare, "admin", PASSWORD)
    assert not bare.run().changed


def _signs_in(bare: Bare, user: str, password: str) -> bool:
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    try:
        send("POST", bare.url + "/api/v2/signin", headers={"Authorization": "Basic " + basic})
    except HttpError:
        return False
    return True


def test_missing_bucket_is_made_again_with_tokens_that_fit_it(bare: Bare) -> None:
    bare.run()
    admin, old = bare.token("admin"), bare.token("agents")
    (bucket,) = bare.call(admin, "GET", "/api/v2/buckets?name=" + BUCKET)["buckets"]
    bare.call(admin, "DELETE", "/api/v2/buckets/" + bucket["id"])

    report = bare.run()

    assert _states(report)["bucket agent_metrics"] == "created"
    assert bare.token("agents") != old
    assert bare.write(bare.token("agents")) == 200
    assert bare.status(old, "GET", "/api/v2/buckets") == 401
    assert not bare.run().changed


def test_revoked_token_is_replaced(bare: Bare) -> None:
    bare.run()
    admin, old = bare.token("admin"), bare.token("agents")
    for entry in bare.call(admin, "GET", "/api/v2/authorizations")["authorizations"]:
        if entry["token"] == old:
            bare.call(admin, "DELETE", "/api/v2/authorizations/" + entry["id"])

    report = bare.run()

    assert _states(report)["token of agents"] == "created"
    assert _states(report)["token of grafana"] == "kept"
    assert bare.write(bare.token("agents")) == 200


def test_token_that_is_switched_off_or_was_widened_is_replaced(bare: Bare) -> None:
    bare.run()
    admin, old = bare.token("admin"), bare.token("grafana")
    entries = bare.call(admin, "GET", "/api/v2/authorizations")["authorizations"]
    for entry in entries:
        if entry["token"] == old:
            bare.call(admin, "PATCH", "/api/v2/authorizations/" + entry["id"], {"status": "inactive"})
        if entry["token"] == bare.token("agents"):
            wide = {key: entry[key] for key in ("orgID", "description")}
            wide["permissions"] = entry["permissions"] + [
                {"action": "read", "resource": {"type": "buckets", "orgID": entry["orgID"]}}
            ]
            made = bare.call(admin, "POST", "/api/v2/authorizations", wide)
            (bare.tokens / "agents.token").write_text(made["token"])
            bare.call(admin, "DELETE", "/api/v2/authorizations/" + entry["id"])

    report = bare.run()

    assert _states(report)["token of agents"] == _states(report)["token of grafana"] == "created"
    assert bare.count(bare.token("grafana")) is not None
    assert bare.count(bare.token("agents"), "_monitoring") is None
    assert not bare.run().changed


def test_lost_token_file_comes_back_without_cutting_off_running_agents(bare: Bare) -> None:
    bare.run()
    old = bare.token("agents")
    (bare.tokens / "agents.token").unlink()
    (bare.tokens / "agents.env").unlink()

    bare.run()

    assert bare.token("agents") == old
    assert (bare.tokens / "agents.env").read_text() == f"INFLUXDB_TOKEN={old}\n"


def test_token_file_that_others_can_read_is_closed(bare: Bare) -> None:
    bare.run()
    (bare.tokens / "agents.token").chmod(0o644)

    bare.run()

    assert stat.S_IMODE((bare.tokens / "agents.token").stat().st_mode) == 0o600


def test_rotation_gives_new_tokens_and_ends_the_old(bare: Bare) -> None:
    bare.run()
    old = {name: bare.token(name) for name in ("agents", "grafana")}

    bare.run(rotate=True)

    for name, token in old.items():
        assert bare.token(name) != token
        assert bare.status(token, "GET", "/api/v2/buckets") == 401
    assert bare.write(bare.token("agents")) == 200
    assert not bare.run().changed


def test_interrupted_rotation_is_finished_by_the_next_run(bare: Bare) -> None:
    bare.run()
    admin, old = bare.token("admin"), bare.token("agents")
    (entry,) = [
        entry for entry in bare.call(admin, "GET", "/api/v2/authorizations")["authorizations"] if entry["token"] == old
    ]
    fresh = {key: entry[key] for key in ("orgID", "description", "permissions")}
    made = bare.call(admin, "POST", "/api/v2/authorizations", fresh)["token"]
    (bare.tokens / "agents.token").write_text(made + "\n")

    bare.run()

    assert bare.token("agents") == made
    assert f"INFLUXDB_TOKEN={made}\n" == (bare.tokens / "agents.env").read_text()
    assert bare.status(old, "GET", "/api/v2/buckets") == 401


def test_other_retention_is_reported_and_changed_only_by_force(bare: Bare) -> None:
    bare.by_hand()

    def retention() -> List[Any]:
        found = bare.call(bare.token("agents"), "GET", "/api/v2/buckets?name=" + BUCKET)["buckets"]
        return [rule["everySeconds"] for rule in found[0]["retentionRules"]]

    left = bare.run()
    assert _states(left)["bucket agent_metrics"] == "differs" and not left.complete
    assert sum(retention()) == 0

    forced = bare.run(force=True)
    assert _states(forced)["bucket agent_metrics"] == "changed" and forced.complete
    assert retention() == [30 * 24 * 3600]


@pytest.mark.parametrize("state", ["fresh", "by-hand", "complete"])
def test_check_changes_nothing_and_tells_what_is_missing(bare: Bare, state: str) -> None:
    if state == "by-hand":
        bare.by_hand(org="other")
    if state == "complete":
        bare.run()

    report = bare.run(check=True)

    assert report.complete == (state == "complete")
    assert not report.changed
    assert bare.tokens.exists() == (state == "complete")
    if state == "fresh":
        assert send_json("GET", bare.url + "/api/v2/setup")["allowed"]


def test_wrong_password_ends_with_the_steps_of_recovery(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    bare.by_hand()
    bare.setup = InfluxSetupSettings(admin_password="another-one", token_dir=str(bare.tokens))

    with pytest.raises(StoreRefused) as caught:
        bare.run()

    text = str(caught.value)
    assert caught.value.exit_code == 77
    assert "influxd recovery auth create-operator --org monitoring --username admin" in text
    assert "INFLUXDB_ADMIN_PASSWORD" in text and str(bare.tokens / "admin.token") in text
    assert "another-one" not in text and PASSWORD not in text


def test_stale_admin_token_falls_back_to_the_password(bare: Bare) -> None:
    bare.by_hand()
    bare.tokens.mkdir(parents=True)
    (bare.tokens / "admin.token").write_text("of another server\n")

    assert _states(bare.run())["token of agents"] == "created"


def test_server_that_never_answers_is_given_up_after_the_timeout(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    settings = InfluxSettings(url=f"http://127.0.0.1:{port}", timeout_s=1)

    with pytest.raises(StoreUnavailable, match="not healthy within 0.5 s"):
        set_up(settings, InfluxSetupSettings(token_dir=str(tmp_path)), Options(timeout_s=0.5))


def test_unwritable_token_directory_says_what_to_do(bare: Bare) -> None:
    bare.tokens.parent.mkdir(parents=True)
    bare.tokens.write_text("a file where the directory should be")

    with pytest.raises(InputError, match="--token-dir"):
        bare.run()

    # The first user is made by then: the next run comes in by the password.
    bare.tokens.unlink()
    assert bare.run().complete


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_command_reports_and_prints_no_token(
    bare: Bare, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    def status(*arguments: str) -> Any:
        monkeypatch.setattr(sys, "argv", ["reasond", "setup-influxdb", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code

    monkeypatch.setenv("INFLUXDB_URL", bare.url)
    monkeypatch.setenv("INFLUXDB_ADMIN_PASSWORD", PASSWORD)
    arguments = ["--timeout", "20", "--token-dir", str(bare.tokens)] + (["--json"] if as_json else [])

    checked = status(*arguments, "--check")
    capsys.readouterr()
    made = status(*arguments, "--rotate")
    output = capsys.readouterr().out

    assert (checked, made) == (1, 0)
    for name in ("admin", "agents", "grafana"):
        assert bare.token(name) not in output
    assert PASSWORD not in output
    if as_json:
        assert json.loads(output)["complete"] is True
    else:
        assert "created" in output and "token of agents" in output


def _with_history(bare: Bare, *ages_h: float, days: int = 30) -> None:
    """Let a server of another time, with the agents' points and no task, be set up already."""
    bare.tokens.mkdir(parents=True)
    token = bare.by_hand()
    (bare.tokens / "admin.token").write_text(token + "\n")
    (bucket,) = bare.call(token, "GET", "/api/v2/buckets?name=" + BUCKET)["buckets"]
    rules = [{"type": "expire", "everySeconds": days * 24 * 3600}]
    bare.publish(token, *ages_h)
    bare.call(token, "PATCH", "/api/v2/buckets/" + bucket["id"], {"retentionRules": rules})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> List[str]:
    """Every Flux query that set-up makes."""
    queries: List[str] = []
    real = influx_setup._Api.flux

    def noted(api: Any, flux: str, org_id: str) -> Any:
        queries.append(flux)
        return real(api, flux, org_id)

    monkeypatch.setattr(influx_setup._Api, "flux", noted)
    return queries


def test_fresh_server_s_task_runs_from_the_first_and_costs_one_query(bare: Bare, asked: List[str]) -> None:
    first = bare.run()
    second = bare.run()

    (task,) = bare.tasks()
    assert (task["status"], task["every"], task["offset"]) == ("active", "5m", "2m")
    assert _states(first)[TASK] == _states(first)[PAST] == "created"
    assert _states(second)[TASK] == "kept" and PAST not in _states(second)
    assert len(asked) == 1


def test_past_is_filled_in_when_the_task_is_made(bare: Bare) -> None:
    _with_history(bare, 49, 3.5, 3.4, 1)
    ages = [bare.window(age_h) for age_h in (49, 3.5, 3.4, 1)]

    report = bare.run()

    assert _states(report)[PAST] == "created"
    windows = bare.windows()
    assert set(windows) == set(ages) and sum(windows.values()) == 4
    assert not bare.run().changed


def test_points_past_the_retention_that_are_still_there_do_no_harm(bare: Bare) -> None:
    _with_history(bare, 24 * 9, 24 * 7.9, 1, days=8)
    bare.setup = InfluxSetupSettings(admin_password=PASSWORD, token_dir=str(bare.tokens), retention_days=8)
    ages = {bare.window(24 * 7.9), bare.window(1)}

    assert bare.run().complete

    assert set(bare.windows()) == ages


@pytest.mark.parametrize("past_h", [0.0, 20.0], ids=["empty", "with-points"])
def test_fill_that_was_cut_off_is_completed_by_the_next_run(
    bare: Bare, monkeypatch: pytest.MonkeyPatch, past_h: float
) -> None:
    ages_h = [past_h, past_h / 2, 0.5] if past_h else []
    _with_history(bare, *ages_h or [0.0])
    wanted = {bare.window(age_h) for age_h in ages_h}
    queries: List[str] = []
    real = influx_setup._Api.flux

    def fails_at(number: int) -> Callable[..., Any]:
        def flux(api: Any, text: str, org_id: str) -> Any:
            queries.append(text)
            if len(queries) == number:
                raise StoreUnavailable("the network is gone")
            return real(api, text, org_id)

        return flux

    # The first query looks for the oldest point; the others are a span each.
    monkeypatch.setattr(influx_setup._Api, "flux", fails_at(3 if past_h else 1))
    with pytest.raises(StoreUnavailable, match="the network is gone"):
        bare.run()
    assert [task["status"] for task in bare.tasks()] == ["inactive"]
    checked = bare.run(check=True)
    assert _states(checked)[TASK] == "differs" and not checked.complete
    done = queries[:]
    report = bare.run()

    assert _states(report)[TASK] == "kept" and _states(report)[PAST] == "created"
    assert [task["status"] for task in bare.tasks()] == ["active"]
    if past_h:
        assert queries[len(done)] == done[-1], "it did not go on where it was cut off"
        assert set(bare.windows()) == wanted
    assert not bare.run().changed


def test_span_that_is_too_much_at_once_is_made_by_the_hour(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_history(bare, 8, 2)
    real, refused = influx_setup._Api.flux, []

    def flux(api: Any, text: str, org_id: str) -> Any:
        if not refused and "messages_published" in text:
            refused.append(text)
            raise influx_setup._Refusal("POST /api/v2/query", 200, "memory allocation limit reached")
        return real(api, text, org_id)

    monkeypatch.setattr(influx_setup._Api, "flux", flux)

    assert bare.run().complete
    assert refused and sum(bare.windows().values()) == 2


def test_query_that_fails_is_told(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_history(bare, 2)
    # The parts come in any order: the answer has begun, with status 200, or it has not, when the second one fails.
    broken = """import "array"
array.from(rows: [{v: 1}]) |> yield(name: "first")
array.from(rows: [{v: 0}]) |> map(fn: (r) => ({v: 1 / r.v})) |> yield(name: "second")"""
    monkeypatch.setattr(influx_setup, "span_flux", lambda *span: broken)

    with pytest.raises(StoreRefused, match=r"denied POST /api/v2/query: .*divide by zero"):
        bare.run()


def test_other_definition_is_changed_and_leaves_nothing_of_the_old(bare: Bare) -> None:
    _with_history(bare, 5, 1)
    bare.run()
    (task,) = bare.tasks()
    old = f"publisher_metrics_5m,of=old messages_published=7i {time.time_ns() - HOUR_NS}"
    assert bare.status(bare.token("admin"), "POST", f"/api/v2/write?org={ORG}&bucket={BUCKET}", old) == 200
    bare.change(flux=task["flux"] + "\n// of an older version\n")
    checked = bare.run(check=True)

    report = bare.run()

    assert _states(checked)[TASK] == "differs"
    assert _states(report)[TASK] == "changed" and _states(report)[PAST] == "created"
    assert [(one["id"], one["flux"], one["status"]) for one in bare.tasks()] == [(task["id"], task["flux"], "active")]
    assert sum(bare.windows().values()) == 2
    assert not bare.run().changed


def test_task_that_was_switched_off_is_started_again(bare: Bare) -> None:
    bare.run()
    bare.change(status="inactive")

    assert _states(bare.run(check=True))[TASK] == "differs"
    assert _states(bare.run())[PAST] == "created"
    assert [task["status"] for task in bare.tasks()] == ["active"]


def test_second_task_of_the_name_is_deleted(bare: Bare) -> None:
    bare.run()
    (task,) = bare.tasks()
    again = {key: task[key] for key in ("orgID", "flux", "status", "description")}
    bare.call(bare.token("admin"), "POST", "/api/v2/tasks", again)
    assert len(bare.tasks()) == 2 and not bare.run(check=True).complete

    report = bare.run()

    assert _states(report)[TASK + ", another"] == "changed"
    assert len(bare.tasks()) == 1


def test_lost_task_is_told_by_a_check_and_made_again(bare: Bare) -> None:
    bare.run()
    (task,) = bare.tasks()
    bare.call(bare.token("admin"), "DELETE", "/api/v2/tasks/" + task["id"])

    checked = bare.run(check=True)

    assert _states(checked)[TASK] == "missing" and not checked.complete
    assert _states(bare.run())[TASK] == "created"
    assert bare.run(check=True).complete


def test_backfill_takes_up_what_came_too_late(bare: Bare) -> None:
    _with_history(bare, 5, 1)
    bare.run()
    late = bare.window(3)
    bare.publish(bare.token("agents"), 3)
    bare.run()
    assert late not in bare.windows()

    report = bare.run(backfill=True)

    assert _states(report)[TASK] == "kept" and _states(report)[PAST] == "created"
    assert bare.windows()[late] == 1 and sum(bare.windows().values()) == 3
    assert not bare.run().changed
