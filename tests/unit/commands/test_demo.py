"""`reasond demo`: runs by itself without a terminal, ends with its summary, and spends nothing."""

import re
import socket

import pytest
from click.testing import CliRunner

from reasond.commands.demo import demo, summary_lines


def run(*options):
    done = CliRunner().invoke(demo, ["--speed", "0", *options])
    assert done.exception is None, done.exception
    return done.output


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the demo opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)


@pytest.mark.parametrize("brain", ["dry-run", "rules", "static"])
def test_demo_ends_with_figures_of_every_kind_of_agent(brain):
    out = run("--minutes", "3", "--brain", brain)

    summary = out[out.index("3 minutes in figures") :]
    for kind in ("publisher", "consumer", "monitor", "messages", "deepest", "deciders", "tokens"):
        assert kind in summary
    assert brain in summary
    assert "cost $0.0000" in summary


def test_demo_shows_the_load_change_as_lines_where_there_is_no_terminal():
    out = run("--minutes", "10")

    loads = [line.split()[1] for line in out.splitlines() if re.match(r" *\d+:\d\d ", line)]
    assert loads[0] == "calm" and "SLOW" in loads and loads[-1] == "calm"


def test_demo_of_one_seed_is_one_run():
    assert run("--minutes", "2", "--seed", "5") == run("--minutes", "2", "--seed", "5")


def test_summary_lines_leave_out_what_there_was_none_of():
    summary = {
        "published": 0,
        "consumed": {},
        "deepest": {},
        "decisions": {},
        "brains": {},
        "outcomes": {},
        "scores": [],
        "cost_usd": 0.0,
        "would_cost_usd": 0.0,
        "tokens": 0,
        "expired": 0,
        "queued": 0,
    }

    lines = summary_lines(summary)

    assert not any(line.startswith("health") for line in lines)
    assert lines[-1] == "tokens     0; cost $0.0000"
