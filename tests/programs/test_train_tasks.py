"""Training of each task: it learns, exports, and inference gives torch's numbers; gaps do no harm."""

import csv
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from sklearn import metrics as sklearn_metrics

from tests.conftest import RunProgram

RANKS = ["none", "mild", "severe"]  # not in the alphabet's order
FINDINGS = ["mass", "edema", "hernia"]
OPTIONS = {"epochs": 3, "batch_size": 4}


@pytest.fixture
def train(program_module):
    return program_module("bundle_training", "train")


@pytest.fixture
def heads(program_module):
    return program_module("bundle_training", "heads")


@pytest.fixture
def labels(program_module):
    return program_module("bundle_training", "labels")


@pytest.fixture
def data(program_module):
    return program_module("bundle_training", "data")


@pytest.fixture
def infer(program_module):
    return program_module("bundle_inference", "infer")


def write_input(
    folder: Path,
    task: str,
    class_names: Sequence[str],
    columns: str,
    cells: Callable[[int, int], str],
    metric: str = "",
) -> Path:
    """Images of three grays and noise; cells(gray, number) are those of one row after its file."""
    for split, count in (("training", 18), ("validation", 9), ("testing", 9)):
        (folder / f"{split}-data").mkdir(parents=True, exist_ok=True)
        rows = [f"file,{columns}"]
        for number in range(count):
            gray, name = number % 3, f"{split}-data/{split[1]}{number:02d}.png"
            noise = np.random.default_rng(number).integers(0, 40, (16, 16))
            Image.fromarray((noise + 80 * gray).astype(np.uint8)).save(folder / name)
            rows.append(f"{name},{cells(gray, number)}")
        (folder / f"{split}_solution.csv").write_text("\n".join(rows) + "\n")
    document = {"version": 1, "task": task, "class_names": list(class_names), "metric": metric, "options": {}}
    (folder / "task.json").write_text(json.dumps(document))
    return folder


def ordinal(folder: Path, **changes: str) -> Path:
    return write_input(
        folder, "ordinal", RANKS, "class,group,meta_site", lambda gray, n: f"{RANKS[gray]},g{n},a", **changes
    )


def classification(folder: Path) -> Path:
    return write_input(folder, "classification", RANKS, "class", lambda gray, _: RANKS[gray])


def multilabel(folder: Path) -> Path:
    """Of the three labels the last has no case anywhere; the columns are in another order than the task's."""
    return write_input(
        folder,
        "multilabel",
        FINDINGS,
        "hernia,group,mass,edema",
        lambda gray, n: f"0,g{n},{int(gray > 0)},{int(gray > 1)}",
    )


def regression(folder: Path, value: Callable[[int], float] = lambda gray: 1000.0 + 2.5 * gray) -> Path:
    return write_input(folder, "regression", [], "value,event", lambda gray, _: f"{value(gray)},1")


MAKERS = {
    "classification": classification,
    "ordinal": ordinal,
    "multilabel": multilabel,
    "regression": regression,
}


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as opened:
        return list(csv.DictReader(opened))


def run(train: ModuleType, infer: ModuleType, in_dir: Path, out: Path, **options: object):
    """Train and predict the testing images; gives model.json and the rows."""
    assert train.main(in_dir, out / "model", train.Options(**OPTIONS | options)) == 0
    assert infer.main(in_dir / "testing-data", out / "results", out / "model", 1) == 0
    rows = read_rows(out / "results" / "classification_results.csv")
    return json.loads((out / "model" / "model.json").read_text()), rows


COLUMNS = {
    "classification": ["class", *(f"probability_{name}" for name in RANKS)],
    "ordinal": ["class", *(f"probability_{name}" for name in RANKS)],
    "multilabel": FINDINGS,
    "regression": ["value"],
}
SCORE = {
    "classification": "weighted_f1",
    "ordinal": "quadratic_kappa",
    "multilabel": "macro_auc",
    "regression": "mean_absolute_error",
}


