"""A participant with a method of another kind, from training to the platform's check: no torch, no ONNX."""

import csv
import json
import zipfile

from challenge_bundle.layout import Layout
from tests.cli.test_commands import bundle
from tests.forests import write_forest_programs


def test_a_random_forest_from_training_to_the_check(filled_layout: Layout) -> None:
    write_forest_programs(filled_layout.root)

    trained = bundle(filled_layout, "train", "--runner", "local")
    assert trained.exit_code == 0, trained.output
    assert "wrote forest/trees.pkl: 20 trees" in trained.output
    assert f"model: {filled_layout.model_output} (forest/trees.pkl)\n" in trained.output
    assert "curves:" not in trained.output
    assert (filled_layout.model_output / "notes.txt").read_text() == "20 trees"

    inferred = bundle(filled_layout, "infer", "--runner", "local")
    assert inferred.exit_code == 0, inferred.output
    with filled_layout.results_csv.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == 24
    assert len({row["class"] for row in rows}) > 2

    packed = bundle(filled_layout, "zip", "--team", "Foresters")
    assert packed.exit_code == 0, packed.output
    assert "warning" not in packed.output
    with zipfile.ZipFile(filled_layout.submission_zip) as archive:
        names = archive.namelist()
    assert names[:5] == [
        "Dockerfile",
        "bundle_inference/features.py",
        "bundle_inference/infer.py",
        "bundle_inference/requirements.txt",
        "model_output/forest/trees.pkl",
    ]
    checked = bundle(filled_layout, "check", str(filled_layout.submission_zip))
    assert (checked.exit_code, "good, nothing in it would be refused" in checked.output) == (0, True)


def test_run_all_reports_without_a_model_card_and_a_change_of_settings_trains_again(
    filled_layout: Layout,
) -> None:
    write_forest_programs(filled_layout.root)
    # What an earlier training by another program left is not shown as this one's.
    filled_layout.model_output.mkdir(exist_ok=True)
    (filled_layout.model_output / "history.csv").write_text("epoch\n1\n")
    first = bundle(filled_layout, "run-all", "--runner", "local")
    assert first.exit_code == 0, first.output
    page = filled_layout.report_html.read_text()
    assert "Confusion matrix" in page
    assert "<h2>Training</h2>" not in page
    assert "<h2>The model</h2>" not in page

    assert bundle(filled_layout, "run-all", "--runner", "local").output.count("reused") == 5
    settings = filled_layout.root / "bundle_training" / "settings.json"
    settings.write_text(json.dumps({"trees": 5}))
    again = bundle(filled_layout, "run-all", "--runner", "local")
    assert "wrote forest/trees.pkl: 5 trees" in again.output
    assert "inference unchanged" not in again.output


def test_a_zip_that_lacks_what_training_promises_says_so(filled_layout: Layout) -> None:
    write_forest_programs(filled_layout.root)
    dockerfile = filled_layout.root / "bundle_inference" / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("COPY model_output/ model_output/\n", ""))
    assert bundle(filled_layout, "train", "--runner", "local").exit_code == 0
    packed = bundle(filled_layout, "zip")
    assert packed.exit_code == 0, packed.output
    assert (
        "warning: bundle_inference/Dockerfile: does not copy model_output/forest/trees.pkl, which training"
        " writes for it; write COPY model_output/ model_output/" in packed.output
    )


CONSTANT = """import pathlib, sys
rule = pathlib.Path(__file__).with_name("weights.txt").read_text()
names = sorted(path.name for path in pathlib.Path(sys.argv[1]).iterdir())
rows = "".join(f"{name},{rule}\\n" for name in names)
pathlib.Path(sys.argv[2], "classification_results.csv").write_text("file,class\\n" + rows)
"""


def test_a_method_that_is_not_trained(filled_layout: Layout) -> None:
    for name in ("bundle_training", "bundle_inference"):
        (filled_layout.root / name).mkdir()
    (filled_layout.root / "bundle_training" / "program.toml").write_text("outputs = []\n")
    folder = filled_layout.root / "bundle_inference"
    (folder / "infer.py").write_text(CONSTANT)
    (folder / "weights.txt").write_text("Hand")
    (folder / "Dockerfile").write_text(
        "FROM python:3.11-slim\nCOPY bundle_inference/ /opt/\nUSER 1000\n"
        'ENTRYPOINT ["python3", "/opt/infer.py"]\n'
    )

    ran = bundle(filled_layout, "run-all", "--runner", "local")
    assert ran.exit_code == 0, ran.output
    assert "[2/5] training  nothing to train: program.toml names no outputs\n" in ran.output
    assert filled_layout.results_csv.read_text().count(",Hand\n") == 24
    packed = bundle(filled_layout, "zip")
    assert packed.exit_code == 0, packed.output
    with zipfile.ZipFile(filled_layout.submission_zip) as archive:
        names = archive.namelist()
    assert names == ["Dockerfile", "bundle_inference/infer.py", "bundle_inference/weights.txt"]
