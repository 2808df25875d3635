"""Every environment variable, typed, with unit, default and bounds; read once, all errors at once.

One frozen section a concern; `load` makes them from a mapping. Nothing here reads the environment by itself.
Used by the runtime and the commands; the docs and the units are checked against `all_settings()`.
"""

import dataclasses
import difflib
import math
import re
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, Type, TypeVar, get_type_hints

from reasond import plugins, switchback
from reasond.errors import SettingsError

S = TypeVar("S")
Strings = Tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Setting:
    """One environment variable as declared: where it lives, what it means and what it may be."""

    env: str
    section: str
    attribute: str
    type: Any
    default: Any
    help: str
    unit: str = ""
    ge: Optional[float] = None
    le: Optional[float] = None
    choices: Strings = ()
    plugins: str = ""
    """The entry-point group whose names may be chosen too."""
    pattern: str = ""
    secret: bool = False
    reloadable: bool = False
    required: bool = False


def _env(env: str, default: Any, help: str, **more: Any) -> Any:
    return dataclasses.field(default=default, metadata=dict(more, env=env, help=help))


@dataclasses.dataclass(frozen=True)
class RabbitSettings:
    """How RabbitMQ is reached."""

    hosts: Strings = _env("RABBITMQ_HOST", ("localhost",), "Broker host; several by comma are tried in turn.")
    port: int = _env("RABBITMQ_PORT", 5672, "AMQP port.", ge=1, le=65535)
    user: str = _env("RABBITMQ_USER", "guest", "AMQP user.")
    password: str = _env("RABBITMQ_PASS", "guest", "AMQP password.", secret=True)
    vhost: str = _env("RABBITMQ_VHOST", "/", "Virtual host.")
    tls: bool = _env("RABBITMQ_TLS", False, "Use amqps.")
    ca_file: str = _env("RABBITMQ_CA_FILE", "", "CA bundle for amqps and an https management URL.")
    heartbeat_s: int = _env("RABBITMQ_HEARTBEAT_S", 30, "AMQP heartbeat.", unit="s", ge=5, le=600)
    queue_type: str = _env(
        "RABBITMQ_QUEUE_TYPE", "classic", "Type of the queues that set-up declares.", choices=("classic", "quorum")
    )
    management_url: str = _env(
        "RABBITMQ_MANAGEMENT_URL", "", "Management API; empty: http://<first host>:15672.", pattern=r"^(https?://.+)?$"
    )
    management_user: str = _env("RABBITMQ_MANAGEMENT_USER", "", "Management user; empty: RABBITMQ_USER.")
    management_password: str = _env(
        "RABBITMQ_MANAGEMENT_PASS", "", "Management password; empty: RABBITMQ_PASS.", secret=True
    )


@dataclasses.dataclass(frozen=True)
class InfluxSettings:
    """How InfluxDB 2 is reached, and how much waits on disk while it is away."""

    url: str = _env("INFLUXDB_URL", "http://localhost:8086", "InfluxDB's address.", pattern=r"^https?://.+$")
    token: str = _env("INFLUXDB_TOKEN", "", "The agents' token.", secret=True)
    org: str = _env("INFLUXDB_ORG", "monitoring", "Organization.")
    bucket: str = _env("INFLUXDB_BUCKET", "agent_metrics", "Bucket.")
    ca_file: str = _env("INFLUXDB_CA_FILE", "", "CA bundle for an https address.")
    timeout_s: float = _env("INFLUXDB_TIMEOUT_S", 10.0, "Limit for one request.", unit="s", ge=0.1, le=120)
    spool_max_bytes: int = _env(
        "INFLUXDB_SPOOL_MAX_BYTES", 67108864, "Points kept on disk while InfluxDB is away.", unit="bytes", ge=65536
    )


@dataclasses.dataclass(frozen=True)
class InfluxSetupSettings:
    """What `reasond setup-influxdb` sets up, and how it signs in; agents don't read it."""

    admin_user: str = _env("INFLUXDB_ADMIN_USER", "admin", "InfluxDB's first user.")
    admin_password: str = _env(
        "INFLUXDB_ADMIN_PASSWORD", "password123", "That user's password, at least 8 characters.", secret=True
    )
    retention_days: int = _env(
        "INFLUXDB_RETENTION_DAYS", 30, "How long the bucket keeps points.", unit="days", ge=1, le=36500
    )
    token_dir: str = _env("INFLUXDB_TOKEN_DIR", "/etc/reasond/tokens", "Where set-up keeps the token files.")


