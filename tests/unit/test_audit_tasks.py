"""The audit of tasks other than classification: their labels, figures, faults, and the page's words."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from challenge_bundle.audit.balance import count_images
from challenge_bundle.audit.base import AuditFinding, ImageTable
from challenge_bundle.audit.baseline_methods import fit_ridge
from challenge_bundle.audit.baseline_scores import (
    FIGURES,
    hamming_loss,
    macro_auc,
    quadratic_kappa,
    r_squared,
    spread_by_chance,
    weighted_f1,
)
from challenge_bundle.audit.baselines import find_baselines, gap_by_chance
from challenge_bundle.audit.reading import read_images
from challenge_bundle.audit.run import audit_images
from challenge_bundle.files import write_csv
from challenge_bundle.formats.task_json import task_text
from challenge_bundle.formats.tasks import Task
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.report.audit_page import write_audit
from tests.audits import picture
from tests.conftest import say_nothing

IMAGES = 60
"""In each split."""
TASKS = {
    "ordinal": Task("ordinal", ("none", "mild", "severe")),
    "multilabel": Task("multilabel", ("dog", "cat")),
    "regression": Task("regression"),
}


def place(layout: Layout, task: Task, seed: int = 0) -> ImageTable:
    """Noise whose brightness is the rank, the labels or the value, with a little noise of its own."""
    generator = np.random.default_rng(seed)
    layout.input_data.mkdir(parents=True, exist_ok=True)
    layout.solution_csv("testing").parent.mkdir(parents=True, exist_ok=True)
    for folder in (layout.input_data, layout.solution_csv("testing").parent):
        (folder / "task.json").write_text(task_text(task))
    for split in SPLITS:
        rows = []
        for number in generator.permutation(IMAGES):
            name = f"{split[0]}{number:03d}.png"
            level = int(number) % 3 if task.name != "regression" else int(number) * 3
            shade = {"ordinal": 60 * level, "multilabel": 60 * (level > 0), "regression": level}[task.name]
            pixels = generator.integers(0, 70, (16, 16)) + shade
            layout.split_dir(split).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(layout.split_dir(split) / name)
            if task.name == "multilabel":
                cells = (str(int(level > 0)), str(int(number) // 3 % 2))
            else:
                cells = (task.class_names[level] if task.class_names else str(level / 2),)
            rows.append((f"{layout.split_dir(split).name}/{name}", *cells))
        header = {"ordinal": ("class",), "multilabel": task.class_names, "regression": ("value",)}
        write_csv(layout.solution_csv(split), ("file", *header[task.name]), sorted(rows))
    return read_images(layout, say_nothing)


def codes(found: list[AuditFinding]) -> list[str]:
    return [one.finding.code for one in found]


@pytest.mark.parametrize("name", TASKS)
def test_a_set_of_each_task_is_read_and_audited(name: str, layout: Layout) -> None:
    images = place(layout, TASKS[name])
    assert (images.task, images.class_names) == (name, TASKS[name].class_names)
    targets = images.targets(np.arange(len(images)))
    if name == "ordinal":
        assert targets.tolist() == [int(file[-7:-4]) % 3 for file in images.files]
    elif name == "multilabel":
        numbers = np.array([int(file[-7:-4]) for file in images.files])
        assert (targets == np.column_stack([numbers % 3 > 0, numbers // 3 % 2 == 1])).all()
        assert count_images(images)[0].tolist() == [40, 30]
    else:
        assert targets.tolist() == [int(file[-7:-4]) * 1.5 for file in images.files]
    found = audit_images(images, None, say_nothing)
    by_check = {one.check: one for one in found.findings if one.figures}
    figures = by_check["baselines"].figures
    assert figures is not None
    assert figures.header[2:-1] == FIGURES[name].names
    assert not {"balance", "shift"} & {one.check for one in found.findings if one.severity != "note"}


@pytest.mark.parametrize("name", TASKS)
def test_the_ridge_learns_what_brightness_says_and_the_constants_do_not(name: str, layout: Layout) -> None:
    images = place(layout, TASKS[name])
    figures = find_baselines(images)[0].figures
    assert figures is not None
    last = {row[0]: row[-2] for row in figures.rows if row[1] == "testing"}
    constant = [score for method, score in last.items() if method.startswith(("the m", "each"))]
    assert all(score == pytest.approx(0.5 if name == "multilabel" else 0.0, abs=1e-3) for score in constant)
    assert constant
    assert float(last["a ridge regression on 16 x 16 pixels"]) > 0.6


def draws(count: int, generator: np.random.Generator) -> np.ndarray:
    return generator.integers(0, 4, (6, count)).astype(float) + 0.01


def test_figures_are_scikit_learns() -> None:
    from sklearn.metrics import cohen_kappa_score, f1_score, r2_score, roc_auc_score

    generator = np.random.default_rng(1)
    truth, answers = generator.integers(0, 4, 80), generator.integers(0, 5, 80)
    weights = draws(80, generator)
    for row, one in enumerate(weights):
        expected = f1_score(truth, answers, average="weighted", zero_division=0, sample_weight=one)
        assert weighted_f1(truth, answers, weights)[row] == pytest.approx(expected, abs=1e-12)
        kappa = cohen_kappa_score(truth, answers, weights="quadratic", sample_weight=one)
        assert quadratic_kappa(truth, answers, weights)[row] == pytest.approx(kappa, abs=1e-12)
    values, guesses = generator.normal(size=80), generator.normal(size=80)
    there = generator.random((80, 3)) < 0.3
    scores = np.round(generator.random((80, 3)), 1)
    for row, one in enumerate(weights):
        assert r_squared(values, guesses, weights)[row] == pytest.approx(
            r2_score(values, guesses, sample_weight=one)
        )
        areas = [roc_auc_score(there[:, k], scores[:, k], sample_weight=one) for k in range(3)]
        assert macro_auc(there, scores, weights)[row] == pytest.approx(np.mean(areas))
        wrong = (there != (scores >= 0.5)).mean(axis=1)
        assert hamming_loss(there, scores, weights)[row] == pytest.approx(np.average(wrong, weights=one))


def test_a_label_without_a_case_is_not_in_the_mean_auc() -> None:
    there = np.array([[1, 0], [0, 0], [1, 0], [0, 0]], bool)
    scores = np.array([[0.9, 0.1], [0.8, 0.4], [0.7, 0.3], [0.1, 0.2]])
    one = np.ones((1, 4))
    assert macro_auc(there, scores, one).tolist() == [0.75]
    assert np.isnan(macro_auc(there[:, 1:], scores[:, 1:], one)).all()


def test_known_kappas_and_r_squared_without_spread() -> None:
    truth = np.array([0, 1, 2, 3, 4, 0, 1, 2, 3, 4])
    answers = np.array([0, 1, 2, 3, 3, 1, 1, 2, 4, 4])
    one = np.ones((1, 10))
    assert quadratic_kappa(truth, answers, one)[0] == pytest.approx(0.918919, abs=1e-6)
    assert quadratic_kappa(truth, np.zeros(10, int), one)[0] == 0.0
    assert quadratic_kappa(np.zeros(10, int), np.zeros(10, int), one)[0] == 1.0
    assert np.isnan(r_squared(np.full(10, 3.0), np.zeros(10), one)).all()


def test_the_ridge_is_scikit_learns() -> None:
    from sklearn.linear_model import Ridge

    generator = np.random.default_rng(0)
    features, asked = generator.normal(size=(50, 8)).astype(np.float32), generator.normal(size=(7, 8))
    targets = generator.normal(size=(50, 2))
    expected = Ridge(alpha=10.0).fit(features.astype(float), targets).predict(asked)
    np.testing.assert_allclose(fit_ridge(features, targets)(asked.astype(np.float32)), expected, atol=1e-5)


def test_patients_make_a_figure_less_sure() -> None:
    generator = np.random.default_rng(0)
    truth = np.repeat(generator.integers(0, 2, 50), 6)
    answers = np.repeat(generator.integers(0, 2, 50), 6)
    alone = spread_by_chance(weighted_f1, truth, answers, range(300))
    by_patient = spread_by_chance(weighted_f1, truth, answers, np.repeat(np.arange(50), 6).tolist())
    assert by_patient == pytest.approx(alone * np.sqrt(6), rel=0.2)


def test_a_gaps_probability_is_the_normal_distributions() -> None:
    from scipy.stats import norm

    assert gap_by_chance(0.1, 0.03, 0.04, 3) == pytest.approx(3 * 2 * norm.sf(2.0))
    assert gap_by_chance(-0.1, 0.03, 0.04, 3) == pytest.approx(3 * 2 * norm.sf(2.0))
    assert gap_by_chance(0.01, 0.3, 0.4, 3) == 1.0
    assert gap_by_chance(0.5, 0.0, 0.0, 3) == gap_by_chance(float("nan"), 0.1, 0.1, 3) == 1.0


def test_splits_of_one_kind_have_a_gap_in_at_most_one_in_a_hundred(layout: Layout) -> None:
    images = place(layout, TASKS["ordinal"])
    generator = np.random.default_rng(0)
    found = 0
    for _ in range(100):
        rows = np.concatenate([np.arange(IMAGES), IMAGES + generator.permutation(2 * IMAGES)])
        mixed = dataclasses.replace(images, small=images.small[rows], labels=images.labels[rows], full=None)
        found += "baseline-gap" in codes(find_baselines(mixed))
    assert found <= 4


def test_a_split_that_is_easier_is_a_warning(layout: Layout) -> None:
    images = place(layout, TASKS["regression"])
    testing = images.of_split(2)
    small = images.small.copy()
    small[testing] = np.random.default_rng(0).integers(0, 256, small[testing].shape)
    found = find_baselines(dataclasses.replace(images, small=small, full=None))
    (gap,) = [one for one in found if one.finding.code == "baseline-gap"]
    assert gap.severity == "warning"
    assert "more apart than chance allows" in gap.finding.message
    assert gap.finding.hint
    assert gap.figures is not None
    assert gap.figures.header == ("method", "validation", "testing", "difference", "p")


def relabelled(images: ImageTable, texts: list[str]) -> ImageTable:
    label_texts = tuple(sorted(set(texts)))
    return dataclasses.replace(
        images, label_texts=label_texts, labels=np.array([label_texts.index(text) for text in texts])
    )


def test_faults_of_values(layout: Layout) -> None:
    from challenge_bundle.audit.balance import find_imbalance
    from challenge_bundle.audit.shift import find_shift

    images = place(layout, TASKS["regression"])
    assert codes(find_imbalance(images)) == ["values"]
    values = images.targets(np.arange(len(images)))
    higher = relabelled(images, [str(v + 40 * (s == 2)) for v, s in zip(values, images.splits, strict=True)])
    assert codes(find_imbalance(higher)) == ["values-outside-training", "values"]
    assert "value-shift" in codes(find_shift(higher))
    assert "value-shift" not in codes(find_shift(images))
    constant = relabelled(
        images, [str(0.0 if s == 1 else v) for v, s in zip(values, images.splits, strict=True)]
    )
    assert codes(find_imbalance(constant)) == ["value-constant", "values"]


def test_faults_of_labels(layout: Layout) -> None:
    from challenge_bundle.audit.balance import find_imbalance

    images = place(layout, TASKS["multilabel"])
    assert codes(find_imbalance(images)) == ["label-sets"]
    texts = [images.label_texts[label] for label in images.labels]
    in_test = images.splits == 2
    none = relabelled(
        images,
        [t.replace("cat|", "").replace("cat", "") if n else t for t, n in zip(texts, in_test, strict=True)],
    )
    assert codes(find_imbalance(none)) == ["label-constant", "label-shares-differ", "label-sets"]
    few = [t.replace("cat|", "").replace("cat", "") if k % 10 else t for k, t in enumerate(texts)]
    assert codes(find_imbalance(relabelled(images, few)))[0] == "label-rare"


@pytest.mark.parametrize(
    ("name", "words"), [("multilabel", "the label dog"), ("regression", "the value's quarter")]
)
def test_a_shortcut_to_labels_or_values_is_named(name: str, words: str, layout: Layout) -> None:
    from challenge_bundle.audit.shortcuts import find_shortcuts

    images = place(layout, TASKS[name])
    targets = images.targets(np.arange(len(images)))
    sizes = 1000 + 100 * (targets if name == "regression" else targets[:, 0]).astype(np.int64)
    (found, _) = [
        one
        for one in find_shortcuts(dataclasses.replace(images, sizes_bytes=sizes))
        if one.check == "telling"
    ][-2:]
    assert found.finding.code == "shortcut-file-size"
    assert words in found.finding.message


def test_near_duplicates_are_all_in_a_file_beside_the_page(layout: Layout, tmp_path: Path) -> None:
    images = place(layout, TASKS["regression"])
    small = images.small.copy()
    copies = np.random.default_rng(1).integers(0, 3, (250, 1024))
    base = np.asarray(picture().resize((32, 32))).ravel()
    count = min(len(small), 100)
    small[:count] = base + copies[:count]
    audit = audit_images(dataclasses.replace(images, small=small), None, say_nothing, ("near-copies",))
    write_audit(audit, layout, "T", tmp_path / "audit.html", tmp_path / "audit.json")
    with (tmp_path / "near-duplicates.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    counts = [one.count for one in audit.findings if one.pairs is not None]
    assert len(rows) == sum(counts) >= count * (count - 1) // 2 > 200
    assert [float(row["distance"]) for row in rows] == sorted(float(row["distance"]) for row in rows)
    assert all("near-duplicates.csv" in one.finding.hint for one in audit.findings if one.pairs is not None)
    place_of = {file: row for row, file in enumerate(images.files)}
    for row in rows[:300]:
        one, other = place_of[row["file_a"]], place_of[row["file_b"]]
        assert row["split_a"] == SPLITS[images.splits[one]]
        assert row["split_b"] == SPLITS[images.splits[other]]
        assert row["same_label"] == str(int(images.labels[one] == images.labels[other]))
        expected = 1 - np.corrcoef(small[one], small[other])[0, 1]
        assert float(row["distance"]) == pytest.approx(expected, abs=1e-6)
    none = audit_images(images, None, say_nothing, ("near-copies",))
    write_audit(none, layout, "T", tmp_path / "audit.html", tmp_path / "audit.json")
    assert not (tmp_path / "near-duplicates.csv").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [("ordinal", "in 3 classes in order"), ("multilabel", "in 2 labels"), ("regression", "with values")],
)
def test_the_page_is_in_the_tasks_words(name: str, words: str, layout: Layout, tmp_path: Path) -> None:
    audit = audit_images(place(layout, TASKS[name]), None, say_nothing)
    write_audit(audit, layout, "T", tmp_path / "audit.html", tmp_path / "audit.json")
    page = (tmp_path / "audit.html").read_text()
    assert f"Audit of {3 * IMAGES} images {words}." in page
    assert FIGURES[name].names[-1] in page
    assert json.loads((tmp_path / "audit.json").read_text())["task"] == name
