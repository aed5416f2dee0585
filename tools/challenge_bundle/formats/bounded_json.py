"""JSON that others wrote, parsed within limits; what two readers could read differently is refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from challenge_bundle.errors import DataError, shown

MAX_BYTES = 1 << 18
MAX_DEPTH = 8


def read_bounded_json(path: Path, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """Read a small JSON file.

    Args:
        path: The file.
        max_bytes: The largest size that is read.
        max_depth: How many objects and lists may lie in one another.

    Raises:
        DataError: Not there, too large or too deep, not UTF-8, not JSON, a key twice in one object, or a
            number that is not finite.
    """
    try:
        with path.open("rb") as opened:
            data = opened.read(max_bytes + 1)
    except FileNotFoundError:
        raise DataError("no such file", path, code="no-such-file", hint="give the path of a file") from None
    except OSError as fault:
        raise DataError(
            f"cannot be read ({fault.strerror})", path, code="file-unreadable", hint="check its permissions"
        ) from None
    if len(data) > max_bytes:
        raise DataError(
            f"is larger than {max_bytes:,} bytes",
            path,
            code="json-size",
            hint="give another file: no valid one is so large",
        )
    try:
        text = data.decode("utf-8")
        _check_depth(text, max_depth)
        return json.loads(
            text, object_pairs_hook=no_key_twice, parse_constant=_refuse_constant, parse_float=_finite
        )
    except UnicodeDecodeError as fault:
        raise DataError(
            f"not UTF-8 (byte {fault.start})", path, code="json-invalid", hint="give a JSON file in UTF-8"
        ) from None
    except ValueError as fault:
        raise DataError(
            f"not valid JSON: {fault!s:.200}",
            path,
            code="json-invalid",
            hint="give the file as it was written",
        ) from None


def _check_depth(text: str, max_depth: int) -> None:
    """Refuse deep nesting before a recursive parser meets it."""
    depth, in_text, escaped = 0, False, False
    for character in text:
        if in_text:
            in_text = escaped or character != '"'
            escaped = not escaped and character == "\\"
        elif character == '"':
            in_text = True
        elif character in "[{":
            depth += 1
            if depth > max_depth:
                raise ValueError(f"more than {max_depth} objects or lists in one another")
        elif character in "]}":
            depth -= 1


def no_key_twice(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object of which each key is there once, for readers differ in which of two counts.

    Raises:
        ValueError: A key is there twice.
    """
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice)} appears twice in one object")
    return document


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:40]} is too large for a number")
    return value
