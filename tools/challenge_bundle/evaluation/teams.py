"""Team names: how they are shown, and which of them look alike."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

from challenge_bundle.lookalikes import casefold, is_ignorable, skeleton

MAX_NAME_CHARACTERS = 64
MAX_READ_CHARACTERS = 1024
"""Of a name as received; the rest is not read."""

MAX_MARKS = 4
"""The most combining marks on one letter of a name; more are left out."""

_BLANK = "\u2800\U0001d159\U00016fe4"
"""Characters without ink that Unicode does not count as ignorable."""


def clean_name(text: str) -> str:
    """A name as it is shown: NFKC, printable, of bounded length; empty if it has no letter and no digit."""
    # The time that normalisation takes grows with the square of the number of combining marks.
    read = text[:MAX_READ_CHARACTERS]
    kept = "".join(_without_stacks(c for c in unicodedata.normalize("NFKC", read) if _is_visible(c)))
    kept = re.sub(r"\s+", " ", kept).strip()[:MAX_NAME_CHARACTERS].strip()
    return kept if any(character.isalnum() for character in kept) else ""


def team_keys(name: str) -> frozenset[str]:
    """Keys of a name; two names look alike if they share a key.

    Two keys, because a letter's look depends on its case: a Cyrillic capital K looks like a Latin K, but its
    small letter does not look like a Latin k. The first key compares the names as written, then folds case;
    the second folds case first.

    Source:
        UTS 39, section 4 (confusable detection).
    """
    return _keys(clean_name(name))


def same_team(one: str, other: str) -> bool:
    """Whether two names belong to one team: they are equal or look alike."""
    return not team_keys(one).isdisjoint(team_keys(other))


def teams_of(names: Iterable[str]) -> dict[str, str]:
    """Map each name to its team, which is called by the first of its names.

    Two names that both look like a third one are one team, even if they do not look like each other.
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


def _without_stacks(characters: Iterable[str]) -> Iterator[str]:
    """Leave out combining marks that are stacked higher than in any script: they cover neighbouring lines.

    Source:
        UTS 39, section 5.4: the same nonspacing mark twice, or more than four in a row.
    """
    stack: list[str] = []
    for character in characters:
        if unicodedata.category(character) not in ("Mn", "Me"):
            stack = []
        elif character in stack or len(stack) == MAX_MARKS:
            continue
        else:
            stack.append(character)
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
