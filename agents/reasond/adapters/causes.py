"""Why a connection failed, in a few words; used by every adapter that goes through urllib3."""

import urllib3

CAUSE_MAX_CHARS = 200
"""A reason is a part of one line."""


def short_cause(err: BaseException) -> str:
    """Give the innermost reason of a failure, without the object addresses that urllib3 puts into its texts."""
    # urllib3's class for a refused connection is one of a timeout too.
    if isinstance(err, urllib3.exceptions.TimeoutError) and not isinstance(err, urllib3.exceptions.NewConnectionError):
        return "no answer in time"
    while err.__cause__ is not None or err.__context__ is not None:
        err = err.__cause__ or err.__context__  # type: ignore[assignment]
    text = err.strerror if isinstance(err, OSError) else ""
    return text or " ".join(str(err).split())[:CAUSE_MAX_CHARS]
