"""The simulation's bench measures what it says, and its verdict can be a bad one."""

import pytest

from tests.bench import simulation
from tests.bench.simulation import LIMIT, Measured, told


@pytest.mark.parametrize(
    "ratio, consumed, judged, status",
    [(LIMIT, 1, True, 0), (LIMIT + 1, 1, True, 1), (LIMIT + 1, 1, False, 0), (1.0, 0, False, 1)],
    ids=["within the limit", "over the limit", "quick judges no time", "nothing consumed"],
)
def test_verdict(ratio: float, consumed: int, judged: bool, status: int) -> None:
    one = Measured("one", 1.0, cpu_s=ratio, bare_s=1.0, timers=10, consumed=consumed)

    assert told([one], judged=judged) == status


def test_quick_form_measures_seven_and_200_agents(capsys: pytest.CaptureFixture) -> None:
    assert simulation.main(["--quick"]) == 0

    with capsys.disabled():
        print("\n" + capsys.readouterr().out)
