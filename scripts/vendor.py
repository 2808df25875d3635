"""The vendors' programs: unpacked from their signed apt repositories without root, else built by Go.

Used before any virtual environment exists: standard library only, Python 3.8 or newer.
"""

import gzip
import hashlib
import os
import platform
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

from toolbox import say, unavailable

# A machine without internet must not wait long before it builds instead.
PROBE_SECONDS = 5
DOWNLOAD_SECONDS = 300
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
# Modules with a `toolchain` line let Go fetch the compiler they need from this version on.
OLDEST_GO = (1, 21)


# What is done, in words, and the command.
Step = Tuple[str, Sequence[str]]


class Unreachable(Exception):
    """The vendor's repository can't be used here; the message says why."""


class Repository(NamedTuple):
    """A vendor's apt repository with the suite `stable` and the component `main`."""

    owner: str
    url: str
    key_url: str
    key_fingerprint: str


class Wanted(NamedTuple):
    """A package by its name, and which major versions of it will do."""

    name: str
    majors: range


def fetch(url: str, timeout: float) -> bytes:
    """Return the body at the URL; raise Unreachable when it can't be had."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            body: bytes = answer.read()
            return body
    except (OSError, ValueError) as err:
        raise Unreachable(f"{url}: {err}") from err


def verified_release(repository: Repository, folder: Path, in_release: bytes) -> str:
    """Return the release file's text, its signature checked when gpg is here."""
    if not (shutil.which("gpg") and shutil.which("gpgv")):
        say("gpg is not installed: trusting the repository's https alone")
        return in_release.decode()
    (folder / "InRelease").write_bytes(in_release)
    (folder / "key").write_bytes(fetch(repository.key_url, PROBE_SECONDS))
    home = folder / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet"]
    # Exported by fingerprint: another key in the same file must not be trusted with it.
    subprocess.run([*gpg, "--import", str(folder / "key")], stderr=subprocess.DEVNULL, check=False)
    subprocess.run(
        [*gpg, "--output", str(folder / "ring"), "--export", repository.key_fingerprint],
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if not (folder / "ring").exists():
        raise Unreachable(f"the repository's key is not the one {repository.owner} publishes")
    checked = subprocess.run(
        [
            "gpgv",
            "--keyring",
            str(folder / "ring"),
            "--output",
            str(folder / "Release"),
            str(folder / "InRelease"),
        ],
        stderr=subprocess.PIPE,
        check=False,
    )
    if checked.returncode:
        raise Unreachable("the repository's signature does not verify")
    return (folder / "Release").read_text()


def newest_package(repository: Repository, wanted: Wanted, release: str, architecture: str) -> Dict[str, str]:
    """Return the fields of the newest final version in the package list that the release file vouches for."""
    name = f"main/binary-{architecture}/Packages.gz"
    listed = re.search(rf"^ ([0-9a-f]{{64}}) +\d+ {re.escape(name)}$", release, re.MULTILINE)
    packed = fetch(f"{repository.url}/dists/stable/{name}", DOWNLOAD_SECONDS)
    if not listed or hashlib.sha256(packed).hexdigest() != listed.group(1):
        raise Unreachable("the package list does not match the signed release file")
    best: Tuple[Tuple[int, ...], Dict[str, str]] = ((), {})
    for stanza in gzip.decompress(packed).decode().split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", stanza, re.MULTILINE))
        number = tuple(int(part) for part in re.findall(r"\d+", fields.get("Version", "")))
        final = "~" not in fields.get("Version", "") and fields.get("Package") == wanted.name
        if final and number > best[0] and number[0] in wanted.majors:
            best = (number, fields)
    if not best[1]:
        raise Unreachable(f"no {wanted.name} for {architecture} in the repository")
    return best[1]


def unpacked(repository: Repository, wanted: Wanted, folder: Path) -> Path:
    """Return the newest package's tree in the folder; raise Unreachable when that is not possible."""
    architecture = ARCHITECTURES.get(platform.machine())
    if not architecture or not shutil.which("dpkg-deb"):
        raise Unreachable(f"{repository.owner}'s package needs dpkg-deb and an amd64 or arm64 machine")
    in_release = fetch(f"{repository.url}/dists/stable/InRelease", PROBE_SECONDS)
    release = verified_release(repository, folder, in_release)
    package = newest_package(repository, wanted, release, architecture)
    say(f"downloading {wanted.name} {package['Version']} from {repository.owner} (a minute on an ordinary line)")
    deb = folder / f"{wanted.name}.deb"
    deb.write_bytes(fetch(f"{repository.url}/{package['Filename']}", DOWNLOAD_SECONDS))
    if hashlib.sha256(deb.read_bytes()).hexdigest() != package.get("SHA256"):
        raise Unreachable("the package does not match the package list")
    subprocess.run(["dpkg-deb", "-x", str(deb), str(folder / "tree")], check=True)
    return folder / "tree"


def missing_for_build(needs: Dict[str, str]) -> List[str]:
    """Return what a build from source lacks here of these commands and a new enough Go, in words."""
    lacking = {words for command, words in needs.items() if not shutil.which(command)}
    told = b""
    if shutil.which("go"):
        told = subprocess.run(["go", "version"], stdout=subprocess.PIPE, check=False).stdout
    version = re.search(r"go(\d+)\.(\d+)", told.decode())
    if not version or tuple(int(part) for part in version.groups()) < OLDEST_GO:
        lacking.add(f"Go {'.'.join(map(str, OLDEST_GO))} or newer")
    return sorted(lacking)


def go_environment(folder: Path) -> Dict[str, str]:
    """Return the environment in which Go keeps all that it fetches and makes inside the folder."""
    return {
        **os.environ,
        "GOPATH": str(folder / "gopath"),
        "GOCACHE": str(folder / "gocache"),
        "GOBIN": str(folder / "bin"),
        # Without it the module cache is read-only and the folder can't be removed afterwards.
        "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -modcacherw".strip(),
    }


def build(program: str, folder: Path, steps: Sequence[Step], where: Path, environment: Dict[str, str]) -> None:
    """Run the steps of a build, their words going to a log in the folder; end with a reason when one fails."""
    with (folder / "build.log").open("ab") as log:
        for number, (words, command) in enumerate(steps, 1):
            say(f"  {program} {number}/{len(steps)}: {words}")
            done = subprocess.run(command, cwd=str(where), env=environment, stdout=log, stderr=log, check=False)
            if done.returncode:
                last = (folder / "build.log").read_text(errors="replace").strip().splitlines()[-1:]
                said = " ".join(last)[:200]
                unavailable(f"building {program} failed while {words}: {said} (see {log.name})")
