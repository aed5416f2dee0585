"""Batches: shapes, seeds, one geometry for image and mask, and a cache that holds what the files say."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from challenge_bundle.dicom import sample_cache as samples
from challenge_bundle.dicom.augmentation import Augmentation, draw_affine, warp
from challenge_bundle.dicom.batches import ContourBatches
from challenge_bundle.dicom.contours import contour_to_mask, read_contour
from challenge_bundle.dicom.sample_cache import SampleForm
from challenge_bundle.dicom.sunnybrook import ContourSlice, read_links
from challenge_bundle.dicom.torch_batches import TorchBatches
from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.installation import PROJECT_ROOT
from tests.dicoms import REAL, SIZE_PX, circle, contour_path, write_contour, write_dicom, write_linked

RAW = SampleForm(standardise=False)


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    return write_linked(tmp_path / "linked")


@pytest.fixture
def make(linked: Path, tmp_path: Path) -> Callable[..., ContourBatches]:
    def make_batches(batch_size: int = 4, **options: Any) -> ContourBatches:
        options = {"cache": tmp_path / "cache.h5", **options}
        return ContourBatches(read_links(linked).slices, batch_size, **options)

    return make_batches


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which images were decoded."""
    seen: list[str] = []
    plain = samples.read_sample

    def read(item: ContourSlice, form: SampleForm) -> tuple[np.ndarray, np.ndarray]:
        seen.append(item.origin)
        return plain(item, form)

    monkeypatch.setattr(samples, "read_sample", read)
    return seen


def together(batches: Any) -> tuple[np.ndarray, np.ndarray]:
    """An epoch as one batch."""
    parts = list(batches)
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def test_shapes_and_types(make: Callable[..., ContourBatches]) -> None:
    batches = make()
    parts = list(batches)
    assert len(batches) == len(parts) == 5
    assert [len(images) for images, _ in parts] == [4, 4, 4, 4, 2]
    for images, masks in parts:
        assert (images.shape[1:], images.dtype) == ((1, SIZE_PX, SIZE_PX), np.float32)
        assert (masks.shape[1:], masks.dtype) == ((1, SIZE_PX, SIZE_PX), np.bool_)
        np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), 0.0, atol=1e-5)
        np.testing.assert_allclose(images.std(axis=(1, 2, 3)), 1.0, atol=1e-4)


@pytest.mark.parametrize("real", [False, True] if REAL.is_dir() else [False], ids=lambda real: "real" * real)
def test_the_cache_holds_what_the_files_say(linked: Path, tmp_path: Path, real: bool) -> None:
    """Beside pydicom by itself and a mask of its own."""
    import pydicom

    index = read_links(REAL if real else linked).slices
    images, masks = together(ContourBatches(index, 16, cache=tmp_path / "c.h5", form=RAW, shuffle=False))
    assert len(images) == len(index)
    for item, image, mask in zip(index, images, masks, strict=True):
        np.testing.assert_array_equal(image[0], pydicom.dcmread(item.dicom).pixel_array)
        assert item.inner
        contour_px = np.loadtxt(item.inner)
        np.testing.assert_array_equal(mask[0], contour_to_mask(contour_px, image[0].shape))


def test_which_masks(make: Callable[..., ContourBatches], linked: Path) -> None:
    _, inner = together(make())
    _, outer = together(make(form=SampleForm(masks="outer")))
    _, both = together(make(form=SampleForm(masks="both"), shuffle=False))
    assert (len(inner), len(outer), both.shape[:2]) == (18, 9, (9, 2))
    assert (both[:, 1] & ~both[:, 0]).any()
    assert not (both[:, 0] & ~both[:, 1]).any()
    first = next(item for item in read_links(linked).slices if item.outer)
    assert first.outer
    expected = contour_to_mask(read_contour(first.outer), (SIZE_PX, SIZE_PX))
    np.testing.assert_array_equal(both[0, 1], expected)


