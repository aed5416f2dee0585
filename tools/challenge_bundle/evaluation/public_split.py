"""The public and the hidden part of the test cases."""

import csv
import hashlib
import io

from challenge_bundle.formats.label_table import HEADER, LabelTable

PARTS = ("all", "public", "final")


def cut_parts(reference: LabelTable, secret: str, public_share: float) -> dict[str, frozenset[str]]:
    """Deal the test images out to the two parts, class by class.

    Which image is in which part hangs on something that no participant has: from the names alone nobody can
    tell what the board of the running phase is made of.

    Args:
        reference: The true classes.
        secret: Any text; another one deals otherwise.
        public_share: From 0 to 1; with 1 there is one part, `all`.

    Returns:
        Base names by part. Of a class with two images or more each part has one at least.
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
    """The csv of true classes of a part."""
    rows = [(reference.file_of[name], reference.class_of[name]) for name in sorted(names)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
    return text.getvalue()
