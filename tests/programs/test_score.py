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


def write_task(source: Path, **more: object) -> None:
    document = {"version": 1, "task": "classification", "class_names": ["CXR", "Hand"], **more}
    (source / "ref" / "task.json").write_text(json.dumps(document))


def test_a_metric_that_the_task_lacks_is_the_organisers_fault(tmp_path: Path, score_module, capsys) -> None:
    source = write_scoring_input(tmp_path / "input", GOOD.encode())
    write_task(source, metric="dice")
    assert run(score_module, source, tmp_path / "output", "--private", tmp_path / "private") == 1
    assert "expected a metric of weighted_precision, " in capsys.readouterr().err
    (found,) = json.loads((tmp_path / "private" / "findings.json").read_text())
    assert found["code"] == "task-invalid"


@pytest.mark.parametrize(
    ("cells", "code"),
    [("0.6,0.4", None), ("0.6,0.6", "probabilities-needed"), (None, "probabilities-needed")],
)
def test_a_metric_of_probabilities_needs_them(
    cells: str | None, code: str | None, tmp_path: Path, score_module
) -> None:
    """One team without probabilities must not keep the board of all the others from ranking."""
    text = GOOD if cells is None else TOLERATED["probabilities"].decode().replace("0.6,0.4", cells)
    source = write_scoring_input(tmp_path / "input", text.encode())
    write_task(source, metric="weighted_auc")
    status = run(score_module, source, tmp_path / "output", "--private", tmp_path / "private")
    check = score_module.main(["--check", str(source), str(tmp_path / "checked")])
    assert (status, check) == ((0, 0) if code is None else (1, 1))
    if code:
        for path in (tmp_path / "private" / "findings.json", tmp_path / "checked" / "findings.json"):
            assert [found["code"] for found in json.loads(path.read_text())] == [code]
    else:
        assert (
            json.loads((tmp_path / "output" / "scores.json").read_text())["details"]["metric"]
            == "weighted_auc"
        )
        assert json.loads((tmp_path / "checked" / "findings.json").read_text()) == []


def test_classes_with_few_cases_show_no_area(tmp_path: Path, score_module) -> None:
    """With one positive case its place among the participant's own probabilities is the case itself."""
    source = write_scoring_input(tmp_path / "input", TOLERATED["probabilities"])
    assert run(score_module, source, tmp_path / "public") == 0
    assert run(score_module, source, tmp_path / "own", "--show-cases") == 0
    public, own = (
        json.loads((tmp_path / name / "scores.json").read_text())["details"]["per_class"]["Hand"]
        for name in ("public", "own")
    )
    assert public.keys() == {"precision", "recall", "f1", "support"}
    assert own.keys() == {*public, "auc", "average_precision"}


# Parts, the organiser's files, checks, comparisons


def ten_cases(folder: Path) -> Path:
    source = folder / "input"
    for name in ("ref", "res"):
        (source / name).mkdir(parents=True)
    rows = [(f"{n}.png", "ab"[n % 2], "ab"[n in (1, 3, 4, 5, 7, 9)], f"p{n // 3}") for n in range(10)]
    known = "".join(
        f"{name},{label},{group},{'FM'[n % 2]}\n" for n, (name, label, _, group) in enumerate(rows)
    )
    (source / "ref" / "testing_solution.csv").write_text("file,class,group,meta_sex\n" + known)
    given = "".join(f"{name},{answer}\n" for name, _, answer, _ in reversed(rows))
    (source / "res" / "r.csv").write_text("file,class\n" + given)
    return source


def test_parts_are_scored_in_one_run(tmp_path: Path, score_module) -> None:
    source, parts = ten_cases(tmp_path), {"public": ["1.png", "0.png", "4.png"], "final": ["9.png", "8.png"]}
    (tmp_path / "parts.json").write_text(json.dumps(parts))
    output, private = tmp_path / "output", tmp_path / "private"
    options = ("--private", private, "--parts", tmp_path / "parts.json", "--resamples", 300)

    assert run(score_module, source, output, *options) == 0

    assert sorted(path.name for path in output.iterdir()) == ["final", "public"]
    scores = {part: json.loads((output / part / "scores.json").read_text()) for part in parts}
    assert scores["public"]["accuracy"] == pytest.approx(2 / 3)
    assert (scores["public"]["details"]["cases"], scores["public"]["details"]["groups"]) == (3, 2)
    assert (scores["final"]["accuracy"], scores["final"]["details"]["groups"]) == (1.0, None)
    for part, names in parts.items():
        with (private / part / "cases.csv").open(newline="") as opened:
            rows = list(csv.DictReader(opened))
        assert [row["case"] for row in rows] == sorted(names)
        assert {row["group"] for row in rows} == {f"p{int(name[0]) // 3}" for name in names}
        with np.load(private / part / "resamples.npz") as arrays:
            assert arrays["accuracy"].shape == (300,)
            assert len(str(arrays["draws"])) == 64


