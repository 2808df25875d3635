"""Writes values as systemd's EnvironmentFile= reads them (systemd.exec(5)); used by the role's files of settings."""

import re
from typing import Any, Callable, Dict, Mapping

from ansible.errors import AnsibleFilterError

# Inside double quotes systemd takes a backslash before these for an escape, and before nothing else.
ESCAPED = re.compile(r'(["\\`$])')
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
HEADER = "# Written by Ansible (role agents): change the inventory, as the next run overwrites this file.\n"
# systemd drops a variable whose value has one of these, with no more than a line in its journal.
REFUSED = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def env_text(value: Any, name: str) -> str:
    """Give a value's text; raises AnsibleFilterError naming the variable, never the value, which may be secret."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if not isinstance(value, (str, int, float)):
        raise AnsibleFilterError(f"{name}: give text, a number or true/false, not a list or a mapping")
    return str(value)


def env_line(value: Any, name: str) -> str:
    """Give the line that sets a variable to a value.

    Raises AnsibleFilterError for a name that is none, and for a value with a line break or another control character.
    """
    if not NAME.fullmatch(name):
        raise AnsibleFilterError(f"{name!r} is no name of an environment variable")
    text = env_text(value, name)
    if REFUSED.search(text):
        raise AnsibleFilterError(f"{name}: the value holds a line break or another control character")
    return '{}="{}"'.format(name, ESCAPED.sub(r"\\\1", text))


def env_file(values: Mapping[str, Any]) -> str:
    """Give a whole file's text, sorted by name, without the variables that have no value.

    An empty line for a password would win over the value that an earlier file has. Raises as `env_line`.
    """
    lines = [env_line(value, name) + "\n" for name, value in sorted(values.items())]
    return HEADER + "".join(line for line in lines if not line.endswith('=""\n'))


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> Dict[str, Callable[..., str]]:
        """Give the filters by name."""
        return {"reasond_env_file": env_file}
