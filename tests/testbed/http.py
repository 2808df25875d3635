"""JSON over HTTP to a service of the test bed, without proxies and without a third-party client."""

import json
import urllib.error
import urllib.request
from typing import Any, Dict, Optional, Union

# A developer's proxy settings must not catch requests to the loopback address.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
ANSWER_SECONDS = 10


class HttpError(Exception):
    """The service answered with an error status."""

    def __init__(self, method: str, url: str, status: int, body: str) -> None:
        super().__init__(f"{method} {url}: {status} {body[:500]}")
        self.status = status
        self.body = body


def send(
    method: str,
    url: str,
    body: Optional[Union[bytes, str]] = None,
    headers: Optional[Dict[str, str]] = None,
    timeout_seconds: float = ANSWER_SECONDS,
) -> str:
    """Send one request and return the answer's text; raise HttpError, or OSError when nobody answers."""
    data = body.encode() if isinstance(body, str) else body
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    try:
        with _OPENER.open(request, timeout=timeout_seconds) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as err:
        # Raised by itself it would count as an OSError and look like "not up yet".
        raise HttpError(method, url, err.code, err.read().decode(errors="replace")) from err


def send_json(method: str, url: str, body: Any = None, headers: Optional[Dict[str, str]] = None) -> Any:
    """Send one request with a JSON body and return the decoded answer, None when it is empty."""
    text = None if body is None else json.dumps(body)
    answer = send(method, url, text, {"Content-Type": "application/json", **(headers or {})})
    return json.loads(answer) if answer else None
