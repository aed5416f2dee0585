"""The audit: a sound set gives notes alone, and each fault is found by its check, with its severity."""

import dataclasses
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from challenge_bundle.audit.balance import cramers_v
from challenge_bundle.audit.base import AuditFinding, ImageTable
from challenge_bundle.audit.baseline_methods import nearest
from challenge_bundle.audit.baselines import find_baselines
from challenge_bundle.audit.check_names import CHECKS
from challenge_bundle.audit.near_duplicates import (
    MIN_CORRELATIONS,
    correlate,
    describe_pictures,
    find_near_duplicates,
    near_duplicate_pairs,
    near_pairs,
)
from challenge_bundle.audit.patient_leaks import find_shared_groups
from challenge_bundle.audit.reading import read_images
from challenge_bundle.audit.run import Audit, audit_images, make_checks, run_audit
from challenge_bundle.audit.shift import find_shift
from challenge_bundle.audit.shortcuts import measure_shortcut
from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.formats.group_rules import parse_group_rule
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.sources.folder import FolderSource
from tests.audits import IMAGES, Row, find, noise, picture, place, renamed, sound_rows, table_of
from tests.conftest import say_nothing, write_image


def audit(layout: Layout, rows: list[Row], group: str | None = None) -> Audit:
    return audit_images(
        table_of(layout, rows), parse_group_rule(group, Path()) if group else None, say_nothing
    )


def bad(found: Audit) -> list[AuditFinding]:
    return [finding for finding in found.findings if finding.severity != "note"]


def test_a_sound_set_gives_notes_alone(layout: Layout) -> None:
    found = audit(layout, sound_rows())
    assert bad(found) == []
    assert {finding.check for finding in found.findings} == {"groups", "telling", "shift", "baselines"}


def copy(rows: list[Row], source: Row, split: str, name: str, class_name: str = "") -> list[Row]:
    return [
        *rows,
        dataclasses.replace(source, split=split, name=name, class_name=class_name or source.class_name),
    ]


def changed(rows: list[Row], change: Callable[[Row], Row]) -> list[Row]:
    return [change(row) for row in rows]


def with_save(class_name: str, save: Callable[[Image.Image, Path], object]) -> Callable[[Row], Row]:
    def change(row: Row) -> Row:
        return dataclasses.replace(row, save=save) if row.class_name == class_name else row

    return change


def cut_off(image: Image.Image, path: Path) -> None:
    image.save(path)
    path.write_bytes(path.read_bytes()[:-60])


def at_a_time(image: Image.Image, path: Path) -> None:
    image.save(path)
    os.utime(path, (1000, 1000))


