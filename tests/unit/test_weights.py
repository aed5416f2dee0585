"""Weights that are not whole are found without loading them."""

import io
import zipfile
from pathlib import Path

import onnxruntime
import pytest

from challenge_bundle.errors import SubmissionError
from challenge_bundle.formats.weights import check_weights, is_pointer
from tests.models import field, make_graph, make_safetensors

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
DATASETS = Path(onnxruntime.__file__).parent / "datasets"


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def make_torch() -> bytes:
    """As torch.save writes: a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 500)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["mul_1.onnx", "sigmoid.onnx", "logreg_iris.onnx"])
def test_real_graphs_are_whole(name: str) -> None:
    check_weights(DATASETS / name)


WHOLE = {
    "a.onnx": make_graph(),
    "B.ONNX": make_graph(bytes(3000)),
    "no_more_than_needed.onnx": b"\x08\x08" + field(7, field(1, b"x")),
    "numbers_of_fixed_size.onnx": make_graph() + b"\x21" + bytes(8) + b"\x25" + bytes(4),
    # A length of 128 is the bytes 80 01.
    "longer_lengths.onnx": b"\x08\x80\x01" + field(7, field(1, bytes(128))),
    "a.safetensors": make_safetensors(),
    "none.safetensors": (2).to_bytes(8, "little") + b"{}",
    "meta.safetensors": (30).to_bytes(8, "little") + b'{"__metadata__":{"a":"b"}}    ',
    "a.pth": make_torch(),
    "old.pth": b"\x80\x02pickle",
    "notes.txt": b"",
    "empty.py": b"",
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_whole(name: str, tmp_path: Path) -> None:
    check_weights(put(tmp_path, name, WHOLE[name]))


@pytest.mark.parametrize("name", ["a.onnx", "a.pth", "a.pt", "a.ckpt", "a.safetensors", "a.h5", "a.npz"])
def test_an_empty_file_of_weights(name: str, tmp_path: Path) -> None:
    with pytest.raises(SubmissionError) as fault:
        check_weights(put(tmp_path, name, b""))
    assert fault.value.code == "weights-empty"


@pytest.mark.parametrize("path", sorted(DATASETS.glob("*.onnx")), ids=lambda path: path.name)
def test_a_real_graph_that_is_cut_off_anywhere(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    for end in range(1, len(content)):
        # At the end of an outer field after the graph, what is there is whole by all that can be seen.
        cut = put(tmp_path, "cut.onnx", content[:end])
        try:
            check_weights(cut)
        except SubmissionError:
            continue
        assert end in boundaries(content), end


def boundaries(content: bytes) -> set[int]:
    """Where an outer field ends, by a reading of our own that knows short files only."""
    place, found = 0, set()
    while place < len(content):
        kind = content[place] & 7
        place += 1
        value = shift = 0
        while True:
            byte = content[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        place += value if kind == 2 else 0
        found.add(place)
    return found


FAULTS = {
    "text.onnx": b"hello",
    "html.onnx": b"<!doctype html><html></html>",
    "version_alone.onnx": b"\x08\x08",
    "no_version.onnx": field(7, field(1, b"x")),
    "no_nodes.onnx": b"\x08\x08" + field(7, field(2, b"main")),
    "no_graph.onnx": b"\x08\x08" + field(2, b"pytorch"),
    "one_byte_short.onnx": make_graph()[:-1],
    "one_byte_more.onnx": make_graph() + b"\0",
    "endless_number.onnx": b"\x08" + b"\xff" * 20,
    "group.onnx": make_graph() + b"\x0b\0",
    "short_fixed64.onnx": make_graph() + b"\x21" + bytes(7),
    "short_fixed32.onnx": make_graph() + b"\x25" + bytes(3),
    "graph_is_broken.onnx": b"\x08\x08" + field(7, field(1, b"x") + b"\x0a\x7f"),
    "short.safetensors": make_safetensors()[:-1],
    "long.safetensors": make_safetensors() + b"x",
    "header_cut.safetensors": make_safetensors()[:20],
    "huge_header.safetensors": (1 << 62).to_bytes(8, "little") + b"{}",
    "list.safetensors": (2).to_bytes(8, "little") + b"[]",
    "number.safetensors": (9).to_bytes(8, "little") + b'{"a": 12}',
    "tiny.safetensors": b"\x01",
    "cut.pth": make_torch()[:-30],
    "cut.npz": make_torch()[:100],
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_not_whole(name: str, tmp_path: Path) -> None:
    with pytest.raises(SubmissionError) as fault:
        check_weights(put(tmp_path, name, FAULTS[name]))
    assert fault.value.code == "weights-incomplete"
    assert fault.value.finding.hint == "train again, or zip again"


def test_pointers_of_git_lfs(tmp_path: Path) -> None:
    assert is_pointer(put(tmp_path, "a.onnx", POINTER))
    assert is_pointer(put(tmp_path, "b.bin", POINTER + b"x" * (1024 - len(POINTER))))
    # The specification: a pointer has less than 1,024 bytes... what is larger is a text about pointers.
    assert not is_pointer(put(tmp_path, "c.bin", POINTER + b"x" * (1025 - len(POINTER))))
    assert not is_pointer(put(tmp_path, "d.bin", b" " + POINTER))
    assert not is_pointer(put(tmp_path, "e.bin", b""))
