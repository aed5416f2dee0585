"""The training program: what it refuses, that it learns, resumes and exports what it trained."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from challenge_bundle.installation import PROJECT_ROOT
from tests.conftest import RunProgram

TRAIN = "bundle_training/train.py"


@pytest.fixture
def train(program_module):
    return program_module("bundle_training", "train")


@pytest.fixture
def in_dir(tmp_path: Path) -> Path:
    """Two classes that differ in brightness, 12 training and 6 validation images."""
    folder = tmp_path / "in"
    for split, count in (("training", 12), ("validation", 6)):
        (folder / f"{split}-data").mkdir(parents=True)
        rows = ["file,class"]
        for number in range(count):
            name = f"{split}-data/{split[0]}{number:03d}.png"
            bright = number % 2
            pixels = np.random.default_rng(number).integers(0, 100, (16, 16), dtype=np.uint8) + 120 * bright
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
            rows.append(f"{name},{['dark', 'bright'][bright]}")
        (folder / f"{split}_solution.csv").write_text("\n".join(rows) + "\n")
    return folder


def read_curve(run: Path, name: str) -> list[tuple[int, float]]:
    """The (step, value) that TensorBoard shows of a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curve = EventAccumulator(str(run))
    curve.Reload()
    return [(event.step, event.value) for event in curve.Scalars(name)]


