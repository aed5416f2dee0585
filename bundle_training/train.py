"""Program 1, training: labelled images in, a model that inference can load out.

    python train.py [IN_DIR OUT_DIR] [--options]

Reads IN_DIR/{training,validation}_solution.csv and the images named there. Writes best_metric_model.onnx,
best_metric_model.pth, model.json, history.csv, a folder of its own in tensorboard/, and checkpoint.pth, from
which a training that was interrupted continues when the same command is given again.
"""

import functools
import inspect
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

# Before torch is loaded: by default its OpenMP threads wait for each other by spinning, so that as soon as
# anything else computes on the machine a training takes not twice but up to 25 times as long.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import torch
import torch.nn.functional as F
from torch import nn

from dataset import (
    Geometry,
    InputError,
    Split,
    augment,
    channel_statistics,
    decode,
    decoded_bytes,
    draw_augmentation,
    find_geometry,
    hash_files,
    normalise,
    prefetch,
    read_solution,
    shuffled_batches,
)
from distributed import Group, join, leave, mean_loss, share
from memory import check_memory, describe_shortage, memory_bytes, validation_batch_size
from network import make_network
from options import Options, parse_arguments
from results import (
    HISTORY_COLUMNS,
    Progress,
    export,
    hash_program,
    new_run,
    open_events,
    read_checkpoint,
    record,
    save_checkpoint,
    versions,
    write_history,
)

HEARTBEAT_S = 10.0

VALIDATION_BATCH_SIZE = 100
"""Half as long as with 256 on two processor cores (64x64 pixels): a layer's output stays in the cache."""

MEMORY_SHARE = 0.4
"""Images that take more of the memory than this are kept in a file."""

Prepare = Callable[[torch.Tensor], torch.Tensor]
"""From stored images (B, C, H, W) to normalised ones."""


class PlainAdamW(torch.optim.AdamW):
    """torch's AdamW without the hooks of torch's compiler: to import it takes 1.3 s, and nothing is compiled.

    The hooks are wrappers (functools.wraps); in a torch that has none, this is AdamW itself.
    """

    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)


