"""Every hint that `check` gives is followed, word for word: what was valid stays valid, and says no more."""

from collections.abc import Callable
from pathlib import Path

import pytest

from challenge_bundle.findings import Finding
from challenge_bundle.formats.build_recipe import read_recipe
from challenge_bundle.formats.dockerignore import parse_dockerignore
from challenge_bundle.formats.kit_json import Kit
from challenge_bundle.formats.requirements import parse_wheels
from challenge_bundle.submission.build_rules import BuildRules
from challenge_bundle.submission.recipe_checks import BuildContext, taken_files
from tests.models import make_graph
from tests.submissions import find_in

Files = dict[str, str | bytes]

CARD = (
    '{"class_names": ["CXR", "Hand"], "input": {"channels": 1, "height": 8, "width": 8,'
    ' "mean": [0.5], "standard_deviation": [0.2]}}'
)
NEEDED: Files = {
    "app/infer.py": "import helper\n",
    "app/helper.py": "",
    "model_output/best_metric_model.onnx": make_graph(),
    "model_output/model.json": CARD,
}
"""What the program of each submission cannot do without."""

EXTRA: Files = {"notes.txt": "mine", "app/old.py": "", "submission.toml": 'team = "A"\n'}
END = 'USER 1000\nENTRYPOINT ["python", "/opt/app/infer.py"]\n'
RULES = BuildRules(Kit(parse_wheels(["alpha-1.0-py3-none-any.whl"]), base_image="python:3.11-slim"))

COPIES = {
    "folders": "COPY app /opt/app\nCOPY model_output /opt/model_output\n",
    "slashes": "COPY ./app/ /opt/app/\nCOPY /model_output/ /opt/model_output/\n",
    "all": "COPY . /opt/\n",
    "json": 'COPY ["app", "/opt/app"]\nCOPY ["model_output", "/opt/model_output"]\n',
    "patterns": "COPY a*/*.py /opt/app/\nCOPY model_*/best* model_output/model.[a-j]son /opt/model_output/\n",
    "variables": "ARG SOURCE=app\nARG M=model\nCOPY $SOURCE /opt/app\nCOPY ${M}_output /opt/model_output\n",
    "add": "ADD app /opt/app\nADD model_output /opt/model_output\n",
    "flags": "COPY --chown=1000:1000 app /opt/app\nCOPY --chown=1 model_output /opt/model_output\n",
    "continued": "COPY app \\\n\n  # all of it\n  /opt/app\nCOPY \\\n model_output /opt/model_output\n",
    "single": "COPY app/infer.py app/helper.py /opt/app/\nCOPY model_output/best_metric_model.onnx"
    " model_output/model.json /opt/model_output/\n",
    "stages": "COPY app /opt/app\nFROM python:3.11-slim\nCOPY --from=0 /opt/app /opt/app\n"
    "COPY model_output /opt/model_output\n",
    "dots": "COPY app/./infer.py app//helper.py /opt/app/\nCOPY model_output/. /opt/model_output/\n",
    "small letters": "copy app /opt/app\ncopy model_output /opt/model_output\n",
}

STARTS = {
    "plain": "FROM python:3.11-slim\n",
    "no version": "FROM python\n",
    "another": "FROM other/base:1\n",
    "given": "ARG BASE_IMAGE=python:3.11-slim\nFROM ${BASE_IMAGE}\n",
}

ENDS = {
    "plain": END,
    "root": END.replace("USER 1000\n", ""),
    "root, early": 'ENTRYPOINT ["python", "/opt/app/infer.py"]\nRUN apt-get --version\n',
    "root, named": END.replace("1000", "root"),
}

IGNORES = {
    "none": "",
    "all but": "*\n!app\n!model_output\n",
    "some": "notes.txt\n**/old.py\n",
    "hides what is not copied": "app/old.py\nnot*\n",
}


def find(tmp_path: Path, files: Files, rules: BuildRules) -> list[Finding]:
    return find_in(tmp_path, files, ("CXR", "Hand"), rules)


def add_copy(files: Files, name: str) -> None:
    """Into the last stage, before what is run."""
    text = str(files["Dockerfile"])
    head, line, tail = text.rpartition("ENTRYPOINT")
    files["Dockerfile"] = f"{head}COPY {name} /opt/{name}\n{line}{tail}"


