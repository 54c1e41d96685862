"""JSON from a stranger: what Python's reader lets through and this one does not."""

import json

import pytest

from facings import strict_json
from facings.strict_json import parse, shown


def test_sound_content_is_as_python_reads_it() -> None:
    content = {"a": [1, -2.5, 1e300, None, True, "é\u2028", {"b": []}], "": {}, "n": 2**63 - 1, "m": -(2**63)}
    for text in (json.dumps(content), json.dumps(content, ensure_ascii=False)):
        assert parse(text) == parse(text.encode()) == json.loads(text) == content


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value"), ("{", "Expecting property name"), ("\ufeff{}", "BOM"), ("[1]x", "Extra data"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' occurs twice"), ("[NaN]", "not finite"), ("[-Infinity]", "not finite"),
        ("[1e999]", "not finite"), ("[-1e999]", "not finite"), ("9" * 5000, "beyond 64 bits"), (str(2**63), "beyond 64 bits"),
        (str(-(2**63) - 1), "beyond 64 bits"), ('"\\ud800"', "not Unicode"), ('{"\\udfff": 1}', "not Unicode"),
        ("[" * 65 + "]" * 65, "nested more than 64"), ("[" * 100_000, "nested more than 64"),
        ('{"a":' * 70 + "1" + "}" * 70, "nested more than 64"), ("\udc80", "not Unicode"),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_bytes_that_are_no_text() -> None:
    for data in (b"\xff{}", b'"\xed\xa0\x80"', "{}".encode("utf-16")):
        with pytest.raises(ValueError, match=r"not Unicode|Expecting|null"):
            parse(data)


def test_pairs_of_surrogates_are_one_character() -> None:
    assert parse('"\\ud83c\\udf4e"') == "🍎"


def test_limits_are_met_before_memory_is_taken() -> None:
    with pytest.raises(ValueError, match="3 bytes; at most 2"):
        parse("[1]", max_bytes=2)
    with pytest.raises(ValueError, match="more than 10 values"):
        parse("[" + "[]," * 10 + "0]", max_values=10)
    assert parse("[" * 64 + "]" * 64) is not None
    assert strict_json.MAX_DEPTH == 64


def test_messages_stay_short() -> None:
    for value in ("x" * 10_000, ["a"] * 10_000, dict.fromkeys(map(str, range(10_000))), {"a": "y" * 10_000}):
        assert len(shown(value)) <= 80
    assert shown("\x1b[31m") == "'\\x1b[31m'", "nothing reaches the terminal as it is"
