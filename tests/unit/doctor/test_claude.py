"""The Claude brain's checks: the key is never shown, models that end are told with what takes over."""

import json
import threading
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from reasond.doctor import claude, findings
from reasond.doctor.examined import examine
from tests.standin import StandIn

OLD, NEW = "claude-sonnet-4-5-20250929", "claude-sonnet-5-5"
BEFORE, AFTER = date(2026, 11, 29), date(2026, 11, 30)


def found(environ, **more):
    return {finding.name: finding for finding in findings.run(claude.checks(examine(environ, [], **more)))}


@pytest.mark.parametrize(
    "names, today, state, text",
    [
        ([OLD, NEW], BEFORE, "warning", f"{OLD} retires on 2026-11-30, then {NEW} takes over"),
        ([OLD, NEW], AFTER, "warning", f"{OLD} retired on 2026-11-30, then {NEW} takes over"),
        ([NEW], BEFORE, "ok", f"{NEW} has no end date"),
        ([OLD], BEFORE, "warning", "nothing takes over"),
        ([OLD], AFTER, "fail", "retired on 2026-11-30"),
        ([OLD, "claude-sonnet-4-5"], BEFORE, "warning", "nothing takes over"),
        (["claude-next", NEW], BEFORE, "warning", "claude-next is unknown here"),
    ],
    ids=["ends", "ended", "stays", "last one ends", "last one ended", "both end", "unknown"],
)
def test_models_are_judged_with_their_end_and_what_takes_over(names, today, state, text):
    verdict = claude.models_verdict(names, today)

    assert verdict.state == state and text in verdict.found
    assert bool(verdict.mend) == (state != "ok")


def test_each_list_of_models_is_one_check_under_its_agents():
    names = list(found({"ANTHROPIC_API_KEY": "k", "CLAUDE_MODELS_CONSUMER": "claude-haiku-5-5"}))

    assert "claude models (publisher, monitor)" in names and "claude models (consumer)" in names
    assert "claude models" in found({"ANTHROPIC_API_KEY": "k"})


@pytest.mark.parametrize(
    "key, state, text",
    [("sk-secret-1", "ok", "not shown"), ("", "fail", "not set"), ("sk secret-1", "fail", "characters")],
)
def test_key_is_judged_and_never_shown(key, state, text):
    finding = found({"ANTHROPIC_API_KEY": key})["claude key"]

    assert finding.state == state and text in finding.found
    assert "secret-1" not in finding.found + finding.mend


def test_other_brains_need_no_key_and_no_api():
    assert {name: f.state for name, f in found({"REASOND_BRAIN": "rules"}).items()} == {"brain": "ok"}


def test_api_is_left_alone_unless_asked_for():
    with StandIn() as api:
        finding = found({"ANTHROPIC_API_KEY": api.key, "ANTHROPIC_BASE_URL": api.url})["claude api"]

        assert finding.state == "skipped" and "--api" in finding.found
        assert api.log == []


def test_api_refusing_the_key_fails_and_the_key_is_not_shown():
    with StandIn() as api:
        environ = {"ANTHROPIC_API_KEY": "sk-wrong-9", "ANTHROPIC_BASE_URL": api.url}
        finding = found(environ, ask_api=True)["claude api"]

    # A stand-in without the list of models answers 404 before it looks at the key.
    assert finding.state in ("fail", "warning")
    assert "sk-wrong-9" not in finding.found + finding.mend


def test_api_that_cannot_be_reached_fails_with_the_settings_to_check():
    environ = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}

    finding = found(environ, ask_api=True)["claude api"]

    assert finding.state == "fail" and "can't be reached" in finding.found
    assert "ANTHROPIC_BASE_URL" in finding.mend


class Error(Exception):
    """An SDK's error with a status."""

    def __init__(self, status_code):
        super().__init__("status")
        self.status_code = status_code


@pytest.mark.parametrize(
    "answer, state, text",
    [
        ([OLD, NEW, "other"], "ok", "all 2 models are listed"),
        ([NEW], "warning", "doesn't list " + OLD),
        (Error(401), "fail", "refuses the key (401)"),
        (Error(404), "warning", "doesn't list models (404)"),
    ],
    ids=["all", "one missing", "401", "404"],
)
def test_api_answer_is_judged(monkeypatch, answer, state, text):
    def listed(brain):
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(claude, "_listed", listed)

    verdict = claude.api_answers(examine({}, []).settings.brain, frozenset([OLD, NEW]))

    assert verdict.state == state and text in verdict.found


@pytest.mark.parametrize("key, state", [("sk-right", "ok"), ("sk-wrong", "fail")])
def test_api_is_asked_for_its_models_through_the_sdk_and_for_nothing_else(key, state):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.command, self.path.partition("?")[0]))
            # The older SDK sends the key as x-api-key, the newer one as a bearer token.
            good = "sk-right" in (self.headers["x-api-key"] or self.headers["authorization"])
            entry = {"type": "model", "id": NEW, "display_name": NEW, "created_at": "2026-09-28T00:00:00Z"}
            listed = {"data": [entry], "has_more": False, "first_id": NEW, "last_id": NEW}
            refused = {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}
            body = json.dumps(listed if good else refused).encode()
            self.send_response(200 if good else 401)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            """Keep the console quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        environ = {"ANTHROPIC_API_KEY": key, "ANTHROPIC_BASE_URL": url, "CLAUDE_MODELS": NEW}
        finding = found(environ, ask_api=True)["claude api"]
        server.shutdown()

    assert finding.state == state, finding
    assert asked == [("GET", "/v1/models")]
