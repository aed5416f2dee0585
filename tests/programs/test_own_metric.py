"""examples/own_metric: a scoring program with a metric of its own, and the project's resampling.py."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from challenge_bundle.installation import PROJECT_ROOT

PROGRAM = PROJECT_ROOT / "examples" / "own_metric" / "scoring_program"
TRUTH = ["NORMAL"] * 6 + ["PNEUMONIA"] * 6
PATIENTS = [f"g{number // 2}" for number in range(12)]


def write_input(folder: Path, answers: list[str], groups: bool = True) -> Path:
    (folder / "ref").mkdir(parents=True, exist_ok=True)
    (folder / "res").mkdir(exist_ok=True)
    header = "file,class,group\n" if groups else "file,class\n"
    rows = [
        f"testing-data/{n:03d}.png,{name}{',' + PATIENTS[n] if groups else ''}\n"
        for n, name in enumerate(TRUTH)
    ]
    (folder / "ref" / "testing_solution.csv").write_text(header + "".join(rows))
    lines = [f"{number:03d}.png,{name}\n" for number, name in enumerate(answers)]
    (folder / "res" / "classification_results.csv").write_text("file,class\n" + "".join(lines[::-1]))
    return folder


def run(*arguments: object, status: int = 0) -> str:
    command = [sys.executable, "-B", str(PROGRAM / "score.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stderr


def test_its_helper_is_the_projects() -> None:
    projects = PROJECT_ROOT / "scoring_program" / "resampling.py"
    assert (PROGRAM / "resampling.py").read_bytes() == projects.read_bytes()


def test_a_missed_disease_costs_ten_false_alarms_one(tmp_path: Path) -> None:
    answers = ["PNEUMONIA", "PNEUMONIA", *TRUTH[2:11], "NORMAL"]
    run(write_input(tmp_path / "in", answers), tmp_path / "out", "--show-cases")
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores["mean_cost"] == (1 + 1 + 10) / 12
    assert scores["higher_is_better"] == {"mean_cost": False}
    assert scores["details"]["groups"] == 6
    low, high = scores["details"]["intervals"]["mean_cost"]
    assert 0 <= low < 1 < high <= 10
    assert (tmp_path / "out" / "scores.txt").read_text() == "mean_cost: 1.000000\n"


def test_the_organisers_files_are_the_boards(tmp_path: Path) -> None:
    answers = ["PNEUMONIA", *TRUTH[1:]]
    folder = write_input(tmp_path / "in", answers)
    run(folder, tmp_path / "out", "--private", tmp_path / "private", "--resamples", 500)
    with (tmp_path / "private" / "cases.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["case"] for row in rows] == [f"{number:03d}.png" for number in range(12)]
    assert [row["group"] for row in rows] == PATIENTS
    assert [float(row["mean_cost"]) for row in rows] == [1.0] + [0.0] * 11
    assert [row["wrong"] for row in rows] == ["1"] + ["0"] * 11
    with np.load(tmp_path / "private" / "resamples.npz") as arrays:
        assert arrays["mean_cost"].shape == (500,)
        assert arrays["influence/mean_cost"].shape == (6,)
        # Group 0 has the one mistake: leaving it out lowers the cost by 1/12.
        np.testing.assert_allclose(arrays["influence/mean_cost"].sum(), 0, atol=1e-12)
        assert arrays["influence/mean_cost"].argmax() == 0
        assert str(arrays["draws"]) == _draws(folder, 500)


def _draws(folder: Path, resamples: int) -> str:
    import hashlib

    digest = hashlib.sha256(f"bayesian bootstrap 1\n{resamples}\n0\n".encode())
    digest.update("\n".join(f"{number:03d}.png" for number in range(12)).encode())
    digest.update(np.repeat(np.arange(6), 2).astype("<i8").tobytes())
    return digest.hexdigest()


def test_a_flawless_entrys_interval_has_a_width(tmp_path: Path) -> None:
    run(write_input(tmp_path / "in", TRUTH, groups=False), tmp_path / "out")
    details = json.loads((tmp_path / "out" / "scores.json").read_text())["details"]
    low, high = details["intervals"]["mean_cost"]
    assert 0 <= low < 0.01
    assert high > 0.1
    assert details["groups"] is None


FAULTS = {
    "columns": "name,class\n000.png,NORMAL\n",
    "case-twice": "file,class\n000.png,NORMAL\n000.png,NORMAL\n",
    "cases-differ": "file,class\n000.png,NORMAL\n",
    "predictions-missing": None,
}


@pytest.mark.parametrize("code", FAULTS)
@pytest.mark.parametrize("checked", [False, True], ids=["scored", "checked"])
def test_faults_are_of_its_closed_list(code: str, checked: bool, tmp_path: Path) -> None:
    folder = write_input(tmp_path / "in", TRUTH)
    path = folder / "res" / "classification_results.csv"
    text = FAULTS[code]
    path.write_text(text) if text else path.unlink()
    if checked:
        (folder / "ref" / "cases.csv").write_text("file\n" + "".join(f"{n:03d}.png\n" for n in range(12)))
        (folder / "ref" / "testing_solution.csv").unlink()
    options = ["--check"] if checked else ["--private", tmp_path / "private"]
    listed = json.loads((PROGRAM / "findings.json").read_text())
    said = run(folder, tmp_path / "out", *options, status=1)
    assert said.strip().endswith(listed[code]["hint"])
    place = tmp_path / ("out" if checked else "private")
    (finding,) = json.loads((place / "findings.json").read_text())
    assert finding["code"] == code
    assert finding["hint"] == listed[code]["hint"]
    assert not (tmp_path / "out" / "scores.json").exists()


def test_a_check_of_valid_predictions_needs_no_reference(tmp_path: Path) -> None:
    folder = write_input(tmp_path / "in", TRUTH)
    (folder / "ref" / "cases.csv").write_text("file\n" + "".join(f"{n:03d}.png\n" for n in range(12)))
    (folder / "ref" / "testing_solution.csv").unlink()
    run("--check", folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
