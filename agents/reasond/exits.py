"""The exit statuses of the command, declared once: what each means and what to do; docs/exit-codes.md is made of it.

Numbers from 64 on are those of sysexits.h, as systemd.exec(5) names them. Errors carry theirs in `reasond.errors`.
"""

from typing import Dict, NamedTuple

WELL = 0
WRONG = 1
MISUSED = 2
CONFLICT = 3
LATER = 75
REFUSED = 77
SETTINGS = 78
INTERRUPTED = 130


class Exit(NamedTuple):
    """What a status means, and what to do about it."""

    means: str
    do: str


STATUSES: Dict[int, Exit] = {
    WELL: Exit("Well.", "Nothing."),
    WRONG: Exit(
        "The command did its work and found or left something wrong; the table below says what.",
        "Read what it printed.",
    ),
    MISUSED: Exit(
        "It was given something it can't work with: a wrong option, an unknown agent or id.",
        "Read the line on standard error, and `--help`.",
    ),
    CONFLICT: Exit(
        "What stands on the broker conflicts with the declared topology; nothing was changed.",
        "Mend each conflict named, then run it again.",
    ),
    LATER: Exit(
        "RabbitMQ, InfluxDB or the address of the ping can't be reached.",
        "Try again later; `reasond doctor` says what is wrong.",
    ),
    REFUSED: Exit(
        "RabbitMQ or InfluxDB answered and refused: credentials, rights, names.",
        "Run `reasond doctor`; it names the setting.",
    ),
    SETTINGS: Exit(
        "Settings are wrong, or the agent's identity is taken. A restart won't help, and the units try none.",
        "Mend every setting named on standard error.",
    ),
    INTERRUPTED: Exit("Interrupted by Ctrl-C, or a question was not answered.", "Nothing."),
}
"""By number. A status that isn't here is Python's own, for a fault of ours: please report it with its traceback."""

_BROKER = {LATER: "RabbitMQ can't be reached", REFUSED: "RabbitMQ refused"}
_STORE = {LATER: "InfluxDB can't be reached", REFUSED: "InfluxDB refused"}
_AGENT = {WELL: "stopped by SIGTERM or SIGINT", SETTINGS: "settings are wrong, or the identity is taken"}

BY_COMMAND: Dict[str, Dict[int, str]] = {
    "publisher": _AGENT,
    "consumer": _AGENT,
    "monitor": _AGENT,
    "setup-rabbitmq": {WRONG: "with `--check`: something is missing", CONFLICT: "a conflict", **_BROKER},
    "setup-influxdb": {WRONG: "with `--check`: something is missing or differs", **_STORE},
    "status": {
        WRONG: "something needs care: each line that begins with `!`, `care` in the JSON",
        LATER: "InfluxDB can't be reached; what this host knows is shown",
        REFUSED: "InfluxDB refused; likewise",
    },
    "decisions": {**_STORE, MISUSED: "no decision of that id, or several"},
    "why": {**_STORE, MISUSED: "nothing is known of that agent"},
    "budget": {
        LATER: "InfluxDB can't be reached; this host's agents are shown",
        REFUSED: "InfluxDB refused; likewise",
    },
    "control": {MISUSED: "no such agent here, or this user may not"},
    "load": {
        WRONG: "not every message was published and confirmed",
        INTERRUPTED: "Ctrl-C; what was done is told",
        **_BROKER,
    },
    "quarantine": {WRONG: "some messages stay: each is named", **_BROKER},
    "doctor": {WRONG: "something has failed; with `--strict`: or is a warning"},
    "experiment": _STORE,
    "simulate": {INTERRUPTED: "Ctrl-C, or no to what it would cost"},
    "report": _STORE,
    "watchdog-ping": {WELL: "the ping arrived, whatever it told", LATER: "it reached nobody"},
    "completion": {},
    "demo": {INTERRUPTED: "Ctrl-C"},
}
"""What a status means with each command, beyond the table of all; 0, 2 and 78 are possible with every one."""
