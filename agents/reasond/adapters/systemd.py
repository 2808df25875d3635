"""systemd's notification protocol, sd_notify(3), through sdnotify; used by the runtime.

Outside systemd (no $NOTIFY_SOCKET) every call does nothing.
"""

import os
from typing import Mapping, Optional

import sdnotify


class Notifier:
    """Tells systemd how the service is doing."""

    def __init__(self, environ: Optional[Mapping[str, str]] = None) -> None:
        """Read the watchdog's period from the environment systemd gave."""
        environ = os.environ if environ is None else environ
        self._notifier = sdnotify.SystemdNotifier()
        self._status = ""
        usec = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self.watchdog_s: Optional[float] = int(usec) / 1e6 if usec.isdigit() and int(usec) and mine else None

    def ready(self) -> None:
        """Tell that start-up, or a reload, is complete."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Tell that settings are being read anew; `ready` ends it."""
        self._send("RELOADING=1")

    def stopping(self) -> None:
        """Tell that the service has begun to stop."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Reset the watchdog."""
        self._send("WATCHDOG=1")

    def extend_start_s(self, seconds: float) -> None:
        """Ask for so many seconds more before the start counts as failed."""
        self._send("EXTEND_TIMEOUT_USEC={}".format(int(seconds * 1e6)))

    def status(self, line: str) -> None:
        """Show one line in `systemctl status`; sent only when it changed."""
        line = " ".join(line.split())
        if line != self._status:
            self._status = line
            self._send("STATUS=" + line)

    def _send(self, state: str) -> None:
        self._notifier.notify(state)
