"""Which policy wins, and what errors say."""

import socket

import pytest

from reasond.adapters.management import Management, Policy, winner
from reasond.errors import BrokerUnavailable
from reasond.settings import RabbitSettings


def policy(name: str, pattern: str, priority: int, apply_to: str = "queues") -> Policy:
    return Policy(name, pattern, {}, priority, apply_to)


def test_winner_is_the_matching_one_of_highest_priority() -> None:
    policies = [
        policy("a", "^fict", 1),
        policy("b", ".*", 5),
        policy("c", "^other$", 9),
        policy("d", ".*", 7, "exchanges"),
    ]
    assert [found.name for found in winner(policies, "fictional")] == ["b"]


def test_winner_of_a_tie_is_everybody() -> None:
    assert len(winner([policy("a", ".*", 5), policy("b", ".*", 5)], "fictional")) == 2


def test_winner_of_nothing_that_matches_is_nobody() -> None:
    assert winner([policy("a", "^x$", 5)], "fictional") == ()


def test_management_that_is_away_is_named_without_the_password() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://someone:hidden-word@127.0.0.1:{listener.getsockname()[1]}"
        management = Management(RabbitSettings(management_url=url, password="hidden-word"))
        with pytest.raises(BrokerUnavailable) as caught:
            management.overview()
    assert "127.0.0.1" in str(caught.value) and "RABBITMQ_MANAGEMENT_URL" in str(caught.value)
    assert "hidden-word" not in str(caught.value)


def test_management_without_an_address_is_the_first_host() -> None:
    assert Management(RabbitSettings(hosts=("one", "two"))).url == "http://one:15672"
