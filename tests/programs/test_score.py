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
    f1_score,
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


@pytest.fixture
def metrics_module(program_module):
    return program_module("scoring_program", "metrics")


@pytest.fixture
def tables_module(program_module):
    return program_module("scoring_program", "tables")


@pytest.mark.parametrize("name", FAULTS)
def test_refuses_with_one_line_and_no_output(name: str, tmp_path: Path, score_module, capsys) -> None:
    content, word, row = FAULTS[name]
    source = write_scoring_input(tmp_path / "input", content)
    output = tmp_path / "output"

    status = score_module.main(source, output)

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

    assert score_module.main(source, tmp_path / "output") == 0

    scores = json.loads((tmp_path / "output" / "scores.json").read_text())
    assert scores["accuracy"] == 0.75
    assert (scores["probabilities"] == "used") == (name == "probabilities")


@pytest.mark.parametrize("name", [*FAULTS, *TOLERATED])
def test_columns_are_read_as_rows_are(name: str, tmp_path: Path, tables_module) -> None:
    """What the quick reader takes, the other one reads alike; what it is not sure of, it leaves."""
    content = TOLERATED[name] if name in TOLERATED else FAULTS[name][0]
    source = write_scoring_input(tmp_path / "input", content)
    files = source / "ref" / "testing_solution.csv", source / "res" / "classification_results.csv"

    columns = tables_module.match_columns(*files)

    assert (columns is not None) == (name in TOLERATED and not name.startswith("quoted"))
    if columns is not None:
        rows = tables_module.match_rows(*files)
        assert [str(text) for text in columns.names] == rows.names
        assert columns.class_names == rows.class_names
        assert (columns.reference == rows.reference).all()
        assert (columns.predictions == rows.predictions).all()
        assert np.array_equal(columns.probabilities, rows.probabilities)


@pytest.mark.parametrize("seed", range(20))
def test_columns_and_rows_of_random_tables(seed: int, tmp_path: Path, tables_module) -> None:
    """Shuffled rows, folders before names, either line end, probability columns in any order."""
    generator = np.random.default_rng(seed)
    class_names = [f"ä class {number}" for number in range(generator.integers(2, 6))]
    names = [f"{number:03d}.png" for number in generator.permutation(50)]
    classes = generator.choice(class_names, (2, 50))
    classes[0, : len(class_names)] = class_names
    order = generator.permutation(len(class_names))
    probabilities = np.round(generator.dirichlet(np.ones(len(class_names)), 50), 6)
    header = ["file", "class", *(f"probability_{class_names[column]}" for column in order)]
    end = "\r\n" if seed % 2 else "\n"
    labelled = zip(names, classes[0], strict=True)
    reference = [["file", "class"], *([f"a/b/{name}", label] for name, label in labelled)]
    rows = [[name, classes[1, n], *map(str, probabilities[n, order])] for n, name in enumerate(names)]
    predictions = [header, *(rows[n] for n in generator.permutation(50))]
    files = tmp_path / "reference.csv", tmp_path / "predictions.csv"
    for path, table in zip(files, (reference, predictions), strict=True):
        path.write_bytes(end.join(",".join(row) for row in table).encode())

    columns, by_rows = tables_module.match_columns(*files), tables_module.match_rows(*files)

    assert [str(text) for text in columns.names] == by_rows.names == names
    assert (columns.reference == by_rows.reference).all()
    assert (columns.predictions == by_rows.predictions).all()
    assert (columns.probabilities == by_rows.probabilities).all()


def test_refuses_no_csv_and_two(tmp_path: Path, score_module, capsys) -> None:
    source = write_scoring_input(tmp_path / "input", None)
    assert score_module.main(source, tmp_path / "output") == 1
    assert "no csv files; expected exactly one" in capsys.readouterr().err

    for name in ("a.csv", "b.csv"):
        (source / "res" / name).write_text(GOOD)
    assert score_module.main(source, tmp_path / "output") == 1
    assert "2 csv files: 'a.csv', 'b.csv'; expected exactly one" in capsys.readouterr().err


