"""The public and the private split of the test set."""

import csv
import hashlib
import io

from challenge_bundle.formats.label_table import HEADER, LabelTable


def split_test_set(reference: LabelTable, secret: str, public_share: float) -> dict[str, frozenset[str]]:
    """Assign the test images to the public and the private split, class by class.

    The assignment depends on a secret: from the names alone no participant can find out which images the
    board of a running phase is computed from.

    Args:
        reference: The true classes.
        secret: Any text; the same text gives the same assignment.
        public_share: Share of the public split, 0 to 1; with 1 there is one split, `all`.

    Returns:
        Base names by split: `public` and `final` (the private one), or `all`. Each has at least one image of
        every class that has two or more images.
    """
    if public_share >= 1.0:
        return {"all": frozenset(reference.class_of)}
    of_class: dict[str, list[str]] = {}
    for name, class_name in reference.class_of.items():
        of_class.setdefault(class_name, []).append(name)
    public: set[str] = set()
    for names in of_class.values():
        ordered = sorted(names, key=lambda name: hashlib.sha256(f"{secret}/{name}".encode()).digest())
        count = round(public_share * len(ordered))
        public.update(ordered[: min(max(count, 1), max(len(ordered) - 1, 1))])
    return {"public": frozenset(public), "final": frozenset(reference.class_of.keys() - public)}


def reference_text(reference: LabelTable, names: frozenset[str]) -> str:
    """The csv of true classes of some images, sorted by name."""
    rows = [(reference.file_of[name], reference.class_of[name]) for name in sorted(names)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
    return text.getvalue()
