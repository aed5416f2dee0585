"""How often do the intervals hold the true score, and how often do pair tests tell equal entries apart?

    make coverage                                      (an hour)
    make coverage ARGS="--part labels --keep --minutes 4"    (what fits into 4 minutes and is not there yet)
    make coverage ARGS="--quick"                       (seconds: few situations and data sets, printed only)

Draws data sets whose true scores are known, runs the scoring program's own intervals and the board's own pair
tests on them. It writes benchmarks/coverage.json (all figures), and from these benchmarks/COVERAGE.md and
scoring_program/interval_notes.json, of which reports and boards tell.
"""

import argparse
import functools
import itertools
import json
import multiprocessing
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scoring_program"), str(ROOT / "tools"), str(ROOT / "benchmarks")]

import coverage_page

import resampling
import uncertainty
from cases import Cases, Task
from challenge_bundle.leaderboard import significance
from challenge_bundle.leaderboard.significance import pair_tests
from metrics import metrics_of, score_all, scorer

RESAMPLES = 1_000
TRUTH_CASES = 200_000
SHARES = {"balanced": (1 / 3, 1 / 3, 1 / 3), "unbalanced": (0.75, 0.2, 0.05)}
QUALITIES = (0.6, 0.8, 0.9, 0.98, 0.998)
COUNTS = (20, 50, 100, 300, 1000)
PATIENTS, IMAGES = 100, 6
LABEL_PARTS = ("labels", "ordinal")
TESTED = {
    "classification": ("accuracy", "weighted_precision", "macro_f1"),
    "regression": ("mean_absolute_error", "median_absolute_error"),
}
FIGURES = ROOT / "benchmarks" / "coverage.json"


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


@functools.cache
def margin(share: float, classes: int) -> float:
    """How far the right class's mean must be above the others', for it to be the largest in that share."""
    noise = np.random.default_rng(0).standard_normal((50_000, classes))
    ahead = np.sort(noise[:, 1:].max(axis=1) - noise[:, 0])
    return float(ahead[int(share * len(ahead))])


def measure(job: dict[str, Any]) -> dict[str, list[float]]:
    """Coverage and mean width of the intervals of every metric: of labels, or of those that need more."""
    situation = Situation(**job["situation"])
    uncertainty.INTERVAL_RESAMPLES = RESAMPLES
    resampling.WORKERS = 1
    of_labels = job["part"] in LABEL_PARTS

    def drawn(count: int, rng: np.random.Generator) -> Cases:
        cases = draw(situation, count, rng)
        return replace(cases, probabilities=None) if of_labels else cases

    truth, _ = score_all(drawn(TRUTH_CASES, np.random.default_rng(1)))
    rng = np.random.default_rng(job["seed"])
    held: dict[str, list[bool]] = {name: [] for name in truth}
    widths: dict[str, list[float]] = {name: [] for name in truth}
    for _ in range(job["trials"]):
        cases = drawn(job["cases"], rng)
        scores, _ = score_all(cases)
        metrics = [metric for metric in metrics_of(cases) if metric.name in scores]
        if not of_labels and situation.task != "regression" and not situation.patients:
            metrics = [metric for metric in metrics if metric.needs or situation.task == "multilabel"]
        for name, (low, high) in uncertainty.score_intervals(cases, metrics).items():
            held[name].append(low - 1e-12 <= truth[name] <= high + 1e-12)
            widths[name].append(high - low)
    return {
        name: [round(float(np.mean(of)), 4), round(float(np.mean(widths[name])), 4)]
        for name, of in held.items()
        if of
    }


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


