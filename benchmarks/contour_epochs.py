"""Ours: epochs of batches of images and masks by ContourBatches, the cache made in the first."""

import sys
import time
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from challenge_bundle.dicom.augmentation import Augmentation
from challenge_bundle.dicom.batches import ContourBatches
from challenge_bundle.dicom.sunnybrook import read_links


def main(folder: Path, epochs: int, cache: Path, augmented: bool) -> None:
    """Go through the epochs; prints the images per second of the last, and what all were, to compare."""
    augment = Augmentation() if augmented else None
    batches = ContourBatches(read_links(folder).slices, 16, augment=augment, cache=cache)
    inside, seconds = 0, 0.0
    for _ in range(epochs):
        started = time.perf_counter()
        for _images, masks in batches:
            inside += int(masks.sum())
        seconds = time.perf_counter() - started
    print(f"{len(batches.index) / seconds:.0f} images/s, {inside}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), "--augment" in sys.argv)
