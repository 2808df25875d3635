"""Queue figures from a real RabbitMQ's management API."""

import pytest

from reasond import topology
from reasond.adapters.management import Management
from reasond.errors import BrokerRefused
from tests.contract.broker_beds import RealBed, settings_of
from tests.testbed.rabbitmq import RabbitMQ, Vhost


def test_samples_have_counts_of_now_and_leave_out_strangers(rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    # Given
    bed = RealBed(rabbitmq, vhost)
    rabbitmq.api("PUT", f"/api/queues/{vhost.quoted}/stranger", {"durable": True})
    for _ in range(3):
        bed.put(topology.FICTIONAL, b"{}")
    channel = bed.channel()
    channel.basic_get(topology.FICTIONAL)
    # When
    samples = {sample.queue: sample for sample in bed.management.queue_samples(42)}
    # Then
    assert set(samples) == {queue.name for queue in topology.queues()}
    found = samples[topology.FICTIONAL]
    assert (found.time_ns, found.depth, found.ready, found.unacknowledged) == (42, 3, 2, 1)
    assert found.source == "management" and samples[topology.PRIORITY].depth == 0
    channel.connection.close()
    bed.close()


def test_samples_where_totals_are_not_offered_come_from_the_statistics(
    rabbitmq: RabbitMQ, vhost: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    bed = RealBed(rabbitmq, vhost)
    monkeypatch.setattr("reasond.adapters.management._TOTALS", "?columns=name")
    samples = bed.management.queue_samples(1)
    assert len(samples) == 6
    bed.close()


def test_user_with_tag_management_and_no_rights_sees_the_depths(rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    bed = RealBed(rabbitmq, vhost)
    rabbitmq.add_user("watcher", "secret", "management")
    rabbitmq.grant("watcher", vhost.name, "^$", "^$", "^$")
    watcher = Management(settings_of(vhost, management_user="watcher", management_password="secret"))
    assert [sample.depth for sample in watcher.queue_samples(1)] == [0] * 6
    with pytest.raises(BrokerRefused):
        watcher.declare_queue("another", {})
    assert watcher.whoami()["name"] == "watcher"
    bed.close()
