"""An import over a bundle with an evaluation: refused, or the evaluation is put away."""

import json
from pathlib import Path

import pytest

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.dataset.invalidate import count_evaluated
from challenge_bundle.dataset.publish import recover_import
from challenge_bundle.errors import DataError
from challenge_bundle.evaluation.context import read_context
from challenge_bundle.files import hash_file
from challenge_bundle.findings import Finding
from challenge_bundle.layout import Layout
from challenge_bundle.settings import read_manifest
from challenge_bundle.sources.synthetic import SyntheticSource
from tests.conftest import say_nothing
from tests.importing import codes, of_code
from tests.unit.test_relabel import kill_at


@pytest.fixture
def evaluated(filled_layout: Layout) -> Layout:
    """A bundle with two submissions that were taken in, of which one was scored."""
    read_context(read_manifest(filled_layout.manifest), filled_layout)
    for number in range(2):
        path = filled_layout.kept_zips / f"{number}.zip"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"PK")
    receipt = filled_layout.evaluation / "receipts" / "0.json"
    receipt.parent.mkdir()
    receipt.write_text("{}")
    board = filled_layout.leaderboard("open", "all") / "leaderboard.html"
    board.parent.mkdir(parents=True)
    board.write_text("old board")
    return filled_layout


def load(layout: Layout, seed: int = 0, replace: bool = False) -> tuple[Finding, ...]:
    request = ImportRequest(sample_size=4, seed=seed, replace=replace)
    return import_images(SyntheticSource(), request, layout, say_nothing).findings


def state(layout: Layout) -> dict[str, str]:
    images = sorted(layout.testing_data.iterdir())
    return {path.name: hash_file(path) for path in (*images, layout.solution_csv("testing"))}


def test_other_images_are_refused_with_what_they_would_cost(evaluated: Layout) -> None:
    before = state(evaluated)
    with pytest.raises(DataError) as caught:
        load(evaluated, seed=1)
    found = caught.value.finding
    assert (found.code, found.location) == ("evaluation-of-other-data", str(evaluated.evaluation))
    assert "changes the testing images, and 2 submissions were evaluated" in found.message
    assert "(1 scored)" in found.message
    for way in ("`data relabel`", "--bundle", "--replace"):
        assert way in found.hint
    assert state(evaluated) == before
    assert not (evaluated.state / "incoming").exists()
    assert count_evaluated(evaluated) == (2, 1)


def test_the_same_images_are_no_change(evaluated: Layout) -> None:
    before = state(evaluated)
    assert "evaluation-put-away" not in codes(load(evaluated))
    assert state(evaluated) == before
    assert count_evaluated(evaluated) == (2, 1)


def test_images_that_are_gone_can_be_brought_back(evaluated: Layout) -> None:
    before = state(evaluated)
    for path in evaluated.testing_data.iterdir():
        path.unlink()
    evaluated.testing_data.rmdir()
    with pytest.raises(DataError) as fault:
        read_context(read_manifest(evaluated.manifest), evaluated)
    assert (fault.value.code, fault.value.path) == ("missing-testing-images", evaluated.testing_data)
    assert "import the same data" in fault.value.finding.hint
    with pytest.raises(DataError) as fault:
        load(evaluated)
    assert fault.value.code == "data-not-imported"
    assert "--replace" in fault.value.finding.hint
    assert "evaluation-put-away" not in codes(load(evaluated, replace=True))
    assert state(evaluated) == before
    assert count_evaluated(evaluated) == (2, 1)


def test_other_classes_of_the_same_images_are_refused(evaluated: Layout) -> None:
    path = evaluated.solution_csv("testing")
    lines = path.read_text().splitlines()
    # As if the organiser had corrected a class by hand, and imported the source again.
    first, second = lines[1].split(","), next(x for x in lines if x.split(",")[1] != lines[1].split(",")[1])
    lines[1] = f"{first[0]},{lines[-1].split(',')[1] if second == lines[0] else second.split(',')[1]}"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="changes the label of 1 testing images, and 2 submissions") as fault:
        load(evaluated)
    assert fault.value.code == "evaluation-of-other-data"


def test_without_submissions_anything_may_be_imported(evaluated: Layout) -> None:
    for path in evaluated.kept_zips.iterdir():
        path.unlink()
    load(evaluated, seed=1)
    read_context(read_manifest(evaluated.manifest), evaluated)
    assert (
        evaluated.tested_on.read_text().strip()
        == read_context(read_manifest(evaluated.manifest), evaluated).testing_sha256
    )


def test_replace_puts_the_evaluation_away_and_starts_again(evaluated: Layout) -> None:
    before = state(evaluated)
    found = of_code(load(evaluated, seed=1, replace=True), "evaluation-put-away")
    assert "2 submissions (1 scored) was put away, into .bundle/archive/1/" in found.message
    folder = evaluated.archive / "1"
    assert (folder / "evaluation" / "zips" / "1.zip").read_bytes() == b"PK"
    assert (folder / "leaderboard" / "open-all" / "publish" / "leaderboard.html").read_text() == "old board"
    assert hash_file(folder / "testing_solution.csv") == before["testing_solution.csv"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not evaluated.evaluation.exists()
    assert not evaluated.leaderboard("open", "all").exists()
    assert state(evaluated) != before
    assert count_evaluated(evaluated) == (0, 0)
    read_context(read_manifest(evaluated.manifest), evaluated)
    (evaluated.kept_zips).mkdir()
    (evaluated.kept_zips / "3.zip").write_bytes(b"PK")
    again = of_code(load(evaluated, seed=2, replace=True), "evaluation-put-away")
    assert ".bundle/archive/2/" in again.message
    assert (evaluated.archive / "2" / "evaluation" / "zips" / "3.zip").exists()


@pytest.mark.parametrize("at", range(1, 46, 2))
def test_a_kill_leaves_the_old_data_with_their_evaluation_or_the_new_without(
    evaluated: Layout, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    before = state(evaluated)
    killed = kill_at(monkeypatch, at, lambda: load(evaluated, seed=1, replace=True))
    recover_import(evaluated)
    if state(evaluated) == before:
        assert killed
        assert count_evaluated(evaluated) == (2, 1)
        assert not evaluated.archive.exists()
    else:
        assert count_evaluated(evaluated) == (0, 0)
        assert (evaluated.archive / "1" / "evaluation" / "receipts" / "0.json").exists()
        assert hash_file(evaluated.archive / "1" / "testing_solution.csv") == before["testing_solution.csv"]
        record = json.loads(evaluated.import_json.read_text())
        assert record["request"]["seed"] == 1
    assert not (evaluated.state / "incoming").exists()
    assert not Path(evaluated.input_data / ".incoming").exists()
