"""A private Grafana, provisioned exactly as the role does it: the same templates, rendered by Ansible.

Own folder and port, loopback only, nothing sent to the vendor. It reads one bucket of an InfluxDB.
"""

import base64
import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence

from tests.testbed.http import HttpError, send
from tests.testbed.playbook import ansible, clean_environment
from tests.testbed.process import Process, Service, free_ports
from tests.testbed.provide import ROOT

SOURCE = ROOT / "grafana"
PLAYBOOK = ROOT / "tests" / "grafana" / "provision.yml"
RENDER_SECONDS = 120
# A query of 30 days that nothing has made quick takes this long on a busy machine.
ANSWER_SECONDS = 60
# The role's name for the data source, by which the dashboards ask it.
DATASOURCE = "reasond-influxdb"


class Store(NamedTuple):
    """What Grafana reads InfluxDB by."""

    url: str
    org: str
    bucket: str
    token: str


class NotProvisioned(Exception):
    """Ansible didn't render the templates; the message carries its words."""


class Grafana(Service):
    """One Grafana in a scratch folder; `start()` again after `stop()` or `kill()` keeps database and port."""

    host = "127.0.0.1"
    user = "admin"
    # The first start builds the database.
    START_SECONDS = 120.0

    def __init__(self, home: str, folder: Path, store: Store, *, variables: Mapping[str, Any] = {}) -> None:
        """Given Grafana's home and an empty folder of its own; renders everything and starts nothing yet.

        `variables` of the role win over its defaults. Raises NotProvisioned when a template can't be rendered.
        """
        self.folder = folder
        (self.port,) = free_ports(1)
        self.url = f"http://{self.host}:{self.port}"
        self.password = secrets.token_urlsafe(12)
        self.dashboards = folder / "dashboards"
        self._provision(store, variables)
        command = [f"{home}/bin/grafana", "server", f"--homepath={home}", f"--config={folder / 'grafana.ini'}"]
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("GF_", "GRAFANA_"))}
        super().__init__(Process("grafana", command, {**kept, "HOME": str(folder)}, folder))

    def ready(self) -> bool:
        """Tell whether the server says that its database is well."""
        try:
            return self.get("/api/health").get("database") == "ok"
        except HttpError:
            return False

    def get(self, path: str) -> Any:
        """Ask the API as its administrator; the path begins with /api. Raises HttpError."""
        return self.send("GET", path)

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """Send JSON to the API as its administrator and return the decoded answer; raises HttpError."""
        sign = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        headers = {"Authorization": f"Basic {sign}", "Content-Type": "application/json"}
        text = None if body is None else json.dumps(body)
        answer = send(method, self.url + path, text, headers, ANSWER_SECONDS)
        return json.loads(answer) if answer else None

    def query(self, queries: Sequence[Mapping[str, Any]], start: str, stop: str) -> Dict[str, Any]:
        """Ask data sources as a panel does: POST /api/ds/query; its answer, also when that tells of failed queries.

        Given are queries with `refId` and `datasource`, and the range as Grafana takes it: `now-1h`, `now`, or
        milliseconds since 1970 as text. Raises HttpError when there is no answer to any query.
        """
        try:
            return self.send("POST", "/api/ds/query", {"queries": list(queries), "from": start, "to": stop})
        except HttpError as err:
            answer = json.loads(err.body) if err.body.startswith("{") else {}
            if "results" not in answer:
                raise
            return answer

    def _provision(self, store: Store, variables: Mapping[str, Any]) -> None:
        """Make the folder what /etc/grafana is on a host."""
        token, password = self.folder / "influxdb.token", self.folder / "admin.password"
        templates = sorted(path.relative_to(SOURCE / "provisioning") for path in SOURCE.glob("provisioning/*/*.j2"))
        for name in ("data", "plugins", *(f"provisioning/{template.parent}" for template in templates)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for path, text in ((token, store.token + "\n"), (password, self.password)):
            path.touch(mode=0o600)
            path.write_text(text)
        self.dashboards.mkdir()
        for dashboard in SOURCE.glob("dashboards/*.json"):
            shutil.copy2(str(dashboard), str(self.dashboards))
        paths = {"data": "data", "logs": "data/log", "plugins": "plugins", "provisioning": "provisioning"}
        self._render(
            {
                "grafana_source": str(SOURCE),
                "grafana_bind_address": self.host,
                "grafana_port": self.port,
                "grafana_admin_user": self.user,
                "grafana_admin_password": self.password,
                "grafana_influxdb_url": store.url,
                "grafana_influxdb_org": store.org,
                "grafana_influxdb_bucket": store.bucket,
                **variables,
                "grafana_config": {
                    **variables.get("grafana_config", {}),
                    "paths": {name: str(self.folder / path) for name, path in paths.items()},
                },
                "__grafana_dashboards": str(self.dashboards),
                "__grafana_token_file": str(token),
                "__grafana_password_file": str(password),
                "__test_folder": str(self.folder),
                "__test_templates": [str(template.with_suffix("")) for template in templates],
            }
        )

    def _render(self, variables: Mapping[str, Any]) -> None:
        file = self.folder / "variables.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(variables))
        command: List[str] = [str(ansible() / "ansible-playbook"), "--inventory", "localhost,", str(PLAYBOOK)]
        done = subprocess.run(
            [*command, "--extra-vars", f"@{file}"],
            cwd=str(ROOT / "ansible"),
            env=clean_environment(self.folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=RENDER_SECONDS,
            check=False,
        )
        if done.returncode:
            told = (done.stdout + done.stderr).decode(errors="replace")
            raise NotProvisioned(f"{PLAYBOOK.name} failed on the templates of {SOURCE / 'provisioning'}:\n{told}")
