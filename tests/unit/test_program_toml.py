"""program.toml: what a program promises to write, and what is no such promise."""

from pathlib import Path

import pytest

from challenge_bundle.errors import ManifestError
from challenge_bundle.formats.program_toml import MAX_BYTES, Written, read_program_toml

DEFAULT = ("best_metric_model.onnx", "model.json")


def read(folder: Path, text: str) -> Written:
    (folder / "program.toml").write_text(text)
    return read_program_toml(folder, DEFAULT)


def test_without_a_word_it_is_the_default(tmp_path: Path) -> None:
    assert read_program_toml(tmp_path, DEFAULT) == Written(DEFAULT)
    assert read(tmp_path, "# nothing") == Written(DEFAULT)
    assert read(tmp_path, 'temporary = ["checkpoint.pth"]') == Written(DEFAULT, ("checkpoint.pth",))


def test_what_it_says(tmp_path: Path) -> None:
    written = read(tmp_path, 'outputs = ["forest/trees.pkl", "größe.json"]\ntemporary = ["steps/", "a.tmp"]')
    assert written.outputs == ("forest/trees.pkl", "größe.json")
    assert [
        name
        for name in ("steps/1/x", "steps", "a.tmp", "a.tmp2", "stepsx", "b")
        if written.is_temporary(name)
    ] == [
        "steps/1/x",
        "steps",
        "a.tmp",
    ]
    assert read(tmp_path, "outputs = []") == Written(())


@pytest.mark.parametrize(
    ("text", "code", "row", "name"),
    [
        ('outputs = ["/etc/passwd"]', "setting-value", 1, "'/etc/passwd'"),
        ('\noutputs = ["a/../b"]', "setting-value", 2, "'a/../b'"),
        ('outputs = [".."]', "setting-value", 1, "'..'"),
        ('outputs = ["."]', "setting-value", 1, "'.'"),
        ('outputs = ["./a"]', "setting-value", 1, "'./a'"),
        ('outputs = ["a//b"]', "setting-value", 1, "'a//b'"),
        ('outputs = ["a/"]', "setting-value", 1, "'a/'"),
        ('outputs = ["*.pkl"]', "setting-value", 1, "'*.pkl'"),
        (r'outputs = ["a\\b"]', "setting-value", 1, "'a"),
        (r'outputs = ["a\nb"]', "setting-value", 1, r"'a\nb'"),
        ('outputs = ["%s"]' % ("x" * 201), "setting-value", 1, "'x"),
        ('outputs = ["tensorboard/x"]', "setting-value", 1, "'tensorboard/x'"),
        ('temporary = ["tensorboard/"]', "setting-value", 1, "'tensorboard/'"),
        ('outputs = ["a", "a"]', "setting-duplicate", 1, "'a'"),
        ('outputs = "a"', "setting-type", 1, "'a'"),
        ("outputs = [1]", "setting-type", 1, "[1]"),
        ('output = ["a"]', "setting-unknown", 1, "'output'"),
        ('outputs = ["a"]\ntemporary = ["a"]', "setting-contradiction", 2, "'a'"),
        ('outputs = ["a/b"]\ntemporary = ["a/"]', "setting-contradiction", 2, "'a/b'"),
        ('temporary = ["model.json"]', "setting-contradiction", 1, "'model.json'"),
        ("outputs = [", "manifest-not-toml", None, ""),
        ("outputs = " + "[" * 5000, "manifest-not-toml", None, ""),
    ],
)
def test_faults_are_one_line_with_the_key(
    text: str, code: str, row: int | None, name: str, tmp_path: Path
) -> None:
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, text)
    found = caught.value.finding
    assert (found.code, found.location, found.row) == (code, str(tmp_path / "program.toml"), row)
    key = "not valid TOML" if row is None else f"'{text.splitlines()[row - 1].partition(' =')[0]}'"
    assert found.message.startswith(key)
    assert name in found.message
    assert "\n" not in str(caught.value)


def test_not_a_text_or_too_long(tmp_path: Path) -> None:
    (tmp_path / "program.toml").write_bytes(b"\xff")
    with pytest.raises(ManifestError) as caught:
        read_program_toml(tmp_path, DEFAULT)
    assert caught.value.code == "manifest-not-utf8"
    assert read(tmp_path, "#" * MAX_BYTES) == Written(DEFAULT)
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, "#" * (MAX_BYTES + 1))
    assert caught.value.code == "manifest-not-utf8"
    assert "at most 64 KB" in str(caught.value)
    assert MAX_BYTES == 65536
