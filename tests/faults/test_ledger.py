"""The ledger on a real broker names what was planted: one message that was lost and one that came twice."""

import pytest

from reasond.adapters import broker_setup
from reasond.adapters.management import Management
from reasond.settings import RabbitSettings
from tests.testbed.ledger import Ledger


@pytest.fixture
def ledger(rabbitmq, tmp_path):
    settings = RabbitSettings(
        hosts=(rabbitmq.host,),
        port=rabbitmq.port,
        user=rabbitmq.username,
        password=rabbitmq.password,
        management_url=rabbitmq.management_url,
    )
    broker_setup.set_up(Management(settings), "classic")
    return Ledger(tmp_path, rabbitmq)


def publish(rabbitmq, message_id):
    body = {
        "properties": {"delivery_mode": 2, "message_id": message_id},
        "routing_key": "books.flagged",
        "payload": "{}",
        "payload_encoding": "string",
    }
    assert rabbitmq.api("POST", "/api/exchanges/%2F/books.dead/publish", body)["routed"]


def test_planted_loss_and_planted_double_are_named(ledger, rabbitmq):
    # Given one message that somebody took away, one that is there twice, and one that is as it should be
    publish(rabbitmq, "taken-away")
    taken = {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}
    before = len(ledger.queued()["books.flagged"])
    rabbitmq.api("POST", "/api/queues/%2F/books.flagged/get", taken)
    for message_id in ("twice", "twice", "sound"):
        publish(rabbitmq, message_id)

    # When it is settled
    found = ledger.balance(["taken-away", "twice", "sound"])

    # Then both stand there by name, and nothing else
    assert before == 1
    assert found.lost == ("taken-away",)
    assert found.doubles == {"twice": ("books.flagged", "books.flagged")}
