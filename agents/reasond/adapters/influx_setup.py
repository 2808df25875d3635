"""Makes an InfluxDB 2 ready: admin user, organization, bucket, least-privilege tokens, and the downsampling.

Used by `reasond setup-influxdb`. Idempotent, also against a server that was set up half-way or by hand: each
thing is found by name and made only when missing, and a step that is cut off is completed by the next run.
It talks to the HTTP API by urllib3, as influxdb-client's models add nothing to a dozen small requests.
"""

import base64
import csv
import os
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Literal, Mapping, Optional, Sequence, Tuple
from urllib.parse import urlencode

import msgspec
import urllib3
from msgspec import Struct

from reasond.adapters.causes import short_cause
from reasond.adapters.state import write_atomically
from reasond.core.backoff import delay_s
from reasond.downsampling import (
    DOWNSAMPLED,
    OFFSET_S,
    TASK_NAME,
    WINDOW_NS,
    flux_time,
    oldest_flux,
    parsed_time,
    span_flux,
    task_flux,
)
from reasond.errors import InputError, StoreRefused, StoreUnavailable
from reasond.settings import InfluxSettings, InfluxSetupSettings

ADMIN_FILE = "admin.token"
"""An all-access token, kept so that set-up needs no password later; root only, carried nowhere."""

DAY_S = 24 * 3600
# A server that was just started answers within seconds; more than two of them between looks wastes time.
WAIT_BASE_S, WAIT_CAP_S = 0.2, 2.0
# Three hours at the default rates take 11 MB and two seconds; an hour is tried when a span was too much at once.
FILL_NS, FILL_CAUTIOUS_NS = 3 * 3600 * 1000000000, 3600 * 1000000000
FILL_TIMEOUT_S = 120.0
"""For one span of the past: far more than any took, but a server that hangs must not hold set-up for ever."""
# A window at the edge of the retention would be refused by the time it is written.
FILL_MARGIN_NS = 2 * WINDOW_NS
_TASK = "5-minute series for the boards, by reasond setup-influxdb"
# The progress stands in the task itself, which is inactive until the past is filled in: a set-up that was cut off
# goes on from there, on whatever host it runs next.
_FILLING = _TASK + "; the past is filled in up to "

State = Literal["kept", "created", "changed", "differs", "missing"]
"""`differs`: it stands but isn't as declared, and was left alone; `missing`: only said by a check."""


_RECOVERY = """\
InfluxDB at {url} is set up already, and lets set-up in neither by {file} \
nor as user {user} with INFLUXDB_ADMIN_PASSWORD. Either:
1. set INFLUXDB_ADMIN_USER and INFLUXDB_ADMIN_PASSWORD to those of its admin, and run this again; or
2. write an all-access token into {file} (mode 0600), and run this again; or
3. on InfluxDB's own host, at a terminal nobody else sees, as it prints every token:
     systemctl stop influxdb
     influxd recovery user list --bolt-path /var/lib/influxdb/influxd.bolt
     influxd recovery auth create-operator --org {org} --username {user} \
--bolt-path /var/lib/influxdb/influxd.bolt
     systemctl start influxdb
   with an organization and a user that it knows, and go on with 2."""


class Role(Struct, frozen=True):
    """One kind of token: what it may do with the bucket, and the files it goes to."""

    name: str
    actions: Tuple[str, ...]
    token_file: str
    env_file: str = ""


ROLES: Tuple[Role, ...] = (
    Role("agents", ("read", "write"), "agents.token", "agents.env"),
    Role("grafana", ("read",), "grafana.token"),
)
"""`env_file` is fit for systemd's EnvironmentFile=. InfluxDB's write right on a bucket includes delete."""


class Step(Struct, frozen=True):
    """One thing that set-up cares for, and how it was found or left; never holds a secret."""

    what: str
    state: State
    detail: str = ""


class Report(Struct, frozen=True):
    """What a set-up did, in order."""

    steps: Tuple[Step, ...]

    @property
    def complete(self) -> bool:
        """Whether everything is there and as declared."""
        return not any(step.state in ("missing", "differs") for step in self.steps)

    @property
    def changed(self) -> bool:
        """Whether anything was made or changed."""
        return any(step.state in ("created", "changed") for step in self.steps)


