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
    return list(map(str, findings_of(path)))


def findings_of(path: Path) -> list[Finding]:
    """What check_submission finds, without the processes of its own; see test_check_limits.py."""
    with TemporaryDirectory() as folder:
        items = [*unpack_checked(str(path), folder, asdict(SETTINGS))]
        if not any(severity == "error" for _, severity, *_ in items):
            items += [item for item in find_in_files(folder, CLASS_NAMES) if isinstance(item, list)]
    return [Finding(*item) for item in items]


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
    "absolute": (member("/etc/cron.d/x"), "zip-name-path"),
    "parent": (member("a/../../x"), "zip-name-path"),
    "drive": (member("C:/x"), "zip-name-path"),
    "backslash": (member("a\\b"), "zip-name-path"),
    "control": (member("a\x1b[2Jb"), "zip-name-invalid"),
    "long": (member("a" * 300), "zip-name-invalid"),
    "long_part": (member("ä" * 130), "zip-name-invalid"),
    "nameless": (member(""), "zip-name-invalid"),
    "second_name": (second_name, "zip-name-path"),
    "lzma": (compressed_by_lzma, "zip-compression"),
    "link": (member("link", stat.S_IFLNK | 0o777, "/etc/passwd"), "zip-not-a-file"),
    "device": (member("null", stat.S_IFCHR | 0o666), "zip-not-a-file"),
    "fifo": (member("pipe", stat.S_IFIFO | 0o666), "zip-not-a-file"),
    "macos": (member("__MACOSX/._Dockerfile"), "zip-macos-file"),
    "ds_store": (member("sub/.DS_Store"), "zip-macos-file"),
    "capitals": (member("INFER.py"), "zip-name-duplicate"),
    "below_file": (member("infer.py/x"), "zip-name-below-file"),
    "nested": (member("more.zip"), "zip-nested-archive"),
    "metadata": (member("metadata"), "zip-platform-code"),
    "bomb": (deflated("zeros", 6 * 2**20), "zip-bomb"),
    "too_large": (deflated("a", 9 * 2**20), "zip-unpacked-size"),
    "too_many": (
        lambda a: [a.writestr(f"{n}.txt", "") for n in range(30)] and None,
        "zip-file-count",
    ),
}
ARCHIVE_PLACES = {
    "absolute": "'/etc/cron.d/x'",
    "parent": "'a/../../x'",
    "drive": "'C:/x'",
    "backslash": r"'a\\b'",
    "control": r"'a\x1b[2Jb'",
    "long": f"'{'a' * 80}...'",
    "long_part": f"'{'ä' * 80}...'",
    "nameless": "''",
    "second_name": "'harmless.txt'",
    "lzma": "'a.txt'",
    "link": "'link'",
    "device": "'null'",
    "fifo": "'pipe'",
    "macos": "'__MACOSX/._Dockerfile'",
    "ds_store": "'sub/.DS_Store'",
    "capitals": "'INFER.py'",
    "below_file": "'infer.py/x'",
    "nested": "'more.zip'",
    "metadata": "metadata",
    "bomb": "'zeros'",
    "too_large": "s.zip",
    "too_many": "s.zip",
}
"""Which file of the zip, or the zip, a finding names: several faults have one code."""
ARCHIVE_NUMBERS = {"too_large": "at most 8 MB", "too_many": "at most 20 files", "bomb": "200 times"}


@pytest.mark.parametrize("name", ARCHIVE_FAULTS)
def test_faults_of_the_archive(name: str, tmp_path: Path) -> None:
    add, code = ARCHIVE_FAULTS[name]
    place = ARCHIVE_PLACES[name]

    found = findings_of(make_zip(tmp_path / "s.zip", GOOD, add))

    assert (code, "error", place) in [
        (finding.code, finding.severity, finding.location) for finding in found
    ], found
    number = ARCHIVE_NUMBERS.get(name, "")
    assert any(finding.code == code and number in finding.message for finding in found), found
    assert all(finding.location and finding.hint for finding in found)
    assert not any(character in str(finding) for finding in found for character in "\x1b\0")
    assert [path.name for path in tmp_path.iterdir()] == ["s.zip"]


