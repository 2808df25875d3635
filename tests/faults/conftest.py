"""What the fault tests share: agents started once a module, and the figures each test reports."""

import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest

from tests.standin import StandIn
from tests.testbed.flow import Flow
from tests.testbed.influxd import Influxd
from tests.testbed.rabbitmq import RabbitMQ

FIGURES = pytest.StashKey[List[str]]()


@pytest.fixture(scope="module")
def make_flow() -> Iterator[Callable[..., Flow]]:
    """A function that sets up a flow on given services; its agents end with the module."""
    made: List[Flow] = []
    with tempfile.TemporaryDirectory(prefix="reasond-test-") as folder, StandIn() as api:

        def make(rabbitmq: RabbitMQ, influxd: Influxd, **settings: str) -> Flow:
            made.append(Flow(Path(folder) / f"flow-{len(made)}", rabbitmq, influxd, api, settings))
            return made[-1]

        try:
            yield make
        finally:
            for flow in made:
                flow.close()


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[..., None]:
    """A function that takes figures; they stand in the summary at the end of the run."""
    lines = request.config.stash.setdefault(FIGURES, [])

    def note(text: object, **figures: object) -> None:
        told = ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in figures.items())
        lines.append(f"{request.node.name}\n    {text}" + (f"; {told}" if told else ""))

    return note


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what the tests measured."""
    lines: List[str] = terminalreporter.config.stash.get(FIGURES, [])
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)
