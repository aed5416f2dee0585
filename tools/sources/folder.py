"""Images in a local folder: class folders, or a folder that already has the bundle layout."""

from collections.abc import Iterator
from pathlib import Path

from tools.errors import DataError
from tools.formats.label_table import read_label_table
from tools.layout import SPLITS, solution_name, split_dir_name
from tools.sources.base import IMAGE_SUFFIXES, ImportRequest, Listing, Progress, SourceImage

SPLIT_OF_FOLDER = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "testing",
    "testing": "testing",
}

_IGNORED = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})


class FolderSource:
    """`PATH/CLASS/...`, `PATH/{train,val,test}/CLASS/...`, or the bundle layout in PATH.

    Args:
        path: The folder.
        description: Shown in messages; `folder:PATH` by default.
    """

    def __init__(self, path: Path, description: str | None = None) -> None:
        self.path = path
        self.description = description or f"folder:{path}"
        self.names_are_public = self._has_bundle_layout()

    def list_images(self, request: ImportRequest, progress: Progress) -> Listing:
        """List the images, in order of path.

        Raises:
            DataError: No such folder, no class folder in it, a csv row without its file, a file without its
                row.
        """
        if not self.path.is_dir():
            raise DataError(
                "no such folder; give a folder of class folders or one in the bundle layout", self.path
            )
        if self.names_are_public:
            return self._list_bundle_layout()
        return self._list_class_folders()

    def _has_bundle_layout(self) -> bool:
        return any((self.path / solution_name(split)).exists() for split in SPLITS)

    def _list_bundle_layout(self) -> Listing:
        images: list[SourceImage] = []
        findings: list[str] = []
        for split in SPLITS:
            images_of_split, findings_of_split = self._list_split(split)
            images += images_of_split
            findings += findings_of_split
        if findings:
            raise DataError(
                f"{len(findings)} rows and files do not fit each other, the first: {findings[0]};"
                " each image needs one base name and exactly one row",
                details=tuple(findings[1:]),
            )
        return Listing(images)

    def _list_split(self, split: str) -> tuple[list[SourceImage], list[str]]:
        """The images of a split that have a row, and what does not fit: of the bundle layout.

        Raises:
            DataError: The csv is at fault, or it or the folder is not there.
        """
        solution, folder = self.path / solution_name(split), self.path / split_dir_name(split)
        for needed in (solution, folder):
            if not needed.exists():
                hint = (
                    "; what an organiser hands out has none: put it in place as input_data/ instead"
                    if split == "testing"
                    else ""
                )
                raise DataError(
                    f"not found; the bundle layout has {needed.name} for the {split} images{hint}", needed
                )
        table = read_label_table(solution)
        findings: list[str] = []
        present: dict[str, Path] = {}
        for path in _files_below(folder):
            if path.name in present:
                findings.append(f"{path}: the base name is that of {present[path.name]} too")
            present[path.name] = path
        findings += [
            f"{solution}:{row}: '{name}' is not in {folder.name}/"
            for name, row in table.row_of.items()
            if name not in present
        ]
        findings += [
            f"{path}: has no row in {solution.name}"
            for name, path in present.items()
            if name not in table.class_of
        ]
        images = [
            SourceImage(str(present[name]), class_name, split, present[name].read_bytes)
            for name, class_name in table.class_of.items()
            if name in present
        ]
        return images, findings

    def _list_class_folders(self) -> Listing:
        tops = _folders_in(self.path)
        splits = {folder: SPLIT_OF_FOLDER.get(folder.name.lower()) for folder in tops}
        inner = next((folder for folder in tops if FolderSource(folder).names_are_public), None)
        if inner is not None:
            raise DataError(f"holds a folder in the bundle layout; give that one: folder:{inner}", self.path)
        if tops and all(splits.values()):
            parts = [_list_classes(folder, splits[folder] if len(tops) > 1 else None) for folder in tops]
            return Listing(
                [image for part in parts for image in part.images],
                tuple(warning for part in parts for warning in part.warnings),
            )
        if any(splits.values()):
            odd = next(folder for folder in tops if splits[folder] is None)
            raise DataError(
                "stands beside train/val/test folders, so it is neither a split nor a class; move it away",
                odd,
            )
        listing = _list_classes(self.path, None)
        if not listing.images:
            raise DataError(
                f"no image ({' '.join(sorted(IMAGE_SUFFIXES))}) in a class folder; expected CLASS/IMAGE,"
                " {train,val,test}/CLASS/IMAGE, or the bundle layout (training-data/, training_solution.csv,"
                " ...)",
                self.path,
            )
        return listing


def _list_classes(folder: Path, split: str | None) -> Listing:
    images: list[SourceImage] = []
    warnings: list[str] = []
    for class_folder in _folders_in(folder):
        files = list(_files_below(class_folder))
        found = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
        images += [SourceImage(str(path), class_folder.name, split, path.read_bytes) for path in found]
        if not found:
            warnings.append(f"{class_folder}: holds no image, so it is not taken for a class")
        elif len(found) < len(files):
            other = next(path for path in files if path.suffix.lower() not in IMAGE_SUFFIXES)
            warnings.append(
                f"{class_folder}: {len(files) - len(found)} files are no images, such as {other.name}"
            )
    return Listing(images, tuple(warnings))


def _folders_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _is_ignored(path))


def _files_below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(_is_ignored(Path(part)) for part in path.relative_to(folder).parts):
            yield path


def _is_ignored(path: Path) -> bool:
    return path.name.startswith(".") or path.name in _IGNORED
