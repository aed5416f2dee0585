"""What a training leaves behind: checkpoints to continue from, and the model files."""

import contextlib
import csv
import hashlib
import importlib.metadata
import io
import json
import os
import pickle
import platform
import re
import shutil
import time
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


RUNS_KEPT = 10
"""Of the folders in tensorboard/, one a training: older ones are removed when a new one begins."""

_RUN_NAME = re.compile(r"\d{8}-\d{6}-.+")


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
        run: Its folder in tensorboard/, the same when it continues.
    """

    epoch: int
    history: list[dict[str, float]]
    best_epoch: int
    best_f1: float
    best_loss: float
    best_state_dict: dict[str, torch.Tensor]
    run: str = ""


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


def new_run(out_dir: Path, what: str) -> str:
    """Choose the name of a training's own folder in tensorboard/, so that no two share a curve.

    Args:
        out_dir: The program's output.
        what: Said in the name after the time (UTC), such as `small-seed0`.
    """
    folder = out_dir / "tensorboard"
    runs = sorted(folder.glob("*")) if folder.is_dir() else []
    for old in [path for path in runs if path.is_dir() and _RUN_NAME.fullmatch(path.name)][: 1 - RUNS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    name = run = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{what}"
    number = 1
    while (folder / run).exists():
        number += 1
        run = f"{name}-{number}"
    return run


def open_events(out_dir: Path, progress: Progress) -> "SummaryWriter":
    """Open the TensorBoard events of a run; what a broken-off epoch wrote is passed over."""
    from torch.utils.tensorboard.writer import SummaryWriter

    first_step = progress.epoch + 1 if progress.epoch else None
    return SummaryWriter(str(out_dir / "tensorboard" / progress.run), purge_step=first_step)


def hash_program(folder: Path) -> str:
    """SHA-256, in hexadecimal, over all that a program can read from its own folder: code, weights, settings.

    Left out is what its image does not hold either: hidden files, __pycache__, wheelhouse, and what
    .dockerignore names.
    """
    digest = hashlib.sha256()
    for name in _program_files(folder):
        with (folder / name).open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        digest.update(f"{name}\0{content}\0".encode())
    return digest.hexdigest()


def _program_files(folder: Path) -> list[str]:
    """The names of a program's files, below its folder, in order; links are followed."""
    patterns = _read_dockerignore(folder / ".dockerignore")
    names: list[str] = []
    seen = {os.path.realpath(folder)}
    for place, folders, files in os.walk(folder, followlinks=True):
        above = Path(place).relative_to(folder)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name not in ("__pycache__", "wheelhouse")
            and os.path.realpath(Path(place, name)) not in seen  # a link to a folder above it has no end
        ]
        seen |= {os.path.realpath(Path(place, name)) for name in folders}
        names += [
            name
            for name in ((above / file).as_posix() for file in files if not file.startswith("."))
            if (folder / name).is_file() and not _is_ignored(name, patterns)
        ]
    return sorted(names)


def _read_dockerignore(path: Path) -> list[tuple[bool, "re.Pattern[str]"]]:
    """Whether each pattern leaves out or takes in, and what it matches.

    Source:
        Docker's reference, ".dockerignore file". Character classes are not read: such a file counts.
    """
    if not path.is_file():
        return []
    patterns = []
    for line in map(str.strip, path.read_text(encoding="utf-8").splitlines()):
        if not line or line.startswith("#"):
            continue
        words = re.split(r"(\*\*/|\*\*|\*|\?)", line.removeprefix("!").strip("/").removeprefix("./"))
        meanings = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        text = "".join(meanings.get(word, re.escape(word)) for word in words)
        patterns.append((not line.startswith("!"), re.compile(text)))
    return patterns


def _is_ignored(name: str, patterns: "Sequence[tuple[bool, re.Pattern[str]]]") -> bool:
    """Tell whether the last pattern that matches a file, or a folder above it, leaves it out."""
    places = [name, *(parent.as_posix() for parent in list(Path(name).parents)[:-1])]
    matching = [leaves_out for leaves_out, pattern in patterns if any(map(pattern.fullmatch, places))]
    return bool(matching) and matching[-1]


def save_checkpoint(
    path: Path,
    identity: dict[str, str],
    progress: Progress,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    """Write all that a training continues from.

    Args:
        path: The file.
        identity: What the training depends on; one of another is not continued from it.
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


def read_checkpoint(path: Path, identity: dict[str, str]) -> tuple[dict[str, Any] | None, str]:
    """Read a checkpoint of the same training.

    Returns:
        (what save_checkpoint wrote, or None; a sentence on why there is none, empty if nothing is there)
    """
    if not path.exists():
        return None, ""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = state["identity"]
        changed = [name for name, value in identity.items() if found[name] != value]
        epoch = state["progress"]["epoch"]
    except (EOFError, RuntimeError, ValueError, TypeError, KeyError, pickle.UnpicklingError) as fault:
        return None, f"{path.name} cannot be read ({type(fault).__name__}); starting anew"
    if changed:
        return None, f"{path.name} is of other {' and '.join(changed)}; starting anew"
    return state, f"continuing after epoch {epoch} from {path.name}"


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
