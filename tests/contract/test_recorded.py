"""Claude in the simulation, through the real SDK against the stand-in: paid once, within the purse, replayable."""

import json

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from reasond.brains.recorded import Purse
from reasond.cli import reasond
from reasond.errors import InputError
from reasond.simulation import policy as policies
from reasond.simulation import scenario as scenarios
from reasond.simulation.run import Job, simulate
from tests.standin import StandIn

KEY = "sk-ant-api03-of-the-house-0123456789"
SECONDS = 240
SCENARIO = scenarios.find("slow-consumer")
PHASE = replace(SCENARIO.phase[0], begin_min=1, end_min=4)
BUSY = replace(SCENARIO, minutes=4, phase=(PHASE,))


@pytest.fixture
def api():
    with StandIn(key=KEY) as running:
        yield running


def job(api, policy="claude", seed=1):
    environ = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": api.url, "CLAUDE_MAX_RETRIES": "0"}
    return Job(BUSY, policy, seed, SECONDS, environ)


def asked(api):
    return len(api.log)


def without_latency(figures):
    """The stand-in's answers take a few real milliseconds, which pass in virtual time too."""
    return figures.decisions, figures.fallbacks, figures.tokens, round(figures.usd, 6)


def test_what_was_asked_before_is_free_and_gives_the_same(api, tmp_path):
    purse = Purse(5.0)
    first = simulate(job(api), policies.Desk(tmp_path, purse)).figures
    calls, paid = asked(api), purse.spent_usd

    again = simulate(job(api), policies.Desk(tmp_path, purse)).figures

    assert calls > 20 and first.fallbacks == 0 and first.conserved
    assert paid == pytest.approx(first.usd)
    assert asked(api) == calls and purse.spent_usd == paid
    assert without_latency(again) == without_latency(first)


def test_the_purse_is_never_overdrawn_and_the_rules_go_on(api, tmp_path):
    purse = Purse(0.05)

    found = simulate(job(api), policies.Desk(tmp_path, purse)).figures

    assert 0 < purse.spent_usd <= 0.05
    assert 0 < found.fallbacks < found.decisions
    assert found.conserved


def test_a_recording_is_replayed_without_a_call(api, tmp_path):
    first = simulate(job(api), policies.Desk(tmp_path, Purse(5.0))).figures
    calls = asked(api)
    transcript = tmp_path / "all.jsonl"
    transcript.write_text("".join(file.read_text() for file in sorted(tmp_path.glob("claude*.jsonl"))))

    found = simulate(job(api, f"replay:{transcript}")).figures

    assert asked(api) == calls
    assert without_latency(found) == without_latency(first)


def test_another_seed_is_answered_from_the_recording_in_its_order(api, tmp_path):
    simulate(job(api), policies.Desk(tmp_path, Purse(5.0)))
    transcript = tmp_path / "all.jsonl"
    transcript.write_text("".join(file.read_text() for file in sorted(tmp_path.glob("claude*.jsonl"))))

    found = simulate(job(api, f"replay:{transcript}", seed=2)).figures

    assert found.fallbacks < 0.2 * found.decisions
    assert found.tokens > 0


@pytest.mark.parametrize("text", ["no json\n{}\n", json.dumps({"prompt": "x"}) + "\n"])
def test_what_is_no_transcript_is_refused_with_its_line(tmp_path, text):
    (tmp_path / "t.jsonl").write_text(text)

    with pytest.raises(InputError, match="line 1: no transcript"):
        simulate(Job(BUSY, f"replay:{tmp_path / 't.jsonl'}", 1, 60))


def test_a_recording_whose_last_line_was_cut_is_read_up_to_it(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"prompt": "x", "agent": "publisher-1", "deci')

    found = simulate(Job(BUSY, f"replay:{tmp_path / 't.jsonl'}", 1, 60)).figures

    assert found.fallbacks == found.decisions


def test_the_command_says_what_it_costs_asks_and_spends_nothing_on_a_no(api, tmp_path):
    environ = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": api.url, "XDG_CACHE_HOME": str(tmp_path)}
    words = ["simulate", "calm", "--hours", "0.02", "--brain", "claude", "--jobs", "1"]

    refused = CliRunner().invoke(reasond, words, input="n\n", env=environ)
    calls = asked(api)
    accepted = CliRunner().invoke(reasond, words, input="y\n", env=environ)

    assert "costs about $" in refused.output and "at most $1 is spent" in refused.output
    assert refused.exit_code == 1 and calls == 0
    assert accepted.exit_code == 0, accepted.output
    assert asked(api) > 0
