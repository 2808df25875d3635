"""Have a release of reasond judge settings before any agent sees them; run on the host by that release's Python.

Standard input is one JSON object, as secrets must stand on no command line: `files` maps the name of each
settings file to its text, in the order in which the units read them; `agents` lists the instances, such as
publisher-1, whose own file is named <instance>.env. Prints every problem, one a line, and exits with 78 when
there is one.
"""

import json
import sys
from typing import Any, Dict, List

from reasond import settings
from reasond.adapters import envfile
from reasond.errors import SettingsError

ALL_AGENTS, SECRETS = "agents.env", "secrets.env"
IDENTITIES = {"publisher": "PUBLISHER_ID", "consumer": "CONSUMER_ID", "monitor": "AGENT_ID"}


def misplaced(name: str, variables: Dict[str, str]) -> List[str]:
    """Return the secrets among the variables of a file that the agents' user may read."""
    if name == SECRETS:
        return []
    secret = {setting.env for setting in settings.all_settings() if setting.secret}
    return [f"{name}: {env} is a secret and belongs into agents_secrets" for env in sorted(secret & set(variables))]


def problems_of(asked: Dict[str, Any]) -> List[str]:
    """Return every problem of every agent, each once."""
    files = {name: envfile.parse(text) for name, text in asked["files"].items()}
    found = [problem for name, variables in files.items() for problem in misplaced(name, variables)]
    for agent in asked["agents"] or [""]:
        kind = agent.partition("-")[0] or None
        own = f"{agent}.env"
        environ = {IDENTITIES[kind]: agent} if kind else {}
        for name in (ALL_AGENTS, own, SECRETS):
            environ.update(files.get(name, {}))
        try:
            settings.load(environ, kind)
        except SettingsError as err:
            found += [f"{own}: {problem}" if own in files else problem for problem in err.problems]
    return list(dict.fromkeys(found))


def main() -> None:
    """Print the problems."""
    problems = problems_of(json.load(sys.stdin))
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    sys.exit(78 if problems else 0)


if __name__ == "__main__":
    main()
