"""Importing image files of other forms: names, formats, and one picture in several modes."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from challenge_bundle.audit.duplicates import find_duplicates, find_label_conflicts
from challenge_bundle.audit.reading import read_images
from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.dataset.ingest import ingest_images
from challenge_bundle.dataset.summary import DataSummary, read_summary
from challenge_bundle.errors import DataError
from challenge_bundle.formats.reference import read_reference
from challenge_bundle.layout import Layout
from challenge_bundle.sources.folder import FolderSource
from challenge_bundle.store.images import ImageStore
from tests.conftest import say_nothing, write_image
from tests.image_files import REFUSED, big_endian, saved, times_257, with_alpha
from tests.importing import codes, of_code


def fill(layout: Layout, folder: Path, **request: object) -> DataSummary:
    return import_images(FolderSource(folder), ImportRequest(**request), layout, say_nothing)  # type: ignore[arg-type]


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8))


def palette(image: Image.Image) -> bytes:
    return saved(image.convert("RGB").quantize(256), "PNG")


FORMS = {
    "rgb": lambda image: saved(image.convert("RGB"), "PNG"),
    "palette": palette,
    "la": lambda image: saved(image.convert("LA"), "PNG"),
    "rgba": lambda image: saved(image.convert("RGBA"), "PNG"),
    "16 bits": lambda image: saved(times_257(image), "PNG"),
    "big endian": lambda image: big_endian(times_257(image)),
    "bmp": lambda image: saved(image, "BMP"),
}


@pytest.fixture
def split_folders(tmp_path: Path) -> Path:
    """Three images of two classes in each of three splits; all differ."""
    seed = 0
    for split in ("train", "val", "test"):
        for class_name in ("cat", "dog"):
            for number in range(3):
                write_image(tmp_path / "split" / split / class_name / f"{number}.png", seed=seed)
                seed += 1
    return tmp_path / "split"


@pytest.mark.parametrize("form", FORMS)
def test_a_testing_image_in_training_in_another_form_is_a_leak(
    form: str, layout: Layout, split_folders: Path
) -> None:
    leaked = split_folders / "train" / "cat" / "9.png"
    leaked.write_bytes(FORMS[form](Image.open(split_folders / "test" / "cat" / "1.png")))
    with pytest.raises(DataError, match="in the training split too: 1, the first: ") as fault:
        fill(layout, split_folders)
    assert fault.value.code == "testing-image-leak"

    summary = fill(layout, split_folders, allow_leaks=True)
    assert of_code(summary.findings, "duplicate-images").message.endswith(": 1")
    (found,) = find_duplicates(read_images(layout, say_nothing))
    assert (found.severity, found.count) == ("error", 1)

    summary = fill(layout, split_folders, drop_copies=True)
    assert summary.counts == {"training": 6, "validation": 6, "testing": 6}


@pytest.mark.parametrize("form", FORMS)
def test_one_picture_of_two_classes_in_two_forms_is_a_conflict(
    form: str, layout: Layout, split_folders: Path
) -> None:
    wrong = split_folders / "train" / "dog" / "9.png"
    wrong.write_bytes(FORMS[form](Image.open(split_folders / "train" / "cat" / "1.png")))
    with pytest.raises(DataError) as fault:
        fill(layout, split_folders)
    assert fault.value.code == "label-conflict"
    assert "with the same pixels in two classes: 1, " in fault.value.finding.message
    assert not fault.value.details


def test_the_audit_sees_a_conflict_in_two_forms(layout: Layout, split_folders: Path) -> None:
    fill(layout, split_folders)
    of_class = {
        label: name for name, label in read_reference(layout.solution_csv("training")).label_of.items()
    }
    folder = layout.split_dir("training")
    with Image.open(folder / of_class["cat"]) as image:
        (folder / of_class["dog"]).write_bytes(FORMS["rgba"](image))
    (found,) = find_label_conflicts(read_images(layout, say_nothing))
    assert found.count == 1


def test_pictures_in_several_forms_stay_together(layout: Layout, tmp_path: Path) -> None:
    for seed in range(40):
        folder = tmp_path / "images" / "ab"[seed % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{seed}_gray.png").write_bytes(saved(picture(seed), "PNG"))
        (folder / f"{seed}_rgba.png").write_bytes(FORMS["rgba"](picture(seed)))
    fill(layout, tmp_path / "images")
    splits: dict[str, set[str]] = {}
    with layout.origins_csv.open(newline="") as opened:
        for row in csv.DictReader(opened):
            splits.setdefault(Path(row["origin"]).name.partition("_")[0], set()).add(row["split"])
    assert len(splits) == 40
    assert all(len(found) == 1 for found in splits.values())


def origins(layout: Layout) -> dict[str, str]:
    with layout.origins_csv.open(newline="") as opened:
        return {Path(row["origin"]).stem: row["split"] for row in csv.DictReader(opened)}


def saved_otherwise(folder: Path) -> None:
    """All images again, under the same names, as RGB."""
    for path in sorted(folder.rglob("*.png")):
        path.write_bytes(FORMS["rgb"](Image.open(path)))


@pytest.mark.parametrize("older", [False, True])
def test_images_saved_in_another_form_keep_their_splits(older: bool, layout: Layout, tmp_path: Path) -> None:
    """Also after an import of an older version, whose digests were of another kind."""
    for seed in range(30):
        write_image(tmp_path / "images" / "ab"[seed % 2] / f"{seed}.png", seed=seed)
    fill(layout, tmp_path / "images")
    before = origins(layout)
    if older:
        text = layout.origins_csv.read_text()
        assert "seen_sha256" in text
        layout.origins_csv.write_text(text.replace("seen_sha256", "pixels_sha256"))
    saved_otherwise(tmp_path / "images")
    for seed in range(30, 45):
        write_image(tmp_path / "images" / "ab"[seed % 2] / f"{seed}.png", seed=seed)
    summary = fill(layout, tmp_path / "images", keep_splits=True)
    after = origins(layout)
    assert before.items() <= after.items()
    assert "previous-images-gone" not in codes(summary.findings)


def test_an_older_import_whose_images_are_gone_or_changed_is_reported(layout: Layout, tmp_path: Path) -> None:
    for seed in range(30):
        write_image(tmp_path / "images" / "ab"[seed % 2] / f"{seed}.png", seed=seed)
    fill(layout, tmp_path / "images")
    layout.origins_csv.write_text(layout.origins_csv.read_text().replace("seen_sha256", "pixels_sha256"))
    files = sorted(layout.split_dir("training").iterdir())
    files[0].unlink()
    write_image(files[1], seed=99)
    summary = fill(layout, tmp_path / "images", keep_splits=True, replace=True)
    assert "in input_data/: 2; they " in of_code(summary.findings, "previous-images-gone").message


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"two\nlines.png", b"escape\x1b[2J.png", b"del\x7f.png"])
def test_names_that_no_csv_can_hold_are_refused(name: bytes, layout: Layout, split_folders: Path) -> None:
    source = split_folders / "val" / "cat" / "0.png"
    shutil.copy(source, os.fsencode(split_folders / "val" / "cat") + b"/" + name)
    with pytest.raises(DataError, match="1 of 19 file names are ") as fault:
        fill(layout, split_folders)
    assert fault.value.code == "file-name-unprintable"
    assert str(fault.value).isprintable()
    with pytest.raises(DataError, match="rename the files") as fault:
        ingest_images(
            FolderSource(split_folders),
            ImageStore(f"sqlite:///{layout.root}/a.sqlite", create=True),
            ImportRequest(),
            say_nothing,
        )
    assert fault.value.code == "file-name-unprintable"


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"two\nlines.png"])
def test_names_in_place_that_no_csv_can_hold_are_refused(
    name: bytes, layout: Layout, split_folders: Path
) -> None:
    """As at a participant's, who has the images without the testing classes and no record of an import."""
    fill(layout, split_folders)
    shutil.rmtree(layout.origins_csv.parent)
    layout.solution_csv("testing").unlink()
    image = next(layout.testing_data.iterdir())
    shutil.copy(image, os.fsencode(layout.testing_data) + b"/" + name)
    with pytest.raises(
        DataError, match="testing-data: 1 of 7 file names are not UTF-8 or have char"
    ) as fault:
        read_summary(layout)
    assert str(fault.value).isprintable()


