"""What `check` finds in a zip, and that nothing in one can reach outside of it."""

import errno
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from challenge_bundle.findings import Finding
from challenge_bundle.settings import SubmissionSettings
from challenge_bundle.submission.check import find_in_files
from challenge_bundle.submission.unpack import has_too_many_files, unpack_checked, unpack_submission
from tests.models import make_graph
from tests.unit.test_weights import POINTER as POINTER_BYTES

CLASS_NAMES = ("CXR", "Hand")
CARD = (
    '{"class_names": ["CXR", "Hand"], "input": {"channels": 1, "height": 8, "width": 8,'
    ' "mean": [0.5], "standard_deviation": [0.2]}}'
)
DOCKERFILE = """\
FROM python:3.11-slim
COPY infer.py model_output/model.json /opt/
USER 1000
ENTRYPOINT ["python", "/opt/infer.py"]
"""
GOOD = {"Dockerfile": DOCKERFILE, "infer.py": "print('hello')\n", "model_output/model.json": CARD}
SETTINGS = SubmissionSettings(zip_mb=4, unpacked_mb=8, files=20)

CARD_NAME = "model_output/model.json"
POINTER = POINTER_BYTES.decode()

Add = Callable[[zipfile.ZipFile], None]


def make_zip(path: Path, files: Mapping[str, str | bytes], *more: Add) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        for add in more:
            add(archive)
    return path


def find(path: Path) -> list[str]:
    """What check_submission finds, without the processes of its own; see test_checking_limits.py."""
    with TemporaryDirectory() as folder:
        items = [*unpack_checked(str(path), folder, asdict(SETTINGS))]
        if not any(severity == "error" for _, severity, *_ in items):
            items += [item for item in find_in_files(folder, CLASS_NAMES) if isinstance(item, list)]
    return [str(Finding(*item)) for item in items]


def test_a_good_one(tmp_path: Path) -> None:
    assert find(make_zip(tmp_path / "s.zip", GOOD)) == []


