"""The doctor on real services: all well, everything down, and each thing wrong that it must name."""

import json
import socket
import subprocess
import sys
import time

import pytest

from reasond.adapters import broker_setup
from reasond.adapters.management import Management, Policy
from reasond.doctor import broker, findings, store
from reasond.doctor.examined import examine
from reasond.downsampling import task_flux
from tests.standin import StandIn
from tests.testbed.process import free_ports
from tests.testbed.waiting import wait_until

DOCTOR_S = 30
"""What the command promises, with everything down."""
MONTH_S = 30 * 24 * 3600
AGENT, PASSWORD = "doctor-agent", "s3cret-of-the-agent"
ALL_NAMES = r"^(books|books\.dead|fictional|non-fictional|priority|books\.(expired|rejected|flagged))$"


@pytest.fixture
def vhost_set_up(rabbitmq, vhost):
    """A virtual host with the topology and an agent's user that has an agent's rights and no more."""
    broker_setup.set_up(Management(rabbit_settings(vhost)), "classic")
    rabbitmq.add_user(AGENT, PASSWORD, "management")
    rabbitmq.grant(AGENT, vhost.name, ALL_NAMES, ALL_NAMES, ALL_NAMES)
    return vhost


@pytest.fixture
def token(influxd, bucket):
    """A token that may read and write the test's bucket and nothing else."""
    return limited_token(influxd, bucket, "read", "write")


def limited_token(influxd, bucket, *actions):
    found = influxd.api("GET", "/api/v2/buckets?name=" + bucket)["buckets"][0]
    resource = {"type": "buckets", "id": found["id"], "orgID": influxd.org_id}
    rights = [{"action": action, "resource": resource} for action in actions]
    return influxd.api("POST", "/api/v2/authorizations", {"orgID": influxd.org_id, "permissions": rights})["token"]


def keep_a_month(influxd, bucket):
    found = influxd.api("GET", "/api/v2/buckets?name=" + bucket)["buckets"][0]
    rules = [{"type": "expire", "everySeconds": MONTH_S}]
    influxd.api("PATCH", "/api/v2/buckets/" + found["id"], {"retentionRules": rules})


def rabbit_environ(vhost, **more):
    return dict(
        {
            "RABBITMQ_HOST": vhost.host,
            "RABBITMQ_PORT": str(vhost.port),
            "RABBITMQ_USER": vhost.username,
            "RABBITMQ_PASS": vhost.password,
            "RABBITMQ_VHOST": vhost.name,
            "RABBITMQ_MANAGEMENT_URL": vhost.management_url,
        },
        **more,
    )


def agent_environ(vhost, **more):
    return rabbit_environ(vhost, **{"RABBITMQ_USER": AGENT, "RABBITMQ_PASS": PASSWORD, **more})


def influx_environ(influxd, bucket, token, **more):
    return dict(
        {
            "INFLUXDB_URL": influxd.url,
            "INFLUXDB_ORG": influxd.org,
            "INFLUXDB_BUCKET": bucket,
            "INFLUXDB_TOKEN": token,
        },
        **more,
    )


def rabbit_settings(vhost):
    return examine(rabbit_environ(vhost), ()).settings.rabbit


def broker_findings(environ):
    return {finding.name: finding for finding in findings.run(broker.checks(examine(environ, ())))}


def store_findings(environ):
    return {finding.name: finding for finding in findings.run(store.checks(examine(environ, ())))}


def host_name(vhost):
    return f"rabbitmq {vhost.host}:{vhost.port}"


