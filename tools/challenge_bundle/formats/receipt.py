"""A receipt as a document: its fields, reading one of any origin, comparing two."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from challenge_bundle.errors import DataError, shown
from challenge_bundle.findings import ERROR, NOTE, Finding
from challenge_bundle.formats.bounded_json import read_bounded_json

FORMAT = 2
FULL, PUBLIC = "full", "public"
"""Kinds: a full receipt has the scores on both splits of the test set, a public one lacks the private one."""
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
    "limits": [_LIMITS],
    "resources": [_NUMBER],
    "versions": dict.fromkeys(("challenge-bundle", "python", "engine"), (str,)),
    "scores": [[_NUMBER]],
    "signature": {"algorithm": (str,), "public_key": _HEX_64, "value": re.compile(r"[0-9a-f]{128}")},
}
"""A dict is an object of exactly these fields, a list one of any fields; else types, a pattern or a value."""


HINT = "find out what changed since: the receipt, or what is stored, by a rescore, a relabel or a drop"


def read_receipt(path: Path) -> dict[str, Any]:
    """Read a receipt of any origin.

    Raises:
        DataError: It is no receipt, or a field is missing, unknown or of a wrong type.
    """
    document = read_bounded_json(path)
    if isinstance(document, dict) and document.get("receipt") == 1 and document["receipt"] is not True:
        raise DataError(
            "a receipt of an older version, which is not signed",
            path,
            code="unsigned-receipt",
            hint="run `evaluate --rescore`, which writes it again",
        )
    try:
        _check_shape(document, _SHAPE, "")
    except ValueError as fault:
        raise DataError(
            f"not a receipt of this tool: {fault}",
            path,
            code="not-a-receipt",
            hint="give a file from .bundle/evaluation/receipts/",
        ) from None
    return dict(document)


def same(what: str) -> Finding:
    """The finding of a field that is as the receipt has it."""
    return Finding("same", NOTE, what, "as in the receipt")


def differing(findings: Sequence[Finding]) -> list[Finding]:
    """The findings of fields that differ."""
    return [finding for finding in findings if finding.severity == ERROR]


def compare_fields(receipt: Mapping[str, Any], expected: Mapping[str, Any]) -> list[Finding]:
    """Compare every field but the signature.

    Args:
        receipt: See read_receipt.
        expected: The same fields as they are stored.

    Returns:
        A finding per field: a note where both agree, an error where they differ or one of them lacks it.
    """
    written = {name: value for name, value in _leaves(receipt, ()) if name[0] != "signature"}
    stored = dict(_leaves(expected, ()))
    findings = []
    for name in (*stored, *(name for name in written if name not in stored)):
        what = ", ".join(key.replace("_", " ") for key in name)
        then, now = written.get(name, _ABSENT), stored.get(name, _ABSENT)
        if then is _ABSENT:
            found = Finding("receipt-lacks-field", ERROR, what, f"missing; expected {now}", HINT)
        elif now is _ABSENT:
            found = Finding(
                "receipt-unknown-field", ERROR, what, "a field that this receipt cannot have", HINT
            )
        elif type(then) is type(now) and then == now:
            found = same(what)
        else:
            found = Finding(
                "receipt-differs", ERROR, what, f"expected {now} but got {shown(str(then))}", HINT
            )
        findings.append(found)
    return findings


def _check_shape(value: Any, shape: Any, where: str) -> None:
    """Compare a document with _SHAPE.

    Raises:
        ValueError: Names the invalid field.
    """
    name = where or "the document"
    if isinstance(shape, dict | list):
        if not isinstance(value, dict):
            raise ValueError(f"{name} is not an object")
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
