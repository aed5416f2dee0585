"""The workloads: what is prepared, what is run, and what it is compared with."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from benchmarks.contour_data import make_contour_data
from benchmarks.measuring import Side
from benchmarks.planted import audited_pairs, describe_found, hashed_pairs, plant_copies

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks" / "peers"
PYTHON = sys.executable
TOOL = [PYTHON, str(ROOT / "tools" / "bundle.py"), "--bundle"]
CLASS_NAMES = np.array(["AbdomenCT", "BreastMRI", "CXR", "ChestCT", "Hand", "HeadCT"])

MANIFEST = """\
[bundle]
name = "benchmark"

[data]
source = "synthetic"
"""


class Unavailable(Exception):
    """Something that a workload needs is not on this machine."""


@dataclass
class Setup:
    """What the workloads share.

    Args:
        work: An empty folder for all that they make.
        source: What images are imported from.
        notes: Other results than times, by workload.
    """

    work: Path
    source: str
    notes: dict[str, list[str]] = field(default_factory=dict)
    made: dict[str, Path] = field(default_factory=dict)
    contour_images: str = ""

    def bundle(self) -> Path:
        """A bundle with images and a trained model, made at the first call."""
        if "bundle" not in self.made:
            root = self.made["bundle"] = new_bundle(self.work / "bundle")
            tool(root, "data", "import", self.source, "--allow-leaks")  # MedNIST has one
            tool(root, "train", "--runner", "local")
        return self.made["bundle"]

    def many_images(self, count: int) -> Path:
        """A folder of different images: the testing images, over and over, each with a number appended."""
        folder = self.work / f"images-{count}"
        if not folder.exists():
            folder.mkdir()
            originals = sorted((self.bundle() / "input_data" / "testing-data").iterdir())
            contents = [path.read_bytes() for path in originals]
            for number in range(count):
                original = originals[number % len(originals)]
                (folder / f"{number:06d}{original.suffix}").write_bytes(
                    contents[number % len(contents)] + number.to_bytes(8, "big")
                )
        return folder

    def class_folders(self, count: int) -> Path:
        """The same in class folders."""
        folder = self.work / f"classes-{count}"
        if not folder.exists():
            for number, path in enumerate(sorted(self.many_images(count).iterdir())):
                target = folder / CLASS_NAMES[number % 6] / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        return folder

    def scoring_input(self, count: int) -> Path:
        """Reference and predictions of that many cases, nine of ten right, in the same order."""
        folder = self.work / f"scoring-{count}"
        if not folder.exists():
            generator = np.random.default_rng(0)
            reference = generator.integers(0, 6, count)
            predictions = np.where(generator.random(count) < 0.9, reference, generator.integers(0, 6, count))
            for name, labels in (
                ("ref/testing_solution.csv", reference),
                ("res/classification_results.csv", predictions),
            ):
                (folder / name).parent.mkdir(parents=True)
                with (folder / name).open("w") as out:
                    out.write("file,class\n")
                    out.writelines(
                        f"{row:08d}.png,{class_name}\n" for row, class_name in enumerate(CLASS_NAMES[labels])
                    )
        return folder

    def contours(self, copies: int) -> Path:
        """DICOM images with contours: 74 of them, so many times."""
        folder = self.work / f"contours-{copies}"
        if not folder.exists():
            self.contour_images = make_contour_data(folder, copies)
        return folder

    def output(self, name: str) -> Path:
        """An empty folder."""
        folder = self.work / "output" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def note(self, workload: str, text: str) -> None:
        """Keep a line for the page, below the times."""
        self.notes.setdefault(workload, []).append(text)


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the table.

    Args:
        name: On the command line.
        title: What is done.
        peer: What it is compared with.
        goal: Highest ratio of the two times.
        make: Prepares both sides.
    """

    name: str
    title: str
    peer: str
    goal: float
    make: Callable[[Setup], tuple[Side, Side]]


