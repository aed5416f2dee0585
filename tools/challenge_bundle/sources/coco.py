"""COCO annotations as a source: whether an image has an X, as two classes, or its categories, as labels."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.errors import DataError, shown
from challenge_bundle.files import hash_file, replacing
from challenge_bundle.formats.coco import CocoFile, CocoImage, leads_out, read_coco
from challenge_bundle.formats.source_options import add_options, parse_options
from challenge_bundle.formats.tasks import MULTILABEL, SEPARATOR, WITH_ONE_CLASS, labels_of
from challenge_bundle.image_io import PictureError, reading
from challenge_bundle.progress import Progress
from challenge_bundle.redaction import secrets_in, without_secrets
from challenge_bundle.sources.base import Listing, SourceImage
from challenge_bundle.sources.retry import retry
from challenge_bundle.store.coco_datasets import AnnotatedSet

_TIMEOUT_S = 30
_MOST_NAME = 1000
"""Characters of a data set's name, which a database keeps in an index."""
FORM = "coco:ANNOTATIONS.json?category=NAME"
"""Without a category the labels of an image are its categories, for a multilabel task."""

_KEYS = ("category", "street", "images", "download", "dataset")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of an annotations file.

    Args:
        text: As it was typed, with absolute paths.
        annotations: The file.
        category: What an image has or has not; its name. Empty asks for all categories of each image.
        street: Whether images without anything of a street are left out.
        images: Folder of the images; None looks beside the file.
        download: Whether images that are not there are fetched, once.
        dataset: The data set that the file's ids belong to in the image database; empty is the file's path.
    """

    text: str
    annotations: Path
    category: str
    street: bool = False
    images: Path | None = None
    download: bool = False
    dataset: str = ""


def parse_question(text: str, base: Path) -> Question:
    """Parse `coco:FILE?category=traffic light[&street=1][&images=DIR][&download=1][&dataset=NAME]`.

    Args:
        text: The question.
        base: What relative paths are relative to.

    Raises:
        DataError: It names something that is not known.
    """
    place, asked = parse_options(text.removeprefix("coco:"), _KEYS, f"{FORM} with {', '.join(_KEYS)}")
    for key in ("street", "download"):
        if asked.get(key, "0") not in ("0", "1"):
            raise DataError(
                f"{text}: expected 0 or 1 for '{key}', but got {asked[key]!r}",
                code="source-options",
                hint="correct the option",
            )
    if not asked.get("dataset", "x").isprintable() or len(asked.get("dataset", "")) > _MOST_NAME:
        raise DataError(
            f"expected a name of up to {_MOST_NAME} characters for 'dataset', but got"
            f" {shown(asked['dataset'])}",
            code="source-options",
            hint="correct the option",
        )
    annotations = (base / Path(place).expanduser()).resolve()
    images = (base / Path(asked["images"]).expanduser()).resolve() if "images" in asked else None
    if images:
        asked["images"] = str(images)
    return Question(
        add_options(f"coco:{annotations}", asked),
        annotations,
        asked.get("category", ""),
        asked.get("street") == "1",
        images,
        asked.get("download") == "1",
        asked.get("dataset", ""),
    )


class CocoSource:
    """Images in two classes, with an X (`X`) and without (`no X`); or all images with their categories.

    Args:
        question: What is asked.
    """

    names_are_public = False

    def __init__(self, question: Question) -> None:
        self.question = question
        self.description = question.text

    def list_images(self, request: ImportRequest, progress: Progress) -> Listing:
        """List the images, in order of file name; one that is to be fetched is fetched when it is loaded.

        Raises:
            DataError: The annotations are at fault, or images of theirs are not there.
        """
        _check_task(self.question, request.task)
        question, coco = self.question, read_coco(self.question.annotations)
        chosen, label_of = _ask(coco, question, request.class_names)
        places = _locate(question, chosen)
        absent = [image for image in chosen if not _is_file(places[image.image_id])]
        unfetchable = [image for image in absent if not image.url] if question.download else absent
        if unfetchable:
            folder = question.images or _find_images(question.annotations, chosen)
            raise DataError(
                f"{len(unfetchable)} of {len(chosen)} images are not in {folder}, the first:"
                f" {unfetchable[0].file_name}",
                question.annotations,
                details=tuple(image.file_name for image in unfetchable[1:]),
                code="image-not-found",
                hint="name their folder (&images=DIR) or fetch them (&download=1)",
            )
        missing = {image.image_id for image in absent}
        images = [
            SourceImage(
                str(places[image.image_id]),
                label_of[image.image_id],
                None,
                _loader(places[image.image_id], image, image.image_id in missing),
                taken=image.taken or None,
            )
            for image in sorted(chosen, key=lambda image: image.file_name)
        ]
        if question.category:
            return Listing(images, coco.findings)
        there = {name for label in label_of.values() for name in labels_of(MULTILABEL, label)}
        names = tuple(dict.fromkeys(one.name for one in coco.categories.values() if one.name in there))
        return Listing(images, coco.findings, label_names=names)

    def annotations(self) -> AnnotatedSet:
        """All annotations of the file, with the origins of its images.

        Raises:
            DataError: As list_images; or it holds what the image database cannot take.
        """
        question, coco = self.question, read_coco(self.question.annotations)
        chosen, label_of = _ask(coco, question)
        places = _locate(question, coco.images)
        return AnnotatedSet(
            question.dataset or str(question.annotations),
            bool(question.dataset),
            hash_file(question.annotations),
            coco,
            {number: str(path) for number, path in places.items()},
            (question.category, f"no {question.category}") if question.category else (),
            {str(places[image.image_id]): label_of[image.image_id] for image in chosen},
        )


def _check_task(question: Question, task_name: str) -> None:
    """Refuse a question whose answer is no label of the task.

    Raises:
        DataError: One category makes two classes, all categories make labels.
    """
    if not question.category and task_name != MULTILABEL:
        raise DataError(
            f"{question.text}: no category is named; expected {FORM}",
            code="source-options",
            hint="add ?category=NAME, or set 'bundle.task' to multilabel for all categories of each image",
        )
    if question.category and task_name not in WITH_ONE_CLASS:
        raise DataError(
            f"{question.text}: one category gives two classes, but 'bundle.task' is {task_name}",
            code="source-options",
            hint="leave category= out for all categories, and list those that you want in bundle.class_names",
        )


def _ask(
    coco: CocoFile, question: Question, wanted: Sequence[str] = ()
) -> tuple[list[CocoImage], dict[str, str]]:
    """The images that are asked for, and the label text of each, by id.

    Args:
        coco: The annotations.
        question: What is asked.
        wanted: Without a category, the categories that count; empty takes all.

    Raises:
        DataError: There is no such category.
    """
    names_of: dict[str, set[str]] = {image.image_id: set() for image in coco.images}
    for item in coco.annotations:
        names_of.setdefault(item.image_id, set()).add(coco.categories[item.category_id].name)
    for name in [question.category] if question.category else wanted:
        _check_category(coco, name, question)
    street = {item.image_id for item in coco.annotations if coco.categories[item.category_id].is_street}
    chosen = [image for image in coco.images if not question.street or image.image_id in street]
    if question.category:
        answers = (f"no {question.category}", question.category)
        return chosen, {number: answers[question.category in names] for number, names in names_of.items()}
    counting = set(wanted)
    return chosen, {
        number: SEPARATOR.join(sorted(names & counting if counting else names))
        for number, names in names_of.items()
    }


def _check_category(coco: CocoFile, name: str, question: Question) -> None:
    if name not in {category.name for category in coco.categories.values()}:
        names = sorted({category.name for category in coco.categories.values()})
        expected = f"expected one of {', '.join(map(shown, names))}" if names else "it has none at all"
        raise DataError(
            f"has no category {name!r}; {expected}",
            question.annotations,
            code="coco-unknown-category",
            hint="name one of its categories (?category=NAME)",
        )


def _locate(question: Question, images: Sequence[CocoImage]) -> dict[str, Path]:
    """Where each image is, or would be put; by id."""
    folder = question.images or _find_images(question.annotations, images)
    return {image.image_id: _place(folder, image) for image in images}


def _find_images(annotations: Path, images: Sequence[CocoImage]) -> Path:
    """The folder where COCO's own archives put the images of an annotations file.

    Returns:
        The first that holds one of them, else the one into which they belong.
    """
    name = annotations.stem.removeprefix("instances_")
    top = annotations.parent.parent if annotations.parent.name == "annotations" else annotations.parent
    candidates = [top / name, top / "images" / name, top / "images", annotations.parent, top]
    for folder in candidates:
        if any(_is_file(_place(folder, image)) for image in images):
            return folder
    return candidates[0]


def _place(folder: Path, image: CocoImage) -> Path:
    """Where an image lies in a folder: as it is named, else as Windows or a URL would name it."""
    own = folder / image.file_name
    names = (image.file_name, image.file_name.replace("\\", "/"))
    others = {names[1]: None, unquote(names[0]): None, unquote(names[1]): None}
    others.pop(image.file_name, None)
    if _is_file(own):
        return own
    found = (folder / name for name in others if not leads_out(name) and _is_file(folder / name))
    return next(found, folder / names[1])


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        # A name that no file of this system can have.
        return False


def _loader(path: Path, image: CocoImage, is_missing: bool) -> Callable[[], bytes]:
    return functools.partial(_fetch, path, image) if is_missing else path.read_bytes


def _fetch(path: Path, image: CocoImage) -> bytes:
    """Fetch an image and keep it, if it is one.

    Raises:
        ValueError: What the server gave is not that image.
        FileNotFoundError: The server does not have it.
    """
    if path.is_file():
        return path.read_bytes()
    address = without_secrets(image.url)
    data = retry(functools.partial(_get, image.url), f"fetch {address}", secrets_in(image.url))
    try:
        with reading(data) as opened:
            size = opened.size
    except PictureError:
        raise ValueError(f"{address} gives no image that can be read; nothing was kept") from None
    if image.size is not None and size != image.size:
        wanted = f"{image.size[0]}x{image.size[1]}"
        raise ValueError(f"{address} gives {size[0]}x{size[1]} pixels, expected {wanted}; nothing was kept")
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return data


def _get(url: str) -> bytes:
    import requests

    with requests.get(url, timeout=_TIMEOUT_S) as response:
        if response.status_code in (requests.codes.not_found, requests.codes.gone, requests.codes.forbidden):
            raise FileNotFoundError(f"{without_secrets(url)}: the server answers {response.status_code}")
        response.raise_for_status()
        return response.content
