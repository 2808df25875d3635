"""The doctor's checks of RabbitMQ: reach, login, version, topology, policies, rights, alarms, clock."""

import re
from typing import Callable, Dict, List, Sequence, Tuple, TypeVar

from reasond import topology
from reasond.adapters import broker_setup, probes
from reasond.adapters.management import Management, Policy, winner
from reasond.doctor.clock import clock_verdict
from reasond.doctor.examined import Examined
from reasond.doctor.findings import Check, Verdict, fail, ok, skipped, warning
from reasond.errors import BrokerError, BrokerRefused, BrokerUnavailable
from reasond.settings import RabbitSettings

OLDEST, NEWEST = (3, 8), (3, 13)
"""Versions the agents are tested with, by construction or in fact."""
QUORUM_OLDEST = broker_setup.QUORUM_TTL_VERSION[:2]
MAX_MESSAGE_BYTES = 262144
"""What the rabbitmq role sets: 25 bodies of 10 MB under a prefetch of 200 took a consumer to 281 MB."""
MANAGEMENT = "rabbitmq management"
_START = "start RabbitMQ, and check RABBITMQ_HOST, RABBITMQ_PORT, RABBITMQ_TLS and firewalls between"
_SET_UP = "reasond setup-rabbitmq (as a user with the tag policymaker and all rights on the virtual host)"
T = TypeVar("T")
_DEAD_LETTER_KEYS = ("dead-letter-exchange", "dead-letter-routing-key")


def checks(examined: Examined) -> List[Check]:
    """Give the checks of RabbitMQ."""
    rabbit = examined.settings.rabbit
    needs = examined.needs("rabbit")
    hosts = tuple(_host_name(rabbit, host) for host in rabbit.hosts)
    broker = _Broker(rabbit)
    at_hosts = [
        Check(name, lambda host=host: reachable(rabbit, host), _START, needs)  # type: ignore[misc]
        for name, host in zip(hosts, rabbit.hosts)
    ]
    managed = (MANAGEMENT,)
    return [
        *at_hosts,
        Check("rabbitmq rights", broker.rights, _START, needs_one_of=hosts),
        Check("rabbitmq message size", broker.message_size, _START, needs_one_of=hosts),
        Check(MANAGEMENT, lambda: management_answers(Management(rabbit)), _management_mend(rabbit), needs),
        Check(
            "rabbitmq topology",
            lambda: topology_stands(Management(rabbit), rabbit.queue_type),
            _SET_UP,
            managed,
        ),
        Check("rabbitmq policies", lambda: policies(Management(rabbit), rabbit.queue_type), _SET_UP, managed),
        Check("rabbitmq alarms", lambda: alarms(Management(rabbit)), _SET_UP, managed),
        Check("rabbitmq clock", lambda: _clock(rabbit), "", managed),
    ]


def reachable(rabbit: RabbitSettings, host: str) -> Verdict:
    """Connect and sign in as the agents do, and look at the version."""
    try:
        with probes.AmqpProbe(rabbit, host) as probe:
            version = probe.version()
    except BrokerRefused as err:
        return fail(str(err), _login_mend(rabbit))
    return version_verdict(version, rabbit)


def version_verdict(version: str, rabbit: RabbitSettings) -> Verdict:
    """Judge a broker's version."""
    found = "RabbitMQ {}, virtual host {!r} as {!r}, queues of type {}".format(
        version or "of unknown version", rabbit.vhost, rabbit.user, rabbit.queue_type
    )
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers and rabbit.queue_type == "quorum" and numbers < QUORUM_OLDEST:
        return fail(
            found + ": it ignores per-message TTL on quorum queues",
            "upgrade RabbitMQ to 3.10 or later, or set RABBITMQ_QUEUE_TYPE=classic",
        )
    if not numbers or not OLDEST <= numbers <= NEWEST:
        return warning(found, "the agents are made for RabbitMQ 3.8 to 3.13: use one of those")
    return ok(found)


