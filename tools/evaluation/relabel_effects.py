"""What corrected classes of testing images do to an evaluation, before they are put in place."""

from collections import Counter
from collections.abc import Sequence

from tools.errors import DataError, shown
from tools.evaluation.site import Site
from tools.sources.relabeling import Correction


def count_by_part(site: Site, corrections: Sequence[Correction]) -> Counter[str]:
    """How many testing images get another class, by part.

    Raises:
        DataError: A part would have no image of a class.
    """
    after = site.reference.class_of | {one.name: one.after for one in corrections if one.split == "testing"}
    for part, names in site.parts.items():
        absent = set(site.class_names) - {after[name] for name in names}
        if absent:
            raise DataError(
                f"class {shown(min(absent))} would have no image left in the {part} part of the test set"
            )
    changed = {one.name for one in corrections if one.split == "testing"}
    return Counter(part for part, names in site.parts.items() for name in names if name in changed)
