"""The image database: a library, and what `bundle store` calls.

Example:
    >>> from challenge_bundle.store import ImageStore
    >>> with ImageStore.from_env() as store:  # .env and the environment name it
    ...     print(len(store), store.labels())
    ...     for pixels in store.images("width >= 64", sample=100, seed=0):
    ...         print(pixels.shape)
"""

from typing import TYPE_CHECKING

from challenge_bundle.lazy import lazy_names

if TYPE_CHECKING:
    from challenge_bundle.store.images import ImageStore, ImageStream
    from challenge_bundle.store.stored_image import StoredImage
    from challenge_bundle.store.torch_dataset import StoreDataset

__all__ = ["ImageStore", "ImageStream", "StoreDataset", "StoredImage"]

__getattr__ = lazy_names(
    __name__,
    {
        "ImageStore": "images",
        "ImageStream": "images",
        "StoreDataset": "torch_dataset",
        "StoredImage": "stored_image",
    },
)
