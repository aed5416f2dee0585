"""Peer: the usual MONAI training script. DenseNet121, transforms image by image, Adam, one epoch, ROC AUC."""

import csv
import sys
from pathlib import Path

import numpy as np
import torch
from monai.data import DataLoader, Dataset, decollate_batch
from monai.metrics import ROCAUCMetric
from monai.networks.nets import DenseNet121
from monai.transforms import (
    Activations,
    AsDiscrete,
    Compose,
    EnsureChannelFirst,
    LoadImage,
    RandFlip,
    RandRotate,
    RandZoom,
    ScaleIntensity,
)


def read_split(in_dir: Path, split: str) -> tuple[list[str], list[str]]:
    with (in_dir / f"{split}_solution.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    return [str(in_dir / row["file"]) for row in rows], [row["class"] for row in rows]


class LabelledImages(Dataset):
    def __init__(self, files: list[str], labels: list[int], transforms: Compose) -> None:
        self.files, self.labels, self.transforms = files, labels, transforms

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int):
        return self.transforms(self.files[index]), self.labels[index]


def main(in_dir: Path, out_dir: Path) -> None:
    torch.manual_seed(0)
    files, classes = read_split(in_dir, "training")
    validation_files, validation_classes = read_split(in_dir, "validation")
    class_names = sorted(set(classes))
    labels = [class_names.index(name) for name in classes]
    validation_labels = [class_names.index(name) for name in validation_classes]
    training_transforms = Compose(
        [
            LoadImage(image_only=True),
            EnsureChannelFirst(),
            ScaleIntensity(),
            RandRotate(range_x=np.pi / 12, prob=0.5, keep_size=True),
            RandFlip(spatial_axis=0, prob=0.5),
            RandZoom(min_zoom=0.9, max_zoom=1.1, prob=0.5),
        ]
    )
    validation_transforms = Compose([LoadImage(image_only=True), EnsureChannelFirst(), ScaleIntensity()])
    training = DataLoader(
        LabelledImages(files, labels, training_transforms), batch_size=64, shuffle=True, num_workers=2
    )
    validation = DataLoader(
        LabelledImages(validation_files, validation_labels, validation_transforms),
        batch_size=64,
        num_workers=2,
    )
    network = DenseNet121(spatial_dims=2, in_channels=1, out_channels=len(class_names))
    loss_function = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(network.parameters(), 1e-5)
    network.train()
    for images, batch_labels in training:
        optimizer.zero_grad()
        loss_function(network(images), batch_labels).backward()
        optimizer.step()
    network.eval()
    outputs, truths = [], []
    with torch.no_grad():
        for images, batch_labels in validation:
            outputs.append(network(images))
            truths.append(batch_labels)
    predictions, reference = torch.cat(outputs), torch.cat(truths)
    metric = ROCAUCMetric()
    softmax, one_hot = Activations(softmax=True), AsDiscrete(to_onehot=len(class_names))
    metric(
        [softmax(row) for row in decollate_batch(predictions)],
        [one_hot(row) for row in decollate_batch(reference, detach=False)],
    )
    accuracy = (predictions.argmax(1) == reference).float().mean().item()
    print(f"AUC {metric.aggregate():.4f}, accuracy {accuracy:.4f}")
    torch.save(network.state_dict(), out_dir / "best_metric_model.pth")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
