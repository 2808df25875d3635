"""The declared topology: names, routing, and the promises to plain clients."""

import re

import pytest

from reasond import messages, topology
from tests.unit.test_messages import body


@pytest.mark.parametrize(
    "genre, priority, queue",
    [
        ("fictional", "low", "fictional"),
        ("non-fictional", "normal", "non-fictional"),
        ("fictional", "high", "priority"),
        ("non-fictional", "high", "priority"),
    ],
)
def test_routing_key_of_a_message_is_its_queue(genre, priority, queue):
    message = messages.decode(body())
    message = messages.Message(
        message.header,
        messages.Metadata(genre, priority, 30, ""),
        message.payload,
    )

    assert topology.routing_key(message) == queue


def test_main_queues_when_classic_carry_no_arguments():
    plain = {queue.name: queue.arguments for queue in topology.queues() if queue.name in topology.MAIN_QUEUES}

    assert plain == {"priority": {}, "fictional": {}, "non-fictional": {}}


def test_dead_queues_are_declared_before_the_queues_whose_policy_names_them():
    names = [queue.name for queue in topology.queues()]

    assert max(names.index(n) for n in topology.DEAD_QUEUES) < min(names.index(n) for n in topology.MAIN_QUEUES)


def test_policy_pattern_takes_the_main_queues_and_nothing_else():
    pattern = re.compile(topology.POLICY_PATTERN)

    assert all(pattern.search(name) for name in topology.MAIN_QUEUES)
    assert not any(pattern.search(name) for name in topology.DEAD_QUEUES + ("fictional-2", "my-priority"))


def test_quorum_has_its_type_and_at_least_once_dead_lettering():
    assert all(queue.arguments["x-queue-type"] == "quorum" for queue in topology.queues("quorum"))
    assert topology.policy_definition("quorum")["dead-letter-strategy"] == "at-least-once"
