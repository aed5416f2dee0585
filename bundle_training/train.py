"""Program 1, training: labelled images in, a model that inference can load out.

    python train.py [IN_DIR OUT_DIR] [--options]

Reads IN_DIR/{training,validation}_solution.csv and the images named there. Writes best_metric_model.onnx,
best_metric_model.pth, model.json, history.csv, tensorboard/, and checkpoint.pth, from which a training that
was interrupted continues when the same command is given again.
"""

import argparse
import contextlib
import csv
import functools
import hashlib
import importlib.metadata
import io
import json
import math
import os
import pickle
import platform
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from dataset import (
    InputError,
    Split,
    augment,
    decode,
    find_geometry,
    hash_files,
    normalise,
    read_solution,
    shuffled_batches,
)
from network import NETWORKS, make_network

HISTORY_COLUMNS = (
    "epoch",
    "training_loss",
    "validation_loss",
    "validation_weighted_f1",
    "learning_rate",
    "seconds",
)
HEARTBEAT_S = 10.0

VALIDATION_BATCH_SIZE = 100
"""Half as long as with 256 on two processor cores (64x64 pixels): a layer's output stays in the cache."""

Prepare = Callable[[torch.Tensor], torch.Tensor]
"""From stored images (B, C, H, W) to normalised ones."""


@dataclass(frozen=True, slots=True)
class Options:
    """What one can choose; see --help."""

    network: str = "small"
    epochs: int = 14
    learning_rate: float = 4e-3
    batch_size: int = 32
    patience: int = 10
    image_size: int = 0
    seed: int = 0
    device: str = "auto"
    workers: int = 0


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


def main(in_dir: Path, out_dir: Path, options: Options) -> int:
    """Train and export.

    Args:
        in_dir: Holds the solution csvs and the images.
        out_dir: Gets the model files; made if it is not there.
        options: See Options.

    Returns:
        Exit status: 0 done, 1 the input is at fault (said on stderr).
    """
    started = time.monotonic()
    try:
        device = choose_device(options.device)
        files = {split: read_solution(in_dir, split) for split in ("training", "validation")}
        class_names = sorted({file.class_name for file in files["training"]})
        if len(class_names) < 2:
            raise InputError(
                f"{in_dir / 'training_solution.csv'}: one class only; a classification needs two"
            )
        geometry = find_geometry(files["training"], options.image_size)
        workers = options.workers or os.cpu_count() or 1
        splits = {split: decode(files[split], class_names, geometry, workers) for split in files}
        data_sha256 = {split: hash_files(files[split]) for split in files}
        open_output(out_dir)
        return train(splits, class_names, geometry, data_sha256, device, out_dir, options, started)
    except InputError as fault:
        print(fault, file=sys.stderr)
        return 1