@dataclasses.dataclass(frozen=True)
class BrainSettings:
    """Which brain decides, and how Claude is called."""

    brain: str = _env(
        "REASOND_BRAIN",
        "claude",
        "Who decides.",
        choices=("claude", "rules", "static", "dry-run"),
        plugins=plugins.BRAINS,
    )
    api_key: str = _env("ANTHROPIC_API_KEY", "", "Key for the Claude API.", secret=True)
    base_url: str = _env("ANTHROPIC_BASE_URL", "", "Another address of the API.", pattern=r"^(https?://.+)?$")
    ca_file: str = _env("ANTHROPIC_CA_FILE", "", "CA bundle for the API's address; empty: the system's.")
    models: Strings = _env(
        "CLAUDE_MODELS",
        ("claude-sonnet-4-5-20250929", "claude-sonnet-5-5"),
        "Models to use, in order; one that is retired or unknown gives way to the next.",
    )
    publisher_models: Strings = _env("CLAUDE_MODELS_PUBLISHER", (), "The same for publishers alone.")
    consumer_models: Strings = _env("CLAUDE_MODELS_CONSUMER", (), "The same for consumers alone.")
    monitor_models: Strings = _env("CLAUDE_MODELS_MONITOR", (), "The same for the monitor alone.")
    prompt: str = _env("CLAUDE_PROMPT", "2", "Version of the prompts: 1, 2, or a folder with texts of your own.")
    tell_outcomes: bool = _env("PROMPT_OUTCOMES", True, "Tell an agent how its last decisions turned out.")
    max_tokens: int = _env("CLAUDE_MAX_TOKENS", 500, "Room for the answer.", unit="tokens", ge=50, le=8000)
    max_retries: int = _env("CLAUDE_MAX_RETRIES", 3, "Retries by the SDK.", ge=0, le=3)
    dry_run_seed: int = _env("REASOND_DRY_RUN_SEED", 0, "Seed of the dry run's answers.", ge=0)


@dataclasses.dataclass(frozen=True)
class BudgetSettings:
    """What the agents may spend, USD, hours and days in UTC."""

    usd_per_hour: float = _env("BUDGET_USD_PER_HOUR", 5.0, "Whole system, per hour.", unit="USD", ge=0)
    usd_per_day: float = _env("BUDGET_USD_PER_DAY", 25.0, "Whole system, per day.", unit="USD", ge=0)
    agents: int = _env(
        "BUDGET_AGENTS", 7, "Agents that share the budget; each keeps to its share while InfluxDB is away.", ge=1
    )
    agent_usd_per_hour: float = _env(
        "BUDGET_AGENT_USD_PER_HOUR", 0.0, "One agent, per hour; 0: the system's.", unit="USD", ge=0
    )
    agent_usd_per_day: float = _env(
        "BUDGET_AGENT_USD_PER_DAY", 0.0, "One agent, per day; 0: the system's.", unit="USD", ge=0
    )
    warn_at: float = _env("BUDGET_WARN_AT", 0.8, "Warn at this part of a limit.", ge=0.1, le=1)


@dataclasses.dataclass(frozen=True)
class PrivacySettings:
    """What may leave the host in a prompt, and what is kept of prompts and answers."""

    prompt_fields: Strings = _env(
        "PROMPT_FIELDS",
        ("header", "metadata", "payload"),
        "Message fields that may enter a prompt, as dotted paths (payload.context, ...).",
    )
    redact: Strings = _env("PROMPT_REDACT", (), "Regular expressions, by ';'; what they match is cut out of prompts.")
    transcript: bool = _env("TRANSCRIPT", True, "Write every prompt and response to the log directory.")
    transcript_max_bytes: int = _env(
        "TRANSCRIPT_MAX_BYTES", 33554432, "Size at which a transcript is rotated.", unit="bytes", ge=65536
    )
    transcript_keep: int = _env("TRANSCRIPT_KEEP", 5, "Rotated transcripts that are kept.", ge=0, le=1000)
    transcript_days: int = _env("TRANSCRIPT_DAYS", 30, "Age after which one is deleted.", unit="days", ge=1)


