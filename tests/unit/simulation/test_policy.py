"""Policies: what their text means, and what is wrong with one that means nothing."""

import pytest

from reasond.errors import InputError
from reasond.simulation import policy as policies

pytestmark = pytest.mark.unit


def test_one_brain_is_everybody_s():
    assert set(policies.parse("dry-run").brains.values()) == {"dry-run"}


def test_a_mix_leaves_the_other_kinds_to_the_rules():
    assert policies.parse("publisher=static+monitor=dry-run").brains == {
        "publisher": "static",
        "consumer": "rules",
        "monitor": "dry-run",
    }


@pytest.mark.parametrize(
    "text", ["", "gpt", "publisher=", "publisher=rules+publisher=static", "plumber=rules", "-alone"]
)
def test_what_is_no_policy_is_refused_with_the_brains_there_are(text):
    with pytest.raises(InputError, match="policy"):
        policies.parse(text)
