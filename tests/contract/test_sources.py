"""Every source: the same images wherever they lie, in the same order, sampled and split alike."""

import contextlib
import csv
import hashlib
import json
import shutil
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.dataset.ingest import ingest_images
from challenge_bundle.dicom.display import encode_png
from challenge_bundle.errors import DataError
from challenge_bundle.layout import Layout
from challenge_bundle.sources.base import Source
from challenge_bundle.sources.choice import choose_source
from challenge_bundle.sources.dicom import DicomSource
from challenge_bundle.sources.synthetic import CLASS_NAMES
from challenge_bundle.store.images import ImageStore
from tests.conftest import DATABASES, new_database, say_nothing, upload_folder, write_image
from tests.dicoms import write_dicom

Place = Callable[[Path], Source]
"""Puts class folders where the source reads them."""

PLACES = ("folder", "table", "s3", "memory", "coco", "dicom", *DATABASES)
IMAGES_A_CLASS = 30


@pytest.fixture(scope="module")
def class_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Classes `cat` and `no cat`; the base names differ, for COCO's images lie in one folder.

    The bytes are those that the tool makes of pixels, as it does of DICOM files'.
    """
    folder = tmp_path_factory.mktemp("images")
    for label, class_name in enumerate(("cat", "no cat")):
        for number in range(IMAGES_A_CLASS):
            seed = 1000 * label + number
            path = write_image(folder / class_name / f"{seed:06d}.png", seed=seed)
            path.write_bytes(encode_png(read_pixels(path)))
    return folder


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    def folder(images: Path) -> Source:
        return choose_source(f"folder:{images}", tmp_path)

    def s3(images: Path) -> Source:
        upload_folder(images, request.getfixturevalue("s3_bucket"), "a/b")
        return choose_source(f"s3://{request.getfixturevalue('s3_bucket')}/a/b", tmp_path)

    def memory(images: Path) -> Source:
        import fsspec

        root = f"/{uuid.uuid4().hex}"
        fsspec.filesystem("memory").put(f"{images}/", root, recursive=True)
        return choose_source(f"memory:/{root}", tmp_path)

    def database(images: Path) -> Source:
        url = new_database(request)
        with closing(ImageStore(url, create=True)) as store, contextlib.suppress(DataError):
            # What an ingest cannot read, it leaves out, and says so.
            ingest_images(folder(images), store, ImportRequest(), say_nothing)
        return choose_source(url, tmp_path)

    return {
        "folder": folder,
        "table": lambda images: table(images, tmp_path),
        "s3": s3,
        "memory": memory,
        "coco": lambda images: coco(images, tmp_path),
        "dicom": lambda images: dicom(images, tmp_path),
        "sqlite": database,
        "postgresql": database,
    }[request.param]


def table(images: Path, tmp_path: Path) -> Source:
    """The same, the classes in a csv of other columns; without their suffixes, as such tables often are."""
    rows = [(path.relative_to(images).with_suffix(""), path.parent.name) for path in images.rglob("*.png")]
    lines = [f"{number},{name},{class_name}" for number, (name, class_name) in enumerate(sorted(rows))]
    (tmp_path / "labels.csv").write_text("\n".join(["id,Image Index,Finding", *lines]))
    return choose_source(f"csv:labels.csv?file=Image Index&class=Finding&images={images}", tmp_path)


def coco(images: Path, tmp_path: Path) -> Source:
    """The same as an annotated folder: a cat on each image of the first class."""
    paths = sorted(images.rglob("*.png"))
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    (tmp_path / "coco" / "few").mkdir()
    for path in paths:
        shutil.copy(path, tmp_path / "coco" / "few")
    document = {
        "images": [
            {"id": number, "file_name": path.name, "width": 8, "height": 8}
            for number, path in enumerate(paths)
        ],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 17, "bbox": [1, 1, 2, 2]}
            for number, path in enumerate(paths)
            if path.parent.name == "cat"
        ],
        "categories": [{"id": 17, "name": "cat", "supercategory": "animal"}],
    }
    (tmp_path / "coco" / "annotations" / "instances_few.json").write_text(json.dumps(document))
    return choose_source("coco:coco/annotations/instances_few.json?category=cat", tmp_path)


def read_pixels(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


def dicom(images: Path, tmp_path: Path) -> Source:
    """The same as DICOM files, each of a patient of its own; of what is no image, a file that is cut off."""
    (tmp_path / "dicom").mkdir()
    for path in sorted(images.rglob("*.png")):
        target = tmp_path / "dicom" / path.parent.name / f"{path.stem}.dcm"
        is_image = path.read_bytes().startswith(b"\x89PNG")
        pixels = read_pixels(path).astype(np.int16) if is_image else None
        # The window that shows each value from 0 to 255 as itself.
        write_dicom(target, pixels, PatientID=path.stem, WindowCenter=128, WindowWidth=256)
        if not is_image:
            target.write_bytes(target.read_bytes()[:-100])
    return choose_source("dicom:dicom", tmp_path)


def imported(source: Source, root: Path, **request: object) -> dict[str, tuple[str, str, str]]:
    """Split, class and name of each image of an import, by the hash of its content."""
    layout = Layout(root)
    import_images(source, ImportRequest(**request), layout, say_nothing)  # type: ignore[arg-type]
    with layout.origins_csv.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    for row in rows:
        content = (layout.split_dir(row["split"]) / row["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
    return {row["sha256"]: (row["split"], row["class"], row["file"]) for row in rows}


def test_the_same_images_whatever_the_source(place: Place, class_folders: Path, tmp_path: Path) -> None:
    from_folder = imported(choose_source(f"folder:{class_folders}", tmp_path), tmp_path / "1")
    assert len(from_folder) == 2 * IMAGES_A_CLASS
    source = place(class_folders)
    found = imported(source, tmp_path / "2")
    if isinstance(source, DicomSource):
        # The patient is in its images' keys, so they are in another random order, though by the same shares.
        splits = [Counter(row[:2] for row in rows.values()) for rows in (found, from_folder)]
        assert splits[0] == splits[1]
        found = {sha256: (from_folder[sha256][0], *row[1:]) for sha256, row in found.items()}
    assert found == from_folder


def test_the_listing_is_in_the_same_order_each_time(place: Place, class_folders: Path) -> None:
    source = place(class_folders)
    first, second = (source.list_images(ImportRequest(), say_nothing).images for _ in range(2))
    assert [(image.origin, image.class_name) for image in first] == [
        (image.origin, image.class_name) for image in second
    ]
    assert len({image.origin for image in first}) == len(first) == 2 * IMAGES_A_CLASS


def test_a_seed_decides_and_a_larger_sample_contains_the_smaller(
    place: Place, class_folders: Path, tmp_path: Path
) -> None:
    source = place(class_folders)
    small = imported(source, tmp_path / "1", sample_size=3)
    large = imported(source, tmp_path / "2", sample_size=8)
    assert (len(small), len(large)) == (18, 48)
    assert small.keys() < large.keys()
    assert imported(source, tmp_path / "3", sample_size=3) == small
    assert imported(source, tmp_path / "4", sample_size=3, seed=1).keys() != small.keys()


# A database holds valid images alone: see test_store.py.
@pytest.mark.parametrize("place", [name for name in PLACES if name not in DATABASES], indirect=True)
def test_an_image_that_cannot_be_read_is_named(place: Place, class_folders: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled"
    shutil.copytree(class_folders, spoiled)
    (spoiled / "cat" / "000007.png").write_bytes(b"<html>Not Found</html>")
    with pytest.raises(
        DataError, match="1 of 60 images cannot be read, the first: .*/000007.(png: not an im|dcm: its pix)"
    ):
        imported(place(spoiled), tmp_path / "bundle")
    assert not (tmp_path / "bundle" / "input_data" / "training-data").exists()


def test_an_empty_place_is_refused(place: Place, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as fault:
        imported(place(tmp_path / "empty"), tmp_path / "bundle")
    assert fault.value.code in ("no-images", "too-few-classes", "folder-not-found")


def test_groups_stay_in_one_split(place: Place, class_folders: Path, tmp_path: Path) -> None:
    found = imported(place(class_folders), tmp_path / "1", group=r"00(\d\d\d)\d\.")
    with (tmp_path / "1" / ".bundle" / "origins.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(Path(row["origin"]).name[2:5], set()).add(row["split"])
    assert {group: len(of_group) for group, of_group in splits.items()} == dict.fromkeys(
        ("000", "001", "002", "100", "101", "102"), 1
    )
    assert len(found) == 2 * IMAGES_A_CLASS


@pytest.mark.parametrize("class_name", CLASS_NAMES)
def test_synthetic_images_depend_on_the_seed_alone(class_name: str, tmp_path: Path) -> None:
    source = choose_source("synthetic", tmp_path)

    def contents(count: int, seed: int) -> set[bytes]:
        listing = source.list_images(ImportRequest(sample_size=count, seed=seed), say_nothing)
        return {image.load() for image in listing.images if image.class_name == class_name}

    assert contents(2, 0) == contents(2, 0)
    assert contents(2, 0) < contents(3, 0)
    assert not contents(2, 0) & contents(2, 1)
