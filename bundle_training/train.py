"""Program 1, training: labelled images in, a model that inference can load out.

    python train.py [IN_DIR OUT_DIR] [--options]
    torchrun --nproc-per-node 2 train.py IN_DIR OUT_DIR        # a process per GPU

Reads IN_DIR/task.json (without it: a classification), IN_DIR/{training,validation}_solution.csv and the
images named there. Writes best_metric_model.onnx, best_metric_model.pth, model.json, history.csv, a folder of
its own in tensorboard/, and checkpoint.pth, from which an interrupted training continues when the same
command is given again.

This file is the training, from top to bottom. labels.py reads task.json and the csvs; heads.py has what the
tasks differ in: last layer, loss, score. data.py reads, normalises and augments the images; network.py has
the networks, and is where to add one.
"""

import argparse
import contextlib
import csv
import functools
import importlib.metadata
import json
import math
import os
import pickle
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before torch is loaded: by default its OpenMP threads wait for each other by spinning, so that as soon as
# anything else computes on the machine a training takes not twice but up to 25 times as long.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import torch
from torch import nn

import data
import heads
import labels
import network as networks
from data import Geometry, InputError, Split
from heads import Metric
from labels import Task
from network import Processes

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

HEARTBEAT_S = 10.0
RUNS_KEPT = 10  # folders in tensorboard/


def option(default: object, help: str, **limits: object) -> Any:
    """A field that parse_arguments makes a command-line option of."""
    return field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True)
class Options:
    """The options of a training."""

    network: str = option("small", "small, or one of MONAI's", choices=sorted(networks.NETWORKS))
    epochs: int = option(14, "passes over the training images", low=1)
    learning_rate: float = option(6e-3, "highest of the one-cycle rule", low=1e-12, high=1e12)
    # Batch normalisation cannot train on one image.
    batch_size: int = option(32, "images per step", low=2)
    patience: int = option(10, "stop after so many epochs without a better one", low=1)
    image_size: int = option(0, "height and width in pixels; 0: the images' own if all agree, else 224")
    seed: int = option(0, "same seed, same model (on the CPU of one machine)", high=2**32 - 1)
    device: str = option("auto", "auto takes CUDA if it is there", choices=("auto", "cpu", "cuda"))
    precision: str = option(
        "auto",
        "of the layers' arithmetic; auto takes bfloat16 on a GPU that has it",
        choices=("auto", "float32", "bfloat16"),
    )
    images: str = option(
        "auto",
        "where the decoded images are kept; auto takes a file where memory is short",
        choices=("auto", "memory", "disk"),
    )
    workers: int = option(0, "threads that decode images; 0: one per core")
    class_weights: str = option(
        "none",
        "balanced: rare classes count as much as frequent ones; rare cases of a label likewise",
        choices=("none", "balanced"),
    )
    mirror: str = option(
        "auto",
        "mirror images at random; none where a side means something (of the body, of a chest X-ray, text);"
        " auto: none for multilabel, else horizontal",
        choices=("auto", "none", "horizontal", "both"),
    )
    rotation: float = option(15.0, "turn images at random, up to so many degrees", high=180.0)
    scaling: float = option(0.15, "scale images at random, up to this share", high=0.9)
    shift: float = option(0.06, "move images at random, up to this share of their side", high=1.0)
    contrast: float = option(0.2, "change contrast at random, up to this share", high=1.0)

    def of_the_model(self) -> dict[str, Any]:
        """The options that the model depends on; the others change memory and speed alone."""
        return {key: value for key, value in asdict(self).items() if key not in ("workers", "images")}


@dataclass(frozen=True)
class Place:
    """Where a training runs, and how."""

    out_dir: Path
    options: Options
    device: torch.device
    processes: Processes


@dataclass(frozen=True)
class Learner:
    """A network and all that trains it."""

    head: heads.Classification  # what the task makes of the network's output
    metric: Metric  # what chooses the best epoch
    changes: data.Changes  # of the training images
    network: nn.Module  # what is evaluated, saved and exported
    shared: nn.Module  # what training images go through: it averages the gradients over all processes
    optimizer: torch.optim.Optimizer  # steps once per batch, as the scheduler does
    scheduler: torch.optim.lr_scheduler.LRScheduler
    prepare: Callable[[torch.Tensor], torch.Tensor]  # stored images (B, C, H, W) to normalised ones
    autocast: torch.autocast  # the context in which the network is called


