"""RabbitMQ's management API: queue figures, and what set-up and doctor look at and change.

Blocking; used on the observer's thread and by commands. Errors name the address and the way out, never the
password.
"""

import json
import re
import ssl
import urllib.parse
from typing import Any, Dict, List, Optional, Sequence, Tuple

import urllib3
from msgspec import Struct

from reasond import topology
from reasond.adapters.causes import short_cause
from reasond.core.views import QueueSample
from reasond.errors import BrokerRefused, BrokerUnavailable, SettingsError
from reasond.settings import RabbitSettings

DEFAULT_PORT = 15672
DEFAULT_TIMEOUT_S = 4.0
"""A look at the depths is of use for a few seconds; an ordinary answer takes some 10 ms."""
_TOTALS = "?disable_stats=true&enable_queue_totals=true"
_STATISTICS = (
    "?columns=name,messages_ready,messages_unacknowledged,consumers,"
    "message_stats.publish_details.rate,message_stats.ack_details.rate"
)
_QUEUE_FACTS = "?columns=name,durable,auto_delete,exclusive,type,arguments"


class Policy(Struct, frozen=True):
    """A policy or an operator policy as it stands on the broker."""

    name: str
    pattern: str
    definition: Dict[str, Any]
    priority: int
    apply_to: str = "queues"
    operator: bool = False

    def matches(self, queue: str) -> bool:
        """Tell whether it applies to a queue of this name."""
        # Erlang's re is PCRE; what policies use of it reads the same here.
        try:
            return self.apply_to not in ("exchanges", "streams") and re.search(self.pattern, queue) is not None
        except re.error:
            return False