CONTENT_FAULTS: dict[str, tuple[dict[str, str | None], str, str]] = {
    "no_dockerfile": ({"Dockerfile": None}, "zip-dockerfile-missing", "Dockerfile"),
    "in_a_folder": (
        {"Dockerfile": None, "sub/Dockerfile": DOCKERFILE},
        "zip-dockerfile-place",
        "'sub/Dockerfile'",
    ),
    "not_copied": (
        {CARD_NAME: None},
        "copy-missing",
        "Dockerfile:2",
    ),
    "outside": (
        {"Dockerfile": DOCKERFILE.replace(CARD_NAME, "../model.json")},
        "dockerfile-outside-context",
        "Dockerfile:2",
    ),
    "no_from": ({"Dockerfile": 'COPY infer.py /\nCMD ["x"]'}, "dockerfile-no-from", "Dockerfile:1"),
    "no_entry": ({"Dockerfile": "FROM a:1\nUSER 1\nCOPY infer.py /"}, "dockerfile-no-program", "Dockerfile"),
    "fetches": (
        {"Dockerfile": DOCKERFILE + "ADD https://example.org/x /x"},
        "dockerfile-remote-source",
        "Dockerfile:5",
    ),
    "card_not_json": ({CARD_NAME: "{"}, "model-json", "model_output/model.json"),
    "card_deep": ({CARD_NAME: "[" * 200_000}, "model-json", "model_output/model.json"),
    "card_nan": ({CARD_NAME: CARD.replace("[0.5]", "[NaN]")}, "model-input", "model_output/model.json"),
    "long_source": (
        {"Dockerfile": DOCKERFILE.replace("infer.py", "a" * 300, 1)},
        "copy-missing",
        "Dockerfile:2",
    ),
    "first_stage_only": (
        {"Dockerfile": DOCKERFILE + "FROM a:1\nUSER 1\n"},
        "dockerfile-no-program",
        "Dockerfile",
    ),
    "card_classes": (
        {CARD_NAME: CARD.replace("Hand", "Foot")},
        "model-class-unknown",
        "model_output/model.json",
    ),
    "card_input": (
        {CARD_NAME: CARD.replace('"height": 8', '"height": "8"')},
        "model-input",
        "model_output/model.json",
    ),
    "syntax": ({"infer.py": "def broken(:\n"}, "code-syntax", "infer.py:1"),
    "nul_code": ({"infer.py": "a\0b"}, "code-syntax", "infer.py"),
}


CONTENT_FAULTS |= {
    "card_digits": (
        {CARD_NAME: CARD.replace("[0.5]", f"[{'9' * 400}]")},
        "model-input",
        "model_output/model.json",
    ),
    "card_deviation_digits": (
        {CARD_NAME: CARD.replace("[0.2]", f"[{'9' * 400}]")},
        "model-input",
        "model_output/model.json",
    ),
    "card_more_digits": (
        {CARD_NAME: CARD.replace("[0.5]", f"[{'9' * 5000}]")},
        "model-json",
        "model_output/model.json",
    ),
    "card_infinity": (
        {CARD_NAME: CARD.replace("[0.2]", "[Infinity]")},
        "model-input",
        "model_output/model.json",
    ),
    "card_minus_infinity": (
        {CARD_NAME: CARD.replace("[0.5]", "[-Infinity]")},
        "model-input",
        "model_output/model.json",
    ),
    "card_large_mean": (
        {CARD_NAME: CARD.replace("[0.5]", "[1.1e30]")},
        "model-input",
        "model_output/model.json",
    ),
    "card_true_as_mean": (
        {CARD_NAME: CARD.replace("[0.5]", "[true]")},
        "model-input",
        "model_output/model.json",
    ),
    "card_float_size": (
        {CARD_NAME: CARD.replace('"height": 8', '"height": 8.0')},
        "model-input",
        "model_output/model.json",
    ),
    "card_large_size": (
        {CARD_NAME: CARD.replace('"width": 8', '"width": 65537')},
        "model-input",
        "model_output/model.json",
    ),
    "card_digits_size": (
        {CARD_NAME: CARD.replace('"width": 8', f'"width": {"1" * 400}')},
        "model-input",
        "model_output/model.json",
    ),
    "card_no_size": (
        {CARD_NAME: CARD.replace('"width": 8', '"width": 0')},
        "model-input",
        "model_output/model.json",
    ),
    "card_digits_channels": (
        {CARD_NAME: CARD.replace('"channels": 1', f'"channels": {10**400}')},
        "model-input",
        "model_output/model.json",
    ),
    "card_twice": (
        {CARD_NAME: CARD.replace("{", '{"class_names": ["a", "b"], ', 1)},
        "model-json",
        "model_output/model.json",
    ),
    "card_deep_object": ({CARD_NAME: '{"a":' * 100_000}, "model-json", "model_output/model.json"),
    "card_list": ({CARD_NAME: "[1]"}, "model-json", "model_output/model.json"),
    "card_large": ({CARD_NAME: CARD + " " * (1 << 20)}, "model-encoding", "model_output/model.json"),
    "graph_empty": ({"a.onnx": ""}, "weights-empty", "a.onnx"),
    "graph_text": ({"sub/a.ONNX": "hello"}, "weights-incomplete", "sub/a.ONNX"),
    "graph_cut": ({"a.onnx": make_graph()[:-1].decode("latin-1")}, "weights-incomplete", "a.onnx"),
    "torch_empty": ({"a.pth": ""}, "weights-empty", "a.pth"),
    "pointer": (
        {"Dockerfile": DOCKERFILE.replace("infer.py", "infer.py weights", 1), "weights/a.bin": POINTER},
        "weights-pointer",
        "weights/a.bin",
    ),
    "pointer_by_argument": (
        {"Dockerfile": DOCKERFILE.replace("infer.py", "infer.py $W", 1), "a.safetensors": POINTER},
        "weights-pointer",
        "a.safetensors",
    ),
    "deep_code": ({"infer.py": "-" * 20_000 + "1"}, "code-too-complex", "infer.py"),
    "long_chain": ({"infer.py": "+".join(["1"] * 100_000)}, "code-too-complex", "infer.py"),
    "parentheses": ({"infer.py": "(" * 5000 + ")" * 5000}, "code-syntax", "infer.py:1"),
    "large_code": ({"infer.py": "#" * (1 << 20) + "x"}, "code-syntax", "infer.py"),
    "surrogates": ({"infer.py": "x = '\\ud800'\n\0"}, "code-syntax", "infer.py"),
}


