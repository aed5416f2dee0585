"""How often do the intervals hold the true score, and how often do pair tests tell equal entries apart?

    make coverage                    (an hour)
    make coverage ARGS="--quick"     (a minute: fewer situations and data sets, printed only)

Draws data sets whose true scores are known, runs the scoring program's own intervals and the board's own pair
tests on them, and writes benchmarks/COVERAGE.md.
"""

import argparse
import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scoring_program"), str(ROOT / "tools")]

import resampling  # noqa: E402
import uncertainty  # noqa: E402
from cases import Cases, Task  # noqa: E402
from challenge_bundle.leaderboard.significance import pair_tests  # noqa: E402
from metrics import REGISTRY, metrics_of, score_all, scorer  # noqa: E402

RESAMPLES = 1_000
TRUTH_CASES = 200_000
SHARES = {"balanced": (1 / 3, 1 / 3, 1 / 3), "unbalanced": (0.75, 0.2, 0.05)}
QUALITIES = (0.6, 0.8, 0.9, 0.98, 0.998)
COUNTS = (20, 50, 100, 300, 1000)
PATIENTS, IMAGES = 100, 6
TESTED = {
    "classification": ("accuracy", "weighted_precision", "macro_f1"),
    "regression": ("mean_absolute_error", "median_absolute_error"),
}
HEAD = """\
# How often the intervals hold the true score

Written by `make coverage`: {trials} drawn data sets per situation, so that a coverage of 95 % is seen as
95 % give or take {noise:.1f} (one standard deviation); {boards} boards per kind of pair test. Intervals are
those of `score.py` (95 %), with 1,000 resamples. A cell is the coverage in percent and, in
brackets, the interval's mean width; bold is outside 93 to 97 %.
Quality is the share of right predictions (of each label; of values the correlation with the reference).
Classes: 1/3 each, or unbalanced: 75, 20 and 5 % (multilabel: so many positive cases of each label).
Patients have 6 images each; correlation is that of the noise behind a patient's predictions.
"""


@dataclass(frozen=True)
class Situation:
    """How data sets are drawn.

    Args:
        task: Of task.json.
        balance: Of SHARES.
        quality: The share of right predictions; of values the correlation with the reference.
        correlation: Of the errors within a patient, if there are patients.
        patients: How many, 6 images each; 0 if each image counts by itself.
    """

    task: str
    balance: str = "balanced"
    quality: float = 0.9
    correlation: float = 0.0
    patients: int = 0


def draw(situation: Situation, count: int, rng: np.random.Generator) -> Cases:
    """Draw N cases of a situation."""
    groups = np.arange(count) // (IMAGES if situation.patients else 1)
    names = [""] * count
    if situation.task == "regression":
        reference = rng.gamma(4.0, 5.0, size=count)
        spread = 10.0 * np.sqrt(1.0 / situation.quality**2 - 1.0)
        error = mixed(rng.standard_normal, situation, groups) * spread
        return Cases(Task("regression"), names, groups, reference, reference + error)
    shares = np.array(SHARES[situation.balance])
    classes = len(shares)
    if situation.task == "multilabel":
        reference = rng.random((count, classes)) < shares
        noise = mixed(lambda size: rng.standard_normal((*np.atleast_1d(size), classes)), situation, groups)
        logits = np.where(reference, 1.0, -1.0) * probit(situation.quality) + noise
        probabilities = 1.0 / (1.0 + np.exp(-2.0 * logits))
        return Cases(
            Task("multilabel", ("a", "b", "c")), names, groups, reference, probabilities >= 0.5, probabilities
        )
    of_groups = rng.choice(classes, size=int(groups[-1]) + 1, p=shares)
    reference = of_groups[groups]
    noise = mixed(lambda size: rng.standard_normal((*np.atleast_1d(size), classes)), situation, groups)
    logits = np.eye(classes)[reference] * margin(situation.quality, classes) + noise
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    task = Task(situation.task, tuple("abcde"[:classes]))
    return Cases(task, names, groups, reference, probabilities.argmax(axis=1), probabilities)


