"""The scoring program: its numbers against scikit-learn's, and every csv that it must refuse or take."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    classification_report,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

from tests.conftest import RunProgram
from tests.csv_faults import FAULTS, GOOD, REFERENCE, TOLERATED, write_scoring_input

SCORE = "scoring_program/score.py"
SCORES_LINE = re.compile(r"[a-z][a-z0-9_]*: \d+\.\d{6}")


@pytest.fixture
def score_module(program_module):
    return program_module("scoring_program", "score")


def run(module, source: Path, output: Path, *options: object) -> int:
    return module.main([str(source), str(output), *map(str, options)])


@pytest.mark.parametrize("name", FAULTS)
def test_refuses_with_one_line_and_no_output(name: str, tmp_path: Path, score_module, capsys) -> None:
    content, word, row = FAULTS[name]
    source = write_scoring_input(tmp_path / "input", content)
    output = tmp_path / "output"

    status = run(score_module, source, output)

    error = capsys.readouterr().err
    assert status == 1
    assert word in error
    assert error.count("\n") == 1
    assert "classification_results.csv" in error
    if row is not None:
        assert f"classification_results.csv:{row}: " in error
    assert not output.exists() or not list(output.iterdir())


@pytest.mark.parametrize("name", TOLERATED)
def test_takes(name: str, tmp_path: Path, score_module) -> None:
    source = write_scoring_input(tmp_path / "input", TOLERATED[name])

    assert run(score_module, source, tmp_path / "output") == 0

    scores = json.loads((tmp_path / "output" / "scores.json").read_text())
    assert scores["accuracy"] == 0.75
    assert (scores["details"]["probabilities"] == "used") == (name == "probabilities")


def test_refuses_no_csv_and_two(tmp_path: Path, score_module, capsys) -> None:
    source = write_scoring_input(tmp_path / "input", None)
    assert run(score_module, source, tmp_path / "output") == 1
    assert "no csv files; expected exactly one" in capsys.readouterr().err

    for name in ("a.csv", "b.csv"):
        (source / "res" / name).write_text(GOOD)
    assert run(score_module, source, tmp_path / "output") == 1
    assert "2 csv files: 'a.csv', 'b.csv'; expected exactly one" in capsys.readouterr().err


def test_scores_of_an_earlier_run_do_not_outlive_a_refusal(tmp_path: Path, score_module) -> None:
    source = write_scoring_input(tmp_path / "input", GOOD.encode())
    assert run(score_module, source, tmp_path / "output") == 0
    (source / "res" / "classification_results.csv").write_bytes(FAULTS["missing"][0])

    assert run(score_module, source, tmp_path / "output") == 1

    assert list((tmp_path / "output").iterdir()) == []


def test_scores_txt_is_what_two_platforms_parse(tmp_path: Path, score_module) -> None:
    source = write_scoring_input(tmp_path / "input", TOLERATED["probabilities"])

    run(score_module, source, tmp_path / "output")

    lines = (tmp_path / "output" / "scores.txt").read_text().splitlines()
    assert [line.split(": ")[0] for line in lines[:3]] == [
        "weighted_precision",
        "weighted_recall",
        "weighted_f1",
    ]
    assert all(SCORES_LINE.fullmatch(line) for line in lines)


def test_numbers_are_scikit_learns(tmp_path: Path, score_module) -> None:
    generator = np.random.default_rng(3)
    class_names = np.array(["alpha", "beta, with a comma", "gamma", "delta"])
    reference = class_names[generator.integers(0, 4, 500)]
    predictions = np.where(generator.random(500) < 0.7, reference, class_names[generator.integers(0, 3, 500)])
    probabilities = generator.dirichlet(np.ones(4), 500)
    names = [f"{number:04d}.png" for number in range(500)]
    source = tmp_path / "input"
    for folder in ("ref", "res"):
        (source / folder).mkdir(parents=True)
    pd.DataFrame({"file": names, "class": reference}).to_csv(source / "ref/testing_solution.csv", index=False)
    table = pd.DataFrame({"file": names, "class": predictions})
    ordered = sorted(class_names)
    for column, class_name in enumerate(ordered):
        table[f"probability_{class_name}"] = probabilities[:, column]
    table.sample(frac=1, random_state=0).to_csv(source / "res/any_name.csv", index=False)

    assert run(score_module, source, tmp_path / "output") == 0

    scores = json.loads((tmp_path / "output" / "scores.json").read_text())
    expected = precision_recall_fscore_support(reference, predictions, average="weighted", zero_division=0)
    assert [scores[f"weighted_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx(
        expected[:3], abs=1e-12
    )
    report = classification_report(reference, predictions, output_dict=True, zero_division=0)
    for class_name in class_names:
        row = scores["details"]["per_class"][class_name]
        assert [row["precision"], row["recall"], row["f1"], row["support"]] == pytest.approx(
            [report[class_name][key] for key in ("precision", "recall", "f1-score", "support")], abs=1e-12
        )
    auc = roc_auc_score(reference, probabilities, multi_class="ovr", average="weighted", labels=ordered)
    assert scores["weighted_auc"] == pytest.approx(auc, abs=1e-12)
    assert scores["log_loss"] == pytest.approx(log_loss(reference, probabilities, labels=ordered), abs=1e-12)
    text = dict(line.split(": ") for line in (tmp_path / "output" / "scores.txt").read_text().splitlines())
    assert text["weighted_f1"] == f"{expected[2]:.6f}"
    assert scores["details"]["wrong"] == int((reference != predictions).sum())


def test_auc_of_two_classes_is_the_share_of_pairs_in_order(tmp_path: Path, score_module) -> None:
    reference = ["no", "no", "no", "yes", "yes", "no", "yes"]
    yes = [0.1, 0.4, 0.35, 0.8, 0.4, 0.7, 0.9]
    source = tmp_path / "input"
    for folder in ("ref", "res"):
        (source / folder).mkdir(parents=True)
    names = [f"{number}.png" for number in range(7)]
    pd.DataFrame({"file": names, "class": reference}).to_csv(source / "ref/testing_solution.csv", index=False)
    table = pd.DataFrame({"file": names, "class": ["no"] * 7, "probability_yes": yes})
    # The columns in another order than the classes'.
    table["probability_no"] = [1.0 - value for value in yes]
    table.to_csv(source / "res/results.csv", index=False)
    assert run(score_module, source, tmp_path / "output") == 0
    scores = json.loads((tmp_path / "output" / "scores.json").read_text())
    pairs = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high, is_high in zip(yes, reference, strict=True)
        for low, is_low in zip(yes, reference, strict=True)
        if is_high == "yes" and is_low == "no"
    ]
    # 10.5 of 12; were the classes exchanged, it would be 1.5 of 12.
    assert sum(pairs) == 10.5
    assert scores["weighted_auc"] == pytest.approx(10.5 / 12, abs=1e-12)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("0.5,0.6", "does not sum to 1"),
        ("nan,1", "not a number from 0 to 1"),
        ("-0.5,1.5", "not a number from 0 to 1"),
        ("inf,0", "not a number from 0 to 1"),
        ("half,0.5", "not a number from 0 to 1"),
    ],
)
def test_bad_probabilities_refuse_nothing_but_are_not_used(
    cells: str, reason: str, tmp_path: Path, score_module
) -> None:
    good = TOLERATED["probabilities"].decode()
    source = write_scoring_input(tmp_path / "input", good.replace("0.6,0.4", cells).encode())

    assert run(score_module, source, tmp_path / "output") == 0

    scores = json.loads((tmp_path / "output" / "scores.json").read_text())
    assert reason in scores["details"]["probabilities"]
    assert "line 4" in scores["details"]["probabilities"]
    assert "weighted_auc" not in scores


def test_page_escapes_names_and_loads_nothing(tmp_path: Path, score_module) -> None:
    source = tmp_path / "input"
    for folder in ("ref", "res"):
        (source / folder).mkdir(parents=True)
    rows = [("<script>alert(1)</script>.png", "<b>A</b>"), ("b.png", "B & C")]
    for path, classes in (
        ("ref/testing_solution.csv", rows),
        ("res/r.csv", [(rows[0][0], "B & C"), rows[1]]),
    ):
        with (source / path).open("w", newline="") as opened:
            csv.writer(opened).writerows([("file", "class"), *classes])

    assert run(score_module, source, tmp_path / "output") == 0

    page = (tmp_path / "output" / "detailed_results.html").read_text()
    assert "<script" not in page
    assert "<b>A" not in page
    assert not re.search(r"(src|href)\s*=|url\(", page)


def test_as_a_process_with_the_platforms_arguments_and_without(
    tmp_path: Path, run_script: RunProgram
) -> None:
    write_scoring_input(tmp_path / "input", GOOD.encode())
    (tmp_path / "output").mkdir()

    plain = run_script(SCORE, cwd=tmp_path)
    first = (tmp_path / "output" / "scores.json").read_bytes()
    platform = run_script(SCORE, "input", "output", cwd=tmp_path)

    assert (plain.returncode, platform.returncode) == (0, 0), plain.stderr + platform.stderr
    assert first == (tmp_path / "output" / "scores.json").read_bytes()
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == [
        "detailed_results.html",
        "scores.json",
        "scores.txt",
    ]


def test_reference_with_a_fault_is_named(tmp_path: Path, score_module, capsys) -> None:
    source = write_scoring_input(tmp_path / "input", GOOD.encode())
    (source / "ref" / "testing_solution.csv").write_text("file,class\n000001.jpg,Hand\n000001.jpg,CXR\n")

    assert run(score_module, source, tmp_path / "output") == 1

    assert "testing_solution.csv:3: '000001.jpg' appears twice" in capsys.readouterr().err


def test_true_classes_are_shown_only_when_asked_for(tmp_path: Path, score_module) -> None:
    """One csv that says the same everywhere must not get the whole reference for an answer."""
    rows = "".join(f"{name},Hand\n" for name in REFERENCE)
    source = write_scoring_input(tmp_path / "input", f"file,class\n{rows}".encode())

    assert run(score_module, source, tmp_path / "public") == 0
    assert run(score_module, source, tmp_path / "private", "--show-cases") == 0

    public = "".join(path.read_text() for path in sorted((tmp_path / "public").iterdir()))
    assert not any(name in public for name in REFERENCE)
    private = json.loads((tmp_path / "private" / "scores.json").read_text())
    expected = {name: class_name for name, class_name in REFERENCE.items() if class_name != "Hand"}
    assert {case["file"]: case["reference"] for case in private["details"]["wrong_cases"]} == expected
    page = (tmp_path / "private" / "detailed_results.html").read_text()
    assert all(name in page for name in expected)


def test_a_link_is_no_submission(tmp_path: Path, score_module, capsys) -> None:
    source = write_scoring_input(tmp_path / "input", GOOD.encode())
    for path in (source / "res").iterdir():
        path.unlink()
    (source / "res" / "mine.csv").symlink_to(source / "ref" / "testing_solution.csv")

    assert run(score_module, source, tmp_path / "output") == 1

    assert "mine.csv: a link or a folder" in capsys.readouterr().err
