"""The public and the private split of the test set."""

import csv
import hashlib
import io

from challenge_bundle.dataset.strata import Strata, make_strata
from challenge_bundle.dataset.stratify import assign_sets
from challenge_bundle.formats.reference import FILE, GROUP, META_PREFIX, Reference
from challenge_bundle.formats.tasks import MULTILABEL, label_cells, label_columns
from challenge_bundle.settings import ALL, FINAL, PUBLIC


def split_test_set(reference: Reference, secret: str, public_share: float) -> dict[str, frozenset[str]]:
    """Assign the test images to the public and the private split: by patient group, each class its share.

    The assignment depends on a secret: from the names alone no participant can find out which images the
    board of a running phase is computed from.

    Args:
        reference: The true labels; a patient group of it is never in both splits.
        secret: Any text; the same text gives the same assignment.
        public_share: Share of the public split, 0 to 1; with 1 there is one split, `all`.

    Returns:
        Base names by split: `public` and `final` (the private one), or `all`. Without patient groups each has
        at least one image of every class that has two or more images. With them a class whose images are all
        of one group is in one split alone, which an import warns of (label_checks.classes_in_one_group).
    """
    if public_share >= 1.0:
        return {ALL: frozenset(reference.label_of)}
    strata = make_strata(reference.task.name, reference.label_of.values())
    if reference.group_of or reference.task.name == MULTILABEL:
        return _split_by_groups(reference, secret, public_share, strata)
    of_stratum: dict[tuple[str, ...], list[str]] = {}
    for name, label in reference.label_of.items():
        of_stratum.setdefault(strata(label), []).append(name)
    public: set[str] = set()
    for names in of_stratum.values():
        ordered = sorted(names, key=lambda name: _rank(secret, name))
        count = round(public_share * len(ordered))
        public.update(ordered[: min(max(count, 1), max(len(ordered) - 1, 1))])
    return {PUBLIC: frozenset(public), FINAL: frozenset(reference.label_of.keys() - public)}


def _split_by_groups(
    reference: Reference, secret: str, public_share: float, strata: Strata
) -> dict[str, frozenset[str]]:
    """Assign whole patient groups, the largest first; see dataset/stratify.py."""
    members: dict[str, list[str]] = {}
    for name in sorted(reference.label_of, key=lambda name: _rank(secret, name)):
        members.setdefault(reference.group_of.get(name, f"/{name}"), []).append(name)
    wanted = {PUBLIC: public_share, FINAL: 1.0 - public_share}
    labels = set(reference.label_of.values())
    shares = {stratum: wanted for label in labels for stratum in strata(label)}
    sizes = {split: share * len(reference.label_of) for split, share in wanted.items()}
    assigned = assign_sets(
        list(members.values()), shares, lambda name: strata(reference.label_of[name]), sizes=sizes
    )
    return {split: frozenset(names) for split, names in assigned.items()}


def _rank(secret: str, name: str) -> bytes:
    return hashlib.sha256(f"{secret}/{name}".encode()).digest()


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
