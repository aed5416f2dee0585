"""Near-duplicates stay in one split: `data import --group-duplicates`."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.dataset.summary import DataSummary
from challenge_bundle.errors import DataError
from challenge_bundle.formats.reference import read_reference
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.sources.folder import FolderSource
from tests.conftest import say_nothing
from tests.importing import codes


def write_pictures(folder: Path, pictures: int, of_each: int = 3) -> None:
    """Smooth pictures of two classes, each some times in another brightness."""
    for number in range(pictures):
        coarse = np.random.default_rng(number).integers(40, 200, (8, 8), dtype=np.uint8)
        picture = np.asarray(Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC), np.float64)
        for place in range(of_each):
            path = folder / "ab"[number % 2] / f"{number:02d}-{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((picture * (1.0 - 0.1 * place)).clip(0, 255).astype(np.uint8)).save(path)


def fill(layout: Layout, folder: Path, **request: object) -> DataSummary:
    wanted = ImportRequest(group_duplicates=True, **request)  # type: ignore[arg-type]
    return import_images(FolderSource(folder), wanted, layout, say_nothing)


def groups_of(layout: Layout) -> dict[str, set[tuple[str, str]]]:
    """(split, pseudonym) of the images of each picture."""
    found: dict[str, set[tuple[str, str]]] = {}
    with layout.origins_csv.open(newline="") as opened:
        picture_of = {row["file"]: Path(row["origin"]).name[:2] for row in csv.DictReader(opened)}
    for split in SPLITS:
        for name, group in read_reference(layout.solution_csv(split)).group_of.items():
            found.setdefault(picture_of[name], set()).add((split, group))
    return found


def test_near_duplicates_share_a_split_and_a_group(layout: Layout, tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", 20)
    summary = fill(layout, tmp_path / "images")
    found = groups_of(layout)
    assert len(found) == 20
    assert all(len(places) == 1 for places in found.values())
    assert len({group for places in found.values() for _, group in places}) == 20
    assert "near-duplicates-grouped" in codes(summary.findings)
    assert "pairs of near-duplicates, kept in one split as of one patient: 60," in str(summary.findings[0])


def test_patients_that_share_a_picture_become_one_group(layout: Layout, tmp_path: Path) -> None:
    """The last image of each picture is of a patient who is in ten pictures, by their first digit."""
    write_pictures(tmp_path / "images", 40)
    fill(layout, tmp_path / "images", group=r"(\d\d)-[01]|(\d)\d-2")
    found = groups_of(layout)
    assert all(len(places) == 1 for places in found.values())
    assert len({group for places in found.values() for _, group in places}) == 4


def test_without_near_duplicates_nothing_changes(layout: Layout, tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", 20, of_each=1)
    summary = fill(layout, tmp_path / "images")
    assert summary.findings == ()
    assert read_reference(layout.solution_csv("testing")).group_of == {}
    grouped = layout.solution_csv("testing").read_bytes()
    import_images(FolderSource(tmp_path / "images"), ImportRequest(), layout, say_nothing)
    assert layout.solution_csv("testing").read_bytes() == grouped


def test_near_duplicates_across_the_sources_own_splits_are_refused(layout: Layout, tmp_path: Path) -> None:
    write_pictures(tmp_path / "images" / "train", 20)
    write_pictures(tmp_path / "other", 2)
    for name in "ab":
        (tmp_path / "images" / "test" / name).mkdir(parents=True)
        for path in sorted((tmp_path / "other" / name).iterdir())[:1]:
            pixels = np.asarray(Image.open(path)).astype(np.float64) * 0.7
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "images" / "test" / name / path.name)
    with pytest.raises(DataError) as fault:
        fill(layout, tmp_path / "images")
    assert fault.value.code == "patient-group-leak"
    summary = fill(layout, tmp_path / "images", allow_leaks=True)
    assert "patient-group-across-splits" in codes(summary.findings)


def test_a_chain_of_most_images_is_reported(layout: Layout, tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", 4, of_each=6)
    with pytest.raises(DataError) as fault:
        fill(layout, tmp_path / "images")
    # Two pictures of a class, as groups, are too few for three splits.
    assert fault.value.code == "class-too-small"
    write_pictures(tmp_path / "images", 8, of_each=6)
    assert "near-duplicates-chain" in codes(fill(layout, tmp_path / "images").findings)
