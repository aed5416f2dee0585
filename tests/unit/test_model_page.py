"""The report of a model: what it shows, and that no name in it becomes markup."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from challenge_bundle.errors import DataError
from challenge_bundle.files import write_csv
from challenge_bundle.formats.scores import read_scores
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.report.model_page import write_report
from challenge_bundle.settings import read_manifest
from tests.conftest import RunProgram

HOSTILE = '<script>alert("x")</script>&amp;\'{{ 7 * 7 }}'
FILE = '<img src=x onerror="alert(1)">.png'


@pytest.fixture
def scored(layout: Layout, run_script: RunProgram) -> Layout:
    """A bundle with a hostile title, class and file, whose two testing images are taken for one another."""
    toml = layout.manifest.read_text().replace("[data]", f"title = {json.dumps(HOSTILE)}\n\n[data]")
    layout.manifest.write_text(toml)
    (layout.root / "bundle_training").mkdir()
    (layout.root / "bundle_training" / "program.toml").write_text('outputs = ["model.json"]\n')
    classes = {FILE: HOSTILE, "b.png": "Hand"}
    for split in SPLITS:
        for number, name in enumerate(classes):
            path = layout.split_dir(split) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), 90 * number).save(path)
        rows = [(name if split == "testing" else f"{split}-data/{name}", of) for name, of in classes.items()]
        write_csv(layout.solution_csv(split), ("file", "class"), rows)
    write_csv(layout.results_csv, ("file", "class"), [(FILE, "Hand"), ("b.png", HOSTILE)])
    card = {
        "class_names": sorted(classes.values()),
        "input": {"channels": 1, "height": 8, "width": 8, "mean": [0.5], "standard_deviation": [0.2]},
        "network": HOSTILE,
        "training": {HOSTILE: HOSTILE},
    }
    layout.model_output.mkdir()
    (layout.model_output / "model.json").write_text(json.dumps(card))
    done = run_script("scoring_program/score.py", layout.scoring_input, layout.scoring_output, "--show-cases")
    assert done.returncode == 0, done.stderr
    return layout


def write(layout: Layout) -> str:
    return write_report(read_manifest(layout.manifest), layout, HOSTILE).read_text()


def test_no_name_becomes_markup(scored: Layout) -> None:
    page = write(scored)
    assert HOSTILE not in page
    assert "<script" not in page
    assert "<img src=x" not in page
    # Escaped it is there: the title twice, the source, the class's heading, two captions, the model's rows.
    shown = re.findall("&lt;script&gt;alert", page)
    assert len(shown) >= 8
    assert "{{ 7 * 7 }}" in page, "no name is a template"


def test_what_the_report_shows(scored: Layout) -> None:
    page = write(scored)
    assert page.count("<figure>") == 4, "two that went wrong, and an example of each class"
    assert page.count('<img src="data:image/png;base64,') == 4
    assert ", 2 testing images, reference " in page
    assert '<p class="note">1 training, 1 validation, 1 testing</p>' in page
    assert "the first" not in page
    headings = re.findall(r"<h2>([^<]*)</h2>", page)[-3:]
    assert headings == ["What went wrong, in pictures", "The data", "The model"]


def test_an_image_that_cannot_be_read_is_named(scored: Layout) -> None:
    (scored.split_dir("training") / "b.png").write_bytes(b"no image")
    assert "<figure><figcaption>b.png (cannot be read)</figcaption></figure>" in write(scored)


def test_an_own_scoring_programs_numbers_are_shown(scored: Layout) -> None:
    """It need not write a page, nor anything below `details`."""
    own = {"cost": 0.25, HOSTILE: 3, "higher_is_better": {"cost": False}}
    (scored.scoring_output / "scores.json").write_text(json.dumps(own))
    for content in (None, "<p>a page of its own"):
        path = scored.scoring_output / "detailed_results.html"
        path.unlink(missing_ok=True)
        if content:
            path.write_text(content)
        page = write(scored)
        assert HOSTILE not in page
        rows = re.findall(r'<tr><th scope="row" class="text">(.*?)</th><td>(.*?)</td>', page)
        assert (rows[0], rows[1][1]) == (("cost", "0.2500"), "3.0000")
        assert [name for name in ("lower is better", "higher is better") if name in page] == [
            "lower is better",
            "higher is better",
        ]
        assert page.count("<figure>") == 2, "an example of each class, and no cases"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda document: None, "no-scores"),
        (lambda document: {**document, "weighted_f1": "high"}, "scores-not-finite"),
        (lambda document: {**document, "details": {**document["details"], "cases": 3}}, "scores-outdated"),
        (
            lambda document: {**document, "details": {**document["details"], "class_names": ["A", "B"]}},
            "scores-outdated",
        ),
        (
            lambda document: {
                **document,
                "details": {
                    **document["details"],
                    "wrong_cases": [{"file": "b.png", "reference": HOSTILE, "prediction": "Hand"}],
                },
            },
            "scores-outdated",
        ),
    ],
)
def test_scores_that_are_not_of_what_is_there(spoil, code: str, scored: Layout) -> None:
    path: Path = scored.scoring_output / "scores.json"
    scored.report_html.write_text("the report of former scores")
    spoilt = spoil(json.loads(path.read_text()))
    path.unlink()
    if spoilt:
        path.write_text(json.dumps(spoilt))
    with pytest.raises(DataError) as caught:
        write(scored)
    assert (caught.value.code, caught.value.path) == (code, path)
    assert not scored.report_html.exists()


TASKS = {
    "multilabel": (
        {"task": "multilabel", "class_names": ["Mass", "Edema"]},
        ["file,Mass,Edema", "a.png,0,0", "b.png,1,1"],
        ["file,Mass,Edema", "a.png,0.9,0.1", "b.png,0.1,0.2"],
        ["b.png: Mass, Edema, predicted no label", "a.png: no label, predicted Mass"],
        [("Mass", "1 training, 1 validation, 1 testing"), ("Edema", "1 training, 1 validation, 1 testing")],
        "What went wrong, in pictures",
    ),
    "ordinal": (
        {"task": "ordinal", "class_names": ["none", "mild"]},
        ["file,class", "a.png,mild", "b.png,none"],
        ["file,class", "a.png,none", "b.png,none"],
        ["a.png: mild, predicted none"],
        [("none", "1 training, 1 validation, 1 testing"), ("mild", "1 training, 1 validation, 1 testing")],
        "What went wrong, in pictures",
    ),
    "regression": (
        {"task": "regression", "class_names": []},
        ["file,value", "a.png,7.25", "b.png,1200.5"],
        ["file,value", "a.png,7.5", "b.png,1000"],
        ["b.png: 1200.5, predicted 1000", "a.png: 7.25, predicted 7.5"],
        [("From the lowest value to the highest", "2 training, 2 validation, 2 testing")],
        "The largest errors, in pictures",
    ),
}


@pytest.mark.parametrize("task", TASKS)
def test_the_report_of_every_task(task: str, layout: Layout, run_script: RunProgram) -> None:
    about, reference, predictions, captions, examples, heading = TASKS[task]
    (layout.root / "bundle_training").mkdir()
    (layout.root / "bundle_training" / "program.toml").write_text("outputs = []\n")
    for split in SPLITS:
        for name in ("a.png", "b.png"):
            path = layout.split_dir(split) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), 90).save(path)
        folder = "" if split == "testing" else f"{split}-data/"
        csv = layout.solution_csv(split)
        csv.parent.mkdir(parents=True, exist_ok=True)
        rows = [reference[0], *(folder + row for row in reference[1:])]
        csv.write_text("\n".join(rows) + "\n")
        (csv.parent / "task.json").write_text(json.dumps({"version": 1, "metric": "", "options": {}} | about))
    layout.results_csv.parent.mkdir(parents=True)
    layout.results_csv.write_text("\n".join(predictions) + "\n")
    done = run_script("scoring_program/score.py", layout.scoring_input, layout.scoring_output, "--show-cases")
    assert done.returncode == 0, done.stderr

    page = write(layout)

    shown = re.findall(r"<figcaption>([^<]*\.png[^<]*)</figcaption>", page)
    assert shown[: len(captions)] == captions
    assert f"<h2>{heading}</h2>" in page
    assert re.findall(r'<h3>([^<]*)</h3><p class="note">([^<]*)</p>', page) == examples
    scores = read_scores(layout.scoring_output / "scores.json")
    assert scores.headline
    assert all(name in scores.values for name in scores.headline)