def run_doctor(tmp_path, environ, *options):
    """Run the command as people do; give its exit status, findings by name, and all that it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "reasond", "doctor", "--json", *options],
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": ":".join(p for p in sys.path if p),
            "REASOND_SETTINGS_FILES": "",
            **environ,
        },
        cwd=str(tmp_path),
        capture_output=True,
        text=True,
        timeout=DOCTOR_S + 5,
    )
    assert not done.stderr, done.stderr
    answer = json.loads(done.stdout)
    return done.returncode, {finding["name"]: finding for finding in answer["findings"]}, done.stdout


# The command as a whole


def test_everything_set_up_is_well_and_no_secret_is_shown(tmp_path, vhost_set_up, influxd, bucket, token):
    keep_a_month(influxd, bucket)
    (tmp_path / "publisher-1").mkdir()
    with StandIn() as api:
        environ = {
            **agent_environ(vhost_set_up),
            **influx_environ(influxd, bucket, token),
            "INFLUXDB_TOKEN_DIR": str(tmp_path / "tokens"),
            "REASOND_STATE_DIR": str(tmp_path),
            "REASOND_LOG_DIR": str(tmp_path / "log"),
            "ANTHROPIC_API_KEY": api.key,
            "ANTHROPIC_BASE_URL": api.url,
            "CLAUDE_MODELS": "claude-sonnet-5-5",
        }
        status, found, printed = run_doctor(tmp_path, environ, "--api")

    failed = {name: finding for name, finding in found.items() if finding["state"] == "fail"}
    assert (status, failed) == (0, {})
    # A broker that nobody configured takes big messages; the stand-in may lack the list of models.
    assert {name for name, f in found.items() if f["state"] == "warning"} <= {
        "rabbitmq message size",
        "claude api",
    }
    # The agents' token may not read tasks.
    assert {name for name, f in found.items() if f["state"] == "skipped"} == {
        "downsampling task",
        "identities everywhere",
        "agents' own word",
    }
    for secret in (token, PASSWORD, api.key):
        assert secret not in printed


def test_everything_down_ends_in_time_and_names_each_service(tmp_path):
    mute = socket.create_server(("127.0.0.1", 0))  # accepts and never answers: slower than a refusal
    port = str(mute.getsockname()[1])
    (closed,) = free_ports(1)
    environ = {
        "RABBITMQ_HOST": "127.0.0.1,localhost",
        "RABBITMQ_PORT": port,
        "RABBITMQ_MANAGEMENT_URL": f"http://127.0.0.1:{port}",
        "INFLUXDB_URL": f"http://127.0.0.1:{closed}",
        "ANTHROPIC_API_KEY": "key",
        "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}",
        "REASOND_STATE_DIR": str(tmp_path),
    }
    began = time.monotonic()
    with mute:
        status, found, _ = run_doctor(tmp_path, environ, "--api")

    assert time.monotonic() - began < DOCTOR_S
    failed = {name for name, finding in found.items() if finding["state"] == "fail"}
    assert status == 1
    assert failed == {
        f"rabbitmq 127.0.0.1:{port}",
        f"rabbitmq localhost:{port}",
        "rabbitmq management",
        "influxdb",
        "claude api",
    }
    assert all(found[name]["mend"] for name in failed)
    assert found["rabbitmq rights"]["state"] == found["influxdb token"]["state"] == "skipped"


def test_wrong_setting_is_told_and_the_rest_is_looked_at(tmp_path, vhost_set_up):
    environ = agent_environ(vhost_set_up, INFLUXDB_URL="influx:8086", REASOND_STATE_DIR=str(tmp_path))

    status, found, _ = run_doctor(tmp_path, environ)

    assert status == 1
    assert "INFLUXDB_URL" in found["settings"]["found"]
    assert found["influxdb"]["state"] == "skipped"
    assert found["rabbitmq topology"]["state"] == "ok"


# RabbitMQ


def test_broker_agent_with_its_rights_finds_all_well_and_leaves_no_trace(vhost_set_up, rabbitmq):
    management = Management(rabbit_settings(vhost_set_up))

    found = broker_findings(agent_environ(vhost_set_up))

    assert {finding.name: finding.found for finding in found.values() if finding.state == "fail"} == {}
    assert found["rabbitmq rights"].state == "ok"
    assert all(sample.depth == 0 for sample in management.queue_samples(0))
    assert broker_setup.inspect(management, "classic").missing == ()


def test_broker_rights_probe_leaves_waiting_messages_untouched(vhost_set_up, rabbitmq):
    publish(rabbitmq, vhost_set_up, "fictional")

    broker_findings(agent_environ(vhost_set_up))

    got = rabbitmq.api(
        "POST",
        f"/api/queues/{vhost_set_up.quoted}/fictional/get",
        {"count": 5, "ackmode": "ack_requeue_false", "encoding": "auto"},
    )
    assert [message["redelivered"] for message in got] == [False]


def publish(rabbitmq, vhost, queue):
    body = {
        "properties": {"delivery_mode": 2},
        "routing_key": queue,
        "payload": "x",
        "payload_encoding": "string",
    }
    assert rabbitmq.api("POST", f"/api/exchanges/{vhost.quoted}/books/publish", body)["routed"]


def test_broker_wrong_password_names_the_settings_to_correct(vhost_set_up):
    found = broker_findings(agent_environ(vhost_set_up, RABBITMQ_PASS="wrong-pass"))

    finding = found[host_name(vhost_set_up)]
    assert finding.state == "fail" and "refused the login" in finding.found
    assert "RABBITMQ_PASS" in finding.mend
    assert "wrong-pass" not in finding.found + finding.mend
    assert found["rabbitmq rights"].state == "skipped"
    assert found["rabbitmq management"].state == "fail"


def test_broker_vhost_that_is_missing_is_named(vhost_set_up):
    found = broker_findings(agent_environ(vhost_set_up, RABBITMQ_VHOST="nowhere"))

    assert found[host_name(vhost_set_up)].state == "fail"
    assert "'nowhere'" in found[host_name(vhost_set_up)].found


def test_broker_one_dead_host_of_two_is_told_and_the_other_used(vhost_set_up):
    found = broker_findings(agent_environ(vhost_set_up, RABBITMQ_HOST="127.0.0.99," + vhost_set_up.host))

    assert found[f"rabbitmq 127.0.0.99:{vhost_set_up.port}"].state == "fail"
    assert found["rabbitmq rights"].state == "ok"


@pytest.mark.parametrize(
    "configure, write, read, lacking",
    [
        (r"^books$", ALL_NAMES, ALL_NAMES, "configure on queue fictional"),
        (ALL_NAMES, r"^(fictional|non-fictional|priority|books\.\w+)$", ALL_NAMES, "write on exchange books"),
        (ALL_NAMES, r"^books(\.dead)?$", ALL_NAMES, "write on queue priority, or read on exchange books"),
        (ALL_NAMES, ALL_NAMES, r"^books(\.dead)?$", "read on queue priority"),
    ],
    ids=["configure", "publish", "bind", "consume"],
)
def test_broker_missing_right_is_named_with_the_command_that_gives_it(
    rabbitmq, vhost_set_up, configure, write, read, lacking
):
    rabbitmq.grant(AGENT, vhost_set_up.name, configure, write, read)

    finding = broker_findings(agent_environ(vhost_set_up))["rabbitmq rights"]

    assert finding.state == "fail" and lacking in finding.found
    assert f"rabbitmqctl set_permissions -p {vhost_set_up.name} {AGENT}" in finding.mend


def test_broker_not_set_up_misses_everything_and_nothing_is_created(vhost):
    found = broker_findings(rabbit_environ(vhost))

    assert "missing" in found["rabbitmq topology"].found and "setup-rabbitmq" in found["rabbitmq topology"].mend
    assert "queue fictional" in found["rabbitmq rights"].found
    assert Management(rabbit_settings(vhost)).queue("fictional") is None


def test_broker_queue_with_other_arguments_is_a_conflict(vhost):
    management = Management(rabbit_settings(vhost))
    management.declare_queue("fictional", {"x-max-length": 5})

    found = broker_findings(rabbit_environ(vhost))

    assert found["rabbitmq topology"].state == "fail" and "x-max-length" in found["rabbitmq topology"].found
    assert "declared otherwise than agents declare it: queue fictional" in found["rabbitmq rights"].found


def test_broker_strangers_policy_of_higher_priority_is_named(vhost_set_up):
    management = Management(rabbit_settings(vhost_set_up))
    management.put_policy(Policy("ha-all", "^fict", {"max-length": 1000}, 50))

    finding = broker_findings(agent_environ(vhost_set_up))["rabbitmq policies"]

    assert finding.state == "fail"
    assert "fictional: policy 'ha-all' (priority 50) is in force instead" in finding.found
    assert "below 10" in finding.mend


def test_broker_operators_policy_that_loses_messages_is_named(rabbitmq, vhost_set_up):
    rabbitmq.api(
        "PUT",
        f"/api/operator-policies/{vhost_set_up.quoted}/limits",
        {"pattern": "^priority$", "definition": {"max-length": 10}, "priority": 0, "apply-to": "queues"},
    )

    finding = broker_findings(agent_environ(vhost_set_up))["rabbitmq policies"]

    assert finding.state == "fail" and "operator policy 'limits' sets max-length" in finding.found


def test_broker_memory_alarm_is_told(breakable_rabbitmq):
    vhost = breakable_rabbitmq.fresh_vhost()
    breakable_rabbitmq.ctl("set_vm_memory_high_watermark", "0")
    management = Management(rabbit_settings(vhost))
    wait_until(management.alarms, what="the alarm", timeout_seconds=20)

    finding = broker_findings(rabbit_environ(vhost))["rabbitmq alarms"]

    breakable_rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")
    assert finding.state == "fail" and "memory" in finding.found


# InfluxDB


def test_store_well_set_up_is_well_and_nothing_is_written(influxd, bucket, token):
    keep_a_month(influxd, bucket)

    found = store_findings(influx_environ(influxd, bucket, token))

    assert {name for name, finding in found.items() if finding.state in ("fail", "warning")} == set()
    assert influxd.query(f'from(bucket: "{bucket}") |> range(start: 0)') == []


@pytest.mark.parametrize(
    "change, name, text",
    [
        ({"INFLUXDB_TOKEN": "wrong-token"}, "influxdb token", "doesn't know the token"),
        ({"INFLUXDB_TOKEN": ""}, "influxdb token", "not set"),
        ({"INFLUXDB_ORG": "nobody"}, "influxdb token", "no organization 'nobody'"),
        ({"INFLUXDB_BUCKET": "nowhere"}, "influxdb bucket", "no bucket 'nowhere'"),
        ({"INFLUXDB_BUCKET": "nowhere"}, "influxdb write", "nowhere"),
        ({"INFLUXDB_BUCKET": "nowhere"}, "influxdb read", "nowhere"),
    ],
    ids=["wrong token", "no token", "no org", "no bucket", "no bucket to write", "no bucket to read"],
)
def test_store_wrong_setting_is_named(influxd, bucket, token, change, name, text):
    finding = store_findings({**influx_environ(influxd, bucket, token), **change})[name]

    assert finding.state == "fail" and text in finding.found
    assert "setup-influxdb" in finding.mend
    assert "wrong-token" not in finding.found + finding.mend


@pytest.mark.parametrize(
    "action, failing",
    [("read", "influxdb write"), ("write", "influxdb read")],
    ids=["read only", "write only"],
)
def test_store_token_with_half_the_rights_fails_the_other_half(influxd, bucket, action, failing):
    found = store_findings(influx_environ(influxd, bucket, limited_token(influxd, bucket, action)))

    states = {name: found[name].state for name in ("influxdb write", "influxdb read")}
    assert states == {name: "fail" if name == failing else "ok" for name in states}


def test_store_other_retention_is_a_warning_with_both_figures(influxd, bucket, token):
    finding = store_findings(influx_environ(influxd, bucket, token))["influxdb bucket"]

    assert finding.state == "warning"
    assert "for ever instead of 30 days" in finding.found


def downsampling_task(influxd, bucket):
    """Make the task for a bucket, as set-up makes it; give its path."""
    task = {"flux": task_flux(influxd.org, bucket), "orgID": influxd.org_id, "status": "active"}
    return "/api/v2/tasks/" + influxd.api("POST", "/api/v2/tasks", task)["id"]


@pytest.fixture
def downsampling(influxd, bucket):
    path = downsampling_task(influxd, bucket)
    yield path
    influxd.api("DELETE", path)


def run_once(influxd, path):
    """Run a task to its end and give how it ended."""
    influxd.api("POST", path + "/runs", {})
    # Asked for itself a run is not found for a moment when it ends.
    wait_until(
        lambda: influxd.api("GET", path).get("lastRunStatus"), what="the end of the task's run", timeout_seconds=30
    )
    return influxd.api("GET", path)["lastRunStatus"]


def test_store_task_is_unknown_to_the_agents_token_and_known_to_the_admin_s(
    influxd, bucket, token, downsampling, tmp_path
):
    environ = influx_environ(influxd, bucket, token, INFLUXDB_TOKEN_DIR=str(tmp_path))

    unknown = store_findings(environ)["downsampling task"]
    (tmp_path / "admin.token").write_text("of another InfluxDB")
    other = store_findings(environ)["downsampling task"]
    (tmp_path / "admin.token").write_text(influxd.token)
    known = store_findings(environ)["downsampling task"]

    assert (unknown.state, unknown.found[:30]) == ("skipped", "unknown: needs the admin token")
    assert (other.state, other.found[:30]) == ("skipped", "unknown: InfluxDB doesn't know")
    assert (known.state, "not due yet" in known.found) == ("ok", True)


def test_store_task_that_ran_is_well(influxd, bucket, downsampling):
    assert run_once(influxd, downsampling) == "success"

    finding = store_findings(influx_environ(influxd, bucket, influxd.token))["downsampling task"]

    assert (finding.state, "last run 0 minutes ago" in finding.found) == ("ok", True)


def test_store_task_whose_run_failed_is_a_warning_with_the_reason(influxd):
    path = downsampling_task(influxd, "never-made")
    try:
        assert run_once(influxd, path) == "failed"
        finding = store_findings(influx_environ(influxd, "never-made", influxd.token))["downsampling task"]
    finally:
        influxd.api("DELETE", path)

    assert finding.state == "warning"
    assert "failed" in finding.found and "never-made" in finding.found


def test_store_task_that_was_stopped_is_a_warning(influxd, bucket, downsampling):
    influxd.api("PATCH", downsampling, {"status": "inactive"})

    finding = store_findings(influx_environ(influxd, bucket, influxd.token))["downsampling task"]

    assert finding.state == "warning"
    assert "inactive" in finding.found and "influxdb-setup" in finding.mend


def beat(agent_id, boot_id, pid, age_s, **fields):
    more = "".join(f",{name}={value}" for name, value in fields.items())
    stamp = int((time.time() - age_s) * 1e9)
    tags = f"agent_health,agent_id={agent_id},agent_type=publisher"
    return f'{tags} up=1i,boot_id="{boot_id}",pid={pid}i{more} {stamp}'


@pytest.mark.parametrize(
    "beats, state, text",
    [
        ([("a", 1, 40), ("b", 1, 30), ("a", 1, 20)], "fail", "two hosts (boot ids a and b)"),
        ([("a", 1, 40), ("a", 2, 30), ("a", 1, 20)], "fail", "twice on one host (pids 1 and 2)"),
        ([("a", 1, 40), ("a", 1, 30), ("b", 7, 20)], "ok", "publisher-1"),
    ],
    ids=["two hosts", "two processes", "a reboot"],
)
def test_store_identity_held_twice_is_told_and_a_restart_is_not(influxd, bucket, token, beats, state, text):
    influxd.write(bucket, "\n".join(beat("publisher-1", *entry) for entry in beats))

    finding = store_findings(influx_environ(influxd, bucket, token))["identities everywhere"]

    assert finding.state == state and text in finding.found


def test_store_agents_own_word_tells_drops_and_degradation(influxd, bucket, token):
    lines = [
        beat("publisher-1", "a", 1, 20, spool_dropped="7i"),
        beat("consumer-1", "a", 2, 30, degraded_reason='"waiting for RabbitMQ"'),
        beat("consumer-2", "a", 3, 30, degraded_reason='"over by now"'),
        beat("consumer-2", "a", 3, 10),
    ]
    influxd.write(bucket, "\n".join(lines))

    finding = store_findings(influx_environ(influxd, bucket, token))["agents' own word"]

    assert finding.state == "warning"
    assert finding.found == "consumer-1 is degraded: waiting for RabbitMQ; publisher-1 dropped 7 points"


def test_store_spend_near_the_limit_is_a_warning(influxd, bucket, token):
    now_ns = time.time_ns()
    influxd.write(bucket, f"budget,agent_id=publisher-1 spent_hour_usd=4.5,spent_day_usd=4.5 {now_ns}")

    finding = store_findings(influx_environ(influxd, bucket, token))["budget of the system"]

    assert finding.state == "warning" and "$4.5000 of $5 this hour" in finding.found
