"""What a board says beside ranks: schemes, resolution, shrinkage, subgroups, resamples from cases alone."""

from pathlib import Path

import numpy as np
import pytest

from challenge_bundle.leaderboard.case_means import draw_group_weights, draws_id, resample_means
from challenge_bundle.leaderboard.entries import NO_RESAMPLES, OTHER_DRAWS, Stored, read_cases, read_metric
from challenge_bundle.leaderboard.metric_info import MetricInfo, class_scores, metric_info
from challenge_bundle.leaderboard.resolution import expected_shrinkage, find_resolution
from challenge_bundle.leaderboard.schemes import compare_schemes, mean_ranks
from challenge_bundle.leaderboard.subgroups import make_tables

DICE = MetricInfo("dice", "Dice", low=0.0, high=1.0)
MAE = MetricInfo("mae", "MAE", higher_is_better=False)


def test_the_draws_are_those_of_the_scoring_program(program_module) -> None:
    resampling = program_module("scoring_program", "resampling")
    names = [f"{number:03}.png" for number in range(30)]
    for groups in (np.arange(30), np.arange(30) // 4):
        own = np.concatenate(list(draw_group_weights(30, int(groups.max()) + 1, 600)), axis=1)
        theirs = np.concatenate(list(resampling.draw_weights(groups, 600)))
        np.testing.assert_array_equal(own.T[:, groups], theirs)
        assert draws_id(names, groups, 600) == resampling.draws_id(names, groups, 600)


def test_means_of_cases_are_resampled_by_group() -> None:
    rng = np.random.default_rng(0)
    groups = np.array([0, 0, 0, 1, 2, 2])
    values = rng.random((3, 6))
    by_group = [np.mean([row[groups == g].mean() for g in range(3)]) for row in values]
    found = resample_means("abcdef", groups, values, np.array([values[0].mean(), by_group[1], 0.123]), 50)
    weights = np.concatenate(list(draw_group_weights(6, 3, 50)), axis=1)
    for draw in range(50):
        of_case = weights[groups, draw]
        assert found[0].scores[draw] == pytest.approx((of_case * values[0]).sum() / of_case.sum())
        means = np.array([values[1][groups == g].mean() for g in range(3)])
        expected = (weights[:, draw] * means).sum() / weights[:, draw].sum()
        assert found[1].scores[draw] == pytest.approx(expected)
    assert found[2] is None
    left = [values[0][groups != g].mean() for g in range(3)]
    np.testing.assert_allclose(found[0].influence, [2 * (np.mean(left) - one) for one in left])


def test_schemes_count_who_is_first() -> None:
    dice = np.array([[0.9, 0.9, 0.0], [0.8, 0.8, 0.8], [0.7, 0.7, np.nan]])
    scores = {"dice": np.array([0.6, 0.8, 0.7]), "mae": np.array([3.0, 2.0, 1.0])}
    found = compare_schemes((DICE, MAE), scores, {"dice": dice})
    assert [(one.kind, one.metric, one.first) for one in found.schemes] == [
        ("score", "dice", (1,)),
        ("median", "dice", (0,)),
        ("rank", "dice", (0,)),
        ("missing", "dice", (1,)),
        ("score", "mae", (2,)),
    ]
    assert [found.first_count(entry) for entry in range(3)] == [2, 2, 1]
    right = compare_schemes((DICE,), scores, {"dice": np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])})
    assert [one.kind for one in right.schemes] == ["score"]
    np.testing.assert_allclose(mean_ranks(np.array([[1.0, 3.0], [1.0, 2.0]]), False), [1.75, 1.25])


def test_resolution_and_shrinkage() -> None:
    rng = np.random.default_rng(1)
    drawn = rng.normal([[0.9], [0.8], [0.7]], 0.01, (3, 4000))
    found = find_resolution(drawn, [0, 1, 2])
    assert found is not None
    # Three pairs: z(1 - 0.05/6) + z(0.8) = 2.3940 + 0.8416 standard errors of 0.01 x sqrt(2).
    assert found.first_two == pytest.approx(3.2356 * 0.01 * 2**0.5, rel=0.05)
    assert found.pairs == 3
    assert expected_shrinkage(drawn, True) == pytest.approx(0.0, abs=5e-4)
    equal = rng.normal(0.5, 0.01, (2, 40000))
    # The larger of two equal normal errors is 1/sqrt(pi) standard deviations too high.
    assert expected_shrinkage(equal, True) == pytest.approx(0.01 / np.pi**0.5, rel=0.05)
    assert expected_shrinkage(-equal, False) == pytest.approx(expected_shrinkage(equal, True))
    assert find_resolution(drawn[:1], [0]) is None


