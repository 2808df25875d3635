"""Redaction: patterns by value, secrets in any form."""

import json

import pytest

from reasond.brains.redaction import Redactor, Secrets


@pytest.mark.parametrize(
    "value, expected",
    [
        pytest.param("call 555-1234 now", "call [redacted] now", id="text"),
        pytest.param({"555-1234": ["555-1234"]}, {"[redacted]": ["[redacted]"]}, id="keys-and-lists"),
        pytest.param(12345678, "[redacted]", id="number-that-matches"),
        pytest.param(1.5, 1.5, id="number-that-does-not"),
        pytest.param(True, True, id="boolean"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_clean_cuts_out_what_a_pattern_matches(value, expected):
    assert Redactor([r"\d{3}-\d{4}", r"\d{8}"]).clean(value) == expected


def test_clean_of_a_greedy_pattern_stays_inside_its_value():
    cleaned = Redactor([r"secret.*"]).clean({"a": "the secret is out", "b": "kept"})

    assert cleaned == {"a": "the [redacted]", "b": "kept"}


def test_clean_of_a_pattern_that_matches_nothing_at_all_changes_nothing():
    assert Redactor([r"x*"]).clean("abc") == "abc"


def test_clean_without_patterns_gives_the_value_itself():
    value = {"a": [1, "two"]}

    assert Redactor().clean(value) is value


@pytest.mark.parametrize("form", [str, repr, json.dumps], ids=["plain", "repr", "json"])
def test_scrub_finds_a_secret_in_every_quoting(form):
    secret = "pa'ss\\wörd"

    assert "ss" not in Secrets([secret]).scrub("x " + form(secret) + " y").replace("[redacted]", "")


def test_scrub_finds_what_looks_like_a_key_unasked():
    assert Secrets().scrub("header sk-ant-api03-abcdef_123") == "header [redacted]"


def test_scrub_ignores_empty_secrets():
    assert Secrets(["", ""]).scrub("abc") == "abc"
