"""`reasond doctor` as a command: what is printed, and the exit status."""

import json

import pytest
from click.testing import CliRunner

from reasond.commands import doctor
from reasond.doctor.findings import Check, fail, ok, skipped, warning

VERDICTS = {
    "ok": ok("fine"),
    "warning": warning("hm", "look"),
    "fail": fail("bad", "mend this"),
    "skipped": skipped("no"),
}


def run(monkeypatch, *states, options=()):
    checks = [Check(f"check {n}", lambda state=state: VERDICTS[state]) for n, state in enumerate(states)]
    monkeypatch.setattr(doctor, "all_checks", lambda examined: checks)
    done = CliRunner().invoke(doctor.doctor, list(options))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.mark.parametrize(
    "states, options, status",
    [
        (["ok", "skipped"], [], 0),
        (["ok", "warning"], [], 0),
        (["ok", "warning"], ["--strict"], 1),
        (["fail", "ok"], [], 1),
    ],
    ids=["well", "warning", "strict", "fail"],
)
def test_exit_status_tells_whether_there_is_something_to_mend(monkeypatch, states, options, status):
    assert run(monkeypatch, *states, options=options)[0] == status


def test_each_check_is_a_line_and_what_is_not_well_has_its_mend(monkeypatch):
    lines = run(monkeypatch, "ok", "warning", "fail", "skipped")[1].splitlines()

    assert [line.split()[0] for line in lines] == ["ok", "warning", "mend:", "FAIL", "mend:", "skipped", "1"]
    assert lines[4].endswith("mend: mend this")
    assert lines[-1] == "1 ok, 1 warnings, 1 to mend, 1 skipped"


def test_json_holds_every_finding(monkeypatch):
    status, out = run(monkeypatch, "ok", "fail", options=["--json"])

    assert json.loads(out) == {
        "ok": False,
        "findings": [
            {"name": "check 0", "state": "ok", "found": "fine", "mend": ""},
            {"name": "check 1", "state": "fail", "found": "bad", "mend": "mend this"},
        ],
    }


def test_names_of_all_checks_differ_and_every_need_is_one_of_them():
    checks = doctor.all_checks(doctor.examine({"RABBITMQ_HOST": "a,b", "RABBITMQ_PORT": "x"}, []))
    names = [check.name for check in checks]

    assert len(set(names)) == len(names)
    assert {need for check in checks for need in check.needs + check.needs_one_of} <= set(names)
