"""The inference program: any image, one row each, the same bytes whatever the number of workers."""

import csv
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from challenge_bundle import image_io
from challenge_bundle.image_io import hash_picture, reading
from tests.conftest import RunProgram, write_image
from tests.image_files import REFUSED, SAME_GRAY, TAKEN

INFER = "bundle_inference/infer.py"
CLASS_NAMES = ["cold", "warm"]
TARGET = {"mean": 2.0, "standard_deviation": 3.0}


@pytest.fixture
def infer(program_module):
    return program_module("bundle_inference", "infer")


@pytest.fixture
def export(program_module):
    return program_module("bundle_training", "train").write_model


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


def rows_of(answers, logits: list[float], task: str, names: tuple[str, ...], **more: object) -> list[str]:
    answer = answers.Answer(task, names, **more)
    return answer.cells(answer.apply(np.array([logits]))[0])


def test_what_each_task_answers(program_module) -> None:
    """An old model.json has no task; the answers are worked out by hand."""
    answers = program_module("bundle_inference", "answers")
    assert answers.parse_answer({"class_names": ["a", "b"]}) == answers.Answer(
        "classification", ("a", "b"), "most_probable"
    )
    logits = np.log([0.4, 0.25, 0.35]).tolist()
    probabilities = ["0.400000", "0.250000", "0.350000"]
    names = ("low", "high", "awful")
    most = rows_of(answers, logits, "classification", names, decision="most_probable")
    assert most == ["low", *probabilities]
    # The expected rank is 0.25 + 2 * 0.35 = 0.95, so the answer is the middle though it is the least likely.
    assert rows_of(answers, logits, "ordinal", names, decision="expected_rank") == ["high", *probabilities]
    half = np.log([0.5, 0.5, 1e-300]).tolist()
    assert rows_of(answers, half, "ordinal", names, decision="expected_rank")[0] == "high", (
        "0.5 is rounded up"
    )
    each = rows_of(answers, [0.0, 800.0, -800.0], "multilabel", names, decision="probabilities")
    assert each == ["0.500000", "1.000000", "0.000000"]
    value = {"decision": "value", "target_mean": 1000.0}
    assert rows_of(answers, [1.5], "regression", (), **value, target_deviation=200.0) == ["1300.0000"]
    assert rows_of(answers, [1.5], "regression", (), **value, target_deviation=1e-3) == ["1000.001500000"]
    assert rows_of(answers, [1.5], "regression", (), **value, target_deviation=1e9) == ["1500001000"]


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
        (lambda folder: change_card(folder, task="detection"), "expected a task of classification"),
        (lambda folder: change_card(folder, task=["ordinal"]), "not a model.json"),
        (lambda folder: change_card(folder, activation="sigmoid"), "expected softmax as 'activation'"),
        (lambda folder: change_card(folder, task="ordinal", decision="value"), "as 'decision' of a ordinal"),
        (lambda folder: change_card(folder, task="regression"), "not a model.json"),
        (lambda folder: change_card(folder, task="regression", target=TARGET), "is of a regression"),
        (
            lambda folder: change_card(folder, task="regression", target=TARGET | {"standard_deviation": 0}),
            "expected finite numbers as 'target'",
        ),
        (lambda folder: change_input(folder, mean=[10**400]), "not a model.json"),
        (lambda folder: change_input(folder, standard_deviation=[1e300]), "not a model.json"),
        (lambda folder: change_input(folder, channels=10**400), "not a model.json"),
        (lambda folder: (folder / "model.json").write_text("[" * 100_000), "not a model.json"),
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


def change_input(folder: Path, **changes: object) -> None:
    change_card(folder, input=json.loads((folder / "model.json").read_text())["input"] | changes)


def change_card(folder: Path, **changes: object) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_empty_and_missing_folder(tmp_path: Path, infer, model_dir: Path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    assert infer.main(tmp_path / "empty", tmp_path / "out", model_dir, 0) == 1
    assert "holds no file" in capsys.readouterr().err
    assert infer.main(tmp_path / "none", tmp_path / "out", model_dir, 0) == 1
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(11, 9), (8, 7)])
def test_training_and_inference_decode_alike_what_an_import_takes(
    channels: int, size: tuple[int, int], tmp_path: Path, program_module, infer
) -> None:
    data = program_module("bundle_training", "data")
    for name, make in TAKEN.items():
        (tmp_path / name).write_bytes(make())
        ours = infer.read_image(tmp_path / name, channels, *size)
        theirs = data.read_image(tmp_path / name, channels, *size)
        assert ours.shape == (channels, *size), name
        assert ours.dtype == theirs.dtype, name
        assert np.array_equal(ours, theirs), name
        with reading(tmp_path / name) as image:
            assert data.read_header(tmp_path / name) == (image.size, image.mode)


