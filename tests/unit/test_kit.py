"""The participant kit: the rules and the images, and nothing that is hidden."""

import dataclasses
import os
import shutil
import tarfile
import tomllib
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from challenge_bundle.dataset.summary import read_summary
from challenge_bundle.errors import DataError
from challenge_bundle.formats.kit_json import Kit, kit_text, read_kit
from challenge_bundle.formats.reference import read_reference
from challenge_bundle.formats.requirements import parse_wheel
from challenge_bundle.kit.texts import public_manifest, readme_text
from challenge_bundle.kit.write import kit_files, write_kit
from challenge_bundle.layout import Layout
from challenge_bundle.settings import (
    Bundle,
    DataSettings,
    EvaluationSettings,
    Limits,
    Phase,
    SubmissionSettings,
    parse_manifest,
    read_manifest,
)

WHEELS = tuple(wheel for text in ("numpy==2.4.6", "torch==2.13.0+cpu") if (wheel := parse_wheel(text)))
KIT = Kit(WHEELS, "3.12", "aarch64", "python:3.12-slim")

PHASES = (
    Phase("first", datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 3, 1, 12, 30, tzinfo=UTC), "public", 5),
    Phase("last", datetime(2027, 3, 1, 12, 30, tzinfo=UTC), None, "final"),
)

BUNDLE = Bundle(
    name="x-rays",
    title='The "last" \\ title\x7f',
    data=DataSettings(source="folder:/home/organiser/secret", seed=4711, group="csv:/home/patients.csv"),
    limits={
        "training": Limits(1, 17, 1.0, 5, 3),
        "inference": Limits(61, 62, 1.5, 63, 64),
        "scoring": Limits(2, 18, 1.0, 5, 4),
    },
    arguments={"training": ("--secret",), "inference": (), "scoring": ("--secret",)},
    submission=SubmissionSettings(7, 8, 9),
    evaluation=EvaluationSettings(
        metric="accuracy",
        take="last",
        public_share=0.25,
        resamples=777,
        attempts=8,
        build_time_s=71,
        build_memory_mb=72,
        image_mb=73,
        base_images=("python:3.12-slim", "other:1"),
        phases=PHASES,
    ),
)


def content_of(layout: Layout) -> dict[str, bytes]:
    found = kit_files(BUNDLE, layout, KIT)
    return {name: c.read_bytes() if isinstance(c, Path) else c for name, c in found.items()}


def read_folder(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_images_rules_and_a_page_and_nothing_else(filled_layout: Layout) -> None:
    layout = filled_layout
    (layout.input_data / "notes.txt").write_text("mine")
    (layout.testing_data / ".hidden").write_text("mine")
    names = set(content_of(layout))
    expected = {"README.md", "bundle.toml", "kit.json", "input_data/task.json"}
    expected |= {f"input_data/{split}_solution.csv" for split in ("training", "validation")}
    for split in ("training", "validation", "testing"):
        images = [path.name for path in layout.split_dir(split).iterdir() if path.name[0] != "."]
        assert len(images) == 24
        expected |= {f"input_data/{split}-data/{name}" for name in images}
    assert names == expected


def test_nothing_hidden_is_in_it(filled_layout: Layout) -> None:
    content = content_of(filled_layout)
    texts = {name: data.decode() for name, data in content.items() if not name.endswith(".png")}
    assert len(texts) == 6
    reference = read_reference(filled_layout.solution_csv("testing"))
    for name, text in texts.items():
        assert not any(image in text for image in reference.label_of), name
        for secret in ("secret", "organiser/", "patients", "4711", "777", "origins", str(filled_layout.root)):
            assert secret not in text, (name, secret)


def test_the_rules_are_a_manifest_for_the_participants_folder(tmp_path: Path) -> None:
    text = public_manifest(BUNDLE, ("Hand", "CXR"))
    read = parse_manifest(text, tmp_path / "bundle.toml")
    assert read.class_names == ("Hand", "CXR")
    assert (read.name, read.title, read.task) == (BUNDLE.name, BUNDLE.title, BUNDLE.task)
    assert read.limits["inference"] == BUNDLE.limits["inference"]
    assert read.submission == BUNDLE.submission
    assert read.evaluation == dataclasses.replace(BUNDLE.evaluation, resamples=10_000, attempts=3)
    assert read.data == DataSettings()
    assert read.base_image == ""
    assert (
        parse_manifest(
            public_manifest(dataclasses.replace(BUNDLE, base_image="a/b:1"), ()), tmp_path
        ).base_image
        == "a/b:1"
    )
    assert list(tomllib.loads(text)) == ["bundle", "inference", "submission", "evaluation", "phases"]


def test_the_page_states_the_rules() -> None:
    text = readme_text(BUNDLE, ("Hand", "CXR"), KIT)
    for rule in (
        "Task: classification (Hand, CXR). Ranked by accuracy; of each team, the last submission counts.",
        "a zip of at most 7 MB, 8 MB unpacked, 9 files",
        "base images: python:3.12-slim, other:1",
        "building: at most 71 s and 72 MB of memory, for an image of at most\n  73 MB",
        "running: at most 61 s, 62 MB of memory, 1.5 processors and 63\n  processes; no network",
        "- first: from 2027-01-01 00:00 UTC, until 2027-03-01 12:30 UTC, 5 submissions of a team per day",
        "- last: from 2027-03-01 12:30 UTC, without an end",
        "- numpy==2.4.6\n- torch==2.13.0+cpu\n",
        "--bundle KIT check KIT/submission.zip",
        "bundle_inference/wheelhouse/, where the Dockerfile finds\nthem (for Python 3.12 on Linux, aarch64)",
    ):
        assert rule in text, rule
    open_bundle = Bundle("x", "x")
    bare = readme_text(open_bundle, (), Kit(None, base_image="python:3.11-slim"))
    assert "Task: classification. Ranked by the scoring program's own metric; of" in bare
    assert "The build has a network." in bare
    assert "base images: python:3.11-slim" in bare
    assert "- open: open already, without an end\n" in bare


def test_folder_zip_and_tar_hold_the_same_and_come_out_alike(filled_layout: Layout, tmp_path: Path) -> None:
    expected = content_of(filled_layout)
    for name in ("one", "one.zip", "one.tar"):
        assert write_kit(BUNDLE, filled_layout, KIT, tmp_path / name) == len(expected) == 78
    assert read_folder(tmp_path / "one") == expected
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == expected
    with tarfile.open(tmp_path / "one.tar") as archive:
        members = archive.getmembers()
        assert {m.name: archive.extractfile(m).read() for m in members} == expected  # type: ignore[union-attr]
        assert {(m.mode, m.mtime, m.uid, m.uname) for m in members} == {(0o644, 315_532_800, 0, "")}
    for path in (tmp_path / "one").rglob("*"):
        if path.is_file():
            assert (path.stat().st_mode & 0o777, path.stat().st_mtime) == (0o644, 315_532_800)

    other = Layout(tmp_path / "other")
    shutil.copytree(filled_layout.root, other.root, copy_function=shutil.copy)
    for path in other.root.rglob("*"):
        os.utime(path, (2e9, 2e9))
    for name in ("two.zip", "two.tar"):
        write_kit(BUNDLE, other, KIT, tmp_path / name)
        assert (tmp_path / name).read_bytes() == (tmp_path / name.replace("two", "one")).read_bytes()


def test_a_folder_that_is_there_stays(filled_layout: Layout, tmp_path: Path) -> None:
    folder = tmp_path / "kit"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(DataError) as fault:
        write_kit(BUNDLE, filled_layout, KIT, folder)
    assert (fault.value.code, fault.value.path) == ("output-exists", folder)
    assert read_folder(folder) == {"mine.txt": b"mine"}


def test_whole_or_not_at_all(filled_layout: Layout, tmp_path: Path) -> None:
    image = next(filled_layout.testing_data.iterdir())
    link = filled_layout.testing_data / image.name
    content = image.read_bytes()
    image.unlink()
    (tmp_path / "elsewhere").write_bytes(content)
    link.symlink_to(tmp_path / "elsewhere")
    for name in ("kit", "kit.zip", "kit.tar"):
        with pytest.raises(DataError) as fault:
            write_kit(BUNDLE, filled_layout, KIT, tmp_path / name)
        assert (fault.value.code, fault.value.path) == ("kit-not-a-file", link)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "elsewhere"]


