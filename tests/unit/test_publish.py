"""An import comes into place by renames: what was staged, when, and what an interrupted one leaves."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from challenge_bundle.dataset.publish import READY, recover_import, secret_staging_dir, staging_dir
from challenge_bundle.layout import SPLITS, Layout
from tests.durability import recorded


@pytest.fixture
def other_disk() -> Iterator[Path]:
    """A folder on another file system: memory."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


def stage(layout: Layout, text: str) -> None:
    """Stage a whole import, as importing does, ready to be published."""
    staging, secret = staging_dir(layout), secret_staging_dir(layout)
    for split in SPLITS:
        (staging / layout.split_dir(split).name).mkdir(parents=True)
        (staging / layout.split_dir(split).name / "image").write_text(text)
    for path in (layout.solution_csv("training"), layout.solution_csv("validation")):
        (staging / path.name).write_text(text)
    secret.mkdir(parents=True)
    for path in (layout.solution_csv("testing"), layout.origins_csv, layout.import_json):
        (secret / path.name).write_text(text)
        (secret / path.name).chmod(0o600)
    (secret / READY).touch()


def targets(layout: Layout) -> list[Path]:
    return [
        *(layout.split_dir(split) / "image" for split in SPLITS),
        *(layout.solution_csv(split) for split in SPLITS),
        layout.origins_csv,
        layout.import_json,
    ]


def test_all_that_is_ready_comes_into_place_over_what_was_there(layout: Layout) -> None:
    for text in ("first", "second"):
        stage(layout, text)
        recover_import(layout)
        assert [path.read_text() for path in targets(layout)] == [text] * len(targets(layout))
        assert [sorted(os.listdir(layout.split_dir(split))) for split in SPLITS] == [["image"]] * 3
        assert not staging_dir(layout).exists()
        assert not secret_staging_dir(layout).exists()


def test_the_record_comes_last_and_the_reference_before_it(layout: Layout) -> None:
    stage(layout, "text")
    with recorded(layout.root) as events:
        recover_import(layout)
    moved = [event.split()[2] for event in events if event.startswith("rename")]
    names = [path.relative_to(layout.root).as_posix() for path in targets(layout)]
    assert len(moved) == len(names)
    assert moved[-1] == names[-1]
    assert moved[-2] == names[-2]


def test_what_is_not_ready_is_dropped_and_the_old_stays(layout: Layout) -> None:
    stage(layout, "old")
    recover_import(layout)
    stage(layout, "new")
    (secret_staging_dir(layout) / READY).unlink()
    recover_import(layout)
    assert {path.read_text() for path in targets(layout)} == {"old"}
    assert not staging_dir(layout).exists()
    assert not secret_staging_dir(layout).exists()


def test_an_import_cut_off_between_two_renames_is_finished(layout: Layout) -> None:
    stage(layout, "old")
    recover_import(layout)
    stage(layout, "new")
    # The first two are in place, of the third the old images are put aside already, twice.
    for split in ("training", "validation"):
        shutil.rmtree(layout.split_dir(split))
        (staging_dir(layout) / layout.split_dir(split).name).rename(layout.split_dir(split))
    aside = staging_dir(layout) / "outgoing" / layout.split_dir("testing").name
    aside.mkdir(parents=True)
    (aside / "older").touch()
    recover_import(layout)
    assert {path.read_text() for path in targets(layout)} == {"new"}
    assert not staging_dir(layout).exists()


def test_downloads_are_dropped_once_all_is_in_place(layout: Layout) -> None:
    layout.downloads.mkdir(parents=True)
    (layout.downloads / "object").touch()
    recover_import(layout)
    assert (layout.downloads / "object").exists(), "of an import that goes on"
    stage(layout, "text")
    recover_import(layout)
    assert not layout.downloads.exists()


def test_a_removal_that_is_interrupted_is_not_taken_for_an_import(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(layout, "text")
    seen: list[bool] = []
    remove = shutil.rmtree

    def watch(folder: Path, ignore_errors: bool = False) -> None:
        if folder in (staging_dir(layout), secret_staging_dir(layout)):
            seen.append((secret_staging_dir(layout) / READY).exists())
        remove(folder, ignore_errors=ignore_errors)

    monkeypatch.setattr("challenge_bundle.dataset.publish.shutil.rmtree", watch)
    recover_import(layout)
    assert seen == [False, False]


def test_private_files_on_another_file_system_are_copied_whole_with_their_mode(
    layout: Layout, other_disk: Path
) -> None:
    layout.state.parent.mkdir(exist_ok=True)
    layout.state.symlink_to(other_disk, target_is_directory=True)
    stage(layout, "text")
    staged = secret_staging_dir(layout) / layout.solution_csv("testing").name
    assert os.stat(staged).st_dev != os.stat(layout.root).st_dev, "needs two file systems"
    with recorded(layout.root) as events:
        recover_import(layout)
    reference = layout.solution_csv("testing")
    assert reference.read_text() == "text"
    assert reference.stat().st_mode & 0o777 == 0o600
    folder, name = reference.parent.relative_to(layout.root), reference.name
    copied = [event for event in events if name in event and event.startswith(("sync", "rename"))]
    assert copied == [f"sync {folder}/.{name}.part", f"rename {folder}/.{name}.part {folder}/{name}"]
    assert not secret_staging_dir(layout).exists()


def test_another_fault_of_a_rename_is_not_taken_for_another_file_system(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(layout, "text")

    def refuse(source: object, target: object) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError):
        recover_import(layout)
    assert (secret_staging_dir(layout) / READY).exists()
