"""COCO's instances_*.json: images, what is on them, and their licences."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeVar

from challenge_bundle.errors import DataError, shown
from challenge_bundle.findings import WARNING, Finding
from challenge_bundle.formats.json_fields import (
    FieldError,
    Place,
    finite,
    has,
    identity,
    items_of,
    loose_text,
    refuse,
    text_of,
)

T = TypeVar("T")

STREET_SUPERCATEGORIES = ("vehicle", "outdoor")
STREET_EXCEPTIONS = ("airplane", "train", "boat")

MOST_PIXELS = 2**31 - 1

_GIVE = "give COCO's instances_*.json"


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of thing that is annotated.

    Args:
        category_id: Its id in the file.
        name: Such as `traffic light`.
        supercategory: Such as `outdoor`; empty if the file has none.
    """

    category_id: str
    name: str
    supercategory: str

    @property
    def is_street(self) -> bool:
        """Whether such things stand or drive in a street."""
        return self.supercategory in STREET_SUPERCATEGORIES and self.name not in STREET_EXCEPTIONS


@dataclass(frozen=True, slots=True)
class License:
    """What an image may be used for: such as `Attribution License`, and the URL of its text."""

    license_id: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An image that is annotated.

    Args:
        image_id: Its id in the file.
        file_name: Of the image file, as the annotations file has it.
        size: (width, height), pixels; None if the file has none.
        url: Where it can be fetched; empty if the file has none.
        license_id: Of its licence; None if the file has none.
        taken: When, as text; empty if the file has none.
    """

    image_id: str
    file_name: str
    size: tuple[int, int] | None
    url: str
    license_id: str | None
    taken: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """A thing on an image; its outline is left out.

    Args:
        annotation_id: Its id in the file; None if the file has none.
        image_id: On which image.
        category_id: What it is.
        bbox_xywh_px: Left, top, width, height; None if the file has none.
        area_px: Of its outline; None if the file has neither that nor a box.
        is_crowd: Whether it is many, outlined as one.
    """

    annotation_id: str | None
    image_id: str
    category_id: str
    bbox_xywh_px: tuple[float, float, float, float] | None
    area_px: float | None
    is_crowd: bool


@dataclass(frozen=True, slots=True)
class CocoFile:
    """All of an annotations file.

    Args:
        path: The file.
        images: In the file's order; each image file once.
        annotations: In the file's order.
        categories: By id.
        licenses: By id.
        fault: The first thing wrong with what only the image database needs (boxes, licences, ids of
            annotations), in words; None if there is none.
        findings: What was passed over.
    """

    path: Path
    images: tuple[CocoImage, ...]
    annotations: tuple[Annotation, ...]
    categories: Mapping[str, Category]
    licenses: Mapping[str, License]
    fault: str | None = None
    findings: tuple[Finding, ...] = ()

    def annotations_by_id(self) -> dict[str, Annotation]:
        """The annotations by their ids; one without an id gets one made of its content.

        Raises:
            DataError: Something that the image database needs is wrong, or one id has two meanings.
        """
        if self.fault:
            raise DataError(self.fault, self.path, code="coco-field", hint="correct it, or leave it out")
        found: dict[str, Annotation] = {}
        nameless: dict[str, int] = {}
        for one in self.annotations:
            name = one.annotation_id
            if name is None:
                digest = sha256(repr(replace(one, category_id=self._meaning(one))).encode()).hexdigest()[:32]
                nameless[digest] = nameless.get(digest, 0) + 1
                name = f"~{digest}-{nameless[digest]}"
            if found.setdefault(name, one) != one:
                raise DataError(
                    f"two annotations have the id {shown(name)}: {self._describe(found[name])}, and"
                    f" {self._describe(one)}",
                    self.path,
                    code="coco-id-twice",
                    hint="give each an id of its own",
                )
        return found

    def _meaning(self, annotation: Annotation) -> str:
        category = self.categories[annotation.category_id]
        return f"{category.supercategory}/{category.name}"

    def _describe(self, annotation: Annotation) -> str:
        name = shown(self.categories[annotation.category_id].name)
        return f"{name} at {annotation.bbox_xywh_px} on image {shown(annotation.image_id)}"


def read_coco(path: Path) -> CocoFile:
    """Read an instances_*.json, in UTF-8 or another encoding that JSON allows.

    Raises:
        DataError: Not there, not JSON, or not COCO's.

    Source:
        https://cocodataset.org/#format-data
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DataError("is a pipe or a device", path, code="coco-not-a-file", hint=_GIVE)
    try:
        with path.open("rb") as opened:
            encoding = json.detect_encoding(opened.read(4))
        with path.open(encoding=encoding) as text:
            # The outlines are nine tenths of the file: each is dropped as soon as it is parsed.
            document = json.load(text, object_pairs_hook=_without_outline)
    except FileNotFoundError:
        raise DataError("no such file", path, code="coco-not-found", hint=_GIVE) from None
    except OSError as fault:
        raise DataError(
            f"cannot be read ({fault.strerror})", path, code="coco-unreadable", hint=_GIVE
        ) from None
    except RecursionError:
        raise DataError(
            "is not COCO's: it is nested too deeply", path, code="coco-not-json", hint=_GIVE
        ) from None
    except json.JSONDecodeError as fault:
        where = f"line {fault.lineno}, column {fault.colno}: {fault.msg}"
        raise DataError(f"cannot be read as JSON ({where})", path, code="coco-not-json", hint=_GIVE) from None
    except UnicodeError:
        raise DataError(
            "cannot be read as JSON: it is not UTF-8", path, code="coco-not-json", hint="save it as UTF-8"
        ) from None
    except FieldError as fault:
        raise DataError(
            f"cannot be read: {fault}", path, code="coco-key-twice", hint="remove one of them"
        ) from None
    except ValueError:
        raise DataError(
            "cannot be read as JSON: a number in it has too many digits",
            path,
            code="coco-not-json",
            hint=_GIVE,
        ) from None
    return parse_coco(document, path)


