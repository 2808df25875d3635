"""Settings: defaults of the specification, every problem at once, secrets never shown."""

import pytest

from reasond import settings
from reasond.errors import SettingsError


def problems(environ, section=None):
    with pytest.raises(SettingsError) as caught:
        settings.load(environ, section)
    return caught.value.problems


def test_load_of_nothing_gives_the_specifications_defaults():
    loaded = settings.load({})

    assert (loaded.publisher.fictional_interval_s, loaded.publisher.nonfictional_interval_s) == (5, 10)
    assert (loaded.publisher.decision_period_s, loaded.monitor.period_s, loaded.consumer.sample_every) == (30, 60, 10)
    assert (loaded.influx.org, loaded.influx.bucket, loaded.monitor.agent_id) == (
        "monitoring",
        "agent_metrics",
        "monitor-1",
    )
    assert loaded.brain.models[0] == "claude-sonnet-4-5-20250929" and loaded.brain.max_tokens == 500


def test_specification_variables_are_all_declared():
    names = {setting.env for setting in settings.all_settings()}

    assert {
        "ANTHROPIC_API_KEY",
        "INFLUXDB_URL",
        "INFLUXDB_TOKEN",
        "INFLUXDB_ORG",
        "INFLUXDB_BUCKET",
        "RABBITMQ_HOST",
        "RABBITMQ_PORT",
        "RABBITMQ_USER",
        "RABBITMQ_PASS",
        "PUBLISHER_ID",
        "CONSUMER_ID",
        "AGENT_ID",
    } <= names


def test_load_tells_all_problems_at_once_each_naming_its_variable():
    found = problems(
        {"RABBITMQ_PORT": "http", "PUBLISHER_TTL_S": "0", "REASOND_BRAIN": "gpt", "PUBLISHER_SPED": "1"}, "publisher"
    )

    assert len(found) == 5
    for name in ("RABBITMQ_PORT", "PUBLISHER_TTL_S", "REASOND_BRAIN", "PUBLISHER_SPED", "PUBLISHER_ID"):
        assert any(name in problem for problem in found)


def test_load_unknown_variable_of_ours_suggests_the_nearest():
    assert "did you mean REASOND_BRAIN?" in problems({"REASOND_BRIAN": "rules"})[0]


def test_load_foreign_variables_are_let_be():
    settings.load({"RABBITMQ_NODENAME": "rabbit@host", "PATH": "/bin"})


def takes_any_text(setting):
    """Tell whether no text is wrong for this setting."""
    return setting.type is settings.Strings or (setting.type is str and not (setting.choices or setting.pattern))


@pytest.mark.parametrize(
    "setting", [s for s in settings.all_settings() if not takes_any_text(s)], ids=lambda setting: setting.env
)
def test_every_setting_refuses_what_it_must(setting):
    bad = problems({setting.env: "\x00 no such value"})

    assert any(problem.startswith(setting.env) for problem in bad)


@pytest.mark.parametrize("setting", list(settings.all_settings()), ids=lambda setting: setting.env)
def test_every_setting_is_explained_and_its_default_is_within_its_bounds(setting):
    assert setting.help.endswith(".") or setting.help.endswith("...")
    if setting.ge is not None:
        assert setting.default >= setting.ge
    if setting.le is not None:
        assert setting.default <= setting.le


def test_load_secret_that_is_wrong_is_not_shown():
    secrets = [setting for setting in settings.all_settings() if setting.secret]

    assert {"ANTHROPIC_API_KEY", "INFLUXDB_TOKEN", "RABBITMQ_PASS"} <= {setting.env for setting in secrets}


@pytest.mark.parametrize(
    "environ, word",
    [
        ({"PUBLISHER_MIN_INTERVAL_S": "50", "PUBLISHER_MAX_INTERVAL_S": "40"}, "PUBLISHER_MIN_INTERVAL_S"),
        ({"PUBLISHER_MIN_INTERVAL_S": "7"}, "PUBLISHER_FICTIONAL_INTERVAL_S"),
        ({"PUBLISHER_DECISION_PERIOD_S": "20"}, "PUBLISHER_DECISION_DEADLINE_S"),
        ({"PROMPT_REDACT": "a(b"}, "PROMPT_REDACT"),
    ],
)
def test_load_settings_that_contradict_each_other_are_refused(environ, word):
    assert any(word in problem for problem in problems(environ))


def test_merge_takes_only_what_may_change_without_a_restart():
    merged = settings.merge(
        {"INFLUXDB_TOKEN": "old", "CONSUMER_SAMPLE_EVERY": "10", "REASOND_LOG_LEVEL": "debug"},
        {"INFLUXDB_TOKEN": "new", "CONSUMER_SAMPLE_EVERY": "5"},
    )

    assert merged == {"INFLUXDB_TOKEN": "old", "CONSUMER_SAMPLE_EVERY": "5"}
