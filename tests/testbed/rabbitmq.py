"""A private RabbitMQ node: own name, ports, data, cookie and port mapper; loopback only."""

import base64
import json
import os
import secrets
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any, Dict, NamedTuple, Sequence
from urllib.parse import quote

from tests.testbed.http import HttpError, send, send_json
from tests.testbed.process import Process, Service, free_ports

ADMIN = "admin"
PLUGINS = ("rabbitmq_management", "rabbitmq_management_agent")
CTL_SECONDS = 60
# Busy waiting of the schedulers starves everything else where there are two cores.
CALM_SCHEDULERS = "+sbwt none +sbwtdcpu none +sbwtdio none"


class Vhost(NamedTuple):
    """A virtual host of one test, with the administrator's full rights on it."""

    name: str
    amqp_url: str
    host: str
    port: int
    username: str
    password: str
    management_url: str

    @property
    def quoted(self) -> str:
        """The name as it stands in a path of the management API."""
        return quote(self.name, safe="")


class RabbitMQ(Service):
    """One node in a scratch folder; `start()` again after `stop()` or `kill()` keeps data and ports."""

    host = "127.0.0.1"
    username = ADMIN

    def __init__(
        self,
        server: str,
        folder: Path,
        *,
        statistics_ms: int = 1000,
        extra_config: Sequence[str] = (),
        plugins: Sequence[str] = PLUGINS,
    ) -> None:
        """Given the rabbitmq-server to run and an empty folder of its own; starts nothing yet.

        `statistics_ms` is the sampling interval (5000 on a broker that nobody configured);
        `extra_config` are further lines of rabbitmq.conf.
        """
        self.folder = folder
        self.password = secrets.token_urlsafe(12)
        self.port, self.management_port, self._dist_port, self._epmd_port = free_ports(4)
        self.management_url = f"http://{self.host}:{self.management_port}"
        self.node = f"reasond-{secrets.token_hex(4)}@localhost"
        self._binaries = Path(server).resolve().parent
        folder.mkdir(parents=True, exist_ok=True)
        self._write_config(statistics_ms, extra_config, plugins)
        self._environment = self._node_environment()
        super().__init__(Process("rabbitmq", [server], self._environment, folder))
        # RabbitMQ would start a port mapper that outlives it, shared with every other node of this host.
        epmd = shutil.which("epmd") or "epmd"
        mapper = [epmd, "-port", str(self._epmd_port), "-address", self.host]
        self._epmd = Process("epmd", mapper, self._environment, folder)

    def _write_config(self, statistics_ms: int, extra: Sequence[str], plugins: Sequence[str]) -> None:
        lines = [
            f"listeners.tcp.1 = {self.host}:{self.port}",
            f"management.tcp.ip = {self.host}",
            f"management.tcp.port = {self.management_port}",
            f"default_user = {ADMIN}",
            f"default_pass = {self.password}",
            f"collect_statistics_interval = {statistics_ms}",
            "num_acceptors.tcp = 2",
            *extra,
        ]
        (self.folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        (self.folder / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")
        # Else the machine's own /etc/rabbitmq/rabbitmq-env.conf would be read.
        (self.folder / "rabbitmq-env.conf").write_text("")

    def _node_environment(self) -> Dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}
        folder = self.folder
        return {
            **kept,
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": self.host,
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": self.host,
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_SCHEMA_DIR": str(folder / "schema"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(folder / "rabbitmq.pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (f"{CALM_SCHEDULERS} -kernel inet_dist_use_interface {{127,0,0,1}}"),
        }

    def start(self) -> None:
        """Start the node, and its port mapper if that is not running yet."""
        if not self._epmd.running:
            self._epmd.launch()
        super().start()

    def ready(self) -> bool:
        """Tell whether both the AMQP listener and the management API answer."""
        with socket.create_connection((self.host, self.port), timeout=1) as connection:
            connection.settimeout(5)
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            if not connection.recv(8):
                return False
        try:
            return bool(self.api("GET", "/api/whoami"))
        except HttpError:
            return False

    def close(self) -> None:
        super().close()
        self._epmd.kill()

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on this node and return what it printed."""
        command = [str(self._binaries / "rabbitmqctl"), "--node", self.node, *arguments]
        done = subprocess.run(
            command,
            env=self._environment,
            cwd=str(self.folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=CTL_SECONDS,
            check=False,
        )
        text = done.stdout.decode(errors="replace")
        assert done.returncode == 0, f"rabbitmqctl {' '.join(arguments)}: {text}"
        return text

    def sync(self) -> None:
        """Have what was declared until now survive a kill.

        RabbitMQ 3 answers a declaration before its database's log is on disk; a kill within the next
        seconds takes queue and messages along.
        """
        self.ctl("eval", "mnesia:sync_log().")

    def authorization(self, username: str, password: str) -> Dict[str, str]:
        """Return the HTTP header that signs in to the management API."""
        return {"Authorization": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()}

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the management API as administrator; the path begins with /api."""
        headers = self.authorization(self.username, self.password)
        return send_json(method, self.management_url + path, body, headers)

    def amqp_url(self, vhost: str = "/", username: str = ADMIN, password: str = "") -> str:
        secret = quote(password or self.password, safe="")
        return f"amqp://{username}:{secret}@{self.host}:{self.port}/{quote(vhost, safe='')}"

    def fresh_vhost(self, name: str = "") -> Vhost:
        """Make an empty virtual host with a name of its own."""
        name = name or f"test-{secrets.token_hex(6)}"
        quoted = quote(name, safe="")
        self.api("PUT", f"/api/vhosts/{quoted}", {})
        self.grant(self.username, name)
        url = self.amqp_url(name)
        return Vhost(name, url, self.host, self.port, self.username, self.password, self.management_url)

    def delete_vhost(self, vhost: Vhost) -> None:
        self.api("DELETE", f"/api/vhosts/{vhost.quoted}")

    def add_user(self, username: str, password: str, tags: str = "") -> None:
        """Make a user without any rights; `tags` is comma-separated, as the management API takes it."""
        self.api("PUT", f"/api/users/{quote(username, safe='')}", {"password": password, "tags": tags})

    def grant(self, username: str, vhost: str, configure: str = ".*", write: str = ".*", read: str = ".*") -> None:
        """Give a user rights on a virtual host, as regular expressions of names."""
        path = f"/api/permissions/{quote(vhost, safe='')}/{quote(username, safe='')}"
        self.api("PUT", path, {"configure": configure, "write": write, "read": read})

    def import_definitions(self, definitions: Any) -> None:
        """Load users, policies, queues and so on from a definitions object."""
        headers = self.authorization(self.username, self.password)
        headers["Content-Type"] = "application/json"
        send("POST", f"{self.management_url}/api/definitions", json.dumps(definitions), headers)