def test_scores_of_an_earlier_run_do_not_outlive_a_refusal(tmp_path: Path, score_module) -> None:
    source = write_scoring_input(tmp_path / "input", GOOD.encode())
    assert score_module.main(source, tmp_path / "output") == 0
    (source / "res" / "classification_results.csv").write_bytes(FAULTS["missing"][0])

    assert score_module.main(source, tmp_path / "output") == 1

    assert list((tmp_path / "output").iterdir()) == []


def test_scores_txt_is_what_two_platforms_parse(tmp_path: Path, score_module) -> None:
    source = write_scoring_input(tmp_path / "input", TOLERATED["probabilities"])

    score_module.main(source, tmp_path / "output")

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

    assert score_module.main(source, tmp_path / "output") == 0

    scores = json.loads((tmp_path / "output" / "scores.json").read_text())
    expected = precision_recall_fscore_support(reference, predictions, average="weighted", zero_division=0)
    assert [scores[f"weighted_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx(
        expected[:3], abs=1e-12
    )
    report = classification_report(reference, predictions, output_dict=True, zero_division=0)
    for class_name in class_names:
        row = scores["per_class"][class_name]
        assert [row["precision"], row["recall"], row["f1"], row["support"]] == pytest.approx(
            [report[class_name][key] for key in ("precision", "recall", "f1-score", "support")], abs=1e-12
        )
    auc = roc_auc_score(reference, probabilities, multi_class="ovr", average="weighted", labels=ordered)
    assert scores["weighted_auc"] == pytest.approx(auc, abs=1e-12)
    assert scores["log_loss"] == pytest.approx(log_loss(reference, probabilities, labels=ordered), abs=1e-12)
    text = dict(line.split(": ") for line in (tmp_path / "output" / "scores.txt").read_text().splitlines())
    assert text["weighted_f1"] == f"{expected[2]:.6f}"
    assert scores["wrong"] == int((reference != predictions).sum())


def test_weighted_scores_equal_scikit_learns_for_each_resample(metrics_module) -> None:
    generator = np.random.default_rng(0)
    reference, predictions = generator.integers(0, 3, 60), generator.integers(0, 3, 60)
    reference[reference == 2] = 1
    confusion = metrics_module.confusion_matrix(reference, predictions, 3)

    scores = metrics_module.weighted_scores(np.stack([confusion, confusion.T]))

    for row, (true, predicted) in zip(
        scores, [(reference, predictions), (predictions, reference)], strict=True
    ):
        expected = precision_recall_fscore_support(true, predicted, average="weighted", zero_division=0)[:3]
        assert row == pytest.approx(expected, abs=1e-12)


def test_intervals_agree_with_resampled_rows(metrics_module) -> None:
    generator = np.random.default_rng(1)
    reference = generator.integers(0, 3, 200)
    predictions = np.where(generator.random(200) < 0.8, reference, generator.integers(0, 3, 200))

    intervals = metrics_module.bootstrap_intervals(metrics_module.confusion_matrix(reference, predictions, 3))

    rows = generator.integers(0, 200, (1000, 200))
    resampled = [f1_score(reference[row], predictions[row], average="weighted") for row in rows]
    assert intervals["weighted_f1"] == pytest.approx(np.percentile(resampled, [2.5, 97.5]), abs=0.012)


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
    assert score_module.main(source, tmp_path / "output") == 0
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


def test_a_class_that_is_never_predicted_counts_with_nothing(metrics_module) -> None:
    confusion = np.array([[4, 0, 0], [0, 4, 0], [4, 0, 0]])
    scores, per_class = metrics_module.classification_scores(confusion, ["a", "b", "c"])
    assert per_class["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 4}
    assert scores["macro_precision"] == pytest.approx(0.5)
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 1.0) / 3)
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert metrics_module.weighted_scores(confusion) == pytest.approx([0.5, 2 / 3, 5 / 9])


