"""What each task adds to a network: last layer, loss, decision, and the score that chooses the best epoch.

A network gives `outputs` numbers per image. A head turns them into logits, from which inference computes

| task           | logits                   | probabilities | answer                                        |
|----------------|--------------------------|---------------|-----------------------------------------------|
| classification | (B, K)                   | softmax       | the most probable class                       |
| ordinal        | (B, K), from one number  | softmax       | the class nearest to the expected rank        |
| multilabel     | (B, K)                   | sigmoid       | the probabilities                             |
| regression     | (B, 1), standardised     | none          | the number times deviation plus mean          |
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from data import InputError
from labels import Task

LARGEST_WEIGHT = 20.0  # of a label's positive cases, however rare they are


@dataclass(frozen=True, slots=True)
class Metric:
    """A score of the validation images.

    Args:
        name: In history.csv, model.json and TensorBoard, after `validation_`.
        title: For people.
        score: (reference, prediction) to a number; NaN where it is not defined.
        higher_is_better: The direction.
    """

    name: str
    title: str
    score: Callable[[np.ndarray, np.ndarray], float]
    higher_is_better: bool = True

    def rank(self, score: float) -> float:
        """A number that is higher for a better score, lowest for one that is not defined."""
        if np.isnan(score):
            return -np.inf
        return score if self.higher_is_better else -score


# The heads. A loss is a sum over rows, because the rows of a batch may be divided over several processes.


class Classification:
    """A logit for each class, cross entropy."""

    activation, decision = "softmax", "most_probable"
    mirror = "horizontal"

    def __init__(self, task: Task, targets: torch.Tensor, balanced: bool) -> None:
        """Take what a head learns from the training targets before it trains: the classes' weights."""
        self.task, self.outputs = task, len(task.class_names)
        self.weights: torch.Tensor | None = None
        if balanced:
            counts = torch.bincount(targets, minlength=self.outputs)
            self.weights = len(targets) / (self.outputs * counts.clamp(min=1))

    def finish(self, network: nn.Module) -> nn.Module:
        """The network with its last layers."""
        return network

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Sum over rows of what is minimised, of logits (B, K)."""
        weights = None if self.weights is None else self.weights.to(logits)
        return F.cross_entropy(logits, targets, weights, label_smoothing=0.05, reduction="sum")

    def validation_loss(self, logits: torch.Tensor, targets: torch.Tensor) -> float:
        """Mean cross entropy, without smoothing and weights."""
        return F.cross_entropy(logits, targets).item()

    def predict(self, logits: torch.Tensor) -> np.ndarray:
        """What the metrics compare with the targets: labels (N,)."""
        labels: np.ndarray = logits.argmax(dim=1).numpy()
        return labels

    def card(self) -> dict[str, Any]:
        """What inference has to know: keys of model.json."""
        return {"output": "logits", "activation": self.activation, "decision": self.decision}


class Ordinal(Classification):
    """A cumulative link (proportional odds): one number per image, and a threshold between each two classes.

    Its loss is the cross entropy of the classes' probabilities, so each pair of neighbours is told apart by
    the same number and a mistake by two ranks costs more than one by one. The answer is the class nearest to
    the expected rank, which is the class of the least expected squared error: quadratic kappa counts those.

    Source:
        McCullagh 1980, "Regression models for ordinal data".
    """

    decision = "expected_rank"

    def __init__(self, task: Task, targets: torch.Tensor, balanced: bool) -> None:
        """See Classification."""
        super().__init__(task, targets, balanced)
        self.class_count, self.outputs = self.outputs, 1
        counts = torch.bincount(targets, minlength=self.class_count).double() + 1.0
        self.shares = counts / counts.sum()

    def finish(self, network: nn.Module) -> nn.Module:
        """The network, and the thresholds after it."""
        return nn.Sequential(network, CumulativeLink(self.shares))

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Sum over rows of the cross entropy, of log-probabilities (B, K)."""
        weights = None if self.weights is None else self.weights.to(logits)
        return F.nll_loss(logits, targets, weights, reduction="sum")

    def predict(self, logits: torch.Tensor) -> np.ndarray:
        """Labels (N,): the expected rank, rounded."""
        ranks = logits.double().softmax(dim=1).numpy() @ np.arange(self.class_count)
        labels: np.ndarray = np.floor(ranks + 0.5).astype(np.int64)
        return labels


