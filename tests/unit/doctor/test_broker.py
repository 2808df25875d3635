"""RabbitMQ's checks where they judge: versions, policies in force, rights found."""

import pytest

from reasond import topology
from reasond.adapters.management import Policy
from reasond.adapters.probes import Rights
from reasond.doctor import broker
from reasond.settings import RabbitSettings

OURS = Policy(topology.POLICY_NAME, topology.POLICY_PATTERN, topology.policy_definition(), topology.POLICY_PRIORITY)


@pytest.mark.parametrize(
    "version, queue_type, state",
    [
        ("3.8.9", "classic", "ok"),
        ("3.13.7", "classic", "ok"),
        ("3.7.28", "classic", "warning"),
        ("4.0.1", "classic", "warning"),
        ("", "classic", "warning"),
        ("3.9.1", "quorum", "fail"),
        ("3.10.0", "quorum", "ok"),
    ],
)
def test_version_is_judged_by_type_of_queue(version, queue_type, state):
    assert broker.version_verdict(version, RabbitSettings(queue_type=queue_type)).state == state


@pytest.mark.parametrize(
    "policies, operators, text",
    [
        ([OURS], [], ""),
        ([OURS, Policy("all", ".*", {"max-length": 5}, 0)], [], ""),
        ([OURS, Policy("queues of others", "^orders", {"max-length": 5}, 99)], [], ""),
        ([OURS], [Policy("ha", ".*", {"ha-mode": "all"}, 0, operator=True)], ""),
        ([], [], "priority, fictional, non-fictional: no policy is in force"),
        ([OURS, Policy("all", ".*", {"max-length": 5}, 11)], [], "policy 'all' (priority 11) is in force instead"),
        ([OURS, Policy("tie", "^fict", {"max-length": 5}, 10)], [], "fictional: policy 'tie' (priority 10)"),
        ([OURS], [Policy("cap", "^non", {"max-length": 5}, 0, operator=True)], "operator policy 'cap' sets max-length"),
        (
            [Policy(topology.POLICY_NAME, topology.POLICY_PATTERN, {"dead-letter-exchange": "x"}, 10)],
            [],
            "is in force instead",
        ),
    ],
    ids=[
        "ours",
        "a lower one",
        "of other queues",
        "harmless operator's",
        "none",
        "a higher one",
        "a tie",
        "operator's limit",
        "ours changed",
    ],
)
def test_policy_in_force_is_judged_not_the_one_that_stands(policies, operators, text):
    verdict = broker.policy_verdict(policies, operators, "classic")

    assert verdict.state == ("fail" if text else "ok")
    assert text in verdict.found


@pytest.mark.parametrize(
    "rights, words, command",
    [
        (Rights(("queue fictional",), (), ()), ["missing: queue fictional"], "setup-rabbitmq"),
        (Rights((), ("queue priority",), ()), ["otherwise", "queue priority"], "setup-rabbitmq"),
        (Rights((), (), ("read on queue priority",)), ["'me' lacks: read on"], "set_permissions -p / me '^(books|"),
    ],
    ids=["missing", "different", "refused"],
)
def test_rights_that_lack_something_name_it_and_the_command(rights, words, command):
    verdict = broker.rights_verdict(rights, RabbitSettings(user="me"))

    assert verdict.state == "fail" and command in verdict.mend
    assert all(word in verdict.found for word in words)


def test_rights_pattern_of_the_advice_takes_exactly_our_names():
    import re

    pattern = re.search(r"'(\^.*?\$)'", broker._permissions_mend(RabbitSettings())).group(1)

    for name in (topology.EXCHANGE, topology.DEAD_EXCHANGE, *topology.MAIN_QUEUES, *topology.DEAD_QUEUES):
        assert re.search(pattern, name)
    for name in ("booksXdead", "books.expired.old", "orders", "", "fictional2"):
        assert not re.search(pattern, name)
