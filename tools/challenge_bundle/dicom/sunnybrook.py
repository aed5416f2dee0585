"""Images and their contours in folders: the link.csv layout, or plain series."""

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from challenge_bundle.dicom.contours import check_contour, check_pair, contour_to_mask, read_contour
from challenge_bundle.dicom.reading import is_dicom, read_dicom, read_header
from challenge_bundle.errors import DataError, shown
from challenge_bundle.findings import ERROR, WARNING, Finding
from challenge_bundle.progress import Progress

WITH_OUTER, WITHOUT_OUTER = "outer-contour", "no-outer-contour"
"""The classes of the link.csv layout where no tag is named."""

LINK_NAME = "link.csv"
HEADER = ["patient_id", "original_id"]

_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
_CONTOUR_NAME = re.compile(r"IM-\d{4}-(\d{4,})-([io])contour-manual\.txt")


@dataclass(frozen=True, slots=True)
class ContourSlice:
    """One image and the contours that were drawn on it.

    Args:
        patient: The patient; in the link.csv layout the original_id.
        dicom: The image's file.
        inner: The inner contour's file; None if there is none.
        outer: The outer contour's file; None if there is none.
    """

    patient: str
    dicom: Path
    inner: Path | None = None
    outer: Path | None = None

    @property
    def origin(self) -> str:
        """Name in lists: the patient, a slash, the file's name."""
        return f"{self.patient}/{self.dicom.name}"


@dataclass(frozen=True, slots=True)
class ContourFolder:
    """The content of a folder.

    Args:
        slices: The images, by patient and number.
        findings: Files without a counterpart, and files that cannot be read.
    """

    slices: tuple[ContourSlice, ...]
    findings: tuple[Finding, ...]


def has_links(folder: Path) -> bool:
    """Return whether a folder is in the link.csv layout."""
    return (folder / LINK_NAME).is_file()


def read_links(folder: Path, partly: bool = False) -> ContourFolder:
    """List a folder in the link.csv layout; neither images nor contours are read.

    Args:
        folder: With `link.csv` (patient_id,original_id), `dicoms/<patient_id>/<n>.dcm` and
            `contourfiles/<original_id>/{i,o}-contours/IM-0001-<nnnn>-{i,o}contour-manual.txt`.
        partly: Whether a row whose folders are not there is a finding, so that the others can be looked at.

    Returns:
        Its images; a contour without its image, or an image without a contour, is a finding.

    Raises:
        DataError: link.csv is not there or at fault, or, unless partly, a folder that it names is not there.

    Source:
        Sunnybrook Cardiac Data, http://hdl.handle.net/10380/3070.
    """
    slices: list[ContourSlice] = []
    findings: list[Finding] = []
    try:
        text = (folder / LINK_NAME).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(
            "is not there", folder / LINK_NAME, code="links-missing", hint="name a folder that has it"
        ) from None
    except UnicodeDecodeError:
        raise DataError(
            "is not UTF-8", folder / LINK_NAME, code="links-not-utf8", hint="save it as a plain csv"
        ) from None
    links = parse_links(text, folder / LINK_NAME)
    for row, (patient_id, original_id) in enumerate(links.items(), start=2):
        dicoms, contours = folder / "dicoms" / patient_id, folder / "contourfiles" / original_id
        lacking = [str(needed.relative_to(folder)) for needed in (dicoms, contours) if not needed.is_dir()]
        if lacking:
            what = f"{' and '.join(lacking)} {'are' if len(lacking) > 1 else 'is'} not there"
            fault = DataError(
                what,
                folder / LINK_NAME,
                row,
                code="links-folder-missing",
                hint="put it there or remove the row",
            )
            if not partly:
                raise fault
            findings.append(fault.finding)
            continue
        slices_of_patient, findings_of_patient = _pair(dicoms, contours, original_id)
        slices += slices_of_patient
        findings += findings_of_patient
    for parent, known in (("dicoms", set(links)), ("contourfiles", set(links.values()))):
        findings += [
            Finding(
                "folder-not-linked",
                WARNING,
                str(path),
                f"has no row in {LINK_NAME}, so it is not read",
                "add the row",
            )
            for path in sorted((folder / parent).glob("*"))
            if path.is_dir() and path.name not in known
        ]
    return ContourFolder(tuple(slices), tuple(findings))


def parse_links(text: str, path: Path) -> dict[str, str]:
    """Parse link.csv.

    Args:
        text: Of the file.
        path: For messages.

    Returns:
        original_id of each patient_id, in the file's order.

    Raises:
        DataError: Another header, a row with other than two plain names, or a name twice.
    """
    rows = list(csv.reader(text.splitlines()))
    if not rows or rows[0] != HEADER:
        found = shown(",".join(rows[0])) if rows else "nothing"
        raise DataError(
            f"expected the header {','.join(HEADER)}, but got {found}",
            path,
            1,
            code="links-header",
            hint="correct the line",
        )
    links: dict[str, str] = {}
    for number, row in enumerate(rows[1:], start=2):
        # A name is a folder's: one that climbs out of its parent is no name.
        if len(row) != 2 or not all(re.fullmatch(r"[\w .-]*\w[\w .-]*", name) for name in row):
            raise DataError(
                f"expected the names of two folders, patient_id,original_id, but got {shown(','.join(row))}",
                path,
                number,
                code="links-row-invalid",
                hint="correct the line",
            )
        if row[0] in links or row[1] in links.values():
            raise DataError(
                f"{shown(','.join(row))}: one of the two stands above already",
                path,
                number,
                code="links-row-duplicate",
                hint="remove one",
            )
        links[row[0]] = row[1]
    return links


