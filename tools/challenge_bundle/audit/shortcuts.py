"""Label leakage: can the class be predicted without the pixels, from names, order, times, sizes, metadata?"""

import re
import warnings
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from challenge_bundle.audit.base import UNKNOWN, AuditFinding, Figures, ImageTable, left_out
from challenge_bundle.findings import ERROR, NOTE, WARNING, Finding
from challenge_bundle.formats.tasks import MULTILABEL, REGRESSION
from challenge_bundle.layout import SPLITS

FOLDS = 5
MIN_GAIN = 0.05
"""In accuracy over always saying the most common class; a gain that is sure but small harms nobody."""
STRONG_SHARE = 0.5
"""Of the way from that accuracy to 1; from there on a leak is an error."""
MAX_P_VALUE = 0.001
MIN_IMAGES_A_LEAF = 5
MAX_LABELS = 20
"""Of a multilabel task; those that split the images most evenly."""

_KINDS = {
    "name": Finding(
        "shortcut-file-name",
        ERROR,
        "",
        "the file name",
        "number the images in random order, as `data import --new-names` does",
    ),
    "order": Finding(
        "shortcut-order", WARNING, "", "the place in the csv", "sort the csvs by names that carry no meaning"
    ),
    "time": Finding(
        "shortcut-file-time",
        ERROR,
        "",
        "the time of the file",
        "give all files one time, as `data import` does",
    ),
    "metadata": Finding(
        "shortcut-metadata",
        ERROR,
        "",
        "the file's metadata (format, compression, EXIF)",
        "remove EXIF and texts with `data import --strip-metadata`; where it is format or compression,"
        " save all images again with one program and one setting",
    ),
    "dimensions": Finding(
        "shortcut-dimensions",
        WARNING,
        "",
        "the combination of width, height and mode",
        "bring all images to one size and mode",
    ),
    "bytes": Finding(
        "shortcut-file-size",
        WARNING,
        "",
        "the size in bytes",
        "do nothing if the pictures themselves compress differently; else save all images alike",
    ),
}
"""Each kind, its message without the accuracy."""

_ALWAYS_WARNINGS = ("order", "dimensions", "bytes")
"""They may be of the pictures themselves, or are not seen by participants."""


def find_shortcuts(images: ImageTable) -> list[AuditFinding]:
    """Find what predicts the class without the pixels.

    A decision tree is asked for the class of each image after it was grown on other images (5 folds); its
    accuracy is compared with that of always predicting the most common class.

    Args:
        images: All images; those of unknown class are ignored.

    Returns:
        An error or a warning for each kind that predicts it, and a note with all figures.
    """
    rows = np.flatnonzero(images.labels != UNKNOWN)
    asked = _questions(images, rows)
    if not asked:
        return [left_out("telling", f"predicting the class needs two classes of {FOLDS} images or more")]
    findings: list[AuditFinding] = []
    table: list[tuple[str | int | float, ...]] = []
    for kind, features in _features(images).items():
        template = _KINDS[kind]
        what = template.message
        measured = [
            (name, *measure_shortcut(features[rows], labels), labels) for name, labels in asked.items()
        ]
        name, accuracy, p_value, labels = min(measured, key=lambda one: (one[2], -one[1]))
        # As many questions, as many chances to be right by chance (Bonferroni).
        p_value = min(1.0, p_value * len(asked))
        chance = float(np.bincount(labels).max() / len(labels))
        table.append((what, round(accuracy, 4), round(chance, 4), float(f"{p_value:.2g}")))
        if p_value <= MAX_P_VALUE and accuracy - chance >= MIN_GAIN:
            strong = accuracy - chance >= STRONG_SHARE * (1.0 - chance)
            if kind == "bytes" and not strong:
                continue  # pictures that show more take more bytes, in any valid set
            message = (
                f"{what} predicts {name}: right for {accuracy:.1%} of the images, by chance {chance:.1%}"
            )
            severity = ERROR if strong and kind not in _ALWAYS_WARNINGS else WARNING
            finding = replace(template, severity=severity, message=message)
            findings.append(AuditFinding("telling", finding, round(accuracy * len(rows))))
    figures = Figures(("predicted from", "accuracy", "most common answer", "p"), tuple(table))
    what = f"accuracy of a decision tree on {len(rows):,} images without their pixels"
    return [*findings, AuditFinding("telling", Finding("shortcuts", NOTE, "", what), figures=figures)]


def _questions(images: ImageTable, rows: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """What a tree is asked for, in words, with the right answers (M,): the class, a label, a quarter."""
    targets = images.targets(rows)
    if images.task == REGRESSION:
        bounds = np.quantile(targets, (0.25, 0.5, 0.75)) if len(targets) else np.empty(0)
        asked = {"the value's quarter": np.searchsorted(bounds, targets, side="left")}
    elif images.task == MULTILABEL:
        common = np.argsort(-np.minimum(targets.sum(axis=0), (~targets).sum(axis=0)), kind="stable")
        asked = {
            f"the label {images.class_names[label]}": targets[:, label].astype(np.int64)
            for label in common[:MAX_LABELS]
        }
    else:
        asked = {"the class": targets}
    return {name: labels for name, labels in asked.items() if _can_be_asked(labels)}


def _can_be_asked(labels: NDArray[np.int64]) -> bool:
    counts = np.bincount(labels, minlength=1)
    there = counts[counts > 0]
    return len(there) > 1 and int(there.min()) >= FOLDS


def measure_shortcut(features: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """How well features predict classes, on images that were not learned from.

    Args:
        features: (N, F).
        labels: (N,) with FOLDS or more of each class.

    Returns:
        Accuracy, and the probability of as many right by always saying the most common class (binomial).
    """
    counts = np.bincount(labels)
    chance = float(counts.max() / len(labels))
    if (features == features[0]).all():
        return chance, 1.0
    from scipy.stats import binom
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(min_samples_leaf=MIN_IMAGES_A_LEAF, random_state=0)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        predicted = cross_val_predict(tree, features, labels, cv=folds)
    right = int((predicted == labels).sum())
    return right / len(labels), float(binom.sf(right - 1, len(labels), chance))


def _features(images: ImageTable) -> dict[str, NDArray[np.float64]]:
    """(N, F) of each kind."""
    stems = [PurePosixPath(file).stem for file in images.files]
    numbers = [[float(digits[:15]) for digits in re.findall(r"\d+", stem)] or [-1.0] for stem in stems]
    position = np.zeros(len(images))
    for split in range(len(SPLITS)):
        rows = np.flatnonzero(images.splits == split)
        position[rows] = np.arange(len(rows)) / max(1, len(rows))
    name = [
        [len(stem) for stem in stems],
        [found[0] for found in numbers],
        [found[-1] for found in numbers],
        _places([re.sub(r"\d+", "#", PurePosixPath(file).name) for file in images.files]),
    ]
    times = images.times_ns - images.times_ns.min(initial=0) if len(images) else images.times_ns
    return {
        "name": np.array(name, np.float64).T,
        "order": position[:, None],
        "time": (times / 1e6)[:, None],
        "metadata": _places(list(images.metadata))[:, None],
        "dimensions": np.column_stack([images.sizes_px, _places(list(images.modes))]).astype(np.float64),
        "bytes": images.sizes_bytes[:, None].astype(np.float64),
    }


def _places(texts: list[str]) -> NDArray[np.float64]:
    """(N,) the place of each text among the different ones, in order: similar texts are close together."""
    return np.unique(np.array(texts), return_inverse=True)[1].astype(np.float64)
