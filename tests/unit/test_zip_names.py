"""Names that another system or another reader takes for something else."""

import random
import stat
import unicodedata
import zipfile

import pytest

from challenge_bundle.findings import ERROR, Finding
from challenge_bundle.submission.zip_names import check_names, check_root, fold, has_second_name, look

TWICE = "zip-name-duplicate"
LOOKS = "zip-name-look-alike"
BELOW = "zip-name-below-file"


def member(name: str, mode: int = 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    info.create_system, info.external_attr = 3, mode << 16
    info.flag_bits = 0 if name.isascii() else 0x800
    return info


def find(*names: str) -> list[Finding]:
    return list(check_names([member(name) for name in names]))


def codes(*names: str) -> list[str]:
    return [finding.code for finding in find(*names)]


@pytest.mark.parametrize(
    "name",
    [
        "CON",
        "con",
        "NUL.txt",
        "aux.tar.gz",
        "sub/PRN",
        "LPT1/x.py",
        "COM9.py",
        "COM0",
        "com\u00b9",
        "LPT\u00b3.bin",
        "CONIN$",
        "conout$.x",
        "nul .txt",
        "a<b",
        "a>b",
        'a"b',
        "a|b",
        "a?b",
        "a*b",
        "sub/a:b",
        "weights:stream",
    ],
)
def test_names_that_windows_cannot_hold(name: str) -> None:
    (finding,) = find(name)
    assert (finding.code, finding.severity, finding.location) == ("zip-name-windows", ERROR, repr(name))
    assert "is reserved by Windows" in finding.message


@pytest.mark.parametrize(
    "name", ["Dockerfile ", " Dockerfile", "infer.py.", "a /b", "a./b", "a. ", "...x.", "model_output./x"]
)
def test_names_that_lose_their_ends(name: str) -> None:
    (finding,) = find(name)
    assert (finding.code, finding.severity, finding.location) == ("zip-name-windows", ERROR, repr(name))
    assert "which Windows drops" in finding.message


@pytest.mark.parametrize(
    "name",
    [
        "console.py",
        "nulls/x",
        "COM10",
        "LPT",
        "com.py",
        "aux_net.py",
        ".dockerignore",
        "a.b.c",
        "a b",
        "größe.py",
        "数据.py",
        "x=1,y;z'&%@!(){}[]~^`+$#.txt",
        "CONIN",
    ],
)
def test_names_that_every_system_holds(name: str) -> None:
    assert find(name) == []


@pytest.mark.parametrize(
    "invisible",
    ["\u034f", "\ufe0f", "\U000e0100", "\u200b", "\u00ad", "\u3164", "\u115f", "\u061c", "\ufeff"],
)
def test_invisible_characters(invisible: str) -> None:
    (finding,) = find(f"infer{invisible}.py")
    assert finding.code == "zip-name-invalid"
    assert "unprintable" in finding.message
    assert invisible not in str(finding)


@pytest.mark.parametrize("name", ["..", "./infer.py", "a/./b", "a/../b", "a//b", "/a", "a\\b", "C:/x", "z:x"])
def test_names_that_are_no_plain_paths(name: str) -> None:
    assert codes(name) == ["zip-name-path"]


@pytest.mark.parametrize("name", ["__MACOSX/._x", "sub/__MACOSX/x", ".DS_Store", "sub/.DS_Store"])
def test_files_of_macos_itself(name: str) -> None:
    assert codes(name) == ["zip-macos-file"]


@pytest.mark.parametrize(("method", "is_good"), [(0, True), (8, True), (9, False), (12, False), (14, False)])
def test_ways_to_compress(method: int, is_good: bool) -> None:
    info = member("a")
    info.compress_type = method
    found = [finding.code for finding in check_names([info])]
    assert found == ([] if is_good else ["zip-compression"])


def test_the_longest_names() -> None:
    assert find("a" * 120 + "/" + "b" * 119) == []
    assert codes("a" * 120 + "/" + "b" * 120) == ["zip-name-invalid"]
    assert find("ä" * 127 + "a") == []
    assert codes("ä" * 128) == ["zip-name-invalid"]
    assert codes("") == ["zip-name-invalid"]


def test_a_name_without_the_sign_of_utf8() -> None:
    info = member("größe.py")
    info.flag_bits = 0
    (finding,) = check_names([info])
    assert finding.code == "zip-name-encoding"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Dockerfile", "dockerfile"),
        ("infer.py", "INFER.PY"),
        ("groß.py", "GROSS.py"),
        (unicodedata.normalize("NFC", "é.py"), unicodedata.normalize("NFD", "é.py")),
        ("sub/x", "SUB/x"),
        ("sub/x", "Sub/y"),
        ("file.py", "\ufb01le.py"),
        ("model_output/a", "model_output/A"),
        ("a1.py", "a\u00b9.py"),
    ],
)
def test_names_that_some_system_takes_for_one(first: str, second: str) -> None:
    for names in ((first, second), (second, first)):
        (finding,) = find(*names)
        assert (finding.code, finding.location) == (TWICE, repr(names[1]))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("infer.py", "\u0456nfer.py"),  # a Cyrillic letter
        ("Dockerfile", "D\u03bfckerfile"),  # a Greek letter
        ("model_output/x", "m\u043edel_output/y"),
        ("a/b", "a\u2215c"[:1] + "\u2215b"),  # a division slash
    ],
)
def test_names_that_a_reader_takes_for_one(first: str, second: str) -> None:
    for names in ((first, second), (second, first)):
        assert codes(*names) == [LOOKS]


