"""Peer: the same decoding once, kept in memory by MONAI's CacheDataset, and its ThreadDataLoader."""

import sys
import time
from pathlib import Path

import numpy as np
import pydicom
import torch
from contours_pillow import list_pairs
from monai.data import CacheDataset, ThreadDataLoader
from monai.transforms import Transform
from PIL import Image, ImageDraw


# A Transform, for the results of a plain function are not kept.
class Load(Transform):
    def __call__(self, files: dict[str, Path]) -> dict[str, torch.Tensor]:
        dataset = pydicom.dcmread(files["image"])
        image = dataset.pixel_array.astype(np.float32)
        image = image * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
        image = (image - image.mean()) / image.std()
        points = [tuple(map(float, line.split())) for line in files["mask"].read_text().splitlines()]
        mask = Image.new("L", (image.shape[1], image.shape[0]))
        ImageDraw.Draw(mask).polygon(points, outline=1, fill=1)
        return {
            "image": torch.from_numpy(image)[None],
            "mask": torch.from_numpy(np.asarray(mask, dtype=bool))[None],
        }


def main(folder: Path, epochs: int) -> None:
    torch.manual_seed(0)
    pairs = [{"image": dicom, "mask": contour} for dicom, contour in list_pairs(folder)]
    # Without copies: nothing after the cache changes its tensors.
    dataset = CacheDataset(pairs, Load(), num_workers=2, progress=False, copy_cache=False)
    loader = ThreadDataLoader(dataset, batch_size=16, shuffle=True, num_workers=0)
    inside, seconds = 0, 0.0
    for _ in range(epochs):
        started = time.perf_counter()
        for batch in loader:
            inside += int(batch["mask"].sum())
        seconds = time.perf_counter() - started
    print(f"{len(pairs) / seconds:.0f} images/s, {inside}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
