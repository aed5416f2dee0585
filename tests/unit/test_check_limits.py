"""What takes too much to be read is a finding among the others, and `check` reads in a process of its own."""

import zipfile
from pathlib import Path

import pytest

from challenge_bundle.errors import SubmissionError
from challenge_bundle.settings import SubmissionSettings
from challenge_bundle.submission.check import check_submission
from tests.unit.test_check import CARD_NAME, DOCKERFILE, GOOD, SETTINGS, find, make_zip


def check(path: Path) -> list[str]:
    return [str(finding) for finding in check_submission(path, SETTINGS, ("CXR", "Hand"))]


@pytest.mark.parametrize(
    "files",
    [
        GOOD,
        GOOD | {"notes.txt": "x", CARD_NAME: "{", "infer.py": "("},
        GOOD | {"../x": "outside"},
        GOOD | {"metadata": "", "more.zip": ""},
    ],
)
def test_a_process_of_its_own_finds_the_same(files: dict[str, str], tmp_path: Path) -> None:
    path = make_zip(tmp_path / "s.zip", files)
    assert sorted(check(path)) == sorted(find(path))
    assert [path.name for path in tmp_path.iterdir()] == ["s.zip"]


def test_errors_come_first(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "s.zip", GOOD | {"a.txt": "x", "infer.py": "("})
    found = [(item.severity, item.location) for item in check_submission(path, SETTINGS, ("CXR", "Hand"))]
    assert found == [("error", "infer.py"), ("warning", "a.txt")]


def test_a_path_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError) as fault:
        check(tmp_path / "s.zip")
    assert (fault.value.code, fault.value.path) == ("no-such-file", tmp_path / "s.zip")


def test_sizes_at_the_limits(tmp_path: Path) -> None:
    """A file as large as all may be together comes out whole; one more byte is refused."""
    settings = SubmissionSettings(zip_mb=2, unpacked_mb=1, files=4)
    size = (1 << 20) - sum(len(text) for text in GOOD.values())
    path = make_zip(tmp_path / "s.zip", GOOD | {"x": "x" * size})
    (finding,) = check_submission(path, settings, ())
    assert (finding.severity, finding.location, finding.code) == ("warning", "x", "file-not-copied")
    path = make_zip(tmp_path / "s.zip", GOOD | {"x": "x" * (size + 1)})
    (finding,) = check_submission(path, settings, ())
    assert (finding.severity, finding.code) == ("error", "zip-unpacked-size")
    assert "at most 1 MB" in finding.message


# Half a megabyte, of which Python's parser makes minutes.
SLOW = "x = f'" + "{1}" * 180_000 + "'\n"


def test_code_that_takes_too_long_is_one_finding_among_all_others(tmp_path: Path) -> None:
    files = GOOD | {
        "a.py": SLOW,
        "z.py": "def (",
        "a.onnx": "x",
        CARD_NAME: "{",
        "Dockerfile": DOCKERFILE + "ADD b /\nCOPY z.py /\n",
    }
    path = make_zip(tmp_path / "s.zip", {})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    assert path.stat().st_size < 5000

    found = [item for item in check_submission(path, SETTINGS, ("CXR", "Hand")) if item.severity == "error"]

    assert [(item.location, item.row) for item in found] == [
        ("Dockerfile", 5),
        ("a.onnx", None),
        (CARD_NAME, None),
        ("z.py", 1),
        ("a.py", None),
    ]
    assert str(found[-1]) == "error: a.py: takes more than 10 s to read; make it smaller or simpler"


def test_code_that_takes_too_much_memory_is_a_finding(tmp_path: Path) -> None:
    text = "x = [" + "a," * 500_000 + "]"
    path = make_zip(tmp_path / "s.zip", GOOD | {"infer.py": text})
    (finding,) = check_submission(path, SETTINGS, ("CXR", "Hand"))
    assert (finding.code, finding.severity, finding.location) == ("code-too-complex", "error", "infer.py")


def test_code_beyond_a_sum_is_not_parsed(tmp_path: Path) -> None:
    settings = SubmissionSettings(zip_mb=64, unpacked_mb=64, files=100)
    # Of 4 MB, four files of nearly 1 MB are parsed; what is larger than those comes later.
    files = {f"{number}.py": "#" * 1_000_000 for number in range(4)} | {"z.py": "(" + "#" * 1_000_000}
    path = make_zip(
        tmp_path / "s.zip", GOOD | files | {"y.py": "(", "Dockerfile": DOCKERFILE + "COPY *.py /\n"}
    )
    errors = [finding for finding in check_submission(path, settings, ()) if finding.severity == "error"]
    assert [finding.location for finding in errors] == ["y.py"]


def test_a_card_with_hidden_dots_is_a_finding(tmp_path: Path) -> None:
    """Behind an equals sign in quotes, which only the parser sees."""
    text = '"=".' + "a." * 32_000 + "a = 1"
    path = make_zip(tmp_path / "s.zip", GOOD | {"submission.toml": text})
    found = [(item.severity, item.location, item.code) for item in check_submission(path, SETTINGS, ())]
    assert {("error", "submission.toml", code) for code in ("read-time", "read-memory")} & {*found}, found


def test_two_thousand_files_with_long_names_are_all_looked_at(tmp_path: Path) -> None:
    """Each is a finding of a kilobyte: together they are more than a process may write into other files."""
    settings = SubmissionSettings(files=2000)
    names = [f"e{chr(0x301) * 110}{number}" for number in range(1990)]
    found = check_submission(make_zip(tmp_path / "s.zip", GOOD | dict.fromkeys(names, "")), settings, ())
    assert {finding.location for finding in found if finding.severity == "warning"} == set(names)
    assert not any(finding.severity == "error" for finding in found)