def test_the_order_hangs_on_seed_and_epoch_alone(make: Callable[..., ContourBatches]) -> None:
    batches, again, other = make(augment=Augmentation()), make(augment=Augmentation()), make(seed=1)
    first, second = together(batches), together(batches)
    np.testing.assert_array_equal(together(again)[0], first[0])
    np.testing.assert_array_equal(together(again)[1], second[1])
    assert not np.array_equal(first[0], second[0])
    assert sorted(batches.order(0)) == sorted(other.order(0)) == list(range(18))
    assert len({tuple(order) for order in (batches.order(0), batches.order(1), other.order(0))}) == 3
    again.set_epoch(0)
    np.testing.assert_array_equal(together(again)[0], first[0])
    assert make(shuffle=False).order(3).tolist() == list(range(18))


def test_image_and_mask_are_changed_alike(linked: Path, tmp_path: Path) -> None:
    """The images are bright disks under their contours, so that each image says where its mask must be."""
    wild = Augmentation(rotation_deg=180.0, scale=0.3, shift=0.2, mirror=True)
    batches = ContourBatches(read_links(linked).slices, 4, augment=wild, cache=tmp_path / "c.h5", form=RAW)
    moved = []
    for number in range(5):
        images, masks = together(batches.epoch(number))
        # Up to the outline: bilinear and nearest differ there.
        differing = ((images > 500.0) != masks).sum(axis=(1, 2, 3)) / np.sqrt(masks.sum(axis=(1, 2, 3)) + 1.0)
        assert differing.max() < 2.0
        moved.append(masks)
    assert not any(np.array_equal(moved[0], other) for other in moved[1:])


def test_nothing_drawn_changes_nothing() -> None:
    still = Augmentation(rotation_deg=0.0, scale=0.0, shift=0.0)
    generator = np.random.default_rng(0)
    image = generator.normal(size=(20, 30)).astype(np.float32)
    masks = generator.random((2, 20, 30)) < 0.5
    changed, changed_masks = image.copy(), masks.copy()
    warp(changed, changed_masks, draw_affine(still, image.shape, generator))
    np.testing.assert_allclose(changed, image, atol=1e-5)
    np.testing.assert_array_equal(changed_masks, masks)


def test_a_quarter_turn_and_a_mirror_are_exact() -> None:
    image = np.arange(36, dtype=np.float32).reshape(6, 6)
    masks = (image % 5 < 2)[None]

    class Numbers(np.random.Generator):
        def __init__(self, values: list[float]) -> None:
            super().__init__(np.random.PCG64())
            self.values = values

        def uniform(self, *args: Any, **kwargs: Any) -> Any:
            return np.array(self.values)

    for values, expected in (
        ([1.0, 0.0, 0.0, 0.0, 1.0], np.rot90),
        ([0.0, 0.0, 0.0, 0.0, -1.0], np.fliplr),
    ):
        changed, changed_masks = image.copy(), masks.copy()
        affine = draw_affine(Augmentation(rotation_deg=90.0, mirror=True), (6, 6), Numbers(values))
        warp(changed, changed_masks, affine)
        np.testing.assert_allclose(changed, expected(image), atol=1e-4)
        np.testing.assert_array_equal(changed_masks[0], expected(masks[0]))


def test_the_second_epoch_decodes_nothing(make: Callable[..., ContourBatches], decoded: list[str]) -> None:
    batches = make()
    together(batches)
    assert len(decoded) == 18
    together(batches)
    together(make(seed=3, batch_size=2, augment=Augmentation()))
    assert len(decoded) == 18


def test_a_changed_file_is_seen(
    make: Callable[..., ContourBatches], linked: Path, decoded: list[str]
) -> None:
    batches = make(shuffle=False)
    _, before = together(batches)
    item = read_links(linked).slices[0]
    assert item.inner
    write_contour(item.inner, circle(20, 20, 3))
    _, after = together(batches)
    assert after[0].sum() != before[0].sum()
    np.testing.assert_array_equal(after[1:], before[1:])

    # Other pixels, of the same size and at another time.
    write_dicom(item.dicom, np.full((SIZE_PX, SIZE_PX), 5, np.int16))
    together(batches)
    assert len(decoded) == 3 * 18
    # Another form, and fewer images.
    together(make(form=RAW))
    together(ContourBatches(read_links(linked).slices[:4], 2, cache=batches.cache))
    assert len(decoded) == 4 * 18 + 4