def train(
    splits: dict[str, Split],
    class_names: Sequence[str],
    geometry: tuple[int, int, int],
    data_sha256: dict[str, str],
    device: torch.device,
    out_dir: Path,
    options: Options,
    started: float,
) -> int:
    """Train on images that were read; the arguments are what main found.

    Returns:
        Exit status 0.

    Raises:
        InputError: The loss is not a finite number.
    """
    training, validation = splits["training"], splits["validation"]
    say(
        f"{len(training.labels)} training and {len(validation.labels)} validation images"
        f" in {len(class_names)} classes"
    )
    unseen = sorted(set(range(len(class_names))) - set(validation.labels.tolist()))
    if unseen:
        say(f"warning: class {class_names[unseen[0]]!r} has no validation image; is its name a slip?")
    say(f"network {options.network}, input {'x'.join(map(str, geometry))} (C x H x W), on {describe(device)}")

    mean, standard_deviation = channel_statistics(training.images)
    on_device = {name: Split(part.images.to(device), part.labels.to(device)) for name, part in splits.items()}
    prepare = functools.partial(normalise, mean=mean, standard_deviation=standard_deviation)
    torch.manual_seed(options.seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    network = make_network(options.network, geometry[0], len(class_names)).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch has no type for it
    progress = fit(
        network, on_device["training"], on_device["validation"], prepare, options, data_sha256, out_dir
    )

    network.load_state_dict(progress.best_state_dict)
    chosen = {name: value for name, value in asdict(options).items() if name != "workers"}
    card = {
        "class_names": class_names,
        "input": {
            "channels": geometry[0],
            "height": geometry[1],
            "width": geometry[2],
            "mean": mean,
            "standard_deviation": standard_deviation,
        },
        "output": "logits",
        "network": options.network,
        "training": chosen | {"device": device.type, "best_epoch": progress.best_epoch},
        "metrics": {"validation_weighted_f1": progress.best_f1, "validation_loss": progress.best_loss},
        "data_sha256": data_sha256,
        "versions": versions(),
    }
    export(network.cpu(), geometry, progress.best_state_dict, card, out_dir)
    say(
        f"best epoch {progress.best_epoch} by weighted F1 on the validation images: {progress.best_f1:.4f};"
        f" model written after {time.monotonic() - started:.1f} s"
    )
    return 0


def versions() -> dict[str, str]:
    """The versions of what a training's result depends on."""
    found = {"python": platform.python_version()}
    for name in ("torch", "monai", "numpy", "pillow"):
        # A network of one's own may do without MONAI.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def open_output(out_dir: Path) -> None:
    """Make the output folder if it is not there.

    Raises:
        InputError: It cannot be written to.
    """
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        probe = out_dir / f".{os.getpid()}.probe"
        probe.touch()
        probe.unlink()
    except OSError as fault:
        user = f"user {os.getuid()}" if hasattr(os, "getuid") else "this user"
        raise InputError(
            f"{out_dir}: {user} cannot write there ({fault.strerror}); make the folder writable (chmod a+w),"
            " or run the container as yourself (--user $(id -u):$(id -g))"
        ) from None


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu` or `cuda` into a device.

    Raises:
        InputError: `cuda`, and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no CUDA device here; use --device auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def describe(device: torch.device) -> str:
    """Name a device for a person."""
    if device.type == "cuda":
        return f"CUDA ({torch.cuda.get_device_name(device)})"
    return f"the CPU ({torch.get_num_threads()} threads)"


def channel_statistics(images: torch.Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of images scaled to 0..1.

    Args:
        images: (N, C, H, W), from 0 to 255.

    Returns:
        Two lists of C numbers with six decimals, as they stand in model.json.
    """
    total = torch.zeros(images.shape[1], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for batch in images.split(256):
        scaled = batch.double() / 255.0
        total += scaled.sum(dim=(0, 2, 3))
        squares += scaled.square().sum(dim=(0, 2, 3))
    count = images.numel() / images.shape[1]
    mean = total / count
    spread = (squares / count - mean.square()).clamp(min=0.0).sqrt().clamp(min=1e-3)
    return [round(value, 6) for value in mean.tolist()], [round(value, 6) for value in spread.tolist()]


def fit(
    network: nn.Module,
    training: Split,
    validation: Split,
    prepare: Prepare,
    options: Options,
    data_sha256: dict[str, str],
    out_dir: Path,
) -> Progress:
    """Train until the epochs are done or the validation score has stopped rising.

    Every random number depends on the seed and the epoch alone, so a training that continues from a
    checkpoint ends where an undisturbed one does.

    Returns:
        The progress, with the weights of the best epoch.
    """
    from torch.utils.tensorboard.writer import SummaryWriter

    batches = -(-len(training.labels) // options.batch_size)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, weight_decay=0.05, fused=True
    )
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        # The rule needs a few steps: of one step alone it would make its last, near 0.
        optimizer,
        options.learning_rate,
        total_steps=max(batches * options.epochs, 10),
    )
    checkpoint = out_dir / "checkpoint.pth"
    identity = identify(options, data_sha256)
    progress = resume(checkpoint, identity, network, optimizer, scheduler)
    if progress.epoch:
        say(f"continuing after epoch {progress.epoch} from {checkpoint}")
    first_epoch, started = progress.epoch, time.monotonic()
    with SummaryWriter(
        str(out_dir / "tensorboard"), purge_step=first_epoch + 1 if first_epoch else None
    ) as events:
        while progress.epoch < options.epochs and progress.epoch - progress.best_epoch < options.patience:
            row = run_epoch(
                network, training, validation, prepare, options, progress.epoch + 1, optimizer, scheduler
            )
            record(progress, row, network)
            for name in HISTORY_COLUMNS[1:]:
                events.add_scalar(name, row[name], progress.epoch)
            write_history(progress.history, out_dir / "history.csv")
            save_checkpoint(checkpoint, identity, progress, network, optimizer, scheduler)
            left_s = (
                (time.monotonic() - started)
                / (progress.epoch - first_epoch)
                * (options.epochs - progress.epoch)
            )
            say(
                f"epoch {progress.epoch}/{options.epochs}  loss {row['training_loss']:.4f}"
                f"  validation F1 {row['validation_weighted_f1']:.4f}"
                f"  best {progress.best_f1:.4f} (epoch {progress.best_epoch})  {row['seconds']:.1f} s"
                f", at most {left_s:.0f} s left"
            )
    if progress.epoch < options.epochs:
        say(f"stopped early: no better epoch in the last {options.patience}")
    return progress


def identify(options: Options, data_sha256: dict[str, str]) -> str:
    """SHA-256 of all that a training's result depends on; a checkpoint of another is not continued."""
    chosen = {key: value for key, value in asdict(options).items() if key not in ("workers", "patience")}
    code = [
        Path(__file__).with_name(name).read_text(encoding="utf-8")
        for name in ("train.py", "dataset.py", "network.py")
    ]
    content = json.dumps([chosen, data_sha256, torch.__version__, code], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def save_checkpoint(
    path: Path,
    identity: str,
    progress: Progress,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    """Write all that `resume` needs."""
    state = {
        "identity": identity,
        "progress": asdict(progress),
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
    }
    replace_file(path, lambda temporary: torch.save(state, temporary))


def resume(
    checkpoint: Path,
    identity: str,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> Progress:
    """Load a checkpoint of the same training into the objects given; a fresh start if there is none."""
    if checkpoint.exists():
        try:
            state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        except (EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as fault:
            say(f"{checkpoint} cannot be read ({type(fault).__name__}); starting anew")
            return Progress(0, [], 0, -1.0, float("inf"), {})
        if state["identity"] == identity:
            network.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])
            scheduler.load_state_dict(state["scheduler"])
            return Progress(**state["progress"])
        say(f"{checkpoint} is of other data, options or code; starting anew")
    return Progress(0, [], 0, -1.0, float("inf"), {})


def run_epoch(
    network: nn.Module,
    training: Split,
    validation: Split,
    prepare: Prepare,
    options: Options,
    epoch: int,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> dict[str, float]:
    """Train one epoch and look at the validation images.

    Returns:
        A row of HISTORY_COLUMNS.

    Raises:
        InputError: The loss is not a finite number.
    """
    started = said = time.monotonic()
    torch.manual_seed(options.seed * 1_000_003 + epoch)
    generator = torch.Generator().manual_seed(options.seed * 1_000_003 + epoch)
    count = len(training.labels)
    learning_rate = optimizer.param_groups[0]["lr"]
    network.train()
    total_loss, seen = 0.0, 0
    for batch in shuffled_batches(count, options.batch_size, generator):
        images = augment(prepare(training.images[batch]), generator)
        logits = network(images.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits, training.labels[batch], label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()
        total_loss += loss.item() * len(batch)
        seen += len(batch)
        if time.monotonic() - said > HEARTBEAT_S:
            said = time.monotonic()
            say(f"epoch {epoch}/{options.epochs}  {100 * seen // count} %  loss {total_loss / seen:.4f}")
    validation_loss, f1 = evaluate(network, validation, prepare)
    if not math.isfinite(total_loss) or not math.isfinite(validation_loss):
        raise InputError(
            f"epoch {epoch}: the loss is not a finite number; try a lower --learning-rate than"
            f" {options.learning_rate:g}"
        )
    return {
        "epoch": epoch,
        "training_loss": total_loss / max(seen, 1),
        "validation_loss": validation_loss,
        "validation_weighted_f1": f1,
        "learning_rate": learning_rate,
        "seconds": round(time.monotonic() - started, 3),
    }


@torch.no_grad()
def evaluate(network: nn.Module, validation: Split, prepare: Prepare) -> tuple[float, float]:
    """Classify the validation images.

    Returns:
        (mean cross entropy, weighted F1)
    """
    network.eval()
    logits = torch.cat(
        [
            network(prepare(images).contiguous(memory_format=torch.channels_last))
            for images in validation.images.split(VALIDATION_BATCH_SIZE)
        ]
    )
    loss = F.cross_entropy(logits, validation.labels).item()
    return loss, weighted_f1(validation.labels.cpu(), logits.argmax(dim=1).cpu(), logits.shape[1])


def weighted_f1(reference: torch.Tensor, predictions: torch.Tensor, class_count: int) -> float:
    """F1 of each class, weighted by its share of the reference; a class without any row counts 0.

    Args:
        reference: Labels (N,).
        predictions: Labels (N,).
        class_count: K.

    Source:
        scikit-learn, f1_score with average="weighted".
    """
    support = torch.bincount(reference, minlength=class_count).double()
    predicted = torch.bincount(predictions, minlength=class_count).double()
    hits = torch.bincount(reference[reference == predictions], minlength=class_count).double()
    f1 = 2.0 * hits / (support + predicted).clamp(min=1.0)
    return float((f1 * support).sum() / support.sum())


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


def export(
    network: nn.Module,
    geometry: tuple[int, int, int],
    state_dict: dict[str, torch.Tensor],
    card: dict[str, Any],
    out_dir: Path,
) -> None:
    """Write the three model files; model.json last, as the sign that they are complete."""
    network.eval()
    example = torch.from_numpy(np.zeros((2, *geometry), dtype=np.float32))

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


def parse_arguments(arguments: Sequence[str] | None = None) -> tuple[Path, Path, Options]:
    """Parse the command line."""
    defaults = Options()
    parser = argparse.ArgumentParser(
        description="Train a classifier on labelled images and export it to ONNX.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "in_dir", nargs="?", default="/mnt/in", type=Path, help="folder with the images and csvs"
    )
    parser.add_argument(
        "out_dir", nargs="?", default="/mnt/out", type=Path, help="folder for the model files"
    )
    add = parser.add_argument
    add("--network", choices=sorted(NETWORKS), default=defaults.network, help="small, or one of MONAI's")
    add("--epochs", type=positive, default=defaults.epochs, help="passes over the training images")
    add(
        "--learning-rate",
        type=positive_number,
        default=defaults.learning_rate,
        help="highest of the one-cycle rule",
    )
    add("--batch-size", type=two_or_more, default=defaults.batch_size, help="images a step")
    add(
        "--patience",
        type=positive,
        default=defaults.patience,
        help="stop after so many epochs without a better one",
    )
    add(
        "--image-size",
        type=natural,
        default=defaults.image_size,
        help="height and width in pixels; 0: the images' own if all agree, else 224",
    )
    add(
        "--seed",
        type=seed,
        default=defaults.seed,
        help="same seed, same model (on the CPU of one machine)",
    )
    add(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default=defaults.device,
        help="auto takes CUDA if it is there",
    )
    add("--workers", type=natural, default=defaults.workers, help="threads that decode images; 0: one a core")
    parsed = vars(parser.parse_args(arguments))
    if parsed["in_dir"] != Path("/mnt/in") and parsed["out_dir"] == Path("/mnt/out"):
        parser.error("give both folders, IN_DIR and OUT_DIR, or neither")
    return parsed.pop("in_dir"), parsed.pop("out_dir"), Options(**parsed)


def natural(text: str) -> int:
    """A whole number, 0 or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is less than 0")
    return value


def seed(text: str) -> int:
    """A whole number of 32 bits."""
    value = natural(text)
    if value >= 2**32:
        raise argparse.ArgumentTypeError(f"{value} is over {2**32 - 1}")
    return value


def two_or_more(text: str) -> int:
    """A whole number, 2 or more: batch normalisation cannot train on one image."""
    value = int(text)
    if value < 2:
        raise argparse.ArgumentTypeError(f"{value} is less than 2")
    return value


def positive(text: str) -> int:
    """A whole number, 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def positive_number(text: str) -> float:
    """A finite number above 0."""
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{value} is not a number above 0")
    return value


if __name__ == "__main__":
    sys.exit(main(*parse_arguments()))