@dataclasses.dataclass(frozen=True)
class ProcessSettings:
    """What every agent's process has in common."""

    state_dir: str = _env("REASOND_STATE_DIR", "", "State; empty: systemd's $STATE_DIRECTORY, else the user's.")
    log_dir: str = _env("REASOND_LOG_DIR", "", "Transcripts; empty: systemd's $LOGS_DIRECTORY, else the user's.")
    log_format: str = _env(
        "REASOND_LOG_FORMAT", "auto", "How events are written.", choices=("auto", "plain", "journal", "json")
    )
    log_level: str = _env(
        "REASOND_LOG_LEVEL",
        "info",
        "Least level that is written.",
        reloadable=True,
        choices=("debug", "info", "notice", "warning", "error"),
    )
    heartbeat_s: float = _env("REASOND_HEARTBEAT_S", 10.0, "Between agent_health points.", unit="s", ge=1, le=300)
    settings_files: Strings = _env(
        "REASOND_SETTINGS_FILES",
        (),
        "Files that SIGHUP rereads, in order, '-' before one that may be missing; the units name theirs here. Commands "
        "for people read them too, in place of those in /etc/reasond.",
    )


@dataclasses.dataclass(frozen=True)
class PublisherSettings:
    """A publisher's own settings."""

    agent_id: str = _env(
        "PUBLISHER_ID", "", "Who this is: publisher-1, ...", required=True, pattern=r"^publisher-[1-9][0-9]*$"
    )
    fictional_interval_s: int = _env(
        "PUBLISHER_FICTIONAL_INTERVAL_S", 5, "Between fictional messages.", unit="s", ge=1, le=3600
    )
    nonfictional_interval_s: int = _env(
        "PUBLISHER_NONFICTIONAL_INTERVAL_S", 10, "Between non-fictional messages.", unit="s", ge=1, le=3600
    )
    min_interval_s: int = _env(
        "PUBLISHER_MIN_INTERVAL_S", 1, "No decision goes below.", unit="s", ge=1, le=3600, reloadable=True
    )
    max_interval_s: int = _env(
        "PUBLISHER_MAX_INTERVAL_S", 120, "No decision goes above.", unit="s", ge=1, le=86400, reloadable=True
    )
    decision_period_s: float = _env("PUBLISHER_DECISION_PERIOD_S", 30.0, "Between decisions.", unit="s", ge=3, le=3600)
    decision_deadline_s: float = _env(
        "PUBLISHER_DECISION_DEADLINE_S", 24.0, "For a decision, retries and all.", unit="s", ge=2, le=300
    )
    max_pause_s: float = _env(
        "PUBLISHER_MAX_PAUSE_S",
        90.0,
        "A pause that isn't renewed ends after.",
        unit="s",
        ge=1,
        le=3600,
        reloadable=True,
    )
    sampling_period_s: float = _env(
        "MONITOR_SAMPLING_PERIOD_S", 5.0, "Between the monitor's samples of the queues.", unit="s", ge=0.5, le=60
    )
    outcome_settle_s: float = _env(
        "PUBLISHER_OUTCOME_SETTLE_S", 15.0, "Least time before a decision's effect is measured.", unit="s", ge=1, le=300
    )
    outcome_window_s: float = _env(
        "PUBLISHER_OUTCOME_WINDOW_S", 15.0, "Length of the windows compared.", unit="s", ge=1, le=300
    )
    ttl_s: int = _env("PUBLISHER_TTL_S", 30, "ttl_seconds of generated messages.", unit="s", ge=1, le=86400)
    window: int = _env("PUBLISHER_WINDOW", 200, "Most messages unconfirmed at a time.", unit="messages", ge=1, le=10000)
    switchback: str = _env(
        "REASOND_SWITCHBACK",
        "",
        "Experiment by blocks of time: treatment,control:minutes, such as claude,static:60m; empty: none.",
        reloadable=True,
    )
    confirm_timeout_s: float = _env(
        "PUBLISHER_CONFIRM_TIMEOUT_S", 30.0, "A confirm older than this means a new connection.", unit="s", ge=1, le=600
    )
    feed: str = _env("PUBLISHER_FEED", "", "JSON Lines or CSV file, or - for standard input; empty: the generator.")
    feed_format: str = _env("PUBLISHER_FEED_FORMAT", "auto", "Format of the feed.", choices=("auto", "jsonl", "csv"))
    seed: int = _env("PUBLISHER_SEED", 0, "Seed of the generator; 0: another one each start.", ge=0)
    anomaly_rate: float = _env(
        "PUBLISHER_ANOMALY_RATE",
        0.02,
        "Part of the generated messages that get an anomaly.",
        ge=0,
        le=1,
        reloadable=True,
    )