class Options(Struct, frozen=True):
    """How to go about it.

    `timeout_s`: how long to wait for health; `rotate`: make new tokens and delete the old; `force`: change
    the retention of a bucket that has another; `check`: change nothing, only tell; `backfill`: make the
    5-minute series of the past anew.
    """

    timeout_s: float = 60.0
    rotate: bool = False
    force: bool = False
    check: bool = False
    backfill: bool = False


def set_up(
    settings: InfluxSettings,
    setup: InfluxSetupSettings,
    options: Options,
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Bring the server to the declared state, or with `options.check` tell what is missing.

    `say` is told, once for each reason, why it still waits for the server, and how far the past is filled in.

    Raises StoreUnavailable when it isn't healthy in time, StoreRefused when it lets nobody in (the text then
    holds the steps of recovery) or denies a step, InputError when the token directory can't be written.
    """
    return _SetUp(settings, setup, options, say).run()


class _Refusal(Exception):
    """An answer with an error status."""

    def __init__(self, request: str, status: int, message: str) -> None:
        super().__init__(f"{request}: {status} {message}")
        self.status = status


class _Api:
    """InfluxDB's HTTP API as JSON; `credentials` are the headers that sign in."""

    def __init__(self, settings: InfluxSettings) -> None:
        self._url = settings.url.rstrip("/")
        self._timeout_s = settings.timeout_s
        self._pool = urllib3.PoolManager(
            retries=False,
            ca_certs=settings.ca_file or None,
        )
        self.credentials: Dict[str, str] = {}

    def answer(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Optional[Mapping[str, str]] = None,
        query: Optional[Mapping[str, str]] = None,
    ) -> Tuple[Any, Mapping[str, str]]:
        """Give an answer's JSON and headers.

        Raises _Refusal for an error status, StoreUnavailable when nobody answers.
        """
        data, answered = self._request(method, path, body, headers, query)
        return _json_object(data), answered

    def flux(self, flux: str, org_id: str) -> List[Dict[str, str]]:
        """Give the rows of a Flux query, values as text.

        Raises _Refusal when the query fails, StoreUnavailable when it takes longer than `FILL_TIMEOUT_S`.
        """
        path = "/api/v2/query"
        body = {"query": flux, "type": "flux"}
        data, _ = self._request("POST", path, body, None, {"orgID": org_id}, read_timeout_s=FILL_TIMEOUT_S)
        rows: List[Dict[str, str]] = []
        for table in data.decode("utf-8").replace("\r\n", "\n").strip("\n").split("\n\n"):
            rows += csv.DictReader(table.strip("\n").split("\n"))
        # What fails once the answer has begun comes as a table of its own, under status 200.
        for row in rows:
            if row.get("error"):
                raise _Refusal(f"POST {path}", 200, row["error"])
        return rows

    def _request(
        self,
        method: str,
        path: str,
        body: Any,
        headers: Optional[Mapping[str, str]],
        query: Optional[Mapping[str, str]],
        *,
        read_timeout_s: Optional[float] = None,
    ) -> Tuple[bytes, Mapping[str, str]]:
        url = self._url + path + ("?" + urlencode(query) if query else "")
        sent = dict(self.credentials if headers is None else headers)
        data = None
        if body is not None:
            data, sent["Content-Type"] = msgspec.json.encode(body), "application/json"
        timeout = urllib3.Timeout(connect=self._timeout_s, read=read_timeout_s or self._timeout_s)
        try:
            got = self._pool.request(method, url, body=data, headers=sent, timeout=timeout)
        except (urllib3.exceptions.HTTPError, OSError) as err:
            raise StoreUnavailable(f"InfluxDB at {self._url} can't be reached: {short_cause(err)}") from err
        if got.status >= 400:
            raise _Refusal(f"{method} {path}", got.status, str(_json_object(got.data).get("message", "")))
        return got.data, got.headers

    def get(self, path: str, **query: str) -> Any:
        """Give what a GET finds; {} for what isn't there (404)."""
        try:
            return self.answer("GET", path, query=query)[0]
        except _Refusal as refusal:
            if refusal.status == 404:
                return {}
            raise

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """Give the answer to a request that changes something."""
        return self.answer(method, path, body)[0]

    def admits(self, credentials: Mapping[str, str], path: str, **query: str) -> Optional[Any]:
        """Give what these credentials find there, None when they are refused."""
        try:
            return self.answer("GET", path, headers=credentials, query=query)[0]
        except _Refusal:
            return None