def leave_out(files: Files, finding: Finding) -> None:
    del files[finding.location]


def not_copied(files: Files, finding: Finding) -> None:
    if finding.location in NEEDED:
        add_copy(files, finding.location)
    else:
        leave_out(files, finding)


def with_version(files: Files, finding: Finding) -> None:
    named = finding.hint.rpartition(" ")[2]
    written = named.rpartition(":")[0].removeprefix("docker.io/library/")
    files["Dockerfile"] = str(files["Dockerfile"]).replace(f"FROM {written}\n", f"FROM {named}\n")


def with_user(files: Files, finding: Finding) -> None:
    files["Dockerfile"] = str(files["Dockerfile"]) + "USER 1000\n"


def ask(files: Files, finding: Finding) -> None:
    """Nothing is changed: there is something to be asked."""


HINTS: dict[str, Callable[[Files, Finding], None]] = {
    "file-not-copied": not_copied,
    "file-ignored": leave_out,
    "base-image-version": with_version,
    "dockerfile-root-user": with_user,
    "base-image-unknown": ask,
}
"""What a person does who reads the hint of a finding, by the finding's code."""


def follow(files: Files, finding: Finding) -> bool:
    """Do what a hint says; gives whether something changed."""
    do = HINTS[finding.code]
    do(files, finding)
    return do is not ask


def taken(files: Files, tmp_path: Path) -> frozenset[str]:
    """The files that come into the image."""
    recipe = read_recipe(str(files["Dockerfile"]), {})
    rules = parse_dockerignore(str(files.get(".dockerignore", "")), ".dockerignore")
    names = frozenset(files)
    hidden = {name: line for name in names if (line := rules.line_of(name))}
    return taken_files(recipe, BuildContext(tmp_path, ".dockerignore", names, hidden))


@pytest.mark.parametrize("ignore", IGNORES)
@pytest.mark.parametrize("copies", COPIES)
def test_following_all_hints_keeps_a_submission_valid(tmp_path: Path, copies: str, ignore: str) -> None:
    # Not every start with every end: their hints do not depend on one another.
    number = list(COPIES).index(copies) + list(IGNORES).index(ignore)
    start = list(STARTS.values())[number % len(STARTS)]
    end = list(ENDS.values())[number % len(ENDS)]
    files: Files = {"Dockerfile": start + COPIES[copies] + end, **NEEDED, **EXTRA}
    if IGNORES[ignore]:
        files[".dockerignore"] = IGNORES[ignore]
    reported: set[str] = set()
    for _ in range(8):
        found = find(tmp_path, files, RULES)
        assert [str(finding) for finding in found if finding.severity == "error"] == []
        assert taken(files, tmp_path) >= NEEDED.keys()
        reported |= {str(finding) for finding in found}
        # One at a time: a hint must not depend on the next one's being followed.
        if not any(follow(files, finding) for finding in found[:1]) and not any(
            follow(files, finding) for finding in found[1:]
        ):
            break
    else:
        pytest.fail(f"hints without an end: {reported}")
    assert {finding.code for finding in found} <= {"base-image-unknown"}
    assert "submission.toml" in files


def test_no_needed_file_is_called_superfluous(tmp_path: Path) -> None:
    for copies in COPIES.values():
        found = find(tmp_path, {"Dockerfile": STARTS["plain"] + copies + END, **NEEDED}, RULES)
        assert [str(finding) for finding in found] == []


@pytest.mark.parametrize("name", list(NEEDED))
def test_a_hidden_file_is_not_called_missing(tmp_path: Path, name: str) -> None:
    files: Files = {"Dockerfile": STARTS["plain"] + COPIES["single"] + END, **NEEDED, ".dockerignore": name}
    errors = [finding for finding in find(tmp_path, files, RULES) if finding.severity == "error"]
    assert [finding.code for finding in errors] == ["copy-ignored"]
    assert f"{name!r}" in errors[0].message
    assert ".dockerignore line 1" in errors[0].message
    assert errors[0].hint == f"correct that line, or add '!{name}' below it"
    files[".dockerignore"] = f"{name}\n!{name}\n"
    assert find(tmp_path, files, RULES) == []
