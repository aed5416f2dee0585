"""Large images: a size that fits is chosen or an option is named; never the traceback of an allocator."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from challenge_bundle.dataset.image_checks import LARGEST_OWN_PIXELS
from tests.conftest import RunProgram

TRAIN = "bundle_training/train.py"


@pytest.fixture
def train(program_module):
    return program_module("bundle_training", "train")


@pytest.fixture
def networks(program_module):
    return program_module("bundle_training", "network")


@pytest.fixture
def data(program_module):
    return program_module("bundle_training", "data")


def write_input(folder: Path, size: tuple[int, int], count: int = 4) -> Path:
    """Images of two gray levels, of two classes, in both splits."""
    for split in ("training", "validation"):
        (folder / f"{split}-data").mkdir(parents=True)
        rows = ["file,class"]
        for number in range(count):
            name = f"{split}-data/{number}.png"
            Image.new("L", size, 60 + 100 * (number % 2)).save(folder / name, compress_level=1)
            rows.append(f"{name},{'ab'[number % 2]}")
        (folder / f"{split}_solution.csv").write_text("\n".join(rows) + "\n")
    return folder


def geometry_of(data, folder: Path, image_size: int):
    paths = [sorted((folder / f"{split}-data").iterdir()) for split in ("training", "validation")]
    return data.find_geometry(*paths, image_size)


def test_large_images_are_made_smaller_and_that_is_reported(tmp_path: Path, train, capsys) -> None:
    folder = write_input(tmp_path / "in", (1025, 1024))
    assert train.main(folder, tmp_path / "out", train.Options(epochs=1)) == 0
    assert (
        "images of 1025x1024 pixels are brought to 224x224; --image-size chooses" in capsys.readouterr().out
    )
    card = json.loads((tmp_path / "out" / "model.json").read_text())
    assert (card["input"]["height"], card["input"]["width"]) == (224, 224)


def test_the_largest_size_that_is_kept(tmp_path: Path, data) -> None:
    assert data.LARGEST_OWN_PIXELS == LARGEST_OWN_PIXELS == 1024 * 1024
    kept = geometry_of(data, write_input(tmp_path / "kept", (2048, 512)), 0)
    assert (kept.width, kept.height, kept.own_size) == (2048, 512, None)
    over = geometry_of(data, write_input(tmp_path / "over", (2049, 512)), 0)
    assert (over.width, over.height, over.own_size) == (224, 224, (2049, 512))
    asked = geometry_of(data, tmp_path / "over", 600)
    assert (asked.width, asked.height, asked.own_size) == (600, 600, None)


def test_a_size_that_does_not_fit_names_the_options(tmp_path: Path, run_script: RunProgram) -> None:
    """As a process, with a size that no machine here has the memory for; before an image is decoded."""
    folder = write_input(tmp_path / "in", (64, 64), count=34)
    done = run_script(TRAIN, folder, tmp_path / "out", "--image-size", "40000", "--images", "disk")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "a step of 32 images of 40000x40000 pixels takes about" in done.stderr
    assert "--image-size " in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_advised_fits_and_a_little_more_does_not(networks, data) -> None:
    network = networks.NETWORKS["small"](1, 3)
    geometry = data.Geometry(1, 600, 800, False)
    room = 2**30
    with pytest.raises(data.InputError) as fault:
        networks.check_memory(network, geometry, 64, 0, room)
    words = str(fault.value).split()
    batch = int(words[words.index("--batch-size") + 1])
    side = int(words[words.index("--image-size") + 1])
    assert 2 <= batch < 64
    assert side % 32 == 0
    networks.check_memory(network, geometry, batch, 0, room)
    networks.check_memory(network, data.Geometry(1, side, side, False), 64, 0, room)
    for height, width, images in ((600, 800, batch + 1), (side + 32, side + 32, 64)):
        with pytest.raises(data.InputError):
            networks.check_memory(network, data.Geometry(1, height, width, False), images, 0, room)


def test_the_limit_is_exact(networks, data) -> None:
    network = networks.NETWORKS["small"](3, 3)
    geometry = data.Geometry(3, 96, 160, False)
    fixed, of_one = networks.step_bytes(network, geometry)
    assert fixed == 3 * 4 * sum(parameter.numel() for parameter in network.parameters())
    step = fixed + 8 * of_one
    kept = 100 * 3 * 96 * 160
    room = int((step + networks.BASE_BYTES + kept) / networks.USABLE_SHARE)
    networks.check_memory(network, geometry, 8, 100, room + 2)
    with pytest.raises(data.InputError, match="takes about .* GiB of memory, but .* GiB are free"):
        networks.check_memory(network, geometry, 8, 100, room - 2)
    with pytest.raises(data.InputError):
        networks.check_memory(network, geometry, 8, 101, room + 2)


def test_a_step_grows_with_pixels(networks, data) -> None:
    network = networks.NETWORKS["small"](1, 3)

    def of_one(height: int, width: int) -> int:
        return networks.step_bytes(network, data.Geometry(1, height, width, False))[1]

    assert of_one(64, 128) == pytest.approx(2 * of_one(64, 64), rel=1e-3)
    assert of_one(256, 512) == of_one(512, 256) == pytest.approx(8 * of_one(128, 128), rel=1e-3)


def test_what_a_step_takes_is_measured(networks, data) -> None:
    """Against what tensors of one real step hold: no less, and no more than four times as much."""
    network = networks.NETWORKS["small"](1, 2)
    images = torch.zeros(4, 1, 256, 320)
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        network(data.normalise(images, [0.5], [0.2])).sum().backward()
    predicted = 4 * networks.step_bytes(network, data.Geometry(1, 256, 320, False))[1]
    assert sum(kept.values()) < predicted < 4 * sum(kept.values())


def test_looking_changes_neither_network_nor_random_numbers(networks, data) -> None:
    network = networks.NETWORKS["small"](1, 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    networks.step_bytes(network, data.Geometry(1, 64, 64, False))
    assert torch.equal(torch.rand(4), expected)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_memory_that_ends_all_the_same_is_one_line(
    tmp_path: Path, run_script: RunProgram, monkeypatch
) -> None:
    """A process that may have little address space, though the machine has enough memory."""
    folder = write_input(tmp_path / "in", (64, 64))
    program = tmp_path / "limited.py"
    program.write_text(
        "import resource, runpy, sys\n"
        f"sys.path.insert(0, {str(Path(TRAIN).resolve().parent)!r})\n"
        "import train\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 500 * 2**20,) * 2)\n"
        "sys.exit(train.main(*train.parse_arguments()))\n"
    )
    done = run_script(program, folder, tmp_path / "out", "--image-size", "3000", "--batch-size", "4")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "there is too little memory for steps of 4 images of 3000x3000 pixels; use a smaller" in (
        done.stderr
    )
    assert done.stderr.count("\n") == 1


def test_other_faults_keep_their_traceback(networks, data) -> None:
    geometry = data.Geometry(1, 30, 40, False)
    shortages = (MemoryError(), torch.OutOfMemoryError("no"), RuntimeError("can't allocate memory"))
    for fault in shortages:
        assert "steps of 7 images of 40x30 pixels" in networks.describe_shortage(fault, geometry, 7)
    assert "steps of 7 images; use" in networks.describe_shortage(MemoryError(), None, 7)
    assert networks.describe_shortage(RuntimeError("size mismatch"), geometry, 7) is None


def test_fewer_large_images_are_predicted_at_once(train) -> None:
    assert train.validation_batch_size(256, 256) == 100
    assert train.validation_batch_size(256, 257) == 99
    assert train.validation_batch_size(512, 256) == 50
    assert train.validation_batch_size(4000, 4000) == 1


def test_statistics_do_not_depend_on_how_many_are_added_at_once(data, monkeypatch) -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (9, 3, 4, 5), dtype=np.uint8))
    whole = data.channel_statistics(images)
    monkeypatch.setattr(data, "VALUES_AT_ONCE", 61)
    assert data.channel_statistics(images) == whole
    expected = (images.double() / 255).transpose(0, 1).reshape(3, -1)
    assert whole[0] == pytest.approx(expected.mean(dim=1).tolist(), abs=1e-6)
    assert whole[1] == pytest.approx(expected.std(dim=1, unbiased=False).tolist(), abs=1e-6)