def test_intervals_are_of_95_percent(metrics_module) -> None:
    # Accuracy (the weighted recall) is binomial: 1.96 standard errors to either side.
    confusion = np.array([[240, 60], [40, 160]])
    low, high = metrics_module.bootstrap_intervals(confusion)["weighted_recall"]
    half = 1.959964 * (0.8 * 0.2 / 500) ** 0.5
    # One of 90 % would be 16 % narrower.
    assert (high - low) / (2 * half) == pytest.approx(1.0, abs=0.08)
    assert (high + low) / 2 == pytest.approx(0.8, abs=0.005)


def test_calibration_error_of_several_bins(metrics_module) -> None:
    # Bins of 1/15: 0.58 and 0.59 in one, 0.9 in another; each bin by its share of the cases.
    sure = np.array([0.58, 0.59, 0.9, 0.9, 0.9])
    probabilities = np.stack([sure, 1.0 - sure], axis=1)
    reference = np.array([0, 1, 0, 0, 1])
    first = abs((0.58 + 0.59) / 2 - 1 / 2) * 2 / 5
    second = abs(0.9 - 2 / 3) * 3 / 5
    assert metrics_module.calibration_error(reference, probabilities) == pytest.approx(first + second)


def test_calibration_error_of_known_cases(metrics_module) -> None:
    sure_and_right = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert metrics_module.calibration_error(np.array([0, 1]), sure_and_right) == 0.0
    assert metrics_module.calibration_error(np.array([1, 0]), sure_and_right) == 1.0
    half = np.array([[0.8, 0.2]] * 4)
    assert metrics_module.calibration_error(np.array([0, 0, 1, 1]), half) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("0.5,0.6", "does not sum to 1"),
        ("nan,1", "not from 0 to 1"),
        ("-0.5,1.5", "not from 0 to 1"),
        ("inf,0", "not from 0 to 1"),
        ("half,0.5", "not a number"),
    ],
)
def test_bad_probabilities_refuse_nothing_but_are_not_used(
    cells: str, reason: str, tmp_path: Path, score_module
) -> None:
    good = TOLERATED["probabilities"].decode()
    source = write_scoring_input(tmp_path / "input", good.replace("0.6,0.4", cells).encode())

    assert score_module.main(source, tmp_path / "output") == 0

    scores = json.loads((tmp_path / "output" / "scores.json").read_text())
    assert reason in scores["probabilities"]
    assert "line 4" in scores["probabilities"]
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

    assert score_module.main(source, tmp_path / "output") == 0

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

    assert score_module.main(source, tmp_path / "output") == 1

    assert "testing_solution.csv:3: '000001.jpg' appears twice" in capsys.readouterr().err


def test_true_classes_are_shown_only_when_asked_for(tmp_path: Path, score_module) -> None:
    """One csv that says the same everywhere must not get the whole reference for an answer."""
    rows = "".join(f"{name},Hand\n" for name in REFERENCE)
    source = write_scoring_input(tmp_path / "input", f"file,class\n{rows}".encode())

    assert score_module.main(source, tmp_path / "public") == 0
    assert score_module.main(source, tmp_path / "private", show_cases=True) == 0

    public = "".join(path.read_text() for path in sorted((tmp_path / "public").iterdir()))
    assert not any(name in public for name in REFERENCE)
    private = json.loads((tmp_path / "private" / "scores.json").read_text())
    expected = {name: class_name for name, class_name in REFERENCE.items() if class_name != "Hand"}
    assert {case["file"]: case["reference"] for case in private["wrong_cases"]} == expected
    page = (tmp_path / "private" / "detailed_results.html").read_text()
    assert all(name in page for name in expected)


def test_a_link_is_no_submission(tmp_path: Path, score_module, capsys) -> None:
    source = write_scoring_input(tmp_path / "input", GOOD.encode())
    for path in (source / "res").iterdir():
        path.unlink()
    (source / "res" / "mine.csv").symlink_to(source / "ref" / "testing_solution.csv")

    assert score_module.main(source, tmp_path / "output") == 1

    assert "mine.csv: a link or a folder" in capsys.readouterr().err