@pytest.mark.parametrize("task", MAKERS)
def test_each_task_trains_and_predicts(task: str, train, infer, tmp_path: Path) -> None:
    card, rows = run(train, infer, MAKERS[task](tmp_path / "in"), tmp_path, epochs=6)
    assert card["task"] == task
    assert card["class_names"] == {"multilabel": FINDINGS, "regression": []}.get(task, RANKS)
    assert [row["file"] for row in rows] == [f"e{number:02d}.png" for number in range(9)]
    assert list(rows[0]) == ["file", *COLUMNS[task]]
    numbers = np.array(
        [[float(cell) for cell in list(row.values())[1:] if cell not in RANKS] for row in rows]
    )
    assert np.isfinite(numbers).all()
    if task in ("classification", "ordinal"):
        assert numbers.sum(axis=1) == pytest.approx(1.0, abs=2e-6)
    history = read_rows(tmp_path / "model" / "history.csv")
    scores = [float(row[f"validation_{SCORE[task]}"]) for row in history]
    best = min(scores) if task == "regression" else max(scores)
    assert card["metrics"][f"validation_{SCORE[task]}"] == best
    # Of epochs with the same score the one of the lowest loss.
    tied = [row for row, score in zip(history, scores, strict=True) if score == best]
    assert card["training"]["best_epoch"] == int(
        min(tied, key=lambda row: float(row["validation_loss"]))["epoch"]
    )


@pytest.mark.parametrize("task", MAKERS)
def test_inference_gives_torchs_numbers(task: str, train, heads, labels, data, infer, tmp_path: Path) -> None:
    """From best_metric_model.pth by torch, and from the csv that inference wrote."""
    card, rows = run(train, infer, MAKERS[task](tmp_path / "in"), tmp_path)
    asked = labels.read_task(tmp_path / "in")
    targets = labels.make_targets(labels.read_solution(tmp_path / "in", "training", asked), asked)
    head = heads.HEADS[task](asked, targets, False)
    network = head.finish(train.networks.NETWORKS["small"](1, head.outputs))
    network.load_state_dict(torch.load(tmp_path / "model" / "best_metric_model.pth", weights_only=True))
    size = card["input"]
    stored = np.stack(
        [data.read_image(tmp_path / "in/testing-data" / row["file"], 1, 16, 16) for row in rows]
    )
    images = data.normalise(torch.from_numpy(stored), size["mean"], size["standard_deviation"])
    with torch.no_grad():
        logits = network.eval()(images)
    answers = head.predict(logits)
    if task in ("classification", "ordinal"):
        assert [row["class"] for row in rows] == [RANKS[label] for label in answers]
        answers = logits.double().softmax(dim=1).numpy()
    columns = [name for name in COLUMNS[task] if name != "class"]
    found = np.array([[float(row[name]) for name in columns] for row in rows])
    assert found == pytest.approx(np.reshape(answers, (9, -1)), abs=2e-5)


@pytest.mark.parametrize("task", MAKERS)
def test_rows_depend_neither_on_workers_nor_on_the_batch(
    task: str, train, infer, tmp_path: Path, monkeypatch
) -> None:
    in_dir = MAKERS[task](tmp_path / "in")
    run(train, infer, in_dir, tmp_path)
    written = set()
    for batch_size, workers in ((1, 1), (4, 3), (64, 2)):
        monkeypatch.setattr(infer, "BATCH_SIZE", batch_size)
        assert infer.main(in_dir / "testing-data", tmp_path / "out", tmp_path / "model", workers) == 0
        written.add((tmp_path / "out" / "classification_results.csv").read_text())
    first, *others = (np.array(re_numbers(text)) for text in written)
    for other in others:
        assert other == pytest.approx(first, abs=2e-6)


def re_numbers(text: str) -> list[float]:
    cells = [cell for line in text.splitlines()[1:] for cell in line.split(",")[1:]]
    return [float(RANKS.index(cell) if cell in RANKS else cell) for cell in cells]


