"""From the organiser's kit to a zip with a team: `kit`, `zip --team`, `check`."""

import shutil
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from challenge_bundle.cli import main
from challenge_bundle.evaluation.intake import take_in
from challenge_bundle.formats.kit_json import Kit, kit_text, read_kit
from challenge_bundle.layout import Layout
from challenge_bundle.settings import SubmissionSettings
from tests.unit.test_pack import fill
from tests.wheels import use_index, write_wheel

MANIFEST = '[bundle]\nname = "tiny"\nclass_names = ["CXR", "Hand"]\n'
OVER = '\n[[phases]]\nname = "first"\ncloses = 2020-01-01T00:00:00Z\n'
COMING = '\n[[phases]]\nname = "next"\nopens = 2999-01-01T00:00:00Z\n'


def bundle(layout: Layout, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["--bundle", str(layout.root), *map(str, arguments)])


@pytest.fixture
def trained(tmp_path: Path) -> Layout:
    made = fill(tmp_path / "participant")
    made.manifest.write_text(MANIFEST)
    return made


def give_kit(layout: Layout) -> None:
    """What makes a folder a kit's: nothing is known to be lacking."""
    (layout.root / "kit.json").write_text(kit_text(Kit(None, base_image="python:3.11-slim")))


def test_a_zip_says_whose_it_is(trained: Layout, tmp_path: Path) -> None:
    names = ("--team", 'Zoë\'s "team"', "--method", "net 1")
    made = bundle(trained, "zip", *names)
    assert made.exit_code == 0, made.output
    first = trained.submission_zip.read_bytes()
    with zipfile.ZipFile(trained.submission_zip) as archive:
        assert archive.namelist()[-1] == "submission.toml"
        assert archive.read("submission.toml").decode() == 'team = "Zoë\'s \\"team\\""\nmethod = "net 1"\n'
    taken = take_in(trained.submission_zip, tmp_path / "zips", SubmissionSettings())
    assert (taken.team, taken.method) == ('Zoë\'s "team"', "net 1")
    bundle(trained, "zip", *names, "--output", tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == first
    # What is not said is not remembered: a zip holds what is asked for and what lies there.
    bundle(trained, "zip")
    with zipfile.ZipFile(trained.submission_zip) as archive:
        assert "submission.toml" not in archive.namelist()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--team", ""], "--team would be shown as ''"),
        (["--team", "x" * 65], "give a name of up to 64 visible characters"),
        (["--team", "a\u200bb"], "--team would be shown as 'ab'"),
        (["--team", "a", "--method", "\u034f"], "--method would be shown as ''"),
        (["--method", "m"], "--method needs --team"),
    ],
)
def test_names_that_would_be_shown_otherwise(trained: Layout, arguments: list[str], word: str) -> None:
    refused = bundle(trained, "zip", *arguments)
    assert refused.exit_code == 2
    assert word in refused.output
    assert not trained.submission_zip.exists()


def test_check_says_what_evaluate_would_of_the_team(trained: Layout) -> None:
    bundle(trained, "zip")
    elsewhere = bundle(trained, "check", trained.submission_zip)
    assert elsewhere.exit_code == 0
    assert "warning: submission.zip: the submission names no team" in elsewhere.output
    assert "by what is known here" in elsewhere.output

    give_kit(trained)
    refused = bundle(trained, "check", trained.submission_zip)
    assert refused.exit_code == 1
    assert (
        'error: submission.zip: the submission names no team; make it with `zip --team "YOUR TEAM"`'
        in refused.output
    )
    assert bundle(trained, "zip").exit_code == 1

    named = trained.submission_zip.with_name("My team__net.zip")
    shutil.copy(trained.submission_zip, named)
    assert bundle(trained, "check", named).exit_code == 0
    made = bundle(trained, "zip", "--team", "My team")
    assert made.exit_code == 0, made.output
    good = bundle(trained, "check", trained.submission_zip)
    assert good.exit_code == 0
    assert good.output == "submission.zip: good, nothing in it would be refused (by the rules of the kit)\n"


@pytest.mark.parametrize(
    ("phases", "word"),
    [
        ("", ""),
        (OVER, "all phases are over"),
        (OVER + COMING, "no phase is open now; send it after 2999-01-01 00:00 UTC"),
    ],
)
def test_check_says_when_no_phase_is_open(trained: Layout, phases: str, word: str) -> None:
    give_kit(trained)
    trained.manifest.write_text(MANIFEST + phases)
    bundle(trained, "zip", "--team", "A")
    checked = bundle(trained, "check", trained.submission_zip)
    assert checked.exit_code == 0
    assert word in checked.output
    assert ("warning" in checked.output) == bool(word)


def test_limits_of_the_kit_are_checked(trained: Layout) -> None:
    give_kit(trained)
    assert bundle(trained, "zip", "--team", "A").exit_code == 0
    trained.manifest.write_text(MANIFEST + "[submission]\nfiles = 6\n")
    checked = bundle(trained, "check", trained.submission_zip)
    assert checked.exit_code == 1
    assert "expected at most 6 files, but got more" in checked.output
    trained.manifest.write_text(MANIFEST + "[submission]\nfiles = 7\n")
    assert bundle(trained, "check", trained.submission_zip).exit_code == 0


def test_the_kit_tells_what_can_be_installed(
    filled_layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BUNDLE_WHEELHOUSE", raising=False)
    program = filled_layout.root / "bundle_inference"
    program.mkdir()
    (program / "Dockerfile").write_text("FROM python:3.11-slim\n")
    (program / "requirements.txt").write_text("alpha==1.0\n")
    use_index(tmp_path / "index", monkeypatch)
    (tmp_path / "index").mkdir()
    alone = bundle(filled_layout, "kit", tmp_path / "kit")
    assert alone.exit_code == 4
    assert "run `wheelhouse --program inference`" in alone.output
    assert not (tmp_path / "kit").exists()

    write_wheel(tmp_path / "index", "alpha")
    made = bundle(filled_layout, "kit", tmp_path / "kit")
    assert made.exit_code == 0, made.output
    assert "78 files); submissions are built with 1 packages" in made.output
    kit = read_kit(tmp_path / "kit" / "kit.json")
    assert kit is not None
    assert list(map(str, kit.wheels or ())) == ["alpha==1.0"]
    assert (kit.python_version, kit.base_image) == ("3.11", "python:3.11-slim")
    assert not list((tmp_path / "kit").rglob("*.whl"))

    manifest = filled_layout.manifest
    manifest.write_text(manifest.read_text() + "\n[evaluation]\nbuild_network = true\n")
    shutil.rmtree(filled_layout.wheelhouse)
    shutil.rmtree(tmp_path / "index")
    online = bundle(filled_layout, "kit", tmp_path / "kit.zip")
    assert online.exit_code == 0, online.output
    assert "submissions are built with a network" in online.output