class CumulativeLink(nn.Module):
    """Log-probabilities (B, K) of one number (B, 1): P(rank <= k) is the sigmoid of threshold k less it."""

    def __init__(self, shares: torch.Tensor) -> None:
        """Start at the thresholds that give each class its share (K,) of the training images."""
        super().__init__()
        thresholds = shares.cumsum(0)[:-1].logit()
        self.first = nn.Parameter(thresholds[:1].float())
        # The steps from one to the next are softplus of these, so the thresholds stay in order.
        self.steps = nn.Parameter(thresholds.diff().expm1().log().float())

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Map (B, 1) to (B, K)."""
        steps = F.softplus(self.steps) + 1e-3
        above = numbers - torch.cat([self.first, self.first + steps.cumsum(0)])  # (B, K - 1)
        up_to, beyond = -F.softplus(above), -F.softplus(-above)  # log P(rank <= k), log P(rank > k)
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), which is exact for rare classes.
        between = F.pad(torch.log1p(-torch.exp(-steps)), (1, 1))
        return F.pad(up_to, (0, 1)) + F.pad(beyond, (1, 0)) + between


class Multilabel(Classification):
    """A logit for each label, binary cross entropy, mean over labels."""

    activation, decision = "sigmoid", "probabilities"
    # Chest X-rays, which most of these tasks are made of: a heart on the wrong side is a finding.
    mirror = "none"

    def __init__(self, task: Task, targets: torch.Tensor, balanced: bool) -> None:
        """See Classification; a weight is that of a label's positive cases, targets (N, K)."""
        super().__init__(task, targets, balanced=False)
        if balanced:
            positive = targets.sum(dim=0)
            ratios = (len(targets) - positive) / positive.clamp(min=1.0)
            self.weights = ratios.clamp(1.0 / LARGEST_WEIGHT, LARGEST_WEIGHT)

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Sum over rows of the mean over labels."""
        weights = None if self.weights is None else self.weights.to(logits)
        total = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights, reduction="sum")
        return total / self.outputs

    def validation_loss(self, logits: torch.Tensor, targets: torch.Tensor) -> float:
        """Mean binary cross entropy, without weights."""
        return F.binary_cross_entropy_with_logits(logits, targets).item()

    def predict(self, logits: torch.Tensor) -> np.ndarray:
        """Probabilities (N, K)."""
        probabilities: np.ndarray = logits.double().sigmoid().numpy()
        return probabilities


class Regression(Classification):
    """One number, standardised by the training images' values; Huber's loss, which outliers move little."""

    activation, decision = "identity", "value"

    def __init__(self, task: Task, targets: torch.Tensor, balanced: bool) -> None:
        """Take mean and deviation of the training values (N,)."""
        if balanced:
            raise InputError("--class-weights balanced: a regression has no classes; use none")
        super().__init__(task, targets, balanced)
        self.outputs = 1
        self.mean, deviation = targets.mean().item(), targets.std(correction=0).item()
        # A constant has no deviation; then the network learns 0.
        self.deviation = deviation if deviation > 1e-12 * max(abs(self.mean), 1e-290) else 1.0
        if not np.isfinite([self.mean, self.deviation]).all():
            raise InputError("the training values are too large for their mean; write them in a larger unit")

    def _standardise(self, targets: torch.Tensor) -> torch.Tensor:
        return ((targets - self.mean) / self.deviation).float().unsqueeze(1)

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Sum over rows, of standardised values (B, 1) and values (B,)."""
        return F.smooth_l1_loss(logits, self._standardise(targets), reduction="sum")

    def validation_loss(self, logits: torch.Tensor, targets: torch.Tensor) -> float:
        """Its mean over rows."""
        return F.smooth_l1_loss(logits, self._standardise(targets)).item()

    def predict(self, logits: torch.Tensor) -> np.ndarray:
        """Values (N,), in their own unit."""
        values: np.ndarray = logits[:, 0].double().numpy() * self.deviation + self.mean
        return values

    def card(self) -> dict[str, Any]:
        """Also how the number becomes a value again."""
        target = {"mean": self.mean, "standard_deviation": self.deviation}
        return super().card() | {"output": "standardised value", "target": target}


HEADS: dict[str, type[Classification]] = {
    "classification": Classification,
    "ordinal": Ordinal,
    "multilabel": Multilabel,
    "regression": Regression,
}


# The metrics, in numpy: each a few lines, since this program imports nothing of the scoring program. Names
# and directions are the scoring program's; a metric that is not here does not choose the epoch.


def weighted_f1(reference: np.ndarray, predictions: np.ndarray) -> float:
    """F1 of each class, weighted by its share of the reference (N,); a class without any row counts 0.

    Source:
        scikit-learn, f1_score with average="weighted".
    """
    support, f1 = f1_of_classes(reference, predictions)
    return float((f1 * support).sum() / support.sum())


