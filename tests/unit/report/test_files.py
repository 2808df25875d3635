"""A page is written as a whole or not at all."""

import pytest

from reasond.errors import InputError
from reasond.report.files import write


def test_a_page_is_written_and_others_may_read_it(tmp_path):
    target = tmp_path / "new" / "page.html"

    write(target, "é")
    write(target, "ü")

    assert target.read_text(encoding="utf-8") == "ü"
    assert target.stat().st_mode & 0o777 == 0o644
    assert [file.name for file in target.parent.iterdir()] == ["page.html"]


def test_where_nothing_can_be_written_it_is_said(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError, match="can't write"):
        write(tmp_path / "file" / "page.html", "")


def test_a_folder_in_its_place_is_said_and_nothing_is_left(tmp_path):
    (tmp_path / "page.html").mkdir()

    with pytest.raises(InputError, match="can't write"):
        write(tmp_path / "page.html", "")

    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
