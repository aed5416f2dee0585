"""Training: a random forest of scikit-learn on small thumbnails; no torch, no ONNX.

Classes are learnt by a forest of classifiers. Ranks of an ordinal task, zeros and ones of a multilabel task
and the values of a regression are numbers, learnt by a forest of regressors: the mean over its trees is the
expected rank, a probability or a value.

python train.py [IN_DIR OUT_DIR]
"""

import csv
import json
import pickle
import sys
from pathlib import Path
from typing import Any

from features import describe
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor


def main(in_dir: Path, out_dir: Path) -> None:
    """Write forest/trees.pkl, which program.toml promises, and two files more: they are kept as well."""
    settings = json.loads(Path(__file__).with_name("settings.json").read_text())
    path = in_dir / "task.json"
    task = json.loads(path.read_text()) if path.is_file() else {"task": "classification"}
    with (in_dir / "training_solution.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    kind = RandomForestClassifier if task["task"] == "classification" else RandomForestRegressor
    forest = kind(settings["trees"], random_state=0)
    forest.fit([describe(in_dir / row["file"]) for row in rows], [target_of(row, task) for row in rows])
    (out_dir / "forest").mkdir(parents=True, exist_ok=True)
    (out_dir / "forest" / "trees.pkl").write_bytes(pickle.dumps({"task": task, "forest": forest}))
    (out_dir / "notes.txt").write_text(f"{settings['trees']} trees")
    (out_dir / "model.json").write_text('{"trees": 20}')
    print(f"wrote forest/trees.pkl: {settings['trees']} trees")


def target_of(row: dict[str, str], task: dict[str, Any]) -> Any:
    """What is learnt of one image."""
    if task["task"] == "regression":
        return float(row["value"])
    if task["task"] == "multilabel":
        return [float(row[name]) for name in task["class_names"]]
    return task["class_names"].index(row["class"]) if task["task"] == "ordinal" else row["class"]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3] or ("/mnt/in", "/mnt/out")))
