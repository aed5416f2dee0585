"""Peer: DICOM by pydicom and the contour by Pillow, again in each epoch, in a DataLoader with two workers."""

import csv
import sys
import time
from pathlib import Path

import numpy as np
import pydicom
import torch
from PIL import Image, ImageDraw
from torch.utils.data import DataLoader, Dataset


def list_pairs(folder: Path) -> list[tuple[Path, Path]]:
    pairs = []
    with (folder / "link.csv").open(newline="") as opened:
        for row in csv.DictReader(opened):
            contours = folder / "contourfiles" / row["original_id"] / "i-contours"
            for contour in sorted(contours.glob("*.txt")):
                number = int(contour.name.split("-")[2])
                pairs.append((folder / "dicoms" / row["patient_id"] / f"{number}.dcm", contour))
    return pairs


class Slices(Dataset):
    def __init__(self, pairs: list[tuple[Path, Path]]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        dicom, contour = self.pairs[index]
        dataset = pydicom.dcmread(dicom)
        image = dataset.pixel_array.astype(np.float32)
        image = image * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
        image = (image - image.mean()) / image.std()
        points = [tuple(map(float, line.split())) for line in contour.read_text().splitlines()]
        mask = Image.new("L", (image.shape[1], image.shape[0]))
        ImageDraw.Draw(mask).polygon(points, outline=1, fill=1)
        return torch.from_numpy(image)[None], torch.from_numpy(np.asarray(mask, dtype=bool))[None]


def main(folder: Path, epochs: int) -> None:
    torch.manual_seed(0)
    pairs = list_pairs(folder)
    loader = DataLoader(Slices(pairs), batch_size=16, shuffle=True, num_workers=2, persistent_workers=True)
    inside, seconds = 0, 0.0
    for _ in range(epochs):
        started = time.perf_counter()
        for _images, masks in loader:
            inside += int(masks.sum())
        seconds = time.perf_counter() - started
    print(f"{len(pairs) / seconds:.0f} images/s, {inside}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
