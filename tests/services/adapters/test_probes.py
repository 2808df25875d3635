"""The AMQP probes on a real broker: what they tell, and that they leave nothing behind."""

import pytest

from reasond import topology
from reasond.adapters import broker_setup
from reasond.adapters.management import Management
from reasond.adapters.probes import AmqpProbe, Rights
from reasond.doctor.broker import MAX_MESSAGE_BYTES
from reasond.errors import BrokerRefused, BrokerUnavailable
from reasond.settings import RabbitSettings
from tests.testbed import provide
from tests.testbed.process import free_ports
from tests.testbed.rabbitmq import RabbitMQ


def settings(at, **more):
    values = dict(
        hosts=(at.host,),
        port=at.port,
        user=at.username,
        password=at.password,
        vhost=at.name,
        management_url=at.management_url,
    )
    values.update(more)
    return RabbitSettings(**values)


def test_version_is_the_one_the_management_api_gives(vhost):
    with AmqpProbe(settings(vhost), vhost.host) as probe:
        told = probe.version()

    assert tuple(int(part) for part in told.split(".")[:3]) == Management(settings(vhost)).version()


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_rights_of_an_administrator_lack_nothing_and_probing_changes_nothing(vhost, queue_type):
    management = Management(settings(vhost))
    broker_setup.set_up(management, queue_type)

    for _ in range(2):
        with AmqpProbe(settings(vhost), vhost.host) as probe:
            found = probe.rights(topology.queues(queue_type), topology.MAIN_QUEUES)
        assert found == Rights((), (), ())

    inspected = broker_setup.inspect(management, queue_type)
    assert (inspected.missing, inspected.conflicts) == ((), ())


def test_rights_where_nothing_stands_tell_all_names_and_create_none(vhost):
    with AmqpProbe(settings(vhost), vhost.host) as probe:
        found = probe.rights(topology.queues(), topology.MAIN_QUEUES)

    assert len(found.missing) == 2 + len(topology.queues()) and not found.refused
    assert Management(settings(vhost)).get(f"/api/queues/{vhost.quoted}") == []


@pytest.mark.parametrize(
    "more, error, text",
    [
        ({"password": "wrong"}, BrokerRefused, "refused the login"),
        ({"vhost": "nowhere"}, BrokerRefused, "nowhere"),
        ({"port": 0}, BrokerUnavailable, "can't be reached"),
    ],
    ids=["password", "vhost", "port"],
)
def test_entering_a_broker_that_lets_nobody_in_raises(vhost, more, error, text):
    if "port" in more:
        more = {"port": free_ports(1)[0]}
    with pytest.raises(error, match=text):
        with AmqpProbe(settings(vhost, **more), vhost.host):
            pytest.fail("let in")


def test_size_is_accepted_by_a_broker_nobody_configured_and_refused_by_a_bounded_one(vhost, scratch):
    broker_setup.set_up(Management(settings(vhost)), "classic")
    with AmqpProbe(settings(vhost), vhost.host) as probe:
        assert probe.accepts_size(MAX_MESSAGE_BYTES + 1) is True

    bounded = RabbitMQ(
        provide.path_or_skip("rabbitmq"), scratch / "bounded", extra_config=[f"max_message_size = {MAX_MESSAGE_BYTES}"]
    )
    bounded.start()
    try:
        other = bounded.fresh_vhost()
        broker_setup.set_up(Management(settings(other)), "classic")
        with AmqpProbe(settings(other), other.host) as probe:
            assert probe.accepts_size(MAX_MESSAGE_BYTES) is True
            assert probe.accepts_size(MAX_MESSAGE_BYTES + 1) is False
    finally:
        bounded.close()
