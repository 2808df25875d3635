"""Put the agents' virtual environment into a package's tree; run by packaging/debian/rules in a copy of the sources.

usage: environment.py STAGE SUBSTVARS

The same sources give the same bytes, wherever they lie: the locks name every file by its hash, and what pip and venv
write of folders and times is left out. SUBSTVARS gets the release's Python, which the environment is bound to.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List

HOME = Path("/usr/lib/reasond")
PYTHON = "python{}.{}".format(*sys.version_info[:2])
# dpkg says who put a file there; these say it of pip, and in which folder.
LEFT_OUT = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
COMMAND = f"""#!{HOME}/bin/python3
import sys

from reasond.cli import main

sys.exit(main())
"""
SETTINGS = "home = /usr/bin\ninclude-system-site-packages = false\nversion = {}.{}\n"


def run(*command: str) -> None:
    """Run a step; raises CalledProcessError, its words being on standard error."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    subprocess.run(command, env=environment, stdout=sys.stderr, check=True)


def wheels(scratch: Path) -> List[str]:
    """Make or fetch the wheels of what the locks name and of reasond itself; return their paths and pip's command."""
    tools = scratch / "tools"
    run(sys.executable, "-m", "venv", str(tools))
    pip = [str(tools / "bin" / "python3"), "-m", "pip"]
    run(*pip, "install", "--quiet", "--require-hashes", "--requirement", "requirements/deb.txt")
    # What has no wheel is built by the locked tools, not by what the index holds today.
    common = ["wheel", "--quiet", "--no-build-isolation", "--wheel-dir", str(scratch / "wheels")]
    run(*pip, *common, "--require-hashes", "--requirement", "requirements/agents.txt")
    run(*pip, *common, "--no-deps", "--no-index", ".")
    return pip


def install(home: Path, scratch: Path) -> None:
    """Make the environment in the folder `home`, from the wheels alone."""
    pip = wheels(scratch)
    run(sys.executable, "-m", "venv", "--without-pip", str(home))
    found = sorted(str(path) for path in (scratch / "wheels").glob("*.whl"))
    options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--no-warn-script-location"]
    run(*pip, "--python", str(home / "bin" / "python3"), "install", *options, *found)


def settle(home: Path) -> None:
    """Take away what depends on where and when the environment was made, and name what is there in its place."""
    shutil.rmtree(str(home / "bin"))
    (home / "bin").mkdir()
    # The very Python the modules were compiled for.
    (home / "bin" / "python3").symlink_to(f"/usr/bin/{PYTHON}")
    (home / "bin" / "python").symlink_to("python3")
    command = home / "bin" / "reasond"
    command.write_text(COMMAND)
    command.chmod(0o755)
    (home / "pyvenv.cfg").write_text(SETTINGS.format(*sys.version_info[:2]))
    for name in ("include", "share"):
        shutil.rmtree(str(home / name), ignore_errors=True)
    packages = home / "lib" / PYTHON / "site-packages"
    for name in LEFT_OUT:
        for path in packages.glob(f"*.dist-info/{name}"):
            path.unlink()
    # Some wheels have modules that claim to be programs.
    for path in packages.rglob("*.py"):
        path.chmod(0o644)


def main() -> None:
    """Make the environment, the command on the path, and the dependency on this Python."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    stage, substvars = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    home = Path(f"{stage}{HOME}")
    home.parent.mkdir(parents=True)
    scratch = Path("build").resolve()
    install(home, scratch)
    settle(home)
    (stage / "usr" / "bin").mkdir(parents=True)
    (stage / "usr" / "bin" / "reasond").symlink_to("../lib/reasond/bin/reasond")
    major, minor = sys.version_info[:2]
    with substvars.open("a") as file:
        file.write(f"python:Depends=python3 (>= {major}.{minor}~), python3 (<< {major}.{minor + 1}~)\n")


if __name__ == "__main__":
    main()