class _SetUp:
    """One run."""

    def __init__(
        self,
        settings: InfluxSettings,
        setup: InfluxSetupSettings,
        options: Options,
        say: Callable[[str], None],
    ) -> None:
        self._say = say
        self._settings = settings
        self._setup = setup
        self._options = options
        self._api = _Api(settings)
        self._directory = Path(setup.token_dir)
        self._steps: List[Step] = []

    def run(self) -> Report:
        self._await_health()
        try:
            if self._api.get("/api/v2/setup").get("allowed"):
                if self._options.check:
                    return Report(steps=(Step("InfluxDB", "missing", "never set up"),))
                self._onboard()
            else:
                self._sign_in()
            self._make_all()
        except _Refusal as refusal:
            raise StoreRefused(f"InfluxDB at {self._settings.url} denied {refusal}") from refusal
        finally:
            self._sign_out()
        return Report(steps=tuple(self._steps))

    def _make_all(self) -> None:
        org_id = self._org()
        if not org_id:
            return
        self._user(org_id)
        bucket_id = self._bucket(org_id)
        if not bucket_id:
            return
        for role in ROLES:
            self._token(role, org_id, bucket_id)
        # Last, as filling in the past may take minutes, and nobody but the boards waits for it.
        self._downsampling(org_id, bucket_id)

    def _await_health(self) -> None:
        end = time.monotonic() + self._options.timeout_s
        attempt, said = 0, ""
        while True:
            reason = self._unhealthy()
            if not reason:
                return
            left = end - time.monotonic()
            if left <= 0:
                raise StoreUnavailable(f"not healthy within {self._options.timeout_s:g} s: {reason}")
            if reason != said:
                self._say("waiting: " + reason)
                said = reason
            time.sleep(min(left, delay_s(attempt, base_s=WAIT_BASE_S, cap_s=WAIT_CAP_S, rng=_NoChance())))
            attempt += 1

    def _unhealthy(self) -> str:
        """Give why the server can't be used yet, "" when it can."""
        try:
            if self._api.answer("GET", "/health")[0].get("status") == "pass":
                return ""
        except StoreUnavailable as err:
            return str(err)
        except _Refusal as refusal:
            return f"InfluxDB at {self._settings.url} denied {refusal}"
        return f"the health page at {self._settings.url} doesn't say pass"

    def _onboard(self) -> None:
        made = self._api.send(
            "POST",
            "/api/v2/setup",
            {
                "username": self._setup.admin_user,
                "password": self._setup.admin_password,
                "org": self._settings.org,
                "bucket": self._settings.bucket,
                "retentionPeriodSeconds": self._setup.retention_days * DAY_S,
            },
        )
        token = made["auth"]["token"]
        self._api.credentials = _token_header(token)
        self._steps.append(Step("InfluxDB", "created", "first user, organization and bucket"))
        self._write(ADMIN_FILE, token)

    def _sign_in(self) -> None:
        """Come in by the token file, else by the admin's password."""
        token = self._read(ADMIN_FILE)
        # Listing authorizations and users is what a token without all rights is refused.
        for path in ("/api/v2/users", "/api/v2/authorizations"):
            if not token or self._api.admits(_token_header(token), path, limit="1") is None:
                break
        else:
            self._api.credentials = _token_header(token)
            return
        try:
            _, headers = self._api.answer(
                "POST", "/api/v2/signin", headers=_basic(self._setup.admin_user, self._setup.admin_password)
            )
        except _Refusal as refusal:
            raise StoreRefused(self._recovery()) from refusal
        self._api.credentials = {"Cookie": headers.get("Set-Cookie", "").split(";")[0]}

    def _sign_out(self) -> None:
        """End the session; a token needs none."""
        if "Cookie" in self._api.credentials:
            try:
                self._api.send("POST", "/api/v2/signout")
            except (_Refusal, StoreUnavailable):
                # It ends by itself within the hour.
                return

    def _recovery(self) -> str:
        file = self._directory / ADMIN_FILE
        return _RECOVERY.format(url=self._settings.url, file=file, user=self._setup.admin_user, org=self._settings.org)

    def _org(self) -> str:
        name = self._settings.org
        what = f"organization {name}"
        for org in self._api.get("/api/v2/orgs", org=name).get("orgs", ()):
            if org["name"] == name:
                return self._kept(what, org)
        return self._made(what, "POST", "/api/v2/orgs", {"name": name})

    def _user(self, org_id: str) -> None:
        """Care that the admin exists and owns the organization; the password is set for a new user only."""
        name = self._setup.admin_user
        found = [user for user in self._api.get("/api/v2/users", name=name).get("users", ()) if user["name"] == name]
        what = f"user {name}"
        if not found:
            user_id = self._made(what, "POST", "/api/v2/users", {"name": name})
            if user_id:
                self._api.send("POST", f"/api/v2/users/{user_id}/password", {"password": self._setup.admin_password})
        else:
            user_id = self._kept(what, found[0])
        owners = self._api.get(f"/api/v2/orgs/{org_id}/owners").get("users", ())
        if user_id and user_id not in [owner["id"] for owner in owners]:
            self._made(
                f"{what} as owner of {self._settings.org}",
                "POST",
                f"/api/v2/orgs/{org_id}/owners",
                {"id": user_id},
            )

    def _bucket(self, org_id: str) -> str:
        name, want_s = self._settings.bucket, self._setup.retention_days * DAY_S
        what = f"bucket {name}"
        rules = [{"type": "expire", "everySeconds": want_s}]
        for bucket in self._api.get("/api/v2/buckets", orgID=org_id, name=name).get("buckets", ()):
            if bucket["name"] == name:
                self._retention(what, bucket, rules)
                return str(bucket["id"])
        return self._made(what, "POST", "/api/v2/buckets", {"orgID": org_id, "name": name, "retentionRules": rules})

    def _retention(self, what: str, bucket: Dict[str, Any], rules: List[Dict[str, Any]]) -> None:
        """Another retention is somebody's decision, and shortening it deletes data: left unless forced."""
        seconds = sum(rule.get("everySeconds", 0) for rule in bucket.get("retentionRules", ()))
        if seconds == rules[0]["everySeconds"]:
            self._kept(what, bucket)
            return
        has = f"retention is {seconds / DAY_S:g} days" if seconds else "keeps points for ever"
        detail = f"{has}, declared are {self._setup.retention_days}"
        if self._options.force and not self._options.check:
            self._api.send("PATCH", f"/api/v2/buckets/{bucket['id']}", {"retentionRules": rules})
            self._steps.append(Step(what, "changed", detail))
        else:
            self._steps.append(Step(what, "differs", f"{detail}; --force changes it"))

    def _token(self, role: Role, org_id: str, bucket_id: str) -> None:
        """Care for one role's token: the new file is written before the old token goes."""
        what = f"token of {role.name}"
        description = f"reasond {role.name} on {self._settings.bucket}"
        listed = [
            entry
            for entry in self._api.get("/api/v2/authorizations", orgID=org_id).get("authorizations", ())
            if entry.get("description") == description
        ]
        right = [entry for entry in listed if _is_right(entry, _permissions(role, org_id, bucket_id))]
        chosen = None if self._options.rotate else self._choose(role, right, bucket_id)
        if self._options.check:
            self._steps.append(self._checked(what, role, chosen))
            return
        if chosen is None:
            made = self._api.send(
                "POST",
                "/api/v2/authorizations",
                {
                    "orgID": org_id,
                    "description": description,
                    "permissions": _permissions(role, org_id, bucket_id),
                },
            )
            chosen = (made["id"], made["token"])
            self._steps.append(Step(what, "created"))
        else:
            self._steps.append(Step(what, "kept"))
        self._write_role(role, chosen[1])
        for entry in listed:
            if entry["id"] != chosen[0]:
                self._api.send("DELETE", f"/api/v2/authorizations/{entry['id']}")
                self._steps.append(Step(f"{what}, an old one", "changed", "deleted"))

    def _choose(self, role: Role, right: Sequence[Dict[str, Any]], bucket_id: str) -> Optional[Tuple[str, str]]:
        """Give id and value of the token to go on with: the file's, else one that the server still shows."""
        in_file = self._read(role.token_file)
        by_value = {entry.get("token", ""): entry["id"] for entry in right}
        for token in [in_file, *by_value]:
            if token in by_value and self._opens(token, bucket_id):
                return by_value[token], token
        # A server that keeps only hashes shows no values: then the file's word is all there is.
        if len(right) == 1 and in_file and self._opens(in_file, bucket_id):
            return right[0]["id"], in_file
        return None

    def _opens(self, token: str, bucket_id: str) -> bool:
        return bool(token) and self._api.admits(_token_header(token), f"/api/v2/buckets/{bucket_id}") is not None

    def _checked(self, what: str, role: Role, chosen: Optional[Tuple[str, str]]) -> Step:
        if chosen is None:
            return Step(what, "missing", "would be made anew" if self._options.rotate else "")
        for name, content in _files(role, chosen[1]):
            if self._content(name) != content:
                return Step(what, "missing", f"{self._directory / name} lacks it")
        return Step(what, "kept")

    def _downsampling(self, org_id: str, bucket_id: str) -> None:
        """Care that the task is there once, as declared and running, and that the past has its series."""
        flux = task_flux(self._settings.org, self._settings.bucket)
        found = self._api.get("/api/v2/tasks", orgID=org_id, name=TASK_NAME).get("tasks", ())
        listed = [task for task in found if task["name"] == TASK_NAME]
        if self._options.check:
            self._steps.append(_checked_task(listed, flux))
            return
        task = self._task(org_id, listed, flux)
        for other in listed[1:]:
            self._api.send("DELETE", f"/api/v2/tasks/{other['id']}")
            self._steps.append(Step(f"task {TASK_NAME}, another", "changed", "deleted"))
        if task["status"] != "active":
            self._fill_in(task, org_id, bucket_id)

    def _task(self, org_id: str, listed: Sequence[Dict[str, Any]], flux: str) -> Dict[str, Any]:
        """Give the task as it stands now: one that is new, changed or to be filled in anew is inactive."""
        what = f"task {TASK_NAME}"
        waiting = {"flux": flux, "status": "inactive", "description": _TASK}
        if not listed:
            made: Dict[str, Any] = self._api.send("POST", "/api/v2/tasks", dict(waiting, orgID=org_id))
            self._steps.append(Step(what, "created"))
            return made
        task = listed[0]
        differs = task["flux"] != flux
        self._steps.append(Step(what, "changed" if differs else "kept"))
        if differs or self._options.backfill:
            task = self._api.send("PATCH", f"/api/v2/tasks/{task['id']}", waiting)
        return task

    def _fill_in(self, task: Dict[str, Any], org_id: str, bucket_id: str) -> None:
        """Make the series of the past, from where an earlier run was cut off or else anew, then start the task."""
        path = f"/api/v2/tasks/{task['id']}"
        begin = self._begin(task, org_id, bucket_id)
        at, span = begin, FILL_NS
        while at is not None and at < _over():
            stop = min(at + span, _over())
            try:
                self._api.flux(span_flux(self._settings.org, self._settings.bucket, at, stop), org_id)
            except _Refusal:
                if span == FILL_CAUTIOUS_NS:
                    raise
                span = FILL_CAUTIOUS_NS
                continue
            at = stop
            # InfluxDB takes a description for a change only beside something else.
            self._api.send("PATCH", path, {"status": "inactive", "description": _FILLING + flux_time(at)})
            self._say("5-minute series: the past is filled in up to " + flux_time(at))
        self._api.send("PATCH", path, {"status": "active", "description": _TASK})
        detail = f"from {flux_time(begin)}" if begin is not None else "the bucket holds no points yet"
        self._steps.append(Step("5-minute series of the past", "created", detail))

    def _begin(self, task: Dict[str, Any], org_id: str, bucket_id: str) -> Optional[int]:
        """Give the first window to make (UTC ns), None for a bucket without points."""
        done = str(task.get("description", "")).partition(_FILLING)[2]
        begin = parsed_time(done)
        if begin is None:
            self._drop_series(org_id, bucket_id)
            rows = self._api.flux(oldest_flux(self._settings.bucket), org_id)
            begin = parsed_time(rows[0]["_time"]) if rows else None
        if begin is None:
            return None
        rules = self._api.get(f"/api/v2/buckets/{bucket_id}").get("retentionRules", ())
        kept_s = sum(rule.get("everySeconds", 0) for rule in rules)
        if kept_s:
            begin = max(begin, time.time_ns() - kept_s * 1000000000 + FILL_MARGIN_NS)
        return begin - begin % WINDOW_NS

    def _drop_series(self, org_id: str, bucket_id: str) -> None:
        """Delete what an earlier definition made: with other tags it would stand beside the new, and count twice."""
        for name in DOWNSAMPLED:
            self._api.answer(
                "POST",
                "/api/v2/delete",
                {"start": flux_time(0), "stop": flux_time(_over()), "predicate": f'_measurement="{name}"'},
                query={"orgID": org_id, "bucketID": bucket_id},
            )

    def _made(self, what: str, method: str, path: str, body: Any) -> str:
        """Make something and give its id; with a check, only tell that it is missing and give ""."""
        if self._options.check:
            self._steps.append(Step(what, "missing"))
            return ""
        made = self._api.send(method, path, body)
        self._steps.append(Step(what, "created"))
        return str(made["id"])

    def _kept(self, what: str, found: Dict[str, Any]) -> str:
        self._steps.append(Step(what, "kept"))
        return str(found["id"])

    def _write_role(self, role: Role, token: str) -> None:
        for name, content in _files(role, token):
            self._write(name, content)

    def _content(self, name: str) -> str:
        try:
            return (self._directory / name).read_text(encoding="utf-8").rstrip("\n")
        except (OSError, ValueError):
            return ""

    _read = _content

    def _write(self, name: str, content: str) -> None:
        """Write a file for its owner's eyes only, unless it stands there just so."""
        path = self._directory / name
        try:
            if self._content(name) == content and path.stat().st_mode & 0o077 == 0:
                return
            state: State = "changed" if path.exists() else "created"
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(path, content.encode() + b"\n", durable=True, mode=0o600)
            os.chmod(str(path), 0o600)
        except OSError as err:
            raise InputError(
                f"can't write {path}: {err.strerror}; run this as root, or give another --token-dir"
            ) from err
        self._steps.append(Step(f"file {path}", state))


