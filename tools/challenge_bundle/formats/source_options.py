"""Options after a place, as in `csv:FILE?file=Image Index&group=Patient ID`."""

from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl, quote

from challenge_bundle.errors import DataError, shown


def parse_options(text: str, keys: Collection[str], form: str) -> tuple[str, dict[str, str]]:
    """Parse `PLACE[?KEY=VALUE&...]`.

    Args:
        text: What was typed. A `+` is a plus sign, a blank may be a blank or %20.
        keys: Those that are known.
        form: What was expected, for the message.

    Returns:
        The place, and the values by key.

    Raises:
        DataError: There is no place, or an option that is not known, empty or there twice.
    """
    place, _, query = text.partition("?")
    pairs = parse_qsl(query.replace("+", "%2B"), keep_blank_values=True)
    options = dict(pairs)
    is_valid = len(options) == len(pairs) == (query.count("&") + 1 if query else 0) and all(options.values())
    unknown = sorted(options.keys() - set(keys))
    if unknown:
        raise DataError(
            f"unknown option {shown(unknown[0])} in {shown(text)}; expected {form}",
            code="source-options",
            hint="correct the option",
        )
    if not place or not is_valid:
        raise DataError(
            f"expected {form}, but got {shown(text)}", code="source-options", hint="give each option once"
        )
    return place, options


def add_options(place: str, options: Mapping[str, str]) -> str:
    """The text of which parse_options makes this place and these options."""
    query = "&".join(f"{key}={quote(value, safe='/ ')}" for key, value in options.items())
    return f"{place}?{query}" if query else place
