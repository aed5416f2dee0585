"""The phantoms: quick, the same for a seed, too hard for a nearest neighbour."""

import io

import numpy as np
from PIL import Image

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.sources.synthetic import CLASS_NAMES, SyntheticSource
from tests.conftest import say_nothing


def load(request: ImportRequest, split: str) -> tuple[np.ndarray, np.ndarray]:
    images = [
        image for image in SyntheticSource().list_images(request, say_nothing).images if image.split == split
    ]
    pixels = [np.asarray(Image.open(io.BytesIO(image.load()))) for image in images]
    return np.stack(pixels), np.array([CLASS_NAMES.index(image.class_name) for image in images])


def test_same_seed_same_images_another_seed_others() -> None:
    def first(seed: int) -> bytes:
        return (
            SyntheticSource()
            .list_images(ImportRequest(sample_size=1, seed=seed), say_nothing)
            .images[0]
            .load()
        )

    assert first(0) == first(0)
    assert first(0) != first(1)


def test_a_larger_set_contains_the_smaller() -> None:
    small, _ = load(ImportRequest(sample_size=2), "testing")
    large, _ = load(ImportRequest(sample_size=3), "testing")
    assert np.array_equal(small[0], large[0])
    assert len(large) == 18


def test_one_nearest_neighbour_stays_below_the_goal() -> None:
    training, training_labels = load(ImportRequest(sample_size=100), "training")
    testing, testing_labels = load(ImportRequest(sample_size=100), "testing")
    flat, queries = (images.reshape(len(images), -1).astype(np.float64) for images in (training, testing))
    distances = (flat**2).sum(axis=1)[None, :] - 2.0 * queries @ flat.T
    accuracy = (training_labels[distances.argmin(axis=1)] == testing_labels).mean()
    assert 0.4 < accuracy < 0.97