class _NoChance:
    """Set-up runs once on one host: there is no crowd to spread."""

    def random(self) -> float:
        return 0.0


def _over() -> int:
    """Give the end (UTC ns) of the last window that the task would have made by now."""
    last = time.time_ns() - OFFSET_S * 1000000000
    return last - last % WINDOW_NS


def _checked_task(listed: Sequence[Dict[str, Any]], flux: str) -> Step:
    what = f"task {TASK_NAME}"
    if not listed:
        return Step(what, "missing")
    if len(listed) > 1:
        return Step(what, "differs", f"there are {len(listed)} of them")
    if listed[0]["flux"] != flux:
        return Step(what, "differs", "another definition")
    if listed[0]["status"] != "active":
        return Step(what, "differs", "not running: " + str(listed[0].get("description", "")))
    return Step(what, "kept")


def _json_object(data: bytes) -> Dict[str, Any]:
    """Give an answer's JSON object; {} for none and for anything else."""
    try:
        return msgspec.json.decode(data, type=Dict[str, Any]) if data else {}
    except msgspec.DecodeError:
        return {}


def _files(role: Role, token: str) -> List[Tuple[str, str]]:
    files = [(role.token_file, token)]
    if role.env_file:
        files.append((role.env_file, f"INFLUXDB_TOKEN={token}"))
    return files


def _permissions(role: Role, org_id: str, bucket_id: str) -> List[Dict[str, Any]]:
    return [
        {"action": action, "resource": {"type": "buckets", "id": bucket_id, "orgID": org_id}} for action in role.actions
    ]


def _is_right(entry: Dict[str, Any], wanted: List[Dict[str, Any]]) -> bool:
    """Tell whether a token is active and may do what is wanted and nothing else."""

    def plain(permissions: Sequence[Dict[str, Any]]) -> List[Tuple[Any, ...]]:
        return sorted(
            (one["action"], *(one["resource"].get(part) or "" for part in ("type", "id", "orgID")))
            for one in permissions
        )

    return entry.get("status") == "active" and plain(entry.get("permissions", ())) == plain(wanted)


def _token_header(token: str) -> Dict[str, str]:
    return {"Authorization": f"Token {token}"}


def _basic(user: str, password: str) -> Dict[str, str]:
    both = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
    return {"Authorization": f"Basic {both}"}
