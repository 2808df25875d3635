"""Waiting with a deadline; used wherever a test looks at something that another process does."""

import time
from typing import Callable, Optional, TypeVar

T = TypeVar("T")


class NeverHappened(AssertionError):
    """What was waited for did not come about before the deadline."""


def wait_until(
    probe: Callable[[], Optional[T]], *, what: str, timeout_seconds: float, every_seconds: float = 0.05
) -> T:
    """Call the probe until it returns something true, and return that.

    An OSError of the probe counts as "not yet": servers that start or restart refuse connections.
    Raises NeverHappened with `what` and the last answer or error once the deadline has passed.
    """
    deadline = time.monotonic() + timeout_seconds
    last: object = None
    while True:
        try:
            answer = probe()
            if answer:
                return answer
            last = answer
        except OSError as err:
            last = err
        if time.monotonic() >= deadline:
            raise NeverHappened(f"not within {timeout_seconds:g} s: {what} (last: {last!r})")
        time.sleep(every_seconds)
