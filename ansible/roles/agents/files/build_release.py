"""Build the wheel of a checkout and describe the release it makes; run on the control node by the agents role.

usage: build_release.py CHECKOUT FOLDER

Prints one JSON object: `wheel` (its path in FOLDER), `version`, and `digest` of all that a release is made of
on every host alike: the wheel, the locks, the units.
"""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import List

LOCKS = ("build", "agents")
# A wheel is a zip, which knows no time before 1980; any fixed one gives the same bytes from the same sources.
BUILT_AT = "1580601600"


def ingredients(checkout: Path) -> List[Path]:
    """Return what a release holds beside the wheel, in a fixed order; raises SystemExit when some is missing."""
    units = checkout / "systemd"
    found = [checkout / "requirements" / f"{name}.txt" for name in LOCKS]
    found += sorted(path for path in units.rglob("*") if path.suffix in (".service", ".target", ".timer", ".conf"))
    missing = [path for path in (checkout / "pyproject.toml", units / "sysusers.conf", *found) if not path.is_file()]
    if missing:
        sys.exit(f"{checkout} is no checkout of reasond: {missing[0]} is missing; set agents_source to one")
    return found


def build(checkout: Path, folder: Path) -> Path:
    """Build the wheel into the folder and return its path; raises SystemExit with what pip said."""
    for module in ("pip", "hatchling"):
        if importlib.util.find_spec(module) is None:
            sys.exit(
                f"the wheel can't be built: {sys.executable} has no {module}; use `make deploy`, or install "
                f"{checkout}/requirements/build.txt beside Ansible on the control node"
            )
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-index"]
    command += ["--no-deps", "--no-build-isolation", "--no-cache-dir", "--wheel-dir", str(folder), str(checkout)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": BUILT_AT, "PIP_NO_INPUT": "1"}
    done = subprocess.run(
        command, env=environment, cwd=str(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    wheels = list(folder.glob("reasond-*.whl"))
    if done.returncode or len(wheels) != 1:
        sys.exit(f"the wheel of {checkout} can't be built:\n{done.stdout.decode(errors='replace')}")
    return wheels[0]


def main() -> None:
    """Build and describe."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    checkout, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    parts = ingredients(checkout)
    wheel = build(checkout, folder)
    digest = hashlib.sha256(wheel.read_bytes())
    for path in parts:
        digest.update(f"\n{path.relative_to(checkout)}\n".encode())
        digest.update(path.read_bytes())
    told = {"wheel": str(wheel), "version": wheel.name.split("-")[1], "digest": digest.hexdigest()}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