def mixed(noise: Callable[[Any], np.ndarray], situation: Situation, groups: np.ndarray) -> np.ndarray:
    """Noise of the cases (N, ...), of which a share is the patient's."""
    alone = noise(len(groups))
    if not situation.patients:
        return alone
    shared = noise(int(groups[-1]) + 1)[groups]
    return np.asarray(np.sqrt(situation.correlation) * shared + np.sqrt(1.0 - situation.correlation) * alone)


def probit(share: float) -> float:
    """The normal distribution's quantile."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(share)


def margin(share: float, classes: int) -> float:
    """How far the right class's mean must be above the others', for it to be the largest in that share."""
    noise = np.random.default_rng(0).standard_normal((50_000, classes))
    ahead = np.sort(noise[:, 1:].max(axis=1) - noise[:, 0])
    return float(ahead[int(share * len(ahead))])


def measure(job: tuple[Situation, int, int]) -> tuple[Situation, int, dict[str, tuple[float, float]]]:
    """Coverage and mean width of every metric's interval.

    Args:
        job: The situation, N, and how many data sets to draw.
    """
    situation, count, trials = job
    uncertainty.INTERVAL_RESAMPLES = RESAMPLES
    resampling.WORKERS = 1
    truth, _ = score_all(draw(situation, TRUTH_CASES, np.random.default_rng(1)))
    rng = np.random.default_rng([count, trials])
    held: dict[str, list[bool]] = {name: [] for name in truth}
    widths: dict[str, list[float]] = {name: [] for name in truth}
    for _ in range(trials):
        cases = draw(situation, count, rng)
        scores, _ = score_all(cases)
        metrics = [metric for metric in metrics_of(cases) if metric.name in scores]
        for name, (low, high) in uncertainty.score_intervals(cases, metrics).items():
            held[name].append(low - 1e-12 <= truth[name] <= high + 1e-12)
            widths[name].append(high - low)
    return (
        situation,
        count,
        {name: (float(np.mean(of)), float(np.mean(widths[name]))) for name, of in held.items() if of},
    )


def draw_board(situation: Situation, entries: int, rng: np.random.Generator, worse: float) -> list[Cases]:
    """Entries of one quality by their own errors on the same cases; the first one's is lower by `worse`."""
    count = situation.patients * IMAGES
    board = []
    seed = int(rng.integers(2**62))
    for entry in range(entries):
        of_entry = replace(situation, quality=situation.quality - (worse if entry == 0 else 0.0))
        # The same stream draws the same reference; the noise follows it.
        own = np.random.default_rng(seed)
        cases = draw(of_entry, count, own)
        mine = draw(of_entry, count, rng)
        reference = cases.reference
        shift = mine.predictions - mine.reference
        classes = len(cases.task.class_names)
        board.append(
            replace(cases, predictions=(reference + shift) % classes if classes else reference + shift)
        )
    return board


