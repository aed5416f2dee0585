"""What corrected classes of testing images do to an evaluation, before they are put in place."""

from collections import Counter
from collections.abc import Sequence

from challenge_bundle.dataset.relabel import Correction
from challenge_bundle.errors import DataError, shown
from challenge_bundle.evaluation.context import Context


def count_by_part(context: Context, corrections: Sequence[Correction]) -> Counter[str]:
    """How many testing images get another class, by part.

    Raises:
        DataError: A part would have no image of a class.
    """
    after = context.reference.class_of | {
        one.name: one.after for one in corrections if one.split == "testing"
    }
    for part, names in context.parts.items():
        absent = set(context.class_names) - {after[name] for name in names}
        if absent:
            raise DataError(
                f"class {shown(min(absent))} would have no image left in the {part} part of the test set"
            )
    changed = {one.name for one in corrections if one.split == "testing"}
    return Counter(part for part, names in context.parts.items() for name in names if name in changed)