@pytest.mark.parametrize("metric", [DICE, MAE])
def test_the_worst_subgroup_has_an_interval(metric: MetricInfo) -> None:
    values = np.array([[0.9] * 10 + [0.2, 0.4] * 5, [1.0] * 20])
    site = ["north"] * 10 + ["south"] * 10
    attributes = {"site": site, "same": ["x"] * 20, "id": [str(n) for n in range(20)] + []}
    tables = make_tables(attributes, np.arange(20), values, metric)
    (table,) = [one for one in tables if one.attribute == "site"]
    assert "same" not in [one.attribute for one in tables]
    assert [(one.value, one.cases, one.groups) for one in table.subgroups] == [
        ("north", 10, 10),
        ("south", 10, 10),
    ]
    np.testing.assert_allclose(table.subgroups[1].scores, [0.3, 1.0])
    assert table.worst[0] == (1 if metric.higher_is_better else 0)
    low, high = table.subgroups[1].intervals[0]
    assert 0.15 < low < 0.3 < high < 0.5
    low, high = table.subgroups[0].intervals[1]
    assert (low < 0.95) == (metric is DICE)  # bounded: ten flawless cases promise no 1


def stored(folder: Path, name: str, score: float, draws: str = "a", **arrays: np.ndarray) -> Stored:
    target = folder / name
    target.mkdir()
    if arrays:
        np.savez(target / "resamples.npz", draws=np.array(draws), **arrays)  # type: ignore[arg-type]
    return Stored({"m": score}, target)


def test_entries_of_other_draws_or_without_are_not_paired(tmp_path: Path) -> None:
    drawn = np.linspace(0.0, 1.0, 5)
    entries = [
        stored(tmp_path, "a", 0.5, m=drawn),
        stored(tmp_path, "b", 0.5, m=drawn),
        stored(tmp_path, "c", 0.5, "b", m=drawn),
        stored(tmp_path, "d", 0.5, m=drawn[:3]),
        stored(tmp_path, "e", 0.5, other=drawn),
        stored(tmp_path, "f", 0.5),
    ]
    found = read_metric(entries, "m", 100)
    assert found.unpaired == ("", "", OTHER_DRAWS, OTHER_DRAWS, NO_RESAMPLES, NO_RESAMPLES)
    assert found.resamples.shape == (6, 5)
    assert np.isnan(found.resamples[2:]).all()
    assert found.influences is None
    assert read_metric(entries[4:], "m", 100).resamples.shape == (2, 0)
    assert read_cases(entries) is None


def test_a_program_of_ones_own_with_cases_alone_is_paired(tmp_path: Path) -> None:
    entries = [stored(tmp_path, "a", 0.5), stored(tmp_path, "b", 2.0)]
    for entry, cells in zip(entries, (("0", "1"), ("3", "1")), strict=True):
        (entry.folder / "cases.csv").write_text(
            "case,m\n" + "".join(f"c{n},{c}\n" for n, c in enumerate(cells))
        )
    found = read_metric(entries, "m", 100)
    assert found.unpaired == ("", "")
    assert found.resamples.shape == (2, 100)
    np.testing.assert_allclose(found.resamples[1], 3 - 2 * found.resamples[0])
    cases = read_cases(entries)
    assert cases is not None
    assert cases.values["m"].tolist() == [[0.0, 1.0], [3.0, 1.0]]


def test_what_scores_json_says_of_a_metric() -> None:
    own = {"cost": 3.0, "higher_is_better": {"cost": False}}
    assert not metric_info(own, "cost").higher_is_better
    assert metric_info({"x": 1.0}, "x").higher_is_better
    content = {"details": {"per_class": {"a": {"f1": 0.5, "log_loss": 9.0}, "b": {"f1": None}}}}
    measure, table = class_scores(content, "macro_f1")
    assert (measure, table["a"], np.isnan(table["b"])) == ("f1", 0.5, True)
    assert class_scores(content, "accuracy") == ("", {})


def test_influences_that_are_missing_come_from_the_cases_of_a_mean(tmp_path: Path) -> None:
    drawn = np.linspace(0.0, 1.0, 5)
    own = {"influence/m": np.array([9.0, -9.0])}
    entries = [stored(tmp_path, "a", 0.5, m=drawn, **own), stored(tmp_path, "b", 2.0, m=drawn)]
    assert read_metric(entries, "m", 100).influences is None
    for entry, cells in zip(entries, (("0", "1"), ("3", "1")), strict=True):
        lines = [f"{case},,{cell}" for case, cell in zip("xy", cells, strict=True)]
        (entry.folder / "cases.csv").write_text("\n".join(["case,group,m", *lines]) + "\n")
    found = read_metric(entries, "m", 100)
    assert found.influences is not None
    # All from the cases: the file's own may be in another order of groups.
    np.testing.assert_allclose(found.influences, [[-0.5, 0.5], [1.0, -1.0]])
    np.testing.assert_array_equal(found.resamples, [drawn, drawn])
