"""What a build takes from a folder, and that a .dockerignore counts alike wherever that is asked."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from challenge_bundle.engines.base import BuildSpec
from challenge_bundle.engines.build_context import context_files, read_dockerfile, submission_files
from challenge_bundle.engines.docker.base_images import read_image
from challenge_bundle.engines.docker.images import prepare_build, write_context
from challenge_bundle.errors import DataError
from challenge_bundle.formats.build_recipe import BaseConfig
from challenge_bundle.formats.dockerfile import MAX_BYTES, DockerfileError
from challenge_bundle.settings import SubmissionSettings
from challenge_bundle.submission.check import check_submission
from challenge_bundle.submission.pack import add_file
from challenge_bundle.submission.recipe_checks import may_be_archive
from challenge_bundle.submission.unpack import unpack_submission

TINY = "docker.io/library/tiny:1"


def fill(folder: Path, dockerfile: str, *names: str, **texts: str) -> Path:
    """Write a Dockerfile and files beside it."""
    for name, text in {**dict.fromkeys(names, "x"), **texts, "Dockerfile": dockerfile}.items():
        path = folder / name.replace("__ignore", ".dockerignore")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def taken(folder: Path) -> list[str]:
    return list(context_files(folder / "Dockerfile", folder, folder))[1:]


@pytest.mark.parametrize(
    ("copied", "expected"),
    [
        ("a.py", ["a.py"]),
        ("./a.py /b.py", ["a.py", "b.py"]),
        ("data", ["data/deep/x.csv", "data/y.csv"]),
        ("data/*", ["data/deep/x.csv", "data/y.csv"]),
        ("data/*.csv", ["data/y.csv"]),
        ("d*/d*", ["data/deep/x.csv"]),
        ("[ab].py", ["a.py", "b.py"]),
        ("**", ["a.py", "b.py", "data/deep/x.csv", "data/y.csv"]),
        ("nothing*", []),
        ("$V", ["b.py"]),
    ],
)
def test_what_is_copied_is_taken(copied: str, expected: list[str], tmp_path: Path) -> None:
    fill(
        tmp_path, f"FROM a\nENV V=b.py\nCOPY {copied} /x/\n", "a.py", "b.py", "data/deep/x.csv", "data/y.csv"
    )
    fill(tmp_path / "__pycache__", "FROM a\n")
    assert [name for name in taken(tmp_path) if name != "Dockerfile"] == expected


def test_ignored_files_are_left_out_and_a_named_one_is_a_fault(tmp_path: Path) -> None:
    fill(tmp_path, "FROM a\nCOPY . /x\n", "a.py", "data/y.csv", __ignore="\ufeff# c\ndata/*.csv\r\n")
    assert taken(tmp_path) == ["a.py"]
    (tmp_path / "Dockerfile").write_text("FROM a\nCOPY data/y.csv /x\n")
    with pytest.raises(DataError) as caught:
        taken(tmp_path)
    assert (caught.value.code, caught.value.row) == ("copy-ignored", 2)
    assert "data/y.csv, which line 2 of .dockerignore leaves out" in str(caught.value)
    # BuildKit takes the Dockerfile's own instead of the folder's.
    (tmp_path / "Dockerfile.dockerignore").write_text("a.py\n")
    assert taken(tmp_path) == ["data/y.csv"]
    (tmp_path / "Dockerfile.dockerignore").write_text("x\n!\n")
    with pytest.raises(DataError) as caught:
        taken(tmp_path)
    assert (caught.value.code, caught.value.path, caught.value.row) == (
        "dockerignore-pattern",
        "Dockerfile.dockerignore",
        2,
    )
    (tmp_path / "Dockerfile.dockerignore").write_bytes(b"\xff")
    with pytest.raises(DataError) as caught:
        taken(tmp_path)
    assert (caught.value.code, caught.value.path) == ("dockerignore-encoding", "Dockerfile.dockerignore")


def test_faults_of_a_dockerfile_have_their_place(tmp_path: Path) -> None:
    fill(tmp_path, "FROM a\nRUN --mount=type=cache,target=/x y\n")
    with pytest.raises(DataError) as caught:
        taken(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/Dockerfile:2: RUN has the flag '--mount")
    assert caught.value.code == "dockerfile-flag"
    for content, code in (
        (b"FROM a\xff", "dockerfile-encoding"),
        (b"\xff" * (MAX_BYTES + 1), "dockerfile-size"),
    ):
        (tmp_path / "Dockerfile").write_bytes(content)
        with pytest.raises(DataError) as caught:
            taken(tmp_path)
        assert (caught.value.code, caught.value.path) == (code, tmp_path / "Dockerfile")
    (tmp_path / "Dockerfile").write_bytes(b"#" * MAX_BYTES)
    assert read_dockerfile(tmp_path / "Dockerfile") == "#" * MAX_BYTES


def plan_of(folder: Path, **more: object) -> BuildSpec:
    files, hides = submission_files(folder)
    return BuildSpec("name", "program", files, hides_dockerfile=hides, **more)  # type: ignore[arg-type]


def sent(plan: BuildSpec, wheelhouse: Path | None = None) -> dict[str, str]:
    """What the engine gets: each file of the context, and which of them is the Dockerfile."""
    prepared = prepare_build(plan, wheelhouse)
    out = io.BytesIO()
    write_context(prepared.files, out)
    with tarfile.open(fileobj=out) as archive:
        members = {member.name: archive.extractfile(member) for member in archive}
        assert {member.mode for member in archive} == {0o644}
        texts = {name: opened.read().decode() for name, opened in members.items() if opened}
    return texts | {"": prepared.dockerfile}


def test_the_engine_gets_the_written_dockerfile_alone(tmp_path: Path) -> None:
    fill(tmp_path, "from tiny:1\ncopy . /x\n", "a.py", "b.py", __ignore="b.py\n")
    found = sent(plan_of(tmp_path))
    assert found[found[""]] == f'FROM {TINY}\nCOPY [".", "/x"]\n'
    # The participant's may be copied; ours, and what has the engine take it away, may not.
    assert found["Dockerfile"] == "from tiny:1\ncopy . /x\n"
    assert found[".dockerignore"].split() == [found[""], ".dockerignore"]
    assert found.keys() == {"", "a.py", "Dockerfile", ".dockerignore", found[""]}


def test_no_folder_is_in_the_way_of_what_the_engine_needs(tmp_path: Path) -> None:
    """A file and a folder of one name end an engine's reading with an error that looks like its own."""
    name = prepare_build(plan_of(fill(tmp_path, "FROM tiny:1\nCOPY a.py /\n", "a.py")), None).dockerfile
    fill(tmp_path, "FROM tiny:1\n", f"{name}/x", f"deep/{name}/x", ".dockerignore/x")
    with pytest.raises(DataError) as caught:
        submission_files(tmp_path)
    assert (caught.value.code, caught.value.path) == ("dockerignore-folder", ".dockerignore")
    (tmp_path / ".dockerignore" / "x").unlink()
    (tmp_path / ".dockerignore").rmdir()
    assert sent(plan_of(tmp_path)).keys() == {
        *("", "a.py", "Dockerfile", ".dockerignore", name, f"deep/{name}/x")
    }
    (tmp_path / "Dockerfile.dockerignore").mkdir()
    with pytest.raises(DataError) as caught:
        submission_files(tmp_path)
    assert (caught.value.code, caught.value.path) == ("dockerignore-folder", "Dockerfile.dockerignore")