@pytest.mark.parametrize("content", [b"", b"not HDF5", None], ids=["empty", "foreign", "cut"])
def test_a_spoiled_cache_is_made_anew(
    make: Callable[..., ContourBatches], decoded: list[str], content: bytes | None
) -> None:
    batches = make()
    expected = together(batches.epoch(0))
    batches.cache.write_bytes(batches.cache.read_bytes()[:5000] if content is None else content)
    np.testing.assert_array_equal(together(batches.epoch(0))[1], expected[1])
    assert len(decoded) == 36


def test_images_of_different_sizes(make: Callable[..., ContourBatches], linked: Path) -> None:
    item = read_links(linked).slices[4]
    write_dicom(item.dicom, np.full((48, 40), 100, np.int16))
    with pytest.raises(DataError, match=r"5.dcm: \(48, 40\) pixels \(H, W\), but .*1.dcm has \(32, 32\)"):
        together(make())
    plain = replace(RAW, shape=(40, 24))
    images, masks = together(make(form=plain, shuffle=False))
    assert images.shape[1:] == masks.shape[1:] == (1, 40, 24)
    # Cut by 4 on each side of a row, padded by 4 above and below.
    expected = contour_to_mask(circle(12.0, 14.0, 4 + 1 / 3).round(2), (32, 32))
    np.testing.assert_array_equal(masks[0, 0, 4:36], expected[:, 4:28])
    assert not masks[0, 0, :4].any()
    assert (images[0, 0, :4] == images[0].min()).all()


def test_contours_that_count_from_one(make: Callable[..., ContourBatches]) -> None:
    _, masks = together(make(shuffle=False))
    _, moved = together(make(form=SampleForm(first_pixel=1.0), shuffle=False))
    np.testing.assert_array_equal(moved[:, :, :-1, :-1], masks[:, :, 1:, 1:])


def test_bright_is_positive(linked: Path, tmp_path: Path) -> None:
    index = read_links(linked).slices[:2]
    pixels = np.arange(SIZE_PX**2, dtype=np.int16).reshape(SIZE_PX, SIZE_PX)
    for item, photometric in zip(index, ("MONOCHROME1", "MONOCHROME2"), strict=True):
        write_dicom(item.dicom, pixels, PhotometricInterpretation=photometric)
    images, _ = together(ContourBatches(index, 2, cache=tmp_path / "c.h5", shuffle=False))
    np.testing.assert_allclose(images[0], -images[1], atol=1e-5)
    assert images[1, 0, -1, -1] > 1.0


def test_faults_are_named_with_their_file(make: Callable[..., ContourBatches], linked: Path) -> None:
    path = contour_path(linked, "C-1", "i", 3)
    write_contour(path, circle(31, 12, 6))
    with pytest.raises(DataError) as fault:
        together(make())
    assert (fault.value.code, fault.value.path) == ("contour-off-image", path)
    path.write_text("40.5 12\n10 12\n20 20\n")
    with pytest.raises(DataError, match=r"1 of 3 vertices .*, the first at 40.5 12 \(of first_pixel=1\)"):
        together(make(form=SampleForm(first_pixel=1.0)))
    path.write_text("1 2\n")
    with pytest.raises(DataError) as fault:
        together(make())
    assert (fault.value.code, fault.value.path) == ("contour-too-few-vertices", path)
    path.write_text("1 2\nx\n")
    with pytest.raises(DataError) as fault:
        together(make())
    assert (fault.value.code, fault.value.path, fault.value.row) == ("contour-line-invalid", path, 2)
    assert not make().cache.exists()


