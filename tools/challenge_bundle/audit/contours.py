"""Contours that cannot be right: off their image, crossing each other, or without one."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from challenge_bundle.audit.base import SEVERITIES, AuditFinding, Drawing, counted, left_out
from challenge_bundle.dicom.contact_sheet import draw_tile, with_heading
from challenge_bundle.dicom.sunnybrook import (
    WITH_OUTER,
    WITHOUT_OUTER,
    ContourSlice,
    check_slices,
    has_links,
    read_links,
)
from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.findings import NOTE, Finding
from challenge_bundle.progress import Progress

MAX_DRAWINGS = 12


def linked_folder(source: str, class_names: Collection[str] = ()) -> Path | None:
    """The folder of a `dicom:` source, if it is in the link.csv layout, or gone and may have been.

    Args:
        source: What was imported.
        class_names: Of its images: without a tag, they show the layout of a folder that is gone.
    """
    kind, _, rest = source.partition(":")
    path, _, query = rest.partition("?")
    folder = Path(path)
    by_contours = bool(class_names) and {WITH_OUTER, WITHOUT_OUTER}.issuperset(class_names)
    was_linked = not folder.exists() and (by_contours or "label=" in query)
    return folder if kind == "dicom" and (has_links(folder) or was_linked) else None


def find_contour_faults(folder: Path, progress: Progress) -> list[AuditFinding]:
    """Check every contour of a folder.

    Args:
        folder: In the link.csv layout; see read_links.
        progress: Called for each image.
    """
    if not folder.is_dir():
        return [left_out("contours", f"{folder} is gone; --contours DIR names it")]
    try:
        linked = read_links(folder, partly=True)
        by_slice = check_slices(linked.slices, progress)
    except DataError as fault:
        return [AuditFinding("contours", _below(fault.finding, folder), 1)]
    except UnavailableError as fault:
        return [left_out("contours", fault.finding.text)]
    found = [*linked.findings, *(finding for of_slice in by_slice for finding in of_slice)]
    inner, outer = (
        sum(getattr(one, kind) is not None for one in linked.slices) for kind in ("inner", "outer")
    )
    checked = f"{inner:,} inner and {outer:,} outer contours"
    if not found:
        what = f"{checked}: each on its image, the inner ones inside the outer ones"
        return [AuditFinding("contours", Finding("contours-valid", NOTE, "", what), inner + outer)]
    return [
        AuditFinding(
            "contours",
            Finding(
                "contours-invalid",
                severity,
                "",
                f"{counted(len(alike), 'fault', 'faults')} in {checked}",
                "do what each line says; `data contact-sheet` draws every image",
            ),
            len(alike),
            files=tuple(_below(finding, folder).text for finding in alike),
            drawings=_draw(linked.slices, by_slice, severity),
        )
        for severity in SEVERITIES
        if (alike := [finding for finding in found if finding.severity == severity])
    ]


def _below(finding: Finding, folder: Path) -> Finding:
    """A finding with its place relative to the folder."""
    path = Path(finding.location)
    return (
        replace(finding, location=str(path.relative_to(folder))) if path.is_relative_to(folder) else finding
    )


def _draw(
    slices: Sequence[ContourSlice], by_slice: Sequence[Sequence[Finding]], severity: str
) -> tuple[Drawing, ...]:
    """The first images whose contours have a fault of a severity: alone, with each contour, and the mask."""
    drawings: list[Drawing] = []
    for item, found in zip(slices, by_slice, strict=True):
        whats = [finding.message for finding in found if finding.severity == severity]
        if whats and len(drawings) < MAX_DRAWINGS:
            # An image that cannot be read is no picture; the line that says so is enough.
            with suppress(DataError):
                drawings.append(Drawing("; ".join([item.origin, *whats]), with_heading(draw_tile(item))))
    return tuple(drawings)