@dataclasses.dataclass(frozen=True)
class ConsumerSettings:
    """A consumer's own settings."""

    agent_id: str = _env(
        "CONSUMER_ID", "", "Who this is: consumer-1, ...", required=True, pattern=r"^consumer-[1-9][0-9]*$"
    )
    sample_every: int = _env(
        "CONSUMER_SAMPLE_EVERY",
        10,
        "One message in so many is put to the brain.",
        unit="messages",
        ge=1,
        reloadable=True,
    )
    min_call_gap_s: float = _env(
        "CONSUMER_MIN_CALL_GAP_S", 10.0, "Least time between two questions.", unit="s", ge=0, le=3600, reloadable=True
    )
    decision_deadline_s: float = _env(
        "CONSUMER_DECISION_DEADLINE_S", 20.0, "For a decision, retries and all.", unit="s", ge=1, le=20
    )
    prefetch: int = _env("CONSUMER_PREFETCH", 50, "Unacknowledged messages a queue.", unit="messages", ge=1, le=1000)
    batch_size: int = _env(
        "CONSUMER_BATCH_SIZE", 20, "A batch is handled at this size.", unit="messages", ge=1, le=1000, reloadable=True
    )
    batch_age_s: float = _env(
        "CONSUMER_BATCH_AGE_S", 10.0, "A batch is handled at this age.", unit="s", ge=0.1, le=20, reloadable=True
    )
    handler: str = _env("CONSUMER_HANDLER", "simulate", "Name in the entry-point group reasond.handlers.")
    handler_duration_ms: float = _env(
        "CONSUMER_HANDLER_DURATION_MS",
        20.0,
        "How long the simulated handler works on a message.",
        unit="ms",
        ge=0,
        le=60000,
        reloadable=True,
    )
    handler_threads: int = _env("CONSUMER_HANDLER_THREADS", 2, "Handlers at work at a time.", ge=1, le=64)
    handler_attempts: int = _env("CONSUMER_HANDLER_ATTEMPTS", 3, "Tries before a message is rejected.", ge=1, le=20)
    handler_backoff_s: float = _env(
        "CONSUMER_HANDLER_BACKOFF_S", 0.5, "Wait before the second try; doubles after.", unit="s", ge=0, le=60
    )
    dedupe_window: int = _env(
        "CONSUMER_DEDUPE_WINDOW", 10000, "Message ids remembered.", unit="messages", ge=0, le=1000000
    )
    max_speed_kmh: float = _env(
        "CONSUMER_MAX_SPEED_KMH", 1000.0, "A book that moved faster is implausible.", unit="km/h", ge=1
    )
    # Places of the system's time-zone table lie between 78 south and 79 north.
    min_latitude: float = _env(
        "CONSUMER_MIN_LATITUDE", -80.0, "A book further south is implausible.", unit="degrees", ge=-90, le=90
    )
    max_latitude: float = _env(
        "CONSUMER_MAX_LATITUDE", 80.0, "A book further north is implausible.", unit="degrees", ge=-90, le=90
    )
    min_longitude: float = _env(
        "CONSUMER_MIN_LONGITUDE", -180.0, "A book further west is implausible.", unit="degrees", ge=-180, le=180
    )
    max_longitude: float = _env(
        "CONSUMER_MAX_LONGITUDE", 180.0, "A book further east is implausible.", unit="degrees", ge=-180, le=180
    )
    depth_period_s: float = _env(
        "CONSUMER_DEPTH_PERIOD_S", 5.0, "Between looks at the depths.", unit="s", ge=0.5, le=60
    )


@dataclasses.dataclass(frozen=True)
class MonitorSettings:
    """The monitor's own settings."""

    agent_id: str = _env("AGENT_ID", "monitor-1", "Who this is.", pattern=r"^monitor-[1-9][0-9]*$")
    period_s: float = _env("MONITOR_PERIOD_S", 60.0, "Between analyses.", unit="s", ge=2, le=3600)
    window_s: float = _env("MONITOR_WINDOW_S", 300.0, "What an analysis looks back on.", unit="s", ge=5, le=86400)
    decision_deadline_s: float = _env(
        "MONITOR_DECISION_DEADLINE_S", 45.0, "For an analysis, retries and all.", unit="s", ge=1, le=300
    )
    sampling_period_s: float = _env(
        "MONITOR_SAMPLING_PERIOD_S", 5.0, "Between the monitor's samples of the queues.", unit="s", ge=0.5, le=60
    )
    message_ttl_s: int = _env("PUBLISHER_TTL_S", 30, "ttl_seconds of generated messages.", unit="s", ge=1, le=86400)
    heartbeat_s: float = _env("REASOND_HEARTBEAT_S", 10.0, "Between agent_health points.", unit="s", ge=1, le=300)
    expected_agents: Strings = _env(
        "MONITOR_EXPECTED_AGENTS",
        ("publisher-1", "publisher-2", "publisher-3", "consumer-1", "consumer-2", "consumer-3", "monitor-1"),
        "Agents that should be alive.",
        reloadable=True,
    )
    alert_command: Strings = _env(
        "MONITOR_ALERT_COMMAND",
        (),
        "Program and arguments run on a critical status; the alert on standard input.",
        reloadable=True,
    )
    alert_timeout_s: float = _env(
        "MONITOR_ALERT_TIMEOUT_S", 20.0, "The alert command is ended after.", unit="s", ge=1, le=300
    )


