"""What a .dockerignore leaves out, and by which line."""

import time

import pytest

from challenge_bundle.errors import DataError
from challenge_bundle.formats.dockerignore import MAX_BYTES, MAX_PATTERNS, parse_dockerignore
from challenge_bundle.formats.path_patterns import has_wildcards, parse_pattern


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a", "a", 1),
        ("a", "a/b/c", 1),
        ("a", "b/a", 0),
        ("a", "ab", 0),
        ("a", "A", 0),
        ("/a/", "a", 1),
        ("./a//b/../c", "a/c", 1),
        ("../a", "a", 0),
        ("..a", "..a", 1),
        ("a\n!.", "a", 1),
        ("/", "a", 0),
        (".", "a", 0),
        ("*", "a/b", 1),
        ("*/b", "a/b", 1),
        ("*/b", "b", 0),
        ("*.py", "a/x.py", 0),
        ("**/*.py", "x.py", 1),
        ("**/*.py", "a/b/x.py", 1),
        ("**", "a/b", 1),
        ("a/**", "a/b", 1),
        ("a/**", "a", 0),
        ("a/**/d", "a/d", 1),
        ("a/**/d", "a/b/c/d/e", 1),
        ("a/**/d", "b/d", 0),
        ("a**b", "ab", 1),
        ("a**b", "ax/y/b", 1),
        ("a**b", "axb", 0),
        ("a**", "abc/d", 1),
        ("**a", "x/a", 1),
        ("**a", "ba", 0),
        ("a?c", "abc", 1),
        ("a?c", "a/c", 0),
        ("[a-c]x", "bx", 1),
        ("[a-c]x", "dx", 0),
        ("[^a-c]x", "dx", 1),
        ("[^a-c]x", "bx", 0),
        ("[\\]a]", "]", 1),
        ("a\\*", "a*", 1),
        ("a\\*", "ab", 0),
        ("a.b", "axb", 0),
        ("a+(b)", "a+(b)", 1),
        ("*\n!a", "a", 0),
        ("*\n!a", "a/b", 0),
        ("*\n!a\na/b", "a/b", 3),
        ("!a\n*", "a", 2),
        ("*\n! a ", "a", 0),
        ("  a\t\r", "a", 1),
        ("# a\n\na", "a", 3),
        (" # a", "# a", 1),
        ("\ufeffa", "a", 1),
        ("\ufeff# a\nb", "b", 2),
        ("x\x0by", "x\x0by", 1),
        ("dätei", "dätei", 1),
    ],
)
def test_rules(text: str, path: str, line: int) -> None:
    assert parse_dockerignore(text).line_of(path) == line


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        (
            "a\n[",
            "dockerignore-pattern",
            ".dockerignore:2: the pattern '[' has a [ or a backslash without an end",
        ),
        ("a\\", "dockerignore-pattern", ":1: the pattern 'a\\\\' has"),
        ("[]", "dockerignore-pattern", ":1: the pattern '[]'"),
        ("[b-a]", "dockerignore-pattern", "the class b-a, which is empty"),
        ("a\n!", "dockerignore-pattern", ":2: has a '!' without a pattern"),
        ("x**y/" * 5, "dockerignore-pattern", "too many ** within names"),
        ("a" * 1001, "dockerignore-pattern", "more than 1000 characters"),
        (
            "a\n" * (MAX_PATTERNS + 1),
            "dockerignore-pattern-count",
            f":{MAX_PATTERNS + 1}: has more than {MAX_PATTERNS} patterns",
        ),
        ("#" * (MAX_BYTES + 1), "dockerignore-size", "is larger than 64 KB"),
    ],
)
def test_faults(text: str, code: str, word: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_dockerignore(text)
    assert caught.value.code == code
    assert word in str(caught.value)


def test_limits_at_their_edges() -> None:
    assert parse_dockerignore("a" * 1000).line_of("a" * 1000) == 1
    assert len(parse_dockerignore("a\n" * MAX_PATTERNS).rules) == MAX_PATTERNS == 500
    assert parse_dockerignore("#" * MAX_BYTES).rules == ()
    assert MAX_BYTES == 65_536
    assert parse_dockerignore("x**y/" * 4).line_of("xy/xy/xy/xy") == 1


def test_no_pattern_takes_long() -> None:
    """As regular expressions, each of them would take years."""
    began = time.process_time()
    patterns = ["*a" * 400 + "b", "**/a/" * 150 + "b", "?*" * 400 + "b", "[a-b]*" * 150 + "c", "[" * 1000]
    for pattern in patterns[:-1]:
        rules = parse_dockerignore(pattern)
        assert rules.line_of("a" * 240) == 0
        assert rules.line_of("/".join("a" * 120)) == 0
    with pytest.raises(DataError):
        parse_dockerignore(patterns[-1])
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    ("pattern", "path", "covers"),
    [
        ("a*", "ab", True),
        ("a**c", "abc", True),
        ("a**c", "a/c", False),
        ("**", "a", True),
        ("wheelhous[e]", "wheelhouse/x.whl", True),
        ("a/*", "a/b/c", True),
        ("a/*", "a", False),
    ],
)
def test_patterns_of_copy_cross_no_folder(pattern: str, path: str, covers: bool) -> None:
    assert parse_pattern(pattern).covers(path) is covers
    assert has_wildcards(pattern)
    assert not has_wildcards("plain/name.txt")
