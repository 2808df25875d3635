"""Setting up a real RabbitMQ: creates, repeats, and changes nothing on a conflict."""

import json
import random
from typing import Any, Dict, List

import pika
import pytest

from reasond import topology
from reasond.adapters import broker_setup
from reasond.adapters.management import Management, Policy
from reasond.errors import BrokerRefused, BrokerUnavailable, TopologyConflict
from tests.contract.broker_beds import settings_of
from tests.testbed.process import free_ports
from tests.testbed.rabbitmq import RabbitMQ, Vhost


@pytest.fixture
def management(vhost: Vhost) -> Management:
    return Management(settings_of(vhost))


def state(rabbitmq: RabbitMQ, vhost: Vhost) -> Dict[str, Any]:
    """Everything set-up may touch, as the broker exports it."""
    found = rabbitmq.api("GET", f"/api/definitions/{vhost.quoted}")
    return {name: sorted(found[name], key=json.dumps) for name in ("exchanges", "queues", "bindings", "policies")}


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_set_up_creates_everything_and_then_finds_it_standing(management: Management, queue_type: str) -> None:
    first = broker_setup.set_up(management, queue_type)
    again = broker_setup.set_up(management, queue_type)
    assert first.stood == () and again.created == ()
    assert first.created == again.stood
    order = first.created.index
    assert order("exchange books.dead") < order("queue books.expired") < order("policy reasond-expired")
    assert order("policy reasond-expired") < order("exchange books") < order("queue fictional")


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_what_set_up_declares_the_agents_can_declare_again(rabbitmq: RabbitMQ, vhost: Vhost, queue_type: str) -> None:
    broker_setup.set_up(Management(settings_of(vhost)), queue_type)
    channel = pika.BlockingConnection(pika.URLParameters(vhost.amqp_url)).channel()
    for queue in topology.queues(queue_type):
        channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
    if queue_type == "classic":
        for name in topology.MAIN_QUEUES:
            channel.queue_declare(name, durable=True)
    channel.connection.close()


def test_set_up_half_done_by_hand_is_completed(rabbitmq: RabbitMQ, vhost: Vhost, management: Management) -> None:
    rabbitmq.api("PUT", f"/api/exchanges/{vhost.quoted}/books", {"type": "direct", "durable": True})
    rabbitmq.api("PUT", f"/api/queues/{vhost.quoted}/fictional", {"durable": True})
    report = broker_setup.set_up(management, "classic")
    assert {"exchange books", "queue fictional"} <= set(report.stood)
    assert {"binding books -> fictional", "queue priority"} <= set(report.created)


CONFLICTS = {
    "exchange of another type": ("exchanges/{}/books", {"type": "topic", "durable": True}, "exchange books"),
    "exchange that isn't durable": (
        "exchanges/{}/books.dead",
        {"type": "direct", "durable": False},
        "books.dead",
    ),
    "queue with arguments": (
        "queues/{}/fictional",
        {"durable": True, "arguments": {"x-max-length": 5}},
        "queue fictional",
    ),
    "queue that isn't durable": ("queues/{}/priority", {"durable": False}, "queue priority"),
    "queue of another type": (
        "queues/{}/non-fictional",
        {"durable": True, "arguments": {"x-queue-type": "quorum"}},
        "queue non-fictional",
    ),
    "dead queue without its bound": ("queues/{}/books.flagged", {"durable": True}, "queue books.flagged"),
    "stranger's policy that wins": (
        "policies/{}/ttl",
        {"pattern": "^fict", "definition": {"max-length": 9}, "priority": 11},
        "policy 'ttl'",
    ),
    "stranger's policy of equal priority": (
        "policies/{}/even",
        {"pattern": ".*", "definition": {"max-length": 9}, "priority": 10},
        "policy 'even'",
    ),
    "stranger's policy that loses evidence": (
        "policies/{}/short",
        {"pattern": "^books", "definition": {"message-ttl": 9}, "apply-to": "queues"},
        "'short'",
    ),
    "operator policy": (
        "operator-policies/{}/cap",
        {"pattern": "", "definition": {"max-length": 9}, "apply-to": "queues"},
        "'cap'",
    ),
}


@pytest.mark.parametrize("name", sorted(CONFLICTS))
def test_conflict_is_named_and_nothing_is_changed(
    rabbitmq: RabbitMQ, vhost: Vhost, management: Management, name: str
) -> None:
    # Given
    path, content, hint = CONFLICTS[name]
    rabbitmq.api("PUT", "/api/" + path.format(vhost.quoted), content)
    before = state(rabbitmq, vhost)
    # When
    with pytest.raises(TopologyConflict) as caught:
        broker_setup.set_up(management, "classic")
    # Then
    assert any(hint in conflict for conflict in caught.value.conflicts)
    assert state(rabbitmq, vhost) == before


def test_policy_of_lower_priority_is_noted_only(rabbitmq: RabbitMQ, vhost: Vhost, management: Management) -> None:
    content = {"pattern": ".*", "definition": {"max-length": 9}, "priority": 1, "apply-to": "exchanges"}
    rabbitmq.api(
        "PUT",
        f"/api/policies/{vhost.quoted}/exchanges",
        dict(content, definition={"alternate-exchange": "x"}),
    )
    rabbitmq.api(
        "PUT",
        f"/api/policies/{vhost.quoted}/lazy",
        {"pattern": "^fict", "definition": {"queue-mode": "lazy"}, "priority": 1, "apply-to": "queues"},
    )
    report = broker_setup.set_up(management, "classic")
    assert len(report.notes) == 1 and "'lazy'" in report.notes[0]


def test_our_policy_with_other_content_is_brought_up_to_date(
    rabbitmq: RabbitMQ, vhost: Vhost, management: Management
) -> None:
    management.put_policy(Policy(topology.POLICY_NAME, "^fictional$", {"dead-letter-exchange": "old"}, 0))
    assert "policy reasond-expired" in broker_setup.set_up(management, "classic").created
    (standing,) = management.policies()
    assert (standing.pattern, standing.priority) == (topology.POLICY_PATTERN, topology.POLICY_PRIORITY)


def test_quorum_on_an_older_broker_is_refused(management: Management, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(management, "version", lambda: (3, 9, 29))
    with pytest.raises(TopologyConflict, match=r"3\.10"):
        broker_setup.set_up(management, "quorum")


def test_missing_virtual_host_is_told(vhost: Vhost) -> None:
    management = Management(settings_of(vhost._replace(name="nowhere")))
    with pytest.raises(BrokerRefused, match="nowhere"):
        broker_setup.set_up(management, "classic")


def test_wrong_password_is_refused_at_once(vhost: Vhost) -> None:
    management = Management(settings_of(vhost._replace(password="hidden-word")))
    with pytest.raises(BrokerRefused) as caught:
        broker_setup.wait_for_broker(management, 30, random.Random(1))
    assert "RABBITMQ_MANAGEMENT_PASS" in str(caught.value) and "hidden-word" not in str(caught.value)


def test_waiting_for_a_broker_that_stays_away_ends(vhost: Vhost) -> None:
    away = vhost._replace(management_url=f"http://127.0.0.1:{free_ports(1)[0]}")
    reasons: List[str] = []
    with pytest.raises(BrokerUnavailable):
        broker_setup.wait_for_broker(Management(settings_of(away)), 1.5, random.Random(1), reasons.append)
    assert reasons