def member(name: str, mode: int = stat.S_IFREG | 0o644, text: str = "x") -> Add:
    def add(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("x")
        info.filename = name
        info.external_attr = mode << 16
        archive.writestr(info, text)

    return add


def second_name(archive: zipfile.ZipFile) -> None:
    """A harmless name, and another in an extra field that Python reads from 3.12 on."""
    info = zipfile.ZipInfo("harmless.txt")
    other = b"/tmp/elsewhere"
    info.extra = struct.pack("<HHBL", 0x7075, 5 + len(other), 1, zlib.crc32(b"harmless.txt")) + other
    archive.writestr(info, "x")


def compressed_by_lzma(archive: zipfile.ZipFile) -> None:
    archive.writestr("a.txt", "x" * 100, zipfile.ZIP_LZMA)


def deflated(name: str, size: int) -> Add:
    return lambda archive: archive.writestr(name, b"\0" * size, zipfile.ZIP_DEFLATED)


ARCHIVE_FAULTS: dict[str, tuple[Add, str]] = {
    "absolute": (member("/etc/cron.d/x"), "an absolute path"),
    "parent": (member("a/../../x"), "'..' in the name"),
    "drive": (member("C:/x"), "an absolute path"),
    "backslash": (member("a\\b"), "a backslash"),
    "control": (member("a\x1b[2Jb"), "unprintable"),
    "long": (member("a" * 300), "over-long name"),
    "long_part": (member("ä" * 130), "over-long name"),
    "nameless": (member(""), "an empty"),
    "second_name": (second_name, "a second name"),
    "lzma": (compressed_by_lzma, "not every platform reads"),
    "link": (member("link", stat.S_IFLNK | 0o777, "/etc/passwd"), "a link or a device"),
    "device": (member("null", stat.S_IFCHR | 0o666), "a link or a device"),
    "fifo": (member("pipe", stat.S_IFIFO | 0o666), "a link or a device"),
    "macos": (member("__MACOSX/._Dockerfile"), "macOS's own files"),
    "ds_store": (member("sub/.DS_Store"), "macOS's own files"),
    "capitals": (member("INFER.py"), "the name is there twice"),
    "below_file": (member("infer.py/x"), "lies below a file"),
    "nested": (member("more.zip"), "an archive inside the archive"),
    "metadata": (member("metadata"), "code of its own kind"),
    "bomb": (deflated("zeros", 6 * 2**20), "as a zip bomb does"),
    "too_large": (deflated("a", 9 * 2**20), "at most 8 MB are taken"),
    "too_many": (
        lambda a: [a.writestr(f"{n}.txt", "") for n in range(30)] and None,
        "more files than",
    ),
}


@pytest.mark.parametrize("name", ARCHIVE_FAULTS)
def test_faults_of_the_archive(name: str, tmp_path: Path) -> None:
    add, word = ARCHIVE_FAULTS[name]

    found = find(make_zip(tmp_path / "s.zip", GOOD, add))

    assert any(word in line and line.startswith("error: ") for line in found), found
    assert all("; " in line for line in found), "each finding says how to mend it"
    assert not any(character in line for line in found for character in "\x1b\0")
    assert [path.name for path in tmp_path.iterdir()] == ["s.zip"]


CONTENT_FAULTS: dict[str, tuple[dict[str, str | None], str]] = {
    "no_dockerfile": ({"Dockerfile": None}, "Dockerfile: not in the zip"),
    "in_a_folder": ({"Dockerfile": None, "sub/Dockerfile": DOCKERFILE}, "not at the root of the zip"),
    "not_copied": (
        {CARD_NAME: None},
        "Dockerfile:2: copies 'model_output/model.json', which is not in the zip",
    ),
    "outside": ({"Dockerfile": DOCKERFILE.replace(CARD_NAME, "../model.json")}, "from outside"),
    "no_from": ({"Dockerfile": 'COPY infer.py /\nCMD ["x"]'}, "does not begin with FROM"),
    "no_entry": ({"Dockerfile": "FROM a:1\nUSER 1\nCOPY infer.py /"}, "nothing runs"),
    "fetches": ({"Dockerfile": DOCKERFILE + "ADD https://example.org/x /x"}, "fetches from the network"),
    "card_not_json": ({CARD_NAME: "{"}, "model.json: not JSON"),
    "card_deep": ({CARD_NAME: "[" * 200_000}, "model.json: not JSON"),
    "card_nan": ({CARD_NAME: CARD.replace("[0.5]", "[NaN]")}, "must list finite numbers"),
    "long_source": ({"Dockerfile": DOCKERFILE.replace("infer.py", "a" * 300, 1)}, "not in the zip"),
    "first_stage_only": ({"Dockerfile": DOCKERFILE + "FROM a:1\nUSER 1\n"}, "nothing runs"),
    "card_classes": ({CARD_NAME: CARD.replace("Hand", "Foot")}, "knows a class 'Foot'"),
    "card_input": ({CARD_NAME: CARD.replace('"height": 8', '"height": "8"')}, "'input.height' must be"),
    "syntax": ({"infer.py": "def broken(:\n"}, "infer.py: is not valid Python"),
    "nul_code": ({"infer.py": "a\0b"}, "infer.py: is not valid Python"),
}


CONTENT_FAULTS |= {
    "card_digits": ({CARD_NAME: CARD.replace("[0.5]", f"[{'9' * 400}]")}, "must list finite numbers"),
    "card_deviation_digits": ({CARD_NAME: CARD.replace("[0.2]", f"[{'9' * 400}]")}, "list finite numbers"),
    "card_more_digits": ({CARD_NAME: CARD.replace("[0.5]", f"[{'9' * 5000}]")}, "model.json: not JSON"),
    "card_infinity": ({CARD_NAME: CARD.replace("[0.2]", "[Infinity]")}, "must list finite numbers"),
    "card_minus_infinity": ({CARD_NAME: CARD.replace("[0.5]", "[-Infinity]")}, "must list finite numbers"),
    "card_large_mean": ({CARD_NAME: CARD.replace("[0.5]", "[1.1e30]")}, "must list finite numbers"),
    "card_true_as_mean": ({CARD_NAME: CARD.replace("[0.5]", "[true]")}, "must list finite numbers"),
    "card_float_size": ({CARD_NAME: CARD.replace('"height": 8', '"height": 8.0')}, "'input.height' must be"),
    "card_large_size": (
        {CARD_NAME: CARD.replace('"width": 8', '"width": 65537')},
        "'input.width' must be a whole number from 1 to 65,536",
    ),
    "card_digits_size": ({CARD_NAME: CARD.replace('"width": 8', f'"width": {"1" * 400}')}, "'input.width'"),
    "card_no_size": ({CARD_NAME: CARD.replace('"width": 8', '"width": 0')}, "'input.width' must be"),
    "card_digits_channels": (
        {CARD_NAME: CARD.replace('"channels": 1', f'"channels": {10**400}')},
        "channels",
    ),
    "card_twice": (
        {CARD_NAME: CARD.replace("{", '{"class_names": ["a", "b"], ', 1)},
        "the key 'class_names' appears twice in one object",
    ),
    "card_deep_object": ({CARD_NAME: '{"a":' * 100_000}, "model.json: not JSON"),
    "card_list": ({CARD_NAME: "[1]"}, "expected a JSON object"),
    "card_large": ({CARD_NAME: CARD + " " * (1 << 20)}, "not a UTF-8 text of at most 1 MB"),
    "graph_empty": ({"a.onnx": ""}, "a.onnx: is empty; train again"),
    "graph_text": ({"sub/a.ONNX": "hello"}, "sub/a.ONNX: is not an ONNX file"),
    "graph_cut": ({"a.onnx": make_graph()[:-1].decode("latin-1")}, "a part of one (it ends at byte"),
    "torch_empty": ({"a.pth": ""}, "a.pth: is empty"),
    "pointer": (
        {"Dockerfile": DOCKERFILE.replace("infer.py", "infer.py weights", 1), "weights/a.bin": POINTER},
        "weights/a.bin: is a pointer of Git LFS, not the file itself; run `git lfs pull`, then zip again",
    ),
    "pointer_by_argument": (
        {"Dockerfile": DOCKERFILE.replace("infer.py", "infer.py $W", 1), "a.safetensors": POINTER},
        "a.safetensors: is a pointer of Git LFS",
    ),
    "deep_code": ({"infer.py": "-" * 20_000 + "1"}, "is nested too deeply, or needs too much memory"),
    "long_chain": ({"infer.py": "+".join(["1"] * 100_000)}, "is nested too deeply, or needs too much memory"),
    "parentheses": ({"infer.py": "(" * 5000 + ")" * 5000}, "infer.py: is not valid Python (too many nested"),
    "large_code": ({"infer.py": "#" * (1 << 20) + "x"}, "not a UTF-8 text of at most 1 MB"),
    "surrogates": ({"infer.py": "x = '\\ud800'\n\0"}, "infer.py: is not valid Python"),
}


@pytest.mark.parametrize("name", CONTENT_FAULTS)
def test_faults_of_the_content(name: str, tmp_path: Path) -> None:
    changes, word = CONTENT_FAULTS[name]
    files = {key: text for key, text in (GOOD | changes).items() if text is not None}

    found = find(make_zip(tmp_path / "s.zip", files))

    assert any(word in line and line.startswith("error: ") for line in found), found


@pytest.mark.parametrize("size", [1, 65_536])
def test_sizes_up_to_the_limit(size: int, tmp_path: Path) -> None:
    text = CARD.replace('"height": 8', f'"height": {size}').replace("[0.5]", "[-1e30]").replace("0.2", "1e30")
    assert find(make_zip(tmp_path / "s.zip", GOOD | {CARD_NAME: text})) == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (
            "team = Foo",
            "submission.toml: is not TOML in UTF-8 (Invalid value (at line 1, column 8)); write it",
        ),
        ("team = 3", "submission.toml: 'team' must be a text, in quotes"),
        ("team = 'x'\n" + "a." * 32_700 + "a = 1", "submission.toml:2: a key has too many parts"),
        ("[" + "a." * 100 + "a]", "submission.toml:1: a key has too many parts"),
        ("x = " + "[" * 20_000, "submission.toml: is not TOML"),
        ("team = 'a'\n" + "#" * 70_000, "submission.toml: is larger than 64 KB"),
    ],
)
def test_a_card_that_is_not_read_is_a_warning(text: str, word: str, tmp_path: Path) -> None:
    dockerfile = DOCKERFILE.replace("infer.py", "infer.py submission.toml", 1)
    found = find(make_zip(tmp_path / "s.zip", GOOD | {"submission.toml": text, "Dockerfile": dockerfile}))
    assert len(found) == 1
    assert found[0].startswith(f"warning: {word}")


