"""A store's images for torch: each worker of a DataLoader reads a share of its own."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from challenge_bundle.store.images import ImageStream


class StoreDataset(IterableDataset[Any]):
    """Images in random order, straight from the database.

    Args:
        stream: What ImageStore.images gave.
        transform: Called with each image, in the worker; None gives it as it is.
    """

    def __init__(self, stream: ImageStream, transform: Callable[[Any], Any] | None = None) -> None:
        self.stream = stream
        self.transform = transform

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        own = self.stream
        if worker is not None:
            own = replace(own, part=worker.id, parts=worker.num_workers)
        return iter(own) if self.transform is None else map(self.transform, own)
