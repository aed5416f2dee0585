"""Peer: inference in eager torch with MONAI's DenseNet121, from a folder of images to a csv."""

import csv
import sys
from pathlib import Path

import torch
from monai.data import DataLoader, Dataset
from monai.networks.nets import DenseNet121
from monai.transforms import Compose, EnsureChannelFirst, LoadImage, ScaleIntensity

CLASS_NAMES = ["AbdomenCT", "BreastMRI", "CXR", "ChestCT", "Hand", "HeadCT"]


def main(in_dir: Path, out_dir: Path) -> None:
    files = sorted(str(path) for path in in_dir.iterdir())
    transforms = Compose([LoadImage(image_only=True), EnsureChannelFirst(), ScaleIntensity()])
    loader = DataLoader(Dataset(files, transforms), batch_size=64, num_workers=2)
    torch.manual_seed(0)
    # Fresh weights: how long it takes does not depend on them.
    network = DenseNet121(spatial_dims=2, in_channels=1, out_channels=len(CLASS_NAMES))
    network.eval()
    labels: list[int] = []
    with torch.no_grad():
        for images in loader:
            labels += network(images).argmax(dim=1).tolist()
    with (out_dir / "classification_results.csv").open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["file", "class"])
        writer.writerows(
            [Path(file).name, CLASS_NAMES[label]] for file, label in zip(files, labels, strict=True)
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
