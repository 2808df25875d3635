"""The transcript: one JSON line a question, bounded, private, never in the way."""

import json
import os
import stat
import threading
import time

import pytest

from reasond.brains.prompts import LATEST, render
from reasond.brains.redaction import Secrets
from reasond.brains.transcript import MAX_WAITING_LINES, Transcript, line_of
from reasond.core.effects import Answer, Failure
from reasond.decisions import HandlingDecision
from tests.unit.brains.questions import ask, handling, wait_until


def transcript(path, **more):
    options = {"max_bytes": 65536, "keep": 2, "days": 30}
    options.update(more)
    return Transcript(path, "consumer-1", **options)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_line_holds_everything_about_a_decision():
    question = ask(handling(), ask_id="d-1")
    answer = Answer(
        decision=HandlingDecision("batch", "deep", 0.8),
        brain="claude",
        model="m",
        input_tokens=600,
        output_tokens=150,
        cost_usd=0.004,
        latency_ms=2100.0,
    )

    line = line_of(question, render(question.context), '{"action": "batch"}', "m", answer)

    assert line["time"] == "2026-11-23T12:00:00+00:00"
    assert (line["agent"], line["decision_id"], line["model"], line["prompt_version"]) == (
        "consumer-1",
        "d-1",
        "m",
        LATEST,
    )
    assert line["decision"] == {"action": "batch", "reasoning": "deep", "confidence": 0.8}
    assert (line["input_tokens"], line["output_tokens"], line["cost_usd"], line["latency_ms"]) == (
        600,
        150,
        0.004,
        2100,
    )
    assert (line["response"], line["error"]) == ('{"action": "batch"}', None)
    assert "I received message" in line["prompt"]


def test_line_of_a_failure_holds_its_reason():
    question = ask(handling())

    line = line_of(
        question, render(question.context), "", "m", Failure("refusal", "stop_reason refusal", cost_usd=0.001)
    )

    assert (line["decision"], line["error"], line["detail"]) == (None, "refusal", "stop_reason refusal")


def test_write_appends_lines_that_only_owner_and_group_read(tmp_path):
    kept = transcript(tmp_path / "log")

    kept.write({"text": "grüße \ud800"})
    kept.write({"text": "second"})
    kept.close()

    assert [line["text"] for line in lines(kept.path)] == ["grüße ?", "second"]
    assert stat.S_IMODE(os.stat(str(kept.path)).st_mode) == 0o640


def test_write_goes_on_after_a_restart(tmp_path):
    for text in ("before", "after"):
        kept = transcript(tmp_path)
        kept.write({"text": text})
        kept.close()

    assert [line["text"] for line in lines(kept.path)] == ["before", "after"]


def test_rotation_keeps_size_and_number_within_bounds(tmp_path):
    kept = transcript(tmp_path, max_bytes=1000, keep=2)

    for number in range(20):
        kept.write({"number": number, "text": "x" * 400})
    kept.close()

    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert all(path.stat().st_size <= 1000 for path in files)
    assert sorted(line["number"] for path in files for line in lines(path)) == [14, 15, 16, 17, 18, 19]


def test_rotation_with_nothing_to_keep_leaves_the_current_file_alone(tmp_path):
    kept = transcript(tmp_path, max_bytes=500, keep=0)

    for number in range(6):
        kept.write({"number": number, "text": "x" * 300})
    kept.close()

    assert [path.name for path in tmp_path.iterdir()] == ["consumer-1.jsonl"]


def test_old_transcripts_are_deleted_and_other_agents_left_alone(tmp_path):
    old, other = (
        tmp_path / "consumer-1.20200101T000000.0.jsonl",
        tmp_path / "consumer-10.20200101T000000.0.jsonl",
    )
    for path in (old, other):
        path.write_text("{}\n")
        os.utime(str(path), (time.time() - 31 * 86400,) * 2)

    kept = transcript(tmp_path, keep=100)
    kept.write({})
    kept.close()

    assert not old.exists() and other.exists()


def test_key_is_in_no_line_wherever_it_stood(tmp_path):
    kept = transcript(tmp_path, secrets=Secrets(["key-of-the-house"]))

    kept.write({"prompt": "key-of-the-house", "decision": {"issues": ["x key-of-the-house", "sk-ant-api03-zzzz"]}})
    kept.close()

    text = kept.path.read_text()
    assert "key-of-the-house" not in text and "sk-ant-api03" not in text
    assert text.count("[redacted]") == 3


def test_what_can_not_be_written_is_said_once_and_is_not_fatal(tmp_path):
    blocked = tmp_path / "log"
    blocked.write_text("a file where a folder should be")
    said = []
    kept = transcript(blocked, say=lambda level, event, fields: said.append((level, event)))

    kept.write({"number": 1})
    kept.write({"number": 2})
    assert wait_until(lambda: len(said) == 1)
    blocked.unlink()
    kept.write({"number": 3})
    kept.close()

    assert said == [("warning", "transcript_failed")]
    assert lines(kept.path)[-1]["number"] == 3


def test_write_never_blocks_even_when_the_disk_does(tmp_path, monkeypatch):
    release = threading.Event()
    kept = transcript(tmp_path)
    monkeypatch.setattr(kept, "_append", lambda line: release.wait(20))

    began = time.monotonic()
    for number in range(MAX_WAITING_LINES + 50):
        kept.write({"number": number})

    assert time.monotonic() - began < 5
    release.set()
    kept.close()


def test_thread_is_a_daemon_so_that_no_exit_waits_for_it(tmp_path):
    transcript(tmp_path)

    assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("transcript-"))


@pytest.mark.parametrize("entry", [{1: object()}, {"deep": {"set": {1}}}], ids=["object", "set"])
def test_write_takes_what_json_does_not_know(tmp_path, entry):
    kept = transcript(tmp_path)

    kept.write(entry)
    kept.close()

    assert len(lines(kept.path)) == 1
