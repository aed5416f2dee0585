"""submission.toml: what is read of it, and what is written."""

import pytest

from challenge_bundle.errors import SubmissionError
from challenge_bundle.formats.submission_toml import card_text, parse_card


def refused(content: bytes, word: str = "") -> tuple[str, int | None]:
    """The code of the error, and its line; the word is in its text."""
    with pytest.raises(SubmissionError) as fault:
        parse_card(content)
    assert fault.value.path == "submission.toml"
    assert word in str(fault.value)
    return fault.value.code, fault.value.row


def test_what_is_there_is_read() -> None:
    assert parse_card(b"team = 'A'\nother = 1\n[x]\nmethod = 'no'") == {"team": "A"}
    assert parse_card("method = 'ä'".encode()) == {"method": "ä"}
    assert parse_card(b"") == {}


@pytest.mark.parametrize(
    ("team", "method"), [("A", "m"), ("A", ""), ("", "m"), ('"\\\u00e4\u2028', "'quoted'")]
)
def test_what_is_written_is_read(team: str, method: str) -> None:
    given = {"team": team, "method": method}
    assert parse_card(card_text(team, method).encode()) == {key: text for key, text in given.items() if text}


def test_size_at_the_limit() -> None:
    card = b"team = 'A'\n"
    assert parse_card(card + b"#" * (65_536 - len(card))) == {"team": "A"}
    assert refused(card + b"#" * (65_537 - len(card)), "64 KB") == ("card-size", None)


def test_parts_of_a_key_at_the_limit() -> None:
    """Seventeen parts have sixteen dots; a value may have any number of them."""
    assert parse_card(b"team = 'A'\n" + b"a." * 16 + b"a = '" + b"." * 1000 + b"'") == {"team": "A"}
    assert parse_card(b" # " + b"." * 70 + b"\nteam = 'A'\n") == {"team": "A"}
    assert refused(b"team = 'A'\n" + b"a." * 17 + b"a = 1", "; keep team and method") == ("card-key", 2)


@pytest.mark.parametrize(
    ("content", "code", "word"),
    [
        (b"team = 1", "card-value", "a text for 'team'"),
        (b"method = ['m']", "card-value", "a text for 'method'"),
        (b"team.a = 'x'", "card-value", "a text for 'team'"),
        (b"team = '\xe9'", "card-toml", "is not TOML in UTF-8"),
        (b"team = 'a'\nteam = 'b'", "card-toml", "is not TOML in UTF-8"),
        (b"x = " + b"[" * 30_000, "card-toml", "is not TOML in UTF-8"),
    ],
)
def test_what_is_refused(content: bytes, code: str, word: str) -> None:
    assert refused(content, word) == (code, None)
