"""The size of a test set, against formulas by hand and a simulation of boards of that size."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from challenge_bundle.cli import main
from challenge_bundle.errors import DataError
from challenge_bundle.files import write_csv
from challenge_bundle.leaderboard.plan import Spread, assumed_spread, pilot_spread, plan_test_set
from challenge_bundle.leaderboard.significance import pair_tests

RATE, DIFFERENCE, SHARED, CASES, WITHIN = 0.3, 0.08, 0.5, 4, 0.5


def test_one_case_a_group_is_the_formula_of_mcnemars_test() -> None:
    spread = assumed_spread(0.10, 0.04, 0.5)
    # Worse one alone 0.10 - 0.03 = 0.07, better one alone 0.03: variance 0.1 - 0.04².
    assert spread.deviation == pytest.approx((0.07 + 0.03 - 0.0016) ** 0.5)
    # (1.959964 + 0.841621)² x 0.0984 / 0.0016 = 482.7
    assert plan_test_set(spread, 0.04).groups == 483
    # Ten entries: 45 pairs, z of 0.05/90 is 3.2608.
    assert plan_test_set(spread, 0.04, entries=10).groups == pytest.approx(1035, abs=2)
    assert plan_test_set(spread, 0.04, power=0.5).groups == pytest.approx(
        1.959964**2 * 0.0984 / 0.0016, abs=1
    )


def test_groups_count_for_less_than_their_cases() -> None:
    alone, together = assumed_spread(0.1, 0.04, 0.5, 6, 0.0), assumed_spread(0.1, 0.04, 0.5, 6, 1.0)
    assert plan_test_set(alone, 0.04).cases == pytest.approx(483, abs=6)
    assert plan_test_set(together, 0.04).cases == 6 * 483


def test_no_plan_has_fewer_groups_than_a_test_needs() -> None:
    assert plan_test_set(Spread(0.01, 3.0, 0, ""), 0.5).groups == 20


def simulate(rng: np.random.Generator, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Right answers (2, N) of the worse and the better entry, and the groups.

    With the chance WITHIN^1 a group's cases all repeat one draw, so that two of its cases have the same
    difference with that chance: their correlation is WITHIN.
    """
    cases = groups * CASES
    better = RATE - DIFFERENCE
    cells = [better * SHARED, RATE - better * SHARED, better * (1 - SHARED)]
    drawn = rng.choice(4, size=(groups, CASES), p=[*cells, 1 - sum(cells)])
    repeats = rng.random(groups) < WITHIN
    drawn[repeats] = drawn[repeats, :1]
    found = drawn.reshape(cases)
    worse_wrong, better_wrong = (found == 0) | (found == 1), (found == 0) | (found == 2)
    return np.stack([~worse_wrong, ~better_wrong]).astype(float), np.repeat(np.arange(groups), CASES)


def test_a_board_of_the_planned_size_finds_the_difference_four_times_in_five() -> None:
    plan = plan_test_set(assumed_spread(RATE, DIFFERENCE, SHARED, CASES, WITHIN), DIFFERENCE)
    rng = np.random.default_rng(0)
    found, boards = 0, 150
    for _ in range(boards):
        right, groups = simulate(rng, plan.groups)
        scores = right.mean(axis=1)
        shares = np.stack([np.bincount(groups, row) / CASES for row in right]) - scores[:, np.newaxis]
        found += bool(pair_tests(scores, None, shares, True)[0, 1] <= 0.05)
    # 0.8 within three standard errors of 150 boards.
    assert found / boards == pytest.approx(0.8, abs=3 * (0.8 * 0.2 / boards) ** 0.5)


def write_pilot(folder: Path, right: np.ndarray, groups: np.ndarray, metric: str = "accuracy") -> Path:
    rows = [
        (f"{n:05}.png", f"g{group:05}", int(one))
        for n, (one, group) in enumerate(zip(right, groups, strict=True))
    ]
    folder.mkdir(parents=True)
    write_csv(folder / "cases.csv", ("case", "group", metric), rows)
    return folder


def test_a_pilot_gives_what_was_assumed(tmp_path: Path) -> None:
    right, groups = simulate(np.random.default_rng(1), 5000)
    pilots = [write_pilot(tmp_path / str(n), row, groups) for n, row in enumerate(right)]
    spread = pilot_spread(pilots[0], pilots[1], "accuracy")
    assumed = assumed_spread(RATE, DIFFERENCE, SHARED, CASES, WITHIN)
    assert spread.deviation == pytest.approx(assumed.deviation, rel=0.05)
    assert (spread.cases_per_group, spread.groups) == (CASES, 5000)


def test_a_pilot_of_resamples_gives_the_same(tmp_path: Path) -> None:
    right, groups = simulate(np.random.default_rng(2), 400)
    means = [write_pilot(tmp_path / "means" / str(n), row, groups) for n, row in enumerate(right)]
    pilots = [write_pilot(tmp_path / str(n), row, groups, "other") for n, row in enumerate(right)]
    weights = np.random.default_rng(3).standard_exponential((4000, 400))[:, groups]
    for folder, row in zip(pilots, right, strict=True):
        drawn = weights @ row / weights.sum(axis=1)
        np.savez(folder / "resamples.npz", accuracy=drawn, draws=np.array("same"))
    expected = pilot_spread(means[0], means[1], "accuracy")
    assert pilot_spread(pilots[0], pilots[1], "accuracy").deviation == pytest.approx(
        expected.deviation, rel=0.05
    )


def test_what_cannot_be_planned(tmp_path: Path) -> None:
    right, groups = simulate(np.random.default_rng(4), 20)
    first = write_pilot(tmp_path / "a", right[0], groups)
    same = write_pilot(tmp_path / "b", right[0], groups)
    fewer = write_pilot(tmp_path / "c", right[0][:8], groups[:8])
    (tmp_path / "empty").mkdir()
    for code, folder, metric in (
        ("plan-no-difference", same, "accuracy"),
        ("plan-other-cases", fewer, "accuracy"),
        ("plan-no-cases", tmp_path / "empty", "accuracy"),
        ("plan-no-metric", same, "auc"),
    ):
        with pytest.raises(DataError) as fault:
            pilot_spread(first, folder, metric)
        assert fault.value.code == code
    with pytest.raises(DataError) as fault:
        assumed_spread(0.05, 0.1, 0.5)
    assert fault.value.code == "plan-assumptions"


def test_the_command(tmp_path: Path) -> None:
    run = CliRunner().invoke
    done = run(main, ["--json", "plan", "--difference", "0.04", "--error-rate", "0.1"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["cases"] == 483
    done = run(main, ["plan", "--difference", "0.04", "--error-rate", "0.1", "--cases-per-group", "6"])
    assert "486 cases of 81 groups (patients)" in done.output
    assert run(main, ["plan", "--difference", "0.04"]).exit_code == 2
    assert run(main, ["plan", "--difference", "0.2", "--error-rate", "0.1"]).exit_code == 1
