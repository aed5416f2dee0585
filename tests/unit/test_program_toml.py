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
    ("text", "word"),
    [
        (
            'outputs = ["/etc/passwd"]',
            r"program.toml:1: 'outputs' names '/etc/passwd'; expected a file below",
        ),
        ('\noutputs = ["a/../b"]', "program.toml:2: 'outputs' names 'a/../b'"),
        ('outputs = [".."]', "names '..'"),
        ('outputs = ["."]', "names '.'"),
        ('outputs = ["./a"]', "names './a'"),
        ('outputs = ["a//b"]', "names 'a//b'"),
        ('outputs = ["a/"]', "names 'a/'"),
        ('outputs = ["*.pkl"]', r"names '\*.pkl'"),
        (r'outputs = ["a\\b"]', r"names 'a"),
        (r'outputs = ["a\nb"]', r"names 'a\\nb'"),
        ('outputs = ["%s"]' % ("x" * 201), "names 'x"),
        ('outputs = ["tensorboard/x"]', "tensorboard/ is taken anyway"),
        ('outputs = ["a", "a"]', "names a file twice"),
        ('outputs = "a"', "expected a list of texts"),
        ("outputs = [1]", "expected a list of texts"),
        ('output = ["a"]', "'output' is not known here; expected outputs, temporary"),
        ('outputs = ["a"]\ntemporary = ["a"]', "'temporary' names 'a', which 'outputs' promises"),
        ('outputs = ["a/b"]\ntemporary = ["a/"]', "'temporary' names 'a/b', which 'outputs' promises"),
        ('temporary = ["model.json"]', "names 'model.json', which 'outputs' promises"),
        ("outputs = [", "not valid TOML"),
        ("outputs = " + "[" * 5000, "not valid TOML"),
    ],
)
def test_faults_are_one_line_with_the_key(text: str, word: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=word) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_not_a_text_or_too_long(tmp_path: Path) -> None:
    (tmp_path / "program.toml").write_bytes(b"\xff")
    with pytest.raises(ManifestError, match="not a UTF-8 text of at most 64 KB"):
        read_program_toml(tmp_path, DEFAULT)
    assert read(tmp_path, "#" * MAX_BYTES) == Written(DEFAULT)
    with pytest.raises(ManifestError, match="at most 64 KB"):
        read(tmp_path, "#" * (MAX_BYTES + 1))
    assert MAX_BYTES == 65536
