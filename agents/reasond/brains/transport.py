"""The anthropic SDK, both generations (0.72 with httpx, 2.x with httpx2), by its public interfaces only.

Used by the Claude brain. The SDK is imported when a `Transport` is made, never with this module. Retries are
the SDK's own; what it lacks is a total deadline and a bound on the body, which the `Exchange` adds.
"""

import importlib
import os
import re
import ssl
from typing import Any, Dict

from reasond.brains.exchange import BodyTooLarge, DeadlinePassed, Exchange, GivenUp
from reasond.brains.redaction import Secrets
from reasond.brains.replies import reason_of, words_of
from reasond.core.effects import FailureReason

MAX_DETAIL_CHARS = 300
"""Of a failure's text: journals and points hold one line."""

# What a header may carry (RFC 9110, "Field Values"), without blanks, which no key has.
_KEY = re.compile(r"[!-~]+\Z")


class CallFailed(Exception):
    """No answer came: `reason` for the core, `kind` for `api_calls`, `detail` for people (never a secret)."""

    def __init__(self, reason: FailureReason, kind: str, detail: str) -> None:
        """Keep all three."""
        super().__init__(detail)
        self.reason: FailureReason = reason
        self.kind = kind
        self.detail = detail


_WITHOUT_STATUS: Dict[str, FailureReason] = {
    "timeout": "deadline",
    "deadline": "deadline",
    "connection": "unreachable",
    "cut_off": "unreachable",
    "too_large": "invalid_answer",
    "internal": "internal",
}


def usable_key(api_key: str) -> bool:
    """Tell whether the text can be sent as a key at all."""
    return _KEY.match(api_key) is not None


class Transport:
    """Sends a request through the SDK; one client a question, so that nothing of one can hold up another.

    A client costs 0.2 ms beside the trust store, which is read once.
    """

    def __init__(self, *, api_key: str, base_url: str = "", ca_file: str = "", max_retries: int = 3) -> None:
        """Import the SDK and read the trust store.

        Raises OSError or ssl.SSLError for a `ca_file` that can't be read.
        """
        self._sdk: Any = importlib.import_module("anthropic")
        self._api_key = api_key
        self._base_url = base_url
        self._max_retries = max_retries
        self._trust = _trust_store(ca_file)
        self._secrets = Secrets((api_key,))

    def post(self, exchange: Exchange, request: Dict[str, Any]) -> bytes:
        """Give the body of the API's answer to `messages.create(**request)`.

        Blocks up to the exchange's deadline in all but rare cases (a name that doesn't resolve, headers that
        dribble), which only the caller's own wait bounds. Raises CallFailed.
        """
        http = self._sdk.DefaultHttpxClient(
            verify=self._trust,
            # A redirect would carry the key to another address.
            follow_redirects=False,
            event_hooks={"request": [exchange.on_request], "response": [exchange.on_response]},
        )
        try:
            with self._sdk.Anthropic(
                api_key=self._api_key,
                base_url=self._base_url or None,
                max_retries=self._max_retries,
                timeout=exchange.attempt_timeout_s,
                http_client=http,
                # A compressed body could grow a thousandfold within one chunk, before it is counted.
                default_headers={"Accept-Encoding": "identity"},
            ) as client:
                with client.messages.with_streaming_response.create(**request) as response:
                    return exchange.read(response.iter_bytes())
        except Exception as err:
            raise self._failure(exchange, err) from err

    def _failure(self, exchange: Exchange, err: Exception) -> CallFailed:
        attempt = exchange.end(_kind(err))
        if attempt is None:
            return CallFailed("internal", "internal", self._tell(err))
        if attempt.status >= 300:
            reason, kind = reason_of(attempt.status, attempt.detail)
            exchange.end(kind, only_open=False)
            text = self._secrets.scrub(words_of(attempt.detail))
            return CallFailed(reason, kind, f"{attempt.status}: {text}"[:MAX_DETAIL_CHARS])
        # Headers that came leave no doubt that the answer itself was cut off.
        kind = "cut_off" if attempt.status and attempt.error in ("connection", "internal") else attempt.error
        exchange.end(kind, only_open=False)
        return CallFailed(_WITHOUT_STATUS.get(kind, "internal"), kind, self._tell(err))

    def _tell(self, err: Exception) -> str:
        inner = err.__cause__ or err
        return self._secrets.scrub(f"{type(inner).__name__}: {inner}")[:MAX_DETAIL_CHARS]


def _kind(err: Exception) -> str:
    if isinstance(err, BodyTooLarge):
        return "too_large"
    if isinstance(err, (DeadlinePassed, GivenUp)):
        return "deadline"
    return "timeout" if "Timeout" in type(err).__name__ else "connection"


def _trust_store(ca_file: str) -> ssl.SSLContext:
    """Give the system's trust store with the given CA added; certifi's where the system has none."""
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    elif not _system_has_store():
        context.load_verify_locations(cafile=importlib.import_module("certifi").where())
    return context


def _system_has_store() -> bool:
    paths = ssl.get_default_verify_paths()
    return any(path is not None and os.path.exists(path) for path in (paths.cafile, paths.capath))
