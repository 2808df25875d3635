"""Event lines: one line an event in every form."""

import io
import json

import pytest

from reasond.logs import PRIORITIES, EventLog, open_log


def written(form, level="info", event="decided", fields=None, least="debug"):
    stream = io.StringIO()
    EventLog(stream, form, least).say(level, event, fields)
    return stream.getvalue()


@pytest.mark.parametrize("level", sorted(PRIORITIES))
def test_journal_form_carries_the_syslog_priority(level):
    assert written("journal", level).startswith("<{}>decided".format(PRIORITIES[level]))


@pytest.mark.parametrize("form", ["journal", "plain", "colour", "json"])
def test_a_value_with_newlines_stays_one_line(form):
    line = written(form, fields={"reasoning": 'two\nlines "quoted"\x1b[31m', "empty": ""})

    assert line.count("\n") == 1 and "\x1b[31m" not in line.replace("\x1b[2m", "")


def test_json_form_is_an_object_with_the_fields():
    line = json.loads(written("json", fields={"depth": 7}))

    assert (line["event"], line["level"], line["depth"]) == ("decided", "info", 7)


def test_below_the_least_level_nothing_is_written():
    assert written("plain", "debug", least="info") == ""


def test_colours_only_on_a_terminal_and_never_with_no_color():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for environ, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        stream = Terminal()
        open_log("plain", "info", environ, stream).say("error", "failed")
        assert ("\033[" in stream.getvalue()) is coloured
