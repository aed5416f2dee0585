"""A participant's own programs in containers: their modules, settings and pickled model are in the images."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from challenge_bundle.engines.docker.engine import DockerEngine
from challenge_bundle.engines.local import LocalEngine
from challenge_bundle.layout import Layout
from challenge_bundle.runs.programs import INFERENCE, TRAINING, Program, build_image, run_program
from challenge_bundle.settings import read_manifest
from tests.forests import write_forest_programs

pytestmark = pytest.mark.timeout(600)


def say_nothing(*_: object) -> None:
    """A callback for tests that do not look at it."""


@pytest.fixture(scope="module")
def runner(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerEngine]:
    """An engine that builds from wheels of scikit-learn and Pillow, where wheels are what there is."""
    if "BUNDLE_WHEELHOUSE" not in os.environ:
        yield engine
        return
    wheelhouse = tmp_path_factory.mktemp("wheelhouse")
    for folder in ("bundle_training", "bundle_inference"):
        shutil.copytree(Path(os.environ["BUNDLE_WHEELHOUSE"]) / "scoring_program", wheelhouse / folder)
        for wheel in (Path(os.environ["BUNDLE_WHEELHOUSE"]) / "bundle_inference").glob("pillow-*"):
            shutil.copy(wheel, wheelhouse / folder)
    yield DockerEngine(engine.client, engine.description, engine.host, wheelhouse)


def run(program: Program, layout: Layout, runner: DockerEngine | LocalEngine) -> list[str]:
    lines: list[str] = []
    run_program(program, read_manifest(layout.manifest), layout, runner, (), lines.append)
    return lines


def files_in(program: Program, layout: Layout, runner: DockerEngine) -> list[str]:
    """The files of a program's image, its packages left out."""
    tag = build_image(runner, program, read_manifest(layout.manifest), layout, say_nothing)
    folder = f"/opt/{program.name}"
    found = runner.client.containers.run(tag, entrypoint=["find", folder, "-type", "f"], remove=True)
    return sorted(line.removeprefix(f"{folder}/") for line in found.decode().splitlines())


def test_a_random_forest_from_training_to_predictions(filled_layout: Layout, runner: DockerEngine) -> None:
    write_forest_programs(filled_layout.root)
    manifest = filled_layout.manifest
    manifest.write_text(manifest.read_text().partition("[training]")[0])  # its train.py takes no options
    for name in (".env", "__pycache__/features.pyc"):
        for folder in ("bundle_training", "bundle_inference"):
            (filled_layout.root / folder / name).parent.mkdir(exist_ok=True)
            (filled_layout.root / folder / name).write_text("no part of a program")

    said = run(TRAINING, filled_layout, runner)
    assert "wrote forest/trees.pkl: 20 trees" in said
    assert (filled_layout.model_output / "notes.txt").read_text() == "20 trees"
    run(INFERENCE, filled_layout, runner)
    in_container = filled_layout.results_csv.read_text()
    assert len(in_container.splitlines()) == 25

    run(INFERENCE, filled_layout, LocalEngine())
    assert filled_layout.results_csv.read_text() == in_container
    assert files_in(TRAINING, filled_layout, runner) == [
        "Dockerfile",  # the engine's copy: this folder has no .dockerignore
        "features.py",
        "program.toml",
        "requirements.txt",
        "settings.json",
        "train.py",
    ]
    assert files_in(INFERENCE, filled_layout, runner) == [
        "bundle_inference/features.py",
        "bundle_inference/infer.py",
        "bundle_inference/requirements.txt",
        "model_output/forest/trees.pkl",
        "model_output/model.json",
        "model_output/notes.txt",
    ]