def test_patterns_that_take_too_long_end_in_a_process_of_their_own(tmp_path: Path) -> None:
    slow = "".join(f"**/{'*?' * 60}**e**/{number}\n" for number in range(450))
    fill(tmp_path, "FROM tiny:1\n", *(f"{'e' * 200}/{'e' * 200}/{n}" for n in range(1500)), __ignore=slow)
    with pytest.raises(DataError) as caught:
        submission_files(tmp_path)
    assert caught.value.code == "read-time"


def test_an_entry_point_can_be_run_as_in_a_build_by_hand(tmp_path: Path) -> None:
    """From the participant's folder into the zip, out of it, and into the engine's context."""
    made = fill(tmp_path / "made", 'FROM tiny:1\nCOPY run.sh /\nCMD ["/run.sh"]\n', "run.sh", "a.py")
    (made / "run.sh").write_text("#!/bin/sh\n")
    (made / "a.py").chmod(0o755)
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        for name in ("Dockerfile", "run.sh", "a.py"):
            add_file(archive, name, made / name)
        assert {m.filename: m.external_attr >> 16 for m in archive.infolist()} == {
            **dict.fromkeys(("Dockerfile", "a.py"), 0o100644),
            "run.sh": 0o100755,
        }
    folder = tmp_path / "unpacked"
    folder.mkdir()
    unpack_submission(tmp_path / "s.zip", folder, SubmissionSettings())
    before = plan_of(folder).image
    out = io.BytesIO()
    write_context(prepare_build(plan_of(folder), None).files, out)
    with tarfile.open(fileobj=out) as context:
        modes = {member.name: member.mode for member in context}
    assert {name for name, mode in modes.items() if mode == 0o755} == {"run.sh"}
    assert set(modes.values()) == {0o644, 0o755}
    (folder / "run.sh").chmod(0o644)
    assert plan_of(folder).image != before


