"""The budget around a brain: reserved and on disk before the call, settled after it, stopped in time."""

import json
import os
import stat
import threading

import pytest

from reasond.brains.spending import LOOK_EVERY_S, LedgerFile, Spending, hour_spent
from reasond.core.budget import Ledger, Limits, Refusal
from reasond.core.effects import Answer, Failure
from reasond.decisions import HandlingDecision
from tests.unit.brains.questions import BEFORE_THE_END, ask, handling

LIMITS = Limits(agent_hour_usd=1.0, agent_day_usd=5.0, system_hour_usd=7.0, system_day_usd=35.0, agents=7)


class Payer:
    """A brain that costs what it is told to; `during` is called while it decides."""

    name = "claude"
    simulated_latency = False

    def __init__(self, worst=0.1, cost=0.02, during=lambda: None):
        self.worst, self.cost, self.during = worst, cost, during
        self.questions = []

    def worst_case_usd(self, question):
        return self.worst

    def decide(self, question):
        self.questions.append(question)
        self.during()
        return Answer(decision=HandlingDecision("process", "fine"), brain="claude", cost_usd=self.cost)

    def status(self):
        return ""


def spending(payer, *, ledger=None, keep=lambda state: None, system=lambda wall_ns: (0.0, 0.0), clock=lambda: 0.0):
    said = []
    made = Spending(
        payer,
        ledger or Ledger(LIMITS, 0.8),
        keep=keep,
        system_spend=system,
        say=lambda level, event, fields: said.append((event, fields)),
        clock=clock,
    )
    return made, said


def question(wall_ns=BEFORE_THE_END):
    return ask(handling(), wall_ns=wall_ns)


def test_decide_settles_what_the_call_cost():
    made, _ = spending(Payer())

    result = made.decide(question())

    assert result.budget.spent_hour_usd == pytest.approx(0.02)
    assert (result.budget.level, result.budget.limit_hour_usd) == ("ok", 1.0)
    assert made.status() == "spent $0.0200 this hour, $0.0200 today"


def test_decide_has_the_worst_case_on_disk_before_it_calls(tmp_path):
    file = LedgerFile(tmp_path / "budget.json")
    payer = Payer(during=lambda: seen.append(Ledger(LIMITS, 0.8, file.load()).figures(BEFORE_THE_END)))
    seen = []
    made, _ = spending(payer, keep=file.keep)

    made.decide(question())

    assert seen[0].spent_hour_usd == pytest.approx(0.1)
    assert Ledger(LIMITS, 0.8, file.load()).figures(BEFORE_THE_END).spent_hour_usd == pytest.approx(0.02)


def test_decide_stops_calling_when_the_next_worst_case_does_not_fit():
    payer = Payer(worst=0.4, cost=0.4)
    made, said = spending(payer)

    results = [made.decide(question()) for _ in range(4)]

    assert [isinstance(result, Answer) for result in results] == [True, True, False, False]
    assert results[2].reason == "budget_spent"
    assert results[2].budget.level == "spent"
    assert len(payer.questions) == 2
    assert [fields["level"] for _, fields in said] == ["warning", "spent"]
    assert made.status() == "spent $0.8000 this hour, $0.8000 today, budget spent"


def test_decide_goes_on_in_the_next_hour():
    payer = Payer(worst=0.9, cost=0.9)
    made, said = spending(payer)
    made.decide(question())
    assert made.decide(question()).reason == "budget_spent"

    later = made.decide(question(BEFORE_THE_END + 3600 * 1_000_000_000))

    assert isinstance(later, Answer)
    assert [fields["level"] for _, fields in said] == ["warning", "spent", "warning"]


def test_stop_spending_stops_at_once_and_lets_go_again():
    payer = Payer()
    made, said = spending(payer)

    made.stop_spending(True)
    stopped = made.decide(question())
    made.stop_spending(True)
    made.stop_spending(False)

    assert (stopped.reason, stopped.budget.level, payer.questions) == ("spending_stopped", "stopped", [])
    assert isinstance(made.decide(question()), Answer)
    assert [event for event, _ in said if "spending" in event] == ["spending_stopped", "spending_allowed"]


