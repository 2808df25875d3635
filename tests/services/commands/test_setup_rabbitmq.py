"""`reasond setup-rabbitmq` as a command, against a real RabbitMQ."""

import json
from typing import Any

from click.testing import CliRunner

from reasond.commands.setup_rabbitmq import setup_rabbitmq
from reasond.errors import TopologyConflict
from tests.testbed.rabbitmq import RabbitMQ, Vhost


def run(vhost: Vhost, *arguments: str) -> Any:
    environ = {
        "RABBITMQ_HOST": vhost.host,
        "RABBITMQ_PORT": str(vhost.port),
        "RABBITMQ_USER": vhost.username,
        "RABBITMQ_PASS": vhost.password,
        "RABBITMQ_VHOST": vhost.name,
        "RABBITMQ_MANAGEMENT_URL": vhost.management_url,
    }
    return CliRunner().invoke(setup_rabbitmq, list(arguments), env=environ)


def test_command_checks_creates_and_checks_again(vhost: Vhost) -> None:
    missing = run(vhost, "--check", "--json")
    assert missing.exit_code == 1 and len(json.loads(missing.output)["missing"]) == 15
    created = run(vhost)
    assert created.exit_code == 0 and "created:       queue fictional" in created.output
    standing = run(vhost, "--check", "--json")
    assert standing.exit_code == 0 and len(json.loads(standing.output)["stood"]) == 15


def test_command_on_a_conflict_reports_it_and_fails(rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    rabbitmq.api("PUT", f"/api/exchanges/{vhost.quoted}/books", {"type": "fanout", "durable": True})
    found = run(vhost, "--json")
    assert isinstance(found.exception, TopologyConflict) and found.exception.exit_code == 3
    report = json.loads(found.output)
    assert report["created"] == [] and "exchange books" in report["conflicts"][0]