@pytest.mark.parametrize("name", REFUSED)
def test_what_an_import_refuses_no_program_reads(name: str, tmp_path: Path, program_module, infer) -> None:
    data = program_module("bundle_training", "data")
    (tmp_path / name).write_bytes(REFUSED[name][0]())
    told = []
    for program in (data, infer):
        with pytest.raises(program.ImageError) as fault:
            program.read_image(tmp_path / name, 1, 8, 8)
        told.append(str(fault.value))
    assert told[0] == told[1] != ""
    assert "\n" not in told[0]


def test_the_same_formats_and_modes_everywhere(program_module, infer) -> None:
    data = program_module("bundle_training", "data")
    for name in ("FORMATS", "MODES", "DEEP_MODES", "MAX_PIXELS"):
        assert getattr(data, name) == getattr(infer, name) == getattr(image_io, name)
    assert data.PNM_MODES == infer.PNM_MODES == image_io.PNM_MODES
    assert data.GRAY_MODES == infer.GRAY_MODES == image_io.DEEP_MODES | {"1", "L", "LA"}


def test_pictures_that_count_as_the_same_are_the_same_to_the_network(tmp_path: Path, infer) -> None:
    """In groups by their digest, what the network gets is equal; of other groups it is not."""
    groups: dict[str, list[np.ndarray]] = {}
    for number, make in enumerate((*SAME_GRAY.values(), *TAKEN.values())):
        path = tmp_path / f"{number}.tif"
        path.write_bytes(make())
        with reading(path) as image:
            groups.setdefault(hash_picture(image), []).append(infer.read_image(path, 3, 11, 9))
    assert max(map(len, groups.values())) > len(SAME_GRAY)
    for same in groups.values():
        for other in same[1:]:
            np.testing.assert_allclose(other, same[0], atol=1e-3)


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


def test_a_model_that_fails_on_several_images_is_one_line(
    tmp_path: Path, infer, model_dir: Path, capsys
) -> None:
    """It runs on one image, as when it is loaded; what was written for others before is not left behind."""
    value = onnx.helper.make_tensor_value_info
    weights = [
        onnx.helper.make_tensor("shape", onnx.TensorProto.INT64, [2], [1, 64]),
        onnx.helper.make_tensor("weights", onnx.TensorProto.FLOAT, [64, 2], [0.0] * 128),
    ]
    nodes = [
        onnx.helper.make_node("Reshape", ["images", "shape"], ["flat"]),
        onnx.helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    images = value("images", onnx.TensorProto.FLOAT, ["batch", 1, 8, 8])
    graph = onnx.helper.make_graph(
        nodes, "one", [images], [value("logits", onnx.TensorProto.FLOAT, None)], weights
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, ir_version=9, opset_imports=opset)
    onnx.save(model, model_dir / "best_metric_model.onnx")
    for number in range(3):
        write_image(tmp_path / "in" / f"{number}.png", seed=number)
    assert infer.main(tmp_path / "in", tmp_path / "out", model_dir, 1) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "the model cannot be run on 3 images of 8x8 pixels (" in error
    assert list((tmp_path / "out").iterdir()) == []


def test_too_little_memory_is_one_line(tmp_path: Path, infer, model_dir: Path, capsys, monkeypatch) -> None:
    write_image(tmp_path / "in" / "a.png")

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(infer, "predict", fail)
    assert infer.main(tmp_path / "in", tmp_path / "out", model_dir, 1) == 1
    assert (
        "too little memory for images of 8x8 pixels; train with a smaller --image" in capsys.readouterr().err
    )
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("side", "batches"), [(256, [64, 6]), (257, [63, 7]), (512, [16] * 4 + [6])])
def test_large_images_are_predicted_a_few_at_a_time(side: int, batches: list[int], infer) -> None:
    model = infer.Model(
        None, infer.Answer("classification", ("a",), "most_probable"), 1, side, side, None, None
    )
    files = [Path(f"/none/{number}.png") for number in range(70)]
    found = list(infer.read_batches(files, model, 2))
    assert [len(batch) for batch in found] == batches
    assert [file for batch in found for file, _ in batch] == files