@pytest.mark.parametrize(
    ("content", "is_python"),
    [
        ("# -*- coding: latin-1 -*-\nname = 'R\u00f6ntgen'\n".encode("latin-1"), True),
        ("\ufeffname = 'R\u00f6ntgen'\n".encode(), True),
        ("name = 'R\u00f6ntgen'\n".encode("latin-1"), False),
        (b"# coding: no-such\nx = 1\n", False),
    ],
)
def test_code_is_read_in_the_encoding_that_it_names(tmp_path: Path, content: bytes, is_python: bool) -> None:
    found = find(make_zip(tmp_path / "s.zip", GOOD | {"infer.py": content}))
    assert len(found) == (not is_python)
    assert all(line.startswith("error: infer.py: is not valid Python") for line in found)


def test_warnings_do_not_refuse(tmp_path: Path) -> None:
    files = GOOD | {
        "notes.txt": "x",
        "Dockerfile": DOCKERFILE.replace("USER 1000\n", "").replace(":3.11-slim", ""),
    }
    found = find(make_zip(tmp_path / "s.zip", files))
    assert len(found) == 3
    assert all(line.startswith("warning: ") for line in found)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"hello" * 100])
def test_not_a_zip(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "s.zip").write_bytes(content)
    assert "not a readable zip" in find(tmp_path / "s.zip")[0]


