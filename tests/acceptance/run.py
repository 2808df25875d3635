"""One acceptance run from empty services to the verdict; used by the command and by the test."""

import contextlib
import sys
import time
from pathlib import Path
from typing import Iterator, List, Optional

from tests.acceptance.boards import shown
from tests.acceptance.criteria import Result, judge
from tests.acceptance.system import Pace, System
from tests.standin import StandIn
from tests.testbed import provide
from tests.testbed.influxd import Influxd
from tests.testbed.rabbitmq import RabbitMQ

STATISTICS_MS = 5000
"""A broker's default: with a shorter interval its own rates read 0 between two samples, and agents decide on that."""


def run(
    folder: Path, pace: Pace, policy: str, python: str = sys.executable, pictures: Optional[Path] = None
) -> List[Result]:
    """Start everything in `folder`, go through calm, overload and recovery, stop the agents, judge.

    With `pictures` the boards are drawn into that folder.
    """
    with finished(folder, pace, policy, python, pictures) as system:
        return judge(system)


@contextlib.contextmanager
def finished(
    folder: Path, pace: Pace, policy: str, python: str = sys.executable, pictures: Optional[Path] = None
) -> Iterator[System]:
    """Give a system that has gone through calm, overload and recovery; its agents have ended, its services are up."""
    rabbitmq = RabbitMQ(provide.path_or_skip("rabbitmq"), folder / "rabbitmq", statistics_ms=STATISTICS_MS)
    influxd = Influxd(provide.path_or_skip("influxd"), folder / "influxd", onboard=False)
    with StandIn(policy=policy, log_file=str(folder / "standin.jsonl")) as api:
        system = System(folder, rabbitmq, influxd, api, pace, python)
        try:
            rabbitmq.start()
            influxd.start()
            _tell("services up")
            system.set_up()
            system.start()
            _tell("seven agents alive; calm for {:g} s".format(pace.calm_s))
            _pass(system, pace.calm_s)
            _tell("{:g} messages/s more for {:g} s".format(pace.load_rate, pace.overload_s))
            system.overload()
            _tell("recovery for {:g} s".format(pace.recovery_s))
            _pass(system, pace.recovery_s)
            with shown(system, pictures) as show:
                system.stop()
                show()
            yield system
        finally:
            system.close()
            influxd.close()
            rabbitmq.close()


def _pass(system: System, seconds: float) -> None:
    """Let the time go by, looking each second that no agent has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for process in system.processes.values():
            assert process.running, "{} ended by itself\n{}".format(process.name, process.log_tail())
        time.sleep(min(1.0, max(0.0, end - time.monotonic())))


def _tell(text: str) -> None:
    sys.stderr.write("acceptance: {}\n".format(text))
    sys.stderr.flush()
