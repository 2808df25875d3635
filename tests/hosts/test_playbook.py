"""Playbooks on a real host: what they changed is told, and what they refused too."""

from pathlib import Path
from typing import Iterator

import pytest

from tests.testbed.nspawn import Host, Room
from tests.testbed.playbook import PlaybookFailed, Playbooks

pytestmark = pytest.mark.timeout(1200)

PLAYBOOK = """---
- hosts: brokers
  gather_facts: false
  tasks:
    - name: Write a word
      ansible.builtin.copy:
        content: "{{ word }}"
        dest: /root/word
        mode: "0600"
      tags: words
    - name: Refuse what makes no sense
      ansible.builtin.assert:
        that: word != "nonsense"
        fail_msg: This word makes no sense. Take another.
    - name: Take long
      ansible.builtin.command: sleep {{ seconds | default(0) }}
      changed_when: false
"""


@pytest.fixture(scope="module")
def host(room: Room) -> Iterator[Host]:
    host = room.host("played")
    host.power_on()
    yield host
    room.discard(host)


@pytest.fixture
def playbooks(host: Host, tmp_path: Path) -> Playbooks:
    (tmp_path / "site.yml").write_text(PLAYBOOK)
    return Playbooks(tmp_path / "run", {"broker-1": host}, groups={"brokers": ["broker-1"]}, playbooks=tmp_path)


def test_run_tells_what_changed_and_a_second_run_that_nothing_did(playbooks: Playbooks, host: Host) -> None:
    looked = playbooks.run("site.yml", check=True, extra_vars={"word": "first"})
    absent = host.run("cat", "/root/word", check=False)
    first = playbooks.run("site.yml", extra_vars={"word": "first"})
    second = playbooks.run("site.yml", extra_vars={"word": "first"})

    assert "No such file" in absent
    assert looked.changes == first.changes == {"broker-1": ["Write a word"]}
    assert (first.hosts["broker-1"].ok, first.changed, second.changed) == (3, 1, 0)
    assert host.run("cat", "/root/word") == "first"


def test_run_with_tags_does_only_these(playbooks: Playbooks) -> None:
    outcome = playbooks.run("site.yml", tags=["words"], limit="broker-1", extra_vars={"word": "nonsense"})

    assert outcome.hosts["broker-1"].ok == 1


def test_run_that_fails_raises_with_the_tasks_words(playbooks: Playbooks) -> None:
    with pytest.raises(PlaybookFailed, match=r"broker-1: Refuse what makes no sense: .*Take another"):
        playbooks.run("site.yml", extra_vars={"word": "nonsense"})


def test_run_that_takes_too_long_is_ended(playbooks: Playbooks) -> None:
    with pytest.raises(PlaybookFailed, match="not done after 6 s"):
        playbooks.run("site.yml", extra_vars={"word": "any", "seconds": 120}, timeout_seconds=6)


def test_run_reaches_a_host_again_after_its_power_was_cut(playbooks: Playbooks, host: Host) -> None:
    playbooks.run("site.yml", extra_vars={"word": "before"})
    host.power_cut()
    with pytest.raises(PlaybookFailed, match="broker-1: .*Failed to connect"):
        playbooks.run("site.yml", extra_vars={"word": "meanwhile"})
    host.power_on()

    assert playbooks.run("site.yml", extra_vars={"word": "after"}).changed == 1