def _pair(dicoms: Path, contours: Path, patient: str) -> tuple[list[ContourSlice], list[Finding]]:
    """Match a patient's images and contours by number."""
    findings: list[Finding] = []
    image_of: dict[int, Path] = {}
    for path in sorted(dicoms.iterdir()):
        if path.suffix.lower() == ".dcm" and path.stem.isdecimal():
            _put(image_of, int(path.stem), path, findings)
        elif not path.name.startswith("."):
            findings.append(
                Finding(
                    "image-misnamed", WARNING, str(path), "is not named <number>.dcm", "rename or remove it"
                )
            )
    contour_of: dict[str, dict[int, Path]] = {"i": {}, "o": {}}
    for kind, found in contour_of.items():
        for path in sorted(contours.glob(f"{kind}-contours/*.txt")):
            match = _CONTOUR_NAME.fullmatch(path.name)
            if match is None or match[2] != kind:
                what = f"is not named IM-0001-<nnnn>-{kind}contour-manual.txt"
                findings.append(Finding("contour-misnamed", WARNING, str(path), what, "rename or remove it"))
            elif int(match[1]) in image_of:
                _put(found, int(match[1]), path, findings)
            else:
                what = f"its image {dicoms / f'{int(match[1])}.dcm'} is not there"
                hint = "add the image or remove the contour"
                findings.append(Finding("contour-without-image", ERROR, str(path), what, hint))
    slices = [
        ContourSlice(patient, path, contour_of["i"].get(number), contour_of["o"].get(number))
        for number, path in sorted(image_of.items())
    ]
    findings += [
        Finding(
            "inner-contour-missing",
            WARNING,
            str(item.dicom),
            "has no inner contour",
            "draw it, or leave the image out",
        )
        for item in slices
        if item.inner is None
    ]
    return slices, findings


def _put(files: dict[int, Path], number: int, path: Path, findings: list[Finding]) -> None:
    """Keep a file under its number; a second file of that number is a finding."""
    kept = files.setdefault(number, path)
    if kept != path:
        what = f"has the number of {kept.name} too, which is taken"
        findings.append(Finding("number-duplicate", ERROR, str(path), what, "remove one of the two"))


def list_files(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield each file below a folder, in order of path, and whether it is a DICOM file.

    A file without a suffix is one if its first bytes are DICOM's: scanners write such files.

    Raises:
        DataError: A file is named as a DICOM file but is not one, or is a link without a target.
    """
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and not os.path.exists(path):
            raise DataError(
                "is a link that leads to no file", path, code="link-broken", hint="restore or remove it"
            )
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        named = path.suffix.lower() in _SUFFIXES
        is_one = (named or not path.suffix[1:].isalpha()) and path.name != "DICOMDIR" and is_dicom(path)
        if named and not is_one:
            raise DataError(
                f"is not a DICOM file, though its name ends in {path.suffix}",
                path,
                code="dicom-invalid",
                hint="remove it",
            )
        yield path, is_one


def read_folder(folder: Path, progress: Progress) -> ContourFolder:
    """List a folder in the link.csv layout, or else all images of plain DICOM series below it.

    Raises:
        DataError: It is not there, it holds no DICOM image, or link.csv is at fault.
        UnavailableError: pydicom is not installed.
    """
    if has_links(folder):
        return read_links(folder, partly=True)
    if not folder.is_dir():
        raise DataError("no such folder", folder, code="folder-missing", hint="give one with DICOM files")
    files = [path for path, is_one in list_files(folder) if is_one]
    found: list[tuple[tuple[str, str, int, str], ContourSlice]] = []
    findings: list[Finding] = []
    for done, path in enumerate(files, start=1):
        progress("reading headers", done, len(files))
        try:
            header = read_header(path)
        except DataError as fault:
            findings.append(fault.finding)
            continue
        if header.shape is not None:
            patient = header.patient_id or header.series_uid
            order = (patient, header.series_uid, header.instance_number or 0, str(path))
            found.append((order, ContourSlice(patient, path)))
    if not found and not findings:
        raise DataError(
            "no DICOM image below it",
            folder,
            code="dicom-none",
            hint="give a folder with DICOM files, or one with link.csv",
        )
    return ContourFolder(tuple(item for _, item in sorted(found, key=lambda pair: pair[0])), tuple(findings))


def check_slices(slices: Sequence[ContourSlice], progress: Progress) -> list[list[Finding]]:
    """Read each image to its last pixel, and check its contours; see check_slice.

    Raises:
        UnavailableError: pydicom, or what it needs for an image's compression, is not installed.
    """
    findings: list[list[Finding]] = []
    for done, item in enumerate(slices, start=1):
        try:
            height, width = read_dicom(item.dicom).pixels.shape
            findings.append(check_slice(item, (height, width)))
        except DataError as fault:
            findings.append([fault.finding])
        progress("checking contours", done, len(slices))
    return findings


def check_slice(item: ContourSlice, shape: tuple[int, int]) -> list[Finding]:
    """Read an image's contours and check them.

    Args:
        item: The image.
        shape: (H, W) of it, pixels.
    """
    findings: list[Finding] = []
    masks = []
    for path in (item.inner, item.outer):
        if path is None:
            continue
        try:
            contour_px = read_contour(path)
        except DataError as fault:
            findings.append(fault.finding)
            continue
        found = check_contour(contour_px, shape, str(path))
        findings += found
        if not found:
            masks.append(contour_to_mask(contour_px, shape))
    if len(masks) == 2:
        findings += check_pair(masks[0], masks[1], str(item.inner))
    return findings
