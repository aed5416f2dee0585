"""Each bundle in examples/ goes from images to a report and a submission, with the project's Dockerfiles."""

import shutil
from pathlib import Path

import pytest

from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout
from tests.cli.test_commands import bundle

EXAMPLES = sorted(path.parent for path in (PROJECT_ROOT / "examples").glob("*/bundle.toml"))
METHODS = [path for path in EXAMPLES if (path / "bundle_training").is_dir()]
"""Those with programs of a participant of their own; own_metric has a scoring program alone."""
MADE = ("__pycache__", "input_data", "model_output", "submission_directory", "submission*.zip", ".bundle")
OWN_MODEL = "COPY model_output/ model_output/"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_goes_from_images_to_a_report_and_a_zip(example: Path, tmp_path: Path) -> None:
    layout = Layout(tmp_path / example.name)
    shutil.copytree(example, layout.root, ignore=shutil.ignore_patterns(*MADE))
    ran = bundle(layout, "run-all", "--runner", "local")
    assert ran.exit_code == 0, ran.output
    assert layout.report_html.is_file()
    packed = bundle(layout, "zip", "--team", "Examples")
    assert packed.exit_code == 0, packed.output
    assert "warning" not in packed.output
    checked = bundle(layout, "check", str(layout.submission_zip))
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize("example", METHODS, ids=lambda path: path.name)
@pytest.mark.parametrize("program", ["bundle_training", "bundle_inference"])
def test_an_examples_dockerfiles_differ_from_the_projects_in_the_model_alone(
    example: Path, program: str
) -> None:
    own, projects = ((root / program / "Dockerfile").read_text() for root in (example, PROJECT_ROOT))

    def rest(text: str) -> list[str]:
        lines = text.splitlines()
        return [line for line in lines if not line.startswith(("COPY model_output/", "#"))]

    assert rest(own) == rest(projects)
    assert (OWN_MODEL in own.splitlines()) == (program == "bundle_inference")


def test_there_are_examples() -> None:
    assert [path.name for path in EXAMPLES] == ["forest", "own_metric"]
