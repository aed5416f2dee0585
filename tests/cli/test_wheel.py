"""The wheel: what is in it, and that it works in any folder, with nothing of the checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout
from challenge_bundle.new_bundle import program_files

SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "tools")
Run = Callable[..., "subprocess.CompletedProcess[str]"]

WRONG = "raise SystemExit('a package named tools was imported')\n"
BUILD = "import sys; from setuptools import build_meta; print(build_meta.{}(sys.argv[1]))"


def build(folder: Path, kind: str, target: Path) -> Path:
    """Build a wheel or an sdist of a folder, without a network."""
    command = [sys.executable, "-c", BUILD.format(f"build_{kind}"), str(target)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def below(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git has: a build leaves folders behind."""
    folder = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*cache")
    for name in SOURCES:
        if (PROJECT_ROOT / name).is_dir():
            shutil.copytree(PROJECT_ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copyfile(PROJECT_ROOT / name, folder / name)
    for name in program_files():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(PROJECT_ROOT / name, folder / name)
    # What an image build and the tests leave there.
    for name in ("wheelhouse/torch.whl", "__pycache__/train.pyc", ".mypy_cache/x.json"):
        (folder / "bundle_training" / name).parent.mkdir()
        (folder / "bundle_training" / name).touch()
    return folder


@pytest.fixture(scope="session")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(checkout, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages: this one, and somebody's `tools`."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", str(folder), str(wheel)], check=True)
    (folder / "tools").mkdir()
    (folder / "tools" / "__init__.py").write_text(WRONG)
    return folder


@pytest.fixture
def run(site: Path) -> Run:
    """Run the installed command beside a package named tools; it may write nothing where it lies."""

    def call(cwd: Path, *words: str) -> "subprocess.CompletedProcess[str]":
        before = below(site)
        (cwd / "tools").mkdir(exist_ok=True)
        (cwd / "tools" / "__init__.py").write_text(WRONG)
        done = subprocess.run(
            [sys.executable, *words],
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert below(site) == before
        return done

    return lambda cwd, *words: call(cwd, str(site / "bin" / "bundle"), *words)


def expected_names() -> set[str]:
    package = PROJECT_ROOT / "tools" / "challenge_bundle"
    own = {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return own | {f"challenge_bundle/programs/{name}" for name in program_files()}


def test_the_wheel_holds_the_package_and_the_programs_and_nothing_else(wheel: Path) -> None:
    found = {name for name in names_in(wheel) if ".dist-info/" not in name}
    assert found == expected_names()
    assert {name.partition("/")[0] for name in found} == {"challenge_bundle"}
    programs = {name.removeprefix("challenge_bundle/programs/") for name in found if "/programs/" in name}
    # Each is built from them, and the inference image from the folder above, whose .dockerignore counts.
    assert {
        ".dockerignore",
        "bundle_inference/Dockerfile",
        "bundle_inference/requirements.txt",
        "bundle_training/.dockerignore",
        "bundle_training/program.toml",
        "scoring_program/detailed_results.html.j2",
        "scoring_program/metadata",
    } <= programs


def test_an_sdist_gives_the_same_wheel(checkout: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build(checkout, "sdist", tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert names_in(build(unpacked, "wheel", tmp_path)) == names_in(wheel)


@pytest.mark.slow
def test_run_all_ends_with_a_report_where_there_is_no_manifest(run: Run, filled_layout: Layout) -> None:
    filled_layout.manifest.unlink()
    refused = run(filled_layout.root, "train", "--runner", "local")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Error: {filled_layout.manifest}: not found; ")
    assert "`bundle new .`" in refused.stderr

    done = run(filled_layout.root, "run-all", "--runner", "local", "--", "--epochs", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "wrote bundle.toml, for there was none: a bundle named 'bundle'" in done.stdout
    assert filled_layout.report_html.is_file()
    assert "report: submission_directory/output/report.html" in done.stdout


@pytest.mark.slow
def test_a_new_bundle_runs_and_its_programs_can_be_changed(run: Run, tmp_path: Path) -> None:
    made = run(tmp_path, "new", "Chest X-rays", "--title", 'A "new" one')
    assert (made.returncode, made.stderr) == (0, "")
    assert "bundle --bundle 'Chest X-rays' run-all" in made.stdout
    root = tmp_path / "Chest X-rays"
    manifest = (root / "bundle.toml").read_text()
    (root / "bundle.toml").write_text(manifest.replace("sample_size = 100", "sample_size = 4"))
    infer = root / "bundle_inference" / "infer.py"
    infer.write_text(
        infer.read_text().replace(
            'if __name__ == "__main__":', 'if __name__ == "__main__":\n    print("mine")'
        )
    )
    done = run(tmp_path, "--bundle", "Chest X-rays", "run-all", "--runner", "local", "--", "--epochs", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "mine" in done.stdout
    assert Layout(root).report_html.is_file()


def test_the_tool_outside_of_a_checkout_names_packages_and_not_make(run: Run, tmp_path: Path) -> None:
    done = run(tmp_path, "train", "--bundle", "x")
    assert done.returncode == 2
    assert "bundle --bundle x train" in done.stderr
    assert "bundle.py" not in done.stderr