def rights_verdict(found: probes.Rights, rabbit: RabbitSettings) -> Verdict:
    """Judge what the rights' probes found."""
    told = []
    if found.missing:
        told.append("missing: " + ", ".join(found.missing))
    if found.different:
        told.append("declared otherwise than agents declare it: " + ", ".join(found.different))
    if found.refused:
        told.append("{!r} lacks: {}".format(rabbit.user, ", ".join(found.refused)))
    if not told:
        return ok(f"{rabbit.user!r} may declare, bind, publish and consume all that agents use")
    return fail("; ".join(told), _permissions_mend(rabbit) if found.refused else _SET_UP)


def management_answers(management: Management) -> Verdict:
    """Ask for the figures that decisions are made of."""
    version = ".".join(str(part) for part in management.version())
    who = management.whoami()
    samples = management.queue_samples(0)
    found = "{} at {} as {!r} (tags: {})".format(version, management.url, who.get("name"), _tags(who))
    if not samples:
        return warning(f"{found}: shows none of our queues", _SET_UP)
    without = [sample.queue for sample in samples if sample.depth is None]
    if without:
        return warning(
            "{}: no depths for {}".format(found, ", ".join(without)),
            "use RabbitMQ 3.8.9 or later, or turn the management agent's statistics on",
        )
    return ok(f"{found}: depths of {len(samples)} queues")


def topology_stands(management: Management, queue_type: str) -> Verdict:
    """Compare exchanges, queues and bindings with what is declared; policies are a check of their own."""
    found = broker_setup.inspect(management, queue_type)
    conflicts = [text for text in found.conflicts if not text.startswith(("policy", "operator policy"))]
    missing = [item.name for item in found.missing if not item.name.startswith("policy")]
    if conflicts:
        return fail(
            "; ".join(conflicts),
            "drain and delete what stands otherwise (rabbitmqctl delete_queue), then " + _SET_UP,
        )
    if missing:
        return fail("missing: " + ", ".join(missing), _SET_UP)
    stood = [name for name in found.stood if not name.startswith("policy")]
    return ok(f"{len(stood)} exchanges, queues and bindings stand as declared")


def policies(management: Management, queue_type: str) -> Verdict:
    """Work out which policy wins on each main queue, and what operator policies lay over it."""
    try:
        operators: Sequence[Policy] = management.operator_policies()
    except BrokerRefused:
        operators = ()
    return policy_verdict(management.policies(), operators, queue_type)


def policy_verdict(standing: Sequence[Policy], operators: Sequence[Policy], queue_type: str) -> Verdict:
    """Judge by what is really in force: policies don't merge, the one of highest priority alone applies."""
    wanted = topology.policy_definition(queue_type)
    wrong: Dict[str, List[str]] = {}
    for queue in topology.MAIN_QUEUES:
        for problem in _policy_problems(winner(standing, queue), winner(operators, queue), wanted):
            wrong.setdefault(problem, []).append(queue)
    if not wrong:
        return ok("{!r} is in force on {}".format(topology.POLICY_NAME, ", ".join(topology.MAIN_QUEUES)))
    told = "; ".join("{}: {}".format(", ".join(queues), problem) for problem, queues in wrong.items())
    return fail(
        told + " - what expires there is lost or goes elsewhere",
        f"narrow that policy's pattern or lower its priority below {topology.POLICY_PRIORITY} (rabbitmqctl "
        f"list_policies, list_operator_policies); if ours is missing: {_SET_UP}",
    )


def alarms(management: Management) -> Verdict:
    """Tell the resource alarms in effect."""
    try:
        found = management.alarms()
    except BrokerRefused:
        return skipped(f"this RabbitMQ doesn't tell alarms to {management.user!r}")
    if found:
        return fail(
            "alarm: {}; publishers are blocked".format(", ".join(found)),
            "free memory or disk on the broker, or raise vm_memory_high_watermark or lower disk_free_limit",
        )
    return ok("none")


