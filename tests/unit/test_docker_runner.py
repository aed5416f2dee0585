"""What a container may see and use, and how an image is named: pure functions, so no engine is needed."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from challenge_bundle.engines.base import BuildSpec, RunSpec
from challenge_bundle.engines.build_context import context_files
from challenge_bundle.engines.docker.container import Host, container_config, read_host
from challenge_bundle.engines.docker.images import with_wheels
from challenge_bundle.engines.output_lines import split_lines
from challenge_bundle.errors import DataError
from challenge_bundle.layout import Layout
from challenge_bundle.runs.programs import INFERENCE, PROGRAMS, SCORING, TRAINING, plan_run
from challenge_bundle.settings import Limits, read_manifest

HOST = Host(cpus=2, gives_gpu=False, user="1000:65534")
GPU_HOST = replace(HOST, gives_gpu=True)


@pytest.fixture
def run(layout: Layout) -> RunSpec:
    return plan_run(INFERENCE, read_manifest(layout.manifest), layout, ("--batch-size", "8"))


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_every_program_is_held_alike(program, layout: Layout) -> None:
    config = container_config(plan_run(program, read_manifest(layout.manifest), layout, ()), HOST)

    assert config["network_mode"] == "none"
    assert config["read_only"] is True
    assert config["cap_drop"] == ["ALL"]
    assert config["security_opt"] == ["no-new-privileges"]
    assert config["init"] is True
    assert config["user"] == "1000:65534"
    assert config["memswap_limit"] == config["mem_limit"]
    assert {"privileged", "cap_add", "devices", "pid_mode", "volumes", "ports"}.isdisjoint(config)
    assert "noexec" in config["tmpfs"]["/tmp"]
    assert "size=" in config["tmpfs"]["/tmp"]


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_one_folder_is_read_and_one_is_written(program, layout: Layout) -> None:
    plan = plan_run(program, read_manifest(layout.manifest), layout, ())
    mounts = container_config(plan, HOST)["mounts"]

    assert [(m["Target"], m["Source"], m["ReadOnly"]) for m in mounts] == [
        ("/mnt/in", str(program.input_dir(layout)), True),
        ("/mnt/out", str(layout.work_dir(program.name)), False),
    ]


@pytest.mark.parametrize("program", [TRAINING, INFERENCE])
def test_the_reference_is_under_no_mount_of_a_participants_program(program, layout: Layout) -> None:
    plan = plan_run(program, read_manifest(layout.manifest), layout, ())
    mounts = container_config(plan, HOST)["mounts"]
    assert len(mounts) == 2
    for mount in mounts:
        for hidden in (layout.solution_csv("testing"), layout.origins_csv, layout.audit):
            assert not hidden.is_relative_to(mount["Source"])


def test_a_container_gets_this_and_no_more(run: RunSpec, tmp_path: Path) -> None:
    limits = Limits(time_s=5, memory_mb=100, cpus=1.5, pids=7, output_mb=3)
    owned = replace(
        run,
        image="image:1",
        limits=limits,
        owner="o",
        key="k",
        input_dir=tmp_path / "i",
        output_dir=tmp_path / "o",
    )
    config = container_config(replace(owned, names_folders=True), HOST)
    name = config.pop("name")
    assert re.fullmatch(r"tiny-inference-[0-9a-f]{8}", name)
    assert config == {
        "image": "image:1",
        "command": ["/mnt/in", "/mnt/out", "--batch-size", "8"],
        "user": "1000:65534",
        "hostname": "program",
        "environment": {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        "network_mode": "none",
        "ipc_mode": "private",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,
        "healthcheck": {"test": ["NONE"]},
        "pids_limit": 7,
        "mem_limit": 104857600,
        "memswap_limit": 104857600,
        "nano_cpus": 1_500_000_000,
        "oom_score_adj": 500,
        "shm_size": "256m",
        "tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=256m,mode=1777"},
        "ulimits": [
            {"Name": "fsize", "Soft": 3145728, "Hard": 3145728},
            {"Name": "nofile", "Soft": 4096, "Hard": 4096},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
        "mounts": [
            {"Target": "/mnt/in", "Source": str(tmp_path / "i"), "Type": "bind", "ReadOnly": True},
            {"Target": "/mnt/out", "Source": str(tmp_path / "o"), "Type": "bind", "ReadOnly": False},
        ],
        "device_requests": [],
        "log_config": {"Type": "json-file", "Config": {"max-size": "4m", "max-file": "1"}},
        "labels": {
            "challenge-bundle.owner": "o",
            "challenge-bundle.program": "inference",
            "challenge-bundle.key": "k",
        },
    }


def test_limits_become_the_engines_units(run: RunSpec) -> None:
    limits = Limits(time_s=5, memory_mb=100, cpus=1.5, pids=7, output_mb=3)
    config = container_config(replace(run, limits=limits), HOST)

    assert config["mem_limit"] == 100 * 2**20
    assert config["nano_cpus"] == 1_500_000_000
    assert config["pids_limit"] == 7
    assert {u["Name"]: u["Hard"] for u in config["ulimits"]} == {
        "fsize": 3 * 2**20,
        "nofile": 4096,
        "core": 0,
    }
    assert config["log_config"]["Config"] == {"max-size": "4m", "max-file": "1"}


def test_no_more_processors_than_there_are(run: RunSpec) -> None:
    generous = replace(run, limits=replace(run.limits, cpus=64))
    assert container_config(generous, HOST)["nano_cpus"] == 2_000_000_000


def test_the_command_is_the_options_alone(run: RunSpec, layout: Layout) -> None:
    assert container_config(run, HOST)["command"] == ["--batch-size", "8"]
    scoring = plan_run(SCORING, read_manifest(layout.manifest), layout, ())
    assert container_config(scoring, HOST)["command"] == [
        "/mnt/in",
        "/mnt/out",
        "--show-cases",
    ]


def test_only_training_gets_a_gpu_and_only_where_there_is_one(run: RunSpec, layout: Layout) -> None:
    training = plan_run(TRAINING, read_manifest(layout.manifest), layout, ())
    assert container_config(run, GPU_HOST)["device_requests"] == []
    assert container_config(training, HOST)["device_requests"] == []
    [request] = container_config(training, GPU_HOST)["device_requests"]
    assert request["Capabilities"] == [["gpu"]]


@pytest.mark.parametrize(
    ("runtimes", "gpus", "expected"),
    [
        ({"runc": {}}, "auto", False),
        ({"runc": {}, "nvidia": {}}, "auto", True),
        ({"nvidia": {}}, "none", False),
        ({}, "all", True),
    ],
)
def test_whether_the_engine_gives_gpus(runtimes: dict[str, object], gpus: str, expected: bool) -> None:
    assert read_host({"NCPU": 4, "Runtimes": runtimes}, gpus).gives_gpu is expected


def test_root_never_runs_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert read_host({"NCPU": 4}, "none").user == "65534:65534"
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert read_host({"NCPU": 4}, "none").user == "1000:65534"


def test_what_the_engine_says_of_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    said = {
        "NCPU": 4,
        "MemTotal": 2**33,
        "DockerRootDir": str(tmp_path),
        "Architecture": "aarch64",
        "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"],
    }
    assert read_host(said, "none") == Host(4, False, "0:0", 2**33, tmp_path, "aarch64")
    assert read_host({}, "none") == Host(1, False, "1000:65534", 0, None, "x86_64")
    other = {"SecurityOptions": ["name=seccomp"], "DockerRootDir": str(tmp_path / "elsewhere")}
    assert read_host(other, "none").user == "1000:65534"
    assert read_host(other, "none").images_dir is None
    assert read_host({"Architecture": "arm64"}, "none").machine == "aarch64"


def test_an_image_is_named_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("ARG BASE_IMAGE=base\nFROM ${BASE_IMAGE}\nCOPY a.py /\n")
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "unrelated.py").write_text("1")

    def tag(base_image: str = "") -> str:
        files = context_files(tmp_path / "Dockerfile", tmp_path, tmp_path)
        return BuildSpec("name", "folder", files, base_image).image

    first = tag()
    (tmp_path / "unrelated.py").write_text("2")
    assert tag() == first
    assert tag("other:1") != first
    (tmp_path / "a.py").write_text("2")
    assert tag() != first


def test_a_source_outside_of_the_context_is_refused(tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "secret").touch()
    (tmp_path / "context" / "Dockerfile").write_text("FROM base\nCOPY ../secret /\n")
    with pytest.raises(DataError, match="outside of"):
        context_files(tmp_path / "context" / "Dockerfile", tmp_path / "context", tmp_path / "context")


def test_which_torch_an_image_holds_is_in_its_name(tmp_path: Path) -> None:
    files = {"Dockerfile": tmp_path / "Dockerfile"}
    files["Dockerfile"].write_text("ARG TORCH_BACKEND=\nFROM base\n")
    plan = BuildSpec("name", "folder", files)
    assert replace(plan, torch_backend="cpu").image != plan.image
    files["Dockerfile"].write_text("FROM base\n")
    assert replace(plan, torch_backend="cpu").image == plan.image


def test_true_classes_are_never_packed(filled_layout: Layout) -> None:
    """Neither by COPY of all, nor by name; what .dockerignore leaves out is left out."""
    program = filled_layout.root / "bundle_inference"
    program.mkdir()
    for copied in (".", "submission_directory/input", ".bundle/origins.csv"):
        (program / "Dockerfile").write_text(f"FROM base\nCOPY {copied} /opt/\n")
        with pytest.raises(DataError, match="which may contain the reference"):
            context_files(program / "Dockerfile", filled_layout.root, program)
    (program / "Dockerfile").write_text("FROM base\nCOPY . /opt/\n")
    (filled_layout.root / ".dockerignore").write_text("# all but the program\n*\n!bundle_inference\n")
    files = context_files(program / "Dockerfile", filled_layout.root, program)
    assert list(files) == ["Dockerfile", "bundle_inference/Dockerfile"]


def test_a_link_is_not_packed(filled_layout: Layout) -> None:
    program = filled_layout.root / "bundle_inference"
    program.mkdir()
    (program / "Dockerfile").write_text("FROM base\nCOPY bundle_inference /opt/\n")
    (program / "harmless.txt").symlink_to(filled_layout.solution_csv("testing"))
    with pytest.raises(DataError, match=r"harmless.txt, which is a link or lies behind one"):
        context_files(program / "Dockerfile", filled_layout.root, program)


def test_lines_cut_anywhere_come_out_whole() -> None:
    text = "one\ntwö\n\nlast".encode()
    for size in range(1, len(text) + 1):
        chunks = iter([text[start : start + size] for start in range(0, len(text), size)])
        assert list(split_lines(chunks)) == ["one", "twö", "", "last"]


def test_names_of_a_submission_are_not_in_the_way_of_the_wheels(tmp_path: Path) -> None:
    """A file where the folder of wheels goes, or a folder where a wheel goes, is a server error."""
    wheel = tmp_path / "wheelhouse" / "inference" / "a-1.whl"
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    plain = tmp_path / "file"
    plain.touch()
    names = ["Dockerfile", "p/requirements.txt", "p/infer.py"]

    def context(*more: str) -> set[str]:
        plan = BuildSpec("name", "inference", dict.fromkeys([*names, *more], plain))
        return set(with_wheels(plan, tmp_path / "wheelhouse"))

    packed = {*names, "p/wheelhouse/a-1.whl"}
    assert context() == packed
    assert context("p/wheelhouse") == packed
    assert context("p/wheelhouse/a-1.whl/x", "p/wheelhouse/a-1.whl/y/z") == packed
    # Wheels of its own stay, and what has a like name.
    assert context("p/wheelhouse/b-2.whl", "wheelhouse") == {*packed, "p/wheelhouse/b-2.whl", "wheelhouse"}
    assert context("p/wheelhouse/a-1.whl") == packed
