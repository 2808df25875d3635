"""packaging/build-deb names what it builds after the release, and says why it can't."""

import importlib.machinery
import importlib.util
from pathlib import Path

import pytest

from reasond import __version__

SCRIPT = Path(__file__).resolve().parents[3] / "packaging" / "build-deb"
LOADER = importlib.machinery.SourceFileLoader("reasond_build_deb", str(SCRIPT))
build_deb = importlib.util.module_from_spec(importlib.util.spec_from_loader(LOADER.name, LOADER))


@pytest.fixture(scope="module", autouse=True)
def loaded():
    """Load it without leaving bytecode beside a program without an ending."""
    source = SCRIPT.read_text(encoding="utf-8")
    build_deb.__file__ = str(SCRIPT)
    exec(compile(source, str(SCRIPT), "exec"), build_deb.__dict__)


@pytest.fixture
def os_release(tmp_path, monkeypatch):
    def write(text):
        path = tmp_path / "os-release"
        path.write_text(text)
        monkeypatch.setattr(build_deb, "OS_RELEASE", path)

    return write


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ('ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n', "deb12u"),
        ('ID=ubuntu\nVERSION_ID="20.04"\n# a comment\n', "ubuntu20.04."),
    ],
)
def test_version_carries_the_release(os_release, text, tag):
    os_release(text)

    told = build_deb.release()

    assert build_deb.TAGS[told["ID"]].format(told["VERSION_ID"]) == tag


@pytest.mark.parametrize("text", ["ID=fedora\nVERSION_ID=41\nPRETTY_NAME=Fedora\n", "ID=debian\nPRETTY_NAME=sid\n"])
def test_release_without_a_number_or_of_others_is_refused(os_release, text):
    os_release(text)

    with pytest.raises(SystemExit, match="built on a release of Debian or Ubuntu, and this is (Fedora|sid)"):
        build_deb.release()


def test_upstream_version_is_the_packages():
    assert build_deb.upstream_version() == __version__


def test_time_is_the_given_one_else_the_last_commits_else_there_is_a_reason(monkeypatch, tmp_path):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795712062")
    assert build_deb.epoch() == 1795712062

    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    monkeypatch.setattr(build_deb, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="set SOURCE_DATE_EPOCH"):
        build_deb.epoch()


def test_sources_are_all_there_and_bring_no_bytecode(tmp_path):
    build_deb.copy_sources(tmp_path)

    assert (tmp_path / "debian" / "rules").exists()
    assert {path.name for path in tmp_path.iterdir()} == {*build_deb.SOURCES, "debian"}
    assert list(tmp_path.rglob("__pycache__")) == []
