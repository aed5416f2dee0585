"""Variables, quotes and backslashes, as the engine reads them."""

import pytest

from challenge_bundle.formats.dockerfile import DockerfileError, parse_dockerfile, split_words
from challenge_bundle.formats.dockerfile_variables import MAX_CHARACTERS, SubstitutionError, expand

VALUES = {"A": "a", "LONG_1": "long", "EMPTY": "", "SPACED": "x  y", "QUOTED": "\"'\\$A"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("$A", "a"),
        ("${A}", "a"),
        ("$A$A-$A", "aa-a"),
        ("$LONG_1.x", "long.x"),
        ("$AB", ""),
        ("${A}B", "aB"),
        ("'$A'", "$A"),
        ('"$A"', "a"),
        ("\\$A", "$A"),
        ('"\\$A"', "$A"),
        ('"\\"$A\\""', '"a"'),
        ('"\\\\$A"', "\\a"),
        ('"a\\b"', "a\\b"),
        ('"a\\nb"', "a\\nb"),
        ("a\\b", "ab"),
        ("a\\\\b", "a\\b"),
        ("a\\ b", "a b"),
        ("'a\\'b", "a\\b"),
        ("'\"'\"'\"", "\"'"),
        ("a''b\"\"", "ab"),
        ("$", "$"),
        ("a$", "a$"),
        ("$ $/ $. $, $'x' $\"x\" $\\x", "$ $/ $. $, $x $x $x"),
        ('"$"', "$"),
        ("$\t", "$\t"),
        ("${A:-d}${B:-d}${EMPTY:-d}", "add"),
        ("${A:+s}${B:+s}${EMPTY:+s}", "s"),
        ("${B:-}", ""),
        ("${B:-$A}", "a"),
        ("${B:-${C:-${A}}}", "a"),
        ("${B:-'}'}", "}"),
        ('${B:-"}"}', "}"),
        ("${B:-\\}}", "}"),
        ("${B:-a b}", "a b"),
        # What a value holds is not read again.
        ("$SPACED", "x  y"),
        ("$QUOTED", "\"'\\$A"),
        ("\u00e9$A", "\u00e9a"),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert expand(text, VALUES) == expected


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("'a", "single quote"),
        ('"a', "double quote"),
        ('"a\\"', "double quote"),
        ("${A", "a form of ${A}"),
        ("${A:-b", "no } that closes"),
        ("${A:", "a form of ${A}"),
        ("${A:b}", "a form of ${A}"),
        ("${A-b}", "a form of ${A}"),
        ("${A#b}", "a form of ${A}"),
        ("${}", "'${}', which is no variable"),
        ("${ A}", "no variable"),
        ("${1}", "no variable"),
        ("$1", "no variable"),
        ("$$", "no variable"),
        ("$(x)", "no variable"),
        ("$*", "no variable"),
        ("$\u00e9", "no variable"),
        ("$A\u00e9", "not ASCII"),
    ],
)
def test_faults(text: str, word: str) -> None:
    with pytest.raises(SubstitutionError) as caught:
        expand(text, VALUES)
    assert word in str(caught.value)


def test_what_must_be_set() -> None:
    assert expand("$A$EMPTY${A:+x}", VALUES, must_be_set=True) == "ax"
    for text in ("$B", "${B}", "${B:-x}", "${B:+x}", "${A:+$B}"):
        with pytest.raises(SubstitutionError, match=r"uses \$B, which is not set here"):
            expand(text, VALUES, must_be_set=True)


def test_the_length_at_its_edge() -> None:
    half = {"H": "h" * (MAX_CHARACTERS // 2)}
    assert MAX_CHARACTERS == 32_768
    assert len(expand("$H$H", half)) == MAX_CHARACTERS
    with pytest.raises(SubstitutionError, match="grows to more than 32768 characters"):
        expand("$H$H$H", half)
    with pytest.raises(SubstitutionError, match="grows"):
        expand("$H$H$A", half | VALUES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t ", []),
        ("a ", ["a"]),
        ("  a\t b", ["a", "b"]),
        ("'a b' c", ["'a b'", "c"]),
        ('"a\\" b" c', ['"a\\" b"', "c"]),
        ("'a\\' b'", ["'a\\'", "b'"]),
        ("a\\ b c", ["a\\ b", "c"]),
        ("x=\"a b\"'c d'e", ["x=\"a b\"'c d'e"]),
        ('"open a', ['"open a']),
        ("a \\", ["a", "\\"]),
    ],
)
def test_split_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("command", "is_heredoc"),
    [
        ("cat <<EOF", True),
        ("cat 3<<-EOF x", True),
        ("cat <<'E F'", True),
        ("cat << EOF", False),
        ("cat <<<word", False),
        ("cat<<EOF", False),
        ("echo $((1<<2)) 1<<<2", False),
        ("echo '<<A' \"x <<B\" \\<<C", False),
        ("echo it's <<EOF", True),
        ("echo 'a' 'it\"s' <<EOF", True),
        ('echo "it\'s" <<EOF', True),
    ],
)
def test_heredocs(command: str, is_heredoc: bool) -> None:
    if is_heredoc:
        with pytest.raises(DockerfileError) as fault:
            parse_dockerfile(f"RUN {command}")
        assert fault.value.code == "dockerfile-heredoc"
    else:
        assert parse_dockerfile(f"RUN {command}")[0].value == command
