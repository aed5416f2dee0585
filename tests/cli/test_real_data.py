"""The five systems' own data, where they are at hand: from each source to a score, by the commands."""

import csv
import json
import re
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from challenge_bundle.formats.reference import read_reference
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import SPLITS, Layout
from tests.conftest import new_database, upload_folder
from tests.docs.blocks import read_blocks

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


@pytest.fixture
def request_database(request: pytest.FixtureRequest) -> str:
    return new_database(request)


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

    RETINA, NUCLEI, NIH = (DATA / name for name in ("retinamnist", "nuclei_dsb2018", "nih_chest_24"))
    COCO, HIPPOCAMPI = DATA / "coco" / "open_licence", DATA / "hippocampus"

    def describe(layout: Layout, task: str, more: str = "") -> None:
        layout.manifest.write_text(f'[bundle]\nname = "real"\ntask = "{task}"\n{more}')

    def groups_of(layout: Layout) -> dict[str, set[str]]:
        """The groups of each split, as the csv files name them."""
        return {split: set(read_reference(layout.solution_csv(split)).group_of.values()) for split in SPLITS}

    @pytest.mark.slow
    def test_x_rays_have_their_patients_as_groups(layout: Layout) -> None:
        source = f"folder:{DATA / 'chest_xray' / 'train'}"
        bundle(layout, "data", "import", source, "--group", X_RAY_PATIENT, "--any-size", "--drop-copies")
        groups = groups_of(layout)
        assert sum(map(len, groups.values())) == len(set.union(*groups.values())) > 2500
        assert all(re.fullmatch(r"g\d{4}", group) for found in groups.values() for group in found)

    @pytest.mark.slow
    def test_grades_of_retinas(layout: Layout) -> None:
        describe(layout, "ordinal", 'class_names = ["0", "1", "2", "3", "4"]\n')
        bundle(layout, "data", "import", f"csv:{RETINA / 'train_grades.csv'}?class=grade")
        reference = read_reference(layout.solution_csv("testing"))
        assert reference.class_names == ("0", "1", "2", "3", "4")
        # A fifth of 486, 128, 206, 194 and 66.
        counts = Counter(reference.label_of.values())
        assert [counts[grade] for grade in "01234"] == pytest.approx([97, 26, 41, 39, 13], abs=1)

    @pytest.mark.slow
    def test_numbers_of_nuclei(layout: Layout) -> None:
        describe(layout, "regression")
        source = f"csv:{NUCLEI / 'index.csv'}?file=id&value=n_nuclei&images={NUCLEI / 'images'}"
        said = bundle(layout, "data", "import", source, "--any-size")
        assert "values: 1 to 125, median 23" in said
        medians = [
            statistics.median(map(float, read_reference(layout.solution_csv(split)).label_of.values()))
            for split in SPLITS
        ]
        assert medians == pytest.approx([23] * 3, abs=2)

    @pytest.mark.slow
    def test_volumes_of_hippocampi_by_the_lines_of_the_docs(layout: Layout, tmp_path: Path) -> None:
        blocks = read_blocks(PROJECT_ROOT / "docs" / "preparing-data.md")
        (lines,) = [block.code for block in blocks if "read_nifti" in block.code]
        (tmp_path / "hippocampus").symlink_to(HIPPOCAMPI)
        subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, check=True)
        describe(layout, "regression")
        source = f"csv:{tmp_path / 'volumes.csv'}?value=volume_ml&images=projections"
        bundle(layout, "data", "import", source.replace("projections", str(tmp_path / "projections")))
        values = sorted(
            float(label)
            for split in SPLITS
            for label in read_reference(layout.solution_csv(split)).label_of.values()
        )
        assert len(values) == len(list((HIPPOCAMPI / "labelsTr").glob("*.nii.gz")))
        # The median volumes of the two labels are 1,725 and 1,578 voxels in the whole set.
        assert statistics.median(values) == pytest.approx(3.3, abs=0.15)

    @pytest.mark.slow
    def test_categories_of_coco(layout: Layout) -> None:
        describe(layout, "multilabel", 'class_names = ["person", "car", "traffic light"]\n')
        annotations = next(COCO.rglob("*train*.json"))
        bundle(layout, "data", "import", f"coco:{annotations}", "--any-size")
        document = json.loads(annotations.read_text())
        number_of = {one["name"]: one["id"] for one in document["categories"]}
        found = [read_reference(layout.solution_csv(split)).label_of for split in SPLITS]
        labels = [name for part in found for label in part.values() for name in label.split("|")]
        for name in ("person", "car", "traffic light"):
            having = {a["image_id"] for a in document["annotations"] if a["category_id"] == number_of[name]}
            assert labels.count(name) == len(having)

    @pytest.mark.slow
    def test_findings_of_chest_x_rays(layout: Layout) -> None:
        """By one column with all labels, and by a column for each label."""
        names = (NIH / "labels.csv").read_text().splitlines()[0].split(",")[7:]
        describe(layout, "multilabel", f'class_names = {names}\n[data]\nsubgroups = ["sex", "view"]\n')
        place = f"csv:{NIH / 'labels.csv'}?group=patient_id"
        bundle(layout, "data", "import", place)
        tables = [layout.solution_csv(split).read_bytes() for split in SPLITS]
        bundle(layout, "data", "import", f"{place}&class=finding_labels&none=No Finding")
        assert [layout.solution_csv(split).read_bytes() for split in SPLITS] == tables
        groups = groups_of(layout)
        assert sum(map(len, groups.values())) == len(set.union(*groups.values())) == 8
        parts = {split: read_reference(layout.solution_csv(split)) for split in SPLITS}
        counts = Counter(
            name for part in parts.values() for label in part.label_of.values() for name in label.split("|")
        )
        assert [counts[name] for name in ("Hernia", "Cardiomegaly", "Infiltration")] == [8, 4, 3]
        # All of one patient.
        assert sum("Hernia" in label for label in parts["testing"].label_of.values()) in (0, 8)
        assert set(parts["testing"].attributes) == {"sex", "view"}
        assert not parts["training"].attributes