def f1_of_classes(reference: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(support, F1) of each class, both (K,)."""
    count = int(max(reference.max(), predictions.max())) + 1
    support = np.bincount(reference, minlength=count)
    predicted = np.bincount(predictions, minlength=count)
    hits = np.bincount(reference[reference == predictions], minlength=count)
    return support, 2.0 * hits / np.maximum(support + predicted, 1.0)


def macro_f1(reference: np.ndarray, predictions: np.ndarray) -> float:
    """Mean F1 over the classes that reference or predictions have."""
    classes = np.union1d(reference, predictions)
    return float(f1_of_classes(reference, predictions)[1][classes].mean())


def accuracy(reference: np.ndarray, predictions: np.ndarray) -> float:
    """Share of rows that are right."""
    return float((reference == predictions).mean())


def balanced_accuracy(reference: np.ndarray, predictions: np.ndarray) -> float:
    """Mean recall over the classes of the reference."""
    hit = reference == predictions
    return float(np.mean([hit[reference == label].mean() for label in np.unique(reference)]))


def quadratic_kappa(reference: np.ndarray, predictions: np.ndarray) -> float:
    """Cohen's kappa with squared differences of ranks (N,); 1 where both are one and the same class.

    Source:
        Cohen 1968, "Weighted kappa".
    """
    observed = np.square(reference - predictions).mean()
    # Of independent draws: var + var + squared difference of the means.
    chance = reference.var() + predictions.var() + (reference.mean() - predictions.mean()) ** 2
    return float(1.0 - observed / chance) if chance > 0.0 else 1.0


def macro_auc(reference: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean area under the ROC curve, both (N, K), of the labels with a positive and a negative case."""
    areas = []
    for truth, scores in zip(reference.T > 0.5, probabilities.T, strict=True):
        positive, negative = scores[truth], np.sort(scores[~truth])
        if len(positive) and len(negative):
            below = np.searchsorted(negative, positive, side="left")
            up_to = np.searchsorted(negative, positive, side="right")
            areas.append((below + up_to).mean() / (2.0 * len(negative)))
    return float(np.mean(areas)) if areas else float("nan")


def mean_absolute_error(reference: np.ndarray, predictions: np.ndarray) -> float:
    """In the unit of the values, or in ranks."""
    return float(np.abs(reference - predictions).mean())


def root_mean_squared_error(reference: np.ndarray, predictions: np.ndarray) -> float:
    """In the unit of the values."""
    return float(np.sqrt(np.square(reference - predictions).mean()))


def r2(reference: np.ndarray, predictions: np.ndarray) -> float:
    """Coefficient of determination; NaN for a constant reference."""
    variance = reference.var()
    return (
        float(1.0 - np.square(reference - predictions).mean() / variance) if variance > 0.0 else float("nan")
    )


def concordance_correlation(reference: np.ndarray, predictions: np.ndarray) -> float:
    """Lin's concordance; NaN where both are one and the same constant.

    Source:
        Lin 1989, "A concordance correlation coefficient to evaluate reproducibility", with 1/N.
    """
    covariance = ((reference - reference.mean()) * (predictions - predictions.mean())).mean()
    spread = reference.var() + predictions.var() + (reference.mean() - predictions.mean()) ** 2
    return float(2.0 * covariance / spread) if spread > 0.0 else float("nan")


_OF_CLASSES = (
    Metric("weighted_f1", "weighted F1", weighted_f1),
    Metric("macro_f1", "macro F1", macro_f1),
    Metric("accuracy", "accuracy", accuracy),
    Metric("balanced_accuracy", "balanced accuracy", balanced_accuracy),
)
METRICS: dict[
    str, tuple[Metric, ...]
] = {  # the first is a task's own, unless task.json names another of them
    "classification": _OF_CLASSES,
    "ordinal": (
        Metric("quadratic_kappa", "quadratic kappa", quadratic_kappa),
        Metric("mean_absolute_rank_error", "mean absolute error of the rank", mean_absolute_error, False),
        *_OF_CLASSES,
    ),
    "multilabel": (Metric("macro_auc", "mean AUROC", macro_auc),),
    "regression": (
        Metric("mean_absolute_error", "mean absolute error", mean_absolute_error, False),
        Metric("root_mean_squared_error", "root mean squared error", root_mean_squared_error, False),
        Metric("r2", "R²", r2),
        Metric("concordance_correlation", "concordance correlation", concordance_correlation),
    ),
}


def choose_metric(task: Task) -> Metric:
    """The metric that chooses the best epoch."""
    known = METRICS[task.name]
    return next((metric for metric in known if metric.name == task.metric), known[0])