def new_bundle(root: Path) -> Path:
    """A folder with a bundle.toml and nothing else."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    (root / "bundle.toml").write_text(MANIFEST)
    return root


def tool(root: Path, *arguments: str) -> str:
    """Run the tool on a bundle; returns what it printed."""
    done = subprocess.run([*TOOL, str(root), *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def train(setup: Setup) -> tuple[Side, Side]:
    """Training to a model that classifies the testing images."""
    bundle = setup.bundle()
    out, peer_out = setup.output("train"), setup.output("train-peer")
    seeds: list[str] = []
    f1: list[float] = []
    command = [PYTHON, str(ROOT / "bundle_training" / "train.py"), str(bundle / "input_data"), str(out)]
    ours = [*command, "--seed", "0"]

    def fresh(number: int) -> None:
        setup.output("train")
        ours[-1] = str(number % 3)

    def look(number: int) -> None:
        if number < 3:
            seeds.append(ours[-1])
            f1.append(test_f1(setup, bundle, out))
            setup.notes["train"] = [
                f"weighted F1 on the testing images, seeds {', '.join(seeds)}: "
                + ", ".join(f"{value:.4f}" for value in f1)
                + f" (mean {sum(f1) / len(f1):.4f})"
            ]

    peer = [PYTHON, str(PEERS / "train_monai.py"), str(bundle / "input_data"), str(peer_out)]
    return Side(ours, before=fresh, after=look), Side(peer)


def test_f1(setup: Setup, bundle: Path, model: Path) -> float:
    """Weighted F1 of a model on the testing images."""
    scoring = setup.output("train-scoring")
    (scoring / "input" / "res").mkdir(parents=True)
    shutil.copytree(bundle / "submission_directory" / "input" / "ref", scoring / "input" / "ref")
    infer = [PYTHON, str(ROOT / "bundle_inference" / "infer.py"), str(bundle / "input_data" / "testing-data")]
    score = [PYTHON, str(ROOT / "scoring_program" / "score.py")]
    for command in (
        [*infer, str(scoring / "input" / "res"), "--model", str(model)],
        [*score, str(scoring / "input"), str(scoring / "output")],
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return float(json.loads((scoring / "output" / "scores.json").read_text())["weighted_f1"])


def infer(images: int, peer_images: int) -> Callable[[Setup], tuple[Side, Side]]:
    """Inference on so many images; the peer may be given fewer, and rates are compared."""

    def make(setup: Setup) -> tuple[Side, Side]:
        out, peer_out = setup.output("infer"), setup.output("infer-peer")
        program = [PYTHON, str(ROOT / "bundle_inference" / "infer.py"), str(setup.many_images(images))]
        ours = [*program, str(out), "--model", str(setup.bundle() / "model_output")]
        peer = [PYTHON, str(PEERS / "infer_monai.py"), str(setup.many_images(peer_images)), str(peer_out)]
        return Side(ours, units=images), Side(peer, units=peer_images)

    return make


def score(cases: int) -> Callable[[Setup], tuple[Side, Side]]:
    """Scoring with intervals from 2,000 resamples, compared with the report alone."""

    def make(setup: Setup) -> tuple[Side, Side]:
        source = setup.scoring_input(cases)
        out, peer_out = setup.output("score"), setup.output("score-peer")
        ours = [PYTHON, str(ROOT / "scoring_program" / "score.py"), str(source), str(out)]
        peer = [PYTHON, str(PEERS / "score_pandas.py"), str(source), str(peer_out)]

        def agree(number: int) -> None:
            lines = (out / "scores.txt").read_text().splitlines()[:3]
            if lines != (peer_out / "scores.txt").read_text().splitlines():
                raise AssertionError(f"the scores are not scikit-learn's: {lines}")

        return Side(ours), Side(peer, after=lambda number: agree(number) if number else None)

    return make


def pack(setup: Setup) -> tuple[Side, Side]:
    """A submission with a model of 500 MB."""
    if not shutil.which("zip"):
        raise Unavailable("needs the zip command")
    root = new_bundle(setup.work / "large")
    shutil.copytree(setup.bundle() / "input_data", root / "input_data")
    shutil.copytree(ROOT / "bundle_inference", root / "bundle_inference")
    shutil.copytree(setup.bundle() / "model_output", root / "model_output")
    with (root / "model_output" / "best_metric_model.onnx").open("wb") as out:
        # The version, a graph of 500 MB and 6 bytes, and one node of 500 MB in it.
        out.write(b"\x08\x08\x3a\x86\x80\x80\xfa\x01\x0a\x80\x80\x80\xfa\x01" + os.urandom(500 * 2**20))
    staged = setup.output("pack-peer")
    shutil.copyfile(ROOT / "bundle_inference" / "Dockerfile", staged / "Dockerfile")
    for folder in ("bundle_inference", "model_output"):
        (staged / folder).mkdir()
    for name in (
        "bundle_inference/answers.py",
        "bundle_inference/infer.py",
        "bundle_inference/requirements.txt",
    ):
        shutil.copyfile(ROOT / name, staged / name)
    for name in ("model_output/best_metric_model.onnx", "model_output/model.json"):
        os.link(root / name, staged / name)
    zips = setup.output("pack")
    digests: set[str] = set()

    def look(number: int) -> None:
        with (zips / "ours.zip").open("rb") as opened:
            digests.add(hashlib.file_digest(opened, "sha256").hexdigest())
        setup.notes["zip"] = [f"{len(digests)} different zips in {number + 1} runs"]

    ours = Side([*TOOL, str(root), "zip", "--output", str(zips / "ours.zip")], after=look)
    peer = Side(
        ["sh", "-c", f"cd {staged} && zip -qr {zips / 'peer.zip'} ."],
        before=lambda number: (zips / "peer.zip").unlink(missing_ok=True),
    )
    return ours, peer


def show_help(setup: Setup) -> tuple[Side, Side]:
    """The start of the tool."""
    return Side([PYTHON, str(ROOT / "tools" / "bundle.py"), "--help"]), Side([PYTHON, "-c", "import click"])


def run_all_again(setup: Setup) -> tuple[Side, Side]:
    """The whole of the bundle, with nothing changed since the last time."""
    done, new = new_bundle(setup.work / "again"), setup.work / "first"
    tool(done, "run-all", "--runner", "local")
    ours = Side([*TOOL, str(done), "run-all", "--runner", "local"])
    first = Side([*TOOL, str(new), "run-all", "--runner", "local"], before=lambda number: new_bundle(new))
    return ours, first


def import_folder(images: int) -> Callable[[Setup], tuple[Side, Side]]:
    """Class folders to a bundle, every image decoded and hashed, compared with a copy."""

    def make(setup: Setup) -> tuple[Side, Side]:
        source, target = setup.class_folders(images), setup.work / "imported"
        ours = Side(
            [*TOOL, str(target), "data", "import", f"folder:{source}"],
            before=lambda number: new_bundle(target),
        )
        copy = setup.work / "copy"
        peer = Side(
            ["cp", "-r", str(source), str(copy)],
            before=lambda number: shutil.rmtree(copy, ignore_errors=True),
        )
        return ours, peer

    return make


def duplicates(name: str, images: int) -> Callable[[Setup], tuple[Side, Side]]:
    """Exact and near-duplicates, from image files to the names of those that are alike."""

    def make(setup: Setup) -> tuple[Side, Side]:
        root, hashed = new_bundle(setup.work / name), setup.output(name) / "duplicates.json"
        audited = root / ".bundle" / "audit" / "audit.json"
        # Drawn ones, whatever the other workloads run on: MedNIST's bundle has 1,800.
        tool(root, "data", "import", "synthetic", "--sample-size", str(images // 18))
        planted = plant_copies(root / "input_data")

        def look(number: int) -> None:
            if number == 0 and audited.exists() and hashed.exists():
                setup.note(name, describe_found("the audit", planted, *audited_pairs(audited)))
                setup.note(name, describe_found("the peer", planted, *hashed_pairs(hashed)))

        checks = ["--check", "copies", "--check", "near-copies"]
        ours = [*TOOL, str(root), "data", "audit", *checks]
        peer = [PYTHON, str(PEERS / "duplicates_phash.py"), str(root / "input_data"), str(hashed)]
        return Side(ours, after=look), Side(peer, after=look)

    return make


def contours(peer_script: str, epochs: int) -> Callable[[Setup], tuple[Side, Side]]:
    """Epochs of 740 images with masks; the cache is made in the first, in every run."""

    def make(setup: Setup) -> tuple[Side, Side]:
        folder, cache = setup.contours(10), setup.output("contours") / "cache.h5"
        setup.notes["contours"] = [f"the images are {setup.contour_images}"]
        ours = Side(
            [PYTHON, str(ROOT / "benchmarks" / "contour_epochs.py"), str(folder), str(epochs), str(cache)],
            before=lambda number: cache.unlink(missing_ok=True),
        )
        return ours, Side([PYTHON, str(PEERS / peer_script), str(folder), str(epochs)])

    return make


def store(images: int, on_server: bool) -> Callable[[Setup], tuple[Side, Side]]:
    """Class folders to a database, every image decoded and hashed, compared with pandas into another one."""

    def make(setup: Setup) -> tuple[Side, Side]:
        source, bundle = setup.class_folders(images), new_bundle(setup.work / "store")
        files = [setup.work / "ours.sqlite", setup.work / "peer.sqlite"]
        urls = (
            [os.environ.get("BENCHMARK_POSTGRESQL", "")] * 2
            if on_server
            else [f"sqlite:///{f}" for f in files]
        )
        if not urls[0]:
            raise Unavailable("needs BENCHMARK_POSTGRESQL=postgresql+psycopg://HOST/NAME, an empty database")

        def clear(number: int) -> None:
            engine = sa.create_engine(urls[0])
            tables = sa.MetaData()
            for path in files:
                for left in path.parent.glob(f"{path.name}*"):
                    left.unlink()
            if on_server:
                tables.reflect(engine)
                tables.drop_all(engine)
            engine.dispose()

        ingest = [*TOOL, str(bundle), "store", "ingest", f"folder:{source}", "--database", urls[0]]
        peer = [PYTHON, str(PEERS / "store_pandas.py"), str(source), urls[1]]
        return Side(ingest, before=clear), Side(peer, before=clear)

    return make


def container(setup: Setup) -> tuple[Side, Side]:
    """Inference on 6,000 images in a container, by the tool and by hand."""
    if subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        raise Unavailable("needs a Docker Engine")
    bundle = new_bundle(setup.work / "container")
    shutil.copytree(setup.bundle() / "model_output", bundle / "model_output")
    (bundle / "input_data").mkdir()
    shutil.copytree(setup.many_images(6000), bundle / "input_data" / "testing-data")
    image = re.findall(r"benchmark-inference:\w+", tool(bundle, "build", "inference"))[-1]
    out = setup.output("container")
    out.chmod(0o777)
    mounts = ["-v", f"{bundle / 'input_data' / 'testing-data'}:/mnt/in:ro", "-v", f"{out}:/mnt/out"]
    by_hand = ["docker", "run", "--rm", "--network", "none", "--read-only", "--cpus", "2", *mounts]
    ours = Side([*TOOL, str(bundle), "infer", "--runner", "docker"])
    return ours, Side([*by_hand, "-e", "OMP_NUM_THREADS=2", image])


WORKLOADS = (
    Workload("train", "train on 600 images", "MONAI script, DenseNet121, one epoch", 0.20, train),
    Workload("infer", "inference, 600 images", "eager torch, MONAI DenseNet121", 0.08, infer(600, 600)),
    Workload(
        "infer-many",
        "inference, 60,000 images, time an image",
        "eager torch, MONAI DenseNet121 (3,000 images)",
        0.10,
        infer(60_000, 3_000),
    ),
    Workload(
        "score",
        "scoring, 1,000,000 rows, with intervals",
        "pandas, scikit-learn, no intervals",
        0.5,
        score(10**6),
    ),
    Workload(
        "score-many",
        "scoring, 10,000,000 rows, with intervals",
        "pandas, scikit-learn, no intervals",
        0.5,
        score(10**7),
    ),
    Workload("zip", "`zip` of a submission with a 500 MB model", "`zip -r`", 0.5, pack),
    Workload("help", "`bundle --help`", '`python -c "import click"`', 3.0, show_help),
    Workload("run-all", "`run-all`, nothing changed", "the first `run-all`", 0.05, run_all_again),
    Workload("import", "`data import folder:`, 59,000 images", "`cp -r`", 3.0, import_folder(59_000)),
    Workload(
        "duplicates",
        "`data audit --check copies --check near-copies`, 18,000 images",
        "imagededup's PHash, all pairs, by numpy, scipy and a process a core",
        0.5,
        duplicates("duplicates", 18_000),
    ),
    Workload(
        "duplicates-many",
        "`data audit --check copies --check near-copies`, 60,000 images",
        "imagededup's PHash, all pairs, by numpy, scipy and a process a core",
        0.5,
        duplicates("duplicates-many", 60_000),
    ),
    Workload(
        "contours",
        "40 epochs of 740 DICOM images with masks, from nothing",
        "pydicom, Pillow's polygon, DataLoader with 2 workers, again in each epoch",
        0.1,
        contours("contours_pillow.py", 40),
    ),
    Workload(
        "contours-cached",
        "40 epochs of 740 DICOM images with masks, from nothing",
        "MONAI CacheDataset in memory",
        1.0,
        contours("contours_monai.py", 40),
    ),
    Workload(
        "store",
        "`store ingest`, 10,000 images, SQLite",
        "Pillow, hashlib, `DataFrame.to_sql`",
        1.0,
        store(10_000, on_server=False),
    ),
    Workload(
        "store-postgresql",
        "`store ingest`, 10,000 images, PostgreSQL",
        "Pillow, hashlib, `DataFrame.to_sql`",
        1.0,
        store(10_000, on_server=True),
    ),
    Workload(
        "container",
        "inference, 6,000 images, by `infer --runner docker`",
        "`docker run` by hand",
        1.15,
        container,
    ),
)