def test_plain_letters_and_digits_are_not_confused() -> None:
    assert find("fold_1.onnx", "fold_l.onnx", "O.py", "0.py", "rn.py", "m.py", "I", "vv", "w") == []


def test_the_same_file_twice_and_the_same_folder() -> None:
    assert codes("a/b", "a/b") == [TWICE]
    assert find("a/", "a/b", "a/", "a/c") == []


def test_files_and_folders_of_one_name() -> None:
    assert codes("a", "a/b") == [BELOW]
    assert codes("a/b", "a") == [BELOW]
    assert codes("a", "a/b/c/d") == [BELOW]
    assert codes("A", "a/b") == [TWICE]


@pytest.mark.parametrize(
    ("name", "mode", "is_good"),
    [
        ("a", 0, True),
        ("a", stat.S_IFREG | 0o755, True),
        ("a/", stat.S_IFDIR | 0o755, True),
        ("a/", 0, True),
        ("a", stat.S_IFLNK | 0o777, False),
        ("a", stat.S_IFDIR | 0o755, False),
        ("a/", stat.S_IFREG | 0o644, False),
        ("a", stat.S_IFIFO, False),
        ("a", stat.S_IFSOCK, False),
        ("a", stat.S_IFBLK, False),
    ],
)
def test_only_files_and_folders(name: str, mode: int, is_good: bool) -> None:
    found = list(check_names([member(name, mode)]))
    assert (found == []) == is_good
    assert all(finding.code == "zip-not-a-file" for finding in found)


def test_a_second_name_anywhere_in_the_extra_field() -> None:
    other = b"\x01\x00\x02\x00ab"
    assert not has_second_name(b"")
    assert not has_second_name(other)
    assert not has_second_name(b"\x75\x70\x00")
    assert has_second_name(other + b"\x75\x70\x00\x00")
    assert has_second_name(b"\x75\x70\x05\x00hello")


@pytest.mark.parametrize(
    ("names", "code", "location"),
    [
        (["dockerfile", "x"], "zip-dockerfile-name", "'dockerfile'"),
        (["DOCKERFILE"], "zip-dockerfile-name", "'DOCKERFILE'"),
        (["D\u03bfckerfile"], "zip-dockerfile-name", "'D\u03bfckerfile'"),
        (["sub/Dockerfile"], "zip-dockerfile-place", "'sub/Dockerfile'"),
        (["Dockerfile/x"], "zip-dockerfile-missing", "Dockerfile"),
        (["Dockerfile.txt"], "zip-dockerfile-missing", "Dockerfile"),
        (["a/"], "zip-empty", "the zip"),
        ([], "zip-empty", "the zip"),
        (["Dockerfile", "metadata"], "zip-platform-code", "metadata"),
        (["Dockerfile", "metadata.yaml"], "zip-platform-code", "metadata.yaml"),
    ],
)
def test_what_a_platform_would_not_build(names: list[str], code: str, location: str) -> None:
    found = list(check_root([member(name) for name in names]))
    assert [(finding.code, finding.severity, finding.location) for finding in found] == [
        (code, ERROR, location)
    ]


def test_a_root_that_is_built() -> None:
    assert list(check_root([member(name) for name in ("Dockerfile", "sub/metadata", "sub/Dockerfile")])) == []


def test_what_names_have_in_common() -> None:
    assert fold("Sub. /File.PY. ") == "sub/file.py"
    assert look("\u0456nfer.py") == look("infer.py")
    assert fold("\u0456nfer.py") != fold("infer.py")


def test_made_up_names_are_refused_or_differ_everywhere() -> None:
    """A little fuzzing: of names that are taken, none is another one's on any system."""
    draw = random.Random(0)
    parts = [
        "CON",
        "con",
        "nul",
        "a",
        "A",
        "b.py",
        "B.PY",
        "..",
        ".",
        "",
        "é",
        "e\u0301",
        "\u0430",
        "ss",
        "ß",
    ]
    parts += ["a.", "a ", " a", "a\u034f", "\ufe0f", "x:y", "x|y", "COM\u00b2", "fi", "\ufb01", "K", "\u212a"]
    taken = 0
    for _ in range(3000):
        names = ["/".join(draw.choices(parts, k=draw.randint(1, 3))) for _ in range(draw.randint(1, 4))]
        if find(*names):
            continue
        taken += 1
        assert len({unicodedata.normalize("NFKC", name).casefold() for name in names}) == len(names), names
        for part in (part for name in names for part in name.rstrip("/").split("/")):
            assert part == part.strip().rstrip("."), names
            assert part.partition(".")[0].casefold() not in ("con", "nul", "com\u00b2"), names
            assert not set(part) & set('<>:"|?*\\\u034f\ufe0f'), names
    assert taken > 100
