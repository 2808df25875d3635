"""Prompts: the specification's frame and sentences to the letter, in every version; texts of one's own."""

import hashlib
import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.brains.prompts import LATEST, MAX_BLOCK_CHARS, MAX_TEXT_CHARS, Wording, agent_type_of, quoted, render
from reasond.brains.redaction import Redactor
from reasond.core.contexts import Past
from reasond.errors import SettingsError
from tests.unit.brains.questions import handling, health, message, peer, rate


def test_publisher_prompt_holds_the_specifications_sentence_to_the_letter():
    text = render(rate(12, 7, intervals=(6, 11))).text

    assert (
        "Your task: Queue depths are: fictional=12, non-fictional=7. Should I adjust my publishing rate? "
        "Current rate: fictional=6s, non-fictional=11s\n"
    ) in text


def test_consumer_prompt_holds_the_specifications_sentence_to_the_letter():
    context = handling("At the desk.", queue_depth=9, priority="low")

    text = render(context).text

    sentence = (
        "Your task: I received message: "
        + json.dumps(message("At the desk."))
        + ". Based on genre_type=fictional, priority=low, and current queue_depth=9, "
        "should I: a) Process immediately, b) Batch with others, c) Flag as anomaly?\n"
    )
    assert sentence in text


def test_monitor_prompt_holds_the_specifications_sentence_to_the_letter():
    context = health()

    text = render(context).text

    assert (
        "Your task: System metrics: "
        + json.dumps(context.metrics)
        + ". Detect any issues? Should I alert? Any optimization suggestions?\n"
    ) in text


@pytest.mark.parametrize("context", [rate(), handling(), health()], ids=["publisher", "consumer", "monitor"])
def test_frame_is_the_specifications(context):
    text = render(context).text

    start, task, form = (
        text.index(part) for part in ("Context:\n{", "\nYour task: ", "\nRespond ONLY with valid JSON")
    )
    assert text.startswith('You are an AI agent in a distributed system.\n\nContext:\n{\n  "')
    assert start < task < form
    assert "Respond ONLY with valid JSON in this format:\n{\n" in text
    assert json.loads(text[start + len("Context:\n") : task])["agent_id"] == context.agent_id


@pytest.mark.parametrize(
    "context, keys",
    [
        pytest.param(
            rate(),
            ["reasoning", "action", "fictional_interval", "nonfictional_interval", "confidence"],
            id="publisher",
        ),
        pytest.param(handling(), ["reasoning", "action", "confidence"], id="consumer"),
        pytest.param(health(), ["reasoning", "status", "issues", "suggestions", "alerts", "confidence"], id="monitor"),
    ],
)
def test_answer_format_names_the_specifications_keys_and_asks_for_reasoning_first(context, keys):
    form = render(context).text.split("in this format:\n")[1]

    assert re.findall(r'^  "([a-z_]+)":', form, re.MULTILINE) == keys + ["suggested_params"]


def test_unknown_depth_says_unknown_and_never_zero():
    text = render(rate(None, None)).text

    assert "fictional=unknown, non-fictional=unknown." in text
    assert "queue_depth=unknown," in render(handling(queue_depth=None)).text


def test_prompt_names_its_version():
    assert render(rate()).version == LATEST


def test_peers_cross_as_numbers_and_enums():
    text = render(rate(peers=[peer("slow_down", 4.0)])).text

    assert '"agent_id": "publisher-2"' in text
    assert '"action": "slow_down"' in text


def test_message_is_told_once_only():
    assert render(handling("Seen once only.")).text.count("Seen once only.") == 1


def test_long_text_is_cut_and_said_to_be_cut():
    text = render(handling("x" * 50_000)).text

    assert "x" * MAX_TEXT_CHARS + "... [cut]" in text
    assert "x" * (MAX_TEXT_CHARS + 1) not in text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_quoted_is_one_line_of_json_whatever_the_value(value):
    text = quoted(value)

    json.loads(text)
    assert "\n" not in text and "\r" not in text
    assert all(character.isprintable() for character in text)


def test_quoted_is_bounded_for_many_long_texts():
    text = quoted({f"field_{number:02d}": "y" * 5000 for number in range(60)})

    assert len(text) <= MAX_BLOCK_CHARS
    assert json.loads(text)["field_59"].endswith("... [cut]")


def test_quoted_leaves_out_what_is_nested_too_deep():
    value = "bottom"
    for _ in range(200):
        value = [value]

    assert "nested too deep" in quoted(value)


def test_redaction_reaches_every_value_that_leaves():
    redactor = Redactor([r"book_\d+", r"[\w.]+@[\w.]+", r"49\.262"])
    context = handling("Ask jane.doe@example.org about book_00042.", last_seen={"entity_id": "book_00042"})

    text = render(context, redactor).text

    assert "book_00042" not in text and "jane" not in text and "49.262" not in text
    assert "Ask [redacted] about [redacted]." in text


def test_redaction_comes_before_cutting():
    redactor = Redactor([r"SECRET-\d{20}"])
    context = handling("z" * (MAX_TEXT_CHARS - 12) + "SECRET-" + "1" * 20)

    assert "SECRET" not in render(context, redactor).text


def test_agent_type_of_every_context():
    assert [agent_type_of(c) for c in (rate(), handling(), health())] == ["publisher", "consumer", "monitor"]


VERSION_1 = ["28050ead5ba1", "f925e5bf9d2d", "c69921c76ef4"]
PAST = (Past("slow_down", 31.5, helped=False, waiting_before=40, waiting_after=52),)


@pytest.mark.parametrize("context", [rate(), handling(), health()], ids=["publisher", "consumer", "monitor"])
def test_past_decisions_are_told_unless_switched_off_or_the_version_knows_none(context):
    context = msgspec.structs.replace(context, past=PAST)
    told, off, first = (
        render(context, wording=wording) for wording in (Wording(), Wording(outcomes=False), Wording("1"))
    )

    facts = json.loads(told.text.split("Context:\n")[1].split("\n\nYour task:")[0])
    assert facts["past"][0]["helped"] is False
    assert '"past": [' not in off.text and off.version == told.version == "2"
    assert "past" not in first.text and first.version == "1"


def test_version_1_is_what_it_was():
    """Decisions tagged with it were made by these texts; a digest shows that none of them was touched."""
    texts = [render(context, wording=Wording("1")).text for context in (rate(), handling(), health())]

    assert [hashlib.sha256(text.encode()).hexdigest()[:12] for text in texts] == VERSION_1


def own(tmp_path, **texts):
    folder = tmp_path / "curt"
    folder.mkdir()
    for name, text in texts.items():
        (folder / f"{name.replace('_', '.')}.txt").write_text(text)
    return str(folder)


def test_texts_of_ones_own_replace_the_shipped_ones_under_the_folders_name(tmp_path):
    wording = Wording(own(tmp_path, publisher_rules="Be curt. At least {min_interval} s."))

    prompt = render(rate(), wording=wording)

    assert prompt.version == "curt"
    assert "Be curt. At least 1 s." in prompt.text and "Should I adjust my publishing rate?" in prompt.text
    assert render(handling(), wording=wording).text == render(handling()).text


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ({"publisher_rules": "{queue_depth}"}, "nothing fills {queue_depth}"),
        ({"frame": "{context} {task} {rules}"}, "{answer} is missing"),
        ({"consumer_answer": "{min_interval}"}, "nothing fills {min_interval}"),
        ({}, "has none of"),
    ],
)
def test_what_is_wrong_with_own_texts_is_said(tmp_path, texts, told):
    with pytest.raises(SettingsError, match=re.escape(told)):
        Wording(own(tmp_path, **texts))