@dataclass(frozen=True, slots=True)
class Learner:
    """A network and all that trains it.

    Args:
        network: The network itself: what is evaluated, saved and exported.
        shared: What training images go through: the network, with its gradients averaged over all processes.
        optimizer: Steps once a batch.
        scheduler: Likewise.
        prepare: Makes stored images into what the network takes.
        options: What was chosen.
        device: Where it is.
        bfloat16: Whether its layers calculate with 16 bits.
        group: The processes that train it.
    """

    network: nn.Module
    shared: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    prepare: Prepare
    options: Options
    device: torch.device
    bfloat16: bool
    group: Group

    def autocast(self) -> torch.autocast:
        """The context in which the network is called."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def fetch(self, split: Split, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (B, C, H, W) and labels (B,) of some rows, on the device."""
        return split.images[rows].to(self.device), split.labels[rows].to(self.device)


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
    geometry: Geometry | None = None
    try:
        device = choose_device(options.device)
        group = join(options.device)
        files = {split: read_solution(in_dir, split) for split in ("training", "validation")}
        class_names = sorted({file.class_name for file in files["training"]})
        if len(class_names) < 2:
            raise InputError(
                f"{in_dir / 'training_solution.csv'}: one class only; a classification needs two"
            )
        geometry = find_geometry(files["training"], files["validation"], options.image_size)
        on_disk = keeps_on_disk(options.images, sum(map(len, files.values())), geometry)
        check_room(geometry, len(class_names), files, on_disk, device, group, options)
        if on_disk:
            open_output(out_dir)
        workers = options.workers or os.cpu_count() or 1
        splits = {
            split: decode(
                files[split],
                class_names,
                geometry,
                workers,
                out_dir / f".{split}-{group.rank}.pixels" if on_disk else None,
            )
            for split in files
        }
        data_sha256 = {split: hash_files(files[split]) for split in files}
        open_output(out_dir)
        train(splits, class_names, geometry, data_sha256, device, group, out_dir, options)
    except InputError as fault:
        print(fault, file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as fault:
        # torch raises a RuntimeError where the processor's memory is at its end.
        shortage = describe_shortage(fault, geometry, options.batch_size)
        if shortage is None:
            raise
        print(shortage, file=sys.stderr)
        return 1
    finally:
        leave()
    say(f"done after {time.monotonic() - started:.1f} s")
    return 0


def train(
    splits: dict[str, Split],
    class_names: Sequence[str],
    geometry: Geometry,
    data_sha256: dict[str, str],
    device: torch.device,
    group: Group,
    out_dir: Path,
    options: Options,
) -> None:
    """Train on images that were read; the arguments are what main found.

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
    mean, standard_deviation = channel_statistics(training.images)
    prepare = functools.partial(normalise, mean=mean, standard_deviation=standard_deviation)
    batches = -(-len(training.labels) // options.batch_size)
    learner = make_learner(geometry, len(class_names), prepare, batches, device, group, options)
    fits = device.type == "cuda" and sum(part.images.nbytes for part in splits.values()) < (
        MEMORY_SHARE * torch.cuda.mem_get_info(device)[0]
    )
    if fits:
        training, validation = (
            Split(part.images.to(device), part.labels.to(device)) for part in (training, validation)
        )
    progress = fit(learner, training, validation, identify(options, data_sha256), out_dir)
    if group.rank > 0:
        return
    learner.network.load_state_dict(progress.best_state_dict)
    chosen = {name: value for name, value in asdict(options).items() if name not in ("workers", "images")}
    card = {
        "class_names": class_names,
        "input": {
            "channels": geometry.channels,
            "height": geometry.height,
            "width": geometry.width,
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
    export(learner.network.cpu(), geometry.shape, progress.best_state_dict, card, out_dir)
    say(
        f"best epoch {progress.best_epoch} by weighted F1 on the validation images: {progress.best_f1:.4f};"
        " wrote best_metric_model.onnx, best_metric_model.pth, model.json"
    )


def make_learner(
    geometry: Geometry,
    class_count: int,
    prepare: Prepare,
    batches: int,
    device: torch.device,
    group: Group,
    options: Options,
) -> Learner:
    """Make a network with fresh weights, and all that trains it.

    Args:
        geometry: Of the images.
        class_count: K.
        prepare: Makes stored images into what the network takes.
        batches: In an epoch.
        device: Where it is to be.
        group: The processes that train it.
        options: What was chosen.
    """
    bfloat16 = options.precision == "bfloat16" or (
        options.precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()
    )
    say(
        f"network {options.network}, input {'x'.join(map(str, geometry.shape))} (C x H x W), on"
        f" {describe(device)}{f' and {group.size - 1} more' if group.size > 1 else ''},"
        f" {'bfloat16' if bfloat16 else 'float32'}"
    )
    torch.manual_seed(options.seed)
    if device.type == "cuda":
        # On a CPU all of this is deterministic anyway, and the call alone imports torch's compiler: 1.3 s.
        torch.use_deterministic_algorithms(True, warn_only=True)
    network = make_network(options.network, geometry.channels, class_count).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch has no type for it
    optimizer = PlainAdamW(network.parameters(), lr=options.learning_rate, weight_decay=0.05, fused=True)
    # The rule needs a few steps: of one step alone it would make its last, near 0.
    steps = max(batches * options.epochs, 10)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, total_steps=steps)
    shared = share(network, group, device)
    return Learner(network, shared, optimizer, scheduler, prepare, options, device, bfloat16, group)


def keeps_on_disk(images: str, count: int, geometry: Geometry) -> bool:
    """Tell whether decoded images are kept in a file: as was chosen, else if they would fill the memory.

    Args:
        images: `auto`, `memory` or `disk`.
        count: How many there are.
        geometry: What they are brought to.
    """
    return images == "disk" or (
        images == "auto" and decoded_bytes(count, geometry) > MEMORY_SHARE * memory_bytes()
    )


def check_room(
    geometry: Geometry,
    class_count: int,
    files: Mapping[str, Sequence[object]],
    on_disk: bool,
    device: torch.device,
    group: Group,
    options: Options,
) -> None:
    """Find out before images are decoded whether the training's steps fit into the memory.

    Raises:
        InputError: They do not; names the options to change.
    """
    if geometry.own_size is not None:
        say(
            f"images of {geometry.own_size[0]}x{geometry.own_size[1]} pixels are brought to"
            f" {geometry.width}x{geometry.height}; --image-size chooses another size"
        )
    network = make_network(options.network, geometry.channels, class_count)
    images = min(options.batch_size, len(files["training"]))
    if device.type == "cuda":
        share_of_one = -(-images // group.size)
        check_memory(network, geometry, share_of_one, 0, torch.cuda.mem_get_info(device)[0])
    else:
        kept = 0 if on_disk else sum(map(len, files.values()))
        check_memory(network, geometry, images, kept, memory_bytes())


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
    """Print a line at once, also into a pipe; of several processes the first speaks."""
    if os.environ.get("RANK", "0") == "0":
        print(line, flush=True)


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu` or `cuda` into a device.

    Raises:
        InputError: `cuda`, and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no CUDA device here; use --device auto or cpu")
    if name != "cpu" and torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
        return device
    return torch.device("cpu")


def describe(device: torch.device) -> str:
    """Name a device for a person."""
    if device.type == "cuda":
        return f"CUDA ({torch.cuda.get_device_name(device)})"
    return f"the CPU ({torch.get_num_threads()} threads)"


def fit(
    learner: Learner, training: Split, validation: Split, identity: dict[str, str], out_dir: Path
) -> Progress:
    """Train until the epochs are done or the validation score has stopped rising.

    Every random number depends on the seed and the epoch alone, so a training that continues from a
    checkpoint ends where an undisturbed one does.

    Args:
        learner: What is trained.
        training: Images to learn from.
        validation: Images to choose the best epoch by.
        identity: See `identify`.
        out_dir: Gets the checkpoint, history.csv and the TensorBoard events; from the first process alone.

    Returns:
        The progress, with the weights of the best epoch.

    Raises:
        InputError: The loss is not a finite number.
    """
    options, first = learner.options, learner.group.rank == 0
    checkpoint = out_dir / "checkpoint.pth"
    state, why = learner.group.from_first(read_checkpoint(checkpoint, identity) if first else None)
    if why:
        say(why)
    progress = Progress(0, [], 0, -1.0, float("inf"), {})
    if state is not None:
        learner.network.load_state_dict(state["network"])
        learner.optimizer.load_state_dict(state["optimizer"])
        learner.scheduler.load_state_dict(state["scheduler"])
        progress = Progress(**state["progress"])
    elif first:
        progress.run = new_run(out_dir, f"{options.network}-seed{options.seed}")
    first_epoch, started = progress.epoch, time.monotonic()
    events = open_events(out_dir, progress) if first else None
    while progress.epoch < options.epochs and progress.epoch - progress.best_epoch < options.patience:
        row = run_epoch(learner, training, validation, progress.epoch + 1)
        record(progress, row, learner.network)
        if events is None:
            continue
        for name in HISTORY_COLUMNS[1:]:
            events.add_scalar(name, row[name], progress.epoch)
        events.flush()  # by itself it waits two minutes, and nobody could watch
        write_history(progress.history, out_dir / "history.csv")
        save_checkpoint(checkpoint, identity, progress, learner.network, learner.optimizer, learner.scheduler)
        done, left = progress.epoch - first_epoch, options.epochs - progress.epoch
        say(
            f"epoch {progress.epoch}/{options.epochs}  loss {row['training_loss']:.4f}"
            f"  validation F1 {row['validation_weighted_f1']:.4f}"
            f"  best {progress.best_f1:.4f} (epoch {progress.best_epoch})  {row['seconds']:.1f} s"
            f" ({100 * row['input_seconds'] / max(row['seconds'], 1e-9):.0f} % waiting for images)"
            f", at most {(time.monotonic() - started) / done * left:.0f} s left"
        )
    if events is not None:
        events.close()
    if progress.epoch < options.epochs:
        say(f"stopped early: no better epoch in the last {options.patience}")
    return progress


def identify(options: Options, data_sha256: dict[str, str]) -> dict[str, str]:
    """All that a training's result depends on, by name; a checkpoint of another is not continued."""
    chosen = {key: value for key, value in asdict(options).items() if key not in ("workers", "images")}
    return {
        "options": json.dumps(chosen, sort_keys=True),
        "data": json.dumps(data_sha256, sort_keys=True),
        "code": hash_program(Path(__file__).resolve().parent),
        "packages": json.dumps([torch.__version__, versions()], sort_keys=True),
    }


def run_epoch(learner: Learner, training: Split, validation: Split, epoch: int) -> dict[str, float]:
    """Train one epoch and look at the validation images.

    Args:
        learner: What is trained.
        training: Images to learn from.
        validation: Images to look at.
        epoch: From 1.

    Returns:
        A row of HISTORY_COLUMNS.

    Raises:
        InputError: The loss is not a finite number.
    """
    started = time.monotonic()
    learning_rate = learner.optimizer.param_groups[0]["lr"]
    training_loss, waited = train_epoch(learner, training, epoch)
    validation_loss, f1 = evaluate(learner, validation)
    if not math.isfinite(training_loss) or not math.isfinite(validation_loss):
        raise InputError(
            f"epoch {epoch}: the loss is not a finite number; try a lower --learning-rate than"
            f" {learner.options.learning_rate:g}"
        )
    return {
        "epoch": epoch,
        "training_loss": training_loss,
        "validation_loss": validation_loss,
        "validation_weighted_f1": f1,
        "learning_rate": learning_rate,
        "seconds": round(time.monotonic() - started, 3),
        "input_seconds": round(waited, 3),
    }


def train_epoch(learner: Learner, training: Split, epoch: int) -> tuple[float, float]:
    """Take one step for each batch of the training images.

    Args:
        learner: What is trained.
        training: Images to learn from.
        epoch: From 1.

    Returns:
        (mean cross entropy with smoothed labels, seconds spent waiting for images)
    """
    options, group = learner.options, learner.group
    said = time.monotonic()
    seed = options.seed * 1_000_003 + epoch
    # Dropout differs between the processes; what is drawn from the generator is the same in all.
    torch.manual_seed(seed + (group.rank << 40))
    generator = torch.Generator().manual_seed(seed)
    count = len(training.labels)
    batches = [
        batch for batch in shuffled_batches(count, options.batch_size, generator) if len(batch) >= group.size
    ]
    learner.shared.train()
    total_loss, seen, waited = torch.zeros(1, device=learner.device), 0, 0.0
    fetched = prefetch(map(group.deal, batches), functools.partial(learner.fetch, training))
    for batch in batches:
        before = time.monotonic()
        stored, labels = next(fetched)
        waited += time.monotonic() - before
        drawn = draw_augmentation(len(batch), generator).deal(group)
        images = augment(learner.prepare(stored), drawn)
        with learner.autocast():
            logits = learner.shared(images.contiguous(memory_format=torch.channels_last))
        loss = mean_loss(logits.float(), labels, len(batch), group)
        learner.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        learner.optimizer.step()
        learner.scheduler.step()
        total_loss += loss.detach() * len(batch) / group.size
        seen += len(batch)
        if time.monotonic() - said > HEARTBEAT_S:
            said = time.monotonic()
            say(f"epoch {epoch}/{options.epochs}  {100 * seen // count} %")
    return group.add(total_loss).item() / max(seen, 1), waited


@torch.no_grad()
def evaluate(learner: Learner, validation: Split) -> tuple[float, float]:
    """Classify the validation images, each process its part of them.

    Returns:
        (mean cross entropy, weighted F1)
    """
    learner.network.eval()
    rows = learner.group.deal(torch.arange(len(validation.labels)))
    parts: list[torch.Tensor] = []
    fetch = functools.partial(learner.fetch, validation)
    at_once = validation_batch_size(validation.images.shape[2:], VALIDATION_BATCH_SIZE)
    for stored, _ in prefetch(rows.split(at_once), fetch):
        images = learner.prepare(stored).contiguous(memory_format=torch.channels_last)
        with learner.autocast():
            parts.append(learner.network(images).float())
    mine = torch.cat(parts)
    logits = torch.zeros(len(validation.labels), mine.shape[1], device=learner.device)
    logits[rows.to(learner.device)] = mine
    logits, labels = learner.group.add(logits).cpu(), validation.labels.cpu()
    loss = F.cross_entropy(logits, labels).item()
    return loss, weighted_f1(labels, logits.argmax(dim=1), logits.shape[1])


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


if __name__ == "__main__":
    sys.exit(main(*parse_arguments()))
