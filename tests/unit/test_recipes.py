"""The alert commands of docs/alerts.md work as they stand there: a fake sendmail on PATH, a local HTTP server."""

import email
import email.policy
import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
ALERT = {
    "agent_id": "monitor-1",
    "status": "critical",
    "score": 35,
    "codes": ["backlog:fictional"],
    "alerts": ["fictional holds 900 messages — too many", "nothing is acknowledged"],
    "decision_id": "monitor-1-7",
    "time_ns": 2,
    "since_ns": 1,
    "reminder": False,
}


def recipe(folder, heading):
    """Put the Python block under a heading into a folder, as a program of this Python; give its path."""
    section = PAGE.split(f"\n### {heading}\n", 1)[1].split("\n### ", 1)[0].split("\n## ", 1)[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert block.startswith("#!/usr/bin/env python3\n")
    program = folder / "recipe"
    program.write_text(block.replace("/usr/bin/env python3", sys.executable, 1), encoding="utf-8")
    program.chmod(0o755)
    return program


def run(program, *arguments, path="/usr/bin:/bin", **changed):
    """Run it as the monitor does: PATH and LANG alone, the alert on standard input."""
    alert = json.dumps(dict(ALERT, **changed), ensure_ascii=False).encode()
    environ = {"PATH": path, "LANG": "C.UTF-8"}
    return subprocess.run(
        [str(program), *arguments], input=alert, env=environ, capture_output=True, timeout=60, check=False
    )


@pytest.mark.parametrize("reminder", [False, True])
def test_mail_goes_to_the_addresses_with_what_the_alert_says(tmp_path, reminder):
    (tmp_path / "sendmail").write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\ncat >{tmp_path}/mail\n')
    (tmp_path / "sendmail").chmod(0o755)

    done = run(
        recipe(tmp_path, "By mail"), "a@example.org", "b@example.org", path=f"{tmp_path}:/bin", reminder=reminder
    )

    assert done.returncode == 0, done.stderr.decode()
    mail = email.message_from_bytes((tmp_path / "mail").read_bytes(), policy=email.policy.default)
    assert (tmp_path / "asked").read_text().split() == ["-t", "-i"]
    assert mail["To"] == "a@example.org, b@example.org"
    assert mail["Subject"] == "reasond critical{}: backlog:fictional".format(" (still)" if reminder else "")
    assert mail.get_content().splitlines() == [*ALERT["alerts"], "", "score 35, decision monitor-1-7"]


def test_mail_that_is_not_taken_is_a_failure(tmp_path):
    (tmp_path / "sendmail").write_text("#!/bin/sh\nexit 75\n")
    (tmp_path / "sendmail").chmod(0o755)

    assert run(recipe(tmp_path, "By mail"), "a@example.org", path=f"{tmp_path}:/bin").returncode != 0


@pytest.fixture
def webhook():
    """A server that notes what is posted and answers with its `status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.seen.append((self.path, self.headers["Content-Type"], body))
            self.send_response(self.server.status)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    made = HTTPServer(("127.0.0.1", 0), Handler)
    made.seen, made.status = [], 200
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_webhook_gets_the_text_that_slack_takes(tmp_path, webhook):
    address = tmp_path / "address"
    address.write_text("http://127.0.0.1:{}/services/secret\n".format(webhook.server_address[1]))

    done = run(recipe(tmp_path, "By webhook"), str(address))

    assert done.returncode == 0, done.stderr.decode()
    ((path, kind, body),) = webhook.seen
    assert (path, kind) == ("/services/secret", "application/json")
    assert json.loads(body) == {"text": "\n".join(["*reasond critical*, score 35", *ALERT["alerts"]])}


def test_webhook_that_refuses_is_a_failure(tmp_path, webhook):
    address = tmp_path / "address"
    address.write_text("http://127.0.0.1:{}/".format(webhook.server_address[1]))
    webhook.status = 404

    assert run(recipe(tmp_path, "By webhook"), str(address)).returncode != 0


def test_alert_here_has_the_keys_that_the_monitor_gives():
    text = (ROOT / "agents" / "reasond" / "core" / "monitor.py").read_text(encoding="utf-8")
    body = text.split("def _alert(", 1)[1].split("def ", 1)[0]

    assert set(re.findall(r'^            "(\w+)":', body, re.MULTILINE)) == set(ALERT)