def test_board(board: Sequence[Cases], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The board's p-values (S, S) of some metrics."""
    shares: dict[str, list[np.ndarray]] = {name: [] for name in names}
    scores: dict[str, list[float]] = {name: [] for name in names}
    for cases in board:
        cases = replace(cases, probabilities=None)
        for is_quantile in (False, True):
            metrics = [
                metric
                for metric in metrics_of(cases)
                if metric.name in names and uncertainty.is_quantile_metric(metric) == is_quantile
            ]
            if not metrics:
                continue
            score = scorer(metrics, cases)
            groups = int(cases.groups[-1]) + 1
            for name, found in resampling.influences(
                score, cases.groups, np.sqrt(groups) if is_quantile else -1.0
            ).items():
                shares[name].append(found)
            for name, value in score(np.ones((1, len(cases.groups)))).items():
                scores[name].append(float(value[0]))
    return {name: pair_tests(np.array(scores[name]), None, np.array(shares[name])) for name in names}


def exchange(first: Cases, second: Cases, name: str, rng: np.random.Generator, draws: int = 999) -> float:
    """P-value of the permutation test that exchanges two entries' predictions patient by patient."""
    both = replace(
        first,
        names=[*first.names, *second.names],
        groups=np.append(first.groups, second.groups),
        reference=np.concatenate([first.reference, second.reference]),
        predictions=np.concatenate([first.predictions, second.predictions]),
        probabilities=None,
    )
    score = scorer([metric for metric in metrics_of(both) if metric.name == name], both)
    kept = rng.random((draws + 1, int(first.groups[-1]) + 1)) < 0.5
    kept[0] = True
    mine = kept[:, first.groups].astype(np.float64)
    gaps = score(np.hstack([mine, 1.0 - mine]))[name] - score(np.hstack([1.0 - mine, mine]))[name]
    return float((np.abs(gaps) >= abs(gaps[0]) - 1e-12).mean())


def measure_tests(job: tuple[Situation, int, float, int]) -> tuple[Any, dict[str, tuple[float, float]]]:
    """How often the board's tests and exchange tests with Holm's adjustment find the first entry different.

    Args:
        job: The situation, the entries, how much the first one is worse (0: any finding is false), boards.

    Returns:
        (the job, by metric: share of boards with a finding, or of pairs found, of ours and of exchange tests)
    """
    situation, entries, worse, boards = job
    resampling.WORKERS = 1
    names = TESTED[situation.task]
    rng = np.random.default_rng([entries, boards, situation.patients])
    pairs = [pair for pair in itertools.combinations(range(entries), 2) if not worse or pair[0] == 0]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(boards):
        board = draw_board(situation, entries, rng, worse)
        for name, p_values in test_board(board, names).items():
            ours = np.array([p_values[pair] <= 0.05 for pair in pairs])
            other = (
                [exchange(board[first], board[second], name, rng) for first, second in pairs] if worse else []
            )
            adjusted = holm(np.array(other), entries * (entries - 1) // 2) <= 0.05
            found[name].append(
                (float(ours.mean() if worse else ours.any()), float(adjusted.mean()) if worse else np.nan)
            )
    return job, {name: tuple(np.mean(of, axis=0).tolist()) for name, of in found.items()}


def holm(p_values: np.ndarray, tests: int) -> np.ndarray:
    """Holm's adjustment of some of so many tests, whose other p-values are larger."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(p_values[order] * (tests - np.arange(len(p_values))))
    return adjusted


def interval_jobs(trials: int, quick: bool) -> Iterator[tuple[Situation, int, int]]:
    """The situations of the tables."""
    counts, qualities = ((50,), (0.9, 0.998)) if quick else (COUNTS, QUALITIES)
    for balance in SHARES:
        for quality, count in itertools.product(qualities, counts):
            yield Situation("classification", balance, quality), count, trials
    for task in ("ordinal", "multilabel", "regression"):
        for quality, count in itertools.product((0.9,) if quick else (0.6, 0.9, 0.98), counts):
            yield Situation(task, "unbalanced", quality), count, trials
    for quality, correlation in itertools.product((0.9,) if quick else (0.8, 0.9, 0.98), (0.0, 0.5, 1.0)):
        for task in ("classification",) if quick else ("classification", "regression"):
            yield Situation(task, "balanced", quality, correlation, PATIENTS), PATIENTS * IMAGES, trials


def test_jobs(boards: int, quick: bool) -> Iterator[tuple[Situation, int, float, int]]:
    """Boards of equal entries, then boards with a worse one."""
    sizes = (50,) if quick else (20, 50, 100)
    for task, patients, correlation in itertools.product(
        ("classification", "regression"), sizes, (0.0, 0.5, 1.0)
    ):
        yield Situation(task, "balanced", 0.9, correlation, patients), 2, 0.0, boards
    if not quick:
        for correlation in (0.0, 0.5, 1.0):
            yield Situation("classification", "balanced", 0.9, correlation, PATIENTS), 10, 0.0, boards
    for entries, worse in ((2, 0.08),) if quick else ((2, 0.08), (2, 0.12), (10, 0.12)):
        yield (
            Situation("classification", "balanced", 0.9, 0.5, PATIENTS),
            entries,
            worse,
            max(10, boards // entries),
        )


def interval_table(measured: Sequence[tuple[Situation, int, dict[str, tuple[float, float]]]]) -> list[str]:
    """One row per situation, one column per metric: coverage in percent, and the mean width."""
    names = list(dict.fromkeys(name for _, _, found in measured for name in found))
    lines = [
        f"| classes | quality | correlation | cases | {' | '.join(title(name) for name in names)} |",
        "|---|---|---|---|" + "---|" * len(names),
    ]
    for situation, count, found in measured:
        cells = [show_cell(*found[name]) if name in found else "" for name in names]
        within = f"{situation.correlation:g}" if situation.patients else ""
        balance = "" if situation.task == "regression" else situation.balance
        lines.append(f"| {balance} | {situation.quality:g} | {within} | {count} | {' | '.join(cells)} |")
    return lines


def title(name: str) -> str:
    """A metric's name as words."""
    return name.replace("_", " ")


def show_cell(covered: float, width: float) -> str:
    """Coverage in percent, marked outside 93 to 97, and the width."""
    mark = "**" if not 0.93 <= covered <= 0.97 else ""
    return f"{mark}{100 * covered:.1f}{mark} ({width:.3f})"


def test_table(measured: Sequence[tuple[Any, dict[str, tuple[float, float]]]]) -> list[str]:
    """One row per kind of board and metric."""
    lines = [
        "| metric | entries | patients | correlation | first worse by | found, % | exchange test + Holm, % |",
        "|---|---|---|---|---|---|---|",
    ]
    for (situation, entries, worse, _), found in measured:
        for name, (ours, other) in found.items():
            apart = f"{worse:g}" if worse else "equal"
            exchanged = f"{100 * other:.1f}" if worse else ""
            lines.append(
                f"| {title(name)} | {entries} | {situation.patients} | {situation.correlation:g} | {apart}"
                f" | {100 * ours:.1f} | {exchanged} |"
            )
    return lines


def summary(measured: Sequence[tuple[Situation, int, dict[str, tuple[float, float]]]]) -> list[str]:
    """Of each metric, from 50 cases on: the share of situations within the limits, the least and the most."""
    lines = [
        "| metric | situations | 93 to 97 % | below | above | least | most |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in REGISTRY:
        covered = np.array([of[name][0] for _, count, of in measured if count >= 50 and name in of])
        if len(covered):
            low, high = int((covered < 0.93).sum()), int((covered > 0.97).sum())
            lines.append(
                f"| {title(name)} | {len(covered)} | {len(covered) - low - high} | {low} | {high}"
                f" | {100 * covered.min():.1f} | {100 * covered.max():.1f} |"
            )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a minute's selection, printed only")
    parser.add_argument("--trials", type=int, help="data sets per situation (400; quick 60)")
    parser.add_argument("--boards", type=int, help="boards per situation (1000; quick 100)")
    options = parser.parse_args(arguments)
    trials = options.trials or (60 if options.quick else 400)
    boards = options.boards or (100 if options.quick else 1000)
    started = time.monotonic()
    with multiprocessing.Pool(os.cpu_count()) as workers:
        intervals = workers.map(measure, list(interval_jobs(trials, options.quick)), chunksize=1)
        tests = workers.map(measure_tests, list(test_jobs(boards, options.quick)), chunksize=1)
    parts = ["## Summary, from 50 cases on\n", *summary(intervals)]
    for task in dict.fromkeys(situation.task for situation, _, _ in intervals):
        for has_patients in (False, True):
            some = [of for of in intervals if of[0].task == task and bool(of[0].patients) == has_patients]
            if some:
                parts += [f"\n## {task.capitalize()}{', patients' * has_patients}\n", *interval_table(some)]
    parts += ["\n## Pair tests\n", *test_table(tests)]
    text = "\n".join(
        [HEAD.format(trials=trials, boards=boards, noise=100 * np.sqrt(0.05 * 0.95 / trials)), *parts, ""]
    )
    if options.quick:
        print(text)
    else:
        (ROOT / "benchmarks" / "COVERAGE.md").write_text(text, encoding="utf-8")
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
