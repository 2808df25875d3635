"""scripts/get-influxd against a made-up vendor repository: what is verified, and what is refused."""

import gzip
import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
GPG = ("gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "")

pytestmark = pytest.mark.skipif(
    not (shutil.which("gpg") and shutil.which("gpgv") and shutil.which("dpkg-deb")),
    reason="needs gpg, gpgv and dpkg-deb",
)


@pytest.fixture
def get_influxd(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    loader = SourceFileLoader("get_influxd", str(SCRIPTS / "get-influxd"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("get_influxd", loader))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")
    return module


def _package(folder, version):
    tree = folder / f"tree-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    control = f"Package: influxdb2\nVersion: {version}\nArchitecture: amd64\nMaintainer: nobody\nDescription: x\n"
    (tree / "DEBIAN" / "control").write_text(control)
    (tree / "usr" / "bin").mkdir(parents=True)
    (tree / "usr" / "bin" / "influxd").write_text(f"influxd {version}")
    deb = folder / f"influxdb2_{version}.deb"
    subprocess.run(["dpkg-deb", "--build", str(tree), str(deb)], check=True, stdout=subprocess.DEVNULL)
    body = deb.read_bytes()
    stanza = f"{control}Filename: packages/{deb.name}\nSHA256: {hashlib.sha256(body).hexdigest()}\n"
    return f"packages/{deb.name}", body, stanza


def _signed(folder, text):
    home = folder / "signer"
    home.mkdir(mode=0o700)
    gpg = [*GPG, "--homedir", str(home)]
    subprocess.run([*gpg, "--quick-generate-key", "vendor", "ed25519", "sign", "never"], check=True)
    signature = subprocess.run([*gpg, "--clearsign"], input=text.encode(), stdout=subprocess.PIPE, check=True)
    key = subprocess.run([*gpg, "--armor", "--export"], stdout=subprocess.PIPE, check=True).stdout
    shown = subprocess.run([*gpg, "--with-colons", "--list-keys"], stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    return signature.stdout, key, re.search(r"^fpr:+([0-9A-F]+):", shown.decode(), re.MULTILINE).group(1)


@pytest.fixture
def repository(get_influxd, monkeypatch, tmp_path):
    """A signed repository of three versions, as a dictionary of its files by address; yours to spoil."""
    base = get_influxd.REPOSITORY
    packages = [_package(tmp_path, version) for version in ("2.7.9-1", "2.7.12-1", "2.8.0~rc1-1")]
    listing = gzip.compress("\n".join(stanza for _, _, stanza in packages).encode())
    digest = hashlib.sha256(listing).hexdigest()
    release = f"SHA256:\n {digest} {len(listing)} main/binary-amd64/Packages.gz\n"
    signed, key, fingerprint = _signed(tmp_path, release)
    files = {f"{base}/{name}": body for name, body, _ in packages}
    files[f"{base}/dists/stable/InRelease"] = signed
    files[f"{base}/dists/stable/main/binary-amd64/Packages.gz"] = listing
    files[f"{base.rsplit('/', 1)[0]}/{get_influxd.KEY_FILE}"] = key
    monkeypatch.setattr(get_influxd, "KEY_FINGERPRINT", fingerprint)
    monkeypatch.setattr(get_influxd, "fetch", lambda url, timeout: files[url])
    return files


def test_from_vendor_unpacks_the_newest_final_version(get_influxd, repository, tmp_path):
    target = tmp_path / "bin" / "influxd"

    assert get_influxd.from_vendor(target).read_text() == "influxd 2.7.12-1"


def test_from_vendor_refuses_a_key_that_is_not_the_published_one(get_influxd, repository, monkeypatch, tmp_path):
    monkeypatch.setattr(get_influxd, "KEY_FINGERPRINT", "0" * 40)

    with pytest.raises(get_influxd.Unreachable, match="key"):
        get_influxd.from_vendor(tmp_path / "influxd")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        pytest.param("InRelease", "signature", id="release file"),
        pytest.param("Packages.gz", "package list does not match", id="package list"),
        pytest.param("2.7.12-1.deb", "package does not match", id="package"),
    ],
)
def test_from_vendor_refuses_a_file_that_was_changed(get_influxd, repository, tmp_path, address, reason):
    for url in repository:
        if url.endswith(address):
            body = bytearray(repository[url])
            body[len(body) // 2] ^= 1
            repository[url] = bytes(body)

    with pytest.raises(get_influxd.Unreachable, match=reason):
        get_influxd.from_vendor(tmp_path / "influxd")

    assert not (tmp_path / "influxd").exists()
