"""What corrected labels of testing images do to an evaluation, before they are put in place."""

from collections import Counter
from collections.abc import Sequence

from challenge_bundle.dataset.relabel import Correction
from challenge_bundle.errors import DataError, shown
from challenge_bundle.evaluation.context import Context
from challenge_bundle.formats.tasks import WITH_ONE_CLASS


def count_by_split(context: Context, corrections: Sequence[Correction]) -> Counter[str]:
    """How many testing images get another label, in the public and the private split of the test set.

    Raises:
        DataError: One of the two would lose its last image of a class.
    """
    corrected = {one.name: one.after for one in corrections if one.split == "testing"}
    before = context.reference.label_of
    after = before | corrected
    # Of a class the score of each split is asked for; values, and sets of labels, may well be there once.
    has_classes = context.reference.task.name in WITH_ONE_CLASS
    for split, names in context.test_splits.items() if has_classes else ():
        absent = {before[name] for name in names} - {after[name] for name in names}
        if absent:
            raise DataError(
                f"class {shown(min(absent))} would have no image left in the {split} split of the test set",
                code="class-without-images",
                hint="keep at least one image of each class in it",
            )
    return Counter(
        split for split, names in context.test_splits.items() for name in names if name in corrected
    )
