"""The dead-letter queues of a real RabbitMQ: looked at without a trace, put back without a loss, dropped."""

import json
from datetime import datetime, timezone
from typing import Any, Iterator, List

import pytest
from click.testing import CliRunner

from reasond import quarantine, topology
from reasond.adapters.amqp import blocking_channel
from reasond.commands.quarantine import quarantine as command
from reasond.errors import BrokerUnavailable
from reasond.quarantine import Choice
from tests.contract.broker_beds import RealBed
from tests.contract.test_broker_links import a_message
from tests.testbed.rabbitmq import RabbitMQ, Vhost

NOW = datetime(2026, 2, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def bed(rabbitmq: RabbitMQ, vhost: Vhost) -> Iterator[RealBed]:
    made = RealBed(rabbitmq, vhost)
    yield made
    made.close()


def flag(bed: RealBed, name: str, cause: str = "implausible", **more: Any) -> bytes:
    body = a_message(name)
    headers = {
        topology.HEADER_QUEUE: topology.FICTIONAL,
        topology.HEADER_CAUSE: cause,
        topology.HEADER_REASON: "too fast",
        topology.HEADER_EXPIRATION: "30000",
        topology.HEADER_AT: "2026-02-01T11:00:00Z",
        "sender": "kept",
    }
    headers.update(more)
    bed.put(topology.FLAGGED, body, message_id=name, headers=headers, content_type="application/json")
    return body


def expire(bed: RealBed, name: str) -> None:
    bed.put(topology.FICTIONAL, a_message(name), message_id=name, expiration="1", headers={"sender": "kept"})
    bed.pump(lambda: bed.ready(topology.EXPIRED), "expiry")


def keys(bed: RealBed, queue: str) -> List[str]:
    (view,) = quarantine.look(bed.settings, (queue,), 1000)
    return [message.key for message in view.messages]


def test_look_tells_what_lies_there_and_leaves_it_in_its_order(bed: RealBed) -> None:
    # Given
    for name in ("a", "b", "c"):
        flag(bed, name, cause="check" if name == "b" else "ai")
    # When
    first = quarantine.look(bed.settings, topology.DEAD_QUEUES, 2)
    # Then
    flagged = first[topology.DEAD_QUEUES.index(topology.FLAGGED)]
    assert (flagged.ready, len(flagged.messages), flagged.causes()) == (3, 2, {"ai": 1, "check": 1})
    message = flagged.messages[0]
    assert (message.key, message.origin, message.reason) == ("a", topology.FICTIONAL, "too fast")
    assert (message.at, message.expiration_ms) == ("2026-02-01T11:00:00Z", "30000")
    assert keys(bed, topology.FLAGGED) == ["a", "b", "c"]
    assert [bed.take(topology.FLAGGED)["message_id"] for _ in range(3)] == ["a", "b", "c"]


def test_look_at_an_expired_one_knows_its_queue_cause_and_ttl(bed: RealBed) -> None:
    expire(bed, "late")
    (view,) = quarantine.look(bed.settings, (topology.EXPIRED,), 10)
    (message,) = view.messages
    assert (message.cause, message.origin, message.expiration_ms) == ("expired", topology.FICTIONAL, "1")
    assert message.at is not None and message.at.startswith("20")


def test_look_at_a_missing_queue_is_an_error(bed: RealBed) -> None:
    bed.delete(topology.FLAGGED)
    with pytest.raises(BrokerUnavailable, match=r"books\.flagged"):
        quarantine.look(bed.settings, (topology.FLAGGED,), 10)


def test_requeue_restores_queue_body_and_ttl_and_marks_it(bed: RealBed) -> None:
    # Given
    body = flag(bed, "a")
    flag(bed, "b")
    # When
    outcome = quarantine.requeue(bed.settings, Choice(keys=("a",)), NOW)
    # Then
    assert (outcome.done, outcome.failed) == (("a",), {})
    back = bed.take(topology.FICTIONAL)
    assert back == {
        "body": body,
        "message_id": "a",
        "expiration": "30000",
        "content_type": "application/json",
        "headers": {"sender": "kept", topology.HEADER_REQUEUED: "2026-02-01T12:00:00+00:00"},
    }
    assert keys(bed, topology.FLAGGED) == ["b"]


def test_requeue_of_an_expired_one_takes_the_ttl_from_its_death(bed: RealBed) -> None:
    bed.put(topology.FICTIONAL, a_message(), message_id="late", expiration="300", headers={"sender": "kept"})
    bed.pump(lambda: bed.ready(topology.EXPIRED) == 1, "expiry")
    assert quarantine.requeue(bed.settings, Choice(everything=True), NOW).done == ("late",)
    back = bed.take(topology.FICTIONAL)
    assert back["expiration"] == "300"
    assert set(back["headers"]) == {"sender", topology.HEADER_REQUEUED}


def test_requeue_of_all_ends_although_they_expire_again(bed: RealBed) -> None:
    for name in ("a", "b", "c"):
        expire(bed, name)
    bed.pump(lambda: bed.ready(topology.EXPIRED) == 3, "expiry")
    assert sorted(quarantine.requeue(bed.settings, Choice(everything=True), NOW).done) == ["a", "b", "c"]
    bed.pump(lambda: bed.ready(topology.EXPIRED) == 3, "expired once more")


def test_requeue_by_cause_takes_only_those(bed: RealBed) -> None:
    flag(bed, "a", cause="ai")
    flag(bed, "b", cause="check")
    flag(bed, "c", cause="ai")
    assert quarantine.requeue(bed.settings, Choice(cause="ai"), NOW).done == ("a", "c")
    assert keys(bed, topology.FLAGGED) == ["b"]


def test_requeue_without_a_known_origin_stays_and_says_so(bed: RealBed) -> None:
    bed.put(topology.REJECTED, b"garbage")
    (key,) = keys(bed, topology.REJECTED)
    outcome = quarantine.requeue(bed.settings, Choice(keys=(key,)), NOW)
    assert outcome.done == () and "which queue" in outcome.failed[key]
    assert keys(bed, topology.REJECTED) == [key] and key.startswith("sha256-")


def test_requeue_into_a_deleted_queue_stays_and_says_so(bed: RealBed) -> None:
    flag(bed, "a")
    bed.delete(topology.FICTIONAL)
    assert "fictional" in quarantine.requeue(bed.settings, Choice(keys=("a",)), NOW).failed["a"]
    assert keys(bed, topology.FLAGGED) == ["a"]


def test_requeue_stopped_midway_loses_nothing(bed: RealBed, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given: the power goes between the second message's confirm and its acknowledgement
    bodies = {flag(bed, name) for name in ("a", "b", "c")}
    original = quarantine._put_back
    count = []

    def stopping(*args: Any) -> Any:
        problem = original(*args)
        count.append(1)
        if len(count) == 2:
            raise KeyboardInterrupt
        return problem

    monkeypatch.setattr(quarantine, "_put_back", stopping)
    # When
    with pytest.raises(KeyboardInterrupt):
        quarantine.requeue(bed.settings, Choice(everything=True), NOW)
    # Then
    bed.pump(lambda: bed.ready(topology.FLAGGED) == 2, "given back")
    left = {bed.take(topology.FLAGGED)["body"] for _ in range(2)}
    moved = {bed.take(topology.FICTIONAL)["body"] for _ in range(2)}
    assert left | moved == bodies and len(left & moved) == 1


def test_unknown_id_is_reported(bed: RealBed) -> None:
    assert "nobody" in quarantine.drop(bed.settings, Choice(keys=("nobody",))).failed


def test_drop_deletes_only_what_was_chosen(bed: RealBed) -> None:
    flag(bed, "a")
    flag(bed, "b")
    assert quarantine.drop(bed.settings, Choice(keys=("b",))).done == ("b",)
    assert keys(bed, topology.FLAGGED) == ["a"]


def test_channel_error_inside_the_block_is_ours(bed: RealBed) -> None:
    with pytest.raises(BrokerUnavailable), blocking_channel(bed.settings, "test") as channel:
        channel.queue_declare("nowhere", passive=True)


def run(bed: RealBed, *arguments: str, **more: Any) -> Any:
    settings = bed.settings
    environ = {
        "RABBITMQ_HOST": settings.hosts[0],
        "RABBITMQ_PORT": str(settings.port),
        "RABBITMQ_USER": settings.user,
        "RABBITMQ_PASS": settings.password,
        "RABBITMQ_VHOST": settings.vhost,
    }
    return CliRunner().invoke(command, list(arguments), env=environ, catch_exceptions=False, **more)


def test_command_lists_shows_requeues_and_drops(bed: RealBed) -> None:
    # Given
    flag(bed, "a", **{topology.HEADER_REASON: "two\nlines \x1b[31m"})
    flag(bed, "b")
    flag(bed, "c")
    # When, then
    listed = run(bed, "list")
    assert "books.flagged: 3 messages (3 implausible)" in listed.output
    assert "\x1b" not in listed.output and len(listed.output.splitlines()) == 6
    assert "... and 1 more" in run(bed, "list", "--queue", "flagged", "--limit", "2").output
    as_json = json.loads(run(bed, "list", "--queue", "flagged", "--limit", "2", "--json").output)
    assert (as_json["books.flagged"]["ready"], as_json["books.flagged"]["looked_at"]) == (3, 2)
    shown = json.loads(run(bed, "show", "b", "--json").output)[0]
    assert shown["origin"] == "fictional" and json.loads(shown["body"])["payload"]["context"] == "b"
    assert "origin:" in run(bed, "show", "b").output
    assert json.loads(run(bed, "requeue", "a", "--json").output) == {"requeued": ["a"], "failed": {}}
    assert run(bed, "drop", "b", input="n\n").exit_code == 1
    assert keys(bed, topology.FLAGGED) == ["b", "c"]
    assert run(bed, "drop", "b", input="y\n").exit_code == 0
    assert run(bed, "drop", "--all", "--queue", "flagged", "--yes").output == "dropped 1\n"
    assert run(bed, "requeue", "gone").exit_code == 1
