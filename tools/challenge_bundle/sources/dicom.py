"""DICOM images as png: class folders, classes from a tag, or the link.csv layout with its contours."""

import functools
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

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
from challenge_bundle.findings import Finding
from challenge_bundle.formats.source_options import add_options, parse_options
from challenge_bundle.progress import Progress
from challenge_bundle.sources.base import ImportRequest, Listing, SourceImage
from challenge_bundle.sources.class_folders import SPLIT_OF_FOLDER

_PLACEHOLDER = re.compile(
    r"(?i)[\W_]*(anon|anonymous|anonymi[sz]ed|de-?identified|unknown|none|null|removed|n[/_]?a|x+|0+)[\W_]*"
)
_GROUP_EXAMPLE = "'dicom:PATH?group=TAG', such as StudyInstanceUID"

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
        raise DataError(f"{shown(text)} is not understood; expected {FORM}")
    place = (base / Path(folder).expanduser()).resolve()
    return DicomSource(place, options.get("label", ""), int(bits), options.get("group", ""))


class DicomSource:
    """`PATH/CLASS/...`, `PATH/{train,val,test}/CLASS/...`, any folder with `label`, or the link.csv layout.

    An image's origin begins with its patient and a slash: what belongs to one patient can be told by it. It
    is its key too: scanners name files alike, and a sample by names would take the same slices of each one.

    Args:
        path: The folder.
        label: Keyword of the tag that holds the class; empty takes the first folder, or, in the link.csv
            layout, whether an image with an inner contour has an outer one too.
        bits: Of the png files, 8 or 16.
        group: Keyword of the tag that names what stays in one split; empty takes the patient.
    """

    names_are_public = False

    def __init__(self, path: Path, label: str = "", bits: int = 8, group: str = "") -> None:
        self.path, self.label, self.bits, self.group = path, label, bits, group
        options = {"label": label, "group": group, "bits": "16" if bits == 16 else ""}
        self.description = add_options(f"dicom:{path}", {key: told for key, told in options.items() if told})

    def list_images(self, request: ImportRequest, progress: Progress) -> Listing:
        """List the images, in order of path, by their headers alone.

        Raises:
            DataError: No such folder, no image in it, a file that is no DICOM file, an image without a class.
            UnavailableError: pydicom is not installed.
        """
        if not self.path.is_dir():
            raise DataError("no such folder; give one with DICOM files", self.path)
        for tag in self._tags():
            check_tag(tag)
        images, warnings = (
            self._list_links(progress) if has_links(self.path) else self._list_folders(progress)
        )
        if not images:
            raise DataError("no DICOM image below it; expected CLASS/FILE, or any with ?label=TAG", self.path)
        if not self.group:
            warnings += _warn_of_placeholders(images)
        others = "another tag" if self.group else "a tag"
        hint = f"name {others} that tells patients apart: {_GROUP_EXAMPLE}"
        return Listing(images, tuple(warnings), hint)

    def _list_links(self, progress: Progress) -> tuple[list[SourceImage], list[str]]:
        folder = read_links(self.path)
        warnings = [f"{finding.location}: {finding.message}" for finding in folder.findings]
        slices = [item for item in folder.slices if self.label or item.inner]
        headers = self._read_headers([item.dicom for item in slices], progress, warnings)
        slices = [item for item in slices if item.dicom in headers]
        if not self.label:
            slices = self._sound(slices, headers, progress, warnings)
        images: list[SourceImage] = []
        for item in slices:
            header = headers[item.dicom]
            class_name = self._class_name(header, item.dicom, _contours(item))
            images.append(self._image(item.origin, item.dicom, header, class_name, None))
        return images, warnings

    def _sound(
        self,
        slices: list[ContourSlice],
        headers: dict[Path, DicomHeader],
        progress: Progress,
        warnings: list[str],
    ) -> list[ContourSlice]:
        """Those slices whose contours can be right, for these make the class; the rest goes to warnings.

        Raises:
            DataError: There is none.
        """
        sound: list[ContourSlice] = []
        by_severity: dict[str, list[Finding]] = {"error": [], "warning": []}
        for done, item in enumerate(slices, start=1):
            found = check_slice(item, headers[item.dicom].shape or (0, 0))
            # One of a slice, so that slices are counted.
            for severity, kept in by_severity.items():
                kept += [finding for finding in found if finding.severity == severity][:1]
            if all(finding.severity != "error" for finding in found):
                sound.append(item)
            progress("checking contours", done, len(slices))
        for severity, told in (
            ("error", "slices left out, for contours that cannot be right"),
            ("warning", "slices whose contours want a look"),
        ):
            found = by_severity[severity]
            if found:
                first = f"{found[0].text}"
                text = f"{told}: {len(found)}, the first {first} (`data contact-sheet` shows all)"
                if not sound:
                    raise DataError(f"no slice is left: {text}", self.path)
                warnings.append(text)
        return sound

    def _list_folders(self, progress: Progress) -> tuple[list[SourceImage], list[str]]:
        listed = list(list_files(self.path))
        files = [path for path, is_one in listed if is_one]
        warnings: list[str] = []
        if len(files) < len(listed):
            other = next(path for path, is_one in listed if not is_one)
            warnings.append(f"{len(listed) - len(files)} files are no DICOM files, such as {other}")
        headers = self._read_headers(files, progress, warnings)
        nameless = [path for path, header in headers.items() if not header.patient_id]
        if nameless:
            warnings.append(
                f"images without a PatientID: {len(nameless)}, such as {nameless[0]}; their series counts as"
                " the patient"
            )
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
        return images, warnings

    def _read_headers(
        self, files: list[Path], progress: Progress, warnings: list[str]
    ) -> dict[Path, DicomHeader]:
        """The headers of those files that hold an image; what is amiss goes to warnings."""
        headers: dict[Path, DicomHeader] = {}
        for done, path in enumerate(files, start=1):
            headers[path] = read_header(path, self._tags())
            progress("reading headers", done, len(files))
        no_images = [path for path, header in headers.items() if header.shape is None]
        if no_images:
            warnings.append(f"DICOM files without an image: {len(no_images)}, such as {no_images[0]}")
        written = [path for path, header in headers.items() if header.burned_in]
        if written:
            warnings.append(
                f"images that say that writing is in their pixels (BurnedInAnnotation): {len(written)}, such"
                f" as {written[0]}; look whether it names the patient before you hand them out"
            )
        return {path: header for path, header in headers.items() if header.shape is not None}

    def _tags(self) -> list[str]:
        return [tag for tag in (self.label, self.group) if tag]

    def _class_name(self, header: DicomHeader, path: Path, default: str) -> str:
        """An image's class: the tag's value, or the default where no tag is asked for."""
        class_name = _value(header, self.label, path) if self.label else default
        if not class_name:
            raise DataError(
                f"lies in no class folder; expected CLASS/{path.name}, or name the tag that holds the class:"
                " ?label=SeriesDescription",
                path,
            )
        return class_name

    def _image(
        self, origin: str, path: Path, header: DicomHeader, class_name: str, split: str | None
    ) -> SourceImage:
        load: Callable[[], bytes] = functools.partial(_png_bytes, path, self.bits)
        # The patient, as the origin begins, where no tag is asked for.
        group = _value(header, self.group, path) if self.group else origin.partition("/")[0]
        return SourceImage(origin, class_name, split, load, group=group, suffix=".png", key=origin)


def _warn_of_placeholders(images: list[SourceImage]) -> list[str]:
    """Warn of patients whose names look like one word for many."""
    counts = Counter(image.group for image in images if image.group)
    return [
        f"images of the patient {shown(group)}, which looks like a word in place of a name: {count}; they"
        " stay in one split, so if they are of several patients, name a tag that tells them apart:"
        f" {_GROUP_EXAMPLE}"
        for group, count in counts.items()
        if count > 1 and _PLACEHOLDER.fullmatch(group)
    ]


def _value(header: DicomHeader, tag: str, path: Path) -> str:
    """What a tag holds.

    Raises:
        DataError: Nothing.
    """
    if not header.tags[tag]:
        raise DataError(f"its {tag} is empty; fill it, remove the file or name another tag", path)
    return header.tags[tag]


def _contours(item: ContourSlice) -> str:
    return WITH_OUTER if item.outer else WITHOUT_OUTER


def _png_bytes(path: Path, bits: int) -> bytes:
    image = read_dicom(path)
    try:
        return encode_png(to_gray(image, bits))
    except DataError as fault:
        raise DataError(str(fault), path) from None