def test_settings_that_are_none(make: Callable[..., ContourBatches], linked: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected masks inner, outer, both, but got 'all'") as fault:
        make(form=SampleForm(masks="all"))
    assert fault.value.code == "masks-unknown"
    with pytest.raises(DataError) as fault:
        make(batch_size=0)
    assert fault.value.code == "batch-size-invalid"
    first = read_links(linked).slices[:1]
    with pytest.raises(DataError) as fault:
        ContourBatches(first, 1, cache=tmp_path / "c", form=SampleForm(masks="outer"))
    assert fault.value.code == "contours-none"
    assert "outer" in fault.value.finding.message


def test_without_h5py(make: Callable[..., ContourBatches], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UnavailableError, match=r"pip install -e '.\[dicom\]'"):
        together(make())


@pytest.mark.parametrize("workers", [0, 2])
def test_as_a_torch_dataset(make: Callable[..., ContourBatches], workers: int) -> None:
    batches = make(augment=Augmentation())
    expected = list(batches.epoch(5))
    batches.set_epoch(5)
    loaded = list(DataLoader(TorchBatches(batches), batch_size=None, num_workers=workers))
    assert len(loaded) == len(expected)
    for (images, masks), (own, own_masks) in zip(loaded, expected, strict=True):
        assert (images.dtype, masks.dtype) == (torch.float32, torch.bool)
        np.testing.assert_array_equal(images.numpy(), own)
        np.testing.assert_array_equal(masks.numpy(), own_masks)


SCRIPT = """
import sys
from pathlib import Path
from challenge_bundle.dicom.batches import ContourBatches
from challenge_bundle.dicom.sunnybrook import read_links
index = read_links(Path(sys.argv[1])).slices * 50
progress = lambda what, done, total: print(done, flush=True)
for images, masks in ContourBatches(index, 8, cache=Path(sys.argv[2]), progress=progress):
    pass
print("done", flush=True)
"""


def test_killed_while_it_makes_the_cache(linked: Path, tmp_path: Path) -> None:
    """Nothing half-made stands under the name, and the next one is as if nothing had been."""
    cache = tmp_path / "cache.h5"
    command = [sys.executable, "-c", SCRIPT, str(linked), str(cache)]
    for wait_for in ("1", "300", "700"):
        process = subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        for line in process.stdout:
            if line.strip() == wait_for:
                break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert not cache.exists()
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["900", "done"]
    assert {path.name for path in tmp_path.iterdir()} <= {"linked", "cache.h5", ".cache.h5.lock"}


def test_two_at_once_make_one_cache(linked: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(linked), str(tmp_path / "cache.h5")]
    pair = [subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert sum(len(re.findall(r"^\d+$", output, re.MULTILINE)) for output in outputs) == 900


def test_memory_does_not_grow_with_the_images(linked: Path, tmp_path: Path) -> None:
    """Ten times the images, decoded and gone through twice, in the same memory, but for a few batches."""
    code = SCRIPT.replace("* 50", "* int(sys.argv[3])") + (
        "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks_kb = []
    for times in (10, 100):
        command = [sys.executable, "-c", code, str(linked), str(tmp_path / f"{times}.h5"), str(times)]
        done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
        peaks_kb.append(int(done.stdout.split()[-1]))
    # 1,620 more images are 8 MB decoded.
    assert peaks_kb[1] - peaks_kb[0] < 4000


def test_who_reads_keeps_the_old_cache(make: Callable[..., ContourBatches], linked: Path) -> None:
    """An epoch under way ends with what it began with, though another process makes the cache anew."""
    batches = make(shuffle=False)
    expected = together(batches)
    running = batches.epoch(0)
    next(running)
    time.sleep(0.01)
    write_contour(contour_path(linked, "C-2", "i", 6), circle(10, 10, 2))
    together(make(shuffle=False))
    *_, (_, masks) = running
    np.testing.assert_array_equal(masks, expected[1][-2:])
