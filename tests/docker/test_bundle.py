"""The whole bundle in containers: by the tool, by hand as the README types it, and from the zip."""

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
import zipfile
from pathlib import Path

import pytest

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.engines.base import OnLine
from challenge_bundle.engines.docker.container import OWNER_LABEL
from challenge_bundle.engines.docker.engine import DockerEngine
from challenge_bundle.engines.local import LocalEngine
from challenge_bundle.errors import ProgramError
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout
from challenge_bundle.runs.programs import (
    INFERENCE,
    PROGRAMS,
    SCORING,
    TRAINING,
    Program,
    build_image,
    plan_run,
    run_program,
)
from challenge_bundle.settings import read_manifest
from challenge_bundle.sources.synthetic import SyntheticSource
from challenge_bundle.submission.pack import pack_submission
from tests.conftest import MANIFEST
from tests.docs.blocks import read_blocks

pytestmark = pytest.mark.timeout(600)

FOLDERS = [program.folder for program in PROGRAMS.values()]
BUNDLE = [sys.executable, str(PROJECT_ROOT / "tools" / "bundle.py"), "--bundle"]


def say_nothing(*_: object) -> None:
    """A callback for tests that do not look at it."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A checkout of its own with images, and a model trained as a plain process."""
    layout = Layout(tmp_path_factory.mktemp("checkout"))
    layout.manifest.write_text(MANIFEST)
    for name in (*FOLDERS, ".dockerignore"):
        source, target = PROJECT_ROOT / name, layout.root / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".mypy_cache"))
        else:
            shutil.copy(source, target)
    import_images(SyntheticSource(), ImportRequest(sample_size=4), layout, say_nothing)
    run_program(TRAINING, read_manifest(layout.manifest), layout, LocalEngine(), (), say_nothing)
    return layout


@pytest.fixture(scope="module")
def by_processes(bundle: Layout) -> dict[str, bytes]:
    """What the plain processes make of that model."""
    for program in (INFERENCE, SCORING):
        run_program(program, read_manifest(bundle.manifest), bundle, LocalEngine(), (), say_nothing)
    return written(bundle)


def written(layout: Layout) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in (layout.results_csv, layout.scoring_output / "scores.txt")
    }


def test_containers_write_the_same_bytes(
    bundle: Layout, by_processes: dict[str, bytes], engine: DockerEngine
) -> None:
    shutil.rmtree(bundle.results_dir)
    for program in (INFERENCE, SCORING):
        run_program(program, read_manifest(bundle.manifest), bundle, engine, (), say_nothing)
    assert written(bundle) == by_processes


@pytest.mark.parametrize(
    ("program", "limit_mb"), [(INFERENCE, 450), (SCORING, 600)], ids=["inference", "scoring"]
)
def test_images_are_small(program: Program, limit_mb: int, bundle: Layout, engine: DockerEngine) -> None:
    tag = build_image(engine, program, read_manifest(bundle.manifest), bundle, say_nothing)
    assert engine.client.images.get(tag).attrs["Size"] < limit_mb * 10**6


def layers_of(engine: DockerEngine, tag: str) -> list[str]:
    layers: list[str] = engine.client.images.get(tag).attrs["RootFS"]["Layers"]
    return layers


def test_what_is_unchanged_is_not_built_again(bundle: Layout, engine: DockerEngine) -> None:
    def build(on_line: OnLine) -> str:
        return build_image(engine, SCORING, read_manifest(bundle.manifest), bundle, on_line)

    first: list[str] = []
    tag = build(first.append)
    layers = layers_of(engine, tag)
    again: list[str] = []
    assert build(again.append) == tag
    assert again[-1] == "unchanged, not built again"

    changed = bundle.program_dir("scoring_program") / "score.py"
    original = changed.read_text()
    try:
        changed.write_text(f"{original}# {uuid.uuid4()}\n")
        rebuilt: list[str] = []
        new_tag = build(rebuilt.append)
        # The packages are a layer of their own, which is not installed again; the last one is the program.
        new_layers = layers_of(engine, new_tag)
        assert (new_layers[:-1], len(new_layers)) == (layers[:-1], len(layers))
        assert new_tag != tag
        assert new_layers[-1] != layers[-1]
        assert rebuilt[-1].startswith("built in")
    finally:
        changed.write_text(original)


def test_a_build_that_fails_shows_where(tmp_path: Path, bundle: Layout, engine: DockerEngine) -> None:
    (tmp_path / "Dockerfile").write_text(
        "ARG BASE_IMAGE=python:3.11-slim\nFROM ${BASE_IMAGE}\nRUN echo the last words; exit 7\n"
    )
    broken = Layout(tmp_path)
    shutil.copy(bundle.manifest, broken.manifest)
    (tmp_path / "scoring_program").mkdir()
    shutil.move(tmp_path / "Dockerfile", tmp_path / "scoring_program")
    with pytest.raises(ProgramError, match="tiny-scoring cannot be built: .*code: 7 .at Step 3/") as caught:
        build_image(engine, SCORING, read_manifest(broken.manifest), broken, say_nothing)
    assert "the last words" in caught.value.details


