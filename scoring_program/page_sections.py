"""The page's sections below the scores: what each task has to show, as tables and charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cases import Cases
from page_charts import (
    make_plot,
    svg_bands,
    svg_dots,
    svg_line,
    svg_plot,
)
from page_data import (
    calibration,
    roc_points,
)
from page_parts import Cell, Chart, Section, Table
from page_scores import number_text
from page_values import value_sections

MOST_CURVES = 24
MOST_MATRIX_CLASSES = 40
MOST_LISTED_CASES = 500
MOST_CONFUSIONS = 40


def make_sections(cases: Cases, details: Mapping[str, Any]) -> list[Section]:
    """The sections of a task, those without content left out."""
    shown = details.get("wrong_cases") is not None
    if cases.task.name == "regression":
        found = value_sections(cases, shown)
    else:
        matrix = [confusion_section(cases.task.name, details)] if "confusion_matrix" in details else []
        found = [*matrix, class_section(cases, details), *probability_sections(cases, details, shown)]
    return [*found, *undefined_sections(details), case_section(details)]


def confusion_section(task: str, details: Mapping[str, Any]) -> Section:
    """The confusion matrix, in the order of the classes; with very many classes the most frequent errors."""
    names, counts = details["class_names"], np.array(details["confusion_matrix"])
    title = "Confusion matrix"
    if len(names) > MOST_MATRIX_CLASSES:
        return Section(
            title,
            f"With {len(names)} classes, see scores.json for the matrix; here are its most frequent errors.",
            [Table(("true class", "predicted class", "cases"), frequent_errors(names, counts), "text")],
        )
    note = "Rows are the true classes, columns the predicted ones; the shade is the share of the row."
    if task == "ordinal":
        note += " The colour goes from yellow to red with the number of ranks in between."
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = [
        [
            Cell(names[row]),
            *(
                Cell(f"{counts[row, column]:,}", style=matrix_style(task, row, column, len(names), shares))
                for column in range(len(names))
            ),
        ]
        for row in range(len(names))
    ]
    return Section(title, note, [Table(("true \\ predicted", *names), rows, "matrix")])


def frequent_errors(names: Sequence[str], counts: np.ndarray) -> list[list[Cell]]:
    """Rows of the pairs of classes that are confused most often."""
    errors = counts - np.diag(np.diag(counts))
    order = np.argsort(-errors, axis=None, kind="stable")[:MOST_CONFUSIONS].tolist()
    pairs = [divmod(cell, len(names)) for cell in order]
    return [
        [Cell(names[row]), Cell(names[column]), Cell(f"{errors[row, column]:,}")]
        for row, column in pairs
        if errors[row, column]
    ]


def matrix_style(task: str, row: int, column: int, count: int, shares: np.ndarray) -> str:
    """The colour of a cell: right, wrong, or, where classes have an order, by how far off."""
    strength = 0.03 if not shares[row, column] else 0.12 + 0.48 * shares[row, column]
    if row == column:
        return f"background: rgb(var(--right) / {strength:.3f})"
    if task != "ordinal" or count < 3:
        return f"background: rgb(var(--wrong) / {strength:.3f})"
    hue = 48 - 48 * (abs(row - column) - 1) / (count - 2)
    return f"background: hsl({hue:.0f} 95% 48% / {strength:.3f})"


def class_section(cases: Cases, details: Mapping[str, Any]) -> Section:
    """The scores of each class or label, with the columns that the metrics give."""
    word, names = "label" if cases.task.name == "multilabel" else "class", cases.task.class_names
    per_class: Mapping[str, Mapping[str, Any]] = details.get("per_class") or {}
    keys = list(dict.fromkeys(key for values in per_class.values() for key in values))
    rows = [
        [Cell(name), *(score_cell(values.get(key)) for key in keys)] for name, values in per_class.items()
    ]
    labels = cases.reference if cases.reference.ndim == 2 else None
    found = np.bincount(cases.reference, minlength=len(names)) if labels is None else labels.sum(axis=0)
    empty = [name for name, count in zip(names, found.tolist()) if not count]
    note = ""
    if empty:
        note = f"Without a positive case, and so without a curve: {', '.join(empty)}."
    return Section(f"Per {word}", note, [Table((word, *map(key_title, keys)), rows)])


def key_title(key: str) -> str:
    """What people read for a key of `per_class`."""
    known = {"f1": "F1", "auc": "AUC", "support": "positive cases", "average_precision": "average precision"}
    return known.get(key, key.replace("_", " "))


def score_cell(value: Any) -> Cell:
    """A cell with a score of a class; scores from 0 to 1 get a bar."""
    if value is None:
        return Cell("not defined")
    if isinstance(value, int):
        return Cell(f"{value:,}")
    return Cell(number_text(value), share=value if 0 <= value <= 1 else None)


def probability_sections(cases: Cases, details: Mapping[str, Any], shown: bool) -> list[Section]:
    """ROC curves and calibration; a note where there are no probabilities."""
    if cases.probabilities is None:
        return [Section("Probabilities", f"Probability columns: {details.get('probabilities', 'none')}.")]
    return [roc_section(cases, details, shown), calibration_section(cases, shown)]


def roc_section(cases: Cases, details: Mapping[str, Any], shown: bool) -> Section:
    """A ROC curve of each class against the others, or of each label."""
    names, probabilities = cases.task.class_names, cases.probabilities
    assert probabilities is not None
    per_class = details.get("per_class") or {}
    # Of two classes, the curve of the one is that of the other turned round.
    columns = [1] if len(names) == 2 and cases.task.name != "multilabel" else range(len(names))
    charts: list[Chart] = []
    for column in columns:
        positive = cases.reference[:, column] if cases.reference.ndim == 2 else cases.reference == column
        points = roc_points(positive, probabilities[:, column], shown)
        if points is not None and len(charts) < MOST_CURVES:
            auc = per_class.get(names[column], {}).get("auc")
            charts.append(roc_chart(names[column], points, auc))
    left_out = f" The first {MOST_CURVES} of {len(names)}." if len(charts) < len(names) > MOST_CURVES else ""
    coarse = "" if shown else " Curves go through few points, so that they do not reveal the reference."
    return Section(
        "ROC curves",
        "How many positive cases are found (true positive rate) at the price of how many false alarms; the"
        f" diagonal is guessing.{coarse}{left_out}",
        charts=charts,
    )


def roc_chart(name: str, points: np.ndarray, auc: float | None) -> Chart:
    """The ROC curve of one class."""
    title = name if auc is None else f"{name}: AUC {number_text(auc)}"
    plot = make_plot((0.0, 1.0, "false positive rate"), (0.0, 1.0, "true positive rate"), 230, 220)
    marks = [svg_line(plot, [(0, 0), (1, 1)], "rule"), svg_line(plot, points.tolist())]
    at = ", ".join(
        f"{height:.2f} at {rate:.2f}" for rate, height in points[1 :: max(len(points) // 5, 1)].tolist()
    )
    return Chart(
        svg_plot(title, f"ROC curve: true positive rate {at} false positive rate.", plot, marks), title
    )


def calibration_section(cases: Cases, shown: bool) -> Section:
    """How often what was predicted with some probability came true."""
    probabilities = cases.probabilities
    assert probabilities is not None
    if cases.task.name == "multilabel":
        predicted, came_true = probabilities.ravel(), cases.reference.ravel()
        what = "All labels' probabilities together: how often a label was there."
    else:
        predicted = probabilities.max(axis=1)
        came_true = probabilities.argmax(axis=1) == cases.reference
        what = "The probability of the most probable class: how often it was the true one."
    bins = calibration(predicted, came_true, shown)
    plot = make_plot((0.0, 1.0, "predicted probability"), (0.0, 1.0, "share that came true"))
    texts = [
        f"{found.cases:,} of mean {found.predicted:.3f}: {found.observed:.3f} came true" for found in bins
    ]
    places = [(found.predicted, found.observed) for found in bins]
    marks = [
        svg_line(plot, [(0, 0), (1, 1)], "rule"),
        svg_bands(plot, [(found.predicted, found.low, found.high) for found in bins]),
        svg_line(plot, places),
        svg_dots(plot, places, texts),
    ]
    note = f"{what} On the diagonal, probabilities can be taken at their word; strokes are 95 % intervals."
    if not shown:
        note += " Bins with few cases are left out."
    rows = [
        [
            Cell(f"{found.predicted:.3f}"),
            Cell(f"{found.observed:.3f}"),
            Cell(f"{found.low:.3f} to {found.high:.3f}"),
            Cell(f"{found.cases:,}"),
        ]
        for found in bins
    ]
    table = Table(("mean probability", "came true", "95 % interval", "predictions"), rows)
    chart = svg_plot("Calibration curve", "; ".join(texts), plot, marks)
    return Section("Calibration", note, [table], [Chart(chart)])


def undefined_sections(details: Mapping[str, Any]) -> list[Section]:
    """What has no score, and why."""
    undefined = details.get("undefined") or {}
    rows = [[Cell(name.replace("_", " ")), Cell(str(reason))] for name, reason in undefined.items()]
    note = "No number stands for these; means over classes are of those that have one."
    return [Section("Not defined here", note, [Table(("score", "why"), rows, "text")])] if rows else []


def case_section(details: Mapping[str, Any]) -> Section:
    """The cases that went wrong, if the organiser asked for them."""
    of_values = details["task"] == "regression"
    title = "Cases with the largest errors" if of_values else "Cases that went wrong"
    listed, wrong = details.get("wrong_cases"), details.get("wrong")
    if listed is None:
        count = "" if wrong is None else f"{wrong:,}, "
        note = f"{count}not listed: that would reveal the reference. Organisers list them with --show-cases."
        return Section(title, note[0].upper() + note[1:] if wrong != 0 else "None.")
    rows = [
        [
            Cell(case["file"]),
            *(Cell(answer_text(case[key], of_values)) for key in ("reference", "prediction")),
        ]
        for case in listed[:MOST_LISTED_CASES]
    ]
    note = "" if rows else "None."
    if len(listed) > len(rows):
        note = f"The first {len(rows)} of {len(listed):,}; scores.json lists all."
    return Section(title, note, [Table(("case", "reference", "prediction"), rows, "text")] if rows else [])


def answer_text(answer: str, is_value: bool) -> str:
    """A reference or prediction as it is read: values with few digits, several labels side by side."""
    if is_value:
        return number_text(float(answer))
    return answer.replace("|", ", ") or "no label"
