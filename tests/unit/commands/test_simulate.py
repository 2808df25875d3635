"""`reasond simulate`: what it prints and writes, and what it says to a mistake."""

import csv
import inspect
import io
import json

import pytest
from click.testing import CliRunner

from reasond.cli import reasond
from reasond.errors import InputError
from reasond.simulation.scenario import SHIPPED

pytestmark = pytest.mark.unit

SHORT = ["--hours", "0.1", "--jobs", "1"]


# Before 8.2 click's runner mixes standard error into standard output unless told not to; since then it can't.
APART = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}


def run(*words, code=0):
    result = CliRunner(**APART).invoke(reasond, ["simulate", *words])
    assert result.exit_code == code, result.output
    return result


def test_list_names_every_shipped_scenario():
    told = run("--list").output

    assert [name for name in SHIPPED if name not in told] == []


def test_one_run_tells_its_figures():
    told = run("calm", *SHORT).output

    assert "Calm" in told and "time in overload" in told and "6 virtual minutes" in told


def test_a_comparison_tells_the_difference_and_the_verdict():
    told = run("calm", *SHORT, "--compare", "rules,static", "--seeds", "5").output

    assert "no measurable difference" in told and "95 % interval" in told


def test_json_stands_alone_on_standard_output_and_holds_every_run():
    found = json.loads(run("calm", *SHORT, "--compare", "rules,static", "--seeds", "2", "--json", "-").stdout)

    assert [(one["brain"], one["seed"]) for one in found["runs"]] == [
        ("rules", 1),
        ("rules", 2),
        ("static", 1),
        ("static", 2),
    ]
    assert found["comparisons"][0]["pairs"][0]["verdict"].startswith("rules against static: too few seeds")


def test_csv_has_a_row_a_run(tmp_path):
    run("calm", *SHORT, "--seeds", "2", "--csv", str(tmp_path / "runs.csv"))

    rows = list(csv.DictReader(io.StringIO((tmp_path / "runs.csv").read_text())))
    assert [row["seed"] for row in rows] == ["1", "2"]
    assert all(int(row["published"]) > 0 for row in rows)


def test_markdown_has_a_row_a_scenario():
    told = run("calm", "burst", *SHORT, "--compare", "rules,static", "--seeds", "5", "--markdown", "-").stdout

    assert "| calm | no measurable difference |" in told and "| burst |" in told


def test_a_setting_is_passed_on():
    few, many = (
        json.loads(run("calm", *SHORT, "--json", "-", "--set", f"PUBLISHER_FICTIONAL_INTERVAL_S={seconds}").stdout)
        for seconds in (30, 2)
    )

    assert many["runs"][0]["published"] > 2 * few["runs"][0]["published"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["clam"], "did you mean calm"),
        (["--brain", "gpt"], "there is no brain 'gpt'"),
        (["--compare", "rules,rules"], "must differ"),
        (["--set", "NONSENSE=1"], "--set NONSENSE=1"),
        (["--brain", "replay:nowhere.jsonl"], "there is no file 'nowhere.jsonl'"),
    ],
)
def test_a_mistake_is_said(words, told):
    result = CliRunner().invoke(reasond, ["simulate", *words])

    assert isinstance(result.exception, InputError) and told in str(result.exception)


def test_two_prompts_are_two_brains_to_compare():
    words = ["--brain", "dry-run", "--prompt", "1", "--compare-prompt", "2", "--seeds", "1", "--json", "-"]

    found = json.loads(run("calm", *SHORT, *words).stdout)

    assert [one["brain"] for one in found["runs"]] == ["dry-run@1", "dry-run@2"]
    # Version 2 tells more, so it takes more tokens.
    assert found["runs"][0]["tokens"] < found["runs"][1]["tokens"]


def test_claude_without_a_key_is_refused(monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)

    result = CliRunner().invoke(reasond, ["simulate", "--brain", "claude"])

    assert isinstance(result.exception, InputError) and "needs a key" in str(result.exception)


def test_a_report_shows_the_first_seed_of_each_brain(tmp_path):
    target = tmp_path / "page.html"
    words = ["calm", "burst", *SHORT, "--compare", "rules,static", "--seeds", "5", "--seed", "3"]
    told = run(*words, "--report", str(target))

    text = target.read_text(encoding="utf-8")
    assert str(target) in told.stderr
    assert "<h1>2 scenarios: rules against static</h1>" in text
    assert text.count("<h3>rules, seed 3</h3>") == text.count("<h3>static, seed 3</h3>") == 2
    assert "seed 4</h3>" not in text
    assert "no measurable difference" in text
