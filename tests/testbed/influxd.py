"""A private InfluxDB 2: own data folder and port; loopback only; onboarded unless told otherwise."""

import csv
import io
import os
import secrets
from pathlib import Path
from typing import Any, Dict, List, Sequence
from urllib.parse import quote

from tests.testbed.http import HttpError, send, send_json
from tests.testbed.process import Process, Service, free_ports

ORG = "reasond"
BUCKET = "agents"
USERNAME = "admin"


class Influxd(Service):
    """One influxd in a scratch folder; `start()` again after `stop()` or `kill()` keeps data and port."""

    host = "127.0.0.1"
    org = ORG
    bucket = BUCKET
    username = USERNAME

    def __init__(self, binary: str, folder: Path, *, onboard: bool = True, extra_options: Sequence[str] = ()) -> None:
        """Given the influxd to run and an empty folder of its own; starts nothing yet.

        With `onboard=False` it stays as a fresh installation is: no user, organisation or token.
        """
        self.folder = folder
        (self.port,) = free_ports(1)
        self.url = f"http://{self.host}:{self.port}"
        self.password = secrets.token_urlsafe(12)
        self.token = secrets.token_urlsafe(32)
        self.org_id = ""
        self._onboard = onboard
        folder.mkdir(parents=True, exist_ok=True)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("INFLUXD_", "INFLUX_"))}
        command = [
            binary,
            f"--bolt-path={folder / 'influxd.bolt'}",
            f"--sqlite-path={folder / 'influxd.sqlite'}",
            f"--engine-path={folder / 'engine'}",
            f"--http-bind-address={self.host}:{self.port}",
            "--reporting-disabled",
            *extra_options,
        ]
        super().__init__(Process("influxd", command, {**kept, "HOME": str(folder)}, folder))

    def start(self) -> None:
        """Start, and onboard at the first time."""
        super().start()
        if self._onboard and not self.org_id:
            self.onboard()

    def ready(self) -> bool:
        """Tell whether the server says that it is well."""
        try:
            return send_json("GET", f"{self.url}/health")["status"] == "pass"
        except HttpError:
            return False

    def onboard(self) -> None:
        """Make the first user, organisation, bucket and all-access token."""
        request = {
            "username": self.username,
            "password": self.password,
            "org": self.org,
            "bucket": self.bucket,
            "token": self.token,
        }
        self.org_id = send_json("POST", f"{self.url}/api/v2/setup", request)["org"]["id"]

    @property
    def headers(self) -> Dict[str, str]:
        """The header that signs in with the all-access token."""
        return {"Authorization": f"Token {self.token}"}

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the API with the all-access token; the path begins with /api/v2."""
        return send_json(method, self.url + path, body, self.headers)

    def fresh_bucket(self, name: str = "") -> str:
        """Make an empty bucket that keeps its points for ever, and return its name."""
        name = name or f"test-{secrets.token_hex(6)}"
        self.api("POST", "/api/v2/buckets", {"name": name, "orgID": self.org_id, "retentionRules": []})
        return name

    def delete_bucket(self, name: str) -> None:
        found = self.api("GET", f"/api/v2/buckets?name={quote(name)}&orgID={self.org_id}")["buckets"]
        self.api("DELETE", f"/api/v2/buckets/{found[0]['id']}")

    def write(self, bucket: str, lines: str, precision: str = "ns") -> None:
        """Write line protocol; raises HttpError when a line is refused."""
        path = f"/api/v2/write?org={quote(self.org)}&bucket={quote(bucket)}&precision={precision}"
        send("POST", self.url + path, lines, {**self.headers, "Content-Type": "text/plain"})

    def query(self, flux: str) -> List[Dict[str, str]]:
        """Run a Flux query and return its rows, all tables one after the other, values as text."""
        return query(self.url, self.org, self.token, flux)


def query(url: str, org: str, token: str, flux: str) -> List[Dict[str, str]]:
    """Run a Flux query on any InfluxDB and return its rows, all tables one after the other, values as text."""
    headers = {
        "Authorization": f"Token {token}",
        "Content-Type": "application/vnd.flux",
        "Accept": "application/csv",
    }
    answer = send("POST", f"{url}/api/v2/query?org={quote(org)}", flux, headers)
    rows: List[Dict[str, str]] = []
    for table in answer.replace("\r\n", "\n").strip("\n").split("\n\n"):
        rows += csv.DictReader(io.StringIO(table.strip("\n")))
    return rows
