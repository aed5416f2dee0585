"""Images whose labels a csv lists, one row per image, wherever the files are."""

import contextlib
import os
from collections import defaultdict
from pathlib import Path

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.errors import DataError, shown
from challenge_bundle.findings import ERROR, WARNING, Finding
from challenge_bundle.formats.csv_columns import parse_columns, read_columns
from challenge_bundle.formats.source_options import add_options
from challenge_bundle.formats.tasks import WITH_ONE_CLASS
from challenge_bundle.progress import Progress
from challenge_bundle.sources.base import IMAGE_SUFFIXES, Listing, SourceImage
from challenge_bundle.sources.class_folders import SPLIT_OF_FOLDER
from challenge_bundle.sources.label_columns import FORM, LabelColumns, choose_label_columns

_COLUMNS = ("file", "class", "value", "group", "split")


class TableSource:
    """A csv with one row per image: `file`, its label, perhaps `group` (the patient) and `split`.

    The label is a `class`, a number in `value`, or 0 and 1 in one column for each label; see LabelColumns.

    Args:
        text: `csv:FILE`, then perhaps what the columns are called in it, and the folder of the images.
        base: What relative paths are relative to. A relative folder of the images is looked for beside the
            csv first.

    Raises:
        DataError: It is not in that form.
    """

    names_are_public = False

    def __init__(self, text: str, base: Path) -> None:
        self.path, asked = parse_columns(text, base, (*_COLUMNS, "labels", "none", "images"), FORM)
        folder = asked.pop("images", None)
        self.folder = _folder_of_images(folder, self.path.parent, base) if folder else self.path.parent
        options = asked | ({"images": str(self.folder)} if folder else {})
        self.description = add_options(f"csv:{self.path}", options)
        self.asked = asked
        self._named: dict[Path, dict[str, list[Path]]] = {}

    def list_images(self, request: ImportRequest, progress: Progress) -> Listing:
        """List the images, in the order of the rows.

        Raises:
            DataError: The csv is at fault, or an image that it names is not there.
        """
        columns = choose_label_columns(self.path, self.asked, request)
        images: list[SourceImage] = []
        line_of: dict[Path, int] = {}
        absent: list[Finding] = []
        usual = [key for key in ("group", "split") if key not in self.asked]
        needed = {"file": self.asked.get("file", "file"), **columns.needed}
        asked = dict(columns.optional)
        asked |= {key: name for key, name in self.asked.items() if key in ("group", "split")}
        for line, cells in read_columns(self.path, needed, asked, usual):
            path = self._find(cells["file"], line)
            if path is None:
                name = shown(cells["file"])
                absent.append(Finding("row-without-file", ERROR, str(self.path), name, row=line))
                continue
            if line_of.setdefault(path, line) != line:
                raise DataError(
                    f"{shown(cells['file'])} is in line {line_of[path]} too",
                    self.path,
                    line,
                    code="csv-duplicate-row",
                    hint="keep one",
                )
            images.append(self._image(path, columns, cells, line, request))
            self._check_splits(images, line)
            progress("listing images", len(images), 0)
        self._refuse_absent(absent)
        if not images:
            raise DataError(
                "no image in it", self.path, code="no-images", hint=f"write one row per image: {FORM}"
            )
        return Listing(images, tuple(_without_row(line_of)), label_names=columns.label_names)

    def _image(
        self, path: Path, columns: LabelColumns, cells: dict[str, str], line: int, request: ImportRequest
    ) -> SourceImage:
        label = columns.label(cells, self.path, line)
        key = os.path.relpath(path, self.folder).replace(os.sep, "/")
        if request.task in WITH_ONE_CLASS:
            # As in class folders, so that the same images are sampled.
            key = key.removeprefix(f"{label}/")
        return SourceImage(
            str(path),
            label,
            self._split(cells, line),
            path.read_bytes,
            cells.get("group") or None,
            key=key,
            label_place=f"{self.path.name}:{line}",
            attributes=columns.attributes(cells),
        )

    def _check_splits(self, images: list[SourceImage], line: int) -> None:
        if (images[-1].split is None) != (images[0].split is None):
            raise DataError(
                "some rows have a split and some do not",
                self.path,
                line,
                code="csv-split-missing",
                hint="fill all, or none",
            )

    def _refuse_absent(self, absent: list[Finding]) -> None:
        if absent:
            raise DataError(
                f"images that are not in {self.folder}: {len(absent)}, the first: {absent[0].text}",
                details=tuple(finding.text for finding in absent[1:]),
                code="row-without-file",
                hint="put them there, name their folder (images=DIR) or remove their rows",
            )

    def _find(self, cell: str, line: int) -> Path | None:
        """The image of a cell; many tables leave the suffix out.

        Raises:
            DataError: There are two.
        """
        path = self.folder / cell.replace("\\", "/")
        with contextlib.suppress(OSError):  # of a name that is too long
            if path.is_file():
                return path
            found = self._images_in(path.parent).get(path.name.casefold(), [])
            if len(found) > 1:
                names = " and ".join(one.name for one in sorted(found)[:2])
                raise DataError(
                    f"{shown(cell)} may be {names}",
                    self.path,
                    line,
                    code="image-name-ambiguous",
                    hint="write the suffix",
                )
            return found[0] if found else None
        return None

    def _images_in(self, folder: Path) -> dict[str, list[Path]]:
        """The images of a folder by their names without suffix, in small letters."""
        if folder not in self._named:
            named: dict[str, list[Path]] = defaultdict(list)
            for entry in os.scandir(folder) if folder.is_dir() else ():
                stem, suffix = os.path.splitext(entry.name)
                if suffix.lower() in IMAGE_SUFFIXES:
                    named[stem.casefold()].append(folder / entry.name)
            self._named[folder] = named
        return self._named[folder]

    def _split(self, cells: dict[str, str], line: int) -> str | None:
        split = cells.get("split")
        if not split:
            return None
        if split.lower() not in SPLIT_OF_FOLDER:
            raise DataError(
                f"expected a split of {', '.join(SPLIT_OF_FOLDER)}, but got {shown(split)}",
                self.path,
                line,
                code="unknown-split",
                hint="correct the cell",
            )
        return SPLIT_OF_FOLDER[split.lower()]


def _folder_of_images(text: str, beside: Path, base: Path) -> Path:
    """The folder that `images=` names; below the csv's own where neither is there, for the message."""
    folders = [(start / Path(text).expanduser()).resolve() for start in (beside, base)]
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def _without_row(line_of: dict[Path, int]) -> list[Finding]:
    """Images in the same folders that the table does not list."""
    others = [
        entry.path
        for folder in sorted({path.parent for path in line_of})
        for entry in os.scandir(folder)
        if os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES and Path(entry.path) not in line_of
    ]
    if not others:
        return []
    message = f"images without a row, passed over: {len(others)}, such as {min(others)}"
    return [Finding("file-without-row", WARNING, "", message)]
