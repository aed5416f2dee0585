"""Pairs of entries that share more errors than two independent methods would, whatever an answer is."""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

LEVEL = 0.01
"""Chance that any pair of honest entries of the board is marked."""

ALLOWED_SHARE = 0.6
"""Of the errors that the cases' difficulty does not explain, the share that two honest methods may have in
common because they use the same network, pretrained weights or augmentation."""

FEWEST_ENTRIES = 4
"""With fewer distinct entries the difficulty of a case is unknown."""

SCREENING_DEVIATIONS = 2.0
"""Pairs below so many standard deviations above the allowed number are skipped: no exact p-value of theirs
could reach LEVEL."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two entries that agree suspiciously.

    Args:
        first: Index of one entry.
        second: Index of the other, the greater one.
        kind: "identical" (the same answer on every case) or "same errors".
        shared_errors: Number of cases for which both give the same wrong answer; 0 where errors are not
            known.
        expected_errors: The number that two independent methods would share, given how hard the cases are for
            all other entries; 0 for "identical".
        p_value: Of "same errors": the chance that related but honest methods share so many, times the number
            of ordered pairs. Of "identical": 0, since it is a fact, not a test.
    """

    first: int
    second: int
    kind: Literal["identical", "same errors"]
    shared_errors: int
    expected_errors: float
    p_value: float


def find_agreements(answers: np.ndarray, wrong: np.ndarray | None) -> list[Agreement]:
    """Find pairs whose answers are identical, or that share too many errors.

    Hard cases make everybody err alike, so a number of shared errors alone means little. The chance that an
    entry makes a certain error on a case is estimated from all other entries: the share of them that err
    there, shifted to the entry's own number of errors, times the share of those that give the same wrong
    answer. Beyond that, honest entries with related methods may share more than half of their errors
    (ALLOWED_SHARE). A pair is marked if one of the two repeats still more of the other's errors, with a
    chance under 1 % that any honest pair of the board is marked (Bonferroni). Each pair is tested in both
    directions: a duplicate with added errors still repeats the original's.

    A mark is a reason to ask the teams, not a proof. Identical entries without an error are not listed: all
    perfect entries are identical. Several near-duplicates on one board make their errors look like hard
    cases, and are not found.

    Args:
        answers: (S, N), int64: equal numbers are equal answers, whatever they mean.
        wrong: Whether each is wrong (S, N), bool; None where the task does not say so: then identical entries
            alone are found.

    Returns:
        The pairs, identical ones first, then by p-value.

    Source:
        Wesolowsky 2000, "Detecting excessive similarity in answers on multiple choice exams", Journal of
        Applied Statistics 27:909 (matching wrong answers, given each question's difficulty).
    """
    first_of, place = _distinct(answers)
    found = _identical(wrong, place)
    if wrong is not None and len(first_of) >= FEWEST_ENTRIES:
        found += [
            Agreement(
                first=int(min(first_of[one], first_of[other])),
                second=int(max(first_of[one], first_of[other])),
                kind="same errors",
                shared_errors=shared,
                expected_errors=expected,
                p_value=p_value,
            )
            for one, other, shared, expected, p_value in _same_errors(answers[first_of], wrong[first_of])
        ]
    return sorted(found, key=lambda pair: (pair.kind, pair.p_value, pair.first, pair.second))


