"""Which names look alike, and which are one whatever their case, by Unicode's own library (ICU).

Source:
    UAX 44, NFKC_Casefold and Default_Ignorable_Code_Point; UTS 39, section 4 (skeletons).
"""

from functools import cache
from typing import Any


def casefold(text: str) -> str:
    """A text in one form of writing, whatever its case, without ignorable code points."""
    import icu

    return str(icu.Normalizer2.getNFKCCasefoldInstance().normalize(text))


def skeleton(text: str) -> str:
    """What two texts have in common that a reader cannot tell apart."""
    return str(_checker().getSkeleton(0, text))


def is_ignorable(character: str) -> bool:
    """Whether a character is one that nothing is shown for."""
    import icu

    return bool(icu.Char.hasBinaryProperty(character, icu.UProperty.DEFAULT_IGNORABLE_CODE_POINT))


@cache
def _checker() -> Any:
    import icu

    return icu.SpoofChecker()
