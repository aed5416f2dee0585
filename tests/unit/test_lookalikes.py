"""What is one name whatever its case, what looks like one, and what is not shown at all."""

import pytest

from challenge_bundle.lookalikes import casefold, is_ignorable, skeleton


@pytest.mark.parametrize(
    ("one", "other"),
    [("Straße", "STRASSE"), ("ﬁle", "FILE"), ("a\u0301", "Á"), ("a\u00adb", "AB"), ("a\u034fb", "ab")],
)
def test_one_name_whatever_its_case(one: str, other: str) -> None:
    assert one != other
    assert casefold(one) == casefold(other)


def test_other_names_stay_apart() -> None:
    assert len({casefold(name) for name in ("a", "b", "\u0430", "a b", "á")}) == 5  # U+0430: Cyrillic


@pytest.mark.parametrize(("one", "other"), [("rn", "m"), ("l", "1"), ("a", "\u0430"), ("O", "0")])
def test_what_a_reader_cannot_tell_apart(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)
    assert skeleton(one) != skeleton("x")


@pytest.mark.parametrize(
    ("character", "expected"), [("\u034f", True), ("\ufe0f", True), ("\U000e0100", True), ("a", False)]
)
def test_what_nothing_is_shown_for(character: str, expected: bool) -> None:
    assert is_ignorable(character) is expected
