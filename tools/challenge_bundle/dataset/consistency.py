"""Checks of what is in input_data/: whether its files and rows are of one data set."""

from collections.abc import Mapping

from challenge_bundle.dataset.import_state import refuse
from challenge_bundle.dataset.placed import imported_names, names_in
from challenge_bundle.errors import shown
from challenge_bundle.findings import ERROR, Finding
from challenge_bundle.formats.reference import Reference, read_reference
from challenge_bundle.layout import SPLITS, Layout, split_dir_name

LABELLED_SPLITS = ("training", "validation")
"""The splits whose classes everybody has."""


def check_together(layout: Layout) -> None:
    """Refuse what is in input_data/ if it is of two data sets; what is not there is no fault.

    Raises:
        DataError: Files and rows do not fit each other, or something is there that should not be.
    """
    whole = [s for s in LABELLED_SPLITS if layout.solution_csv(s).exists() and layout.split_dir(s).is_dir()]
    tables = {split: read_reference(layout.solution_csv(split)) for split in whole}
    refuse([*check_rows(tables, layout), *check_leftovers(layout)])


def check_complete(layout: Layout) -> list[Finding]:
    """Files and folders that are missing beside those that are there; nothing if none is there."""
    expected = [path for split in SPLITS for path in (layout.solution_csv(split), layout.split_dir(split))]
    # Participants do not have it.
    expected.remove(layout.solution_csv("testing"))
    missing = [path for path in expected if not path.exists()]
    if len(missing) == len(expected):
        return []
    return [
        Finding(
            "data-incomplete",
            ERROR,
            str(path),
            "not found, though other data are there",
            "put it there, or clear input_data/ and import again",
        )
        for path in missing
    ]


def check_rows(tables: Mapping[str, Reference], layout: Layout) -> list[Finding]:
    """Images without a row and rows without an image, such as those of two data sets in one folder."""
    findings = []
    for split, table in tables.items():
        folder = layout.split_dir(split)
        there = names_in(folder)
        for what, names in (
            ("files without a row", there - table.label_of.keys()),
            ("rows without a file", table.label_of.keys() - there),
        ):
            if names:
                message = f"{what} in the csv: {len(names)}, the first {shown(min(names))}"
                hint = "put one data set there alone"
                findings.append(Finding("data-rows-differ", ERROR, str(folder), message, hint))
    return findings


def check_leftovers(layout: Layout) -> list[Finding]:
    """What an earlier import, or a folder in the wrong place, left among other images."""
    findings: list[Finding] = []
    if not layout.input_data.is_dir():
        return findings
    expected = {split_dir_name(split) for split in SPLITS}
    folders = [path for path in layout.input_data.iterdir() if path.is_dir() and path.name[0] != "."]
    for path in sorted(path for path in folders if path.name not in expected):
        hint = "move it away, or move its contents up"
        findings.append(Finding("data-odd-folder", ERROR, str(path), "is no part of the bundle layout", hint))
    imported = {name for split, name in imported_names(layout) if split == "testing"}
    there = names_in(layout.testing_data)
    if imported & there and imported != there:
        message = f"mixes {len(imported & there)} images of an earlier import with others"
        hint = "clear it, and put one data set there alone"
        findings.append(Finding("data-mixed", ERROR, str(layout.testing_data), message, hint))
    return findings


def check_reference(table: Reference, layout: Layout) -> list[Finding]:
    """A reference of other images than those of the testing split, such as an earlier import left."""
    other = sorted(names_in(layout.testing_data) ^ table.label_of.keys())
    if not other:
        return []
    message = f"is not of the images in {layout.testing_data.name}/ ('{other[0]}' is in one of the two alone)"
    hint = "remove it if the organiser has the reference, or import the data again"
    return [Finding("reference-of-other-images", ERROR, str(layout.solution_csv("testing")), message, hint)]
