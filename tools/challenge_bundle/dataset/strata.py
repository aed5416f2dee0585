"""What splits are balanced by: classes, labels, or tenths of the values."""

from bisect import bisect_right
from collections.abc import Callable, Iterable

from challenge_bundle.formats.tasks import MULTILABEL, REGRESSION, labels_of

_MOST_BINS = 10
_IMAGES_A_BIN = 10
"""Fewer images of a split than bins would leave the choice of splits to chance all the same."""

Strata = Callable[[str], tuple[str, ...]]
"""Gives the strata that a label text counts for: one, or, of several labels, each of them."""


def make_strata(task_name: str, labels: Iterable[str]) -> Strata:
    """The strata of a set of labels, for a split that is balanced by all of them.

    Args:
        task_name: One of formats.tasks.TASKS.
        labels: Label texts of all images; of values, their quantiles are the strata.

    Source:
        Sechidis, Tsoumakas, Vlahavas, On the Stratification of Multi-Label Data, ECML PKDD 2011: each label
        is a stratum of its own, for sets of labels are too many.
    """
    if task_name == MULTILABEL:
        return lambda label: labels_of(task_name, label) or ("",)
    if task_name != REGRESSION:
        return lambda label: (label,)
    edges = _quantiles(sorted(map(float, labels)))
    return lambda label: (str(bisect_right(edges, float(label))),)


def make_stratum(task_name: str, labels: Iterable[str]) -> Callable[[str], str]:
    """The one stratum of each label text, for sampling: its class, its set of labels, or its quantile."""
    if task_name != REGRESSION:
        return lambda label: label
    strata = make_strata(task_name, labels)
    return lambda label: strata(label)[0]


def _quantiles(values: list[float]) -> list[float]:
    """The lower ends of all bins but the first; equal values are in one bin."""
    count = max(1, min(_MOST_BINS, len(values) // _IMAGES_A_BIN))
    return sorted({values[place * len(values) // count] for place in range(1, count)} - set(values[:1]))
