"""Reads a systemd EnvironmentFile by systemd's own quoting rules (systemd.exec(5)); used at SIGHUP.

The units have systemd read these files at start; a reload must come to the same values, so this is the same
machine of states that systemd's parser is: a quote counts only where a value, or a further piece of it, begins.
"""

from pathlib import Path
from typing import Callable, Dict, Iterable, List, Optional, Tuple

from reasond.errors import InputError

_BLANK = " \t\r"
# Inside double quotes the backslash escapes these characters only; before others it stands for itself.
_ESCAPABLE_IN_DOUBLE_QUOTES = '"\\`$'


def read(path: Path) -> Dict[str, str]:
    """Give the variables a file sets, later ones over earlier ones.

    Raises InputError naming the file when it can't be read or a name is no variable's.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise InputError("can't read {}: {}".format(path, err)) from err
    variables = parse(text)
    for name in variables:
        if not name.isidentifier():
            raise InputError("{}: {!r} is no variable's name".format(path, name))
    return variables


def named(name: str) -> Tuple[Path, bool]:
    """Give the file of a name, and whether it may be missing: as in EnvironmentFile=, a `-` before it says so."""
    return (Path(name[1:]), True) if name.startswith("-") else (Path(name), False)


def read_all(names: Iterable[str]) -> Dict[str, str]:
    """Give the variables of several files, later files over earlier ones.

    The names are as `named` takes them. Raises InputError as `read`.
    """
    variables: Dict[str, str] = {}
    for path, optional in map(named, names):
        if not (optional and not path.exists()):
            variables.update(read(path))
    return variables


def parse(text: str) -> Dict[str, str]:
    """Give the variables that a file's text sets."""
    return _Parser(text).variables


class _Parser:
    """One pass over the text; each state is a method that takes a character and gives the next state."""

    def __init__(self, text: str) -> None:
        self.variables: Dict[str, str] = {}
        self._key: List[str] = []
        self._value: List[str] = []
        self._kept = 0  # length up to which the value's trailing blanks belong to it
        state: Callable[[str], Callable[[str], object]] = self._before_key
        for char in text:
            state = state(char)  # type: ignore[assignment]
        self._finish(value_begun=state not in (self._before_key, self._in_key, self._comment, self._comment_escape))

    def _finish(self, value_begun: bool = True) -> None:
        name = "".join(self._key).strip(_BLANK)
        if value_begun and name:
            self.variables[name] = "".join(self._value[: self._kept])
        self._key, self._value, self._kept = [], [], 0

    def _append(self, text: str, keep: Optional[bool] = True) -> None:
        self._value.extend(text)
        if keep:
            self._kept = len(self._value)

    def _before_key(self, char: str) -> Callable[[str], object]:
        if char in "#;":
            return self._comment
        if char in _BLANK + "\n":
            return self._before_key
        self._key.append(char)
        return self._in_key

    def _in_key(self, char: str) -> Callable[[str], object]:
        if char == "\n":
            self._finish(value_begun=False)
            return self._before_key
        if char == "=":
            return self._before_value
        self._key.append(char)
        return self._in_key

    def _before_value(self, char: str) -> Callable[[str], object]:
        if char == "\n":
            self._finish()
            return self._before_key
        if char in _BLANK:
            return self._before_value
        if char == "'":
            return self._in_single_quotes
        if char == '"':
            return self._in_double_quotes
        if char == "\\":
            return self._value_escape
        self._append(char)
        return self._in_value

    def _in_value(self, char: str) -> Callable[[str], object]:
        if char == "\n":
            self._finish()
            return self._before_key
        if char == "\\":
            return self._value_escape
        self._append(char, keep=char not in _BLANK)
        return self._in_value

    def _value_escape(self, char: str) -> Callable[[str], object]:
        if char != "\n":
            self._append(char)
        return self._in_value

    def _in_single_quotes(self, char: str) -> Callable[[str], object]:
        if char == "'":
            return self._before_value
        self._append(char)
        return self._in_single_quotes

    def _in_double_quotes(self, char: str) -> Callable[[str], object]:
        if char == '"':
            return self._before_value
        if char == "\\":
            return self._double_quotes_escape
        self._append(char)
        return self._in_double_quotes

    def _double_quotes_escape(self, char: str) -> Callable[[str], object]:
        if char in _ESCAPABLE_IN_DOUBLE_QUOTES:
            self._append(char)
        elif char != "\n":
            self._append("\\" + char)
        return self._in_double_quotes

    def _comment(self, char: str) -> Callable[[str], object]:
        if char == "\\":
            return self._comment_escape
        return self._before_key if char == "\n" else self._comment

    def _comment_escape(self, char: str) -> Callable[[str], object]:
        return self._comment
