"""Program 2, inference: a folder of images in, classification_results.csv out.

    python infer.py [IN_DIR OUT_DIR] [--options]

Reads every file of IN_DIR (except hidden ones) and the model that training exported. Writes
OUT_DIR/classification_results.csv: one row per image, sorted by file name. Its columns depend on the task:

    classification, ordinal    file,class,probability_CLASS...    classes in the order of model.json
    multilabel                 file,LABEL...                      probabilities, each by itself
    regression                 file,value                         in the unit of the training values

An image that cannot be read is named on stderr and gets no row; the others keep theirs, and the
exit status is 1. answers.py makes rows of what the network gives.
"""

import argparse
import csv
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Before it is loaded: nothing is reported to anyone, and no warning is printed where that cannot be.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from PIL import Image, UnidentifiedImageError

from answers import Answer, parse_answer

RESULTS_NAME = "classification_results.csv"
# Fixed: an image is in the same batch whatever the number of workers, so the csv's bytes are the same.
BATCH_SIZE = 64
# If the model takes larger images, fewer are predicted at once: 64 of 4000x4000 would take 4 GiB.
PIXELS_PER_BATCH = BATCH_SIZE * 256 * 256
SHOWN_FAULTS = 10
PROGRESS_S = 2.0

# What Pillow may try, whatever a file is called: its other formats start programs or are hardly tested.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP", "PPM")
DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})  # more than 8 bits per channel
GRAY_MODES = DEEP_MODES | {"1", "L", "LA"}
MODES = GRAY_MODES | {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
PNM_MODES = frozenset({"1", "L", "I", "RGB"})  # of pbm, pgm, ppm: Pillow opens others under these names
MAX_PIXELS = 50_000_000

# Damaged metadata, and images over Pillow's own limit, which is higher than MAX_PIXELS.
warnings.filterwarnings("ignore", module="PIL")


class InputError(Exception):
    """The input folder or the model is at fault; the message names the file."""


class ImageError(Exception):
    """A file is not an image that can be used; the message gives the reason, without the file's name."""


@dataclass(frozen=True, slots=True)
class Model:
    """An exported network and what it expects."""

    session: onnxruntime.InferenceSession  # images (B, C, H, W), float32, to logits (B, K)
    answer: Answer
    channels: int  # 1: gray, 3: RGB
    height: int
    width: int
    mean: np.ndarray  # (C, 1, 1), of images scaled to 0..1
    standard_deviation: np.ndarray  # (C, 1, 1), likewise


def main(in_dir: Path, out_dir: Path, model_dir: Path, workers: int) -> int:
    """Predict a folder of images; returns the exit status: 0 done, 1 at fault (one line on stderr)."""
    try:
        files = list_images(in_dir)
        model = load_model(model_dir)
        open_output(out_dir)
    except InputError as fault:
        print(fault, file=sys.stderr)
        return 1
    temporary = out_dir / f".{RESULTS_NAME}.part"
    try:
        faults = write_results(files, model, temporary, workers or processors())
    except (InputError, MemoryError) as fault:
        temporary.unlink(missing_ok=True)
        size = f"{model.width}x{model.height}"
        shortage = (
            f"there is too little memory for images of {size} pixels; train with a smaller --image-size"
        )
        print(fault if isinstance(fault, InputError) else shortage, file=sys.stderr)
        return 1
    temporary.replace(out_dir / RESULTS_NAME)
    if faults:
        more = f" (and {len(faults) - SHOWN_FAULTS} more)" if len(faults) > SHOWN_FAULTS else ""
        count = "1 image" if len(faults) == 1 else f"{len(faults)} images"
        named = "; ".join(faults[:SHOWN_FAULTS])
        print(f"no row for {count}: {named}{more}; replace or remove the file", file=sys.stderr)
        return 1
    return 0


def write_results(files: Sequence[Path], model: Model, path: Path, workers: int) -> list[str]:
    """Write one row per image; returns what is wrong with each image that got none."""
    faults: list[str] = []
    done, printed = 0, time.monotonic()
    with path.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(model.answer.header())
        for batch in read_batches(files, model, workers):
            readable = [(file, image) for file, image in batch if isinstance(image, np.ndarray)]
            faults += [f"{file}: {image}" for file, image in batch if isinstance(image, str)]
            if readable:
                rows = predict(model, np.stack([image for _, image in readable]))
                for (file, _), row in zip(readable, rows, strict=True):
                    if np.isfinite(row).all():
                        writer.writerow([file.name, *model.answer.cells(row)])
                    else:
                        faults.append(f"{file}: the model's output is not finite")
            done += len(batch)
            if done == len(files) or time.monotonic() - printed > PROGRESS_S:
                printed = time.monotonic()
                print(f"{done}/{len(files)} images", flush=True)
    return faults


def list_images(in_dir: Path) -> list[Path]:
    """The files of the input folder, sorted by name; hidden ones are ignored."""
    if not in_dir.is_dir():
        raise InputError(f"{in_dir}: no such folder; give a folder of images")
    files = sorted(path for path in in_dir.iterdir() if path.is_file() and not path.name.startswith("."))
    if not files:
        raise InputError(f"{in_dir}: holds no file; give a folder of images")
    for file in files:
        if not file.name.isprintable():
            raise InputError(f"{str(file)!r}: the name has unprintable characters; rename the file")
    return files


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


def load_model(model_dir: Path) -> Model:
    """Load the exported network, and check that its two files fit each other."""
    card_path, graph_path = model_dir / "model.json", model_dir / "best_metric_model.onnx"
    for path in (card_path, graph_path):
        if not path.is_file():
            raise InputError(f"{path}: not found; training writes it, and --model names its folder")
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        expected = card["input"]
        answer = parse_answer(card)
        channels, height, width = (int(expected[key]) for key in ("channels", "height", "width"))
        with np.errstate(over="raise"):
            mean, deviation = (
                np.array(expected[key], dtype=np.float32).reshape(channels, 1, 1)
                for key in ("mean", "standard_deviation")
            )
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as fault:
        raise InputError(f"{card_path}: not a model.json as training writes it ({fault!r})") from None
    try:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = processors()
        session = onnxruntime.InferenceSession(str(graph_path), options, providers=["CPUExecutionProvider"])
        probe = np.zeros((1, channels, height, width), dtype=np.float32)
        (logits,) = session.run(None, {session.get_inputs()[0].name: probe})
    except Exception as fault:  # ONNX Runtime's errors have no common class but this
        shape = f"{channels}x{height}x{width}"
        raise InputError(
            f"{graph_path}: cannot be run on {shape} images ({str(fault).strip().partition(chr(10))[0]})"
        ) from None
    if logits.shape != (1, answer.outputs):
        what = f"names {len(answer.class_names)} classes" if answer.class_names else "is of a regression"
        raise InputError(f"{graph_path}: its output has shape {logits.shape}, but {card_path.name} {what}")
    return Model(session, answer, channels, height, width, mean, deviation)


def processors() -> int:
    """How many this process may use: a container's share if it is given, else those it may run on."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_batches(
    files: Sequence[Path], model: Model, workers: int
) -> Iterator[list[tuple[Path, np.ndarray | str]]]:
    """Decode the images batch by batch, the next one while the caller works on this one.

    Yields:
        (file, image) of a batch; the image (C, H, W), or why it cannot be read.
    """
    size = max(1, min(BATCH_SIZE, PIXELS_PER_BATCH // (model.height * model.width)))
    with ThreadPoolExecutor(max_workers=workers) as pool:

        def submit(start: int) -> list[tuple[Path, Future[np.ndarray | str]]]:
            return [(file, pool.submit(read_or_explain, file, model)) for file in files[start : start + size]]

        ahead = submit(0)
        for start in range(size, len(files) + size, size):
            batch, ahead = ahead, submit(start)
            yield [(file, future.result()) for file, future in batch]


def read_or_explain(path: Path, model: Model) -> np.ndarray | str:
    """The decoded image, or why it cannot be read."""
    try:
        return read_image(path, model.channels, model.height, model.width)
    except ImageError as fault:
        return str(fault)


def read_image(path: Path, channels: int, height: int, width: int) -> np.ndarray:
    """Decode an image to (C, H, W), from 0 to 255: uint8, or float32 of a file with more than 8 bits.

    The training program decodes the same way; a test holds the two together.
    """
    with open_image(path) as opened:
        try:
            image = _convert(opened, channels)
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.asarray(image)
        except ImageError:
            raise
        except Exception as fault:
            raise ImageError(_describe(fault)) from None
    if pixels.ndim == 2:
        return np.repeat(pixels[None], channels, axis=0)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _convert(opened: Image.Image, channels: int) -> Image.Image:
    """Gray or RGB from 0 to 255; transparency is ignored."""
    opened.load()
    if opened.mode in DEEP_MODES:
        values = np.asarray(opened, dtype=np.float32)
        # 16-bit files use the range of 16 bits; floating-point files run from 0 to 1.
        highest = 1.0 if opened.mode == "F" else 65535.0
        if not (np.isfinite(values).all() and values.min() >= 0.0 and values.max() <= highest):
            raise ImageError(f"values that are not from 0 to {highest:g}")
        return Image.fromarray(values * (255.0 / highest))
    opened.info.pop("transparency", None)  # else Pillow looks for a colour to stand for it
    if channels == 3 or opened.mode not in GRAY_MODES:
        opened = opened.convert("RGB")
    return opened.convert("L" if channels == 1 else "RGB")


def open_image(path: Path) -> Image.Image:
    """Open an image file and check its header; an import accepts the same files."""
    try:
        opened = Image.open(path, formats=FORMATS)
        try:
            _check_header(opened)
        except BaseException:
            opened.close()
            raise
    except ImageError:
        raise
    except Exception as fault:  # of damaged files Pillow raises nearly anything
        raise ImageError(_describe(fault)) from None
    return opened


def _check_header(opened: Image.Image) -> None:
    frames = getattr(opened, "n_frames", 1)
    if frames != 1:
        raise ImageError(f"{frames} frames or pages, expected one")
    if opened.mode not in (PNM_MODES if opened.format == "PPM" else MODES):
        raise ImageError(f"the mode {opened.mode} is not taken; save it in gray or RGB")
    if opened.width * opened.height > MAX_PIXELS:
        raise ImageError(f"{opened.width}x{opened.height} pixels; at most {MAX_PIXELS:,} are read")


def _describe(fault: Exception) -> str:
    if isinstance(fault, UnidentifiedImageError):
        return f"not an image; expected {', '.join(FORMATS)}"
    return next(iter(str(fault).strip().splitlines()), "") or type(fault).__name__


def predict(model: Model, images: np.ndarray) -> np.ndarray:
    """Probabilities (B, K) or values (B, 1), float64, of images (B, C, H, W) from 0 to 255."""
    normalised = (images.astype(np.float32) / 255.0 - model.mean) / model.standard_deviation
    try:
        (logits,) = model.session.run(None, {model.session.get_inputs()[0].name: normalised})
    except Exception as fault:  # ONNX Runtime's errors have no common class but this
        what = f"{len(images)} images of {model.width}x{model.height} pixels"
        reason = str(fault).strip().partition("\n")[0]
        raise InputError(f"the model cannot be run on {what} ({reason})") from None
    return model.answer.apply(logits.astype(np.float64))


def parse_arguments(arguments: Sequence[str] | None = None) -> tuple[Path, Path, Path, int]:
    """Parse the command line to (in_dir, out_dir, model_dir, workers)."""
    # model_output/ lies next to this script's folder: in the project, in the submission zip and in the image.
    model_dir = Path(__file__).resolve().parent.parent / "model_output"
    parser = argparse.ArgumentParser(
        description="Predict a folder of images.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("in_dir", nargs="?", default="/mnt/in", type=Path, help="folder of images")
    parser.add_argument(
        "out_dir", nargs="?", default="/mnt/out", type=Path, help=f"folder for {RESULTS_NAME}"
    )
    parser.add_argument("--model", default=model_dir, type=Path, help="folder with the exported model")
    parser.add_argument("--workers", default=0, type=int, help="threads that decode images; 0: one per core")
    parsed = parser.parse_args(arguments)
    if parsed.workers < 0:
        parser.error("--workers: expected a number from 0")
    if parsed.in_dir != Path("/mnt/in") and parsed.out_dir == Path("/mnt/out"):
        parser.error("give both folders, IN_DIR and OUT_DIR, or neither")
    return parsed.in_dir, parsed.out_dir, parsed.model, parsed.workers


if __name__ == "__main__":
    sys.exit(main(*parse_arguments()))