def test_the_order_is_the_tasks_and_not_the_alphabets(train, infer, tmp_path: Path) -> None:
    card, rows = run(train, infer, ordinal(tmp_path / "in"), tmp_path, epochs=25)
    assert card["class_names"] == RANKS != sorted(RANKS)
    assert card["decision"] == "expected_rank"
    for row in rows:
        expected = sum(rank * float(row[f"probability_{name}"]) for rank, name in enumerate(RANKS))
        assert row["class"] == RANKS[math.floor(expected + 0.5)]
    assert [row["class"] for row in rows] == RANKS * 3, "the three grays are learnt"
    assert card["metrics"]["validation_quadratic_kappa"] == 1.0


def test_thresholds_start_at_the_shares_and_stay_in_order(heads) -> None:
    shares = torch.tensor([0.5, 0.1, 0.399, 0.001], dtype=torch.float64)
    link = heads.CumulativeLink(shares)
    assert link(torch.zeros(1, 1)).exp()[0].detach().numpy() == pytest.approx(shares.numpy(), abs=2e-3)
    with torch.no_grad():
        link.steps.fill_(-50.0)
        logits = link(torch.linspace(-200.0, 200.0, 101).unsqueeze(1))
    assert torch.isfinite(logits).all()
    assert logits.exp().sum(dim=1).numpy() == pytest.approx(1.0, abs=1e-4)
    ranks = logits.exp() @ torch.arange(4.0)
    assert (ranks.diff() >= 0).all(), "a larger number is a higher rank"


def test_a_label_without_a_case_does_no_harm(train, infer, tmp_path: Path, capsys) -> None:
    card, rows = run(train, infer, multilabel(tmp_path / "in"), tmp_path, epochs=12, class_weights="balanced")
    said = capsys.readouterr().out
    assert "no training image has the label 'hernia'" in said
    assert "label 'hernia' is the same in all validation images" in said
    assert all(0.0 <= float(row["hernia"]) < 0.5 for row in rows)
    assert card["metrics"]["validation_macro_auc"] > 0.9


def test_without_a_single_positive_case_the_loss_decides(train, infer, tmp_path: Path) -> None:
    in_dir = write_input(tmp_path / "in", "multilabel", ["a"], "a", lambda *_: "0")
    card, rows = run(train, infer, in_dir, tmp_path)
    assert card["metrics"]["validation_macro_auc"] is None
    losses = [float(row["validation_loss"]) for row in read_rows(tmp_path / "model" / "history.csv")]
    assert card["training"]["best_epoch"] == 1 + int(np.argmin(losses))
    assert all(0.0 <= float(row["a"]) <= 1.0 for row in rows)


@pytest.mark.parametrize("value", [0.0, 7.25, -1e12])
def test_a_constant_is_predicted(value: float, train, infer, tmp_path: Path, capsys) -> None:
    card, rows = run(train, infer, regression(tmp_path / "in", lambda _: value), tmp_path)
    assert "all training images have the same value" in capsys.readouterr().out
    assert card["target"] == {"mean": value, "standard_deviation": 1.0}
    assert [float(row["value"]) for row in rows] == pytest.approx([value] * 9, abs=2.0)


@pytest.mark.parametrize(("low", "step"), [(1e6, 1e-3), (0.0, 1e-9), (-5.0, 1e9)])
def test_values_keep_their_digits(low: float, step: float, train, infer, tmp_path: Path) -> None:
    """A large mean and a small spread are no loss of digits, since the value is put together in 64 bits."""
    _, rows = run(
        train, infer, regression(tmp_path / "in", lambda gray: low + step * gray), tmp_path, epochs=12
    )
    found = np.array([float(row["value"]) for row in rows])
    assert len(set(found)) == 9
    assert np.abs(found - low).max() < 20 * step, "in the unit of the values"
    assert np.ptp(found) > 1e-3 * step


