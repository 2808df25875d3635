"""The API in the simulation: it refuses beyond its limit, fails as often as it is told, and takes its time."""

import pytest

from reasond.brains.dry_run import DryRunBrain
from reasond.brains.rules import RulesBrain
from reasond.core.effects import Answer, Failure
from reasond.simulation.api import RETRIES, Gate, LimitedApi
from tests.unit.brains.questions import ask, rate

pytestmark = pytest.mark.unit


def api(brain=None, requests_per_minute=100, mood=(0.0, 1.0)):
    return LimitedApi(brain or DryRunBrain(), Gate(requests_per_minute), lambda: mood, seed=1)


def test_the_gate_admits_so_many_in_any_minute():
    gate = Gate(2)

    assert [gate.admits(at_s) for at_s in (0.0, 10.0, 20.0, 59.9, 60.1, 60.2, 70.1)] == [
        True,
        True,
        False,
        False,
        True,
        False,
        True,
    ]


def test_an_answer_passes_with_the_latency_of_the_hour():
    plain, slow = (api(mood=(0.0, factor)).decide(ask(rate())) for factor in (1.0, 3.0))

    assert isinstance(plain, Answer) and slow.decision == plain.decision
    assert slow.latency_ms == pytest.approx(3 * plain.latency_ms)


def test_an_answer_after_the_deadline_is_paid_for_and_lost():
    late = api(mood=(0.0, 100.0)).decide(ask(rate()))

    assert isinstance(late, Failure) and late.reason == "deadline"
    assert late.input_tokens > 0


def test_when_every_attempt_fails_the_attempts_are_told_with_their_pauses():
    failed = api(mood=(1.0, 1.0)).decide(ask(rate()))

    assert isinstance(failed, Failure) and failed.reason == "unreachable"
    assert [call.error for call in failed.calls] == ["connection"] * (RETRIES + 1)
    assert failed.latency_ms > 3500
    assert [call.wall_ns for call in failed.calls] == sorted(call.wall_ns for call in failed.calls)


def test_a_full_gate_is_a_rate_limit():
    refused = api(RulesBrain(), requests_per_minute=0).decide(ask(rate()))

    assert refused.reason == "rate_limited" and refused.calls[0].status == 429
