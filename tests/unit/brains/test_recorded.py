"""Recordings: what is kept, what is found again, and a purse that no question overdraws."""

import pytest

from reasond.brains.prompts import render
from reasond.brains.recorded import Purse, Recording, Remembered, Replayed
from reasond.brains.transcript import line_of
from reasond.core.effects import Answer, ApiCall, Failure
from reasond.decisions import HandlingDecision, RateDecision
from tests.unit.brains.questions import ask, handling, rate

pytestmark = pytest.mark.unit


class Dear:
    """A brain that takes a dollar for each answer."""

    name = "claude"
    simulated_latency = False

    def __init__(self, failing=False):
        self.asked, self.failing = [], failing

    def worst_case_usd(self, question):
        return 1.0

    def status(self):
        return "dear"

    def decide(self, question):
        self.asked.append(question)
        calls = (ApiCall(question.wall_ns + 5, "m", 1, 200, "none", 3.0, 10, 2, 1.0),)
        if self.failing:
            return Failure("refusal", cost_usd=1.0, calls=calls)
        return Answer(HandlingDecision("batch", "deep"), "claude", "m", "2", 10, 2, 1.0, latency_ms=3.0, calls=calls)


def remembered(tmp_path, brain, usd=5.0):
    purse = Purse(usd)
    return Remembered(brain, Recording(tmp_path / "kept.jsonl"), purse, wall_ns=lambda: 7_000), purse


def test_a_question_is_paid_once_even_by_another_process(tmp_path):
    first, purse = remembered(tmp_path, Dear())
    given = first.decide(ask(handling()))
    later, other_purse = remembered(tmp_path, Dear())

    again = later.decide(ask(handling()))

    assert given == again
    assert (purse.spent_usd, other_purse.spent_usd) == (1.0, 0.0)
    assert given.calls[0].wall_ns == ask(handling()).wall_ns + 5


def test_the_model_is_asked_on_the_real_day(tmp_path):
    brain = Dear()

    remembered(tmp_path, brain)[0].decide(ask(handling()))

    assert brain.asked[0].wall_ns == 7_000


def test_what_the_purse_does_not_reach_for_is_not_asked(tmp_path):
    brain = Dear()
    made, purse = remembered(tmp_path, brain, usd=1.5)
    made.decide(ask(handling()))

    refused = made.decide(ask(handling("Another text.")))

    assert isinstance(refused, Failure) and refused.reason == "budget_spent"
    assert len(brain.asked) == 1 and purse.spent_usd == 1.0


def test_a_failure_is_paid_but_not_kept(tmp_path):
    made, purse = remembered(tmp_path, Dear(failing=True))
    made.decide(ask(handling()))
    made.decide(ask(handling()))

    assert purse.spent_usd == 2.0
    assert not (tmp_path / "kept.jsonl").exists()


def entry(question, decision, answer_model="m"):
    return line_of(question, render(question.context), "", answer_model, Answer(decision, "claude", answer_model))


def test_a_replay_goes_by_the_prompt_first_and_then_by_the_order(tmp_path):
    recording = Recording(tmp_path / "t.jsonl")
    recording.add(entry(ask(rate(30, 4)), RateDecision("pause", "one")))
    recording.add(entry(ask(rate(1, 1)), RateDecision("continue", "two")))
    made = Replayed(Recording(tmp_path / "t.jsonl"))

    exact = made.decide(ask(rate(1, 1)))
    first = made.decide(ask(rate(99, 99)))
    second = made.decide(ask(rate(98, 98)))
    none = made.decide(ask(rate(97, 97)))

    assert [answer.decision.reasoning for answer in (exact, first, second)] == ["two", "one", "two"]
    assert isinstance(none, Failure) and none.reason == "unreachable"


def test_an_answer_to_another_kind_of_question_is_a_failure(tmp_path):
    recording = Recording(tmp_path / "t.jsonl")
    kept = entry(ask(handling()), RateDecision("pause", "mistaken"))
    recording.add(kept)

    assert isinstance(Replayed(recording).decide(ask(handling())), Failure)