def with_software(image: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[305] = "Scanner 3000"
    image.save(path, exif=exif)


def padded(image: Image.Image, path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("padding", "x" * 500)
    image.save(path, pnginfo=info)


def with_name(image: Image.Image, path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("PatientName", "Doe^Jane")
    image.save(path, pnginfo=info)


def brighter(row: Row) -> Row:
    shifted = np.asarray(row.image) // 2 + 120
    return dataclasses.replace(row, image=Image.fromarray(shifted.astype(np.uint8)))


def small_copy(seed: int = 1) -> Image.Image:
    """A picture's copy: smaller, with less contrast, compressed."""
    return Image.eval(picture(seed), lambda value: 30 + value * 0.7).resize((72, 72))


Rows = list[Row]
FAULTS: dict[str, tuple[Callable[[Rows], Rows], str, str, str]] = {
    "testing_in_training": (
        lambda rows: copy(rows, find(rows, "testing", "cat"), "training", "999999.png"),
        "copies",
        "error",
        "duplicates-training-testing",
    ),
    "testing_in_training_as_another_format": (
        lambda rows: copy(rows, find(rows, "testing", "cat"), "training", "999999.bmp"),
        "copies",
        "error",
        "duplicates-training-testing",
    ),
    "validation_in_training": (
        lambda rows: copy(rows, find(rows, "validation", "cat"), "training", "999999.png"),
        "copies",
        "warning",
        "duplicates-training-validation",
    ),
    "testing_in_validation": (
        lambda rows: copy(rows, find(rows, "validation", "cat"), "testing", "999999.png"),
        "copies",
        "warning",
        "duplicates-validation-testing",
    ),
    "copies_in_one_split": (
        lambda rows: copy(
            copy(rows, find(rows, "training", "cat"), "training", "999999.png"),
            find(rows, "training", "cat"),
            "training",
            "999998.png",
        ),
        "copies",
        "warning",
        "duplicates-in-split",
    ),
    "two_classes": (
        lambda rows: copy(rows, find(rows, "training", "cat"), "training", "999999.png", "dog"),
        "conflicts",
        "error",
        "label-conflict",
    ),
    "near_copy_in_two_splits": (
        lambda rows: [
            *rows,
            Row("training", "999998.png", "cat", picture()),
            Row("testing", "999999.jpg", "cat", small_copy()),
        ],
        "near-copies",
        "warning",
        "near-duplicates-across-splits",
    ),
    "near_copy_in_two_classes": (
        lambda rows: [
            *rows,
            Row("training", "999998.png", "cat", picture()),
            Row("training", "999999.jpg", "dog", small_copy()),
        ],
        "near-copies",
        "warning",
        "near-duplicates-label-conflict",
    ),
    "blank": (
        lambda rows: [*rows, Row("training", "999999.png", "cat", Image.new("L", (16, 16), 25))],
        "blank",
        "warning",
        "image-blank",
    ),
    "cut_off": (
        lambda rows: [*rows, Row("testing", "999999.png", "cat", picture(), cut_off)],
        "unreadable",
        "error",
        "image-unreadable",
    ),
    "no_image": (
        lambda rows: [
            *rows,
            Row("training", "999999.png", "cat", picture(), lambda i, p: p.write_text("x")),
        ],
        "unreadable",
        "error",
        "image-unreadable",
    ),
    "another_size": (
        lambda rows: [*rows, Row("training", "999999.png", "cat", picture(side=40))],
        "sizes",
        "warning",
        "image-sizes",
    ),
    "another_mode": (
        lambda rows: [*rows, Row("training", "999999.png", "cat", picture(side=16).convert("RGB"))],
        "modes",
        "warning",
        "image-modes",
    ),
    "missing_class": (
        lambda rows: [row for row in rows if (row.split, row.class_name) != ("validation", "cat")],
        "balance",
        "error",
        "class-missing",
    ),
    "few_images": (
        lambda rows: (
            [row for row in rows if row.split != "testing" or row.class_name != "cat"]
            + [row for row in rows if row.split == "testing" and row.class_name == "cat"][:9]
        ),
        "balance",
        "warning",
        "class-rare",
    ),
    "imbalance": (
        lambda rows: (
            [row for row in rows if row.split != "training" or row.class_name != "cat"]
            + [row for row in rows if row.split == "training" and row.class_name == "cat"][:2]
        ),
        "balance",
        "warning",
        "class-imbalance",
    ),
    "other_shares": (
        lambda rows: (
            [row for row in rows if row.split != "training" or row.class_name != "cat"]
            + [row for row in rows if row.split == "training" and row.class_name == "cat"][:10]
        ),
        "balance",
        "warning",
        "class-shares-differ",
    ),
    "names": (
        lambda rows: sorted(
            renamed(rows, lambda number, row: f"{5 + 2 * (row.class_name == 'dog')}{row.name}"),
            key=lambda row: row.name[1:],
        ),
        "telling",
        "error",
        "shortcut-file-name",
    ),
    "words_in_names": (
        lambda rows: renamed(rows, lambda number, row: f"{row.class_name[0]}x{row.name}"),
        "telling",
        "error",
        "shortcut-file-name",
    ),
    "order": (
        lambda rows: sorted(rows, key=lambda row: row.class_name),
        "telling",
        "warning",
        "shortcut-order",
    ),
    "times": (
        lambda rows: changed(rows, with_save("dog", at_a_time)),
        "telling",
        "error",
        "shortcut-file-time",
    ),
    "metadata": (
        lambda rows: changed(rows, with_save("dog", with_software)),
        "telling",
        "error",
        "shortcut-metadata",
    ),
    "names_in_the_files": (
        lambda rows: [*rows, Row("training", "999999.png", "cat", picture(side=16), with_name)],
        "metadata",
        "warning",
        "metadata-texts",
    ),
    "dimensions": (
        lambda rows: changed(
            rows,
            lambda row: (
                dataclasses.replace(row, image=row.image.crop((0, 0, 16, 12 + len(row.name) % 2)))
                if row.class_name == "dog"
                else row
            ),
        ),
        "telling",
        "warning",
        "shortcut-dimensions",
    ),
    "bytes": (
        lambda rows: changed(rows, with_save("dog", padded)),
        "telling",
        "warning",
        "shortcut-file-size",
    ),
    "shift": (
        lambda rows: changed(rows, lambda row: brighter(row) if row.split == "validation" else row),
        "shift",
        "warning",
        "brightness-shift",
    ),
    "trivial": (
        lambda rows: changed(rows, lambda row: brighter(row) if row.class_name == "dog" else row),
        "baselines",
        "warning",
        "trivial-task",
    ),
    "likely_patients": (
        lambda rows: renamed(rows, lambda number, row: f"person{number % 60}_x_{row.name}"),
        "groups",
        "warning",
        "patients-in-two-splits",
    ),
}


MESSAGES = {
    "testing_in_training": "1 testing image is in the training split too, byte for byte",
    "testing_in_training_as_another_format": "1 testing image is in the training split too, pixel for pixel",
    "validation_in_training": "1 validation image is in the training split too",
    "testing_in_validation": "1 testing image is in the validation split too",
    "copies_in_one_split": "2 images are duplicates of another one in the same split",
    "two_classes": "1 picture has two classes",
    "near_copy_in_two_splits": "1 pair of images in two splits that show nearly the same",
    "near_copy_in_two_classes": "1 pair of images under two classes",
    "blank": "1 image is blank",
    "cut_off": "1 file cannot be read as an image, the first: testing-data/999999.png: ",
    "no_image": "training-data/999999.png: not an image",
    "another_size": "2 sizes: 16x16 in 120 of 121 images",
    "another_mode": "2 modes: L in 120 of 121 images",
    "missing_class": "the validation split has no image of cat",
    "few_images": "the testing split has fewer than 10 images of cat (9)",
    "imbalance": "class dog has 10 times the training images of cat",
    "other_shares": "the splits have different shares of the classes",
    "names": "the file name predicts the class: right for 100.0% of the images, by chance 50.0%",
    "words_in_names": "the file name predicts the class",
    "order": "the place in the csv predicts the class",
    "times": "the time of the file predicts the class",
    "metadata": "the file's metadata (format, compression, EXIF) predicts the class",
    "names_in_the_files": (
        "1 file has texts besides the pixels, which may name a patient: in PNG text PatientName"
    ),
    "dimensions": "width, height and mode predicts the class",
    "bytes": "the size in bytes predicts the class",
    "shift": "the validation images differ from the training images in the mean",
    "trivial": "reaches a weighted F1 of ",
    "likely_patients": "a guess",
}
"""What the message of each fault contains: how many, which split, which class."""


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_by_its_check(name: str, layout: Layout) -> None:
    spoil, check, severity, code = FAULTS[name]
    found = bad(audit(layout, spoil(sound_rows())))
    messages = [
        one.finding.message
        for one in found
        if (one.check, one.severity, one.finding.code) == (check, severity, code)
    ]
    assert any(MESSAGES[name] in message for message in messages), found
    assert all(one.finding.hint for one in found)


def test_every_check_has_a_name_and_findings_bear_it(layout: Layout) -> None:
    assert list(make_checks(None, None, say_nothing)) == list(CHECKS)
    rows = [*sound_rows(), Row("training", "999999.png", "cat", picture(), cut_off)]
    assert {finding.check for finding in audit(layout, rows).findings} <= CHECKS.keys()


def test_some_checks_find_what_they_find_among_all(layout: Layout) -> None:
    rows = copy(sound_rows(), find(sound_rows(), "testing", "cat"), "training", "999999.png")
    rows = [*rows, Row("training", "999998.png", "cat", picture(), cut_off)]
    every = audit(layout, rows)
    asked = run_audit(layout, None, None, say_nothing, ("copies", "near-copies"))
    assert asked.checks == ("unreadable", "copies", "near-copies")
    assert list(asked.findings) == [finding for finding in every.findings if finding.check in asked.checks]
    assert asked.images.full is None
    assert (asked.partial, every.partial) == (True, False)


def test_examples_are_the_images_at_fault(layout: Layout) -> None:
    rows = sound_rows()
    source = find(rows, "testing", "cat")
    found = audit(layout, copy(rows, source, "training", "999999.png"))
    (leak,) = bad(found)
    names = [found.images.files[row] for row in leak.examples[0]]
    assert names == ["training-data/999999.png", f"testing-data/{source.name}"]


def test_patients_by_a_pattern(layout: Layout) -> None:
    rows = renamed(sound_rows(), lambda number, row: f"{row.name[:-4]}-p{number % 70}.png")
    found = audit(layout, rows, r"-p(\d+)\.")
    (shared,) = [finding for finding in found.findings if finding.check == "groups"]
    assert shared.severity == "error"
    for example in shared.examples:
        patients = {re.findall(r"-p(\d+)", found.images.files[row])[0] for row in example}
        assert len(patients) == 1
        assert len({int(found.images.splits[row]) for row in example}) == len(example) > 1

    apart = renamed(sound_rows(), lambda number, row: f"{row.name[:-4]}-p{row.split}{number % 9}.png")
    found = audit(Layout(layout.root / "apart"), apart, r"-p(\w+)\.")
    (good,) = [finding for finding in found.findings if finding.check == "groups"]
    assert (good.severity, good.count) == ("note", 27)


def test_patients_that_the_import_was_told_of(layout: Layout, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for number in range(6):
            path = tmp_path / "images" / split / "ab"[number % 2] / f"{split}-{number}.png"
            write_image(path, seed=100 * len(split) + number + (split == "val") * 50, size=(32, 32))
    # Patients 0 and 1 are in all splits, 2 to 5 in training and testing, v2 to v5 in validation alone.
    name = {"train": "", "val": "v", "test": ""}
    rows = [f"{split}-{n}.png,{name[split] if n > 1 else ''}{n}\n" for split in name for n in range(6)]
    (tmp_path / "patients.csv").write_text("file,group\n" + "".join(rows))
    request = ImportRequest(group=f"csv:{tmp_path / 'patients.csv'}", allow_leaks=True)
    import_images(FolderSource(tmp_path / "images"), request, layout, say_nothing)
    found = audit_images(read_images(layout, say_nothing), None, say_nothing)
    (shared,) = [finding for finding in found.findings if finding.check == "groups"]
    assert (shared.severity, shared.count) == ("error", 6)
    assert shared.finding.code == "patients-in-two-splits"
    assert "6 of 10 patients (as imported) have images in two splits, 6 testing images" in str(shared.finding)


def test_patients_of_some_images_alone_are_a_warning_and_the_others_are_guessed(
    layout: Layout, tmp_path: Path
) -> None:
    rows = renamed(sound_rows(), lambda number, row: f"person{number % 20}_{number}.png")
    for row in rows:
        path = tmp_path / "images" / row.split / row.class_name / row.name
        path.parent.mkdir(parents=True, exist_ok=True)
        row.save(row.image, path)
    import_images(FolderSource(tmp_path / "images"), ImportRequest(), layout, say_nothing)
    images = read_images(layout, say_nothing)
    some = tuple(f"p{row}" if row % 3 == 0 else None for row in range(len(images)))
    found = find_shared_groups(dataclasses.replace(images, groups=some), None)
    known = sum(group is not None for group in some)
    assert [finding.severity for finding in found] == ["note", "warning", "warning"]
    assert [finding.finding.code for finding in found] == [
        "patients-in-one-split",
        "patients-unknown",
        "patients-in-two-splits",
    ]
    assert [finding.count for finding in found[:2]] == [known, len(images) - known]
    assert f"{known} patients (as imported), none of them in two splits" in found[0].finding.message
    assert f"{len(images) - known} images have no patient" in found[1].finding.message
    assert r"(by the pattern '(person\d+)_', a guess) have images in two splits" in found[2].finding.message
    assert all(some[row] is None for example in found[2].examples for row in example)


def test_a_patient_in_training_and_validation_is_a_warning(layout: Layout) -> None:
    where = {"training": "a", "validation": "a", "testing": "b"}
    rows = renamed(sound_rows(), lambda number, row: f"{row.name[:-4]}-p{where[row.split]}{number % 9}.png")
    rows = [*rows, Row("training", "other.png", "cat", noise(np.random.default_rng(3)))]
    found = audit(layout, rows, r"-p(\w+)\.")
    (shared,) = [finding for finding in found.findings if finding.check == "groups"]
    assert (shared.severity, shared.count) == ("warning", 9)
    assert "1 image has none" in shared.finding.message


def test_a_pattern_that_fits_nothing_is_not_taken_for_soundness(layout: Layout) -> None:
    found = audit(layout, sound_rows(), r"patient(\d+)")
    assert [finding.severity for finding in found.findings if finding.check == "groups"] == ["error"]


def test_without_the_reference_what_needs_it_is_left_out(layout: Layout) -> None:
    place(layout, copy(sound_rows(), find(sound_rows(), "testing", "cat"), "training", "999999.png"))
    layout.solution_csv("testing").unlink()
    found = audit_images(read_images(layout, say_nothing), None, say_nothing)
    assert [finding.check for finding in bad(found)] == ["copies"]
    left_out = {
        one.check: one.finding.message for one in found.findings if one.finding.code == "check-left-out"
    }
    assert left_out.keys() == {"groups", "balance", "baselines"}
    assert "the classes of the testing images are not known here" in left_out["baselines"]


def test_an_image_that_cannot_be_read_is_in_no_other_check(layout: Layout) -> None:
    rows = [*sound_rows(), Row("training", "000000x.png", "cat", picture(), cut_off)]
    images = table_of(layout, rows)
    assert len(images) == 6 * IMAGES == len(images.small) == len(images.brightness)
    assert images.full is not None
    assert "training-data/000000x.png" not in images.files
    first = np.asarray(Image.open(layout.input_data / images.files[-1]))
    assert (images.full[-1].reshape(first.shape) == first).all()


def test_processes_read_what_threads_read(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        *sound_rows(),
        Row("training", "000000x.png", "cat", picture(), cut_off),
        Row("training", "000000y.png", "cat", picture(side=48).convert("RGB")),
    ]
    one = table_of(layout, rows)
    monkeypatch.setattr("challenge_bundle.audit.reading.MIN_IMAGES_FOR_PROCESSES", 1)
    other = read_images(layout, say_nothing)
    for field in dataclasses.fields(ImageTable):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_brightness_is_numpys(layout: Layout) -> None:
    images = table_of(layout, sound_rows())
    assert images.full is not None
    pixels = images.full.astype(float)
    expected = [pixels.mean(axis=1), pixels.std(axis=1), pixels.min(axis=1), pixels.max(axis=1)]
    np.testing.assert_allclose(images.brightness, np.column_stack(expected), rtol=1e-12)


def test_spoiled_metadata_spoil_nothing_else(layout: Layout) -> None:
    def spoiled(image: Image.Image, path: Path) -> None:
        image.save(path, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x0f\x01\x02\0\xff\xff")

    rows = [*sound_rows(), Row("training", "000000x.jpg", "cat", picture(side=16), spoiled)]
    assert table_of(layout, rows).unreadable == ()


def test_nothing_but_unreadable_files(layout: Layout) -> None:
    rows = [dataclasses.replace(row, save=lambda image, path: path.write_text("x")) for row in sound_rows()]
    assert [finding.check for finding in audit(layout, rows).findings] == ["unreadable"]


def shrunk(*pictures: Image.Image) -> np.ndarray:
    """Small copies, as the audit makes them."""
    return np.stack([np.asarray(one.resize((32, 32), Image.Resampling.BILINEAR)).ravel() for one in pictures])


def alike(count: int, seed: int = 0) -> np.ndarray:
    """Small copies of five pictures, each with noise of another strength: pairs of every correlation."""
    generator = np.random.default_rng(seed)
    noises = generator.normal(0.0, 1.0, (count, 1024)) * generator.uniform(0.5, 12.0, (count, 1))
    return np.clip(shrunk(*map(picture, range(5)))[np.arange(count) % 5] + noises, 0, 255).astype(np.uint8)


def test_near_pairs_are_those_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("challenge_bundle.audit.near_duplicates._ROWS", 16)
    monkeypatch.setattr("challenge_bundle.audit.near_duplicates._COLUMNS", 100)
    small = np.concatenate([alike(400), shrunk(*map(picture, range(100, 200)))])
    told = np.corrcoef(small)
    for least in (0.9, 0.99, 0.999):
        pairs, correlations, complete = near_pairs(describe_pictures(small), least)
        expected = np.argwhere(np.triu(told >= least, 1))
        assert complete
        assert 100 < len(expected) < 40_000
        assert (pairs == expected).all()
        np.testing.assert_allclose(correlations, told[pairs[:, 0], pairs[:, 1]], atol=1e-12)


def test_pairs_of_any_pictures_are_numpys_and_constant_ones_are_in_none() -> None:
    small = np.concatenate([np.full((2, 1024), 9, np.uint8), alike(60), alike(60)[:3]])
    found = near_duplicate_pairs(small)
    correlations = np.corrcoef(small[2:])
    expected = np.argwhere(np.triu(correlations >= 0.99, 1)) + 2
    assert (found.pairs == expected).all()
    assert {(2, 62), (3, 63), (4, 64)} <= {tuple(pair) for pair in found.pairs.tolist()}
    assert (found.least, found.complete) == (0.99, True)
    for few in (small[:2], small[1:3], small[:0]):
        assert near_duplicate_pairs(few).pairs.shape == (0, 2)


@pytest.mark.parametrize("kind", ["noise", "smooth", "alike", "two gray levels"])
def test_waves_bound_the_correlation(kind: str) -> None:
    generator = np.random.default_rng(0)
    small = {
        "noise": generator.integers(0, 256, (100, 1024), dtype=np.uint8),
        "smooth": shrunk(*map(picture, range(100))),
        "alike": alike(100),
        "two gray levels": np.eye(100, 1024, dtype=np.uint8) * 255,
    }[kind]
    waves = describe_pictures(small).waves.astype(float)
    np.testing.assert_allclose(np.square(waves).sum(axis=1), 1.0, atol=1e-6)
    assert (waves @ waves.T >= np.corrcoef(small) - 1e-6).all()


def test_too_many_candidates_end_the_search(monkeypatch: pytest.MonkeyPatch, layout: Layout) -> None:
    noise_of = np.random.default_rng(0).integers(0, 2, (5000, 1024), dtype=np.uint8)
    pictures = describe_pictures(shrunk(picture()) // 2 + noise_of)
    tracemalloc.start()
    pairs, correlations, complete = near_pairs(pictures, 0.99)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not complete
    assert len(pairs) == len(correlations) > 1000
    assert peak < 400 * 2**20
    monkeypatch.setattr("challenge_bundle.audit.near_duplicates.MAX_CANDIDATES", 1000)
    same = shrunk(*[picture()] * 60) + np.eye(60, 1024, dtype=np.uint8)
    rows = [
        Row("training", f"{number:06d}.png", "cat", Image.fromarray(pixels.reshape(32, 32)))
        for number, pixels in enumerate(same, 1000)
    ]
    note = find_near_duplicates(table_of(layout, [*sound_rows(), *rows]))[-1]
    assert note.severity == "note"
    assert note.finding.code == "near-duplicates-search-limited"
    assert "only correlations from 0.9995 on were searched, and it ended early" in note.finding.message


@pytest.mark.parametrize("seed", range(20))
def test_a_changed_copy_is_near_and_another_picture_is_not(seed: int) -> None:
    pictures = describe_pictures(shrunk(picture(seed), small_copy(seed), picture(seed + 100)))
    near, far = correlate(pictures, np.array([[0, 1], [0, 2]]))
    assert near >= MIN_CORRELATIONS[0] > far


@pytest.mark.parametrize("side", [40, 48, 96, 100])
def test_a_resized_copy_of_a_small_sharp_image_is_found(side: int, layout: Layout) -> None:
    generator = np.random.default_rng(side)
    pixels = generator.integers(0, 80, (64, 64)) + np.asarray(picture(side=64)) // 2
    sharp = Image.fromarray(pixels.astype(np.uint8))
    rows = [
        Row("training", "999998.png", "cat", sharp),
        Row("testing", "999999.png", "cat", sharp.resize((side, side))),
    ]
    (found,) = find_near_duplicates(table_of(layout, [*sound_rows(), *rows]))
    assert (found.severity, found.count) == ("warning", 1)


def test_correlations_are_numpys() -> None:
    small = np.stack(
        [np.asarray(noise(np.random.default_rng(seed)).resize((32, 32))).ravel() for seed in range(10)]
    )
    pairs = np.argwhere(np.triu(np.ones((10, 10), bool), 1))
    expected = np.corrcoef(small)[pairs[:, 0], pairs[:, 1]]
    np.testing.assert_allclose(correlate(describe_pictures(small), pairs), expected, atol=1e-12)


def test_nearest_neighbours_are_scikit_learns() -> None:
    from sklearn.neighbors import NearestNeighbors

    generator = np.random.default_rng(0)
    known = generator.integers(0, 256, (300, 64), dtype=np.uint8)
    queries = generator.integers(0, 256, (100, 64), dtype=np.uint8)
    search = NearestNeighbors(n_neighbors=1).fit(known.astype(float))
    expected = search.kneighbors(queries.astype(float), return_distance=False).ravel()
    assert (nearest(known, queries, rows_at_once=70) == expected).all()


def test_cramers_v_is_scipys() -> None:
    from scipy.stats.contingency import association

    counts = np.random.default_rng(0).integers(5, 50, (3, 4))
    assert cramers_v(counts) == pytest.approx(association(counts, method="cramer"))
    assert cramers_v(np.array([[10, 20], [30, 60]])) == pytest.approx(0.0)


@pytest.mark.parametrize("seed", range(5))
def test_noise_tells_nothing(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, 2000)
    accuracy, p_value = measure_shortcut(generator.random((2000, 3)), labels)
    assert accuracy < 0.4
    assert p_value > 0.001


def with_brightness(mean: np.ndarray, splits: np.ndarray, images: ImageTable) -> ImageTable:
    brightness = np.column_stack([mean, np.full(len(mean), 50.0), mean * 0, mean])
    return dataclasses.replace(images, brightness=brightness, splits=splits)


def test_a_small_shift_in_a_large_set_is_no_alarm(layout: Layout) -> None:
    images = table_of(layout, sound_rows())
    generator = np.random.default_rng(0)
    splits = np.repeat([0, 1], 20_000)
    mean = generator.normal(100.0, 20.0, 40_000) + 2.0 * splits
    small = find_shift(with_brightness(mean, splits, images))
    assert [finding.severity for finding in small] == ["note", "note"]
    figures = small[-1].figures
    assert figures is not None
    assert float(figures.rows[0][-1]) < 1e-9, "it is beyond chance all the same"

    large = find_shift(with_brightness(mean + 20.0 * splits, splits, images))
    assert [finding.severity for finding in large if finding.finding.code == "brightness-shift"] == [
        "warning"
    ]


def test_the_trivial_methods_headline_is_of_one_split(layout: Layout) -> None:
    """Testing's, where its classes are here: one that solves validation alone solves nothing."""
    rows = changed(
        sound_rows(),
        lambda row: brighter(row) if (row.class_name, row.split != "testing") == ("dog", True) else row,
    )
    (gap, finding) = [one for one in audit(layout, rows).findings if one.check == "baselines"]
    assert (gap.severity, gap.finding.code) == ("warning", "baseline-gap")
    assert finding.severity == "note"
    assert finding.finding.message.endswith(" on testing")
    assert finding.figures
    scores = {split: max(row[3] for row in finding.figures.rows if row[1] == split) for split in SPLITS[1:]}
    assert f"of {scores['testing']:.3f} on" in finding.finding.message
    assert scores["validation"] > 0.95 > scores["testing"]

    layout.solution_csv("testing").unlink()
    (finding, _) = find_baselines(read_images(layout, say_nothing))
    assert finding.severity == "warning"
    assert finding.finding.message.endswith(" on validation")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_plain_file_is_named_and_not_waited_for(kind: str, layout: Layout, tmp_path: Path) -> None:
    for number in range(12):
        write_image(tmp_path / "source" / "ab"[number % 2] / f"{number}.png", seed=number)
    import_images(FolderSource(tmp_path / "source"), ImportRequest(), layout, say_nothing)
    odd = min(layout.split_dir("training").iterdir())
    odd.unlink()
    if kind == "folder":
        odd.mkdir()
    elif kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to("/dev/zero")
    unreadable = read_images(layout, say_nothing).unreadable
    assert len(unreadable) == 1
    assert "is no plain file (a pipe, a device or a folder); put the image there" in str(unreadable)