def test_the_six_commands_as_typed(
    bundle: Layout, by_processes: dict[str, bytes], engine: DockerEngine
) -> None:
    with_wheels(bundle.root)
    (block,) = [block for block in read_blocks(PROJECT_ROOT / "README.md") if "run by" in block.steering]
    commands = block.code
    if "BUNDLE_WHEELHOUSE" not in os.environ:
        commands = commands.replace(
            "Dockerfile -t mine:training", "Dockerfile --build-arg TORCH_BACKEND=cpu -t mine:training"
        )
    for folder in (bundle.model_output, bundle.results_dir, bundle.scoring_output):
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        folder.chmod(0o755)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=bundle.root,
        env=legacy_builder(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert {path.name for path in bundle.model_output.iterdir()} >= {"best_metric_model.onnx", "history.csv"}
    assert written(bundle).keys() == by_processes.keys()
    assert written(bundle)["scores.txt"].startswith(b"weighted_precision: ")


def test_the_zip_as_a_platform_runs_it(
    bundle: Layout, by_processes: dict[str, bytes], engine: DockerEngine, tmp_path: Path
) -> None:
    pack_submission(bundle, bundle.submission_zip)
    unpacked, out = tmp_path / "elsewhere", tmp_path / "out"
    with zipfile.ZipFile(bundle.submission_zip) as archive:
        archive.extractall(unpacked)
    out.mkdir()
    out.chmod(0o777)
    with_wheels(unpacked)
    subprocess.run(
        ["docker", "build", "-q", "-t", "elsewhere", "."], cwd=unpacked, env=legacy_builder(), check=True
    )
    run_program(INFERENCE, read_manifest(bundle.manifest), bundle, LocalEngine(), (), say_nothing)
    mounts = ["-v", f"{bundle.testing_data}:/mnt/in:ro", "-v", f"{out}:/mnt/out"]
    subprocess.run(
        ["docker", "run", "--rm", "--network", "none", "--read-only", *mounts, "elsewhere"], check=True
    )
    assert (out / "classification_results.csv").read_bytes() == bundle.results_csv.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda number: number.name)
def test_no_container_outlives_the_tool_for_long(
    number: signal.Signals, tmp_path: Path, bundle: Layout, engine: DockerEngine
) -> None:
    sleeper = Layout(tmp_path)
    shutil.copy(bundle.manifest, sleeper.manifest)
    shutil.copytree(bundle.testing_data, sleeper.testing_data)
    sleeper.model_output.mkdir()
    for name in ("best_metric_model.onnx", "model.json"):
        shutil.copy(bundle.model_output / name, sleeper.model_output)
    program = tmp_path / "bundle_inference"
    program.mkdir()
    (program / "Dockerfile").write_text(
        "ARG BASE_IMAGE=python:3.11-slim\nFROM ${BASE_IMAGE}\n"
        'ENTRYPOINT ["python3", "-c", "import time; time.sleep(300)"]\n'
    )
    owner = plan_run(INFERENCE, read_manifest(sleeper.manifest), sleeper, ()).owner
    # Sparse: the list alone, for one that is gone by then cannot be looked at.
    found = {"all": True, "filters": {"label": f"{OWNER_LABEL}={owner}"}, "sparse": True}
    command = [*BUNDLE, str(tmp_path), "infer", "--runner", "docker"]
    with subprocess.Popen(command, preexec_fn=heed_interrupts) as process:
        wait_until(lambda: engine.client.containers.list(filters=found["filters"], sparse=True))
        process.send_signal(number)
        process.wait(timeout=30)
    left = engine.client.containers.list(**found)
    assert len(left) == (1 if number == signal.SIGKILL else 0)

    next_run = subprocess.Popen(command, preexec_fn=heed_interrupts)
    with next_run as process:
        wait_until(
            lambda: (
                {c.id for c in engine.client.containers.list(filters=found["filters"], sparse=True)}
                - {c.id for c in left}
            )
        )
        assert not {c.id for c in left} & {c.id for c in engine.client.containers.list(**found)}
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    assert engine.client.containers.list(**found) == []


def heed_interrupts() -> None:
    """Undo what a shell does to a job in the background, and with it to all that the job starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def with_wheels(root: Path) -> None:
    """Put the wheels, if there are any, where the Dockerfiles look for them."""
    if wheelhouse := os.environ.get("BUNDLE_WHEELHOUSE"):
        for folder in FOLDERS:
            if (root / folder).is_dir():
                shutil.copytree(Path(wheelhouse) / folder, root / folder / "wheelhouse", dirs_exist_ok=True)


def legacy_builder() -> dict[str, str]:
    """The environment for `docker build`: BuildKit only where the client has it."""
    plugins = subprocess.run(["docker", "buildx", "version"], capture_output=True)
    return {**os.environ, "DOCKER_BUILDKIT": "1" if plugins.returncode == 0 else "0"}


def wait_until(condition) -> None:
    """Wait for something to be so, for a minute at most."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
