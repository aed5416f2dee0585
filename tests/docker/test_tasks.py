"""Each task from its data to a board, in containers, by the commands that an organiser types."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout

pytestmark = pytest.mark.timeout(900)

PATIENTS, IMAGES_OF_EACH, SIDE = 24, 5, 28
GRADES = ("none", "mild", "severe")
LABELS = ("left", "right", "absent")


@dataclass(frozen=True)
class Case:
    """A task: how its images are labelled, and what a method that never looks at them answers.

    Args:
        header: Columns of the source's csv with the label.
        options: Of the source.
        settings: Lines of bundle.toml's [bundle].
        label: Strength of the left and of the right mark, 0 to 1, to the label's cells.
        metric: That ranks by default.
        higher_is_better: Its direction.
        mean_of_cases: A metric that has a value for each case.
        trivial: The reference's rows to the cells that answer every image alike.
    """

    header: tuple[str, ...]
    options: str
    settings: str
    label: Callable[[float, float], tuple[object, ...]]
    metric: str
    higher_is_better: bool
    mean_of_cases: str
    trivial: tuple[object, ...]


CASES = {
    "classification": Case(
        ("class",),
        "",
        "",
        lambda left, right: ("marked" if left > 0.5 else "plain",),
        "weighted_f1",
        True,
        "accuracy",
        ("plain",),
    ),
    "ordinal": Case(
        ("class",),
        "",
        f"class_names = {json.dumps(GRADES)}",
        lambda left, right: (GRADES[min(int(3 * left), 2)],),
        "quadratic_kappa",
        True,
        "mean_absolute_rank_error",
        ("none",),
    ),
    "multilabel": Case(
        LABELS,
        "",
        f"class_names = {json.dumps(LABELS)}",
        lambda left, right: (int(left > 0.5), int(right > 0.5), 0),
        "macro_auc",
        True,
        "subset_accuracy",
        (0.5, 0.5, 0.5),
    ),
    "regression": Case(
        ("value",),
        "&value=value",
        "",
        lambda left, right: (round(20.0 + 50.0 * left, 3),),
        "mean_absolute_error",
        False,
        "mean_absolute_error",
        (45.0,),
    ),
}


def draw(path: Path, left: float, right: float, rng: np.random.Generator) -> None:
    """An image whose left and right halves have a mark, as bright as the strength."""
    pixels = rng.normal(60.0, 6.0, (SIDE, SIDE))
    pixels[8:20, 4:12] += 150.0 * left
    pixels[8:20, 16:24] += 150.0 * right
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def write_csv(path: Path, rows: list[tuple[object, ...]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as opened:
        csv.writer(opened, lineterminator="\n").writerows(rows)
    return path


def make_bundle(root: Path, task: str) -> Layout:
    """A bundle and its source: images of patients, with a column of an attribute."""
    case, rng = CASES[task], np.random.default_rng(5)
    source = root / "source"
    source.mkdir(parents=True)
    rows: list[tuple[object, ...]] = [("file", *case.header, "patient", "sex")]
    for patient in range(PATIENTS):
        for number in range(IMAGES_OF_EACH):
            left, right = rng.random(2)
            name = f"p{patient:02d}_{number}.png"
            draw(source / name, left, right, rng)
            rows.append((name, *case.label(left, right), f"p{patient:02d}", "FM"[patient % 2]))
    labels = write_csv(source / "labels.csv", rows)
    layout = Layout(root)
    layout.manifest.write_text(
        f"""[bundle]
