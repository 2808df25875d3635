"""The alert rules say what a reader needs, name what the package declares, and are what the role provisions."""

import json
import re
from pathlib import Path

import pytest

from reasond.points import MEASUREMENTS
from reasond.topology import DEAD_QUEUES, MAIN_QUEUES

ROOT = Path(__file__).resolve().parents[2]
RULES = json.loads((ROOT / "grafana" / "alerting" / "rules.json").read_text("utf-8"))["groups"][0]["rules"]
RUNBOOK = (ROOT / "docs" / "alerts.md").read_text("utf-8")
KEYS = [rule["uid"][len("reasond-alert-") :] for rule in RULES]
ROLE_VARS = (ROOT / "ansible" / "roles" / "grafana" / "vars" / "main.yml").read_text("utf-8")

READ = re.compile(r'r\._measurement == "(\w+)" and r\._field == "(\w+)"')
QUEUE = re.compile(r'r\.queue == "([^"]+)"')
NAMED = re.compile(r'index \.Values "(\w+)"')


def queries(rule):
    return {part["refId"]: part["model"]["query"] for part in rule["data"] if part["datasourceUid"] != "__expr__"}


def expressions(rule):
    return {part["refId"]: part["model"] for part in rule["data"] if part["datasourceUid"] == "__expr__"}


def test_rules_have_uids_and_titles_of_their_own():
    assert all(rule["uid"].startswith("reasond-alert-") for rule in RULES)
    assert len({rule["uid"] for rule in RULES}) == len({rule["title"] for rule in RULES}) == len(RULES) == 7


@pytest.mark.parametrize("rule", RULES, ids=KEYS)
def test_rule_leads_to_its_section_of_the_runbook(rule):
    base, anchor = rule["annotations"]["runbook_url"].split("#")

    headings = {
        heading.lower().replace(" ", "-"): heading for heading in re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)
    }
    assert base == "docs/alerts.md"
    assert headings[anchor] == rule["title"]
    section = RUNBOOK.split("\n## {}\n".format(rule["title"]))[1].split("\n## ")[0]
    for part in ("**Means**", "**Harm**", "**Look first**", "**Do**"):
        assert part in section


@pytest.mark.parametrize("rule", RULES, ids=KEYS)
def test_runbooks_table_says_severity_and_pending_time_of_the_rule(rule):
    row = next(line for line in RUNBOOK.splitlines() if line.startswith("| [{}]".format(rule["title"])))

    cells = [cell.strip() for cell in row.split("|")]
    assert cells[2] == rule["labels"]["severity"]
    assert cells[3] == "{} min".format(int(rule["for"][:-1]) // 60)


@pytest.mark.parametrize("rule", RULES, ids=KEYS)
def test_rule_reads_what_the_package_declares(rule):
    for query in queries(rule).values():
        named = READ.findall(query)
        assert named
        for measurement, field in named:
            assert field in MEASUREMENTS[measurement].fields
        assert set(QUEUE.findall(query)) <= {*MAIN_QUEUES, *DEAD_QUEUES}
        assert query.count("from(bucket: v.defaultBucket)") == query.count("|> range(") == len(named)


@pytest.mark.parametrize("rule", RULES, ids=KEYS)
def test_rule_says_something_and_every_value_in_it_is_there(rule):
    # Said by hand: what provisioning would take for a variable is written differently by Grafana's versions.
    for text in (rule["title"], *rule["annotations"].values(), *rule["labels"].values()):
        assert text
        assert "$" not in text
        assert set(NAMED.findall(text)) <= set(expressions(rule))
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["labels"]["reasond"] == "true"
    assert rule["labels"]["severity"] in ("warning", "critical")


@pytest.mark.parametrize("rule", RULES, ids=KEYS)
def test_formula_is_no_bare_name(rule):
    # Grafana 10.0 then has only one of the two values for the texts, now this one and now that.
    assert not re.fullmatch(r"\$\w+", expressions(rule)["value"]["expression"])


@pytest.mark.parametrize("rule", RULES, ids=KEYS)
def test_expressions_name_what_the_rule_has(rule):
    known = {*queries(rule), *expressions(rule)}

    for model in expressions(rule).values():
        named = re.findall(r"\$(\w+)", model["expression"]) if model["type"] == "math" else [model["expression"]]
        assert named
        assert set(named) <= known
    assert rule["condition"] in known


def test_only_one_rule_tells_that_influxdb_is_out_of_reach():
    assert [rule["uid"] for rule in RULES if rule["execErrState"] != "OK"] == ["reasond-alert-health-critical"]
    assert {rule["noDataState"] for rule in RULES} == {"OK"}


def test_rules_that_the_roles_variables_change_are_there():
    given = ROLE_VARS.split("__grafana_alert_given:\n", 1)[1].split("\n# ", 1)[0]
    uids = re.findall(r"^  ([\w-]+):$", given, re.MULTILINE)
    series = re.findall(r"^      (\w+): ", given, re.MULTILINE)

    assert len(uids) == 3
    assert set(uids) <= {rule["uid"] for rule in RULES}
    assert series == ["status_series"]
    assert "status_series" in {name for rule in RULES if rule["uid"] in uids for name in queries(rule)}
