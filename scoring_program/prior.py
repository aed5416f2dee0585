"""Cases that might have occurred: they give a flawless result an interval with width."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cases import Cases
from tasks import WITH_CLASSES


def with_prior(cases: Cases) -> tuple[Cases, list[float]]:
    """Add prior cases: every pair of a class and a prediction once, or nothing where values have no bounds.

    Drawing the cells of a confusion matrix from a Dirichlet distribution of their counts + 1/K**2 is drawing
    weights of the cases and of K**2 prior cases that share the weight of one.

    Args:
        cases: N cases.

    Returns:
        (N + P cases, shapes (P,) of the gamma distributions of the prior cases' weights, with the sum 1)
    """
    count = len(cases.task.class_names)
    if cases.task.name in WITH_CLASSES:
        reference, predictions = (axis.ravel() for axis in np.indices((count, count)))
        probabilities = np.eye(count)[predictions]
    elif cases.task.name == "multilabel":
        # All labels alike: there or not, predicted or not.
        reference, predictions = (
            np.repeat(axis.reshape(-1, 1).astype(bool), count, axis=1) for axis in np.indices((2, 2))
        )
        probabilities = predictions.astype(np.float64)
    else:
        return cases, []
    added = len(reference)
    extended = replace(
        cases,
        names=[*cases.names, *[""] * added] if isinstance(cases.names, list) else cases.names,
        groups=np.concatenate([cases.groups, cases.groups.max() + 1 + np.arange(added)]),
        reference=np.concatenate([cases.reference, reference]),
        predictions=np.concatenate([cases.predictions, predictions]),
        probabilities=None
        if cases.probabilities is None
        else np.concatenate([cases.probabilities, probabilities]),
    )
    return extended, [1.0 / added] * added


def every_cell(cases: Cases) -> tuple[Cases, np.ndarray]:
    """One case for each pair of a class and a prediction, in place of all that are alike.

    Args:
        cases: Of classes.

    Returns:
        (K**2 cases without probabilities, how many cases each stands for (K**2,))
    """
    count = len(cases.task.class_names)
    reference, predictions = (axis.ravel() for axis in np.indices((count, count)))
    cells = replace(
        cases,
        names=[""] * count**2,
        groups=np.arange(count**2),
        reference=reference,
        predictions=predictions,
        probabilities=None,
    )
    return cells, np.bincount(cases.reference * count + cases.predictions, minlength=count**2)
