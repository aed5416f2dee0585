"""Every block of the README and the documentation, run as it stands; what is left out is a closed list."""

import os
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from challenge_bundle.installation import PROJECT_ROOT
from tests.conftest import upload_folder
from tests.docs.blocks import KEYS, LANGUAGES, NEEDS, PAGES, Block, page_name, read_blocks
from tests.docs.projects import copy_project, make_template, project_environment, run_bundle

pytestmark = pytest.mark.timeout(600)

BLOCKS = {page_name(path): read_blocks(path) for path in PAGES}
WITH_RUN = [page for page, blocks in BLOCKS.items() if any(block.is_run for block in blocks)]
WITH_DOCKER = [
    page
    for page, blocks in BLOCKS.items()
    if any(block.steering.get("needs") == "docker" for block in blocks)
]

# page -> what its reader does not have yet, of what the template has.
WITHOUT: dict[str, tuple[str, ...]] = {
    "README.md": (".bundle", "input_data", "model_output", "submission_directory"),
}

# page -> the first lines of blocks that are not run; why stands in the page.
NOT_RUN = {
    "README.md": ["make test", "python tools/bundle.py wheelhouse"],
    "docs/containers.md": ["python tools/bundle.py wheelhouse"],
    "docs/organisers.md": ["python tools/bundle.py wheelhouse"],
    "docs/preparing-data.md": ["import csv, gzip"],
    "docs/participants.md": [
        ".venv/bin/tensorboard --logdir mykit/model_output/tensorboard",
        "pip download --only-binary :all: --python-version 3.11 -d bundle_inference/wheelhouse"
        " -r bundle_inference/requirements.txt",
        "python tools/bundle.py verify receipt.json --public-key public-key.pem",
    ],
}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once for all pages."""
    root = tmp_path_factory.mktemp("docs") / "template"
    make_template(root)
    return root


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A page's own project."""

    def make(page: str) -> Path:
        root = tmp_path / "project"
        copy_project(template, root, WITHOUT.get(page, ()))
        return root

    return make


def run_block(block: Block, root: Path, environment: dict[str, str]) -> None:
    """Run it with what its language names; it must end as its page says."""
    if block.language == "python":
        script = root / f"block_{uuid.uuid4().hex}.py"
        script.write_text(block.code, encoding="utf-8")
        command = [sys.executable, script.name]
    else:
        command = ["bash", "-euo", "pipefail", "-c", block.code]
    done = subprocess.run(
        command, cwd=root, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    shown = (
        f"{block.name}: status {done.returncode}\n{block.code}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    )
    assert done.returncode == int(block.steering.get("status", "0")), shown


def run_page(page: str, root: Path, request: pytest.FixtureRequest, docker: bool) -> None:
    """Run its blocks in order, with the servers that they need."""
    if docker and page in WITH_DOCKER and "BUNDLE_WHEELHOUSE" not in os.environ:
        run_bundle(root, "wheelhouse")
    for block in BLOCKS[page]:
        environment = project_environment(root)
        needs = block.steering.get("needs")
        if needs == "s3":
            environment |= request.getfixturevalue("s3_images")
        if needs == "postgresql":
            environment["BUNDLE_STORE"] = request.getfixturevalue("postgresql_url")
        if "file" in block.steering:
            path = root / block.steering["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
        elif block.is_run and (docker or needs != "docker"):
            run_block(block, root, environment)


@pytest.fixture
def s3_images(s3_server: str, template: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment that reaches `s3://bucket/images`, which holds the template's folder of images."""
    import boto3

    reached = {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in reached.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="bucket")
    upload_folder(template / "images", "bucket", "images")
    return reached


@pytest.mark.parametrize("page", WITH_RUN)
def test_the_blocks_of_a_page_run_in_order(
    page: str, project: Callable[[str], Path], request: pytest.FixtureRequest
) -> None:
    """Without an engine, those that need one are left out, and the test ends as skipped."""
    missing = ""
    if page in WITH_DOCKER:
        try:
            request.getfixturevalue("engine")
        except pytest.skip.Exception as reason:
            missing = str(reason)
    run_page(page, project(page), request, docker=not missing)
    if missing:
        pytest.skip(missing)


def test_every_block_has_a_known_language_and_known_steering() -> None:
    for blocks in BLOCKS.values():
        for block in blocks:
            assert block.language in LANGUAGES, f"{block.name}: {block.language!r}"
            assert set(block.steering) <= set(KEYS), f"{block.name}: {block.steering}"
            assert block.steering.get("needs", NEEDS[0]) in NEEDS, block.name


def test_toml_blocks_are_toml() -> None:
    for blocks in BLOCKS.values():
        for block in blocks:
            if block.language == "toml":
                tomllib.loads(block.code)


def test_the_blocks_that_are_not_run_are_these() -> None:
    left_out = {
        page: [block.first_line for block in blocks if block.steering.get("not run")]
        for page, blocks in BLOCKS.items()
    }
    assert {page: found for page, found in left_out.items() if found} == NOT_RUN


def test_a_block_that_another_test_runs_is_this() -> None:
    others = {
        (page, block.steering["run by"])
        for page, blocks in BLOCKS.items()
        for block in blocks
        if "run by" in block.steering
    }
    assert others == {("README.md", "tests/docker/test_bundle.py")}
    text = (PROJECT_ROOT / "tests" / "docker" / "test_bundle.py").read_text(encoding="utf-8")
    assert 'read_blocks(PROJECT_ROOT / "README.md")' in text
