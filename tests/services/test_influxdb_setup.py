"""`reasond setup-influxdb` against a real InfluxDB in every state it may be found in."""

import base64
import json
import stat
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import pytest
from click.testing import CliRunner

from reasond.adapters.influx_setup import Options, Report, set_up
from reasond.commands.setup_influxdb import setup_influxdb
from reasond.errors import InputError, StoreRefused, StoreUnavailable
from reasond.settings import InfluxSettings, InfluxSetupSettings
from tests.testbed import provide
from tests.testbed.http import HttpError, send, send_json
from tests.testbed.influxd import Influxd
from tests.testbed.process import free_ports

PASSWORD = "password123"
ORG, BUCKET = "monitoring", "agent_metrics"
NOW_LINE = "m v=1i"
FILES = {"admin.token", "agents.env", "agents.token", "grafana.token"}


class Bare:
    """An InfluxDB as installed, with what a test wants to know about it."""

    def __init__(self, server: Influxd, tokens: Path) -> None:
        self.server = server
        self.url = server.url
        self.tokens = tokens
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

    def state(self) -> Dict[str, Any]:
        """Give everything that set-up may have made."""
        admin = self.token("admin")
        return {
            path: [
                {key: value for key, value in entry.items() if key not in ("links", "updatedAt")}
                for entry in self.call(admin, "GET", "/api/v2/" + path)[path]
            ]
            for path in ("orgs", "users", "buckets", "authorizations")
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
def test_command_reports_and_prints_no_token(bare: Bare, monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    monkeypatch.setenv("INFLUXDB_URL", bare.url)
    monkeypatch.setenv("INFLUXDB_ADMIN_PASSWORD", PASSWORD)
    arguments = ["--timeout", "20", "--token-dir", str(bare.tokens)] + (["--json"] if as_json else [])

    checked = CliRunner().invoke(setup_influxdb, [*arguments, "--check"])
    made = CliRunner().invoke(setup_influxdb, [*arguments, "--rotate"])

    assert (checked.exit_code, made.exit_code) == (1, 0)
    for name in ("admin", "agents", "grafana"):
        assert bare.token(name) not in made.output
    assert PASSWORD not in made.output
    if as_json:
        assert json.loads(made.output)["complete"] is True
    else:
        assert "created" in made.output and "token of agents" in made.output
