"""Contours that cannot be right: off their image, crossing each other, or without one."""

from collections.abc import Sequence
from pathlib import Path

from tools.audit.base import SEVERITIES, AuditFinding, Drawing, counted
from tools.audit.reading import Progress
from tools.dicom.linked import ContourSlice, check_slices, has_links, read_links
from tools.dicom.sheet import draw_tile
from tools.findings import Finding

MAX_DRAWINGS = 12

_MEND = "look at them (`data contact-sheet` draws all), and draw them again or leave them out"


def linked_folder(source: str) -> Path | None:
    """The folder of a `dicom:` source, if it is there and in the link.csv layout."""
    kind, _, rest = source.partition(":")
    folder = Path(rest.partition("?")[0])
    return folder if kind == "dicom" and has_links(folder) else None


def find_contour_faults(folder: Path, progress: Progress) -> list[AuditFinding]:
    """Check every contour of a folder.

    Args:
        folder: In the link.csv layout; see read_links.
        progress: Told of each image.

    Raises:
        DataError: link.csv or an image is at fault.
        UnavailableError: pydicom is not installed.
    """
    linked = read_links(folder)
    by_slice = check_slices(linked.slices, progress)
    found = [*linked.findings, *(finding for of_slice in by_slice for finding in of_slice)]
    inner, outer = (
        sum(getattr(one, kind) is not None for one in linked.slices) for kind in ("inner", "outer")
    )
    checked = f"{inner:,} inner and {outer:,} outer contours"
    if not found:
        what = f"{checked}: each on its image, the inner ones inside the outer ones"
        return [AuditFinding("contours", "note", what, "", inner + outer)]
    return [
        AuditFinding(
            "contours",
            severity,
            f"{counted(len(alike), 'fault', 'faults')} in {checked}, the first: {_say(alike[0], folder)}",
            _MEND,
            len(alike),
            files=tuple(_say(finding, folder) for finding in alike),
            drawings=_draw(linked.slices, by_slice, severity),
        )
        for severity in SEVERITIES
        if (alike := [finding for finding in found if finding.severity == severity])
    ]


def _say(finding: Finding, folder: Path) -> str:
    return f"{finding.where.removeprefix(f'{folder}/')}: {finding.what}"


def _draw(
    slices: Sequence[ContourSlice], by_slice: Sequence[Sequence[Finding]], severity: str
) -> tuple[Drawing, ...]:
    """The first images whose contours have a fault of a severity: alone, with each contour, and the mask."""
    drawings: list[Drawing] = []
    for item, found in zip(slices, by_slice, strict=True):
        whats = [finding.what for finding in found if finding.severity == severity]
        if whats and len(drawings) < MAX_DRAWINGS:
            drawings.append(Drawing("; ".join([item.origin, *whats]), draw_tile(item)))
    return tuple(drawings)