def _distinct(answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first entry of each set of equal ones, and the number of each entry's set (S,)."""
    number_of: dict[bytes, int] = {}
    place = np.array([number_of.setdefault(_digest(row), len(number_of)) for row in answers], dtype=np.int64)
    return np.unique(place, return_index=True)[1], place


def _digest(row: np.ndarray) -> bytes:
    return hashlib.sha256(row.tobytes()).digest()


def _identical(wrong: np.ndarray | None, place: np.ndarray) -> list[Agreement]:
    """Pairs of equal answers, with at least one error where errors are known; equal ones have one `place`."""
    errors = np.zeros(len(place), dtype=int) if wrong is None else wrong.sum(axis=1)
    return [
        Agreement(first, int(second), "identical", int(errors[first]), 0.0, 0.0)
        for first in range(len(place))
        if wrong is None or errors[first]
        for second in np.flatnonzero(place[first + 1 :] == place[first]) + first + 1
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Errors:
    """The wrong answers of all entries, one after the other: E of them.

    Args:
        entry: Whose it is (E,), rising.
        case: On which case (E,).
        cell: Number of the case and the answer together (E,): shared errors have the same.
        pair: Number of the case's right answer and this one together (E,).
        truth: Number of each case's right answer (N,); of cases that nobody got right, a number of its own.
        answers: K, number of answers that there are.
    """

    entry: np.ndarray
    case: np.ndarray
    cell: np.ndarray
    pair: np.ndarray
    truth: np.ndarray
    answers: int


def _collect_errors(answers: np.ndarray, wrong: np.ndarray) -> _Errors:
    distinct, numbers = np.unique(answers, return_inverse=True)
    numbers = numbers.reshape(answers.shape)
    truth = np.where(wrong, -1, numbers).max(axis=0)
    truth[truth < 0] = len(distinct)
    entry, case = np.nonzero(wrong)
    given = numbers[entry, case]
    cell = np.unique(case * len(distinct) + given, return_inverse=True)[1]
    pair = np.unique(truth[case] * len(distinct) + given, return_inverse=True)[1]
    return _Errors(entry, case, cell, pair, truth, len(distinct))


def _same_errors(answers: np.ndarray, wrong: np.ndarray) -> list[tuple[int, int, int, float, float]]:
    """Marked pairs: (first, second, shared errors, expected errors, adjusted p-value)."""
    errors = _collect_errors(answers, wrong)
    count = len(answers)
    own = np.bincount(errors.entry, minlength=count)
    shared = _count_shared(errors, count)
    # At least ALLOWED_SHARE of the other's errors is allowed, so that most pairs need no more than this.
    suspects = shared > ALLOWED_SHARE * own
    np.fill_diagonal(suspects, False)
    found: dict[tuple[int, int], tuple[int, float, float]] = {}
    for entry in np.flatnonzero(suspects.any(axis=1)).tolist():
        # (E,): the chance that this entry makes each error of the others.
        chances = _chances(entry, errors, count)
        for other in np.flatnonzero(suspects[entry]).tolist():
            of_other = chances[np.searchsorted(errors.entry, other) :][: own[other]]
            allowed = of_other + ALLOWED_SHARE * (1.0 - of_other)
            spread = float(np.sqrt((allowed * (1.0 - allowed)).sum()))
            if shared[entry, other] <= allowed.sum() + SCREENING_DEVIATIONS * spread:
                continue
            p_value = upper_tail(allowed, int(shared[entry, other])) * count * (count - 1)
            pair = (min(entry, other), max(entry, other))
            if p_value <= min(LEVEL, found[pair][2] if pair in found else 1.0):
                found[pair] = (int(shared[entry, other]), float(of_other.sum()), p_value)
    return [(*pair, *finding) for pair, finding in found.items()]


def _count_shared(errors: _Errors, count: int) -> np.ndarray:
    """The number of errors that each pair of entries shares (S, S)."""
    from scipy.sparse import csr_array

    ones = np.ones(len(errors.entry), dtype=np.int32)
    cells = int(errors.cell.max()) + 1 if len(errors.cell) else 1
    made = csr_array((ones, (errors.entry, errors.cell)), shape=(count, cells))
    return np.asarray((made @ made.T).toarray())


def _chances(entry: int, errors: _Errors, count: int) -> np.ndarray:
    """Chance that an entry makes each of all entries' errors, estimated from all entries but itself.

    Args:
        entry: Its index.
        errors: Of all entries, E.
        count: S.

    Returns:
        (E,); of the entry's own errors without meaning.
    """
    others = errors.entry != entry
    cases = len(errors.truth)
    of_case = np.bincount(errors.case[others], minlength=cases).astype(np.float64)
    of_cell = np.bincount(errors.cell[others], minlength=int(errors.cell.max()) + 1)
    of_pair = np.bincount(errors.pair[others], minlength=int(errors.pair.max()) + 1)
    of_truth = np.bincount(errors.truth[errors.case[others]], minlength=errors.answers + 1)
    rate = of_case.mean() / (count - 1)
    # One more, imagined entry that errs at the mean rate keeps the chances away from 0 and 1.
    share = np.clip((of_case + rate) / count, 1e-6, 1.0 - 1e-6)
    shifted = _shift(share, float(np.count_nonzero(~others)))
    usual = (of_pair[errors.pair] + 1.0 / errors.answers) / (of_truth[errors.truth[errors.case]] + 1.0)
    answered = (of_cell[errors.cell] + usual) / (of_case[errors.case] + 1.0)
    return np.asarray(shifted[errors.case] * answered)


def _shift(chances: np.ndarray, total: float) -> np.ndarray:
    """Shift chances (N,) by one amount on the logit scale so that they sum to a total."""
    logits = np.log(chances / (1.0 - chances))
    low, high = -30.0, 30.0
    for _ in range(40):
        middle = (low + high) / 2.0
        if (1.0 / (1.0 + np.exp(-(logits + middle)))).sum() < total:
            low = middle
        else:
            high = middle
    return np.asarray(1.0 / (1.0 + np.exp(-(logits + low))))


def upper_tail(chances: np.ndarray, at_least: int) -> float:
    """Chance that at least `at_least` of independent events happen (Poisson binomial distribution).

    Args:
        chances: Of each event (E,).
        at_least: Number of events, 0 to E.

    Returns:
        The chance, exact to rounding however small it is.
    """
    if not len(chances):
        return 1.0
    from scipy.stats import poisson_binom

    # The lower tail of the events that do not happen: scipy's sf() is 1 - cdf(), which has no correct digit
    # below 1e-15.
    return float(poisson_binom.cdf(len(chances) - at_least, 1.0 - chances))
