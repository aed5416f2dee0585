"""resamples.npz: what a scoring program writes is read as it is, anything else is one error with its code."""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from challenge_bundle.errors import DataError
from challenge_bundle.formats import resamples
from challenge_bundle.formats.resamples import read_resamples


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_arrays_are_read_as_they_were_written(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).random(50)
    path = npz(
        tmp_path / "resamples.npz",
        accuracy=scores,
        mae=scores * 3,
        draws=np.array("abc"),
        **{"influence/accuracy": np.array([0.5, -0.5])},
    )
    found = read_resamples(path, "accuracy")
    assert found is not None
    assert found.draws == "abc"
    np.testing.assert_array_equal(found.scores, scores)
    assert found.influence is not None
    assert found.influence.tolist() == [0.5, -0.5]
    other = read_resamples(path, "mae")
    assert other is not None
    assert other.influence is None
    np.testing.assert_array_equal(other.scores, scores * 3)


@pytest.mark.parametrize("draws", [np.array("d1"), np.array(["d1"]), np.array(b"d1"), np.array("d1", "U64")])
def test_the_draws_are_a_short_text(tmp_path: Path, draws: np.ndarray) -> None:
    found = read_resamples(npz(tmp_path / "r.npz", m=np.ones(3), draws=draws), "m")
    assert found is not None
    assert found.draws == "d1"


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_resamples(tmp_path / "none.npz", "m") is None
    assert read_resamples(npz(tmp_path / "r.npz", m=np.ones(3), draws=np.array("a")), "other") is None


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return (exec, ("raise SystemExit('ran')",))


def header_of(shape: str, descr: str = "<f8") -> bytes:
    """A .npy header that promises any shape, with 16 bytes of data."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + b"\0" * 16


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


DRAWS = {"draws.npy": npy(np.array("a"))}


@pytest.mark.parametrize(
    "members",
    [
        {"m.npy": header_of("(10000000000000,)")},
        {"m.npy": header_of("(9000000,)")},
        {"m.npy": header_of("(1,)")},
        {"m.npy": header_of("(2, 1)")},
        {"m.npy": header_of("()")},
        {"m.npy": header_of("(2,)", "<f4")},
        {"m.npy": header_of("(2,)", ">f8")},
        {"m.npy": header_of("(2,)", "|O")},
        {"m.npy": header_of("(2,), 'more': 1")},
        {"m.npy": b"\x93NUMPY\x03\x00" + b"\0" * 64},
        {"m.npy": b"no array"},
        {"m.npy": pickle.dumps(Evil())},
        {"m.npy": npy(np.array([]))},
        {"m.npy": npy(np.array([0.5, np.nan]))},
        {"m.npy": npy(np.array([0.5, np.inf]))},
        {"m.npy": npy(np.ones(2)), "influence/m.npy": npy(np.array([np.nan]))},
        {"m.npy": npy(np.ones(2)), "draws.npy": npy(np.ones(2))},
        {"m.npy": npy(np.ones(2)), "draws.npy": header_of("(3,)", "<U1")},
        {"m.npy": npy(np.ones(2)), "draws.npy": header_of("()", "<U100000000")},
        {"m.npy": npy(np.ones(2)), "draws.npy": header_of("()", "<U9")},
    ],
    ids=str,
)
def test_hostile_arrays_are_refused_before_they_are_made(tmp_path: Path, members: dict[str, bytes]) -> None:
    with pytest.raises(DataError) as fault:
        read_resamples(zipped(tmp_path / "r.npz", **DRAWS | members), "m")
    assert fault.value.code == "resamples-invalid"
    assert fault.value.path == tmp_path / "r.npz"


def test_files_that_are_no_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.npz"

    def code() -> str:
        with pytest.raises(DataError) as fault:
            read_resamples(path, "m")
        return fault.value.code

    for content in (b"", b"PK", npy(np.ones(3)), b"\0" * 100):
        path.write_bytes(content)
        assert code() == "resamples-invalid"
    zipped(path, **{"m.npy": npy(np.ones(2))})
    assert code() == "resamples-invalid"  # without draws
    whole = zipped(path, **DRAWS, **{"m.npy": npy(np.random.default_rng(0).random(99))}).read_bytes()
    for cut in (len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:cut])
        assert code() == "resamples-invalid"
    damaged = bytearray(whole)
    damaged[whole.index(b"m.npy") + 200] ^= 255
    path.write_bytes(bytes(damaged))
    assert code() == "resamples-invalid"
    path.unlink()
    path.mkdir()
    assert code() == "resamples-invalid"
    path.rmdir()
    zipped(path, **DRAWS, **{"m.npy": npy(np.ones(2))})
    monkeypatch.setattr(resamples, "MAX_MEMBERS", 1)
    assert code() == "resamples-invalid"
    monkeypatch.setattr(resamples, "MAX_BYTES", 10)
    assert code() == "resamples-invalid"


def test_a_member_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("draws.npy", DRAWS["draws.npy"])
        archive.writestr("m.npy", npy(np.ones(2)))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("m.npy", npy(np.ones(2)))
    with pytest.raises(DataError) as fault:
        read_resamples(path, "m")
    assert fault.value.code == "resamples-invalid"