name = "{task}"
task = "{task}"
{case.settings}
[data]
source = {json.dumps(f"csv:{labels}?group=patient{case.options}")}
sample_size = 0
split = [0.5, 0.2, 0.3]
subgroups = ["sex"]
[training]
arguments = ["--epochs", "8", "--network", "small", "--mirror", "none"]
[submission]
kinds = ["code", "predictions"]
[evaluation]
resamples = 2000
"""
    )
    return layout


def bundle(layout: Layout, *arguments: object, status: int = 0) -> str:
    """Run a command as it is typed; gives what it printed."""
    command = [sys.executable, str(PROJECT_ROOT / "tools" / "bundle.py"), "--bundle", str(layout.root)]
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def answers(layout: Layout) -> tuple[list[str], list[list[str]]]:
    with layout.results_csv.open(newline="") as opened:
        header, *rows = csv.reader(opened)
    return header, rows


def below(folder: Path) -> str:
    """All texts in a folder."""
    return "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.parametrize("task", CASES)
def test_from_data_to_a_board(task: str, tmp_path: Path) -> None:
    case, layout = CASES[task], make_bundle(tmp_path / task, task)
    bundle(layout, "data", "import")
    bundle(layout, "run-all", "--runner", "docker")
    own = json.loads((layout.scoring_output / "scores.json").read_text())
    assert own["details"]["metric"] == case.metric
    assert own["details"]["groups"] == len(patients(layout)) < own["details"]["cases"]
    assert own["details"]["intervals"][case.metric]

    # The own model as a submission; the trivial answer as a baseline; predictions alone; an invalid csv.
    bundle(layout, "zip", "--team", "Network", "--method", "small")
    header, rows = answers(layout)
    width = 2 if task != "multilabel" else len(header)
    trivial = write_csv(
        tmp_path / "base" / "Trivial__always.csv",
        [tuple(header[:width]), *((row[0], *case.trivial) for row in rows)],
    )
    half = [row if number % 2 else [row[0], *case.trivial] for number, row in enumerate(rows)]
    sent = tmp_path / "sent"
    write_csv(sent / "Half__mixed.csv", [tuple(header[:width]), *(tuple(row[:width]) for row in half)])
    wrong = [tuple(header[:width]), *(tuple(row[:width]) for row in rows), ("nobody.png", *case.trivial)]
    write_csv(sent / "Wrong__one_more.csv", wrong)
    bundle(layout, "evaluate", "--baseline", trivial)
    evaluated = json.loads(bundle(layout, "evaluate", "--json", layout.submission_zip, sent))
    (refused,) = [one for one in evaluated["submissions"] if one["state"] == "refused"]
    finding = refused["finding"]
    assert (refused["team"], finding["code"], finding["row"]) == ("Wrong", "csv-unknown-image", len(wrong))
    bundle(layout, "leaderboard")

    (published,) = layout.root.glob("leaderboard/*/publish")
    board = json.loads((published / "leaderboard.json").read_text())
    assert (board["metric"], board["higher_is_better"]) == (case.metric, case.higher_is_better)
    assert (board["cases"], board["groups"]) == (own["details"]["cases"], own["details"]["groups"])
    entries = {entry["team"]: entry for entry in board["entries"]}
    assert list(entries) == ["Network", "Half"]
    assert (entries["Network"]["kind"], entries["Half"]["kind"]) == ("code", "predictions")
    assert entries["Network"]["score"] == pytest.approx(own[case.metric], abs=1e-9)
    assert (
        entries["Network"]["score_low"]
        < entries["Network"]["score"]
        < entries["Network"]["score_high"] + 1e-12
    )
    (baseline,) = board["baselines"]
    assert baseline["team"] == "Trivial"
    sign = 1.0 if case.higher_is_better else -1.0
    scores = [sign * one["score"] for one in (entries["Network"], entries["Half"], baseline)]
    print(f"{task}: {case.metric} of network, half, trivial: {[abs(score) for score in scores]}")
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[2] + (0.15 if case.higher_is_better else 3.0)

    # The public folder and the feedback have nothing of single cases; the organiser's page has subgroups.
    names = {row[0] for row in rows}
    public = below(published) + below(layout.evaluation / "feedback") + below(layout.evaluation / "receipts")
    assert not [name for name in names if name in public]
    assert f"classification_results.csv:{len(wrong)}: the row names no case of the test set" in public
    for folder in (published, layout.evaluation / "feedback", layout.evaluation / "receipts"):
        assert not list(folder.rglob("cases.csv")) + list(folder.rglob("*.npz"))
    page = (published.parent / "organiser" / "organiser.html").read_text()
    (table,) = re.findall(r'aria-label="Scores by sex".*?</table>', page, re.DOTALL)
    assert re.findall(r'scope="col"><bdi>(.)</bdi><small>\d+ cases of \d+</small>', table) == ["F", "M"]
    assert all(f'title="{team}"' in table for team in entries)
    assert "Trivial" not in table
    export = tmp_path / "cases.csv"
    more = ("--metric", case.mean_of_cases, "--per-case", export, "--output", tmp_path / "other")
    bundle(layout, "leaderboard", *more)
    with export.open(newline="") as opened:
        exported = list(csv.DictReader(opened))
    assert {row["case_id"] for row in exported} == names
    assert list(exported[0])[:3] == ["case_id", "alg_01", "alg_02"]


@pytest.mark.slow
def test_the_example_of_an_own_metric_as_its_readme_says(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "own_metric")
    shutil.copytree(PROJECT_ROOT / "examples" / "own_metric", layout.root)
    bundle(layout, "run-all", "--runner", "local")
    own = json.loads((layout.scoring_output / "scores.json").read_text())["mean_cost"]
    header, rows = answers(layout)
    csvs = tmp_path / "sent"
    write_csv(csvs / "TEAM__METHOD.csv", [tuple(header), *map(tuple, rows)])
    write_csv(csvs / "Other__always.csv", [("file", "class"), *((row[0], rows[0][1]) for row in rows)])
    write_csv(csvs / "Wrong__twice.csv", [tuple(header), *map(tuple, rows), tuple(rows[0])])
    bundle(layout, "evaluate", csvs)
    bundle(layout, "leaderboard")
    (published,) = layout.root.glob("leaderboard/*/publish")
    board = json.loads((published / "leaderboard.json").read_text())
    assert (board["metric"], board["higher_is_better"]) == ("mean_cost", False)
    first, second = board["entries"]
    assert (first["team"], second["team"]) == ("TEAM", "Other")
    assert first["score"] == pytest.approx(own, abs=1e-9)
    assert first["score"] < second["score"]
    feedback = below(layout.evaluation / "feedback")
    assert f"classification_results.csv:{len(rows) + 2}" in feedback


def patients(layout: Layout) -> set[str]:
    """The pseudonyms in the reference."""
    with layout.solution_csv("testing").open(newline="") as opened:
        return {row["group"] for row in csv.DictReader(opened)}
