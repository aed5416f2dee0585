"""A question to COCO's annotations, "has this image an X?", as a source of two classes."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.errors import DataError
from tools.files import replacing
from tools.formats.coco import CocoFile, CocoImage, read_coco
from tools.formats.options import add_options, parse_options
from tools.pictures import PictureError, reading
from tools.progress import Progress
from tools.sources.base import ImportRequest, Listing, SourceImage
from tools.sources.retrying import retry

_TIMEOUT_S = 30
FORM = "coco:ANNOTATIONS.json?category=NAME"

_KEYS = ("category", "street", "images", "download")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of an annotations file.

    Args:
        text: As it was typed, but for whole paths.
        annotations: The file.
        category: What an image has or has not; its name.
        street: Whether images without anything of a street are left out.
        images: Folder of the images; None looks beside the file.
        download: Whether images that are not there are fetched, once.
    """

    text: str
    annotations: Path
    category: str
    street: bool = False
    images: Path | None = None
    download: bool = False


def parse_question(text: str, base: Path) -> Question:
    """Parse `coco:ANNOTATIONS.json?category=traffic light[&street=1][&images=DIR][&download=1]`.

    Args:
        text: The question.
        base: What relative paths are relative to.

    Raises:
        DataError: It names no category, or something that is not known.
    """
    place, asked = parse_options(text.removeprefix("coco:"), _KEYS, f"{FORM} with {', '.join(_KEYS)}")
    if "category" not in asked:
        raise DataError(f"{text}: no category is named; expected {FORM}")
    for key in ("street", "download"):
        if asked.get(key, "0") not in ("0", "1"):
            raise DataError(f"{text}: '{key}' is {asked[key]!r}; expected 0 or 1")
    annotations = (base / Path(place).expanduser()).resolve()
    images = (base / Path(asked["images"]).expanduser()).resolve() if "images" in asked else None
    if images:
        asked["images"] = str(images)
    return Question(
        add_options(f"coco:{annotations}", asked),
        annotations,
        asked["category"],
        asked.get("street") == "1",
        images,
        asked.get("download") == "1",
    )


class CocoSource:
    """Images that have an X, in the class `X`, and images that have none, in `no X`.

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
        question, coco = self.question, read_coco(self.question.annotations)
        chosen, having = _ask(coco, question)
        folder = question.images or _find_images(question.annotations, chosen)
        absent = [image for image in chosen if not (folder / image.file_name).is_file()]
        unfetchable = [image for image in absent if not image.url] if question.download else absent
        if unfetchable:
            raise DataError(
                f"{len(unfetchable)} of {len(chosen)} images are not in {folder}, the first:"
                f" {unfetchable[0].file_name}; name their folder (&images=DIR) or fetch them (&download=1)",
                question.annotations,
                details=tuple(image.file_name for image in unfetchable[1:]),
            )
        missing = {image.image_id for image in absent}
        images = [
            SourceImage(
                str(folder / image.file_name),
                question.category if image.image_id in having else f"no {question.category}",
                None,
                _loader(folder / image.file_name, image, image.image_id in missing),
                taken=image.taken or None,
            )
            for image in sorted(chosen, key=lambda image: image.file_name)
        ]
        return Listing(images)

    def annotations(self) -> tuple[CocoFile, dict[int, str]]:
        """All that the file says, and the origins of the images that are asked for, by their numbers.

        Raises:
            DataError: As list_images.
        """
        coco = read_coco(self.question.annotations)
        chosen, _ = _ask(coco, self.question)
        folder = self.question.images or _find_images(self.question.annotations, chosen)
        return coco, {image.image_id: str(folder / image.file_name) for image in chosen}


def _ask(coco: CocoFile, question: Question) -> tuple[list[CocoImage], set[int]]:
    """The images that are asked for, and the numbers of those that have the category.

    Raises:
        DataError: There is no such category.
    """
    wanted = {number for number, category in coco.categories.items() if category.name == question.category}
    if not wanted:
        names = sorted(category.name for category in coco.categories.values())
        raise DataError(
            f"has no category {question.category!r}; expected one of {', '.join(names)}", question.annotations
        )
    having = {item.image_id for item in coco.annotations if item.category_id in wanted}
    street = {item.image_id for item in coco.annotations if coco.categories[item.category_id].is_street}
    return [image for image in coco.images if not question.street or image.image_id in street], having


def _find_images(annotations: Path, images: list[CocoImage]) -> Path:
    """The folder where COCO's own archives put the images of an annotations file.

    Returns:
        The first that holds one of them, else the one into which they belong.
    """
    name = annotations.stem.removeprefix("instances_")
    top = annotations.parent.parent if annotations.parent.name == "annotations" else annotations.parent
    candidates = [top / name, top / "images" / name, top / "images", annotations.parent]
    for folder in candidates:
        if any((folder / image.file_name).is_file() for image in images):
            return folder
    return candidates[0]


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
    data = retry(functools.partial(_get, image.url), f"fetch {image.url}")
    try:
        with reading(data) as opened:
            size = opened.size
    except PictureError:
        raise ValueError(f"{image.url} gives no image that can be read; nothing was kept") from None
    if size != image.size:
        wanted = f"{image.size[0]}x{image.size[1]}"
        raise ValueError(f"{image.url} gives {size[0]}x{size[1]} pixels, expected {wanted}; nothing was kept")
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return data


def _get(url: str) -> bytes:
    import requests

    with requests.get(url, timeout=_TIMEOUT_S) as response:
        if response.status_code in (requests.codes.not_found, requests.codes.gone, requests.codes.forbidden):
            raise FileNotFoundError(f"{url}: the server says {response.status_code}")
        response.raise_for_status()
        return response.content
