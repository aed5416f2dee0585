"""An evaluation that could build no submission stops at its start, and says what is missing here."""

import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from challenge_bundle.cli import main
from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.engines.docker.engine import DockerEngine
from challenge_bundle.evaluation.records import Records
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout
from challenge_bundle.sources.synthetic import SyntheticSource
from tests.models import make_graph
from tests.wheels import use_index, write_wheel

MANIFEST = '[bundle]\nname = "{name}"\n\n[evaluation]\nattempts = 1\n'

INFER = """\
import csv, os, alpha
with open("/mnt/out/classification_results.csv", "w", newline="") as out:
    rows = [(name, "Hand") for name in sorted(os.listdir("/mnt/in"))]
    csv.writer(out, lineterminator="\\n").writerows([("file", "class"), *rows])
"""

SCORE = """\
import json
names = [f"weighted_{name}" for name in ("precision", "recall", "f1")]
open("/mnt/out/scores.txt", "w").write("".join(f"{name}: 0.5\\n" for name in names))
json.dump({name: 0.5 for name in names}, open("/mnt/out/scores.json", "w"))
open("/mnt/out/detailed_results.html", "w").write("<p>")
"""

SCORING_DOCKERFILE = """\
FROM python:3.11-slim
COPY score.py /
ENTRYPOINT ["python3", "/score.py"]
"""


def say_nothing(*_: object) -> None:
    """A callback for tests that do not look at it."""


@pytest.fixture
def layout(
    engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Layout]:
    """A bundle whose inference program needs a package of ours, with an index that has it."""
    monkeypatch.delenv("BUNDLE_WHEELHOUSE", raising=False)
    name = f"wheels-{os.getpid()}"
    made = Layout(tmp_path / "bundle")
    made.root.mkdir()
    made.manifest.write_text(MANIFEST.format(name=name))
    inference, scoring = made.root / "bundle_inference", made.root / "scoring_program"
    for folder in (inference, scoring):
        folder.mkdir()
    shutil.copy(PROJECT_ROOT / "bundle_inference" / "Dockerfile", inference)
    (inference / "infer.py").write_text(INFER)
    (inference / "requirements.txt").write_text("alpha==1.0\n")
    (scoring / "Dockerfile").write_text(SCORING_DOCKERFILE)
    (scoring / "score.py").write_text(SCORE)
    import_images(SyntheticSource(), ImportRequest(sample_size=1), made, say_nothing)
    use_index(tmp_path / "index", monkeypatch)
    yield made
    for image in engine.client.images.list():
        for tag in image.tags:
            if tag.startswith(name):
                engine.client.images.remove(tag, force=True)


def put(layout: Layout, name: str) -> None:
    """A submission as `zip` makes it."""
    folder = layout.root / "zips"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
        for file in ("infer.py", "requirements.txt"):
            archive.write(layout.root / "bundle_inference" / file, f"bundle_inference/{file}")
        archive.write(layout.root / "bundle_inference" / "Dockerfile", "Dockerfile")
        archive.writestr("model_output/model.json", CARD)
        archive.writestr("model_output/best_metric_model.onnx", make_graph())
        archive.writestr("bundle_inference/whose.txt", name)


CARD = (
    '{"class_names": ["CXR", "Hand"], "input": {"channels": 1, "height": 8, "width": 8,'
    ' "mean": [0.5], "standard_deviation": [0.2]}}'
)


def evaluate(layout: Layout) -> Result:
    return CliRunner().invoke(
        main, ["--bundle", str(layout.root), "evaluate", "--workers", "1", str(layout.root / "zips")]
    )


def states(layout: Layout) -> list[tuple[str, str, int]]:
    records = Records(f"sqlite:///{layout.evaluation / 'records.sqlite'}")
    try:
        return [(row.submission.team, row.state, row.attempts) for row in records.rows()]
    finally:
        records.close()


