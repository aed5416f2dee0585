"""resamples.npz, a metric's score on many resamples of the cases, read within limits."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from challenge_bundle.errors import DataError, shown

MAX_BYTES = 2**31
"""Of the file: a thousand metrics of 100,000 resamples, with influences of 100,000 groups, stay below."""

MAX_MEMBERS = 4096
MAX_VALUES = 10**7
"""Of one array: resamples, or groups."""

DRAWS = "draws"
INFLUENCE = "influence/"
_MAX_DRAWS_BYTES = 4096
_HINT = "let the scoring program write it with its helper module, and run `evaluate --rescore`"


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """One metric's score on resamples of the cases.

    Args:
        draws: Which resamples these are: entries with the same draws can be compared resample by resample.
        scores: (R,), float64, finite.
        influence: (G,), float64, finite: by how much each group of cases moves the score; None if it is not
            known.
    """

    draws: str
    scores: np.ndarray
    influence: np.ndarray | None = None


def read_resamples(path: Path, metric: str) -> Resamples | None:
    """Read one metric's resampled scores.

    Args:
        path: A resamples.npz; it may not be there.
        metric: The metric's name.

    Returns:
        Its resamples; None if there is no such file, or the metric is not in it.

    Raises:
        DataError: Not a zip of plain arrays, larger than any valid one, or a number that is not finite.
    """
    try:
        with path.open("rb") as opened:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"larger than {MAX_BYTES:,} bytes")
            with zipfile.ZipFile(opened) as archive:
                return _read_metric(archive, metric)
    except FileNotFoundError:
        return None
    except (
        OSError,
        ValueError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as fault:
        raise DataError(
            f"not the resampled scores of a scoring program: {fault!s:.200}",
            path,
            code="resamples-invalid",
            hint=_HINT,
        ) from None


def _read_metric(archive: zipfile.ZipFile, metric: str) -> Resamples | None:
    members = {member.filename: member for member in archive.infolist()}
    if len(archive.infolist()) > MAX_MEMBERS:
        raise ValueError(f"more than {MAX_MEMBERS} arrays")
    if len(members) < len(archive.infolist()):
        raise ValueError("an array appears twice")
    if f"{metric}.npy" not in members:
        return None
    if f"{DRAWS}.npy" not in members:
        raise ValueError(f"expected an array '{DRAWS}' that names the draws but got none")
    draws = _read_text(archive, members[f"{DRAWS}.npy"])
    scores = _read_values(archive, members[f"{metric}.npy"])
    if not len(scores):
        raise ValueError(f"{shown(metric)} has no resample")
    member = members.get(f"{INFLUENCE}{metric}.npy")
    return Resamples(draws, scores, None if member is None else _read_values(archive, member))


def _read_values(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array of finite numbers."""
    name = shown(member.filename)
    with archive.open(member) as opened:
        shape, dtype = _read_header(opened)
        if len(shape) != 1 or dtype != np.dtype(np.float64) or not 0 <= shape[0] <= MAX_VALUES:
            raise ValueError(
                f"{name}: expected float64 values (R,), at most {MAX_VALUES:,}, but got {dtype} {shape}"
            )
        data = opened.read(8 * shape[0] + 1)
    if len(data) != 8 * shape[0]:
        raise ValueError(f"{name}: expected {shape[0]} values but got {len(data)} bytes")
    values = np.frombuffer(data, dtype)
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: a value is not a finite number")
    return values


def _read_text(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    name = shown(member.filename)
    with archive.open(member) as opened:
        shape, dtype = _read_header(opened)
        if shape not in ((), (1,)) or dtype.kind not in "US" or dtype.itemsize > _MAX_DRAWS_BYTES:
            raise ValueError(f"{name}: expected one short text but got {dtype} {shape}")
        data = opened.read(dtype.itemsize + 1)
    if len(data) != dtype.itemsize:
        raise ValueError(f"{name}: expected {dtype.itemsize} bytes but got {len(data)}")
    value = np.frombuffer(data, dtype)[0]
    return str(value.decode("ascii") if isinstance(value, bytes) else value)


def _read_header(opened: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array, before anything of that size is made."""
    version = np.lib.format.read_magic(opened)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(opened)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(opened)
    else:
        raise ValueError(f"an array of format {version}")
    if dtype.hasobject:
        raise ValueError("an array of Python objects")
    return shape, dtype
