"""Whether a file of weights is complete, without loading it.

Source:
    Git LFS specification; Protocol Buffers encoding; onnx.proto3 (ModelProto, GraphProto); safetensors.
"""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from challenge_bundle.errors import SubmissionError

LFS_HINT = "run `git lfs pull`, then zip again"
SUFFIXES = (".onnx", ".pth", ".pt", ".ckpt", ".safetensors", ".h5", ".npz", ".npy", ".joblib", ".pkl")
_POINTER = b"version https://git-lfs.github.com/spec/"
_MAX_POINTER_BYTES = 1024
_ZIP = b"PK\x03\x04"
_NODE, _VERSION, _GRAPH = 1, 1, 7
"""Numbers of fields in GraphProto and ModelProto."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}


def is_pointer(path: Path) -> bool:
    """Whether a file is the pointer that Git LFS leaves in place of a file that was not fetched."""
    if path.stat().st_size > _MAX_POINTER_BYTES:
        return False
    with path.open("rb") as opened:
        return opened.read(len(_POINTER)) == _POINTER


def check_weights(path: Path) -> None:
    """Refuse a file of weights that is not complete.

    Raises:
        SubmissionError: It is empty, cut off or another kind of file than its suffix promises.
    """
    size = path.stat().st_size
    if path.suffix.lower() not in SUFFIXES:
        return
    if not size:
        raise SubmissionError("is empty", code="weights-empty", hint="train again, or zip again")
    with path.open("rb") as opened:
        start = opened.read(len(_ZIP))
        if path.suffix.lower() == ".onnx":
            _check_onnx(opened, size)
        elif path.suffix.lower() == ".safetensors":
            _check_safetensors(opened, size)
        elif start == _ZIP and not zipfile.is_zipfile(opened):
            raise SubmissionError("is cut off", code="weights-incomplete", hint="train again, or zip again")


def _check_onnx(opened: BinaryIO, size: int) -> None:
    """Walk the fields of a ModelProto and of its graph; what they hold is skipped."""
    try:
        places = {number: (start, end) for number, start, end in _fields(opened, 0, size)}
        if not {_VERSION, _GRAPH} <= places.keys():
            raise ValueError("no graph")
        if _NODE not in {number for number, _, _ in _fields(opened, *places[_GRAPH])}:
            raise ValueError("a graph without nodes")
    except ValueError as fault:
        raise SubmissionError(
            f"is not a complete ONNX file ({fault})",
            code="weights-incomplete",
            hint="train again, or zip again",
        ) from None


def _fields(opened: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, start, end) of each field of a message; its end is the file's or that of the message above."""
    place = start
    while place < end:
        key, place = _varint(opened, place, end)
        kind = key & 7
        if kind == _VARINT:
            content, after = place, _varint(opened, place, end)[1]
        elif kind == _BYTES:
            length, content = _varint(opened, place, end)
            after = content + length
        elif kind in _SIZES:
            content, after = place, place + _SIZES[kind]
        else:
            raise ValueError(f"no field at byte {place:,}")
        if after > end:
            raise ValueError(f"it ends at byte {end:,}, within a field that goes to byte {after:,}")
        yield key >> 3, content, after
        place = after


def _varint(opened: BinaryIO, place: int, end: int) -> tuple[int, int]:
    """(number, place after it)."""
    opened.seek(place)
    value = 0
    for shift, byte in enumerate(opened.read(min(10, end - place))):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, place + shift + 1
    raise ValueError(f"it ends at byte {end:,}, within a number")


def _check_safetensors(opened: BinaryIO, size: int) -> None:
    opened.seek(0)
    length = int.from_bytes(opened.read(8), "little")
    try:
        if length > size - 8:
            raise ValueError("its header does not fit")
        header = json.loads(opened.read(length))
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        if max(ends, default=0) != size - 8 - length:
            raise ValueError("its tensors do not end where the file does")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as fault:
        raise SubmissionError(
            f"is not a complete safetensors file ({fault})",
            code="weights-incomplete",
            hint="train again, or zip again",
        ) from None
