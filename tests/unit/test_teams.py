"""Team names: what is shown of them, and which are taken for one another."""

import unicodedata

import pytest

from challenge_bundle.evaluation.teams import MAX_NAME_CHARACTERS, clean_name, same_team, teams_of

CYRILLIC_A, CYRILLIC_K, GREEK_ALPHA = "\u0430", "\u041a", "\u0391"


def test_a_name_is_printable_and_short() -> None:
    assert clean_name("  a\u202eb\x00\n c ") == "ab c"
    assert clean_name("\uff21") == "A"
    assert clean_name("x" * 1000) == "x" * MAX_NAME_CHARACTERS
    assert len(clean_name("x" * 63 + "yz")) == 64
    assert clean_name("x" * 63 + " y") == "x" * 63
    assert clean_name("\u0301 -_.") == ""
    assert clean_name(" " * 1023 + "xy") == "x"
    assert clean_name(" " * 1024 + "x") == ""


def test_a_name_is_shown_as_its_team_writes_it() -> None:
    for name in (
        "Team R\u00f6ntgen",
        f"R{CYRILLIC_A}diance",
        "\u0428\u043a\u043e\u043b\u0430 1",
        "\u5c11\u5e74",
    ):
        assert clean_name(name) == name


def test_marks_are_not_heaped_up() -> None:
    marks = "\u0316\u0317\u0318\u0319\u031c\u031d\u20dd"
    assert clean_name(f"q{marks}t{marks}") == f"q{marks[:4]}t{marks[:4]}"
    assert clean_name("q\u0316\u0316\u0317\u0316") == "q\u0316\u0317"
    for name in (
        "q\u0323\u0302",
        "\u0e17\u0e35\u0e48\u0e1b\u0e37\u0e49",
        "\u0938\u094d\u0924\u094d\u0930\u0940",
    ):
        assert clean_name(name) == name


# Of each kind: a joiner, variation selectors, tags, fillers, shorthand and musical controls, blank signs.
@pytest.mark.parametrize(
    "character",
    "\u034f\u200b\u200d\u2060\u2064\ufe00\ufe0f\U000e0100\U000e01ef\U000e0041\u115f\u1160\u3164\uffa0\u17b4\u180b"
    "\u180f\u00ad\u061c\U0001bca0\U0001d173\u2800\U0001d159\U00016fe4\ufeff\u206a\U000e0fff\ufff0",
    ids=lambda character: f"{ord(character):x}",
)
def test_what_cannot_be_seen_makes_no_other_team(character: str) -> None:
    assert clean_name(f"Te{character}am{character}") == "Team"
    assert same_team(f"Te{character}am", "Team")
    assert clean_name(character) == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Radiance", f"R{CYRILLIC_A}di{CYRILLIC_A}nce"),
        ("RADIANCE", f"R{CYRILLIC_A}diance"),
        ("KAGGLERS", f"{CYRILLIC_K}agglers"),
        ("Alpha", f"{GREEK_ALPHA}lpha"),
        ("Team", "Tearn"),
        ("paypal", "paypaI"),
        ("PAYPAL", "paypaI"),
        ("Lab 10", "Lab lO"),
        ("O'Neil", "O\u2019Neil"),
        ("ab-cd", "ab\u2010cd"),
        ("Radi\U0001d41ance", "Radiance"),
        ("Stra\u00dfe", "STRASSE"),
        ("o\u0308", "\u00f6"),
        ("a b", "a\u2003 b "),
        ("XII", "\u216b"),
    ],
)
def test_what_looks_alike_is_one_team(one: str, other: str) -> None:
    assert same_team(one, other)
    assert same_team(other, one)
    assert teams_of([other, one]) == {one: other, other: other}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mail", "mall"),
        ("Team 1", "Team 2"),
        ("Team A", "TeamA"),
        ("Rontgen", "R\u00f6ntgen"),
        ("\u043a\u043e\u0442", "\u043a\u0456\u0442"),
        ("Lab", "Lab 1"),
    ],
)
def test_what_looks_otherwise_is_another_team(one: str, other: str) -> None:
    assert not same_team(one, other)
    assert teams_of([one, other]) == {one: one, other: other}


def test_the_case_of_any_script_makes_no_other_team() -> None:
    for name in ("\u041a\u043e\u0442", "\u0398\u03b5\u03cc\u03c2", "Illinois", "\u0130zmir"):
        assert same_team(name, name.upper()), name
        assert same_team(name, unicodedata.normalize("NFD", name)), name


def test_names_that_look_like_a_third_are_one_team() -> None:
    # "mail" and "mall" do not look alike, "MAIL" is the one in capitals and looks like the other.
    names = ["mail", "mall", "other", "MAIL"]
    assert teams_of(names) == {"mail": "mail", "mall": "mail", "other": "other", "MAIL": "mail"}
    assert teams_of([]) == {}
