"""Images in a local folder: class folders, or a folder that already has the bundle layout."""

import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.errors import DataError, readable
from challenge_bundle.findings import ERROR, Finding
from challenge_bundle.formats.reference import read_reference
from challenge_bundle.formats.task_json import read_task
from challenge_bundle.formats.tasks import MULTILABEL, Task
from challenge_bundle.layout import SPLITS, TASK_NAME, solution_name, split_dir_name
from challenge_bundle.progress import Progress
from challenge_bundle.sources.base import IMAGE_SUFFIXES, Listing, SourceImage
from challenge_bundle.sources.class_folders import is_ignored, list_class_folders

_LINKED_LEVELS = 2


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
                "no such folder",
                self.path,
                code="folder-not-found",
                hint="give a folder of class folders or one in the bundle layout",
            )
        if self.names_are_public:
            return self._list_bundle_layout(request)
        return self._list_class_folders()

    def _has_bundle_layout(self) -> bool:
        return any((self.path / solution_name(split)).exists() for split in SPLITS)

    def _list_bundle_layout(self, request: ImportRequest) -> Listing:
        task = self._task(request)
        images: list[SourceImage] = []
        findings: list[Finding] = []
        for split in SPLITS:
            images_of_split, findings_of_split = self._list_split(split, task, request.subgroups)
            images += images_of_split
            findings += findings_of_split
        if findings:
            raise DataError(
                f"{len(findings)} rows and files do not fit each other, the first: {findings[0].text}",
                details=tuple(finding.text for finding in findings[1:]),
                code="rows-and-files-differ",
                hint="give each image one base name and exactly one row",
            )
        labels = task.class_names
        if task.name == MULTILABEL and not labels:
            labels = read_reference(self.path / solution_name("training"), task).class_names
        return Listing(images, label_names=labels)

    def _task(self, request: ImportRequest) -> Task:
        """What the folder's csv files are of: its task.json says it, else the bundle that is filled.

        Raises:
            DataError: They are of another task than the bundle.
        """
        if not (self.path / TASK_NAME).is_file():
            return Task(request.task)
        found = read_task(self.path)
        if found.name != request.task:
            raise DataError(
                f"holds data of the task {found.name}, but 'bundle.task' is {request.task}",
                self.path / TASK_NAME,
                code="other-task",
                hint="correct 'bundle.task' in bundle.toml, or name another folder",
            )
        return found

    def _list_split(
        self, split: str, task: Task, subgroups: Sequence[str]
    ) -> tuple[list[SourceImage], list[Finding]]:
        """The images of a split that have a row, and what does not fit: of the bundle layout.

        Raises:
            DataError: The csv is at fault, or it or the folder is not there.
        """
        solution, folder = self.path / solution_name(split), self.path / split_dir_name(split)
        for needed, is_there in ((solution, solution.is_file()), (folder, folder.is_dir())):
            if not is_there:
                hint = (
                    "put what an organiser handed out, which has none, in place as input_data/ instead"
                    if split == "testing"
                    else "add it"
                )
                raise DataError(
                    f"not found; the bundle layout has {needed.name} for the {split} images",
                    needed,
                    code="bundle-layout-incomplete",
                    hint=hint,
                )
        table = read_reference(solution, task)
        findings: list[Finding] = []
        present: dict[str, Path] = {}
        for path in _files_below(folder):
            if path.name in present:
                message = f"the base name is that of {present[path.name]} too"
                findings.append(Finding("base-name-twice", ERROR, str(path), message))
            present[path.name] = path
        findings += [
            Finding("row-without-file", ERROR, str(solution), f"'{name}' is not in {folder.name}/", row=row)
            for name, row in table.row_of.items()
            if name not in present
        ]
        findings += [
            Finding("file-without-row", ERROR, str(path), f"has no row in {solution.name}")
            for name, path in present.items()
            if name not in table.label_of
        ]
        images = [
            SourceImage(
                str(present[name]),
                class_name,
                split,
                present[name].read_bytes,
                table.group_of.get(name),
                attributes={
                    attribute: table.attributes[attribute][name]
                    for attribute in subgroups
                    if attribute in table.attributes
                },
                label_place=f"{solution.name}:{table.row_of[name]}",
            )
            for name, class_name in table.label_of.items()
            if name in present
        ]
        return images, findings

    def _list_class_folders(self) -> Listing:
        place = str(self.path)
        return list_class_folders(
            _paths_below(self.path), place, lambda path: functools.partial(_read, f"{place}/{path}")
        )


def _read(file: str) -> bytes:
    with open(file, "rb") as opened:
        return opened.read()


def _paths_below(folder: Path, prefix: str = "", depth: int = 0) -> Iterator[str]:
    """Relative paths of all files and folders; a folder's ends with a slash.

    Raises:
        DataError: What is named like an image is no file.
    """
    with os.scandir(folder) as scanned:
        # Closed before a deeper folder is opened, and when one of them is refused.
        entries = list(scanned)
    for entry in entries:
        # Splits and classes may be links; deeper ones may lead in a circle.
        try:
            is_folder = entry.is_dir(follow_symlinks=depth < _LINKED_LEVELS)
            is_file = entry.is_file()
        except OSError:  # links in a circle
            is_folder = is_file = False
        if is_folder:
            if not is_ignored(entry.name):
                yield f"{prefix}{entry.name}/"
                yield from _paths_below(Path(entry.path), f"{prefix}{entry.name}/", depth + 1)
        elif is_file:
            yield prefix + entry.name
        elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES and not is_ignored(entry.name):
            raise DataError(
                "is named like an image but is no file (a link that leads nowhere, a pipe or a device)",
                readable(entry.path),
                code="image-not-a-file",
                hint="restore or remove it",
            )


def _files_below(folder: Path) -> Iterator[Path]:
    for path in sorted(_paths_below(folder), key=lambda path: path.split("/")):
        if not path.endswith("/") and not is_ignored(path.rpartition("/")[2]):
            yield folder / path