def parse_coco(document: Any, path: Path) -> CocoFile:
    """Parse the JSON of an annotations file; see read_coco.

    What a question about classes does not need may be missing or wrong; see CocoFile.fault.
    """
    faults: list[str] = []
    try:
        categories = _parse_categories(document)
        licenses = _tolerate(lambda: _parse_licenses(document), faults) or {}
        listed = [_image(item, place, faults) for item, place in items_of(document, "images")]
        images, alias = _distinct(listed)
        annotations = [
            _annotation(item, place, alias, categories, faults)
            for item, place in items_of(document, "annotations")
        ]
    except FieldError as fault:
        raise DataError(f"is not COCO's: {fault}", path, code="coco-field", hint="correct it") from None
    twice = len(listed) - len(images)
    message = f"images that are listed more than once, taken once: {twice} entries"
    return CocoFile(
        path,
        tuple(images),
        tuple(annotations),
        categories,
        licenses,
        faults[0] if faults else None,
        (Finding("coco-image-twice", WARNING, str(path), message),) if twice else (),
    )


def _without_outline(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    item = dict(pairs)
    if len(item) != len(pairs):
        # JSON takes the last: with `annotations` twice, nearly all images would be without the category.
        names = [name for name, _ in pairs]
        raise FieldError(f"the key {shown(max(names, key=names.count))} appears twice in one object")
    item.pop("segmentation", None)
    return item


def _tolerate(parse: Callable[[], T], faults: list[str]) -> T | None:
    """Parse what not every use of the file needs; what is wrong with it is noted, once."""
    try:
        return parse()
    except FieldError as fault:
        if not faults:
            faults.append(str(fault))
        return None


def _parse_categories(document: Any) -> dict[str, Category]:
    found: dict[str, Category] = {}
    for item, place in items_of(document, "categories"):
        one = Category(
            identity(item, "id", place),
            text_of(item, "name", place),
            text_of(item, "supercategory", place, is_needed=False),
        )
        if found.setdefault(one.category_id, one) != one:
            refuse(item, "id", place, f"another one: {shown(found[one.category_id].name)} has this id")
    return found


def _parse_licenses(document: Any) -> dict[str, License]:
    found: dict[str, License] = {}
    if document.get("licenses") is None:
        return found
    for item, place in items_of(document, "licenses"):
        url = text_of(item, "url", place, is_needed=False)
        name = text_of(item, "name", place, is_needed=False)
        one = License(identity(item, "id", place), name or url or f"licence {place[1] + 1}", url)
        if found.setdefault(one.license_id, one) != one:
            refuse(item, "id", place, f"another one: {shown(found[one.license_id].name)} has this id")
    return found


def _image(item: dict[str, Any], place: Place, faults: list[str]) -> CocoImage:
    name = text_of(item, "file_name", place, most=4096)
    if leads_out(name):
        refuse(item, "file_name", place, "a path within the folder; it leads out of the folder")
    width, height = (_pixels(item, key, place) for key in ("width", "height"))
    license_id = _tolerate(lambda: identity(item, "license", place), faults) if has(item, "license") else None
    return CocoImage(
        identity(item, "id", place),
        name,
        (width, height) if width and height else None,
        loose_text(item.get("coco_url")),
        license_id,
        loose_text(item.get("date_captured")),
    )


def leads_out(name: str) -> bool:
    """Return whether a file name, read by the rules of any system, is outside of the folder that it is in."""
    paths = (PurePosixPath(name), PureWindowsPath(name))
    return any(path.is_absolute() or path.drive or ".." in path.parts for path in paths)


def _distinct(listed: list[CocoImage]) -> tuple[list[CocoImage], dict[str, str]]:
    """Each image file once, and the id that stands for each id.

    An id of two image files is refused, and an image file with two sizes or licences.
    """
    by_id: dict[str, tuple[int, CocoImage]] = {}
    by_name: dict[str, tuple[int, CocoImage]] = {}
    alias: dict[str, str] = {}
    for number, image in enumerate(listed):
        name = str(PurePosixPath(image.file_name.replace("\\", "/")))
        first, same = by_id.setdefault(image.image_id, (number, image))
        if same.file_name != image.file_name:
            raise FieldError(
                f"images[{number}].id is {shown(image.image_id)}, also of images[{first}], but their file"
                f" names differ ({shown(same.file_name)}, {shown(image.file_name)}); expected an id for each"
            )
        first, same = by_name.setdefault(name, (number, image))
        alias[image.image_id] = same.image_id
        for key, one, other in (
            ("size", same.size, image.size),
            ("license", same.license_id, image.license_id),
        ):
            if one != other and one is not None and other is not None:
                raise FieldError(
                    f"images[{first}] and images[{number}] are both of {shown(image.file_name)}, but with"
                    f" another {key} ({one}, {other}); correct or remove one of them"
                )
    return [image for _, image in by_name.values()], alias


def _annotation(
    item: dict[str, Any],
    place: Place,
    alias: Mapping[str, str],
    categories: Mapping[str, Category],
    faults: list[str],
) -> Annotation:
    image_id, category_id = identity(item, "image_id", place), identity(item, "category_id", place)
    if image_id not in alias:
        refuse(item, "image_id", place, "the id of an image of this file; take a whole file")
    if category_id not in categories:
        refuse(item, "category_id", place, "the id of a category of this file; take a whole file")
    box = _tolerate(lambda: _box(item, place), faults)
    area = _tolerate(lambda: _area(item, place), faults)
    return Annotation(
        _tolerate(lambda: identity(item, "id", place), faults) if has(item, "id") else None,
        alias[image_id],
        category_id,
        box,
        area if area is not None or box is None else box[2] * box[3],
        bool(_tolerate(lambda: _flag(item, "iscrowd", place), faults)),
    )


def _pixels(item: Mapping[str, Any], key: str, place: Place) -> int | None:
    """A width or height; 0 is what some tools write where they do not know it."""
    value = item.get(key)
    if value is None:
        return None
    number = float(value) if isinstance(value, str) and value.strip().isdecimal() else finite(value)
    if number is None or not number.is_integer() or not 0 <= number <= MOST_PIXELS:
        refuse(item, key, place, "a whole number of pixels")
    return int(number) or None


def _box(item: Mapping[str, Any], place: Place) -> tuple[float, float, float, float] | None:
    value = item.get("bbox")
    if value is None or value == []:
        return None
    numbers = [finite(one) for one in value] if isinstance(value, list) else []
    known = [one for one in numbers if one is not None]
    if not len(known) == len(numbers) == 4:
        refuse(item, "bbox", place, "four numbers: left, top, width, height")
    left, top, width, height = known
    return left, top, width, height


def _area(item: Mapping[str, Any], place: Place) -> float | None:
    if not has(item, "area"):
        return None
    number = finite(item["area"])
    return refuse(item, "area", place, "a number of pixels") if number is None else number


def _flag(item: Mapping[str, Any], key: str, place: Place) -> bool:
    value = item.get(key)
    if value not in (None, 0, 1, "0", "1"):
        refuse(item, key, place, "0 or 1")
    return value in (1, "1")