@dataclass
class TrainingState:
    """How far a training has come; with the weights this is all that a checkpoint holds."""

    epoch: int = 0  # epochs done
    history: list[dict[str, float]] = field(default_factory=list)  # one row per epoch
    best_epoch: int = 0  # from 1
    best_score: float = math.nan
    best_loss: float = math.inf
    best_state_dict: dict[str, torch.Tensor] = field(default_factory=dict)  # on the CPU
    run: str = ""  # folder in tensorboard/, the same when the training continues


def main(in_dir: Path, out_dir: Path, options: Options) -> int:
    """Train and export; returns the exit status: 0 done, 1 the input is at fault (one line on stderr)."""
    started = time.monotonic()
    geometry: Geometry | None = None
    try:
        place = Place(out_dir, options, choose_device(options.device), networks.join(options.device))
        task = labels.read_task(in_dir)
        files = {split: labels.read_solution(in_dir, split, task) for split in ("training", "validation")}
        task = labels.complete(task, files["training"], in_dir)
        paths = {split: [file.path for file in files[split]] for split in files}
        geometry = data.find_geometry(paths["training"], paths["validation"], options.image_size)
        targets = {split: labels.make_targets(files[split], task) for split in files}
        head = heads.HEADS[task.name](task, targets["training"], options.class_weights == "balanced")
        count = sum(map(len, files.values()))
        on_disk = networks.keeps_on_disk(options.images, count, geometry)
        check_room(place, geometry, head.outputs, len(files["training"]), 0 if on_disk else count)
        if on_disk:
            open_output(out_dir)
        splits = {}
        for split in files:
            pixel_file = out_dir / f".{split}-{place.processes.rank}.pixels" if on_disk else None
            workers = options.workers or os.cpu_count() or 1
            images = data.decode(paths[split], geometry, workers, pixel_file)
            splits[split] = Split(images, targets[split])
        data_sha256 = {split: labels.hash_files(files[split]) for split in files}
        open_output(out_dir)  # not before: what is refused writes nothing
        train(place, splits, head, geometry, data_sha256)
    except InputError as fault:
        print(fault, file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as fault:
        shortage = networks.describe_shortage(fault, geometry, options.batch_size)
        if shortage is None:
            raise
        print(shortage, file=sys.stderr)
        return 1
    finally:
        networks.leave()
    log(f"done after {time.monotonic() - started:.1f} s")
    return 0


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu` or `cuda` into a device."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no CUDA device here; use --device auto or cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def check_room(place: Place, geometry: Geometry, outputs: int, training: int, kept: int) -> None:
    """Check, before any image is decoded, that a step fits into the memory with so many images kept there."""
    if geometry.own_size is not None:
        log(
            f"images of {geometry.own_size[0]}x{geometry.own_size[1]} pixels are brought to"
            f" {geometry.width}x{geometry.height}; --image-size chooses another size"
        )
    network = networks.NETWORKS[place.options.network](geometry.channels, outputs)
    batch_size = min(place.options.batch_size, training)
    if place.device.type == "cuda":
        batch_size = -(-batch_size // place.processes.size)
        networks.check_memory(network, geometry, batch_size, 0, torch.cuda.mem_get_info(place.device)[0])
    else:
        networks.check_memory(network, geometry, batch_size, kept, networks.memory_bytes())


def open_output(out_dir: Path) -> None:
    """Make the output folder if it is not there, and check that it can be written to."""
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


def train(
    place: Place,
    splits: dict[str, Split],
    head: heads.Classification,
    geometry: Geometry,
    data_sha256: dict[str, str],
) -> None:
    """Train on the decoded images and write the model of the best epoch."""
    training, validation = splits["training"], splits["validation"]
    task, metric = head.task, heads.choose_metric(head.task)
    for line in labels.describe(task, training.targets, validation.targets):
        log(line)
    if task.metric not in ("", metric.name):
        log(f"this program has no {task.metric}; {metric.name} chooses the best epoch")
    mean, deviation = data.channel_statistics(training.images)
    prepare = functools.partial(data.normalise, mean=mean, standard_deviation=deviation)
    learner = make_learner(place, geometry, head, metric, prepare, len(training.targets))
    if place.device.type == "cuda":
        room = networks.KEPT_SHARE * torch.cuda.mem_get_info(place.device)[0]
        if training.images.nbytes + validation.images.nbytes < room:
            training, validation = training.to(place.device), validation.to(place.device)
    state = fit(place, learner, training, validation, identify(place.options, task, data_sha256))
    if place.processes.rank > 0:
        return
    chosen = place.options.of_the_model() | {
        "mirror": learner.changes.mirror,
        "device": place.device.type,
        "best_epoch": state.best_epoch,
    }
    score = None if math.isnan(state.best_score) else state.best_score
    card = {
        "task": task.name,
        "class_names": task.class_names,
        "input": {
            "channels": geometry.channels,
            "height": geometry.height,
            "width": geometry.width,
            "mean": mean,
            "standard_deviation": deviation,
        },
        **head.card(),
        "network": place.options.network,
        "training": chosen,
        "metrics": {f"validation_{metric.name}": score, "validation_loss": state.best_loss},
        "data_sha256": data_sha256,
        "versions": versions(),
    }
    learner.network.load_state_dict(state.best_state_dict)
    write_model(learner.network.cpu(), geometry.shape, state.best_state_dict, card, place.out_dir)
    log(
        f"best epoch {state.best_epoch} by {metric.title} on the validation images: {state.best_score:.4f};"
        " wrote best_metric_model.onnx, best_metric_model.pth, model.json"
    )


def make_learner(
    place: Place,
    geometry: Geometry,
    head: heads.Classification,
    metric: Metric,
    prepare: Callable[[torch.Tensor], torch.Tensor],
    images: int,
) -> Learner:
    """Make a network with fresh weights, and all that trains it on so many images."""
    options, device, processes = place.options, place.device, place.processes
    bfloat16 = options.precision == "bfloat16" or (
        options.precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()
    )
    where = f"the CPU ({torch.get_num_threads()} threads)"
    if device.type == "cuda":
        where = f"CUDA ({torch.cuda.get_device_name(device)})"
        # On a CPU all of this is deterministic anyway, and the call alone imports torch's compiler: 1.3 s.
        torch.use_deterministic_algorithms(True, warn_only=True)
    log(
        f"network {options.network}, input {'x'.join(map(str, geometry.shape))} (C x H x W), on"
        f" {where}{f' and {processes.size - 1} more' if processes.size > 1 else ''},"
        f" {'bfloat16' if bfloat16 else 'float32'}"
    )
    torch.manual_seed(options.seed)
    network = head.finish(networks.NETWORKS[options.network](geometry.channels, head.outputs)).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch has no type for it
    optimizer = networks.PlainAdamW(
        network.parameters(), lr=options.learning_rate, weight_decay=0.05, fused=True
    )
    # The one-cycle rule needs a few steps: if there were only one, it would be its last, near 0.
    steps = max(math.ceil(images / options.batch_size) * options.epochs, 10)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, total_steps=steps)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=bfloat16)
    mirror = head.mirror if options.mirror == "auto" else options.mirror
    changes = data.Changes(mirror, options.rotation, options.scaling, options.shift, options.contrast)
    shared = networks.share(network, processes, device)
    return Learner(head, metric, changes, network, shared, optimizer, scheduler, prepare, autocast)


def fit(
    place: Place, learner: Learner, training: Split, validation: Split, identity: dict[str, str]
) -> TrainingState:
    """Train until the epochs are done or the validation score has stopped rising.

    Every random number depends on the seed and the epoch alone, so a training that continues from a
    checkpoint ends where an undisturbed one does. The first process alone writes.
    """
    options, out_dir, first = place.options, place.out_dir, place.processes.rank == 0
    state = resume(learner, place.processes, identity, out_dir / "checkpoint.pth")
    events = open_events(out_dir, state, f"{options.network}-seed{options.seed}") if first else None
    first_epoch, started = state.epoch, time.monotonic()
    while state.epoch < options.epochs and state.epoch - state.best_epoch < options.patience:
        row = run_epoch(place, learner, training, validation, state.epoch + 1)
        record(state, row, learner)
        if events is None:
            continue
        for name in list(row)[1:]:
            events.add_scalar(name, row[name], state.epoch)
        events.flush()  # by itself it waits two minutes, and nobody could watch
        replace_file(out_dir / "history.csv", functools.partial(write_history, state.history))
        save_checkpoint(learner, state, identity, out_dir / "checkpoint.pth")
        per_epoch = (time.monotonic() - started) / (state.epoch - first_epoch)
        log(
            f"epoch {state.epoch}/{options.epochs}  loss {row['training_loss']:.4f}"
            f"  validation {learner.metric.title} {row[f'validation_{learner.metric.name}']:.4f}"
            f"  best {state.best_score:.4f} (epoch {state.best_epoch})  {row['seconds']:.1f} s"
            f" ({100 * row['input_seconds'] / max(row['seconds'], 1e-9):.0f} % waiting for images)"
            f", at most {per_epoch * (options.epochs - state.epoch):.0f} s left"
        )
    if events is not None:
        events.close()
    if state.epoch < options.epochs:
        log(f"stopped early: no better epoch in the last {options.patience}")
    return state


def run_epoch(
    place: Place, learner: Learner, training: Split, validation: Split, epoch: int
) -> dict[str, float]:
    """Train one epoch, from 1, and evaluate it; returns a row of history.csv."""
    started = time.monotonic()
    learning_rate = learner.optimizer.param_groups[0]["lr"]
    training_loss, waited = train_epoch(place, learner, training, epoch)
    validation_loss, score = evaluate(place, learner, validation)
    if not math.isfinite(training_loss) or not math.isfinite(validation_loss):
        raise InputError(
            f"epoch {epoch}: the loss is not a finite number; try a lower --learning-rate than"
            f" {place.options.learning_rate:g}"
        )
    return {
        "epoch": epoch,
        "training_loss": training_loss,
        "validation_loss": validation_loss,
        f"validation_{learner.metric.name}": score,
        "learning_rate": learning_rate,
        "seconds": round(time.monotonic() - started, 3),
        "input_seconds": round(waited, 3),  # of these, spent waiting for images
    }


def train_epoch(place: Place, learner: Learner, training: Split, epoch: int) -> tuple[float, float]:
    """One step per batch; returns (mean loss, seconds spent waiting for images)."""
    options, processes = place.options, place.processes
    printed = time.monotonic()
    seed = options.seed * 1_000_003 + epoch
    # Dropout differs between the processes; what is drawn from the generator is the same in all.
    torch.manual_seed(seed + (processes.rank << 40))
    generator = torch.Generator().manual_seed(seed)
    count = len(training.targets)
    batches = data.shuffled_batches(count, options.batch_size, generator, at_least=processes.size)
    learner.shared.train()
    total_loss, seen, waited = torch.zeros(1, device=place.device), 0, 0.0
    fetched = data.prefetch(training, map(processes.own_rows, batches), place.device)
    for batch in batches:  # (B,)
        before = time.monotonic()
        stored, targets = next(fetched)  # (B', C, H, W) and (B', ...): this process's rows of the batch
        waited += time.monotonic() - before
        of_all = data.draw_augmentation(len(batch), generator, learner.changes)
        drawn = data.Augmentation(*map(processes.own_rows, of_all))
        images = data.augment(learner.prepare(stored), drawn)
        with learner.autocast:
            logits = learner.shared(images.contiguous(memory_format=torch.channels_last))  # (B', K)
        loss = networks.mean_loss(learner.head.loss(logits.float(), targets), len(batch), processes)
        learner.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        learner.optimizer.step()
        learner.scheduler.step()
        total_loss += loss.detach() * len(batch) / processes.size
        seen += len(batch)
        if time.monotonic() - printed > HEARTBEAT_S:
            printed = time.monotonic()
            log(f"epoch {epoch}/{options.epochs}  {100 * seen // count} %")
    return processes.add(total_loss).item() / max(seen, 1), waited


@torch.no_grad()
def evaluate(place: Place, learner: Learner, validation: Split) -> tuple[float, float]:
    """Predict the validation images, each process its rows; returns (mean loss, the metric's score)."""
    learner.network.eval()
    rows = place.processes.own_rows(torch.arange(len(validation.targets)))
    batches = rows.split(validation_batch_size(*validation.images.shape[2:]))
    found: list[torch.Tensor] = []
    for stored, _ in data.prefetch(validation, batches, place.device):
        images = learner.prepare(stored).contiguous(memory_format=torch.channels_last)
        with learner.autocast:
            found.append(learner.network(images).float())
    own = torch.cat(found)
    logits = torch.zeros(len(validation.targets), own.shape[1], device=place.device)  # (N, K)
    logits[rows.to(place.device)] = own
    logits, targets = place.processes.add(logits).cpu(), validation.targets.cpu()
    score = learner.metric.score(targets.numpy(), learner.head.predict(logits))
    return learner.head.validation_loss(logits, targets), score


def validation_batch_size(height: int, width: int) -> int:
    """100 images of at most 256x256 pixels, fewer larger ones.

    At 64x64, on two processor cores, that is twice as fast as 256: a layer's output stays in the cache.
    """
    return max(1, min(100, 100 * 256 * 256 // (height * width)))


def record(state: TrainingState, row: dict[str, float], learner: Learner) -> None:
    """Add an epoch; keep its weights if it is the best: a better score, or the same with a lower loss."""
    state.epoch = int(row["epoch"])
    state.history.append(row)
    score, loss, rank = row[f"validation_{learner.metric.name}"], row["validation_loss"], learner.metric.rank
    if (rank(score), -loss) > (rank(state.best_score), -state.best_loss):
        state.best_epoch, state.best_score, state.best_loss = state.epoch, score, loss
        state.best_state_dict = {
            name: tensor.detach().to("cpu", copy=True)
            for name, tensor in learner.network.state_dict().items()
        }


# An interrupted training continues from its checkpoint, if all that its result depends on is the same.


def identify(options: Options, task: Task, data_sha256: dict[str, str]) -> dict[str, str]:
    """All that a training's result depends on, by name."""
    return {
        "task": json.dumps(asdict(task), sort_keys=True),
        "options": json.dumps(options.of_the_model(), sort_keys=True),
        "data": json.dumps(data_sha256, sort_keys=True),
        "code": data.hash_program(Path(__file__).resolve().parent),
        "packages": json.dumps([torch.__version__, versions()], sort_keys=True),
    }


def versions() -> dict[str, str]:
    """The versions of what a training's result depends on."""
    found = {"python": platform.python_version()}
    for name in ("torch", "monai", "numpy", "pillow"):
        # A participant's own network may need no MONAI.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def resume(learner: Learner, processes: Processes, identity: dict[str, str], path: Path) -> TrainingState:
    """The state of the checkpoint, whose weights all processes load, or a new one."""
    saved, why = processes.from_first(read_checkpoint(path, identity) if processes.rank == 0 else None)
    if why:
        log(why)
    if saved is None:
        return TrainingState()
    for name in ("network", "optimizer", "scheduler"):
        getattr(learner, name).load_state_dict(saved[name])
    return TrainingState(**saved["state"])


def read_checkpoint(path: Path, identity: dict[str, str]) -> tuple[dict[str, Any] | None, str]:
    """Return what save_checkpoint wrote for the same training, or None; and a line with the reason."""
    if not path.exists():
        return None, ""
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        changed = [name for name, value in identity.items() if saved["identity"][name] != value]
        epoch = 0 if changed else saved["state"]["epoch"]
    except (EOFError, RuntimeError, ValueError, TypeError, KeyError, pickle.UnpicklingError) as fault:
        return None, f"{path.name} cannot be read ({type(fault).__name__}); starting over"
    if changed:
        return None, f"{path.name} is of other {' and '.join(changed)}; starting over"
    return saved, f"continuing after epoch {epoch} from {path.name}"


def save_checkpoint(learner: Learner, state: TrainingState, identity: dict[str, str], path: Path) -> None:
    """Write all that a training continues from."""
    saved = {"identity": identity, "state": vars(state)} | {
        name: getattr(learner, name).state_dict() for name in ("network", "optimizer", "scheduler")
    }
    replace_file(path, lambda temporary: torch.save(saved, temporary))


# What is written, each file under a temporary name first: a reader sees the old file or the new one.


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file, then rename it."""
    temporary = path.with_name(f".{path.name}.part")
    write(temporary)
    temporary.replace(path)


def write_history(history: Sequence[dict[str, float]], path: Path) -> None:
    """Write history.csv, one row per epoch."""
    with path.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


def open_events(out_dir: Path, state: TrainingState, what: str) -> "SummaryWriter":
    """Open the TensorBoard events of a run; what an interrupted epoch wrote is ignored."""
    from torch.utils.tensorboard.writer import SummaryWriter

    state.run = state.run or new_run(out_dir, what)
    first_step = state.epoch + 1 if state.epoch else None
    return SummaryWriter(str(out_dir / "tensorboard" / state.run), purge_step=first_step)


def new_run(out_dir: Path, what: str) -> str:
    """A new name in tensorboard/, such as 20260131-120000-small-seed0 (UTC); the oldest runs are removed."""
    folder = out_dir / "tensorboard"
    runs = [path for path in folder.glob("*") if re.fullmatch(r"\d{8}-\d{6}-.+", path.name) and path.is_dir()]
    for old in sorted(runs)[: 1 - RUNS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    name = run = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{what}"
    number = 1
    while (folder / run).exists():
        number += 1
        run = f"{name}-{number}"
    return run


def write_model(
    network: nn.Module,
    shape: tuple[int, int, int],
    state_dict: dict[str, torch.Tensor],
    card: dict[str, Any],
    out_dir: Path,
) -> None:
    """Write the three model files; model.json last, as the sign that they are complete."""
    onnx = functools.partial(networks.export_onnx, network, shape)
    replace_file(out_dir / "best_metric_model.onnx", onnx)
    replace_file(out_dir / "best_metric_model.pth", lambda path: torch.save(state_dict, path))
    text = json.dumps(card, indent=2) + "\n"
    replace_file(out_dir / "model.json", lambda path: path.write_text(text, encoding="utf-8"))


def log(line: str) -> None:
    """Print a line at once, also into a pipe; of several processes only the first prints."""
    if os.environ.get("RANK", "0") == "0":
        print(line, flush=True)


def parse_arguments(arguments: Sequence[str] | None = None) -> tuple[Path, Path, Options]:
    """Parse the command line to (in_dir, out_dir, options)."""
    parser = argparse.ArgumentParser(
        description="Train a network on labelled images and export it to ONNX.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("in_dir", nargs="?", default="/mnt/in", type=Path, help="folder with the images and csvs")
    add("out_dir", nargs="?", default="/mnt/out", type=Path, help="folder for the model files")
    for one in fields(Options):
        limits = dict(one.metadata)
        if "choices" not in limits:
            kind = float if isinstance(one.default, float) else int
            limits["type"] = number_between(kind, limits.pop("low", 0), limits.pop("high", math.inf))
        add(f"--{one.name.replace('_', '-')}", default=one.default, **limits)
    parsed = vars(parser.parse_args(arguments))
    if parsed["in_dir"] != Path("/mnt/in") and parsed["out_dir"] == Path("/mnt/out"):
        parser.error("give both folders, IN_DIR and OUT_DIR, or neither")
    return parsed.pop("in_dir"), parsed.pop("out_dir"), Options(**parsed)


def number_between(kind: Callable[[str], float], low: float, high: float) -> Callable[[str], float]:
    """An argparse type: whole or real numbers from low to high."""

    def number(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            limits = f"at least {low}" if high == math.inf else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"expected a number, {limits}, but got {value}")
        return value

    return number


if __name__ == "__main__":
    sys.exit(main(*parse_arguments()))