def test_a_dockerfile_may_hide_itself(tmp_path: Path) -> None:
    fill(tmp_path, "FROM tiny:1\n", "a.py", __ignore="Dockerfile\n")
    found = sent(plan_of(tmp_path))
    assert found.keys() == {"", "a.py", ".dockerignore", found[""]}
    assert found[found[""]] == f"FROM {TINY}\n"


def test_only_images_that_were_looked_at_are_built_on(tmp_path: Path) -> None:
    fill(tmp_path, "ARG TORCH_BACKEND\nFROM tiny${TORCH_BACKEND:+-gpu}:1\nRUN x\n")
    plan = plan_of(tmp_path, bases={TINY: BaseConfig({}, ("/bin/bash", "-c"))})
    assert sent(plan)[prepare_build(plan, None).dockerfile].endswith('RUN ["/bin/bash", "-c", "x"]\n')
    other = plan_of(tmp_path, bases=plan.bases, torch_backend="cpu")
    with pytest.raises(DockerfileError) as caught:
        prepare_build(other, None)
    assert (caught.value.row, caught.value.code) == (2, "base-image")


def test_wheels_come_whatever_stands_in_their_place(tmp_path: Path) -> None:
    (tmp_path / "wheels" / "program").mkdir(parents=True)
    (tmp_path / "wheels" / "program" / "a.whl").write_text("wheel")
    folder = fill(
        tmp_path / "s", "FROM tiny:1\n", "p/requirements.txt", "p/wheelhouse", __ignore="**/*.whl\n"
    )
    found = sent(plan_of(folder), tmp_path / "wheels")
    assert found["p/wheelhouse/a.whl"] == "wheel"
    assert "p/wheelhouse" not in found


def test_tags_stay_what_they_were(tmp_path: Path) -> None:
    """By the Dockerfile as it came and the files that are sent: what is hidden does not count."""
    plan = plan_of(fill(tmp_path, "ARG BASE_IMAGE=a\nFROM $BASE_IMAGE\n", "a.py"), base_image="b:1")
    assert plan.image == "name:a4fb0cb245d0e65d"
    fill(tmp_path, "ARG BASE_IMAGE=a\nFROM $BASE_IMAGE\n", "b.py", __ignore="b.py\n")
    assert plan_of(tmp_path, base_image="b:1").image == plan.image


def make_zip(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


def found_in(folder: Path) -> list[str]:
    return [str(found) for found in check_submission(make_zip(folder), SubmissionSettings(), ())]


END = 'USER 1\nENTRYPOINT ["python", "/x/infer.py"]\n'


def test_check_names_the_line_that_hides_a_file(tmp_path: Path) -> None:
    folder = fill(
        tmp_path / "s",
        f"FROM a:1\nCOPY infer.py data /x/\n{END}",
        "infer.py",
        "data/a.csv",
        "other.txt",
        __ignore="# c\n*.py\ndata\nother*\n",
    )
    (folder / "infer.py").write_text("")
    assert found_in(folder) == [
        "error: Dockerfile:2: copies 'infer.py', which is hidden by .dockerignore line 2; correct that line,"
        " or add '!infer.py' below it",
        "error: Dockerfile:2: copies 'data', which is hidden by .dockerignore line 3; correct that line, or"
        " add '!data' below it",
        *(
            f"warning: {name}: hidden by .dockerignore line {line}; correct that line if the program needs"
            " the file; else leave it out of the zip"
            for name, line in (("data/a.csv", 3), ("infer.py", 2), ("other.txt", 4))
        ),
    ]


@pytest.mark.parametrize(
    "copied",
    [
        "./infer.py",
        "/infer.py",
        '["infer.py", "/x/"]',
        ".",
        "./",
        "*",
        "inf*",
        "[i]nfer.py",
        "$P",
        "''infer.py",
    ],
)
def test_a_file_that_is_copied_in_any_form_is_no_finding(copied: str, tmp_path: Path) -> None:
    target = "" if copied.startswith('["') else " /x/"
    folder = fill(tmp_path / "s", f"FROM a:1\nARG P=infer.py\nADD {copied}{target}\n{END}")
    (folder / "infer.py").write_text("")
    (folder / "submission.toml").write_text('team = "x"\n')
    (folder / ".dockerignore").write_text("# nothing\n")
    assert found_in(folder) == []


def test_a_file_that_is_not_copied_may_be_needed(tmp_path: Path) -> None:
    folder = fill(tmp_path / "s", f"FROM a:1\nCOPY infer.py /x/\n{END}")
    (folder / "infer.py").write_text("import model\n")
    (folder / "model.py").write_text("")
    assert found_in(folder) == [
        "warning: model.py: the Dockerfile does not copy it; add a COPY if the program needs it; else leave"
        " it out of the zip"
    ]


def test_what_add_would_unpack_is_refused(tmp_path: Path) -> None:
    folder = fill(tmp_path / "s", f"FROM a:1\nADD weights.bin infer.* data /x/\n{END}", "data/y.bin")
    (folder / "infer.py").write_text("")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("etc/passwd"))
    (folder / "weights.bin").write_bytes(out.getvalue())
    (folder / "data" / "y.bin").write_bytes(out.getvalue())
    found = [line for line in found_in(folder) if line.startswith("error")]
    assert found == [
        "error: Dockerfile:2: ADD 'weights.bin', which would be unpacked; use COPY, and put the files"
        " themselves into the zip"
    ]
    text = (folder / "Dockerfile").read_text()
    (folder / "Dockerfile").write_text(text.replace("ADD", "COPY"))
    assert found_in(folder) == []


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_are_known_by_their_first_bytes(mode: str, form: int, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a", mode=mode, format=form) as archive:  # type: ignore[call-overload]
        archive.addfile(tarfile.TarInfo("x"))
    assert may_be_archive(tmp_path / "a")


def test_the_oldest_tar_is_known_by_its_sum(tmp_path: Path) -> None:
    header = bytearray(tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT))
    header[257:512] = bytes(255)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "a").write_bytes(header)
    assert may_be_archive(tmp_path / "a")
    header[0] ^= 1
    (tmp_path / "a").write_bytes(header)
    assert not may_be_archive(tmp_path / "a")
    for content in (b"", b"x" * 600, b"\x08\x08" + bytes(600), header[:511]):
        (tmp_path / "a").write_bytes(content)
        assert not may_be_archive(tmp_path / "a")


