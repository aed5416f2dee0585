"""benchmarks/COVERAGE.md and scoring_program/interval_notes.json, from what coverage.py measured."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

LOW, HIGH = 0.93, 0.97
FROM_CASES = 50
TITLES = {
    "labels": "Classification: metrics of labels",
    "ordinal": "Ordinal: metrics of labels and grades",
    "values": "Regression",
    "probabilities": "Classification: metrics of probabilities",
    "multilabel": "Multilabel",
    "patients, classification": "Classification, patients",
    "patients, regression": "Regression, patients",
}
TESTS = ("equal accuracies", "equal entries", "power")
NOTED = ("labels", "ordinal", "values", "probabilities", "multilabel")
HEAD = """\
# How often the intervals hold the true score

Written whole by `make coverage`, from drawn data sets whose true scores are known; every figure with its
seed is in `coverage.json`. Intervals are those of `score.py` (95 %), with 1,000 resamples. A cell is the
coverage in percent and, in brackets, the interval's mean width; bold is outside 93 to 97 %. What is outside
is marked on reports and boards (`details.interval_notes`, from `scoring_program/interval_notes.json`).

Quality is the share of right predictions (of each label; of values the correlation with the reference).
There are three classes, of 1/3 each, or unbalanced: 75, 20 and 5 % (multilabel: so many positive cases of
each label). Patients have 6 images each; correlation is that of the noise behind a patient's predictions.
`calibration_error` has no interval, since none covers. Not measured: other shapes of errors, more than 1,000
cases, patients with different numbers of images.
"""

Result = dict[str, Any]


def render(results: Sequence[Result], jobs: Sequence[Result]) -> str:
    """The whole page; says of each part how much of it was measured."""
    lines = [HEAD]
    planned = {part: sum(job["part"] == part for job in jobs) for part in (*TITLES, *TESTS)}
    lines += ["| part | situations measured | data sets or boards each | give or take |", "|---|---|---|---|"]
    for part, count in planned.items():
        of = _of(part, results)
        trials = max((one["trials"] for one in of), default=0)
        noise = f"{100 * (0.05 * 0.95 / trials) ** 0.5:.1f}" if trials else ""
        lines.append(f"| {part} | {len(of)} of {count} | {trials or ''} | {noise} |")
    lines += [f"\n## Summary, from {FROM_CASES} cases on\n", *_summary(results)]
    for part, heading in TITLES.items():
        if _of(part, results):
            lines += [f"\n## {heading}\n", *_intervals(_of(part, results))]
    lines += _tests(results)
    return "\n".join([*lines, ""])


def _of(part: str, results: Iterable[Result]) -> list[Result]:
    return [one for one in results if one["part"] == part]


def _summary(results: Sequence[Result]) -> list[str]:
    """Of each metric: the share of situations within the limits, the least and the most."""
    covered: dict[str, list[float]] = {}
    for one in results:
        if one["part"] in TITLES and one["cases"] >= FROM_CASES:
            for name, (share, _) in one["found"].items():
                covered.setdefault(name, []).append(share)
    lines = [
        "| metric | situations | 93 to 97 % | below | above | least | most |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, shares in covered.items():
        below, above = sum(one < LOW for one in shares), sum(one > HIGH for one in shares)
        lines.append(
            f"| {_title(name)} | {len(shares)} | {len(shares) - below - above} | {below} | {above}"
            f" | {100 * min(shares):.1f} | {100 * max(shares):.1f} |"
        )
    return lines


def _intervals(results: Sequence[Result]) -> list[str]:
    """One row per situation, one column per metric: coverage in percent, and the mean width."""
    names = list(dict.fromkeys(name for one in results for name in one["found"]))
    lines = [
        f"| classes | quality | correlation | cases | {' | '.join(map(_title, names))} |",
        "|---|---|---|---|" + "---|" * len(names),
    ]
    for one in results:
        situation = one["situation"]
        cells = [_cell(*one["found"][name]) if name in one["found"] else "" for name in names]
        within = f"{situation['correlation']:g}" if situation["patients"] else ""
        balance = "" if situation["task"] == "regression" else situation["balance"]
        cases = f"{one['cases']}"
        lines.append(f"| {balance} | {situation['quality']:g} | {within} | {cases} | {' | '.join(cells)} |")
    return lines


def _title(name: str) -> str:
    return name.replace("_", " ")


def _cell(covered: float, width: float) -> str:
    mark = "**" if not LOW <= covered <= HIGH else ""
    return f"{mark}{100 * covered:.1f}{mark} ({width:.3f})"


def _tests(results: Sequence[Result]) -> list[str]:
    """The tables of pair tests, at a level of 5 %."""
    lines = []
    equal = [one for part in TESTS[:2] for one in _of(part, results)]
    if equal:
        lines += [
            "\n## Pair tests: equal entries\n",
            "Share of boards with any finding, at a level of 5 %; 1,000 random signs. A quality of 0.9.\n",
            "| metric | entries | patients | correlation | boards | seed | found, % |",
            "|---|---|---|---|---|---|---|",
        ]
    for one in equal:
        of = one["situation"]
        for name, (ours,) in one["found"].items():
            lines.append(
                f"| {_title(name)} | {one['entries']} | {of['patients']} | {of['correlation']:g}"
                f" | {one['trials']} | {one['seed']} | {100 * ours:.1f} |"
            )
    worse = _of("power", results)
    if worse:
        lines += [
            "\n## Pair tests: power\n",
            "Share of the pairs with a worse entry that is found; beside it each pair's permutation test by",
            "patient, with Holm's adjustment.\n",
            "| metric | entries | patients | correlation | worse by | boards | found, % | exchange test, % |",
            "|---|---|---|---|---|---|---|---|",
        ]
    for one in worse:
        of = one["situation"]
        for name, (ours, other) in one["found"].items():
            lines.append(
                f"| {_title(name)} | {one['entries']} | {of['patients']} | {of['correlation']:g}"
                f" | {one['worse']:g} | {one['trials']} | {100 * ours:.1f} | {100 * other:.1f} |"
            )
    return lines


def make_notes(results: Sequence[Result]) -> str:
    """The table of the scoring program's notes, as JSON.

    {task: {balance: {metric: {cases: [least, most]}}}}, percent, over all qualities; without patients.
    """
    table: dict[str, Any] = {}
    for one in results:
        if one["part"] not in NOTED:
            continue
        of = table.setdefault(one["situation"]["task"], {}).setdefault(one["situation"]["balance"], {})
        for name, (share, _) in one["found"].items():
            counts = of.setdefault(name, {})
            low, high = counts.get(str(one["cases"]), [100, 0])
            percent = round(100 * share)
            counts[str(one["cases"])] = [min(low, percent), max(high, percent)]
    lines = []
    for task, balances in table.items():
        parts = []
        for balance, metrics in balances.items():
            rows = ",\n".join(f'   "{name}": {json.dumps(counts)}' for name, counts in metrics.items())
            parts.append(f'  "{balance}": {{\n{rows}\n  }}')
        lines.append(f' "{task}": {{\n' + ",\n".join(parts) + "\n }")
    return "{\n" + ",\n".join(lines) + "\n}\n"
