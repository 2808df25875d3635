"""The test bed itself: private services answer, keep their data through a crash, and go when told."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pika
import pytest

from tests.testbed.process import DidNotStart
from tests.testbed.rabbitmq import RabbitMQ
from tests.testbed.waiting import NeverHappened, wait_until

ROOT = Path(__file__).resolve().parents[2]


def _publish(url, queue, body):
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True)
        channel.confirm_delivery()
        properties = pika.BasicProperties(delivery_mode=2)
        channel.basic_publish("", queue, body, properties=properties, mandatory=True)


def _get(url, queue):
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        return connection.channel().basic_get(queue, auto_ack=True)[2]


def _flux(bucket):
    return f'from(bucket: "{bucket}") |> range(start: -1h) |> filter(fn: (r) => r._measurement == "m")'


def test_rabbitmq_returns_what_was_published(vhost):
    _publish(vhost.amqp_url, "q", b"hello")

    assert _get(vhost.amqp_url, "q") == b"hello"


def test_management_api_gives_totals_of_a_queue(rabbitmq, vhost):
    _publish(vhost.amqp_url, "q", b"hello")

    path = f"/api/queues/{vhost.quoted}?disable_stats=true&enable_queue_totals=true"
    (queue,) = wait_until(lambda: rabbitmq.api("GET", path), what="the listing", timeout_seconds=10)
    assert (queue["name"], queue["messages"]) == ("q", 1)


def test_rabbitmq_user_without_rights_is_refused(rabbitmq, vhost):
    rabbitmq.add_user("stranger", "secret", tags="management")

    with pytest.raises(pika.exceptions.AMQPConnectionError):
        _get(rabbitmq.amqp_url(vhost.name, "stranger", "secret"), "q")


def test_rabbitmqctl_reaches_the_private_node(rabbitmq):
    assert rabbitmq.node in rabbitmq.ctl("status")


def test_rabbitmq_listens_on_the_loopback_address_only(rabbitmq):
    listening = {
        line.split()[1]
        for name in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in open(name)
        if line.split()[3] == "0A"
    }
    loopback = "0100007F"
    for port in (rabbitmq.port, rabbitmq.management_port, rabbitmq._dist_port):
        bound = {address.split(":")[0] for address in listening if address.endswith(f":{port:04X}")}
        assert bound == {loopback}, f"port {port}"


def test_durable_message_survives_a_kill_of_rabbitmq(breakable_rabbitmq):
    vhost = breakable_rabbitmq.fresh_vhost()
    _publish(vhost.amqp_url, "q", b"kept")
    breakable_rabbitmq.sync()

    breakable_rabbitmq.kill()
    breakable_rabbitmq.start()

    assert _get(vhost.amqp_url, "q") == b"kept"


def test_frozen_rabbitmq_answers_again_after_it_is_let_go(breakable_rabbitmq):
    vhost = breakable_rabbitmq.fresh_vhost()
    breakable_rabbitmq.signal_stop()
    with pytest.raises(OSError):
        breakable_rabbitmq.ready()

    breakable_rabbitmq.signal_cont()

    wait_until(breakable_rabbitmq.ready, what="an answer", timeout_seconds=20)
    _publish(vhost.amqp_url, "q", b"hello")


def test_close_ends_node_and_port_mapper(breakable_rabbitmq, tmp_path):
    broker = RabbitMQ(breakable_rabbitmq.process.command[0], tmp_path)
    broker.start()
    groups = (broker.process.pid, broker._epmd.pid)

    broker.close()

    for group in groups:
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)


def test_start_of_a_broken_configuration_shows_the_log(breakable_rabbitmq, tmp_path):
    broker = RabbitMQ(breakable_rabbitmq.process.command[0], tmp_path, extra_config=["no.such.key = 1"])

    try:
        with pytest.raises(DidNotStart, match=r"no\.such\.key"):
            broker.start()
    finally:
        broker.close()


def test_influxd_returns_what_was_written(influxd, bucket):
    influxd.write(bucket, f"m,tag=a field=2i {time.time_ns()}")

    (row,) = influxd.query(_flux(bucket))
    assert (row["tag"], row["_field"], row["_value"]) == ("a", "field", "2")


def test_acknowledged_point_survives_a_kill_of_influxd(breakable_influxd):
    bucket = breakable_influxd.fresh_bucket()
    breakable_influxd.write(bucket, f"m field=1 {time.time_ns()}")

    breakable_influxd.kill()
    breakable_influxd.start()

    assert [row["_value"] for row in breakable_influxd.query(_flux(bucket))] == ["1"]


LAUNCH_AND_WAIT = """
import os, pathlib, sys
from tests.testbed.process import Process
sleeper = Process("sleeper", ["sleep", "300"], dict(os.environ), pathlib.Path(sys.argv[1]))
sleeper.launch()
print(sleeper.pid, flush=True)
sys.stdin.read()
"""


def test_killed_test_run_leaves_no_service_behind(tmp_path):
    command = [sys.executable, "-c", LAUNCH_AND_WAIT, str(tmp_path)]
    run = subprocess.Popen(command, cwd=str(ROOT), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    sleeper = int(run.stdout.readline())

    run.kill()
    run.communicate()

    def gone():
        try:
            os.kill(sleeper, 0)
        except ProcessLookupError:
            return True
        # Nobody may be there to collect it, as in a container without an init.
        return Path(f"/proc/{sleeper}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"

    wait_until(gone, what="the sleeper's end", timeout_seconds=10)


def test_wait_until_tells_what_never_happened_and_the_last_answer():
    with pytest.raises(NeverHappened, match=r"not within 0\.1 s: a miracle \(last: 0\)"):
        wait_until(lambda: 0, what="a miracle", timeout_seconds=0.1)


def test_wait_until_takes_a_refused_connection_as_not_yet():
    answers = iter([ConnectionRefusedError(), "up"])

    def probe():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert wait_until(probe, what="an answer", timeout_seconds=5) == "up"
