"""The .deb as users get it: built by packaging/build-deb on a bare host of its release, then kept in the cache."""

import hashlib
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Iterator

from scripts.toolbox import cache_folder, locked
from tests.testbed import provide
from tests.testbed.nspawn import ROOT, Host, Room

# Of every date in the tests' packages; with the last commit's each commit would make the cache worthless.
EPOCH = 1795712062
INGREDIENTS = ("agents", "docs", "packaging", "requirements", "systemd", "pyproject.toml", "README.md", "CHANGELOG.md")
SOURCES = "/usr/src/reasond"
OUTPUT = "/var/tmp/built"
BUILD_SECONDS = 600
STEP_SECONDS = 60
KEPT_SECONDS = 86400


def _files() -> Iterator[Path]:
    for name in INGREDIENTS:
        top = ROOT / name
        found = sorted(top.rglob("*")) if top.is_dir() else [top]
        yield from (path for path in found if path.is_file() and "__pycache__" not in path.parts)


def _digest(tree: Path) -> str:
    digest = hashlib.sha256(f"{tree.name}\n{EPOCH}\n".encode())
    for path in _files():
        digest.update(f"{path.relative_to(ROOT)} {path.stat().st_mode:o}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def build(host: Host, sources: str, *options: str) -> str:
    """Build on a host that is on, from a checkout in it; return the package's path in the host."""
    options = (*options, "--output", OUTPUT)
    command = f"cd {sources} && SOURCE_DATE_EPOCH={EPOCH} make --silent deb DEB_ARGS='{' '.join(options)}'"
    return host.sh(
        f"{command} 2>/var/tmp/build.log || {{ tail -n 40 /var/tmp/build.log; exit 1; }}", timeout=BUILD_SECONDS
    )


def builder(room: Room, suite: str, name: str) -> Host:
    """Switch on a bare host with the checkout in it, apt's lists, make, and lintian, which judges what is built."""
    host = room.host(name, provide.tree_or_skip(suite))
    host.bind(ROOT, SOURCES)
    host.power_on()
    install = "DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends lintian make"
    host.sh(f"apt-get update -qq && {install}", timeout=BUILD_SECONDS)
    return host


def _forget(cache: Path) -> None:
    # Another checkout's run may be using what is newer.
    for folder in cache.glob("*"):
        if time.time() - folder.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(str(folder))


def built(room: Room, suite: str) -> Path:
    """Return this checkout's package for a release of Debian, judged by lintian; from the cache or built now."""
    folder = cache_folder() / "debs" / f"{suite}-{_digest(provide.tree_or_skip(suite))}"
    with locked(f"deb-{folder.name}"):
        if not folder.exists():
            _forget(folder.parent)
            host = builder(room, suite, "build")
            inside = build(host, SOURCES, "--lintian").strip()
            staged = folder.with_suffix(".work")
            shutil.rmtree(str(staged), ignore_errors=True)
            staged.mkdir(parents=True)
            shutil.copy(f"{host.root}{inside}", str(staged))
            staged.rename(folder)
            room.discard(host)
    (deb,) = folder.glob("*.deb")
    return deb


def versioned(deb: Path, version: str, folder: Path) -> Path:
    """Return the same package under another version of reasond, which its command tells, in the folder."""
    with tempfile.TemporaryDirectory(dir=str(folder)) as scratch:
        tree = Path(scratch) / "tree"
        _run("dpkg-deb", "--raw-extract", str(deb), str(tree))
        control = tree / "DEBIAN" / "control"
        was = next(line for line in control.read_text().splitlines() if line.startswith("Version: "))
        control.write_text(control.read_text().replace(was, f"Version: {version}-1"))
        (init,) = tree.glob("usr/lib/reasond/lib/python3*/site-packages/reasond/__init__.py")
        upstream = was.split()[1].split("-")[0]
        assert f'"{upstream}"' in init.read_text()
        init.write_text(init.read_text().replace(f'"{upstream}"', f'"{version}"'))
        made = folder / f"reasond_{version}-1.deb"
        _run("dpkg-deb", "-Znone", "--build", str(tree), str(made))
    return made


def _run(*command: str) -> None:
    subprocess.run(command, stdout=subprocess.DEVNULL, timeout=STEP_SECONDS, check=True)