def test_other_files_of_odd_names_are_named_in_a_line(layout: Layout, split_folders: Path) -> None:
    with open(os.fsencode(split_folders / "val" / "cat") + b"/notes\xff\n.txt", "w") as opened:
        opened.write("no image")
    summary = fill(layout, split_folders)
    assert of_code(summary.findings, "files-not-images").text.isprintable()


def test_a_narrow_blank_in_a_name_is_taken_but_not_kept(layout: Layout, split_folders: Path) -> None:
    """As macOS names pictures of the screen."""
    first = split_folders / "val" / "cat" / "0.png"
    first.rename(first.with_name("Screenshot 2026-01-02 at 9.41.00\u202fAM.png"))
    fill(layout, split_folders)
    with pytest.raises(
        DataError, match="Screenshot.*cannot be kept; rename it, or leave out --keep-names"
    ) as fault:
        fill(layout, split_folders, keep_names=True)
    assert fault.value.code == "kept-name-unprintable"


@pytest.mark.parametrize("name", ["postscript.png", "frames.gif", "phone.jpg", "nan.tif", "spoiled.png"])
def test_an_import_refuses_the_file_by_name(name: str, layout: Layout, split_folders: Path) -> None:
    (split_folders / "train" / "cat" / name).write_bytes(REFUSED[name][0]())
    with pytest.raises(DataError, match=f"1 of 19 images cannot be read, the first: .*{name}: ") as fault:
        fill(layout, split_folders, any_size=True)
    assert fault.value.code == "image-unreadable"
    assert not layout.split_dir("training").exists()


def test_odd_files_are_reported(layout: Layout, split_folders: Path) -> None:
    (split_folders / "train" / "cat" / "odd.jpg").write_bytes(saved(picture(90), "PNG"))
    alpha = with_alpha(Image.new("RGB", (9, 11), (1, 2, 3))).resize((8, 8))
    (split_folders / "train" / "cat" / "clear.png").write_bytes(saved(alpha, "PNG"))
    found = fill(layout, split_folders).findings
    misnamed, transparent = of_code(found, "image-format-misnamed"), of_code(found, "image-transparent")
    assert ": 1, such as " in misnamed.message
    assert "odd.jpg (PNG); " in misnamed.message
    assert "by their content" in misnamed.text
    assert ": 1, such as " in transparent.message
    assert "clear.png; " in transparent.message


def test_large_images_are_warned_of(layout: Layout, split_folders: Path) -> None:
    """One pixel over what training takes as it is, and one image at that."""
    Image.new("L", (1024, 1024), 3).save(split_folders / "train" / "cat" / "largest.png")
    assert "image-large" not in codes(fill(layout, split_folders, any_size=True).findings)
    Image.new("L", (1025, 1024), 3).save(split_folders / "train" / "cat" / "over.png")
    found = of_code(fill(layout, split_folders, any_size=True).findings, "image-large")
    assert "1,048,576 pixels: 1, such as " in found.message
    assert "over.png (1025x1024); " in found.message
    assert "224x224" in found.text
