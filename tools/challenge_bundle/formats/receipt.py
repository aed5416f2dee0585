"""A receipt as a document: its fields, reading one of whatever origin, comparing two."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from challenge_bundle.errors import DataError
from challenge_bundle.formats.bounded_json import read_bounded_json

FORMAT = 2
FULL, PUBLIC = "full", "public"
"""Which parts of the test cases a receipt has scores of: all, or those that are not hidden."""
_HEX_64 = re.compile(r"[0-9a-f]{64}")
MAX_KEY_CHARACTERS = 80
_ABSENT = object()
_NUMBER = (int, float)
_LIMITS = dict.fromkeys(("time_s", "memory_mb", "cpus", "pids", "output_mb"), _NUMBER)
_SHAPE: dict[str, Any] = {
    "receipt": FORMAT,
    "kind": (str,),
    "bundle": (str,),
    "phase": (str,),
    "verdict": (str,),
    "submission": dict.fromkeys(("id", "sha256", "team", "method", "file_name", "received"), (str,)),
    "digests": [(str,)],
    "limits": {"inference": _LIMITS, "scoring": _LIMITS},
    "resources": [_NUMBER],
    "versions": dict.fromkeys(("challenge-bundle", "python", "engine"), (str,)),
    "scores": [[_NUMBER]],
    "signature": {"algorithm": (str,), "public_key": _HEX_64, "value": re.compile(r"[0-9a-f]{128}")},
}
"""A table is an object with these fields, a list one with any fields; else types, a pattern or the value."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was compared.

    Args:
        what: Of the receipt.
        good: Whether it is the same now.
        found: What it is now, where it is not.
    """

    what: str
    good: bool
    found: str = ""


def read_receipt(path: Path) -> dict[str, Any]:
    """Read a receipt of whatever origin.

    Raises:
        DataError: It is none, or a field is missing, unknown or of a wrong type.
    """
    document = read_bounded_json(path)
    if isinstance(document, dict) and document.get("receipt") == 1 and document["receipt"] is not True:
        raise DataError("of an older version, and not signed; `evaluate --rescore` writes it again", path)
    try:
        _check_shape(document, _SHAPE, "")
    except ValueError as fault:
        raise DataError(
            f"not a receipt of this tool: {fault}; receipts lie in .bundle/evaluation/receipts/", path
        ) from None
    return dict(document)


def compare(receipt: Mapping[str, Any], expected: Mapping[str, Any]) -> list[Check]:
    """Compare every field but the signature: what is missing, what is too much, what is another value."""
    said = {name: value for name, value in _leaves(receipt, ()) if name[0] != "signature"}
    checks = []
    leaves = dict(_leaves(expected, ()))
    for name in (*leaves, *(name for name in said if name not in leaves)):
        what = ", ".join(part.replace("_", " ") for part in name)
        then, now = said.get(name, _ABSENT), leaves.get(name, _ABSENT)
        if then is _ABSENT:
            checks.append(Check(what, False, f"{now}, which the receipt does not say"))
        elif now is _ABSENT:
            checks.append(Check(what, False, "not a thing that this receipt says"))
        else:
            checks.append(Check(what, type(then) is type(now) and then == now, str(now)))
    return checks


def _check_shape(value: Any, shape: Any, where: str) -> None:
    """Compare a document with _SHAPE.

    Raises:
        ValueError: Says which field is at fault.
    """
    name = where or "the document"
    if isinstance(shape, dict | list):
        if not isinstance(value, dict):
            raise ValueError(f"{name} is no object")
        if isinstance(shape, dict) and value.keys() != shape.keys():
            odd = min(value.keys() ^ shape.keys())
            raise ValueError(f"{name} {'lacks' if odd in shape else 'has the unknown field'} {odd!r:.80}")
        for key, inner in value.items():
            if not key.isprintable() or len(key) > MAX_KEY_CHARACTERS:
                raise ValueError(f"{name} has the unknown field {key!r:.80}")
            below = f"{where}.{key}".lstrip(".")
            _check_shape(inner, shape[key] if isinstance(shape, dict) else shape[0], below)
    elif isinstance(shape, tuple):
        if type(value) not in shape:
            raise ValueError(f"{name} is {value!r:.80}, expected {' or '.join(t.__name__ for t in shape)}")
    elif isinstance(shape, re.Pattern):
        if not isinstance(value, str) or not shape.fullmatch(value):
            raise ValueError(f"{name} is {value!r:.80}, expected hexadecimal digits")
    elif type(value) is not type(shape) or value != shape:
        raise ValueError(f"{name} is {value!r:.80}, expected {shape!r}")


def _leaves(document: Mapping[str, Any], prefix: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any]]:
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, value in document.items():
        inner = isinstance(value, dict) and value
        found += _leaves(value, (*prefix, name)) if inner else [((*prefix, name), value)]
    return found
