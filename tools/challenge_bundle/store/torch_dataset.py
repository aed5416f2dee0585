"""A store's images as a torch dataset; the only module of the store that imports torch."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from challenge_bundle.store.images import ImageStream


class StoreDataset(IterableDataset[Any]):
    """Images in random order, straight from the database; each worker of a DataLoader reads its own share.

    Args:
        stream: From ImageStore.images.
        transform: Called with each image, in the worker; None gives the image unchanged.

    Example:
        >>> stream = store.images(as_="record", seed=epoch)
        >>> for images in DataLoader(StoreDataset(stream, to_tensor), batch_size=32, num_workers=2):
        ...     train(images)
    """

    def __init__(self, stream: ImageStream, transform: Callable[[Any], Any] | None = None) -> None:
        self.stream = stream
        self.transform = transform

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        own = self.stream
        if worker is not None:
            own = replace(own, share=worker.id, shares=worker.num_workers)
        return iter(own) if self.transform is None else map(self.transform, own)
