"""Policies: what their text means, and what is wrong with one that means nothing."""

import pytest

from reasond.errors import InputError
from reasond.simulation import policy as policies
from reasond.simulation.policy import Choice

pytestmark = pytest.mark.unit


def test_one_brain_is_everybody_s():
    assert set(policies.parse("dry-run").brains.values()) == {Choice("dry-run")}


def test_a_mix_leaves_the_other_kinds_to_the_rules():
    assert policies.parse("publisher=static+monitor=dry-run").brains == {
        "publisher": Choice("static"),
        "consumer": Choice("rules"),
        "monitor": Choice("dry-run"),
    }


@pytest.mark.parametrize(
    "text", ["", "gpt", "publisher=", "publisher=rules+publisher=static", "plumber=rules", "-alone"]
)
def test_what_is_no_policy_is_refused_with_the_brains_there_are(text):
    with pytest.raises(InputError, match="policy"):
        policies.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("claude@1", Choice("claude", "1")),
        ("dry-run-alone", Choice("dry-run", alone=True)),
        ("claude@my/prompts-forgetful-alone", Choice("claude", "my/prompts", True, True)),
        ("claude-alone-forgetful", Choice("claude", "", True, True)),
    ],
)
def test_what_stands_after_a_brains_name_is_read(text, expected):
    assert policies.parse(text).brains["publisher"] == expected


def test_only_claude_spends():
    assert policies.parse("monitor=claude@1-alone").spends
    assert not policies.parse("dry-run").spends and not policies.parse("rules").spends
