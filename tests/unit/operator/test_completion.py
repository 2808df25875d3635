"""What Tab offers: agents and decision ids of this host, without a service."""

import json

import pytest

from reasond.adapters.state import StateDir
from reasond.operator.completion import agents, agents_and_all, decision_ids


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setenv("REASOND_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("REASOND_LOG_DIR", str(tmp_path / "log"))
    monkeypatch.setenv("MONITOR_EXPECTED_AGENTS", "publisher-1,monitor-1")
    StateDir(tmp_path / "state" / "publisher-2")
    log = tmp_path / "log" / "publisher-2"
    log.mkdir(parents=True)
    lines = [json.dumps({"decision_id": f"publisher-2-{n}", "prompt": "x" * 400_000}) for n in (1, 2)]
    lines.append(json.dumps({"decision_id": "publisher-2-3"}))
    (log / "publisher-2.jsonl").write_text("\n".join(lines) + "\n")


def test_agents_are_those_here_and_those_expected(host):
    assert agents(None, None, "publisher-") == ["publisher-1", "publisher-2"]
    assert agents_and_all(None, None, "a") == ["all"] and "all" in agents_and_all(None, None, "")


def test_ids_come_from_the_end_of_the_transcripts(host):
    assert decision_ids(None, None, "publisher-2-") == ["publisher-2-3"]
    assert decision_ids(None, None, "monitor") == []
