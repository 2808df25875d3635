"""EnvironmentFile by systemd's rules: cases from systemd.exec(5) and from its parser's states."""

import pytest

from reasond.adapters.envfile import parse, read, read_all
from reasond.errors import InputError


@pytest.mark.parametrize(
    "text, expected",
    [
        pytest.param("A=1\nB=2\n", {"A": "1", "B": "2"}, id="plain"),
        pytest.param("A=1\nA=2", {"A": "2"}, id="later-wins"),
        pytest.param("# A=1\n; B=2\nC=3", {"C": "3"}, id="comments"),
        pytest.param("  A = x y  \n", {"A": "x y"}, id="blanks-at-the-ends"),
        pytest.param("A='x y'\nB=\"x  y \"", {"A": "x y", "B": "x  y "}, id="quotes"),
        pytest.param("A='one' \"two\"", {"A": "onetwo"}, id="pieces-join"),
        pytest.param("A=it's # fine", {"A": "it's # fine"}, id="quote-inside-is-literal"),
        pytest.param('A="a\\"b\\$c\\n"', {"A": 'a"b$c\\n'}, id="double-quote-escapes"),
        pytest.param("A='a\\b'", {"A": "a\\b"}, id="single-quotes-take-all"),
        pytest.param("A=one\\\ntwo", {"A": "onetwo"}, id="continued-line"),
        pytest.param("A='two\nlines'", {"A": "two\nlines"}, id="newline-in-quotes"),
        pytest.param("A=\n", {"A": ""}, id="empty"),
        pytest.param("A\nB=1", {"B": "1"}, id="no-equals-is-ignored"),
        pytest.param("A=1", {"A": "1"}, id="no-newline-at-end"),
        pytest.param("A=", {"A": ""}, id="empty-at-end"),
        pytest.param("A=a\\ b", {"A": "a b"}, id="escaped-blank"),
    ],
)
def test_parse_gives_what_systemd_gives(text, expected):
    assert parse(text) == expected


def test_read_missing_file_names_it(tmp_path):
    with pytest.raises(InputError, match="agents.env"):
        read(tmp_path / "agents.env")


def test_read_bad_name_names_file_and_name(tmp_path):
    file = tmp_path / "agents.env"
    file.write_text("MY VAR=1\n")

    with pytest.raises(InputError, match="MY VAR"):
        read(file)


def test_read_all_takes_later_files_over_earlier_ones_and_skips_optional_missing(tmp_path):
    common, own = tmp_path / "agents.env", tmp_path / "publisher-1.env"
    common.write_text("A=1\nB=1\n")
    own.write_text("B=2\n")

    assert read_all([str(common), f"-{own}", f"-{tmp_path / 'none.env'}"]) == {"A": "1", "B": "2"}


def test_read_all_missing_file_that_is_not_optional_names_it(tmp_path):
    with pytest.raises(InputError, match=r"agents\.env"):
        read_all([str(tmp_path / "agents.env")])
