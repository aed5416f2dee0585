"""Resample a ranking the direct way: draw rows, count each entry's confusion matrix, score, sort.

    python rank_direct.py FOLDER RESAMPLES

FOLDER holds reference.npy (N,) and predictions.npy (S, N). Prints the 95 % rank intervals by weighted F1.
"""

import json
import sys
from pathlib import Path

import numpy as np


def weighted_f1(reference, predictions, class_count):
    cells = np.bincount(reference * class_count + predictions, minlength=class_count**2)
    confusion = cells.reshape(class_count, class_count)
    support = confusion.sum(axis=1)
    f1 = 2 * confusion.diagonal() / np.maximum(support + confusion.sum(axis=0), 1)
    return (f1 * support).sum() / support.sum()


def main(folder, resamples):
    reference = np.load(folder / "reference.npy")
    predictions = np.load(folder / "predictions.npy")
    class_count = int(max(reference.max(), predictions.max())) + 1
    rng = np.random.default_rng(0)
    ranks = []
    for _ in range(resamples):
        cases = rng.integers(len(reference), size=len(reference))
        drawn = reference[cases]
        scores = np.array([weighted_f1(drawn, labels[cases], class_count) for labels in predictions])
        ranks.append(1 + (scores > scores[:, np.newaxis] + 1e-12).sum(axis=1))
    bounds = np.percentile(ranks, [2.5, 97.5], axis=0, method="inverted_cdf")
    print(json.dumps(bounds.T.tolist()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
