"""Brains of other packages: found by their name, and held to what every brain promises."""

import json
from textwrap import dedent

import pytest

from reasond import plugins, settings
from reasond.brains import plugged
from reasond.brains.factory import BUDGET_FILE, make_brain
from reasond.brains.plugged import BrainSetup, Plugged
from reasond.brains.spending import Spending
from reasond.core.effects import Answer, Failure
from reasond.decisions import HandlingDecision, RateDecision
from reasond.errors import SettingsError
from reasond.simulation import policy as policies
from tests.support.entered import enter
from tests.unit.brains.questions import BEFORE_THE_END, ask, handling, rate

pytestmark = pytest.mark.unit

SOURCE = dedent(
    """
    from reasond.core.effects import Answer
    from reasond.decisions import HandlingDecision


    class Sorter:
        def __init__(self, setup):
            if setup.agent_type != "consumer":
                raise ValueError("I sort messages")

        def decide(self, question):
            return Answer(decision=HandlingDecision("batch", "sorted"), brain="anything", cost_usd=0.25)
    """
)
PAYING = SOURCE + "\n    def worst_case_usd(self, question):\n        return 0.5\n"


class Says:
    """A brain that answers what it was given, or raises it."""

    def __init__(self, result):
        self.result = result

    def decide(self, question):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def entered(tmp_path, monkeypatch, module, text=SOURCE, target="Sorter"):
    enter(tmp_path / "site", plugins.BRAINS, "sorter", "{}:{}".format(module, target), text)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


def setup(kind="consumer"):
    return BrainSetup(settings.load({}), kind)


def made(tmp_path, **environ):
    read = settings.load(dict({"CONSUMER_ID": "consumer-1", "REASOND_BRAIN": "sorter"}, **environ), "consumer")
    state = tmp_path / "state"
    state.mkdir()
    return make_brain(
        read, "consumer", state_dir=state, system_spend=lambda at: (0.0, 0.0), wall_ns=lambda: BEFORE_THE_END
    )


def test_brain_that_is_entered_decides_under_its_name(tmp_path, monkeypatch):
    entered(tmp_path, monkeypatch, "sorting_a")

    brain = made(tmp_path)
    answer = brain.decide(ask(handling()))

    assert (brain.name, answer.brain, answer.decision.action) == ("sorter", "sorter", "batch")
    assert answer.latency_ms > 0
    assert list((tmp_path / "state").iterdir()) == []


def test_brain_that_tells_its_worst_case_is_held_to_the_budget(tmp_path, monkeypatch):
    entered(tmp_path, monkeypatch, "sorting_b", PAYING)

    brain = made(tmp_path, BUDGET_USD_PER_HOUR="0.6")
    results = [brain.decide(ask(handling())) for _ in range(2)]

    assert isinstance(brain, Spending)
    assert isinstance(results[0], Answer) and results[1].reason == "budget_spent"
    assert json.loads((tmp_path / "state" / BUDGET_FILE).read_text())["hour_nano_usd"] == 250_000_000


def test_settings_name_the_brains_that_are_there_for_one_that_is_not(tmp_path, monkeypatch):
    entered(tmp_path, monkeypatch, "sorting_c")

    with pytest.raises(SettingsError, match="REASOND_BRAIN: 'gpt' is not one of claude, .*sorter"):
        settings.load({"REASOND_BRAIN": "gpt"})


@pytest.mark.parametrize(
    ("text", "target", "kind", "complaint"),
    [
        (SOURCE, "Sorter", "publisher", "can't be made: ValueError: I sort messages"),
        (SOURCE, "Nobody", "consumer", "can't be loaded: AttributeError"),
        ("class Sorter:\n    def __init__(self, setup):\n        pass\n", "Sorter", "consumer", "has no decide"),
    ],
    ids=["refuses", "no such class", "no brain"],
)
def test_make_of_what_is_no_brain_says_so(tmp_path, monkeypatch, text, target, kind, complaint):
    module = "sorting_" + "".join(letter for letter in complaint if letter.isalpha())
    entered(tmp_path, monkeypatch, module, text, target)

    with pytest.raises(SettingsError, match="REASOND_BRAIN: 'sorter' .*" + complaint):
        plugged.make("sorter", setup(kind))


def test_make_of_a_name_nobody_entered_says_so():
    with pytest.raises(SettingsError, match="REASOND_BRAIN: no brain 'nobody' is installed"):
        plugged.make("nobody", setup())


@pytest.mark.parametrize(
    ("result", "reason", "detail"),
    [
        (KeyError("stock"), "internal", "KeyError"),
        ("process", "invalid_answer", "a str instead of an Answer"),
        (Answer(decision=RateDecision("continue", ""), brain="x"), "invalid_answer", "continue"),
        (Answer(decision=HandlingDecision("shred", ""), brain="x"), "invalid_answer", "shred"),
        (Failure("overloaded", "busy"), "overloaded", "busy"),
    ],
    ids=["raises", "text", "another kind's", "no such action", "failure"],
)
def test_what_is_no_decision_becomes_a_failure(result, reason, detail):
    failure = Plugged("says", Says(result)).decide(ask(handling()))

    assert isinstance(failure, Failure)
    assert failure.reason == reason and detail in failure.detail


def test_answer_is_brought_into_order():
    decision = RateDecision("slow_down", "x" * 5000, fictional_interval=float("nan"), confidence=7.0)
    told = Plugged("says", Says(Answer(decision=decision, brain="x", latency_ms=12.0))).decide(ask(rate()))

    assert (told.latency_ms, told.decision.confidence, told.decision.fictional_interval) == (12.0, 1.0, None)
    assert len(told.decision.reasoning) == 2000


def test_brain_without_a_status_says_nothing():
    assert Plugged("says", Says(None)).status() == ""


def test_simulation_takes_a_brain_by_its_name_and_measures_no_latency(tmp_path, monkeypatch):
    entered(tmp_path, monkeypatch, "sorting_d")

    choice = policies.parse("consumer=sorter").brains["consumer"]
    answer = policies.make(choice, settings.load(choice.environment), "consumer", seed=1).decide(ask(handling()))

    assert (choice.asks_api, answer.brain, answer.latency_ms) == (False, "sorter", 0.0)
