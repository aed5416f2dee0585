"""Options after a place: what is written is read again, and what is odd is refused."""

import pytest

from challenge_bundle.errors import DataError
from challenge_bundle.formats.source_options import add_options, parse_options

KEYS = ("file", "group")


@pytest.mark.parametrize(
    "options", [{}, {"file": "Image Index"}, {"file": "a+b", "group": "50 % & more?"}, {"group": "/a b/ü"}]
)
def test_what_is_written_is_read_again(options: dict[str, str]) -> None:
    assert parse_options(add_options("/p/a.csv", options), KEYS, "FORM") == ("/p/a.csv", options)


@pytest.mark.parametrize(
    "text", ["", "?file=x", "a?file", "a?file=", "a?x=1", "a?file=1&file=2", "a?file=1&", "a?&"]
)
def test_what_is_odd_is_refused(text: str) -> None:
    with pytest.raises(DataError) as fault:
        parse_options(text, KEYS, "FORM")
    assert fault.value.code == "source-options"
    assert "expected FORM" in str(fault.value)
