"""What a challenge's rules say of a Dockerfile: base images, and packages without a network."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from challenge_bundle.engines.docker.images import wheels_folder
from challenge_bundle.errors import DataError
from challenge_bundle.evaluation.intake import check_zip
from challenge_bundle.evaluation.verdicts import Refusal
from challenge_bundle.findings import Finding
from challenge_bundle.formats.kit_json import KIT_NAME, Kit, kit_text
from challenge_bundle.formats.requirements import parse_wheels
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout
from challenge_bundle.settings import Bundle, EvaluationSettings, SubmissionSettings
from challenge_bundle.submission.build_rules import NO_RULES, BuildRules, parse_rules
from challenge_bundle.submission.check import check_submission
from challenge_bundle.wheelhouse import read_rules
from tests.submissions import find_in
from tests.wheels import write_wheel

WHEELS = parse_wheels(["alpha-1.0-py3-none-any.whl", "beta-2.5-py3-none-any.whl"])
RULES = BuildRules(Kit(WHEELS, "3.11", "x86_64", "python:3.11-slim"))

OURS = """\
FROM python:3.11-slim AS packages
COPY app/requirements.txt app/wheelhous[e] /opt/wheelhouse/
RUN python3 -m pip install --no-index --find-links /opt/wheelhouse -r /opt/wheelhouse/requirements.txt
"""
FETCHES = """\
FROM python:3.11-slim
COPY app/requirements.txt /opt/
RUN pip install --no-cache-dir -r /opt/requirements.txt
"""
END = 'COPY app/ /opt/app/\nUSER 1000\nENTRYPOINT ["python", "/opt/app/infer.py"]\n'


def find(
    tmp_path: Path, dockerfile: str, requirements: str, rules: BuildRules = RULES, **more: bytes
) -> list[Finding]:
    files: Mapping[str, str | bytes] = {
        "Dockerfile": dockerfile + END,
        "app/infer.py": "print()\n",
        "app/requirements.txt": requirements,
        **more,
    }
    return find_in(tmp_path, files, (), rules)


@pytest.mark.parametrize(
    "requirements", ["", "alpha==1.0\n", "# all\nbeta>=2\nAlpha\n", "alpha; sys_platform=='win32'"]
)
def test_what_the_challenge_gives_can_be_installed(tmp_path: Path, requirements: str) -> None:
    assert find(tmp_path, OURS, requirements) == []


def test_what_is_neither_given_nor_brought_is_named(tmp_path: Path) -> None:
    found = find(tmp_path, OURS, "alpha==1.0\ngamma>=3\nbeta==3.0\n")
    what = "is neither among the challenge's packages nor a wheel in the zip"
    hint = "put its wheel into the zip: the build has no network (pip download --only-binary :all:"
    hint += " --python-version 3.11 -d bundle_inference/wheelhouse"
    assert list(map(str, found)) == [
        f"error: app/requirements.txt:2: gamma>=3 {what}; {hint} 'gamma>=3')",
        f"error: app/requirements.txt:3: beta==3.0 {what}; ask for beta==2.5, or {hint} 'beta==3.0')",
    ]


def test_a_wheel_in_the_zip_counts(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "wheels", "gamma", "3.1").read_bytes()
    brought = {"app/own/gamma-3.1-py3-none-any.whl": wheel}
    assert find(tmp_path, OURS, "gamma>=3\n", **brought) == []
    assert find(tmp_path, FETCHES, "gamma>=3\n", **brought) == []
    hidden = find(tmp_path, OURS, "gamma>=3\n", **{"own/gamma-3.1-py3-none-any.whl": wheel})
    assert "package-missing" in [item.code for item in hidden]


@pytest.mark.parametrize(
    ("dockerfile", "is_good"),
    [
        (FETCHES, False),
        (FETCHES.replace("-r", "-f /opt/app/wheelhouse -r"), True),
        (FETCHES.replace("-r", "--find-links /opt/x -r"), True),
        (FETCHES.replace("RUN", "ENV PIP_FIND_LINKS=/opt/x\nRUN"), True),
        (FETCHES.replace("RUN pip", "RUN pip install /opt/x/*.whl && pip"), True),
    ],
)
def test_pip_has_to_be_shown_the_packages(tmp_path: Path, dockerfile: str, is_good: bool) -> None:
    found = find(tmp_path, dockerfile, "alpha==1.0\n")
    assert [item.code for item in found] == ([] if is_good else ["package-not-used"])


def test_settings_of_pip_may_show_it_the_packages(tmp_path: Path) -> None:
    assert find(tmp_path, FETCHES, "alpha==1.0\n", **{"app/pip.conf": b"[global]"}) == []


@pytest.mark.parametrize(
    ("copied", "is_good"),
    [
        ("COPY app/requirements.txt app/wheelhouse /opt/", True),
        ("COPY app/requirements.txt app/wheelhous[e]/*.whl /opt/", True),
        ("COPY app/requirements.txt app/*/ /opt/", True),
        ("COPY app/requirements.txt /opt/", False),
    ],
)
def test_the_folder_of_wheels_has_to_be_copied(tmp_path: Path, copied: str, is_good: bool) -> None:
    dockerfile = f"FROM python:3.11-slim\n{copied}\nRUN pip install -f /opt -r /opt/requirements.txt\n"
    end = 'COPY app/infer.py /opt/app/\nUSER 1000\nENTRYPOINT ["python", "/opt/app/infer.py"]\n'
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Dockerfile", dockerfile + end)
        archive.writestr("app/infer.py", "print()\n")
        archive.writestr("app/requirements.txt", "alpha==1.0\n")
        archive.writestr("app/wheelhouse/zeta-1.0-py3-none-any.whl", "")
    found = [f.code for f in check_submission(path, SubmissionSettings(), (), RULES) if f.severity == "error"]
    assert found == ([] if is_good else ["package-not-used"])


@pytest.mark.parametrize(
    ("step", "asked"),
    [
        ("RUN pip install gamma==1.0 alpha -f /x", ["gamma==1.0"]),
        ("RUN pip3 install --quiet 'gamma>=1' && echo delta", ["gamma>=1"]),
        ('RUN ["python3", "-m", "pip", "install", "gamma"]', ["gamma"]),
        (
            "RUN pip install --target /opt/x --python-version 3.11 -t y gamma; pip install delta",
            ["gamma", "delta"],
        ),
        ("RUN pip install -r /opt/app/other.txt", ["gamma==7"]),
        ("RUN pip install -r/opt/app/other.txt", ["gamma==7"]),
        ("RUN pip install --requirement=/opt/app/other.txt", ["gamma==7"]),
        ("RUN pip install --requirement /opt/app/other.txt ./app $X", ["gamma==7"]),
        ("RUN pip install --index-url https://x/simple --no-deps alpha -f /x", []),
        ("RUN echo pip installs gamma; pip --version; apt install gamma", []),
        ("RUN pip install ./app /opt/gamma https://x/gamma.whl", []),
    ],
)
def test_what_a_step_asks_for(tmp_path: Path, step: str, asked: list[str]) -> None:
    more = {"app/other.txt": b"gamma==7\n"}
    found = find(tmp_path, f"FROM python:3.11-slim\nCOPY app/ /opt/app/\n{step}\n", "", **more)
    assert [item.message.split(" is ")[0] for item in found] == asked
    assert all((item.severity, item.code) == ("error", "package-missing") for item in found)


@pytest.mark.parametrize(
    ("dockerfile", "severity"),
    [
        (OURS, "error"),
        (OURS.replace("python:3.11-slim", "docker.io/library/python@sha256:" + "0" * 64), "error"),
        (OURS.replace("requirements.txt\n", "requirements.txt || true\n", 2), "warning"),
        (OURS.replace("python:3.11-slim", "projectmonai/monai:1.6.1"), "warning"),
        (OURS.replace("python:3.11-slim", "other/python:3.11"), "warning"),
    ],
)
def test_what_a_base_image_may_bring_is_no_error(tmp_path: Path, dockerfile: str, severity: str) -> None:
    dockerfile = dockerfile.replace("/opt/wheelhouse/ || true", "/opt/wheelhouse/")
    found = [item for item in find(tmp_path, dockerfile, "gamma") if "gamma" in item.message]
    assert [(item.code, item.severity) for item in found] == [("package-missing", severity)]


@pytest.mark.parametrize("rules", [NO_RULES, BuildRules(Kit(None)), BuildRules(None, ("python:3.11-slim",))])
def test_where_nothing_is_known_or_there_is_a_network(tmp_path: Path, rules: BuildRules) -> None:
    assert find(tmp_path, FETCHES, "gamma\n", rules) == []


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (BuildRules(base_images=("python:3.11-slim", "other:1")), ""),
        (BuildRules(base_images=("docker.io/library/python:3.11-slim",)), ""),
        (BuildRules(base_images=("python:3.12-slim",), base_image="python:3.11-slim"), ""),
        (BuildRules(base_images=("python:3.12-slim", "other:1")), "base-image"),
        (BuildRules(Kit(None, base_image="python:3.11-slim")), ""),
        (BuildRules(Kit(None, base_image="python:3.12-slim")), "base-image-unknown"),
        (BuildRules(Kit(None)), ""),
        (NO_RULES, ""),
    ],
)
def test_base_images(tmp_path: Path, rules: BuildRules, code: str) -> None:
    found = find(tmp_path, "FROM python:3.11-slim\n", "", rules)
    severity = "error" if code == "base-image" else "warning"
    assert [(item.code, item.severity, item.location, item.row) for item in found] == (
        [(code, severity, "Dockerfile", 1)] if code else []
    )


def test_the_image_that_the_challenge_gives(tmp_path: Path) -> None:
    rules = BuildRules(base_images=("python:3.12-slim",), base_image="own:1")
    given = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n"
    assert find(tmp_path, given, "", rules) == []
    assert find(tmp_path, given, "", BuildRules(base_images=("python:3.12-slim",))) == []
    assert find(tmp_path, given.replace("IMAGE\n", "IMAGE=x:1\n", 1), "", rules) == []
    own = given.replace("IMAGE\n", "IMAGE=x:1\n", 1)
    (finding,) = find(tmp_path, own, "", BuildRules(base_images=("a:1",)))
    assert str(finding) == (
        "error: Dockerfile:2: builds on 'docker.io/library/x:1', which is not one of the challenge's base"
        " images; build on a:1"
    )


def test_rules_pass_through_a_text() -> None:
    for rules in (NO_RULES, RULES, BuildRules(Kit(None), ("a:1", "b:2"), "c:3")):
        assert parse_rules(rules.to_text()) == rules


def test_what_is_known_where(tmp_path: Path) -> None:
    bundle = Bundle("x", "x", base_image="a:1", evaluation=EvaluationSettings(base_images=("b:1",)))
    layout = Layout(tmp_path)
    assert read_rules(bundle, layout, None) == BuildRules(None, ("b:1",), "a:1")
    assert read_rules(bundle, layout, layout.wheelhouse).kit is None
    write_wheel(layout.wheelhouse / "bundle_inference", "alpha")
    found = read_rules(bundle, layout, layout.wheelhouse).kit
    assert found is not None
    assert [str(wheel) for wheel in found.wheels or ()] == ["alpha==1.0"]
    online = Bundle("x", "x", evaluation=EvaluationSettings(build_network=True))
    assert read_rules(online, layout, layout.wheelhouse).kit is None
    (tmp_path / KIT_NAME).write_text(kit_text(RULES.kit or Kit()))
    assert read_rules(bundle, layout, None).kit == RULES.kit
    (tmp_path / KIT_NAME).write_text("{")
    with pytest.raises(DataError) as fault:
        read_rules(bundle, layout, None)
    assert fault.value.code == "kit-json"
    assert fault.value.finding.hint == "take the one of the kit again"


def test_this_projects_own_submission_needs_what_it_is_given(tmp_path: Path) -> None:
    """The Dockerfile that participants begin with, under rules without a network."""
    program = PROJECT_ROOT / "bundle_inference"
    wheels = [
        "onnxruntime-1.31.1-py3-none-any.whl",
        "numpy-2.4.6-py3-none-any.whl",
        "pillow-13.0.0-py3-none-any.whl",
    ]
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(program / "Dockerfile", "Dockerfile")
        for file in ("infer.py", "requirements.txt"):
            archive.write(program / file, f"bundle_inference/{file}")
        archive.writestr("model_output/best_metric_model.onnx", b"")
        archive.writestr("model_output/model.json", "")
    for count in (3, 2):
        rules = BuildRules(Kit(parse_wheels(wheels[:count]), base_image="python:3.11-slim"))
        found = check_submission(path, SubmissionSettings(), (), rules)
        found = [item for item in found if item.location == "bundle_inference/requirements.txt"]
        assert len(found) == 3 - count
        assert all(item.code == "package-missing" and "pillow==13.0.0" in item.message for item in found)


@pytest.mark.parametrize(
    ("names", "place"),
    [
        (["requirements.txt"], "wheelhouse"),
        (["b/requirements.txt", "a/x", "a/requirements.txt"], "a/wheelhouse"),
        (["a-b/requirements.txt", "a/requirements.txt"], "a/wheelhouse"),
        (["a/requirements.txt/x", "my-requirements.txt"], None),
        ([], None),
    ],
)
def test_where_a_build_gets_its_wheels(names: list[str], place: str | None) -> None:
    found = wheels_folder(names)
    assert (found.as_posix() if found else None) == place


def test_a_hidden_requirements_file_is_none(tmp_path: Path) -> None:
    more = {"a/requirements.txt": b"", ".dockerignore": b"a\n"}
    (hidden,) = find(tmp_path, OURS, "alpha==1.0\n", **more)
    assert (hidden.code, hidden.severity, hidden.location) == (
        "file-ignored",
        "warning",
        "a/requirements.txt",
    )
    shown = find(tmp_path, OURS, "alpha==1.0\n", **{"a/requirements.txt": b""})
    assert "package-not-used" in [item.code for item in shown]


@pytest.mark.parametrize(
    ("step", "severity"),
    [
        ("RUN pip install --upgrade pip setuptools wheel", ""),
        ("RUN pip install pip==99", "warning"),
        ("RUN pip install gamma", "error"),
        ("RUN if true; then echo; fi; pip install gamma", "error"),
        ("RUN mkdir /x && pip install gamma && echo", "error"),
        ("RUN if ls /x; then pip install gamma; fi", "warning"),
        ("RUN for x in a b; do pip install gamma; done", "warning"),
        ("RUN [ -e /x ] && pip install gamma", "warning"),
        ("RUN [ -e /x ]; pip install gamma", "error"),
        ("RUN test -e /x && pip install gamma", "warning"),
        ("RUN pip install gamma || true", "warning"),
        ("RUN false || pip install gamma", "warning"),
        ("RUN echo 'pip install gamma'", "warning"),
        ("RUN echo use pip install gamma", "warning"),
        ('RUN echo "a && pip install gamma"', "warning"),
        ("RUN pip install gamma; true", "warning"),
        ("RUN pip install gamma | tee /log", "warning"),
        ("RUN pip install gamma & wait", "warning"),
        ("RUN pip install gamma && true; true", "warning"),
        ("RUN ! pip install gamma", "warning"),
        ("RUN true # pip install gamma", "warning"),
        ("RUN if ! pip install gamma; then echo; fi", "warning"),
        ("RUN case x in y) pip install gamma;; esac", "warning"),
        ("RUN f() { pip install gamma; }; true", "warning"),
        ("RUN uv pip install gamma", "warning"),
        ("RUN pip config set install.trusted-host gamma", ""),
        ("RUN pip uninstall -y install gamma", ""),
        ('RUN ["pip", "install", "gamma"]', "error"),
        ('RUN ["/bin/sh", "-c", "pip install gamma; true"]', "warning"),
        ('SHELL ["/bin/bash", "-c"]\nRUN X=1 /v/bin/python3 -m pip install gamma 2>&1 && true', "error"),
        ("RUN set -ex; pip install gamma; true", "error"),
        ("RUN set -ex; pip install gamma && true; true", "warning"),
        ("RUN pip -q --python /v/bin/python install gamma", "error"),
    ],
)
def test_only_what_surely_fails_is_an_error(tmp_path: Path, step: str, severity: str) -> None:
    found = find(tmp_path, f"FROM python:3.11-slim\n{step}\n", "")
    assert [item.severity for item in found] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (BuildRules(base_images=("other:1",)), "base-image"),
        (RULES, "zip"),
        (BuildRules(Kit((), base_image="x:1"), ("other:1",)), "zip"),
        (NO_RULES, ""),
    ],
)
def test_an_evaluation_refuses_what_check_finds(tmp_path: Path, rules: BuildRules, code: str) -> None:
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Dockerfile", OURS + END)
        archive.writestr("app/infer.py", "print()\n")
        archive.writestr("app/requirements.txt", "gamma\n")
    found = check_submission(path, SubmissionSettings(), (), rules)
    errors = [str(finding) for finding in found if finding.severity == "error"]
    assert bool(errors) == bool(code)
    if not code:
        check_zip(path, SubmissionSettings(), (), rules)
        return
    with pytest.raises(Refusal) as caught:
        check_zip(path, SubmissionSettings(), (), rules)
    assert caught.value.verdict.code == code
    assert list(caught.value.verdict.lines) == errors
