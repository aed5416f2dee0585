"""What a training leaves behind: checkpoints to continue from, and the model files."""

import contextlib
import csv
import importlib.metadata
import io
import json
import pickle
import platform
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

HISTORY_COLUMNS = (
    "epoch",
    "training_loss",
    "validation_loss",
    "validation_weighted_f1",
    "learning_rate",
    "seconds",
    "input_seconds",
)


@dataclass(slots=True)
class Progress:
    """How far a training has come; together with the weights this is all that a checkpoint holds.

    Args:
        epoch: Epochs done.
        history: A row of HISTORY_COLUMNS for each.
        best_epoch: The best of them, from 1; 0 before the first.
        best_f1: Its weighted F1 on the validation images.
        best_loss: Its loss there.
        best_state_dict: Its weights, on the CPU.
    """

    epoch: int
    history: list[dict[str, float]]
    best_epoch: int
    best_f1: float
    best_loss: float
    best_state_dict: dict[str, torch.Tensor]


def record(progress: Progress, row: dict[str, float], network: nn.Module) -> None:
    """Add an epoch; keep its weights if it is the best: higher F1, or the same with a lower loss."""
    progress.epoch = int(row["epoch"])
    progress.history.append(row)
    f1, loss = row["validation_weighted_f1"], row["validation_loss"]
    if (f1, -loss) > (progress.best_f1, -progress.best_loss):
        progress.best_epoch, progress.best_f1, progress.best_loss = progress.epoch, f1, loss
        progress.best_state_dict = {
            name: tensor.detach().to("cpu", copy=True) for name, tensor in network.state_dict().items()
        }


def write_history(history: Sequence[dict[str, float]], path: Path) -> None:
    """Write history.csv, a row an epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    replace_file(path, lambda temporary: temporary.write_text(text.getvalue(), encoding="utf-8"))


def open_events(out_dir: Path, first_epoch: int) -> "SummaryWriter":
    """Open the TensorBoard events; what a broken-off epoch wrote is passed over."""
    from torch.utils.tensorboard.writer import SummaryWriter

    return SummaryWriter(str(out_dir / "tensorboard"), purge_step=first_epoch + 1 if first_epoch else None)


def save_checkpoint(
    path: Path,
    identity: str,
    progress: Progress,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    """Write all that a training continues from.

    Args:
        path: The file.
        identity: Of the training; one of another is not continued from it.
        progress: How far it has come.
        network: Its weights as they are now.
        optimizer: Its moments.
        scheduler: Its place.
    """
    state = {
        "identity": identity,
        "progress": asdict(progress),
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
    }
    replace_file(path, lambda temporary: torch.save(state, temporary))


def read_checkpoint(path: Path, identity: str) -> tuple[dict[str, Any] | None, str]:
    """Read a checkpoint of the same training.

    Returns:
        (what save_checkpoint wrote, or None; a sentence on why there is none, empty if nothing is there)
    """
    if not path.exists():
        return None, ""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as fault:
        return None, f"{path} cannot be read ({type(fault).__name__}); starting anew"
    if state["identity"] != identity:
        return None, f"{path} is of other data, options or code; starting anew"
    return state, f"continuing after epoch {state['progress']['epoch']} from {path}"


def versions() -> dict[str, str]:
    """The versions of what a training's result depends on."""
    found = {"python": platform.python_version()}
    for name in ("torch", "monai", "numpy", "pillow"):
        # A network of one's own may do without MONAI.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def export(
    network: nn.Module,
    shape: tuple[int, int, int],
    state_dict: dict[str, torch.Tensor],
    card: dict[str, Any],
    out_dir: Path,
) -> None:
    """Write the three model files; model.json last, as the sign that they are complete.

    Args:
        network: On the CPU.
        shape: Of an image, (C, H, W).
        state_dict: Its weights.
        card: The content of model.json.
        out_dir: Where to.
    """
    network.eval()
    example = torch.from_numpy(np.zeros((2, *shape), dtype=np.float32))

    def write_onnx(path: Path) -> None:
        with warnings.catch_warnings():
            # torch warns that this exporter is the older one; it is also 20 times faster than dynamo's.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (example,),
                str(path),
                dynamo=False,
                opset_version=17,
                input_names=["images"],
                output_names=["logits"],
                dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}},
            )

    replace_file(out_dir / "best_metric_model.onnx", write_onnx)
    replace_file(out_dir / "best_metric_model.pth", lambda path: torch.save(state_dict, path))
    text = json.dumps(card, indent=2) + "\n"
    replace_file(out_dir / "model.json", lambda path: path.write_text(text, encoding="utf-8"))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write under a temporary name, then rename: a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.part")
    write(temporary)
    temporary.replace(path)
