"""Inference: images and the pickled forest in, classification_results.csv out.

python infer.py [IN_DIR OUT_DIR] [--model FOLDER]
"""

import argparse
import csv
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from features import describe


def main(in_dir: Path, out_dir: Path, model_dir: Path) -> None:
    """Write one row per image."""
    model = pickle.loads((model_dir / "forest" / "trees.pkl").read_bytes())
    name, class_names = model["task"]["task"], model["task"].get("class_names", [])
    columns = {"regression": ["value"], "multilabel": class_names}
    files = sorted(path for path in in_dir.iterdir() if not path.name.startswith("."))
    with (out_dir / "classification_results.csv").open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["file", *columns.get(name, ["class"])])
        predictions = model["forest"].predict([describe(path) for path in files])
        for path, prediction in zip(files, predictions, strict=True):
            writer.writerow([path.name, *answer(name, class_names, prediction)])


def answer(task: str, class_names: list[str], prediction: Any) -> list[str]:
    """An image's cells after its name; the prediction: a class, a number, or a number for each label."""
    if task == "classification":
        return [prediction]
    if task == "ordinal":
        return [class_names[int(prediction + 0.5)]]
    return [f"{number:.6g}" for number in np.atleast_1d(prediction)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("in_dir", nargs="?", default="/mnt/in", type=Path)
    parser.add_argument("out_dir", nargs="?", default="/mnt/out", type=Path)
    # In the image and in the zip the model lies beside this folder; `--runner local` names the folder.
    model_dir = Path(__file__).resolve().parent.parent / "model_output"
    parser.add_argument("--model", default=model_dir, type=Path)
    parsed = parser.parse_args()
    main(parsed.in_dir, parsed.out_dir, parsed.model)
