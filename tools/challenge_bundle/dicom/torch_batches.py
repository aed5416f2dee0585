"""The batches as a torch dataset; the only module here that imports torch."""

from collections.abc import Iterator

import torch
from torch.utils.data import IterableDataset, get_worker_info

from challenge_bundle.dicom.batches import ContourBatches


class TorchBatches(IterableDataset[tuple[torch.Tensor, torch.Tensor]]):
    """The same batches as tensors, for `DataLoader(TorchBatches(batches), batch_size=None)`.

    A DataLoader's workers share the epoch, each with batches of its own. Call `batches.set_epoch` before each
    epoch then: a worker is a new process, which cannot know how many there were.

    Args:
        batches: What is given as tensors.
    """

    def __init__(self, batches: ContourBatches) -> None:
        super().__init__()
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        worker = get_worker_info()
        share, shares = (worker.id, worker.num_workers) if worker else (0, 1)
        for images, masks in self.batches.next_epoch(share, shares):
            yield torch.from_numpy(images), torch.from_numpy(masks)
