"""The command line as a person uses it."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from challenge_bundle.cli import main
from challenge_bundle.dataset.fill import fill_if_empty
from challenge_bundle.display import TerminalDisplay
from challenge_bundle.files import write_csv
from challenge_bundle.formats.reference import read_reference
from challenge_bundle.installation import PROJECT_ROOT, default_root
from challenge_bundle.layout import Layout
from challenge_bundle.runs.programs import may_be_of_other_data
from challenge_bundle.settings import read_manifest
from tests.audits import find, sound_rows
from tests.conftest import write_image
from tests.csv_faults import FAULTS
from tests.dicoms import circle, contour_path, write_contour, write_linked

DOCUMENTED = "".join(path.read_text(encoding="utf-8") for path in (PROJECT_ROOT / "docs").rglob("*.md"))
HEADER = ("file", "class")
HEAVY = (
    "numpy",
    "PIL",
    "docker",
    "matplotlib",
    "jinja2",
    "requests",
    "sklearn",
    "scipy",
    "torch",
    "onnxruntime",
    "tomllib",
    "filelock",
    "pydicom",
    "h5py",
)


def bundle(layout: Layout, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--bundle", str(layout.root), *arguments])


def commands(group: click.Group = main, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        found.append((*prefix, name))
        if isinstance(command, click.Group):
            found += commands(command, (*prefix, name))
    return found


@pytest.mark.parametrize("command", [(), *commands()], ids=" ".join)
def test_every_command_has_help_and_stands_in_the_documentation(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 4
    assert "bundle.py " + " ".join(command) in DOCUMENTED


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, runpy; sys.argv = ['tools/bundle.py', 'run-all', '--help']\n"
        "try: runpy.run_path('tools/bundle.py', run_name='__main__')\n"
        f"except SystemExit: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert "--runner" in done.stdout
    assert done.stderr.strip() == "[]"


def test_as_a_script_from_anywhere(tmp_path: Path) -> None:
    script = PROJECT_ROOT / "tools" / "bundle.py"
    done = subprocess.run(
        [sys.executable, str(script), "--version"], cwd=tmp_path, capture_output=True, check=True
    )
    assert re.fullmatch(rb"\d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize("has_bundle", [True, False])
def test_the_current_folders_bundle_is_the_default(
    has_bundle: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if has_bundle:
        (tmp_path / "bundle.toml").write_text('[bundle]\nname = "here"\n')
    monkeypatch.chdir(tmp_path)
    assert default_root() == (tmp_path if has_bundle else PROJECT_ROOT)


def test_doctor(layout: Layout) -> None:
    result = bundle(layout, "doctor")
    assert result.exit_code == 0, result.output
    for subject in ("Python", "packages for `train`", "Docker Engine", "GPU", "free disk"):
        assert subject in result.output


@pytest.mark.parametrize(
    ("arguments", "status", "code", "location", "words"),
    [
        (("data", "import", "nowhere:x"), 1, "unknown-source", "", "synthetic, mednist, folder:PATH"),
        (("data", "import", "folder:/no/such"), 1, "folder-not-found", "/no/such", "no such folder"),
        (("data", "import", "--keep-splits"), 1, "no-splits-to-keep", "", "no import is known here"),
        (("data", "import", "dicom:/no/such"), 1, "folder-not-found", "/no/such", "no such folder"),
        (("data", "contact-sheet", "/tmp", "--output", "a.pdf"), 1, "sheet-suffix", "a.pdf", "a.pdf"),
        (
            ("train", "--runner", "local"),
            1,
            "input-missing",
            "training_solution.csv",
            "training reads it; run `data import`",
        ),
        (("infer", "--runner", "local"), 1, "input-missing", "testing-data", "inference reads it"),
        (("score", "--runner", "local"), 1, "input-missing", "testing_solution.csv", "scoring reads it"),
        (("report",), 1, "nothing-to-report", "output", "run `run-all`"),
        (("zip",), 1, "input-missing", "testing-data", "inference reads it"),
        (("check", "none.zip"), 1, "no-such-file", "none.zip", "no such file"),
        (("check", "none.csv"), 1, "no-such-file", "none.csv", "no such file"),
    ],
)
def test_failures_are_one_sentence_with_the_right_status(
    arguments: tuple[str, ...], status: int, code: str, location: str, words: str, layout: Layout
) -> None:
    result = bundle(layout, *arguments)
    assert result.exit_code == status, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert location in line
    assert words in line
    assert "Traceback" not in result.output

    as_json = bundle(layout, *arguments, "--json")
    assert as_json.exit_code == status
    error = json.loads(as_json.stdout)["error"]
    assert (error["code"], error["location"].endswith(location)) == (code, True)
    assert error["message"] in line


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (
            ("data", "import", "--keep-names", "--new-names"),
            "--keep-names and --new-names contradict each other",
        ),
        (("train", "--no-such-option"), "Options of the program itself follow after --."),
        (("run-all", "--runner", "podman"), "Invalid value for '--runner'"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...], word: str, layout: Layout) -> None:
    result = bundle(layout, *arguments)
    assert (result.exit_code, word in result.stderr, "Traceback" in result.output) == (2, True, False)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("leaderboard --bundle /b", "--bundle /b leaderboard"),
        ("data import synthetic --bundle=/b --seed 3", "--bundle=/b data import synthetic --seed 3"),
        (
            "train --bundle '/a b' --runner local -- --epochs 2",
            "--bundle '/a b' train --runner local -- --epochs 2",
        ),
        ("zip --version", "--version zip"),
        ("--bundle . check a.zip --bundle /b", "--bundle . --bundle /b check a.zip"),
    ],
)
def test_an_option_of_the_tool_after_the_command_is_shown_its_place(words: str, hint: str) -> None:
    result = CliRunner().invoke(main, shlex.split(words))
    assert result.exit_code == 2
    option = shlex.split(hint)[0 if not words.startswith("--") else 2].partition("=")[0]
    assert f"Error: {option} stands before the command: python tools/bundle.py {hint}\n" in result.output


def test_a_faulty_manifest_ends_in_its_line(layout: Layout) -> None:
    layout.manifest.write_text('[bundle]\nname = "tiny"\nclasses = 3\n')
    result = bundle(layout, "run-all", "--runner", "local")
    assert result.exit_code == 1
    assert "bundle.toml:3: 'bundle.classes' is not a setting; write class_names" in result.output


def test_a_program_that_fails_is_named_with_what_it_said(filled_layout: Layout) -> None:
    result = bundle(filled_layout, "train", "--runner", "local", "--", "--epochs", "0")
    assert result.exit_code == 3
    assert re.search(
        r"Error: training failed \(exit status 2\); its last line: .*--epochs: expected a number, at least 1",
        result.output,
    )


def test_docker_where_no_engine_answers(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    result = bundle(layout, "run-all", "--runner", "docker")
    assert result.exit_code == 4
    assert "no Docker Engine answers at unix:///no/such/socket (no such file or directory)" in result.output
    # Who names an engine wants containers: without it nothing is run as a plain process.
    assert bundle(layout, "run-all").exit_code == 4


def test_a_mixture_of_data_sets_is_refused(filled_layout: Layout) -> None:
    """As when a hand-out is unpacked over the phantoms of the quick start."""
    (filled_layout.split_dir("training") / "other.png").touch()
    result = bundle(filled_layout, "train", "--runner", "local")
    assert (
        result.exit_code,
        "files without a row in the csv: 1, the first 'other.png'" in result.output,
    ) == (1, True)
    (filled_layout.split_dir("training") / "other.png").unlink()

    filled_layout.solution_csv("testing").unlink()
    (filled_layout.testing_data / "other.png").touch()
    result = bundle(filled_layout, "infer", "--runner", "local")
    assert (result.exit_code, "mixes 24 images of an earlier import with others" in result.output) == (
        1,
        True,
    )
    (filled_layout.testing_data / "other.png").unlink()

    (filled_layout.input_data / "input_data").mkdir()
    result = bundle(filled_layout, "run-all", "--runner", "local")
    assert (result.exit_code, "is no part of the bundle layout" in result.output) == (1, True)


def test_two_csvs_to_score(filled_layout: Layout) -> None:
    for name in ("a.csv", "b.csv"):
        write_csv(filled_layout.results_dir / name, HEADER, [("x.png", "Hand")])
    result = bundle(filled_layout, "score", "--runner", "local")
    assert result.exit_code == 1
    assert "expected one csv file, but got 2: 'a.csv', 'b.csv'; keep the one to be scored" in result.output


def test_two_commands_at_once(layout: Layout) -> None:
    from challenge_bundle.lock import bundle_lock

    with bundle_lock(layout):
        result = bundle(layout, "data", "import")
    assert result.exit_code == 4
    assert "another command is at work" in result.output


def test_a_named_source_is_taken_whole(filled_layout: Layout, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    for split in ("training", "validation", "testing"):
        for name, class_name in read_reference(filled_layout.solution_csv(split)).label_of.items():
            (folder / class_name).mkdir(parents=True, exist_ok=True)
            (folder / class_name / name).write_bytes((filled_layout.split_dir(split) / name).read_bytes())

    result = bundle(filled_layout, "data", "import", f"folder:{folder}")
    assert sum(map(int, re.findall(r"(\d+) (?:training|validation|testing)", result.output))) == 72

    result = bundle(filled_layout, "data", "import", f"folder:{folder}", "--sample-size", "2")
    assert "12 training + 12 validation + 12 testing" in result.output


def test_images_of_a_named_source_are_not_replaced_by_phantoms(layout: Layout, tmp_path: Path) -> None:
    for number in range(12):
        write_image(tmp_path / "images" / "ab"[number % 2] / f"{number}.png", seed=number)
    source = f"folder:{tmp_path / 'images'}"
    imported = bundle(layout, "data", "import", source)
    assert (imported.exit_code, "classes: a 6, b 6\n" in imported.output) == (0, True), imported.output
    placed = layout.origins_csv.read_bytes()

    refused = bundle(layout, "data", "import", "--seed", "3")
    assert refused.exit_code == 1
    assert (
        f"holds images of {source}, but no source is named and bundle.toml's (data.source) is synthetic"
        in (refused.output)
    )
    assert f"`data import '{source}'`" in refused.output
    assert layout.origins_csv.read_bytes() == placed

    assert bundle(layout, "data", "import", "synthetic").exit_code == 0
    assert bundle(layout, "data", "import").exit_code == 0
    assert bundle(layout, "data", "import", source).exit_code == 0
    assert bundle(layout, "data", "import", "--replace").exit_code == 0


def test_audit_of_what_was_imported(layout: Layout, tmp_path: Path) -> None:
    empty = bundle(layout, "data", "audit")
    assert (empty.exit_code, "holds no images yet; fill it with `data import`" in empty.output) == (1, True)

    for row in sound_rows():
        row.save(row.image, new_file(tmp_path / "images" / row.split / row.class_name / row.name))
    assert bundle(layout, "data", "import", f"folder:{tmp_path / 'images'}").exit_code == 0
    sound = bundle(layout, "data", "audit")
    assert sound.exit_code == 0, sound.output
    assert "120 images: 0 errors, 0 warnings, 4 notes" in sound.output
    assert {path.name for path in layout.audit.iterdir()} == {"audit.html", "audit.json"}

    leak = find(sound_rows(), "testing", "dog")
    leak.save(leak.image, tmp_path / "images" / "training" / "dog" / "leak.png")
    refused = bundle(layout, "data", "import", f"folder:{tmp_path / 'images'}")
    assert (refused.exit_code, "--allow-leaks" in refused.output) == (1, True)
    bundle(layout, "data", "import", f"folder:{tmp_path / 'images'}", "--allow-leaks")
    page, document = tmp_path / "a.html", tmp_path / "a.json"
    found = bundle(layout, "data", "audit", "--html", str(page), "--json", str(document))
    assert found.exit_code == 1
    assert "error: copies: 1 testing image is in the training split too, byte for byte" in found.output
    assert "from leak.png" in found.output
    assert page.exists()
    assert json.loads(document.read_text())["counts"]["error"] == 1

    blank = bundle(layout, "data", "audit", "--check", "blank")
    assert (blank.exit_code, "0 errors" in blank.output) == (0, True)
    assert bundle(layout, "data", "audit", "--check", "nothing").exit_code == 2

    wrong = bundle(layout, "data", "audit", "--group", "(")
    assert (wrong.exit_code, "--group '(' is not a regular expression" in wrong.output) == (1, True)


def test_run_all_imports_leaks_if_the_manifest_says_so(layout: Layout, tmp_path: Path) -> None:
    for row in sound_rows():
        row.save(row.image, new_file(tmp_path / "images" / row.split / row.class_name / row.name))
    leak = find(sound_rows(), "testing", "dog")
    leak.save(leak.image, tmp_path / "images" / "training" / "dog" / "leak.png")
    text = f'[bundle]\nname = "leaky"\n[data]\nsource = "folder:{tmp_path / "images"}"\n'
    layout.manifest.write_text(text)
    assert "--allow-leaks" in bundle(layout, "data", "import").output
    layout.manifest.write_text(f"{text}allow_leaks = true\n")
    assert bundle(layout, "data", "import").exit_code == 0


def test_run_all_takes_images_of_several_sizes_if_the_manifest_says_so(
    layout: Layout, tmp_path: Path
) -> None:
    for number in range(24):
        path = tmp_path / "images" / "ab"[number % 2] / f"{number}.png"
        write_image(path, seed=number, size=(32 + number, 40))
    text = (
        f'[bundle]\nname = "sizes"\n[data]\nsource = "folder:{tmp_path / "images"}"\n'
        '[training]\narguments = ["--epochs", "1", "--image-size", "32"]\n'
    )
    layout.manifest.write_text(text)
    refused = bundle(layout, "run-all", "--runner", "local")
    assert (refused.exit_code, "data.any_size = true" in refused.output) == (1, True), refused.output

    layout.manifest.write_text(text.replace("[training]", "any_size = true\n[training]"))
    ran = bundle(layout, "run-all", "--runner", "local")
    assert (ran.exit_code, "weighted_f1" in ran.output) == (0, True), ran.output


def test_what_bundle_toml_cannot_say_is_no_other_setting(layout: Layout) -> None:
    def reused() -> str:
        shown = io.StringIO()
        with closing(TerminalDisplay(stream=shown)) as display:
            fill_if_empty(read_manifest(layout.manifest), layout, display)
        return shown.getvalue()

    assert bundle(layout, "data", "import", "--replace", "--drop-copies").exit_code == 0
    assert bundle(layout, "data", "import", "--keep-splits", "--new-names").exit_code == 0
    assert "already there, reused" in reused()
    assert "other settings" not in reused()
    assert bundle(layout, "data", "import", "--any-size").exit_code == 0
    assert "imported with other settings" in reused()
    layout.manifest.write_text(layout.manifest.read_text().replace("[data]", "[data]\nany_size = true"))
    assert "other settings" not in reused()


def new_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_dicom_images_with_contours(layout: Layout, tmp_path: Path) -> None:
    folder = write_linked(tmp_path / "linked")
    result = bundle(layout, "data", "import", f"dicom:{folder}")
    assert result.exit_code == 0, result.output
    assert "in 2 classes, from dicom:" in result.output

    write_contour(contour_path(folder, "C-0", "i", 2), circle(16, 15, 6))
    result = bundle(layout, "data", "contact-sheet", str(folder))
    assert result.exit_code == 0, result.output
    assert "1 finding\n" in result.output
    assert f"{layout.state / 'contact-sheet.png'} (18 of 18 images)" in result.output
    assert layout.contact_sheet.is_file()

    (folder / "dicoms" / "D1" / "1.dcm").unlink()
    sheet = tmp_path / "sheet.html"
    result = bundle(layout, "data", "contact-sheet", str(folder), "--output", str(sheet), "--limit", "3")
    assert result.exit_code == 1, result.output
    assert "17 images, 17 inner contours, 9 outer contours" in result.output
    assert re.search(r"warning: .*0002-icontour-manual.txt: \d+ of \d+ pixels", result.output)
    assert re.search(r"error: .*0001-icontour-manual.txt: its image .*D1/1.dcm is not there", result.output)
    assert "2 findings" in result.output
    assert f"{sheet} (3 of 17 images)" in result.output
    assert sheet.is_file()


def test_check_of_a_results_csv(filled_layout: Layout, tmp_path: Path) -> None:
    images = sorted(path.name for path in filled_layout.testing_data.iterdir())
    path = tmp_path / "classification_results.csv"
    write_csv(path, HEADER, [(name, "Hand") for name in images])
    good = bundle(filled_layout, "check", str(path))
    assert (good.exit_code, "good; 24 images" in good.output) == (0, True)

    path.write_bytes(FAULTS["wrong_header"][0])
    bad = bundle(filled_layout, "check", str(path))
    assert bad.exit_code == 1
    assert "classification_results.csv:1: expected the header" in bad.output


@pytest.mark.slow
def test_from_images_to_a_checked_submission(layout: Layout) -> None:
    first = bundle(layout, "run-all", "--runner", "local")
    assert first.exit_code == 0, first.output
    assert "weighted_f1" in first.output
    scores = (layout.scoring_output / "scores.txt").read_text()
    page = layout.report_html.read_text()
    for heading in ("Confusion matrix", "Per class", "The data", "Training", "The model"):
        assert heading in page
    assert "<script" not in page

    second = bundle(layout, "run-all", "--runner", "local")
    assert second.output.count("reused") == 5
    assert (layout.scoring_output / "scores.txt").read_text() == scores

    # What changed is run again, and what depends on it; the rest is not.
    (layout.results_csv).write_text(layout.results_csv.read_text().replace("Hand", "CXR"))
    third = bundle(layout, "run-all", "--runner", "local")
    assert third.output.count("reused") == 2
    assert (layout.scoring_output / "scores.txt").read_text() == scores

    assert (layout.model_output / "tensorboard").is_dir()
    assert json.loads((layout.model_output / "model.json").read_text())["training"]["epochs"] == 2
    assert not (layout.state / "work" / "training").exists()

    again = bundle(layout, "report")
    assert again.exit_code == 0

    packed = bundle(layout, "zip")
    assert packed.exit_code == 0, packed.output
    checked = bundle(layout, "check", str(layout.submission_zip))
    assert "good, nothing in it would be refused" in checked.output


@pytest.mark.slow
def test_a_participant_has_no_reference(layout: Layout) -> None:
    """What an organiser hands out is trained on and classified; nothing says to make data up."""
    bundle(layout, "data", "import")
    layout.solution_csv("testing").unlink()

    result = bundle(layout, "run-all", "--runner", "local")
    assert result.exit_code == 0, result.output
    assert "Only the organiser has the reference to score them with" in result.output
    assert layout.results_csv.exists()

    score = bundle(layout, "score", "--runner", "local")
    assert (score.exit_code, "the organiser has it" in score.output) == (1, True)
    assert "data import" not in score.output


def test_failure_leaves_no_result_of_an_earlier_run(filled_layout: Layout) -> None:
    rows = read_reference(filled_layout.solution_csv("testing")).label_of.items()
    write_csv(filled_layout.results_dir / "team.csv", HEADER, rows)
    assert bundle(filled_layout, "score", "--runner", "local").exit_code == 0
    assert bundle(filled_layout, "report").exit_code == 1, "there is no model to report on"
    filled_layout.report_html.write_text("of an earlier run")
    write_csv(filled_layout.results_dir / "team.csv", HEADER, list(rows)[1:])

    result = bundle(filled_layout, "score", "--runner", "local")

    assert result.exit_code == 3
    assert "team.csv: no row for" in result.output
    assert list(filled_layout.scoring_output.iterdir()) == []


def test_a_report_of_other_data_is_refused(layout: Layout) -> None:
    bundle(layout, "run-all", "--runner", "local")
    assert bundle(layout, "report").exit_code == 0
    assert re.search(
        r"testing images, reference [0-9a-f]{12}, model [0-9a-f]{12}", layout.report_html.read_text()
    )
    reference = layout.solution_csv("testing")
    os.utime(reference, ns=(reference.stat().st_atime_ns, time.time_ns() + 10**9))
    result = bundle(layout, "report")
    assert result.exit_code == 1
    assert "not of the reference and the predictions that are there" in result.output
    assert not layout.report_html.exists()
    layout.report_html.write_text("of the old data")
    bundle(layout, "data", "import", "--seed", "3")
    assert [path.name for path in layout.scoring_output.iterdir()] == []
    assert not layout.results_csv.exists()
    assert "there are no scores yet" in bundle(layout, "report").output


def test_a_program_shows_its_own_help(layout: Layout) -> None:
    done = subprocess.run(
        [sys.executable, str(PROJECT_ROOT / "tools" / "bundle.py"), "train", "--", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--learning-rate" in done.stdout


def test_another_network_is_not_trained_over(layout: Layout) -> None:
    bundle(layout, "data", "import")
    bundle(layout, "train", "--runner", "local", "--", "--epochs", "1", "--seed", "5")
    result = bundle(layout, "run-all", "--runner", "local")
    assert "training  unchanged, reused" in result.output
    assert json.loads((layout.model_output / "model.json").read_text())["training"]["seed"] == 5


def test_an_image_database_from_ingest_to_bundle(filled_layout: Layout, tmp_path: Path) -> None:
    given = tmp_path / "given"
    shutil.copytree(filled_layout.input_data, given)
    shutil.copy(filled_layout.solution_csv("testing"), given)
    source = f"folder:{given}"
    ingested = bundle(filled_layout, "store", "ingest", source, "--sample-size", "36")
    assert "36 new of 36 images, 0 there already" in ingested.output, ingested.output
    assert "36 new of 72 images, 36 there already" in bundle(filled_layout, "store", "ingest", source).output

    odd = bundle(filled_layout, "store", "query", "colour == 'red'")
    assert (odd.exit_code, "there is no 'colour'; there are sha256, width" in odd.output) == (1, True)
    labels = bundle(filled_layout, "store", "query", "labels").output.splitlines()
    assert (labels[0], labels[1]) == ("label,split,images", "AbdomenCT,testing,4")
    queried = bundle(filled_layout, "store", "query", "label == 'Hand'", "--output", str(tmp_path / "x.csv"))
    assert "12 rows: " in queried.output
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 13
    sampled = bundle(filled_layout, "store", "sample", "6", "--seed", "1", "--where", "split == 'testing'")
    assert len({line.split(",")[5] for line in sampled.output.splitlines()[1:]}) == 6

    many = bundle(filled_layout, "store", "sample", "1000")
    assert "72 images are all there are; 1,000 were asked for" in many.stderr
    assert "asked for" not in sampled.stderr

    imported = bundle(filled_layout, "data", "import", f"sqlite:///{filled_layout.store_file}")
    assert "24 training + 24 validation + 24 testing images in 6 classes, from sqlite:///" in imported.output


def test_images_are_removed_from_the_database_when_that_is_meant(
    filled_layout: Layout, tmp_path: Path, database_url: str
) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / "images" / name / "1.png", seed=ord(name))
    own = ("--database", database_url)
    bundle(filled_layout, "store", "ingest", f"folder:{tmp_path / 'images'}", *own)
    refused = bundle(filled_layout, "store", "remove", "label == 'a'", *own)
    assert (refused.exit_code, "1 images would be removed; confirm it with --yes" in refused.output) == (
        2,
        True,
    )
    assert bundle(filled_layout, "store", "query", "labels", *own).output.count("\n") == 3
    assert (
        "1 images removed" in bundle(filled_layout, "store", "remove", "label == 'a'", "--yes", *own).output
    )
    assert "0 images removed" in bundle(filled_layout, "store", "remove", "label == 'a'", *own).output
    assert bundle(filled_layout, "store", "query", "labels", *own).output == "label,split,images\nb,,1\n"


@pytest.mark.parametrize("command", [("query", "labels"), ("sample", "3"), ("remove", "width > 0", "--yes")])
def test_commands_that_read_make_no_database(command: tuple[str, ...], layout: Layout) -> None:
    result = bundle(layout, "store", *command)
    assert (result.exit_code, f"{layout.store_file}: no such file; fill one" in result.output) == (1, True)
    assert not layout.store_file.exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("store", "ingest"), "no source is named; give one, or set IMAGES_S3_LOCATION in .env"),
        (("data", "import", "sqlite:////no/such.sqlite"), "/no/such.sqlite: no such file; fill one with"),
    ],
)
def test_faults_of_the_image_database(arguments: tuple[str, ...], word: str, layout: Layout) -> None:
    result = bundle(layout, *arguments)
    assert (result.exit_code, word in result.output) == (1, True), result.output


def test_a_model_that_is_older_than_the_images_is_named(layout: Layout) -> None:
    layout.model_output.mkdir()
    (layout.model_output / "model.json").touch()
    assert not may_be_of_other_data(layout)
    layout.state.mkdir(exist_ok=True)
    layout.import_json.touch()
    os.utime(layout.model_output / "model.json", (1000, 1000))
    assert may_be_of_other_data(layout)
    os.utime(layout.import_json, (999, 999))
    assert not may_be_of_other_data(layout)


def test_a_path_that_is_no_source_is_taken_for_a_folder(layout: Layout, tmp_path: Path) -> None:
    result = bundle(layout, "data", "import", str(tmp_path))
    assert result.exit_code == 1
    assert f"write folder:{tmp_path}" in result.stderr
