"""`reasond demo`: runs by itself without a terminal, ends with its summary and its page, and spends nothing."""

import re
import socket

import pytest
from click.testing import CliRunner

from reasond.cli import reasond
from reasond.commands import demo as command
from reasond.commands.demo import summary_lines
from reasond.errors import InputError


def invoke(*options):
    return CliRunner().invoke(reasond, ["demo", "--speed", "0", *options])


def run(*options):
    done = invoke(*options)
    assert done.exception is None, done.exception
    return done.output


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise AssertionError("the demo opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("brain", ["dry-run", "rules", "static"])
def test_demo_ends_with_figures_of_every_kind_of_agent(brain):
    out = run("--minutes", "3", "--brain", brain, "--no-report")

    summary = out[out.index("3 minutes in figures") :]
    for kind in ("publisher", "consumer", "monitor", "messages", "deepest", "deciders", "tokens"):
        assert kind in summary
    assert brain in summary
    assert "cost $0.0000" in summary


def test_demo_shows_the_load_change_as_lines_where_there_is_no_terminal():
    out = run("--no-report")

    loads = [line.split()[1] for line in out.splitlines() if re.match(r" *\d+:\d\d ", line)]
    assert loads[0] == "calm" and "handlers" in loads and loads[-1] == "calm"
    assert "10 minutes in figures" in out


def test_demo_of_one_seed_is_one_run():
    assert run("--minutes", "2", "--seed", "5") == run("--minutes", "2", "--seed", "5")


def test_demo_plays_a_shipped_scenario_and_a_file(tmp_path):
    assert "load rising" in run("--scenario", "rush-hour", "--minutes", "7", "--no-report")
    mine = tmp_path / "mine.toml"
    mine.write_text('title = "Mine"\nabout = "-"\nminutes = 2\n[[phase]]\nwhat = "odd"\nbegin_min = 1\nend_min = 2\n')
    assert "odd" in run("--scenario", str(mine), "--no-report")


def test_the_page_goes_to_the_cache_and_its_path_is_printed(tmp_path):
    out = run("--minutes", "2")

    path = tmp_path / "cache" / "reasond" / "reasond-demo.html"
    assert f"The whole run as a page: {path}" in out
    assert "Demonstration" in path.read_text(encoding="utf-8")


def test_the_page_goes_where_it_is_wanted_or_nowhere(tmp_path):
    run("--minutes", "1", "--report", str(tmp_path / "here.html"))
    assert (tmp_path / "here.html").exists()

    assert "page:" not in run("--minutes", "1", "--no-report")
    assert not (tmp_path / "cache").exists()


def test_without_plotly_the_run_is_shown_all_the_same(monkeypatch):
    def missing(*args):
        raise InputError("pip install it")

    monkeypatch.setattr(command, "page_html", missing)

    assert "no page: pip install it" in run("--minutes", "1")


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--brain", "claude"], "needs a key"), (["--brain", "gpt"], "no brain"), (["--scenario", "clam"], "calm")],
)
def test_a_mistake_is_said(options, said):
    error = invoke(*options).exception

    assert isinstance(error, InputError) and said in str(error)


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