CONTENT_WORDS = {
    "no_dockerfile": "is not in the zip",
    "in_a_folder": "not at the root of the zip",
    "not_copied": "copies 'model_output/model.json', which is not in the zip",
    "outside": "from outside",
    "no_from": "does not begin with FROM",
    "no_entry": "no program is started",
    "fetches": "fetches from the network",
    "card_not_json": "not JSON (",
    "card_deep": "not JSON (",
    "card_nan": "finite numbers in 'input.mean'",
    "long_source": "not in the zip",
    "first_stage_only": "no program is started",
    "card_classes": "the class 'Foot'",
    "card_input": "'input.height', but got '8'",
    "syntax": "is not valid Python",
    "nul_code": "is not valid Python (source code string",
    "card_digits": "finite numbers in 'input.mean'",
    "card_deviation_digits": "finite numbers in 'input.standard_deviation'",
    "card_more_digits": "not JSON (",
    "card_infinity": "finite numbers in 'input.standard_deviation'",
    "card_minus_infinity": "finite numbers in 'input.mean'",
    "card_large_mean": "finite numbers in 'input.mean'",
    "card_true_as_mean": "finite numbers in 'input.mean'",
    "card_float_size": "'input.height', but got 8.0",
    "card_large_size": "a whole number from 1 to 65,536 for 'input.width', but got 65537",
    "card_digits_size": "'input.width', but got 1111",
    "card_no_size": "'input.width', but got 0",
    "card_digits_channels": "'input.channels', but got 1000",
    "card_twice": "the key 'class_names' appears twice in one object",
    "card_deep_object": "not JSON (",
    "card_list": "expected a JSON object",
    "card_large": "at most 1 MB",
    "graph_empty": "is empty; train again",
    "graph_text": "no field at byte 3",
    "graph_cut": "it ends at byte 27",
    "torch_empty": "is empty",
    "pointer": "is a pointer of Git LFS, not the file itself; run `git lfs pull`, then zip again",
    "pointer_by_argument": "is a pointer of Git LFS",
    "deep_code": "is nested too deeply, or needs too much memory",
    "long_chain": "is nested too deeply, or needs too much memory",
    "parentheses": "too many nested",
    "large_code": "larger than 1 MB",
    "surrogates": "is not valid Python (source code string",
}
"""What the finding of each fault contains: a code is of a kind of faults."""


@pytest.mark.parametrize("name", CONTENT_FAULTS)
def test_faults_of_the_content(name: str, tmp_path: Path) -> None:
    changes, code, place = CONTENT_FAULTS[name]
    files = {key: text for key, text in (GOOD | changes).items() if text is not None}

    found = findings_of(make_zip(tmp_path / "s.zip", files))

    texts = [
        str(item) for item in found if (item.code, item.severity, place_of(item)) == (code, "error", place)
    ]
    assert any(CONTENT_WORDS[name] in text for text in texts), found


def place_of(finding: Finding) -> str:
    return finding.location if finding.row is None else f"{finding.location}:{finding.row}"


