"""DICOM images as png: class folders, classes from a tag, or the link.csv layout with its contours."""

import functools
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dicom.display import encode_png, to_gray
from challenge_bundle.dicom.reading import DicomHeader, check_tag, read_dicom, read_header
from challenge_bundle.dicom.sunnybrook import (
    WITH_OUTER,
    WITHOUT_OUTER,
    ContourSlice,
    check_slice,
    has_links,
    list_files,
    read_links,
)
from challenge_bundle.errors import DataError, shown
from challenge_bundle.findings import ERROR, WARNING, Finding
from challenge_bundle.formats.source_options import add_options, parse_options
from challenge_bundle.progress import Progress
from challenge_bundle.sources.base import Listing, SourceImage
from challenge_bundle.sources.class_folders import SPLIT_OF_FOLDER

_PLACEHOLDER = re.compile(
    r"(?i)[\W_]*(anon|anonymous|anonymi[sz]ed|de-?identified|unknown|none|null|removed|n[/_]?a|x+|0+)[\W_]*"
)
_PATIENT_EXAMPLE = "'dicom:PATH?group=TAG', such as StudyInstanceUID"

FORM = "dicom:PATH[?label=TAG][&group=TAG][&bits=8|16]"


def parse_dicom_source(text: str, base: Path) -> "DicomSource":
    """Make the source of `dicom:TEXT`.

    Args:
        text: `PATH`, then perhaps `?label=TAG`, `?group=TAG`, `?bits=16`, or some of them joined by `&`.
        base: What a relative PATH is relative to.

    Raises:
        DataError: An option is none of these.
    """
    folder, options = parse_options(text, ("label", "group", "bits"), FORM)
    bits = options.get("bits", "8")
    if bits not in ("8", "16"):
        raise DataError(
            f"expected {FORM}, but got {shown(text)}", code="source-options", hint="correct the option"
        )
    place = (base / Path(folder).expanduser()).resolve()
    return DicomSource(place, options.get("label", ""), int(bits), options.get("group", ""))


