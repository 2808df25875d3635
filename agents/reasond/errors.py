"""The project's errors in one tree; a class says whose fault it is, adapters translate foreign ones into it.

The command line turns each into one line and its `exit_code` (sysexits.h, as systemd.exec(5) names them).
"""

from typing import Sequence


class ReasondError(Exception):
    """Anything that reasond itself reports; its text says what, where and what to do."""

    exit_code = 1
    hint = ""
    """What to do next, where the text alone doesn't say it; the command line prints it behind the text."""


class SettingsError(ReasondError):
    """The user's settings can't be used; carries every problem found, not only the first."""

    exit_code = 78  # EX_CONFIG: units name it in RestartPreventExitStatus

    def __init__(self, problems: Sequence[str]) -> None:
        """Keep each problem, one line each, naming the variable."""
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class InputError(ReasondError):
    """A command was given something that it can't work with."""

    exit_code = 2


class MessageInvalid(ReasondError):
    """A message breaks the schema: `path` (JSON path) says where, `reason` what."""

    def __init__(self, path: str, reason: str) -> None:
        """Keep where and what."""
        super().__init__("{} at {}".format(reason, path))
        self.path = path
        self.reason = reason


class DecisionInvalid(ReasondError):
    """A brain's answer can't be read as a decision of its kind."""


class BrokerError(ReasondError):
    """RabbitMQ said no or can't be reached."""


class BrokerUnavailable(BrokerError):
    """RabbitMQ can't be reached now; trying again later may help."""

    exit_code = 75  # EX_TEMPFAIL
    hint = "try again later; what is wrong with it: reasond doctor"


class BrokerRefused(BrokerError):
    """RabbitMQ answered and refused: credentials, permissions or a bad request."""

    exit_code = 77  # EX_NOPERM
    hint = "which setting or right is wrong: reasond doctor"


class TopologyConflict(BrokerError):
    """What stands on the broker differs from the declared topology; nothing was changed."""

    exit_code = 3

    def __init__(self, conflicts: Sequence[str]) -> None:
        """Keep each conflict, one line each."""
        super().__init__("\n".join(conflicts))
        self.conflicts = tuple(conflicts)


class StoreError(ReasondError):
    """InfluxDB said no or can't be reached."""


class StoreUnavailable(StoreError):
    """InfluxDB can't be reached now; trying again later may help."""

    exit_code = 75  # EX_TEMPFAIL
    hint = "try again later; what is wrong with it: reasond doctor"


class StoreRefused(StoreError):
    """InfluxDB answered and refused: token, permission or a bad request."""

    exit_code = 77  # EX_NOPERM
    hint = "which setting or right is wrong: reasond doctor"


class IdentityTaken(ReasondError):
    """Another live process on this host holds the same agent identity."""

    exit_code = 78


class PingUndelivered(ReasondError):
    """The dead man's ping reached nobody."""

    exit_code = 75  # EX_TEMPFAIL
