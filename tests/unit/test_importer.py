"""Importing: what is refused is named, what is interrupted leaves the old data whole."""

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.dataset.publish import recover_import
from challenge_bundle.dataset.summary import read_summary
from challenge_bundle.errors import DataError
from challenge_bundle.findings import WARNING
from challenge_bundle.formats.reference import read_reference
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.sources.folder import FolderSource
from challenge_bundle.sources.synthetic import SyntheticSource
from tests.conftest import say_nothing, write_image
from tests.importing import of_code


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    """Ten images in each of two class folders, with the same base names in both."""
    for label, class_name in enumerate(("cat", "dog")):
        for number in range(10):
            write_image(tmp_path / "images" / class_name / f"{number:06d}.png", seed=100 * label + number)
    return tmp_path / "images"


def fill(layout: Layout, folder: Path, **request: object) -> None:
    import_images(FolderSource(folder), ImportRequest(**request), layout, say_nothing)  # type: ignore[arg-type]


def contents(layout: Layout) -> dict[str, bytes]:
    """All that an import writes, by relative path."""
    places = [layout.input_data, layout.scoring_input]
    return {
        path.relative_to(layout.root).as_posix(): path.read_bytes()
        for place in places
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


def test_class_folders_become_a_bundle(layout: Layout, class_folders: Path) -> None:
    fill(layout, class_folders)

    tables = {split: read_reference(layout.solution_csv(split)) for split in SPLITS}
    assert {split: len(table.label_of) for split, table in tables.items()} == {
        "training": 12,
        "validation": 4,
        "testing": 4,
    }
    for split, table in tables.items():
        assert {path.name for path in layout.split_dir(split).iterdir()} == set(table.label_of)
        assert set(table.label_of.values()) == {"cat", "dog"}
    assert not (layout.input_data / "testing_solution.csv").exists()
    with layout.origins_csv.open(newline="") as opened:
        origins = {row["file"]: row["origin"] for row in csv.DictReader(opened)}
    for table in tables.values():
        for name, class_name in table.label_of.items():
            assert Path(origins[name]).parent.name == class_name
            split = next(split for split in SPLITS if name in tables[split].label_of)
            assert (layout.split_dir(split) / name).read_bytes() == Path(origins[name]).read_bytes()


def test_numbers_show_neither_class_nor_split(layout: Layout, tmp_path: Path) -> None:
    for label, class_name in enumerate("ab"):
        for number in range(100):
            write_image(tmp_path / "images" / class_name / f"{number}.png", seed=1000 * label + number)
    fill(layout, tmp_path / "images")

    rows = sorted(
        (name, split, class_name)
        for split in SPLITS
        for name, class_name in read_reference(layout.solution_csv(split)).label_of.items()
    )
    first_half = rows[:100]
    assert 30 < sum(class_name == "a" for _, _, class_name in first_half) < 70
    assert 40 < sum(split == "training" for _, split, _ in first_half) < 80


@pytest.mark.parametrize(
    ("folders", "counts"),
    [
        ({"train": 6, "val": 2, "test": 2}, (12, 4, 4)),
        ({"training": 6, "testing": 2}, (8, 4, 4)),
        ({"train": 10}, (12, 4, 4)),
    ],
)
def test_given_splits_are_kept_and_missing_ones_cut(
    folders: dict[str, int], counts: tuple[int, int, int], layout: Layout, tmp_path: Path
) -> None:
    seed = 0
    for split, count in folders.items():
        for class_name in ("cat", "dog"):
            for number in range(count):
                seed += 1
                write_image(tmp_path / "images" / split / class_name / f"{number}.png", seed=seed)

    fill(layout, tmp_path / "images")

    summary = read_summary(layout)
    assert summary is not None
    assert tuple(summary.counts[split] for split in SPLITS) == counts


def test_the_bundle_layout_keeps_names_and_splits(
    layout: Layout, class_folders: Path, tmp_path: Path
) -> None:
    fill(layout, class_folders)
    before = contents(layout)
    given = tmp_path / "given"
    shutil.copytree(layout.input_data, given)
    shutil.copy(layout.solution_csv("testing"), given)
    other = Layout(tmp_path / "other")

    fill(other, given)

    assert contents(other) == before


def test_byte_identical_images_stay_in_one_split(layout: Layout, class_folders: Path) -> None:
    for number in range(8):
        shutil.copy(class_folders / "cat" / "000000.png", class_folders / "cat" / f"same{number}.png")

    fill(layout, class_folders)

    with layout.origins_csv.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    splits_of: dict[str, set[str]] = {}
    for row in rows:
        splits_of.setdefault(row["sha256"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in splits_of.values())


def test_the_same_picture_in_two_formats_stays_in_one_split(layout: Layout, class_folders: Path) -> None:
    for number in range(10):
        with Image.open(class_folders / "cat" / f"{number:06d}.png") as opened:
            opened.save(class_folders / "cat" / f"{number:06d}.bmp")

    fill(layout, class_folders)

    pictures: dict[bytes, set[str]] = {}
    for split in SPLITS:
        for path in layout.split_dir(split).iterdir():
            with Image.open(path) as opened:
                pictures.setdefault(opened.tobytes(), set()).add(split)
    assert len(pictures) == 20
    assert all(len(splits) == 1 for splits in pictures.values())


def test_splits_without_training_are_refused(layout: Layout, tmp_path: Path) -> None:
    folder = split_folders(tmp_path / "images")
    shutil.rmtree(folder / "train")
    for sample_size in (0, 2):
        with pytest.raises(DataError) as fault:
            fill(layout, folder, sample_size=sample_size)
        assert fault.value.code == "no-training-images"


def test_training_images_that_are_all_duplicates_are_refused(layout: Layout, tmp_path: Path) -> None:
    folder = split_folders(tmp_path / "images")
    shutil.rmtree(folder / "val")
    shutil.rmtree(folder / "train")
    shutil.copytree(folder / "test", folder / "train")
    with pytest.raises(DataError) as fault:
        fill(layout, folder, drop_copies=True)
    assert fault.value.code == "class-without-images"
    assert "has no training image" in fault.value.finding.message


def split_folders(folder: Path) -> Path:
    for split_number, split in enumerate(("train", "val", "test")):
        for label, class_name in enumerate(("cat", "dog")):
            for number in range(3):
                seed = 100 * split_number + 10 * label + number
                write_image(folder / split / class_name / f"{number}.png", seed=seed)
    return folder


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_a_testing_image_in_training_is_refused_unless_allowed(
    suffix: str, layout: Layout, tmp_path: Path
) -> None:
    folder = split_folders(tmp_path / "images")
    with Image.open(folder / "train/dog/1.png") as opened:
        opened.save(folder / f"test/dog/copy.{suffix}")

    with pytest.raises(DataError) as fault:
        fill(layout, folder)

    assert fault.value.code == "testing-image-leak"
    assert "in the training split too: 1, the first: " in fault.value.finding.message
    assert f"test/dog/copy.{suffix} is {folder}/train/dog/1.png" in str(fault.value)
    assert "--allow-leaks" in fault.value.finding.hint
    assert contents(layout) == {}

    summary = import_images(FolderSource(folder), ImportRequest(allow_leaks=True), layout, say_nothing)
    assert summary.counts["testing"] == 7
    found = of_code(summary.findings, "testing-image-leak")
    assert found.severity == WARNING
    assert "in the training split too: 1" in found.message


def test_a_testing_image_in_validation_is_only_a_warning(layout: Layout, tmp_path: Path) -> None:
    folder = split_folders(tmp_path / "images")
    shutil.copy(folder / "val/dog/1.png", folder / "test/dog/copy.png")
    summary = import_images(FolderSource(folder), ImportRequest(), layout, say_nothing)
    found = of_code(summary.findings, "testing-image-leak")
    assert found.severity == WARNING
    assert "in the validation split too: 1" in found.message


def test_of_duplicates_the_one_in_testing_is_kept(layout: Layout, tmp_path: Path) -> None:
    folder = split_folders(tmp_path / "images")
    with Image.open(folder / "train/dog/1.png") as opened:
        opened.save(folder / "test/dog/copy.bmp")
    shutil.copy(folder / "train/cat/1.png", folder / "val/cat/copy.png")
    for name in ("a", "b"):
        shutil.copy(folder / "train/cat/2.png", folder / f"train/cat/{name}.png")

    request = ImportRequest(drop_copies=True, group=r"(\w+)\.")
    with pytest.raises(DataError) as fault:
        import_images(FolderSource(folder), request, layout, say_nothing)
    assert fault.value.code == "patient-group-leak"
    summary = import_images(FolderSource(folder), ImportRequest(drop_copies=True), layout, say_nothing)

    assert summary.counts == {"training": 4, "validation": 7, "testing": 7}
    dropped = of_code(summary.findings, "duplicates-dropped")
    assert f": 4, such as {folder}/train/" in dropped.message
    with layout.origins_csv.open(newline="") as opened:
        kept = {row["origin"].removeprefix(f"{folder}/") for row in csv.DictReader(opened)}
    assert {"test/dog/copy.bmp", "val/cat/copy.png", "train/cat/2.png"} <= kept
    assert not kept & {"train/dog/1.png", "train/cat/1.png", "train/cat/a.png", "train/cat/b.png"}


def test_a_split_whose_images_were_all_duplicates_is_refused(layout: Layout, tmp_path: Path) -> None:
    folder = split_folders(tmp_path / "images")
    for path in (folder / "val/cat").iterdir():
        shutil.copy(path, folder / "test/cat" / f"copy-{path.name}")
    with pytest.raises(DataError, match="class cat has no validation image, 9 in other splits") as fault:
        fill(layout, folder, drop_copies=True)
    assert fault.value.code == "class-without-images"


def test_patient_groups_of_dropped_duplicates_stay_together(layout: Layout, tmp_path: Path) -> None:
    """Who has a picture twice under two names is one patient."""
    seed = 0
    for label, class_name in enumerate("ab"):
        for patient in range(8):
            for number in range(3):
                seed += 1
                write_image(tmp_path / "images" / class_name / f"p{label}{patient}_{number}.png", seed=seed)
    folder = tmp_path / "images" / "a"
    for patient in (1, 2, 3):
        shutil.copy(folder / "p00_0.png", folder / f"p0{patient}_9.png")
    fill(layout, tmp_path / "images", group=r"(p\d+)_", drop_copies=True)
    with layout.origins_csv.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == 48
    assert len({row["split"] for row in rows if row["group"] in ("p00", "p01", "p02", "p03")}) == 1


def test_names_of_the_bundle_layout_may_be_numbered(
    layout: Layout, class_folders: Path, tmp_path: Path
) -> None:
    for path in sorted(class_folders.rglob("*.png")):
        path.rename(path.with_name(f"{path.parent.name}-{path.name}"))
    fill(layout, class_folders, keep_names=True)
    given = tmp_path / "given"
    shutil.copytree(layout.input_data, given)
    shutil.copy(layout.solution_csv("testing"), given)
    other = Layout(tmp_path / "other")
    fill(other, given, new_names=True)
    for split in SPLITS:
        names = read_reference(other.solution_csv(split)).label_of
        assert len(names) == len(read_reference(layout.solution_csv(split)).label_of)
        assert all(name.removesuffix(".png").isdigit() for name in names)


def test_a_class_of_a_slip_is_found_by_its_file_and_row(filled_layout: Layout, tmp_path: Path) -> None:
    given = tmp_path / "given"
    shutil.copytree(filled_layout.input_data, given)
    shutil.copy(filled_layout.solution_csv("testing"), given)
    solution = given / "training_solution.csv"
    lines = solution.read_text().splitlines()
    name, row = next((line.split(",")[0], row) for row, line in enumerate(lines, 1) if line.endswith(",Hand"))
    lines[row - 1] = f"{name},Hnad"
    solution.write_text("\n".join(lines) + "\n")
    place = f"{given}/training-data/{Path(name).name} (training_solution.csv:{row})"

    with pytest.raises(DataError) as fault:
        fill(Layout(tmp_path / "fresh"), given)
    assert fault.value.code == "class-without-images"
    assert fault.value.finding.message == f"class Hnad has no validation image, only {place}"
    assert fault.value.details[0].startswith(f"class Hnad has no testing image, only {place}")
    classes = ("AbdomenCT", "BreastMRI", "CXR", "ChestCT", "Hand", "HeadCT")
    with pytest.raises(DataError) as fault:
        fill(Layout(tmp_path / "fresh"), given, class_names=classes)
    assert fault.value.code == "other-classes"
    assert f"(Hnad is the class of {place})" in str(fault.value)


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_origins_are_for_their_owner_alone(layout: Layout, class_folders: Path) -> None:
    for _ in range(2):
        fill(layout, class_folders)
        for path in (layout.origins_csv, layout.import_json):
            assert path.stat().st_mode & 0o777 == 0o600


def test_the_sample_is_balanced(layout: Layout, class_folders: Path) -> None:
    fill(layout, class_folders, sample_size=2)
    for split in SPLITS:
        classes = list(read_reference(layout.solution_csv(split)).label_of.values())
        assert sorted(classes) == ["cat", "cat", "dog", "dog"]


def test_duplicates_may_make_a_sample_uneven(layout: Layout, class_folders: Path) -> None:
    for number in range(3):
        shutil.copy(class_folders / "cat" / "000000.png", class_folders / "cat" / f"same{number}.png")
    for path in sorted((class_folders / "cat").iterdir())[3:10]:
        path.unlink()
    fill(layout, class_folders, sample_size=2)
    assert sorted(path.name for path in layout.input_data.iterdir() if path.is_dir()) == [
        "testing-data",
        "training-data",
        "validation-data",
    ]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


FAULTS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no_header": (
        lambda f: (f / "cat/000003.png").write_bytes(b"hello"),
        "image-unreadable",
        "000003.png: not an image",
    ),
    "truncated": (lambda f: truncate(f / "dog/000003.png"), "image-unreadable", "000003.png:"),
    "wrong_size": (
        lambda f: write_image(f / "dog/000003.png", size=(9, 8)),
        "image-size",
        "000003.png: 9x8 pixels",
    ),
    "wrong_height": (
        lambda f: write_image(f / "dog/000003.png", size=(8, 9)),
        "image-size",
        "000003.png: 8x9 pixels",
    ),
    "two_classes": (
        lambda f: shutil.copy(f / "cat/000001.png", f / "dog/000001.png"),
        "label-conflict",
        "/cat/000001.png (cat)",
    ),
    "one_class": (lambda f: shutil.rmtree(f / "dog"), "too-few-classes", "1 class (cat)"),
    "too_few": (
        lambda f: [p.unlink() for p in sorted((f / "dog").iterdir())[2:]],
        "class-too-small",
        "class dog: 2 different images",
    ),
    "nothing": (lambda f: [shutil.rmtree(f / name) for name in ("cat", "dog")], "no-images", "CLASS/IMAGE"),
    "class_beside_split": (lambda f: write_image(f / "train/cat/x.png"), "folder-beside-splits", "/cat"),
    "blank_class": (lambda f: (f / "cat").rename(f / "cat "), "class-name-unprintable", "'cat '"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_and_the_old_data_stay(
    name: str, filled_layout: Layout, class_folders: Path
) -> None:
    spoil, code, word = FAULTS[name]
    spoil(class_folders)
    before = contents(filled_layout)

    with pytest.raises(DataError) as fault:
        fill(filled_layout, class_folders)

    assert fault.value.code == code
    assert word in str(fault.value)
    assert contents(filled_layout) == before


def test_faults_of_several_kinds_are_reported_at_once(layout: Layout, class_folders: Path) -> None:
    """What cannot be read, sizes and a label conflict; where all can be read, names and splits too."""
    write_image(class_folders / "dog/000003.png", seed=7, size=(9, 8))
    write_image(class_folders / "dog/000004.png", seed=8, size=(9, 8))
    shutil.copy(class_folders / "cat/000001.png", class_folders / "dog/000001.png")
    truncate(class_folders / "cat/000002.png")
    with pytest.raises(DataError) as fault:
        fill(layout, class_folders)
    assert fault.value.code == "image-unreadable"
    unequal, another, conflict = fault.value.details
    assert unequal.startswith("2 of 19 images are not 8x8")
    assert another.endswith(": 9x8 pixels")
    assert conflict.startswith("label conflicts, images with the same pixels in two classes: 1, the first: ")

    write_image(class_folders / "cat/000002.png", seed=2)
    with pytest.raises(DataError) as fault:
        fill(layout, class_folders, image_size=(8, 8), keep_names=True)
    assert fault.value.code == "image-size"
    assert len(fault.value.details) == 2 + 10
    assert any("10 base names appear twice" in detail for detail in fault.value.details)
    assert contents(layout) == {}


def test_faults_of_what_is_listed_are_reported_at_once(layout: Layout, class_folders: Path) -> None:
    (class_folders / "cat").rename(class_folders / "cat ")
    with pytest.raises(DataError) as fault:
        fill(layout, class_folders, class_names=("cat", "dog"), group=r"(x)_")
    assert fault.value.code == "patient-group-missing"
    others = [detail for detail in fault.value.details if ".png" not in detail or "class of" in detail]
    assert others[0].startswith("the images' classes are cat , dog, but")
    assert others[1].startswith("the class name 'cat ' has blanks")


def test_faults_of_the_bundle_layout(filled_layout: Layout, tmp_path: Path) -> None:
    given = tmp_path / "given"
    shutil.copytree(filled_layout.input_data, given)
    shutil.copy(filled_layout.solution_csv("testing"), given)
    lost = next((given / "testing-data").iterdir())
    lost.unlink()
    write_image(given / "training-data" / "unnamed.png")
    fresh = Layout(tmp_path / "fresh")

    with pytest.raises(DataError) as fault:
        fill(fresh, given)

    assert "2 rows and files do not fit each other" in str(fault.value)
    assert fault.value.code == "rows-and-files-differ"
    found = str(fault.value) + "".join(fault.value.details)
    assert "testing_solution.csv:" in found
    assert f"'{lost.name}' is not in testing-data/" in found
    assert "unnamed.png: has no row in training_solution.csv" in found

    (given / "validation_solution.csv").unlink()
    with pytest.raises(DataError) as fault:
        fill(fresh, given)
    assert (fault.value.code, fault.value.path) == (
        "bundle-layout-incomplete",
        given / "validation_solution.csv",
    )


def test_kept_names_must_be_unique(layout: Layout, class_folders: Path) -> None:
    with pytest.raises(DataError, match="10 base names appear twice") as fault:
        fill(layout, class_folders, keep_names=True)
    assert fault.value.code == "base-name-twice"


def test_expected_classes_and_size(layout: Layout, class_folders: Path) -> None:
    with pytest.raises(DataError) as fault:
        fill(layout, class_folders, class_names=("cat", "mouse"))
    assert fault.value.code == "other-classes"
    assert "the images' classes are cat, dog, but" in fault.value.finding.message
    with pytest.raises(DataError, match="20 of 20 images are not 64x64, as 'data.image_size'") as fault:
        fill(layout, class_folders, image_size=(64, 64))
    assert fault.value.code == "image-size"
    write_image(class_folders / "dog/000003.png", seed=7, size=(9, 8))
    fill(layout, class_folders, any_size=True)


def test_an_interrupt_at_any_step_leaves_old_data_or_new(
    filled_layout: Layout, class_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rename of the import is interrupted once; what the next command finds is whole each time."""
    old = contents(filled_layout)
    backup = filled_layout.root.with_name("backup")
    shutil.copytree(filled_layout.root, backup)
    fill(filled_layout, class_folders)
    new = contents(filled_layout)
    rename = Path.replace

    class Killed(BaseException):
        pass

    outcomes = set()
    for step in range(1000):
        shutil.rmtree(filled_layout.root)
        shutil.copytree(backup, filled_layout.root)
        left = step

        def replace_or_die(self: Path, target: Path) -> Path:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return rename(self, target)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", replace_or_die)
            # A killed process cleans nothing up.
            patched.setattr("challenge_bundle.dataset.write.shutil.rmtree", lambda *args, **kwargs: None)
            try:
                fill(filled_layout, class_folders)
            except Killed:
                survived = False
            else:
                survived = True
        recover_import(filled_layout)
        found = contents(filled_layout)
        assert found in (old, new), f"interrupted at rename {step}"
        outcomes.add(found == new)
        if survived:
            break
    assert outcomes == {False, True}


def test_part_of_the_data_is_not_taken_for_all(filled_layout: Layout) -> None:
    filled_layout.solution_csv("training").unlink()
    with pytest.raises(DataError) as fault:
        read_summary(filled_layout)
    assert fault.value.code == "data-incomplete"
    assert fault.value.finding.location == str(filled_layout.solution_csv("training"))


def test_what_an_organiser_hands_out_has_no_reference(filled_layout: Layout) -> None:
    filled_layout.solution_csv("testing").unlink()
    summary = read_summary(filled_layout)
    assert summary is not None
    assert not summary.has_reference
    assert summary.counts["testing"] == 24


def test_a_reference_of_other_images_is_refused(filled_layout: Layout) -> None:
    image = next(filled_layout.testing_data.iterdir())
    image.rename(image.with_name("other.png"))
    with pytest.raises(DataError) as fault:
        read_summary(filled_layout)
    assert fault.value.code == "reference-of-other-images"
    assert fault.value.finding.location == str(filled_layout.solution_csv("testing"))


def test_images_that_no_import_put_there_are_kept(
    filled_layout: Layout, class_folders: Path, tmp_path: Path
) -> None:
    handed_out = Layout(tmp_path / "participant")
    shutil.copytree(filled_layout.input_data, handed_out.input_data)
    with pytest.raises(DataError) as fault:
        fill(handed_out, class_folders)
    assert fault.value.code == "data-not-imported"
    fill(handed_out, class_folders, replace=True)
    fill(handed_out, class_folders)


def test_too_small_a_class_is_cut_by_the_shares(layout: Layout, class_folders: Path) -> None:
    fill(layout, class_folders, sample_size=1000)
    summary = read_summary(layout)
    assert summary is not None
    assert summary.counts == {"training": 12, "validation": 4, "testing": 4}


@pytest.mark.parametrize(("sample_size", "reported"), [(3, 0), (4, 2)])
def test_a_sample_is_of_three_splits(
    sample_size: int, reported: int, layout: Layout, class_folders: Path
) -> None:
    """Of ten images of a class, three for each split can be taken, and four cannot."""
    request = ImportRequest(sample_size=sample_size)
    summary = import_images(FolderSource(class_folders), request, layout, say_nothing)
    small = [found for found in summary.findings if found.code == "class-smaller-than-sample"]
    assert [found.severity for found in small] == [WARNING] * reported
    assert all(" 10 unsplit images" in found.message for found in small)


def test_what_is_passed_over_is_reported(layout: Layout, class_folders: Path) -> None:
    (class_folders / "empty").mkdir()
    (class_folders / "cat" / "notes.txt").touch()
    summary = import_images(FolderSource(class_folders), ImportRequest(), layout, say_nothing)
    empty = of_code(summary.findings, "folder-without-images")
    assert empty.location == str(class_folders / "empty")
    other = of_code(summary.findings, "files-not-images")
    assert other.text == f"{class_folders}/cat: 1 files are no images, such as notes.txt"


def test_names_and_times_depend_on_content_alone(tmp_path: Path, class_folders: Path) -> None:
    """Who knows the seed and guesses the file names must not be able to compute a class from a number."""
    swapped = tmp_path / "swapped"
    for one, other in (("cat", "dog"), ("dog", "cat")):
        shutil.copytree(class_folders / one, swapped / other)
    names: list[dict[str, str]] = []
    for number, folder in enumerate((class_folders, swapped)):
        layout = Layout(tmp_path / f"bundle{number}")
        fill(layout, folder)
        with layout.origins_csv.open(newline="") as opened:
            names.append({row["sha256"]: row["file"] for row in csv.DictReader(opened)})
        images = [path for split in SPLITS for path in layout.split_dir(split).iterdir()]
        assert len({path.stat().st_mtime_ns for path in images}) == 1
    assert names[0] == names[1]


def test_the_order_in_which_testing_images_were_made_is_that_of_their_names(
    layout: Layout, class_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs see inode numbers, and who knows the seed and the origins can compute the staging order."""
    made: list[str] = []
    copy = shutil.copyfile

    def copy_and_note(source: str, target: str) -> str:
        # The numbers themselves are the file system's, which may give one of a removed file again.
        made.append(Path(target).name)
        assert not Path(target).exists()
        return str(copy(source, target))

    monkeypatch.setattr("challenge_bundle.dataset.write.shutil.copyfile", copy_and_note)
    fill(layout, class_folders, split=(0.1, 0.1, 0.8))
    monkeypatch.undo()
    assert len(made) == 16
    assert made == sorted(path.name for path in layout.split_dir("testing").iterdir())


def test_nothing_secret_is_staged_where_participants_look(
    layout: Layout, class_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import that is killed before it is published leaves no class of a testing image in input_data/."""
    monkeypatch.setattr("challenge_bundle.dataset.importer.recover_import", lambda layout: None)
    fill(layout, class_folders)
    monkeypatch.undo()
    left = {path.name for path in layout.input_data.rglob("*.csv")}
    assert left == {"training_solution.csv", "validation_solution.csv"}
    recover_import(layout)
    assert layout.solution_csv("testing").exists()


def test_the_same_base_name_twice_is_refused(filled_layout: Layout, tmp_path: Path) -> None:
    given = tmp_path / "given"
    shutil.copytree(filled_layout.input_data, given)
    shutil.copy(filled_layout.solution_csv("testing"), given)
    first = next((given / "training-data").glob("*.*"))
    write_image(given / "training-data" / "z" / first.name, seed=5, size=(64, 64))
    with pytest.raises(DataError, match=f"z/{first.name}: the base name is that of") as fault:
        fill(Layout(tmp_path / "fresh"), given)
    assert fault.value.code == "rows-and-files-differ"


def test_synthetic_fills_a_bundle(layout: Layout) -> None:
    summary = import_images(SyntheticSource(), ImportRequest(sample_size=2), layout, say_nothing)
    assert summary.counts == dict.fromkeys(SPLITS, 12)
    found = read_summary(layout)
    assert found is not None
    assert (found.source, found.counts, found.request) == (summary.source, summary.counts, summary.request)


def test_a_stack_of_pages_is_no_image(layout: Layout, class_folders: Path) -> None:
    page = Image.new("L", (8, 8), 7)
    page.save(class_folders / "cat" / "stack.tif", save_all=True, append_images=[page, page])
    with pytest.raises(DataError, match=r"stack.tif: 3 pages, expected one; write each") as fault:
        fill(layout, class_folders)
    assert fault.value.code == "image-unreadable"


@pytest.mark.parametrize("kind", ["a link to nothing", "a pipe", "a link in a circle", "a device"])
def test_what_is_named_like_an_image_but_is_no_file_is_named(
    kind: str, layout: Layout, class_folders: Path
) -> None:
    odd = class_folders / "cat" / "odd.PNG"
    if kind == "a pipe":
        os.mkfifo(odd)
    else:
        targets = {
            "a link to nothing": "nowhere.png",
            "a link in a circle": odd.name,
            "a device": "/dev/zero",
        }
        odd.symlink_to(targets[kind])
    with pytest.raises(DataError) as fault:
        fill(layout, class_folders)
    assert (fault.value.code, fault.value.path) == ("image-not-a-file", str(odd))
    odd.rename(odd.with_name("odd.txt"))
    fill(layout, class_folders)
    assert read_summary(layout) is not None


def test_two_classes_of_one_name_are_refused(layout: Layout, tmp_path: Path) -> None:
    for seed, class_name in enumerate(
        ["caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"]
    ):
        for number in range(6):
            write_image(tmp_path / "images" / class_name / f"{number}.png", seed=10 * seed + number)
    with pytest.raises(DataError, match=r"the classes 'cafe\\u0301' and 'caf\\xe9' are") as fault:
        fill(layout, tmp_path / "images")
    assert fault.value.code == "class-spelled-twice"


def test_classes_that_differ_in_capitals_are_two(layout: Layout, tmp_path: Path) -> None:
    for seed, class_name in enumerate("aA"):
        for number in range(6):
            write_image(tmp_path / "images" / class_name / f"{number}.png", seed=10 * seed + number)
    fill(layout, tmp_path / "images")
    summary = read_summary(layout)
    assert summary is not None
    assert summary.class_names == ("A", "a")


@pytest.mark.parametrize("name", ["testing_solution.csv", "testing-data"])
def test_parts_of_the_bundle_layout_that_are_of_another_kind_are_named(
    name: str, filled_layout: Layout, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(filled_layout.input_data, source)
    shutil.copy(filled_layout.solution_csv("testing"), source)
    odd = source / name
    if odd.is_dir():
        shutil.rmtree(odd)
        odd.write_text("no folder")
    else:
        odd.unlink()
        os.mkfifo(odd)
    with pytest.raises(DataError) as fault:
        fill(filled_layout, source)
    assert (fault.value.code, fault.value.path) == ("bundle-layout-incomplete", odd)
