"""Options behind a place, as in `csv:FILE?file=Image Index&group=Patient ID`."""

from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl, quote

from challenge_bundle.errors import DataError, shown


def parse_options(text: str, keys: Collection[str], form: str) -> tuple[str, dict[str, str]]:
    """Parse `PLACE[?KEY=VALUE&...]`.

    Args:
        text: It. A `+` is one, a blank may be a blank or %20.
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
    is_sound = len(options) == len(pairs) == (query.count("&") + 1 if query else 0) and all(options.values())
    unknown = sorted(options.keys() - set(keys))
    if unknown:
        raise DataError(f"{shown(text)} is not understood: {shown(unknown[0])} is not known; expected {form}")
    if not place or not is_sound:
        raise DataError(f"{shown(text)} is not understood; expected {form}")
    return place, options


def add_options(place: str, options: Mapping[str, str]) -> str:
    """The text of which parse_options makes this place and these options."""
    told = "&".join(f"{key}={quote(value, safe='/ ')}" for key, value in options.items())
    return f"{place}?{told}" if told else place
