"""Batches of images and masks for training, of data that need not fit into memory: a library."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np

from challenge_bundle.dicom.augmentation import Augmentation, draw_affine, warp
from challenge_bundle.dicom.sample_cache import MASKS, SampleCache, SampleForm
from challenge_bundle.dicom.sunnybrook import ContourSlice
from challenge_bundle.errors import DataError
from challenge_bundle.progress import Progress

Batch = tuple[np.ndarray, np.ndarray]
"""Images (B, 1, H, W), float32, and masks (B, C, H, W), bool."""


def _say_nothing(what: str, done: int, total: int) -> None:
    pass


class ContourBatches:
    """Shuffled batches of images and masks, an epoch each time it is iterated over.

    Every number drawn depends on seed, epoch and image alone: the same epoch twice is the same to the bit.

    Args:
        index: The images, as `read_links(folder).slices` gives them; those without the contour are left out.
        batch_size: B; the last batch of an epoch may have fewer.
        seed: Seed of shuffling and augmenting.
        augment: How far images and masks are changed, both alike; None leaves them.
        cache: An HDF5 file of decoded images; made if it is missing or a source file changed.
        workers: Threads that decode while the cache is made.
        form: Which masks, their size, and the images' values.
        shuffle: Whether the order changes with each epoch; else it is that of index.
        progress: Called while the cache is made, with (what is done, how many are done, how many there are).

    Raises:
        DataError: No image has the contours that the masks need, or an argument is not valid.

    Example:
        >>> index = read_links(folder).slices
        >>> batches = ContourBatches(index, 16, seed=0, augment=Augmentation(), cache=Path("cache.h5"))
        >>> for images, masks in batches:  # (16, 1, H, W) float32, (16, 1, H, W) bool
        ...     train(images, masks)
    """

    def __init__(
        self,
        index: Iterable[ContourSlice],
        batch_size: int,
        seed: int = 0,
        augment: Augmentation | None = None,
        *,
        cache: Path,
        workers: int = 2,
        form: SampleForm | None = None,
        shuffle: bool = True,
        progress: Progress = _say_nothing,
    ) -> None:
        self.form = form or SampleForm()
        if self.form.masks not in MASKS:
            raise DataError(
                f"expected masks {', '.join(MASKS)}, but got {self.form.masks!r}",
                code="masks-unknown",
                hint="correct SampleForm(masks=...)",
            )
        if batch_size < 1 or workers < 1:
            raise DataError(
                f"expected batch_size and workers of 1 or more, but got {batch_size} and {workers}",
                code="batch-size-invalid",
                hint="correct the argument",
            )
        self.index: Sequence[ContourSlice] = [item for item in index if all(self.form.contours_of(item))]
        if not self.index:
            raise DataError(
                f"no image has the contours that the masks need ({self.form.masks})",
                code="contours-none",
                hint="give images with contours, or other masks",
            )
        self.batch_size, self.seed, self.augment, self.shuffle = batch_size, seed, augment, shuffle
        self.cache, self.workers, self.progress = Path(cache), workers, progress
        self._next_epoch = 0

    def __repr__(self) -> str:
        what = f"{len(self.index):,} images, {len(self)} batches of {self.batch_size}"
        return f"ContourBatches({what}, masks={self.form.masks!r}, seed={self.seed})"

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return -(-len(self.index) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the next epoch's batches."""
        return self.next_epoch()

    def next_epoch(self, share: int = 0, shares: int = 1) -> Iterator[Batch]:
        """Yield the next epoch's batches; see `epoch`."""
        number, self._next_epoch = self._next_epoch, self._next_epoch + 1
        return self.epoch(number, share, shares)

    def set_epoch(self, number: int) -> None:
        """Set the number of the next epoch, as torch's DistributedSampler does."""
        self._next_epoch = number

    def order(self, number: int) -> np.ndarray:
        """The images (N,) of an epoch, as numbers in index."""
        if not self.shuffle:
            return np.arange(len(self.index))
        return np.random.default_rng([self.seed, number]).permutation(len(self.index))

    def epoch(self, number: int, share: int = 0, shares: int = 1) -> Iterator[Batch]:
        """Yield an epoch's batches; the next one is read while the caller works on the last.

        Args:
            number: Of the epoch, from 0.
            share: Which share of the batches to give, counted from 0.
            shares: Number of shares, such as one for each worker of a DataLoader.

        Raises:
            DataError: An image or a contour is at fault (when the cache is made).
            UnavailableError: pydicom or h5py is not installed.
        """
        order = self.order(number)
        starts = range(share * self.batch_size, len(order), shares * self.batch_size)
        with (
            closing(SampleCache(self.cache, self.index, self.form, self.workers, self.progress)) as cache,
            ThreadPoolExecutor(1) as ahead,
        ):
            pending = None
            for start in starts:
                samples = order[start : start + self.batch_size]
                following = ahead.submit(self._read_batch, cache, samples, number)
                if pending is not None:
                    yield pending.result()
                pending = following
            if pending is not None:
                yield pending.result()

    def _read_batch(self, cache: SampleCache, samples: np.ndarray, number: int) -> Batch:
        images = np.empty((len(samples), 1, *cache.shape), np.float32)
        masks = np.empty((len(samples), len(MASKS[self.form.masks]), *cache.shape), np.bool_)
        for place, sample in enumerate(samples.tolist()):
            cache.read(sample, images[place, 0], masks[place])
            if self.augment is not None:
                generator = np.random.default_rng([self.seed, number, sample])
                warp(images[place, 0], masks[place], draw_affine(self.augment, cache.shape, generator))
        return images, masks
