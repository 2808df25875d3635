"""The factory: which brain the settings choose, and what stands around it."""

import json

import pytest

from reasond import settings
from reasond.brains.factory import BUDGET_FILE, make_brain, make_transcript, models_for, stop_spending
from reasond.brains.spending import Spending
from reasond.core.effects import Answer, Failure
from tests.unit.brains.questions import BEFORE_THE_END, ask, handling

# A port on which nothing listens: a call would fail as unreachable.
NOWHERE = "http://127.0.0.1:9"


def make(tmp_path, said=None, **environ):
    read = settings.load(dict({"CONSUMER_ID": "consumer-1"}, **environ), "consumer")
    say = (lambda *event: said.append(event)) if said is not None else (lambda *event: None)
    return make_brain(
        read,
        "consumer",
        state_dir=tmp_path,
        system_spend=lambda at: (0.0, 0.0),
        say=say,
        wall_ns=lambda: BEFORE_THE_END,
    )


@pytest.mark.parametrize("name", ["rules", "static", "dry-run"])
def test_make_brain_gives_the_brain_that_is_named(tmp_path, name):
    brain = make(tmp_path, REASOND_BRAIN=name, ANTHROPIC_API_KEY="sk-ant-test")

    answer = brain.decide(ask(handling()))

    assert (brain.name, answer.brain) == (name, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["", "sk-ant with blank", "sk-ant-ü"], ids=["none", "blank", "not-ascii"])
def test_make_brain_without_a_usable_key_says_so_and_leaves_every_decision_to_the_rules(tmp_path, key):
    said = []
    brain = make(tmp_path, said, ANTHROPIC_API_KEY=key)

    result = brain.decide(ask(handling()))

    assert isinstance(result, Failure)
    assert (brain.name, result.reason) == ("claude", "no_key")
    assert [event for _, event, _ in said] == ["no_api_key"]
    assert "ANTHROPIC_API_KEY" in brain.status()
    assert not key or key not in str(said) + result.detail


def test_make_brain_for_claude_stands_within_the_budget(tmp_path):
    brain = make(tmp_path, ANTHROPIC_API_KEY="sk-ant-test", ANTHROPIC_BASE_URL=NOWHERE, CLAUDE_MAX_RETRIES="0")

    result = brain.decide(ask(handling(), deadline_s=3.0))

    assert isinstance(brain, Spending)
    assert (result.reason, result.cost_usd) == ("unreachable", 0.0)
    assert result.budget.limit_hour_usd == 5.0
    assert json.loads((tmp_path / BUDGET_FILE).read_text())["hour_nano_usd"] == 0


def test_make_brain_counts_the_hour_as_spent_when_the_budget_can_not_be_read(tmp_path):
    (tmp_path / BUDGET_FILE).write_text("\0\0\0")
    said = []

    brain = make(tmp_path, said, ANTHROPIC_API_KEY="sk-ant-test", ANTHROPIC_BASE_URL=NOWHERE)

    assert brain.decide(ask(handling())).reason == "budget_spent"
    assert said[0][:2] == ("error", "budget_unreadable")


def test_stop_spending_reaches_claude_and_leaves_the_others_alone(tmp_path):
    claude = make(tmp_path, ANTHROPIC_API_KEY="sk-ant-test", ANTHROPIC_BASE_URL=NOWHERE)
    rules = make(tmp_path, REASOND_BRAIN="rules")

    for brain in (claude, rules):
        stop_spending(brain, True)

    assert claude.decide(ask(handling())).reason == "spending_stopped"
    assert isinstance(rules.decide(ask(handling())), Answer)


def test_models_for_takes_the_kinds_own_list_before_everybodys():
    read = settings.load({"CLAUDE_MODELS": "a,b", "CLAUDE_MODELS_MONITOR": "c"})

    assert models_for(read, "publisher") == ("a", "b")
    assert models_for(read, "monitor") == ("c",)


def test_default_models_are_the_specifications_then_its_successor():
    assert models_for(settings.load({}), "publisher") == ("claude-sonnet-4-5-20250929", "claude-sonnet-5-5")


def test_make_transcript_writes_under_the_agents_name_or_not_at_all(tmp_path):
    on = settings.load({"CONSUMER_ID": "consumer-2", "ANTHROPIC_API_KEY": "sk-key-1"})
    off = settings.load({"CONSUMER_ID": "consumer-2", "TRANSCRIPT": "off"})

    kept = make_transcript(on, "consumer", tmp_path)
    kept.write({"prompt": "sk-key-1"})
    kept.close()

    assert kept.path == tmp_path / "consumer-2.jsonl"
    assert "sk-key-1" not in kept.path.read_text()
    assert make_transcript(off, "consumer", tmp_path) is None
