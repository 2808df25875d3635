"""site.yml on a bare host: a look, the first run, the second, and what a user finds on the host afterwards."""

import base64
import json
import re
from pathlib import Path
from typing import Any, Dict, List

import pytest

from tests.acceptance.criteria import told
from tests.acceptance.system import compressed
from tests.hosts.accepted import HostSystem
from tests.hosts.conftest import API_KEY, Site
from tests.hosts.whole import AGENTS, SERVICES, SETUPS
from tests.standin import StandIn
from tests.testbed.boards import of_board
from tests.testbed.http import send_json
from tests.testbed.nspawn import Room
from tests.testbed.playbook import PlaybookFailed
from tests.testbed.tunnel import tunnel
from tests.testbed.waiting import wait_until

# The first test also waits for the three runs.
pytestmark = [pytest.mark.timeout(1200), pytest.mark.xdist_group("whole")]

DASHBOARD = "reasond-ai-decisions"
HOUR_MS = 3_600_000


def test_look_at_a_bare_host_fails_at_nothing_and_changes_nothing(site: Site) -> None:
    assert site.touched == []
    # It does tell what would be done
    assert site.looked.changed > 20


def test_first_run_leaves_everything_active_and_the_doctor_content(site: Site) -> None:
    states = {unit: site.whole.state(unit) for unit in (*SERVICES, *SETUPS, *AGENTS, "reasond.target")}

    assert set(states.values()) == {"active"}, states
    print(f"first run {site.first.seconds:.0f} s, second {site.second.seconds:.0f} s")
    findings = json.loads(site.whole.host.run("reasond", "doctor", "--json"))["findings"]
    others = {finding["name"]: f"{finding['state']}: {finding['found']}" for finding in findings}
    others = {name: told for name, told in others.items() if not told.startswith("ok: ")}
    print(f"doctor: {len(findings)} checks, all ok but {others}")
    # RabbitMQ 3.8 tells its alarms to administrators only, the API is asked on demand, a model has its last day
    assert set(others) <= {"rabbitmq alarms", "claude api", "claude models"}


def test_everything_is_started_at_each_boot(site: Site) -> None:
    units = (*SERVICES, *AGENTS, "reasond.target")
    assert site.whole.host.run("systemctl", "is-enabled", *units).split() == ["enabled"] * len(units)


def test_second_run_changes_nothing(site: Site) -> None:
    assert site.second.changes == {}
    assert site.second.changed == 0


def test_services_listen_on_the_loopback_only(site: Site) -> None:
    listening = site.whole.host.sh("ss --listening --tcp --numeric --no-header | awk '{print $4}'").split()

    assert {address for address in listening if not re.match(r"127\.0\.0\.1:|\[::1\]:", address)} <= {
        "0.0.0.0:22",
        "[::]:22",
    }
    assert {"127.0.0.1:5672", "127.0.0.1:8086", "127.0.0.1:3000"} <= set(listening)


def ask_grafana(base: str, password: str, path: str, body: Any = None) -> Any:
    sign = base64.b64encode(f"admin:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {sign}"}
    return send_json("POST" if body else "GET", f"http://{base}{path}", body, headers)


def test_grafana_answers_its_decision_table_with_decisions_of_this_run(site: Site) -> None:
    password = site.whole.secrets["grafana_admin_password"]
    with tunnel(site.whole.host, 3000) as ports:
        dashboard = ask_grafana(ports[3000], password, f"/api/dashboards/uid/{DASHBOARD}")["dashboard"]
        (asked,) = (asked for asked in of_board(DASHBOARD, dashboard) if asked.title == "Recent agent reasoning")
        query = {"queries": asked.requests(HOUR_MS), "from": "now-1h", "to": "now"}

        def table() -> Dict[str, List[Any]]:
            (frame,) = ask_grafana(ports[3000], password, "/api/ds/query", query)["results"]["A"]["frames"]
            names = [field["name"] for field in frame["schema"]["fields"]]
            return dict(zip(names, frame["data"]["values"]))

        def decided() -> bool:
            return len(set(table().get("agent_id", []))) == len(AGENTS)

        wait_until(decided, what="a decision of each agent", timeout_seconds=150, every_seconds=2)
        rows = table()
    by_us = site.whole.host.run("journalctl", "--no-pager", "-t", "publisher-1")
    assert set(rows) == {"timestamp", "agent_id", "action", "reasoning"}
    assert all(len(text) > 10 for text in rows["reasoning"])
    assert {"publisher-1", "consumer-1", "monitor-1"} <= set(rows["agent_id"])
    assert "decided" in by_us or "decision" in by_us


