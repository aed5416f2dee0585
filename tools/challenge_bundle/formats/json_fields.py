"""Values of a foreign JSON file: read as the expected type, or refused with their place."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from challenge_bundle.errors import shown

MOST_CHARACTERS = 200
"""Of an id or a name: both are kept in an index."""
_SHOWN_CHARACTERS = 40

_CONTROLS = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
"""What no database or csv takes: control characters, and halves of characters, which JSON can write."""

Place = tuple[str, int]
"""A list of the file, and a place in it; made into a text only for a message."""


class FieldError(Exception):
    """A value is not what it should be; the text names its place."""


def items_of(document: Any, key: str) -> Iterator[tuple[dict[str, Any], Place]]:
    """The objects of one of the file's lists, with their places."""
    if not isinstance(document, dict):
        raise FieldError(
            f"it holds {_described(document)}; expected an object with images, annotations and categories"
        )
    if key not in document:
        raise FieldError(f"it has no {key!r}; expected images, annotations and categories")
    if not isinstance(document[key], list):
        raise FieldError(f"{key} is {_described(document[key])}; expected a list of objects")
    for number, item in enumerate(document[key]):
        if not isinstance(item, dict):
            raise FieldError(f"{key}[{number}] is {_described(item)}; expected an object")
        yield item, (key, number)


def has(item: Mapping[str, Any], key: str) -> bool:
    """Whether an object has a key, and not null under it."""
    return item.get(key) is not None


def identity(item: Mapping[str, Any], key: str, place: Place) -> str:
    """An id as text: 7, 7.0 and "7" are the same."""
    value = item.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**MOST_CHARACTERS else None
    text = value.strip() if isinstance(value, str) else ""
    if not text or len(text) > MOST_CHARACTERS or _CONTROLS.search(text):
        refuse(item, key, place, f"a whole number, or a text of up to {MOST_CHARACTERS} characters")
    return text


def text_of(
    item: Mapping[str, Any],
    key: str,
    place: Place,
    is_needed: bool = True,
    most: int = 10 * MOST_CHARACTERS,
) -> str:
    """A text of one line, or a number as one."""
    value = item.get(key)
    if value is None and not is_needed:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if (
        not isinstance(value, str)
        or len(value) > most
        or _CONTROLS.search(value)
        or (is_needed and not value.strip())
    ):
        refuse(item, key, place, f"a text of one line, up to {most} characters")
    return value


def loose_text(value: Any) -> str:
    """A text that nothing depends on; empty if the value is no text, or has control characters."""
    return value if isinstance(value, str) and not _CONTROLS.search(value) else ""


def finite(value: Any) -> float | None:
    """A finite number; None if it is something else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # An int of JSON may be larger than any float.
    number = float(value) if abs(value) < 1e300 else math.inf
    return number if math.isfinite(number) else None


def refuse(item: Mapping[str, Any], key: str, place: Place, expected: str) -> NoReturn:
    """Refuse what is under a key.

    Raises:
        FieldError: Always.
    """
    where = f"{place[0]}[{place[1]}]"
    if key not in item:
        raise FieldError(f"{where} has no {key!r}; expected {expected}")
    raise FieldError(f"{where}.{key} is {_described(item[key])}; expected {expected}")


def _described(value: Any) -> str:
    """A value of JSON in a message, in JSON's words."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
