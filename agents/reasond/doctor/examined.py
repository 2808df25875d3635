"""What the doctor examines: settings read as far as they can be, and the agents of this host.

Used by every module of the doctor. Wrong settings don't end the examination: they are told, and what doesn't
depend on them is looked at all the same.
"""

import os
import re
from pathlib import Path
from typing import Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from msgspec import Struct

from reasond import settings as settings_module
from reasond.adapters import envfile
from reasond.errors import InputError, SettingsError
from reasond.paths import log_base, log_directory, state_base, state_directory
from reasond.settings import Settings

SETTINGS = "settings"
"""Name of the check of the settings, which others may need."""

STANDARD_FILES = tuple(Path("/etc/reasond", name) for name in ("agents.env", "tokens/agents.env", "secrets.env"))
"""What the units read; what people call reads it too, as far as it may."""
FILES = "REASOND_SETTINGS_FILES"

_IDENTITIES = {"PUBLISHER_ID": "publisher", "CONSUMER_ID": "consumer", "AGENT_ID": "monitor"}
_INSTANCE = re.compile(r"^(publisher|consumer|monitor)-[1-9][0-9]*$")
_NAME = re.compile(r"^[A-Z][A-Z0-9_]*")
_MOST_ROUNDS = 100


class Examined(Struct, frozen=True):
    """The settings (defaults where one is wrong), what was wrong with them, and where they came from."""

    settings: Settings
    environ: Dict[str, str]
    problems: Tuple[str, ...] = ()
    sources: Tuple[str, ...] = ()
    wrong_sections: FrozenSet[str] = frozenset()
    ask_api: bool = False

    def needs(self, section: str) -> Tuple[str, ...]:
        """Give what a check that depends on a section needs: the settings' check when that section is bad."""
        return (SETTINGS,) if section in self.wrong_sections else ()

    def agents(self) -> Dict[str, Path]:
        """Give the state directory of each agent of this host: those that have one, and those named here."""
        process = self.settings.process
        base = state_base(process, self.environ)
        found = {path.name: path for path in _instances(base)}
        for agent_id in self._named():
            found[agent_id] = state_directory(process, self.environ, agent_id)
        return dict(sorted(found.items()))

    def log_directories(self) -> Dict[str, Path]:
        """Give each agent's directory of transcripts."""
        process = self.settings.process
        base = log_base(process, self.environ)
        found = {agent_id: base / agent_id for agent_id in self.agents()}
        found.update({agent_id: log_directory(process, self.environ, agent_id) for agent_id in self._named()})
        return found

    def _named(self) -> List[str]:
        named = (self.environ.get(env, "") for env in _IDENTITIES)
        return [agent_id for agent_id in named if _INSTANCE.match(agent_id)]


def examine(
    environ: Mapping[str, str],
    files: Optional[Sequence[Path]] = None,
    *,
    ask_api: bool = False,
    standard_files: Sequence[Path] = STANDARD_FILES,
) -> Examined:
    """Read the settings from the files, later ones over earlier ones, and from the environment over them all.

    Without `files`, the host's (`host_files`); what is wrong in files beside them that only one agent has is told too.
    Never raises for wrong settings.
    """
    merged: Dict[str, str] = {}
    problems: List[str] = []
    sources: List[str] = []
    found = host_files(environ, standard_files) if files is None else list(files)
    for file in found:
        try:
            merged.update(envfile.read(file))
            sources.append(str(file))
        except InputError as err:
            problems.append(str(err))
    merged.update(environ)
    sources.append("environment")
    settings, wrong = _read(merged)
    if files is None:
        problems += _wrong_for_one(found, merged, wrong)
    return Examined(
        settings=settings,
        environ=merged,
        problems=tuple(problems + wrong),
        sources=tuple(sources),
        wrong_sections=_sections(wrong),
        ask_api=ask_api,
    )


def host_files(environ: Mapping[str, str], standard_files: Sequence[Path] = STANDARD_FILES) -> List[Path]:
    """Give the files that people's commands read: those of `standard_files` that this user may read.

    REASOND_SETTINGS_FILES in the environment names others in their place; empty, none.
    """
    names = environ.get(FILES)
    if names is None:
        return [file for file in standard_files if os.access(file, os.R_OK)]
    files = (envfile.named(name.strip()) for name in names.split(",") if name.strip())
    return [file for file, optional in files if not optional or os.access(file, os.R_OK)]


def _wrong_for_one(files: Sequence[Path], merged: Mapping[str, str], known: Sequence[str]) -> List[str]:
    """Tell what is wrong in the files of single agents, such as /etc/reasond/publisher-2.env, beside what is known."""
    found: List[str] = []
    folders = {file.parent for file in files}
    for file in sorted(path for folder in folders for path in folder.glob("*-*.env") if _INSTANCE.match(path.stem)):
        if not os.access(file, os.R_OK):
            continue
        try:
            _, wrong = _read({**merged, **envfile.read(file)})
        except InputError as err:
            found.append(str(err))
            continue
        found += [f"{problem} (in {file})" for problem in wrong if problem not in known]
    return found


def host_settings(environ: Mapping[str, str], standard_files: Sequence[Path] = STANDARD_FILES) -> Settings:
    """Give the settings for a command that needs them right: from the units' files, and the environment over them.

    Raises SettingsError, or InputError for a file that is wrong.
    """
    variables = envfile.read_all(map(str, host_files(environ, standard_files)))
    return settings_module.load({**variables, **environ})


def _read(environ: Mapping[str, str]) -> Tuple[Settings, List[str]]:
    """Give the settings with defaults in place of wrong ones, and every problem."""
    usable = dict(environ)
    problems: List[str] = []
    for _ in range(_MOST_ROUNDS):
        try:
            return settings_module.load(usable), problems
        except SettingsError as err:
            problems.extend(problem for problem in err.problems if problem not in problems)
            for problem in err.problems:
                usable.pop(_variable(problem), None)
    return settings_module.load({}), problems


def _variable(problem: str) -> str:
    """Give the variable that a problem is about: its text begins with the name."""
    match = _NAME.match(problem)
    return match.group(0) if match else ""


def _sections(problems: Sequence[str]) -> FrozenSet[str]:
    wrong = {_variable(problem) for problem in problems}
    return frozenset(setting.section for setting in settings_module.all_settings() if setting.env in wrong)


def _instances(base: Path) -> List[Path]:
    try:
        return [path for path in base.iterdir() if _INSTANCE.match(path.name) and path.is_dir()]
    except OSError:
        return []
