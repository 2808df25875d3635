"""The pages that people wrote say what the code says: links, commands, variables, names, and the tables."""

import ast
import importlib
import re
from datetime import datetime, timezone
from pathlib import Path

import pytest

from reasond import cli, errors, messages, topology
from reasond.content.generator import ANOMALIES
from reasond.core import health, plausibility
from reasond.handlers import HandlerSetup
from reasond.settings import OWN_PREFIXES, ConsumerSettings, all_settings
from reasond.simulation import scenario

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "agents" / "reasond"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.md"), *(ROOT / "docs").rglob("*.md")])
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
PROSE = sorted(TEXTS)

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
COMMAND = re.compile(r"(?:^|[\s`/(])reasond ([a-z][a-z-]+)((?: [a-z][a-z-]+)?)", re.MULTILINE)
TARGET = re.compile(r"(?:^|`)make ([a-z][a-z-]+)", re.MULTILINE)
# Here the word is the name of a user.
OTHERS_COMMAND = re.compile(r"^(?:rabbitmqctl|useradd|install) .*$", re.MULTILINE)
VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
FAMILIES = (*OWN_PREFIXES, "RABBITMQ_", "INFLUXDB_", "ANTHROPIC_", "AGENT_")

# Variables of others, and names that only look like variables -> whose they are.
FOREIGN = {
    "STATE_DIRECTORY": "systemd",
    "LOGS_DIRECTORY": "systemd",
    "EXTEND_TIMEOUT_USEC": "systemd",
    "HTTPS_PROXY": "HTTP clients",
    "ANTHROPIC_LOG": "the SDK",
    "DEMO_ARGS": "the Makefile",
    "DEPLOY_ARGS": "the Makefile",
    "REASOND_VAGRANT_VMS": "the Vagrantfile",
    "REASOND_VAGRANT_BRAIN": "the Vagrantfile",
    "REASOND_VAGRANT_BOX": "the Vagrantfile",
    "REASOND_VAGRANT_MEMORY_MB": "the Vagrantfile",
    "REASOND_VAGRANT_CPUS": "the Vagrantfile",
    "REASOND_VAGRANT_VARIABLES": "the Vagrantfile",
}

# Specification, "Metrics to track" of Agents 2, 3 and 4.
SPECIFIED_METRICS = """
    messages_published publish_duration_ms queue_depth_at_decision ai_decision_count ai_reasoning_text
    ai_confidence_score tokens_used_per_decision decision_latency_ms messages_consumed processing_duration_ms
    anomalies_flagged batched_messages immediate_processing system_health_score issues_detected
    suggestions_made ai_analysis_text
""".split()


def source_text():
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py")))


def code_of(text):
    """Give the parts of a page that are set as code: words in prose name no command."""
    return OTHERS_COMMAND.sub("", "\n".join(CODE.findall(text)))