def test_the_organisers_file_has_a_value_per_case(tmp_path: Path, score_module) -> None:
    source = ten_cases(tmp_path)
    assert run(score_module, source, tmp_path / "output", "--private", tmp_path / "private") == 0
    with (tmp_path / "private" / "cases.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert list(rows[0])[:4] == ["case", "group", "answer", "wrong"]
    assert [row["answer"] for row in rows] == list("ababbbabab")
    assert [row["wrong"] for row in rows] == list("0000100000")
    assert [row["meta_sex"] for row in rows] == list("FMFMFMFMFM")
    scores = json.loads((tmp_path / "output" / "scores.json").read_text())
    assert np.mean([float(row["accuracy"]) for row in rows]) == pytest.approx(scores["accuracy"]) == 0.9
    # Nothing of it is in what participants see.
    public = "".join(path.read_text() for path in (tmp_path / "output").iterdir())
    assert ".png" not in public


def test_every_submission_is_resampled_alike(tmp_path: Path, score_module) -> None:
    """The draws depend on names and groups alone: not on the order of rows, nor on the predictions."""
    source = ten_cases(tmp_path)
    drawn = []
    for number, answer in enumerate(("as it is", "other", "reference reversed")):
        if number == 1:
            rows = "".join(f"{n}.png,a\n" for n in range(10))
            (source / "res" / "r.csv").write_text("file,class\n" + rows)
        if number == 2:
            header, *rows = (source / "ref" / "testing_solution.csv").read_text().splitlines()
            (source / "ref" / "testing_solution.csv").write_text("\n".join([header, *reversed(rows)]) + "\n")
        private = tmp_path / answer
        assert run(score_module, source, tmp_path / "output", "--private", private) == 0
        with np.load(private / "resamples.npz") as arrays:
            drawn.append((str(arrays["draws"]), arrays["accuracy"]))
    assert drawn[0][0] == drawn[1][0] == drawn[2][0]
    assert (drawn[1][1] == drawn[2][1]).all()
    assert not (drawn[0][1] == drawn[1][1]).all()


def test_a_check_needs_no_reference(tmp_path: Path, score_module, capsys) -> None:
    source = write_scoring_input(tmp_path / "input", GOOD.replace("000003.jpg,CXR\n", "").encode())
    (source / "ref" / "testing_solution.csv").unlink()
    (source / "ref" / "cases.csv").write_text("file\n" + "\n".join(REFERENCE))
    write_task(source)
    assert score_module.main(["--check", str(source)]) == 1
    assert "error: " in capsys.readouterr().err
    assert score_module.main(["--check", str(source), str(tmp_path / "out")]) == 1
    (found,) = json.loads((tmp_path / "out" / "findings.json").read_text())
    assert (found["code"], found["severity"], found["row"]) == ("csv-missing-image", "error", None)
    (source / "res" / "classification_results.csv").write_text(GOOD)
    assert score_module.main(["--check", str(source)]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["findings.json"]


def test_a_comparison_counts_the_cases_that_differ(tmp_path: Path, score_module) -> None:
    source = write_scoring_input(tmp_path / "input", TOLERATED["probabilities"])
    other = TOLERATED["probabilities"].decode().replace("000003.jpg,CXR,0.6,0.4", "000003.jpg,Hand,0.35,0.65")
    (tmp_path / "other.csv").write_text(other)
    (tmp_path / "renamed.csv").write_text(other.replace("00000", "image"))
    names = {f"image{number}.jpg": f"00000{number}.jpg" for number in range(1, 5)}
    (tmp_path / "names.json").write_text(json.dumps(names))
    for options in (("other.csv",), ("renamed.csv", "--names", tmp_path / "names.json")):
        more = ("--compare", tmp_path / options[0], *options[1:])
        assert run(score_module, source, tmp_path / "output", *more) == 0
        document = json.loads((tmp_path / "output" / "comparison.json").read_text())
        assert document == {"changed": 1, "largest": pytest.approx(0.25)}
    (tmp_path / "other.csv").write_text(GOOD)
    assert run(score_module, source, tmp_path / "output", "--compare", tmp_path / "other.csv") == 0
    document = json.loads((tmp_path / "output" / "comparison.json").read_text())
    assert document == {"changed": 0, "largest": 1.0}


def test_no_part_is_left_of_a_run_that_is_refused(tmp_path: Path, score_module) -> None:
    source = ten_cases(tmp_path)
    (tmp_path / "parts.json").write_text(json.dumps({"all": [f"{n}.png" for n in range(10)]}))
    options = ("--parts", tmp_path / "parts.json", "--private", tmp_path / "private")
    assert run(score_module, source, tmp_path / "output", *options) == 0
    assert (tmp_path / "output" / "all" / "scores.json").exists()
    (source / "res" / "r.csv").write_text("file,class\n0.png,c\n")
    assert run(score_module, source, tmp_path / "output", *options) == 1
    assert [path for path in (tmp_path / "output").rglob("*") if path.is_file()] == []