@pytest.mark.parametrize("gone", ["input_data/training_solution.csv", "input_data/testing-data"])
def test_without_data_there_is_no_kit(filled_layout: Layout, tmp_path: Path, gone: str) -> None:
    path = filled_layout.root / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DataError) as fault:
        write_kit(BUNDLE, filled_layout, KIT, tmp_path / "kit")
    assert (fault.value.code, fault.value.path) == ("kit-no-data", path)


def test_the_kit_is_a_bundle_that_works(filled_layout: Layout, tmp_path: Path) -> None:
    write_kit(read_manifest(filled_layout.manifest), filled_layout, KIT, tmp_path / "kit")
    layout = Layout(tmp_path / "kit")
    summary = read_summary(layout)
    assert summary is not None
    assert not summary.has_reference
    assert summary.counts == {"training": 24, "validation": 24, "testing": 24}
    assert read_manifest(layout.manifest).class_names == summary.class_names
    assert read_kit(layout.root / "kit.json") == KIT


@pytest.mark.parametrize("kit", [KIT, Kit(None), Kit((), base_image="a:1")])
def test_a_kit_is_read_as_it_was_written(tmp_path: Path, kit: Kit) -> None:
    (tmp_path / "kit.json").write_text(kit_text(kit))
    assert read_kit(tmp_path / "kit.json") == kit


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ("{", "kit-json", "is not JSON"),
        ("[]", "kit-version", "another version"),
        ('{"format": 2}', "kit-version", "another version"),
        (kit_text(KIT).replace('"3.12"', "3.12"), "kit-json", "lacks a key, or has a value of another type"),
        (
            kit_text(KIT).replace('"machine"', '"engine"'),
            "kit-json",
            "lacks a key, or has a value of another type",
        ),
        (kit_text(KIT).replace("numpy==2.4.6", "numpy"), "kit-json", "the name of a wheel"),
        (kit_text(Kit(())).replace("[]", "{}"), "kit-json", "value of another type"),
        (kit_text(Kit(())).replace("[]", "[1]"), "kit-json", "value of another type"),
    ],
)
def test_a_kit_that_cannot_be_read(tmp_path: Path, text: str, code: str, word: str) -> None:
    (tmp_path / "kit.json").write_text(text)
    with pytest.raises(DataError) as fault:
        read_kit(tmp_path / "kit.json")
    assert (fault.value.code, fault.value.path) == (code, tmp_path / "kit.json")
    assert word in fault.value.finding.message


def test_no_kit(tmp_path: Path) -> None:
    assert read_kit(tmp_path / "kit.json") is None