def rows_under(page, heading):
    """Give the cells of the first table under a heading, without the table's head."""
    section = TEXTS[page].split("\n## {}\n".format(heading), 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def rows_of_table(page):
    """Give the cells of a page's first table, without its head."""
    lines = [line for line in TEXTS[page].split("\n## ", 1)[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def _name(node):
    return node.id if isinstance(node, ast.Name) else ""


def ticked(text):
    return re.findall(r"`([^`]+)`", text)


def anchors(text):
    """Give a page's headings as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PROSE)
def test_every_relative_link_leads_to_a_file_and_heading(page):
    for link in LINK.findall(TEXTS[page]):
        if link.startswith(("http:", "https:")):
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("page", PROSE)
def test_every_command_named_exists(page):
    for name, sub in COMMAND.findall(code_of(TEXTS[page])):
        assert name in cli.COMMANDS, "reasond {}".format(name)
        module, _, attribute = cli.COMMANDS[name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if sub and hasattr(command, "commands"):
            assert sub.strip() in command.commands, "reasond {}{}".format(name, sub)


@pytest.mark.parametrize("page", PROSE)
def test_every_make_target_named_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

    named = set(TARGET.findall(code_of(TEXTS[page])))

    assert named <= targets


@pytest.mark.parametrize("page", PROSE)
def test_every_variable_named_is_a_setting_or_known_as_foreign(page):
    declared = {setting.env for setting in all_settings()}

    named = {name for name in VARIABLE.findall(TEXTS[page]) if name.startswith(FAMILIES) or name in FOREIGN}

    assert {name for name in named if not name.endswith("_")} <= declared | set(FOREIGN)


def test_each_foreign_variable_is_named_somewhere():
    everything = "\n".join(TEXTS.values())

    assert [name for name in FOREIGN if name not in everything] == []


@pytest.mark.parametrize("metric", SPECIFIED_METRICS)
def test_each_metric_of_the_specification_has_its_flux(metric):
    section = TEXTS["docs/metrics.md"].split("\n### {}\n".format(metric))

    assert len(section) == 2, "no heading of its own"
    assert "```flux" in section[1].split("\n### ", 1)[0].split("\n## ", 1)[0]


def test_readmes_two_commands_are_targets():
    section = TEXTS["README.md"].split("\n## Two commands\n", 1)[1].split("\n## ", 1)[0]
    block = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[0]

    assert re.findall(r"^make ([a-z-]+)", block, re.MULTILINE) == ["demo", "test"]


def test_plausibility_causes_are_the_codes():
    found = {ticked(cause)[0]: meaning for cause, meaning in rows_under("docs/messages.md", "Plausibility checks")}

    assert found == plausibility.CAUSES
    assert [name for name in found][: len(plausibility.CHECKS)] == [name for name, _ in plausibility.CHECKS]


def test_injected_anomalies_are_the_generators():
    rows = rows_under("docs/messages.md", "Injected anomalies")

    assert {kind for row in rows for kind in ticked(row[0])} == set(ANOMALIES)


def test_headers_are_the_topologys():
    declared = {value for name, value in vars(topology).items() if name.startswith("HEADER_")}

    documented = {ticked(row[0])[0] for row in rows_under("docs/messages.md", "Headers of a message set aside")}

    assert documented == declared | {"x-reasond-cut"}


def test_score_table_is_the_ramps():
    rows = rows_under("docs/health.md", "The score")

    documented = {ticked(name)[0]: tuple(float(cell) for cell in cells) for name, _, *cells in rows}

    assert documented == {name: (ramp.good, ramp.bad, ramp.points) for name, ramp in health.RAMPS.items()}


def test_finding_codes_are_the_codes():
    tree = ast.parse((PACKAGE / "core" / "health.py").read_text(encoding="utf-8"))
    made = [node.args[0] for node in ast.walk(tree) if isinstance(node, ast.Call) and _name(node.func) == "Finding"]
    texts = [node.value for code in made for node in ast.walk(code) if isinstance(node, ast.Constant)]

    documented = [ticked(row[0])[0] for row in rows_under("docs/health.md", "Findings")]

    assert sorted(documented) == sorted({text.partition(":")[0] for text in texts})


def test_reasons_of_a_missing_outcome_are_the_codes():
    text = (PACKAGE / "core" / "outcome.py").read_text(encoding="utf-8")
    constants = set(re.findall(r'^[A-Z_]+ = "([a-z_]+)"$', text, re.MULTILINE))

    documented = {ticked(row[0])[0] for row in rows_under("docs/outcome.md", "No outcome, and why")}

    assert documented == constants | {"no_finding"}
    assert "no_finding" in source_text()


def test_every_journal_event_said_is_documented_and_the_reverse():
    said = set(re.findall(r'[Ss]ay\(\s*"[a-z]+",\s*"([a-z_]+)"', source_text()))
    said |= set(re.findall(r'_tell\("(feed_[a-z]+)"', source_text()))
    said |= set(re.findall(r'_say_once\("[a-z]+", "([a-z_]+)"', source_text()))
    prefixes = {name for name in said if name.endswith("_")}
    section = TEXTS["docs/operate.md"].split("\n### Journal lines\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]

    documented = {event for row in rows for event in ticked(row)}

    assert said - prefixes - documented == set()
    text = source_text()
    suffixed = {event for event in documented if event.startswith(tuple(prefixes)) or event.endswith("_problem")}
    assert {event for event in documented - suffixed if '"{}"'.format(event) not in text} == set()


def test_the_example_of_a_handler_works(tmp_path):
    block = re.findall(r"```python\n(.*?)```", TEXTS["docs/handlers.md"], re.DOTALL)[0]
    place = messages.Coordinates(lat=1.5, lng=2.5)
    payload = messages.Payload(entity_id="book_1", action="shelved", coordinates=place, context="")
    header = messages.Header("", datetime.now(timezone.utc), "1.0", "publisher-1")
    message = messages.Message(header, messages.Metadata("fictional", "normal", 30, ""), payload)
    defined = {}
    exec(compile(block, "docs/handlers.md", "exec"), defined)

    handler = defined["Warehouse"](HandlerSetup(settings=ConsumerSettings(), state_dir=tmp_path))
    handler.handle([message, message])

    assert (tmp_path / "positions.log").read_text() == "book_1 1.5 2.5\n" * 2


def test_each_key_of_a_scenario_is_explained_and_the_reverse():
    section = TEXTS["docs/scenarios.md"].split("\n## Its keys\n", 1)[1].split("\n## ", 1)[0]
    parts = [re.findall(r"^\| (`.*?) \|", part, re.MULTILINE) for part in section.split("\nOf a phase:\n")]
    whole, phase = ({word for cell in cells for word in ticked(cell)} for cells in parts)
    tables = {word.strip("[]").partition(".")[0] for word in whole if word.startswith("[")}
    inner = {field for kind in (scenario.Agents, scenario.Api, scenario.Feed) for field in kind.__struct_fields__}

    assert phase == set(scenario.Phase.__struct_fields__)
    assert tables | {word for word in whole if not word.startswith("[")} - inner == set(
        scenario.Scenario.__struct_fields__
    ) - {"name"}
    assert inner <= whole


def test_the_example_of_a_scenario_is_one():
    block = re.findall(r"```toml\n(.*?)```", TEXTS["docs/scenarios.md"], re.DOTALL)[0]

    assert scenario.read(block.encode(), "mine").minutes == 30


def test_index_of_decisions_names_each_record():
    records = {path.name for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md")}

    assert records == set(LINK.findall(TEXTS["docs/decisions/README.md"]))


def test_exit_statuses_are_the_errors():
    statuses = {
        kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")
    }

    documented = {int(row[0]) for row in rows_of_table("docs/exit-codes.md")}

    assert statuses <= documented