def test_the_wheelhouse_is_filled_and_used_without_being_told(layout: Layout, tmp_path: Path) -> None:
    write_wheel(tmp_path / "index", "alpha")
    put(layout, "A__m")
    first = evaluate(layout)
    assert first.exit_code == 0, first.output
    assert "bundle_inference: there are none; downloading" in first.output
    assert states(layout) == [("A", "scored", 0)]

    # What is there is neither downloaded nor built again.
    shutil.rmtree(tmp_path / "index")
    put(layout, "B__m")
    second = evaluate(layout)
    assert second.exit_code == 0, second.output
    assert "downloading" not in second.output
    assert states(layout) == [("A", "scored", 0), ("B", "scored", 0)]


def test_without_wheels_nobody_is_blamed(layout: Layout, tmp_path: Path) -> None:
    put(layout, "A__m")
    (tmp_path / "index").mkdir()
    stopped = evaluate(layout)
    assert stopped.exit_code == 4, stopped.output
    assert "No matching distribution found for alpha==1.0" in stopped.output
    assert "this bundle's own submission cannot be built" in stopped.output
    assert "`wheelhouse --program inference`" in stopped.output
    assert states(layout) == []
    write_wheel(tmp_path / "index", "alpha")
    filled = CliRunner().invoke(main, ["--bundle", str(layout.root), "wheelhouse", "--program", "inference"])
    assert filled.exit_code == 0, filled.output
    assert "bundle_inference: 1 wheels" in filled.output
    shutil.rmtree(tmp_path / "index")
    assert evaluate(layout).exit_code == 0
    assert states(layout) == [("A", "scored", 0)]


def test_without_its_base_image_nobody_is_blamed(layout: Layout, tmp_path: Path) -> None:
    write_wheel(tmp_path / "index", "alpha")
    manifest = layout.manifest.read_text()
    layout.manifest.write_text(manifest.replace("[eval", 'base_image = "127.0.0.1:1/python:3.11"\n[eval'))
    put(layout, "A__m")
    stopped = evaluate(layout)
    assert stopped.exit_code == 4, stopped.output
    assert "docker pull 127.0.0.1:1/python:3.11" in stopped.output
    assert states(layout) == []


def test_limits_that_the_baseline_overruns_are_the_organisers(layout: Layout, tmp_path: Path) -> None:
    write_wheel(tmp_path / "index", "alpha")
    layout.manifest.write_text(layout.manifest.read_text() + "image_mb = 100\n")
    put(layout, "A__m")
    stopped = evaluate(layout)
    assert stopped.exit_code == 4, stopped.output
    assert "raise 'evaluation.image_mb'" in stopped.output
    assert states(layout) == []


def test_a_build_without_a_network_takes_wheels(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this machine's pip reaches, the engine's builds may not: then its wheels are taken."""
    write_wheel(tmp_path / "index", "alpha")
    scoring = layout.root / "scoring_program"
    shutil.copy(PROJECT_ROOT / "scoring_program" / "Dockerfile", scoring)
    (scoring / "requirements.txt").write_text("alpha==1.0\n")
    for name in ("metrics.py", "detailed_results.html.j2", "findings.json", "interval_notes.json"):
        (scoring / name).touch()
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    built = CliRunner().invoke(main, ["--bundle", str(layout.root), "build", "scoring"])
    assert built.exit_code == 0, built.output
    assert "the build has no network; building from wheels that this machine gets" in built.output
    assert "scoring built in" in " ".join(built.output.split())
    shutil.rmtree(tmp_path / "index")
    (scoring / "score.py").write_text(SCORE + "# changed\n")
    again = CliRunner().invoke(main, ["--bundle", str(layout.root), "build", "scoring"])
    assert again.exit_code == 0, again.output
    assert "no network" not in again.output

    (scoring / "requirements.txt").write_text("alpha==2.0\n")
    refused = CliRunner().invoke(main, ["--bundle", str(layout.root), "build", "scoring"])
    assert refused.exit_code == 3, refused.output
    assert "the requirements have changed, and pip cannot get all wheels" in refused.output
    assert "run `wheelhouse --program scoring`" in refused.output