@dataclasses.dataclass(frozen=True)
class WatchdogSettings:
    """Where `reasond watchdog-ping` tells that somebody is still here; agents don't read it."""

    url: str = _env(
        "REASOND_WATCHDOG_URL",
        "",
        "Address that reasond watchdog-ping asks for; empty: it must be given one.",
        secret=True,
        pattern=r"^(https?://.+)?$",
    )
    ca_file: str = _env("REASOND_WATCHDOG_CA_FILE", "", "CA bundle for that address; empty: the system's.")


@dataclasses.dataclass(frozen=True)
class Settings:
    """All sections; the one of the agent's own kind is `agent`."""

    rabbit: RabbitSettings
    influx: InfluxSettings
    brain: BrainSettings
    budget: BudgetSettings
    privacy: PrivacySettings
    process: ProcessSettings
    publisher: PublisherSettings
    consumer: ConsumerSettings
    monitor: MonitorSettings
    influx_setup: InfluxSetupSettings = InfluxSetupSettings()
    watchdog: WatchdogSettings = WatchdogSettings()


SECTIONS: Dict[str, Type[Any]] = {
    "rabbit": RabbitSettings,
    "influx": InfluxSettings,
    "brain": BrainSettings,
    "budget": BudgetSettings,
    "privacy": PrivacySettings,
    "process": ProcessSettings,
    "publisher": PublisherSettings,
    "consumer": ConsumerSettings,
    "monitor": MonitorSettings,
    "influx_setup": InfluxSetupSettings,
    "watchdog": WatchdogSettings,
}
OWN_PREFIXES = ("REASOND_", "PUBLISHER_", "CONSUMER_", "MONITOR_", "CLAUDE_", "BUDGET_", "PROMPT_", "TRANSCRIPT_")
"""Variables of these names are ours: one that isn't declared is a typing mistake and refused."""

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def all_settings() -> Iterator[Setting]:
    """Yield every declared setting, section by section."""
    for section, kind in SECTIONS.items():
        types = get_type_hints(kind)
        for field in dataclasses.fields(kind):
            yield Setting(
                section=section, attribute=field.name, type=types[field.name], default=field.default, **field.metadata
            )


def load(environ: Mapping[str, str], agent_section: Optional[str] = None) -> Settings:
    """Read all settings from a mapping of environment variables.

    `agent_section` names the section whose required settings must be there (publisher, consumer, monitor).
    An empty value counts as not set. Raises SettingsError with every problem found, one line each.
    """
    problems: List[str] = _unknown(environ)
    values: Dict[str, Dict[str, Any]] = {section: {} for section in SECTIONS}
    for setting in all_settings():
        text = environ.get(setting.env, "").strip()
        if not text:
            if setting.required and setting.section == agent_section:
                problems.append("{} is not set: {}".format(setting.env, setting.help))
            continue
        try:
            values[setting.section][setting.attribute] = parse(setting, text)
        except ValueError as err:
            shown = "the value" if setting.secret else repr(text)
            problems.append("{}: {} {}".format(setting.env, shown, err))
    if not problems:
        settings = Settings(**{name: kind(**values[name]) for name, kind in SECTIONS.items()})
        problems.extend(_crossed(settings, agent_section))
    if problems:
        raise SettingsError(list(dict.fromkeys(problems)))  # two sections may share one variable
    return settings


def parse(setting: Setting, text: str) -> Any:
    """Give the typed value of a setting's text.

    Raises ValueError telling what is expected instead.
    """
    value = _PARSERS[setting.type](text, setting)
    if setting.choices and value not in setting.choices:
        # Looked up only now: it reads every installed package's metadata.
        there = setting.choices + (plugins.names(setting.plugins) if setting.plugins else ())
        if value not in there:
            raise ValueError("is not one of {}".format(", ".join(there)))
    if setting.pattern and not re.match(setting.pattern, value):
        raise ValueError("does not match {}".format(setting.pattern))
    _check_bounds(setting, value)
    return value


