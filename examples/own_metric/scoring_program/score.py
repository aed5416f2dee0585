"""What the mistakes of a submission cost: a missed disease costs 10, any other mistake 1; lower is better.

python score.py [--check] [INPUT OUTPUT] [--private DIR] [--resamples R]
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path, PurePosixPath

import numpy as np

from resampling import RESAMPLES, influences, percentile_interval, resample_all, write_private

DISEASES = ("PNEUMONIA", "ChestCT")
MISSED, OTHER_MISTAKE = 10.0, 1.0
# What may occur but has not, together as one patient more: without it, a flawless entry's interval would
# have no width.
PRIOR_COSTS, PRIOR_SHARES = np.array([0.0, OTHER_MISTAKE, MISSED]), [0.5, 0.25, 0.25]


class Fault(Exception):
    """Predictions that cannot be scored: a code of findings.json, and the line of the csv."""

    def __init__(self, code: str, row: int | None = None) -> None:
        told = json.loads(Path(__file__).with_name("findings.json").read_text())[code]
        self.finding = {"code": code, "severity": "error", "location": "predictions", "row": row, **told}
        super().__init__(f"{'' if row is None else f'line {row}: '}{told['message']}; {told['hint']}")


def read_classes(folder: Path, names: set[str] | None = None) -> dict[str, dict[str, str]]:
    """Rows of the one csv in a folder by the image's name, in order; `names`, if given, are what it has."""
    paths = sorted(folder.glob("*.csv"))
    if len(paths) != 1 or not paths[0].is_file() or paths[0].is_symlink():
        raise Fault("predictions-missing")
    rows: dict[str, dict[str, str]] = {}
    with paths[0].open(newline="", encoding="utf-8-sig", errors="replace") as opened:
        reader = csv.DictReader(opened)
        if not {"file", "class"} <= set(reader.fieldnames or ()):
            raise Fault("columns", 1)
        for row in reader:
            name = PurePosixPath(row["file"]).name
            if name in rows:
                raise Fault("case-twice", reader.line_num)
            rows[name] = row
    if names is not None and rows.keys() != names:
        raise Fault("cases-differ")
    return dict(sorted(rows.items()))


def score(options: argparse.Namespace) -> None:
    """Score the predictions, and write what participant and organiser get."""
    reference = read_classes(options.input / "ref")
    predicted = read_classes(options.input / "res", set(reference))
    names, truth = list(reference), [row["class"] for row in reference.values()]
    answers = [predicted[name]["class"] for name in names]
    wrong = np.array(answers) != np.array(truth)
    costs = np.where(wrong, np.where(np.isin(truth, DISEASES), MISSED, OTHER_MISTAKE), 0.0)
    patients = [row.get("group") or "" for row in reference.values()]
    alone = [row.get("group") or f"image {name}" for name, row in reference.items()]
    groups = np.unique(alone, return_inverse=True)[1]

    def mean_cost(weights: np.ndarray) -> dict[str, np.ndarray]:
        # Prior cases, where there are some, are the last.
        known = np.append(costs, PRIOR_COSTS)[: weights.shape[1]]
        return {"mean_cost": weights @ known / weights.sum(axis=1)}

    resampled = resample_all(mean_cost, groups, options.resamples, prior=PRIOR_SHARES)
    if options.private:
        columns = {"answer": answers, "wrong": wrong.astype(int), "mean_cost": costs}
        moved = influences(mean_cost, groups)
        write_private(options.private, names, groups, columns, resampled, moved, patients)
    interval = percentile_interval(resampled["mean_cost"], groups)
    details = {
        "metric": "mean_cost",
        "cases": len(names),
        "groups": int(groups.max()) + 1 if any(patients) else None,
        "intervals": {"mean_cost": interval},
    }
    scores = {"mean_cost": costs.mean(), "higher_is_better": {"mean_cost": False}, "details": details}
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
    (options.output / "scores.txt").write_text(f"mean_cost: {scores['mean_cost']:.6f}\n")


def check(options: argparse.Namespace) -> None:
    """Read the predictions alone; the test's names are those of ref/cases.csv, or of the reference."""
    listed = options.input / "ref" / "cases.csv"
    path = listed if listed.is_file() else options.input / "ref" / "testing_solution.csv"
    with path.open(newline="", encoding="utf-8") as opened:
        names = {PurePosixPath(row["file"]).name for row in csv.DictReader(opened)}
    read_classes(options.input / "res", names)


def main() -> int:
    """Status 1, and a line on stderr, if the predictions are at fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("input", nargs="?", type=Path, default=Path("input"))
    parser.add_argument("output", nargs="?", type=Path, default=Path("output"))
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--private", type=Path)
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    # Whatever else a run asks for, such as --show-cases, changes nothing here.
    options = parser.parse_known_args()[0]
    try:
        check(options) if options.check else score(options)
    except Fault as fault:
        folder = options.output if options.check else options.private
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "findings.json").write_text(json.dumps([fault.finding], indent=2) + "\n")
        parser.exit(1, f"{fault}\n")
    return 0


if __name__ == "__main__":
    main()