def test_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in GOOD.items():
            archive.writestr(name, text)
        archive.writestr("liar.bin", b"\0" * 100_000)
    data = buffer.getvalue()
    # The size stands in the central directory, 24 bytes into the entry, as a little-endian number.
    entry = data.rindex(b"PK\x01\x02")
    data = data[: entry + 24] + (10).to_bytes(4, "little") + data[entry + 28 :]
    (tmp_path / "s.zip").write_bytes(data)

    found = find(tmp_path / "s.zip")

    assert any("liar.bin" in line and line.startswith("error: ") for line in found), found


def test_a_damaged_member(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "s.zip", GOOD)
    data = bytearray(path.read_bytes())
    data[data.index(b"print('hello')")] ^= 0xFF
    path.write_bytes(data)
    assert any("cannot be unpacked" in line for line in find(path))


def test_a_table_of_contents_cannot_hide_its_size(tmp_path: Path) -> None:
    """An end record whose own field looks like the sign of an end record."""
    path = make_zip(tmp_path / "s.zip", {f"{n}.txt": "x" for n in range(500)})
    data = bytearray(path.read_bytes())
    end = data.rfind(b"PK\x05\x06")
    # The table is moved to where its offset, as four bytes, is that sign: nothing is between.
    shift = int.from_bytes(b"PK\x05\x06", "little") - int.from_bytes(data[end + 16 : end + 20], "little")
    assert shift > 0
    data[end + 16 : end + 20] = b"PK\x05\x06"
    path.write_bytes(bytes(data))
    assert has_too_many_files(path, SETTINGS)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("COPY " + "\u00e9" * 200 + " /opt/", "error: Dockerfile:5: copies 'éééééé"),
        ("FROM ${a:-" * 6000, "error: Dockerfile:5: FROM "),
        ("FROM ${a:-" * 8000, "error: Dockerfile: not a UTF-8 text of at most 64 KB;"),
        ("COPY a b\n" * 300, "error: Dockerfile: copies more than 200 files or folders by name;"),
        ("FROM Python:3.11", "error: Dockerfile:5: FROM 'Python:3.11', which is not the name of an image;"),
    ],
)
def test_odd_dockerfiles_are_refused_with_their_reason(tmp_path: Path, line: str, first: str) -> None:
    files = GOOD | {"Dockerfile": f"{DOCKERFILE}{line}\n", "model.onnx/inside.txt": "x", "folder.py/x": "x"}
    assert find(make_zip(tmp_path / "s.zip", files))[0].startswith(first)


def test_a_full_disk_is_not_the_zips_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_zip(tmp_path / "s.zip", GOOD)
    folder = tmp_path / "unpacked"
    folder.mkdir()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OSError, match="No space left"):
        unpack_submission(path, folder, SETTINGS)


@pytest.mark.parametrize(
    ("card", "with_graph", "refused"),
    [
        ('{"trees": 20}', False, False),  # a method of another kind, whose file this is
        ('{"trees": 20}', True, True),
        ('{"class_names": ["CXR"]}', False, True),
        ('{"input": {}}', False, True),
        ("[1]", False, True),
        ("{", False, True),
    ],
)
def test_a_model_json_of_another_kind_is_the_participants_own(
    card: str, with_graph: bool, refused: bool, tmp_path: Path
) -> None:
    files = GOOD | {CARD_NAME: card}
    if with_graph:
        files |= {
            "model_output/best_metric_model.onnx": "\x08\x08",
            "Dockerfile": DOCKERFILE.replace("infer.py", "infer.py model_output/best_metric_model.onnx", 1),
        }
    found = [line for line in find(make_zip(tmp_path / "s.zip", files)) if "model.json" in line]
    assert len(found) == refused, found
    assert all(line.startswith("error: model_output/model.json: ") for line in found)


@pytest.mark.parametrize(
    ("image", "severity"),
    [
        ("python:3.99-slim", "warning"),
        ("python:3.11-slim", "error"),
        ("x/python3.99:1", "warning"),
        ("a:1", "error"),
    ],
)
def test_code_of_a_newer_python_than_this_one_may_be_right(tmp_path: Path, image: str, severity: str) -> None:
    dockerfile = f"FROM {image}\n" + DOCKERFILE.split("\n", 1)[1]
    files = GOOD | {"Dockerfile": dockerfile, "infer.py": "type A[T] = list[T] = 1\n"}
    found = find(make_zip(tmp_path / "s.zip", files))
    assert [line.split(" (")[0] for line in found] == [f"{severity}: infer.py: is not valid Python"]


def test_code_that_is_not_copied_is_never_run(tmp_path: Path) -> None:
    found = find(make_zip(tmp_path / "s.zip", GOOD | {"notes/old.py": "print 'Python 2'\n"}))
    assert [line.split(" (")[0].split(";")[0] for line in sorted(found)] == [
        "warning: notes/old.py: is not valid Python",
        "warning: notes/old.py: the Dockerfile does not copy it",
    ]
