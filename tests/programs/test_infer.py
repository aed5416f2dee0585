"""The inference program: any image, one row each, the same bytes whatever the number of workers."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import RunProgram, write_image

INFER = "bundle_inference/infer.py"
CLASS_NAMES = ["cold", "warm"]


@pytest.fixture
def infer(program_module):
    return program_module("bundle_inference", "infer")


@pytest.fixture
def export(program_module):
    return program_module("bundle_training", "train").export


@pytest.fixture
def model_dir(tmp_path: Path, export) -> Path:
    """A network that says `warm` to bright images: its logits are (-mean, mean) of the normalised pixels."""

    class Brightness(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            mean = images.mean(dim=(1, 2, 3))
            return torch.stack([-mean, mean], dim=1)

    folder = tmp_path / "model"
    folder.mkdir()
    card = {
        "class_names": CLASS_NAMES,
        "input": {"channels": 1, "height": 8, "width": 8, "mean": [0.5], "standard_deviation": [0.25]},
    }
    export(Brightness(), (1, 8, 8), {}, card, folder)
    return folder


def read_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "classification_results.csv").open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_a_row_an_image_sorted_by_name(tmp_path: Path, infer, model_dir: Path) -> None:
    for number, brightness in [(3, 250), (1, 10), (2, 200)]:
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.new("L", (8, 8), brightness).save(tmp_path / "in" / f"{number}.png")
    (tmp_path / "in" / ".DS_Store").write_bytes(b"not an image, not meant as one")

    assert infer.main(tmp_path / "in", tmp_path / "out", model_dir, 0) == 0

    rows = read_rows(tmp_path / "out")
    assert [(row["file"], row["class"]) for row in rows] == [
        ("1.png", "cold"),
        ("2.png", "warm"),
        ("3.png", "warm"),
    ]
    assert list(rows[0]) == ["file", "class", "probability_cold", "probability_warm"]
    expected = 1 / (1 + np.exp(2 * (200 / 255 - 0.5) / 0.25))
    assert float(rows[1]["probability_cold"]) == pytest.approx(expected, abs=1e-6)


def test_bytes_do_not_depend_on_workers(tmp_path: Path, infer, model_dir: Path) -> None:
    for number in range(150):
        write_image(tmp_path / "in" / f"{number:03d}.png", seed=number)

    written = set()
    for workers in (1, 2, 7):
        infer.main(tmp_path / "in", tmp_path / "out", model_dir, workers)
        written.add((tmp_path / "out" / "classification_results.csv").read_bytes())

    assert len(written) == 1


def test_unreadable_images_are_named_and_get_no_class(tmp_path: Path, infer, model_dir: Path, capsys) -> None:
    write_image(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "text.png").write_text("not an image")
    whole = write_image(tmp_path / "in" / "whole.jpg", size=(64, 64)).read_bytes()
    (tmp_path / "in" / "broken.jpg").write_bytes(whole[: len(whole) // 2])

    assert infer.main(tmp_path / "in", tmp_path / "out", model_dir, 2) == 1

    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "broken.jpg: image file is truncated" in error
    assert "text.png: not an image" in error
    assert [row["file"] for row in read_rows(tmp_path / "out")] == ["good.png", "whole.jpg"]


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda folder: (folder / "model.json").unlink(), "model.json: not found"),
        (lambda folder: (folder / "best_metric_model.onnx").write_bytes(b"no"), "cannot be run"),
        (lambda folder: (folder / "model.json").write_text("{}"), "not a model.json"),
        (lambda folder: change_card(folder, class_names=["a", "b", "c"]), "names 3 classes"),
        (lambda folder: change_card(folder, class_names="ab"), "names 0 classes"),
    ],
)
def test_a_model_at_fault_is_named_before_anything_is_written(
    spoil, word: str, tmp_path: Path, infer, model_dir: Path, capsys
) -> None:
    write_image(tmp_path / "in" / "a.png")
    spoil(model_dir)

    assert infer.main(tmp_path / "in", tmp_path / "out", model_dir, 0) == 1

    assert word in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def change_card(folder: Path, **changes: object) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_empty_and_missing_folder(tmp_path: Path, infer, model_dir: Path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    assert infer.main(tmp_path / "empty", tmp_path / "out", model_dir, 0) == 1
    assert "holds no file" in capsys.readouterr().err
    assert infer.main(tmp_path / "none", tmp_path / "out", model_dir, 0) == 1
    assert "no such folder" in capsys.readouterr().err


def images_of_every_mode(folder: Path) -> list[Path]:
    folder.mkdir()
    generator = np.random.default_rng(0)
    gray = Image.fromarray(generator.integers(0, 256, (11, 9), dtype=np.uint8))
    colour = Image.fromarray(generator.integers(0, 256, (11, 9, 3), dtype=np.uint8))
    deep = Image.fromarray(generator.integers(0, 65536, (11, 9), dtype=np.uint16))
    real = Image.fromarray(generator.random((11, 9)).astype(np.float32))
    pictures = {
        "one.png": gray.convert("1"),
        "gray.png": gray,
        "gray_alpha.png": gray.convert("LA"),
        "palette.png": colour.convert("P"),
        "colour.png": colour,
        "colour_alpha.png": colour.convert("RGBA"),
        "cmyk.tif": colour.convert("CMYK"),
        "deep.png": deep,
        "integers.tif": deep.convert("I"),
        "real.tif": real,
    }
    for name, picture in pictures.items():
        picture.save(folder / name)
    return [folder / name for name in pictures]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(11, 9), (8, 8)])
def test_training_and_inference_decode_alike(
    channels: int, size: tuple[int, int], tmp_path: Path, program_module, infer
) -> None:
    dataset = program_module("bundle_training", "dataset")
    for path in images_of_every_mode(tmp_path / "images"):
        ours = infer.read_image(path, channels, *size)
        theirs = dataset.read_image(path, channels, *size)
        assert ours.shape == (channels, *size), path.name
        assert ours.dtype == theirs.dtype, path.name
        assert np.array_equal(ours, theirs), path.name


def test_sixteen_bits_keep_their_range(tmp_path: Path, infer) -> None:
    Image.fromarray(np.full((8, 8), 32896, dtype=np.uint16)).save(tmp_path / "half.png")
    Image.fromarray(np.full((8, 8), 65535, dtype=np.uint16)).save(tmp_path / "full.png")
    assert infer.read_image(tmp_path / "half.png", 1, 8, 8) == pytest.approx(128.0)
    assert infer.read_image(tmp_path / "full.png", 3, 8, 8) == pytest.approx(255.0)


def test_as_a_process(tmp_path: Path, run_script: RunProgram, model_dir: Path) -> None:
    write_image(tmp_path / "in" / "a.png")

    done = run_script(INFER, tmp_path / "in", tmp_path / "out", "--model", model_dir)

    assert done.returncode == 0, done.stderr
    assert "1/1 images" in done.stdout
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["classification_results.csv"]


def test_finds_the_model_beside_its_folder_as_in_the_zip(infer) -> None:
    _, _, default, _ = infer.parse_arguments([])
    assert default == Path(infer.__file__).resolve().parent.parent / "model_output"
