"""The page's sections of a regression: how predicted values agree with those of the reference."""

from __future__ import annotations

import numpy as np

from cases import Cases
from page_charts import (
    FEWEST,
    make_plot,
    nice_range,
    svg_cells,
    svg_columns,
    svg_dots,
    svg_level,
    svg_line,
    svg_plot,
)
from page_data import ERROR_BINS, agreement, bin_numbers, error_range, grid_counts
from page_parts import Cell, Chart, Section, Table
from page_scores import number_text

MOST_DRAWN_CASES = 3000


def value_sections(cases: Cases, shown: bool) -> list[Section]:
    """How predicted values agree with the reference: scatter, Bland-Altman and errors."""
    known = np.ones(len(cases.names), dtype=bool) if cases.events is None else cases.events.astype(bool)
    reference, predictions = cases.reference[known], cases.predictions[known]
    if not len(reference):
        return [Section("Values", "All values are censored: there is no error to show.")]
    note = "" if known.all() else f" {int((~known).sum()):,} cases whose value was censored are left out."
    drawn = shown and len(reference) <= MOST_DRAWN_CASES
    if not drawn:
        note += " The shade counts the cases of a cell; the outermost ones hold what lies beyond as well."
    if not shown:
        note += (
            f" Single cases are not drawn, for that would reveal the reference: the palest cells have 1 to"
            f" {FEWEST - 1} cases."
        )
    errors = predictions - reference
    found = agreement(errors)
    return [
        Section(
            "Predictions against the reference",
            f"On the line, prediction and reference are equal.{note}",
            charts=[scatter_chart(reference, predictions, drawn, shown)],
        ),
        Section(
            "Agreement (Bland-Altman)",
            "The errors by the mean of prediction and reference, with the mean error and the limits within"
            " which 95 % of the errors lie if they are normally distributed.",
            [
                Table(
                    ("", "error"),
                    [
                        [Cell("mean error (bias)"), Cell(number_text(found.bias))],
                        [Cell("lower limit of agreement"), Cell(number_text(found.low))],
                        [Cell("upper limit of agreement"), Cell(number_text(found.high))],
                    ],
                )
            ],
            [agreement_chart(reference, predictions, drawn, shown), error_chart(errors, shown)],
        ),
    ]


def scatter_chart(reference: np.ndarray, predictions: np.ndarray, drawn: bool, shown: bool) -> Chart:
    """Reference against prediction: points, or cells where cases may not be told apart."""
    # Participants choose the predictions: only the reference sets the axes, rounded.
    all_values = np.concatenate([reference, predictions]) if drawn else reference
    bounds = nice_range(float(all_values.min()), float(all_values.max()))
    plot = make_plot((*bounds, "reference"), (*bounds, "prediction"), 420, 400)
    if drawn:
        marks = [svg_dots(plot, np.column_stack([reference, predictions]).tolist(), kind="case")]
    else:
        marks = [svg_cells(plot, grid_counts(reference, predictions, bounds, bounds), shown)]
    marks.append(svg_line(plot, [(bounds[0], bounds[0]), (bounds[1], bounds[1])], "rule"))
    return Chart(svg_plot("Predictions against the reference", f"{len(reference):,} cases.", plot, marks))


def agreement_chart(reference: np.ndarray, predictions: np.ndarray, drawn: bool, shown: bool) -> Chart:
    """Errors by the mean of prediction and reference, with bias and limits of agreement."""
    errors, means = predictions - reference, (predictions + reference) / 2
    found = agreement(errors)
    upwards = error_range(found)
    of_axis = means if drawn else reference
    across = nice_range(float(of_axis.min()), float(of_axis.max()))
    plot = make_plot((*across, "mean of both"), (*upwards, "prediction minus reference"), 420, 330)
    if drawn:
        marks = [svg_dots(plot, np.column_stack([means, errors]).tolist(), kind="case")]
    else:
        marks = [svg_cells(plot, grid_counts(means, errors, across, upwards), shown)]
    marks += [
        svg_level(plot, found.bias, f"mean {number_text(found.bias)}", "rule"),
        svg_level(plot, found.low, number_text(found.low)),
        svg_level(plot, found.high, number_text(found.high)),
    ]
    limits = f"{number_text(found.low)} to {number_text(found.high)}"
    text = f"Mean error {number_text(found.bias)}, limits of agreement {limits}."
    return Chart(svg_plot("Errors by the mean", text, plot, marks), "Errors by the mean")


def error_chart(errors: np.ndarray, shown: bool) -> Chart:
    """A histogram of the errors."""
    bounds = error_range(agreement(errors))
    counts = np.bincount(bin_numbers(errors, bounds, ERROR_BINS), minlength=ERROR_BINS)
    highest = nice_range(0.0, max(float(counts.max()), float(FEWEST)))
    plot = make_plot((*bounds, "prediction minus reference"), (*highest, "cases"), 420, 330)
    marks = [svg_columns(plot, counts.tolist(), shown)]
    return Chart(
        svg_plot("Errors", f"Histogram of {len(errors):,} errors.", plot, marks), "How often each error"
    )
