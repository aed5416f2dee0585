"""What a scoring program may write: numbers and arrays made to overrun whoever reads them."""

import io
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest

from challenge_bundle.errors import DataError
from challenge_bundle.formats.resamples import read_resamples
from challenge_bundle.formats.scores import find_score, parse_scores
from challenge_bundle.leaderboard.metric_info import metric_info


def test_whole_number_beyond_float() -> None:
    content = parse_scores('{"good": 0.5, "huge": 1' + "0" * 400 + "}", Path("scores.json"))
    assert find_score(content, "good") == 0.5
    assert find_score(content, "huge") is None
    stated = {"details": {"metrics": {"good": {"high": 10**400}}}}
    assert metric_info(stated, "good").high == math.inf


def test_array_of_negative_length(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (-1,)})
    path = tmp_path / "resamples.npz"
    np.savez(path, draws="a")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("f1.npy", header.getvalue() + bytes(80))
    with pytest.raises(DataError, match="expected float64 values") as caught:
        read_resamples(path, "f1")
    assert caught.value.code == "resamples-invalid"


def test_damaged_stream(tmp_path: Path) -> None:
    path = tmp_path / "resamples.npz"
    np.savez_compressed(path, draws="a", f1=np.random.default_rng(0).random(1000))
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("draws.npy").header_offset
    content = bytearray(path.read_bytes())
    body = start + 30 + len("draws.npy") + int.from_bytes(content[start + 28 : start + 30], "little")
    content[body : body + 8] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_resamples(path, "f1")
    assert caught.value.code == "resamples-invalid"