def test_a_checkpoint_of_another_task_is_not_continued(train, tmp_path: Path, capsys) -> None:
    """The same csv and images, as classes and then as ranks in order, then with the order turned round."""
    for make in (classification, ordinal):
        in_dir = make(tmp_path / "in")
        assert train.main(in_dir, tmp_path / "out", train.Options(**OPTIONS)) == 0
    assert "checkpoint.pth is of other task; starting over" in capsys.readouterr().out
    document = json.loads((in_dir / "task.json").read_text())
    for change in ({"class_names": RANKS[::-1]}, {"metric": "accuracy"}):
        document |= change
        (in_dir / "task.json").write_text(json.dumps(document))
        assert train.main(in_dir, tmp_path / "out", train.Options(**OPTIONS)) == 0
        assert "checkpoint.pth is of other task; starting over" in capsys.readouterr().out
    assert train.main(in_dir, tmp_path / "out", train.Options(**OPTIONS)) == 0
    assert "continuing after epoch 3" in capsys.readouterr().out


def test_the_tasks_metric_chooses_the_epoch(train, infer, tmp_path: Path, capsys) -> None:
    card, _ = run(train, infer, ordinal(tmp_path / "a", metric="mean_absolute_rank_error"), tmp_path / "1")
    scores = read_rows(tmp_path / "1/model/history.csv")
    assert card["metrics"]["validation_mean_absolute_rank_error"] == min(
        float(row["validation_mean_absolute_rank_error"]) for row in scores
    )
    card, _ = run(train, infer, ordinal(tmp_path / "b", metric="of_my_own"), tmp_path / "2")
    assert "this program has no of_my_own; quadratic_kappa chooses the best epoch" in capsys.readouterr().out
    assert "validation_quadratic_kappa" in card["metrics"]


@pytest.mark.parametrize(
    ("maker", "change", "words"),
    [
        (
            ordinal,
            {"task": "segmentation"},
            "expected one of classification, multilabel, ordinal, regression",
        ),
        (ordinal, {"class_names": []}, "an ordinal task needs two or more class_names"),
        (ordinal, {"class_names": ["a", "a"]}, "a class name appears twice"),
        (ordinal, {"class_names": RANKS[:2]}, "the class 'severe' is not in task.json"),
        (multilabel, {"class_names": []}, "a multilabel task needs its labels"),
        (multilabel, {"class_names": FINDINGS[:2]}, "expected 'file,mass,edema'"),
        (multilabel, {"class_names": [*FINDINGS, "x"]}, "expected 'file,mass,edema,hernia,x'"),
        (ordinal, {"class_names": 3}, "not a task.json"),
    ],
)
def test_a_task_at_fault_is_one_line(maker, change, words: str, train, tmp_path: Path, capsys) -> None:
    in_dir = maker(tmp_path / "in")
    document = json.loads((in_dir / "task.json").read_text()) | change
    (in_dir / "task.json").write_text(json.dumps(document))
    assert train.main(in_dir, tmp_path / "out", train.Options(**OPTIONS)) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("maker", "cells", "words"),
    [
        (regression, "nan,1", "is not a file and a finite number"),
        (regression, "1e999,1", "is not a file and a finite number"),
        (regression, ",1", "is not a file and a finite number"),
        (multilabel, "0,g,2,0", "is not a file and a 0 or 1 for each label"),
        (multilabel, "0,g,,0", "is not a file and a 0 or 1 for each label"),
        (ordinal, ",g,a", "is not a file and a class"),
    ],
)
def test_a_cell_at_fault_has_its_row(maker, cells: str, words: str, train, tmp_path: Path, capsys) -> None:
    path = maker(tmp_path / "in") / "training_solution.csv"
    header, first, _, *rest = path.read_text().splitlines()
    path.write_text("\n".join([header, first, f"training-data/r01.png,{cells}", *rest]) + "\n")
    assert train.main(tmp_path / "in", tmp_path / "out", train.Options(**OPTIONS)) == 1
    error = capsys.readouterr().err
    assert words in error
    assert "training_solution.csv:3:" in error