@pytest.mark.parametrize("size", [1, 65_536])
def test_sizes_up_to_the_limit(size: int, tmp_path: Path) -> None:
    text = CARD.replace('"height": 8', f'"height": {size}').replace("[0.5]", "[-1e30]").replace("0.2", "1e30")
    assert find(make_zip(tmp_path / "s.zip", GOOD | {CARD_NAME: text})) == []


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("team = Foo", "card-toml", "submission.toml"),
        ("team = 3", "card-value", "submission.toml"),
        ("team = 'x'\n" + "a." * 32_700 + "a = 1", "card-key", "submission.toml:2"),
        ("[" + "a." * 100 + "a]", "card-key", "submission.toml:1"),
        ("x = " + "[" * 20_000, "card-toml", "submission.toml"),
        ("team = 'a'\n" + "#" * 70_000, "card-size", "submission.toml"),
    ],
)
def test_a_card_that_is_not_read_is_a_warning(text: str, code: str, place: str, tmp_path: Path) -> None:
    dockerfile = DOCKERFILE.replace("infer.py", "infer.py submission.toml", 1)
    path = make_zip(tmp_path / "s.zip", GOOD | {"submission.toml": text, "Dockerfile": dockerfile})
    (finding,) = findings_of(path)
    assert (finding.code, finding.severity, place_of(finding)) == (code, "warning", place)


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
    found = findings_of(make_zip(tmp_path / "s.zip", GOOD | {"infer.py": content}))
    assert len(found) == (not is_python)
    assert all(
        (item.code, item.severity, item.location) == ("code-syntax", "error", "infer.py") for item in found
    )


def test_warnings_do_not_refuse(tmp_path: Path) -> None:
    files = GOOD | {
        "notes.txt": "x",
        "Dockerfile": DOCKERFILE.replace("USER 1000\n", "").replace(":3.11-slim", ""),
    }
    found = findings_of(make_zip(tmp_path / "s.zip", files))
    assert sorted((item.code, item.severity) for item in found) == [
        ("base-image-version", "warning"),
        ("dockerfile-root-user", "warning"),
        ("file-not-copied", "warning"),
    ]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"hello" * 100])
def test_not_a_zip(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "s.zip").write_bytes(content)
    assert findings_of(tmp_path / "s.zip")[0].code == "zip-unreadable"


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

    found = findings_of(tmp_path / "s.zip")

    assert [(item.code, item.severity, item.location) for item in found] == [
        ("zip-inconsistent", "error", "'liar.bin'")
    ]


def test_a_damaged_member(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "s.zip", GOOD)
    data = bytearray(path.read_bytes())
    data[data.index(b"print('hello')")] ^= 0xFF
    path.write_bytes(data)
    assert [finding.code for finding in findings_of(path)] == ["zip-member-unreadable"]


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
    ("line", "code", "place", "words"),
    [
        ("COPY " + "\u00e9" * 200 + " /opt/", "copy-missing", "Dockerfile:5", "copies 'éééééé"),
        ("FROM ${a:-" * 6000, "dockerfile-from-form", "Dockerfile:5", "FROM "),
        ("FROM ${a:-" * 8000, "dockerfile-encoding", "Dockerfile", "at most 64 KB"),
        ("COPY a b\n" * 300, "dockerfile-source-count", "Dockerfile", "more than 200 files or folders"),
        (
            "FROM Python:3.11",
            "base-image",
            "Dockerfile:5",
            "'Python:3.11', which is not the name of an image",
        ),
    ],
)
def test_odd_dockerfiles_are_refused_with_their_reason(
    tmp_path: Path, line: str, code: str, place: str, words: str
) -> None:
    files = GOOD | {"Dockerfile": f"{DOCKERFILE}{line}\n", "model.onnx/inside.txt": "x", "folder.py/x": "x"}
    first = findings_of(make_zip(tmp_path / "s.zip", files))[0]
    assert (first.code, first.severity, place_of(first)) == (code, "error", place)
    assert words in first.message


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
    found = [item for item in findings_of(make_zip(tmp_path / "s.zip", files)) if item.location == CARD_NAME]
    assert len(found) == refused, found
    assert all(item.severity == "error" and item.code.startswith("model-") for item in found)


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
    (found,) = findings_of(make_zip(tmp_path / "s.zip", files))
    assert (found.code, found.severity, found.location) == ("code-syntax", severity, "infer.py")


def test_code_that_is_not_copied_is_never_run(tmp_path: Path) -> None:
    found = findings_of(make_zip(tmp_path / "s.zip", GOOD | {"notes/old.py": "print 'Python 2'\n"}))
    assert sorted((item.code, item.severity, item.location) for item in found) == [
        ("code-syntax", "warning", "notes/old.py"),
        ("file-not-copied", "warning", "notes/old.py"),
    ]