def merge(environ: Mapping[str, str], reread: Mapping[str, str]) -> Dict[str, str]:
    """Give `environ` with those variables of `reread` that may change without a restart."""
    safe = {setting.env for setting in all_settings() if setting.reloadable}
    merged = {name: value for name, value in environ.items() if name not in safe}
    merged.update({name: value for name, value in reread.items() if name in safe})
    return merged


def _unknown(environ: Mapping[str, str]) -> List[str]:
    known = {setting.env for setting in all_settings()}
    problems = []
    for name in sorted(environ):
        if name.startswith(OWN_PREFIXES) and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = "; did you mean {}?".format(near[0]) if near else ""
            problems.append("{} is not a setting of reasond{}".format(name, hint))
    return problems


def _crossed(settings: Settings, agent_section: Optional[str]) -> List[str]:
    """Check what only two settings together can get wrong."""
    problems = list(_publisher_problems(settings.publisher))
    if agent_section == "monitor" and settings.monitor.decision_deadline_s >= settings.monitor.period_s:
        problems.append("MONITOR_DECISION_DEADLINE_S must be below MONITOR_PERIOD_S")
    if agent_section == "publisher":
        problems.extend(_switchback_problems(settings))
    for pattern in settings.privacy.redact:
        try:
            re.compile(pattern)
        except re.error as err:
            problems.append("PROMPT_REDACT: {!r} is no regular expression: {}".format(pattern, err))
    return problems


def _publisher_problems(publisher: PublisherSettings) -> Iterator[str]:
    if publisher.min_interval_s > publisher.max_interval_s:
        yield "PUBLISHER_MIN_INTERVAL_S is above PUBLISHER_MAX_INTERVAL_S"
    for name in ("fictional", "nonfictional"):
        value = getattr(publisher, name + "_interval_s")
        if not publisher.min_interval_s <= value <= publisher.max_interval_s:
            yield "PUBLISHER_{}_INTERVAL_S is outside PUBLISHER_MIN_INTERVAL_S and PUBLISHER_MAX_INTERVAL_S".format(
                name.upper()
            )
    if publisher.decision_deadline_s >= publisher.decision_period_s:
        yield "PUBLISHER_DECISION_DEADLINE_S must be below PUBLISHER_DECISION_PERIOD_S"


def _switchback_problems(settings: Settings) -> Iterator[str]:
    try:
        plan = switchback.parse(settings.publisher.switchback)
    except ValueError as err:
        yield "REASOND_SWITCHBACK: {!r} {}".format(settings.publisher.switchback, err)
        return
    if plan is not None and plan.treatment != settings.brain.brain:
        yield "REASOND_SWITCHBACK: its treatment is {}, but REASOND_BRAIN is {}".format(
            plan.treatment, settings.brain.brain
        )


def _check_bounds(setting: Setting, value: Any) -> None:
    unit = " " + setting.unit if setting.unit else ""
    if setting.ge is not None and value < setting.ge:
        raise ValueError("is below {:g}{}".format(setting.ge, unit))
    if setting.le is not None and value > setting.le:
        raise ValueError("is above {:g}{}".format(setting.le, unit))


def _bool(text: str, setting: Setting) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError("is neither {} nor {}".format("/".join(_TRUE), "/".join(_FALSE)))
    return text.lower() in _TRUE


def _int(text: str, setting: Setting) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("is not a whole number{}".format(" of " + setting.unit if setting.unit else "")) from None


def _float(text: str, setting: Setting) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("is not a number{}".format(" of " + setting.unit if setting.unit else "")) from None
    if not math.isfinite(value):
        raise ValueError("is not a finite number")
    return value


def _strings(text: str, setting: Setting) -> Strings:
    if setting.env == "MONITOR_ALERT_COMMAND":
        return tuple(text.split())
    # Regular expressions hold commas of their own.
    separator = ";" if setting.env == "PROMPT_REDACT" else ","
    return tuple(part.strip() for part in text.split(separator) if part.strip())


_PARSERS: Dict[Any, Callable[[str, Setting], Any]] = {
    bool: _bool,
    int: _int,
    float: _float,
    str: lambda text, setting: text,
    Strings: _strings,
}