def test_class_weights_are_the_inverse_shares(heads, labels) -> None:
    targets = torch.tensor([0] * 6 + [1] * 3 + [2])
    for name in ("classification", "ordinal"):
        head = heads.HEADS[name](labels.Task(name, ("a", "b", "c")), targets, True)
        assert head.weights.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
        weighted = sum(head.weights[label].item() for label in targets)
        assert weighted == pytest.approx(10.0), "the learning rate keeps its meaning"
    marks = torch.tensor([[1.0, 0.0, 1.0]] + [[0.0, 0.0, 1.0]] * 39)
    head = heads.HEADS["multilabel"](labels.Task("multilabel", ("a", "b", "c")), marks, True)
    assert head.weights.tolist() == pytest.approx([20.0, 20.0, 0.05]), "39 and 40 to 1, and 0 to 40: limited"
    assert torch.isfinite(head.loss(torch.randn(40, 3), marks))


def test_a_regression_has_no_classes_to_weigh(train, tmp_path: Path, capsys) -> None:
    in_dir = regression(tmp_path / "in")
    assert train.main(in_dir, tmp_path / "out", train.Options(**OPTIONS, class_weights="balanced")) == 1
    assert "a regression has no classes; use none" in capsys.readouterr().err


@pytest.mark.parametrize(("mirror", "turned"), [("none", 0), ("horizontal", 1), ("both", 3)])
def test_mirroring_off_is_off(mirror: str, turned: int, data) -> None:
    """A bright corner stays in its corner, or is found in the corners that mirroring leads to."""
    still = data.Changes(mirror, rotation=0.0, scaling=0.0, shift=0.0, contrast=0.0)
    images = torch.zeros(200, 1, 8, 8)
    images[:, :, :3, :3] = 1.0
    drawn = data.draw_augmentation(200, torch.Generator().manual_seed(0), still)
    changed = data.augment(images, drawn)
    corners = {tuple(image[0, ::7, ::7].flatten().round().int().tolist()) for image in changed}
    assert len(corners) == 1 + turned
    assert (1, 0, 0, 0) in corners
    if mirror == "none":
        assert torch.allclose(changed, images, atol=1e-5)
    if mirror == "horizontal":
        assert corners == {(1, 0, 0, 0), (0, 1, 0, 0)}


def test_mirroring_off_changes_nothing_else_that_is_drawn(data) -> None:
    off, on = (
        data.draw_augmentation(50, torch.Generator().manual_seed(1), data.Changes(mirror))
        for mirror in ("none", "horizontal")
    )
    assert torch.equal(off.affine[:, :, 1:], on.affine[:, :, 1:])
    assert torch.equal(off.affine[:, :, 0].abs(), on.affine[:, :, 0].abs())
    assert torch.equal(off.contrast, on.contrast)
    assert (torch.det(off.affine[:, :, :2]) > 0).all()


@pytest.mark.parametrize(
    ("task", "mirror"),
    [
        ("classification", "horizontal"),
        ("ordinal", "horizontal"),
        ("multilabel", "none"),
        ("regression", "horizontal"),
    ],
)
def test_mirroring_by_default(task: str, mirror: str, train, infer, tmp_path: Path) -> None:
    card, _ = run(train, infer, MAKERS[task](tmp_path / "in"), tmp_path, epochs=1)
    assert card["training"]["mirror"] == mirror


def test_the_metrics_equal_scikit_learns(heads) -> None:
    rng = np.random.default_rng(0)
    for classes in (2, 5):
        truth, found = rng.integers(0, classes, 200), rng.integers(0, max(classes - 1, 2), 200)
        for name, expected in {
            "weighted_f1": sklearn_metrics.f1_score(truth, found, average="weighted", zero_division=0),
            "macro_f1": sklearn_metrics.f1_score(truth, found, average="macro", zero_division=0),
            "accuracy": sklearn_metrics.accuracy_score(truth, found),
            "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(truth, found),
            "quadratic_kappa": sklearn_metrics.cohen_kappa_score(truth, found, weights="quadratic"),
        }.items():
            assert getattr(heads, name)(truth, found) == pytest.approx(expected, abs=1e-12), name
    marks, scores = rng.integers(0, 2, (60, 4)), rng.random((60, 4)).round(1)
    assert heads.macro_auc(marks, scores) == pytest.approx(sklearn_metrics.roc_auc_score(marks, scores))
    values, guesses = rng.normal(size=50), rng.normal(size=50)
    assert heads.mean_absolute_error(values, guesses) == pytest.approx(
        sklearn_metrics.mean_absolute_error(values, guesses)
    )
    assert heads.r2(values, guesses) == pytest.approx(sklearn_metrics.r2_score(values, guesses))
    assert math.isnan(heads.r2(np.ones(3), np.arange(3.0)))
    assert heads.root_mean_squared_error(values, guesses) == pytest.approx(
        sklearn_metrics.root_mean_squared_error(values, guesses)
    )


