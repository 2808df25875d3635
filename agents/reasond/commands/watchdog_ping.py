"""`reasond watchdog-ping`: the dead man's ping, by which somebody off the host notices when all here is dead."""

import os
from typing import Optional

import click

from reasond.adapters.ping import ATTEMPTS, TIMEOUT_S, address, ping
from reasond.commands.status import now
from reasond.doctor.examined import examine
from reasond.errors import InputError


@click.command("watchdog-ping", short_help="Ping an address off the host, as a dead man's switch.")
@click.argument("url", required=False)
@click.option("--plain", is_flag=True, help="Don't look at the system: tell only that this host lives.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0.1, max=60),
    default=TIMEOUT_S,
    show_default=True,
    help="Seconds for one attempt.",
)
@click.option("--attempts", type=click.IntRange(min=1, max=5), default=ATTEMPTS, show_default=True, help="At most.")
def watchdog_ping(url: Optional[str], plain: bool, timeout_s: float, attempts: int) -> None:
    """Ask for URL (REASOND_WATCHDOG_URL) while all is well, for URL/fail while something needs care.

    URL is that of a check at healthchecks.io or another service of its kind, which tells you when pings stop: then
    this host, its network or the timer is dead, and nothing here can tell. What needs care is what reasond status
    says. One GET goes out and nothing else: no body and no figures. HTTPS_PROXY, HTTP_PROXY and NO_PROXY are
    heeded; REASOND_WATCHDOG_CA_FILE names a CA of your own.

    Exits with 0 when the ping arrived, whatever it told, and with 75 when it did not.

    \b
    Examples:
      sudo reasond watchdog-ping https://hc-ping.com/your-uuid
      sudo reasond watchdog-ping --plain
      systemctl enable --now reasond-watchdog-ping.timer
    """
    watchdog = examine(os.environ).settings.watchdog
    target = url or watchdog.url
    if not target.startswith(("http://", "https://")):
        raise InputError(
            "watchdog-ping needs an address: give a URL that begins with https://, or REASOND_WATCHDOG_URL"
        )
    failed = False
    if not plain:
        found = now()
        failed = not found.healthy
        for line in found.care:
            click.echo(f"needs care: {line}", err=True)
    ping(address(target, failed), ca_file=watchdog.ca_file, timeout_s=timeout_s, attempts=attempts)
    click.echo("told that something needs care" if failed else "told that all is well")
