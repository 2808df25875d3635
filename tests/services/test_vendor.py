"""scripts/get-influxd and get-grafana against made-up vendor repositories: what is taken, and what is refused."""

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
    not all(map(shutil.which, ("gpg", "gpg-agent", "gpgv", "dpkg-deb"))),
    reason="needs gpg, gpg-agent, gpgv and dpkg-deb",
)


def _script(name, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    loader = SourceFileLoader(name.replace("-", "_"), str(SCRIPTS / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")
    return module


@pytest.fixture
def get_influxd(monkeypatch, tmp_path):
    return _script("get-influxd", monkeypatch, tmp_path)


@pytest.fixture
def get_grafana(monkeypatch, tmp_path):
    return _script("get-grafana", monkeypatch, tmp_path)


def _package(folder, name, version, program):
    tree = folder / f"tree-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: nobody\nDescription: x\n"
    (tree / "DEBIAN" / "control").write_text(control)
    (tree / program).parent.mkdir(parents=True)
    (tree / program).write_text(f"{name} {version}")
    deb = folder / f"{name}_{version}.deb"
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


def _repository(script, packages, monkeypatch, tmp_path):
    base = script.REPOSITORY.url
    listing = gzip.compress("\n".join(stanza for _, _, stanza in packages).encode())
    digest = hashlib.sha256(listing).hexdigest()
    release = f"SHA256:\n {digest} {len(listing)} main/binary-amd64/Packages.gz\n"
    signed, key, fingerprint = _signed(tmp_path, release)
    files = {f"{base}/{name}": body for name, body, _ in packages}
    files[f"{base}/dists/stable/InRelease"] = signed
    files[f"{base}/dists/stable/main/binary-amd64/Packages.gz"] = listing
    files[script.REPOSITORY.key_url] = key
    monkeypatch.setattr(script, "REPOSITORY", script.REPOSITORY._replace(key_fingerprint=fingerprint))
    monkeypatch.setattr(script.vendor, "fetch", lambda url, timeout: files[url])
    return files


@pytest.fixture
def repository(get_influxd, monkeypatch, tmp_path):
    """A signed repository of four versions, as a dictionary of its files by address; yours to spoil."""
    versions = ("2.7.9-1", "2.7.12-1", "2.8.0~rc1-1", "3.0.0-1")
    packages = [_package(tmp_path, "influxdb2", version, "usr/bin/influxd") for version in versions]
    return _repository(get_influxd, packages, monkeypatch, tmp_path)


def test_from_vendor_unpacks_the_newest_final_version(get_influxd, repository, tmp_path):
    target = tmp_path / "bin" / "influxd"

    assert get_influxd.from_vendor(target).read_text() == "influxdb2 2.7.12-1"


def test_from_vendor_unpacks_grafanas_home(get_grafana, monkeypatch, tmp_path):
    program = "usr/share/grafana/bin/grafana"
    packages = [_package(tmp_path, "grafana", version, program) for version in ("9.5.21", "10.4.19")]
    _repository(get_grafana, packages, monkeypatch, tmp_path)

    home = get_grafana.from_vendor(tmp_path / "grafana-10" / "home")

    assert (home / "bin" / "grafana").read_text() == "grafana 10.4.19"


def test_from_vendor_refuses_a_key_that_is_not_the_published_one(get_influxd, repository, monkeypatch, tmp_path):
    other = get_influxd.REPOSITORY._replace(key_fingerprint="0" * 40)
    monkeypatch.setattr(get_influxd, "REPOSITORY", other)

    with pytest.raises(get_influxd.vendor.Unreachable, match="key"):
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

    with pytest.raises(get_influxd.vendor.Unreachable, match=reason):
        get_influxd.from_vendor(tmp_path / "influxd")

    assert not (tmp_path / "influxd").exists()
