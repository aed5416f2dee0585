"""The rules of class folders, for everything that has paths: a local folder, a bucket, a web server."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from challenge_bundle.errors import DataError, readable
from challenge_bundle.findings import WARNING, Finding
from challenge_bundle.layout import SPLITS, solution_name
from challenge_bundle.sources.base import IMAGE_SUFFIXES, Listing, SourceImage

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
_SOLUTIONS = frozenset(solution_name(split) for split in SPLITS)


class State(NamedTuple):
    """What is known of a file without reading it; see SourceImage."""

    version: str | None = None
    taken: str | None = None


def list_class_folders(
    paths: Iterable[str],
    place: str,
    load: Callable[[str], Callable[[], bytes]],
    states: Mapping[str, State] | None = None,
) -> Listing:
    """Take the images of `CLASS/...` or `{train,val,test}/CLASS/...`, in order of path.

    Args:
        paths: Relative, with slashes; the path of a folder ends with one.
        place: What they are relative to, for messages.
        load: Makes the function that gives the bytes at a path.
        states: Of what lies at each path; None if none is known.

    Raises:
        DataError: No image in a class folder, or folders of which some are splits and some not.
    """
    tops: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        top, slash, rest = path.partition("/")
        if slash and not any(map(is_ignored, path.split("/"))):
            tops[top].append(rest)
    _refuse_mixtures(tops, place)
    known = states or {}
    images: list[SourceImage] = []
    findings: list[Finding] = []
    for class_folder, split, files in _class_folders(tops):
        where = f"{place}/{class_folder}"
        found = [path for path in files if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES]
        class_name = PurePosixPath(class_folder).name
        images += [
            SourceImage(
                f"{where}/{path}",
                class_name,
                split,
                load(f"{class_folder}/{path}"),
                **known.get(f"{class_folder}/{path}", State())._asdict(),
            )
            for path in found
        ]
        if not found:
            message = "holds no image, so it is not taken for a class"
            findings.append(Finding("folder-without-images", WARNING, readable(where), message))
        elif len(found) < len(files):
            other = next(path for path in files if PurePosixPath(path).suffix.lower() not in IMAGE_SUFFIXES)
            name = readable(PurePosixPath(other).name)
            message = f"{len(files) - len(found)} files are no images, such as {name}"
            findings.append(Finding("files-not-images", WARNING, readable(where), message))
    if not images:
        raise DataError(
            f"no image ({' '.join(sorted(IMAGE_SUFFIXES))}) in a class folder; expected CLASS/IMAGE,"
            " {train,val,test}/CLASS/IMAGE, or, in a local folder, the bundle layout (training-data/,"
            " training_solution.csv, ...)",
            place,
            code="no-images",
            hint="give the folder that holds one of these",
        )
    return Listing(images, tuple(findings))


def is_ignored(name: str) -> bool:
    """Whether a file or folder of that name is the system's, not the user's."""
    return name.startswith(".") or name in _IGNORED


def _refuse_mixtures(tops: dict[str, list[str]], place: str) -> None:
    """Refuse what is neither class folders nor split folders.

    Raises:
        DataError: It is not.
    """
    inner = next((top for top, rest in sorted(tops.items()) if _SOLUTIONS & set(rest)), None)
    if inner is not None:
        raise DataError(
            "holds a folder in the bundle layout",
            place,
            code="bundle-layout-below",
            hint=f"give that one, as a local folder: folder:{place}/{inner}",
        )
    splits = {top: SPLIT_OF_FOLDER.get(top.lower()) for top in sorted(tops)}
    if any(splits.values()) and not all(splits.values()):
        odd = next(top for top, split in splits.items() if split is None)
        raise DataError(
            "is beside train/val/test folders, so it is neither a split nor a class",
            readable(f"{place}/{odd}"),
            code="folder-beside-splits",
            hint="move it away",
        )


def _class_folders(tops: dict[str, list[str]]) -> Iterable[tuple[str, str | None, list[str]]]:
    """(path, split, files below it) of each class folder, in order."""
    are_splits = all(top.lower() in SPLIT_OF_FOLDER for top in tops)
    for top, rest in sorted(tops.items()):
        if not are_splits:
            yield top, None, _files(rest)
            continue
        # A train folder alone is a data set that nobody has split yet.
        split = SPLIT_OF_FOLDER[top.lower()] if len(tops) > 1 else None
        classes: dict[str, list[str]] = defaultdict(list)
        for path in rest:
            class_name, slash, below = path.partition("/")
            if slash:
                classes[class_name].append(below)
        for class_name, files in sorted(classes.items()):
            yield f"{top}/{class_name}", split, _files(files)


def _files(paths: list[str]) -> list[str]:
    return sorted(
        (path for path in paths if path and not path.endswith("/")), key=lambda path: path.split("/")
    )