class _Broker:
    """The checks that go over AMQP, on the first host that lets us in."""

    def __init__(self, rabbit: RabbitSettings) -> None:
        self._rabbit = rabbit

    def rights(self) -> Verdict:
        queues = topology.queues(self._rabbit.queue_type)
        found = self._probed(lambda probe: probe.rights(queues, topology.MAIN_QUEUES))
        return rights_verdict(found, self._rabbit)

    def message_size(self) -> Verdict:
        if self._probed(lambda probe: probe.accepts_size(MAX_MESSAGE_BYTES + 1)):
            return warning(
                f"messages of more than {MAX_MESSAGE_BYTES} bytes are taken",
                f"max_message_size = {MAX_MESSAGE_BYTES} in rabbitmq.conf, then restart RabbitMQ: big bodies under a "
                "prefetch fill a consumer's memory",
            )
        return ok(f"messages of more than {MAX_MESSAGE_BYTES} bytes are refused")

    def _probed(self, work: Callable[[probes.AmqpProbe], T]) -> T:
        problem: BrokerError = BrokerUnavailable("no host is named")
        for host in self._rabbit.hosts:
            try:
                with probes.AmqpProbe(self._rabbit, host) as probe:
                    return work(probe)
            except BrokerError as err:
                problem = err
        raise problem


def _clock(rabbit: RabbitSettings) -> Verdict:
    url = Management(rabbit).url
    return clock_verdict(lambda: probes.http("HEAD", url + "/", BrokerUnavailable, ca_file=rabbit.ca_file), url)


def _policy_problems(ours: Tuple[Policy, ...], operators: Tuple[Policy, ...], wanted: Dict[str, object]) -> List[str]:
    problems = []
    if not ours:
        problems.append("no policy is in force")
    for policy in ours:
        if any(policy.definition.get(key) != value for key, value in wanted.items()):
            problems.append(f"policy {policy.name!r} (priority {policy.priority}) is in force instead")
    for policy in operators:
        # Where both set a key, an operator's value goes first; numbers take the lower one.
        keys = [key for key in policy.definition if key in broker_setup.LOSING_KEYS or key in _DEAD_LETTER_KEYS]
        if keys:
            problems.append("operator policy {!r} sets {}".format(policy.name, ", ".join(sorted(keys))))
    return problems


def _host_name(rabbit: RabbitSettings, host: str) -> str:
    return f"rabbitmq {host}:{rabbit.port}"


def _tags(who: Dict[str, object]) -> str:
    tags = who.get("tags") or "none"
    return ", ".join(str(tag) for tag in tags) if isinstance(tags, list) else str(tags)


def _login_mend(rabbit: RabbitSettings) -> str:
    return (
        "set RABBITMQ_USER, RABBITMQ_PASS and RABBITMQ_VHOST to what stands on the broker (rabbitmqctl "
        f"list_users, list_vhosts), or: rabbitmqctl change_password {rabbit.user} ...; {_permissions_mend(rabbit)}"
    )


def _permissions_mend(rabbit: RabbitSettings) -> str:
    names = [topology.EXCHANGE, topology.DEAD_EXCHANGE, *topology.MAIN_QUEUES, *topology.DEAD_QUEUES]
    pattern = "^({})$".format("|".join(name.replace(".", "\\.") for name in names))
    return f"rabbitmqctl set_permissions -p {rabbit.vhost} {rabbit.user} '{pattern}' '{pattern}' '{pattern}'"


def _management_mend(rabbit: RabbitSettings) -> str:
    return (
        "rabbitmq-plugins enable rabbitmq_management; rabbitmqctl set_user_tags "
        f"{rabbit.management_user or rabbit.user} management; check RABBITMQ_MANAGEMENT_URL, _USER and _PASS. "
        "Without it agents know only the ready counts"
    )
