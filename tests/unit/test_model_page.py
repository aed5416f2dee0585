"""The report of a model: what it shows, and that no name in it becomes markup."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from challenge_bundle.errors import DataError
from challenge_bundle.files import write_csv
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


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda path: path.unlink(), "not-scored"),
        (lambda path: path.write_text("another page"), "scores-outdated"),
    ],
)
def test_a_page_of_scores_that_is_missing_or_another(spoil, code: str, scored: Layout) -> None:
    path: Path = scored.scoring_output / "detailed_results.html"
    spoil(path)
    with pytest.raises(DataError) as caught:
        write(scored)
    assert (caught.value.code, caught.value.path) == (code, path)
    assert not scored.report_html.exists()
