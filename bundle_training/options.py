"""What one can choose of a training, and the command line that says it."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from network import NETWORKS


@dataclass(frozen=True, slots=True)
class Options:
    """What one can choose; see --help."""

    network: str = "small"
    epochs: int = 14
    learning_rate: float = 6e-3
    batch_size: int = 32
    patience: int = 10
    image_size: int = 0
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    images: str = "auto"
    workers: int = 0


def parse_arguments(arguments: Sequence[str] | None = None) -> tuple[Path, Path, Options]:
    """Parse the command line.

    Returns:
        (in_dir, out_dir, options)
    """
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
    add("--network", choices=sorted(NETWORKS), help="small, or one of MONAI's")
    add("--epochs", type=whole_number("positive", 1), help="passes over the training images")
    add("--learning-rate", type=positive_number, help="highest of the one-cycle rule")
    # Batch normalisation cannot train on one image.
    add("--batch-size", type=whole_number("two_or_more", 2), help="images a step")
    add("--patience", type=whole_number("positive", 1), help="stop after so many epochs without a better one")
    add(
        "--image-size",
        type=whole_number("natural", 0),
        help="height and width in pixels; 0: the images' own if all agree, else 224",
    )
    add(
        "--seed",
        type=whole_number("seed", 0, 2**32 - 1),
        help="same seed, same model (on the CPU of one machine)",
    )
    add("--device", choices=("auto", "cpu", "cuda"), help="auto takes CUDA if it is there")
    add(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        help="of the layers' arithmetic; auto takes bfloat16 on a GPU that has it",
    )
    add(
        "--images",
        choices=("auto", "memory", "disk"),
        help="where the decoded images are kept; auto takes a file where memory is short",
    )
    add("--workers", type=whole_number("natural", 0), help="threads that decode images; 0: one a core")
    parser.set_defaults(**asdict(Options()))
    parsed = vars(parser.parse_args(arguments))
    if parsed["in_dir"] != Path("/mnt/in") and parsed["out_dir"] == Path("/mnt/out"):
        parser.error("give both folders, IN_DIR and OUT_DIR, or neither")
    return parsed.pop("in_dir"), parsed.pop("out_dir"), Options(**parsed)


def whole_number(name: str, low: int, high: int | None = None) -> Callable[[str], int]:
    """Make an argparse type for whole numbers from low to high.

    Args:
        name: What argparse calls it where a text is no whole number.
        low: The least that is taken.
        high: The greatest; None sets no limit.
    """

    def parse(text: str) -> int:
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is less than {low}")
        if high is not None and value > high:
            raise argparse.ArgumentTypeError(f"{value} is over {high}")
        return value

    parse.__name__ = name
    return parse


def positive_number(text: str) -> float:
    """A finite number above 0."""
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{value} is not a number above 0")
    return value
