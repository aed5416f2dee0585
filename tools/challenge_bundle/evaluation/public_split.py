"""The public and the private split of the test set."""

import csv
import hashlib
import io

from challenge_bundle.formats.reference import FILE, GROUP, META_PREFIX, Reference
from challenge_bundle.formats.tasks import label_cells, label_columns


def split_test_set(reference: Reference, secret: str, public_share: float) -> dict[str, frozenset[str]]:
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
        return {"all": frozenset(reference.label_of)}
    of_class: dict[str, list[str]] = {}
    for name, class_name in reference.label_of.items():
        of_class.setdefault(class_name, []).append(name)
    public: set[str] = set()
    for names in of_class.values():
        ordered = sorted(names, key=lambda name: hashlib.sha256(f"{secret}/{name}".encode()).digest())
        count = round(public_share * len(ordered))
        public.update(ordered[: min(max(count, 1), max(len(ordered) - 1, 1))])
    return {"public": frozenset(public), "final": frozenset(reference.label_of.keys() - public)}


def reference_text(reference: Reference, names: frozenset[str]) -> str:
    """The csv of the true labels of some images, with their patient groups and attributes, sorted by name."""
    header = [FILE, *label_columns(reference.task)]
    header += [GROUP] if reference.group_of else []
    header += [META_PREFIX + attribute for attribute in reference.attributes]
    rows = [
        (
            reference.file_of[name],
            *label_cells(reference.task, reference.label_of[name]),
            *([reference.group_of.get(name, "")] if reference.group_of else []),
            *(values.get(name, "") for values in reference.attributes.values()),
        )
        for name in sorted(names)
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()
