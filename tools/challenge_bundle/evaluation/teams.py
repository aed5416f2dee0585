"""Team names: what of them is shown, and which of them look alike."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

from challenge_bundle.lookalikes import casefold, is_ignorable, skeleton

MAX_NAME_CHARACTERS = 64
MAX_READ_CHARACTERS = 1024
"""Of a name as it came; what follows is not looked at."""

MAX_MARKS = 4
"""The most combining marks on one letter of a name; more are left out."""

_BLANK = "\u2800\U0001d159\U00016fe4"
"""Characters without ink that Unicode does not count as ignorable."""


def clean_name(text: str) -> str:
    """A name as it may be shown: in one form of writing, printable, of bounded length."""
    # No more than that: the time in which marks are put in order grows with the square of their number.
    read = text[:MAX_READ_CHARACTERS]
    kept = "".join(_without_heaps(c for c in unicodedata.normalize("NFKC", read) if _is_visible(c)))
    kept = re.sub(r"\s+", " ", kept).strip()[:MAX_NAME_CHARACTERS].strip()
    return kept if any(character.isalnum() for character in kept) else ""


def team_keys(name: str) -> frozenset[str]:
    """What a name has in common with those that a reader takes for it; two share a key if they look alike.

    Two keys, since a letter's look depends on its case: a Cyrillic K is a Latin K, its small letter is not a
    Latin k. The first key compares names as they are written, the second whatever their case; the first is
    folded as well, so that the case of the rest does not matter.
    """
    return _keys(clean_name(name))


def same_team(one: str, other: str) -> bool:
    """Whether two names are of one team: the same, or hardly to be told apart."""
    return not team_keys(one).isdisjoint(team_keys(other))


def group_teams(names: Iterable[str]) -> dict[str, str]:
    """The team of each name, called by the first of its names.

    Names that look like a third one are one team, even if they do not look alike.
    """
    names = list(dict.fromkeys(names))
    team_of_key: dict[str, str] = {}
    for name in names:
        keys = team_keys(name)
        teams = {team_of_key[key] for key in keys if key in team_of_key} | {name}
        first = min(teams, key=names.index)
        joined = {key for key, team in team_of_key.items() if team in teams} | keys
        team_of_key.update(dict.fromkeys(joined, first))
    return {name: team_of_key[min(team_keys(name))] for name in names}


def _without_heaps(characters: Iterable[str]) -> Iterator[str]:
    """Leave out marks that no script heaps up so: they cover the lines above and below.

    Source:
        UTS 39, section 5.4: the same nonspacing mark twice, or more than four in a row.
    """
    heap: list[str] = []
    for character in characters:
        if unicodedata.category(character) not in ("Mn", "Me"):
            heap = []
        elif character in heap or len(heap) == MAX_MARKS:
            continue
        else:
            heap.append(character)
        yield character


@lru_cache(maxsize=100_000)
def _keys(name: str) -> frozenset[str]:
    as_written = skeleton(casefold(skeleton(name)))
    in_any_case = skeleton(casefold(name))
    return frozenset({" ".join(as_written.split()), " ".join(in_any_case.split())})


@lru_cache(maxsize=10_000)
def _is_visible(character: str) -> bool:
    if is_ignorable(character):
        return False
    return character.isspace() or (character.isprintable() and character not in _BLANK)
