"""How many cases a test set needs to tell two entries apart, from a pilot or from assumed error rates."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from challenge_bundle.errors import DataError
from challenge_bundle.evaluation.scoring import CASES_NAME, RESAMPLES_NAME
from challenge_bundle.formats.case_scores import CaseTable, read_case_table
from challenge_bundle.formats.resamples import read_resamples
from challenge_bundle.leaderboard.resolution import POWER, detection_factor

FEWEST_GROUPS = 20
"""Below, no test of pairs holds what it promises."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How much the difference of two entries varies from group to group.

    Args:
        deviation: Standard deviation of one group's share of the difference: the difference on a test set of
            G groups has the standard error deviation / sqrt(G).
        cases_per_group: Mean number of cases of a group.
        groups: G of the pilot; 0 if there was none.
        origin: Where this comes from, in words.
    """

    deviation: float
    cases_per_group: float
    groups: int
    origin: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of a test set.

    Args:
        difference: That is to be found, in units of the score.
        groups: How many groups (patients) are needed.
        cases: How many cases, with as many a group as now.
    """

    difference: float
    groups: int
    cases: int


def plan_test_set(spread: Spread, difference: float, entries: int = 2, power: float = POWER) -> Plan:
    """Find how large a test set must be.

    Args:
        spread: Of the difference of two entries.
        difference: The true difference that is to be found; positive.
        entries: Number of entries on the board: the level is divided by the number of their pairs.
        power: Share of test sets on which the difference is to be found.

    Source:
        Cohen 1988, "Statistical Power Analysis for the Behavioral Sciences", chapter 2; Bonferroni's level
        stands for the hardest step of the adjusted tests.
    """
    factor = detection_factor(entries * (entries - 1) // 2, power)
    needed = math.ceil((factor * spread.deviation / difference) ** 2)
    groups = max(FEWEST_GROUPS, needed)
    return Plan(difference, groups, math.ceil(groups * spread.cases_per_group))


def assumed_spread(
    error_rate: float, difference: float, shared: float, cases_per_group: int = 1, within: float = 0.0
) -> Spread:
    """The spread of two entries of assumed error rates, under the accuracy.

    The worse entry errs on `error_rate` of the cases, the better one on `difference` fewer. Of the better
    one's errors the other makes a share, too. Then b cases are wrong for the worse one alone and c for the
    better one alone: a case's share in the difference is 1, -1 or 0, with the variance b + c - (b - c)².
    Correlated cases of a group count as fewer (design effect 1 + (m - 1) x correlation).

    Args:
        error_rate: Of the worse entry, 0 to 1.
        difference: Between the two, up to error_rate.
        shared: Share of the better one's errors that the worse one makes too, 0 to 1.
        cases_per_group: m, cases of one patient.
        within: Correlation of the two entries' differences within a group, 0 to 1.

    Raises:
        DataError: Rates that cannot be.

    Source:
        Connor 1987, Biometrics 43:207 (sample size of McNemar's test); Kish 1965, "Survey Sampling" (design
        effect).
    """
    better = error_rate - difference
    alone = better * (1.0 - shared)
    if not 0.0 <= better <= error_rate <= 1.0 or not 0.0 <= shared <= 1.0 or not 0.0 <= within <= 1.0:
        raise DataError(
            "expected shares from 0 to 1, and a difference up to the error rate, but got an error rate"
            f" of {error_rate:g}, a difference of {difference:g}, {shared:g} shared, {within:g} within",
            code="plan-assumptions",
            hint="for example --error-rate 0.1 --difference 0.02 --shared 0.6 --within 0.5",
        )
    worse_alone = error_rate - better * shared
    variance = worse_alone + alone - difference**2
    effect = 1.0 + (cases_per_group - 1) * within
    deviation = math.sqrt(max(variance, 0.0) * effect / cases_per_group)
    origin = (
        f"assumed: error rates of {error_rate:g} and {better:g}, {shared:g} of the errors shared,"
        f" {cases_per_group} cases a group with a correlation of {within:g}"
    )
    return Spread(deviation, float(cases_per_group), 0, origin)


def pilot_spread(first: Path, second: Path, metric: str) -> Spread:
    """The spread of two scored submissions: from their cases if the metric is a mean, else by resamples.

    Args:
        first: A folder with cases.csv and, for other metrics, resamples.npz, as `score --private` writes.
        second: Another one, of the same cases.
        metric: Name of the metric.

    Raises:
        DataError: A file is missing, invalid, of other cases, or has no such metric; or the two gave the same
            answers, so that nothing is known of their difference.
    """
    one, other = (_read_cases(folder) for folder in (first, second))
    if one.names != other.names or not np.array_equal(one.groups, other.groups):
        raise DataError(
            f"expected the cases of {first} but got others",
            second / CASES_NAME,
            code="plan-other-cases",
            hint="score both on the same reference",
        )
    groups = one.group_count
    deviation = _deviation_of_cases(one, other, metric)
    origin = f"the values of {len(one.names):,} cases of {groups:,} groups"
    if deviation is None:
        deviation = _deviation_of_resamples(first, second, metric) * math.sqrt(groups)
        origin = f"the resamples of {len(one.names):,} cases of {groups:,} groups"
    if deviation <= 0.0:
        raise DataError(
            f"the two have the same {metric} on every case and resample",
            second,
            code="plan-no-difference",
            hint="give two different methods: their difference is what a test set has to find",
        )
    return Spread(deviation, len(one.names) / groups, groups, origin)


def _read_cases(folder: Path) -> CaseTable:
    table = read_case_table(folder / CASES_NAME)
    if table is None:
        raise DataError(
            f"there is no {CASES_NAME}",
            folder,
            code="plan-no-cases",
            hint="give the folder that the scoring program's --private wrote",
        )
    return table


def _deviation_of_cases(one: CaseTable, other: CaseTable, metric: str) -> float | None:
    """Standard deviation of a group's share of the difference of two means; None if they are no means."""
    if metric not in one.values or metric not in other.values:
        return None
    differences = one.values[metric] - other.values[metric]
    if np.isnan(differences).any():
        return None
    sizes = np.bincount(one.groups)
    # Each group's share of the mean over cases: a group with more cases weighs more.
    centred = np.bincount(one.groups, differences - differences.mean()) / sizes.mean()
    return float(np.std(centred, ddof=1)) if len(sizes) > 1 else 0.0


def _deviation_of_resamples(first: Path, second: Path, metric: str) -> float:
    """Standard error of the difference on the pilot's own cases."""
    found = [read_resamples(folder / RESAMPLES_NAME, metric) for folder in (first, second)]
    if found[0] is None or found[1] is None or found[0].draws != found[1].draws:
        raise DataError(
            f"there are neither values of cases nor paired resamples of {metric!r}",
            second if found[0] is not None else first,
            code="plan-no-metric",
            hint="name a metric that the scoring program writes, with --metric",
        )
    return float(np.std(found[0].scores - found[1].scores, ddof=1))