class Management:
    """The management API of one broker, for one virtual host."""

    def __init__(self, settings: RabbitSettings, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Take the settings; nothing is asked yet.

        Raises SettingsError when the CA file can't be used.
        """
        url = settings.management_url or f"http://{settings.hosts[0]}:{DEFAULT_PORT}"
        # The address is named in errors: a password has no place in it.
        self.url = re.sub(r"^(https?://)[^/@]*@", r"\1", url).rstrip("/")
        self.user = settings.management_user or settings.user
        self.vhost = settings.vhost
        self._vhost = urllib.parse.quote(settings.vhost, safe="")
        password = settings.management_password or settings.password
        self._headers = urllib3.make_headers(basic_auth=f"{self.user}:{password}")
        self._headers["Content-Type"] = "application/json"
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=timeout_s),
            retries=False,
            ssl_context=_tls(self.url, settings.ca_file),
        )

    # Figures

    def overview(self) -> Dict[str, Any]:
        """Give the broker's own description: version, node, listeners."""
        found: Dict[str, Any] = self.get("/api/overview")
        return found

    def version(self) -> Tuple[int, int, int]:
        """Give RabbitMQ's version as numbers."""
        parts = re.findall(r"\d+", str(self.overview().get("rabbitmq_version", "")))[:3]
        major, minor, patch = ([int(part) for part in parts] + [0, 0, 0])[:3]
        return major, minor, patch

    def queue_samples(self, at_ns: int) -> Tuple[QueueSample, ...]:
        """Give one sample of each of the topology's queues that exists, stamped `at_ns`.

        Counts are of now; rates and consumers come from the statistics database and are about 10 s old, None
        where it has none. Raises BrokerUnavailable or BrokerRefused.
        """
        path = "/api/queues/" + self._vhost
        totals = self.get(path + _TOTALS)
        statistics = {entry["name"]: entry for entry in self.get(path + _STATISTICS)}
        # Brokers before 3.8.9 ignore enable_queue_totals: then the statistics' older counts must do.
        counts = {
            entry["name"]: entry if "messages_ready" in entry else statistics.get(entry["name"]) for entry in totals
        }
        found = [(queue.name, counts.get(queue.name)) for queue in topology.queues()]
        return tuple(_sample(at_ns, entry, statistics.get(name, {})) for name, entry in found if entry is not None)

    def alarms(self) -> Tuple[str, ...]:
        """Give the resource alarms in effect, as the broker words them; empty when there are none."""
        status, body = self._request("GET", "/api/health/checks/alarms", None)
        if status == 200:
            return ()
        if status != 503:
            raise self._refused("GET", "/api/health/checks/alarms", status, body)
        found = _decoded(body).get("alarms", [])
        return tuple("{} on {}".format(alarm.get("resource"), alarm.get("node")) for alarm in found)

    # Topology

    def exchange(self, name: str) -> Optional[Dict[str, Any]]:
        """Give an exchange as it stands, None when there is none."""
        found: Optional[Dict[str, Any]] = self._find(f"/api/exchanges/{self._vhost}/{_quoted(name)}")
        return found

    def queue(self, name: str) -> Optional[Dict[str, Any]]:
        """Give a queue's durability, type and arguments as they stand, None when there is none."""
        path = f"/api/queues/{self._vhost}/{_quoted(name)}{_QUEUE_FACTS}"
        found: Optional[Dict[str, Any]] = self._find(path)
        return found

    def bound(self, exchange: str, queue: str, routing_key: str) -> bool:
        """Tell whether a queue is bound to an exchange with this routing key."""
        path = f"/api/bindings/{self._vhost}/e/{_quoted(exchange)}/q/{_quoted(queue)}"
        return any(binding.get("routing_key") == routing_key for binding in self._find(path) or ())

    def vhost_exists(self) -> bool:
        """Tell whether the virtual host exists; raises BrokerRefused when the user may not look."""
        return self._find("/api/exchanges/" + self._vhost) is not None

    def declare_exchange(self, name: str) -> None:
        """Declare a durable direct exchange."""
        self.put(f"/api/exchanges/{self._vhost}/{_quoted(name)}", {"type": "direct", "durable": True})

    def declare_queue(self, name: str, arguments: Dict[str, Any]) -> None:
        """Declare a durable queue."""
        path = f"/api/queues/{self._vhost}/{_quoted(name)}"
        self.put(path, {"durable": True, "auto_delete": False, "arguments": arguments})

    def bind(self, exchange: str, queue: str, routing_key: str) -> None:
        """Bind a queue to an exchange."""
        path = f"/api/bindings/{self._vhost}/e/{_quoted(exchange)}/q/{_quoted(queue)}"
        self._expect("POST", path, {"routing_key": routing_key, "arguments": {}})

    # Policies, rights

    def policies(self) -> Tuple[Policy, ...]:
        """Give the virtual host's policies."""
        return tuple(_policy(entry, False) for entry in self.get("/api/policies/" + self._vhost))

    def operator_policies(self) -> Tuple[Policy, ...]:
        """Give the virtual host's operator policies, which are laid over the policies."""
        return tuple(_policy(entry, True) for entry in self.get("/api/operator-policies/" + self._vhost))

    def put_policy(self, policy: Policy) -> None:
        """Set a policy."""
        self.put(
            f"/api/policies/{self._vhost}/{_quoted(policy.name)}",
            {
                "pattern": policy.pattern,
                "definition": policy.definition,
                "priority": policy.priority,
                "apply-to": policy.apply_to,
            },
        )

    def whoami(self) -> Dict[str, Any]:
        """Give the user's name and tags."""
        found: Dict[str, Any] = self.get("/api/whoami")
        return found

    def permissions(self, user: str) -> Optional[Dict[str, Any]]:
        """Give a user's rights on the virtual host (configure, write, read), None when there are none."""
        path = f"/api/permissions/{self._vhost}/{_quoted(user)}"
        found: Optional[Dict[str, Any]] = self._find(path)
        return found

    # The requests themselves

    def get(self, path: str) -> Any:
        """Give the decoded answer to a GET; raises BrokerUnavailable or BrokerRefused."""
        return self._expect("GET", path, None)

    def put(self, path: str, content: Dict[str, Any]) -> None:
        """PUT an object; raises BrokerUnavailable or BrokerRefused."""
        self._expect("PUT", path, content)

    def _find(self, path: str) -> Any:
        status, body = self._request("GET", path, None)
        if status == 404:
            return None
        if status >= 300:
            raise self._refused("GET", path, status, body)
        return _decoded(body)

    def _expect(self, method: str, path: str, content: Optional[Dict[str, Any]]) -> Any:
        status, body = self._request(method, path, content)
        if status >= 300:
            raise self._refused(method, path, status, body)
        return _decoded(body)

    def _request(self, method: str, path: str, content: Optional[Dict[str, Any]]) -> Tuple[int, bytes]:
        payload = None if content is None else json.dumps(content)
        try:
            answer = self._pool.request(method, self.url + path, headers=self._headers, body=payload)
        except (urllib3.exceptions.HTTPError, OSError) as err:
            raise BrokerUnavailable(
                f"the management API at {self.url} can't be reached ({short_cause(err)}): is the plugin "
                "rabbitmq_management enabled, and RABBITMQ_MANAGEMENT_URL right?"
            ) from err
        if answer.status >= 500 and answer.status != 503:
            raise BrokerUnavailable(f"the management API at {self.url} answered {answer.status}")
        return int(answer.status), bytes(answer.data)

    def _refused(self, method: str, path: str, status: int, body: bytes) -> Exception:
        what = "{} {}{}: {} {}".format(method, self.url, path.partition("?")[0], status, _cause(body))
        if status == 503:
            return BrokerUnavailable(what)
        if status == 401:
            return BrokerRefused(
                f"{what} - check RABBITMQ_MANAGEMENT_USER and RABBITMQ_MANAGEMENT_PASS; user {self.user!r} "
                "needs a tag (management to look, policymaker to set up) and rights on virtual host "
                f"{self.vhost!r}"
            )
        if status == 403:
            return BrokerRefused(f"{what} - user {self.user!r} lacks the right or the tag for it")
        return BrokerRefused(what)


def winner(policies: Sequence[Policy], queue: str) -> Tuple[Policy, ...]:
    """Give the policy that applies to a queue: the matching one of highest priority, all on a tie, or none.

    Policies don't merge, and among equals RabbitMQ picks one without telling which.
    """
    matching = [policy for policy in policies if policy.matches(queue)]
    highest = max((policy.priority for policy in matching), default=0)
    return tuple(policy for policy in matching if policy.priority == highest)


def _tls(url: str, ca_file: str) -> Optional[ssl.SSLContext]:
    if not (url.startswith("https:") and ca_file):
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as err:
        raise SettingsError([f"RABBITMQ_CA_FILE: {ca_file!r} can't be used: {err}"]) from err


def _sample(at_ns: int, counts: Dict[str, Any], statistics: Dict[str, Any]) -> QueueSample:
    ready, unacknowledged = counts.get("messages_ready"), counts.get("messages_unacknowledged")
    rates = statistics.get("message_stats") or {}
    return QueueSample(
        time_ns=at_ns,
        queue=counts["name"],
        depth=None if ready is None or unacknowledged is None else ready + unacknowledged,
        ready=ready,
        unacknowledged=unacknowledged,
        publish_rate=_rate(rates, "publish_details"),
        ack_rate=_rate(rates, "ack_details"),
        consumers=statistics.get("consumers"),
    )


def _rate(statistics: Dict[str, Any], name: str) -> Optional[float]:
    rate = (statistics.get(name) or {}).get("rate")
    return None if rate is None else float(rate)


def _policy(entry: Dict[str, Any], operator: bool) -> Policy:
    return Policy(
        name=entry["name"],
        pattern=entry["pattern"],
        definition=entry.get("definition") or {},
        priority=entry.get("priority", 0),
        apply_to=entry.get("apply-to", "all"),
        operator=operator,
    )


def _decoded(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError as err:
        raise BrokerUnavailable(f"what answers at the management URL isn't RabbitMQ: {err}") from err


def _cause(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    parts: List[str] = [str(answer.get(key, "")) for key in ("error", "reason")] if isinstance(answer, dict) else []
    return ": ".join(part for part in parts if part)


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")
