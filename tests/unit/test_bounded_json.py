"""Small JSON files of whatever origin."""

import json
from pathlib import Path

import pytest

from challenge_bundle.errors import DataError
from challenge_bundle.formats.bounded_json import MAX_BYTES, MAX_DEPTH, read_bounded_json


def read(tmp_path: Path, content: bytes, **limits: int) -> object:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    return read_bounded_json(path, **limits)


def test_plain_documents_are_read(tmp_path: Path) -> None:
    text = '{"a": [1, -2.5, true, null, "]{[\\\\\\"", "\u00e4"], "b": {"a": {}}}'
    assert read(tmp_path, text.encode()) == {"a": [1, -2.5, True, None, ']{[\\"', "\u00e4"], "b": {"a": {}}}
    assert isinstance(read(tmp_path, b"1"), int)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "not valid JSON"),
        (b'{"a": 1', "not valid JSON"),
        (b'\xff{"a": 1}', r"not UTF-8 \(byte 0\)"),
        (b'{"a": "\xc3("}', r"not UTF-8 \(byte 7\)"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b"[1e999]", "1e999 is too large"),
        (b"[-1e999]", "-1e999 is too large"),
        (b"[" + b"9" * 5000 + b"]", "not valid JSON"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' appears twice"),
        (b'{"a": 1, "\\u0061": 1}', "'a' appears twice"),
        (b"[" * 100_000, "more than 8 objects or lists"),
        (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, "more than 8 objects or lists"),
        (b'{"a": 1} {"a": 1}', "not valid JSON"),
    ],
    ids=range(14),
)
def test_what_is_not_plain_is_refused_in_a_line(tmp_path: Path, content: bytes, word: str) -> None:
    with pytest.raises(DataError, match=word) as caught:
        read(tmp_path, content)
    assert caught.value.code == "json-invalid"
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 600


def test_limits_at_their_edges(tmp_path: Path) -> None:
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert read(tmp_path, deepest) == [[[[[[[[]]]]]]]]
    with pytest.raises(DataError, match="more than 8"):
        read(tmp_path, b"[" + deepest + b"]")
    # Beside one another is not in one another.
    assert read(tmp_path, b"[[1],[2],[3]]", max_depth=2) == [[1], [2], [3]]
    largest = b"1" + b" " * (MAX_BYTES - 1)
    assert read(tmp_path, largest) == 1
    with pytest.raises(DataError) as caught:
        read(tmp_path, largest + b" ")
    assert caught.value.code == "json-size"


def test_brackets_in_texts_are_no_depth(tmp_path: Path) -> None:
    many = "[{" * MAX_DEPTH
    for text in (many, f'"{many}', f"\\{many}", f'\\"{many}', '\\\\"[[['):
        assert read(tmp_path, json.dumps([text, {text: 1}]).encode()) == [text, {text: 1}]
    # A text that ends in a backslash ends all the same, and what follows counts.
    deep = b'["\\\\", ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"]"
    with pytest.raises(DataError, match="more than 8"):
        read(tmp_path, deep)
    with pytest.raises(DataError, match="more than 8"):
        read(tmp_path, b'["", "a", ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"]")


def test_a_file_that_is_missing_or_a_folder(tmp_path: Path) -> None:
    for path, code in ((tmp_path / "none.json", "no-such-file"), (tmp_path, "file-unreadable")):
        with pytest.raises(DataError) as caught:
            read_bounded_json(path)
        assert (caught.value.code, caught.value.path) == (code, path)