def test_writes_what_the_contract_promises(train, in_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    assert train.main(in_dir, out, train.Options(epochs=4, batch_size=4)) == 0

    card = json.loads((out / "model.json").read_text())
    assert card["class_names"] == ["bright", "dark"]
    assert (card["input"]["channels"], card["input"]["height"], card["input"]["width"]) == (1, 16, 16)
    assert set(card["data_sha256"]) == {"training", "validation"}
    with (out / "history.csv").open(newline="") as opened:
        history = list(csv.DictReader(opened))
    assert [row["epoch"] for row in history] == ["1", "2", "3", "4"]
    assert (
        max(float(row["validation_weighted_f1"]) for row in history)
        == card["metrics"]["validation_weighted_f1"]
    )
    (run,) = (out / "tensorboard").iterdir()
    assert re.fullmatch(r"\d{8}-\d{6}-small-seed0", run.name)
    assert read_curve(run, "training_loss") == [
        (number, pytest.approx(float(row["training_loss"]), rel=1e-6))
        for number, row in enumerate(history, start=1)
    ]
    assert not list(out.glob("*.part"))


@pytest.mark.parametrize("name", ["small", "densenet121", "resnet18"])
def test_onnx_equals_torch(name: str, program_module, train, tmp_path: Path) -> None:
    networks = program_module("bundle_training", "network").NETWORKS
    torch.manual_seed(0)
    network = networks[name](3, 5)
    network.train()
    with torch.no_grad():
        network(torch.randn(8, 3, 32, 32))
    state_dict = {key: value.clone() for key, value in network.state_dict().items()}
    train.write_model(network, (3, 32, 32), state_dict, {}, tmp_path)

    fresh = networks[name](3, 5)
    fresh.load_state_dict(torch.load(tmp_path / "best_metric_model.pth", weights_only=True))
    fresh.eval()
    images = torch.randn(7, 3, 32, 32)
    session = onnxruntime.InferenceSession(tmp_path / "best_metric_model.onnx")
    (logits,) = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        assert np.abs(logits - fresh(images).numpy()).max() < 1e-5


def test_same_seed_same_bytes_and_another_seed_others(train, in_dir: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train.main(in_dir, tmp_path / name, train.Options(epochs=2, seed=seed, workers=1 + (name == "b")))

    a, b, c = ((tmp_path / name / "best_metric_model.onnx").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_killed_and_run_again_ends_where_an_undisturbed_run_does(
    in_dir: Path, tmp_path: Path, run_script: RunProgram
) -> None:
    options = ("--epochs", "6", "--batch-size", "4")
    whole = run_script(TRAIN, in_dir, tmp_path / "whole", *options)
    assert whole.returncode == 0, whole.stderr

    broken = subprocess.Popen(
        [sys.executable, str(PROJECT_ROOT / TRAIN), str(in_dir), str(tmp_path / "broken"), *options],
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "broken" / "checkpoint.pth").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(broken.pid, signal.SIGKILL)
    broken.wait()
    assert not (tmp_path / "broken" / "model.json").exists()
    (run,) = (tmp_path / "broken" / "tensorboard").iterdir()
    assert read_curve(run, "training_loss")[0][0] == 1, "what is trained can be watched"
    again = run_script(TRAIN, in_dir, tmp_path / "broken", *options)

    assert re.search(r"continuing after epoch \d from checkpoint.pth\n", again.stdout)
    assert list((tmp_path / "broken" / "tensorboard").iterdir()) == [run]
    assert [step for step, _ in read_curve(run, "training_loss")] == [1, 2, 3, 4, 5, 6]
    for name in ("best_metric_model.onnx", "best_metric_model.pth", "model.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes(), name


def test_a_checkpoint_of_other_options_is_not_continued(train, in_dir: Path, tmp_path: Path, capsys) -> None:
    train.main(in_dir, tmp_path / "out", train.Options(epochs=1))
    train.main(in_dir, tmp_path / "out", train.Options(epochs=1, seed=5))
    assert "checkpoint.pth is of other options; starting over" in capsys.readouterr().out
    runs = sorted(path.name.split("-", 2)[2] for path in (tmp_path / "out" / "tensorboard").iterdir())
    assert runs == ["small-seed0", "small-seed5"]


@pytest.mark.parametrize(
    ("changed", "continues"),
    [
        ({"workers": 1, "images": "disk"}, True),  # where and how fast, not what
        ({"patience": 3}, False),
        ({"learning_rate": 6.1e-3}, False),
        ({"batch_size": 4}, False),
        ({"image_size": 12}, False),
        ({"precision": "bfloat16"}, False),
    ],
    ids=str,
)
def test_which_options_a_training_depends_on(
    changed: dict[str, object], continues: bool, train, in_dir: Path, tmp_path: Path, capsys
) -> None:
    train.main(in_dir, tmp_path / "out", train.Options(epochs=1))
    train.main(in_dir, tmp_path / "out", train.Options(epochs=1, **changed))
    said = capsys.readouterr().out
    assert ("continuing after epoch 1" in said) == continues
    assert ("checkpoint.pth is of other options; starting over" in said) == (not continues)


def relabel(in_dir: Path, split: str) -> None:
    path = in_dir / f"{split}_solution.csv"
    first, second, third, *rest = path.read_text().splitlines()
    second, third = second.replace(",dark", ",bright"), third.replace(",bright", ",dark")
    path.write_text("\n".join([first, second, third, *rest]) + "\n")


def reorder(in_dir: Path, split: str) -> None:
    path = in_dir / f"{split}_solution.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(rows)]) + "\n")


def repaint(in_dir: Path, split: str) -> None:
    path = next((in_dir / f"{split}-data").glob("*004.png"))
    pixels = np.array(Image.open(path))
    pixels[3, 5] ^= 1
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("change", [relabel, reorder, repaint])
@pytest.mark.parametrize("split", ["training", "validation"])
def test_a_checkpoint_of_other_data_is_not_continued(
    change, split: str, train, in_dir: Path, tmp_path: Path, capsys
) -> None:
    train.main(in_dir, tmp_path / "out", train.Options(epochs=1))
    train.main(in_dir, tmp_path / "out", train.Options(epochs=1))
    assert "continuing after epoch 1" in capsys.readouterr().out
    change(in_dir, split)
    train.main(in_dir, tmp_path / "out", train.Options(epochs=1))
    said = capsys.readouterr().out
    assert "checkpoint.pth is of other data; starting over" in said
    assert "epoch 1/1" in said


def test_a_checkpoint_of_another_torch_is_not_continued(
    train, in_dir: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    train.main(in_dir, tmp_path / "out", train.Options(epochs=1))
    monkeypatch.setattr(torch, "__version__", "2.99.0")
    train.main(in_dir, tmp_path / "out", train.Options(epochs=1, seed=1))
    assert "checkpoint.pth is of other options and packages; starting over" in capsys.readouterr().out


def test_changed_code_is_never_continued_wherever_it_is(
    in_dir: Path, tmp_path: Path, run_script: RunProgram
) -> None:
    """An own module that train.py imports, or weights that it loads, are part of the training."""
    program = tmp_path / "program"
    shutil.copytree(PROJECT_ROOT / "bundle_training", program, ignore=shutil.ignore_patterns("__pycache__"))
    (program / "own").mkdir()
    (program / "own" / "layers.py").write_text("WIDTH = 1\n")

    def run() -> str:
        done = run_script(str(program / "train.py"), in_dir, tmp_path / "out", "--epochs", "1")
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "checkpoint" not in run()
    assert "continuing after epoch 1 from checkpoint.pth" in run()
    (program / "own" / "layers.py").write_text("WIDTH = 2\n")
    assert "checkpoint.pth is of other code; starting over" in run()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    folder = tmp_path / "program"
    for name in ("train.py", "own/net.py", "weights/base.bin", "wheelhouse/a.whl", "logs/one.log"):
        write_file(folder / name, name)
    lines = ("# what the image lacks", "logs", "*.md", "**/*.tmp", "!keep.md", "notes/?.txt", "")
    write_file(folder / ".dockerignore", "\n".join(lines))
    return folder


def write_file(path: Path, text: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def link_weights(folder: Path) -> None:
    write_file(folder.parent / "elsewhere" / "more.bin")
    (folder / "linked").symlink_to(folder.parent / "elsewhere")


def touch(path: Path) -> None:
    os.utime(path, (1, 1))
    path.chmod(0o700)


CHANGES = {
    "changed": lambda folder: write_file(folder / "weights/base.bin", "other"),
    "new": lambda folder: write_file(folder / "own/more/new.py"),
    "renamed": lambda folder: (folder / "own/net.py").rename(folder / "own/net2.py"),
    "removed": lambda folder: (folder / "weights/base.bin").unlink(),
    "settings": lambda folder: write_file(folder / "settings.yaml"),
    "linked": link_weights,
    "taken in again": lambda folder: write_file(folder / "keep.md"),
    "not at the root": lambda folder: write_file(folder / "own/read.md"),
    "longer than the pattern": lambda folder: write_file(folder / "notes/ab.txt"),
    "moved": lambda folder: (folder / "own/net.py").rename(folder / "net.py"),
}
NO_CHANGES = {
    "cache": lambda folder: write_file(folder / "own/__pycache__/net.pyc"),
    "hidden": lambda folder: write_file(folder / "own/.net.py.swp"),
    "hidden folder": lambda folder: write_file(folder / ".git/HEAD"),
    "wheels": lambda folder: write_file(folder / "wheelhouse/b.whl"),
    "ignored folder": lambda folder: write_file(folder / "logs/deep/two.log"),
    "ignored file": lambda folder: write_file(folder / "read.md"),
    "ignored anywhere": lambda folder: write_file(folder / "own/a/b.tmp"),
    "ignored at the root": lambda folder: write_file(folder / "b.tmp"),
    "one character": lambda folder: write_file(folder / "notes/a.txt"),
    "time and mode": lambda folder: touch(folder / "train.py"),
    "folder in itself": lambda folder: (folder / "own" / "loop").symlink_to(folder / "own"),
    "empty folder": lambda folder: (folder / "own" / "empty").mkdir(),
}


@pytest.mark.parametrize("name", [*CHANGES, *NO_CHANGES])
def test_what_a_programs_hash_depends_on(name: str, program_module, program: Path) -> None:
    hash_program = program_module("bundle_training", "data").hash_program
    before = hash_program(program)
    {**CHANGES, **NO_CHANGES}[name](program)
    assert (hash_program(program) != before) == (name in CHANGES)


def test_runs_have_names_of_their_own_and_the_newest_are_kept(train, tmp_path: Path) -> None:
    (tmp_path / "tensorboard" / "own").mkdir(parents=True)
    for number in range(12):
        (tmp_path / "tensorboard" / f"202601{number + 1:02}-000000-small-seed0").mkdir()
    run = train.new_run(tmp_path, "small-seed1")
    kept = sorted(path.name[:8] for path in (tmp_path / "tensorboard").iterdir())
    assert kept == [f"202601{number:02}" for number in range(4, 13)] + ["own"], "nine, and the new one"
    (tmp_path / "tensorboard" / run).mkdir()
    again = train.new_run(tmp_path, "small-seed1")
    assert again != run
    assert again.split("-")[2:4] == ["small", "seed1"]


def test_stops_early(train, in_dir: Path, tmp_path: Path, capsys) -> None:
    train.main(in_dir, tmp_path / "out", train.Options(epochs=40, patience=1, learning_rate=1e-9))
    assert "stopped early" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda folder: (folder / "training_solution.csv").unlink(), "training_solution.csv: not found"),
        (lambda folder: (folder / "training-data/t001.png").unlink(), "training_solution.csv:3:"),
        (lambda folder: (folder / "training-data/t001.png").write_text("x"), "t001.png: cannot be read"),
        (lambda folder: (folder / "validation-data/v001.png").write_text("x"), "v001.png: cannot be read"),
        (lambda folder: append(folder, "training-data/t001.png,dark"), "appears twice"),
        (lambda folder: append(folder, "training-data/t001.png"), "is not a file and a class"),
        (lambda folder: append(folder, "x,dark", "validation"), "validation_solution.csv:8:"),
        (
            lambda folder: append(folder, "training-data/t000.png,green", "validation"),
            "'green' has no training image",
        ),
        (lambda folder: (folder / "training_solution.csv").write_text("a,b\n"), "expected 'file,class'"),
        (lambda folder: (folder / "training_solution.csv").write_text("file,class\n"), "no row"),
    ],
)
def test_input_at_fault_is_named_before_anything_is_written(
    spoil, word: str, train, in_dir: Path, tmp_path: Path, capsys
) -> None:
    spoil(in_dir)

    assert train.main(in_dir, tmp_path / "out", train.Options(epochs=1)) == 1

    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def append(folder: Path, line: str, split: str = "training") -> None:
    with (folder / f"{split}_solution.csv").open("a") as opened:
        opened.write(line + "\n")


def test_images_of_different_sizes_and_colour(train, in_dir: Path, tmp_path: Path) -> None:
    Image.new("RGB", (30, 20), (255, 0, 0)).save(in_dir / "training-data/t000.png")

    assert train.main(in_dir, tmp_path / "out", train.Options(epochs=1, image_size=24)) == 0

    card = json.loads((tmp_path / "out" / "model.json").read_text())["input"]
    assert (card["channels"], card["height"], card["width"]) == (3, 24, 24)


def test_cuda_that_is_not_there_is_said(train, in_dir: Path, tmp_path: Path, capsys) -> None:
    if torch.cuda.is_available():
        assert train.choose_device("cuda").type == "cuda"
    else:
        assert train.main(in_dir, tmp_path / "out", train.Options(device="cuda")) == 1
        assert "--device cuda" in capsys.readouterr().err


def test_augmentation_keeps_shape_and_depends_on_the_generator_alone(program_module) -> None:
    data = program_module("bundle_training", "data")
    images = torch.rand(6, 1, 16, 16)
    first, second, other = (
        data.augment(images, data.draw_augmentation(6, torch.Generator().manual_seed(seed), data.Changes()))
        for seed in (1, 1, 2)
    )
    assert first.shape == images.shape
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


STEP = """\
import sys
sys.path.insert(0, sys.argv[1])
import torch
import torch.nn.functional as F
from network import NETWORKS, join, leave, mean_loss, share

processes = join("cpu")
torch.manual_seed(0)
network = NETWORKS["small"](1, 3)
network[6].p = 0.0  # without dropout, which each process draws for itself
images, labels = torch.randn(10, 1, 16, 16), torch.randint(0, 3, (10,))
shared = share(network, processes, torch.device("cpu"))
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
for _ in range(3):
    logits = shared(processes.own_rows(images))
    total = F.cross_entropy(logits, processes.own_rows(labels), reduction="sum")
    loss = mean_loss(total, len(images), processes)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
torch.save(network.state_dict(), f"{sys.argv[2]}/{processes.size}-{processes.rank}.pth")
leave()
"""


def run_together(processes: int, *command: object) -> "subprocess.CompletedProcess[str]":
    """Run a script in several processes, as a person does with torchrun."""
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
    ]
    return subprocess.run(
        [*launch, *map(str, command)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_two_processes_take_the_step_that_one_takes(tmp_path: Path) -> None:
    """Gradients and batch normalisation are those of the whole batch, however it is divided."""
    script = tmp_path / "step.py"
    script.write_text(STEP)
    for processes in (1, 2):
        done = run_together(processes, script, PROJECT_ROOT / "bundle_training", tmp_path)
        assert done.returncode == 0, done.stderr
    alone, first, second = (
        torch.load(tmp_path / f"{name}.pth", weights_only=True) for name in ("1-0", "2-0", "2-1")
    )
    for name, expected in alone.items():
        assert torch.equal(first[name], second[name]), name
        assert torch.allclose(first[name].float(), expected.float(), atol=1e-5), name


def test_two_processes_train_one_model(in_dir: Path, tmp_path: Path) -> None:
    options = ("--epochs", "8", "--batch-size", "4", "--device", "cpu")
    losses = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        done = run_together(processes, PROJECT_ROOT / TRAIN, in_dir, out, *options)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("epoch 8/8") == 1
        with (out / "history.csv").open(newline="") as opened:
            losses.append([float(row["training_loss"]) for row in csv.DictReader(opened)])
        assert (out / "model.json").exists()
    # Each process draws its own dropout, so they are alike and not the same; the steps are compared above.
    assert losses[0][-1] == pytest.approx(losses[1][-1], abs=0.15)
    assert all(run[-1] < run[0] for run in losses)


def test_images_on_disk_train_the_same_model(train, in_dir: Path, tmp_path: Path) -> None:
    models = []
    for images in ("memory", "disk"):
        assert train.main(in_dir, tmp_path / images, train.Options(epochs=2, images=images)) == 0
        models.append((tmp_path / images / "best_metric_model.onnx").read_bytes())
        assert not list((tmp_path / images).glob("*.pixels"))
    assert models[0] == models[1]


def test_sixteen_bits_learn_a_little_less_precisely(train, in_dir: Path, tmp_path: Path) -> None:
    assert train.main(in_dir, tmp_path / "out", train.Options(epochs=2, precision="bfloat16")) == 0
    session = onnxruntime.InferenceSession(tmp_path / "out" / "best_metric_model.onnx")
    assert session.get_inputs()[0].type == "tensor(float)"


def test_a_loss_that_is_not_finite_ends_the_training(train, in_dir: Path, tmp_path: Path, capsys) -> None:
    assert train.main(in_dir, tmp_path / "out", train.Options(epochs=3, learning_rate=1e30)) == 1
    assert "the loss is not a finite number; try a lower --learning-rate" in capsys.readouterr().err
    assert not (tmp_path / "out" / "model.json").exists()


def test_torchs_compiler_is_not_imported(in_dir: Path, tmp_path: Path) -> None:
    """Its import would take a fifth of the default training's time."""
    script = (
        "import runpy, sys; sys.argv = sys.argv[1:]; sys.path.insert(0, sys.argv[0].rpartition('/')[0])\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert 'torch' in sys.modules and 'torch._dynamo' not in sys.modules"
    )
    train_py = PROJECT_ROOT / "bundle_training" / "train.py"
    command = [sys.executable, "-c", script, train_py, in_dir, tmp_path / "out", "--epochs", "1"]
    subprocess.run(command, check=True, timeout=120)


def test_a_spoiled_checkpoint_is_passed_over(train, in_dir: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "checkpoint.pth").write_bytes(b"")
    assert train.main(in_dir, tmp_path / "out", train.Options(epochs=1)) == 0
    assert "cannot be read (EOFError); starting over" in capsys.readouterr().out


def test_an_image_is_turned_and_scaled_no_more_than_said(program_module) -> None:
    """Up to 15 degrees either way, by 0.85 to 1.15, mirrored half of the time, moved by 6 % of the side."""
    data = program_module("bundle_training", "data")
    drawn = data.draw_augmentation(4000, torch.Generator().manual_seed(0), data.Changes())
    affine = drawn.affine.double().numpy()
    mirror = np.sign(affine[:, 0, 0])
    angles = np.degrees(np.arctan2(-affine[:, 0, 1], affine[:, 1, 1]))
    scales = np.hypot(affine[:, 0, 1], affine[:, 1, 1])
    assert (angles.min(), angles.max()) == (pytest.approx(-15, abs=0.05), pytest.approx(15, abs=0.05))
    assert (scales.min(), scales.max()) == (pytest.approx(0.85, abs=0.001), pytest.approx(1.15, abs=0.001))
    assert np.allclose(affine[:, 0, 0], mirror * np.cos(np.radians(angles)) * scales, atol=1e-6)
    assert np.allclose(affine[:, 1, 0], mirror * np.sin(np.radians(angles)) * scales, atol=1e-6)
    assert (mirror < 0).mean() == pytest.approx(0.5, abs=0.03)
    assert np.abs(affine[:, :, 2]).max() == pytest.approx(0.12, abs=0.001)
    assert drawn.contrast.min() == pytest.approx(0.8, abs=0.001)
    assert drawn.contrast.max() == pytest.approx(1.2, abs=0.001)


def test_a_turned_image_is_the_image_turned(program_module) -> None:
    data = program_module("bundle_training", "data")
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 0, 2] = 1.0  # above the centre
    quarter = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
    drawn = data.Augmentation(quarter, torch.full((1, 1, 1, 1), 2.0))
    turned = data.augment(image, drawn)[0, 0]
    expected = torch.zeros(5, 5)
    expected[2, 0] = 2.0
    assert torch.allclose(turned, expected, atol=1e-5)


def test_height_and_width_are_not_exchanged(train, program_module, in_dir: Path, tmp_path: Path) -> None:
    """Wide images with a bright top left corner, from the file to the exported network."""
    for path in sorted(in_dir.rglob("*.png")):
        pixels = np.zeros((12, 20), dtype=np.uint8)
        pixels[:3, :8] = 40 + 150 * (int(path.stem[1:]) % 2)
        Image.fromarray(pixels).save(path)
    data, labels = (program_module("bundle_training", name) for name in ("data", "labels"))
    paths = [file.path for file in labels.read_solution(in_dir, "training", labels.Task())]
    geometry = data.find_geometry(paths, paths, 0)
    assert (geometry.height, geometry.width, geometry.shape) == (12, 20, (1, 12, 20))
    image = data.read_image(paths[1], 1, 12, 20)
    assert image.shape == (1, 12, 20)
    assert (image[0, 2, 7], image[0, 7, 2]) == (190, 0)
    resized = data.read_image(paths[1], 3, 6, 10)
    assert resized.shape == (3, 6, 10)
    assert resized[:, 0, 2].tolist() == [190] * 3
    assert resized[:, 3, 0].tolist() == [0] * 3

    assert train.main(in_dir, tmp_path / "out", train.Options(epochs=1)) == 0
    card = json.loads((tmp_path / "out" / "model.json").read_text())["input"]
    assert (card["channels"], card["height"], card["width"]) == (1, 12, 20)
    session = onnxruntime.InferenceSession(tmp_path / "out" / "best_metric_model.onnx")
    assert session.get_inputs()[0].shape[1:] == [1, 12, 20]
    infer = program_module("bundle_inference", "infer")
    assert np.array_equal(infer.read_image(paths[1], 1, 12, 20), image)


def test_what_was_written_is_named_and_no_folder_that_is_emptied(
    train, in_dir: Path, tmp_path: Path, capsys
) -> None:
    train.main(in_dir, tmp_path / "out", train.Options(epochs=1))
    train.main(in_dir, tmp_path / "out", train.Options(epochs=1))
    said = capsys.readouterr().out
    assert "; wrote best_metric_model.onnx, best_metric_model.pth, model.json\n" in said
    assert str(tmp_path) not in said