def test_metrics_are_called_as_the_scoring_program_calls_them(heads, program_module) -> None:
    scoring = program_module("scoring_program", "metrics")
    for task, known in heads.METRICS.items():
        assert known[0].name == scoring.DEFAULT_METRICS[task]
        for metric in known:
            theirs = scoring.REGISTRY[metric.name]
            assert task in theirs.tasks
            assert metric.higher_is_better == theirs.higher_is_better


def test_the_metrics_known_values(heads) -> None:
    ranks, found = np.array([0, 1, 2, 3, 4] * 2), np.array([0, 1, 2, 3, 3, 1, 1, 2, 4, 4])
    assert heads.quadratic_kappa(ranks, found) == pytest.approx(0.918919, abs=1e-6)
    assert heads.quadratic_kappa(np.ones(3, int), np.ones(3, int)) == 1.0
    assert heads.concordance_correlation(np.array([1.0, 2, 3]), np.array([2.0, 3, 4])) == pytest.approx(4 / 7)
    assert math.isnan(heads.concordance_correlation(np.ones(3), np.ones(3)))
    assert math.isnan(heads.macro_auc(np.zeros((3, 1)), np.ones((3, 1))))
    lower = heads.Metric("x", "x", heads.mean_absolute_error, higher_is_better=False)
    assert lower.rank(1.0) > lower.rank(2.0) > lower.rank(float("nan"))


def test_the_graph_of_ranks_is_torchs(heads, train, tmp_path: Path) -> None:
    """Also far from the thresholds, where a logarithm of a rounded sigmoid would be infinite."""
    network = torch.nn.Sequential(torch.nn.Flatten(), heads.CumulativeLink(torch.full((5,), 0.2)))
    path = tmp_path / "ranks.onnx"
    train.networks.export_onnx(network, (1, 1, 1), path)
    numbers = np.array([-300.0, -50.0, -3.0, 0.0, 0.5, 40.0, 300.0], dtype=np.float32).reshape(-1, 1, 1, 1)
    (logits,) = onnxruntime.InferenceSession(path).run(None, {"images": numbers})
    with torch.no_grad():
        assert logits == pytest.approx(network(torch.from_numpy(numbers)).numpy(), abs=1e-4)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("task", MAKERS)
def test_the_examples_forest_does_every_task(task: str, run_script: RunProgram, tmp_path: Path) -> None:
    in_dir = MAKERS[task](tmp_path / "in")
    trained = run_script("examples/forest/bundle_training/train.py", in_dir, tmp_path / "model")
    assert trained.returncode == 0, trained.stderr
    (tmp_path / "out").mkdir()
    done = run_script(
        "examples/forest/bundle_inference/infer.py",
        in_dir / "testing-data",
        tmp_path / "out",
        "--model",
        tmp_path / "model",
    )
    assert done.returncode == 0, done.stderr
    rows = read_rows(tmp_path / "out" / "classification_results.csv")
    assert list(rows[0]) == ["file", *(name for name in COLUMNS[task] if not name.startswith("probability"))]
    reference = read_rows(in_dir / "testing_solution.csv")
    for row, truth in zip(rows, reference, strict=True):
        assert truth["file"].endswith(row["file"])
        for name, cell in list(row.items())[1:]:
            assert (
                (cell == truth[name]) if name == "class" else float(cell) == pytest.approx(float(truth[name]))
            )