def test_system_spend_is_looked_at_once_a_minute_at_most():
    now, looks = [0.0], []
    made, _ = spending(Payer(cost=0.0), system=lambda wall_ns: looks.append(1) or (0.0, 0.0), clock=lambda: now[0])

    for second in range(0, 121, 10):
        now[0] = float(second)
        made.decide(question())

    assert len(looks) == 1 + int(120 // LOOK_EVERY_S)


def test_system_spend_at_the_limit_stops_an_agent_that_spent_nothing():
    payer = Payer()
    made, _ = spending(payer, system=lambda wall_ns: (6.95, 6.95))

    result = made.decide(question())

    assert (result.reason, payer.questions) == ("budget_spent", [])
    assert result.budget.system_hour_usd == pytest.approx(6.95)


def test_without_system_figures_the_agent_keeps_to_its_share():
    def fail(wall_ns):
        raise OSError("influx is away")

    generous = Limits(agent_hour_usd=7.0, agent_day_usd=35.0, system_hour_usd=7.0, system_day_usd=35.0, agents=7)
    payer = Payer(worst=0.4, cost=0.4)
    made, said = spending(payer, ledger=Ledger(generous, 0.8), system=fail)

    results = [made.decide(question()) for _ in range(4)]

    assert [isinstance(result, Answer) for result in results] == [True, True, False, False]
    assert [event for event, _ in said].count("system_spend_unknown") == 1


def test_slow_system_figures_do_not_hold_up_a_decision(monkeypatch):
    monkeypatch.setattr("reasond.brains.spending.LOOK_WAIT_S", 0.01)
    release = threading.Event()
    made, _ = spending(Payer(), system=lambda wall_ns: (release.wait(20), (0.0, 0.0))[1])

    result = made.decide(question())
    release.set()

    assert isinstance(result, Answer)


def test_decide_does_not_call_when_the_reservation_can_not_be_kept():
    def full(state):
        raise OSError("no space left on device")

    payer = Payer()
    made, said = spending(payer, keep=full)

    result = made.decide(question())

    assert (result.reason, payer.questions) == ("internal", [])
    assert "budget_not_kept" in [event for event, _ in said]
    assert result.budget.spent_hour_usd == 0.0


def test_decide_keeps_its_answer_when_only_the_settlement_can_not_be_kept():
    kept = []

    def fills_up(state):
        if kept:
            raise OSError("no space left on device")
        kept.append(state)

    made, said = spending(Payer(), keep=fills_up)

    assert isinstance(made.decide(question()), Answer)
    assert "budget_not_kept" in [event for event, _ in said]


def test_question_that_can_not_be_priced_is_not_asked():
    payer = Payer(worst=float("nan"))
    made, _ = spending(payer)

    result = made.decide(question())

    assert (result.reason, payer.questions) == ("internal", [])


def test_failure_that_cost_something_stays_spent():
    class Failing(Payer):
        def decide(self, question):
            return Failure(reason="deadline", cost_usd=0.03)

    made, _ = spending(Failing())

    assert made.decide(question()).budget.spent_hour_usd == pytest.approx(0.03)


def test_inner_brain_gets_what_is_left_of_the_deadline():
    now = [0.0]

    def slow(wall_ns):
        now[0] += 1.5
        return 0.0, 0.0

    payer = Payer()
    made, _ = spending(payer, system=slow, clock=lambda: now[0])

    made.decide(question())

    assert payer.questions[0].deadline_s == pytest.approx(6.5)


def test_ledger_file_starts_empty_and_keeps_what_it_was_given(tmp_path):
    file = LedgerFile(tmp_path / "deep" / "budget.json")
    assert file.load() is None

    file.keep({"hour": 1})

    assert file.load() == {"hour": 1}
    assert [entry.name for entry in (tmp_path / "deep").iterdir()] == ["budget.json"]
    assert stat.S_IMODE(os.stat(str(tmp_path / "deep" / "budget.json")).st_mode) & 0o007 == 0


@pytest.mark.parametrize("text", ["", "[]", '{"hour":', "\x00\x00"], ids=["empty", "list", "half", "zeros"])
def test_ledger_file_refuses_what_is_no_budget(tmp_path, text):
    path = tmp_path / "budget.json"
    path.write_text(text)

    with pytest.raises(ValueError):
        LedgerFile(path).load()


def test_hour_spent_leaves_nothing_for_the_running_hour_only():
    ledger = Ledger(LIMITS, 0.8, json.loads(json.dumps(hour_spent(LIMITS, BEFORE_THE_END))))

    assert isinstance(ledger.reserve(BEFORE_THE_END, 0.01), Refusal)
    assert not isinstance(ledger.reserve(BEFORE_THE_END + 3600 * 1_000_000_000, 0.01), Refusal)
