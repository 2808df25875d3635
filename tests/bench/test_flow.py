"""The flow bench measures what it says, and its verdict can be a bad one."""

from types import SimpleNamespace

import pytest

from tests.bench import flow
from tests.bench.flow import Block, Figures, told, union_s
from tests.testbed import provide
from tests.testbed.ledger import Balance


def bench(a_ms, b_ms):
    """A finished bench whose blocks measured these handling times."""
    measured = {"A": Figures(a_ms, 3, 0.0), "B": Figures(b_ms, 1, 0.9), "warm-up": Figures([], 0, 0.0)}
    return SimpleNamespace(
        blocks=[Block(label, 0.0, 1.0, None) for label in ("warm-up", "A", "B")],
        figures=lambda blocks: measured[blocks[0].label],
    )


def settled(*lost):
    return Balance(confirmed=3, ends={"handled": 3 - len(lost)}, lost=lost, doubles={}, strangers=())


@pytest.mark.parametrize(
    "a_ms, b_ms, lost, quick, status",
    [
        ([10.0], [11.9], (), False, 0),
        ([10.0], [12.1], (), False, 1),
        ([10.0], [99.0], (), True, 0),
        ([10.0], [], (), True, 1),
        ([10.0], [10.0], ("a",), True, 1),
    ],
    ids=["within the limit", "over the limit", "quick judges no time", "nothing measured", "a loss"],
)
def test_verdict(a_ms, b_ms, lost, quick, status, capsys):
    assert told(bench(a_ms, b_ms), settled(*lost), quick) == status

    assert ("FAILED" in capsys.readouterr().out) == (bool(lost) or not b_ms)


@pytest.mark.parametrize(
    "begins_s, covered_s",
    [([], 0.0), ([5.0], 20.0), ([5.0, 10.0], 25.0), ([90.0], 10.0), ([5.0, 50.0], 40.0)],
    ids=["none", "one", "two that overlap", "one cut off by the end", "two apart"],
)
def test_time_with_a_question_open(begins_s, covered_s):
    assert union_s(begins_s, 20.0, 100.0) == pytest.approx(covered_s)


def test_quick_form_measures_both_sides_and_loses_nothing(capsys):
    for service in ("rabbitmq", "influxd"):
        provide.path_or_skip(service)

    status = flow.main(["--quick"])

    out = capsys.readouterr().out
    assert status == 0, out
    with capsys.disabled():
        print(out)
