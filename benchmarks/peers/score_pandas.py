"""Peer: pandas.read_csv and classification_report on the label columns; no checks, no intervals."""

import sys
from pathlib import Path

import pandas as pd
from sklearn.metrics import classification_report


def main(in_dir: Path, out_dir: Path) -> None:
    reference = pd.read_csv(in_dir / "ref" / "testing_solution.csv")
    predictions = pd.read_csv(in_dir / "res" / "classification_results.csv")
    report = classification_report(reference["class"], predictions["class"], output_dict=True)
    average = report["weighted avg"]
    (out_dir / "scores.txt").write_text(
        "".join(
            f"weighted_{name}: {average[key]:.6f}\n"
            for name, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score"))
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