def test_a_volume_and_a_pattern_without_a_file(tmp_path: Path) -> None:
    folder = fill(tmp_path / "s", f"FROM a:1\nVOLUME /x\nCOPY nothin[g] /x/\n{END}")
    found = check_submission(make_zip(folder), SubmissionSettings(), ())
    assert [(item.severity, item.location, item.row, item.code) for item in found] == [
        ("error", "Dockerfile", 2, "volume"),
        ("warning", "Dockerfile", 3, "copy-matches-nothing"),
    ]


def test_a_base_image_of_the_challenge_needs_no_default(tmp_path: Path) -> None:
    folder = fill(tmp_path / "s", f"ARG BASE_IMAGE\nFROM $BASE_IMAGE\n{END}")
    assert found_in(folder) == []
    fill(folder, f"ARG BASE_IMAGE=A\nFROM $BASE_IMAGE\n{END}")
    assert found_in(folder)[0].startswith("error: Dockerfile:2: FROM 'A', which is not the name of an image")


def test_what_an_engine_says_of_an_image() -> None:
    config = {
        "Env": ["A=1=2", "B="],
        "Shell": ["/x"],
        "Labels": {"challenge-bundle.owner": "o"},
        "OnBuild": ["RUN"],
    }
    found = read_image({"Config": config, "Os": "linux", "Architecture": "arm64"})
    assert found.config == BaseConfig({"A": "1=2", "B": ""}, ("/x",))
    assert (found.is_ours, found.has_triggers, found.platform) == (True, True, "linux/arm64")
    plain = read_image(
        {"Config": {"Labels": {"challenge-bundle.ci": "x"}}, "Os": "linux", "Architecture": "amd64"}
    )
    assert plain.config == BaseConfig()
    assert (plain.is_ours, plain.has_triggers) == (False, False)
    assert read_image({"Config": {"Labels": {"challenge-bundle.program": "scoring"}}}).is_ours
    assert not read_image({"Config": None}).is_ours


def test_an_image_is_known_by_its_names_alone() -> None:
    digest = "@sha256:" + "a" * 64
    attributes = {
        "Id": "sha256:" + "b" * 64,
        "RepoTags": ["tiny:1", "ghcr.io/a/b:2"],
        "RepoDigests": [f"tiny{digest}", "<none>@<none>"],
    }
    for name in (TINY, "ghcr.io/a/b:2", f"docker.io/library/tiny{digest}"):
        assert name in read_image(attributes).names
    for name in ("docker.io/library/tiny:2", "docker.io/a/b:2", f"docker.io/library/{'b' * 12}:latest"):
        assert name not in read_image(attributes).names
    # A layer of another build has none.
    assert read_image({"RepoTags": None, "RepoDigests": None}).names == ()
    by_digest = read_image({"RepoTags": None, "RepoDigests": [f"tiny{digest}"]})
    assert by_digest.names == (f"docker.io/library/tiny{digest}",)
