"""A dead man's ping: one GET to an address off this host, by which somebody else notices when it stops.

Used by `reasond watchdog-ping`. Nothing but the request itself is sent: no body, no figures, no names.
"""

import random
import time
import urllib.request
from typing import Any, Callable, Mapping, Optional
from urllib.parse import urlsplit, urlunsplit

import urllib3

from reasond.adapters.causes import short_cause
from reasond.core.backoff import delay_s
from reasond.errors import PingUndelivered

ATTEMPTS = 3
TIMEOUT_S = 10.0
"""Seconds for each attempt; with the waits between them a run ends within 40 s."""
WAIT_BASE_S, WAIT_CAP_S = 1.0, 5.0
FAIL = "fail"
"""What is put behind the address when something needs care, as healthchecks.io and its kin have it."""


def address(url: str, failed: bool) -> str:
    """Give the address to ask for: /fail behind the path, in front of a query, when something needs care."""
    if not failed:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/" + FAIL))


def ping(
    url: str,
    *,
    ca_file: str = "",
    timeout_s: float = TIMEOUT_S,
    attempts: int = ATTEMPTS,
    wait: Callable[[float], None] = time.sleep,
    proxies: Optional[Mapping[str, str]] = None,
) -> int:
    """Ask for an address until it answers with a status of 200 to 299; give how many attempts it took.

    Goes by the proxy of HTTPS_PROXY, HTTP_PROXY and NO_PROXY unless `proxies` says otherwise. Raises PingUndelivered.
    """
    why = ""
    for attempt in range(1, attempts + 1):
        why = _attempt(url, ca_file, timeout_s, _proxy(url, proxies))
        if not why:
            return attempt
        if attempt < attempts:
            wait(delay_s(attempt - 1, base_s=WAIT_BASE_S, cap_s=WAIT_CAP_S, rng=random.Random()))
    # The path is a secret in itself: who knows it can ping.
    raise PingUndelivered(
        f"no ping reached {_host(url)} in {attempts} attempts: {why}; check the address, HTTPS_PROXY and the firewall"
    )


def _attempt(url: str, ca_file: str, timeout_s: float, proxy: str) -> str:
    """Ask once; give what went wrong, empty for nothing."""
    settings: Any = {
        "timeout": urllib3.Timeout(total=timeout_s),
        "retries": False,
        "ca_certs": ca_file or None,
    }
    try:
        with _pool(proxy, settings) as pool:
            answer = pool.request("GET", url, headers={"User-Agent": "reasond"}, redirect=False)
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as err:
        return short_cause(err)
    return "" if 200 <= answer.status < 300 else f"it answers {answer.status}"


def _pool(proxy: str, settings: Any) -> Any:
    return urllib3.ProxyManager(proxy, **settings) if proxy else urllib3.PoolManager(**settings)


def _proxy(url: str, proxies: Optional[Mapping[str, str]]) -> str:
    """Give the proxy for an address, empty for none."""
    if proxies is None:
        proxies = {} if urllib.request.proxy_bypass(_host(url)) else urllib.request.getproxies()
    return proxies.get(urlsplit(url).scheme, "")


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""
