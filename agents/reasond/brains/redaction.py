"""What is cut out before text leaves the process: the user's patterns from prompts, keys from everything.

Used by the prompts (PROMPT_REDACT), the Claude brain's error texts and the transcript.
"""

import json
import re
from typing import Any, Iterable, List, Pattern, Sequence, Tuple

REDACTED = "[redacted]"

_KEY_LIKE = re.compile(r"sk-ant-[A-Za-z0-9_-]{4,}")


class Redactor:
    """Cuts out of data whatever one of the patterns (regular expressions) matches.

    Each value and each key is looked at by itself, never the rendered text: a match can so not swallow the
    quotes around a value and let what follows pass for the prompt's own words.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """Compile the patterns; raises re.error for one that is no regular expression."""
        self._patterns: List[Pattern[str]] = [re.compile(pattern) for pattern in patterns]

    def clean(self, value: Any) -> Any:
        """Give the value with every match replaced; a number that matches becomes a text that says so."""
        if not self._patterns:
            return value
        if isinstance(value, dict):
            return {self._text(str(key)): self.clean(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.clean(item) for item in value]
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value if self._text(repr(value)) == repr(value) else REDACTED
        return value

    def _text(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(lambda match: REDACTED if match.group() else "", text)
        return text


class Secrets:
    """Replaces known secrets, and what looks like an API key, in any text."""

    def __init__(self, values: Sequence[str] = ()) -> None:
        """Take the secret values; empty ones are ignored."""
        plain = {value for value in values if value}
        # As Python and JSON would quote them: an error may carry a header's repr.
        quoted = {repr(value)[1:-1] for value in plain} | {json.dumps(value)[1:-1] for value in plain}
        self._values: Tuple[str, ...] = tuple(sorted(plain | quoted, key=len, reverse=True))

    def scrub(self, text: str) -> str:
        """Give the text without any secret."""
        for value in self._values:
            text = text.replace(value, REDACTED)
        return _KEY_LIKE.sub(REDACTED, text)

    def scrub_all(self, value: Any) -> Any:
        """Give a value (of JSON's types) with every text in it scrubbed; keys are ours and stay."""
        if isinstance(value, str):
            return self.scrub(value)
        if isinstance(value, dict):
            return {key: self.scrub_all(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.scrub_all(item) for item in value]
        return value
