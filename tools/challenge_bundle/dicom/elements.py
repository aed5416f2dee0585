"""One element of a DICOM file as a text or a number, whatever a foreign program wrote there."""

import math
from typing import TYPE_CHECKING, Any

from challenge_bundle.errors import shown

if TYPE_CHECKING:
    from pydicom import Dataset


class ElementError(ValueError):
    """An element holds something else than it should; the message names it and what it holds."""


def read_values(dataset: "Dataset", keyword: str) -> list[Any]:
    """The values of an element; empty where it is not there or holds nothing.

    Raises:
        ElementError: It cannot be parsed, or is a sequence.
    """
    from pydicom import Sequence
    from pydicom.multival import MultiValue

    try:
        value = dataset.get(keyword)
    except Exception as fault:
        # pydicom converts values when they are asked for, and raises what int, float and struct do.
        raise ElementError(f"{keyword} cannot be read ({describe(fault)})") from None
    if isinstance(value, Sequence):
        raise ElementError(f"{keyword} is a sequence, expected a value")
    several = list(value) if isinstance(value, MultiValue | list) else [value]
    return [one for one in several if one is not None and (not isinstance(one, str) or one.strip(" \0"))]


def read_text(dataset: "Dataset", keyword: str) -> str:
    """An element as one line of text; several values are joined by a backslash, as in the file.

    Raises:
        ElementError: It cannot be parsed, or is a sequence.
    """
    parts = [
        one.decode("latin-1") if isinstance(one, bytes) else str(one) for one in read_values(dataset, keyword)
    ]
    return " ".join("\\".join(parts).replace("\0", "").split())


def read_code(dataset: "Dataset", keyword: str) -> str:
    """An element that holds one of the standard's defined terms, which are in capital letters.

    Raises:
        ElementError: As read_text.
    """
    return read_text(dataset, keyword).upper()


def read_number(dataset: "Dataset", keyword: str) -> float | None:
    """The first value of an element as a number; None where it has none.

    Raises:
        ElementError: It is no number, or as read_values.
    """
    values = read_values(dataset, keyword)
    if not values:
        return None
    try:
        return float(values[0])
    except (TypeError, ValueError, OverflowError):
        raise ElementError(f"{keyword} is {shown(str(values[0]))}, expected a number") from None


def read_whole(dataset: "Dataset", keyword: str) -> int | None:
    """The first value of an element as a whole number; None where it has none.

    Raises:
        ElementError: It is no whole number, or as read_values.
    """
    number = read_number(dataset, keyword)
    if number is None:
        return None
    if not math.isfinite(number) or number != int(number):
        raise ElementError(f"{keyword} is {number:g}, expected a whole number")
    return int(number)


def describe(fault: Exception) -> str:
    """An exception in one line, whole."""
    return " ".join(str(fault).split()) or type(fault).__name__
