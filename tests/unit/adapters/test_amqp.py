"""pika's errors in our words, and properties that pika can't decode."""

import pytest
from pika import exceptions
from pika.adapters.utils import connection_workflow

from reasond.adapters.amqp import TolerantProperties, parameters, plain_headers, translate
from reasond.errors import BrokerRefused, BrokerUnavailable, SettingsError
from reasond.settings import RabbitSettings

SETTINGS = RabbitSettings(hosts=("broker",), user="someone", password="hidden-word", vhost="books")

CASES = {
    "wrong password": (exceptions.ProbableAuthenticationError("403"), BrokerRefused, "RABBITMQ_PASS"),
    "no such vhost": (exceptions.ProbableAccessDeniedError("530"), BrokerRefused, "RABBITMQ_VHOST"),
    "no right": (exceptions.ChannelClosedByBroker(403, "ACCESS_REFUSED"), BrokerRefused, "ACCESS_REFUSED"),
    "no queue": (exceptions.ChannelClosedByBroker(404, "NOT_FOUND"), BrokerUnavailable, "NOT_FOUND"),
    "shutdown": (exceptions.ConnectionClosedByBroker(320, "FORCED"), BrokerUnavailable, "FORCED"),
    "not AMQP": (exceptions.IncompatibleProtocolError("?"), BrokerUnavailable, "RABBITMQ_TLS"),
    "refused inside the workflow": (
        connection_workflow.AMQPConnectionWorkflowFailed(
            [connection_workflow.AMQPConnectorSocketConnectError(ConnectionRefusedError(111, "Connection refused"))]
        ),
        BrokerUnavailable,
        "Connection refused",
    ),
    "wrapped once more": (
        exceptions.AMQPConnectionError(
            connection_workflow.AMQPConnectionWorkflowFailed(
                [connection_workflow.AMQPConnectorSocketConnectError(OSError(113, "No route to host"))]
            )
        ),
        BrokerUnavailable,
        "No route to host",
    ),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_translate_says_where_and_whose_fault_and_never_the_password(name: str) -> None:
    err, kind, hint = CASES[name]
    found = translate(err, SETTINGS, "broker")
    assert type(found) is kind
    assert "broker:5672" in str(found) and hint in str(found)
    assert "hidden-word" not in str(found)


def test_parameters_with_an_unusable_ca_file_name_the_variable() -> None:
    with pytest.raises(SettingsError, match="RABBITMQ_CA_FILE"):
        parameters(RabbitSettings(tls=True, ca_file="/nonexistent.pem"), "broker", "test")


def test_properties_that_cannot_be_decoded_say_so_instead_of_raising() -> None:
    # Given: a header table with a field type that AMQP doesn't know
    encoded = b"\x20\x00" + b"\x00\x00\x00\x04" + b"\x01aZ\x00"
    # When
    properties = TolerantProperties()
    properties.decode(encoded)
    # Then
    assert properties.undecodable
    assert properties.headers is None


def test_plain_headers_names_that_are_not_utf8_become_text() -> None:
    assert plain_headers({b"\xff": 1, "ok": b"\xff"}) == {"\\xff": 1, "ok": b"\xff"}