def measure_tests(job: dict[str, Any]) -> dict[str, list[float]]:
    """How often the board's tests find the first entry different; exchange tests with Holm's adjustment.

    Returns:
        By metric, of our tests and of exchange tests (these only where the first entry is worse): the share
        of boards with a finding if the entries are equal, otherwise of pairs with the first one that are
        found.
    """
    situation, entries, worse = Situation(**job["situation"]), job["entries"], job["worse"]
    resampling.WORKERS = 1
    significance.FLIPS = 1_000
    rng = np.random.default_rng(job["seed"])
    pairs = [pair for pair in itertools.combinations(range(entries), 2) if not worse or pair[0] == 0]
    found: dict[str, list[list[float]]] = {name: [] for name in TESTED[situation.task]}
    for _ in range(job["trials"]):
        board = draw_board(situation, entries, rng, worse)
        for name, p_values in test_board(board, TESTED[situation.task]).items():
            ours = np.array([p_values[pair] <= 0.05 for pair in pairs])
            if worse:
                other = np.array([exchange(board[one], board[two], name, rng) for one, two in pairs])
                adjusted = holm(other, entries * (entries - 1) // 2) <= 0.05
                found[name].append([float(ours.mean()), float(adjusted.mean())])
            else:
                found[name].append([float(ours.any())])
    return {name: [round(float(share), 4) for share in np.mean(of, axis=0)] for name, of in found.items()}


def measure_means(job: dict[str, Any]) -> dict[str, list[float]]:
    """The share of boards with a finding: accuracies by patient of equal entries, drawn without images."""
    entries, patients = job["entries"], job["situation"]["patients"]
    correlation, error = job["situation"]["correlation"], 1.0 - job["situation"]["quality"]
    significance.FLIPS = 1_000
    rng = np.random.default_rng(job["seed"])
    false = 0
    for _ in range(job["trials"]):
        chance = np.full((entries, patients), error)
        if correlation:
            total = (1.0 - correlation) / correlation
            chance = rng.beta(error * total, (1.0 - error) * total, size=(entries, patients))
        values = 1.0 - rng.binomial(IMAGES, chance) / IMAGES
        scores = values.mean(axis=1)
        false += bool(pair_tests(scores, None, values - scores[:, np.newaxis]).min() <= 0.05)
    return {"accuracy": [round(false / job["trials"], 4)]}


def holm(p_values: np.ndarray, tests: int) -> np.ndarray:
    """Holm's adjustment of some of so many tests, whose other p-values are larger."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(p_values[order] * (tests - np.arange(len(p_values))))
    return adjusted


def make_jobs(quick: bool, trials: int | None, boards: int | None) -> Iterator[dict[str, Any]]:
    """All situations, in the order of the tables.

    Args:
        quick: A minute's selection.
        trials: Data sets per situation; None takes each part's own number.
        boards: Boards per situation, likewise.
    """

    def job(part: str, situation: Situation, usual: int, **sizes: Any) -> dict[str, Any]:
        number = (boards if "entries" in sizes else trials) or (20 if quick else usual)
        made = {"part": part, "situation": asdict(situation), **sizes}
        return {**made, "trials": number, "seed": zlib.crc32(json.dumps(made).encode())}

    counts, qualities = ((50,), (0.9,)) if quick else (COUNTS, QUALITIES)
    some = (0.9,) if quick else (0.6, 0.9, 0.98)
    for balance, quality, count in itertools.product(SHARES, qualities, counts):
        yield job("labels", Situation("classification", balance, quality), 200, cases=count)
    for quality, count in itertools.product(some, counts):
        yield job("ordinal", Situation("ordinal", "unbalanced", quality), 200, cases=count)
    for quality, count in itertools.product(some, counts):
        yield job("values", Situation("regression", "", quality), 100, cases=count)
    for balance, quality, count in itertools.product(SHARES, some, counts):
        yield job("probabilities", Situation("classification", balance, quality), 100, cases=count)
    for quality, count in itertools.product(some, counts):
        yield job("multilabel", Situation("multilabel", "unbalanced", quality), 100, cases=count)
    for quality, correlation in itertools.product((0.8, 0.98), (0.0, 0.5, 1.0)):
        for task in () if quick else ("classification", "regression"):
            of_patients = Situation(task, "balanced", quality, correlation, PATIENTS)
            yield job(f"patients, {task}", of_patients, 100, cases=PATIENTS * IMAGES)
    for entries, patients in ((2, 50),) if quick else ((5, 100), (10, 300), (2, 100), (10, 50)):
        for correlation in (0.0, 0.5):
            of_patients = Situation("classification", "balanced", 0.9, correlation, patients)
            yield job("equal accuracies", of_patients, 4_000, entries=entries, worse=0.0)
    for task, patients, correlation in itertools.product(
        ("classification", "regression"), (50,) if quick else (20, 50, 100), (0.0, 0.5, 1.0)
    ):
        of_patients = Situation(task, "balanced", 0.9, correlation, patients)
        yield job("equal entries", of_patients, 500, entries=2, worse=0.0)
    for entries, worse, usual in () if quick else ((2, 0.08, 100), (2, 0.12, 100), (10, 0.12, 10)):
        of_patients = Situation("classification", "balanced", 0.9, 0.5, PATIENTS)
        yield job("power", of_patients, usual, entries=entries, worse=worse)


def run(job: dict[str, Any]) -> dict[str, Any]:
    """One job with what it found."""
    of = {"equal accuracies": measure_means, "equal entries": measure_tests, "power": measure_tests}
    return {**job, "found": of.get(job["part"], measure)(job)}


def key(job: dict[str, Any]) -> str:
    """The same for the same job, whether or not it has been run."""
    return json.dumps({name: value for name, value in job.items() if name != "found"}, sort_keys=True)


def write_all(results: list[dict[str, Any]], jobs: list[dict[str, Any]]) -> None:
    """Write the figures, and what is made of them: one row of the json per situation."""
    rows = ",\n".join(json.dumps(one) for one in results)
    FIGURES.write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    (ROOT / "benchmarks" / "COVERAGE.md").write_text(coverage_page.render(results, jobs), encoding="utf-8")
    notes = coverage_page.make_notes(results)
    (ROOT / "scoring_program" / "interval_notes.json").write_text(notes, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a minute's selection, printed only")
    parser.add_argument("--part", help="one part alone, such as labels")
    parser.add_argument("--keep", action="store_true", help="keep the figures that are there already")
    parser.add_argument("--minutes", type=float, default=np.inf, help="start no job after so many minutes")
    parser.add_argument("--trials", type=int, help="data sets per situation")
    parser.add_argument("--boards", type=int, help="boards per situation")
    options = parser.parse_args(arguments)
    until = time.monotonic() + 60.0 * options.minutes
    jobs = list(make_jobs(options.quick, options.trials, options.boards))
    known = json.loads(FIGURES.read_text(encoding="utf-8")) if options.keep and FIGURES.exists() else []
    done = {key(one): one for one in known}
    pending = [job for job in jobs if key(job) not in done and options.part in (None, job["part"])]
    count = os.cpu_count() or 1
    with multiprocessing.Pool(count) as workers:
        for start in range(0, len(pending), count):
            if time.monotonic() >= until:
                break
            for result in workers.map(run, pending[start : start + count], chunksize=1):
                done[key(result)] = result
            results = [done[key(job)] for job in jobs if key(job) in done]
            if not options.quick:
                write_all(results, jobs)
    results = [done[key(job)] for job in jobs if key(job) in done]
    if options.quick:
        print(coverage_page.render(results, jobs))
    else:
        write_all(results, jobs)
    print(f"{len(results)} of {len(jobs)} situations")


if __name__ == "__main__":
    main()