class DicomSource:
    """`PATH/CLASS/...`, `PATH/{train,val,test}/CLASS/...`, any folder with `label`, or the link.csv layout.

    An image's origin begins with its patient and a slash, so that it names the patient. It is its key too:
    scanners name files alike, and a sample by names would take the same slices of each patient.

    Args:
        path: The folder.
        label: Keyword of the tag that holds the class; empty takes the first folder, or, in the link.csv
            layout, whether an image with an inner contour has an outer one too.
        bits: Of the png files, 8 or 16.
        group: Keyword of the tag that names the patient group; empty takes the patient.
    """

    names_are_public = False

    def __init__(self, path: Path, label: str = "", bits: int = 8, group: str = "") -> None:
        self.path, self.label, self.bits, self.group = path, label, bits, group
        self.subgroups: tuple[str, ...] = ()
        options = {"label": label, "group": group, "bits": "16" if bits == 16 else ""}
        self.description = add_options(
            f"dicom:{path}", {key: value for key, value in options.items() if value}
        )

    def list_images(self, request: ImportRequest, progress: Progress) -> Listing:
        """List the images, in order of path, by their headers alone.

        Raises:
            DataError: No such folder, no image in it, a file that is no DICOM file, an image without a class.
            UnavailableError: pydicom is not installed.
        """
        if not self.path.is_dir():
            raise DataError(
                "no such folder", self.path, code="folder-not-found", hint="give one with DICOM files"
            )
        self.subgroups = request.subgroups
        for tag in self._tags():
            check_tag(tag)
        images, findings = (
            self._list_links(progress) if has_links(self.path) else self._list_folders(progress)
        )
        if not images:
            raise DataError(
                "no DICOM image below it; expected CLASS/FILE, or any folders with ?label=TAG",
                self.path,
                code="no-images",
                hint="give the folder that holds the class folders",
            )
        if not self.group:
            findings += _find_placeholders(images)
        others = "another tag" if self.group else "a tag"
        hint = f"name {others} that distinguishes the patients: {_PATIENT_EXAMPLE}"
        return Listing(images, tuple(findings), hint)

    def _list_links(self, progress: Progress) -> tuple[list[SourceImage], list[Finding]]:
        folder = read_links(self.path)
        findings = [replace(finding, severity=WARNING) for finding in folder.findings]
        slices = [item for item in folder.slices if self.label or item.inner]
        headers = self._read_headers([item.dicom for item in slices], progress, findings)
        slices = [item for item in slices if item.dicom in headers]
        if not self.label:
            slices = self._drop_invalid(slices, headers, progress, findings)
        images: list[SourceImage] = []
        for item in slices:
            header = headers[item.dicom]
            class_name = self._class_name(header, item.dicom, _contours(item))
            images.append(self._image(item.origin, item.dicom, header, class_name, None))
        return images, findings

    def _drop_invalid(
        self,
        slices: list[ContourSlice],
        headers: dict[Path, DicomHeader],
        progress: Progress,
        findings: list[Finding],
    ) -> list[ContourSlice]:
        """The slices with valid contours, for contours make the class; what is wrong goes to findings.

        Raises:
            DataError: There is none.
        """
        valid: list[ContourSlice] = []
        by_severity: dict[str, list[Finding]] = {ERROR: [], WARNING: []}
        for done, item in enumerate(slices, start=1):
            found = check_slice(item, headers[item.dicom].shape or (0, 0))
            # One per slice, so that slices are counted.
            for severity, kept in by_severity.items():
                kept += [finding for finding in found if finding.severity == severity][:1]
            if all(finding.severity != ERROR for finding in found):
                valid.append(item)
            progress("checking contours", done, len(slices))
        wrong, odd = by_severity[ERROR], by_severity[WARNING]
        hint = "`data contact-sheet` shows all"
        if wrong:
            message = f"slices left out for invalid contours: {len(wrong)}, the first {wrong[0].text}"
            if not valid:
                raise DataError(f"no slice is left: {message}", self.path, code="contours-invalid", hint=hint)
            findings.append(Finding("contours-invalid", WARNING, "", message, hint))
        if odd:
            message = f"slices with unusual contours: {len(odd)}, the first {odd[0].text}"
            findings.append(Finding("contours-unusual", WARNING, "", message, hint))
        return valid

    def _list_folders(self, progress: Progress) -> tuple[list[SourceImage], list[Finding]]:
        listed = list(list_files(self.path))
        files = [path for path, is_one in listed if is_one]
        findings: list[Finding] = []
        if len(files) < len(listed):
            other = next(path for path, is_one in listed if not is_one)
            message = f"{len(listed) - len(files)} files are no DICOM files, such as {other}"
            findings.append(Finding("files-not-images", WARNING, "", message))
        headers = self._read_headers(files, progress, findings)
        nameless = [path for path, header in headers.items() if not header.patient_id]
        if nameless:
            message = (
                f"images without a PatientID: {len(nameless)}, such as {nameless[0]}; their series counts as"
                " the patient"
            )
            findings.append(Finding("dicom-patient-missing", WARNING, "", message))
        has_splits = all(path.relative_to(self.path).parts[0].lower() in SPLIT_OF_FOLDER for path in headers)
        images: list[SourceImage] = []
        for path, header in headers.items():
            folders = path.relative_to(self.path).parts[:-1]
            split = SPLIT_OF_FOLDER[folders[0].lower()] if has_splits else None
            class_folder = folders[int(has_splits)] if len(folders) > has_splits else ""
            patient = (header.patient_id or header.series_uid or "unknown").replace("/", "_")
            origin = f"{patient}/{path.relative_to(self.path).as_posix()}"
            class_name = self._class_name(header, path, class_folder)
            images.append(self._image(origin, path, header, class_name, split))
        return images, findings

    def _read_headers(
        self, files: list[Path], progress: Progress, findings: list[Finding]
    ) -> dict[Path, DicomHeader]:
        """The headers of those files that hold an image; what is wrong goes to findings."""
        headers: dict[Path, DicomHeader] = {}
        for done, path in enumerate(files, start=1):
            headers[path] = read_header(path, self._tags())
            progress("reading headers", done, len(files))
        no_images = [path for path, header in headers.items() if header.shape is None]
        if no_images:
            message = f"DICOM files without an image: {len(no_images)}, such as {no_images[0]}"
            findings.append(Finding("dicom-without-image", WARNING, "", message))
        written = [path for path, header in headers.items() if header.burned_in]
        if written:
            message = (
                f"images with writing in their pixels, by their BurnedInAnnotation: {len(written)}, such as"
                f" {written[0]}"
            )
            hint = "look whether it names the patient before you hand them out"
            findings.append(Finding("dicom-burned-in-text", WARNING, "", message, hint))
        return {path: header for path, header in headers.items() if header.shape is not None}

    def _tags(self) -> list[str]:
        return [tag for tag in (self.label, self.group, *self.subgroups) if tag]

    def _class_name(self, header: DicomHeader, path: Path, default: str) -> str:
        """An image's class: the tag's value, or the default where no tag is asked for."""
        class_name = _value(header, self.label, path) if self.label else default
        if not class_name:
            raise DataError(
                f"is in no class folder; expected CLASS/{path.name}",
                path,
                code="image-without-class",
                hint="move it, or name the tag that holds the class: ?label=SeriesDescription",
            )
        return class_name

    def _image(
        self, origin: str, path: Path, header: DicomHeader, class_name: str, split: str | None
    ) -> SourceImage:
        load: Callable[[], bytes] = functools.partial(_png_bytes, path, self.bits)
        # The patient, as the origin begins, where no tag is asked for.
        group = _value(header, self.group, path) if self.group else origin.partition("/")[0]
        attributes = {tag: header.tags[tag] for tag in self.subgroups}
        return SourceImage(
            origin, class_name, split, load, group, suffix=".png", key=origin, attributes=attributes
        )


def _find_placeholders(images: list[SourceImage]) -> list[Finding]:
    """Patients whose names look like one word for many."""
    counts = Counter(image.patient_group for image in images if image.patient_group)
    hint = f"if they are of several patients, name a tag that distinguishes them: {_PATIENT_EXAMPLE}"
    return [
        Finding(
            "dicom-patient-placeholder",
            WARNING,
            "",
            f"images of the patient {shown(patient)}, which looks like a word in place of a name: {count};"
            " they stay in one split",
            hint,
        )
        for patient, count in counts.items()
        if count > 1 and _PLACEHOLDER.fullmatch(patient)
    ]


def _value(header: DicomHeader, tag: str, path: Path) -> str:
    """The value of a tag.

    Raises:
        DataError: It is empty.
    """
    if not header.tags[tag]:
        raise DataError(
            f"its {tag} is empty",
            path,
            code="dicom-tag-empty",
            hint="fill it, remove the file or name another tag",
        )
    return header.tags[tag]


def _contours(item: ContourSlice) -> str:
    return WITH_OUTER if item.outer else WITHOUT_OUTER


def _png_bytes(path: Path, bits: int) -> bytes:
    image = read_dicom(path)
    try:
        return encode_png(to_gray(image, bits))
    except DataError as fault:
        found = fault.finding
        raise DataError(found.message, path, code=found.code, hint=found.hint) from None