def test_commands_for_people_need_nothing_but_root(site: Site) -> None:
    host = site.whole.host
    wait_until(
        lambda: "publisher-1-" in host.run("reasond", "decisions", "--agent", "publisher-1"),
        what="a decision",
        timeout_seconds=60,
        every_seconds=1,
    )
    decided = json.loads(host.run("reasond", "decisions", "--agent", "publisher-1", "--json"))[0]

    told = {
        "status": host.run("reasond", "status", check=False),
        "budget": host.run("reasond", "budget"),
        "why": host.run("reasond", "why", "publisher-1"),
        "decision": host.run("reasond", "decisions", "show", decided["id"]),
        "load": host.run("reasond", "load", "--rate", "2", "--duration", "2"),
        "quarantine": host.run("reasond", "quarantine", "list"),
        "experiment": host.run("reasond", "experiment", "status"),
        "control": host.run("reasond", "control", "publisher-1", "show"),
        "report": host.run("reasond", "report", "--output", "/run/report.html"),
    }

    agents = [unit.replace("@", "-").replace(".service", "") for unit in AGENTS]
    assert "can't be reached" not in told["status"] and all(agent in told["status"] for agent in agents)
    assert "consumer-3" in told["budget"]
    assert "It publishes a fictional message every" in told["why"]
    assert "You are an AI agent" in told["decision"] and "/var/log/reasond/publisher-1" in told["decision"]
    assert "confirmed 4" in told["load"]
    assert "books.expired" in told["quarantine"]
    assert "publisher-3" in told["experiment"]
    assert json.loads(told["control"])["hold"] is False
    assert "Plotly" in host.run("head", "-c", "100000", "/run/report.html") and "/run/report.html" in told["report"]


def test_no_secret_is_seen_from_outside(site: Site) -> None:
    host, secrets = site.whole.host, site.whole.secrets
    seen = host.sh(
        "ps auxww; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; journalctl --no-pager --all;"
        " systemctl show --all 'publisher@*' 'consumer@*' 'monitor@*' 'influxdb*' 'rabbitmq*' 'grafana*'"
    )
    logs = "".join(outcome.log.read_text() for outcome in (site.looked, site.first, site.second))
    assert "publisher-1" in seen
    assert len(secrets) >= 9
    for name, secret in secrets.items():
        assert len(secret) > 10, name
        assert secret not in seen, name
        assert secret not in logs, name


def test_no_secret_is_in_a_file_that_others_read(site: Site) -> None:
    patterns = "\n".join(site.whole.secrets.values())
    site.whole.host.write("/run/patterns", f"{patterns}\n", 0o644)
    find = "find / -xdev -type f -not -path '/proc/*' -not -path '/sys/*' -not -path /run/patterns"

    # As nobody: what isn't readable by others can't be read, and so isn't found
    as_nobody = site.whole.host.sh(
        f'setpriv --reuid=nobody --regid=nogroup --clear-groups sh -c "{find} -size -20M -readable -print0'
        ' 2>/dev/null | xargs -0 grep -lFf /run/patterns 2>/dev/null" || true',
        timeout=300,
    )
    as_root = site.whole.host.sh("grep -rlFf /run/patterns /etc/reasond /etc/grafana || true")

    site.whole.host.run("rm", "/run/patterns")
    assert as_nobody.split() == []
    assert "/etc/reasond/secrets.env" in as_root.split()


@pytest.mark.parametrize("name", ["influxdb_admin_password", "grafana_admin_password", "rabbitmq_agents_password"])
def test_password_that_everybody_knows_is_refused_by_its_name(site: Site, name: str) -> None:
    with pytest.raises(PlaybookFailed, match=f"{name} is a password that everybody knows"):
        site.whole.deploy(**{name: "password123"})


@pytest.mark.long
def test_acceptance_criteria_hold_with_the_units_own_processes(site: Site, room: Room, tmp_path: Path) -> None:
    with StandIn(policy="sensible", host=f"{room.subnet}.1", key=API_KEY) as api, tunnel(
        site.whole.host, 8086
    ) as ports:
        system = HostSystem(site.whole, tmp_path, api, compressed(), ports[8086])
        try:
            results = system.run()
        finally:
            # The other tests find the host as site.yml first left it
            site.whole.deploy()
    assert told(results) == {}
