"""A participant's own inference: loads the pickled forest."""

import argparse
import csv
import pickle
from pathlib import Path

from features import describe


def main() -> None:
    """Write classification_results.csv."""
    parser = argparse.ArgumentParser()
    parser.add_argument("in_dir", nargs="?", default="/mnt/in", type=Path)
    parser.add_argument("out_dir", nargs="?", default="/mnt/out", type=Path)
    # With `--runner local` the tool says where the model is; in the image it lies beside this folder.
    model_dir = Path(__file__).resolve().parent.parent / "model_output"
    parser.add_argument("--model", default=model_dir, type=Path)
    told = parser.parse_args()
    forest = pickle.loads((told.model / "forest" / "trees.pkl").read_bytes())
    files = sorted(path for path in told.in_dir.iterdir() if not path.name.startswith("."))
    with (told.out_dir / "classification_results.csv").open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["file", "class"])
        predictions = forest.predict([describe(path) for path in files])
        writer.writerows((path.name, name) for path, name in zip(files, predictions, strict=True))


if __name__ == "__main__":
    main()
